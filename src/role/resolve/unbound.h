/*
 * libunbound: recursion, validation and the cache, in a thread of its own.
 *
 * The library is loaded by this process alone, with dlopen: linked, it and the four it needs would be
 * in every process, with 26 mappings, 76 KiB of private memory, and 30 us more for each fork of a
 * session and 0.4 ms for each exec.
 */
#pragma once

#include "base/err.h"
#include "policy/dns.h"
#include "role/resolve/source.h"

/* What came of one question. Everything is valid during the callback only. */
struct unbound_answer {
    enum dns_status status;
    bool is_secure;
    bool is_failure;     // nothing usable came at all: the servers are silent or fail
    bool is_too_large;
    uint32_t ttl;
    struct str name;     // whose records they are, when it was reached by aliases; else empty
    struct str records;  // as dns_records_put writes them
    struct str why;
};

typedef void unbound_fn(void *question, const struct unbound_answer *answer);

/*
 * Loads and configures everything, so that no file is opened after this. anchor is MOX_TRUST_ANCHOR:
 * a file, "none", or NULL for the root's own. Before the sandbox; its thread is made at the first
 * question, after it.
 */
MUST_USE bool unbound_open(const struct source *source, const char *anchor, unbound_fn *answered,
                           struct err *e);
/* Readable when unbound_process has something to do. */
int unbound_fd(void);
/* Calls answered for what is ready. */
void unbound_process(void);
/* Begins with a question; *id is for unbound_cancel, after which it is not answered. */
MUST_USE bool unbound_ask(struct str name, enum dns_type type, void *question, int *id,
                          struct err *e);
void unbound_cancel(int id);
