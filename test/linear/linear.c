#include "linear.h"

#include <stdio.h>
#include <string.h>
#include <valgrind/callgrind.h>

static const char *name;
static size_t size;

void count_begin(void)
{
    CALLGRIND_ZERO_STATS;
}

void count_end(void)
{
    char label[100];

    snprintf(label, sizeof label, "%s %zu", name, size);
    CALLGRIND_DUMP_STATS_AT(label);
}

struct str repeat(struct arena *a, struct str text, size_t n, size_t n_separator)
{
    char *p = arena_alloc(a, text.n * n + 1);

    for (size_t i = 0; i < n; i++)
        memcpy(p + i * text.n, text.p, text.n);
    return str_at(p, text.n * n - (n ? n_separator : 0));
}

static void run(const struct probe *probes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t times = 1; times <= 4; times *= 2) {
            name = probes[i].name;
            size = times;
            probes[i].run(times * probes[i].n);
        }
}

int main(void)
{
    run(parser_probes, n_parser_probes);
    imap_probes_begin();
    run(imap_probes, n_imap_probes);
    return 0;
}
