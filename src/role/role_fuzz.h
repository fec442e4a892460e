/*
 * A role, as it is run by src/main.c, in a thread of a fuzz target: what captured processes may say to it. Each file
 * *_role_fuzz.c names one.
 */
#pragma once

#include "ipc/channel.h"
#include "ipc/compiled.h"

struct role_fuzz {
    enum role role;
    void (*main)(void);                    // does not return
    // Appends records to the settings; what the monitor gives it as a file instead of its directory, if anything.
    void (*configure)(struct buf *config, struct buf *file);
    bool needs_listener;                   // a listening socket
    // Of a template's child: gets what it starts with, and monitor becomes its own channel.
    void (*begin)(struct channel *monitor, int dir);
    bool has_streams; // users connect to it
    // Answers what the role waits for, if it is such a question.
    void (*answer)(struct channel *ch, const struct packet *question, uint64_t request);
    const struct str *words;               // what the role knows, for fields of text
    size_t n_words;
};

/* LLVMFuzzerTestOneInput of the target. */
int role_fuzz(const struct role_fuzz *r, const uint8_t *data, size_t size);
