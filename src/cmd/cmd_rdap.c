/*
 * rdap domainage, and what quickstart asks.
 */
#include <stdio.h>

#include "cmd/own_dns.h"
#include "cmd/rdap.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "policy/psl.h"
#include "policy/rdap.h"
#include "text/idna.h"

enum { ALL_MS = 60 * 1000 };

bool domain_registered(const struct prober *p, struct str domain, int64_t *unix_seconds, struct err *e)
{
    struct str list, url, answer;

    if (!probe_get(p, STR(RDAP_BOOTSTRAP_URL), STR(""), RDAP_MAX_BOOTSTRAP, &list, e) ||
        !rdap_url(p->a, list, psl_organizational(domain), &url, e))
        return fail_in(e, "list of registries");
    return (probe_get(p, url, STR("Accept: application/rdap+json"), RDAP_MAX_ANSWER, &answer, e) &&
            rdap_registered(answer, unix_seconds, e)) ||
           fail_in(e, "%.*s", STR_FMT(url));
}

static bool run(const char *text, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF age = BUF_LIMIT(100);
    struct dns dns;
    struct prober prober = {.a = &a, .dns = &dns};
    struct str domain;
    int64_t registered;

    crypto_warm();
    psl_warm();
    if (!domain_to_ascii(&a, str_of(text), &domain, e) || !own_dns_open(&dns, e))
        return false;
    prober.end_ms = os_monotonic_ms() + ALL_MS;
    if (!domain_registered(&prober, domain, &registered, e))
        return false;
    rdap_put_age(&age, os_now_unix() - registered);
    printf("%.*s\n", STR_FMT(buf_str(&age)));
    return true;
}

int cmd_rdap_domainage(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("rdap domainage");
    return run(argv[1], &e) ? 0 : cmd_fail(&e);
}
