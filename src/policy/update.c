#include "policy/update.h"

#include "base/cur.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "text/date.h"
#include "text/encode.h"
#include "text/json.h"

static const struct str record_version = STR_("v=UPDATES0");
static const struct str version_line = STR_("version: ");

/* --- versions ------------------------------------------------------------------------------------- */

static bool take_number(struct cur *c, unsigned *out)
{
    enum { MAX_DIGITS = 9 };
    unsigned n = 0, digits = 0;

    while (cur_peek(c) >= '0' && cur_peek(c) <= '9' && digits < MAX_DIGITS) {
        if (digits && !n)
            return false; // a leading zero
        n = n * 10 + (unsigned)(cur_next(c) - '0');
        digits++;
    }
    *out = n;
    return digits > 0;
}

bool update_version_parse(struct str text, struct update_version *out)
{
    struct cur c = cur_of(text);

    *out = (struct update_version){0};
    (void)cur_skip(&c, 'v');
    return take_number(&c, &out->part[0]) && cur_skip(&c, '.') && take_number(&c, &out->part[1]) &&
           cur_skip(&c, '.') && take_number(&c, &out->part[2]) && cur_peek(&c) < 0;
}

int update_version_compare(const struct update_version *a, const struct update_version *b)
{
    for (size_t i = 0; i < COUNT(a->part); i++)
        if (a->part[i] != b->part[i])
            return a->part[i] < b->part[i] ? -1 : 1;
    return 0;
}

void update_version_put(struct buf *out, const struct update_version *v)
{
    buf_printf(out, "v%u.%u.%u", v->part[0], v->part[1], v->part[2]);
}

/* --- the record ----------------------------------------------------------------------------------- */

static bool is_record(struct str text)
{
    struct str first;

    return str_next(&text, ';', &first) && str_eq(str_trim(first), record_version);
}

bool update_record_parse(struct str text, struct update_version *latest, struct err *e)
{
    struct str field, name, value;

    if (text.n > UPDATE_MAX_RECORD)
        return fail(e, ERR_SYNTAX, "longer than %d bytes", UPDATE_MAX_RECORD);
    if (!is_record(text))
        return fail(e, ERR_SYNTAX, "not v=UPDATES0");
    while (str_next(&text, ';', &field))
        if (str_cut(str_trim(field), '=', &name, &value) && str_eq(name, STR("l")))
            return update_version_parse(value, latest) ||
                   fail(e, ERR_SYNTAX, "the latest version is no version");
    return fail(e, ERR_SYNTAX, "it does not tell the latest version");
}

bool update_find(const struct dns *dns, struct arena *a, struct str domain,
                 struct update_version *latest, struct err *e)
{
    struct dns_answer answer;
    struct str record = STR("");
    size_t n = 0;

    dns_lookup(dns, a, arena_printf(a, "_updates.%.*s", STR_FMT(domain)), DNS_TXT, &answer);
    if (answer.status == DNS_TEMPORARY || answer.status == DNS_BOGUS)
        return fail(e, ERR_TEMPORARY, "looking up _updates.%.*s: %.*s", STR_FMT(domain),
                    STR_FMT(answer.why));
    for (size_t i = 0; i < answer.n; i++)
        if (is_record(answer.records[i].data)) {
            record = answer.records[i].data;
            n++;
        }
    if (n != 1)
        return fail(e, ERR_NOT_FOUND, "_updates.%.*s has %zu records about versions",
                    STR_FMT(domain), n);
    return update_record_parse(record, latest, e) ||
           fail_in(e, "record _updates.%.*s", STR_FMT(domain));
}

/* --- the changelog -------------------------------------------------------------------------------- */

// Texts go into mail and to terminals.
static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        if (((unsigned char)text.p[i] < ' ' && text.p[i] != '\n' && text.p[i] != '\t') ||
            text.p[i] == 0x7f)
            return false;
    return true;
}

static bool take_text(struct str text, struct update_change *out, struct err *e)
{
    struct str rest = text, line;

    if (!is_plain(text) || !utf8_is_valid(text))
        return fail(e, ERR_SYNTAX, "a change has control characters in it, or is not UTF-8");
    if (!str_next(&rest, '\n', &line) || !str_starts(line, version_line) ||
        !update_version_parse(str_trim(str_from(line, version_line.n)), &out->version))
        return fail(e, ERR_SYNTAX, "a change does not begin with \"version: v1.2.3\"");
    out->text = text;
    return true;
}

static bool is_signed(struct str text, struct str signature_base64, const struct public_key *key)
{
    AUTO_BUF signature = BUF_LIMIT(ED25519_SIGNATURE_BYTES);

    return base64_decode_strict(&signature, signature_base64) && !signature.full &&
           public_key_verify_text(key, text, buf_str(&signature));
}

static bool find_changes(const json_t *root, const json_t **out, struct err *e)
{
    *out = json_object_get(root, "Changes");
    return (json_is_array(*out) && json_array_size(*out) <= UPDATE_MAX_CHANGES) ||
           fail(e, ERR_SYNTAX, "it has no list of changes, or too many");
}

// What is not newer is not looked at: it may have been signed by a key of its time.
static bool take_changes(struct arena *a, const json_t *root, const struct public_key *key,
                         const struct update_version *since, struct update_change **out, size_t *n,
                         struct err *e)
{
    const json_t *changes;
    size_t cap = 0;

    if (!find_changes(root, &changes, e))
        return false;
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *value = json_array_get(changes, i);
        struct update_change change;

