#include "cmd/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "proto/imap/imap.h"
#include "text/date.h"
#include "text/encode.h"

enum {
    BATCH_MESSAGES = 500,
    BATCH_BYTES = 8 << 20, // or one message that is larger
    BATCH_MS = 10 * 60 * 1000,
    PIECE = 256 * 1024,
    PROGRESS = 1000, // messages
    MOST_DATE = 1000, // of the bytes of a field; a date is shorter
};

static void init(struct import *im, const char *mailbox)
{
    *im = (struct import){.ctl = {.fd = -1}, .ch = {-1}, .mailbox = str_of(mailbox), .p = packet_new(),
                          .batch = BUF_LIMIT(BATCH_BYTES + (size_t)IMAP_APPEND_LIMIT),
                          .a = ARENA_LIMIT(64 << 20)};
}

bool import_open(struct import *im, const char *account, const char *mailbox, const char *path,
                 struct err *e)
{
    char *absolute = realpath(path, NULL);
    int fd;

    init(im, mailbox);
    if (!absolute)
        return fail_errno(e, "%s", path);
    if (!ctl_open(&im->ctl, e)) {
        free(absolute);
        return false;
    }
    im->source = arena_dup(&im->ctl.a, str_of(absolute));
    free(absolute);
    if (!ctl_send(&im->ctl, STR("importopen"), e) || !ctl_send(&im->ctl, str_of(account), e) ||
        !ctl_send(&im->ctl, im->mailbox, e) || !ctl_take_fd(&im->ctl, &fd, e))
        return false;
    im->ch = (struct channel){fd, ROLE_ADMIN, ROLE_ACCOUNT};
    return true;
}

bool import_open_here(struct import *im, const char *mailbox, struct str source, struct err *e)
{
    static const struct store_options options = {.junk.is_unknown = true};

    init(im, mailbox);
    im->source = source;
    im->store = store_open(&options, e);
    return im->store != NULL;
}

bool import_confine(struct err *e)
{
    static const struct sandbox_profile profile = {"import", SANDBOX_MEMFILE, (size_t)2 << 30};
    struct sandbox *box;
    bool is_ok;

    charset_warm();
    box = sandbox_compile(&profile, e);
    is_ok = box && sandbox_enter(box, NULL, 0, e);
    sandbox_free(box);
    return is_ok;
}

static void import_close(struct import *im)
{
    if (im->ch.fd >= 0)
        channel_close(&im->ch);
    store_close(im->store);
    packet_free(im->p);
    buf_fini(&im->batch);
    arena_fini(&im->a);
    ctl_close(&im->ctl);
}

static bool store_here(struct import *im, int fd, struct err *e)
{
    struct store_added *added = ARENA_ARRAY(&im->a, im->n_messages, struct store_added);
    struct str mailbox;

    for (size_t i = 0; i < im->n_messages; i++)
        im->messages[i].fd = fd;
    if (!store_mailbox_name(&im->a, im->mailbox, &mailbox, e) ||
        !store_add(im->store, mailbox, true, im->messages, im->n_messages, added, e))
        return false;
    for (size_t i = 0; i < im->n_messages; i++)
        im->n_added += added[i].uid != 0;
    return true;
}

static bool gave_up(const struct import *im, struct err *e)
{
    return fail_in(e, "the server has stored %llu messages and then gave up",
                   (unsigned long long)im->n_added);
}

static bool send_batch(struct import *im, int fd, struct err *e)
{
    struct ipc_imported said;

    if (!IPC_SEND(&im->ch, import_batch, &fd, 1, e, .size = im->batch.n) ||
        !channel_expect(&im->ch, IPC_imported, im->p, BATCH_MS, e) ||
        !ipc_imported_get(im->p->body, &said, e))
        return gave_up(im, e);
    if (!said.is_ok)
        return fail(e, ERR_DENIED, "after %llu messages: %.*s", (unsigned long long)im->n_added,
                    STR_FMT(said.text));
    im->n_added += said.added;
    return true;
}

