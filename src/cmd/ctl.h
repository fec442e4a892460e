/*
 * A conversation with the running server over its control socket
 * (mox-imap-store-cli-config.md 3.4).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct ctl_client {
    int fd;
    struct buf in;
    struct arena a;
};

#define AUTO_CTL CLEANUP(ctl_close) struct ctl_client

/* Connects to the server of the configuration of the command line. */
MUST_USE bool ctl_open(struct ctl_client *c, struct err *e);
void ctl_close(struct ctl_client *c);
MUST_USE bool ctl_send(struct ctl_client *c, struct str line, struct err *e);
/* The next line, without its end; in the arena. ERR_NOT_FOUND at the end of the conversation. */
MUST_USE bool ctl_line(struct ctl_client *c, struct str *out, struct err *e);
/* A line that must be "ok"; anything else is the error. */
MUST_USE bool ctl_ok(struct ctl_client *c, struct err *e);
/* Connects, sends a command with its arguments, a line each, and has its ok. */
MUST_USE bool ctl_command(struct ctl_client *c, const char *command, const struct str *arguments, size_t n,
                          struct err *e);
/* The same of work on all mail of an account, which tells how far it is. */
typedef void ctl_progress_fn(uint64_t n, uint64_t all);
MUST_USE bool ctl_ok_after(struct ctl_client *c, ctl_progress_fn *progress, struct err *e);
/* The same with a descriptor, which the server hands over. */
MUST_USE bool ctl_take_fd(struct ctl_client *c, int *fd, struct err *e);
/* A stream, written to standard output as it comes: lines of text, as cmd_say has them, or the bytes of a message. */
enum ctl_stream { CTL_LINES, CTL_BYTES };
MUST_USE bool ctl_print_stream(struct ctl_client *c, enum ctl_stream what, struct err *e);

/* All that a verb does which is a command of the server: its exit code. The second has an answer that it shows. */
int ctl_run(const char *command, const struct str *arguments, size_t n);
int ctl_show(const char *command, const struct str *arguments, size_t n, enum ctl_stream what);
