/*
 * Having a message signed by the `dkim` process: for sessions, and for the queue and admin, which sign
 * what the server itself writes. Blocking; the whole conversation is a few short messages.
 *
 * What may be signed is dkim's to say: for a session the domains that the account it has logged in as
 * may send from, for the queue and admin the domain of the host.
 */
#pragma once

#include "ipc/channel.h"

enum { DKIM_CLIENT_TIMEOUT_MS = 5000, DKIM_CLIENT_MAX_SELECTORS = 50 };

struct dkim_client {
    struct channel *ch;    // to dkim; nobody else reads from it meanwhile
    struct packet *packet; // for its answers
    uint64_t request;      // of the last question
};

/*
 * The selectors that mail from the domain is signed with, each with its signer; *n is 0 when there is
 * none, or none for this asker. All lives in a; k must live as long.
 */
MUST_USE bool dkim_client_selectors(struct dkim_client *k, struct arena *a, struct str domain,
                                    struct dkim_selector **out, size_t *n, struct err *e);

/* A message to be signed. */
struct dkim_client_message {
    struct str domain;    // of its From address, in A-labels; empty: the host's, for the server's own
    struct str localpart; // of it, for i=; may be empty
    const struct str *more; // fields that are signed besides those of the selectors
    size_t n_more;
    struct str header;    // all its fields, without the blank line
    struct str body;      // after the blank line; or, when fd is not -1:
    int fd;               // a file that has the body
    uint64_t body_start, body_end;
};
/*
 * Appends a DKIM-Signature field for each selector, to go before the message; nothing when there is
 * none. On failure nothing is appended: the message can go out as it is.
 */
MUST_USE bool dkim_client_sign(struct dkim_client *k, const struct dkim_client_message *m,
                               struct buf *out, struct err *e);
