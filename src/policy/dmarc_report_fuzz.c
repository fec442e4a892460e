/*
 * Aggregate reports: the same whatever pieces the XML comes in, texts and counts within their limits.
 * The bytes are also a message in which a report is looked for.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/dmarc_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dmarc_report *parse(struct arena *a, struct str xml, size_t step, struct err *e)
{
    struct dmarc_report_parser *p = dmarc_report_parser_new(a);
    struct dmarc_report *report;
    struct err later = {0};
    bool is_ok = true;

    for (size_t at = 0; is_ok && at < xml.n; at += step)
        is_ok = dmarc_report_feed(p, str_sub(xml, at, step), e);
    (void)!dmarc_report_end(p, &report, is_ok ? e : &later);
    return is_ok ? report : NULL;
}

static void check(const struct dmarc_report *report)
{
    if (!report->domain.n || report->end < report->begin || report->n > DMARC_REPORT_MAX_RECORDS)
        die("a report that is none");
    for (size_t i = 0; i < report->n; i++)
        for (size_t k = 0; k < report->records[i].n_dkim; k++)
            if (report->records[i].dkim_results[k].human_result.n > DMARC_REPORT_MAX_FIELD)
                die("a text that is too long");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * DMARC_REPORT_MEMORY + MIME_MEMORY);
    struct dmarc_report *whole, *cut, *mailed;
    struct str bytes = str_at(data, size);
    struct err e = {0};
    bool is_broken;

    if (size > 200000)
        return 0;
    whole = parse(&a, bytes, size ? size : 1, &e);
    if (whole)
        check(whole);
    else if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
        die("refused for a strange reason");
    cut = parse(&a, bytes, 1 + size % 7, &e);
    if (!whole != !cut || (whole && (whole->n != cut->n || !str_eq(whole->org_name, cut->org_name))))
        die("the report depends on the pieces");
    if (dmarc_report_of_message(&a, bytes, mime_parse(&a, bytes, &is_broken), &mailed, &e))
        check(mailed);
    return 0;
}
