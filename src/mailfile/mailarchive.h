/*
 * Archives of mail: tar, tgz and zip, read and written by libarchive, which is loaded when first needed.
 *
 * A reader parses a stranger's file: whoever uses one closes a sandbox around itself between mailarchive_load
 * and mailarchive_open. Nothing here takes a name in an archive for one of a file.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* Loads libarchive and what it opens late. */
MUST_USE bool mailarchive_load(struct err *e);

/* --- what a name in an archive means (mox-imap-store-cli-config.md 2.14) ------------------------------ */

enum mailarchive_what {
    MAILARCHIVE_NOTHING,  // a directory that says nothing
    MAILARCHIVE_UNKNOWN,  // a file that is no mail
    MAILARCHIVE_MBOX,     // <mailbox>.mbox
    MAILARCHIVE_MAILDIR,  // the directory <mailbox>/new, cur or tmp: there is such a mailbox
    MAILARCHIVE_MESSAGE,  // a file in one of these
    MAILARCHIVE_KEYWORDS, // <mailbox>/dovecot-keywords
};
struct mailarchive_place {
    enum mailarchive_what what;
    struct str mailbox, file; // as in name; file: the last part of it
};
/* prefix is cut off the mailbox's name, if it begins so. Texts point into name. */
void mailarchive_place(struct str name, bool is_dir, struct str prefix, struct mailarchive_place *out);

/* --- reading ------------------------------------------------------------------------------------------ */

enum { MAILARCHIVE_MAX_NAME = 4096 };

struct mailarchive_reader;
struct mailarchive_entry {
    struct str name; // valid until the next
    bool is_dir;
    bool is_other; // neither a file nor a directory
    int64_t mtime;
};
/* fd is that of a regular file. ERR_SYNTAX: it is no archive of a known kind. */
struct mailarchive_reader *mailarchive_open(int fd, struct err *e);
void mailarchive_close(struct mailarchive_reader *r);
/* False at the end, or on failure with *e set. ERR_LIMIT when it unpacks to far more than its size. */
MUST_USE bool mailarchive_next(struct mailarchive_reader *r, struct mailarchive_entry *out, struct err *e);
/* The next bytes of the entry, valid until the next call; false at its end, or on failure with *e set. */
MUST_USE bool mailarchive_read(struct mailarchive_reader *r, struct str *out, struct err *e);

/* --- writing ------------------------------------------------------------------------------------------ */

enum mailarchive_kind { MAILARCHIVE_TAR, MAILARCHIVE_TGZ, MAILARCHIVE_ZIP };
/* By the end of a file's name: .tar, .tgz, .tar.gz, .zip. */
MUST_USE bool mailarchive_kind_of(struct str path, enum mailarchive_kind *out, struct err *e);

struct mailarchive_writer;
struct mailarchive_writer *mailarchive_create(int fd, enum mailarchive_kind kind, struct err *e);
MUST_USE bool mailarchive_put_dir(struct mailarchive_writer *w, struct str name, int64_t mtime,
                                  struct err *e);
/* A file of so many bytes, which follow. */
MUST_USE bool mailarchive_begin(struct mailarchive_writer *w, struct str name, uint64_t size,
                                int64_t mtime, struct err *e);
MUST_USE bool mailarchive_put(struct mailarchive_writer *w, struct str bytes, struct err *e);
/* The end of the archive; without it, free leaves one that is cut off. */
MUST_USE bool mailarchive_finish(struct mailarchive_writer *w, struct err *e);
void mailarchive_free(struct mailarchive_writer *w);
