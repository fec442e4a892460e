/*
 * For the tests of dsn.h: reads a report back with the MIME parser and looks for all that must hold
 * whatever was put in. Ends the process when something does not.
 */
#pragma once

#include "base/die.h"
#include "message/dsn.h"
#include "message/summary.h"
#include "text/encode.h"

static inline struct str dsn_part_bytes(const struct part *p, struct str message)
{
    return str_sub(message, p->body_start, p->body_end - p->body_start);
}

// Every line ends with CR LF and fits, unless the original's own do not.
static inline void dsn_check_lines(struct str s)
{
    size_t line = 0;

    for (size_t i = 0; i < s.n; i++) {
        line = s.p[i] == '\n' ? 0 : line + 1;
        if (!s.p[i] || line > 999 || (s.p[i] == '\n' && (!i || s.p[i - 1] != '\r')) ||
            (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
            die("a line that cannot be sent");
    }
}

// Groups of fields with an empty line between them: one for the message, one for each recipient.
static inline void dsn_check_status(struct str s, const struct dsn *d)
{
    size_t groups = 1;

    if (!header_is_strict(str_sub(s, 0, (size_t)str_find_str(s, STR("\r\n\r\n")) + 2)))
        die("the fields of the message are none");
    if (header_count(s, STR("Reporting-MTA")) != 1 || header_count(s, STR("Arrival-Date")) != 1)
        die("a field of the message is missing");
    for (ptrdiff_t at; (at = str_find_str(s, STR("\r\n\r\n"))) != STR_NONE; groups++) {
        ptrdiff_t end;

        s = str_from(s, (size_t)at + 4);
        end = str_find_str(s, STR("\r\n\r\n"));
        struct str group = end == STR_NONE ? s : str_sub(s, 0, (size_t)end + 2);

        if (!header_is_strict(group) || header_count(group, STR("Final-Recipient")) != 1 ||
            header_count(group, STR("Action")) != 1 || header_count(group, STR("Status")) != 1)
            die("the fields of a recipient are none");
    }
    if (groups != d->n_recipients + 1)
        die("%zu groups of fields", groups);
}

static inline bool dsn_has_letter(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] > ' ' && s.p[i] < 0x7f)
            return true;
    return false;
}

// Read as a report of others is. Only an address of which nothing is left may make it none.
static inline void dsn_check_read(struct arena *a, const struct dsn *d, struct str report,
                                  const struct part *root)
{
    struct dsn_report read;
    struct err e = {0};

    if (!dsn_read(a, report, root, &read, &e)) {
        for (size_t i = 0; i < d->n_recipients; i++)
            if (!dsn_has_letter(d->recipients[i].address))
                return;
        die("our own report cannot be read: %s", e.text);
    }
    if (read.n != d->n_recipients)
        die("%zu recipients were written, and %zu read", d->n_recipients, read.n);
    for (size_t i = 0; i < read.n; i++)
        if (read.items[i].action != d->recipients[i].action || read.items[i].code != d->recipients[i].code)
            die("recipient %zu is another", i);
}

static inline void dsn_check(const struct dsn *d, struct str report, bool has_8bit)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF returned = BUF_LIMIT(64 << 20);
    bool is_broken;
    struct part *root = mime_parse(&a, report, &is_broken), *text, *status, *original;
    struct transfer_decoder decoder = {0};

    if (is_broken || !root->is_multipart || !message_is_dsn(root))
        die("not a report");
    text = root->child;
    status = text ? text->next : NULL;
    original = status ? status->next : NULL;
    if (!original || original->next)
        die("not three parts");
    if (!header_is_strict(str_sub(report, 0, root->body_start - 2)) ||
        header_count(str_sub(report, 0, root->body_start), STR("To")) != 1)
        die("the header is not as written");
    if (!str_eq(text->subtype, STR("plain")) || !str_eq(status->type, STR("message")) ||
        !str_eq(status->subtype, d->is_utf8 ? STR("global-delivery-status") : STR("delivery-status")))
        die("other types than written");
    dsn_check_read(&a, d, report, root);
    dsn_check_lines(report);
    dsn_check_status(dsn_part_bytes(status, report), d);
    if (!d->is_utf8 && (!str_is_ascii(dsn_part_bytes(text, report)) ||
                        !str_is_ascii(dsn_part_bytes(status, report))))
        die("not ASCII");
    if (has_8bit == str_is_ascii(report))
        die("8bit is wrong");
    decoder.encoding = transfer_of(original->encoding);
    transfer_feed(&decoder, dsn_part_bytes(original, report), &returned);
    transfer_end(&decoder, &returned);
    if (!str_starts(d->original, buf_str(&returned)))
        die("the original is not the original");
}
