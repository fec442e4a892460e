/*
 * Commands of a logged-in client, given to the account's own code over a socket pair: mailboxes of n,
 * 2n and 4n messages, and commands whose arguments grow.
 */
#include "linear.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/die.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "role/account/account.h"
#include "role/account/rules.h"

enum { SMALL = 150, SIZES = 3, WAIT_MS = 120 * 1000, MEMORY = 256 << 20 };

static struct stream client;

/* Sends a command and reads until its tagged OK; the texts of the answer go to out, unless NULL. */
static void command(struct str text, struct buf *out)
{
    AUTO_BUF in = BUF_LIMIT(MEMORY);
    struct err e = {0};

    if (!stream_write(&client, text, WAIT_MS, &e))
        die("the client cannot write: %s", e.text);
    for (;;) {
        struct str s = buf_str(&in);
        size_t got;

        if (s.n >= 2 && s.p[s.n - 1] == '\n') {
            size_t line = s.n - 1;

            while (line && s.p[line - 1] != '\n')
                line--;
            if (str_starts(str_from(s, line), STR("t ")))
                break;
        }
        if (!stream_read(&client, buf_room(&in, 65536), 65536, WAIT_MS, &got, &e) || !got)
            die("the connection ended: %s", e.text);
        buf_claim(&in, got);
    }
    if (!memmem(in.p, in.n, "\r\nt OK", 6) && !str_starts(buf_str(&in), STR("t OK")))
        die("%.*s was answered %.*s", STR_FMT(text), STR_FMT(buf_str(&in)));
    if (out)
        buf_put(out, buf_str(&in));
}

static void fill(struct str mailbox, size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_FD fd = os_memfile("message", &(struct err){0});
    struct store_new *messages = arena_alloc(&a, n * sizeof *messages);
    struct store_added *added = arena_alloc(&a, n * sizeof *added);
    struct err e = {0};
    uint64_t at = 0;

    for (size_t i = 0; i < n; i++) {
        struct str m = arena_printf(&a, "From: a@b.example\r\nSubject: number %zu\r\nMessage-Id: <%.*s.%zu@x>\r\n"
                                        "Content-Type: text/plain\r\n\r\nhello\r\n",
                                    i, STR_FMT(mailbox), i);

        if (!os_write_all(fd, m, &e))
            die("%s", e.text);
        messages[i] = (struct store_new){.fd = fd, .offset = at, .size = m.n, .received_unix = 1000};
        at += m.n;
    }
    if (!store_add(account.store, mailbox, true, messages, n, added, &e))
        die("cannot fill %.*s: %s", STR_FMT(mailbox), e.text);
}

void imap_probes_begin(void)
{
    static const struct store_options options = {0};
    struct err e = {0};
    int pair[2], monitor[2];

    account.name = STR("tester");
    rules_use(rules_read(STR(""), &e));
    account.store = store_open(&options, &e);
    account.wake_fd = eventfd(0, EFD_CLOEXEC);
    if (!account.store || !fd_pair_packets(monitor, &e) ||
        !fd_pair_stream(pair, &e) ||
        !stream_open(&client, pair[1], &e))
        die("cannot begin: %s", e.text);
    account.monitor = (struct channel){monitor[0], ROLE_ACCOUNT, ROLE_MONITOR};
    fill(STR("m1"), SMALL);
    fill(STR("m2"), 2 * SMALL);
    fill(STR("m4"), 4 * SMALL);
    imap_attach(&(struct ipc_attach){.conn = 1, .login = STR("tester"), .tag = STR("t")}, pair[0]);
    command(STR(""), NULL);
    command(STR("t enable condstore qresync\r\n"), NULL);
}

static void open_mailbox(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    command(arena_printf(&a, "t select m%zu\r\n", n), NULL);
}

static void unselect(void)
{
    open_mailbox(1);
    command(STR("t unselect\r\n"), NULL);
}

/* A command in the mailbox of n times SMALL messages. */
static void in_mailbox(size_t n, const char *text)
{
    open_mailbox(n);
    count_begin();
    command(str_of(text), NULL);
    count_end();
}

static void select_one(size_t n)
{
    unselect();
    count_begin();
    open_mailbox(n);
    count_end();
}

