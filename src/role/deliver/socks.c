/*
 * By way of a proxy: SOCKS5 without a login (RFC 1928).
 */
#include "role/deliver/deliver.h"

static bool refused(struct failure *f, struct arena *a, const char *text)
{
    return failed(f, a, false, "4.4.1", "the proxy: %s", text);
}

// Exactly n bytes: what comes behind them is the server's.
static bool read_exactly(struct deliver *d, char *p, size_t n, struct arena *a, struct failure *f)
{
    struct err e = {0};
    size_t got;

    for (; n; p += got, n -= got)
        if (!stream_read(&d->conn.stream, p, n, deliver_timeout(d, CONNECT_MS), &got, &e) || !got)
            return refused(f, a, e.kind ? e.text : "it closed the connection");
    return true;
}

bool socks_connect(struct deliver *d, const struct ip *to, unsigned port, struct arena *a,
                   struct failure *f)
{
    static const struct str hello = STR_("\5\1\0"); // one method, none
    AUTO_BUF request = BUF_LIMIT(64);
    char answer[4], rest[20];
    struct str address = ip_bytes(to);

    if (!conn_write(d, hello, CONNECT_MS, a, f) || !read_exactly(d, answer, 2, a, f))
        return false;
    if (answer[0] != 5 || answer[1] != 0)
        return refused(f, a, "it wants a login, or is none of SOCKS5");
    buf_put(&request, STR("\5\1\0"));
    buf_put_char(&request, address.n == 4 ? 1 : 4);
    buf_put(&request, address);
    buf_put_char(&request, (char)(port >> 8));
    buf_put_char(&request, (char)(port & 255));
    if (!conn_write(d, buf_str(&request), CONNECT_MS, a, f) || !read_exactly(d, answer, 4, a, f))
        return false;
    if (answer[0] != 5 || answer[1] != 0)
        return refused(f, a, "it cannot connect");
    if (answer[3] != 1 && answer[3] != 4)
        return refused(f, a, "an answer that is none");
    return read_exactly(d, rest, answer[3] == 1 ? 6 : 18, a, f);
}
