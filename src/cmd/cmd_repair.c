/*
 * Verbs that correct what is stored of an account. Those that mail may go on beside are done by the
 * account's process when the server runs; all are done here, confined, when it does not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cur.h"
#include "cmd/confine.h"
#include "cmd/ctl.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"
#include "db/db.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/store.h"

enum { MOST_TOLD = 16 << 20, PROGRESS_MS = 1000 };

// What was learnt is the running server's business: its settings are not looked at here.
static const struct store_options options = {.junk.is_unknown = true};

struct work {
    const char *account;
    enum store_repair what;
    bool (*fn)(struct store *st, const struct work *w, struct buf *told, struct err *e);
    const char *mailbox; // of reassignuids; NULL: all
};

static size_t print_lines(const char *what, const struct buf *lines)
{
    struct cur c = cur_of(buf_str(lines));
    struct str line;
    size_t n = 0;

    while (cur_line(&c, &line)) {
        cmd_say(stdout, "%s%s%.*s\n", what ? what : "", what ? ": " : "", STR_FMT(line));
        n++;
    }
    return n;
}

static void print_progress(uint64_t n, uint64_t all)
{
    if (all)
        fprintf(stderr, "%llu of %llu messages...\n", (unsigned long long)n, (unsigned long long)all);
    else
        fprintf(stderr, "%llu messages...\n", (unsigned long long)n);
}

// Once a second, of what takes longer.
static void show_progress(uint64_t n, uint64_t all)
{
    static int64_t shown_ms;
    int64_t now_ms = os_monotonic_ms();

    if (!shown_ms)
        shown_ms = now_ms;
    if (now_ms - shown_ms < PROGRESS_MS)
        return;
    shown_ms = now_ms;
    print_progress(n, all);
}

static bool repair(struct store *st, const struct work *w, struct buf *told, struct err *e)
{
    return store_repair(st, w->what, show_progress, told, e);
}

/* In the child. */
static int work_here(void *ctx)
{
    const struct work *w = ctx;
    AUTO_BUF told = BUF_LIMIT(MOST_TOLD);
    struct store *st;
    struct err e = {0};
    bool is_ok;

    if (access("account.db", F_OK))
        return 0; // made, and nothing stored yet
    st = store_open(&options, &e);
    is_ok = st && w->fn(st, w, &told, &e);
    store_close(st);
    print_lines(NULL, &told);
    if (is_ok)
        return 0;
    (void)fail_in(&e, "account %s", w->account);
    return cmd_fail(&e);
}

static bool work_offline(struct str data, struct work *w, int *code, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    AUTO_FD dir = -1;

    return paths_open_account(&a, data, str_of(w->account), &dir, e) &&
           confine_run(dir, -1, work_here, w, code, e);
}

/* --- beside the server, or without ------------------------------------------------------------------ */

static bool ask_server(const char *command, const char *account, struct err *e)
{
    AUTO_CTL c = {.fd = -1};

    return ctl_open(&c, e) && ctl_send(&c, str_of(command), e) && ctl_send(&c, str_of(account), e) &&
           ctl_ok_after(&c, print_progress, e) && ctl_print_stream(&c, CTL_LINES, e);
}

static int work_all(const char *command, struct work *w, struct str data, bool is_running,
                    struct paths_names *accounts)
{
    int worst = 0;

    for (size_t i = 0; i < accounts->n; i++) {
        int64_t start = os_monotonic_ms();
        struct err e = {0};
        int code = 0;

        w->account = accounts->items[i];
        if (accounts->n > 1)
            printf("account %s:\n", w->account);
        fflush(stdout);
        if (!(is_running ? ask_server(command, w->account, &e) : work_offline(data, w, &code, &e)))
            code = cmd_fail(&e);
        if (code)
            worst = code;
        else if (w->what == REPAIR_PARSE)
            printf("account %s took %lldms\n", w->account, (long long)(os_monotonic_ms() - start));
        fflush(stdout);
    }
    return worst;
}

static int online(int argc, char **argv, const char *command, enum store_repair what, bool needs_account)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct work w = {.what = what, .fn = repair};
    struct paths_names accounts = {0};
    struct err e = {0};
    AUTO_FD lock = -1;
    struct str data;
    bool is_running;

    if (argc > 2 || (needs_account && argc < 2))
        return cmd_usage(command);
    is_running = !paths_lock_data(&a, &data, &lock, &e) && e.kind == ERR_CONFLICT;
    if (is_running)
        e = (struct err){0};
    if (e.kind || !paths_data_dir(&a, &data, &e))
        return cmd_fail(&e);
    if (argc == 2)
        *ARENA_PUSH(&a, accounts.items, &accounts.n, &accounts.cap) = argv[1];
    else if (!paths_accounts(&a, data, &accounts, &e))
        return cmd_fail(&e);
    return work_all(command, &w, data, is_running, &accounts);
}

