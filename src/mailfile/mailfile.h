/*
 * Mail as files of other programs: mbox and maildir (mox-imap-store-cli-config.md 2.14, 2.15).
 */
#pragma once

#include "store/store.h"

/* What a file says of a message beside its bytes. */
struct mailfile_message {
    int64_t received_unix; // 0: not known
    uint32_t flags;
    struct store_names keywords;
};
/* A word of other programs for a flag ("NonJunk", "$forwarded", "work"); what cannot be one is left out. */
void mailfile_keyword(struct arena *a, struct mailfile_message *m, struct str word);

/* --- mbox ------------------------------------------------------------------------------------------ */

struct mbox_reader {
    bool has_message;  // one was begun
    bool has_blank;    // an empty line that may be the separator
};
/*
 * Takes a line without its LF. True when it begins a message: a "From " line at the start or after an
 * empty one; out then still has the message before it, to be taken first, and nothing of this line.
 * Otherwise the line, unquoted by one ">" (mboxrd) and with CR LF, is appended to out.
 * ERR_SYNTAX when the first line is no "From " line.
 */
MUST_USE bool mbox_line(struct mbox_reader *r, struct str line, struct buf *out, bool *is_begin,
                        struct err *e);
/* The date of a "From " line; 0 when it has none that is understood. */
int64_t mbox_received(struct str from_line);
/* Flags from the fields Status, X-Status and X-Keywords of a message's header. */
void mbox_flags(struct arena *a, struct str header, struct mailfile_message *out);
/*
 * A message for an mbox: its "From " line, fields for its flags in place of those it may have, quoted,
 * with LF, and an empty line.
 */
void mbox_put(struct buf *out, struct str message, struct str reverse_path,
              const struct mailfile_message *m);

/* --- maildir --------------------------------------------------------------------------------------- */

enum { MAILDIR_MAX_KEYWORDS = 26 };
struct maildir_keywords {
    struct str names[MAILDIR_MAX_KEYWORDS]; // by letter, empty where there is none
};
/* Lines "<index> <keyword>" of a file dovecot-keywords. */
void maildir_keywords_parse(struct str text, struct maildir_keywords *out);
/* What the name of a file says; its unique part, without flags. */
struct str maildir_name(struct arena *a, struct str name, const struct maildir_keywords *keywords,
                        struct mailfile_message *out);
/* The flags of a name, with ":2," before them; letters a to e are those of maildir_own_keywords. */
void maildir_put_flags(struct buf *out, uint32_t flags);
extern const struct str maildir_own_keywords; // as a file dovecot-keywords
/* With LF for CR LF. */
void mailfile_put_lf(struct buf *out, struct str message);
