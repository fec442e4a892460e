/*
 * Functions that have no place in this program, made into compile errors.
 * Force-included in every file by the build; system headers come first so that only our uses fail.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Macros in some C libraries and builds.
#undef alloca
#undef sprintf
#undef strcat
#undef strcpy
#undef strncat
#undef strncpy
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r gets alloca
#pragma GCC poison gmtime localtime srand atoi atol
