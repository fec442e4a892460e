/* dkim: what sessions, queue and admin may say to it. */
#include "base/die.h"
#include "crypto/crypto.h"
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct err e = {0};
    struct str pem;

    COMPILED_PUT(config, signing_domain, .name = STR("mox.example"));
    COMPILED_PUT(config, signing_account, .name = STR("alice"));
    COMPILED_PUT(config, signing_selector, .key = 1, .name = STR("one"), .headers = STR("From:To"));
    COMPILED_PUT(config, signing_domain, .name = STR("mail.mox.example"), .is_host = 1);
    COMPILED_PUT(config, signing_selector, .key = 2, .name = STR("two"), .headers = STR("From"));
    if (!key_ed25519(&a, &pem, &e))
        die("%s", e.text);
    COMPILED_PUT(file, signing_key, .key = 1, .pem = pem);
    COMPILED_PUT(file, signing_key, .key = 2, .pem = pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("mox.example"), STR_("mail.mox.example"), STR_("0123456789abcdef0123456789abcdef"),
        STR_("alice"),
    };
    static const struct role_fuzz r = {.role = ROLE_DKIM, .main = dkim_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
