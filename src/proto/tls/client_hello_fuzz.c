/* A stranger's first bytes: what is asked for is within its bound and more than there is, and a list is one. */
#include "base/die.h"
#include "proto/tls/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF message = BUF_LIMIT(CLIENT_HELLO_MAX);
    struct str in = str_at(data, size), protocols;
    size_t have = 0, need;

    // As it is read: no more than is asked for. Then it is what it would be all at once.
    for (;;) {
        enum client_hello r = client_hello_parse(str_sub(in, 0, have), &message, &protocols, &need);

        if (r != CLIENT_HELLO_MORE) {
            size_t n = protocols.n;

            if (client_hello_parse(in, &message, &protocols, &need) != r || protocols.n != n)
                die("it depends on how it came");
            if (n && r == CLIENT_HELLO_WHOLE && (size_t)(unsigned char)protocols.p[0] >= n)
                die("a name that ends outside");
            return 0;
        }
        if (need <= have || need > CLIENT_HELLO_MAX)
            die("more of nothing, or too much");
        have = need;
        if (have > in.n)
            return 0;
    }
}
