#include "web/listing.h"

#include <stdlib.h>

#include "proto/http/http.h"
#include "text/date.h"
#include "web/pages.h"

// A name may be 255 bytes, each of them six as HTML and three in a link.
enum { MIB = 1 << 20, AT_ONCE = 6, MAX_TITLE = 2000 };

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct listing_entry *)a)->name, ((const struct listing_entry *)b)->name);
}

// "2026-11-24 09:16:53"
static void put_time(struct buf *out, int64_t when)
{
    AUTO_BUF text = BUF_LIMIT(32);
    struct str all;

    date_put_rfc3339(&text, when);
    all = buf_str(&text);
    buf_put(out, str_sub(all, 0, 10));
    buf_put_char(out, ' ');
    buf_put(out, str_sub(all, 11, 8));
}

// In MB: whole from 10 on, else with two digits behind the point.
static void put_size(struct buf *out, uint64_t size)
{
    buf_printf(out, "<td class=\"n\" title=\"%llu bytes\">", (unsigned long long)size);
    if (size >= 10ull * MIB)
        buf_printf(out, "%llu", (unsigned long long)(size / MIB));
    else
        buf_printf(out, "%.2f", (double)size / MIB);
    BUF_PUT(out, "</td>");
}

static void put_entry(struct buf *out, const struct listing_entry *entry)
{
    BUF_PUT(out, "<tr>");
    if (entry->is_dir)
        BUF_PUT(out, "<td></td>");
    else
        put_size(out, entry->size);
    BUF_PUT(out, "<td>");
    put_time(out, entry->modified);
    // The dot keeps a name with a colon from being a scheme.
    BUF_PUT(out, "</td><td><a href=\"./");
    http_percent_encode(out, entry->name, false);
    if (entry->is_dir)
        buf_put_char(out, '/');
    BUF_PUT(out, "\">");
    html_put(out, entry->name);
    if (entry->is_dir)
        buf_put_char(out, '/');
    BUF_PUT(out, "</a></td></tr>\n");
}

static void put_head(struct buf *out, const struct listing *l)
{
    BUF_PUT(out, "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    html_put(out, str_sub(l->path, 0, MAX_TITLE));
    BUF_PUT(out, "</title>\n<style>body { font-family: sans-serif; margin: 1em; } "
                 "td, th { text-align: left; padding: .2em .5em; } .n { text-align: right; }</style>\n"
                 "</head>\n<body>\n<table>\n<thead><tr><th>Size in MB</th><th>Modified (UTC)</th>"
                 "<th>Name</th></tr></thead>\n<tbody>\n");
    if (!str_eq(l->path, STR("/")))
        BUF_PUT(out, "<tr><td></td><td></td><td><a href=\"..\">..</a></td></tr>\n");
    if (!l->n)
        BUF_PUT(out, "<tr><td colspan=\"3\">No files.</td></tr>\n");
}

static void put_tail(struct buf *out, const struct listing *l)
{
    BUF_PUT(out, "</tbody>\n</table>\n");
    if (l->has_more)
        buf_printf(out, "<p>There are more than the %zu that are listed.</p>\n", l->n);
    BUF_PUT(out, "</body>\n</html>\n");
}

void listing_put(struct buf *out, struct listing *l)
{
    switch (l->at) {
    case LISTING_HEAD:
        if (l->n)
            qsort(l->entries, l->n, sizeof *l->entries, by_name);
        put_head(out, l);
        l->at = LISTING_ENTRIES;
        break;
    case LISTING_ENTRIES:
        for (size_t n = 0; l->next < l->n && n < AT_ONCE; n++)
            put_entry(out, &l->entries[l->next++]);
        if (l->next < l->n)
            break;
        l->at = LISTING_TAIL;
        __attribute__((fallthrough));
    case LISTING_TAIL:
        put_tail(out, l);
        l->at = LISTING_DONE;
        break;
    case LISTING_DONE:
        break;
    }
}
