/*
 * Work that grows with its input must grow no faster: each probe does its work for an input of size n,
 * between count_begin and count_end. callgrind counts the instructions in between; test_linear.py runs
 * this with n doubled and compares.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

struct probe {
    const char *name;
    size_t n; // the smallest size; twice and four times that are tried too
    void (*run)(size_t n);
};
/* Only what lies between the two is counted. */
void count_begin(void);
void count_end(void);

/* n times text, with its last separator left out. */
struct str repeat(struct arena *a, struct str text, size_t n, size_t n_separator);

extern const struct probe parser_probes[], imap_probes[];
extern const size_t n_parser_probes, n_imap_probes;
/* An account in the current directory, which is empty, and a client of it. */
void imap_probes_begin(void);
