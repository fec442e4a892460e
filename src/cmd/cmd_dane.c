/*
 * Verbs about DANE, and SMTP by hand.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/own_connect.h"
#include "cmd/own_dns.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "crypto/tlsa.h"
#include "os/clock.h"
#include "os/file.h"
#include "text/idna.h"

enum { MAX_PEM = 1 << 20, TRY_NEXT = 3, SMTP_PORT = 25 };

/* --- makerecord ------------------------------------------------------------------------------------- */

static bool make_record(char **argv, bool has_file, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct dns_record r = {0};
    struct str pem;

    if (!dane_usage_parse(str_of(argv[1]), &r.usage))
        return fail(e, ERR_SYNTAX, "\"%s\" is no usage", argv[1]);
    if (!dane_selector_parse(str_of(argv[2]), &r.selector))
        return fail(e, ERR_SYNTAX, "\"%s\" is no selector", argv[2]);
    if (!dane_matching_parse(str_of(argv[3]), &r.matching))
        return fail(e, ERR_SYNTAX, "\"%s\" is no match type", argv[3]);
    if (has_file ? !os_read_file(&a, argv[4], MAX_PEM, &pem, e)
                 : !os_read_fd(&a, STDIN_FILENO, MAX_PEM, &pem, e))
        return false;
    if (!tlsa_of_pem(&a, pem, (enum tlsa_selector)r.selector, (enum tlsa_matching)r.matching, &r.data, e))
        return false;
    printf("%u %u %u ", r.usage, r.selector, r.matching);
    for (size_t i = 0; i < r.data.n; i++)
        printf("%02x", (unsigned char)r.data.p[i]);
    printf("\n");
    return true;
}

int cmd_dane_makerecord(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 4 && argc != 5)
        return cmd_usage("dane makerecord");
    return make_record(argv, argc == 5, &e) ? 0 : cmd_fail(&e);
}

/* --- what dial and dialmx share ----------------------------------------------------------------------- */

// By which record: the handshake is verified with nothing else.
static void put_proof(struct buf *out, const struct dane_result *dane)
{
    buf_printf(out, "verified with one of %zu TLSA records of %.*s", dane->n, STR_FMT(dane->base));
    buf_put_char(out, 0);
}

static bool shake_hands(struct arena *a, struct stream *s, struct tls_client *tls,
                        const struct dane_result *dane, struct str host, struct err *e)
{
    struct tls_target target = own_tls_target(a, dane, host);

    return stream_connect_tls(s, tls, &target, OWN_COMMAND_MS, e) &&
           (!dane->n || tls_verify_dane(s->tls, e) == TLS_VERIFIED || fail_in(e, "DANE"));
}

static bool find_dane(const struct dns *dns, struct arena *a, const struct dane_server *server,
                      struct dane_result *out, struct err *e)
{
    dane_find(dns, a, server, out);
    switch (out->status) {
    case DANE_USABLE:
        return true;
    case DANE_NONE:
        return fail(e, ERR_NOT_FOUND, "no TLSA records that DNSSEC proves for %.*s port %u",
                    STR_FMT(server->host), server->port);
    case DANE_UNUSABLE:
        return fail(e, ERR_SYNTAX, "none of the %zu TLSA records of %.*s can be used", out->n_unusable,
                    STR_FMT(out->base));
    case DANE_FAILED:
        break;
    }
    return fail(e, ERR_TEMPORARY, "%.*s", STR_FMT(out->why));
}

/* --- dial --------------------------------------------------------------------------------------------- */

// Leaves the records of these usages.
static bool choose_usages(struct arena *a, const char *text, struct dane_result *dane, struct err *e)
{
    struct dns_record *kept = ARENA_ARRAY(a, dane->n, struct dns_record);
    struct str rest = str_of(text), word;
    unsigned wanted = 0;
    size_t n = 0;

    for (bool more = true; more;) {
        uint8_t usage;

        more = str_cut(rest, ',', &word, &rest);
        if (!more)
            word = rest;
        if (!dane_usage_parse(word, &usage))
            return fail(e, ERR_SYNTAX, "\"%.*s\" is no usage", STR_FMT(word));
        wanted |= 1u << usage;
    }
    for (size_t i = 0; i < dane->n; i++)
        if (wanted & 1u << dane->records[i].usage)
            kept[n++] = dane->records[i];
    dane->records = kept;
    dane->n = n;
    return n || fail(e, ERR_NOT_FOUND, "no TLSA record with such a usage");
}

