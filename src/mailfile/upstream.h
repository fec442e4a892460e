/*
 * An account of upstream: what its index.db says of mailboxes and messages, and where the messages' files are
 * (mox-imap-store-cli-config.md 2.1, 2.2). Pure: the database is bytes.
 *
 * What belongs to no account is in upstream_server.h.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "mailfile/bstore.h"
#include "store/reputation.h"

struct upstream_mailbox {
    uint64_t id;
    struct str name, special_use; // special_use as store.h has it
    uint32_t uidvalidity, uidnext;
};
struct upstream_message {
    uint64_t id, mailbox; // its file is named by id
    uint32_t uid, flags;  // flags as store.h has them
    uint64_t size;        // with the prefix
    int64_t received_unix;
    struct str prefix;    // comes before the file's bytes
    struct str keywords;  // separated by spaces
    struct str reverse_path, hello, remote_ip;
    struct str key, record; // for upstream_origin
};
/* Of an address whose refused senders are given tokens. */
struct upstream_key {
    struct str address, key;
};
struct upstream_account {
    struct upstream_mailbox *mailboxes; // those above others come first
    size_t n_mailboxes, cap_mailboxes;
    struct upstream_message *messages; // by mailbox and UID; expunged ones are left out
    size_t n_messages, cap_messages;
    struct str *subscriptions;
    size_t n_subscriptions, cap_subscriptions;
    struct store_written *recipients; // whom the user has written to
    size_t n_recipients, cap_recipients;
    struct upstream_key *keys;
    size_t n_keys, cap_keys;
    uint64_t n_annotations; // of mailboxes and of the account
    bool has_settings;      // of upstream's webmail
    uint64_t modseq; // the last one given
    uint32_t next_uidvalidity;
    struct str password_hash; // bcrypt; empty when there is none
    struct bstore_type origins;
};
/* All texts point into the file or are in a. */
MUST_USE bool upstream_read(struct str file, struct arena *a, struct upstream_account *out,
                            struct err *e);

/* Whom the account has sent to, which its limits are about. recipient is valid during the call. */
typedef bool upstream_sent_fn(void *ctx, struct str recipient, int64_t sent_unix, struct err *e);
MUST_USE bool upstream_sent_read(struct str file, upstream_sent_fn *fn, void *ctx, struct err *e);

/* How a message came from outside, as the store keeps it. mailboxes: ids, 0 for none. */
struct upstream_origin {
    struct store_sign signs[STORE_MAX_SIGNS];
    size_t n_signs;
    uint64_t delivered, destined; // it counts for the first; the second is where it was meant to go
    bool is_reject;
};
/* Texts point into the file or are in a. *found: it came from outside. */
MUST_USE bool upstream_origin(const struct upstream_account *account, const struct upstream_message *m,
                              struct arena *a, struct upstream_origin *out, bool *found, struct err *e);

enum { UPSTREAM_MAX_PATH = 64 };
/* "msg/<directory>/<id>", below the account's directory. */
struct str upstream_path(uint64_t id, char out[UPSTREAM_MAX_PATH]);
