/* keys: what sessions, web processes, front and acme may say to it. */
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, acme_provider, .name = STR("ca"), .directory_url = STR("https://ca.example/directory"),
                 .contact = STR("me@mox.example"), .kinds = 7, .binding_key_id = STR("k"));
    COMPILED_PUT(config, acme_host, .provider = STR("ca"), .host = STR("mail.mox.example"), .is_proactive = 1);
    COMPILED_PUT(config, acme_dns, .provider = STR("ca"), .server = STR("127.0.0.1"), .port = 53,
                 .zone = STR("mox.example"), .key_name = STR("key.mox.example"));
    COMPILED_PUT(config, key_text, .provider = STR("ca"), .is_tsig = 1, .text = STR("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n"));
    COMPILED_PUT(config, key_text, .provider = STR("ca"), .text = STR("c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("ca"), STR_("mail.mox.example"), STR_("mox.example"),
        STR_("_acme-challenge.mail.mox.example"), STR_("https://ca.example/order"),
        STR_("{\"a\":1}"), STR_("0123456789abcdef0123456789abcdef"),
        STR_("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
        STR_("key.mox.example"),
    };
    static const struct role_fuzz r = {.role = ROLE_KEYS, .main = keys_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
