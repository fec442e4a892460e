#include "policy/dmarc.h"

#include "message/header.h"
#include "policy/psl.h"
#include "text/idna.h"

/* --- records in the DNS -------------------------------------------------------------------------- */

/* What is at _dmarc.<domain>. */
struct place {
    struct str domain;
    enum auth_result result; // AUTH_PASS: there is a record
    struct str text, why;
    struct dmarc_record record;
    bool is_secure;
};

/* One evaluation: what has been asked is not asked again. */
struct asked {
    const struct dns *dns;
    struct arena *a;
    struct place *places[(DMARC_MAX_IDENTITIES + 3) * DMARC_MAX_QUERIES];
    size_t n;
};

static bool is_temporary(const struct dns_answer *answer)
{
    return answer->status == DNS_TEMPORARY || answer->status == DNS_BOGUS;
}

static void look_up(struct asked *q, struct place *place)
{
    struct str name = arena_printf(q->a, "_dmarc.%.*s", STR_FMT(place->domain));
    struct dns_answer answer;
    struct err e = {0};
    size_t n = 0;

    dns_lookup(q->dns, q->a, name, DNS_TXT, &answer);
    place->is_secure = answer.is_secure;
    if (is_temporary(&answer)) {
        place->result = AUTH_TEMPERROR;
        place->why = arena_printf(q->a, "%.*s: %.*s", STR_FMT(name), STR_FMT(answer.why));
        return;
    }
    for (size_t i = 0; i < answer.n; i++)
        if (dmarc_is_record(answer.records[i].data)) {
            place->text = answer.records[i].data;
            n++;
        }
    if (n != 1) // RFC 7489 6.6.3 (5): of several, none counts
        return;
    place->result = AUTH_PASS;
    if (!dmarc_record_parse(q->a, place->text, &place->record, &e)) {
        place->result = AUTH_PERMERROR;
        place->why = arena_printf(q->a, "%.*s: %s", STR_FMT(name), e.text);
    }
}

static const struct place *place_of(struct asked *q, struct str domain)
{
    struct place *place;

    for (size_t i = 0; i < q->n; i++)
        if (str_eq(q->places[i]->domain, domain))
            return q->places[i];
    place = ARENA_NEW(q->a, struct place);
    place->domain = domain;
    if (q->n == COUNT(q->places)) { // each walk is bounded and so is their number
        place->result = AUTH_TEMPERROR;
        place->why = STR("too many questions");
        return place;
    }
    look_up(q, place);
    return q->places[q->n++] = place;
}

/* --- up the tree ---------------------------------------------------------------------------------- */

static struct str parent_of(struct str domain)
{
    struct str label, parent;

    return str_cut(domain, '.', &label, &parent) ? parent : STR("");
}

static size_t label_count(struct str domain)
{
    size_t n = 1;

    for (size_t i = 0; i < domain.n; i++)
        n += domain.p[i] == '.';
    return n;
}

/* The domain above, in which the next record may be. Long names are cut (RFC 9989 4.10). */
static struct str next_above(struct str domain, struct str limit)
{
    enum { MOST_LABELS = DMARC_MAX_QUERIES - 1 };
    struct str above = parent_of(domain);

    while (label_count(above) > MOST_LABELS && above.n > limit.n)
        above = parent_of(above);
    return above;
}

/* The domain one label below top on the way down to domain. */
static struct str child_of(struct str top, struct str domain)
{
    while (parent_of(domain).n > top.n)
        domain = parent_of(domain);
    return domain;
}

struct walk {
    struct str organizational;
    const struct place *policy; // above the first domain, whose record counts; NULL: nobody's
    const struct place *failed; // not NULL: no answer, and nothing else is known
};

/*
 * From domain to its organisational domain by the list. On the way, a record counts when its tags
 * are those of RFC 9989, and the topmost that counts is the policy.
 */