int cmd_recalculatemailboxcounts(int argc, char **argv)
{
    return online(argc, argv, "recalculatemailboxcounts", REPAIR_COUNTS, true);
}

int cmd_fixmsgsize(int argc, char **argv)
{
    return online(argc, argv, "fixmsgsize", REPAIR_SIZES, false);
}

int cmd_reparse(int argc, char **argv)
{
    return online(argc, argv, "reparse", REPAIR_PARSE, false);
}

int cmd_reassignthreads(int argc, char **argv)
{
    return online(argc, argv, "reassignthreads", REPAIR_THREADS, false);
}

/* --- without the server only ------------------------------------------------------------------------- */

static int offline(struct work *w)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct err e = {0};
    AUTO_FD lock = -1;
    struct str data;
    int code;

    if (!paths_lock_data(&a, &data, &lock, &e) || !work_offline(data, w, &code, &e))
        return cmd_fail(&e);
    return code;
}

int cmd_ensureparsed(int argc, char **argv)
{
    bool is_of_all = false;
    const struct cmd_flag flags[] = {{"all", NULL, &is_of_all}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));

    if (at < 0 || argc - at != 1)
        return cmd_usage("ensureparsed");
    return offline(&(struct work){.account = argv[at], .fn = repair,
                                  .what = is_of_all ? REPAIR_PARSE : REPAIR_PARSE_MISSING});
}

int cmd_fixuidmeta(int argc, char **argv)
{
    if (argc != 2)
        return cmd_usage("fixuidmeta");
    return offline(&(struct work){.account = argv[1], .what = REPAIR_UIDS, .fn = repair});
}

static bool find_mailbox(const char *wanted, uint64_t *id, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct store_mailbox mailbox;
    struct store_reader *r;
    struct str name;
    bool is_ok;

    if (str_u64(str_of(wanted), INT64_MAX, id))
        return *id || fail(e, ERR_NOT_FOUND, "no such mailbox");
    r = store_reader_open(e);
    is_ok = r && store_mailbox_name(&a, str_of(wanted), &name, e) &&
            store_mailbox_find(r, &a, name, &mailbox, e);
    store_reader_close(r);
    if (is_ok)
        *id = mailbox.id;
    return is_ok;
}

static bool reassign_uids(struct store *st, const struct work *w, struct buf *told, struct err *e)
{
    uint64_t id = 0;

    return (!w->mailbox || find_mailbox(w->mailbox, &id, e)) && store_reassign_uids(st, id, told, e);
}

int cmd_reassignuids(int argc, char **argv)
{
    if (argc < 2 || argc > 3)
        return cmd_usage("reassignuids");
    return offline(&(struct work){.account = argv[1], .fn = reassign_uids,
                                  .mailbox = argc == 3 ? argv[2] : NULL});
}

static bool open_only(struct store *st, const struct work *w, struct buf *told, struct err *e)
{
    (void)st, (void)e;
    buf_printf(told, "account %s opened\n", w->account);
    return true;
}

int cmd_openaccounts(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    struct err e = {0};
    AUTO_FD lock = -1;
    int worst = 0;

    if (argc < 3)
        return cmd_usage("openaccounts");
    if (!paths_lock(&a, str_of(argv[1]), &lock, &e))
        return cmd_fail(&e);
    for (int i = 2; i < argc; i++) {
        struct work w = {.account = argv[i], .fn = open_only};
        int code = 0;

        e = (struct err){0};
        if (!work_offline(str_of(argv[1]), &w, &code, &e))
            code = cmd_fail(&e);
        if (code)
            worst = code;
    }
    return worst;
}

/* --- verifydata -------------------------------------------------------------------------------------- */

struct verify {
    const char *name;    // of the database
    const char *account; // NULL: it is none's
    bool fixes;
    enum store_check what;
    size_t *problems; // shared
};

/* In the child that may write in the account's directory, which is the current one. */
static int fix_account(void *ctx)
{
    struct verify *v = ctx;
    AUTO_BUF told = BUF_LIMIT(MOST_TOLD);
    struct err e = {0};
    struct store *st = store_open(&options, &e);
    bool is_ok = st && store_repair(st, REPAIR_ALL, show_progress, &told, &e);

    store_close(st);
    print_lines(v->account, &told);
    if (!is_ok) {
        cmd_say(stdout, "%s: cannot be repaired: %s\n", v->account, e.text);
        ++*v->problems;
    }
    return 0;
}

