/*
 * mox licenses: what this program may be used under, and the libraries that it is linked with.
 */
#include <stdio.h>

#include "base/compiler.h"
#include "cmd/verbs.h"

extern const char license_text[]; // made of LICENSE by tools/embed-text

/* By the name of the file; the licence is that of the library, as Debian's copyright files have it. */
static const struct {
    const char *file, *name, *license;
} libraries[] = {
    {"libssl, libcrypto", "OpenSSL", "Apache-2.0"},
    {"libsqlite3", "SQLite", "public domain"},
    {"libseccomp", "libseccomp", "LGPL-2.1"},
    {"libzstd", "Zstandard", "BSD-3-clause or GPL-2"},
    {"libz", "zlib", "Zlib"},
    {"libargon2", "Argon2", "CC0 or Apache-2.0"},
    {"libidn2", "Libidn2", "LGPL-3+ or GPL-2+"},
    {"libpcre2-8", "PCRE2", "BSD-3-clause"},
    {"libpsl", "libpsl", "MIT"},
    {"libexpat", "Expat", "MIT"},
    {"libjansson", "Jansson", "MIT (Expat)"},
    {"libunistring", "GNU libunistring", "LGPL-3+ or GPL-2+"},
    {"libcrypt", "libxcrypt", "LGPL-2.1+"},
    {"libc, libm", "GNU C Library", "LGPL-2.1+"},
};

int cmd_licenses(int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return cmd_usage("licenses");
    printf("# mox\n\n%s\n# Libraries\n\n"
           "They are parts of the system, which has their texts (on Debian, /usr/share/doc/<package>/copyright).\n\n",
           license_text);
    for (size_t i = 0; i < COUNT(libraries); i++)
        printf("%-18s %-17s %s\n", libraries[i].file, libraries[i].name, libraries[i].license);
    return 0;
}
