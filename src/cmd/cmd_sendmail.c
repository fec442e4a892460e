/*
 * sendmail: programs of this computer hand a message over, which goes to a submission server with the
 * account of /etc/moxsubmit.conf (mox-imap-store-cli-config.md 3.8).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/submission.h"
#include "cmd/verbs.h"
#include "config/schema.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "text/encode.h"

enum { MAX_MESSAGE = 64 << 20, MAX_CONFIG = 1 << 20, CERT_DAYS = 1, MAX_RECIPIENTS = 1000 };

static const char config_path[] = "/etc/moxsubmit.conf";

/* --- moxsubmit.conf ------------------------------------------------------------------------------ */

struct settings {
    struct submission s;
    struct str default_destination;
    bool forgoes_tls; // RequireTLS: no
};

static void check_settings(struct arena *a, const struct sconf *file, struct settings *out,
                           struct problems *problems)
{
    const struct sconf_node *root = file->root, *method = sconf_get(root, "AuthMethod");
    const struct sconf_node *require = sconf_get(root, "RequireTLS"), *from = sconf_get(root, "From");
    const struct sconf_node *port = sconf_get(root, "Port");
    struct address address;

    out->s.port = (unsigned)sconf_u64(root, "Port", 0) & 0xffff;
    if (!out->s.port || sconf_u64(root, "Port", 0) > 65535)
        problem_add(problems, file, port, "no number of a port");
    if (out->s.has_tls && out->s.has_starttls)
        problem_add(problems, file, sconf_get(root, "STARTTLS"), "TLS and STARTTLS exclude each other");
    if (from && !address_parse_spec(a, from->value, &address))
        problem_add(problems, file, from, "no email address");
    if (method && method->value.n) {
        out->s.has_mechanism = true;
        out->s.mechanism = sasl_mechanism_of(method->value);
        if (out->s.mechanism == SASL_MECHANISMS)
            problem_add(problems, file, method, "unknown mechanism");
    }
    if (require && require->value.n && !str_eq(require->value, STR("yes")) &&
        !str_eq(require->value, STR("no")))
        problem_add(problems, file, require, "is yes or no");
    out->s.requires_tls = require && str_eq(require->value, STR("yes"));
    out->forgoes_tls = require && str_eq(require->value, STR("no"));
    if (!!sconf_text(root, "Password").n + !!sconf_text(root, "ClientAuthEd25519PrivateKey").n +
            !!sconf_text(root, "ClientAuthCertPrivateKeyPEMFile").n != 1)
        problem_add(problems, file, root, "one of Password, ClientAuthEd25519PrivateKey and "
                    "ClientAuthCertPrivateKeyPEMFile must be set");
}

static bool read_client_key(struct arena *a, const struct sconf_node *root, struct submission *s,
                            struct err *e)
{
    struct str path = sconf_text(root, "ClientAuthCertPrivateKeyPEMFile");
    struct str seed = sconf_text(root, "ClientAuthEd25519PrivateKey");
    AUTO_BUF raw = BUF_LIMIT(256);
    bool is_ok = true;

    if (path.n) {
        is_ok = os_read_file(a, arena_cstring(a, path), MAX_CONFIG, &s->client_cert, e);
        s->client_key = s->client_cert;
    } else if (seed.n) {
        is_ok = base64url_decode(&raw, seed) ? cert_for_client_seed(a, buf_str(&raw), s->username, CERT_DAYS,
                                                                    &s->client_cert, &s->client_key, e)
                                             : fail(e, ERR_SYNTAX, "ClientAuthEd25519PrivateKey is no base64url");
        explicit_bzero(raw.p, raw.n);
    }
    return is_ok;
}

static bool read_settings(struct arena *a, struct settings *out, struct err *e)
{
    // Another file for tests; not when the program is installed so that it may read what its user may not.
    const char *path = secure_getenv("MOX_SUBMIT_CONF");
    AUTO_BUF lines = BUF_LIMIT(1 << 16);
    struct problems problems = {&lines, 0};
    struct sconf file;
    struct str text;

    if (!path || !path[0])
        path = config_path;
    if (!os_read_file(a, path, MAX_CONFIG, &text, e))
        return false;
    sconf_parse(a, str_of(path), text, &file, &problems);
    if (!problems.n)
        schema_check(&schema_submit, &file, &problems);
    if (!problems.n) {
        const struct sconf_node *root = file.root;

        *out = (struct settings){
            .s = {.local_hostname = sconf_text(root, "LocalHostname"),
                  .host = sconf_text(root, "Host"),
                  .has_tls = sconf_bool(root, "TLS"),
                  .has_starttls = sconf_bool(root, "STARTTLS"),
                  .is_unverified = sconf_bool(root, "TLSInsecureSkipVerify"),
                  .username = sconf_text(root, "Username"),
                  .password = sconf_text(root, "Password"),
                  .from = sconf_text(root, "From")},
            .default_destination = sconf_text(root, "DefaultDestination")};
        check_settings(a, &file, out, &problems);
    }
    if (problems.n)
        return fail(e, ERR_SYNTAX, "%.*s", STR_FMT(str_trim(buf_str(&lines))));
    return read_client_key(a, file.root, &out->s, e);
}

