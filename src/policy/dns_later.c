#include "policy/dns_later.h"

void dns_later_init(struct dns_later *l)
{
    *l = (struct dns_later){.a = ARENA_LIMIT(64 << 20)};
}

void dns_later_fini(struct dns_later *l)
{
    map_fini(&l->answers);
    arena_fini(&l->a);
}

void dns_later_begin(struct dns_later *l)
{
    l->is_missing = false;
}

static struct str key_of(struct arena *a, struct str name, enum dns_type type)
{
    struct str lower = arena_lower(a, name);

    return arena_printf(a, "%u %.*s", (unsigned)type, STR_FMT(lower));
}

static void lookup(void *ctx, struct arena *a, struct str name, enum dns_type type,
                   struct dns_answer *out)
{
    struct dns_later *l = ctx;
    const struct dns_answer *known = map_get(&l->answers, key_of(a, name, type));

    *out = known ? *known : (struct dns_answer){.status = DNS_TEMPORARY, .why = STR("not asked yet")};
    if (known || l->is_missing || l->answers.count >= DNS_LATER_MAX)
        return;
    l->is_missing = true;
    l->name = arena_dup(&l->a, name);
    l->type = type;
}

struct dns dns_later_dns(struct dns_later *l)
{
    return (struct dns){.ctx = l, .lookup = lookup};
}

void dns_later_put(struct dns_later *l, const struct dns_answer *answer)
{
    struct dns_answer *own = ARENA_NEW(&l->a, struct dns_answer);
    struct dns_record *records = ARENA_ARRAY(&l->a, answer->n, struct dns_record);

    *own = *answer;
    own->name = arena_dup(&l->a, answer->name);
    own->why = arena_dup(&l->a, answer->why);
    own->records = records;
    for (size_t i = 0; i < answer->n; i++) {
        records[i] = answer->records[i];
        records[i].name = arena_dup(&l->a, answer->records[i].name);
        records[i].data = arena_dup(&l->a, answer->records[i].data);
    }
    map_put(&l->answers, key_of(&l->a, l->name, l->type), own);
    l->is_missing = false;
}
