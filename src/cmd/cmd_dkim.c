/*
 * Verbs about DKIM: keys and their records, signatures of messages in files.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/own_dns.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/file.h"
#include "policy/dkim.h"
#include "policy/psl.h"
#include "text/encode.h"
#include "text/idna.h"

enum { MAX_MESSAGE = 256 << 20, MAX_KEY = 256 * 1024, RSA_BITS = 2048 };

/* --- keys ------------------------------------------------------------------------------------- */

static int print_key(bool is_ok, struct str key, const struct err *e)
{
    if (!is_ok)
        return cmd_fail(e);
    fwrite(key.p, 1, key.n, stdout);
    return 0;
}

int cmd_dkim_gened25519(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str key = {0};
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("dkim gened25519");
    return print_key(key_ed25519(&a, &key, &e), key, &e);
}

int cmd_dkim_genrsa(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str key = {0};
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("dkim genrsa");
    return print_key(key_rsa(&a, RSA_BITS, &key, &e), key, &e);
}

static bool print_record(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF text = BUF_LIMIT(MAX_KEY), record = BUF_LIMIT(MAX_KEY);
    struct dkim_record r = {.is_strict = true};
    enum dkim_algorithm algorithm;
    struct private_key *key;
    bool is_ok;

    if (!cmd_read_stdin(&text, "the key", e))
        return false;
    key = dkim_private_key(buf_str(&text), &algorithm, e);
    if (!key)
        return false;
    r.kind = algorithm == DKIM_RSA_SHA256 ? DKIM_KEY_RSA : DKIM_KEY_ED25519;
    is_ok = private_key_public(&a, key, &r.public_key, e);
    private_key_free(key);
    if (!is_ok)
        return false;
    dkim_record_put(&record, &r);
    printf("<selector>._domainkey.<your.domain.> TXT %.*s\n", STR_FMT(buf_str(&record)));
    return true;
}

int cmd_dkim_txt(int argc, char **argv)
{
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("dkim txt");
    return print_record(&e) ? 0 : cmd_fail(&e);
}

static bool look_up(struct str selector, struct str domain, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct dkim_lookup found;
    struct dns dns;

    if (!domain_to_ascii(&a, domain, &domain, e) || !own_dns_open(&dns, e))
        return false;
    dkim_lookup(&dns, &a, arena_lower(&a, selector), domain, &found);
    if (found.status != AUTH_PASS)
        return fail(e, found.status == AUTH_TEMPERROR ? ERR_TEMPORARY : ERR_NOT_FOUND, "%s: %.*s",
                    auth_result_name(found.status), STR_FMT(found.why));
    own_dns_put_text(&out, found.record.text);
    buf_printf(&out, "\n(%s)\n", own_dns_security(found.is_secure));
    fwrite(out.p, 1, out.n, stdout);
    return true;
}

int cmd_dkim_lookup(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 3)
        return cmd_usage("dkim lookup");
    return look_up(str_of(argv[1]), str_of(argv[2]), &e) ? 0 : cmd_fail(&e);
}

/* --- messages --------------------------------------------------------------------------------- */

struct message {
    struct str text; // with CR LF
    struct str header, body;
    struct dkim_header *fields;
};

// A file has the line ends of this system, or those of mail.
static bool read_message(struct arena *a, const char *path, struct message *out, struct err *e)
{
    AUTO_BUF crlf = BUF_LIMIT(2u * MAX_MESSAGE);
    char last = 0;
    struct str raw;
    ptrdiff_t end;

    if (!os_read_file(a, path, MAX_MESSAGE, &raw, e))
        return false;
    crlf_put(&crlf, raw, &last);
    out->text = arena_dup(a, buf_str(&crlf));
    end = str_starts(out->text, STR("\r\n")) ? -2 : str_find_str(out->text, STR("\r\n\r\n"));
    out->header = end == STR_NONE ? out->text : str_sub(out->text, 0, (size_t)(end + 2));
    out->body = end == STR_NONE ? STR("") : str_from(out->text, (size_t)(end + 4));
    if (end == -2)
        out->body = str_from(out->text, 2);
    out->fields = dkim_header_parse(a, out->header, e);
    return out->fields != NULL;
}

// The value on one line, safe for a terminal.
static void put_line(struct arena *a, struct buf *out, struct str value)
{
    own_dns_put_text(out, header_unfold(a, value));
}

static void show_result(struct arena *a, const struct dkim_result *r)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);

    buf_printf(&out, "status \"%s\", err ", auth_result_name(r->status));
    put_line(a, &out, r->why.n ? r->why : STR("<nil>"));
    BUF_PUT(&out, "\nrecord \"");
    if (r->has_record)
        put_line(a, &out, r->record.text);
    BUF_PUT(&out, "\"\nheader DKIM-Signature: ");
    put_line(a, &out, r->field);
    BUF_PUT(&out, "\n");
    fwrite(out.p, 1, out.n, stdout);
}

