/*
 * What the files of admin share: a connected command, and how it is answered
 * (mox-imap-store-cli-config.md 3.4).
 */
#pragma once

#include "config/edit.h"
#include "role/service.h"

struct ctl;
struct command {
    struct str name;
    size_t n_arguments; // lines after the name
    bool (*run)(struct ctl *c, const struct str *arguments, struct err *e);
};

/* A connected command. Texts of the one that runs live in a. */
struct ctl {
    int fd;
    struct buf in;
    const struct command *command; // whose arguments are being read
    struct str arguments[4];
    size_t n_arguments;
    const struct config_edit *edit; // that the command is, if it is one,
    struct command edit_command;    // and how it is read
    uint64_t waits_for; // a request that will be answered; 0: none
    bool wants_text;    // its answer has lines
    struct arena a;
    struct event_source *source;
    struct ctl *next;
};

MUST_USE bool admin_put(struct ctl *c, struct str text, struct err *e);
/* "ok", or the error as a line: the person at the terminal acts on it. */
MUST_USE bool admin_answer(struct ctl *c, const struct err *why, struct err *e);
/* A piece of a stream; after the last one comes the line "0". */
MUST_USE bool admin_put_piece(struct ctl *c, struct str piece, struct err *e);
/* The process of that role, or a sentence. */
MUST_USE bool admin_peer(enum role role, struct service_peer **out, struct err *e);
/* Waits for another role's answer to a request. Its texts live until the next. */
MUST_USE bool admin_await(struct channel *ch, struct ipc_admin_reply *out, struct err *e);
/*
 * The next message of that type; p is its. What else queue says meanwhile by itself, TLS results, is taken
 * as in the loop.
 */
MUST_USE bool admin_expect(struct channel *ch, enum ipc_type type, struct packet *p, struct err *e);
/* The answer to a request that others did not have to wait for (ctl's waits_for). */
void admin_answer_late(uint64_t request, bool is_ok, struct str text);
const struct ipc_settings *admin_settings(void);

struct channel *admin_monitor(void);
/* A number for a request of it, that its answer has too. */
uint64_t admin_next_request(void);

/* domains.c: begins a change of domains.conf; goes on when the monitor has given the file. */
bool domains_run(struct ctl *c, const struct str *arguments, struct err *e);
bool domains_have(struct ctl *c, struct packet *m, const struct ipc_domains_text *got, struct err *e);
/* The change is in use, or was refused. */
void domains_are_written(const struct ipc_domains_written *written);

/* --- removal.c: accounts that go --------------------------------------------------------------------- */

/* Those that were under way when another process ended. */
MUST_USE bool removals_begin(struct err *e);
/* Before the request is sent by which domains.conf is to have that account no more. ERR_CONFLICT: it is going already. */
MUST_USE bool removal_begin(struct str account, uint64_t request, struct err *e);
/* The request is answered: what is known of the account goes. Others have nothing to do with accounts that go. */
MUST_USE bool removal_changed(uint64_t request, bool is_ok, struct err *e);
/* Whether no account of that name is going: ERR_CONFLICT. */
MUST_USE bool removal_is_over(struct str account, struct err *e);
/* Whether auth can be told of this account ("": of any) what would go with a former one of its name: ERR_CONFLICT. */
MUST_USE bool removal_has_forgotten(struct str account, struct err *e);
void removal_erased(const struct ipc_account_erased *erased);
/* Every second. */
void removals_tick(void);
/* A process is there that was not: what failed is tried at once. */
void removals_retry(void);

/* --- report_domains.c: whose domains' reports come to whom ---------------------------------------------- */

/* From the compiled configuration; text need not stay. */
MUST_USE bool admin_use_domains(struct str text, struct err *e);
/* Whether the reports about a domain come to an address of this account. */
bool admin_is_reporting(struct str account, struct str domain, bool is_tls, bool *is_host);

/* The domain of ours that is the host's name, or the nearest above it; empty when there is none. */
struct str admin_host_domain(struct str hostname);

/* --- report.c: the reports database ---------------------------------------------------------------- */

struct reports;
extern struct reports *admin_reports;
/* A message about reports; others are false with *is_ours false. */
MUST_USE bool admin_hear_report(struct service_peer *p, struct packet *m, bool *is_ours,
                                struct err *e);
/* Every second. */
void admin_report_tick(void);
extern const struct command report_commands[];
extern const size_t report_command_count;

/* --- report_send.c: our own reports ---------------------------------------------------------------- */

/* Before the sandbox. */
void admin_send_begin(void);
/* Every second: what is due is told, one report after the other. */
void admin_send_tick(void);
/* Tells now what there is, and answers c when that is done. */
MUST_USE bool admin_send_all(struct ctl *c, bool is_tls, struct err *e);

/* --- report_letter.c: those that go by mail ------------------------------------------------------------- */

/* Every second, and when there are new ones: those that are due are given to the queue. */
void admin_letters_tick(void);

/* --- report_post.c: those that go to web servers ----------------------------------------------------- */

/* Every second: the next one that is due is on its way, unless one is already. */
void admin_post_tick(void);
/* Whether one is being sent: nobody would know what became of it. */
bool admin_post_is_under_way(void);

/* --- submit.c -------------------------------------------------------------------------------------- */

/* A message that the server writes itself. */
struct admin_mail {
    struct str from;
    const struct str *to;
    size_t n_to;
    struct str message;
    bool requires_no_tls; // RFC 8689 5
    struct str name;      // nobody else's: a message that the queue has under it is not stored twice; or empty
};
MUST_USE bool admin_submit(const struct admin_mail *m, struct err *e);

/* --- update.c: newer versions of this program ---------------------------------------------------- */

/* From the compiled configuration; text need not stay. */
MUST_USE bool admin_use_updates(struct str text, struct err *e);
/* Every second: once a day it is looked for a newer version. */
void admin_update_tick(void);

/* --- watch.c: our own addresses in block lists ------------------------------------------------------- */

/* From the compiled configuration; text need not stay. */
MUST_USE bool admin_use_watch(struct str text, struct err *e);
/* Mail has left by a connection: after many of them it is looked sooner. */
void admin_watch_connection(void);
/* Every second. */
void admin_watch_tick(void);

/* client_key.c */
extern const struct command queue_commands[];
extern const size_t queue_command_count;
extern const struct command client_key_commands[];
extern const size_t client_key_command_count;
