/* queue: what sessions, accounts, deliver, fetch and auth may say to it. */
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, transport, .name = STR("relay"), .kind = TRANSPORT_RELAY, .host = STR("relay.example"),
                 .port = 587, .tls = IPC_WAY_IMMEDIATE, .username = STR("u"), .password = STR("p"));
    COMPILED_PUT(config, route, .scope = ROUTE_ALL, .to = STR(".relayed.example"), .transport = STR("relay"));
    COMPILED_PUT(config, fromid_login, .login = STR("alice@mox.example"));
    COMPILED_PUT(config, separator, .domain = STR("mox.example"), .separator = STR("+"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("@mox.example"), STR_("alice"), STR_("alice@mox.example"), STR_("alice+abcdefgh@mox.example"), STR_("bob@other.example"),
        STR_("c@[192.0.2.7]"), STR_("d@x.relayed.example"), STR_("mox.example"), STR_("other.example"), STR_("s.1.2"),
        STR_("5.1.1"), STR_("rfc822;bob@other.example"), STR_("holdfor=60"), STR_("<1@mox.example>"),
        STR_("Received: x\r\n"), STR_("Subject: a\r\n\r\nb\r\n"), STR_("account alice"), STR_("ids 1,2"), STR_("20260101T000000"),
        STR_("mx.other.example"),
    };
    static const struct role_fuzz r = {.role = ROLE_QUEUE, .main = queue_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
