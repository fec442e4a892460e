/*
 * APPEND (RFC 9051 6.3.12) of one message or many (RFC 3502), with its limits (RFC 7889), literals
 * (RFC 7888) and forms of binary and UTF-8 messages (RFC 3516, RFC 6855). REPLACE (RFC 8508), which is
 * an APPEND of one message that takes the place of another.
 *
 * Messages go to a spool as they come; nothing is in the mailbox before all are there.
 */
#include "base/log.h"
#include "os/clock.h"
#include "os/file.h"
#include "role/account/imap_conn.h"
#include "text/date.h"
#include "text/encode.h"

enum {
    MOST_MESSAGES = 10000,       // of one command
    MOST_TO_SKIP = 1000000,      // bytes of a refused literal; mox-imap-store-cli-config.md 1.1
    PIECE = 64 * 1024,
};
static const uint64_t MOST_SPOOLED = 1 << 30; // of all messages of one command

struct append {
    struct imap_conn *c;
    struct str mailbox;
    struct store_new *messages;
    size_t n, cap;
    struct os_spool spool;
    bool is_utf8; // "UTF8 (~{n}": a parenthesis closes it (RFC 6855 4)
    struct err e; // the spool's first error: what still comes is read over
    uint32_t old_uid; // of REPLACE; 0: APPEND
};

/* append-message: flags, date and the announcement of the literal. False with c->e. */
static bool message_arguments(struct append *a, struct imap_parser *p, struct imap_words *flags,
                              struct store_new *out)
{
    struct imap_conn *c = a->c;
    struct str text;
    struct date date;

    *out = (struct store_new){.received_unix = os_now_unix(), .fd = -1};
    if (imap_is_next(p, '(') && (!imap_flag_list(p, false, flags) || !imap_space(p)))
        return false;
    if (imap_is_next(p, '"')) {
        if (!imap_string(p, &text) || !date_parse_imap(text, &date) || !imap_space(p))
            return fail(&c->e, ERR_SYNTAX, "bad date");
        out->received_unix = date.unix_seconds;
    }
    a->is_utf8 = cur_skip_str_ci(&p->c, STR("UTF8 ("));
    if (a->is_utf8 && !imap_is_next(p, '~'))
        return fail(&c->e, ERR_SYNTAX, "a literal8 expected");
    cur_skip(&p->c, '~');
    return imap_is_next(p, '{') || fail(&c->e, ERR_SYNTAX, "a literal expected");
}

// Reads the literal, and keeps it unless it is to be skipped. False when the connection ends.
static bool read_message(struct append *a, bool is_kept)
{
    struct imap_conn *c = a->c;
    AUTO_BUF converted = BUF_LIMIT(2 * PIECE);
    uint64_t left = c->input.data_size;
    char last = 0;

    while (left) {
        struct str have = str_sub(buf_str(&c->in), 0, left < PIECE ? (size_t)left : PIECE);

        if (!have.n) {
            if (!imap_read_more(c, IMAP_LITERAL_MS))
                return false;
            continue;
        }
        if (is_kept && a->e.kind == ERR_NONE) {
            crlf_put(&converted, have, &last); // one kind of line end in the store
            (void)!os_spool_put(&a->spool, buf_str(&converted), &a->e);
            buf_reset(&converted);
        }
        left -= have.n;
        buf_drop(&c->in, have.n);
    }
    return true;
}

/*
 * What follows a literal: the next one's arguments, or the end of the command (*is_end). False when
 * the connection ends.
 */
static bool read_rest(struct append *a, struct str *rest, bool *is_end)
{
    struct imap_conn *c = a->c;

    imap_input_taken(&c->input);
    for (;;) {
        struct str bytes = buf_str(&c->in);
        size_t had = bytes.n;
        enum imap_input_result r = imap_input_feed(&c->input, &bytes);

        buf_drop(&c->in, had - bytes.n);
        *is_end = r == IMAP_INPUT_COMMAND;
        if (*is_end || r == IMAP_INPUT_DATA) {
            *rest = buf_str(&c->input.bytes);
            return true;
        }
        if (r != IMAP_INPUT_MORE || (!c->in.n && !imap_read_more(c, IMAP_LITERAL_MS))) {
            BUF_PUT(&c->out, "* BYE no end of the command found\r\n");
            c->is_ending = true;
            return false;
        }
    }
}

