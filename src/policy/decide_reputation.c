/*
 * What earlier mail says about a sender (mox-smtp-delivery.md 2.2). The first kind of sign that has a
 * history decides: the address, what the user wrote, its domain, the domain that signed or sent, the
 * network.
 */
#include "policy/decide_priv.h"

enum {
    DAY = 24 * 3600,
    YEAR = 365 * DAY,
    HALF_YEAR = YEAR / 2,       // 182.5 days
    QUARTER_YEAR = HALF_YEAR / 2, // 91.25 days
    ADDRESS_SECONDS = 3 * YEAR,
    DOMAIN_SECONDS = 2 * YEAR,
    ADDRESS_MAX = 2,
    DOMAIN_MAX = 20,
    OTHER_MAX = 50,
    GOOD_PERCENT = 80,
    MANY_LOCALPARTS = 3,
};

struct history {
    struct decide_judged items[DECIDE_MAX_HISTORY];
    size_t n, n_junk;
};

static bool read_history(struct decide *d, enum decide_sign sign, struct str value, int64_t seconds,
                         size_t max, struct history *out, struct err *e)
{
    out->n = out->n_junk = 0;
    if (!value.n)
        return true;
    if (!d->source->history(d->source->ctx, d->a, d->out->mailbox, sign, value,
                            d->m->now_unix - seconds, max, out->items, &out->n, e))
        return false;
    for (size_t i = 0; i < out->n; i++)
        out->n_junk += out->items[i].is_junk;
    return true;
}

static bool has_written(struct decide *d, struct str localpart, struct str domain,
                        bool with_subdomains, int64_t seconds, bool *out, struct err *e)
{
    return d->source->has_written(d->source->ctx, localpart, domain, with_subdomains,
                                  d->m->now_unix - seconds, out, e);
}

static struct reputation say(struct decide *d, const char *method, enum opinion opinion,
                             bool is_conclusive, const struct history *h)
{
    static const char *const words[] = {"undecided", "good", "junk"};

    if (h)
        decide_note(d, "reputation", str_of(method), "%s%s; %zu of %zu earlier messages were junk",
                    words[opinion], is_conclusive ? "" : ", not conclusive", h->n_junk, h->n);
    else
        decide_note(d, "reputation", str_of(method), "%s%s", words[opinion],
                    is_conclusive ? "" : ", not conclusive");
    return (struct reputation){opinion, is_conclusive, method};
}

static bool is_validated(const struct decide *d)
{
    return d->m->found.validation != VALIDATION_NONE;
}

// The newest, and the one before it when there is one.
static bool are_newest_junk(const struct history *h)
{
    return h->items[0].is_junk && (h->n == 1 || h->items[1].is_junk);
}

// By the address itself. *found: it decided.
static bool by_address(struct decide *d, struct reputation *out, bool *found, struct err *e)
{
    const struct decide_findings *f = &d->m->found;
    struct history own, proved;
    bool was_written = false;

    *found = true;
    if (!read_history(d, is_validated(d) ? DECIDE_FROM_PROVED : DECIDE_FROM, d->from,
                      ADDRESS_SECONDS, ADDRESS_MAX, &own, e))
        return false;
    if (own.n) {
        *out = say(d, "msgfromfull", are_newest_junk(&own) ? OPINION_JUNK : OPINION_GOOD,
                   is_validated(d), &own);
        return true;
    }
    // Whoever used to be validated and is not this time may be someone else.
    if (!is_validated(d)) {
        if (!read_history(d, DECIDE_FROM_PROVED, d->from, ADDRESS_SECONDS, ADDRESS_MAX, &proved, e))
            return false;
        if (proved.n) {
            *out = say(d, "msgfromfull", OPINION_JUNK, are_newest_junk(&proved), &proved);
            return true;
        }
    }
    if (!has_written(d, f->from_localpart, f->from_domain, false, ADDRESS_SECONDS, &was_written, e))
        return false;
    if (was_written)
        *out = say(d, "msgtofull", OPINION_GOOD, true, NULL);
    *found = was_written;
    return true;
}

