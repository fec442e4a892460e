/* A request of autodiscover: what it asks for is text of a bounded length, and can be answered. */
#include "base/die.h"
#include "web/autoconfig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mail_settings settings = {.domain = STR_("example.org"), .imap = {STR_("a"), 993, MAIL_SOCKET_TLS, false}};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    struct mail_address address;
    struct str email;
    struct err e = {0};

    if (!autodiscover_parse(&a, str_at(data, size), &email, &e))
        return 0;
    if (email.n > 1024)
        die("a long address");
    if (mail_address_parse(&a, email, &address, &e))
        mobileconfig_put(&out, &settings, &address, 1, email);
    return 0;
}
