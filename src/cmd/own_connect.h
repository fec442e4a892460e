/*
 * Connections of verbs to others' servers: opened here, and what comes over them is read in the sandbox
 * of `deliver`.
 */
#pragma once

#include "base/ip.h"
#include "crypto/stream.h"
#include "policy/dane.h"
#include "policy/mx.h"
#include "proto/smtp/client.h"

enum { OWN_CONNECT_MS = 30 * 1000, OWN_COMMAND_MS = 60 * 1000 };

/* "host:port", "[2001:db8::1]:25", or with default_port (if not 0) "host". ERR_SYNTAX. */
MUST_USE bool own_parse_host(struct arena *a, const char *text, unsigned default_port, struct str *host,
                             unsigned *port, struct err *e);
/* The addresses of a host, or the address that it is. */
MUST_USE bool own_addresses(const struct dns *dns, struct arena *a, struct str host,
                            struct mx_addresses *out, struct err *e);
/* A connection to the first of them that takes one; *used is which. */
MUST_USE bool own_connect(const struct mx_addresses *to, unsigned port, struct stream *out, struct ip *used,
                          struct err *e);

/* Before the first byte of a stranger: no files any more, no connections, no processes. */
MUST_USE bool own_confine(struct err *e);

/* What DANE found, for the handshake; associations are in a. */
struct tls_target own_tls_target(struct arena *a, const struct dane_result *dane, struct str host);
/* Says on standard error what was spoken to, and how. */
void own_say_connected(const struct stream *s, struct str host, const struct ip *ip, const char *proof);

/* A session of SMTP. */
struct own_smtp {
    struct stream *s;
    struct arena *a;
    struct buf in; // read, and not yet a reply
    struct smtp_reply reply;
    struct smtp_offer offer;
};
#define OWN_SMTP(stream_, arena_)                                                                  \
    {                                                                                              \
        .s = (stream_), .a = (arena_), .in = BUF_LIMIT(64 * 1024), .reply = SMTP_REPLY             \
    }
/* The greeting, and EHLO. */
MUST_USE bool own_smtp_begin(struct own_smtp *c, struct str hello, struct err *e);
/* STARTTLS up to the handshake, which is the caller's, and EHLO after it. */
MUST_USE bool own_smtp_ask_tls(struct own_smtp *c, struct err *e);
MUST_USE bool own_smtp_hello(struct own_smtp *c, struct str hello, struct err *e);

/* Standard input to the server, and what it says to standard output, until both have ended. */
MUST_USE bool own_copy(struct stream *s, struct err *e);
