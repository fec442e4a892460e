#include "role/fetch/https.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "crypto/web_name.h"
#include "os/file.h"

#define FUNCTIONS(F)                                                                               \
    F(curl_global_init)                                                                            \
    F(curl_easy_init)                                                                              \
    F(curl_easy_setopt)                                                                            \
    F(curl_easy_perform)                                                                           \
    F(curl_easy_getinfo)                                                                           \
    F(curl_easy_cleanup)                                                                           \
    F(curl_easy_strerror)                                                                          \
    F(curl_slist_append)                                                                           \
    F(curl_slist_free_all)

#undef curl_easy_setopt // macros that check types when the functions are called by name
#undef curl_easy_getinfo
#define MEMBER(name) __typeof__(&(name)) name;
static struct {
    FUNCTIONS(MEMBER)
} curl;

static struct arena memory = ARENA_LIMIT(128 << 20);
static struct str authorities; // PEM

static const char *const authority_files[] = {
    "/etc/ssl/certs/ca-certificates.crt", // Debian
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora
    "/etc/ssl/cert.pem",                  // Alpine
};

static bool load_library(struct err *e)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return fail(e, ERR_NOT_FOUND, "cannot load libcurl: %s", dlerror());
#define LOAD(name)                                                                                 \
    curl.name = (__typeof__(curl.name))dlsym(library, #name);                                      \
    if (!curl.name)                                                                                \
        return fail(e, ERR_NOT_FOUND, "libcurl has no %s", #name);
    FUNCTIONS(LOAD)
    return true;
}

static bool load_system(struct str *out, struct err *e)
{
    const char *path = getenv("SSL_CERT_FILE");

    for (size_t i = 0; !path && i < COUNT(authority_files); i++)
        if (access(authority_files[i], R_OK) == 0)
            path = authority_files[i];
    return path ? os_read_file(&memory, path, 8 << 20, out, e)
                : fail(e, ERR_NOT_FOUND, "no file of certificate authorities");
}

static bool load_authorities(struct str more, bool is_alone, struct err *e)
{
    struct str system = {0};

    if (!is_alone && !load_system(&system, e))
        return false;
    authorities = arena_printf(&memory, "%.*s\n%.*s", STR_FMT(system), STR_FMT(more));
    return true;
}

bool https_open(struct str more, bool is_alone, struct err *e)
{
    return load_library(e) && load_authorities(more, is_alone, e) &&
           (curl.curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ||
            fail(e, ERR_BUG, "libcurl does not start"));
}

struct transfer {
    const struct https_request *request;
    struct arena *arena;
    struct https_answer *answer;
    struct buf body;
};

// The socket is there: curl makes none, and connects to nothing.
static curl_socket_t give_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    const struct transfer *t = ctx;

    (void)to;
    return purpose == CURLSOCKTYPE_IPCXN ? t->request->fd : CURL_SOCKET_BAD;
}

static int is_connected(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    (void)ctx, (void)fd, (void)purpose;
    return CURL_SOCKOPT_ALREADY_CONNECTED;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;

    buf_put(&t->body, str_at(p, size * n));
    return t->body.full ? 0 : size * n;
}

static int look_up(void *ctx, curl_off_t to_get, curl_off_t got, curl_off_t to_send, curl_off_t sent)
{
    const struct https_request *r = ((const struct transfer *)ctx)->request;

    (void)to_get, (void)got, (void)to_send, (void)sent;
    return r->is_given_up(r->ctx);
}

static void keep_field(struct transfer *t, struct str name, struct str value)
{
    struct https_answer *to = t->answer;
    const struct {
        struct str name, *value;
    } wanted[] = {
        {STR("content-type"), &to->content_type}, {STR("location"), &to->location},
        {STR("replay-nonce"), &to->replay_nonce}, {STR("retry-after"), &to->retry_after},
        {STR("link"), &to->links},
    };

    for (size_t i = 0; i < COUNT(wanted); i++)
        if (str_eq_ci(name, wanted[i].name) && wanted[i].value == &to->links && to->links.n) {
            if (to->links.n + value.n < HTTPS_MAX_FIELD)
                to->links = arena_printf(t->arena, "%.*s\n%.*s", STR_FMT(to->links), STR_FMT(value));
        } else if (str_eq_ci(name, wanted[i].name)) {
            *wanted[i].value = arena_dup(t->arena, value);
        }
}

