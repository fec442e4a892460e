#include "message/mime.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_KEPT = 1024 }; // of a body line: enough to see a boundary

struct level {
    struct part *part;
    struct part **next_child;
    struct str boundary; // of a multipart
};

struct mime_parser {
    struct arena *a;
    uint64_t offset;      // of the byte fed next
    uint64_t line_start;  // offset of the line in progress
    bool in_header;
    struct buf header;    // the block in progress
    struct buf line;      // the start of the line in progress, at most LINE_KEPT
    size_t last_line_end; // length of the previous line's end: 0, 1 (LF) or 2 (CRLF)
    bool last_was_cr;     // the byte before the block
    struct level levels[MIME_MAX_DEPTH + 1]; // levels[depth].part is the part in progress
    size_t depth;
    bool in_gap; // between parts of levels[depth]: preamble or epilogue
    size_t n_parts, n_text;
    bool is_broken;
    struct part *root;
    uint64_t total_lines;
};

bool part_is_text(const struct part *p)
{
    return !p->type.n || str_eq(p->type, STR("text"));
}

static struct part *new_part(struct mime_parser *p, uint64_t header_start)
{
    struct part *part = ARENA_NEW(p->a, struct part);

    p->n_parts++;
    part->header_start = part->body_start = part->body_end = header_start;
    return part;
}

// A new part under levels[depth], which becomes the part in progress.
static void open_child(struct mime_parser *p, uint64_t header_start)
{
    struct level *parent = &p->levels[p->depth];
    struct part *part = new_part(p, header_start);

    *parent->next_child = part;
    parent->next_child = &part->next;
    p->depth++;
    p->levels[p->depth] = (struct level){.part = part, .next_child = &part->child};
    p->in_header = true;
    p->in_gap = false;
    buf_reset(&p->header);
}

static void set_once(struct arena *a, struct str *field, struct str value)
{
    if (!field->p)
        *field = header_unfold(a, value);
}

// Whatever remains after ten thousand parts with long headers is opaque.
static bool is_full(const struct mime_parser *p)
{
    return p->n_parts >= MIME_MAX_PARTS || p->n_text >= MIME_MAX_TEXT;
}

/*
 * Several fields of one name count as one list (mox-smtp-delivery.md 6.2). They are joined in a
 * buffer: what a hundred thousand of them add up to takes no more memory than that.
 */
enum { N_LISTS = 6, LIST_BYTES = 65536 };
struct lists {
    struct buf joined[N_LISTS];
    bool is_there[N_LISTS];
};

static void set_list(struct lists *lists, size_t i, struct str value)
{
    struct buf *b = &lists->joined[i];

    b->limit = 2 * MIME_MAX_HEADER;
    if (b->n >= LIST_BYTES)
        return;
    if (lists->is_there[i])
        BUF_PUT(b, ", ");
    lists->is_there[i] = true;
    for (size_t k = 0, start = 0; k <= value.n; k++) {
        char c = k < value.n ? value.p[k] : '\n';

        if (c != '\r' && c != '\n' && c)
            continue;
        buf_put(b, str_sub(value, start, k - start));
        if (!c)
            buf_put_char(b, ' ');
        start = k + 1;
    }
}

static const struct str list_names[N_LISTS] = {STR_("From"), STR_("Reply-To"), STR_("To"),
                                               STR_("Cc"), STR_("Bcc"), STR_("References")};

// True when the field is kept.
static bool envelope_field(struct arena *a, struct envelope *env, struct lists *lists,
                           const struct header_field *f)
{
    const struct {
        struct str name;
        struct str *field;
    } fields[] = {
        {STR_("Date"), &env->date},
        {STR_("Subject"), &env->subject},
        {STR_("Sender"), &env->sender},
        {STR_("In-Reply-To"), &env->in_reply_to},
        {STR_("Message-ID"), &env->message_id},
        {STR_("List-ID"), &env->list_id},
    };

    for (size_t i = 0; i < N_LISTS; i++)
        if (str_eq_ci(f->name, list_names[i])) {
            set_list(lists, i, f->value);
            return true;
        }
    for (size_t i = 0; i < COUNT(fields); i++)
        if (str_eq_ci(f->name, fields[i].name)) {
            set_once(a, fields[i].field, f->value);
            return true;
        }
    return false;
}

