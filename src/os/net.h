/*
 * TCP: listening sockets, accepting, addresses as text.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

enum { NET_ADDRESS_TEXT = 64, NET_KEEPALIVE_SECONDS = 300 };

/* A listening socket on an IPv4 or IPv6 address; port 0 lets the kernel choose. -1 on failure. */
int net_listen(struct str ip, unsigned port, struct err *e);

/* Accepts one connection (close-on-exec, no delay, keepalive after 5 minutes); -1 if none. */
int net_accept(int listener);

/*
 * Looks at what has come on a connection without taking any of it: how many bytes, at most n. net_wake_at says with how
 * many such bytes the connection is ready to be read (SO_RCVLOWAT; a loop would be called for the same ones again and
 * again); at first, and before somebody else gets it, with one.
 */
size_t net_peek(int fd, char *p, size_t n);
bool net_wake_at(int fd, size_t n);

/*
 * Begins a TCP connection, from an address of the same family if from is not NULL. The socket does not
 * block; it becomes writable when net_dial_result can tell. -1 on failure, with *code the errno.
 */
int net_dial(const struct ip *to, unsigned port, const struct ip *from, int *code,
                struct err *e);
/* 0 when it is connected, or the errno. */
int net_dial_result(int fd);

/* The addresses of a connected socket as text, without ports: "192.0.2.1", "2001:db8::1". */
void net_remote_text(int fd, char out[NET_ADDRESS_TEXT]);
void net_local_text(int fd, char out[NET_ADDRESS_TEXT]);

/* 4 or 6 with the address in network order (4 or 16 bytes), or 0 when it is no address. */
int net_parse_ip(struct str text, unsigned char out[16]);

/* An address of this machine. */
struct net_own {
    struct ip ip;
    bool is_public; // no address of its interface is a private one
};
/* Those of interfaces that are up, without link-local and multicast ones; at most max. Returns how many. */
size_t net_own_addresses(struct net_own *out, size_t max);

/*
 * A TCP connection to a name or address, tried one address after the other for as long as timeout_ms
 * in all (and what the C library takes to look the name up). For commands; the server's own roles ask
 * resolve and dial. -1 on failure.
 */
int net_connect(struct str host, unsigned port, int timeout_ms, struct err *e);

/* A listening Unix socket at path (an old one is removed), mode 0600; and connecting to one. */
int net_listen_unix(const char *path, struct err *e);
int net_connect_unix(const char *path, struct err *e);
