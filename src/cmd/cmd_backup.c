/*
 * backup, restore, bumpuidvalidity. A backup is the configuration directory and the data directory, each
 * database as it was at one moment; the server may be running, and does not notice.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/confine.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "db/db.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/store.h"

enum { MAX_DEPTH = 8, MAX_FILE = 64 << 20, DIR_MODE = 0700 };

struct copy {
    struct arena a; // of paths
    struct stat skip[2]; // directories that are not entered: the data, the backup itself
    bool is_verbose;
    size_t databases, files, warnings;
    struct copied *copied;
};

static void warn(struct copy *c, const char *what, struct str path, const char *why)
{
    cmd_say(stderr, "warning: %s%s%s; path=%.*s\n", what, why ? ": " : "", why ? why : "", STR_FMT(path));
    c->warnings++;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static bool is_skipped(const struct copy *c, const struct stat *st)
{
    for (size_t i = 0; i < COUNT(c->skip); i++)
        if (is_same_file(&c->skip[i], st))
            return true;
    return false;
}

// What belongs to a running server or to SQLite beside its databases. Files: an account may have any such name.
static bool is_passing(int dir_fd, const struct dirent *entry)
{
    static const struct str names[] = {STR_("ctl"), STR_("lock"), STR_("parsing"), STR_("restoring"),
                                       STR_("tmp")};
    struct str name = str_of(entry->d_name);
    struct stat st;

    if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        return false;
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return str_ends(name, STR("-wal")) || str_ends(name, STR("-shm")) ||
           str_ends(name, STR("-journal")) || str_ends(name, STR(".new"));
}

static bool write_synced(const char *path, struct str bytes, mode_t mode, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const char *beside = arena_cstring(&a, arena_printf(&a, "%s.new", path));
    AUTO_FD fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode & 0777);

    if (fd < 0)
        return fail_errno(e, "making %s", beside);
    if (!os_write_all(fd, bytes, e))
        return fail_in(e, "%s", beside);
    if (fchmod(fd, mode & 0777) || fsync(fd) || rename(beside, path))
        return fail_errno(e, "writing %s", path);
    return true;
}

// One that is there already and says the same stays.
static bool copy_plain(const char *from, const char *to, const struct stat *st, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(3 * (size_t)MAX_FILE);
    struct str bytes, old;
    struct err none = {0};

    if (!os_read_file(&a, from, MAX_FILE, &bytes, e))
        return false;
    if (os_read_file(&a, to, MAX_FILE, &old, &none) && str_eq(bytes, old))
        return true;
    return write_synced(to, bytes, st->st_mode, e);
}

static bool copy_link(const char *from, const char *to, struct err *e)
{
    char target[4096];
    ssize_t n = readlink(from, target, sizeof target - 1);

    if (n < 0)
        return fail_errno(e, "reading the link %s", from);
    target[n] = 0;
    (void)unlink(to);
    return symlink(target, to) == 0 || fail_errno(e, "making the link %s", to);
}

/* --- databases: what is in them are the words of processes that may have been taken over ----------------------- */

// Shared with the child that copies one; it may write anything there.
struct copied {
    const char *from, *to; // names in their directories
    bool is_new, is_other;
    struct err why;
};

static int copy_inside(void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct copied *c = ctx;
    struct err e = {0};
    bool is_other = false;

    if (!db_copy(arena_cstring(&a, arena_printf(&a, "/1/%s", c->from)), arena_cstring(&a, arena_printf(&a, "/0/%s", c->to)),
                 c->is_new, &is_other, &e)) {
        c->why = e;
        return 1;
    }
    c->is_other = is_other;
    return 0;
}

// Words of the child, which the administrator's terminal is not to take for more.
static struct str why_not(struct copied *c)
{
    struct str text = str_at(c->why.text, strnlen(c->why.text, sizeof c->why.text));

    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)c->why.text[i] < ' ' || c->why.text[i] == 0x7f)
            c->why.text[i] = '?';
    return text;
}

static int open_directory_of(const char *path, const char **name, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const char *slash = strrchr(path, '/');
    const char *dir = !slash ? "." : slash == path ? "/" : arena_cstring(&a, str_at(path, (size_t)(slash - path)));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    *name = slash ? slash + 1 : path;
    if (fd < 0)
        (void)fail_errno(e, "opening %s", dir);
    return fd;
}

