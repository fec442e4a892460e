/*
 * Files of static sites that a connection has been sent, kept open: it often asks for the same ones again, and to open
 * one anew costs more than all else. Each time its name is looked up, and has to lead to the same file, unchanged.
 */
#pragma once

#include <sys/stat.h>

#include "web/condition.h"
#include "web/site.h"

struct site_file {
    int fd; // closed here, not before another file is kept
    struct stat st;
    struct str type; // of its content; lives for ever
    struct validators validators;
    struct str modified; // as Last-Modified says it
};

/* One that was kept of this handler, for the same name below root; is_index: as the index of a directory. Or NULL. */
const struct site_file *files_find(const struct site_handler *h, int root, const char *path, bool is_index);
/* Takes over the descriptor of what was opened by that name. */
const struct site_file *files_keep(const struct site_handler *h, const char *path, bool is_index, int fd,
                                   const struct stat *st, struct str type);
