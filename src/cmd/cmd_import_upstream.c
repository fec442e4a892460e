/*
 * import upstream: accounts of a data directory of upstream, which is only read, into ours: mailboxes with
 * UIDVALIDITY and UIDs, flags, keywords, subscriptions, the mail with how it came, whom the user has written to, and
 * the password's hash. What belongs to no account is in cmd_import_upstream_server.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <uninorm.h>
#include <unistd.h>

#include "base/map.h"
#include "cmd/confine.h"
#include "cmd/import_upstream.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "mailfile/upstream.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "queue/adopt.h"
#include "role/auth/credentials.h"
#include "store/store.h"

enum { BATCH = 200, PROGRESS = 1000, MOST_TOLD = 100 };

struct takeover {
    const char *account;
    int files;         // to the process that opens messages' files
    struct str index;  // index.db
    struct store *store;
    struct upstream_account from;
    uint64_t n_added, n_there, n_lost;
    struct password_found *password; // shared with the parent
};

/* The hash goes into another database than the mail, by another child. */
struct password_found {
    char hash[100];
    size_t n;
    const char *account;
};

/*
 * Messages' files are opened by a process of their own, with the rights of whoever runs the command: the one
 * that reads what is in them is the owner of our account, confined to its directory, and may be none to read
 * upstream's. It asks by number; a byte comes back, and the file unless there is none.
 */
static _Noreturn void open_files(int dir, int asks)
{
    for (;;) {
        char path[UPSTREAM_MAX_PATH];
        AUTO_FD fd = -1;
        struct err e = {0};
        struct stat st;
        uint64_t id;
        bool is_ok;

        if (read(asks, &id, sizeof id) != sizeof id)
            _exit(0);
        upstream_path(id, path);
        fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        is_ok = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        if (!(is_ok ? fd_send(asks, STR("+"), fd, &e) : os_write_all(asks, STR("-"), &e)))
            _exit(1);
    }
}

int upstream_open_file(int files, uint64_t id)
{
    struct err e = {0};
    char answer;
    size_t got;
    int fd = -1;

    if (!os_write_all(files, str_at((char *)&id, sizeof id), &e) ||
        !fd_receive(files, &answer, 1, &got, &fd, &e))
        return -1;
    return fd;
}

static void tell_lost(struct takeover *t, const struct upstream_message *m, const char *why)
{
    if (++t->n_lost <= MOST_TOLD)
        fprintf(stderr, "message %llu: %s\n", (unsigned long long)m->id, why);
}

/* One batch; the files are open until it is stored. */
struct batch {
    struct store_new messages[BATCH];
    int fds[BATCH];
    size_t n;
};

static void close_batch(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        fd_close(&b->fds[i]);
    b->n = 0;
}

static bool store_batch(struct takeover *t, struct str mailbox, struct batch *b, struct err *e)
{
    struct store_added *added = heap_alloc(BATCH * sizeof *added);
    bool is_ok = !b->n || store_add(t->store, mailbox, false, b->messages, b->n, added, e);

    for (size_t i = 0; is_ok && i < b->n; i++) {
        if (added[i].uid)
            t->n_added++;
        else
            t->n_there++;
        if ((t->n_added + t->n_there) % PROGRESS == 0)
            fprintf(stderr, "%llu of %zu...\n", (unsigned long long)(t->n_added + t->n_there),
                    t->from.n_messages);
    }
    free(added);
    close_batch(b);
    return is_ok;
}

static bool our_name(struct arena *a, struct str theirs, struct str *out, struct err *e)
{
    size_t n = 0;
    uint8_t *normal = u8_normalize(UNINORM_NFC, (const uint8_t *)theirs.p, theirs.n, NULL, &n);
    bool is_ok = store_mailbox_name(a, normal ? str_at(normal, n) : theirs, out, e);

    free(normal);
    return is_ok;
}

// Ours of a mailbox there; empty when it is gone.
static struct str name_of(const struct takeover *t, struct arena *a, uint64_t id)
{
    struct err no_name = {0};
    struct str name;

    for (size_t i = 0; i < t->from.n_mailboxes; i++)
        if (t->from.mailboxes[i].id == id)
            return our_name(a, t->from.mailboxes[i].name, &name, &no_name) ? name : STR("");
    return STR("");
}

// How it came, for the reputation of its sender; NULL when it did not come from outside, or counts for no mailbox.
static const struct store_origin *origin_of(struct takeover *t, struct arena *a, const struct upstream_message *m)
{
    struct upstream_origin *from = ARENA_NEW(a, struct upstream_origin);
    struct store_origin *out = ARENA_NEW(a, struct store_origin);
    struct err e = {0};
    bool found;

    if (!upstream_origin(&t->from, m, a, from, &found, &e) || !found)
        return NULL;
    out->signs = from->signs;
    out->n_signs = from->n_signs;
    out->is_reject = from->is_reject;
    if (from->is_reject)
        out->destined = name_of(t, a, from->destined);
    else if (from->delivered != m->mailbox)
        out->delivered = name_of(t, a, from->delivered);
    return from->is_reject || from->delivered == m->mailbox || out->delivered.n ? out : NULL;
}

