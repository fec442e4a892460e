/*
 * Whom to ask: the local resolvers of resolv.conf, or the servers of the root; or as MOX_RESOLVER
 * says, for test networks and special sites.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"

enum { SOURCE_MAX_SERVERS = 8, SOURCE_DEADLINE_MS = 10000 };

enum source_kind {
    SOURCE_RECURSION, // from the root that everybody knows
    SOURCE_ROOT,      // from a root at servers
    SOURCE_FORWARD,   // ask servers
    SOURCE_NONE,      // nobody: every question is answered as temporary
};

struct source {
    enum source_kind kind;
    struct ip servers[SOURCE_MAX_SERVERS];
    size_t n;
    int64_t deadline_ms;   // of a question
    struct str hosts_path; // points into the setting
};

/*
 * setting is MOX_RESOLVER, words between blanks: addresses of forwarders, root:ADDRESS for each
 * server of another root, or "none"; also deadline:MILLISECONDS and hosts:PATH. Without one of the
 * first three, resolv_conf decides: when all its servers are on this machine, and none is systemd's
 * stub, they are somebody's choice and are asked; else recursion. ERR_SYNTAX.
 */
MUST_USE bool source_parse(struct str setting, struct str resolv_conf, struct source *out,
                           struct err *e);
