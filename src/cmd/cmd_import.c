/*
 * import mbox, import maildir: messages of other programs into a mailbox of an account of the running
 * server. The files are read here, with the rights of whoever runs the command; the account's own process
 * parses and stores what is in them.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/ctl.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "ipc/channel.h"
#include "mailfile/mailfile.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "proto/imap/imap.h"
#include "text/date.h"
#include "text/encode.h"

enum {
    BATCH_MESSAGES = 500,
    BATCH_BYTES = 8 << 20, // or one message that is larger
    BATCH_MS = 10 * 60 * 1000,
    PIECE = 256 * 1024,
    PROGRESS = 1000, // messages
};

struct import {
    struct ctl_client ctl;
    struct channel ch; // to the account, as admin
    struct packet *p;
    struct str mailbox, source; // source: an absolute path
    struct buf batch;
    size_t n_batch;
    uint64_t n_read, n_added;
};

static bool import_open(struct import *im, const char *account, const char *mailbox,
                        const char *path, struct err *e)
{
    char *absolute = realpath(path, NULL);
    int fd;

    *im = (struct import){.ctl = {.fd = -1}, .ch = {-1}, .mailbox = str_of(mailbox),
                          .p = packet_new(), .batch = BUF_LIMIT(BATCH_BYTES + (size_t)IMAP_APPEND_LIMIT)};
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

static void import_close(struct import *im)
{
    if (im->ch.fd >= 0)
        channel_close(&im->ch);
    packet_free(im->p);
    buf_fini(&im->batch);
    ctl_close(&im->ctl);
}

static bool flush(struct import *im, struct err *e)
{
    AUTO_FD fd = -1;
    struct ipc_imported said;

    if (!im->n_batch)
        return true;
    fd = os_memfile("import", e);
    if (fd < 0 || !os_write_all(fd, buf_str(&im->batch), e) || !os_memfile_seal(fd, e) ||
        !IPC_SEND(&im->ch, import_batch, &fd, 1, e, .size = im->batch.n) ||
        !channel_expect(&im->ch, IPC_imported, im->p, BATCH_MS, e) ||
        !ipc_imported_get(im->p->body, &said, e))
        return fail_in(e, "the server has stored %llu messages and then gave up",
                       (unsigned long long)im->n_added);
    if (!said.is_ok)
        return fail(e, ERR_DENIED, "after %llu messages: %.*s", (unsigned long long)im->n_added,
                    STR_FMT(said.text));
    im->n_added += said.added;
    buf_reset(&im->batch);
    im->n_batch = 0;
    return true;
}

// The same message of the same place has the same id, whenever it is imported.
static struct str id_of(struct arena *a, const struct import *im, struct str place, struct str message)
{
    unsigned char digest[SHA256_BYTES];
    AUTO_BUF text = BUF_LIMIT(8192);
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
    if (header_find(header, STR("Date"), &f) && date_parse(header_unfold(a, f.value), &d) &&
        d.unix_seconds > 0)
        return d.unix_seconds;
    return os_now_unix();
}

static struct str header_of(struct str message)
{
    ptrdiff_t end = str_find_str(message, STR("\r\n\r\n"));

    return end < 0 ? message : str_sub(message, 0, (size_t)end + 2);
}

static bool add(struct import *im, struct arena *a, struct str message,
                const struct mailfile_message *m, struct str place, struct err *e)
{
    if (message.n > IMAP_APPEND_LIMIT)
        return fail(e, ERR_LIMIT, "a message of more than %d MiB", IMAP_APPEND_LIMIT >> 20);
    if (im->n_batch && (im->n_batch == BATCH_MESSAGES || im->batch.n + message.n > BATCH_BYTES) &&
        !flush(im, e))
        return false;
    buf_put(&im->batch, message);
    im->n_batch++;
    if (++im->n_read % PROGRESS == 0)
        fprintf(stderr, "%llu...\n", (unsigned long long)im->n_read);
    return IPC_SEND(&im->ch, import_message, NULL, 0, e, .size = message.n, .flags = m->flags,
                    .received_unix = (uint64_t)received(a, m, header_of(message)),
                    .keywords = store_keywords_join(a, &m->keywords),
                    .id = id_of(a, im, place, message));
}

static int finish(struct import *im, const struct err *why)
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

struct mbox_import {
    struct import *im;
    struct mbox_reader reader;
    struct buf message;
    uint64_t offset, begin; // in the file, of the line and of the message
    int64_t received_unix;
    bool has_message;
};

static bool end_message(struct mbox_import *mb, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct mailfile_message m = {.received_unix = mb->received_unix};
    bool is_ok;

    if (!mb->has_message)
        return true;
    mbox_flags(&a, header_of(buf_str(&mb->message)), &m);
    is_ok = !mb->message.full
                ? add(mb->im, &a, buf_str(&mb->message), &m,
                      arena_printf(&a, "%llu", (unsigned long long)mb->begin), e)
                : fail(e, ERR_LIMIT, "a message of more than %d MiB", IMAP_APPEND_LIMIT >> 20);
    buf_reset(&mb->message);
    return is_ok;
}

static bool mbox_take(struct mbox_import *mb, struct str line, struct err *e)
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

static bool read_mbox(struct mbox_import *mb, int fd, struct err *e)
{
    AUTO_BUF in = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + PIECE);
    size_t searched = 0;

    for (;;) {
        char *room = buf_room(&in, PIECE);
        ssize_t got = room ? read(fd, room, PIECE) : 0;
        struct str rest;
        const char *end;

        if (got < 0)
            return fail_errno(e, "reading");
        if (!room)
            return fail(e, ERR_LIMIT, "a line of more than %d MiB", IMAP_APPEND_LIMIT >> 20);
        if (!got)
            return (!in.n || mbox_take(mb, buf_str(&in), e)) && end_message(mb, e);
        buf_claim(&in, (size_t)got);
        rest = buf_str(&in);
        while ((end = memchr(rest.p + searched, '\n', rest.n - searched))) {
            struct str line = str_at(rest.p, (size_t)(end - rest.p));

            if (!mbox_take(mb, line, e))
                return false;
            rest = str_from(rest, line.n + 1);
            searched = 0;
        }
        searched = rest.n;
        buf_drop(&in, in.n - rest.n);
    }
}

int cmd_import_mbox(int argc, char **argv)
{
    struct import im;
    struct mbox_import mb = {.im = &im, .message = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + PIECE)};
    struct err e = {0};
    AUTO_FD fd = -1;
    int code;

    if (argc != 4)
        return cmd_usage("import mbox");
    fd = open(argv[3], O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        (void)fail_errno(&e, "opening %s", argv[3]);
        return cmd_fail(&e);
    }
    if (import_open(&im, argv[1], argv[2], argv[3], &e))
        (void)!read_mbox(&mb, fd, &e);
    code = finish(&im, &e);
    buf_fini(&mb.message);
    return code;
}

/* --- maildir ---------------------------------------------------------------------------------------- */

