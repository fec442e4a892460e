/*
 * Runs a fuzz target over the files and directories named on the command line, without a fuzzer:
 * so that the corpus is an ordinary test in every build.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t n_inputs;

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;
    struct stat st;
    size_t n;

    if (!f || fstat(fileno(f), &st) < 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    bytes = malloc(st.st_size > 0 ? (size_t)st.st_size : 1);
    if (!bytes)
        exit(1);
    n = fread(bytes, 1, (size_t)st.st_size, f);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
    n_inputs++;
}

static void replay(const char *path)
{
    DIR *d = opendir(path);
    char child[4096];

    if (!d) {
        replay_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(d));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        replay(child);
    }
    closedir(d);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%zu inputs replayed\n", n_inputs);
    return n_inputs ? 0 : 1;
}