static bool verify(const char *path, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 30);
    struct dkim_policy policy = {.now_unix = os_now_unix(), .is_public_suffix = psl_is_suffix};
    struct dkim_verification v;
    struct dkim_bodies *bodies;
    struct message m;
    struct dns dns;

    psl_warm();
    if (!read_message(&a, path, &m, e) || !own_dns_open(&dns, e))
        return false;
    bodies = dkim_bodies_new();
    dkim_verify_begin(&a, m.fields, &policy, &dns, bodies, &v);
    dkim_bodies_feed(bodies, m.body);
    dkim_bodies_end(bodies);
    dkim_verify_end(&v);
    dkim_bodies_free(bodies);
    for (size_t i = 0; i < v.n; i++)
        show_result(&a, &v.results[i]);
    if (v.n_more)
        printf("%zu more signatures are not looked at\n", v.n_more);
    if (!v.n)
        puts("no signatures");
    return true;
}

int cmd_dkim_verify(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("dkim verify");
    return verify(argv[1], &e) ? 0 : cmd_fail(&e);
}

static bool sign_with_key(void *ctx, struct str digest, struct buf *signature, struct err *e)
{
    return private_key_sign_sha256(ctx, digest, signature, e);
}

// The From address, of which there is to be one.
static bool from_address(struct arena *a, struct str header, struct address *out, struct err *e)
{
    struct header_field from;
    struct address_list list;

    if (header_count(header, STR("From")) != 1 || !header_find(header, STR("From"), &from))
        return fail(e, ERR_SYNTAX, "the message does not have one From field");
    address_parse_list(a, from.value, &list);
    if (list.n != 1 || !list.items[0].domain.n)
        return fail(e, ERR_SYNTAX, "From does not have one address");
    *out = list.items[0];
    return true;
}

static bool load_keys(struct arena *a, const struct config_selectors *from,
                      struct dkim_selector *out, struct err *e)
{
    for (size_t i = 0; i < from->n; i++) {
        struct str path = from->items[i].key_file, pem;
        enum dkim_algorithm algorithm;
        struct private_key *key;

        if (!paths_read_named(a, path, MAX_KEY, &pem, e))
            return false;
        key = dkim_private_key(pem, &algorithm, e);
        if (!key)
            return fail_in(e, "%.*s", STR_FMT(path));
        out[i] = from->items[i].selector;
        out[i].signer = (struct dkim_signer){algorithm, key, sign_with_key};
    }
    return true;
}

static void free_keys(struct dkim_selector *selectors, size_t n)
{
    for (size_t i = 0; i < n; i++)
        private_key_free(selectors[i].signer.ctx);
}

static bool sign(const char *path, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 30);
    AUTO_BUF problems = BUF_LIMIT(4 << 20), out = BUF_LIMIT(1 << 20);
    struct config_selectors configured;
    struct dkim_selector *selectors;
    struct dkim_bodies *bodies;
    struct config config;
    struct address from;
    struct message m;
    bool is_ok;

    if (!read_message(&a, path, &m, e) || !from_address(&a, m.header, &from, e))
        return false;
    if (!paths_load(&a, &config, &problems, e)) {
        if (problems.n)
            fwrite(problems.p, 1, problems.n, stderr);
        return false;
    }
    if (!config_dkim(&config, &a, from.domain, &configured, e))
        return false;
    if (!configured.n)
        return fail(e, ERR_NOT_FOUND, "no selectors to sign with for %.*s", STR_FMT(from.domain));
    selectors = ARENA_ARRAY(&a, configured.n, struct dkim_selector);
    bodies = dkim_bodies_new();
    is_ok = load_keys(&a, &configured, selectors, e);
    if (is_ok) {
        dkim_sign_begin(selectors, configured.n, bodies);
        dkim_bodies_feed(bodies, m.body);
        dkim_bodies_end(bodies);
        is_ok = dkim_sign_end(m.fields, selectors, configured.n, from.localpart, os_now_unix(),
                              bodies, &out, e);
    }
    dkim_bodies_free(bodies);
    free_keys(selectors, configured.n);
    if (!is_ok)
        return false;
    fwrite(out.p, 1, out.n, stdout);
    fwrite(m.text.p, 1, m.text.n, stdout);
    return true;
}

int cmd_dkim_sign(int argc, char **argv)
{
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("dkim sign");
    return sign(argv[1], &e) ? 0 : cmd_fail(&e);
}
