/*
 * import archive: the mailboxes in a zip, tgz or tar file into an account of the running server.
 *
 * The archive is read twice, by this process, which has closed a sandbox around itself: once to see that
 * it is whole and no bomb, to count, and for the keywords of maildirs, which may stand behind what needs
 * them; then for its messages. Memory is that of a batch, and of a name per mailbox.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uninorm.h>

#include "base/map.h"
#include "cmd/import.h"
#include "cmd/verbs.h"
#include "mailfile/mailarchive.h"
#include "os/fd.h"
#include "proto/imap/imap.h"
#include "text/encode.h"

enum { MOST_KEYWORDS = 64 * 1024, MOST_KEYWORD = 255, MOST_PROBLEMS = 100 };

struct archive_import {
    struct import im;
    struct arena a; // of mailboxes and keywords
    struct map mailboxes; // by their name in the archive: struct box
    struct str prefix;
    int fd;
    uint64_t n_problems, n_mailboxes;
};

struct box {
    struct str name;   // as ours
    bool is_bad;       // it cannot be one of ours
    bool has_keywords;
    struct maildir_keywords keywords;
    uint64_t n;
};

static void problem(struct archive_import *x, struct str name, const char *what)
{
    if (++x->n_problems <= MOST_PROBLEMS)
        cmd_say(stderr, "problem: %.*s: %s, skipped\n", STR_FMT(name), what);
}

// The name in normal form C, as ours are.
static struct str normal(struct arena *a, struct str name)
{
    size_t n = 0;
    uint8_t *out = u8_normalize(UNINORM_NFC, (const uint8_t *)name.p, name.n, NULL, &n);
    struct str copy = out ? arena_dup(a, str_at(out, n)) : name;

    free(out);
    return copy;
}

static struct box *box_of(struct archive_import *x, struct str name, struct err *e)
{
    struct box *b = map_get(&x->mailboxes, name);
    struct err bad = {0};

    if (b)
        return b;
    if (++x->n_mailboxes > STORE_MAX_MAILBOXES) {
        (void)fail(e, ERR_LIMIT, "the archive has more than %d mailboxes", STORE_MAX_MAILBOXES);
        return NULL;
    }
    b = ARENA_NEW(&x->a, struct box);
    b->is_bad = !utf8_is_valid(name) || !store_mailbox_name(&x->a, normal(&x->a, name), &b->name, &bad);
    if (b->is_bad)
        problem(x, name, bad.kind ? bad.text : "the mailbox's name is not UTF-8");
    map_put(&x->mailboxes, arena_dup(&x->a, name), b);
    return b;
}

static bool skip(struct mailarchive_reader *r, struct err *e)
{
    struct str unused;

    while (mailarchive_read(r, &unused, e))
        ;
    return e->kind == ERR_NONE;
}

// The whole entry; ERR_LIMIT when it is larger.
static bool read_whole(struct mailarchive_reader *r, struct buf *out, struct err *e)
{
    struct str bytes;

    while (mailarchive_read(r, &bytes, e))
        buf_put(out, bytes);
    if (e->kind)
        return false;
    return !out->full || fail(e, ERR_LIMIT, "larger than %zu bytes", out->limit);
}

/* --- the first time ---------------------------------------------------------------------------------- */

static bool look_at_keywords(struct archive_import *x, struct mailarchive_reader *r, struct box *b,
                             struct str name, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(MOST_KEYWORDS);

    if (b->has_keywords) {
        problem(x, name, "there are keywords of this mailbox already");
        return skip(r, e);
    }
    if (!read_whole(r, &text, e)) {
        if (e->kind != ERR_LIMIT || !text.full)
            return false;
        *e = (struct err){0};
        problem(x, name, "too large");
        return true;
    }
    b->has_keywords = true;
    maildir_keywords_parse(buf_str(&text), &b->keywords);
    for (size_t i = 0; i < COUNT(b->keywords.names); i++)
        b->keywords.names[i] = arena_dup(&x->a, str_sub(b->keywords.names[i], 0, MOST_KEYWORD));
    return true;
}

