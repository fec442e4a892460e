#include "policy/spf/spf_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "text/idna.h"

enum {
    RUN_MEMORY = 64 << 20,  // records of eleven domains, and names
    ANSWER_MEMORY = 8 << 20, // one answer with addresses
    MAX_PREFETCHED = 20,     // questions begun early, in one evaluation
};

/* What one record says. */
struct verdict {
    enum auth_result status;
    struct str mechanism;
    struct str exp, exp_domain; // of a fail: its exp, and the domain of that record
};

enum spf_step spf_stop(struct spf_run *run, enum auth_result error, const char *format, ...)
{
    char text[SPF_MAX_WHY];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    run->error = error;
    run->why = arena_dup(run->a, str_of(text));
    return SPF_STOP;
}

enum spf_step spf_count(struct spf_run *run)
{
    if (++run->n_lookups > SPF_MAX_LOOKUPS)
        return spf_stop(run, AUTH_PERMERROR, "more than %d terms that need the DNS",
                        SPF_MAX_LOOKUPS);
    return SPF_YES;
}

bool spf_is_within(struct str name, struct str domain)
{
    return str_eq_ci(name, domain) ||
           (name.n > domain.n && str_ends_ci(name, domain) &&
            name.p[name.n - domain.n - 1] == '.');
}

static void ask(struct spf_run *run, struct arena *a, struct str name, enum dns_type type,
                struct dns_answer *out)
{
    dns_lookup(run->dns, a, name, type, out);
    run->is_secure &= out->is_secure;
}

// The answer to a term: SPF_NO when there is nothing, which may happen twice (RFC 7208 4.6.4).
static enum spf_step judge(struct spf_run *run, struct str name, enum dns_type type,
                           const struct dns_answer *answer)
{
    if (answer->status == DNS_OK)
        return SPF_YES;
    if (!dns_is_none(answer))
        return spf_stop(run, AUTH_TEMPERROR, "looking up %s of %.*s: %.*s", dns_type_name(type),
                        STR_FMT(name), STR_FMT(answer->why));
    if (++run->n_void > SPF_MAX_VOID)
        return spf_stop(run, AUTH_PERMERROR, "more than %d terms name what does not exist",
                        SPF_MAX_VOID);
    return SPF_NO;
}

static enum dns_type address_type(const struct spf_run *run)
{
    return run->ip.family == 4 ? DNS_A : DNS_AAAA;
}

// Whether the client is in a network of that size around one of the addresses.
static bool has_address(const struct spf_run *run, const struct dns_answer *answer, uint8_t bits4,
                        uint8_t bits6)
{
    struct ip ip;

    for (size_t i = 0; i < answer->n; i++)
        if (ip_of_bytes(answer->records[i].data, &ip) &&
            ip_in_network(&run->ip, &ip, ip.family == 4 ? bits4 : bits6))
            return true;
    return false;
}

static void prefetch(struct spf_run *run, struct str name, enum dns_type type)
{
    if (run->n_prefetched++ < MAX_PREFETCHED)
        dns_prefetch(run->dns, name, type);
}

/*
 * What the terms of a record are going to ask, all at once: in most records most terms do not match,
 * and one after the other they take as long as all their name servers together. The first is asked
 * right away; names with macros are found out when their turn comes.
 */
static void prefetch_terms(struct spf_run *run, const struct spf_record *record)
{
    for (size_t i = 1; i < record->n_directives && record->directives[i].mechanism != SPF_ALL; i++) {
        const struct spf_directive *d = &record->directives[i];

        if (!d->domain.n || str_find(d->domain, '%') != STR_NONE)
            continue;
        if (d->mechanism == SPF_INCLUDE)
            prefetch(run, d->domain, DNS_TXT);
        else if (d->mechanism == SPF_A)
            prefetch(run, d->domain, address_type(run));
        else if (d->mechanism == SPF_MX)
            prefetch(run, d->domain, DNS_MX);
        else if (d->mechanism == SPF_EXISTS)
            prefetch(run, d->domain, DNS_A);
    }
}

