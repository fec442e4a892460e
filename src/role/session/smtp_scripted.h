/*
 * The real SMTP session over memory, for tests: its client is a list of packets, and auth, the queue
 * and the accounts are scripts that decide by the localpart of an address. No process, no socket, no
 * clock.
 *
 * Linked before the library, smtp_scripted_fuzz.c takes the place of crypto/stream.c, peers.c and
 * main.c.
 *
 * Recipients: "unknown..." does not exist, "refused..." is another server's, "later..." cannot be
 * told now, "closed..." is a list that takes mail of "member..." only, "broken..." breaks the conversation with auth, "list..." has three mailboxes, "full..."
 * refuses the message with 452, "torn..." fails when it commits, "report..." is for TLS reports;
 * all others take it. Senders of a submission: "me..." is one's own, "off..." is disabled. A login
 * is good when its last message ends in "good"; after a message "more" there is another.
 */
#pragma once

#include "role/session/session.h"

struct scripted {
    bool is_submission, is_localserve, is_pedantic, requires_tls, has_starttls;
    uint64_t max_message_bytes;
    const struct str *packets; // what the client sends; one read gets at most one of them
    size_t n_packets;
    int64_t read_ms;           // how long it takes for each of them
    size_t at_packet, at_byte; // the next one, and how much of it was read
    bool has_exchange;         // auth waits for the client's next message

    struct buf out;            // what the client got
    int64_t took_ms;           // by the clock of the test
    unsigned delivered;        // mailboxes that committed the message
    unsigned queued;           // messages that the queue took
    struct buf message;        // the last one offered or queued, without its prefix
    struct buf prefix;
};
/* Runs one session to its end. */
void scripted_run(struct scripted *s);
void scripted_fini(struct scripted *s);

/* The next reply of *out, taken off: its code, 0 when there is none. Ends the process when malformed. */
unsigned scripted_reply(struct str *out);