/* In a child that may open nothing, but has its database. */
static int verify_account(void *ctx)
{
    AUTO_BUF problems = BUF_LIMIT(MOST_TOLD);
    struct verify *v = ctx;
    struct store_reader *r;
    struct err e = {0};

    r = store_reader_open(&e);
    if (!r || !store_check(r, v->what, &problems, &e))
        buf_printf(&problems, "%s\n", e.text);
    store_reader_close(r);
    *v->problems += print_lines(v->account, &problems);
    return 0;
}

/* The same of one that is no account's. */
static int verify_database(void *ctx)
{
    AUTO_BUF problems = BUF_LIMIT(MOST_TOLD);
    struct verify *v = ctx;
    struct err e = {0};
    struct db *d = db_open_reader(v->name, &e);

    if (!d || !db_check(d, &problems, &e))
        buf_printf(&problems, "%s\n", e.text);
    db_close(d);
    *v->problems += print_lines(v->name, &problems);
    return 0;
}

// One that is not there is none yet: made, and nothing stored.
static void verify_in(int dir, confine_fn *fn, struct verify *v)
{
    struct err e = {0};
    int code = 0;

    if (faccessat(dir, v->name, F_OK, AT_SYMLINK_NOFOLLOW))
        return;
    if (v->fixes && !confine_run(dir, -1, fix_account, v, &code, &e)) {
        cmd_say(stdout, "%s: %s\n", v->account, e.text);
        ++*v->problems;
        return;
    }
    if (!code && !confine_databases(&(struct confine_database){dir, v->name, false}, 1, -1, fn, v, &code, &e)) {
        cmd_say(stdout, "%s: %s\n", v->account ? v->account : v->name, e.text);
        ++*v->problems;
    } else if (code) {
        ++*v->problems; // it could not begin, and has said why
    }
}

static bool verify_accounts(struct arena *a, struct str data, struct verify v, size_t *n, struct err *e)
{
    struct paths_names accounts = {0};

    if (!paths_accounts(a, data, &accounts, e))
        return false;
    for (size_t i = 0; i < accounts.n; i++) {
        AUTO_FD dir = -1;

        v.account = accounts.items[i];
        if (isatty(2))
            fprintf(stderr, "checking account %s\n", v.account);
        if (!paths_open_account(a, data, str_of(v.account), &dir, e))
            return false;
        verify_in(dir, verify_account, &v);
    }
    *n = accounts.n;
    return true;
}

int cmd_verifydata(int argc, char **argv)
{
    static const char *const others[][2] = {{"auth", "auth.db"}, {"queue", "queue.db"},
                                            {"admin", "admin.db"}};
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_FD data = -1;
    AUTO_FD lock = -1;
    size_t n = 0, *problems = confine_shared(sizeof *problems);
    bool fixes = false, skips_sizes = false;
    const struct cmd_flag flags[] = {{"fix", NULL, &fixes}, {"skip-size-check", NULL, &skips_sizes}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct err e = {0};
    struct str path;

    if (at < 0 || argc - at > 1)
        return cmd_usage("verifydata");
    if (argc - at == 1)
        path = str_of(argv[at]);
    else if (!paths_data_dir(&a, &path, &e))
        return cmd_fail(&e);
    data = open(arena_cstring(&a, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (data < 0) {
        (void)fail_errno(&e, "opening %.*s", STR_FMT(path));
        return cmd_fail(&e);
    }
    if ((fixes && !paths_lock(&a, path, &lock, &e)) ||
        !verify_accounts(&a, path, (struct verify){.name = "account.db", .fixes = fixes, .problems = problems,
                                                   .what = skips_sizes ? STORE_CHECK_NO_SIZES : STORE_CHECK_ALL}, &n, &e))
        return cmd_fail(&e);
    for (size_t i = 0; i < COUNT(others); i++) {
        AUTO_FD dir = openat(data, others[i][0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dir >= 0)
            verify_in(dir, verify_database, &(struct verify){.name = others[i][1], .problems = problems});
    }
    if (!*problems) {
        printf("%zu accounts checked, no problems\n", n);
        return 0;
    }
    (void)fail(&e, ERR_BUG, "%zu problems found", *problems);
    return cmd_fail(&e);
}
