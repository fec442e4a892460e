/*
 * What others are shown of a connection's number: in Received fields and in replies, so that the log
 * can be searched for it, and nobody can tell from it how many connections there are
 * (mox-imap-store-cli-config.md 5.6).
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    RECEIVED_ID_KEY_BYTES = 24, // an AES key, and eight bytes that prove an id to be ours
    RECEIVED_ID_CHARS = 22,
};

/* key has RECEIVED_ID_KEY_BYTES bytes. */
void received_id_put(struct buf *out, const unsigned char *key, uint64_t cid);
/* ERR_SYNTAX for what is no id, ERR_NOT_FOUND for one that was made with another key. */
MUST_USE bool received_id_open(const unsigned char *key, struct str id, uint64_t *cid,
                               struct err *e);