static void take_message(struct takeover *t, struct arena *a, struct batch *b,
                         const struct upstream_message *m)
{
    struct stat st;
    int fd = upstream_open_file(t->files, m->id);

    if (fd < 0 || fstat(fd, &st)) {
        tell_lost(t, m, "its file cannot be read");
        fd_close(&fd);
        return;
    }
    if (m->size != m->prefix.n + (uint64_t)st.st_size)
        fprintf(stderr, "message %llu: its file has another size than is said, and is taken as it is\n",
                (unsigned long long)m->id);
    b->fds[b->n] = fd;
    b->messages[b->n++] = (struct store_new){
        .prefix = m->prefix, .fd = fd, .size = (uint64_t)st.st_size, .flags = m->flags,
        .keywords = m->keywords, .received_unix = m->received_unix, .uid = m->uid,
        .delivery_id = arena_printf(a, "upstream.%llu", (unsigned long long)m->id),
        .reverse_path = m->reverse_path, .hello = m->hello, .remote_ip = m->remote_ip,
        .origin = m->remote_ip.n ? origin_of(t, a, m) : NULL};
}

// Messages of the mailbox from *at on.
static bool take_messages(struct takeover *t, uint64_t id, struct str name, size_t *at, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct batch *b = heap_alloc(sizeof *b);
    bool is_ok = true;

    for (; is_ok && *at < t->from.n_messages && t->from.messages[*at].mailbox == id; ++*at) {
        take_message(t, &a, b, &t->from.messages[*at]);
        if (b->n == BATCH) {
            is_ok = store_batch(t, name, b, e);
            arena_reset(&a);
        }
    }
    is_ok = is_ok && store_batch(t, name, b, e);
    close_batch(b);
    free(b);
    return is_ok;
}

