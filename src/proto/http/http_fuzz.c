/*
 * A connection's bytes: heads and bodies, one after the other. However the bytes are cut, the same comes out; no path leaves its
 * root; what was parsed, written again, means the same.
 */
#include "base/die.h"
#include "proto/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(struct str path)
{
    if (!str_starts(path, STR("/")) || str_find(path, 0) != STR_NONE)
        die("no path");
    for (struct str rest = path, segment; str_next(&rest, '/', &segment);)
        if (str_eq(segment, STR("..")) || str_eq(segment, STR(".")))
            die("a path that goes up");
}

static void check_again(struct arena *a, const struct http_request *r)
{
    AUTO_BUF b = BUF_LIMIT(1 << 20);
    struct http_request again;
    struct err e = {0};
    unsigned status;

    buf_put(&b, r->method_name);
    BUF_PUT(&b, " ");
    buf_put(&b, r->target);
    BUF_PUT(&b, " ");
    http_head_put(&b, r->version, 200, &r->fields);
    // "HTTP/1.1 200 OK" becomes the end of a request line.
    for (size_t i = 0; i + 7 <= b.n; i++)
        if (str_eq(str_sub(buf_str(&b), i, 7), STR(" 200 OK"))) {
            AUTO_BUF line = BUF_LIMIT(1 << 20);

            buf_put(&line, str_sub(buf_str(&b), 0, i));
            buf_put(&line, str_from(buf_str(&b), i + 7));
            if (line.n > HTTP_MAX_HEAD) // without the spaces it was shorter
                return;
            if (!http_request_parse(a, buf_str(&line), &again, &status, &e))
                die("what was parsed does not parse again: %s", e.text);
            if (!str_eq(again.path, r->path) || again.fields.n != r->fields.n || again.body != r->body ||
                again.length != r->length || again.is_last != r->is_last)
                die("what was parsed means something else");
            return;
        }
}

// Takes the body in pieces of that size; the hash of its data, 0 when it is refused or not complete.
static uint64_t take(struct http_body b, struct str in, size_t piece, struct str *left)
{
    uint64_t hash = 14695981039346656037u;
    size_t shown = 0;

    while (!b.is_done) {
        struct str at = str_sub(in, 0, shown), got;
        size_t had = at.n;
        struct err e = {0};

        if (!http_body_take(&b, &at, &got, &e))
            return 0;
        for (size_t i = 0; i < got.n; i++)
            hash = (hash ^ (unsigned char)got.p[i]) * 1099511628211u;
        in = str_from(in, had - at.n);
        shown -= had - at.n;
        if (b.is_done || had != at.n)
            continue;
        if (shown == in.n)
            return 0;
        shown = shown + piece < in.n ? shown + piece : in.n;
    }
    *left = in;
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_at(data, size);

    while (in.n) {
        struct arena a = ARENA_LIMIT(16 << 20);
        size_t seen = 0, n = 0, by_bytes = 0, n_cut = 0;
        struct str left = {0}, cut = {0};
        struct http_request r;
        struct err e = {0};
        unsigned status;
        bool is_ok = http_head_find(in, &seen, &n, &e), cut_ok = true;

        for (size_t i = 0; i <= in.n && i < 4096 && cut_ok && !n_cut; i++)
            cut_ok = http_head_find(str_sub(in, 0, i), &by_bytes, &n_cut, &e);
        if (in.n < 4096 && (is_ok != cut_ok || (is_ok && n != n_cut)))
            die("the head ends elsewhere when it comes in pieces");
        if (!is_ok || !n || !http_request_parse(&a, str_sub(in, 0, n), &r, &status, &e)) {
            arena_fini(&a);
            break;
        }
        if (!str_eq(r.path, STR("*")))
            check_path(r.path);
        check_again(&a, &r);
        in = str_from(in, n);
        if (take(http_body_of(&r), in, SIZE_MAX / 2, &left) != take(http_body_of(&r), in, 1, &cut) || left.n != cut.n)
            die("the body is another when it comes in pieces");
        arena_fini(&a);
        if (!left.p || left.n >= in.n + n)
            break;
        in = left;
    }
    return 0;
}
