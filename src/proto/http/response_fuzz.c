/*
 * Responses of servers behind the proxy: the head, then the body in pieces. What was parsed and is written
 * again parses to the same, and cutting the body elsewhere changes nothing.
 */
#include <stdint.h>

#include "base/die.h"
#include "proto/http/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_body(const struct http_response *r, struct str in, size_t step, struct buf *out)
{
    struct http_body body = http_response_body(r);
    AUTO_BUF held = BUF_LIMIT(1 << 20);
    struct err e = {0};

    for (size_t at = 0; !body.is_done && at < in.n; at += step) {
        struct str rest, piece;

        buf_put(&held, str_sub(in, at, step));
        rest = buf_str(&held);
        do {
            if (!http_body_take(&body, &rest, &piece, &e))
                return false;
            buf_put(out, piece);
        } while (piece.n);
        buf_drop(&held, held.n - rest.n);
    }
    return body.is_done;
}

static void check_again(struct arena *a, const struct http_response *r, bool is_head)
{
    AUTO_BUF once = BUF_LIMIT(1 << 20);
    struct http_response again;
    struct err e = {0};

    http_head_put(&once, r->version, r->status, &r->fields);
    if (once.n > HTTP_MAX_HEAD)
        return;
    if (!http_response_parse(a, buf_str(&once), is_head, &again, &e))
        die("our own response cannot be read: %s", e.text);
    if (again.status != r->status || again.fields.n != r->fields.n || again.body != r->body ||
        again.length != r->length || again.until_close != r->until_close || again.is_last != r->is_last)
        die("the response is not the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_BUF whole = BUF_LIMIT(1 << 20), pieces = BUF_LIMIT(1 << 20);
    struct http_response r;
    struct err e = {0};
    size_t seen = 0, n;
    struct str in;
    bool is_head;

    if (!size || size > 100 * 1024)
        return 0;
    is_head = data[0] & 1;
    in = str_at(data + 1, size - 1);
    if (!http_head_find(in, &seen, &n, &e) || !n || !http_response_parse(&a, str_sub(in, 0, n), is_head, &r, &e))
        return 0;
    if (r.status < 100 || r.status > 599 || r.fields.n > HTTP_MAX_FIELDS ||
        (r.until_close && r.body != HTTP_BODY_NONE) || (is_head && r.body != HTTP_BODY_NONE))
        die("values out of their range");
    check_again(&a, &r, is_head);
    in = str_from(in, n);
    if (read_body(&r, in, in.n + 1, &whole) != read_body(&r, in, 1 + data[0] / 2, &pieces) ||
        !str_eq(buf_str(&whole), buf_str(&pieces)))
        die("a body depends on how it comes");
    return 0;
}
