/* front: what web processes, sessions, accounts, keys and auth may say to it. */
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, listener, .index = 1, .protocol = IPC_PROTOCOL_HTTP, .port = 80, .ip = STR("127.0.0.1"),
                 .hostname = STR("mail.mox.example"), .is_forwarded = 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("alice"), STR_("192.0.2.7"), STR_("2001:db8::1"), STR_("a.example"),
        STR_("* 1 EXISTS\r\n"), STR_("220 go\r\n"),
    };
    static const struct role_fuzz r = {.role = ROLE_FRONT, .main = front_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
