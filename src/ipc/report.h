/*
 * Reports that an account has read, on their way to admin (ipc/messages/reports.h, report_received): the bytes
 * of the memory file. Whoever takes them trusts neither the account nor the report: every text is UTF-8
 * and within its limit, every count too.
 */
#pragma once

#include "ipc/codec.h"
#include "policy/dmarc_report.h"
#include "policy/tlsrpt.h"

enum { IPC_REPORT_BYTES = 32 << 20 }; // of the file

void ipc_put_dmarc_report(struct buf *out, const struct dmarc_report *report);
/* Texts point into bytes. ERR_SYNTAX for anything that ipc_put_dmarc_report does not write. */
MUST_USE bool ipc_get_dmarc_report(struct arena *a, struct str bytes, struct dmarc_report **out,
                                   struct err *e);

void ipc_put_tls_report(struct buf *out, const struct tlsrpt_report *report);
MUST_USE bool ipc_get_tls_report(struct arena *a, struct str bytes, struct tlsrpt_report **out,
                                 struct err *e);