// Where the messages of a mailbox begin; they are sorted by it.
static size_t first_of(const struct upstream_account *from, uint64_t mailbox)
{
    size_t low = 0, high = from->n_messages;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (from->messages[middle].mailbox < mailbox)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool take_mailboxes(struct takeover *t, struct arena *a, struct err *e)
{
    for (size_t i = 0; i < t->from.n_mailboxes; i++) {
        const struct upstream_mailbox *m = &t->from.mailboxes[i];
        struct store_adopted adopted = {.special_use = m->special_use, .uidvalidity = m->uidvalidity,
                                        .uidnext = m->uidnext};
        size_t first = first_of(&t->from, m->id), at = first;

        if (!our_name(a, m->name, &adopted.name, e) || !store_adopt_mailbox(t->store, &adopted, e) ||
            !take_messages(t, m->id, adopted.name, &at, e) || !store_adopt_end(t->store, &adopted, e))
            return fail_in(e, "mailbox %.*s", STR_FMT(m->name));
        cmd_say(stdout, "%s: %.*s: %zu\n", t->account, STR_FMT(adopted.name), at - first);
    }
    return true;
}

// Exactly theirs: what making a mailbox subscribed is taken back.
static bool take_subscriptions(struct takeover *t, struct arena *a, struct err *e)
{
    struct store_reader *r = store_reader_open(e);
    struct store_names ours = {0};
    struct map wanted = {0};
    bool is_ok = r && store_subscriptions(r, a, &ours, e);

    store_reader_close(r);
    for (size_t i = 0; is_ok && i < t->from.n_subscriptions; i++) {
        struct str name;

        is_ok = our_name(a, t->from.subscriptions[i], &name, e) &&
                store_subscribe(t->store, NULL, name, true, e);
        if (is_ok)
            map_put(&wanted, name, t);
    }
    for (size_t i = 0; is_ok && i < ours.n; i++)
        if (!map_get(&wanted, ours.items[i]))
            is_ok = store_subscribe(t->store, NULL, ours.items[i], false, e);
    map_fini(&wanted);
    return is_ok;
}

// Whom the user has written to, beside what the messages in Sent say of that, and keys for tokens.
static bool take_known(struct takeover *t, struct err *e)
{
    for (size_t i = 0; i < t->from.n_keys; i++)
        if (t->from.keys[i].key.n == STORE_SUBJECTPASS_KEY &&
            !store_adopt_subjectpass_key(t->store, t->from.keys[i].address, t->from.keys[i].key, e))
            return false;
    for (size_t at = 0; at < t->from.n_recipients; at += PROGRESS)
        if (!store_adopt_written(t->store, &t->from.recipients[at],
                                 t->from.n_recipients - at < PROGRESS ? t->from.n_recipients - at : PROGRESS, e))
            return false;
    return true;
}

static void tell_left(const struct takeover *t)
{
    if (t->from.n_annotations)
        printf("%s: %llu annotations are not taken over: there are none here\n", t->account,
               (unsigned long long)t->from.n_annotations);
    if (t->from.has_settings)
        printf("%s: the settings of the webmail are not taken over: there is none here\n", t->account);
}

/* In the child. */
static int take_over(void *ctx)
{
    static const struct store_options options = {.junk.is_unknown = true};
    AUTO_ARENA a = ARENA_LIMIT(SIZE_MAX / 2);
    struct takeover *t = ctx;
    struct err e = {0};
    bool is_ok;

    is_ok = upstream_read(t->index, &a, &t->from, &e) && (t->store = store_open(&options, &e)) &&
            store_adopt_counters(t->store, t->from.modseq, t->from.next_uidvalidity, &e) &&
            take_mailboxes(t, &a, &e) && take_subscriptions(t, &a, &e) && take_known(t, &e);
    store_close(t->store);
    if (is_ok && t->from.password_hash.n <= sizeof t->password->hash) {
        t->password->n = t->from.password_hash.n;
        if (t->password->n)
            memcpy(t->password->hash, t->from.password_hash.p, t->password->n);
    }
    if (!is_ok) {
        (void)fail_in(&e, "account %s", t->account);
        return cmd_fail(&e);
    }
    tell_left(t);
    fflush(stdout);
    fprintf(stderr, "%s: %llu messages taken over", t->account, (unsigned long long)t->n_added);
    if (t->n_there)
        fprintf(stderr, ", %llu were there already", (unsigned long long)t->n_there);
    if (t->n_lost)
        fprintf(stderr, ", %llu could not be", (unsigned long long)t->n_lost);
    fprintf(stderr, "\n");
    return t->n_lost ? 1 : 0;
}

bool upstream_map(int dir, const char *name, struct str *out, int *fd, struct err *e)
{
    struct stat st;
    void *p;

    *out = (struct str){0};
    *fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT)
        return fail(e, ERR_NOT_FOUND, "there is no %s", name);
    if (*fd < 0 || fstat(*fd, &st))
        return fail_errno(e, "opening %s", name);
    if (flock(*fd, LOCK_SH | LOCK_NB))
        return errno == EWOULDBLOCK ? fail(e, ERR_CONFLICT, "%s is in use: stop the other server first", name)
                                    : fail_errno(e, "locking %s", name);
    if (!S_ISREG(st.st_mode) || st.st_size <= 0)
        return fail(e, ERR_SYNTAX, "%s is empty", name);
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, *fd, 0);
    if (p == MAP_FAILED)
        return fail_errno(e, "reading %s", name);
    *out = str_at(p, (size_t)st.st_size);
    return true;
}

void upstream_unmap(struct str file)
{
    if (file.n)
        munmap((void *)(uintptr_t)file.p, file.n);
}

/* In a child of its own, in the directory of auth.db. */
static int take_password(void *ctx)
{
    const struct password_found *p = ctx;
    struct err e = {0};
    struct credentials *c = credentials_open(&e);
    bool is_new, is_ok;

    is_ok = c && credentials_adopt(c, str_of(p->account), str_at(p->hash, p->n), &is_new, &e);
    credentials_close(c);
    if (!is_ok) {
        (void)fail_in(&e, "password of account %s", p->account);
        return cmd_fail(&e);
    }
    if (is_new)
        printf("%s: password taken over\n", p->account);
    return 0;
}

bool upstream_make_dir(struct arena *a, struct str data, const char *name, mode_t mode, const char **out,
                       struct err *e)
{
    struct stat st;

    *out = arena_cstring(a, arena_printf(a, "%.*s/%s", STR_FMT(data), name));
    if (stat(arena_cstring(a, data), &st))
        return fail_errno(e, "looking at %.*s", STR_FMT(data));
    if (mkdir(*out, mode))
        return errno == EEXIST || fail_errno(e, "making %s", *out);
    return geteuid() || chown(*out, st.st_uid, st.st_gid) == 0 || fail_errno(e, "giving %s to its user", *out);
}

static bool take_password_of(struct str data, struct password_found *p, int *code, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_FD dir = -1;
    const char *path;

    if (!upstream_make_dir(&a, data, "auth", UPSTREAM_DIR_MODE, &path, e))
        return false;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 ? confine_run(dir, -1, take_password, p, code, e) : fail_errno(e, "opening %s", path);
}

/* In a child of its own, in the directory of queue.db: no limit is for those whom the account has written to. */
struct written {
    struct queue *q;
    struct str account;
    size_t n;
};