static void walk_up(struct asked *q, struct str domain, struct walk *out)
{
    struct str limit = psl_organizational(domain);

    *out = (struct walk){.organizational = limit};
    for (struct str at = domain; at.n; at = next_above(at, limit)) {
        const struct place *p = place_of(q, at);
        bool is_first = at.n == domain.n, is_last = at.n == limit.n;
        enum dmarc_psd psd = p->result == AUTH_PASS ? p->record.psd : DMARC_PSD_UNKNOWN;

        if (p->result == AUTH_TEMPERROR) {
            out->failed = p;
            return;
        }
        if (!is_first && (is_last ? p->result != AUTH_NONE
                                  : p->result == AUTH_PASS && p->record.has_tree_tags))
            out->policy = p;
        if (psd != DMARC_PSD_UNKNOWN) { // RFC 9989 4.10.2
            out->organizational = at;
            if (psd == DMARC_PSD_YES && !is_first) {
                out->organizational = child_of(at, domain);
                p = place_of(q, out->organizational);
                if (out->organizational.n != domain.n && p->result == AUTH_PASS)
                    out->policy = p;
                else if (p->result == AUTH_TEMPERROR)
                    out->failed = p;
            }
            return;
        }
        if (is_last)
            return;
    }
}

/* A public suffix may have a policy for those below it who have none, and says psd=y (RFC 9091). */
static const struct place *suffix_policy(struct asked *q, struct str organizational)
{
    int n = 0;

    for (struct str at = parent_of(organizational); at.n && n < DMARC_MAX_QUERIES; n++) {
        const struct place *p = place_of(q, at);

        if (p->result == AUTH_TEMPERROR ||
            (p->result == AUTH_PASS && p->record.psd == DMARC_PSD_YES))
            return p;
        at = parent_of(at);
    }
    return NULL;
}

/* --- the policy for a domain ---------------------------------------------------------------------- */

static void set_failed(struct dmarc_found *out, const struct place *p)
{
    out->result = p->result;
    out->domain = p->domain;
    out->text = p->text;
    out->why = p->why;
}

/* RFC 9989 3.2.13, RFC 9091 2.7: a domain without MX, A and AAAA does not exist. */
static bool does_exist(struct asked *q, struct str domain, struct dmarc_found *out)
{
    static const enum dns_type types[] = {DNS_MX, DNS_A, DNS_AAAA};
    struct dns_answer answer = {0};

    for (size_t i = 0; i < COUNT(types); i++) {
        dns_lookup(q->dns, q->a, domain, types[i], &answer);
        if (answer.status == DNS_OK)
            return true;
        if (is_temporary(&answer)) {
            out->result = AUTH_TEMPERROR;
            out->why = arena_printf(q->a, "%s of %.*s: %.*s", dns_type_name(types[i]),
                                    STR_FMT(domain), STR_FMT(answer.why));
            return true;
        }
        if (answer.status == DNS_NXDOMAIN)
            break;
    }
    return false;
}

/* Which of p, sp and np of the record is for domain (RFC 7489 6.3, RFC 9989 4.7). */
static void choose_policy(struct asked *q, struct str domain, struct dmarc_found *out)
{
    const struct dmarc_record *record = &out->record;

    out->policy = record->p;
    if (str_eq(domain, out->domain))
        return;
    if (record->sp)
        out->policy = record->sp;
    if (record->np && record->np != out->policy && !does_exist(q, domain, out))
        out->policy = record->np;
}

static void find(struct asked *q, struct str from, struct dmarc_found *out)
{
    const struct place *p = place_of(q, from);

    *out = (struct dmarc_found){.result = AUTH_NONE};
    if (p->result == AUTH_NONE) {
        struct walk walk;

        walk_up(q, from, &walk);
        p = walk.failed ? walk.failed : walk.policy;
        if (!p)
            p = suffix_policy(q, psl_organizational(from));
        if (!p)
            return;
    }
    set_failed(out, p);
    out->is_secure = p->is_secure;
    if (p->result != AUTH_PASS)
        return;
    out->record = p->record;
    choose_policy(q, from, out);
}

void dmarc_find(const struct dns *dns, struct arena *a, struct str from, struct dmarc_found *out)
{
    struct asked q = {.dns = dns, .a = a};

    find(&q, from, out);
}

/* --- a message ------------------------------------------------------------------------------------ */

enum alignment { ALIGNED, NOT_ALIGNED, ALIGNMENT_UNKNOWN };

