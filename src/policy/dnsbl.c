#include "policy/dnsbl.h"

#include "base/die.h"

const char *dnsbl_status_name(enum dnsbl_status status)
{
    static const char *const names[] = {"pass", "fail", "temperror"};

    if (status >= COUNT(names))
        die("dnsbl_status_name: no such status");
    return names[status];
}

// RFC 5782 2.1 and 2.4: the address in reverse order in front of the zone.
static void put_name(struct buf *out, struct str zone, const struct ip *ip)
{
    ip_put_reversed(out, ip);
    BUF_PUT(out, ".");
    buf_put(out, zone);
}

static const char *refusal(const struct ip *code)
{
    static const struct ip errors = {4, {127, 255, 255, 0}};

    if (!ip_is_loopback(code))
        return "which no list answers: its domain may have another owner (RFC 5782 2.1)";
    if (!ip_in_network(code, &errors, 24))
        return NULL;
    switch (code->bytes[3]) {
    case 252:
        return "the zone is misspelt";
    case 254:
        return "asked through a public resolver";
    case 255:
        return "asked too often";
    default:
        return "an error of the list";
    }
}

static void take_codes(struct arena *a, struct str zone, const struct dns_answer *answer, struct dnsbl_result *out)
{
    out->status = DNSBL_LISTED;
    for (size_t i = 0; i < answer->n; i++) {
        AUTO_BUF text = BUF_LIMIT(100);
        const char *problem;
        struct ip code;

        if (!ip_of_bytes(answer->records[i].data, &code))
            continue;
        if (out->n_codes < DNSBL_MAX_CODES)
            out->codes[out->n_codes++] = code;
        problem = refusal(&code);
        if (!problem || out->is_refused)
            continue;
        ip_put(&text, &code);
        out->status = DNSBL_ERROR;
        out->is_refused = true;
        out->why = arena_printf(a, "%.*s answers %.*s, %s", STR_FMT(zone), STR_FMT(buf_str(&text)),
                                problem);
    }
    if (out->is_refused)
        out->n_codes = 0;
}

// TXT records, joined; what has no place in a reply becomes a question mark.
static struct str join(struct arena *a, const struct dns_answer *texts)
{
    AUTO_BUF out = BUF_LIMIT(DNSBL_MAX_EXPLANATION);

    for (size_t i = 0; i < texts->n; i++) {
        struct str text = texts->records[i].data;

        if (i)
            BUF_PUT(&out, "; ");
        for (size_t k = 0; k < text.n && !out.full; k++)
            buf_put_char(&out, text.p[k] < ' ' || text.p[k] > '~' ? '?' : text.p[k]);
    }
    return arena_dup(a, buf_str(&out));
}

static void ask(const struct dns *dns, struct arena *a, struct str zone, const struct ip *ip,
                struct dnsbl_result *out)
{
    AUTO_BUF name = BUF_LIMIT(2 * DNS_MAX_NAME);
    struct dns_answer codes, texts;

    put_name(&name, zone, ip);
    dns_lookup(dns, a, buf_str(&name), DNS_A, &codes);
    *out = (struct dnsbl_result){.status = DNSBL_NOT_LISTED, .is_secure = codes.is_secure};
    if (dns_is_none(&codes))
        return;
    if (codes.status != DNS_OK) {
        out->status = DNSBL_ERROR;
        out->why = arena_printf(a, "asking %.*s: %.*s", STR_FMT(zone), STR_FMT(codes.why));
        return;
    }
    take_codes(a, zone, &codes, out);
    if (out->status != DNSBL_LISTED)
        return;
    // For whoever reads it: a listing needs no reason.
    dns_lookup(dns, a, buf_str(&name), DNS_TXT, &texts);
    out->explanation = join(a, &texts);
}

void dnsbl_check(const struct dns *dns, struct arena *a, struct str zone, const struct ip *ip,
                 struct dnsbl_result *out)
{
    struct ip client = ip_unmapped(ip);

    ask(dns, a, zone, &client, out);
}

void dnsbl_prefetch(const struct dns *dns, struct str zone, const struct ip *ip)
{
    AUTO_BUF name = BUF_LIMIT(2 * DNS_MAX_NAME);
    struct ip client = ip_unmapped(ip);

    put_name(&name, zone, &client);
    dns_prefetch(dns, buf_str(&name), DNS_A);
}

enum dnsbl_health dnsbl_check_health(const struct dns *dns, struct arena *a, struct str zone,
                                     uint8_t family, struct str *why)
{
    static const struct {
        const char *ip[2]; // IPv4, IPv6
        enum dnsbl_status want;
        const char *sentence;
    } tests[] = {
        {{"127.0.0.1", "::ffff:7f00:1"}, DNSBL_NOT_LISTED, "is listed and must not be"},
        {{"127.0.0.2", "::ffff:7f00:2"}, DNSBL_LISTED, "is not listed and must be"},
    };

    for (size_t i = 0; i < COUNT(tests); i++) {
        const char *text = tests[i].ip[family == 6];
        struct dnsbl_result r;
        struct ip ip;

        if (!ip_parse(str_of(text), &ip))
            die("dnsbl_check_health: no address");
        ask(dns, a, zone, &ip, &r);
        *why = r.why;
        if (r.status == DNSBL_ERROR)
            return r.is_refused ? DNSBL_UNHEALTHY : DNSBL_HEALTH_UNKNOWN;
        if (r.status != tests[i].want) {
            *why = arena_printf(a, "the test address %s %s", text, tests[i].sentence);
            return DNSBL_UNHEALTHY;
        }
    }
    return DNSBL_HEALTHY;
}