void spf_find_names(struct spf_run *run)
{
    AUTO_ARENA a = ARENA_LIMIT(ANSWER_MEMORY);
    AUTO_BUF arpa = BUF_LIMIT(DNS_MAX_NAME);
    struct dns_answer names, addresses;

    if (run->has_names)
        return;
    run->has_names = true;
    ip_put_arpa(&arpa, &run->ip);
    ask(run, &a, buf_str(&arpa), DNS_PTR, &names);
    // RFC 7208 5.5: names past the tenth do not count, nor do those whose lookup fails.
    for (size_t i = 0; i < names.n && i < SPF_MAX_HOSTS; i++) {
        AUTO_ARENA scratch = ARENA_LIMIT(ANSWER_MEMORY);

        ask(run, &scratch, names.records[i].name, address_type(run), &addresses);
        if (has_address(run, &addresses, 32, 128))
            run->names[run->n_names++] = arena_dup(run->a, names.records[i].name);
    }
}

/* --- mechanisms (RFC 7208 5); name is the target --- */

static enum spf_step match_a(struct spf_run *run, const struct spf_directive *d, struct str name)
{
    AUTO_ARENA a = ARENA_LIMIT(ANSWER_MEMORY);
    struct dns_answer answer;
    enum spf_step step;

    ask(run, &a, name, address_type(run), &answer);
    step = judge(run, name, address_type(run), &answer);
    return step == SPF_YES && !has_address(run, &answer, d->bits4, d->bits6) ? SPF_NO : step;
}

static enum spf_step match_mx(struct spf_run *run, const struct spf_directive *d, struct str name)
{
    AUTO_ARENA a = ARENA_LIMIT(ANSWER_MEMORY);
    struct dns_answer hosts, addresses;
    enum spf_step step;
    bool is_void = false;

    ask(run, &a, name, DNS_MX, &hosts);
    step = judge(run, name, DNS_MX, &hosts);
    if (step != SPF_YES)
        return step;
    for (size_t i = 1; i < hosts.n && i < SPF_MAX_HOSTS; i++)
        prefetch(run, hosts.records[i].name, address_type(run));
    for (size_t i = 0; i < hosts.n; i++) {
        AUTO_ARENA scratch = ARENA_LIMIT(ANSWER_MEMORY);
        struct str host = hosts.records[i].name;

        if (str_eq(host, STR("."))) // RFC 7505: no mail here
            continue;
        // RFC 7208 4.6.4: ten may match; with an eleventh to look at the record is at fault.
        if (i >= SPF_MAX_HOSTS)
            return spf_stop(run, AUTH_PERMERROR, "more than %d mail hosts of %.*s", SPF_MAX_HOSTS,
                            STR_FMT(name));
        ask(run, &scratch, host, address_type(run), &addresses);
        // However many of its hosts have no address of this family, it is one term.
        if (!dns_is_none(&addresses) || !is_void) {
            step = judge(run, host, address_type(run), &addresses);
            if (step == SPF_STOP)
                return step;
            is_void |= step == SPF_NO;
        }
        if (has_address(run, &addresses, d->bits4, d->bits6))
            return SPF_YES;
    }
    return SPF_NO;
}

static enum spf_step match_ptr(struct spf_run *run, struct str name)
{
    spf_find_names(run);
    for (size_t i = 0; i < run->n_names; i++)
        if (spf_is_within(run->names[i], name))
            return SPF_YES;
    return SPF_NO;
}

// Always asks for A, also for a client with an IPv6 address (RFC 7208 5.7).
static enum spf_step match_exists(struct spf_run *run, struct str name)
{
    AUTO_ARENA a = ARENA_LIMIT(ANSWER_MEMORY);
    struct dns_answer answer;

    ask(run, &a, name, DNS_A, &answer);
    return judge(run, name, DNS_A, &answer);
}

static enum spf_step check_host(struct spf_run *run, struct str domain, struct verdict *out);

static enum spf_step match_include(struct spf_run *run, struct str name)
{
    struct verdict inner = {0};

    if (check_host(run, name, &inner) == SPF_STOP)
        return SPF_STOP;
    if (inner.status == AUTH_NONE) // RFC 7208 5.2
        return spf_stop(run, AUTH_PERMERROR, "%.*s is included and has no record", STR_FMT(name));
    return inner.status == AUTH_PASS ? SPF_YES : SPF_NO;
}

