/*
 * Bodies: of known length, and chunked (RFC 9112 7.1).
 */
#include "base/cur.h"
#include "proto/http/http.h"

enum { MAX_CHUNK_DIGITS = 15 }; // less than 2^60

struct http_body http_body_of(const struct http_request *r)
{
    return (struct http_body){.kind = r->body, .left = r->length, .is_done = r->body == HTTP_BODY_NONE};
}

// The next whole line of the coding, without its CR LF. False with *is_whole false: it is not there yet.
static bool take_line(struct str *in, struct str *line, bool *is_whole, struct err *e)
{
    ptrdiff_t lf = str_find(str_sub(*in, 0, HTTP_MAX_CHUNK_LINE), '\n');

    *is_whole = lf >= 0;
    if (lf < 0)
        return in->n < HTTP_MAX_CHUNK_LINE || fail(e, ERR_LIMIT, "a line of chunked coding is too long");
    if (!lf || in->p[lf - 1] != '\r')
        return fail(e, ERR_SYNTAX, "a line of chunked coding ends in LF without CR");
    *line = str_sub(*in, 0, (size_t)lf - 1);
    *in = str_from(*in, (size_t)lf + 1);
    return true;
}

static bool is_hex(unsigned char c)
{
    return ascii_is_digit((char)c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// RFC 9112 7.1, chunk-size and 7.1.1, extensions: none is known, all are passed over.
static bool parse_size(struct http_body *b, struct str line, struct err *e)
{
    struct cur c = cur_of(line);
    struct str digits = cur_while(&c, is_hex);

    if (!digits.n || digits.n > MAX_CHUNK_DIGITS)
        return fail(e, ERR_SYNTAX, "no size of a chunk");
    if (cur_left(&c) && cur_peek(&c) != ';' && cur_peek(&c) != ' ' && cur_peek(&c) != '\t')
        return fail(e, ERR_SYNTAX, "something behind the size of a chunk");
    if (cur_peek(&c) == ' ' || cur_peek(&c) == '\t') {
        struct str rest = str_trim(cur_rest(&c));

        if (!str_starts(rest, STR(";"))) // "5 5"
            return fail(e, ERR_SYNTAX, "something behind the size of a chunk");
    }
    if (!http_is_field_value(cur_rest(&c)))
        return fail(e, ERR_SYNTAX, "a byte in the extension of a chunk that cannot be there");
    b->left = 0;
    for (size_t i = 0; i < digits.n; i++) {
        char d = ascii_lower(digits.p[i]);

        b->left = b->left << 4 | (uint64_t)(ascii_is_digit(d) ? d - '0' : d - 'a' + 10);
    }
    // Whoever sends many bytes about few keeps us busy for nothing.
    b->overhead += line.n + 4;
    b->overhead -= b->overhead < 16 + 2 * b->left ? b->overhead : 16 + 2 * b->left;
    if (b->overhead > HTTP_MAX_OVERHEAD)
        return fail(e, ERR_LIMIT, "chunked coding says too much about too little");
    b->state = b->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILERS;
    return true;
}

static bool parse_trailer(struct http_body *b, struct str line, struct err *e)
{
    struct str name, value;

    b->n_trailers += line.n + 2;
    if (!line.n) {
        b->is_done = true;
        return true;
    }
    if (b->n_trailers > HTTP_MAX_TRAILERS)
        return fail(e, ERR_LIMIT, "trailers are too long");
    if (!str_cut(line, ':', &name, &value) || !http_is_token(name) || !http_is_field_value(value))
        return fail(e, ERR_SYNTAX, "a trailer that is no field");
    return true;
}

static struct str take_data(struct http_body *b, struct str *in)
{
    struct str data = str_sub(*in, 0, b->left < in->n ? (size_t)b->left : in->n);

    *in = str_from(*in, data.n);
    b->left -= data.n;
    return data;
}

bool http_body_take(struct http_body *b, struct str *in, struct str *data, struct err *e)
{
    *data = (struct str){0};
    while (!b->is_done) {
        struct str line = {0};
        bool is_whole;

        if (b->kind == HTTP_BODY_LENGTH) {
            *data = take_data(b, in);
            b->is_done = !b->left;
            return true;
        }
        if (b->state == HTTP_CHUNK_DATA) {
            *data = take_data(b, in);
            if (!b->left)
                b->state = HTTP_CHUNK_END;
            if (data->n || b->left)
                return true;
            continue;
        }
        if (!take_line(in, &line, &is_whole, e))
            return false;
        if (!is_whole)
            return true;
        switch (b->state) {
        case HTTP_CHUNK_END:
            if (line.n)
                return fail(e, ERR_SYNTAX, "a chunk is longer than it says");
            b->state = HTTP_CHUNK_SIZE;
            break;
        case HTTP_CHUNK_TRAILERS:
            if (!parse_trailer(b, line, e))
                return false;
            break;
        case HTTP_CHUNK_SIZE:
        case HTTP_CHUNK_DATA:
            if (!parse_size(b, line, e))
                return false;
            break;
        }
    }
    return true;
}
