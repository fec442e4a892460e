/*
 * A user id for each account, where /etc/subuid keeps more than the roles have. The kernel's oldest rule then keeps one
 * account's process from another's mail, beside Landlock.
 *
 * The owner of an account's directory is the record of whose the id is: as long as there is the directory, nobody else
 * gets it, whatever becomes of the configuration. On another machine, with another range, all get new ones. Where the
 * search for a free id begins, the account's name says: so the same account mostly has the same id, again after it was
 * removed, too, and the next new one not that of mail that was moved away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/monitor/monitor_priv.h"

enum { MOST_IDS = 1 << 20 };

void account_ids_init(struct monitor *m, uid_t first, uint32_t n)
{
    struct account_ids *ids = &m->account_ids;

    ids->first = first;
    ids->n = n < MOST_IDS ? n : MOST_IDS;
    ids->used = heap_alloc(ids->n / 8 + 1);
    memset(ids->used, 0, ids->n / 8 + 1);
}

static bool is_one(const struct account_ids *ids, uid_t uid)
{
    return uid >= ids->first && uid - ids->first < ids->n;
}

static bool is_used(const struct account_ids *ids, uint32_t at)
{
    return ids->used[at / 8] >> at % 8 & 1;
}

static uid_t id_of(const struct account_ids *ids, struct str name)
{
    return (uid_t)(uintptr_t)map_get(&ids->of, name);
}

static void keep(struct account_ids *ids, struct str name, uid_t uid)
{
    uint32_t at = uid - ids->first;

    ids->used[at / 8] = (unsigned char)(ids->used[at / 8] | 1 << at % 8);
    map_put(&ids->of, name, (void *)(uintptr_t)uid);
}

void account_id_forget(struct monitor *m, struct str name)
{
    struct account_ids *ids = &m->account_ids;
    uid_t uid = (uid_t)(uintptr_t)map_remove(&ids->of, name);
    uint32_t at = uid - ids->first;

    if (uid)
        ids->used[at / 8] = (unsigned char)(ids->used[at / 8] & ~(1 << at % 8));
}

// 0 when there is none left.
static uid_t find_free(const struct account_ids *ids, struct str name)
{
    unsigned char digest[SHA256_BYTES];
    uint32_t begin;

    sha256(name, digest);
    memcpy(&begin, digest, sizeof begin);
    begin %= ids->n;
    for (uint32_t i = 0; i < ids->n; i++)
        if (!is_used(ids, (begin + i) % ids->n))
            return ids->first + (begin + i) % ids->n;
    return 0;
}

// What the directory's owner says, if it can be true; another's id is not taken because somebody has copied files.
static void learn(struct account_ids *ids, struct str name, const struct stat *st)
{
    if (ids->n && !id_of(ids, name) && is_one(ids, st->st_uid) && !is_used(ids, st->st_uid - ids->first))
        keep(ids, name, st->st_uid);
}

struct os_user account_user(struct monitor *m, struct str name, const struct stat *dir)
{
    struct account_ids *ids = &m->account_ids;
    struct os_user user = {m->user.is_set, role_user(m, ROLE_ACCOUNT_TEMPLATE).uid, m->user.gid, false};
    uid_t own;

    if (!ids->n)
        return user;
    learn(ids, name, dir);
    own = id_of(ids, name);
    // Where the owners of files are somebody else's business, so is who gets an id.
    if (!own && !m->settings.no_fix_permissions && (own = find_free(ids, name)))
        keep(ids, name, own);
    if (own)
        user.uid = own;
    else if (!ids->has_said) {
        ids->has_said = true;
        LOG(LOG_WARN, "mox", "there are more accounts than user ids for them in /etc/subuid: those that come last share one",
            LOG_N("ids", ids->n), LOG_S("account", name));
    }
    return user;
}

bool account_give(int dir_fd, const struct os_user *user, struct err *e)
{
    struct stat st;

    if (fstat(dir_fd, &st) || ((st.st_mode & 07777) != 0700 && fchmod(dir_fd, 0700)))
        return fail_errno(e, "looking at an account's directory");
    return os_user_give(dir_fd, user, e);
}

struct round {
    struct monitor *m;
    bool learns;
};

static bool give_one(void *ctx, int accounts, const char *name, struct err *e)
{
    const struct round *r = ctx;
    struct monitor *m = r->m;
    const struct os_user template = role_user(m, ROLE_ACCOUNT_TEMPLATE);
    AUTO_FD dir = openat(accounts, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct os_user user;
    struct stat st;

    // Something else than a directory is no account; ELOOP is a link.
    if (dir < 0 && (errno == ENOTDIR || errno == ELOOP))
        return r->learns || fchownat(accounts, name, template.uid, template.gid, AT_SYMLINK_NOFOLLOW) == 0 ||
               fail_errno(e, "giving %s in the directory of accounts to the server's user", name);
    if (dir < 0 || fstat(dir, &st))
        return fail_errno(e, "opening the directory of account %s", name);
    if (r->learns) {
        learn(&m->account_ids, str_of(name), &st);
        return true;
    }
    user = account_user(m, str_of(name), &st);
    return account_give(dir, &user, e);
}

// All ids that are somebody's are known before one is given to somebody else. A directory is its owner's before the
// files in it are: what was broken off is found, and goes on.
bool accounts_give(struct monitor *m, struct err *e)
{
    const struct os_user template = role_user(m, ROLE_ACCOUNT_TEMPLATE);

    if (!m->user.is_set)
        return true;
    if (!os_each_entry(m->accounts_dir, "the accounts", give_one, &(struct round){m, true}, e))
        return false;
    if (!m->settings.no_fix_permissions) {
        if (fchown(m->accounts_dir, template.uid, template.gid))
            return fail_errno(e, "giving the directory of accounts to the server's user");
        if (!os_each_entry(m->accounts_dir, "the accounts", give_one, &(struct round){m, false}, e))
            return false;
    }
    return os_user_may_use(&template, m->accounts_dir, e);
}
