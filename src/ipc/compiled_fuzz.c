/* A compiled configuration: every record is decoded, and what decodes encodes to the same bytes. */
#include <stdint.h>

#include "base/die.h"
#include "ipc/compiled.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void recode(enum compiled_type type, struct str body, struct buf *out)
{
    struct err e = {0};

    switch (type) {
#define CASE_(record)                                                                              \
    case COMPILED_##record: {                                                                      \
        struct ipc_##record m;                                                                     \
        if (!ipc_##record##_get(body, &m, &e))                                                     \
            return;                                                                                \
        ipc_##record##_put(out, &m);                                                               \
        break;                                                                                     \
    }
        COMPILED_RECORDS(CASE_)
    case COMPILED_none:
    case COMPILED_TYPE_COUNT:
        die("record of no type");
    }
    if (!str_eq(buf_str(out), body))
        die("record %d: not the same bytes", (int)type);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cur c = cur_of(str_at(data, size));
    enum compiled_type type;
    struct err e = {0};
    struct str body;
    size_t used = 0;

    while (compiled_next(&c, &type, &body, &e)) {
        AUTO_BUF out = BUF_LIMIT(COMPILED_MAX_BYTES);

        recode(type, body, &out);
        used += 5 + body.n;
    }
    if (!e.kind && used != size)
        die("%zu of %zu bytes were read", used, size);
    return 0;
}
