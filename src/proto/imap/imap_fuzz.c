/*
 * IMAP commands: what is taken out of the stream does not depend on how it is cut, and each argument
 * grammar takes every text without reading past it.
 */
#include "base/die.h"
#include "proto/imap/imap.h"
#include "proto/imap/structure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A sorted set has the numbers of the set, and no others, in ascending ranges with gaps.
static void check_sorted(struct arena *a, const struct imap_set *set)
{
    enum { STAR = 1000, LOW = 3, HIGH = 5000 };
    struct imap_set sorted = imap_set_sorted(a, set, STAR, LOW, HIGH);

    for (size_t i = 0; i < sorted.n; i++)
        if (sorted.ranges[i].first > sorted.ranges[i].last || sorted.ranges[i].first < LOW ||
            sorted.ranges[i].last > HIGH ||
            (i && sorted.ranges[i].first <= sorted.ranges[i - 1].last + 1))
            die("set is not sorted");
    for (size_t i = 0; i < set->n && i < 100; i++) {
        uint64_t n = set->ranges[i].first == IMAP_STAR ? STAR : set->ranges[i].first;

        if (imap_set_has(&sorted, n) != (n >= LOW && n <= HIGH))
            die("number of a set is lost");
    }
}

// What the parser says of match data holds: both ascend, with as many numbers.
static void check_select(struct arena *a, const struct imap_select *s)
{
    if (s->has_known)
        check_sorted(a, &s->known);
    if (!s->has_match)
        return;
    if (!s->match_numbers.n || !s->match_uids.n)
        die("match data without numbers");
    check_sorted(a, &s->match_numbers);
    check_sorted(a, &s->match_uids);
}

static void parse_all(struct str text)
{
    AUTO_BUF out = BUF_LIMIT(1 << 22);

    for (int which = 0; which < 18; which++) {
        AUTO_ARENA a = ARENA_LIMIT(64 << 20);
        struct err e = {0};
        struct imap_parser p = {cur_of(text), &a, which & 1, &e};
        struct str tag, word, name;
        struct imap_words flags;
        struct imap_set set;
        struct imap_fetch fetch;
        struct imap_search search;
        struct imap_list list;
        struct imap_select select;
        unsigned items;

        if (!imap_tag(&p, &tag) || !imap_space(&p) || !imap_word(&p, &word))
            return;
        cur_skip(&p.c, ' ');
        switch (which / 2) {
        case 0:
            if (!imap_sequence_set(&p, &set))
                break;
            check_sorted(&a, &set);
            if (imap_space(&p) && imap_fetch_arguments(&p, &fetch))
                for (size_t i = 0; i < fetch.n; i++)
                    imap_fetch_name_put(&out, &fetch.items[i]);
            break;
        case 1:
            (void)!imap_search_arguments(&p, &search);
            break;
        case 2:
            if (imap_list_arguments(&p, &list))
                for (size_t i = 0; i < list.patterns.n; i++)
                    imap_list_match(list.patterns.items[i], text);
            break;
        case 3:
            if (imap_mailbox(&p, &name))
                imap_mailbox_put(&out, name, which & 1);
            if (imap_space(&p))
                (void)!imap_status_items(&p, &items);
            break;
        case 4:
            (void)!imap_flag_list(&p, which & 1, &flags);
            break;
        case 5:
            (void)!imap_astring(&p, &name);
            break;
        case 6:
            if (imap_select_arguments(&p, &select))
                check_select(&a, &select);
            break;
        case 7:
            (void)!imap_enable_arguments(&p, &flags);
            break;
        case 8:
            if (imap_id_arguments(&p, &flags) && flags.n % 2)
                die("half a pair");
            break;
        }
    }
}

// Parentheses that close, strings that end: what is wrong there would take the client out of step.
static void check_balanced(struct str text)
{
    struct cur c = cur_of(text);
    long depth = 0;

    while (cur_left(&c)) {
        int ch = cur_next(&c);
        uint64_t n;
        struct str ignored;

        depth += ch == '(' ? 1 : ch == ')' ? -1 : 0;
        if (depth < 0)
            die("a parenthesis too many");
        if (ch == '{' && (!cur_u64(&c, SIZE_MAX, &n) || !cur_skip_str(&c, STR("}\r\n")) ||
                          !cur_take(&c, n, &ignored)))
            die("a literal that is none");
        if (ch != '"')
            continue;
        while ((ch = cur_next(&c)) != '"') {
            if (ch == '\\')
                ch = cur_next(&c);
            if (ch <= 0 || ch == '\r' || ch == '\n' || ch > 127)
                die("a quoted string with what it cannot hold");
        }
    }
    if (depth)
        die("a parenthesis is missing");
}

// The bytes as a message: its structure is well-formed whatever they are.
static void structure_of(struct str message)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_BUF out = BUF_LIMIT(64 << 20);
    bool is_broken;
    struct part *root = mime_parse(&a, message, &is_broken);

    imap_envelope_put(&out, root->envelope);
    check_balanced(buf_str(&out));
    for (int extended = 0; extended < 2; extended++) {
        buf_reset(&out);
        imap_bodystructure_put(&out, root, extended);
        check_balanced(buf_str(&out));
    }
}

// All commands and announcements of the input, in pieces of step bytes, as text.
static void take(struct str in, size_t step, struct buf *out, bool is_parsed)
{
    struct imap_input input;
    uint64_t data = 0; // of a message, which is not fed

    imap_input_init(&input, &imap_limits_stranger);
    for (size_t at = 0; at < in.n; at += step) {
        struct str piece = str_sub(in, at, step);

        while (piece.n) {
            size_t skip = data < piece.n ? (size_t)data : piece.n;
            enum imap_input_result r;

            piece = str_from(piece, skip);
            data -= skip;
            if (!piece.n)
                break;
            r = imap_input_feed(&input, &piece);
            if (r == IMAP_INPUT_MORE)
                break;
            buf_printf(out, "%d:%zu:", (int)r, input.bytes.n);
            if (r == IMAP_INPUT_COMMAND) {
                buf_put(out, buf_str(&input.bytes));
                if (is_parsed)
                    parse_all(buf_str(&input.bytes));
            }
            if (r == IMAP_INPUT_BAD_LINE || r == IMAP_INPUT_TOO_LONG || r == IMAP_INPUT_TOO_BIG) {
                imap_input_fini(&input);
                return;
            }
            if (r == IMAP_INPUT_DATA) {
                data = input.data_size;
                imap_input_taken(&input);
            } else if (r != IMAP_INPUT_CONTINUE) {
                imap_input_reset(&input);
            }
        }
    }
    imap_input_fini(&input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF whole = BUF_LIMIT(64 << 20);
    AUTO_BUF pieces = BUF_LIMIT(64 << 20);
    struct str in = str_at(data, size);

    if (size > 200000)
        return 0;
    structure_of(in);
    take(in, size + 1, &whole, true);
    take(in, 1 + size % 7, &pieces, false);
    if (!str_eq(buf_str(&whole), buf_str(&pieces)))
        die("commands depend on the pieces");
    return 0;
}
