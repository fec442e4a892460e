#include "config/schema.h"

#include "base/cur.h"
#include "base/map.h"

static void check_struct(const struct schema *s, const struct sconf *file,
                         const struct sconf_node *node, struct problems *p);

static bool is_float(struct str s)
{
    struct cur c = cur_of(s);
    uint64_t v;
    bool has_digits;

    cur_skip(&c, '-');
    has_digits = cur_u64(&c, INT64_MAX, &v);
    if (cur_skip(&c, '.'))
        has_digits = cur_u64(&c, UINT64_MAX, &v) || has_digits;
    return has_digits && !cur_left(&c);
}

static void check_value(const struct field *f, enum field_type type, const struct sconf *file,
                        const struct sconf_node *n, struct problems *p)
{
    struct str v = n->value;
    struct str digits = str_starts(v, STR("-")) ? str_from(v, 1) : v;
    uint64_t number;
    int64_t ns;

    if (n->child)
        problem_add(p, file, n->child, "%s takes one value, not a block", f->name);
    else if (type == FIELD_BOOL && !str_eq(v, STR("true")) && !str_eq(v, STR("false")))
        problem_add(p, file, n, "%s must be true or false, not \"%.*s\"", f->name, STR_FMT(v));
    else if (type == FIELD_INT && !str_u64(digits, INT64_MAX, &number))
        problem_add(p, file, n, "%s must be a whole number, not \"%.*s\"", f->name, STR_FMT(v));
    else if (type == FIELD_FLOAT && !is_float(v))
        problem_add(p, file, n, "%s must be a number, not \"%.*s\"", f->name, STR_FMT(v));
    else if (type == FIELD_DURATION && !sconf_duration(v, &ns))
        problem_add(p, file, n, "%s must be a duration such as 15s or 72h, not \"%.*s\"", f->name,
                    STR_FMT(v));
}

// A struct as a value: indented lines, or "nil" when it may be empty.
static void check_nested(const struct schema *s, const struct sconf *file,
                         const struct sconf_node *n, bool may_be_nil, struct problems *p)
{
    bool is_nil = may_be_nil && str_eq(n->value, STR("nil"));

    if (n->value.n && !is_nil)
        problem_add(p, file, n, "unexpected value \"%.*s\": indented lines belong here",
                    STR_FMT(n->value));
    else if (!n->child && !is_nil)
        problem_add(p, file, n, "expected indented lines below this one");
    else
        check_struct(s, file, n, p);
}

static void check_field(const struct field *f, const struct sconf *file,
                        const struct sconf_node *n, struct problems *p)
{
    if (f->type == FIELD_STRUCT) {
        check_nested(f->of, file, n, true, p);
        return;
    }
    if (f->type != FIELD_LIST && f->type != FIELD_MAP) {
        check_value(f, f->type, file, n, p);
        return;
    }
    if (n->value.n && !str_eq(n->value, STR("nil")))
        problem_add(p, file, n, "unexpected value \"%.*s\": indented lines belong here",
                    STR_FMT(n->value));
    else if (!n->child && !n->value.n)
        problem_add(p, file, n, "expected indented lines below this one");
    SCONF_EACH (item, n) {
        if (item->is_item != (f->type == FIELD_LIST))
            problem_add(p, file, item, f->type == FIELD_LIST ? "expected \"- \" and a list item"
                                                             : "expected \"key:\", not a list");
        else if (f->item == FIELD_STRUCT)
            check_nested(f->of, file, item, true, p);
        else
            check_value(f, f->item, file, item, p);
    }
}

static const struct field *find_field(const struct schema *s, struct str name)
{
    for (size_t i = 0; i < s->n; i++)
        if (str_eq(str_of(s->fields[i].name), name))
            return &s->fields[i];
    return NULL;
}

static void check_struct(const struct schema *s, const struct sconf *file,
                         const struct sconf_node *node, struct problems *p)
{
    SCONF_EACH (n, node) {
        const struct field *f = n->is_item ? NULL : find_field(s, n->key);

        if (n->is_item)
            problem_add(p, file, n, "expected \"key:\", not a list");
        else if (!f)
            problem_add(p, file, n, "unknown key \"%.*s\"", STR_FMT(n->key));
        else
            check_field(f, file, n, p);
    }
    for (size_t i = 0; i < s->n; i++)
        if (!s->fields[i].is_optional && !sconf_get(node, s->fields[i].name))
            problem_add(p, file, node, "missing required key \"%s\"", s->fields[i].name);
}

void schema_check(const struct schema *s, const struct sconf *file, struct problems *problems)
{
    check_struct(s, file, file->root, problems);
}

static void put_indent(struct buf *out, size_t depth)
{
    while (depth--)
        buf_put_char(out, '\t');
}

// A comment in lines of at most 80 columns.
static void put_comment(struct buf *out, size_t depth, struct str text)
{
    enum { WIDTH = 78 };
    size_t column = 0;
    struct str word;

    while (str_next(&text, ' ', &word)) {
        if (column && column + 1 + word.n > WIDTH) {
            BUF_PUT(out, "\n");
            column = 0;
        }
        if (!column) {
            put_indent(out, depth);
            BUF_PUT(out, "#");
            column = depth * 8 + 1;
        }
        BUF_PUT(out, " ");
        buf_put(out, word);
        column += 1 + word.n;
    }
    BUF_PUT(out, "\n");
}

static void describe_struct(const struct schema *s, size_t depth, bool is_item, struct buf *out);

static const char *zero_of(enum field_type type)
{
    return type == FIELD_BOOL ? " false" : type == FIELD_INT ? " 0"
         : type == FIELD_FLOAT ? " 0.000000" : type == FIELD_DURATION ? " 0s" : "";
}

static void describe_field(const struct field *f, size_t depth, struct buf *out)
{
    put_indent(out, depth);
    buf_printf(out, "%s:%s\n", f->name, zero_of(f->type));
    if (f->type == FIELD_STRUCT)
        describe_struct(f->of, depth + 1, false, out);
    if (f->type == FIELD_MAP || f->type == FIELD_LIST) {
        put_indent(out, depth + 1);
        buf_put(out, f->type == FIELD_MAP ? STR("x:") : STR("-"));
        BUF_PUT(out, "\n");
        if (f->item == FIELD_STRUCT)
            describe_struct(f->of, depth + 2, true, out);
    }
}

static void describe_struct(const struct schema *s, size_t depth, bool is_item, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct field *f = &s->fields[i];

        if (f->doc || f->is_optional) {
            struct buf text = BUF_LIMIT(4096);

            if (i || !is_item)
                BUF_PUT(out, "\n");
            if (f->doc)
                buf_put(&text, str_of(f->doc));
            if (f->is_optional)
                buf_put(&text, f->doc ? STR(" (optional)") : STR("(optional)"));
            put_comment(out, depth, buf_str(&text));
            buf_fini(&text);
        }
        describe_field(f, depth, out);
    }
}

void schema_describe(const struct schema *s, struct buf *out)
{
    BUF_PUT(out, "# This file is in sconf format: indent with tabs, comments on lines of their "
                 "own that begin\n# with #, no quotes around values.\n");
    describe_struct(s, 0, false, out);
}
