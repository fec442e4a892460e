/*
 * Whom the roles run as when root has started us, and whose the files are that they use.
 *
 * All are User of mox.conf, unless the system keeps a range of ids for that user (/etc/subuid): then each role that needs
 * nothing of User's has one of its own, and the kernel keeps them apart whether it has Landlock or not. Their group is
 * User's, by which they pass the data directory.
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
enum { IDS = 64 }; // that a range must have; some are for roles to come

struct os_user role_user(const struct monitor *m, enum role role)
{
    struct os_user user = m->user;

    if (m->ids.is_set && numbers[role])
        user.uid = m->ids.uid + numbers[role];
    return user;
}

bool owners_choose(struct monitor *m, struct err *e)
{
    const char *name = arena_cstring(&m->arena, m->settings.user);

    if (geteuid() || m->options.is_localserve)
        return true; // it is its starter's own server
    if (!name || !os_user_find(name, &m->user, e))
        return name ? false : fail(e, ERR_SYNTAX, "User in mox.conf is no name");
    m->ids.is_set = os_user_range(name, m->user.uid, IDS, &m->ids.uid);
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        struct os_user user = role_user(m, (enum role)i);

        if (!os_may_execute_self(&user))
            return fail(e, ERR_DENIED, "user %s may not execute this program: look at its permissions and where it lies",
                        name);
    }
    if (m->ids.is_set)
        LOG(LOG_INFO, "mox", "roles have user ids of their own", LOG_N("first", m->ids.uid), LOG_S("of", m->settings.user));
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
