/*
 * Messages of files into an account: gathered in batches, each stored whole. The account is the running
 * server's, over a channel to its process, or, without the server, one whose directory is entered.
 *
 * What is in the files is a stranger's word: import_confine leaves this process with what it holds.
 */
#pragma once

#include "cmd/ctl.h"
#include "ipc/channel.h"
#include "mailfile/mailfile.h"

struct import {
    struct ctl_client ctl;
    struct channel ch;   // to the account, as admin; fd -1: there is no server
    struct store *store; // then
    struct packet *p;
    struct str mailbox, source; // source: an absolute path, or what stands for it
    struct buf batch;
    size_t n_batch;
    struct arena a; // of the batch: what store_add is told
    struct store_new *messages;
    size_t n_messages, cap_messages;
    uint64_t n_read, n_added;
    uint64_t n_all; // for progress; 0: not known
};

/* Into the account of the running server. mailbox may be empty, until import_mailbox. */
MUST_USE bool import_open(struct import *im, const char *account, const char *mailbox, const char *path,
                          struct err *e);
/* Into the account whose directory is the current one, without a server. */
MUST_USE bool import_open_here(struct import *im, const char *mailbox, struct str source, struct err *e);
/* No files from now on, and no more processes, but memory files and what is open. */
MUST_USE bool import_confine(struct err *e);

/* What comes next is for this mailbox, which is made if it is not there. name must stay. */
MUST_USE bool import_mailbox(struct import *im, struct str name, struct err *e);
/* message has CR LF. place: where it is in the source; the same one is not added twice. */
MUST_USE bool import_add(struct import *im, struct arena *a, struct str message,
                         const struct mailfile_message *m, struct str place, struct err *e);
/* Stores the rest, unless something failed before, says how much there was, and returns the exit code. */
int import_finish(struct import *im, const struct err *why);

/* --- mbox, as its bytes come ------------------------------------------------------------------------ */

struct import_mbox {
    struct import *im;
    struct str place; // before the offset in the file, in a message's place
    struct mbox_reader reader;
    struct buf in, message;
    size_t searched;        // of in: it has no line end
    uint64_t offset, begin; // in the file, of the line and of the message
    int64_t received_unix;
    bool has_message;
};
void import_mbox_init(struct import_mbox *mb, struct import *im, struct str place);
void import_mbox_fini(struct import_mbox *mb);
MUST_USE bool import_mbox_put(struct import_mbox *mb, struct str bytes, struct err *e);
MUST_USE bool import_mbox_end(struct import_mbox *mb, struct err *e);

/* Appends the bytes of a maildir's file with CR LF. */
void import_put_crlf(struct buf *out, struct str bytes);
