/*
 * Descriptors: closed at the end of a scope, made in pairs, limited.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

void fd_close(int *fd); // and sets it to -1
#define AUTO_FD CLEANUP(fd_close) int

/* Hands the descriptor to the caller: the variable no longer owns it. */
int fd_take(int *fd);
/* Another descriptor of the same open file; -1: none could be made. */
int fd_copy(int fd);

/* A connected SOCK_SEQPACKET or SOCK_STREAM pair, close-on-exec, with room for large messages. */
MUST_USE bool fd_pair_packets(int out[2], struct err *e);
MUST_USE bool fd_pair_stream(int out[2], struct err *e);

/* Bytes over a stream socket, and a descriptor with the first of them; and a read that takes one (or -1). */
MUST_USE bool fd_send(int socket, struct str bytes, int fd, struct err *e);
MUST_USE bool fd_receive(int socket, char *bytes, size_t n, size_t *got, int *fd, struct err *e);

MUST_USE bool fd_set_nonblocking(int fd, struct err *e);

/* Limits of this process: open files, and no core file. */
void os_limit(unsigned open_files);

/* The number that names the open file, the same at both holders of one end of a pair; 0: none. */
uint64_t os_inode(int fd);