/* RFC 7489 3.1, with organisations as in RFC 9989 4.10.2. */
static enum alignment alignment_of(struct asked *q, struct str from, struct str domain,
                                   bool is_strict)
{
    struct walk ours, theirs;

    domain = arena_lower(q->a, domain);
    if (str_eq(from, domain))
        return ALIGNED;
    if (is_strict || !domain.n ||
        !str_eq(psl_organizational(from), psl_organizational(domain)))
        return NOT_ALIGNED;
    walk_up(q, from, &ours);
    walk_up(q, domain, &theirs);
    if (ours.failed || theirs.failed)
        return ALIGNMENT_UNKNOWN;
    return str_eq(ours.organizational, theirs.organizational) ? ALIGNED : NOT_ALIGNED;
}

/* *is_open: the identity would be aligned, or may be, and nobody knows yet. */
static bool is_aligned_pass(struct asked *q, const struct dmarc_input *in, struct str domain,
                            enum auth_result result, bool is_strict, bool *is_open)
{
    enum alignment alignment;

    if (result != AUTH_PASS && result != AUTH_TEMPERROR)
        return false;
    alignment = alignment_of(q, in->from, domain, is_strict);
    if (alignment == ALIGNMENT_UNKNOWN || (alignment == ALIGNED && result == AUTH_TEMPERROR))
        *is_open = true;
    return alignment == ALIGNED && result == AUTH_PASS;
}

static void judge(struct asked *q, const struct dmarc_input *in, struct dmarc_result *out)
{
    const struct dmarc_record *record = &out->found.record;
    bool is_open = false;

    out->is_spf_aligned =
        is_aligned_pass(q, in, in->spf_domain, in->spf, record->is_aspf_strict, &is_open);
    for (size_t i = 0; i < in->n_dkim && i < DMARC_MAX_IDENTITIES && !out->is_dkim_aligned; i++)
        out->is_dkim_aligned = is_aligned_pass(q, in, in->dkim[i].domain, in->dkim[i].result,
                                               record->is_adkim_strict, &is_open);
    if (out->is_spf_aligned || out->is_dkim_aligned) {
        out->status = AUTH_PASS;
        return;
    }
    if (is_open) {
        out->status = AUTH_TEMPERROR;
        return;
    }
    out->status = AUTH_FAIL;
    if (out->found.policy == DMARC_NO_POLICY)
        return;
    out->is_test = record->is_test;
    out->is_sampled_out = !out->is_test && in->sample >= record->pct;
    out->is_reject = !out->is_test && !out->is_sampled_out;
}

void dmarc_evaluate(const struct dns *dns, struct arena *a, const struct dmarc_input *in,
                    struct dmarc_result *out)
{
    struct asked q = {.dns = dns, .a = a};

    *out = (struct dmarc_result){.status = AUTH_NONE};
    if (!in->from.n)
        return;
    out->organizational = psl_organizational(in->from);
    find(&q, in->from, &out->found);
    if (out->found.result == AUTH_PASS)
        judge(&q, in, out);
    else
        out->status = out->found.result;
}

bool dmarc_from(struct arena *a, struct str header, struct str *domain, struct err *e)
{
    struct header_field field;
    struct address_list list;
    size_t n = header_count(header, STR("From"));

    if (n != 1)
        return fail(e, ERR_SYNTAX, "the message has %zu From fields, not one", n);
    if (!header_find(header, STR("From"), &field))
        return fail(e, ERR_BUG, "a From field that was counted is gone");
    address_parse_list(a, header_unfold(a, field.value), &list);
    if (list.n != 1)
        return fail(e, ERR_SYNTAX, "%zu addresses in From", list.n);
    return domain_to_ascii(a, list.items[0].domain, domain, e) ||
           fail_in(e, "domain of the From address");
}

static size_t add_author(struct arena *a, struct str domain, struct str *out, size_t n)
{
    struct err e = {0};

    if (str_ends(domain, STR(".")))
        domain.n--;
    if (!domain_to_ascii(a, domain, &domain, &e))
        return n;
    for (size_t i = 0; i < n; i++)
        if (str_eq(out[i], domain))
            return n;
    out[n] = domain;
    return n + 1;
}

