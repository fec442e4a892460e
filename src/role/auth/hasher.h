/*
 * Two threads that verify passwords, since one verification takes 20 ms or more. The queue before
 * them is bounded.
 */
#pragma once

#include "role/auth/credentials.h"

struct hash_job {
    struct str password, hash;
    bool wants_derived; // what other mechanisms need is missing
    bool is_good;       // the answer
    struct derived derived; // when wanted and good
    struct hash_job *next;
};

/* Starts the threads; event_fd becomes readable when a job is done. */
void hasher_start(int *event_fd);
/* False when too many are waiting. The job and its texts stay the caller's, untouched until taken. */
bool hasher_add(struct hash_job *job);
/* A finished job, or NULL. */
struct hash_job *hasher_take(void);