// One line: the status, a field, or the end; of each response, if there are several (RFC 9110 15.2).
static size_t take_line(char *p, size_t size, size_t n, void *ctx)
{
    struct str line = str_trim(str_at(p, size * n)), name, value;
    struct transfer *t = ctx;

    if (str_starts(line, STR("HTTP/")))
        *t->answer = (struct https_answer){0};
    else if (str_cut(line, ':', &name, &value) && https_is_value(str_trim(value)))
        keep_field(t, name, str_trim(value));
    return size * n;
}

static struct curl_slist *add_line(struct arena *a, struct curl_slist *lines, struct str line)
{
    struct curl_slist *longer = curl.curl_slist_append(lines, arena_cstring(a, line));

    if (!longer)
        die("libcurl: out of memory");
    return longer;
}

// RFC 8461 3.3: the name must be a DNS-ID; libcurl alone would take a common name as well.
static CURLcode before_handshake(CURL *c, void *ssl_ctx, void *ctx)
{
    const struct transfer *t = ctx;

    (void)c;
    return web_name_require(ssl_ctx, t->request->host) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

#define SET(option, value)                                                                         \
    if (curl.curl_easy_setopt(c, (option), (value)) != CURLE_OK)                                   \
    die("libcurl does not know %s", #option)

static void set_limits(CURL *c, struct transfer *t)
{
    SET(CURLOPT_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_TIMEOUT_MS, t->request->timeout_ms);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_MAXFILESIZE, (long)t->request->max_body);
}

static void set_callbacks(CURL *c, struct transfer *t)
{
    SET(CURLOPT_OPENSOCKETFUNCTION, give_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_SOCKOPTFUNCTION, is_connected);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, take_line);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_SSL_CTX_FUNCTION, before_handshake);
    SET(CURLOPT_SSL_CTX_DATA, t);
    if (t->request->is_given_up) {
        SET(CURLOPT_XFERINFOFUNCTION, look_up);
        SET(CURLOPT_XFERINFODATA, t);
        SET(CURLOPT_NOPROGRESS, 0L);
    }
}

static enum https_status status_of(CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return HTTPS_ANSWER;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return HTTPS_UNTRUSTED;
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_WRITE_ERROR: // take_body
        return HTTPS_TOO_LARGE;
    default:
        return HTTPS_FAILED;
    }
}

static void set_method(CURL *c, const struct https_request *r)
{
    if (r->method == HTTPS_HEAD)
        SET(CURLOPT_NOBODY, 1L);
    if (r->method != HTTPS_POST)
        return;
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE, (long)r->body.n);
    SET(CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
}

void https_ask(struct arena *a, const struct https_request *r, struct https_answer *out, struct err *e)
{
    struct transfer t = {.request = r, .arena = a, .answer = out, .body = BUF_LIMIT(r->max_body)};
    unsigned port = r->port ? r->port : 443;
    struct str url = arena_printf(a, "https://%s:%u%s", r->host, port, r->path);
    struct curl_blob roots = {(void *)(uintptr_t)authorities.p, authorities.n, CURL_BLOB_NOCOPY};
    struct curl_slist *routes, *fields = NULL;
    struct str line, rest = r->fields;
    char text[CURL_ERROR_SIZE] = "";
    CURL *c = curl.curl_easy_init();
    CURLcode code;

    *out = (struct https_answer){0};
    if (!c)
        die("libcurl: out of memory");
    routes = add_line(a, NULL, arena_printf(a, "%s:%u:127.0.0.1", r->host, port)); // so that no name is looked up
    fields = add_line(a, NULL, STR("Expect:")); // nobody waits for a 100
    while (str_next(&rest, '\n', &line))
        fields = add_line(a, fields, line);
    set_limits(c, &t);
    set_callbacks(c, &t);
    set_method(c, r);
    SET(CURLOPT_URL, arena_cstring(a, url));
    SET(CURLOPT_RESOLVE, routes);
    SET(CURLOPT_HTTPHEADER, fields);
    SET(CURLOPT_CAINFO_BLOB, &roots);
    SET(CURLOPT_ERRORBUFFER, text);
    SET(CURLOPT_USERAGENT, "mox/" MOX_VERSION);
    code = curl.curl_easy_perform(c);
    out->status = status_of(code);
    if (code != CURLE_OK)
        fail(e, ERR_TEMPORARY, "%s", text[0] ? text : curl.curl_easy_strerror(code));
    curl.curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->code);
    out->body = arena_dup(a, buf_str(&t.body));
    buf_fini(&t.body);
    curl.curl_easy_cleanup(c);
    curl.curl_slist_free_all(routes);
    curl.curl_slist_free_all(fields);
}