// An empty one makes its mailbox.
static bool put_batch(struct import *im, struct err *e)
{
    AUTO_FD fd = os_memfile("import", e);

    if (fd < 0 || !os_write_all(fd, buf_str(&im->batch), e) || !os_memfile_seal(fd, e) ||
        !(im->store ? store_here(im, fd, e) : send_batch(im, fd, e)))
        return false;
    buf_reset(&im->batch);
    arena_reset(&im->a);
    im->messages = NULL;
    im->n_messages = im->cap_messages = 0;
    im->n_batch = 0;
    return true;
}

static bool flush(struct import *im, struct err *e)
{
    return !im->n_batch || put_batch(im, e);
}

bool import_mailbox(struct import *im, struct str name, struct err *e)
{
    if (str_eq(name, im->mailbox))
        return true;
    if (!flush(im, e))
        return false;
    im->mailbox = name;
    if (!im->store && !IPC_SEND(&im->ch, import_mailbox, NULL, 0, e, .mailbox = name))
        return false;
    return put_batch(im, e);
}

// The same message of the same place has the same id, whenever it is imported.
static struct str id_of(struct arena *a, const struct import *im, struct str place, struct str message)
{
    unsigned char digest[SHA256_BYTES];
    AUTO_BUF text = BUF_LIMIT(32768);
    AUTO_BUF id = BUF_LIMIT(100);
    struct str parts[] = {im->source, im->mailbox, place};

    sha256(message, digest);
    for (size_t i = 0; i < COUNT(parts); i++) {
        buf_put(&text, parts[i]);
        buf_put_char(&text, 0);
    }
    buf_put(&text, str_at((char *)digest, sizeof digest));
    sha256(buf_str(&text), digest);
    base64url_encode(&id, str_at((char *)digest, sizeof digest));
    return arena_dup(a, buf_str(&id));
}

// When nothing else tells, the message's own date does.
static int64_t received(struct arena *a, const struct mailfile_message *m, struct str header)
{
    struct header_field f;
    struct date d;

    if (m->received_unix > 0)
        return m->received_unix;
    if (header_find(header, STR("Date"), &f) &&
        date_parse(header_unfold(a, str_sub(f.value, 0, MOST_DATE)), &d) && d.unix_seconds > 0)
        return d.unix_seconds;
    return os_now_unix();
}

static struct str header_of(struct str message)
{
    ptrdiff_t end = str_find_str(message, STR("\r\n\r\n"));

    return end < 0 ? message : str_sub(message, 0, (size_t)end + 2);
}

static void say_progress(const struct import *im)
{
    if (im->n_all)
        fprintf(stderr, "%llu of %llu...\n", (unsigned long long)im->n_read,
                (unsigned long long)im->n_all);
    else
        fprintf(stderr, "%llu...\n", (unsigned long long)im->n_read);
}

bool import_add(struct import *im, struct arena *a, struct str message, const struct mailfile_message *m,
                struct str place, struct err *e)
{
    struct str keywords = store_keywords_join(a, &m->keywords), id;
    int64_t received_unix = received(a, m, header_of(message));

    if (message.n > IMAP_APPEND_LIMIT)
        return fail(e, ERR_LIMIT, "a message of more than %d MiB", IMAP_APPEND_LIMIT >> 20);
    if (im->n_batch && (im->n_batch == BATCH_MESSAGES || im->batch.n + message.n > BATCH_BYTES) &&
        !flush(im, e))
        return false;
    id = id_of(a, im, place, message);
    if (im->store)
        *ARENA_PUSH(&im->a, im->messages, &im->n_messages, &im->cap_messages) = (struct store_new){
            .offset = im->batch.n, .size = message.n, .flags = m->flags,
            .keywords = arena_dup(&im->a, keywords), .received_unix = received_unix,
            .delivery_id = arena_printf(&im->a, "i.%.*s", STR_FMT(id))};
    buf_put(&im->batch, message);
    im->n_batch++;
    if (++im->n_read % PROGRESS == 0)
        say_progress(im);
    return im->store ||
           IPC_SEND(&im->ch, import_message, NULL, 0, e, .size = message.n, .flags = m->flags,
                    .received_unix = (uint64_t)received_unix, .keywords = keywords, .id = id) ||
           gave_up(im, e);
}

