/*
 * The loop of a template: forks a child for each start message, and reports how children end.
 */
#pragma once

#include "role/start.h"

/*
 * Runs until the monitor says stop or is gone, and the last child has ended. run is called in the
 * child, with the packet of the start message, and does not return. conn is the child's number.
 */
typedef void child_fn(struct role_start *s, struct packet *p);
_Noreturn void template_loop(struct role_start *s, enum ipc_type start, child_fn *run);

/* In the child: closes its own sandbox around it. Ends the process on failure. */
void child_enter_sandbox(struct role_start *s, const int *dirs, size_t n_dirs);
