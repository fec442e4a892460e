#include "message/header.h"
#include "policy/decide_priv.h"

// Equal, or below it.
static bool is_within(struct str domain, struct str parent)
{
    return str_eq(domain, parent) ||
           (domain.n > parent.n && str_ends(domain, parent) &&
            domain.p[domain.n - parent.n - 1] == '.');
}

static bool matches(const struct regex *r, struct str text)
{
    return regex_finds(r, str_sub(text, 0, DECIDE_MAX_VALUE));
}

static bool has_header(const struct decide *d, const struct decide_header_rule *rule)
{
    struct cur c = cur_of(d->m->header);
    struct header_field f;

    while (header_next(&c, &f)) {
        AUTO_ARENA a = ARENA_LIMIT(4 << 20);
        struct str value;

        if (!matches(rule->name, arena_lower(&a, f.name)))
            continue;
        value = header_unfold(&a, f.value);
        if (matches(rule->value, str_trim(arena_lower(&a, value))))
            return true;
    }
    return false;
}

static bool is_verified(const struct decide *d, struct str parent)
{
    const struct decide_findings *f = &d->m->found;

    if ((f->spf_mail_from == FINDING_PASS && is_within(f->mail_from_domain, parent)) ||
        (f->spf_hello == FINDING_PASS && is_within(f->hello_domain, parent)))
        return true;
    for (size_t i = 0; i < d->n_dkim; i++)
        if (is_within(d->dkim[i], parent))
            return true;
    return false;
}

static bool is_match(const struct decide *d, const struct decide_ruleset *r)
{
    if (r->mail_from && !matches(r->mail_from, d->m->reverse_path))
        return false;
    if (r->msg_from && (!d->from.n || !matches(r->msg_from, d->from)))
        return false;
    if (r->verified_domain.n && !is_verified(d, r->verified_domain))
        return false;
    for (size_t i = 0; i < r->n_headers; i++)
        if (!has_header(d, &r->headers[i]))
            return false;
    return true;
}

const struct decide_ruleset *decide_ruleset_of(struct decide *d)
{
    for (size_t i = 0; d->destination && i < d->destination->n_rulesets; i++)
        if (is_match(d, &d->destination->rulesets[i])) {
            decide_note(d, "ruleset", d->destination->rulesets[i].mailbox, "number %zu", i + 1);
            return &d->destination->rulesets[i];
        }
    return NULL;
}

bool decide_is_list(const struct decide *d, struct str domain)
{
    const struct decide_findings *f = &d->m->found;

    if (f->spf_mail_from == FINDING_PASS && str_eq(f->mail_from_domain, domain))
        return true;
    for (size_t i = 0; i < d->n_dkim; i++)
        if (str_eq(d->dkim[i], domain))
            return true;
    return false;
}
