/*
 * SASL: one client's messages, told apart by a line feed; the first byte is the mechanism. Messages
 * that parse are taken apart without loss, and no proof is ever right by chance.
 */
#include "base/die.h"
#include "proto/sasl/sasl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_scram(enum sasl_mechanism mechanism, struct str first, struct str final,
                      bool is_tls)
{
    struct scram_channel channel = {.is_tls = is_tls,
                                    .type = is_tls ? STR("tls-exporter") : STR(""),
                                    .data = is_tls ? STR("0123456789abcdef") : STR("")};
    static const struct scram_keys keys = {{1, 2, 3}, {4, 5, 6}};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    AUTO_BUF whole = BUF_LIMIT(1 << 20);
    struct err e = {0};
    struct scram s;

    if (!scram_begin(&a, mechanism, &channel, first, &s, &e))
        return;
    buf_put(&whole, s.gs2_header);
    buf_put(&whole, s.bare);
    if (!str_eq(buf_str(&whole), first))
        die("the parts are not the message");
    if (s.info->is_plus != s.is_bound)
        die("bound without -PLUS, or the other way round");
    scram_challenge(&a, &s, STR("server"), STR("salt"), 4096, &out);
    if (!str_starts(str_from(buf_str(&out), 2), s.client_nonce))
        die("the client's nonce is not in the challenge");
    if (scram_finish(&a, &s, &keys, final, &out, &e) == SCRAM_OK)
        die("a proof without the key");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_at(data, size), first, final;
    enum sasl_mechanism mechanism;
    struct sasl_plain plain;
    struct sasl_cram cram;
    struct err e = {0};
    bool is_tls;

    if (!size)
        return 0;
    mechanism = (enum sasl_mechanism)(data[0] % SASL_MECHANISMS);
    is_tls = data[0] & 64;
    in = str_from(in, 1);
    (void)sasl_mechanism_of(in);
    if (!str_cut(in, '\n', &first, &final)) {
        first = in;
        final = STR("");
    }
    if (sasl_info(mechanism)->is_scram)
        run_scram(mechanism, first, final, is_tls);
    else if (mechanism == SASL_CRAM_MD5 && sasl_cram_parse(in, &cram, &e) && !cram.name.n)
        die("nobody");
    else if (mechanism == SASL_PLAIN && sasl_plain_parse(in, &plain, &e) &&
             plain.authzid.n + plain.authcid.n + plain.password.n + 2 != in.n)
        die("bytes got lost");
    else if (mechanism == SASL_EXTERNAL && sasl_external_parse(in, &e) &&
             str_find(in, 0) != STR_NONE)
        die("a NUL in a name");
    return 0;
}
