/*
 * TLS reports: what is read and written again is the same. The bytes are also a TLSRPT record.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/tlsrpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(struct arena *a, struct str text)
{
    AUTO_BUF once = BUF_LIMIT(1 << 20), twice = BUF_LIMIT(1 << 20);
    struct tlsrpt_record record;

    if (!tlsrpt_record_parse(a, text, &record, NULL))
        return;
    tlsrpt_record_put(&once, &record);
    if (once.n > TLSRPT_MAX_RECORD)
        return;
    if (!tlsrpt_record_parse(a, buf_str(&once), &record, NULL))
        die("our own record cannot be read");
    tlsrpt_record_put(&twice, &record);
    if (!str_eq(buf_str(&once), buf_str(&twice)))
        die("the record is not the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(4 * TLSRPT_REPORT_MEMORY);
    AUTO_BUF once = BUF_LIMIT(64 << 20), twice = BUF_LIMIT(64 << 20);
    struct tlsrpt_report *report;
    struct str bytes = str_at(data, size);
    struct err e = {0};

    if (size > 200000)
        return 0;
    check_record(&a, bytes);
    if (!tlsrpt_report_parse(&a, bytes, &report, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("refused for a strange reason");
        return 0;
    }
    tlsrpt_report_put(&once, report);
    if (!tlsrpt_report_parse(&a, buf_str(&once), &report, &e)) {
        if (e.kind != ERR_LIMIT) // written out, it may have more in it
            die("our own report cannot be read: %s", e.text);
        return 0;
    }
    tlsrpt_report_put(&twice, report);
    if (!str_eq(buf_str(&once), buf_str(&twice)))
        die("the report is not the same");
    return 0;
}