static void end_lists(struct arena *a, struct envelope *env, struct lists *lists)
{
    struct str *fields[N_LISTS] = {&env->from, &env->reply_to, &env->to,   &env->cc,
                                   &env->bcc,  &env->references};

    for (size_t i = 0; i < N_LISTS; i++) {
        if (lists->is_there[i])
            *fields[i] = str_trim(arena_dup(a, buf_str(&lists->joined[i])));
        buf_fini(&lists->joined[i]);
    }
}

static void content_type(struct arena *a, struct part *part, struct str value)
{
    struct cur c = cur_of(value);
    struct str type, subtype;

    header_skip_cfws(&c);
    type = header_token(&c);
    header_skip_cfws(&c);
    if (!type.n || !cur_skip(&c, '/')) {
        part->type = STR("application");
        part->subtype = STR("octet-stream");
        return;
    }
    header_skip_cfws(&c);
    subtype = header_token(&c);
    part->type = arena_lower(a, type);
    part->subtype = subtype.n ? arena_lower(a, subtype) : STR("octet-stream");
    param_parse(a, &c, &part->params);
}

static void content_field(struct arena *a, struct part *part, const struct header_field *f)
{
    struct cur c = cur_of(f->value);
    struct str rest;

    rest = str_from(f->name, 8);
    header_skip_cfws(&c);
    if (str_eq_ci(rest, STR("Type")) && !part->type.n) {
        content_type(a, part, f->value);
    } else if (str_eq_ci(rest, STR("Transfer-Encoding")) && !part->encoding.p) {
        part->encoding = arena_lower(a, header_token(&c));
    } else if (str_eq_ci(rest, STR("Disposition")) && !part->disposition.p) {
        part->disposition = arena_lower(a, header_token(&c));
        param_parse(a, &c, &part->disposition_params);
    } else if (str_eq_ci(rest, STR("ID"))) {
        set_once(a, &part->id, f->value);
    } else if (str_eq_ci(rest, STR("Description"))) {
        set_once(a, &part->description, f->value);
    } else if (str_eq_ci(rest, STR("MD5"))) {
        set_once(a, &part->md5, f->value);
    } else if (str_eq_ci(rest, STR("Language"))) {
        set_once(a, &part->language, f->value);
    } else if (str_eq_ci(rest, STR("Location"))) {
        set_once(a, &part->location, f->value);
    }
}

static bool is_identity(struct str encoding)
{
    return !encoding.n || str_eq(encoding, STR("7bit")) || str_eq(encoding, STR("8bit")) ||
           str_eq(encoding, STR("binary"));
}

static void end_header(struct mime_parser *p, uint64_t body_start);

// The header of the part in progress is complete: what is its body?
static void start_body(struct mime_parser *p, uint64_t body_start)
{
    struct level *l = &p->levels[p->depth];
    struct part *part = l->part;

    p->in_header = false;
    part->body_start = part->body_end = body_start;
    // RFC 2046 5.1.5: what a digest holds is messages.
    if (!part->type.n && p->depth && p->levels[p->depth - 1].part->is_multipart &&
        str_eq(p->levels[p->depth - 1].part->subtype, STR("digest"))) {
        part->type = STR("message");
        part->subtype = STR("rfc822");
    }
    if (p->depth == MIME_MAX_DEPTH || is_full(p))
        return; // deeper or more: the rest is opaque
    if (str_eq(part->type, STR("multipart"))) {
        l->boundary = param_get(&part->params, STR("boundary"));
        if (!l->boundary.n || l->boundary.n > MIME_MAX_BOUNDARY) {
            p->is_broken = true;
            return;
        }
        part->is_multipart = true;
        p->in_gap = true;
        return;
    }
    if (str_eq(part->type, STR("message")) && is_identity(part->encoding) &&
        (str_eq(part->subtype, STR("rfc822")) || str_eq(part->subtype, STR("global")))) {
        part->is_message = true;
        open_child(p, body_start);
        p->levels[p->depth].part->envelope = ARENA_NEW(p->a, struct envelope);
    }
}

