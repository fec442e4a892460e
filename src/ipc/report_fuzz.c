/*
 * What a captured account may send admin as a report. What is read is written again and read again.
 */
#include <stdlib.h>

#include "ipc/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_BUF again = BUF_LIMIT(IPC_REPORT_BYTES);
    struct dmarc_report *dmarc;
    struct tlsrpt_report *tls;
    struct err e = {0};
    struct str bytes = str_at(data, size);

    if (size && data[0] == 'T') {
        if (ipc_get_tls_report(&a, str_from(bytes, 1), &tls, &e)) {
            ipc_put_tls_report(&again, tls);
            check(str_eq(buf_str(&again), str_from(bytes, 1)));
        }
    } else if (size && data[0] == 'D' && ipc_get_dmarc_report(&a, str_from(bytes, 1), &dmarc, &e)) {
        ipc_put_dmarc_report(&again, dmarc);
        check(str_eq(buf_str(&again), str_from(bytes, 1)));
    }
    return 0;
}
