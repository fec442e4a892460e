#include <string.h>

#include "policy/acme/acme.h"
#include "text/date.h"
#include "text/json.h"
#include "text/url.h"

static const char *const kind_names[ACME_KINDS] = {"tls-alpn-01", "http-01", "dns-01"};

const char *acme_kind_name(enum acme_kind kind)
{
    return kind_names[kind];
}

static json_t *read_object(struct str text, struct err *e)
{
    json_t *root = text.n <= ACME_MAX_ANSWER ? json_read(text, ACME_MAX_VALUES, e) : NULL;

    if (root && json_is_object(root))
        return root;
    if (root || !e->kind)
        (void)fail(e, ERR_SYNTAX, "no JSON object");
    json_decref(root);
    return NULL;
}

bool acme_is_url(struct str text)
{
    struct err e = {0};
    struct url url;

    return text.n <= ACME_MAX_URL && url_parse(text, &url, &e) && url.is_https;
}

static bool url_of(struct arena *a, const json_t *value, bool is_needed, const char *what, struct str *out,
                   struct err *e)
{
    struct str text = json_is_string(value) ? str_at(json_string_value(value), json_string_length(value)) : STR("");

    *out = (struct str){0};
    if (!text.n)
        return !is_needed || fail(e, ERR_SYNTAX, "no %s", what);
    if (!acme_is_url(text))
        return fail(e, ERR_SYNTAX, "%s is no https URL", what);
    *out = arena_dup(a, text);
    return true;
}

// For a line of the log: one line, ASCII, and not endless.
static struct str printable(struct arena *a, struct str text, size_t max)
{
    char *p = arena_alloc(a, max + 1);
    size_t n = text.n < max ? text.n : max;

    for (size_t i = 0; i < n; i++)
        p[i] = text.p[i] >= ' ' && text.p[i] < 127 ? text.p[i] : '?';
    return str_at(p, n);
}

bool acme_directory_parse(struct arena *a, struct str text, struct acme_directory *out, struct err *e)
{
    json_t *root = read_object(text, e);
    const json_t *meta = json_object_get(root, "meta");
    bool is_ok = root && url_of(a, json_object_get(root, "newNonce"), true, "newNonce", &out->new_nonce, e) &&
                 url_of(a, json_object_get(root, "newAccount"), true, "newAccount", &out->new_account, e) &&
                 url_of(a, json_object_get(root, "newOrder"), true, "newOrder", &out->new_order, e) &&
                 url_of(a, json_object_get(root, "renewalInfo"), false, "renewalInfo", &out->renewal_info, e);

    if (is_ok) {
        out->terms = printable(a, json_text_at(meta, "termsOfService"), ACME_MAX_URL);
        out->needs_binding = json_is_true(json_object_get(meta, "externalAccountRequired"));
    }
    json_decref(root);
    return is_ok;
}

/* --- problems (RFC 8555 6.7, RFC 7807) -------------------------------------------------------------------- */

static void read_problem(struct arena *a, const json_t *p, struct acme_problem *out)
{
    static const char prefix[] = "urn:ietf:params:acme:error:";
    struct str type = json_text_at(p, "type"), detail = json_text_at(p, "detail");
    const json_t *first = json_array_get(json_object_get(p, "subproblems"), 0);
    struct str more = json_text_at(first, "detail");

    if (str_starts(type, str_of(prefix)))
        type = str_from(type, sizeof prefix - 1);
    if (!type.n)
        return;
    out->type = printable(a, type, 100);
    out->detail = printable(a, detail, 500);
    if (more.n)
        out->detail = arena_printf(a, "%.*s (%.*s)", STR_FMT(out->detail), STR_FMT(printable(a, more, 500)));
}

void acme_problem_parse(struct arena *a, struct str text, struct acme_problem *out)
{
    struct err e = {0};
    json_t *root = read_object(text, &e);

    *out = (struct acme_problem){0};
    read_problem(a, root, out);
    json_decref(root);
}

/* --- orders and authorizations (RFC 8555 7.1) --------------------------------------------------------------- */

static bool read_status(const json_t *object, bool is_order, enum acme_status *out, struct err *e)
{
    static const struct {
        const char *name;
        enum acme_status status;
        bool is_of_order, is_of_authorization;
    } known[] = {
        {"pending", ACME_PENDING, true, true},
        {"ready", ACME_READY, true, false},
        {"processing", ACME_PROCESSING, true, false},
        {"valid", ACME_VALID, true, true},
        {"invalid", ACME_INVALID, true, true},
        {"deactivated", ACME_INVALID, false, true},
        {"expired", ACME_INVALID, false, true},
        {"revoked", ACME_INVALID, false, true},
    };
    struct str text = json_text_at(object, "status");

    for (size_t i = 0; i < COUNT(known); i++)
        if (str_eq(text, str_of(known[i].name)) &&
            (is_order ? known[i].is_of_order : known[i].is_of_authorization)) {
            *out = known[i].status;
            return true;
        }
    return fail(e, ERR_SYNTAX, "unknown status");
}

