#include "policy/report_uri.h"

#include "base/cur.h"
#include "message/header.h"
#include "text/idna.h"

static bool is_scheme_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '+' || c == '-' || c == '.';
}

// RFC 3986: what a URI may have in it; "," and "!" are encoded (RFC 7489 6.2), ";" ends the tag.
static bool is_uri_char(unsigned char c)
{
    return c > 32 && c < 127 && c != ',' && c != '!' && c != '"' && c != '<' && c != '>';
}

static unsigned size_shift(int unit)
{
    switch (unit) {
    case 'k':
        return 10;
    case 'm':
        return 20;
    case 'g':
        return 30;
    case 't':
        return 40;
    default:
        return 0;
    }
}

/* dmarc-uri, RFC 7489 6.4: URI [ "!" 1*DIGIT [ "k" / "m" / "g" / "t" ] ]. */
static bool parse_uri(struct str text, bool has_sizes, struct report_uri *out)
{
    struct cur c = cur_of(text);
    struct str scheme = cur_while(&c, is_scheme_char);

    *out = (struct report_uri){0};
    if (!scheme.n || !ascii_is_alpha(scheme.p[0]) || !cur_skip(&c, ':') ||
        !cur_while(&c, is_uri_char).n)
        return false;
    out->text = str_sub(text, 0, text.n - cur_left(&c));
    if (has_sizes && cur_skip(&c, '!')) {
        unsigned shift;

        if (!cur_u64(&c, UINT64_MAX >> 41, &out->max_size))
            return false;
        shift = size_shift(cur_left(&c) ? ascii_lower((char)cur_peek(&c)) : -1);
        out->max_size <<= shift;
        if (shift)
            (void)cur_next(&c);
    }
    return !cur_left(&c);
}

void report_uris_parse(struct arena *a, struct str text, bool has_sizes, struct report_uris *out)
{
    struct str item, rest = text;

    *out = (struct report_uris){0};
    while (out->n < REPORT_MAX_URIS && str_next(&rest, ',', &item)) {
        struct report_uri uri;

        if (parse_uri(str_trim(item), has_sizes, &uri))
            *ARENA_PUSH(a, out->items, &out->n, &out->cap) = uri;
    }
}

void report_uris_put(struct buf *out, const struct report_uris *uris)
{
    for (size_t i = 0; i < uris->n; i++) {
        uint64_t size = uris->items[i].max_size;
        const char *unit = "";

        if (i)
            BUF_PUT(out, ",");
        buf_put(out, uris->items[i].text);
        if (!size)
            continue;
        // The largest unit that says the same.
        for (const char *u = "kmgt"; *u && size % 1024 == 0; u++) {
            size /= 1024;
            unit = u;
        }
        BUF_PUT(out, "!");
        buf_put_u64(out, size);
        if (*unit)
            buf_put_char(out, *unit);
    }
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = c < 0 ? c : ascii_lower((char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool report_uri_mailto(struct arena *a, const struct report_uri *uri, struct str *localpart,
                       struct str *domain)
{
    struct cur c = cur_of(uri->text);
    AUTO_BUF text = BUF_LIMIT(2000);
    struct address address;

    if (!cur_skip_str_ci(&c, STR("mailto:")))
        return false;
    // Header fields of the URI ("?subject=") mean nothing for a report.
    for (int ch; (ch = cur_next(&c)) >= 0 && ch != '?';) {
        if (ch == '%') {
            int high = hex_value(cur_next(&c)), low = hex_value(cur_next(&c));

            if (high < 0 || low < 0)
                return false;
            ch = high * 16 + low;
        }
        buf_put_char(&text, (char)ch);
    }
    if (text.full || !address_parse_spec(a, arena_dup(a, buf_str(&text)), &address) ||
        !address.localpart.n || !domain_to_ascii(a, address.domain, domain, NULL))
        return false;
    *localpart = address.localpart;
    return true;
}
