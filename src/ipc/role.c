#include "ipc/role.h"

#include "base/die.h"

static const char *const names[ROLE_COUNT] = {
    [ROLE_MONITOR] = "monitor",
    [ROLE_CONFIG] = "config",
    [ROLE_FRONT] = "front",
    [ROLE_SESSION_TEMPLATE] = "session-template",
    [ROLE_SESSION] = "session",
    [ROLE_ACCOUNT_TEMPLATE] = "account-template",
    [ROLE_ACCOUNT] = "account",
    [ROLE_AUTH] = "auth",
    [ROLE_QUEUE] = "queue",
    [ROLE_KEYS] = "keys",
    [ROLE_DKIM] = "dkim",
    [ROLE_ACME] = "acme",
    [ROLE_RESOLVE] = "resolve",
    [ROLE_ADMIN] = "admin",
    [ROLE_DIAL] = "dial",
    [ROLE_DELIVER_TEMPLATE] = "deliver-template",
    [ROLE_DELIVER] = "deliver",
    [ROLE_FETCH_TEMPLATE] = "fetch-template",
    [ROLE_FETCH] = "fetch",
    [ROLE_WEB_TEMPLATE] = "web-template",
    [ROLE_WEB] = "web",
};

const char *role_name(enum role role)
{
    if (role >= ROLE_COUNT)
        die("role_name: no such role");
    return names[role];
}

enum role role_of_children(enum role role)
{
    return role == ROLE_SESSION_TEMPLATE   ? ROLE_SESSION
           : role == ROLE_ACCOUNT_TEMPLATE ? ROLE_ACCOUNT
           : role == ROLE_DELIVER_TEMPLATE ? ROLE_DELIVER
           : role == ROLE_FETCH_TEMPLATE   ? ROLE_FETCH
           : role == ROLE_WEB_TEMPLATE     ? ROLE_WEB
                                           : role;
}

enum role role_of_name(struct str name)
{
    for (enum role r = 0; r < ROLE_COUNT; r++)
        if (str_eq(name, str_of(names[r])))
            return r;
    return ROLE_COUNT;
}