struct maildir_file {
    struct str name; // with "new/" or "cur/"
    int64_t received_unix;
};
struct maildir_files {
    struct arena a;
    struct maildir_file *items;
    size_t n, cap;
};

static bool list_files(int dir_fd, const char *folder, struct maildir_files *out, struct err *e)
{
    int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        (void)fail_errno(e, "opening %s", folder);
        fd_close(&fd);
        return false;
    }
    while ((entry = readdir(d))) {
        struct str name = arena_printf(&out->a, "%s/%s", folder, entry->d_name);
        struct maildir_keywords none = {0};
        struct mailfile_message m = {0};
        struct stat st;

        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &st, 0) || !S_ISREG(st.st_mode))
            continue;
        maildir_name(&out->a, str_of(entry->d_name), &none, &m);
        *ARENA_PUSH(&out->a, out->items, &out->n, &out->cap) =
            (struct maildir_file){name, m.received_unix ? m.received_unix : st.st_mtim.tv_sec};
    }
    closedir(d);
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct maildir_file *x = a, *y = b;

    if (x->received_unix != y->received_unix)
        return x->received_unix < y->received_unix ? -1 : 1;
    return str_cmp(x->name, y->name);
}

static bool import_file(struct import *im, int dir_fd, const struct maildir_file *file,
                        const struct maildir_keywords *keywords, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * (size_t)IMAP_APPEND_LIMIT);
    AUTO_BUF message = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + PIECE);
    AUTO_FD fd = openat(dir_fd, arena_cstring(&a, file->name), O_RDONLY | O_CLOEXEC);
    struct mailfile_message m = {0};
    struct str bytes, unique;
    struct cur c;

    if (fd < 0)
        return fail_errno(e, "opening %.*s", STR_FMT(file->name));
    if (!os_read_fd(&a, fd, IMAP_APPEND_LIMIT, &bytes, e))
        return fail_in(e, "%.*s", STR_FMT(file->name));
    unique = maildir_name(&a, str_from(file->name, 4), keywords, &m);
    m.received_unix = file->received_unix;
    c = cur_of(bytes);
    while (cur_left(&c)) { // LF alone becomes CR LF
        struct str line;

        if (!cur_line(&c, &line))
            break;
        buf_put(&message, str_ends(line, STR("\r")) ? str_sub(line, 0, line.n - 1) : line);
        BUF_PUT(&message, "\r\n");
    }
    return add(im, &a, buf_str(&message), &m, unique, e) || fail_in(e, "%.*s", STR_FMT(file->name));
}

static bool read_maildir(struct import *im, const char *path, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_FD dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct maildir_files files = {.a = ARENA_LIMIT(SIZE_MAX / 2)};
    struct maildir_keywords keywords = {0};
    struct str text;
    bool is_ok;
    int fd;

    if (dir < 0)
        return fail_errno(e, "opening %s", path);
    fd = openat(dir, "dovecot-keywords", O_RDONLY | O_CLOEXEC);
    is_ok = fd < 0 || os_read_fd(&a, fd, 64 * 1024, &text, e);
    if (fd >= 0 && is_ok)
        maildir_keywords_parse(text, &keywords);
    fd_close(&fd);
    is_ok = is_ok && list_files(dir, "new", &files, e) && list_files(dir, "cur", &files, e);
    if (is_ok && files.n)
        qsort(files.items, files.n, sizeof *files.items, by_time);
    for (size_t i = 0; is_ok && i < files.n; i++)
        is_ok = import_file(im, dir, &files.items[i], &keywords, e);
    arena_fini(&files.a);
    return is_ok;
}

int cmd_import_maildir(int argc, char **argv)
{
    struct import im;
    struct err e = {0};

    if (argc != 4)
        return cmd_usage("import maildir");
    if (import_open(&im, argv[1], argv[2], argv[3], &e))
        (void)!read_maildir(&im, argv[3], &e);
    return finish(&im, &e);
}
