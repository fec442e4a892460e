/*
 * The MIME parser: the tree is the same however the message is cut into blocks, offsets are
 * nested and in order, and the stored form gives the same tree back.
 */
#include <stdint.h>

#include "base/die.h"
#include "message/summary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(const struct part *p, uint64_t start, uint64_t end)
{
    uint64_t at = p->body_start;

    if (p->header_start < start || p->body_start < p->header_start || p->body_end < p->body_start ||
        p->body_end > end)
        die("offsets are not nested");
    for (const struct part *child = p->child; child; child = child->next) {
        check_part(child, at, p->body_end);
        at = child->body_end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_BUF whole = BUF_LIMIT(64 << 20);
    AUTO_BUF cut = BUF_LIMIT(64 << 20);
    AUTO_BUF again = BUF_LIMIT(64 << 20);
    struct mime_parser *parser;
    struct part *root, *decoded;
    struct str bytes = str_at(data, size);
    struct err e = {0};
    bool is_broken;

    if (size > 200000)
        return 0;
    root = mime_parse(&a, bytes, &is_broken);
    check_part(root, 0, size);
    part_encode(&whole, root);
    parser = mime_parser_new(&a);
    for (size_t at = 0, step = 1 + size % 7; at < size; at += step)
        mime_parser_feed(parser, str_sub(bytes, at, step));
    part_encode(&cut, mime_parser_end(parser, &is_broken));
    if (!str_eq(buf_str(&whole), buf_str(&cut)))
        die("the tree depends on the blocks");
    if (!part_decode(&a, buf_str(&whole), &decoded, &e))
        die("cannot decode our own tree: %s", e.text);
    part_encode(&again, decoded);
    if (!str_eq(buf_str(&whole), buf_str(&again)))
        die("the stored tree is not the same");
    message_has_attachment(root);
    message_first_text(root);
    if (part_decode(&a, bytes, &decoded, &e)) // hostile bytes as a stored tree
        message_is_dsn(decoded);
    return 0;
}
