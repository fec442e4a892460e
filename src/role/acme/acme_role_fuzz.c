/* acme: what web processes, front, keys, fetch and resolve may say to it. */
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, acme_provider, .name = STR("ca"), .directory_url = STR("https://ca.example/directory"),
                 .contact = STR("me@mox.example"), .kinds = 7);
    COMPILED_PUT(config, acme_host, .provider = STR("ca"), .host = STR("mail.mox.example"), .is_proactive = 1);
}

// keys makes everything, so that authorities are asked.
static void answer(struct channel *ch, const struct packet *question, uint64_t request)
{
    struct err e = {0};

    (void)question;
    if (ch->self == ROLE_KEYS)
        (void)!IPC_SEND(ch, acme_made, NULL, 0, &e, .request = request, .is_ok = 1,
                        .bytes = STR("{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"AA\"}"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("ca"), STR_("mail.mox.example"),
        STR_("{\"newNonce\":\"https://ca.example/n\",\"newAccount\":\"https://ca.example/a\",\"newOrder\":\"https://ca.example/o\"}"),
        STR_("{\"status\":\"pending\",\"authorizations\":[\"https://ca.example/z\"],\"finalize\":\"https://ca.example/f\"}"),
        STR_("{\"status\":\"valid\",\"authorizations\":[],\"finalize\":\"https://ca.example/f\",\"certificate\":\"https://ca.example/c\"}"),
        STR_("{\"status\":\"pending\",\"challenges\":[{\"type\":\"http-01\",\"token\":\"t\",\"url\":\"https://ca.example/h\"}]}"),
        STR_("https://ca.example/o/1"), STR_("nonce"), STR_("{}"),
        STR_("{\"e\":\"AQAB\",\"kty\":\"RSA\",\"n\":\"AA\"}"),
    };
    static const struct role_fuzz r = {.role = ROLE_ACME, .main = acme_main, .configure = configure, .answer = answer, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
