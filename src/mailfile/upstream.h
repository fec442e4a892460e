/*
 * An account of upstream: what its index.db says of mailboxes and messages, and where the messages' files are
 * (mox-imap-store-cli-config.md 2.1, 2.2). Pure: the database is bytes.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

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
};
struct upstream_account {
    struct upstream_mailbox *mailboxes; // those above others come first
    size_t n_mailboxes, cap_mailboxes;
    struct upstream_message *messages; // by mailbox and UID; expunged ones are left out
    size_t n_messages, cap_messages;
    struct str *subscriptions;
    size_t n_subscriptions, cap_subscriptions;
    uint64_t modseq; // the last one given
    uint32_t next_uidvalidity;
    struct str password_hash; // bcrypt; empty when there is none
};
/* All texts point into the file or are in a. */
MUST_USE bool upstream_read(struct str file, struct arena *a, struct upstream_account *out,
                            struct err *e);

enum { UPSTREAM_MAX_PATH = 64 };
/* "msg/<directory>/<id>", below the account's directory. */
struct str upstream_path(uint64_t id, char out[UPSTREAM_MAX_PATH]);