size_t dmarc_authors(struct arena *a, struct str header, struct str out[DMARC_MAX_AUTHORS + 1])
{
    struct cur c = cur_of(header);
    size_t n = 0;

    while (cur_left(&c)) {
        struct str raw = header_take_folded(&c), name, value;
        struct address_list list = {0};

        if (!str_cut(raw, ':', &name, &value) || !str_eq_ci(str_trim(name), STR("From")))
            continue;
        address_parse_list(a, header_unfold(a, value), &list);
        for (size_t i = 0; i < list.n && n <= DMARC_MAX_AUTHORS; i++)
            n = add_author(a, list.items[i].domain, out, n);
    }
    return n;
}

/* --- reports -------------------------------------------------------------------------------------- */

unsigned dmarc_interval_hours(uint32_t seconds)
{
    static const unsigned divisors[] = {24, 12, 8, 6, 4, 3, 2};
    uint64_t hours = ((uint64_t)seconds + 3599) / 3600;

    for (size_t i = 0; i < COUNT(divisors); i++)
        if (hours >= divisors[i])
            return divisors[i];
    return 1;
}

bool dmarc_evaluation_of(struct arena *a, const struct dmarc_input *in,
                         const struct dmarc_result *result, struct str override, bool is_rejected,
                         struct dmarc_evaluation *out)
{
    const struct dmarc_found *found = &result->found;

    *out = (struct dmarc_evaluation){0};
    if (found->result != AUTH_PASS || !found->record.rua.n)
        return false;
    out->policy_domain = found->domain;
    out->from = in->from;
    out->published = found->record;
    out->interval_hours = dmarc_interval_hours(found->record.ri);
    out->is_rejected = is_rejected;
    out->is_spf_aligned = result->is_spf_aligned;
    out->is_dkim_aligned = result->is_dkim_aligned;
    if (override.n)
        out->overrides[out->n_overrides++] = override;
    if (result->is_sampled_out)
        out->overrides[out->n_overrides++] = STR("sampled_out");
    if (result->is_test)
        out->overrides[out->n_overrides++] = STR("policy_test_mode"); // RFC 9990
    if (in->spf_domain.n) {
        out->spf_domain = in->spf_domain;
        out->spf_scope = in->is_spf_helo ? STR("helo") : STR("mfrom");
        out->spf = in->spf;
    }
    out->dkim = ARENA_ARRAY(a, in->n_dkim + 1, struct dmarc_dkim);
    for (size_t i = 0; i < in->n_dkim && i < DMARC_MAX_IDENTITIES; i++)
        if (str_eq(psl_organizational(in->dkim[i].domain), result->organizational))
            out->dkim[out->n_dkim++] = in->dkim[i];
    return true;
}

/* The addresses of a consent that stay at host to (RFC 7489 7.1 (7)). */
static void keep_host(struct arena *a, const struct report_uris *uris, struct str to,
                      struct report_uris *out)
{
    *out = (struct report_uris){0};
    for (size_t i = 0; i < uris->n; i++) {
        struct str localpart, domain;

        if (report_uri_mailto(a, &uris->items[i], &localpart, &domain) && str_eq(domain, to))
            *ARENA_PUSH(a, out->items, &out->n, &out->cap) = uris->items[i];
    }
}

enum dmarc_consent dmarc_report_consent(const struct dns *dns, struct arena *a, struct str about,
                                        struct str to, struct report_uris *rua, struct str *why)
{
    struct dns_answer answer;
    size_t n = 0;

    *rua = (struct report_uris){0};
    *why = STR("");
    if (str_eq(psl_organizational(about), psl_organizational(to)))
        return DMARC_CONSENT_SAME;
    dns_lookup(dns, a, arena_printf(a, "%.*s._report._dmarc.%.*s", STR_FMT(about), STR_FMT(to)),
               DNS_TXT, &answer);
    if (is_temporary(&answer)) {
        *why = answer.why;
        return DMARC_CONSENT_TEMPORARY;
    }
    for (size_t i = 0; i < answer.n; i++) {
        struct dmarc_record record;

        if (!dmarc_is_record(answer.records[i].data))
            continue;
        n++;
        // RFC 7489 7.1 (6): "v=DMARC1" alone is consent. A record that has a rua can be parsed.
        if (dmarc_record_parse(a, answer.records[i].data, &record, NULL))
            keep_host(a, &record.rua, to, rua);
    }
    return n ? DMARC_CONSENT_YES : DMARC_CONSENT_NO;
}
