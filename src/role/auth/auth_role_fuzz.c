/* auth: what sessions, front, queue and admin may say to it. */
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, text_piece, .file = 0,
                 .bytes = STR("Hostname: mail.mox.example\nListeners:\n\tpublic:\n\t\tSMTP:\n\t\t\tEnabled: true\n"
                              "Postmaster:\n\tAccount: alice\n\tMailbox: Inbox\n"));
    COMPILED_PUT(config, text_piece, .file = 1,
                 .bytes = STR("Domains:\n\tmox.example:\n\t\tLocalpartCatchallSeparator: +\n\t\tAliases:\n\t\t\tall:\n"
                              "\t\t\t\tAddresses:\n\t\t\t\t\t- alice@mox.example\n\t\t\t\t\t- x@other.example\n"
                              "Accounts:\n\talice:\n\t\tDomain: mox.example\n\t\tDestinations:\n"
                              "\t\t\talice@mox.example: nil\n\t\t\t@mox.example:\n\t\t\t\tMailbox: Other\n"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("alice"), STR_("mox.example"), STR_("alice@mox.example"), STR_("alice+x"), STR_("all"),
        STR_("other.example"), STR_("x"), STR_("PLAIN"), STR_("LOGIN"), STR_("SCRAM-SHA-256"),
        STR_("SCRAM-SHA-1-PLUS"), STR_("CRAM-MD5"), STR_("EXTERNAL"),
        STR_("\0alice@mox.example\0correct horse"),
        STR_("n,,n=alice@mox.example,r=abcdefghijklmnopqrst"), STR_("c=biws,r=abc,p=dGVzdA=="),
        STR_("alice@mox.example 0123456789abcdef0123456789abcdef"), STR_("correct horse"),
        STR_("SRS0=aaaa=bb=other.example=x"), STR_("192.0.2.7"), STR_("postmaster"),
    };
    static const struct role_fuzz r = {.role = ROLE_AUTH, .main = auth_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