static bool has_many_localparts(const struct history *h)
{
    size_t different = 0;

    for (size_t i = 0; i < h->n; i++) {
        size_t k = 0;

        while (k < i && !str_eq(h->items[k].who, h->items[i].who))
            k++;
        different += k == i;
    }
    return different >= MANY_LOCALPARTS;
}

static struct reputation judge_domain(struct decide *d, const char *method, const struct history *h)
{
    size_t good = h->n - h->n_junk;

    if (100 * good / h->n > GOOD_PERCENT)
        return say(d, method, OPINION_GOOD, true, h);
    if (!good)
        return say(d, method, OPINION_JUNK, has_many_localparts(h), h);
    return say(d, method, OPINION_NONE, false, h);
}

static bool by_domain(struct decide *d, bool is_org, struct reputation *out, bool *found,
                      struct err *e)
{
    const struct decide_findings *f = &d->m->found;
    struct str domain = is_org ? f->from_org_domain : f->from_domain;
    enum decide_sign proved = is_org ? DECIDE_FROM_ORG_PROVED : DECIDE_FROM_DOMAIN_PROVED;
    enum decide_sign plain = is_org ? DECIDE_FROM_ORG : DECIDE_FROM_DOMAIN;
    const char *method = is_org ? "msgfromorgdomain" : "msgfromdomain";
    struct history h;
    bool was_written = false;

    *found = true;
    if (!read_history(d, is_validated(d) ? proved : plain, domain, DOMAIN_SECONDS, DOMAIN_MAX, &h, e))
        return false;
    if (h.n) {
        *out = judge_domain(d, method, &h);
        return true;
    }
    if (!is_validated(d)) {
        if (!read_history(d, proved, domain, DOMAIN_SECONDS, ADDRESS_MAX, &h, e))
            return false;
        if (h.n) {
            *out = say(d, method, OPINION_JUNK, are_newest_junk(&h), &h);
            return true;
        }
    }
    if (domain.n &&
        !has_written(d, STR(""), domain, is_org, DOMAIN_SECONDS, &was_written, e))
        return false;
    if (was_written)
        *out = say(d, is_org ? "msgtoorgdomain" : "msgtodomain", OPINION_GOOD, true, NULL);
    *found = was_written;
    return true;
}

/* What signing and sending domains say together. */
struct signals {
    size_t n, ham, spam; // domains with a history; with next to no junk; with hardly anything else
    size_t dkim_seen, spf_seen;
};

static void add_signal(struct signals *s, const struct history *h)
{
    s->n++;
    s->ham += 10 * h->n_junk < h->n;
    s->spam += 10 * h->n_junk > 9 * h->n;
}

static bool spf_history(struct decide *d, struct history *h, struct err *e)
{
    const struct decide_findings *f = &d->m->found;

    h->n = 0;
    if (d->counts_mail_from &&
        (!read_history(d, DECIDE_MAIL_FROM, d->mail_from, HALF_YEAR, OTHER_MAX, h, e) ||
         (!h->n && !read_history(d, DECIDE_MAIL_FROM_DOMAIN, f->mail_from_domain, HALF_YEAR,
                                 OTHER_MAX, h, e))))
        return false;
    return h->n || !d->counts_hello ||
           read_history(d, DECIDE_HELLO, f->hello_domain, HALF_YEAR, OTHER_MAX, h, e);
}

