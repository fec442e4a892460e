/*
 * mtasts lookup: the record and the policy of a domain.
 */
#include <stdio.h>

#include "cmd/own_dns.h"
#include "cmd/own_https.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "policy/mtasts.h"
#include "text/idna.h"

static bool fetch(struct arena *a, const struct dns *dns, struct str domain, struct str *body,
                  struct err *e)
{
    struct url url;

    return url_parse(arena_printf(a, "https://" MTASTS_HOST_PREFIX "%.*s" MTASTS_PATH, STR_FMT(domain)), &url,
                     e) &&
           own_https_get(a, dns, &url, &(struct own_https){.max_body = MTASTS_MAX_POLICY}, body, e);
}

static bool lookup(const char *text, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF out = BUF_LIMIT(4 * MTASTS_MAX_POLICY);
    struct mtasts_record record;
    struct mtasts_policy policy;
    struct str domain, txt, body;
    struct dns dns;
    bool is_secure;

    crypto_warm_tls();
    if (!domain_to_ascii(&a, str_of(text), &domain, e) || !own_dns_open(&dns, e) ||
        !mtasts_find(&dns, &a, domain, &record, &txt, &is_secure, e))
        return false;
    own_dns_put_text(&out, txt);
    printf("DNS TXT record _mta-sts.%.*s (%s): %.*s\n", STR_FMT(domain), own_dns_security(is_secure),
           STR_FMT(buf_str(&out)));
    fflush(stdout);
    if (!fetch(&a, &dns, domain, &body, e) || !mtasts_policy_parse(&a, body, &policy, e))
        return fail_in(e, "policy of %.*s", STR_FMT(domain));
    buf_reset(&out);
    mtasts_policy_put(&out, &policy);
    printf("\npolicy at https://" MTASTS_HOST_PREFIX "%.*s" MTASTS_PATH ":\n", STR_FMT(domain));
    for (size_t i = 0; i < out.n; i++)
        if (out.p[i] != '\r')
            putchar(out.p[i]);
    return true;
}

int cmd_mtasts_lookup(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("mtasts lookup");
    return lookup(argv[1], &e) ? 0 : cmd_fail(&e);
}
