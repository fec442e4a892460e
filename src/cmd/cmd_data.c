/*
 * Verbs about messages: as files, and as they are stored.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/confine.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "crypto/received_id.h"
#include "db/db.h"
#include "message/mime.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/why.h"
#include "store/reputation.h"
#include "text/encode.h"

/* --- message parse --------------------------------------------------------------------------------- */

static void put_member(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, ",\"%s\":", name);
    json_put_string(out, value);
}

static void put_params(struct buf *out, const char *name, const struct params *p)
{
    if (!p->n)
        return;
    buf_printf(out, ",\"%s\":{", name);
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            BUF_PUT(out, ",");
        json_put_string(out, p->items[i].name);
        BUF_PUT(out, ":");
        json_put_string(out, p->items[i].value);
    }
    BUF_PUT(out, "}");
}

static void put_addresses(struct buf *out, struct arena *a, const char *name, struct str value)
{
    struct address_list list;

    if (!value.n)
        return;
    address_parse_list(a, value, &list);
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < list.n; i++) {
        AUTO_BUF address = BUF_LIMIT(64 * 1024);

        buf_put(out, i ? STR(",{\"name\":") : STR("{\"name\":"));
        json_put_string(out, encoded_word_decode(a, list.items[i].name));
        address_put_localpart(&address, list.items[i].localpart);
        BUF_PUT(&address, "@");
        buf_put(&address, list.items[i].domain);
        put_member(out, "address", buf_str(&address));
        BUF_PUT(out, "}");
    }
    BUF_PUT(out, "]");
}

static void put_envelope(struct buf *out, struct arena *a, const struct envelope *env)
{
    BUF_PUT(out, ",\"envelope\":{\"subject\":");
    json_put_string(out, encoded_word_decode(a, env->subject));
    put_member(out, "date", env->date);
    put_member(out, "message-id", env->message_id);
    put_member(out, "in-reply-to", env->in_reply_to);
    put_addresses(out, a, "from", env->from);
    put_addresses(out, a, "sender", env->sender);
    put_addresses(out, a, "reply-to", env->reply_to);
    put_addresses(out, a, "to", env->to);
    put_addresses(out, a, "cc", env->cc);
    put_addresses(out, a, "bcc", env->bcc);
    BUF_PUT(out, "}");
}

static void put_part(struct buf *out, struct arena *a, const struct part *p)
{
    buf_printf(out, "{\"header\":[%llu,%llu],\"body\":[%llu,%llu],\"lines\":%llu",
               (unsigned long long)p->header_start, (unsigned long long)p->body_start,
               (unsigned long long)p->body_start, (unsigned long long)p->body_end,
               (unsigned long long)p->lines);
    put_member(out, "type", p->type);
    put_member(out, "subtype", p->subtype);
    put_params(out, "params", &p->params);
    if (p->encoding.n)
        put_member(out, "encoding", p->encoding);
    if (p->disposition.n)
        put_member(out, "disposition", p->disposition);
    put_params(out, "disposition-params", &p->disposition_params);
    if (p->id.n)
        put_member(out, "id", p->id);
    if (p->description.n)
        put_member(out, "description", encoded_word_decode(a, p->description));
    if (p->envelope)
        put_envelope(out, a, p->envelope);
    if (p->child) {
        BUF_PUT(out, ",\"parts\":[");
        for (const struct part *child = p->child; child; child = child->next) {
            put_part(out, a, child);
            if (child->next)
                BUF_PUT(out, ",");
        }
        BUF_PUT(out, "]");
    }
    BUF_PUT(out, "}");
}

enum { PIECE = 256 * 1024 };

static bool is_ascii_between(int fd, uint64_t at, uint64_t end, struct buf *piece, struct err *e)
{
    while (at < end) {
        uint64_t n = end - at < PIECE ? end - at : PIECE;
        ssize_t got = pread(fd, buf_room(piece, PIECE), (size_t)n, (off_t)at);

        if (got <= 0)
            return fail_errno(e, "reading a header again");
        if (!str_is_ascii(str_at(piece->p, (size_t)got)))
            return false;
        at += (uint64_t)got;
    }
    return true;
}

// RFC 6531 §3.1: what a server without SMTPUTF8 may not be given is a header (RFC 6532), of a part as well.
static bool has_ascii_headers(int fd, const struct part *p, struct buf *piece, struct err *e)
{
    if (!is_ascii_between(fd, p->header_start, p->body_start, piece, e))
        return false;
    for (const struct part *child = p->child; child; child = child->next)
        if (!has_ascii_headers(fd, child, piece, e))
            return false;
    return true;
}