static bool copy_confined(void *ctx, const char *source, const char *to, bool is_new, bool *is_other, struct err *e)
{
    struct copied *c = ctx;
    struct confine_database dbs[2] = {{.is_new = is_new}};
    AUTO_FD from = open_directory_of(source, &dbs[1].name, e);
    AUTO_FD into = from < 0 ? -1 : open_directory_of(to, &dbs[0].name, e);
    int code;

    if (into < 0)
        return false;
    dbs[0].dir = into;
    dbs[1].dir = from;
    *c = (struct copied){.from = dbs[1].name, .to = dbs[0].name, .is_new = is_new};
    if (!confine_databases(dbs, 2, -1, copy_inside, c, &code, e))
        return false;
    *is_other = !code && c->is_other;
    return !code || fail(e, ERR_TEMPORARY, "%.*s", STR_FMT(why_not(c)));
}

static bool copy_entry(struct copy *c, const char *from, const char *to, struct str name,
                       const struct stat *st, struct err *e)
{
    if (c->is_verbose)
        cmd_say(stderr, "%s\n", from);
    if (S_ISLNK(st->st_mode))
        return copy_link(from, to, e);
    if (!S_ISREG(st->st_mode)) {
        warn(c, "not a file, left out", str_of(from), NULL);
        return true;
    }
    if (str_ends(name, STR(".db"))) {
        c->databases++;
        return db_backup(from, to, copy_confined, c->copied, e) && (chmod(to, st->st_mode & 0777) == 0 ||
                                          fail_errno(e, "setting the mode of %s", to));
    }
    c->files++;
    return copy_plain(from, to, st, e);
}

static int by_name(const void *a, const void *b)
{
    // The queue first: a message that is delivered meanwhile is then in both, and is known there by its id;
    // the other way round it could be in neither. mox.conf last: with it, a configuration is there.
    struct str x = *(const struct str *)a, y = *(const struct str *)b, queue = STR("queue"),
               main = STR("mox.conf");
    int x_place = str_eq(x, main) - str_eq(x, queue), y_place = str_eq(y, main) - str_eq(y, queue);

    return x_place != y_place ? x_place - y_place : str_cmp(x, y);
}

struct entries {
    struct str *items;
    size_t n, cap;
};

static bool list(struct copy *c, const char *path, struct entries *out, struct err *e)
{
    DIR *d = opendir(path);
    struct dirent *entry;

    if (!d)
        return fail_errno(e, "opening %s", path);
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
            !is_passing(dirfd(d), entry))
            *ARENA_PUSH(&c->a, out->items, &out->n, &out->cap) = arena_dup(&c->a, str_of(entry->d_name));
    closedir(d);
    if (out->n)
        qsort(out->items, out->n, sizeof *out->items, by_name);
    return true;
}

// What is in the copy and no more in the source: an account that was removed, perhaps by mistake.
static bool warn_of_others(struct copy *c, const char *to, const struct entries *own, struct err *e)
{
    struct entries there = {0};

    if (!list(c, to, &there, e))
        return false;
    for (size_t i = 0; i < there.n; i++) {
        bool is_known = false;

        for (size_t k = 0; k < own->n && !is_known; k++)
            is_known = str_eq(own->items[k], there.items[i]);
        if (!is_known)
            warn(c, "only in the backup, left as it is",
                 arena_printf(&c->a, "%s/%.*s", to, STR_FMT(there.items[i])), NULL);
    }
    return true;
}

static bool copy_tree(struct copy *c, const char *from, const char *to, unsigned depth, struct err *e)
{
    struct entries entries = {0};

    if (depth > MAX_DEPTH)
        return fail(e, ERR_LIMIT, "directories are nested too deep: %s", from);
    if (mkdir(to, DIR_MODE) && errno != EEXIST)
        return fail_errno(e, "making %s", to);
    if (!list(c, from, &entries, e))
        return false;
    for (size_t i = 0; i < entries.n; i++) {
        struct str name = entries.items[i];
        const char *source = arena_cstring(&c->a, arena_printf(&c->a, "%s/%.*s", from, STR_FMT(name)));
        const char *target = arena_cstring(&c->a, arena_printf(&c->a, "%s/%.*s", to, STR_FMT(name)));
        struct stat st;

        if (lstat(source, &st))
            return fail_errno(e, "looking at %s", source);
        if (S_ISDIR(st.st_mode) ? !is_skipped(c, &st) && !copy_tree(c, source, target, depth + 1, e)
                                : !copy_entry(c, source, target, name, &st, e))
            return false;
    }
    return warn_of_others(c, to, &entries, e);
}