static bool count_mbox(struct archive_import *x, struct mailarchive_reader *r, struct err *e)
{
    struct str bytes;
    static const char begin[] = "\nFrom ";
    size_t matched = 1; // of these: the start of the file is that of a line

    while (mailarchive_read(r, &bytes, e))
        for (size_t i = 0; i < bytes.n; i++) {
            matched = bytes.p[i] == begin[matched] ? matched + 1 : bytes.p[i] == '\n';
            if (matched == 6) {
                x->im.n_all++;
                matched = 0;
            }
        }
    return e->kind == ERR_NONE;
}

static bool look_at(struct archive_import *x, struct mailarchive_reader *r,
                    const struct mailarchive_entry *entry, struct err *e)
{
    struct mailarchive_place place;
    struct str name = entry->name;
    struct box *b = NULL;

    mailarchive_place(name, entry->is_dir, x->prefix, &place);
    if (entry->is_other) {
        problem(x, name, "neither a file nor a directory");
        return skip(r, e);
    }
    if (place.what == MAILARCHIVE_UNKNOWN)
        problem(x, name, "neither an mbox nor in a maildir");
    if (place.mailbox.n && !(b = box_of(x, place.mailbox, e)))
        return false;
    if (!b || b->is_bad)
        return skip(r, e);
    switch (place.what) {
    case MAILARCHIVE_KEYWORDS:
        return look_at_keywords(x, r, b, name, e);
    case MAILARCHIVE_MBOX:
        return count_mbox(x, r, e);
    case MAILARCHIVE_MESSAGE:
        x->im.n_all++;
        break;
    case MAILARCHIVE_NOTHING:
    case MAILARCHIVE_UNKNOWN:
    case MAILARCHIVE_MAILDIR:
        break;
    }
    return skip(r, e);
}

/* --- the second time --------------------------------------------------------------------------------- */

static bool take_message(struct archive_import *x, struct mailarchive_reader *r, const struct box *b,
                         const struct mailarchive_entry *entry, struct str file, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF bytes = BUF_LIMIT(IMAP_APPEND_LIMIT);
    AUTO_BUF message = BUF_LIMIT((size_t)IMAP_APPEND_LIMIT * 2);
    struct mailfile_message m = {0};
    struct str unique;

    if (!read_whole(r, &bytes, e)) {
        if (!bytes.full)
            return false;
        *e = (struct err){0};
        problem(x, entry->name, "too large a message");
        return true;
    }
    unique = maildir_name(&a, file, &b->keywords, &m);
    if (!m.received_unix)
        m.received_unix = entry->mtime;
    import_put_crlf(&message, buf_str(&bytes));
    if (message.n > IMAP_APPEND_LIMIT) { // with its line ends
        problem(x, entry->name, "too large a message");
        return true;
    }
    return import_add(&x->im, &a, buf_str(&message), &m, unique, e);
}

static bool take_mbox(struct archive_import *x, struct mailarchive_reader *r, struct str name,
                      struct err *e)
{
    struct import_mbox mb;
    struct str bytes;
    bool is_ok = true, is_mbox = true;

    import_mbox_init(&mb, &x->im, name);
    while (is_ok && is_mbox && mailarchive_read(r, &bytes, e)) {
        is_ok = import_mbox_put(&mb, bytes, e);
        if (!is_ok && e->kind == ERR_SYNTAX && !mb.has_message) { // nothing of it is one
            *e = (struct err){0};
            is_ok = true;
            is_mbox = false;
        }
    }
    is_ok = is_ok && e->kind == ERR_NONE && (!is_mbox || import_mbox_end(&mb, e));
    import_mbox_fini(&mb);
    if (!is_mbox)
        problem(x, name, "no mbox: its first line does not begin with \"From \"");
    return is_ok && (is_mbox || skip(r, e));
}

