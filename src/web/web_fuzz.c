/*
 * What a request says to the web server; the first byte chooses. Ranges lie within the file and do not
 * overlap; an address that was parsed is one, written from its parts; what goes to a server behind the
 * proxy is a request line of one line, and in it is the path that was matched.
 */
#include <stdint.h>

#include "base/die.h"
#include "web/condition.h"
#include "web/encoding.h"
#include "web/forward.h"
#include "web/mime.h"
#include "web/range.h"
#include "web/site.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_range(struct str text)
{
    struct ranges r;
    uint64_t sum = 0;

    if (range_parse(text, 1000, &r) != RANGE_SOME)
        return;
    if (!r.n || r.n > RANGE_MAX)
        die("a strange number of ranges");
    for (size_t i = 0; i < r.n; i++) {
        if (r.items[i].first > r.items[i].last || r.items[i].last >= 1000)
            die("a range outside");
        sum += r.items[i].last - r.items[i].first + 1;
        for (size_t k = 0; k < i; k++)
            if (r.items[i].first <= r.items[k].last && r.items[k].first <= r.items[i].last)
                die("ranges overlap");
    }
    if (sum > 1000)
        die("more than there is");
}

static void check_condition(struct str text)
{
    struct validators v = {.etag = STR("\"a\""), .modified = 1795508213};
    struct conditions strong = {.if_match = text}, weak = {.if_none_match = text}, date = {.if_range = text};

    // What is there strongly is there weakly.
    if (condition_check(&strong, &v) == CONDITION_SEND && condition_check(&weak, &v) != CONDITION_NOT_MODIFIED)
        die("conditions contradict each other");
    (void)condition_range_counts(&date, &v, v.modified + 9);
    (void)encoding_takes_gzip(text);
    (void)encoding_is_worth_it(text);
    if (!mime_of_bytes(text).n)
        die("a file without type");
}

static void check_url(struct arena *a, struct str text)
{
    AUTO_BUF b = BUF_LIMIT(10000);
    struct site_url u, again;
    struct err e = {0};

    if (!site_url_parse(a, text, &u, &e))
        return;
    buf_put(&b, !u.has_scheme ? STR("") : u.is_https ? STR("https:") : STR("http:"));
    BUF_PUT(&b, "//");
    buf_put(&b, u.authority);
    buf_put(&b, u.path);
    if (u.has_query)
        BUF_PUT(&b, "?");
    buf_put(&b, u.query);
    if (u.fragment.n)
        BUF_PUT(&b, "#");
    buf_put(&b, u.fragment);
    if (!site_url_parse(a, buf_str(&b), &again, &e) || !str_eq(u.host, again.host) || u.port != again.port ||
        !str_eq(u.path, again.path) || !str_eq(u.query, again.query))
        die("an address is not the same");
}

static struct regex *expression(const char *text)
{
    struct err e = {0};
    struct regex *r = regex_new(str_of(text), &e);

    if (!r)
        die("no expression");
    return r;
}

// The request that we would send, as the strictest reader sees it: our own.
static void check_forward(struct arena *a, const struct http_request *r, const struct site_handler *h)
{
    AUTO_BUF target = BUF_LIMIT(1 << 20), head = BUF_LIMIT(1 << 20);
    struct http_fields fields = {0};
    struct http_request again;
    unsigned status;
    struct err e = {0};

    site_put_target(&target, h, r);
    forward_request_fields(a, r, &(struct forward_client){.ip = STR("192.0.2.1")}, false, &fields);
    buf_put(&head, r->method_name);
    BUF_PUT(&head, " ");
    buf_put(&head, buf_str(&target));
    BUF_PUT(&head, " HTTP/1.1\r\n");
    for (size_t i = 0; i < fields.n; i++) {
        buf_put(&head, fields.items[i].name);
        BUF_PUT(&head, ": ");
        buf_put(&head, fields.items[i].value);
        BUF_PUT(&head, "\r\n");
    }
    BUF_PUT(&head, "\r\n");
    if (head.n > HTTP_MAX_HEAD || target.n > HTTP_MAX_TARGET || fields.n > HTTP_MAX_FIELDS)
        return; // encoding made it longer
    if (!http_request_parse(a, arena_dup(a, buf_str(&head)), &again, &status, &e))
        die("our own request cannot be read: %s", e.text);
    if (!str_eq(again.host, r->host) || again.body != r->body || again.length != r->length)
        die("another reader sees another request");
    if (!h->strips_path && !str_eq(again.path, r->path))
        die("another path than the one that was matched");
}

static void check_request(struct arena *a, struct str text)
{
    static struct regex *all, *first;
    AUTO_BUF to = BUF_LIMIT(1 << 20), https = BUF_LIMIT(1 << 20);
    struct site_handler h = {.target = {.path = STR("")}, .code = 308};
    struct http_request r;
    unsigned status;
    struct str path;
    struct err e = {0};

    if (!all) {
        all = expression("^/");
        first = expression("^/([a-z]*)");
    }
    if (!http_request_parse(a, text, &r, &status, &e) || str_eq(r.target, STR("*")))
        return;
    h.path = all;
    check_forward(a, &r, &h);
    h.path = first;
    h.strips_path = true;
    check_forward(a, &r, &h);
    h.orig_path = first;
    h.replace_path = STR("/$1$1");
    if (site_redirect(&h, &r, true, &to) == SITE_REDIRECT_TO &&
        (!http_is_field_value(buf_str(&to)) || to.p[0] != '/' || (to.n > 1 && to.p[1] == '/')))
        die("a redirect leads elsewhere");
    site_put_https(&https, STR("x.example"), &r);
    if (!http_is_field_value(buf_str(&https)))
        die("a redirect is no field");
    if (site_file_path(&h, &r, &path) && (str_starts(path, STR("/")) || str_starts(path, STR("../"))))
        die("a path that leads out");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str text;

    if (!size || size > 40 * 1024)
        return 0;
    text = str_at(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        check_range(text);
        break;
    case 1:
        check_condition(text);
        break;
    case 2:
        check_url(&a, text);
        break;
    default:
        check_request(&a, text);
    }
    return 0;
}
