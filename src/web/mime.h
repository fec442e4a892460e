/*
 * The Content-Type of a file.
 */
#pragma once

#include "base/str.h"

enum { MIME_SNIFF = 512 }; // bytes of a file that tell what it is

/* By the ending of its name; empty when that says nothing. */
struct str mime_of_name(struct str name);
/* By its first bytes, MIME_SNIFF of them if there are so many; application/octet-stream at worst. */
struct str mime_of_bytes(struct str first);
