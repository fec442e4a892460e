#include "proto/imap/imap.h"

#include "base/checked.h"

const struct imap_limits imap_limits_authenticated = {16 * 1024, 100 * 1024, 1000 * 1024, 1000};
const struct imap_limits imap_limits_stranger = {16 * 1024, 4096, 16 * 1024, 20};

void imap_input_init(struct imap_input *in, const struct imap_limits *limits)
{
    *in = (struct imap_input){.limits = limits,
                              .bytes = BUF_LIMIT(limits->line + limits->total + 64 * 1024)};
}

void imap_input_fini(struct imap_input *in)
{
    buf_fini(&in->bytes);
}

void imap_input_taken(struct imap_input *in)
{
    buf_reset(&in->bytes);
    in->line_start = in->line_bytes = 0;
}

void imap_input_reset(struct imap_input *in)
{
    imap_input_taken(in);
    in->has_data = false;
    in->literal_left = in->literal_total = 0;
    in->n_literals = 0;
}

static bool is_digit(unsigned char c)
{
    return ascii_is_digit((char)c);
}

/* "{n}", "{n+}", "~{n}" at the end of a line (RFC 9051 4.3, RFC 7888). */
static bool ends_in_literal(struct str line, size_t *start, uint64_t *size, bool *is_sync)
{
    ptrdiff_t open = str_find_last(line, '{');
    struct cur c;

    if (open < 0 || !str_ends(line, STR("}")))
        return false;
    c = cur_of(str_from(line, (size_t)open + 1));
    if (!cur_u64(&c, INT64_MAX, size)) {
        // More than any number is a literal all the same: what follows it would be taken for commands.
        if (!cur_while(&c, is_digit).n)
            return false;
        *size = UINT64_MAX;
    }
    *is_sync = !cur_skip(&c, '+');
    *start = (size_t)open;
    return cur_skip(&c, '}') && !cur_left(&c);
}

static bool skip_to_space(struct cur *c)
{
    while (cur_left(c) && cur_peek(c) != ' ')
        cur_next(c);
    return cur_skip(c, ' ');
}

/*
 * Whether a literal at this place is the message of an APPEND or REPLACE: the mailbox before it may be
 * a literal too, and is an ordinary one.
 */
static bool is_message(struct str bytes, size_t literal_start)
{
    struct cur c = cur_of(str_sub(bytes, 0, literal_start));

    if (!skip_to_space(&c))
        return false;
    if (!cur_skip_str_ci(&c, STR("APPEND "))) {
        cur_skip_str_ci(&c, STR("UID "));
        if (!cur_skip_str_ci(&c, STR("REPLACE ")) || !skip_to_space(&c))
            return false;
    }
    return cur_left(&c) && !str_eq(cur_rest(&c), STR("~"));
}

static enum imap_input_result at_line_end(struct imap_input *in)
{
    struct str all = buf_str(&in->bytes), line = str_from(all, in->line_start);
    size_t start;

    if (!str_ends(line, STR("\r\n")))
        return IMAP_INPUT_BAD_LINE;
    line.n -= 2;
    if (!ends_in_literal(line, &start, &in->data_size, &in->data_is_sync)) {
        in->bytes.n -= 2;
        return IMAP_INPUT_COMMAND;
    }
    in->line_start = in->bytes.n;
    in->has_data = in->has_data || is_message(all, (size_t)(line.p - all.p) + start);
    if (in->has_data)
        return IMAP_INPUT_DATA;
    if (in->data_size > in->limits->literal ||
        in->literal_total + in->data_size > in->limits->total ||
        ++in->n_literals > in->limits->count)
        return IMAP_INPUT_TOO_BIG;
    in->literal_total += in->data_size;
    in->literal_left = in->data_size;
    return in->data_is_sync ? IMAP_INPUT_CONTINUE : IMAP_INPUT_MORE;
}

enum imap_input_result imap_input_feed(struct imap_input *in, struct str *from)
{
    while (from->n) {
        ptrdiff_t lf;
        size_t n;

        if (in->literal_left) {
            n = from->n < in->literal_left ? from->n : (size_t)in->literal_left;
            buf_put(&in->bytes, str_sub(*from, 0, n));
            *from = str_from(*from, n);
            in->literal_left -= n;
            in->line_start = in->bytes.n;
            continue;
        }
        lf = str_find(*from, '\n');
        n = lf < 0 ? from->n : (size_t)lf + 1;
        in->line_bytes += n;
        if (in->line_bytes > in->limits->line)
            return IMAP_INPUT_TOO_LONG;
        buf_put(&in->bytes, str_sub(*from, 0, n));
        *from = str_from(*from, n);
        if (lf >= 0) {
            enum imap_input_result r = at_line_end(in);

            if (r != IMAP_INPUT_MORE)
                return r;
        }
    }
    return IMAP_INPUT_MORE;
}
