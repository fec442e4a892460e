/*
 * Verbs about SPF.
 */
#include <stdio.h>
#include <time.h>

#include "cmd/own_dns.h"
#include "cmd/verbs.h"
#include "policy/spf/spf.h"
#include "text/idna.h"

// A domain of the command line, in A-labels.
static bool ascii_domain(struct arena *a, struct str text, struct str *out, struct err *e)
{
    *out = text;
    if (!str_is_ascii(text))
        return domain_to_ascii(a, text, out, e);
    return dns_name_is_ok(text) || fail(e, ERR_SYNTAX, "\"%.*s\" is no domain", STR_FMT(text));
}

static bool check(const char *domain, const char *ip, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct spf_query q = {.local_part = STR("user"), .receiver = STR("localhost"),
                          .now_unix = (uint64_t)time(NULL)};
    struct spf_result r;
    struct dns dns;

    if (!ip_parse(str_of(ip), &q.ip))
        return fail(e, ERR_SYNTAX, "\"%s\" is no IP address", ip);
    if (!ascii_domain(&a, str_of(domain), &q.domain, e) || !own_dns_open(&dns, e))
        return false;
    q.helo = q.domain;
    spf_check(&dns, &a, &q, SPF_MAILFROM, &r);
    if (r.why.n)
        cmd_say(stdout, "error: %.*s\n", STR_FMT(r.why));
    if (r.explanation.n)
        cmd_say(stdout, "explanation: %.*s\n", STR_FMT(r.explanation));
    printf("status: %s (%s)\n", auth_result_name(r.status), own_dns_security(r.is_secure));
    if (r.mechanism.n)
        cmd_say(stdout, "mechanism: %.*s\n", STR_FMT(r.mechanism));
    return true;
}

int cmd_spf_check(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 3)
        return cmd_usage("spf check");
    return check(argv[1], argv[2], &e) ? 0 : cmd_fail(&e);
}

static bool look_up(struct str text, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct spf_lookup found;
    struct str domain;
    struct dns dns;

    if (!ascii_domain(&a, text, &domain, e) || !own_dns_open(&dns, e))
        return false;
    spf_lookup(&dns, &a, domain, &found);
    if (found.status == AUTH_NONE)
        return fail(e, ERR_NOT_FOUND, "%.*s has no SPF record (%s)", STR_FMT(text),
                    own_dns_security(found.is_secure));
    if (found.status != AUTH_PASS)
        return fail(e, found.status == AUTH_TEMPERROR ? ERR_TEMPORARY : ERR_SYNTAX, "%s: %.*s",
                    auth_result_name(found.status), STR_FMT(found.why));
    own_dns_put_text(&out, found.text);
    buf_printf(&out, "\n(%s)\n", own_dns_security(found.is_secure));
    fwrite(out.p, 1, out.n, stdout);
    return true;
}

int cmd_spf_lookup(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("spf lookup");
    return look_up(str_of(argv[1]), &e) ? 0 : cmd_fail(&e);
}

int cmd_spf_parse(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct spf_record record;
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("spf parse");
    return spf_record_parse(&a, str_of(argv[1]), &record, &e) ? 0 : cmd_fail(&e);
}