static void fetch_flags(size_t n)
{
    in_mailbox(n, "t fetch 1:* flags\r\n");
}

static void fetch_envelopes(size_t n)
{
    in_mailbox(n, "t fetch 1:* (envelope bodystructure)\r\n");
}

static void fetch_bodies(size_t n)
{
    in_mailbox(n, "t fetch 1:* body.peek[1]\r\n");
}

static void search_header(size_t n)
{
    in_mailbox(n, "t search subject \"number 1\"\r\n");
}

static void search_text(size_t n)
{
    in_mailbox(n, "t search text hello\r\n");
}

static void search_nothing(size_t n)
{
    in_mailbox(n, "t search not or from nobody body nothing\r\n");
}

static void store_every(size_t n)
{
    in_mailbox(n, "t store 1:* +flags (\\Flagged)\r\n");
}

static void store_keywords_of_each(size_t n)
{
    in_mailbox(n, "t store 1:* +flags (k1 k2 k3)\r\n");
}

static void copy_all(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    command(arena_printf(&a, "t create c%zu\r\n", n), NULL);
    in_mailbox(n, arena_printf(&a, "t copy 1:* c%zu\r\n%c", n, 0).p);
}

static void expunge_every_second(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);

    command(arena_printf(&a, "t select c%zu\r\n", n), NULL);
    BUF_PUT(&text, "t store 1");
    for (size_t i = 3; i < n * SMALL; i += 2)
        buf_printf(&text, ",%zu", i);
    BUF_PUT(&text, " +flags.silent (\\Deleted)\r\n");
    count_begin();
    command(buf_str(&text), NULL);
    command(STR("t expunge\r\n"), NULL);
    count_end();
}

/* --- arguments that grow, in one mailbox ---------------------------------------------------------------- */

static void overlapping(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = arena_printf(&a, "t fetch %.*s uid\r\n", STR_FMT(repeat(&a, STR("1:*,"), n, 1)));

    open_mailbox(1);
    count_begin();
    command(text, NULL);
    count_end();
}

static void sets_in_a_search(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = arena_printf(&a, "t search %.*s\r\n", STR_FMT(repeat(&a, STR("uid 1:* "), n, 1)));

    open_mailbox(1);
    count_begin();
    command(text, NULL);
    count_end();
}

static void fields_that_are_fetched(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = arena_printf(&a, "t fetch 1 body.peek[header.fields (%.*s)]\r\n",
                                   STR_FMT(repeat(&a, STR("subject "), n, 1)));

    open_mailbox(1);
    count_begin();
    command(text, NULL);
    count_end();
}

static void absurd_known_uids(size_t n)
{
    AUTO_BUF status = BUF_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);
    const char *at;

    command(STR("t status m1 (uidvalidity)\r\n"), &status);
    buf_put_char(&status, 0);
    at = strstr(status.p, "UIDVALIDITY ");
    if (!at)
        die("no UIDVALIDITY");
    buf_printf(&text, "t select m1 (qresync (%lu 1 1", strtoul(at + 12, NULL, 10));
    for (size_t i = 1; i < n; i++)
        buf_printf(&text, ",%zu", 3 * i);
    BUF_PUT(&text, "))\r\n");
    unselect();
    count_begin();
    command(buf_str(&text), NULL);
    count_end();
}

const struct probe imap_probes[] = {
    {"SELECT", 1, select_one},
    {"FETCH of flags", 1, fetch_flags},
    {"FETCH of envelopes", 1, fetch_envelopes},
    {"FETCH of bodies", 1, fetch_bodies},
    {"SEARCH of a header field", 1, search_header},
    {"SEARCH of text", 1, search_text},
    {"SEARCH that finds all", 1, search_nothing},
    {"STORE", 1, store_every},
    {"STORE of keywords", 1, store_keywords_of_each},
    {"COPY", 1, copy_all},
    {"EXPUNGE of every second", 1, expunge_every_second},
    {"a set that overlaps itself", 900, overlapping},
    {"sets in a SEARCH", 200, sets_in_a_search},
    {"header fields of a FETCH", 200, fields_that_are_fetched},
    {"uids that QRESYNC knows", 500, absurd_known_uids},
};
const size_t n_imap_probes = COUNT(imap_probes);
