/*
 * Two threads that verify passwords, since one verification takes 20 ms or more. The queue before
 * them is bounded.
 */
#pragma once

#include "base/str.h"

struct hash_job {
    uint64_t peer;        // who asked
    bool has_account;     // whether the login names an account at all
    struct str account, login, password, hash; // in the same heap block
    bool is_good;         // the answer
    struct hash_job *next;
};

/* Starts the threads; event_fd becomes readable when a job is done. */
void hasher_start(int *event_fd);
/* False when too many are waiting. The job is a copy. */
bool hasher_add(const struct hash_job *job);
/* A finished job, or NULL; free() it. */
struct hash_job *hasher_take(void);
