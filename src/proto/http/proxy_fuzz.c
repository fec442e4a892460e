/* A header of the PROXY protocol, read as it asks to be: it ends within its bound, and what is whole parses or does not. */
#include "base/die.h"
#include "proto/http/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_at(data, size);
    bool has_source;
    struct ip ip;
    struct err e = {0};
    size_t n = 0, more;

    while (proxy_need(str_sub(in, 0, n), &more, &e)) {
        if (n > PROXY_MAX_HEADER)
            die("a header without end");
        if (!more) {
            if (proxy_parse(str_sub(in, 0, n), &has_source, &ip, &e) && has_source && ip.family != 4 && ip.family != 6)
                die("a source that is no address");
            return 0;
        }
        n += more;
        if (n > in.n)
            return 0;
    }
    return 0;
}