static void end_header(struct mime_parser *p, uint64_t body_start)
{
    struct part *part = p->levels[p->depth].part;
    struct cur c = cur_of(buf_str(&p->header));
    struct lists lists = {0};
    struct header_field f;

    while (header_next(&c, &f)) {
        bool is_kept = str_starts_ci(f.name, STR("Content-"));

        if (is_kept)
            content_field(p->a, part, &f);
        else if (part->envelope)
            is_kept = envelope_field(p->a, part->envelope, &lists, &f);
        p->n_text += is_kept ? f.raw.n : 0;
    }
    if (part->envelope)
        end_lists(p->a, part->envelope, &lists);
    start_body(p, body_start);
}

// Everything inside levels[to] ends at offset end.
static void close_to(struct mime_parser *p, size_t to, uint64_t end, uint64_t lines)
{
    while (p->in_header) { // it has no body; nor has the message that it may announce
        struct part *part = p->levels[p->depth].part;

        end_header(p, end);
        part->lines = lines;
        p->levels[p->depth].part->lines = lines;
    }
    while (p->depth > to) {
        struct part *part = p->levels[p->depth].part;

        // The line end before a boundary is the boundary's, even when it is also the blank line that
        // ends an empty part's header: no part reaches past its parent.
        if (part->header_start > end)
            part->header_start = end;
        if (part->body_start > end)
            part->body_start = end;
        part->body_end = end;
        part->lines = lines > part->lines ? lines - part->lines : 0;
        p->depth--;
    }
}

// The level whose boundary this line is, innermost first; -1 when it is none.
static ptrdiff_t boundary_level(const struct mime_parser *p, struct str line, bool *is_last)
{
    struct str text = str_from(line, 2);

    if (!str_starts(line, STR("--")))
        return -1;
    for (size_t i = p->depth + 1; i-- > 0;) {
        struct str b = p->levels[i].boundary, after;

        if (!b.n || !str_starts(text, b))
            continue;
        after = str_from(text, b.n);
        *is_last = str_starts(after, STR("--"));
        // mox-smtp-delivery.md 6.2: end of line, blank or "--" must follow.
        if (*is_last || !after.n || after.p[0] == ' ' || after.p[0] == '\t' ||
            after.p[0] == '\r' || after.p[0] == '\n')
            return (ptrdiff_t)i;
    }
    return -1;
}

static void on_boundary(struct mime_parser *p, size_t level, bool is_last, uint64_t line_end)
{
    uint64_t end = p->line_start - p->last_line_end;
    struct part *multipart = p->levels[level].part;

    if (is_last && !multipart->child)
        p->is_broken = true; // the first boundary is the closing one
    // The line end before a boundary belongs to the boundary.
    close_to(p, level, end, p->total_lines - (p->last_line_end ? 1 : 0));
    p->in_gap = true;
    if (is_last) {
        p->levels[level].boundary = (struct str){0}; // what follows is epilogue
    } else if (!is_full(p)) {
        open_child(p, line_end);
        // lines holds the count at the start until the part is closed
        p->levels[p->depth].part->lines = 0;
    }
}

static void end_line(struct mime_parser *p, uint64_t line_end, size_t end_n)
{
    p->total_lines++;
    p->last_line_end = end_n;
    p->line_start = line_end;
}

// A line of a header, with an end of end_n bytes.
static void on_header_line(struct mime_parser *p, struct str line, uint64_t line_end, size_t end_n)
{
    size_t depth = p->depth;

    buf_put(&p->header, line);
    if (line.n > end_n)
        return;
    end_header(p, line_end);
    p->levels[depth].part->lines = p->total_lines + 1;
    if (p->depth > depth)
        p->levels[p->depth].part->lines = 0;
}

