/*
 * What an account remembers of those who write to it, asked when the next message comes
 * (mox-smtp-delivery.md 2.2). Every question reads a handful of neighbouring rows, however large the
 * mailboxes are.
 */
#pragma once

#include "store/store.h"

/* What a sender is known by. The numbers are stored. */
enum store_sign_kind {
    SIGN_FROM_PROVED = 1, // From address whose domain was validated
    SIGN_FROM = 2,        // one that was not
    SIGN_FROM_DOMAIN_PROVED = 3,
    SIGN_FROM_DOMAIN = 4,
    SIGN_FROM_ORG_PROVED = 5, // organisational domain
    SIGN_FROM_ORG = 6,
    SIGN_DKIM = 7,      // domain of a signature that verified
    SIGN_MAIL_FROM = 8, // address of MAIL FROM, with SPF passing
    SIGN_MAIL_FROM_DOMAIN = 9,
    SIGN_HELLO = 10, // of EHLO, with SPF passing
    SIGN_IP1 = 11,   // the client's network, from small to large
    SIGN_IP2 = 12,
    SIGN_IP3 = 13,
};
enum {
    STORE_MAX_SIGNS = 40, // of one message
    STORE_MAX_HISTORY = 50,
    STORE_NETWORKS = 3,
};

struct store_sign {
    enum store_sign_kind kind;
    struct str value;
    struct str who; // of SIGN_FROM_DOMAIN and SIGN_FROM_ORG: the localpart
};

/* How a message came, to be stored with it. */
struct store_origin {
    const struct store_sign *signs;
    size_t n_signs;
    struct str networks[STORE_NETWORKS]; // of the client, for the limits; empty: not counted
    struct str destined; // a mailbox that it is meant for while it lies elsewhere; made if missing
    struct str delivered; // the mailbox that it counts for; made if missing. Empty: the one it comes into
    bool is_reject;
    struct str digest; // of the bytes received, when it is a reject
    struct str facts;  // how it was decided about
};

struct store_judged {
    bool is_junk;
    struct str who;
};
/*
 * The newest judged messages of a mailbox that have this sign and came at since or later; at most max,
 * which is at most STORE_MAX_HISTORY.
 */
MUST_USE bool store_history(struct store_reader *r, struct arena *a, uint64_t mailbox,
                            enum store_sign_kind kind, struct str value, int64_t since_unix,
                            size_t max, struct store_judged *out, size_t *n, struct err *e);

struct store_arrivals {
    uint64_t messages, bytes;
};
/* What came from a network in the last minute and in the last day. */
MUST_USE bool store_arrivals(struct store_reader *r, struct str network, int64_t now_unix,
                             struct store_arrivals *minute, struct store_arrivals *day,
                             struct err *e);

/*
 * Whether the user has written to this address at since or later; with an empty localpart, to anyone of
 * the domain, or below it too when with_subdomains.
 */
MUST_USE bool store_has_written(struct store_reader *r, struct str localpart, struct str domain,
                                bool with_subdomains, int64_t since_unix, bool *out, struct err *e);

/* The key for tokens of a recipient; made the first time. Always the same size. */
enum { STORE_SUBJECTPASS_KEY = 16 };
MUST_USE bool store_subjectpass_key(struct store *st, struct str address,
                                    char out[STORE_SUBJECTPASS_KEY], struct err *e);

/*
 * What another server knew: whom the user has written to, and the key for tokens of a recipient. A later date, and a key,
 * that are here already stay.
 */
struct store_written {
    struct str localpart, domain;
    int64_t sent_unix;
};
MUST_USE bool store_adopt_written(struct store *st, const struct store_written *written, size_t n, struct err *e);
MUST_USE bool store_adopt_subjectpass_key(struct store *st, struct str address, struct str key, struct err *e);

/* How a message was decided about, as it was stored; empty when it was not. ERR_NOT_FOUND. */
MUST_USE bool store_facts(struct store_reader *r, struct arena *a, uint64_t mailbox, uint32_t uid,
                          struct str *out, struct err *e);

enum {
    STORE_REJECTS_SECONDS = 14 * 24 * 3600, // mox-smtp-delivery.md 2.7
    STORE_MAX_REJECTS = 1000,
};
/*
 * Keeps a refused message: one copy of each, by Message-ID or digest. Unless keep_all, old ones are
 * removed first, and when there are too many it is not kept. *stored: whether it was.
 */
MUST_USE bool store_reject(struct store *st, struct str mailbox, bool keep_all,
                           const struct store_new *message, bool *stored, struct err *e);
