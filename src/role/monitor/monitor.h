/*
 * The monitor: the parent of all roles, from start to stop.
 */
#pragma once

#include <stdbool.h>

struct monitor_options {
    const char *config_path; // of mox.conf; domains.conf is beside it
    const char *log_level;   // instead of the configured default; NULL: as configured
    bool is_localserve, is_pedantic;
    bool may_lack_landlock; // serve also where the kernel cannot confine files
    void (*ready)(void); // once, when all roles are; may be NULL
};

/* Runs the server until it is told to stop. Returns the exit code of the program. */
int monitor_run(const struct monitor_options *options);
