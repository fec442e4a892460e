/*
 * Messages between processes, made of the bytes of a fuzz target's input: whatever their fields, they decode.
 */
#pragma once

#include "base/arena.h"
#include "base/cur.h"
#include "ipc/messages.h"

struct source {
    struct cur in;
    struct arena a;          // texts of a message
    const struct str *words; // what the receiver knows, for fields of text
    size_t n_words;
    uint64_t last_request;   // what the receiver has said last, if it is a number
};

/* 0 at the end. */
unsigned source_byte(struct source *s);
/* Small, or the last request, or anything; at most max, unless that is 0. */
uint64_t source_number(struct source *s, uint64_t max);
/* Any bytes, a word, or as many as there may be; at most max, unless that is 0. */
struct str source_text(struct source *s, uint64_t max);
/* A file as it should be, or something else. */
int source_descriptor(struct source *s);
/* One of the types that the table has from one to the other; IPC_none when there is none. */
enum ipc_type source_type(struct source *s, enum role from, enum role to);
/* The fields of such a message. The texts of the one before are gone. */
void source_message(struct source *s, enum ipc_type type, struct buf *out);

/* A sealed file of these bytes. */
int source_memfile(struct str bytes);