bool acme_order_parse(struct arena *a, struct str text, struct acme_order *out, struct err *e)
{
    json_t *root = read_object(text, e);
    const json_t *list = json_object_get(root, "authorizations");
    bool is_ok = root && read_status(root, true, &out->status, e) &&
                 url_of(a, json_object_get(root, "finalize"), true, "finalize", &out->finalize, e) &&
                 url_of(a, json_object_get(root, "certificate"), false, "certificate", &out->certificate, e);

    out->n = 0;
    if (is_ok && json_array_size(list) > ACME_MAX_AUTHORIZATIONS)
        is_ok = fail(e, ERR_LIMIT, "an order with %zu authorizations", json_array_size(list));
    for (size_t i = 0; is_ok && i < json_array_size(list); i++) {
        is_ok = url_of(a, json_array_get(list, i), true, "authorization", &out->authorizations[i], e);
        out->n = i + 1;
    }
    out->problem = (struct acme_problem){0};
    if (is_ok)
        read_problem(a, json_object_get(root, "error"), &out->problem);
    json_decref(root);
    return is_ok;
}

// RFC 8555 8.1: base64url characters alone, so that it can be part of a path.
static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && text.p[i] != '-' && text.p[i] != '_')
            return false;
    return text.n && text.n <= ACME_MAX_TOKEN;
}

static bool read_challenge(struct arena *a, const json_t *c, struct acme_authorization *out, struct err *e)
{
    struct str type = json_text_at(c, "type"), token = json_text_at(c, "token");

    for (size_t i = 0; i < ACME_KINDS; i++) {
        struct acme_challenge *to = &out->challenges[i];

        if (!str_eq(type, str_of(kind_names[i])))
            continue;
        if (!is_token(token))
            return fail(e, ERR_SYNTAX, "a token that is none");
        to->token = arena_dup(a, token);
        read_problem(a, json_object_get(c, "error"), &to->problem);
        return url_of(a, json_object_get(c, "url"), true, "url of a challenge", &to->url, e);
    }
    return true; // RFC 8555 8: of kinds that we do not know, nothing
}

bool acme_authorization_parse(struct arena *a, struct str text, struct acme_authorization *out, struct err *e)
{
    json_t *root = read_object(text, e);
    const json_t *list = json_object_get(root, "challenges");
    bool is_ok;

    *out = (struct acme_authorization){0};
    is_ok = root && read_status(root, false, &out->status, e);
    if (is_ok)
        out->host = printable(a, json_text_at(json_object_get(root, "identifier"), "value"), 256);
    for (size_t i = 0; is_ok && i < json_array_size(list); i++)
        is_ok = read_challenge(a, json_array_get(list, i), out, e);
    json_decref(root);
    return is_ok;
}

/* --- renewal (RFC 9773) ------------------------------------------------------------------------------------- */

bool acme_window_parse(struct arena *a, struct str text, struct acme_window *out, struct err *e)
{
    json_t *root = read_object(text, e);
    const json_t *window = json_object_get(root, "suggestedWindow");
    bool is_ok = root != NULL;

    *out = (struct acme_window){0};
    // RFC 9773 4.2: a window that ends before it begins is to be ignored.
    if (is_ok && (!date_parse_rfc3339(json_text_at(window, "start"), &out->start) ||
                  !date_parse_rfc3339(json_text_at(window, "end"), &out->end) || out->start >= out->end))
        is_ok = fail(e, ERR_SYNTAX, "no window for a renewal");
    if (is_ok)
        out->explanation_url = printable(a, json_text_at(root, "explanationURL"), ACME_MAX_URL);
    json_decref(root);
    return is_ok;
}

// RFC 9110 10.2.3: seconds, or a date in the form of a message's.
int64_t acme_retry_after(struct str value, int64_t now)
{
    uint64_t seconds;
    struct date date;

    value = str_trim(value);
    if (str_u64(value, 365 * 86400, &seconds))
        return (int64_t)seconds;
    if (date_parse(value, &date) && date.unix_seconds > now && date.unix_seconds - now < 365 * 86400)
        return date.unix_seconds - now;
    return 0;
}
