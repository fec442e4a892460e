/*
 * Passwords in the one form in which they are compared.
 */
#pragma once

#include "base/arena.h"

/*
 * RFC 8265 4.2.2, OpaqueString: spaces of all scripts are the ASCII one, normal form C. s itself
 * when it is not valid UTF-8 or has characters that no password has: it then fits none.
 */
struct str text_opaque(struct arena *a, struct str s);
/*
 * RFC 4013, SASLprep, as SCRAM's clients do it before they derive keys: besides, normal form KC
 * and no invisible characters.
 */
struct str text_saslprep(struct arena *a, struct str s);
