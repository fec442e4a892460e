/*
 * Mail that the server itself writes, such as reports about deliveries: signed by DKIM as the domain of
 * its From field, when that is one of ours, or as the domain of this host, the first of ours at or above
 * its name (mox-smtp-delivery.md 4.3, "Domain choice").
 *
 * For single-instance roles that the monitor has acquainted with `dkim` (role/monitor/roles.c).
 */
#pragma once

#include "base/buf.h"
#include "base/str.h"

/*
 * Appends the DKIM-Signature fields, to go before the message. domain: of From, in A-labels. header is all its fields, each ended by
 * CR LF, with one From, without the blank line; body is what follows that. Appends nothing when the
 * domain signs nothing, or, with a line in the log, when dkim does not answer: such mail goes out as it
 * is. Waits for dkim: milliseconds, a few seconds at worst.
 */
void own_mail_sign(struct str domain, struct str header, struct str body, struct buf *out);
