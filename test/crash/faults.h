/*
 * Faults under a database: a layer between SQLite and the file system, and its memory. For each n the
 * n-th event of a kind is where it happens.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum fault { FAULT_NONE, FAULT_POWER_WRITE, FAULT_POWER_SYNC, FAULT_WRITE, FAULT_FULL, FAULT_SYNC,
             FAULT_MEMORY };
extern enum fault fault;
extern long countdown; // events until it happens
extern long events;    // that could have been it, for knowing how many there are

/* Both before the first database is opened. */
void faults_install(void);
void faults_install_memory(void);

/* What is done while the fault happens, and what must be there afterwards; in an empty directory. */
struct scenario {
    const char *name;
    /* Tells what was acknowledged through to, two bytes each; exits with 101 if it cannot begin. */
    void (*work)(int to);
    /* Prints problems and returns how many. */
    int (*check)(const char *said, size_t n);
};
extern const struct scenario store_scenario, queue_scenario, migrate_scenario;

enum { MESSAGES = 8 };
/* Said to the parent after the acknowledgement of message i. */
void acknowledge(int to, char what, unsigned i);
/* Message i as a sealed file. */
int message_file(unsigned i);
