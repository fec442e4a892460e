/*
 * Verbs about lists of addresses in the DNS.
 */
#include <stdio.h>

#include "cmd/own_dns.h"
#include "cmd/verbs.h"
#include "policy/dnsbl.h"

static bool open_zone(const char *zone, struct dns *out, struct err *e)
{
    if (!dns_name_is_ok(str_of(zone)))
        return fail(e, ERR_SYNTAX, "\"%s\" is no zone", zone);
    return own_dns_open(out, e);
}

static bool check(const char *zone, const char *text, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct dnsbl_result r;
    struct dns dns;
    struct ip ip;

    if (!ip_parse(str_of(text), &ip))
        return fail(e, ERR_SYNTAX, "\"%s\" is no IP address", text);
    if (!open_zone(zone, &dns, e))
        return false;
    dnsbl_check(&dns, &a, str_of(zone), &ip, &r);
    printf("status: %s\n", dnsbl_status_name(r.status));
    if (r.status == DNSBL_LISTED)
        printf("explanation: \"%.*s\"\n", STR_FMT(r.explanation));
    if (r.why.n)
        printf("error: %.*s\n", STR_FMT(r.why));
    return true;
}

int cmd_dnsbl_check(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 3)
        return cmd_usage("dnsbl check");
    return check(argv[1], argv[2], &e) ? 0 : cmd_fail(&e);
}

// Most lists are of IPv4 addresses, so that those of IPv6 are told apart but decide nothing.
static bool check_health(const char *zone, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    enum dnsbl_health health;
    struct str why;
    struct dns dns;

    if (!open_zone(zone, &dns, e))
        return false;
    health = dnsbl_check_health(&dns, &a, str_of(zone), 4, &why);
    if (health != DNSBL_HEALTHY)
        return fail(e, health == DNSBL_UNHEALTHY ? ERR_CONFLICT : ERR_TEMPORARY, "%s: %.*s",
                    health == DNSBL_UNHEALTHY ? "unhealthy" : "unknown", STR_FMT(why));
    printf("healthy\n");
    if (dnsbl_check_health(&dns, &a, str_of(zone), 6, &why) == DNSBL_HEALTHY)
        printf("healthy for IPv6\n");
    else
        printf("not for IPv6: %.*s\n", STR_FMT(why));
    return true;
}

int cmd_dnsbl_checkhealth(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("dnsbl checkhealth");
    return check_health(argv[1], &e) ? 0 : cmd_fail(&e);
}
