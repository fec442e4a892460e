/*
 * account: what sessions, queue, admin and front may say to it, and what its own user may: IMAP commands with
 * everything behind them.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/die.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/psl.h"
#include "role/account/account.h"
#include "role/role_fuzz.h"
#include "role/start.h"
#include "text/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, initial_mailbox, .name = STR("Sent"), .special_use = STR("Sent"));
}

// Its rules; the template has the rest.
static void begin(struct channel *monitor, int dir)
{
    AUTO_BUF rules = BUF_LIMIT(1 << 20);
    struct err e = {0};
    int ends[2], fds[3];

    COMPILED_PUT(&rules, account_rules, .rejects_mailbox = STR("Rejects"), .introbox = STR("Intro"),
                 .subjectpass_seconds = 3600);
    COMPILED_PUT(&rules, account_junk, .has_filter = 1, .onegrams = 1, .twograms = 1, .threshold_e6 = 900000,
                 .max_power_e6 = 10000, .top_words = 10, .sets_flags = 1, .junk = STR("^junk$"));
    COMPILED_PUT(&rules, account_destination, .address = STR("alice@mox.example"), .is_dmarc_report = 1,
                 .is_tls_report = 1);
    COMPILED_PUT(&rules, ruleset, .verified_domain = STR("list.example"), .list_allow_domain = STR("list.example"),
                 .mailbox = STR("List"));
    COMPILED_PUT(&rules, ruleset_header, .name_regexp = STR("^list-id$"), .value_regexp = STR("^<list"));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        die("no channel");
    fds[0] = dir;
    fds[1] = ends[1];
    fds[2] = os_memfile("rules", &e);
    if (fds[2] < 0 || !os_write_all(fds[2], buf_str(&rules), &e) || !os_memfile_seal(fds[2], &e) ||
        !IPC_SEND(monitor, account_start, fds, 3, &e, .conn = 1, .account = STR("alice"), .quota_bytes = 64 << 20))
        die("no account: %s", e.text);
    close(fds[1]);
    close(fds[2]);
    *monitor = (struct channel){ends[0], ROLE_MONITOR, ROLE_ACCOUNT};
}

static void run(void)
{
    static struct role_start s;
    struct packet *p = packet_new();
    struct err e = {0};

    role_start(&s, ROLE_ACCOUNT_TEMPLATE);
    crypto_warm();
    charset_warm();
    psl_warm();
    if (channel_receive(&s.monitor, p, -1, &e) != CHANNEL_MESSAGE)
        die("no account is started");
    account_run(&s, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("@mox.example"), STR_("alice@mox.example"), STR_("bob@other.example"), STR_("other.example"), STR_("s.1.2"),
        STR_("From: bob@other.example\r\nTo: alice@mox.example\r\nSubject: a\r\nList-Id: <list>\r\n\r\nb\r\n"),
        STR_("Return-Path: <bob@other.example>\r\n"), STR_("Inbox"), STR_("Sent"), STR_("192.0.2.7"),
        STR_("a select inbox\r\n"), STR_("a enable qresync condstore\r\n"), STR_("a idle\r\n"), STR_("done\r\n"),
        STR_("a append inbox (\\Seen work) {29+}\r\nSubject: x\r\nTo: y@z\r\n\r\nabc\r\n\r\n"),
        STR_("a fetch 1:* (flags envelope bodystructure body.peek[] body[1.mime] rfc822.size modseq)\r\n"),
        STR_("a uid search return (all count save) or from bob text abc\r\n"), STR_("a store $ +flags (\\Deleted)\r\n"),
        STR_("a expunge\r\n"), STR_("a list \"\" * return (status (messages uidnext highestmodseq))\r\n"),
        STR_("a create x/y\r\n"), STR_("a rename x/y z\r\n"), STR_("a copy 1:* z\r\n"), STR_("a move 1 z\r\n"),
        STR_("a status z (messages unseen size)\r\n"), STR_("a fetch 1 binary[1]<0.5>\r\n"), STR_("a logout\r\n"),
        STR_("a select inbox (qresync (1 1 1:5))\r\n"), STR_("a thread references utf-8 all\r\n"),
        STR_("a sort (arrival reverse size) utf-8 all\r\n"), STR_("a replace 1 inbox {9+}\r\nA: b\r\n\r\nc\r\n"),
        STR_("a compress deflate\r\n"), STR_("a notify set (personal (messagenew messageexpunge))\r\n"),
    };
    static const struct role_fuzz r = {.role = ROLE_ACCOUNT, .main = run, .configure = configure, .begin = begin,
                                       .has_streams = true, .words = words, .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