int cmd_message_parse(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_BUF piece = BUF_LIMIT(PIECE);
    AUTO_BUF out = BUF_LIMIT(256 << 20);
    AUTO_FD fd = -1;
    AUTO_FD copy = -1; // standard input may be a pipe, and its headers are looked at afterwards
    bool is_broken, asks_utf8 = false;
    const struct cmd_flag flags[] = {{"smtputf8", NULL, &asks_utf8}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct err e = {0};
    struct mime_parser *parser;
    struct part *root;
    const char *path;
    ssize_t got;

    if (at < 0 || argc - at != 1)
        return cmd_usage("message parse");
    path = argv[at];
    fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(0);
    if (fd < 0) {
        (void)fail_errno(&e, "opening %s", path);
        return cmd_fail(&e);
    }
    if (asks_utf8 && (copy = os_memfile("message", &e)) < 0)
        return cmd_fail(&e);
    parser = mime_parser_new(&a);
    while ((got = read(fd, buf_room(&piece, PIECE), PIECE)) > 0) {
        mime_parser_feed(parser, str_at(piece.p, (size_t)got));
        if (asks_utf8 && !os_write_all(copy, str_at(piece.p, (size_t)got), &e))
            return cmd_fail(&e);
    }
    if (got < 0)
        (void)fail_errno(&e, "reading %s", path);
    root = mime_parser_end(parser, &is_broken);
    if (e.kind)
        return cmd_fail(&e);
    put_part(&out, &a, root);
    BUF_PUT(&out, "\n");
    fwrite(out.p, 1, out.n, stdout);
    if (asks_utf8)
        printf("message needs smtputf8: %s\n", has_ascii_headers(copy, root, &piece, &e) ? "false" : "true");
    if (is_broken)
        fprintf(stderr, "mox: the structure is broken and was given up\n");
    return 0;
}

/* --- message why ------------------------------------------------------------------------------------- */

struct asked {
    struct str mailbox;
    uint32_t uid;
};

static bool read_why(struct arena *a, const struct asked *asked, struct str *out, struct err *e)
{
    struct store_reader *r;
    struct store_mailbox mailbox;
    struct str name;
    bool is_ok;

    if (!store_mailbox_name(a, asked->mailbox, &name, e) || !(r = store_reader_open(e)))
        return false;
    is_ok = store_mailbox_find(r, a, name, &mailbox, e) &&
            store_facts(r, a, mailbox.id, asked->uid, out, e);
    store_reader_close(r);
    return is_ok && (out->n || fail(e, ERR_NOT_FOUND, "nothing was decided about this message: it did "
                                    "not come from outside"));
}

/* In a child that may open nothing, but has the database. */
static int print_why(void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct str record, check, result, evidence;
    struct err e = {0};

    if (!read_why(&a, ctx, &record, &e))
        return cmd_fail(&e);
    while (why_next(&record, &check, &result, &evidence))
        cmd_say(stdout, "%-14.*s %.*s%s%.*s\n", STR_FMT(check), STR_FMT(result), evidence.n ? ": " : "",
               STR_FMT(evidence));
    return 0;
}

int cmd_message_why(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_FD account = -1;
    struct asked asked;
    struct str data;
    struct err e = {0};
    uint64_t uid;
    int code;

    if (argc != 4 || !str_u64(str_of(argv[3]), UINT32_MAX, &uid))
        return cmd_usage("message why");
    asked = (struct asked){str_of(argv[2]), (uint32_t)uid};
    if (!paths_data_dir(&a, &data, &e) || !paths_open_account(&a, data, str_of(argv[1]), &account, &e) ||
        !confine_databases(&(struct confine_database){account, "account.db", false}, 1, -1, print_why, &asked, &code, &e))
        return cmd_fail(&e);
    return code;
}

/* --- cid ---------------------------------------------------------------------------------------------- */

int cmd_cid(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(32 << 20);
    struct err e = {0};
    struct str dir, key;
    uint64_t cid;

    if (argc != 2)
        return cmd_usage("cid");
    if (!paths_data_dir(&a, &dir, &e) ||
        !os_read_file(&a, arena_cstring(&a, arena_printf(&a, "%.*s/receivedid.key", STR_FMT(dir))),
                      4096, &key, &e))
        return cmd_fail(&e);
    if (key.n != RECEIVED_ID_KEY_BYTES)
        (void)fail(&e, ERR_SYNTAX, "receivedid.key has a wrong size");
    else if (received_id_open((const unsigned char *)key.p, str_of(argv[1]), &cid, &e)) {
        printf("%llx\n", (unsigned long long)cid);
        return 0;
    }
    return cmd_fail(&e);
}
