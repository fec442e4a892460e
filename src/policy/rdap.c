#include "policy/rdap.h"

#include "text/date.h"
#include "text/json.h"

static struct str text_of(const json_t *value)
{
    return json_is_string(value) ? str_at(json_string_value(value), json_string_length(value)) : STR("");
}

// How many octets of the domain's end an entry is about: 0 for none.
static size_t match(struct str entry, struct str domain)
{
    struct str end = domain.n > entry.n ? str_from(domain, domain.n - entry.n) : domain;

    if (!entry.n || !str_eq_ci(end, entry) || (domain.n > entry.n && domain.p[domain.n - entry.n - 1] != '.'))
        return 0;
    return entry.n;
}

static struct str https_of(const json_t *urls)
{
    const json_t *url;
    size_t i;

    json_array_foreach(urls, i, url)
        if (str_starts_ci(text_of(url), STR("https://")))
            return text_of(url);
    return STR("");
}

bool rdap_url(struct arena *a, struct str bootstrap, struct str domain, struct str *out, struct err *e)
{
    json_t *root = json_read(bootstrap, RDAP_MAX_VALUES, e);
    const json_t *service, *entry;
    size_t i, j, longest = 0;
    struct str base = {0};

    if (!root)
        return false;
    // RFC 9224 3, 4: pairs of a list of names and a list of URLs.
    json_array_foreach(json_object_get(root, "services"), i, service)
        json_array_foreach(json_array_get(service, 0), j, entry) {
            size_t n = match(text_of(entry), domain);
            struct str url = https_of(json_array_get(service, 1));

            if (n > longest && url.n) {
                longest = n;
                base = url;
            }
        }
    // RFC 9082 3.1.3. A URL of the list ends with a slash (RFC 9224 3), but not all do.
    *out = arena_printf(a, "%.*s%sdomain/%.*s", STR_FMT(base), str_ends(base, STR("/")) ? "" : "/", STR_FMT(domain));
    json_decref(root);
    return longest || fail(e, ERR_NOT_FOUND, "no registry tells about such domains");
}

static bool digits(struct str s, size_t at, size_t n, unsigned *out)
{
    uint64_t number;

    if (!str_u64(str_sub(s, at, n), 9999, &number))
        return false;
    *out = (unsigned)number;
    return true;
}

// The day alone (RFC 3339 5.6): registries write the time of it in many ways.
static bool day_of(struct str date, int64_t *unix_seconds)
{
    unsigned year, month, day;

    if (date.n < 10 || date.p[4] != '-' || date.p[7] != '-' || !digits(date, 0, 4, &year) || !digits(date, 5, 2, &month) ||
        !digits(date, 8, 2, &day) || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    *unix_seconds = date_days(year, month, day) * 86400;
    return true;
}

bool rdap_registered(struct str answer, int64_t *unix_seconds, struct err *e)
{
    json_t *root = json_read(answer, RDAP_MAX_VALUES, e);
    const json_t *event;
    bool is_found = false;
    size_t i;

    if (!root)
        return false;
    // RFC 9083 4.5, RFC 8056 2: a domain that was given up and registered again has the second date.
    json_array_foreach(json_object_get(root, "events"), i, event)
        if (!is_found && str_eq_ci(json_text_at(event, "eventAction"), STR("registration")))
            is_found = day_of(json_text_at(event, "eventDate"), unix_seconds);
    json_decref(root);
    return is_found || fail(e, ERR_NOT_FOUND, "the registry does not say when it was registered");
}

static void put_number(struct buf *out, int64_t n, const char *what)
{
    buf_printf(out, "%lld %s%s", (long long)n, what, n == 1 ? "" : "s");
}

void rdap_put_age(struct buf *out, int64_t seconds)
{
    int64_t days = seconds > 0 ? seconds / 86400 : 0;

    if (days >= 365) {
        put_number(out, days / 365, "year");
        BUF_PUT(out, ", ");
    }
    put_number(out, days % 365, "day");
}
