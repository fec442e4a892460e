/*
 * What is kept of a connection while it is parked. front has it meanwhile, which is less trusted than
 * the account: what comes back is input.
 */
#pragma once

#include "ipc/messages.h"

enum {
    PARKED_MAX_SAVED = 1500, // bytes of a search result; with a longer one a connection is not parked
    PARKED_MAX_UIDS = 1 << 20, // in it
};
enum { PARKED_CONDSTORE = 1, PARKED_UTF8 = 2, PARKED_READ_ONLY = 4, PARKED_VIEW = 8,
       PARKED_QRESYNC = 16, PARKED_REV2 = 32, PARKED_UTF8_ACCEPT = 64 };

#define ipc_parked_state_FIELDS(F)                                                                 \
    F(u8, flags, 127)                                                                              \
    F(u64, mailbox, 0)                                                                             \
    F(u32, uidvalidity, 0)                                                                         \
    F(u32, uidnext, 0)                                                                             \
    F(u64, modseq, 0)                                                                              \
    F(u64, highest, 0)                                                                             \
    F(u64, told_modseq, 0)                                                                         \
    F(str, saved, PARKED_MAX_SAVED)                                                                \
    F(str, tag, IPC_MAX_TAG)                                                                       \
    F(str, name, IPC_MAX_MAILBOX)
IPC_DECLARE(parked_state)

/* The UIDs of a search result, ascending, on the heap; NULL when there are none. */
MUST_USE bool parked_saved(struct arena *a, struct str saved, uint32_t **out, size_t *n,
                           struct err *e);
