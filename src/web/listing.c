#include "web/listing.h"

#include <stdlib.h>

#include "proto/http/http.h"
#include "text/date.h"
#include "web/pages.h"

enum { MIB = 1 << 20 };

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

void listing_put(struct buf *out, struct str path, struct listing_entry *entries, size_t n)
{
    bool has_parent = !str_eq(path, STR("/"));

    if (n)
        qsort(entries, n, sizeof *entries, by_name);
    BUF_PUT(out, "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    html_put(out, path);
    BUF_PUT(out, "</title>\n<style>body { font-family: sans-serif; margin: 1em; } "
                 "td, th { text-align: left; padding: .2em .5em; } .n { text-align: right; }</style>\n"
                 "</head>\n<body>\n<table>\n<thead><tr><th>Size in MB</th><th>Modified (UTC)</th>"
                 "<th>Name</th></tr></thead>\n<tbody>\n");
    if (has_parent)
        BUF_PUT(out, "<tr><td></td><td></td><td><a href=\"..\">..</a></td></tr>\n");
    for (size_t i = 0; i < n; i++)
        put_entry(out, &entries[i]);
    if (!n)
        BUF_PUT(out, "<tr><td colspan=\"3\">No files.</td></tr>\n");
    BUF_PUT(out, "</tbody>\n</table>\n</body>\n</html>\n");
}
