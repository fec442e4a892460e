/*
 * The record of a decision, kept with the message: lines of "check TAB result TAB evidence LF", in the
 * order in which they were looked at; the last is "decision", with accept or refuse and the reason.
 */
#pragma once

#include "base/buf.h"

/* Control characters in the texts become blanks. */
void why_put(struct buf *out, struct str check, struct str result, struct str evidence);
/* Takes the next line; false at the end. What is missing is empty. */
bool why_next(struct str *record, struct str *check, struct str *result, struct str *evidence);
