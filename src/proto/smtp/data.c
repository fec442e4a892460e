#include "proto/smtp/smtp.h"

#include <string.h>

// What precedes the next byte. "." is a dot that starts a line; stuffed or not, depends on DATA.
enum {
    AT_LINE_START, // CR LF, or the beginning
    IN_LINE,
    AFTER_CR,
    AFTER_LF,     // a bare LF
    AFTER_DOT,    // CR LF "."
    AFTER_DOT_CR, // CR LF "." CR
    AFTER_LF_DOT, // bare LF "."
    AFTER_LF_DOT_CR,
};

static void put_data(struct smtp_data *d, struct buf *out, char c)
{
    d->has_8bit |= (unsigned char)c >= 128;
    d->size++;
    buf_put_char(out, c);
}

// Bytes that are neither CR nor LF.
static void put_run(struct smtp_data *d, struct buf *out, struct str run)
{
    d->has_8bit |= !str_is_ascii(run);
    d->size += run.n;
    buf_put(out, run);
}

static void put_line_end(struct smtp_data *d, struct buf *out)
{
    put_data(d, out, '\r');
    put_data(d, out, '\n');
}

static void ordinary(struct smtp_data *d, struct buf *out, char c)
{
    if (c == '\r') {
        d->state = AFTER_CR;
    } else if (c == '\n') {
        put_line_end(d, out);
        d->added++;
        d->state = AFTER_LF;
    } else {
        put_data(d, out, c);
        d->state = IN_LINE;
    }
}

// A CR that no LF followed: kept as it came, and remembered.
static void bare_cr(struct smtp_data *d, struct buf *out, char c)
{
    d->has_smuggling = true;
    put_data(d, out, '\r');
    ordinary(d, out, c);
}

static void step(struct smtp_data *d, char c, struct buf *out)
{
    switch (d->state) {
    case AT_LINE_START:
        if (c == '.') {
            d->state = AFTER_DOT;
            if (d->is_chunked)
                put_data(d, out, c);
        } else {
            ordinary(d, out, c);
        }
        break;
    case AFTER_LF:
        if (c == '.') {
            put_data(d, out, c); // not at the start of an SMTP line: no dot to remove
            d->state = AFTER_LF_DOT;
        } else {
            ordinary(d, out, c);
        }
        break;
    case AFTER_CR:
        if (c == '\n') {
            put_line_end(d, out);
            d->state = AT_LINE_START;
        } else {
            bare_cr(d, out, c);
        }
        break;
    case AFTER_DOT:
        if (c == '\r') {
            d->state = AFTER_DOT_CR;
        } else {
            d->has_smuggling |= c == '\n'; // CR LF . LF
            ordinary(d, out, c);           // a stuffed dot is dropped
        }
        break;
    case AFTER_DOT_CR:
        if (c != '\n') {
            bare_cr(d, out, c);
        } else if (d->is_chunked) {
            put_line_end(d, out);
            d->state = AT_LINE_START;
        } else {
            d->is_done = true;
        }
        break;
    case AFTER_LF_DOT:
        if (c == '\r') {
            d->state = AFTER_LF_DOT_CR;
        } else {
            d->has_smuggling |= c == '\n'; // LF . LF
            ordinary(d, out, c);
        }
        break;
    case AFTER_LF_DOT_CR:
        if (c == '\n') {
            d->has_smuggling = true; // LF . CR LF
            put_line_end(d, out);
            d->state = AT_LINE_START;
        } else {
            bare_cr(d, out, c);
        }
        break;
    default: // IN_LINE
        ordinary(d, out, c);
    }
}

// How much of in goes through without a look at each byte: what precedes the end of a line. No more than
// a line's length is searched: either end may be missing all the way.
static size_t run_length(struct str in)
{
    enum { MOST_RUN = 512 };
    struct str near = str_sub(in, 0, MOST_RUN);
    ptrdiff_t lf = str_find(near, '\n'), cr;
    size_t n = lf == STR_NONE ? near.n : (size_t)lf;

    cr = str_find(str_sub(near, 0, n), '\r');
    return cr == STR_NONE ? n : (size_t)cr;
}

void smtp_data_feed(struct smtp_data *d, struct str *in, struct buf *out)
{
    while (in->n && !d->is_done) {
        size_t run = d->state == IN_LINE ? run_length(*in) : 0;

        if (run) {
            put_run(d, out, str_sub(*in, 0, run));
        } else {
            step(d, in->p[0], out);
            run = 1;
        }
        *in = str_from(*in, run);
    }
}

void smtp_data_end(struct smtp_data *d, struct buf *out)
{
    if (d->state == AFTER_CR || d->state == AFTER_DOT_CR || d->state == AFTER_LF_DOT_CR) {
        d->has_smuggling = true;
        put_data(d, out, '\r');
        d->state = IN_LINE;
    }
}
