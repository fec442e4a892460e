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

struct exchange;

/* What is known of a session: who has logged in on it. In service_peer's data. */
struct client {
    struct str account;         // heap, empty before login
    bool is_by_key;             // by the client's key: SASL may come after, for the same account
    bool is_busy;               // a password is being verified
    struct exchange *exchange; // a SASL exchange that waits for the client
};

/* --- main.c --------------------------------------------------------------------------------------- */

/* The account that an address logs in to, or nothing. disabled: why its logins are. */
struct str auth_account_of(struct arena *a, struct str login, struct str *disabled);

/* --- login.c: who may log in ---------------------------------------------------------------------- */

/* Before the first login: secrets and hashes that stand in for those of accounts that are not there. */
MUST_USE bool login_prepare(struct err *e);
bool login_step(struct service_peer *p, struct packet *m, struct err *e);
bool login_abort(struct service_peer *p, struct packet *m, struct err *e);
/* By the client's key alone. */
bool login_by_key(struct service_peer *p, struct packet *m, struct err *e);
/* front asks whether a key is known. */
bool login_key_check(struct service_peer *p, struct packet *m, struct err *e);
/* The session is gone. */
void login_closed(struct service_peer *p);
/* A password has changed: those that were verified are forgotten. */
void login_forget(void);

/* --- record.c: attempts on their way to the database ----------------------------------------------- */

/* What is the same for all attempts on a connection; texts in a. */
/* "imap" or "submission". */
struct str record_protocol(uint8_t protocol);
struct login_attempt record_facts(struct arena *a, const struct service_peer *p,
                                  struct str mechanism);
/* Logs an attempt and keeps it for the database. Empty account: unknown. */
void record_attempt(const struct login_attempt *facts, struct str account, struct str login,
                    const char *result);
/* Writes what was kept; once a second and at the end. */
void record_write(void);

/* --- relay.c: what is passed on without a login ---------------------------------------------------- */

/* Tells the queue of the members that a list has at other servers, n from number first on. */
MUST_USE bool relay_list(const struct service_peer *p, struct arena *a,
                         const struct ipc_rcpt_check *m, uint32_t *first, uint32_t *n, struct err *e);
/* Whether the address was made here for the sender of something passed on; recipient: who that was. */
bool relay_is_return(struct arena *a, const struct ipc_rcpt_check *m, struct str *recipient);
/* Tells the queue that a report may be returned there. */
MUST_USE bool relay_return(const struct service_peer *p, struct str recipient, uint32_t *first,
                           struct err *e);

/* --- directory.c: questions about addresses ------------------------------------------------------- */

bool auth_rcpt_check(struct service_peer *p, struct packet *m, struct err *e);
bool auth_report_check(struct service_peer *p, struct packet *m, struct err *e);
/* Whether there is an account of that name. */
bool auth_has_account(struct str name);
bool auth_from_check(struct service_peer *p, struct packet *m, struct err *e);
bool auth_list_check(struct service_peer *p, struct packet *m, struct err *e);

/* --- manage.c: requests of admin ------------------------------------------------------------------- */

/* False also for messages that are not admin's. */
bool manage_message(struct service_peer *p, struct packet *m, struct err *e);