// A line is complete, or the message has ended in the middle of one.
static void on_line(struct mime_parser *p, uint64_t line_end)
{
    struct str line = buf_str(&p->line);
    size_t end_n = str_ends(line, STR("\r\n")) ? 2 : str_ends(line, STR("\n")) ? 1 : 0;
    bool is_last = false;
    ptrdiff_t level = boundary_level(p, line, &is_last);

    if (level >= 0)
        on_boundary(p, (size_t)level, is_last, line_end);
    else if (p->in_header)
        on_header_line(p, line, line_end, end_n);
    end_line(p, line_end, end_n);
    buf_reset(&p->line);
}

struct mime_parser *mime_parser_new(struct arena *a)
{
    struct mime_parser *p = heap_alloc(sizeof *p);

    p->a = a;
    p->header = (struct buf)BUF_LIMIT(MIME_MAX_HEADER);
    p->line = (struct buf)BUF_LIMIT(LINE_KEPT);
    p->root = new_part(p, 0);
    p->root->envelope = ARENA_NEW(a, struct envelope);
    p->levels[0] = (struct level){.part = p->root, .next_child = &p->root->child};
    p->in_header = true;
    return p;
}

// Keeps what of a line is needed: all of it in a header, the start of it in a body, and its end.
static void keep(struct mime_parser *p, struct str piece)
{
    size_t room;

    p->line.limit = p->in_header ? MIME_MAX_HEADER : LINE_KEPT;
    room = p->line.limit > p->line.n ? p->line.limit - p->line.n : 0;
    if (piece.n <= room) {
        buf_put(&p->line, piece);
        return;
    }
    buf_put(&p->line, str_sub(piece, 0, room));
    if (str_ends(piece, STR("\n")) && p->line.n >= 2) {
        p->line.p[p->line.n - 1] = '\n';
        p->line.p[p->line.n - 2] = piece.n > 1 ? piece.p[piece.n - 2] : p->last_was_cr ? '\r' : ' ';
    }
}

void mime_parser_feed(struct mime_parser *p, struct str bytes)
{
    while (bytes.n) {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        struct str piece = lf ? str_at(bytes.p, (size_t)(lf + 1 - bytes.p)) : bytes;

        p->offset += piece.n;
        if (lf && !p->line.n && !str_starts(piece, STR("--")) &&
            (!p->in_header || piece.n <= LINE_KEPT)) {
            // A whole line, and no boundary: of a body, only where it ends matters.
            size_t end_n = piece.n > 1 && piece.p[piece.n - 2] == '\r' ? 2 : 1;

            if (p->in_header)
                on_header_line(p, piece, p->offset, end_n);
            end_line(p, p->offset, end_n);
        } else {
            keep(p, piece);
            if (lf)
                on_line(p, p->offset);
        }
        p->last_was_cr = piece.p[piece.n - 1] == '\r';
        bytes = str_from(bytes, piece.n);
    }
}

void part_make_opaque(struct part *root)
{
    root->child = NULL;
    root->is_multipart = root->is_message = false;
    root->type = STR("application");
    root->subtype = STR("octet-stream");
    root->params = (struct params){0};
}

struct part *mime_parser_end(struct mime_parser *p, bool *is_broken)
{
    struct part *root = p->root;

    if (p->line.n) {
        on_line(p, p->offset);
        p->total_lines--; // it had no line end
    }
    close_to(p, 0, p->offset, p->total_lines);
    root->body_end = p->offset;
    root->lines = p->total_lines > root->lines ? p->total_lines - root->lines : 0;
    *is_broken = p->is_broken;
    if (p->is_broken)
        part_make_opaque(root);
    buf_fini(&p->header);
    buf_fini(&p->line);
    free(p);
    return root;
}

struct part *mime_parse(struct arena *a, struct str bytes, bool *is_broken)
{
    struct mime_parser *p = mime_parser_new(a);

    mime_parser_feed(p, bytes);
    return mime_parser_end(p, is_broken);
}
