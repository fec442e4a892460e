#include "config/sconf.h"

#include <stdarg.h>

#include "base/checked.h"
#include "base/cur.h"
#include "base/map.h"
#include "text/encode.h"

struct reader {
    struct arena *a;
    struct sconf *file;
    struct problems *problems;
    struct cur c;
    unsigned number; // of the line in `line`
    struct str line;
    bool has_line; // `line` is read and not used
    unsigned last_used;
};

void problem_add(struct problems *p, const struct sconf *file, const struct sconf_node *at,
                 const char *format, ...)
{
    char text[512];
    va_list ap;

    if (p->n++ >= SCONF_MAX_PROBLEMS)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    buf_put(p->out, file->name);
    buf_printf(p->out, ":%u: ", at && at->line ? at->line : 1);
    for (char *c = text; *c; c++)
        buf_put_char(p->out, (unsigned char)*c < 32 || *c == 127 ? '?' : *c);
    buf_put_char(p->out, '\n');
}

static void line_problem(struct reader *r, const char *text)
{
    struct sconf_node at = {.line = r->number};

    if (!r->file->is_broken)
        problem_add(r->problems, r->file, &at, "%s", text);
    r->file->is_broken = true;
}

// The next line that is neither empty nor a comment, without taking it.
static bool peek(struct reader *r)
{
    while (!r->has_line) {
        struct str trimmed;

        if (!cur_line(&r->c, &r->line))
            return false;
        r->number++;
        trimmed = str_trim(r->line);
        if (str_ends(r->line, STR("\r")))
            line_problem(r, "line ends in a carriage return; lines end in a line feed alone");
        else if (r->line.n && !trimmed.n)
            line_problem(r, "only white space in the line, perhaps by mistake");
        else if (trimmed.n && trimmed.p[0] != '#')
            r->has_line = true;
    }
    return true;
}

static size_t indent_of(struct str line)
{
    size_t n = 0;

    while (n < line.n && line.p[n] == '\t')
        n++;
    return n;
}

static bool split_line(struct reader *r, struct str text, struct sconf_node *n)
{
    struct str rest;

    if (text.p[0] == '-') {
        n->is_item = true;
        rest = str_from(text, 1);
    } else if (str_cut(text, ':', &n->key, &rest)) {
        if (!n->key.n) {
            line_problem(r, "empty key");
            return false;
        }
    } else {
        line_problem(r, "no colon after the key");
        return false;
    }
    if (rest.n && rest.p[0] != ' ') {
        line_problem(r, n->is_item ? "missing space after the dash"
                                   : "missing space after the colon");
        return false;
    }
    n->value = str_from(rest, 1);
    return true;
}

static void parse_block(struct reader *r, size_t depth, struct sconf_node *parent)
{
    struct sconf_node **end = &parent->child;
    struct map seen = {0};

    while (peek(r)) {
        size_t indent = indent_of(r->line);
        struct str text = str_from(r->line, indent);
        const struct sconf_node *first;
        struct sconf_node *n;

        if (indent < depth)
            break;
        r->has_line = false;
        if (indent > depth || text.p[0] == ' ') {
            line_problem(r, text.p[0] == ' ' ? "indent with tabs, not spaces"
                                             : "indented too deep");
            continue;
        }
        n = ARENA_NEW(r->a, struct sconf_node);
        n->line = n->end = r->number;
        if (!utf8_is_valid(text)) {
            line_problem(r, "not valid UTF-8");
            continue;
        }
        if (!split_line(r, text, n))
            continue;
        if (parent->child && parent->child->is_item != n->is_item) {
            line_problem(r, "list items and keys are mixed");
            continue;
        }
        r->last_used = r->number;
        first = n->is_item ? NULL : map_get(&seen, n->key);
        if (first && !r->file->is_broken)
            problem_add(r->problems, r->file, n, "duplicate key \"%.*s\", which is in line %u already",
                        STR_FMT(str_sub(n->key, 0, 100)), first->line);
        if (!first) { // what is below a duplicate is read as well, and dropped
            if (!n->is_item)
                map_put(&seen, n->key, n);
            *end = n;
            end = &n->next;
        }
        if (depth < SCONF_MAX_DEPTH && peek(r) && indent_of(r->line) > depth && !n->value.n)
            parse_block(r, depth + 1, n);
        n->end = r->last_used;
    }
    map_fini(&seen);
}

void sconf_parse(struct arena *a, struct str name, struct str text, struct sconf *out,
                 struct problems *problems)
{
    struct reader r = {.a = a, .file = out, .problems = problems, .c = cur_of(text)};

    *out = (struct sconf){name, text, ARENA_NEW(a, struct sconf_node), text.n > SCONF_MAX_BYTES};
    if (out->is_broken)
        problem_add(problems, out, out->root, "the file is larger than %d MiB",
                    SCONF_MAX_BYTES >> 20);
    else
        parse_block(&r, 0, out->root);
    out->root->end = r.last_used;
}

const struct sconf_node *sconf_get(const struct sconf_node *node, const char *key)
{
    struct str k = str_of(key);

    SCONF_EACH (n, node)
        if (!n->is_item && str_eq(n->key, k))
            return n;
    return NULL;
}

struct str sconf_text(const struct sconf_node *node, const char *key)
{
    const struct sconf_node *n = sconf_get(node, key);

    return n ? n->value : STR("");
}

bool sconf_bool(const struct sconf_node *node, const char *key)
{
    return str_eq(sconf_text(node, key), STR("true"));
}

