/*
 * The loop of a template: forks a child for each start message, and reports how children end.
 */
#pragma once

#include "role/start.h"

/* How a child ends that has said in the log why it cannot do its work: no crash. */
enum { ROLE_EXIT_NOT_STARTED = 2 };

/* What kind of children a template has. */
struct child_kind {
    enum ipc_type start; // the message that asks for one
    /*
     * In the child, before it knows what for: when there is something to be done, some children are
     * forked in advance and wait, each for one start message. NULL: they are forked when wanted.
     */
    void (*prepare)(struct role_start *s);
    /* In the child, with the packet of the start message. Does not return. */
    void (*run)(struct role_start *s, struct packet *p);
};
/* Runs until the monitor says stop or is gone, and the last child has ended. */
_Noreturn void template_loop(struct role_start *s, const struct child_kind *kind);

/* In the child: closes its own sandbox around it. Ends the process on failure. */
void child_enter_sandbox(struct role_start *s, const int *dirs, size_t n_dirs);
