/* admin: what accounts, sessions, queue, fetch and resolve may say to it. */
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, report_address, .account = STR("alice"), .domain = STR("mox.example"));
    COMPILED_PUT(config, report_address, .account = STR("alice"), .domain = STR("mox.example"), .is_tls = 1, .is_host = 1);
    COMPILED_PUT(config, own_domain, .domain = STR("mox.example"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("alice"), STR_("mox.example"), STR_("other.example"), STR_("192.0.2.7"), STR_("pass"),
        STR_("fail"), STR_("mx.other.example"), STR_("v=spf1 -all"), STR_("version: STSv1"),
        STR_("validation-failure"), STR_("starttls-not-supported"), STR_("one:pass:mox.example"),
        STR_("mailto:r@other.example"),
    };
    static const struct role_fuzz r = {.role = ROLE_ADMIN, .main = admin_main, .configure = configure, .needs_listener = true, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
