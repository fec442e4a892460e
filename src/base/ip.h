/*
 * IP addresses as values: from text, to text, as names of the reverse zones, and in networks.
 */
#pragma once

#include "base/buf.h"

struct ip {
    uint8_t family; // 4 or 6
    unsigned char bytes[16]; // in network order; 4 of them for family 4
};

/* "192.0.2.1" or "2001:db8::1"; nothing before, behind or between. */
MUST_USE bool ip_parse(struct str text, struct ip *out);
/* From 4 or 16 octets in network order; false for any other number of them. */
MUST_USE bool ip_of_bytes(struct str bytes, struct ip *out);
/* The octets, pointing into ip. */
struct str ip_bytes(const struct ip *ip);

/* Canonical text (RFC 5952 for IPv6). */
void ip_put(struct buf *out, const struct ip *ip);
/*
 * "1.2.0.192" or 32 nibbles with dots, last first: what precedes in-addr.arpa, ip6.arpa or the zone
 * of a block list (RFC 1035 3.5, RFC 3596 2.5, RFC 5782 2).
 */
void ip_put_reversed(struct buf *out, const struct ip *ip);
/* The name under in-addr.arpa or ip6.arpa. */
void ip_put_arpa(struct buf *out, const struct ip *ip);

bool ip_eq(const struct ip *a, const struct ip *b);
/* Whether both are of one family and equal in their first bits; bits past the end count as all. */
bool ip_in_network(const struct ip *ip, const struct ip *network, unsigned bits);
/* "192.0.2.1", or "192.0.2.0/24": bits are those that count. */
MUST_USE bool ip_network_parse(struct str text, struct ip *out, unsigned *bits);
/* Whether an address is in one of several networks, with a space between them. */
bool ip_in_networks(struct str address, struct str networks);
/* The IPv4 address that an IPv6 address ::ffff:192.0.2.1 stands for; any other as it is. */
struct ip ip_unmapped(const struct ip *ip);
/*
 * Whether it is one of the Internet's unicast addresses: not private, loopback, link-local, multicast,
 * for documentation or otherwise special (RFC 6890), nor IPv6 that stands for an IPv4 address.
 */
bool ip_is_public(const struct ip *ip);
/* 127.0.0.0/8 or ::1. */
bool ip_is_loopback(const struct ip *ip);
