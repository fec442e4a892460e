#include "text/json.h"

#include "base/map.h"

// What every value of JSON has before it; inside of texts they count as well.
static bool has_few_values(struct str text, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == ',' || text.p[i] == ':' || text.p[i] == '[' || text.p[i] == '{';
    return n <= max;
}

// What jansson says has a piece of the text in it; it is for a line of the log.
static const char *ascii_of(char *why)
{
    for (char *p = why; *p; p++)
        if (*p < ' ' || *p > 126)
            *p = '?';
    return why;
}

json_t *json_read(struct str text, size_t max_values, struct err *e)
{
    json_error_t why;
    json_t *root;

    if (!has_few_values(text, max_values)) {
        (void)fail(e, ERR_LIMIT, "JSON with more in it than is allowed");
        return NULL;
    }
    json_object_seed((size_t)str_hash(STR("json")) | 1); // ours, so that no file is asked for one
    root = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        (void)fail(e, ERR_SYNTAX, "line %d: %.100s", why.line, ascii_of(why.text));
    return root;
}

struct str json_text_at(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) ? str_at(json_string_value(value), json_string_length(value))
                                 : STR("");
}
