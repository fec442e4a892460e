/*
 * ENVELOPE and BODYSTRUCTURE of a message as IMAP sends them (RFC 9051 7.5.2). Made once, at
 * delivery, and stored ready to send.
 */
#pragma once

#include "message/mime.h"

void imap_envelope_put(struct buf *out, const struct envelope *env);
/* extended: with the extension data of BODYSTRUCTURE; BODY has none. */
void imap_bodystructure_put(struct buf *out, const struct part *p, bool extended);

/* A string: quoted when that can hold it, else a literal. NUL becomes "?" (RFC 9051, CHAR8). */
void imap_string_put(struct buf *out, struct str s);
