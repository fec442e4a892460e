/*
 * What a server says in an exchange: its challenges, told apart by a line feed; the first byte is the
 * mechanism. Nothing it says makes a SCRAM exchange end well without the password.
 */
#include "base/die.h"
#include "proto/sasl/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct sasl_client c = {.name = STR("user"), .password = STR("no vector's password"),
                            .nonce = STR("fyko+d2lbbFgONRv9qkxdawL"),
                            .channel = {true, STR("tls-exporter"), STR("bound-data")}};
    struct str in = str_at(data, size), challenge;
    struct err e = {0};
    bool is_scram;

    if (!size)
        return 0;
    c.mechanism = (enum sasl_mechanism)(data[0] % SASL_MECHANISMS);
    is_scram = sasl_info(c.mechanism)->is_scram;
    in = str_from(in, 1);
    for (bool more = true; more;) {
        AUTO_BUF out = BUF_LIMIT(64 << 10);

        more = str_cut(in, '\n', &challenge, &in);
        if (!more)
            challenge = in;
        if (!sasl_client_step(&a, &c, challenge, &out, &e))
            break;
    }
    if (is_scram && sasl_client_is_done(&a, &c, in))
        die("a server without the password");
    return 0;
}
