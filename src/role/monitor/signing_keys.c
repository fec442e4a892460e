/*
 * The files with private keys of DKIM: read for the dkim process; made, and put away, for commands.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/monitor/monitor_priv.h"

enum {
    DKIM_RSA_BITS = 2048,
    MOST_NEW = 8, // keys for one change, which nobody else is served during: a new domain has two
};

static bool write_signing_key(struct monitor *m, const struct ipc_signing_file *f, int out,
                              struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct buf body = BUF_LIMIT(1 << 20);
    const char *path = arena_cstring(&a, f->path);
    // domains.conf can be written by admin, which is not to have any file read for it.
    AUTO_FD fd = path ? os_open_beneath(m->config_dir, path, e) : -1;
    struct ipc_signing_key key = {.key = f->key};
    bool is_ok = (path || fail(e, ERR_SYNTAX, "no name of a file")) && fd >= 0 &&
                 os_read_fd(&a, fd, IPC_MAX_RECORD, &key.pem, e);

    if (is_ok) {
        ipc_signing_key_put(&body, &key);
        is_ok = key_file_put(out, COMPILED_signing_key, &body, key.pem, e);
    }
    return is_ok || fail_in(e, "private key of DKIM %.*s", STR_FMT(f->path));
}

static bool take_signing_file(struct monitor *m, enum compiled_type type, struct str body, int out, struct err *e)
{
    struct ipc_signing_file file;

    return type != COMPILED_signing_file ||
           (ipc_signing_file_get(body, &file, e) && write_signing_key(m, &file, out, e));
}

int signing_keys_read(struct monitor *m, int compiled, struct err *e)
{
    return key_files_read(m, compiled, "dkim", take_signing_file, e);
}

/* --- for commands ------------------------------------------------------------------------------------ */

static const struct str key_dir = STR_("dkim/");

// The directory and a name: admin says what it is called, and nothing else comes of it.
static bool is_key_name(struct str name)
{
    struct str rest = str_from(name, key_dir.n);

    if (!str_starts(name, key_dir) || !rest.n || rest.n > NAME_MAX || rest.p[0] == '.')
        return false;
    for (size_t i = 0; i < rest.n; i++)
        if (!ascii_is_alnum(rest.p[i]) && str_find(STR("._-"), rest.p[i]) < 0)
            return false;
    return true;
}

static bool make_key(struct monitor *m, struct arena *a, const char *path, struct err *e)
{
    struct str pem = {0};
    AUTO_FD dir = -1;
    AUTO_FD fd = -1;

    if (!key_rsa(a, DKIM_RSA_BITS, &pem, e))
        return false;
    if (mkdirat(m->config_dir, "dkim", 0770) && errno != EEXIST)
        return fail_errno(e, "making the directory dkim");
    dir = openat(m->config_dir, "dkim", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return fail_errno(e, "opening the directory dkim");
    fd = openat(m->config_dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0660);
    if (fd < 0)
        return fail_errno(e, "making %s", path);
    // A domains.conf that names it must not outlive it.
    if (os_write_all(fd, pem, e) &&
        ((fsync(fd) == 0 && fsync(dir) == 0) || fail_errno(e, "syncing %s", path)))
        return true;
    (void)unlinkat(m->config_dir, path, 0);
    return fail_in(e, "making %s", path);
}

// The files that a compiled configuration signs with.
static bool files_of(int compiled, struct arena *a, struct map *out, struct err *e)
{
    enum compiled_type type;
    struct str text, body;
    struct cur c;

    if (!os_read_fd(a, compiled, COMPILED_MAX_BYTES, &text, e))
        return false;
    c = cur_of(text);
    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_signing_file file;

        if (type == COMPILED_signing_file && ipc_signing_file_get(body, &file, e))
            map_put(out, file.path, a);
    }
    return !e->kind;
}

bool signing_keys_may_be(int before, int after, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct map old = {0}, new = {0};
    struct map_entry *file;
    bool is_ok = files_of(before, &a, &old, e) && files_of(after, &a, &new, e);

    for (size_t i = 0; is_ok && (file = map_each(&new, &i));)
        if (!map_get(&old, file->key) && !is_key_name(file->key))
            is_ok = fail(e, ERR_DENIED, "a command signs with keys of the directory dkim only, not with %.*s",
                         STR_FMT(file->key));
    map_fini(&old);
    map_fini(&new);
    return is_ok;
}

static void put_away(struct monitor *m, struct arena *a, struct str name)
{
    const char *file = arena_cstring(a, str_from(name, key_dir.n));
    struct err e = {0};
    // What root moves lies where another user may write.
    AUTO_FD dir = os_open_dir_of_root(m->config_dir, "dkim", &e);
    AUTO_FD old = -1;

    if (dir >= 0 && (!mkdirat(dir, "old", 0770) || errno == EEXIST))
        old = os_open_dir_of_root(dir, "old", &e);
    else if (dir >= 0)
        (void)fail_errno(&e, "making the directory dkim/old");
    if (old >= 0 && (renameat2(dir, file, old, file, RENAME_NOREPLACE) || fsync(old) || fsync(dir)))
        (void)fail_errno(&e, "moving %s to dkim/old", file);
    if (e.kind)
        LOG(LOG_WARN, "mox", "a key of DKIM stays where it is", LOG_E(&e), LOG_S("file", name));
    else
        LOG(LOG_INFO, "mox", "key of DKIM moved to dkim/old", LOG_S("file", name));
}

void signing_keys_put_away(struct monitor *m, struct str names)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct cur c = cur_of(names);
    struct map used = {0};
    struct err e = {0};
    struct str name;

    if (names.n && files_of(m->configs[ROLE_MONITOR], &a, &used, &e))
        while (cur_line(&c, &name))
            if (is_key_name(name) && !map_get(&used, name))
                put_away(m, &a, name);
    map_fini(&used);
}

void signing_keys_drop(struct monitor *m, struct arena *a, struct str names)
{
    struct cur c = cur_of(names);
    struct str name;

    while (cur_line(&c, &name))
        if (is_key_name(name))
            (void)unlinkat(m->config_dir, arena_cstring(a, name), 0);
}

bool signing_keys_make(struct monitor *m, struct arena *a, struct str names, struct err *e)
{
    struct cur c = cur_of(names);
    struct str name;

    for (unsigned n = 0; cur_line(&c, &name); n++)
        if (n == MOST_NEW || !is_key_name(name))
            return fail(e, ERR_DENIED, n == MOST_NEW ? "too many keys" : "no name for a key");
    c = cur_of(names);
    while (cur_line(&c, &name))
        if (!make_key(m, a, arena_cstring(a, name), e)) {
            signing_keys_drop(m, a, str_at(names.p, (size_t)(name.p - names.p)));
            return false;
        }
    return true;
}
