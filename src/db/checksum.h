/*
 * CRC-32 as zlib has it, at the speed of memory where the processor multiplies polynomials.
 */
#pragma once

#include "base/str.h"

uint32_t checksum(struct str bytes);