/*
 * The command was refused while a literal is announced. A client that waits for leave takes the reply
 * for it; what comes unasked is read over, or the connection ends: its bytes are no commands.
 */
static void skip_rest(struct append *a)
{
    struct imap_conn *c = a->c;
    uint64_t skipped = 0;
    struct str rest;
    bool is_end = false;

    while (!is_end && !c->input.data_is_sync) {
        skipped += c->input.data_size;
        if (c->input.data_size > MOST_TO_SKIP || skipped > MOST_TO_SKIP) {
            BUF_PUT(&c->out, "* BYE [ALERT] the literal is too large to be skipped\r\n");
            c->is_ending = true;
            return;
        }
        if (!read_message(a, false) || !read_rest(a, &rest, &is_end)) {
            c->is_ending = true;
            return;
        }
    }
}

// The mailbox must be there before the client sends a message. False after a reply.
static bool find_mailbox(struct append *a)
{
    struct imap_conn *c = a->c;
    struct store_mailbox m;
    struct err e = {0};

    if (!store_mailbox_name(&c->a, a->mailbox, &a->mailbox, &e)) {
        imap_no(c, "TRYCREATE", STR("no such mailbox"));
        return false;
    }
    if (store_mailbox_find(c->reader, &c->a, a->mailbox, &m, &e))
        return true;
    imap_store_failed(c, &e, "TRYCREATE");
    return false;
}

// Whether the announced message may come. False after a reply.
static bool may_send(struct append *a)
{
    struct imap_conn *c = a->c;
    uint64_t size = c->input.data_size;
    struct store_quota quota;
    struct err e = {0};

    if (!size) {
        // RFC 3502 3: this is how a client takes the command back.
        imap_no(c, NULL, STR("an empty message cancels the command"));
        return false;
    }
    if (size > IMAP_APPEND_LIMIT || a->n >= MOST_MESSAGES || a->spool.size + size > MOST_SPOOLED) {
        imap_no(c, "TOOBIG", STR("too large, or too many messages in one command"));
        return false;
    }
    if (!store_quota_get(account.store, c->reader, &quota, &e)) {
        imap_store_failed(c, &e, NULL);
        return false;
    }
    if (quota.limit && quota.used + a->spool.size + size > quota.limit) {
        imap_no(c, "OVERQUOTA", arena_printf(&c->a, "the account may hold %llu bytes",
                                             (unsigned long long)quota.limit));
        return false;
    }
    return true;
}

// One message with its arguments. False when the command is refused, or the connection ends.
static bool take_message(struct append *a, struct imap_parser *p)
{
    struct imap_conn *c = a->c;
    struct imap_words flags = {0};
    struct store_new m;
    uint64_t start = a->spool.size;

    if (!message_arguments(a, p, &flags, &m)) {
        imap_bad(c, str_of(c->e.text));
        return false;
    }
    if (!imap_store_flags(c, &flags, &m.flags, &m.keywords) || (!a->n && !find_mailbox(a)) ||
        !may_send(a))
        return false;
    if (c->input.data_is_sync)
        BUF_PUT(&c->out, "+ \r\n");
    if (!imap_flush(c, true) || !read_message(a, true)) {
        c->is_ending = true;
        return false;
    }
    m.offset = start;
    m.size = a->spool.size - start;
    *ARENA_PUSH(&c->a, a->messages, &a->n, &a->cap) = m;
    return true;
}

// All messages are there: the answer, and the mailbox as it is now.
static void store_all(struct append *a)
{
    struct imap_conn *c = a->c;
    struct store_added *added = ARENA_ARRAY(&c->a, a->n, struct store_added);
    uint32_t *uids = ARENA_ARRAY(&c->a, a->n, uint32_t);
    AUTO_BUF code = BUF_LIMIT(1 << 20);

    for (size_t i = 0; i < a->n; i++)
        a->messages[i].fd = a->spool.fd;
    if (a->e.kind || !store_add(account.store, a->mailbox, false, a->messages, a->n, added, &a->e)) {
        imap_store_failed(c, &a->e, "TRYCREATE");
        return;
    }
    for (size_t i = 0; i < a->n; i++)
        uids[i] = added[i].uid;
    buf_printf(&code, "[APPENDUID %u ", added[0].uidvalidity);
    imap_uids_put(&code, uids, a->n);
    BUF_PUT(&code, "] APPEND done");
    imap_sync(c, SYNC_ALL); // EXISTS first, when it is the selected mailbox
    imap_ok(c, buf_str(&code));
}

