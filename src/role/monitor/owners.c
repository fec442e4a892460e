/*
 * Whom the roles run as when root has started us, and whose the files are that they use.
 *
 * All are User of mox.conf, unless the system keeps a range of ids for that user (/etc/subuid): then each role that needs
 * nothing of User's has one of its own, and the kernel keeps them apart whether it has Landlock or not. So has each account,
 * of the ids that roles leave (account_ids.c). Their group is User's, by which they pass the data directory.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "os/process.h"
#include "role/monitor/monitor_priv.h"

// Which id of the range; 0: User's own, as for the web, whose files people make readable for User. A number stays with its
// role: others' files belong to the others.
static const uint8_t numbers[ROLE_COUNT] = {
    [ROLE_FRONT] = 1,   [ROLE_SESSION_TEMPLATE] = 2, [ROLE_ACCOUNT_TEMPLATE] = 3,  [ROLE_AUTH] = 4,
    [ROLE_QUEUE] = 5,   [ROLE_KEYS] = 6,             [ROLE_DKIM] = 7,              [ROLE_RESOLVE] = 8,
    [ROLE_ADMIN] = 9,   [ROLE_DIAL] = 10,            [ROLE_DELIVER_TEMPLATE] = 11, [ROLE_FETCH_TEMPLATE] = 12,
    [ROLE_ACME] = 13,
};
enum { IDS = 64 }; // that a range must have; some are for roles to come, and what follows is for accounts

struct os_user role_user(const struct monitor *m, enum role role)
{
    struct os_user user = m->user;

    if (m->ids.is_set && numbers[role])
        user.uid = m->ids.uid + numbers[role];
    user.keeps_setuid = role == ROLE_ACCOUNT_TEMPLATE && m->account_ids.n; // for its children's sake
    return user;
}

// Says what there is, and what it lacks.
static void choose_ids(struct monitor *m, const char *name)
{
    uid_t first = 0;
    const uint32_t n = os_user_range(name, m->user.uid, &first);

    if (n < IDS) {
        if (n)
            LOG(LOG_WARN, "mox", "the range of /etc/subuid is too small for ids of roles and accounts: all processes have that "
                "of the user; make it 65536", LOG_N("ids", n), LOG_S("of", m->settings.user));
        return;
    }
    m->ids = (struct os_user){.is_set = true, .uid = first};
    LOG(LOG_INFO, "mox", "roles have user ids of their own", LOG_N("first", first), LOG_S("of", m->settings.user));
    if (n > IDS)
        account_ids_init(m, first + IDS, n - IDS);
    else
        LOG(LOG_WARN, "mox", "the range of /etc/subuid is too small for ids of accounts: they share one; make it 65536",
            LOG_N("ids", n), LOG_S("of", m->settings.user));
}

bool owners_choose(struct monitor *m, struct err *e)
{
    const char *name = arena_cstring(&m->arena, m->settings.user);

    if (geteuid() || m->options.is_localserve)
        return true; // it is its starter's own server
    if (!name || !os_user_find(name, &m->user, e))
        return name ? false : fail(e, ERR_SYNTAX, "User in mox.conf is no name");
    choose_ids(m, name);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        struct os_user user = role_user(m, (enum role)i);

        if (!os_may_execute_self(&user))
            return fail(e, ERR_DENIED, "user %s may not execute this program: look at its permissions and where it lies",
                        name);
    }
    return true;
}

bool owners_protect_config(struct monitor *m, struct err *e)
{
    enum os_protected how;

    if (!m->user.is_set || m->settings.no_fix_permissions)
        return true;
    if (!os_protect(m->config_dir, m->data_dir, m->user.uid, &how, e))
        return false;
    if (how == OS_NOT_PROTECTED)
        LOG(LOG_WARN, "mox", "the configuration can be read or changed by others, and does not lie in a directory of its own, "
                             "which would be made root's: move it into one");
    if (how == OS_IS_PROTECTED_NOW)
        LOG(LOG_WARN, "mox", "the directory of the configuration could be read or changed by others: it is root's from now on");
    return true;
}

bool owners_give_data(struct monitor *m, int dir_fd, struct err *e)
{
    struct stat st;

    if (!m->user.is_set || m->settings.no_fix_permissions)
        return true;
    if (fchown(dir_fd, m->user.uid, m->user.gid) || fstat(dir_fd, &st) ||
        ((st.st_mode & 07777) != 0750 && fchmod(dir_fd, 0750)))
        return fail_errno(e, "giving the data directory to the server's user");
    return true;
}

// Databases that a command of root made while no server ran are given too.
bool owners_give(struct monitor *m, int dir_fd, enum role role, struct err *e)
{
    struct os_user user = role_user(m, role);

    return (m->settings.no_fix_permissions || os_user_give(dir_fd, &user, e)) && os_user_may_use(&user, dir_fd, e);
}
