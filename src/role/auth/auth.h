/*
 * What the files of auth share: the configuration in use, the credentials, and what is known of each
 * session.
 */
#pragma once

#include "config/config.h"
#include "role/auth/credentials.h"
#include "role/service.h"

/* One load of the configuration. */
struct loaded {
    struct arena a;
    struct config config;
    struct directory *directory;
};

struct auth {
    struct role_start start;
    struct loaded *loaded;
    struct credentials *credentials;
};
extern struct auth auth;

/* What is known of a session: who has logged in on it. In service_peer's data. */
struct client {
    struct str account; // heap, empty before login
    bool is_busy;       // a verification is under way
};

/* directory.c: questions about addresses. */
bool auth_rcpt_check(struct service_peer *p, struct packet *m, struct err *e);
bool auth_from_check(struct service_peer *p, struct packet *m, struct err *e);
