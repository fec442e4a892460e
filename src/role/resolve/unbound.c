#include "role/resolve/unbound.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unbound.h>
#include <unistd.h>

#include "policy/dns_wire.h"

#define FUNCTIONS(F)                                                                               \
    F(ub_ctx_create)                                                                               \
    F(ub_ctx_set_option)                                                                           \
    F(ub_ctx_set_fwd)                                                                              \
    F(ub_ctx_set_stub)                                                                             \
    F(ub_ctx_add_ta)                                                                               \
    F(ub_ctx_add_ta_file)                                                                          \
    F(ub_ctx_zone_remove)                                                                          \
    F(ub_ctx_debugout)                                                                             \
    F(ub_ctx_async)                                                                                \
    F(ub_fd)                                                                                       \
    F(ub_process)                                                                                  \
    F(ub_resolve)                                                                                  \
    F(ub_resolve_async)                                                                            \
    F(ub_cancel)                                                                                   \
    F(ub_resolve_free)                                                                             \
    F(ub_strerror)

#define MEMBER(name) __typeof__(&(name)) name;
static struct {
    FUNCTIONS(MEMBER)
} ub;

static struct ub_ctx *ctx;
static unbound_fn *on_answer;

enum { IN = 1, NOERROR = 0, NXDOMAIN = 3 };

/* The root's keys, as IANA publishes them: of 2017, and its successor of 2024. */
static const char *const built_in_anchors[] = {
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};
static const char installed_anchors[] = "/usr/share/dns/root.key"; // of dns-root-data

