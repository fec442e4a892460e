#include "message/summary.h"

#include <string.h>

#include "text/encode.h"

struct str message_id_canonical(struct arena *a, struct str value)
{
    ptrdiff_t end;
    char *p;
    size_t n = 0;

    value = str_trim(value);
    if (!str_starts(value, STR("<")))
        return (struct str){0};
    value = str_from(value, 1);
    end = str_find(value, '>');
    if (end == STR_NONE || end == 0)
        return (struct str){0};
    p = arena_alloc(a, (size_t)end);
    for (ptrdiff_t i = 0; i < end; i++)
        if (value.p[i] != ' ' && value.p[i] != '\t' && value.p[i] != '"')
            p[n++] = ascii_lower(value.p[i]);
    return str_at(p, n);
}

static void add_ids(struct arena *a, struct str text, size_t max, struct str_list *out)
{
    while (out->n < max) {
        ptrdiff_t open = str_find(text, '<'), close, again;
        struct str id;

        if (open == STR_NONE)
            return;
        text = str_from(text, (size_t)open);
        close = str_find(text, '>');
        if (close == STR_NONE)
            return;
        again = str_find(str_sub(text, 1, (size_t)close - 1), '<');
        if (again != STR_NONE) { // cut short by a new "<"
            text = str_from(text, (size_t)again + 1);
            continue;
        }
        id = message_id_canonical(a, str_sub(text, 0, (size_t)close + 1));
        if (id.n)
            *ARENA_PUSH(a, out->items, &out->n, &out->cap) = id;
        text = str_from(text, (size_t)close + 1);
    }
}

void message_references(struct arena *a, const struct envelope *env, struct str_list *out)
{
    *out = (struct str_list){0};
    add_ids(a, env->references, SUMMARY_MAX_REFERENCES, out);
    if (!out->n)
        add_ids(a, env->in_reply_to, 1, out);
}

// "[...]" at the start, and the blanks behind it; 0 when there is none.
static size_t blob_length(struct str s)
{
    ptrdiff_t end;

    if (!str_starts(s, STR("[")))
        return 0;
    end = str_find(s, ']');
    if (end == STR_NONE || str_find(str_sub(s, 1, (size_t)end - 1), '[') != STR_NONE)
        return 0;
    end++;
    while ((size_t)end < s.n && s.p[end] == ' ')
        end++;
    return (size_t)end;
}

// "re:", "fw [x]:" and the like, with blobs before it; 0 when there is none.
static size_t leader_length(struct str s)
{
    static const struct str words[] = {STR_("re"), STR_("fwd"), STR_("fw")};
    size_t at = 0, n;

    while ((n = blob_length(str_from(s, at))))
        at += n;
    for (size_t i = 0; i < COUNT(words); i++) {
        struct str rest = str_from(s, at);

        if (!str_starts(rest, words[i]))
            continue;
        rest = str_trim(str_from(rest, words[i].n));
        rest = str_from(rest, blob_length(rest));
        if (str_starts(rest, STR(":")))
            return (size_t)(rest.p + 1 - s.p);
    }
    return 0;
}

static struct str normalise(struct arena *a, struct str subject)
{
    char *p = arena_alloc(a, subject.n);
    size_t n = 0;

    for (size_t i = 0; i < subject.n; i++) {
        char c = subject.p[i];

        if (c == '\r')
            continue;
        if (c == '\t' || c == '\n')
            c = ' ';
        if (c != ' ' || !n || p[n - 1] != ' ')
            p[n++] = ascii_lower(c);
    }
    return str_at(p, n);
}

struct str subject_base(struct arena *a, struct str subject, bool *is_reply)
{
    struct str s = normalise(a, str_sub(subject, 0, 2000));
    bool changed = true;

    *is_reply = false;
    if (str_find(s, '\0') != STR_NONE)
        return (struct str){"", 0};
    while (changed) {
        size_t n;

        changed = false;
        s = str_trim(s);
        while (str_ends(s, STR("(fwd)"))) {
            s = str_trim(str_sub(s, 0, s.n - 5));
            *is_reply = true;
        }
        while ((n = leader_length(s))) {
            s = str_trim(str_from(s, n));
            *is_reply = changed = true;
        }
        n = blob_length(s);
        if (n && n < s.n && !str_starts(s, STR("[fwd:"))) {
            s = str_from(s, n);
            changed = true;
        }
        if (str_starts(s, STR("[fwd:")) && str_ends(s, STR("]"))) {
            s = str_sub(s, 5, s.n - 6);
            *is_reply = changed = true;
        }
    }
    return s;
}

bool message_is_dsn(const struct part *root)
{
    struct str type = param_get(&root->params, STR("report-type"));

    return root->is_multipart && str_eq(root->subtype, STR("report")) &&
           (str_eq_ci(type, STR("delivery-status")) ||
            str_eq_ci(type, STR("global-delivery-status"))); // RFC 6533 4
}

bool message_has_attachment(const struct part *p)
{
    if (str_eq(p->disposition, STR("attachment")) ||
        (!str_eq(p->disposition, STR("inline")) &&
         (param_get(&p->disposition_params, STR("filename")).n ||
          param_get(&p->params, STR("name")).n)))
        return true;
    for (const struct part *child = p->child; child; child = child->next)
        if (message_has_attachment(child))
            return true;
    return false;
}

const struct part *message_first_text(const struct part *p)
{
    if (!p->is_multipart && !p->is_message)
        return part_is_text(p) && !str_eq(p->disposition, STR("attachment")) ? p : NULL;
    for (const struct part *child = p->child; child && p->is_multipart; child = child->next) {
        const struct part *found = message_first_text(child);

        if (found)
            return found;
    }
    return NULL;
}

struct str message_preview(struct arena *a, struct str text)
{
    AUTO_BUF out = BUF_LIMIT(2048);
    struct cur c = cur_of(str_sub(text, 0, 65536));
    size_t characters = 0;
    struct str line;
    bool in_quote = false;

    while (characters < 256 && cur_line(&c, &line)) {
        line = str_trim(line);
        if (str_eq(line, STR("--")))
            break; // a signature follows
        if (str_starts(line, STR(">"))) {
            if (!in_quote)
                line = STR("[...]");
            else
                continue;
        }
        in_quote = str_eq(line, STR("[...]"));
        if (!line.n)
            continue;
        if (out.n)
            buf_put_char(&out, ' ');
        while (line.n && characters++ < 256)
            utf8_put(&out, utf8_next(&line));
    }
    return arena_dup(a, buf_str(&out));
}
