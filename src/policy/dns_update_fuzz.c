/*
 * The answer to an update of the DNS: what points into it stays in it, and no answer is believed without the secret.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/dns_update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str part, struct str whole)
{
    if (part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n))
        die("a part that is not in the message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str message = str_at(data, size), key = STR("acme-key.example");
    AUTO_BUF input = BUF_LIMIT(1 << 17);
    struct dns_update_answer answer;
    struct err e = {0};

    if (!dns_update_answer_parse(message, 0x1234, key, &answer, &e))
        return 0;
    check_within(answer.mac, message);
    check_within(answer.other, message);
    if (answer.signed_bytes > message.n || (answer.is_signed && !answer.signed_bytes))
        die("more is signed than there is");
    if (answer.is_signed)
        dns_update_answer_put_signed(&input, message, &answer, key, STR("a MAC"));
    if (dns_update_is_done(&answer, answer.time, &e) && !answer.is_signed)
        die("an answer that nobody signed");
    return 0;
}
