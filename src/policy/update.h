/*
 * Newer versions of this program (mox-imap-store-cli-config.md 5.9): the record that tells of them, and the
 * signed list of what changed.
 *
 * A newer version is only told of. Nothing is downloaded but the texts, and no text is believed without the
 * signature of the key in the configuration.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "policy/dns.h"

enum {
    UPDATE_MAX_RECORD = 512,
    UPDATE_MAX_CHANGELOG = 64 * 1024, // bytes of JSON; the server is asked for what is newer than ours only
    UPDATE_MAX_VALUES = 10000,        // in it, counted before it is read
    UPDATE_MAX_CHANGES = 1000,
};

struct update_version {
    unsigned part[3]; // major, minor, patch
};
/* "v1.2.3" or "1.2.3", without leading zeros. */
MUST_USE bool update_version_parse(struct str text, struct update_version *out);
/* Below 0, 0 or above it, as a is older, the same or newer. */
int update_version_compare(const struct update_version *a, const struct update_version *b);
void update_version_put(struct buf *out, const struct update_version *v);

/* "v=UPDATES0; l=v1.2.3"; other tags are passed over. ERR_SYNTAX. */
MUST_USE bool update_record_parse(struct str text, struct update_version *latest, struct err *e);
/* The record of _updates.<domain>. ERR_NOT_FOUND without one or with several, ERR_TEMPORARY, ERR_SYNTAX. */
MUST_USE bool update_find(const struct dns *dns, struct arena *a, struct str domain,
                          struct update_version *latest, struct err *e);

struct update_change {
    struct update_version version;
    struct str text; // UTF-8 without control characters but line ends; its first line names the version
};
/*
 * {"Changes": [{"PubKey": base64, "Sig": base64, "Text": "version: v1.2.3\n..."}, ...]}, newest first: the
 * changes newer than since, each signed by key (an ed25519 public key). Texts are copies in a. ERR_SYNTAX,
 * ERR_LIMIT, ERR_DENIED for a signature that is not right.
 */
MUST_USE bool update_changelog_parse(struct arena *a, struct str json, struct str key,
                                     const struct update_version *since, struct update_change **out,
                                     size_t *n, struct err *e);
/*
 * The same, for whoever publishes it: of a list as long as it was made, the items newer than since, or all without it (NULL), as
 * a list again. Signatures are not looked at. ERR_SYNTAX, ERR_LIMIT.
 */
MUST_USE bool update_changelog_since(struct buf *out, struct str json, const struct update_version *since, struct err *e);
/* Where what is newer than a version is found. */
struct str update_changelog_url(struct arena *a, struct str url, struct str version);

/*
 * The message to the postmaster about changes, the first of which is the newest: lines ended by CR LF. random:
 * letters and digits nobody guesses, for Message-Id. ERR_SYNTAX, ERR_LIMIT when it does not fit out.
 */
struct update_message {
    struct str hostname, random;
    int64_t now_unix;
    struct str url; // of the list
};
MUST_USE bool update_compose(struct buf *out, const struct update_message *m,
                             const struct update_change *changes, size_t n, struct err *e);

/* One such change, as JSON: what whoever publishes versions adds. ERR_SYNTAX when it could not be read again. */
struct private_key;
MUST_USE bool update_change_put(struct buf *out, const struct private_key *key, struct str text,
                                struct err *e);
