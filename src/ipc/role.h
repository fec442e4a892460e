/*
 * The roles: which kinds of process there are. Every process knows its own and that of each peer.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum role {
    ROLE_MONITOR,
    ROLE_CONFIG,
    ROLE_FRONT,
    ROLE_SESSION_TEMPLATE,
    ROLE_SESSION,
    ROLE_ACCOUNT_TEMPLATE,
    ROLE_ACCOUNT,
    ROLE_AUTH,
    ROLE_QUEUE,
    ROLE_KEYS,
    ROLE_DKIM,
    ROLE_ACME,
    ROLE_RESOLVE,
    ROLE_ADMIN,
    ROLE_DIAL,
    ROLE_DELIVER_TEMPLATE,
    ROLE_DELIVER,
    ROLE_FETCH_TEMPLATE,
    ROLE_FETCH,
    ROLE_WEB_TEMPLATE,
    ROLE_WEB,
    ROLE_COUNT,
};

/* The name shown in process titles and logs, such as "session". */
const char *role_name(enum role role);
/* The role of that name; ROLE_COUNT when there is none. */
enum role role_of_name(struct str name);

/* The role of a template's children; that of any other is itself. */
enum role role_of_children(enum role role);

/* Sets of roles, for the table of who may say what. */
typedef uint32_t role_set;
#define ROLE_BIT(role) ((role_set)1 << (role))