/*
 * RFC 8508 4.3: where the new one is, before the old one disappears. The answer tells in any case how far
 * a client with CONDSTORE is.
 */
static void replace(struct append *a)
{
    struct imap_conn *c = a->c;
    struct store_added added;

    a->messages[0].fd = a->spool.fd;
    if (!a->e.kind && store_replace(account.store, c->view->mailbox, a->old_uid, a->mailbox,
                                    a->messages, &added, &a->e)) {
        buf_printf(&c->out, "* OK [APPENDUID %u %u] replaced\r\n", added.uidvalidity, added.uid);
        imap_sync(c, SYNC_ALL);
        imap_ok(c, arena_printf(&c->a, "[HIGHESTMODSEQ %llu] REPLACE done",
                                (unsigned long long)c->view->highest));
        return;
    }
    imap_sync(c, SYNC_ALL);
    if (a->e.kind == ERR_CONFLICT)
        imap_no(c, NULL, str_of(a->e.text));
    else
        imap_store_failed(c, &a->e, "TRYCREATE");
}

// Messages one after the other, from the first one's arguments on.
static void take_all(struct append *a, struct imap_parser *p)
{
    struct imap_conn *c = a->c;
    struct str rest;
    bool is_end;

    for (;;) {
        if (!take_message(a, p)) {
            if (!c->is_ending)
                skip_rest(a);
            return;
        }
        if (!read_rest(a, &rest, &is_end))
            return;
        p->c = cur_of(rest);
        if ((a->is_utf8 && !imap_close(p)) || (is_end || a->old_uid ? !imap_end(p) : !imap_space(p))) {
            imap_bad(c, str_of(c->e.text));
            if (!is_end)
                skip_rest(a);
            return;
        }
        if (is_end && a->old_uid)
            replace(a);
        else if (is_end)
            store_all(a);
        if (is_end)
            return;
    }
}

// The one message that is named. False after a reply.
static bool find_old(struct append *a, const struct imap_set *set, bool is_uid)
{
    struct imap_conn *c = a->c;
    struct view_set rows;
    struct err e = {0};

    if (set->is_saved || set->n != 1 || set->ranges[0].first != set->ranges[0].last) {
        imap_bad(c, STR("one number expected"));
        return false;
    }
    if (!c->view || c->view->is_read_only) {
        imap_no(c, NULL, c->view ? STR("the mailbox is open read-only")
                                 : STR("no mailbox is selected"));
        return false;
    }
    if (!view_load(c->view, c->reader, &e)) {
        imap_store_failed(c, &e, NULL);
        return false;
    }
    if (!view_resolve(c, set, is_uid, &rows, &e) || !rows.n) {
        imap_no(c, NULL, STR("no such message"));
        return false;
    }
    a->old_uid = c->view->rows[rows.at[0]].uid;
    return true;
}

// Everything before the first message's own arguments. False after a reply.
static bool start(struct append *a, struct imap_parser *p)
{
    struct imap_conn *c = a->c;
    struct str ignored;
    struct imap_set old;
    bool is_uid, is_ok = imap_tag(p, &ignored) && imap_space(p);

    is_uid = is_ok && imap_skip_word(p, STR("UID"));
    is_ok = is_ok && (!is_uid || imap_space(p)) && imap_word(p, &c->command) && imap_space(p);
    if (is_ok && str_eq(c->command, STR("REPLACE"))) {
        is_ok = imap_sequence_set(p, &old) && imap_space(p);
        if (is_ok && !find_old(a, &old, is_uid))
            return false;
    }
    is_ok = is_ok && imap_mailbox(p, &a->mailbox) && imap_space(p);
    if (!is_ok)
        imap_bad(c, str_of(c->e.text));
    return is_ok;
}

void cmd_append(struct imap_conn *c)
{
    struct imap_parser p = {cur_of(buf_str(&c->input.bytes)), &c->a, c->has_utf8, &c->e};
    struct append a = {.c = c, .spool = OS_SPOOL_EMPTY};

    c->tag = arena_dup(&c->a, c->tag); // the input goes on in its place
    if (start(&a, &p)) {
        a.mailbox = arena_dup(&c->a, a.mailbox);
        take_all(&a, &p);
    } else {
        skip_rest(&a);
    }
    os_spool_close(&a.spool);
}
