#include "proto/tls/client_hello.h"

#include "base/cur.h"

enum { RECORD_HEADER = 5, HANDSHAKE = 22, CLIENT_HELLO = 1, RANDOM = 32, ALPN = 16 };
// Every byte that comes may be a reason to read all of it again: a hello is in one piece, or in a few.
enum { MAX_PIECES = 32 };

static bool take_number(struct cur *c, int n_bytes, size_t *out)
{
    *out = 0;
    for (int i = 0; i < n_bytes; i++) {
        int next = cur_next(c);

        if (next < 0)
            return false;
        *out = *out << 8 | (size_t)next;
    }
    return true;
}

// Bytes after a number that says how many there are.
static bool take_vector(struct cur *c, int n_bytes, struct str *out)
{
    size_t n;

    return take_number(c, n_bytes, &n) && cur_take(c, n, out);
}

// RFC 7301 3.1: at least one name, and none is empty.
static bool is_list(struct str protocols)
{
    struct cur c = cur_of(protocols);
    struct str name;

    do
        if (!take_vector(&c, 1, &name) || !name.n)
            return false;
    while (cur_left(&c));
    return true;
}

static bool read_extensions(struct str extensions, struct str *protocols)
{
    struct cur c = cur_of(extensions);

    while (cur_left(&c)) {
        struct str data;
        struct cur list;
        size_t type;

        if (!take_number(&c, 2, &type) || !take_vector(&c, 2, &data))
            return false;
        if (type != ALPN)
            continue;
        list = cur_of(data);
        // RFC 8446 4.2: not twice, or two readers could go by different ones.
        if (protocols->n || !take_vector(&list, 2, protocols) || cur_left(&list) || !is_list(*protocols))
            return false;
    }
    return true;
}

static bool read_hello(struct str hello, struct str *protocols)
{
    struct cur c = cur_of(hello);
    struct str version_and_random, session, ciphers, compressions, extensions;

    if (!cur_take(&c, 2 + RANDOM, &version_and_random) || !take_vector(&c, 1, &session) ||
        !take_vector(&c, 2, &ciphers) || !take_vector(&c, 1, &compressions))
        return false;
    // RFC 5246 7.4.1.2: who knows of no extensions ends here.
    return !cur_left(&c) ||
           (take_vector(&c, 2, &extensions) && !cur_left(&c) && read_extensions(extensions, protocols));
}

static bool is_record_so_far(struct str in, size_t at)
{
    struct cur c = cur_of(str_from(in, at));

    return (!cur_left(&c) || cur_next(&c) == HANDSHAKE) && (!cur_left(&c) || cur_next(&c) == 3);
}

// The record at this place: where it ends, as far as that is known, or false when it is none of a handshake.
static bool record_end(struct str in, size_t at, size_t *end)
{
    struct cur c = cur_of(str_from(in, at));
    struct str start;
    size_t n;

    *end = at + RECORD_HEADER;
    if (!is_record_so_far(in, at))
        return false;
    if (cur_take(&c, 3, &start) && take_number(&c, 2, &n)) {
        *end += n;
        return n > 0; // RFC 8446 5.1
    }
    return true;
}

enum client_hello client_hello_parse(struct str in, struct buf *message, struct str *protocols, size_t *need)
{
    size_t at = 0;

    buf_reset(message);
    *protocols = STR("");
    for (int pieces = 0; pieces < MAX_PIECES; pieces++) {
        struct cur c;
        size_t n;

        if (!record_end(in, at, need) || *need > CLIENT_HELLO_MAX)
            return CLIENT_HELLO_NONE;
        if (*need > in.n)
            return CLIENT_HELLO_MORE;
        buf_put(message, str_sub(in, at + RECORD_HEADER, *need - at - RECORD_HEADER));
        at = *need;
        c = cur_of(buf_str(message));
        if (cur_next(&c) != CLIENT_HELLO)
            return CLIENT_HELLO_NONE;
        if (take_number(&c, 3, &n) && n <= cur_left(&c))
            return read_hello(str_sub(cur_rest(&c), 0, n), protocols) ? CLIENT_HELLO_WHOLE : CLIENT_HELLO_NONE;
    }
    return CLIENT_HELLO_NONE;
}

bool client_hello_has(struct str protocols, struct str name)
{
    struct cur c = cur_of(protocols);
    struct str one;

    while (take_vector(&c, 1, &one))
        if (str_eq(one, name))
            return true;
    return false;
}
