/*
 * What the files of dial share: connections being made, and servers behind the reverse proxy.
 */
#pragma once

#include "base/ip.h"
#include "role/service.h"

enum { DIAL_MAX_OF_ONE = 8 }; // connections that are being made for one asker

/* main.c */

/* Addresses that are nobody's. */
bool dial_is_nobody(const struct ip *to);
enum ipc_dial_outcome dial_outcome(int code);
bool dial_answer(struct service_peer *p, uint64_t request, enum ipc_dial_outcome outcome, struct str why,
                 struct err *e);
/* Whether one more may be made for this peer. */
bool dial_has_room(const struct service_peer *p);
int64_t dial_deadline(uint32_t timeout_ms);
struct site_dial;
/* Begins one; the peer hears of its end. site: when it fails, site_dial_next is called instead. */
bool dial_begin(struct service_peer *p, uint64_t request, const struct ip *to, unsigned port, const struct ip *from,
                int64_t deadline_ms, struct site_dial *site, int *code, struct err *e);

/* site.c */

/* The servers that may be dialed, from the compiled configuration; and from a new one. */
MUST_USE bool site_load(struct str config, struct err *e);
MUST_USE bool site_configure(struct packet *m, struct err *e);
/* A request for one of them, and an answer of resolve about its addresses. */
bool site_dial(struct service_peer *p, struct packet *m, struct err *e);
bool site_resolved(struct packet *m, struct err *e);
/* The last address did not answer: on to the next, or the peer hears of it. */
void site_dial_next(struct site_dial *d, int code);
/* NULL is fine. */
void site_dial_free(struct site_dial *d);
void site_peer_closed(const struct service_peer *p);
void site_tick(int64_t now);