static bool take(struct archive_import *x, struct mailarchive_reader *r,
                 const struct mailarchive_entry *entry, struct err *e)
{
    struct mailarchive_place place;
    struct str name = entry->name;
    struct box *b;
    uint64_t before = x->im.n_read;
    bool is_ok = true;

    mailarchive_place(name, entry->is_dir, x->prefix, &place);
    if (entry->is_other || !place.mailbox.n || place.what == MAILARCHIVE_KEYWORDS)
        return skip(r, e);
    b = map_get(&x->mailboxes, place.mailbox);
    if (!b) // the file has changed meanwhile
        return fail(e, ERR_CONFLICT, "the archive changes while it is read");
    if (b->is_bad)
        return skip(r, e);
    if (!import_mailbox(&x->im, b->name, e))
        return false;
    if (place.what == MAILARCHIVE_MESSAGE)
        is_ok = take_message(x, r, b, entry, place.file, e);
    else if (place.what == MAILARCHIVE_MBOX)
        is_ok = take_mbox(x, r, name, e);
    b->n += x->im.n_read - before;
    return is_ok && skip(r, e);
}

typedef bool entry_fn(struct archive_import *x, struct mailarchive_reader *r,
                      const struct mailarchive_entry *entry, struct err *e);

static bool each_entry(struct archive_import *x, entry_fn *fn, struct err *e)
{
    struct mailarchive_reader *r = mailarchive_open(x->fd, e);
    struct mailarchive_entry entry;

    while (r && mailarchive_next(r, &entry, e)) {
        AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
        struct str name = arena_dup(&a, entry.name);

        entry.name = name; // also for what is said of it
        if (!fn(x, r, &entry, e)) {
            (void)fail_in(e, "%.*s", STR_FMT(name));
            break;
        }
    }
    mailarchive_close(r);
    return e->kind == ERR_NONE;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp((*(struct box *const *)a)->name, (*(struct box *const *)b)->name);
}

static void say_mailboxes(struct archive_import *x)
{
    struct box **list = ARENA_ARRAY(&x->a, x->n_mailboxes + 1, struct box *);
    struct map_entry *entry;
    size_t n = 0;

    for (size_t i = 0; (entry = map_each(&x->mailboxes, &i));)
        if (!((struct box *)entry->value)->is_bad)
            list[n++] = entry->value;
    if (n)
        qsort(list, n, sizeof *list, by_name);
    for (size_t i = 0; i < n; i++)
        cmd_say(stdout, "%.*s: %llu\n", STR_FMT(list[i]->name), (unsigned long long)list[i]->n);
    if (x->n_problems > MOST_PROBLEMS)
        fprintf(stderr, "%llu more problems\n", (unsigned long long)(x->n_problems - MOST_PROBLEMS));
}

static int open_archive(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0) {
        (void)fail_errno(e, "opening %s", path);
    } else if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        (void)fail(e, ERR_SYNTAX, "%s is not a file", path);
        fd_close(&fd);
    }
    return fd;
}

int cmd_import_archive(int argc, char **argv)
{
    const char *prefix = "";
    const struct cmd_flag flags[] = {{"skipprefix", &prefix, NULL}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags)), code;
    struct archive_import x = {.a = ARENA_LIMIT(256 << 20)};
    struct err e = {0};
    AUTO_FD fd = -1;

    if (at < 0 || argc - at != 2)
        return cmd_usage("import archive");
    fd = open_archive(argv[at + 1], &e);
    if (fd < 0)
        return cmd_fail(&e);
    x.fd = fd;
    x.prefix = str_of(prefix);
    if (import_open(&x.im, argv[at], "", argv[at + 1], &e) && mailarchive_load(&e) && import_confine(&e) &&
        each_entry(&x, look_at, &e) && each_entry(&x, take, &e))
        say_mailboxes(&x);
    fflush(stdout);
    code = import_finish(&x.im, &e);
    map_fini(&x.mailboxes);
    arena_fini(&x.a);
    return code;
}
