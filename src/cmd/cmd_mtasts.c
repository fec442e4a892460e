/*
 * mtasts lookup: the record and the policy of a domain.
 */
#include <stdio.h>

#include "cmd/own_connect.h"
#include "cmd/own_dns.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "policy/mtasts.h"
#include "role/fetch/https.h"
#include "role/profiles.h"
#include "text/idna.h"

enum { HTTPS_PORT = 443, FETCH_MS = 60 * 1000 };

static bool confine(struct err *e)
{
    struct sandbox *box = sandbox_compile(role_profile(ROLE_FETCH), e);
    bool is_ok = box && sandbox_enter(box, NULL, 0, e);

    sandbox_free(box);
    return is_ok;
}

// As fetch does it for the queue, but for the process that it is in.
static bool fetch(struct arena *a, const struct dns *dns, struct str domain, struct str *body,
                  struct err *e)
{
    struct str host = arena_printf(a, MTASTS_HOST_PREFIX "%.*s", STR_FMT(domain));
    struct https_request request = {.host = arena_cstring(a, host), .path = MTASTS_PATH,
                                    .max_body = MTASTS_MAX_POLICY, .timeout_ms = FETCH_MS};
    struct stream s = {.fd = -1};
    struct mx_addresses addresses;
    struct https_answer answer;
    struct ip used;

    if (!https_open(e) || !own_addresses(dns, a, host, &addresses, e) ||
        !own_connect(&addresses, HTTPS_PORT, &s, &used, e) || !confine(e))
        return false;
    request.fd = s.fd;
    https_ask(a, &request, &answer, e);
    if (answer.status != HTTPS_ANSWER)
        return false;
    *body = answer.body;
    return answer.code == 200 || fail(e, ERR_NOT_FOUND, "HTTP status %ld", answer.code);
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

    crypto_warm();
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