double sconf_float(const struct sconf_node *node, const char *key)
{
    struct str text = sconf_text(node, key);
    double v = 0, scale = 1;
    bool after = false;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.')
            after = true;
        else if (ascii_is_digit(text.p[i])) {
            v = v * 10 + (text.p[i] - '0');
            scale *= after ? 10 : 1;
        }
    }
    return v / scale;
}

uint64_t sconf_u64(const struct sconf_node *node, const char *key, uint64_t otherwise)
{
    uint64_t v;

    return str_u64(sconf_text(node, key), INT64_MAX, &v) && v ? v : otherwise;
}

// One "<digits>[.digits]unit" of a duration, in nanoseconds.
static bool duration_part(struct cur *c, uint64_t *out)
{
    static const struct {
        struct str name;
        uint64_t ns;
    } units[] = {{STR_("ns"), 1},          {STR_("us"), 1000},          {STR_("ms"), 1000000},
                 {STR_("s"), 1000000000u}, {STR_("m"), 60000000000u},   {STR_("h"), 3600000000000u}};
    uint64_t whole = 0, fraction = 0, scale = 1;
    bool has_digits = cur_u64(c, INT64_MAX, &whole);

    if (cur_skip(c, '.'))
        for (int ch; (ch = cur_peek(c)) >= '0' && ch <= '9'; cur_next(c)) {
            has_digits = true;
            if (scale < 1000000000u) {
                fraction = fraction * 10 + (uint64_t)(ch - '0');
                scale *= 10;
            }
        }
    if (!has_digits)
        return false;
    // "ms" before "m" and "s": the table is in that order.
    for (size_t i = 0; i < COUNT(units); i++)
        if (cur_skip_str(c, units[i].name)) {
            uint64_t ns;

            if (__builtin_mul_overflow(whole, units[i].ns, &ns) ||
                !u64_add(ns, fraction * (units[i].ns / scale), out))
                return false;
            return *out <= INT64_MAX;
        }
    return false;
}

bool sconf_duration(struct str text, int64_t *out)
{
    struct cur c = cur_of(text);
    bool is_negative = cur_skip(&c, '-');
    uint64_t total = 0;

    if (!is_negative)
        cur_skip(&c, '+');
    if (str_eq(cur_rest(&c), STR("0"))) {
        *out = 0;
        return true;
    }
    if (!cur_left(&c))
        return false;
    while (cur_left(&c)) {
        uint64_t part;

        if (!duration_part(&c, &part) || !u64_add(total, part, &total) || total > INT64_MAX)
            return false;
    }
    *out = is_negative ? -(int64_t)total : (int64_t)total;
    return true;
}

// Lines [first, last] of the text with their line ends; numbers from 1.
static void put_lines(struct buf *out, const struct sconf *file, unsigned first, unsigned last)
{
    struct cur c = cur_of(file->text);
    struct str line;

    for (unsigned n = 1; n <= last && cur_line(&c, &line); n++)
        if (n >= first) {
            buf_put(out, line);
            buf_put_char(out, '\n');
        }
}

static void put_indent(struct buf *out, size_t n)
{
    while (n--)
        buf_put_char(out, '\t');
}

static struct str line_at(const struct sconf *file, unsigned number)
{
    struct cur c = cur_of(file->text);
    struct str line = {0};

    for (unsigned n = 1; n <= number; n++)
        if (!cur_line(&c, &line))
            return STR("");
    return line;
}

void sconf_write_value(struct buf *out, const struct sconf *file, const struct sconf_node *node,
                       struct str value)
{
    put_lines(out, file, 1, node->line - 1);
    put_indent(out, indent_of(line_at(file, node->line)));
    if (node->is_item) {
        BUF_PUT(out, "-");
    } else {
        buf_put(out, node->key);
        BUF_PUT(out, ":");
    }
    if (value.n)
        BUF_PUT(out, " ");
    buf_put(out, value);
    BUF_PUT(out, "\n");
    put_lines(out, file, node->end + 1, UINT32_MAX);
}

void sconf_write_added(struct buf *out, const struct sconf *file, const struct sconf_node *parent,
                       struct str block)
{
    struct cur c = cur_of(block);
    struct str line;
    size_t depth = parent->line ? indent_of(line_at(file, parent->line)) + 1 : 0;

    // A parent written as "Key: nil" becomes a block.
    put_lines(out, file, 1, parent->line ? parent->line - 1 : 0);
    if (parent->line) {
        put_indent(out, depth - 1);
        if (parent->is_item) {
            BUF_PUT(out, "-\n");
        } else {
            buf_put(out, parent->key);
            BUF_PUT(out, ":\n");
        }
    }
    put_lines(out, file, parent->line + 1, parent->end);
    while (cur_line(&c, &line)) {
        if (line.n)
            put_indent(out, depth);
        buf_put(out, line);
        BUF_PUT(out, "\n");
    }
    put_lines(out, file, parent->end + 1, UINT32_MAX);
}

void sconf_write_removed(struct buf *out, const struct sconf *file, const struct sconf_node *node)
{
    unsigned first = node->line;

    // The comment lines right above it, with the same indentation, are about it.
    while (first > 1) {
        struct str above = line_at(file, first - 1);

        if (!str_starts(str_trim(above), STR("#")) ||
            indent_of(above) != indent_of(line_at(file, node->line)))
            break;
        first--;
    }
    put_lines(out, file, 1, first - 1);
    put_lines(out, file, node->end + 1, UINT32_MAX);
}
