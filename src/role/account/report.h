/*
 * Reports about our domains that come to an address for them (mox-smtp-delivery.md 5.2, 5.5): read here,
 * where a stranger's archive can do no harm but to this account, and stored by admin.
 */
#pragma once

#include "ipc/messages.h"
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
/* The monitor's answer to a question for admin: a channel (the account's from now on), or -1. */
void report_granted(int fd, struct str reason);