static enum spf_step match(struct spf_run *run, const struct spf_directive *d, struct str domain)
{
    struct str name = domain;
    enum spf_step step = SPF_YES;

    if (d->mechanism == SPF_ALL)
        return SPF_YES;
    if (d->mechanism == SPF_IP4)
        return ip_in_network(&run->ip, &d->network, d->bits4) ? SPF_YES : SPF_NO;
    if (d->mechanism == SPF_IP6)
        return ip_in_network(&run->ip, &d->network, d->bits6) ? SPF_YES : SPF_NO;
    step = spf_count(run);
    if (step == SPF_YES && d->domain.n)
        step = spf_expand_name(run, d->domain, domain, &name);
    if (step != SPF_YES)
        return step;
    switch (d->mechanism) {
    case SPF_INCLUDE:
        return match_include(run, name);
    case SPF_A:
        return match_a(run, d, name);
    case SPF_MX:
        return match_mx(run, d, name);
    case SPF_PTR:
        return match_ptr(run, name);
    case SPF_EXISTS:
        return match_exists(run, name);
    case SPF_ALL:
    case SPF_IP4:
    case SPF_IP6:
        break;
    }
    return SPF_NO;
}

static enum spf_step redirect(struct spf_run *run, struct str spec, struct str domain,
                              struct verdict *out)
{
    enum spf_step step = spf_count(run);
    struct str name;

    if (step == SPF_YES)
        step = spf_expand_name(run, spec, domain, &name);
    if (step == SPF_NO) // a name that cannot be has no record
        name = STR("");
    if (step == SPF_STOP || check_host(run, name, out) == SPF_STOP)
        return SPF_STOP;
    if (out->status == AUTH_NONE) // RFC 7208 6.1
        return spf_stop(run, AUTH_PERMERROR, "%.*s is redirected to and has no record",
                        STR_FMT(name));
    return SPF_YES;
}

// RFC 7208 4.3: a name with more than one label, and no address.
static bool is_checkable(struct str domain)
{
    struct ip ip;

    return dns_name_is_ok(domain) && str_find(domain, '.') != STR_NONE && domain.n > 1 &&
           domain.p[0] != '[' && !ip_parse(domain, &ip);
}

// RFC 7208 4.5: of all texts, the one that is a record.
static void select_record(struct arena *a, const struct dns_answer *answer, struct spf_lookup *out)
{
    struct err e = {0};
    size_t n = 0;

    for (size_t i = 0; i < answer->n; i++)
        if (spf_is_record(answer->records[i].data)) {
            out->text = answer->records[i].data;
            n++;
        }
    if (!n)
        return;
    out->status = AUTH_PERMERROR;
    if (n > 1)
        out->why = STR("more than one record");
    else if (!spf_record_parse(a, out->text, &out->record, &e))
        out->why = arena_dup(a, str_of(e.text));
    else
        out->status = AUTH_PASS;
}

void spf_lookup(const struct dns *dns, struct arena *a, struct str domain, struct spf_lookup *out)
{
    struct dns_answer answer;

    *out = (struct spf_lookup){.status = AUTH_NONE};
    dns_lookup(dns, a, domain, DNS_TXT, &answer);
    out->is_secure = answer.is_secure;
    if (answer.status == DNS_OK)
        select_record(a, &answer, out);
    else if (!dns_is_none(&answer)) {
        out->status = AUTH_TEMPERROR;
        out->why = answer.why;
    }
}

// check_host, RFC 7208 4, below the counted terms, so not deeper than those allow.
static enum spf_step check_host(struct spf_run *run, struct str domain, struct verdict *out)
{
    struct spf_lookup found;

