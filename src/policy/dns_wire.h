/*
 * The data of DNS records as they travel (RFC 1035 3.3 and 4.1, RFC 2782, RFC 3596, RFC 6698),
 * without compression: the resolver's process has undone that.
 */
#pragma once

#include "policy/dns.h"

/* One record's data. What it points to is in rdata or a. ERR_SYNTAX. */
MUST_USE bool dns_rdata_parse(struct arena *a, enum dns_type type, struct str rdata,
                              struct dns_record *out, struct err *e);

/*
 * All records of an answer: for each the length of its data in two octets, then the data. Sets
 * records and n of *out. ERR_SYNTAX, or ERR_LIMIT past DNS_MAX_RECORDS.
 */
MUST_USE bool dns_records_parse(struct arena *a, enum dns_type type, struct str bytes,
                                struct dns_answer *out, struct err *e);
/* The writer's side: appends one record's data. False, and nothing added, when it is too long. */
MUST_USE bool dns_records_put(struct buf *out, struct str rdata);

/* A name that dns_name_is_ok allows, as labels (RFC 1035 3.1). */
void dns_name_put_wire(struct buf *out, struct str name);

/* A name of a question for a program that reads \DDD and "\.": every unusual byte is escaped. */
void dns_name_put_escaped(struct buf *out, struct str name);
