/*
 * A template's child as a fuzz target: what other processes answer it, and what comes over the network, is made of the
 * input, in the order in which the child asks for it. No process, no socket, no clock.
 *
 * Linked before the library, child_fuzz.c takes the place of ipc/channel.c and crypto/stream.c. What the child says is
 * checked against the table of ipc/messages.h, and what it passes on of files must be sealed.
 */
#pragma once

#include "crypto/stream.h"
#include "ipc/channel.h"
#include "role/message_fuzz.h"

struct child_fuzz {
    struct source source;    // words: for messages
    const struct str *lines; // what a client or server may say: words for streams
    size_t n_lines;
    struct buf out;          // what was written to streams
};

/* From now on the input of f is used; until the end. */
void child_fuzz_begin(struct child_fuzz *f, const uint8_t *data, size_t size);
void child_fuzz_end(struct child_fuzz *f);

/* A channel, which is open. */
struct channel child_fuzz_channel(enum role self, enum role peer);
/* A stream, to be read and written at any time. */
struct stream child_fuzz_stream(void);