    *out = (struct verdict){.status = AUTH_NONE};
    if (!is_checkable(domain))
        return SPF_YES;
    spf_lookup(run->dns, run->a, domain, &found);
    run->is_secure &= found.is_secure;
    if (found.status == AUTH_NONE)
        return SPF_YES;
    if (found.status != AUTH_PASS)
        return spf_stop(run, found.status, "record of %.*s: %.*s", STR_FMT(domain),
                        STR_FMT(found.why));
    prefetch_terms(run, &found.record);
    for (size_t i = 0; i < found.record.n_directives; i++) {
        const struct spf_directive *d = &found.record.directives[i];
        enum spf_step step = match(run, d, domain);

        if (step == SPF_NO)
            continue;
        *out = (struct verdict){d->result, d->text, found.record.exp, domain};
        return step;
    }
    if (found.record.redirect.n)
        return redirect(run, found.record.redirect, domain, out);
    *out = (struct verdict){.status = AUTH_NEUTRAL, .mechanism = STR("default")};
    return SPF_YES;
}

static bool is_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return true;
}

// A copy with other bytes than printable ASCII replaced: names in it may have any.
static struct str printable(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);

    for (size_t i = 0; i < s.n; i++)
        copy[i] = s.p[i] < ' ' || s.p[i] > '~' ? '?' : s.p[i];
    return str_at(copy, s.n);
}

// RFC 7208 6.2: whatever is wrong with an explanation, then there is none.
static struct str explain(struct spf_run *run, const struct verdict *v)
{
    AUTO_BUF text = BUF_LIMIT(SPF_MAX_EXPLANATION);
    struct dns_answer answer;
    struct str name;

    run->n_lookups = 0;
    if (!v->exp.n || spf_expand_name(run, v->exp, v->exp_domain, &name) != SPF_YES)
        return STR("");
    dns_lookup(run->dns, run->a, name, DNS_TXT, &answer);
    if (answer.n != 1 || !is_printable(answer.records[0].data) ||
        !spf_macro_string_check(answer.records[0].data, true, NULL) ||
        spf_expand(run, answer.records[0].data, v->exp_domain, &text) != SPF_YES ||
        !is_printable(buf_str(&text)))
        return STR("");
    return arena_dup(run->a, buf_str(&text));
}

static struct str without_dot(struct str name)
{
    return str_ends(name, STR(".")) ? str_sub(name, 0, name.n - 1) : name;
}

// RFC 8616 4: in A-labels. Empty when it is no domain.
static struct str ascii_domain(struct arena *a, struct str domain)
{
    struct str out = without_dot(domain);

    if (!str_is_ascii(out) && !domain_to_ascii(a, out, &out, NULL))
        return STR("");
    return is_checkable(out) ? out : STR("");
}

// The identity that is checked, and its domain.
static struct str identify(struct arena *a, const struct spf_query *q, enum spf_identity *identity)
{
    if (!q->domain.n) // RFC 7208 2.4
        *identity = SPF_HELO;
    return ascii_domain(a, *identity == SPF_HELO ? q->helo : q->domain);
}

void spf_prefetch(const struct dns *dns, const struct spf_query *q, enum spf_identity identity)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str domain = identify(&a, q, &identity);

    if (domain.n)
        dns_prefetch(dns, domain, DNS_TXT);
}

void spf_check(const struct dns *dns, struct arena *a, const struct spf_query *q,
               enum spf_identity identity, struct spf_result *out)
{
    AUTO_ARENA work = ARENA_LIMIT(RUN_MEMORY);
    struct spf_run run = {.dns = dns, .a = &work, .q = q, .ip = ip_unmapped(&q->ip),
                          .is_secure = true};
    struct verdict v = {0};
    struct str domain = identify(&work, q, &identity);

    *out = (struct spf_result){.status = AUTH_NONE, .identity = identity};
    if (!domain.n)
        return;
    run.domain = domain;
    run.local = identity == SPF_MAILFROM && q->local_part.n ? q->local_part : STR("postmaster");
    out->domain = arena_dup(a, domain);
    if (check_host(&run, domain, &v) == SPF_STOP) {
        out->status = run.error;
        out->why = printable(a, run.why);
    } else
        out->status = v.status;
    out->is_secure = run.is_secure && out->status != AUTH_TEMPERROR;
    out->mechanism = printable(a, v.mechanism);
    if (out->status == AUTH_FAIL)
        out->explanation = arena_dup(a, explain(&run, &v));
}