        if (!take_text(json_text_at(value, "Text"), &change, e))
            return false;
        if (update_version_compare(&change.version, since) <= 0)
            return true;
        if (!is_signed(change.text, json_text_at(value, "Sig"), key))
            return fail(e, ERR_DENIED, "a change is not signed by the key of the configuration");
        if (*n && update_version_compare(&change.version, &(*out)[*n - 1].version) >= 0)
            return fail(e, ERR_SYNTAX, "its changes are not the newest first");
        change.text = arena_dup(a, change.text);
        *ARENA_PUSH(a, *out, n, &cap) = change;
    }
    return true;
}

bool update_changelog_parse(struct arena *a, struct str json, struct str key,
                            const struct update_version *since, struct update_change **out,
                            size_t *n, struct err *e)
{
    struct public_key *public_key;
    json_t *root;
    bool is_ok;

    *out = NULL;
    *n = 0;
    if (json.n > UPDATE_MAX_CHANGELOG)
        return fail(e, ERR_LIMIT, "a list of changes of more bytes than are allowed");
    public_key = public_key_ed25519(key, e);
    if (!public_key)
        return false;
    root = json_read(json, UPDATE_MAX_VALUES, e);
    is_ok = root && take_changes(a, root, public_key, since, out, n, e);
    json_decref(root);
    public_key_free(public_key);
    if (!is_ok)
        *n = 0;
    return is_ok;
}

static bool put_since(struct buf *out, const json_t *root, const struct update_version *since, struct err *e)
{
    static const char *const members[] = {"PubKey", "Sig", "Text"};
    const json_t *changes;

    if (!find_changes(root, &changes, e))
        return false;
    BUF_PUT(out, "{\"Changes\": [");
    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *value = json_array_get(changes, i);
        struct update_change change;

        if (!take_text(json_text_at(value, "Text"), &change, e))
            return false;
        if (since && update_version_compare(&change.version, since) <= 0)
            break;
        for (size_t k = 0; k < COUNT(members); k++) {
            buf_printf(out, "%s\"%s\": ", k ? ", " : i ? ",\n{" : "\n{", members[k]);
            json_put_string(out, json_text_at(value, members[k]));
        }
        BUF_PUT(out, "}");
    }
    BUF_PUT(out, "\n]}\n");
    return !out->full || fail(e, ERR_LIMIT, "the list of changes does not fit");
}

bool update_changelog_since(struct buf *out, struct str json, const struct update_version *since, struct err *e)
{
    json_t *root = json_read(json, UPDATE_MAX_VALUES, e);
    bool is_ok = root && put_since(out, root, since, e);

    json_decref(root);
    return is_ok;
}

bool update_change_put(struct buf *out, const struct private_key *key, struct str text,
                       struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF signature = BUF_LIMIT(ED25519_SIGNATURE_BYTES);
    struct update_change change;
    struct str public;

    if (!take_text(text, &change, e) || !private_key_sign_text(key, text, &signature, e) ||
        !private_key_public(&a, key, &public, e))
        return false;
    BUF_PUT(out, "{\"PubKey\": \"");
    base64_encode(out, public);
    BUF_PUT(out, "\", \"Sig\": \"");
    base64_encode(out, buf_str(&signature));
    BUF_PUT(out, "\", \"Text\": ");
    json_put_string(out, text);
    BUF_PUT(out, "}");
    return true;
}

struct str update_changelog_url(struct arena *a, struct str url, struct str version)
{
    return arena_printf(a, "%.*s%cfrom=%.*s", STR_FMT(url), str_find(url, '?') >= 0 ? '&' : '?',
                        STR_FMT(version));
}

/* --- the message to the postmaster ---------------------------------------------------------------- */

static void put_news(struct buf *out, const struct update_message *m, const struct update_change *changes,
                     size_t n)
{
    buf_printf(out, "A newer version of mox than the one on %.*s (v" MOX_VERSION ") is available: ",
               STR_FMT(m->hostname));
    update_version_put(out, &changes[0].version);
    buf_printf(out, ".\r\nWhat changed, as signed by its publisher at %.*s:\r\n", STR_FMT(m->url));
    for (size_t i = 0; i < n; i++) {
        char last = 0;

        BUF_PUT(out, "\r\n");
        crlf_put(out, changes[i].text, &last);
    }
}

bool update_compose(struct buf *out, const struct update_message *m, const struct update_change *changes,
                    size_t n, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF subject = BUF_LIMIT(100), date = BUF_LIMIT(100), text = BUF_LIMIT(2 * UPDATE_MAX_CHANGELOG);
    struct str postmaster = arena_printf(&a, "<postmaster@%.*s>", STR_FMT(m->hostname));

    BUF_PUT(&subject, "mox ");
    update_version_put(&subject, &changes[0].version);
    BUF_PUT(&subject, " available");
    date_put(&date, (struct date){m->now_unix, 0});
    if (!header_put(out, STR("From"), postmaster, e) || !header_put(out, STR("To"), postmaster, e) ||
        !header_put(out, STR("Subject"), buf_str(&subject), e) ||
        !header_put(out, STR("Date"), buf_str(&date), e) ||
        !header_put(out, STR("Message-Id"),
                    arena_printf(&a, "<%.*s@%.*s>", STR_FMT(m->random), STR_FMT(m->hostname)), e))
        return false;
    BUF_PUT(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                 "Content-Transfer-Encoding: base64\r\n\r\n");
    put_news(&text, m, changes, n);
    base64_encode_lines(out, buf_str(&text));
    return (!text.full && !out->full) || fail(e, ERR_LIMIT, "the changes are too long for a message");
}