static bool on_sent(void *ctx, struct str recipient, int64_t sent_unix, struct err *e)
{
    struct written *w = ctx;

    return queue_adopt_written(w->q, w->account, recipient, sent_unix, e) &&
           (++w->n % PROGRESS || queue_commit(w->q, e));
}

static int take_written(void *ctx)
{
    const struct takeover *t = ctx;
    struct written w = {.account = str_of(t->account)};
    struct err e = {0};
    bool is_ok;

    w.q = queue_open(&e);
    is_ok = w.q && upstream_sent_read(t->index, on_sent, &w, &e) && queue_commit(w.q, &e);
    queue_close(w.q);
    if (!is_ok)
        (void)fail_in(&e, "account %s: whom it has sent to", t->account);
    return is_ok ? 0 : cmd_fail(&e);
}

static bool take_written_of(struct str data, struct takeover *t, int *code, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_FD dir = -1;
    const char *path;

    if (!upstream_make_dir(&a, data, "queue", UPSTREAM_DIR_MODE, &path, e))
        return false;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 ? confine_run(dir, -1, take_written, t, code, e) : fail_errno(e, "opening %s", path);
}

// Our directory of the account, made if need be, for whoever has the others.
static bool make_account(struct arena *a, struct str data, const char *account, int *out, struct err *e)
{
    const char *accounts, *own;
    struct stat st;

    if (!account[0] || account[0] == '.' || str_find(str_of(account), '/') != STR_NONE)
        return fail(e, ERR_SYNTAX, "\"%s\" is no account", account);
    if (!upstream_make_dir(a, data, "accounts", 0711, &accounts, e))
        return false;
    if (stat(accounts, &st))
        return fail_errno(e, "looking at %s", accounts);
    own = arena_cstring(a, arena_printf(a, "%s/%s", accounts, account));
    if (mkdir(own, UPSTREAM_DIR_MODE) == 0 && geteuid() == 0 && chown(own, st.st_uid, st.st_gid))
        return fail_errno(e, "giving %s to its user", own);
    return paths_open_account(a, data, str_of(account), out, e);
}

bool upstream_start_opener(int dir, int *files, struct err *e)
{
    int pair[2];
    pid_t self = getpid(), child;

    if (!fd_pair_stream(pair, e))
        return false;
    child = fork();
    if (!child) {
        close(pair[0]);
        if (!os_die_with_parent(self))
            _exit(1);
        open_files(dir, pair[1]);
    }
    close(pair[1]);
    *files = pair[0];
    return child >= 0 || fail_errno(e, "making a process");
}

static bool take_account(struct str data, struct str theirs, const char *account, int *code, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct takeover *t = heap_alloc(sizeof *t);
    AUTO_FD from = -1;
    AUTO_FD index = -1;
    AUTO_FD to = -1;
    AUTO_FD files = -1;
    int password_code = 0, written_code = 0;
    bool is_ok;

    t->account = account;
    t->password = confine_shared(sizeof *t->password);
    t->password->account = account;
    is_ok = paths_open_account(&a, theirs, str_of(account), &from, e) &&
            upstream_map(from, "index.db", &t->index, &index, e) && make_account(&a, data, account, &to, e) &&
            upstream_start_opener(from, &files, e);
    t->files = files;
    is_ok = is_ok && confine_run(to, -1, take_over, t, code, e) &&
            (!t->password->n || take_password_of(data, t->password, &password_code, e)) &&
            take_written_of(data, t, &written_code, e);
    if (is_ok && (password_code || written_code))
        *code = password_code ? password_code : written_code;
    upstream_unmap(t->index);
    free(t);
    return is_ok || fail_in(e, "account %s", account);
}

int cmd_import_upstream(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct paths_names accounts = {0};
    struct str data, theirs;
    struct err e = {0};
    AUTO_FD lock = -1;
    int worst = 0, code = 0;

    if (argc < 2)
        return cmd_usage("import upstream");
    theirs = str_of(argv[1]);
    for (int i = 2; i < argc; i++)
        *ARENA_PUSH(&a, accounts.items, &accounts.n, &accounts.cap) = argv[i];
    if (!paths_lock_data(&a, &data, &lock, &e) ||
        (argc == 2 && !paths_accounts(&a, theirs, &accounts, &e)))
        return cmd_fail(&e);
    for (size_t i = 0; i < accounts.n; i++) {
        code = 0;
        e = (struct err){0};
        if (!take_account(data, theirs, accounts.items[i], &code, &e))
            code = cmd_fail(&e);
        if (code)
            worst = code;
    }
    code = 0;
    e = (struct err){0};
    if (!upstream_take_server(data, theirs, &accounts, argc == 2, &code, &e))
        code = cmd_fail(&e);
    return code ? code : worst;
}
