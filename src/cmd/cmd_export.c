/*
 * export mbox, export maildir, export archive: an account's mail as files of other programs, read from its
 * database; the server may be running.
 *
 * A file has another name until it is whole and on the disk. One that is there stays, so that an export that broke off, by
 * a power cut even, goes on.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "cmd/confine.h"
#include "cmd/verbs.h"
#include "mailfile/mailarchive.h"
#include "mailfile/mailfile.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "proto/imap/imap.h"

// Messages of a maildir are synced together: one by one is a tenth as fast, and worse beside a server at work.
enum { GROUP = 10000, GROUP_BYTES = 256 << 20 };
enum { DIR_MODE = 0700, FILE_MODE = 0600, PROGRESS = 1000, MOST_ERRORS = 1 << 20 };

struct row {
    uint64_t email;
    int64_t received_unix;
    uint32_t uid, flags;
    struct str keywords;
};
struct rows {
    struct arena a; // of one mailbox
    struct row *items;
    size_t n, cap;
};

/* A file that is written, and has its name when it is on the disk. */
struct unnamed {
    const char *beside, *path;
};

struct export {
    struct store_reader *r;
    int to;                             // the directory; with an archive not used
    struct mailarchive_writer *archive; // or NULL
    bool is_mbox;
    uint64_t n, n_there;
    struct map there; // of a maildir: its messages by their names without flags
    struct unnamed *group;
    size_t n_group, cap_group;
    uint64_t group_bytes;
    struct arena group_arena;
    struct buf message, out;
    struct buf errors; // of an archive: messages that cannot be read, for errors.txt
};

static bool on_row(void *ctx, const struct store_row *row)
{
    struct rows *rows = ctx;

    *ARENA_PUSH(&rows->a, rows->items, &rows->n, &rows->cap) =
        (struct row){row->email, row->received_unix, row->uid, row->flags,
                     arena_dup(&rows->a, row->keywords)};
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->received_unix != y->received_unix)
        return x->received_unix < y->received_unix ? -1 : 1;
    return (x->email > y->email) - (x->email < y->email);
}

