/*
 * Dynamic updates of the DNS (RFC 2136) that are signed with a shared secret (TSIG, RFC 8945, hmac-sha256 alone): the
 * message that sets or removes one TXT record, and the answer to it.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "crypto/crypto.h"

enum { DNS_UPDATE_MAX = 2048, DNS_UPDATE_FUDGE_S = 300, DNS_UPDATE_TTL = 60, DNS_UPDATE_MAX_TEXT = 255 };

/* Names without the last dot, such as dns_name_is_ok allows; that of the key in lower case. */
struct dns_update {
    uint16_t id;
    int64_t time; // seconds since 1970
    struct str zone, name, text, key_name;
    /* True: this record is there and no other TXT record of the name. False: this record, and it alone, is gone. */
    bool is_set;
};
/* The message, signed with the secret. ERR_LIMIT when a part is too long. */
MUST_USE bool dns_update_put(struct buf *out, const struct dns_update *u, struct str secret, struct err *e);

/* What identifies a message of dns_update_put to those who verify its answer: number and MAC. Message is one of them. */
uint16_t dns_update_id(struct str message);
struct str dns_update_mac(struct str message);

struct dns_update_answer {
    unsigned rcode;
    bool is_signed; // the rest is of its TSIG record
    size_t signed_bytes; // of the message, without that record
    int64_t time;
    unsigned fudge, error, original_id;
    struct str mac, other;
};
/* The parts of an answer to the update with that number, whose key is called so. What *out points to is in message. */
MUST_USE bool dns_update_answer_parse(struct str message, uint16_t id, struct str key_name, struct dns_update_answer *out,
                                      struct err *e);
/* What the MAC of that answer is of (RFC 8945 5.3.1). */
void dns_update_answer_put_signed(struct buf *out, struct str message, const struct dns_update_answer *answer,
                                  struct str key_name, struct str request_mac);
/* For an answer whose MAC is right or that has none: whether the update is done. ERR_DENIED or ERR_TEMPORARY. */
MUST_USE bool dns_update_is_done(const struct dns_update_answer *answer, int64_t now, struct err *e);