static const char *config_dir(struct arena *a)
{
    struct str dir = paths_config_dir();

    return dir.n ? arena_cstring(a, dir) : ".";
}

static bool backup(struct copy *c, const char *to, struct err *e)
{
    const char *config = config_dir(&c->a), *data;
    struct str data_dir;
    struct stat own;

    if (!paths_data_dir(&c->a, &data_dir, e))
        return false;
    data = arena_cstring(&c->a, data_dir);
    if (mkdir(to, DIR_MODE) && errno != EEXIST)
        return fail_errno(e, "making %s", to);
    if (stat(data, &c->skip[0]) || stat(to, &c->skip[1]) || stat(config, &own))
        return fail_errno(e, "looking at %s, %s and %s", data, to, config);
    // Copied into itself it would have no end.
    if (is_same_file(&c->skip[1], &c->skip[0]) || is_same_file(&c->skip[1], &own))
        return fail(e, ERR_CONFLICT, "%s is what is to be copied: name another directory for the backup", to);
    return write_synced(arena_cstring(&c->a, arena_printf(&c->a, "%s/moxversion", to)),
                        STR(MOX_VERSION "\n"), 0600, e) &&
           copy_tree(c, config, arena_cstring(&c->a, arena_printf(&c->a, "%s/config", to)), 0, e) &&
           copy_tree(c, data, arena_cstring(&c->a, arena_printf(&c->a, "%s/data", to)), 0, e);
}

int cmd_backup(int argc, char **argv)
{
    struct copy c = {.a = ARENA_LIMIT(256 << 20), .copied = confine_shared(sizeof *c.copied)};
    const struct cmd_flag flags[] = {{"verbose", NULL, &c.is_verbose}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct err e = {0};

    if (at < 0 || argc - at != 1)
        return cmd_usage("backup");
    if (backup(&c, argv[at], &e) && c.is_verbose)
        fprintf(stderr, "%zu databases and %zu files are backed up\n", c.databases, c.files);
    arena_fini(&c.a);
    return e.kind ? cmd_fail(&e) : 0;
}

/* --- uidvalidity -------------------------------------------------------------------------------------- */

// In a child, of the account whose directory is the current one.
static bool renew(struct arena *a, struct str wanted, uint32_t not_below, struct err *e)
{
    static const struct store_options options = {.junk.is_unknown = true, .opens_nothing_else = true};
    struct store_mailboxes mailboxes = {0};
    struct store_reader *r = NULL;
    struct store *st;
    uint32_t uidvalidity;
    bool is_ok;

    if (wanted.n && !store_mailbox_name(a, wanted, &wanted, e))
        return false;
    st = store_open(&options, e);
    is_ok = st && store_renew_uidvalidity(st, wanted, not_below, &uidvalidity, e) &&
            (r = store_reader_open(e)) && store_mailbox_list(r, a, &mailboxes, e);
    for (size_t i = 0; is_ok && i < mailboxes.n; i++)
        if (!wanted.n || str_eq(mailboxes.items[i].name, wanted))
            cmd_say(stdout, "uid validity for \"%.*s\" updated to %u\n", STR_FMT(mailboxes.items[i].name),
                   uidvalidity);
    if (r)
        store_reader_close(r);
    if (st)
        store_close(st);
    return is_ok;
}

struct renewal {
    struct str wanted;
    uint32_t not_below;
};

static int renew_inside(void *ctx)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    const struct renewal *r = ctx;
    struct err e = {0};

    return renew(&a, r->wanted, r->not_below, &e) ? 0 : cmd_fail(&e);
}

static bool renew_confined(int dir, struct renewal *r, int *code, struct err *e)
{
    return confine_databases(&(struct confine_database){dir, "account.db", false}, 1, -1, renew_inside, r, code, e);
}

int cmd_bumpuidvalidity(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct renewal r = {argc > 2 ? str_of(argv[2]) : STR(""), 1};
    struct err e = {0};
    struct str data;
    AUTO_FD lock = -1;
    AUTO_FD dir = -1;
    int code;

    if (argc < 2 || argc > 3)
        return cmd_usage("bumpuidvalidity");
    if (!paths_lock_data(&a, &data, &lock, &e) || !paths_open_account(&a, data, str_of(argv[1]), &dir, &e) ||
        !renew_confined(dir, &r, &code, &e))
        return cmd_fail(&e);
    return code;
}

/* --- restore -------------------------------------------------------------------------------------------- */