static bool dial(const char *where, const char *usages, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    AUTO_BUF proof = BUF_LIMIT(2000);
    struct dane_server server = {.is_next_hop_secure = true, .has_all_usages = true};
    struct mx_addresses addresses;
    struct dane_result dane;
    struct tls_client *tls;
    struct stream s = {.fd = -1};
    struct ip used;
    unsigned port;
    struct dns dns;

    crypto_warm_tls();
    if (!(tls = tls_client_new(e)) || !own_parse_host(&a, where, 0, &server.host, &port, e) ||
        !own_dns_open(&dns, e) || !own_addresses(&dns, &a, server.host, &addresses, e))
        return false;
    server.expanded_host = addresses.expanded;
    server.is_address_secure = addresses.is_secure;
    server.port = (uint16_t)port;
    if (!find_dane(&dns, &a, &server, &dane, e) || (usages && !choose_usages(&a, usages, &dane, e)) ||
        !own_connect(&addresses, port, &s, &used, e) || !own_confine(e) ||
        !shake_hands(&a, &s, tls, &dane, server.host, e))
        return false;
    put_proof(&proof, &dane);
    own_say_connected(&s, server.host, &used, proof.p);
    return own_copy(&s, e);
}

int cmd_dane_dial(int argc, char **argv)
{
    const char *usages = NULL;
    const struct cmd_flag flags[] = {{"usages", &usages, NULL}};
    int at = cmd_flags(argc, argv, flags, 1);
    struct err e = {0};

    if (at < 0 || argc - at != 1)
        return cmd_usage("dane dial");
    return dial(argv[at], usages, &e) ? 0 : cmd_fail(&e);
}

/* --- dialmx ------------------------------------------------------------------------------------------- */

struct host_attempt {
    struct arena *a;
    struct tls_client *tls;
    struct str host, hello;
    struct mx_addresses addresses;
    struct dane_result dane;
};

// In a process of its own, since nothing can be connected after the sandbox has closed. Exit code.
static int talk(struct host_attempt *t)
{
    AUTO_BUF proof = BUF_LIMIT(2000);
    struct stream s = {.fd = -1};
    struct own_smtp smtp = OWN_SMTP(&s, t->a);
    struct err e = {0};
    struct ip used;

    if (!own_connect(&t->addresses, SMTP_PORT, &s, &used, &e) || !own_confine(&e) ||
        !own_smtp_begin(&smtp, t->hello, &e) || !own_smtp_ask_tls(&smtp, &e) ||
        !shake_hands(t->a, &s, t->tls, &t->dane, t->host, &e) || !own_smtp_hello(&smtp, t->hello, &e)) {
        cmd_say(stderr, "%.*s: %s\n", STR_FMT(t->host), e.text);
        return TRY_NEXT;
    }
    put_proof(&proof, &t->dane);
    own_say_connected(&s, t->host, &used, proof.p);
    return own_copy(&s, &e) ? 0 : cmd_fail(&e);
}

static int try_host(const struct dns *dns, struct host_attempt *t, const struct mx_result *mx,
                    struct str domain)
{
    struct dane_server server = {.next_hop = domain, .expanded_next_hop = mx->expanded,
                                 .is_next_hop_secure = mx->is_secure, .host = t->host,
                                 .port = SMTP_PORT};
    int status = 0;
    struct err e = {0};
    pid_t pid;

    if (!own_addresses(dns, t->a, t->host, &t->addresses, &e)) {
        cmd_say(stderr, "%.*s: %s\n", STR_FMT(t->host), e.text);
        return TRY_NEXT;
    }
    server.expanded_host = t->addresses.expanded;
    server.is_address_secure = t->addresses.is_secure;
    if (!find_dane(dns, t->a, &server, &t->dane, &e)) {
        cmd_say(stderr, "%.*s: %s\n", STR_FMT(t->host), e.text);
        return TRY_NEXT;
    }
    pid = fork();
    if (pid == 0)
        _exit(talk(t));
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int dial_mx(struct arena *a, const char *domain_text, const char *only, const char *hello,
                   struct err *e)
{
    struct host_attempt t = {.a = a, .hello = str_of(hello)};
    struct mx_result mx;
    struct str domain, wanted = STR("");
    struct dns dns;
    uint64_t random;

    crypto_warm_tls();
    if (!(t.tls = tls_client_new(e)) || !domain_to_ascii(a, str_of(domain_text), &domain, e) ||
        (only && !domain_to_ascii(a, str_of(only), &wanted, e)) || !own_dns_open(&dns, e))
        return cmd_fail(e);
    os_random(&random, sizeof random);
    mx_lookup(&dns, a, domain, STR(""), random, &mx);
    if (mx.status != MX_OK) {
        (void)fail(e, ERR_NOT_FOUND, "%.*s", STR_FMT(mx.why.n ? mx.why : STR("the domain takes no mail")));
        return cmd_fail(e);
    }
    fprintf(stderr, "(%zu hosts of %.*s, %s)\n", mx.n, STR_FMT(domain), own_dns_security(mx.is_secure));
    for (size_t i = 0; i < mx.n; i++) {
        int code;

        t.host = mx.hosts[i].name;
        if (only && !str_eq_ci(t.host, wanted))
            continue;
        code = try_host(&dns, &t, &mx, domain);
        if (code != TRY_NEXT)
            return code;
    }
    (void)fail(e, ERR_TEMPORARY, only ? "no session with that host" : "no session with any host");
    return cmd_fail(e);
}

int cmd_dane_dialmx(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(32 << 20);
    const char *hello = "localhost";
    const struct cmd_flag flags[] = {{"ehlohostname", &hello, NULL}};
    int at = cmd_flags(argc, argv, flags, 1);
    struct err e = {0};

    if (at < 0 || (argc - at != 1 && argc - at != 2))
        return cmd_usage("dane dialmx");
    return dial_mx(&a, argv[at], argc - at == 2 ? argv[at + 1] : NULL, hello, &e);
}

/* --- smtp dial ---------------------------------------------------------------------------------------- */

struct smtp_options {
    const char *hello, *name;
    bool needs_tls, has_no_tls, is_verified;
    const char *roots, *suites, *groups, *renegotiation, *least, *most;
    bool has_no_tickets, has_fixed_records; // records of one size are all that OpenSSL writes
};

static bool parse_version(const char *text, enum tls_client_version *out, struct err *e)
{
    static const char *const names[] = {"", "tls1.0", "tls1.1", "tls1.2", "tls1.3"};

    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq_ci(str_of(text), str_of(names[i]))) {
            *out = (enum tls_client_version)i;
            return true;
        }
    return fail(e, ERR_SYNTAX, "\"%s\" is no version of TLS: tls1.0, tls1.1, tls1.2 or tls1.3", text);
}

