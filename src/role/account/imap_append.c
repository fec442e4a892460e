/*
 * APPEND (RFC 9051 6.3.12, RFC 7888).
 */
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/account/imap_conn.h"
#include "text/date.h"
#include "text/encode.h"

struct append {
    struct str mailbox;
    struct store_new message;
    bool is_utf8; // "UTF8 (~{n}": a parenthesis closes it (RFC 6855 4)
};

static bool append_arguments(struct imap_conn *c, struct append *out, struct imap_words *flags)
{
    struct imap_parser p = {cur_of(buf_str(&c->input.bytes)), &c->a, c->has_utf8, &c->e};
    struct str ignored, text;
    struct date date;

    *out = (struct append){.message = {.received_unix = os_now_unix(), .fd = -1}};
    if (!imap_tag(&p, &ignored) || !imap_space(&p) || !imap_word(&p, &ignored) ||
        !imap_space(&p) || !imap_mailbox(&p, &out->mailbox) || !imap_space(&p))
        return false;
    if (imap_is_next(&p, '(') && (!imap_flag_list(&p, false, flags) || !imap_space(&p)))
        return false;
    if (imap_is_next(&p, '"')) {
        if (!imap_string(&p, &text) || !date_parse_imap(text, &date) || !imap_space(&p))
            return fail(&c->e, ERR_SYNTAX, "bad date");
        out->message.received_unix = date.unix_seconds;
    }
    out->is_utf8 = cur_skip_str_ci(&p.c, STR("UTF8 ("));
    return imap_is_next(&p, '{') || imap_is_next(&p, '~') ||
           fail(&c->e, ERR_SYNTAX, "a literal expected");
}

// Reads the literal, and keeps it when fd is not -1. False when the connection ends.
static bool read_message(struct imap_conn *c, int fd, uint64_t *size, struct err *e)
{
    enum { PIECE = 64 * 1024 };
    AUTO_BUF converted = BUF_LIMIT(4 * PIECE);
    uint64_t left = c->input.data_size;
    char last = 0;

    *size = 0;
    while (left) {
        struct str have = str_sub(buf_str(&c->in), 0, left < PIECE ? (size_t)left : PIECE);

        if (!have.n) {
            if (!imap_read_more(c, IMAP_LITERAL_MS))
                return false;
            continue;
        }
        if (fd >= 0 && e->kind == ERR_NONE) {
            crlf_put(&converted, have, &last); // one kind of line end in the store
            (void)!os_write_all(fd, buf_str(&converted), e);
            *size += converted.n;
            buf_reset(&converted);
        }
        left -= have.n;
        buf_drop(&c->in, have.n);
    }
    return true;
}

// What follows the literal up to the end of the line. False when the connection ends.
static bool read_rest(struct imap_conn *c, struct str *rest)
{
    size_t start = c->input.bytes.n;

    for (;;) {
        struct str bytes = buf_str(&c->in);
        size_t had = bytes.n;
        enum imap_input_result r = imap_input_feed(&c->input, &bytes);

        buf_drop(&c->in, had - bytes.n);
        if (r == IMAP_INPUT_COMMAND) {
            *rest = str_from(buf_str(&c->input.bytes), start);
            return true;
        }
        if (r != IMAP_INPUT_MORE || (!c->in.n && !imap_read_more(c, IMAP_LITERAL_MS))) {
            BUF_PUT(&c->out, "* BYE no end of APPEND found\r\n");
            c->is_ending = true;
            return false;
        }
    }
}

// Whether the mailbox is there, before the client sends the message.
static bool has_mailbox(struct imap_conn *c, struct str *name, struct err *e)
{
    struct store_mailbox m;

    if (!store_mailbox_name(&c->a, *name, name, e))
        return fail(e, ERR_NOT_FOUND, "no such mailbox");
    return store_mailbox_find(c->reader, &c->a, *name, &m, e);
}

// The command is refused; with a literal that comes unasked, its bytes are read over.
static void refuse(struct imap_conn *c)
{
    enum { MOST_TO_SKIP = 1000000 }; // mox-imap-store-cli-config.md 1.1
    struct err ignored = {0};
    struct str rest;
    uint64_t size;

    if (c->input.data_is_sync)
        return;
    if (c->input.data_size > MOST_TO_SKIP) {
        BUF_PUT(&c->out, "* BYE [ALERT] the literal is too large to be skipped\r\n");
        c->is_ending = true;
    } else if (!read_message(c, -1, &size, &ignored) || !read_rest(c, &rest)) {
        c->is_ending = true;
    }
}

static void store_appended(struct imap_conn *c, struct append *a)
{
    struct store_added added;
    struct err e = {0};

    if (!store_add(account.store, a->mailbox, false, &a->message, 1, &added, &e)) {
        imap_store_failed(c, &e, "TRYCREATE");
        return;
    }
    imap_sync(c, SYNC_ALL); // EXISTS first, when it is the selected mailbox
    imap_ok(c, arena_printf(&c->a, "[APPENDUID %u %u] APPEND done", added.uidvalidity, added.uid));
}

void cmd_append(struct imap_conn *c)
{
    struct imap_words flags = {0};
    struct append a;
    struct str rest = {0};
    struct err e = {0};

    if (!append_arguments(c, &a, &flags)) {
        imap_bad(c, str_of(c->e.text));
        refuse(c);
        return;
    }
    if (!imap_store_flags(c, &flags, &a.message.flags, &a.message.keywords)) {
        refuse(c);
        return;
    }
    if (!has_mailbox(c, &a.mailbox, &e)) {
        imap_store_failed(c, &e, "TRYCREATE");
        refuse(c);
        return;
    }
    a.message.fd = os_memfile("append", &e);
    if (c->input.data_is_sync)
        BUF_PUT(&c->out, "+ \r\n");
    if (!imap_flush(c, true))
        return;
    if (!read_message(c, a.message.fd, &a.message.size, &e) || !read_rest(c, &rest)) {
        fd_close(&a.message.fd);
        return;
    }
    if (a.is_utf8 && str_starts(rest, STR(")")))
        rest = str_from(rest, 1);
    if (rest.n)
        imap_bad(c, STR("more after the literal than the command takes"));
    else if (e.kind)
        imap_store_failed(c, &e, NULL);
    else
        store_appended(c, &a);
    fd_close(&a.message.fd);
}