/* --- arguments ----------------------------------------------------------------------------------- */

struct arguments {
    bool has_t;
    char **recipients;
    size_t n_recipients;
};

// Those of the sendmail that others know. What they ask for is the configuration's to say, so most mean
// nothing here; but which of them have a value must be known, and "-ti" is two. True: the next word is its value.
static bool read_flags(const char *s, struct arguments *out)
{
    static const char alone[] = "cGimnstUv", with_value[] = "BCDdFfhLNOpRrVX";

    for (; *s && strchr(alone, *s); s++)
        out->has_t |= *s == 't';
    if (*s == 'F')
        LOG(LOG_INFO, "sendmail", "-F is ignored: From in the configuration is the sender");
    return *s && !s[1] && strchr(with_value, *s);
}

// The recipients are moved to the front of argv.
static void read_arguments(int argc, char **argv, struct arguments *out)
{
    bool has_ended = false;

    *out = (struct arguments){.recipients = argv};
    for (int i = 1; i < argc; i++) {
        if (has_ended || argv[i][0] != '-' || !argv[i][1])
            argv[out->n_recipients++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            has_ended = true;
        else
            i += read_flags(argv[i] + 1, out);
    }
}

/* --- the message --------------------------------------------------------------------------------- */

static bool is_field(struct str line)
{
    ptrdiff_t colon = str_find(line, ':');

    for (ptrdiff_t i = 0; i < colon; i++)
        if (line.p[i] <= ' ' || line.p[i] == 127)
            return false;
    return colon > 0;
}

/*
 * Where the fields end and the body begins. A line that is neither a field nor continues one begins
 * the body, as with other sendmails; an mbox's "From " line before all is dropped.
 */
static void split(struct str text, struct str *header, struct str *body)
{
    size_t at = 0;
    bool is_first = true;

    if (str_starts(text, STR("From "))) {
        ptrdiff_t end = str_find(text, '\n');

        text = str_from(text, end == STR_NONE ? text.n : (size_t)end + 1);
    }
    *header = text;
    *body = STR("");
    while (at < text.n) {
        struct str rest = str_from(text, at);
        ptrdiff_t end = str_find(rest, '\n');
        struct str line = str_sub(rest, 0, end == STR_NONE ? rest.n : (size_t)end + 1);
        bool continues = !is_first && (line.p[0] == ' ' || line.p[0] == '\t');

        if (str_eq(line, STR("\r\n")) || (!continues && !is_field(line))) {
            *header = str_sub(text, 0, at);
            *body = str_from(text, at + (str_eq(line, STR("\r\n")) ? 2 : 0));
            return;
        }
        is_first = false;
        at += line.n;
    }
}

struct recipients {
    struct str *items;
    size_t n, cap;
};

static bool add_recipient(struct arena *a, const struct settings *s, const struct address *address,
                          struct recipients *out, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(4096);
    struct str one = s->default_destination;

    if (address->domain.n) {
        address_put_localpart(&text, address->localpart);
        BUF_PUT(&text, "@");
        buf_put(&text, address->domain);
        one = arena_dup(a, buf_str(&text));
    } else if (!one.n) {
        return fail(e, ERR_SYNTAX, "a recipient has no domain, and DefaultDestination is not set: %.*s",
                    STR_FMT(address->localpart.n ? address->localpart : address->name));
    }
    for (size_t i = 0; i < out->n; i++)
        if (str_eq(out->items[i], one))
            return true;
    if (out->n == MAX_RECIPIENTS)
        return fail(e, ERR_LIMIT, "more than %d recipients", MAX_RECIPIENTS);
    *ARENA_PUSH(a, out->items, &out->n, &out->cap) = one;
    return true;
}

static bool is_for_people(struct str name)
{
    return str_eq_ci(name, STR("To")) || str_eq_ci(name, STR("Cc")) || str_eq_ci(name, STR("Bcc"));
}

// -t
static bool take_recipients(struct arena *a, const struct settings *s, struct str header, struct recipients *out,
                            struct err *e)
{
    struct cur c = cur_of(header);
    struct header_field field;

    while (header_next(&c, &field)) {
        struct address_list list;

        if (!is_for_people(field.name))
            continue;
        address_parse_list(a, field.value, &list);
        // Better none gets it, who sends it hearing of that, than all but one whom nobody misses.
        if (list.is_guessed)
            return fail(e, ERR_SYNTAX, "%.*s is no list of addresses", STR_FMT(field.name));
        for (size_t i = 0; i < list.n; i++)
            if (!add_recipient(a, s, &list.items[i], out, e))
                return false;
    }
    return out->n || fail(e, ERR_SYNTAX, "with -t, To, Cc or Bcc name somebody");
}

static bool find_recipients(struct arena *a, const struct settings *s, const struct arguments *args,
                            struct str header, struct recipients *out, struct err *e)
{
    if (args->has_t && args->n_recipients)
        return fail(e, ERR_SYNTAX, "with -t there are no recipients as arguments");
    if (args->has_t)
        return take_recipients(a, s, header, out, e);
    for (size_t i = 0; i < args->n_recipients; i++) {
        struct str text = str_of(args->recipients[i]);
        struct address address = {.localpart = text};

        if (str_find(text, '@') != STR_NONE && !address_parse_spec(a, text, &address))
            return fail(e, ERR_SYNTAX, "the recipient is no email address: %.*s", STR_FMT(text));
        if (!add_recipient(a, s, &address, out, e))
            return false;
    }
    return true;
}

// Without -t, only one who is alone may be named to all.
static bool put_to(const struct arguments *args, const struct recipients *r, struct str header, struct buf *out,
                   struct err *e)
{
    AUTO_BUF to = BUF_LIMIT(4096);

    if (args->has_t || r->n != 1 || header_count(header, STR("To")))
        return true;
    BUF_PUT(&to, "<");
    buf_put(&to, r->items[0]);
    BUF_PUT(&to, ">");
    return header_put(out, STR("To"), buf_str(&to), e);
}

static bool is_dropped(const struct settings *s, struct str name)
{
    return str_eq_ci(name, STR("From")) || str_eq_ci(name, STR("Bcc")) ||
           (s->forgoes_tls && str_eq_ci(name, STR("TLS-Required")));
}

static bool compose(const struct settings *s, const struct arguments *args, const struct recipients *r,
                    struct str header, struct str body, struct buf *out, struct err *e)
{
    AUTO_BUF from = BUF_LIMIT(4096);
    struct cur c = cur_of(header);
    struct header_field field;

    BUF_PUT(&from, "<");
    buf_put(&from, s->s.from);
    BUF_PUT(&from, ">");
    if (!header_put(out, STR("From"), buf_str(&from), e) || !put_to(args, r, header, out, e))
        return false;
    // RFC 8689 5
    if (s->forgoes_tls)
        BUF_PUT(out, "TLS-Required: No\r\n");
    while (header_next(&c, &field))
        if (!is_dropped(s, field.name))
            buf_put(out, field.raw);
    if (!str_ends(buf_str(out), STR("\r\n")))
        BUF_PUT(out, "\r\n");
    BUF_PUT(out, "\r\n");
    buf_put(out, body);
    return !out->full || fail(e, ERR_LIMIT, "the message is too large");
}

/* --- failures ------------------------------------------------------------------------------------ */

// What could not be sent is not lost: it is in a file of the user's.
static void keep(struct str message)
{
    const char *home = getenv("HOME");
    char path[4096];
    unsigned char random[8];
    struct err e = {0};
    int n;

    os_random(random, sizeof random);
    n = snprintf(path, sizeof path, "%s/moxsubmit.failures", home && home[0] ? home : ".");
    if (n < 0 || (size_t)n > sizeof path - 64 || !os_make_dirs(path, 0700, &e)) {
        fprintf(stderr, "mox: the message could not be kept: %s\n", e.text);
        return;
    }
    n += snprintf(path + n, sizeof path - (size_t)n, "/newmsg.");
    for (size_t i = 0; i < sizeof random; i++)
        n += snprintf(path + n, sizeof path - (size_t)n, "%02x", random[i]);
    if (os_write_file(path, message, 0600, &e))
        fprintf(stderr, "mox: the message is kept in %s\n", path);
    else
        fprintf(stderr, "mox: the message could not be kept: %s\n", e.text);
}

static bool send(struct arena *a, const struct arguments *args, struct str raw, struct err *e)
{
    AUTO_BUF crlf = BUF_LIMIT(2 * MAX_MESSAGE + 1024), whole = BUF_LIMIT(2 * MAX_MESSAGE + 16384);
    struct recipients to = {0};
    struct submission_message m;
    struct settings s;
    struct str header, body;
    char last = 0;

    if (!read_settings(a, &s, e))
        return false;
    crlf_put(&crlf, raw, &last);
    split(buf_str(&crlf), &header, &body);
    if (!find_recipients(a, &s, args, header, &to, e) || !compose(&s, args, &to, header, body, &whole, e))
        return false;
    m = (struct submission_message){.text = buf_str(&whole), .recipients = to.items, .n_recipients = to.n};
    m.has_8bit = !str_is_ascii(m.text);
    return submission_send(&s.s, &m, e);
}

int cmd_sendmail(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF raw = BUF_LIMIT(MAX_MESSAGE);
    struct arguments args;
    struct err e = {0};

    read_arguments(argc, argv, &args);
    if (!args.has_t && !args.n_recipients)
        return cmd_usage("sendmail");
    if (cmd_read_stdin(&raw, "the message", &e) && send(&a, &args, buf_str(&raw), &e))
        return 0;
    keep(buf_str(&raw));
    return cmd_fail(&e);
}

int cmd_config_describe_sendmail(int argc, char **argv)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);

    (void)argv;
    if (argc > 1)
        return cmd_usage("config describe-sendmail");
    schema_describe(&schema_submit, &out);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}