static bool set_limits(struct tls_client *tls, const struct smtp_options *o, struct err *e)
{
    struct tls_limits limits = {.suites = str_of(o->suites), .groups = str_of(o->groups),
                                .may_renegotiate = !str_eq(str_of(o->renegotiation), STR("never")),
                                .may_have_tickets = !o->has_no_tickets};

    if (!str_eq(str_of(o->renegotiation), STR("never")) && !str_eq(str_of(o->renegotiation), STR("once")) &&
        !str_eq(str_of(o->renegotiation), STR("always")))
        return fail(e, ERR_SYNTAX, "\"%s\" is not never, once or always", o->renegotiation);
    return parse_version(o->least, &limits.least, e) && parse_version(o->most, &limits.most, e) &&
           tls_client_limit(tls, &limits, e) && (!o->roots || tls_client_use_roots(tls, o->roots, e));
}

static bool smtp_dial(const char *where, const struct smtp_options *o, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    const struct dane_result no_dane = {0};
    struct stream s = {.fd = -1};
    struct own_smtp smtp = OWN_SMTP(&s, &a);
    struct mx_addresses addresses;
    struct str host, name;
    struct tls_client *tls;
    struct ip used;
    unsigned port;
    struct dns dns = {0};
    bool has_tls;

    crypto_warm_tls();
    if (!(tls = tls_client_new(e)) || !set_limits(tls, o, e) ||
        !own_parse_host(&a, where, SMTP_PORT, &host, &port, e) ||
        (!ip_parse(host, &used) && !own_dns_open(&dns, e)) || !own_addresses(&dns, &a, host, &addresses, e) ||
        !own_connect(&addresses, port, &s, &used, e) || !own_confine(e) ||
        !own_smtp_begin(&smtp, str_of(o->hello), e))
        return false;
    name = o->name ? str_of(o->name) : host;
    has_tls = !o->has_no_tls && (smtp.offer.starttls || o->needs_tls);
    if (has_tls && (!own_smtp_ask_tls(&smtp, e) || !shake_hands(&a, &s, tls, &no_dane, name, e) ||
                    (o->is_verified && tls_verify_roots(tls, s.tls, name, e) != TLS_VERIFIED) ||
                    !own_smtp_hello(&smtp, str_of(o->hello), e)))
        return false;
    own_say_connected(&s, host, &used, o->is_verified ? "certificate verified" : "certificate not verified");
    return own_copy(&s, e);
}

int cmd_smtp_dial(int argc, char **argv)
{
    struct smtp_options o = {.hello = "localhost", .suites = "", .groups = "", .renegotiation = "never",
                             .least = "", .most = ""};
    const struct cmd_flag flags[] = {{"ehlohostname", &o.hello, NULL},
                                     {"remotehostname", &o.name, NULL},
                                     {"forcetls", NULL, &o.needs_tls},
                                     {"notls", NULL, &o.has_no_tls},
                                     {"tlscerts", &o.roots, NULL},
                                     {"tlsciphersuites", &o.suites, NULL},
                                     {"tlscurves", &o.groups, NULL},
                                     {"tlsnodynamicrecordsizing", NULL, &o.has_fixed_records},
                                     {"tlsnosessiontickets", NULL, &o.has_no_tickets},
                                     {"tlsrenegotiation", &o.renegotiation, NULL},
                                     {"tlsverify", NULL, &o.is_verified},
                                     {"tlsversionmin", &o.least, NULL},
                                     {"tlsversionmax", &o.most, NULL}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct err e = {0};

    if (at < 0 || argc - at != 1 || (o.needs_tls && o.has_no_tls))
        return cmd_usage("smtp dial");
    return smtp_dial(argv[at], &o, &e) ? 0 : cmd_fail(&e);
}