/*
 * A directory that is restored has the file "restoring" until it is whole: a restore that was broken off is
 * begun again, and no server starts meanwhile. What else has something in it is not touched.
 */
static const char *mark_of(struct copy *c, const char *dir)
{
    return arena_cstring(&c->a, arena_printf(&c->a, "%s/restoring", dir));
}

static bool begin_in(struct copy *c, const char *dir, struct err *e)
{
    struct entries entries = {0};
    struct stat st;
    AUTO_FD fd = -1;

    if (stat(dir, &st) && errno != ENOENT)
        return fail_errno(e, "looking at %s", dir);
    if (!os_make_dirs(dir, 0750, e) || !list(c, dir, &entries, e))
        return false;
    if (entries.n && access(mark_of(c, dir), F_OK))
        return fail(e, ERR_CONFLICT, "%s is not empty: move it away first", dir);
    fd = open(mark_of(c, dir), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fsync(fd) == 0 || fail_errno(e, "marking %s", dir) : fail_errno(e, "marking %s", dir);
}

static bool end_in(struct copy *c, const char *dir, struct err *e)
{
    AUTO_FD fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return (fd >= 0 && fsync(fd) == 0 && unlink(mark_of(c, dir)) == 0 && fsync(fd) == 0) ||
           fail_errno(e, "ending with %s", dir);
}

// Clients may have seen messages that came after the backup, whose UIDs will be given again.
static bool renew_all(struct copy *c, const char *data, struct err *e)
{
    struct entries accounts = {0};

    if (!list(c, arena_cstring(&c->a, arena_printf(&c->a, "%s/accounts", data)), &accounts, e))
        return false;
    for (size_t i = 0; i < accounts.n; i++) {
        // The time in seconds: no counter has come as far.
        struct renewal r = {.not_below = (uint32_t)os_now_unix()};
        AUTO_FD dir = -1;
        int code = 0;

        if (!paths_open_account(&c->a, str_of(data), accounts.items[i], &dir, e))
            return false;
        if (faccessat(dir, "account.db", F_OK, AT_SYMLINK_NOFOLLOW))
            continue; // made, and nothing stored
        if (!renew_confined(dir, &r, &code, e) || code)
            return e->kind ? false : fail(e, ERR_TEMPORARY, "account %.*s cannot get a new UIDVALIDITY",
                                          STR_FMT(accounts.items[i]));
    }
    return true;
}

static bool restore(struct copy *c, const char *from, bool keeps_uidvalidity, struct err *e)
{
    const char *config = config_dir(&c->a), *data;
    const char *saved = arena_cstring(&c->a, arena_printf(&c->a, "%s/config", from));
    const char *saved_data = arena_cstring(&c->a, arena_printf(&c->a, "%s/data", from));
    struct str data_dir;
    AUTO_FD lock = -1;

    // Before anything is made.
    if (access(saved, F_OK) || access(saved_data, F_OK))
        return fail_errno(e, "%s is no backup, or cannot be read: looking for config and data in it", from);
    if (access(cmd_options.config_path, F_OK)) {
        // Without a configuration it comes from the backup, too.
        if (!begin_in(c, config, e) || !copy_tree(c, saved, config, 0, e) || !end_in(c, config, e))
            return false;
    } else {
        printf("the configuration that is there stays; that of the backup is %s\n", saved);
    }
    if (!paths_data_dir(&c->a, &data_dir, e))
        return false;
    data = arena_cstring(&c->a, data_dir);
    return begin_in(c, data, e) && paths_lock_data(&c->a, &data_dir, &lock, e) &&
           copy_tree(c, saved_data, data, 0, e) && (keeps_uidvalidity || renew_all(c, data, e)) && end_in(c, data, e);
}

int cmd_restore(int argc, char **argv)
{
    struct copy c = {.a = ARENA_LIMIT(256 << 20), .copied = confine_shared(sizeof *c.copied)};
    bool keeps_uidvalidity = false;
    const struct cmd_flag flags[] = {{"verbose", NULL, &c.is_verbose},
                                     {"keep-uidvalidity", NULL, &keeps_uidvalidity}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct err e = {0};

    if (at < 0 || argc - at != 1)
        return cmd_usage("restore");
    if (restore(&c, argv[at], keeps_uidvalidity, &e))
        printf("%zu databases are restored; check them with \"mox verifydata\", then start the server\n",
               c.databases);
    arena_fini(&c.a);
    return e.kind ? cmd_fail(&e) : 0;
}
