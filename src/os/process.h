/*
 * Starting this executable again in another role, process titles, how children ended, signals.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "os/user.h"

/* Remembers where argv is, for titles, and puts copies in its place. First thing in main. */
void os_title_init(int argc, char **argv);
/*
 * Large blocks of memory go back to the system when they are freed, in every process: one password
 * hash takes 19 MiB for a moment. First thing in main, too.
 */
void os_memory_init(void);
/* Gives back to the system what was freed among what is in use. */
void os_memory_trim(void);
/* What `ps` shows, such as "mox: session smtp 192.0.2.7". Later calls replace it. */
void os_title_set(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * Executes this program afresh with the words of argv; fd becomes its descriptor 3 and nothing
 * else but standard input (/dev/null), output and error is inherited. It runs as user, and dies with
 * its parent. Returns the process id, or -1.
 */
pid_t os_spawn(char *const argv[], int fd, const struct os_user *user, struct err *e);
/*
 * Starts another program, whose path may be relative to dir_fd, with the words of argv, as user. Of ours it inherits the
 * environment, output and error. It dies with its parent, and has a
 * process group of its own, to be killed with what it starts. -1 on failure; exit code 127: it cannot be executed.
 */
pid_t os_start_program(int dir_fd, const char *path, char *const argv[], const struct os_user *user, struct err *e);
/*
 * Kills a process that is a child of parent: whoever has said its number may have lied. True when there is none, or none any
 * more.
 */
MUST_USE bool os_end_child_of(pid_t parent, pid_t pid, struct err *e);
/* A child that has ended, and how, which nobody else is told of then; 0: none has, that has not been told of. */
pid_t os_reap(int *wait_status);
/* Whether user may execute this program. */
bool os_may_execute_self(const struct os_user *user);

/* Memory that a process has, what it shares included; 0 when that is not known. */
uint64_t os_resident_bytes(pid_t pid);

/* What of standard input, output and error is closed becomes /dev/null: the next file that is opened would be it. */
void os_standard_files(void);

/* "exit code 3" or "signal 11 (Segmentation fault)". */
void os_describe_status(int wait_status, char *out, size_t size);

/* Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD and returns a descriptor that tells of them; -1 on failure. */
int os_signal_fd(struct err *e);
/* The next signal number from that descriptor, or 0. */
int os_signal_read(int fd);
/* Back to default, but for a hangup, which is passed over: for children that are forked and not executed, and roles. */
void os_signal_reset(void);
/* Ask the kernel for SIGKILL when the parent ends; false if it has ended already. */
bool os_die_with_parent(pid_t parent);