static bool by_dkim_and_spf(struct decide *d, struct reputation *out, bool *found, struct err *e)
{
    struct signals s = {0};
    struct history h;

    for (size_t i = 0; i < d->n_dkim; i++) {
        if (!read_history(d, DECIDE_DKIM, d->dkim[i], HALF_YEAR, OTHER_MAX, &h, e))
            return false;
        if (!h.n)
            continue;
        add_signal(&s, &h);
        s.dkim_seen = h.n;
    }
    if (!spf_history(d, &h, e))
        return false;
    if (h.n) {
        add_signal(&s, &h);
        s.spf_seen = h.n;
    }
    *found = s.n > 0;
    if (!*found)
        return true;
    if (s.ham && !s.spam)
        *out = say(d, "dkimspf", OPINION_GOOD, true, NULL);
    else if (s.spam && !s.ham)
        *out = say(d, "dkimspf", OPINION_JUNK, s.dkim_seen > 1 || s.spf_seen > 1, NULL);
    else
        *out = say(d, "dkimspf", OPINION_NONE, false, NULL);
    return true;
}

static bool by_network(struct decide *d, struct reputation *out, bool *found, struct err *e)
{
    static const struct {
        enum decide_sign sign;
        const char *method;
        size_t needed;
    } classes[DECIDE_NETWORKS] = {{DECIDE_IP1, "ip1", 2}, {DECIDE_IP2, "ip2", 5},
                                  {DECIDE_IP3, "ip3", 10}};

    *found = false;
    for (size_t i = 0; i < DECIDE_NETWORKS && !*found; i++) {
        struct history h;
        enum opinion opinion;

        if (!read_history(d, classes[i].sign, d->networks[i], QUARTER_YEAR, OTHER_MAX, &h, e))
            return false;
        if (!h.n)
            continue;
        opinion = 4 * h.n_junk < h.n       ? OPINION_GOOD
                  : 4 * h.n_junk > 3 * h.n ? OPINION_JUNK
                                           : OPINION_NONE;
        *out = say(d, classes[i].method, opinion,
                   h.n >= classes[i].needed &&
                       (10 * h.n_junk <= h.n || 10 * h.n_junk >= 9 * h.n), &h);
        *found = true;
    }
    return true;
}

bool decide_reputation(struct decide *d, struct reputation *out, struct err *e)
{
    bool found = false;

    if (d->from.n &&
        (!by_address(d, out, &found, e) || (!found && !by_domain(d, false, out, &found, e)) ||
         (!found && !by_domain(d, true, out, &found, e))))
        return false;
    if ((!found && !by_dkim_and_spf(d, out, &found, e)) ||
        (!found && !by_network(d, out, &found, e)))
        return false;
    if (!found)
        *out = say(d, "none", OPINION_NONE, false, NULL);
    return true;
}

static void add_sign(struct decision *out, enum decide_sign sign, struct str value, struct str who)
{
    if (value.n && out->n_signs < DECIDE_MAX_SIGNS)
        out->signs[out->n_signs++] = (struct decide_sign_value){sign, value, who};
}

void decide_signs(const struct decide *d, struct decision *out)
{
    const struct decide_findings *f = &d->m->found;
    bool is_proved = is_validated(d);

    if (d->from.n) {
        add_sign(out, is_proved ? DECIDE_FROM_PROVED : DECIDE_FROM, d->from, STR(""));
        add_sign(out, is_proved ? DECIDE_FROM_DOMAIN_PROVED : DECIDE_FROM_DOMAIN, f->from_domain,
                 f->from_localpart);
        add_sign(out, is_proved ? DECIDE_FROM_ORG_PROVED : DECIDE_FROM_ORG, f->from_org_domain,
                 f->from_localpart);
    }
    for (size_t i = 0; i < d->n_dkim; i++)
        add_sign(out, DECIDE_DKIM, d->dkim[i], STR(""));
    if (d->counts_mail_from) {
        add_sign(out, DECIDE_MAIL_FROM, d->mail_from, STR(""));
        add_sign(out, DECIDE_MAIL_FROM_DOMAIN, f->mail_from_domain, STR(""));
    }
    if (d->counts_hello)
        add_sign(out, DECIDE_HELLO, f->hello_domain, STR(""));
    for (size_t i = 0; i < DECIDE_NETWORKS; i++)
        add_sign(out, (enum decide_sign)(DECIDE_IP1 + i), d->networks[i], STR(""));
}
