/*
 * Documents by which mail programs find their settings: Thunderbird's (config-v1.1.xml), Microsoft's autodiscover,
 * Apple's configuration profiles, and PACC (draft-ietf-mailmaint-pacc-02).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum mail_socket { MAIL_SOCKET_PLAIN, MAIL_SOCKET_STARTTLS, MAIL_SOCKET_TLS };
struct mail_server {
    struct str host; // empty: there is none
    uint32_t port;
    enum mail_socket socket;
    bool is_on_https; // also at port 443, for those who ask by ALPN
};
struct mail_settings {
    struct str domain; // A-labels
    struct mail_server imap, submission;
};

/* An address by its parts; text is all of it as it was given, and parts point into it. */
struct mail_address {
    struct str text, localpart, domain; // the domain in A-labels, in the arena
};
/* ERR_SYNTAX. */
MUST_USE bool mail_address_parse(struct arena *a, struct str text, struct mail_address *out, struct err *e);

/* email may be empty: then the program fills it in. */
void autoconfig_put(struct buf *out, const struct mail_settings *s, struct str email);
/* The address that a request of autodiscover is for. ERR_SYNTAX; documents with a DOCTYPE are refused. */
MUST_USE bool autodiscover_parse(struct arena *a, struct str xml, struct str *email, struct err *e);
void autodiscover_put(struct buf *out, const struct mail_settings *s, struct str email);
/* A profile for an account with these addresses, of which the first logs in; full_name may be empty. */
void mobileconfig_put(struct buf *out, const struct mail_settings *s, const struct mail_address *addresses, size_t n,
                      struct str full_name);
/*
 * Services are at their usual ports, with TLS, or not in the document, which has no place for another port.
 * False when nothing is left.
 */
MUST_USE bool pacc_put(struct buf *out, const struct mail_settings *s);
/* The text of the TXT record at _ua-auto-config.<domain>, with the digest of the document. */
void pacc_record_put(struct buf *out, struct str document);
#define PACC_PATH "/.well-known/user-agent-configuration.json"
#define PACC_HOST_PREFIX "ua-auto-config."

/* A picture of black and white squares, each of scale pixels, with a white border of four squares. */
void png_squares_put(struct buf *out, const unsigned char *is_black, size_t width, size_t scale);
