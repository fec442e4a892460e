/*
 * Reports about our domains that come to an address for them (mox-smtp-delivery.md 5.2, 5.5): read here,
 * where a stranger's archive can do no harm but to this account, and stored by admin.
 */
#pragma once

#include "ipc/messages.h"
#include "message/dsn.h"
#include "store/store.h"

struct report_mail {
    const struct store_new *m;
    const struct ipc_findings *findings;
    struct str mail_from;
};
/* The bytes of the message from here on: report_take reads them through this. */
typedef bool report_read_fn(const struct store_new *m, struct arena *a, struct buf *out,
                            struct err *e);
/*
 * *why is empty when admin has the report, else why it is none, which is no error. ERR_TEMPORARY when
 * that cannot be told now.
 */
MUST_USE bool report_take(struct arena *a, const struct report_mail *mail, bool is_tls,
                          report_read_fn *read, struct str *why, struct err *e);
/*
 * What a message reports of one recipient of a message of this account's, as another server has it
 * (mox-smtp-delivery.md 3.9); and telling the queue, once it is stored: it came to that address.
 */
struct report_returned {
    bool is_one; // else it is none
    struct dsn_said said;
};
void report_read_returned(struct arena *a, const struct store_new *m, report_read_fn *read,
                          struct report_returned *out);
void report_tell_returned(const struct report_returned *r, struct str path);
/* The monitor's answer to a question for admin or queue: a channel (the account's from now on), or -1. */
void report_granted(int fd, struct str reason);