static bool on_bytes(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static struct mailfile_message message_of(struct arena *a, const struct row *row)
{
    struct mailfile_message m = {.received_unix = row->received_unix, .flags = row->flags};
    struct str rest = row->keywords, one;

    while (str_next(&rest, ' ', &one)) {
        *ARENA_PUSH(a, m.keywords.items, &m.keywords.n, &m.keywords.cap) = one;
    }
    return m;
}

// Makes the directories of a path below the target.
static bool make_dirs(const struct export *x, struct arena *a, struct str path, struct err *e)
{
    for (size_t i = 1; i <= path.n; i++)
        if (i == path.n || path.p[i] == '/') {
            const char *dir = arena_cstring(a, str_sub(path, 0, i));

            if (mkdirat(x->to, dir, DIR_MODE) && errno != EEXIST)
                return fail_errno(e, "making %s", dir);
        }
    return true;
}

// The name is the message's own, also of one that is in the mailbox twice.
static struct str name_of(struct arena *a, const struct row *row)
{
    return arena_printf(a, "%lld.%llu_%u.mox", (long long)row->received_unix, (unsigned long long)row->email, row->uid);
}

static void forget_group(struct export *x)
{
    x->group = NULL;
    x->n_group = x->cap_group = 0;
    x->group_bytes = 0;
    arena_reset(&x->group_arena);
}

static bool name_group(struct export *x, struct err *e)
{
    bool is_ok = !x->n_group || syncfs(x->to) == 0 || fail_errno(e, "writing to the disk");

    for (size_t i = 0; i < x->n_group && is_ok; i++)
        is_ok = renameat(x->to, x->group[i].beside, x->to, x->group[i].path) == 0 ||
                fail_errno(e, "naming %s", x->group[i].path);
    if (is_ok)
        forget_group(x);
    return is_ok;
}

// What will have no name.
static void drop_group(struct export *x)
{
    for (size_t i = 0; i < x->n_group; i++)
        (void)unlinkat(x->to, x->group[i].beside, 0);
    forget_group(x);
}

// Programs for maildirs pass over a name that begins with a dot. It is in the same folder, since Landlock lets no file
// move between folders.
static bool write_file(struct export *x, struct str folder, struct str name, struct str bytes, struct err *e)
{
    struct arena *a = &x->group_arena;
    const char *path = arena_cstring(a, arena_printf(a, "%.*s/%.*s", STR_FMT(folder), STR_FMT(name))),
               *beside = arena_cstring(a, arena_printf(a, "%.*s/.%.*s", STR_FMT(folder), STR_FMT(name)));
    AUTO_FD fd = openat(x->to, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);

    if (fd < 0)
        return fail_errno(e, "making %s", beside);
    *ARENA_PUSH(a, x->group, &x->n_group, &x->cap_group) = (struct unnamed){beside, path};
    x->group_bytes += bytes.n;
    if (!os_write_all(fd, bytes, e))
        return fail_in(e, "%s", path);
    return (x->n_group < GROUP && x->group_bytes < GROUP_BYTES) || name_group(x, e);
}

static bool write_maildir(struct export *x, struct arena *a, struct str dir, const struct row *row,
                          struct err *e)
{
    struct str folder = arena_printf(a, "%.*s/%s", STR_FMT(dir), row->flags & FLAG_SEEN ? "cur" : "new");
    AUTO_BUF name = BUF_LIMIT(4096);

    buf_put(&name, name_of(a, row));
    maildir_put_flags(&name, row->flags);
    buf_reset(&x->out);
    mailfile_put_lf(&x->out, buf_str(&x->message));
    if (x->archive)
        return mailarchive_begin(x->archive, arena_printf(a, "%.*s/%.*s", STR_FMT(folder), STR_FMT(buf_str(&name))),
                                 x->out.n, row->received_unix, e) &&
               mailarchive_put(x->archive, buf_str(&x->out), e);
    return write_file(x, folder, buf_str(&name), buf_str(&x->out), e);
}

// The message's bytes into x->message.
static bool read_message(struct export *x, uint64_t email, struct err *e)
{
    buf_reset(&x->message);
    return store_email_read(x->r, email, 0, UINT64_MAX, on_bytes, &x->message, e) &&
           (!x->message.full || fail(e, ERR_LIMIT, "a message of more than %d MiB", IMAP_APPEND_LIMIT >> 20));
}

// In an archive, one that cannot be read is told in errors.txt, and the others go on.
static bool is_told(struct export *x, struct str dir, const struct row *row, struct err *e)
{
    if (!x->archive)
        return false;
    buf_printf(&x->errors, "mailbox %.*s, uid %u: %s\n", STR_FMT(dir), row->uid, e->text);
    *e = (struct err){0};
    return true;
}

// As a part of an mbox, into x->out.
static bool make_mbox(struct export *x, const struct row *row, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct mailfile_message m = message_of(&a, row);

    if (!read_message(x, row->email, e))
        return false;
    buf_reset(&x->out);
    mbox_put(&x->out, buf_str(&x->message), (struct str){0}, &m);
    return true;
}

static bool write_row(struct export *x, const struct row *row, struct str dir, int mbox,
                      struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    if (x->there.count && map_get(&x->there, name_of(&a, row))) {
        x->n_there++;
        return true;
    }
    if (!(x->is_mbox ? make_mbox(x, row, e) : read_message(x, row->email, e))) {
        if (!x->archive || !x->is_mbox)
            return is_told(x, dir, row, e);
        *e = (struct err){0}; // it was told when the mbox was made the first time
        return true;
    }
    if (++x->n % PROGRESS == 0)
        fprintf(stderr, "%llu...\n", (unsigned long long)x->n);
    if (!x->is_mbox)
        return write_maildir(x, &a, dir, row, e);
    return x->archive ? mailarchive_put(x->archive, buf_str(&x->out), e)
                      : os_write_all(mbox, buf_str(&x->out), e);
}

// A mailbox's name as a path; no part of it means anything to the system.
static struct str path_of(struct arena *a, struct str name)
{
    AUTO_BUF path = BUF_LIMIT(4096);

    for (size_t i = 0; i < name.n; i++) {
        if ((name.p[i] == '.' || name.p[i] == '/') && (!i || name.p[i - 1] == '/'))
            buf_put_char(&path, '_');
        buf_put_char(&path, name.p[i]);
    }
    return arena_dup(a, buf_str(&path));
}

// The messages that a folder has, whatever flags they had.
static bool look_into(struct export *x, struct arena *a, struct str path, const char *folder, struct err *e)
{
    const char *name = arena_cstring(a, arena_printf(a, "%.*s/%s", STR_FMT(path), folder));
    int fd = openat(x->to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!d) {
        (void)fail_errno(e, "opening %s", name);
        fd_close(&fd);
        return false;
    }
    while ((entry = readdir(d))) {
        struct str base = str_of(entry->d_name), flags;

        str_cut(base, ':', &base, &flags);
        if (base.n && base.p[0] != '.')
            map_put(&x->there, arena_dup(a, base), x);
        else if (str_ends(base, STR(".mox"))) // what was broken off
            (void)unlinkat(fd, entry->d_name, 0);
    }
    closedir(d);
    return true;
}

static bool prepare_maildir(struct export *x, struct arena *a, struct str path, struct err *e)
{
    static const char *const folders[] = {"new", "cur", "tmp"};

    for (size_t i = 0; i < COUNT(folders); i++)
        if (!make_dirs(x, a, arena_printf(a, "%.*s/%s", STR_FMT(path), folders[i]), e))
            return false;
    return write_file(x, path, STR("dovecot-keywords"), maildir_own_keywords, e) &&
           look_into(x, a, path, "new", e) && look_into(x, a, path, "cur", e);
}

// The name that it has until it is whole is put into beside; none when the mailbox is there.
static bool begin_mbox(struct export *x, struct arena *a, struct str path, int *mbox, const char **beside,
                       struct err *e)
{
    const char *file = arena_cstring(a, arena_printf(a, "%.*s.mbox", STR_FMT(path)));
    ptrdiff_t slash = str_find_last(path, '/');

    *beside = NULL;
    if (slash > 0 && !make_dirs(x, a, str_sub(path, 0, (size_t)slash), e))
        return false;
    if (faccessat(x->to, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        cmd_say(stderr, "%s is there already, and stays as it is\n", file);
        return true;
    }
    *beside = arena_cstring(a, arena_printf(a, "%s.new", file));
    *mbox = openat(x->to, *beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    return *mbox >= 0 || fail_errno(e, "making %s", *beside);
}

static bool end_mbox(struct export *x, struct arena *a, struct str path, int mbox, const char *beside, bool is_ok,
                     struct err *e)
{
    const char *file = arena_cstring(a, arena_printf(a, "%.*s.mbox", STR_FMT(path)));

    is_ok = is_ok && ((fsync(mbox) == 0 && renameat(x->to, beside, x->to, file) == 0) ||
                      fail_errno(e, "writing %s", file));
    if (!is_ok)
        (void)unlinkat(x->to, beside, 0);
    return is_ok;
}

/*
 * An archive has a file's size before its bytes: an mbox is made twice, the first time to see how long it
 * gets. The reader holds one picture of the database meanwhile.
 */
static bool begin_in_archive(struct export *x, struct arena *a, const struct rows *rows, struct str path,
                             struct err *e)
{
    static const char *const folders[] = {"new", "cur", "tmp"};
    int64_t now = os_now_unix();
    uint64_t size = 0;

    if (x->is_mbox) {
        for (size_t i = 0; i < rows->n; i++)
            if (make_mbox(x, &rows->items[i], e))
                size += x->out.n;
            else
                is_told(x, path, &rows->items[i], e);
        return mailarchive_begin(x->archive, arena_printf(a, "%.*s.mbox", STR_FMT(path)), size, now, e);
    }
    for (size_t i = 0; i < COUNT(folders); i++)
        if (!mailarchive_put_dir(x->archive, arena_printf(a, "%.*s/%s/", STR_FMT(path), folders[i]), now, e))
            return false;
    return mailarchive_begin(x->archive, arena_printf(a, "%.*s/dovecot-keywords", STR_FMT(path)),
                             maildir_own_keywords.n, now, e) &&
           mailarchive_put(x->archive, maildir_own_keywords, e);
}

static bool write_rows(struct export *x, const struct rows *rows, struct str path, int mbox, struct err *e)
{
    for (size_t i = 0; i < rows->n; i++)
        if (!write_row(x, &rows->items[i], path, mbox, e))
            return false;
    return true;
}

static bool export_rows(struct export *x, struct rows *rows, struct str path, struct err *e)
{
    const char *beside = NULL;
    AUTO_FD mbox = -1;
    bool is_ok;

    if (x->archive)
        return begin_in_archive(x, &rows->a, rows, path, e) && write_rows(x, rows, path, -1, e);
    if (x->is_mbox) {
        if (!begin_mbox(x, &rows->a, path, &mbox, &beside, e))
            return false;
        if (!beside) {
            x->n_there += rows->n;
            return true;
        }
        return end_mbox(x, &rows->a, path, mbox, beside, write_rows(x, rows, path, mbox, e), e);
    }
    is_ok = prepare_maildir(x, &rows->a, path, e) && write_rows(x, rows, path, -1, e);
    map_fini(&x->there);
    x->there = (struct map){0};
    return is_ok;
}

static bool export_mailbox(struct export *x, const struct store_mailbox *mailbox, struct err *e)
{
    struct rows rows = {.a = ARENA_LIMIT(SIZE_MAX / 2)};
    struct str path = path_of(&rows.a, mailbox->name);
    bool is_ok = store_read_begin(x->r, e);

    if (is_ok) {
        is_ok = store_rows(x->r, mailbox->id, 0, on_row, &rows, e);
        if (is_ok && rows.n)
            qsort(rows.items, rows.n, sizeof *rows.items, by_time);
        is_ok = is_ok && export_rows(x, &rows, path, e);
        store_read_end(x->r);
    }
    arena_fini(&rows.a);
    return is_ok || fail_in(e, "mailbox %.*s", STR_FMT(mailbox->name));
}

static bool is_wanted(struct str name, struct str wanted, bool is_single)
{
    return !wanted.n || str_eq(name, wanted) ||
           (!is_single && str_starts(name, wanted) && str_starts(str_from(name, wanted.n), STR("/")));
}

static bool export_all(struct export *x, struct str wanted, bool is_single, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct store_mailboxes list = {0};
    size_t n = 0;

    if ((wanted.n && !store_mailbox_name(&a, wanted, &wanted, e)) ||
        !store_mailbox_list(x->r, &a, &list, e))
        return false;
    for (size_t i = 0; i < list.n; i++)
        if (is_wanted(list.items[i].name, wanted, is_single)) {
            n++;
            if (!export_mailbox(x, &list.items[i], e))
                return false;
        }
    return n || fail(e, ERR_NOT_FOUND, "no mailbox \"%.*s\"", STR_FMT(wanted));
}

/* --- the child, which has the database, and the directory or the file for what it exports ----------------- */

struct job {
    struct export *x;
    struct str wanted;
    bool is_single, is_archive;
    enum mailarchive_kind kind;
    int archive;
};

static int finish(struct export *x, const struct err *e);

static bool put_errors(struct export *x, struct err *e)
{
    return !x->errors.n ||
           (mailarchive_begin(x->archive, STR("errors.txt"), x->errors.n, os_now_unix(), e) &&
            mailarchive_put(x->archive, buf_str(&x->errors), e));
}

static int export_inside(void *ctx)
{
    struct job *job = ctx;
    struct export *x = job->x;
    struct err e = {0};
    bool is_ok = (x->r = store_reader_open(&e)) &&
                 (!job->is_archive || (x->archive = mailarchive_create(job->archive, job->kind, &e))) &&
                 export_all(x, job->wanted, job->is_single, &e) && name_group(x, &e) &&
                 (!job->is_archive || (put_errors(x, &e) && mailarchive_finish(x->archive, &e)));

    drop_group(x);
    // The names of files, too.
    if (is_ok && (job->is_archive ? fsync(job->archive) : syncfs(x->to)))
        (void)fail_errno(&e, "writing to the disk");
    mailarchive_free(x->archive);
    store_reader_close(x->r);
    if (!e.kind && x->errors.n)
        fprintf(stderr, "some messages cannot be read: see errors.txt in the archive\n");
    return finish(x, &e);
}

static bool export_from(struct job *job, const char *account, int *code, struct err *e)
{
    AUTO_FD dir = open(account, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return dir >= 0 ? confine_databases(&(struct confine_database){dir, "account.db", false}, 1,
                                        job->is_archive ? job->archive : job->x->to, export_inside, job, code, e)
                    : fail_errno(e, "entering %s", account);
}

static void init(struct export *x, bool is_mbox)
{
    *x = (struct export){.to = -1, .is_mbox = is_mbox,
                         .group_arena = ARENA_LIMIT(64 << 20),
                         .message = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT + 65536),
                         .out = BUF_LIMIT(2 * ((size_t)IMAP_APPEND_LIMIT + 65536)),
                         .errors = BUF_LIMIT(MOST_ERRORS)};
}

static int finish(struct export *x, const struct err *e)
{
    fd_close(&x->to);
    arena_fini(&x->group_arena);
    buf_fini(&x->message);
    buf_fini(&x->out);
    buf_fini(&x->errors);
    if (e->kind)
        return cmd_fail(e);
    fprintf(stderr, "%llu exported", (unsigned long long)x->n);
    if (x->n_there)
        fprintf(stderr, ", %llu were there already", (unsigned long long)x->n_there);
    fprintf(stderr, "\n");
    return 0;
}

static int run(int argc, char **argv, const char *words, bool is_mbox)
{
    struct export x;
    struct job job = {.x = &x};
    const struct cmd_flag flags[] = {{"single", NULL, &job.is_single}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags)), code = 0;
    struct err e = {0};

    if (at < 0 || argc - at < 2 || argc - at > 3)
        return cmd_usage(words);
    init(&x, is_mbox);
    job.wanted = str_of(argc - at > 2 ? argv[at + 2] : "");
    if (access(argv[at + 1], F_OK))
        (void)(errno == ENOENT ? fail(&e, ERR_NOT_FOUND, "there is no directory %s: an account's is such as data/accounts/name",
                                      argv[at + 1])
                               : fail_errno(&e, "looking at %s", argv[at + 1]));
    else if (mkdir(argv[at], DIR_MODE) && errno != EEXIST)
        (void)fail_errno(&e, "making %s", argv[at]);
    x.to = e.kind ? -1 : open(argv[at], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!e.kind && x.to < 0)
        (void)fail_errno(&e, "opening %s", argv[at]);
    if (!e.kind && export_from(&job, argv[at + 1], &code, &e)) {
        fd_close(&x.to);
        return code; // all is said
    }
    return finish(&x, &e);
}

int cmd_export_mbox(int argc, char **argv)
{
    return run(argc, argv, "export mbox", true);
}

int cmd_export_maildir(int argc, char **argv)
{
    return run(argc, argv, "export maildir", false);
}

/* --- archives ---------------------------------------------------------------------------------------- */

// Under another name until it is whole.
static bool write_archive(struct job *job, const char *path, const char *beside, const char *account, int *code,
                          struct err *e)
{
    AUTO_FD fd = -1;
    bool is_ok;

    if (access(path, F_OK) == 0)
        return fail(e, ERR_CONFLICT, "%s is there already", path);
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return fail_errno(e, "making %s", beside);
    job->archive = fd;
    is_ok = export_from(job, account, code, e);
    if (is_ok && !*code && renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_NOREPLACE))
        is_ok = fail_errno(e, "naming %s", path);
    if (!is_ok || *code)
        (void)unlink(beside);
    return is_ok;
}

int cmd_export_archive(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    const char *format = "maildir";
    struct export x;
    struct job job = {.x = &x, .is_archive = true};
    const struct cmd_flag flags[] = {{"single", NULL, &job.is_single}, {"format", &format, NULL}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags)), code = 0;
    struct err e = {0};
    struct str name = str_of(format);

    if (at < 0 || argc - at < 2 || argc - at > 3)
        return cmd_usage("export archive");
    init(&x, str_eq(name, STR("mbox")));
    job.wanted = str_of(argc - at > 2 ? argv[at + 2] : "");
    if (!x.is_mbox && !str_eq(name, STR("maildir")))
        (void)fail(&e, ERR_SYNTAX, "the format is maildir or mbox");
    else if (mailarchive_kind_of(str_of(argv[at]), &job.kind, &e) && mailarchive_load(&e) &&
             write_archive(&job, argv[at], arena_cstring(&a, arena_printf(&a, "%s.new", argv[at])), argv[at + 1], &code, &e))
        return code; // all is said
    return finish(&x, &e);
}
