/*
 * import mbox, import maildir: messages of other programs into a mailbox of an account of the running
 * server; and ximport, the same without a server. The files are opened here, with the rights of whoever runs
 * the command; with the server, its account's process parses and stores what is in them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/confine.h"
#include "cmd/import.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "os/fd.h"
#include "os/file.h"
#include "proto/imap/imap.h"

enum { PIECE = 256 * 1024 };

static bool read_mbox(struct import *im, int fd, struct err *e)
{
    AUTO_BUF piece = BUF_LIMIT(PIECE);
    char *room = buf_room(&piece, PIECE);
    struct import_mbox mb;
    ssize_t got;

    import_mbox_init(&mb, im, STR(""));
    while ((got = read(fd, room, PIECE)) > 0 && import_mbox_put(&mb, str_at(room, (size_t)got), e))
        ;
    if (got < 0)
        (void)fail_errno(e, "reading");
    if (!e->kind)
        (void)!import_mbox_end(&mb, e);
    import_mbox_fini(&mb);
    return e->kind == ERR_NONE;
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

// Whoever has the maildir need not be who runs this: a link to what only root may read is not followed.
static bool list_files(int dir_fd, const char *folder, struct maildir_files *out, struct err *e)
{
    int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        (void)(errno == ENOENT ? fail(e, ERR_SYNTAX, "this is no maildir: there is no %s in it", folder)
                               : fail_errno(e, "opening %s", folder));
        fd_close(&fd);
        return false;
    }
    while ((entry = readdir(d))) {
        struct str name = arena_printf(&out->a, "%s/%s", folder, entry->d_name);
        struct maildir_keywords none = {0};
        struct mailfile_message m = {0};
        struct stat st;

        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (!S_ISREG(st.st_mode)) {
            cmd_say(stderr, "problem: %.*s: not a file, skipped\n", STR_FMT(name));
            continue;
        }
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

static int open_file(int dir_fd, const char *name, struct err *e)
{
    char folder[] = {name[0], name[1], name[2], '\0'};
    AUTO_FD in = openat(dir_fd, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = in < 0 ? -1 : openat(in, name + sizeof folder, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        (void)fail_errno(e, "opening %s", name);
    return fd;
}

static bool import_file(struct import *im, int dir_fd, const struct maildir_file *file,
                        const struct maildir_keywords *keywords, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * (size_t)IMAP_APPEND_LIMIT);
    AUTO_BUF message = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + PIECE);
    AUTO_FD fd = open_file(dir_fd, arena_cstring(&a, file->name), e);
    struct mailfile_message m = {0};
    struct str bytes, unique;

    if (fd < 0)
        return false;
    if (!os_read_fd(&a, fd, IMAP_APPEND_LIMIT, &bytes, e))
        return fail_in(e, "%.*s", STR_FMT(file->name));
    unique = maildir_name(&a, str_from(file->name, 4), keywords, &m);
    m.received_unix = file->received_unix;
    import_put_crlf(&message, bytes);
    return import_add(im, &a, buf_str(&message), &m, unique, e) ||
           fail_in(e, "%.*s", STR_FMT(file->name));
}

static bool read_maildir(struct import *im, int dir, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct maildir_files files = {.a = ARENA_LIMIT(SIZE_MAX / 2)};
    struct maildir_keywords keywords = {0};
    struct str text;
    bool is_ok;
    int fd;

    fd = openat(dir, "dovecot-keywords", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
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

/* --- the verbs --------------------------------------------------------------------------------------- */

static int open_source(const char *path, bool is_maildir, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | (is_maildir ? O_DIRECTORY : 0));
    struct stat st;

    if (fd < 0)
        (void)fail_errno(e, "opening %s", path);
    else if (!is_maildir && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        (void)fail(e, ERR_SYNTAX, "%s is a directory: an mbox is a file", path);
        fd_close(&fd);
    }
    return fd;
}

static bool read_source(struct import *im, int fd, bool is_maildir, struct err *e)
{
    return is_maildir ? read_maildir(im, fd, e) : read_mbox(im, fd, e);
}

static int import(int argc, char **argv, const char *words, bool is_maildir)
{
    struct import im;
    struct err e = {0};
    AUTO_FD fd = -1;

    if (argc != 4)
        return cmd_usage(words);
    fd = open_source(argv[3], is_maildir, &e);
    if (fd < 0)
        return cmd_fail(&e);
    // The files of a maildir are opened one by one.
    if (import_open(&im, argv[1], argv[2], argv[3], &e) && (is_maildir || import_confine(&e)))
        (void)!read_source(&im, fd, is_maildir, &e);
    return import_finish(&im, &e);
}

int cmd_import_mbox(int argc, char **argv)
{
    return import(argc, argv, "import mbox", false);
}

int cmd_import_maildir(int argc, char **argv)
{
    return import(argc, argv, "import maildir", true);
}

struct without_server {
    const char *mailbox;
    struct str source;
    int fd;
    bool is_maildir;
};

static int import_here(void *ctx)
{
    const struct without_server *w = ctx;
    struct import im;
    struct err e = {0};

    if (import_open_here(&im, w->mailbox, w->source, &e))
        (void)!read_source(&im, w->fd, w->is_maildir, &e);
    return import_finish(&im, &e);
}

static int ximport(int argc, char **argv, const char *words, bool is_maildir)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct without_server w = {.is_maildir = is_maildir};
    AUTO_FD account = -1;
    AUTO_FD lock = -1;
    AUTO_FD fd = -1;
    struct err e = {0};
    char *absolute;
    int code;

    if (argc != 4)
        return cmd_usage(words);
    w.mailbox = argv[2];
    absolute = realpath(argv[3], NULL);
    if (!absolute) {
        (void)fail_errno(&e, "%s", argv[3]);
        return cmd_fail(&e);
    }
    w.source = arena_dup(&a, str_of(absolute));
    free(absolute);
    w.fd = fd = open_source(argv[3], is_maildir, &e);
    if (fd < 0)
        return cmd_fail(&e);
    account = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (account < 0) {
        (void)fail_errno(&e, "opening %s", argv[1]);
        return cmd_fail(&e);
    }
    // The account's directory is in "accounts" of the data directory.
    if (!paths_lock(&a, arena_printf(&a, "%s/../..", argv[1]), &lock, &e) ||
        !confine_run(account, is_maildir ? fd : -1, import_here, &w, &code, &e))
        return cmd_fail(&e);
    return code;
}

int cmd_ximport_mbox(int argc, char **argv)
{
    return ximport(argc, argv, "ximport mbox", false);
}

int cmd_ximport_maildir(int argc, char **argv)
{
    return ximport(argc, argv, "ximport maildir", true);
}
