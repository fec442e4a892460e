/*
 * The Authentication-Results field (RFC 8601): the results of all checks in one field, and reading
 * those of others.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"

/* Results of SPF, DKIM, DMARC, ARC, iprev and auth (RFC 8601 2.7). */
enum auth_result {
    AUTH_NONE,
    AUTH_PASS,
    AUTH_FAIL,
    AUTH_SOFTFAIL,
    AUTH_NEUTRAL,
    AUTH_POLICY,
    AUTH_TEMPERROR,
    AUTH_PERMERROR,
};
const char *auth_result_name(enum auth_result result);
MUST_USE bool auth_result_parse(struct str name, enum auth_result *out); // in letters of any case

enum {
    AUTHRES_MAX_FIELD = 64 * 1024,
    AUTHRES_MAX_METHODS = 100,
    AUTHRES_MAX_PROPERTIES = 500, // of all methods
    AUTHRES_MAX_VALUE = 400,      // of what we write: a longer value is left out, a comment cut
};

struct authres_property {
    struct str type, name, value; // "smtp", "mailfrom", "x@y.example"
};
struct authres_method {
    struct str method, result; // "dkim", "pass"
    struct str comment, reason;
    struct authres_property *properties;
    size_t n, cap;
};
struct authres {
    struct str host; // authserv-id
    struct authres_method *methods;
    size_t n, cap;
};

/*
 * Adding to the field that is to be written. Empty texts are left out; texts may be a stranger's and
 * must live until authres_put.
 */
struct authres_method *authres_add(struct authres *ar, struct arena *a, const char *method,
                                   enum auth_result result);
void authres_add_property(struct authres_method *m, struct arena *a, const char *type,
                          const char *name, struct str value);
void authres_add_iprev(struct authres *ar, struct arena *a, enum auth_result result,
                       const struct ip *ip, bool is_secure, struct str reason);
struct authres_dkim {
    enum auth_result result;
    struct str reason;
    struct str domain, selector, algorithm, identity; // of tags d, s, a, i
    struct str signature; // base64; its first 12 characters are shown
    unsigned key_bits;    // 0: there was no key
    bool is_secure;       // so was the answer with the key
};
void authres_add_dkim(struct authres *ar, struct arena *a, const struct authres_dkim *dkim);
/* address: of MAIL FROM, or the domain of EHLO. */
void authres_add_spf(struct authres *ar, struct arena *a, enum auth_result result, bool is_helo,
                     struct str address, bool is_secure, struct str reason);
/* Methods whose properties are few: an address, a domain or none. */
void authres_add_arc(struct authres *ar, struct arena *a, enum auth_result result,
                     const struct ip *ip, struct str reason);

/*
 * Appends "Authentication-Results: host;...\r\n", one line for each method and more when they are
 * long. Whatever the texts hold, nothing leaves its place: control characters and malformed UTF-8
 * become "?", what is special is quoted. ERR_BUG when one of our own names is none.
 */
MUST_USE bool authres_put(struct buf *out, const struct authres *ar, struct err *e);

/*
 * The value of a field. As upstream, a final ";" and underscores in results are forgiven. All texts
 * are copies in a.
 */
MUST_USE bool authres_parse(struct arena *a, struct str value, struct authres *out, struct err *e);
/*
 * Whether the field claims to be host's, also when the rest of it cannot be read; or may claim it, when
 * it names no host that we can read, or has a version that we do not know: such a field that came from outside is to be removed (RFC 8601 5).
 */
bool authres_claims_host(struct str value, struct str host);
