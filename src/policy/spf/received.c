#include "policy/spf/spf.h"

// Quoted, it may be twice as long, and a line has 998 octets (RFC 5322, 2.1.1).
enum { MAX_VALUE = 480, MAX_PROBLEM = 67 };

static bool is_atom_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || (c && str_find(STR("!#$%&'*+-/=?^_`{|}~"), (char)c) >= 0);
}

// dot-atom, RFC 5322 3.2.3.
static bool is_dot_atom(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_atom_char((unsigned char)s.p[i]) &&
            (s.p[i] != '.' || !i || i + 1 == s.n || s.p[i - 1] == '.'))
            return false;
    return s.n > 0;
}

// quoted-string, RFC 5322 3.2.4. What no line may have becomes a question mark.
static void put_quoted(struct buf *out, struct str s)
{
    BUF_PUT(out, "\"");
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            BUF_PUT(out, "\\");
        buf_put_char(out, c < ' ' || c == 127 ? '?' : (char)c);
    }
    BUF_PUT(out, "\"");
}

// key-value-pair, RFC 7208 9.1, on a line of its own.
static void put_pair(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "\r\n\t%s=", key);
    value = str_sub(value, 0, MAX_VALUE);
    if (is_dot_atom(value))
        buf_put(out, value);
    else
        put_quoted(out, value);
    BUF_PUT(out, ";");
}

void spf_put_received(struct buf *out, const struct spf_query *q, const struct spf_result *r)
{
    AUTO_BUF ip = BUF_LIMIT(100), from = BUF_LIMIT(MAX_VALUE);

    ip_put(&ip, &q->ip);
    if (q->domain.n) {
        buf_put(&from, q->local_part);
        BUF_PUT(&from, "@");
        buf_put(&from, q->domain);
    }
    buf_printf(out, "Received-SPF: %s (%s)", auth_result_name(r->status),
               r->is_secure ? "with dnssec" : "without dnssec");
    put_pair(out, "client-ip", buf_str(&ip));
    put_pair(out, "envelope-from", buf_str(&from));
    put_pair(out, "helo", q->helo);
    if (r->why.n)
        put_pair(out, "problem", str_sub(r->why, 0, MAX_PROBLEM));
    if (r->mechanism.n)
        put_pair(out, "mechanism", r->mechanism);
    put_pair(out, "receiver", q->receiver);
    BUF_PUT(out, "\r\n\tidentity=");
    buf_put(out, r->identity == SPF_HELO ? STR("helo") : STR("mailfrom"));
    BUF_PUT(out, "\r\n");
}