int import_finish(struct import *im, const struct err *why)
{
    struct err e = *why;

    if (!e.kind && flush(im, &e)) {
        fprintf(stderr, "%llu imported", (unsigned long long)im->n_added);
        if (im->n_added < im->n_read)
            fprintf(stderr, ", %llu were there already",
                    (unsigned long long)(im->n_read - im->n_added));
        fprintf(stderr, "\n");
    }
    import_close(im);
    return e.kind ? cmd_fail(&e) : 0;
}

/* --- mbox ------------------------------------------------------------------------------------------- */

void import_mbox_init(struct import_mbox *mb, struct import *im, struct str place)
{
    *mb = (struct import_mbox){.im = im, .place = place,
                               .in = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + PIECE),
                               .message = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + PIECE)};
}

void import_mbox_fini(struct import_mbox *mb)
{
    buf_fini(&mb->in);
    buf_fini(&mb->message);
}

static bool end_message(struct import_mbox *mb, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct mailfile_message m = {.received_unix = mb->received_unix};
    bool is_ok;

    if (!mb->has_message)
        return true;
    mbox_flags(&a, header_of(buf_str(&mb->message)), &m);
    is_ok = !mb->message.full
                ? import_add(mb->im, &a, buf_str(&mb->message), &m,
                             arena_printf(&a, "%.*s%llu", STR_FMT(mb->place),
                                          (unsigned long long)mb->begin), e)
                : fail(e, ERR_LIMIT, "a message of more than %d MiB", IMAP_APPEND_LIMIT >> 20);
    buf_reset(&mb->message);
    return is_ok;
}

static bool take_line(struct import_mbox *mb, struct str line, struct err *e)
{
    bool is_begin;

    if (!mbox_line(&mb->reader, line, &mb->message, &is_begin, e))
        return false;
    if (is_begin) {
        if (!end_message(mb, e))
            return false;
        mb->has_message = true;
        mb->begin = mb->offset;
        mb->received_unix = mbox_received(line);
    }
    mb->offset += line.n + 1;
    return true;
}

bool import_mbox_put(struct import_mbox *mb, struct str bytes, struct err *e)
{
    struct str rest;
    const char *end;

    buf_put(&mb->in, bytes);
    if (mb->in.full)
        return fail(e, ERR_LIMIT, "a line of more than %d MiB", IMAP_APPEND_LIMIT >> 20);
    rest = buf_str(&mb->in);
    while ((end = memchr(rest.p + mb->searched, '\n', rest.n - mb->searched))) {
        struct str line = str_at(rest.p, (size_t)(end - rest.p));

        if (!take_line(mb, line, e))
            return false;
        rest = str_from(rest, line.n + 1);
        mb->searched = 0;
    }
    mb->searched = rest.n;
    buf_drop(&mb->in, mb->in.n - rest.n);
    return true;
}

bool import_mbox_end(struct import_mbox *mb, struct err *e)
{
    return (!mb->in.n || take_line(mb, buf_str(&mb->in), e)) && end_message(mb, e);
}

void import_put_crlf(struct buf *out, struct str bytes)
{
    struct cur c = cur_of(bytes);
    struct str line;

    while (cur_line(&c, &line)) { // LF alone becomes CR LF
        buf_put(out, str_ends(line, STR("\r")) ? str_sub(line, 0, line.n - 1) : line);
        BUF_PUT(out, "\r\n");
    }
}
