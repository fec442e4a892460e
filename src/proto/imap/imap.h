/*
 * IMAP as bytes: taking commands with their literals out of a stream, and the grammar of their
 * arguments (RFC 9051 9, RFC 3501 9). Pure: who reads and answers is elsewhere.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/cur.h"
#include "base/err.h"

/* --- taking commands out of a stream -------------------------------------------------------------- */

struct imap_limits {
    size_t line;      // bytes of text outside of literals
    uint64_t literal; // bytes of one literal
    uint64_t total;   // of all literals of a command
    unsigned count;   // of literals
};
/* After a login: mox-imap-store-cli-config.md 1.1. Before it: what a name and a password need. */
extern const struct imap_limits imap_limits_authenticated, imap_limits_stranger;

/* The largest message that APPEND takes: announced as APPENDLIMIT (RFC 7889). */
enum { IMAP_APPEND_LIMIT = 256 << 20 };

enum imap_input_result {
    IMAP_INPUT_MORE,     // all bytes are used, the command is not complete
    IMAP_INPUT_CONTINUE, // send a continuation request, then feed on
    IMAP_INPUT_COMMAND,  // complete: in->bytes, with literals in place, without the last line end
    IMAP_INPUT_DATA,     // a message of APPEND or REPLACE follows: data_size bytes, not to be fed here
    IMAP_INPUT_BAD_LINE, // a line ended by LF alone
    IMAP_INPUT_TOO_LONG, // a line past the limit
    IMAP_INPUT_TOO_BIG,  // literals past the limit; data_is_sync tells whether their bytes follow
};
struct imap_input {
    const struct imap_limits *limits;
    struct buf bytes;
    size_t line_start; // where in bytes the current line began
    size_t line_bytes; // text so far
    uint64_t literal_left, literal_total;
    unsigned n_literals;
    uint64_t data_size; // of the literal that was announced last
    bool data_is_sync;  // the client waits for a continuation request
    bool has_data;      // a message was announced: what else the command announces is one too
};
void imap_input_init(struct imap_input *in, const struct imap_limits *limits);
void imap_input_fini(struct imap_input *in);
/* Takes bytes from *from until there is something to say. */
enum imap_input_result imap_input_feed(struct imap_input *in, struct str *from);
/* After a message: what was fed up to it is dropped, and more of the command may follow. */
void imap_input_taken(struct imap_input *in);
/* Ready for the next command. */
void imap_input_reset(struct imap_input *in);

/* --- arguments ------------------------------------------------------------------------------------ */

/* Where a parser is. Each function takes what it names, or fails with a sentence in *e. */
struct imap_parser {
    struct cur c;
    struct arena *a;
    bool is_utf8; // mailbox names and strings are UTF-8 (IMAP4rev2 or UTF8=ACCEPT is enabled)
    struct err *e;
};

/* Of a command in the log. */
enum { IMAP_MAX_TRACED = 1000 };
enum { IMAP_MAX_SET = 10000, IMAP_MAX_SEARCH_DEPTH = 50, IMAP_MAX_SEARCH_KEYS = 1000,
       IMAP_MAX_FETCH_ITEMS = 1000, IMAP_MAX_LIST = 1000,
       // Items that read more than they send: chosen header fields, decoded sizes, decoded partials.
       IMAP_MAX_COSTLY_ITEMS = 100 };

MUST_USE bool imap_space(struct imap_parser *p);
MUST_USE bool imap_end(struct imap_parser *p);
MUST_USE bool imap_tag(struct imap_parser *p, struct str *out);
/* The word of a command or keyword, in upper case. */
MUST_USE bool imap_word(struct imap_parser *p, struct str *out);
MUST_USE bool imap_astring(struct imap_parser *p, struct str *out);
MUST_USE bool imap_string(struct imap_parser *p, struct str *out);
/* An atom as it stands. */
MUST_USE bool imap_atom(struct imap_parser *p, struct str *out);
MUST_USE bool imap_number(struct imap_parser *p, uint64_t max, uint64_t *out);
/* A mailbox name in UTF-8, whatever its form on the wire. */
MUST_USE bool imap_mailbox(struct imap_parser *p, struct str *out);
MUST_USE bool imap_open(struct imap_parser *p);  // "("
MUST_USE bool imap_close(struct imap_parser *p); // ")"
static inline bool imap_is_next(const struct imap_parser *p, char ch)
{
    return cur_peek(&p->c) == (unsigned char)ch;
}
/* Takes the word when it is next, folding case. */
bool imap_skip_word(struct imap_parser *p, struct str word);

/* Numbers; UINT32_MAX + 1 stands for "*". Not sorted. */
#define IMAP_STAR ((uint64_t)UINT32_MAX + 1)
struct imap_range {
    uint64_t first, last;
};
struct imap_set {
    struct imap_range *ranges;
    size_t n, cap;
    bool is_saved; // "$"
};
MUST_USE bool imap_sequence_set(struct imap_parser *p, struct imap_set *out);
/* Its numbers from low to high, star for "*", in ascending ranges that do not touch. */
struct imap_set imap_set_sorted(struct arena *a, const struct imap_set *set, uint64_t star,
                                uint64_t low, uint64_t high);
bool imap_set_has(const struct imap_set *sorted, uint64_t n);

/* "(\Seen work)" or, when bare is allowed, "\Seen work" up to the end. */
struct imap_words {
    struct str *items;
    size_t n, cap;
};
MUST_USE bool imap_flag_list(struct imap_parser *p, bool may_be_bare, struct imap_words *out);
/* The words of ENABLE, in upper case. */
MUST_USE bool imap_enable_arguments(struct imap_parser *p, struct imap_words *out);
/* The pairs of ID, names and texts in turn; NIL is none, or an empty text (RFC 2971). */
MUST_USE bool imap_id_arguments(struct imap_parser *p, struct imap_words *out);

