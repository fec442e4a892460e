/* A page of metrics with anything in it is shown as lines, each with a name of ours and a number. */
#include <stdint.h>
#include <string.h>

#include "base/cur.h"
#include "base/die.h"
#include "ipc/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_number(struct str s)
{
    struct str whole, part;
    uint64_t v;

    if (str_starts(s, STR("-"))) // of a gauge
        s = str_from(s, 1);

    if (!str_cut(s, '.', &whole, &part))
        return str_u64(s, UINT64_MAX, &v);
    return str_u64(whole, UINT64_MAX, &v) && str_u64(part, 999, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct metrics_page page;
    const struct metrics_page *pages[ROLE_COUNT] = {[ROLE_SESSION] = &page, [ROLE_WEB] = &page};
    AUTO_BUF out = BUF_LIMIT(16 << 20);

    memset(&page, 0, sizeof page);
    if (size)
        memcpy(&page, data, size < sizeof page ? size : sizeof page);
    metrics_put(&out, pages);
    if (out.full)
        die("too many lines");
    for (struct str rest = buf_str(&out), line; str_next(&rest, '\n', &line);) {
        ptrdiff_t space = str_find_last(line, ' ');

        if (str_starts(line, STR("# ")))
            continue;
        if (!str_starts(line, STR("mox_")) || space == STR_NONE || !is_number(str_from(line, (size_t)space + 1)))
            die("no line of a metric: %.*s", STR_FMT(line));
    }
    return 0;
}
