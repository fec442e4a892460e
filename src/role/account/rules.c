#include "role/account/rules.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/map.h"

struct rules {
    atomic_uint users;
    struct arena a; // everything but the expressions
    struct ipc_account_rules account;
    struct ipc_account_junk junk;
    struct decide_account decide;
    struct map destinations; // address -> struct destination
    struct regex **expressions;
    size_t n_expressions, cap_expressions;
};

// As they grow while they are read.
struct rulesets {
    struct decide_ruleset *items;
    size_t n, cap;
};
struct headers {
    struct decide_header_rule *items;
    size_t n, cap;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rules *current;

static bool compile(struct rules *r, struct str pattern, struct regex **out, struct err *e)
{
    *out = NULL;
    if (!pattern.n)
        return true;
    *out = regex_new(pattern, e);
    if (!*out)
        return false;
    *ARENA_PUSH(&r->a, r->expressions, &r->n_expressions, &r->cap_expressions) = *out;
    return true;
}

static void set_account(struct rules *r)
{
    const struct ipc_account_rules *m = &r->account;

    r->decide = (struct decide_account){.rejects_mailbox = m->rejects_mailbox,
                                        .introbox = m->introbox,
                                        .no_first_time_delay = m->no_first_time_delay,
                                        .has_junk_filter = r->junk.has_filter,
                                        .subjectpass_seconds = m->subjectpass_seconds,
                                        .junk_threshold = r->junk.threshold_e6 / 1e6};
}

static bool read_ruleset(struct rules *r, struct str body, struct decide_ruleset *out,
                         struct err *e)
{
    struct ipc_ruleset m;

    if (!ipc_ruleset_get(body, &m, e))
        return false;
    *out = (struct decide_ruleset){.verified_domain = m.verified_domain,
                                   .is_forward = m.is_forward,
                                   .list_allow_domain = m.list_allow_domain,
                                   .accept_rejects_mailbox = m.accept_rejects_mailbox,
                                   .mailbox = m.mailbox};
    return compile(r, m.mail_from_regexp, &out->mail_from, e) &&
           compile(r, m.msg_from_regexp, &out->msg_from, e);
}

static bool read_header(struct rules *r, struct str body, struct decide_header_rule *out,
                        struct err *e)
{
    struct ipc_ruleset_header m;

    return ipc_ruleset_header_get(body, &m, e) && compile(r, m.name_regexp, &out->name, e) &&
           compile(r, m.value_regexp, &out->value, e);
}

static bool read_destination(struct rules *r, struct str body, struct decide_destination **out,
                             struct err *e)
{
    struct ipc_account_destination m;
    struct decide_destination *old;

    if (!ipc_account_destination_get(body, &m, e))
        return false;
    *out = ARENA_NEW(&r->a, struct decide_destination);
    **out = (struct decide_destination){.auth_required = m.auth_required,
                                        .is_dmarc_report = m.is_dmarc_report,
                                        .is_tls_report = m.is_tls_report};
    old = map_put(&r->destinations, m.address, *out);
    if (old) { // an address for both kinds of reports
        (*out)->is_dmarc_report |= old->is_dmarc_report;
        (*out)->is_tls_report |= old->is_tls_report;
    }
    return true;
}

static bool read_records(struct rules *r, struct str config, struct err *e)
{
    struct cur c = cur_of(arena_dup(&r->a, config));
    struct decide_destination *destination = NULL;
    struct rulesets rulesets = {0};
    struct headers headers = {0};
    enum compiled_type type;
    struct str body;

    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_account_rules) {
            if (!ipc_account_rules_get(body, &r->account, e))
                return false;
        } else if (type == COMPILED_account_junk) {
            if (!ipc_account_junk_get(body, &r->junk, e))
                return false;
        } else if (type == COMPILED_account_destination) {
            if (!read_destination(r, body, &destination, e))
                return false;
            rulesets = (struct rulesets){0};
        } else if (type == COMPILED_ruleset && destination) {
            if (!read_ruleset(r, body, ARENA_PUSH(&r->a, rulesets.items, &rulesets.n, &rulesets.cap),
                              e))
                return false;
            headers = (struct headers){0};
            destination->rulesets = rulesets.items;
            destination->n_rulesets = rulesets.n;
        } else if (type == COMPILED_ruleset_header && rulesets.n) {
            if (!read_header(r, body, ARENA_PUSH(&r->a, headers.items, &headers.n, &headers.cap), e))
                return false;
            rulesets.items[rulesets.n - 1].headers = headers.items;
            rulesets.items[rulesets.n - 1].n_headers = headers.n;
        }
    set_account(r);
    return e->kind == ERR_NONE;
}

static void free_rules(struct rules *r)
{
    for (size_t i = 0; i < r->n_expressions; i++)
        regex_free(r->expressions[i]);
    map_fini(&r->destinations);
    arena_fini(&r->a);
    free(r);
}

struct rules *rules_read(struct str config, struct err *e)
{
    struct rules *r = heap_alloc(sizeof *r);

    r->a = (struct arena)ARENA_LIMIT(4 * COMPILED_MAX_BYTES);
    atomic_init(&r->users, 1);
    if (read_records(r, config, e))
        return r;
    free_rules(r);
    return NULL;
}

struct rules *rules_get(void)
{
    struct rules *r;

    pthread_mutex_lock(&lock);
    r = current;
    atomic_fetch_add(&r->users, 1);
    pthread_mutex_unlock(&lock);
    return r;
}

void rules_put(struct rules *r)
{
    if (r && atomic_fetch_sub(&r->users, 1) == 1)
        free_rules(r);
}

void rules_use(struct rules *r)
{
    struct rules *old;

    pthread_mutex_lock(&lock);
    old = current;
    current = r;
    pthread_mutex_unlock(&lock);
    rules_put(old);
}

const struct ipc_account_rules *rules_account(const struct rules *r)
{
    return &r->account;
}

const struct ipc_account_junk *rules_junk(const struct rules *r)
{
    return &r->junk;
}

const struct decide_account *rules_decide(const struct rules *r)
{
    return &r->decide;
}

const struct decide_destination *rules_destination(const struct rules *r, struct str address)
{
    const struct decide_destination *out = map_get(&r->destinations, address);
    ptrdiff_t at = str_find_last(address, '@');

    return out || at < 0 ? out : map_get(&r->destinations, str_from(address, (size_t)at));
}