static bool load_library(struct err *e)
{
    void *library = dlopen("libunbound.so.8", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return fail(e, ERR_NOT_FOUND, "cannot load libunbound: %s", dlerror());
#define LOAD(name)                                                                                 \
    ub.name = (__typeof__(ub.name))dlsym(library, #name);                                          \
    if (!ub.name)                                                                                  \
        return fail(e, ERR_NOT_FOUND, "libunbound has no %s", #name);
    FUNCTIONS(LOAD)
    return true;
}

static bool is_done(int result, const char *what, struct err *e)
{
    return result == 0 || fail(e, ERR_BUG, "libunbound, %s: %s", what, ub.ub_strerror(result));
}

static bool set_options(const struct source *source, struct err *e)
{
    static const char *const options[][2] = {
        // A mail server's share: many questions at once, and room to remember the answers.
        {"num-queries-per-thread:", "2048"},
        {"outgoing-range:", "1024"},
        {"outgoing-num-tcp:", "64"},
        {"msg-cache-size:", "16m"},
        {"rrset-cache-size:", "32m"},
        {"key-cache-size:", "8m"},
        {"neg-cache-size:", "4m"},
        {"infra-cache-numhosts:", "10000"},
        {"prefetch:", "yes"},
        {"prefetch-key:", "yes"},
        // So many answers that nobody asked for are an attack: the cache is emptied.
        {"unwanted-reply-threshold:", "10000000"},
    };
    // A delegation to this machine is nonsense, unless the whole Internet of a test is on it.
    const char *loopback = source->kind == SOURCE_RECURSION ? "yes" : "no";

    for (size_t i = 0; i < COUNT(options); i++)
        if (!is_done(ub.ub_ctx_set_option(ctx, options[i][0], options[i][1]), options[i][0], e))
            return false;
    return is_done(ub.ub_ctx_set_option(ctx, "do-not-query-localhost:", loopback), "loopback", e);
}

// Forwarders, or the servers of another root, which are asked for the names of all of them.
static bool set_servers(const struct source *source, struct err *e)
{
    for (size_t i = 0; i < source->n; i++) {
        AUTO_BUF text = BUF_LIMIT(100);

        ip_put(&text, &source->servers[i]);
        buf_put_char(&text, 0);
        if (!is_done(source->kind == SOURCE_FORWARD ? ub.ub_ctx_set_fwd(ctx, text.p)
                                                    : ub.ub_ctx_set_stub(ctx, ".", text.p, 1),
                     "server", e))
            return false;
    }
    return true;
}

static bool set_anchors(const char *anchor, struct err *e)
{
    if (anchor && strcmp(anchor, "none") == 0)
        return is_done(ub.ub_ctx_set_option(ctx, "module-config:", "iterator"), "validation", e);
    if (!anchor && access(installed_anchors, R_OK) == 0)
        anchor = installed_anchors;
    if (anchor)
        return (access(anchor, R_OK) == 0 || fail_errno(e, "trust anchor %s", anchor)) &&
               is_done(ub.ub_ctx_add_ta_file(ctx, anchor), "trust anchor", e);
    for (size_t i = 0; i < COUNT(built_in_anchors); i++)
        if (!is_done(ub.ub_ctx_add_ta(ctx, built_in_anchors[i]), "trust anchor", e))
            return false;
    return true;
}

// The library's own answers about loopback addresses: whoever has the zones answers for them, and
// the names of this machine are in its hosts file.
static bool forget_loopback(struct err *e)
{
    return is_done(ub.ub_ctx_zone_remove(ctx, "127.in-addr.arpa."), "loopback zone", e) &&
           is_done(ub.ub_ctx_zone_remove(ctx, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
                                              "0.0.0.0.ip6.arpa."), "loopback zone", e);
}

bool unbound_open(const struct source *source, const char *anchor, unbound_fn *answered,
                  struct err *e)
{
    struct ub_result *result = NULL;
    bool is_ok;

    on_answer = answered;
    if (!load_library(e))
        return false;
    ctx = ub.ub_ctx_create();
    if (!ctx)
        return fail(e, ERR_BUG, "libunbound cannot start");
    is_ok = set_options(source, e) && set_anchors(anchor, e) &&
            set_servers(source, e) &&
            is_done(ub.ub_ctx_async(ctx, 1), "thread", e) && forget_loopback(e) &&
            // A question that needs nobody: everything is read now, and mistakes in it are seen.
            is_done(ub.ub_resolve(ctx, "localhost.", DNS_A, IN, &result), "configuration", e);
    if (result)
        ub.ub_resolve_free(result);
    // From here on its complaints are about other people's servers; what matters is in the answers.
    if (is_ok)
        ub.ub_ctx_debugout(ctx, NULL);
    return is_ok;
}

int unbound_fd(void)
{
    return ub.ub_fd(ctx);
}

void unbound_process(void)
{
    ub.ub_process(ctx);
}

static void put_records(const struct ub_result *r, struct buf *out, bool *is_too_large)
{
    size_t n = 0;

    for (; r->data[n]; n++)
        if (n == DNS_MAX_RECORDS || r->len[n] < 0 ||
            !dns_records_put(out, str_at(r->data[n], (size_t)r->len[n]))) {
            *is_too_large = true;
            return;
        }
}

// Both texts have parts that strangers chose.
static void put_printable(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        buf_put_char(out, text.p[i] >= ' ' && text.p[i] < 127 ? text.p[i] : '?');
}

// The name at the end of the aliases, as names in answers are (policy/dns.h).
static void put_name(const struct ub_result *r, struct buf *out)
{
    struct str name = str_of(r->canonname ? r->canonname : "");

    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    put_printable(out, name);
    for (size_t i = 0; i < out->n; i++)
        out->p[i] = ascii_lower(out->p[i]);
}

static void explain(const struct ub_result *r, const struct unbound_answer *answer, struct buf *out)
{
    if (answer->is_too_large)
        BUF_PUT(out, "the answer is too large");
    else if (answer->status == DNS_BOGUS)
        put_printable(out, str_of(r->why_bogus ? r->why_bogus : "DNSSEC validation failed"));
    else if (answer->is_failure)
        BUF_PUT(out, "no server of the name gave an answer");
    else
        buf_printf(out, "the servers of the name answer with code %d", r->rcode);
}

// What validation thinks comes first: forged data is no data (RFC 4035 5.5).
static void classify(const struct ub_result *r, struct unbound_answer *out)
{
    if (r->bogus)
        out->status = DNS_BOGUS;
    else if (out->is_too_large)
        out->status = DNS_TEMPORARY;
    else if (r->havedata && r->rcode == NOERROR)
        out->status = DNS_OK;
    else if (r->nxdomain || r->rcode == NXDOMAIN)
        out->status = DNS_NXDOMAIN;
    else if (r->rcode == NOERROR)
        out->status = DNS_NODATA;
    else {
        out->status = DNS_TEMPORARY;
        out->is_failure = r->rcode == 2;
    }
    out->is_secure = r->secure && out->status < DNS_TEMPORARY;
    out->ttl = r->ttl > 0 ? (uint32_t)r->ttl : 0;
}

static void answered(void *question, int error, struct ub_result *r)
{
    AUTO_BUF records = BUF_LIMIT(DNS_MAX_ANSWER), name = BUF_LIMIT(DNS_MAX_NAME_TEXT),
             why = BUF_LIMIT(1024);
    struct unbound_answer answer = {.status = DNS_TEMPORARY, .is_failure = true};

    if (error || !r)
        answer.why = str_of(ub.ub_strerror(error));
    else {
        if (r->havedata && r->rcode == NOERROR && !r->bogus)
            put_records(r, &records, &answer.is_too_large);
        answer.is_failure = false;
        classify(r, &answer);
        put_name(r, &name);
        if (answer.status >= DNS_TEMPORARY) {
            explain(r, &answer, &why);
            buf_reset(&records);
        }
        answer.records = buf_str(&records);
        answer.name = buf_str(&name);
        answer.why = buf_str(&why);
    }
    on_answer(question, &answer);
    if (r)
        ub.ub_resolve_free(r);
}

bool unbound_ask(struct str name, enum dns_type type, void *question, int *id, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(DNS_MAX_NAME_TEXT + 2);

    dns_name_put_escaped(&text, name);
    if (!str_eq(name, STR(".")))
        buf_put_char(&text, '.');
    buf_put_char(&text, 0);
    return is_done(ub.ub_resolve_async(ctx, text.p, (int)type, IN, question, answered, id),
                   "question", e);
}

void unbound_cancel(int id)
{
    ub.ub_cancel(ctx, id);
}
