/*
 * Every message of the table: the first byte chooses the type, the rest is its body. What decodes
 * must encode to the same bytes.
 */
#include <stdint.h>

#include "base/die.h"
#include "ipc/messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ipc_rule *rule;
    struct err e = {0};

    if (!size || !(rule = ipc_rule_of(data[0] % IPC_TYPE_COUNT)))
        return 0;
    struct buf again = BUF_LIMIT(1 << 20);
    struct str body = str_at(data + 1, size - 1);

    if (rule->recode(body, &again, &e) && !str_eq(buf_str(&again), body))
        die("%s: not the same bytes", rule->name);
    buf_fini(&again);
    return 0;
}
