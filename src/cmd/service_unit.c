#include "cmd/service_unit.h"

extern const char service_unit_text[]; // made of packaging/mox.service by tools/embed-text

void service_unit_put(struct buf *out, struct str dir)
{
    const struct str placeholder = STR("/home/mox");
    struct str rest = str_of(service_unit_text);
    ptrdiff_t at;

    while ((at = str_find_str(rest, placeholder)) >= 0) {
        buf_put(out, str_sub(rest, 0, (size_t)at));
        buf_put(out, dir);
        rest = str_from(rest, (size_t)at + placeholder.n);
    }
    buf_put(out, rest);
}