/* --- SELECT --------------------------------------------------------------------------------------- */

struct imap_select {
    struct str mailbox;
    bool has_condstore, has_qresync;
    uint32_t uidvalidity;
    uint64_t modseq;
    bool has_known, has_match;
    struct imap_set known;                     // without "*"
    struct imap_set match_numbers, match_uids; // ascending, of the same count
};
/* The mailbox and the parameters. */
MUST_USE bool imap_select_arguments(struct imap_parser *p, struct imap_select *out);

/* --- FETCH ---------------------------------------------------------------------------------------- */

enum imap_fetch_kind {
    FETCH_ENVELOPE, FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_BODYSTRUCTURE, FETCH_BODY,
    FETCH_UID, FETCH_MODSEQ, FETCH_SECTION, FETCH_RFC822, FETCH_RFC822_HEADER, FETCH_RFC822_TEXT,
    FETCH_BINARY, FETCH_BINARY_SIZE, FETCH_PREVIEW, FETCH_SAVEDATE, FETCH_EMAILID, FETCH_THREADID,
};
enum imap_section_text { SECTION_ALL, SECTION_HEADER, SECTION_FIELDS, SECTION_FIELDS_NOT,
                         SECTION_TEXT, SECTION_MIME };
enum { IMAP_MAX_PART_DEPTH = 100 };
struct imap_fetch_item {
    enum imap_fetch_kind kind;
    bool is_peek;
    uint32_t *part; // numbers, outermost first
    size_t n_part;
    enum imap_section_text text;
    struct imap_words fields;
    bool has_partial;
    uint64_t offset, count;
};
struct imap_fetch {
    struct imap_fetch_item *items;
    size_t n, cap, n_costly;
    bool has_changed_since, has_vanished;
    uint64_t changed_since;
};
/* Everything after the sequence set. */
MUST_USE bool imap_fetch_arguments(struct imap_parser *p, struct imap_fetch *out);
/* The item as its response names it: "BODY[1.HEADER.FIELDS (SUBJECT)]<0>". */
void imap_fetch_name_put(struct buf *out, const struct imap_fetch_item *item);

/* --- SEARCH --------------------------------------------------------------------------------------- */

enum imap_search_op {
    SEARCH_ALL, SEARCH_NONE, SEARCH_FLAG, SEARCH_NOT_FLAG, SEARCH_KEYWORD, SEARCH_NOT_KEYWORD,
    SEARCH_BEFORE, SEARCH_ON, SEARCH_SINCE, SEARCH_SENTBEFORE, SEARCH_SENTON, SEARCH_SENTSINCE,
    SEARCH_SAVEDBEFORE, SEARCH_SAVEDON, SEARCH_SAVEDSINCE, SEARCH_EMAILID, SEARCH_THREADID,
    SEARCH_LARGER, SEARCH_SMALLER, SEARCH_HEADER, SEARCH_BODY, SEARCH_TEXT, SEARCH_UID,
    SEARCH_SEQUENCE, SEARCH_MODSEQ, SEARCH_NOT, SEARCH_OR, SEARCH_AND,
};
struct imap_search_key {
    enum imap_search_op op;
    struct str name, value; // of a header field, keyword or flag; text to look for
    uint64_t number;        // size, modseq
    int64_t day;            // days since 1970
    struct imap_set set;
    struct imap_search_key *child, *next; // of NOT, OR (two), AND
};
enum { RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8, RETURN_SAVE = 16 };
struct imap_search {
    bool has_return;
    unsigned returns; // RETURN_ bits
    bool has_bad_charset;
    bool has_modseq;
    bool has_numbers; // a key names sequence numbers
    struct imap_search_key *key; // an AND of all
};
MUST_USE bool imap_search_arguments(struct imap_parser *p, struct imap_search *out);

/* --- the rest ------------------------------------------------------------------------------------- */

enum imap_status_item {
    STATUS_MESSAGES = 1, STATUS_UIDNEXT = 2, STATUS_UIDVALIDITY = 4, STATUS_UNSEEN = 8,
    STATUS_DELETED = 16, STATUS_SIZE = 32, STATUS_RECENT = 64, STATUS_APPENDLIMIT = 128,
    STATUS_HIGHESTMODSEQ = 256, STATUS_DELETED_STORAGE = 512,
    STATUS_MAILBOXID = 1024,
};
MUST_USE bool imap_status_items(struct imap_parser *p, unsigned *out);

enum { LIST_SELECT_SUBSCRIBED = 1, LIST_SELECT_SPECIAL_USE = 2, LIST_SELECT_RECURSIVEMATCH = 4,
       LIST_RETURN_SUBSCRIBED = 8, LIST_RETURN_CHILDREN = 16, LIST_RETURN_SPECIAL_USE = 32,
       LIST_IS_EXTENDED = 64 };
struct imap_list {
    unsigned options;
    unsigned status; // items of RETURN (STATUS (...))
    struct str reference;
    struct imap_words patterns;
};
MUST_USE bool imap_list_arguments(struct imap_parser *p, struct imap_list *out);
/* Whether a mailbox name matches a pattern: "%" stops at "/", "*" does not. Linear. */
bool imap_list_match(struct str pattern, struct str name);

/* A mailbox name as it is sent. */
void imap_mailbox_put(struct buf *out, struct str name, bool is_utf8);
