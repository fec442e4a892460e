/*
 * Faults under the store: the power goes off and what was not synced is gone; a write or a sync fails;
 * memory runs out. For each n the n-th such event happens while messages are added, flagged, moved
 * and expunged. Afterwards all that was acknowledged must be there, exactly once and intact, and the
 * store's own check must find nothing.
 *
 * The faults are made in a layer between SQLite and the file system.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "os/fd.h"
#include "os/file.h"
#include "store/store.h"

enum fault { FAULT_NONE, FAULT_POWER_WRITE, FAULT_POWER_SYNC, FAULT_WRITE, FAULT_FULL, FAULT_SYNC,
             FAULT_MEMORY };
static const char *const fault_names[] = {"none", "power off at a write", "power off at a sync",
                                          "failing write", "full disk", "failing sync",
                                          "failing allocation"};

static enum fault fault;
static long countdown; // events until it happens
static long events;    // that could have been it, for knowing how many there are

/* --- a file system layer that remembers what was not synced ---------------------------------------- */

struct undo {
    sqlite3_int64 offset, old_size;
    int n;
    char *bytes; // what was there before
    struct undo *next;
};

struct file {
    sqlite3_file base;
    sqlite3_file *real;
    struct undo *undo; // newest first
    struct file *next;
};

static sqlite3_vfs *real_vfs;
static struct file *files;

static bool strikes(enum fault a, enum fault b)
{
    if (fault != a && fault != b)
        return false;
    events++;
    return countdown > 0 && --countdown == 0;
}

static void forget(struct file *f)
{
    while (f->undo) {
        struct undo *next = f->undo->next;

        free(f->undo->bytes);
        free(f->undo);
        f->undo = next;
    }
}

// Everything since the last sync of each file is undone, and nobody lives to tell.
static _Noreturn void power_off(void)
{
    for (struct file *f = files; f; f = f->next)
        for (struct undo *u = f->undo; u; u = u->next) {
            if (u->n)
                f->real->pMethods->xWrite(f->real, u->bytes, u->n, u->offset);
            f->real->pMethods->xTruncate(f->real, u->old_size);
        }
    _exit(100);
}

static void remember(struct file *f, sqlite3_int64 offset, int n)
{
    struct undo *u = heap_alloc(sizeof *u);

    f->real->pMethods->xFileSize(f->real, &u->old_size);
    u->offset = offset;
    if (offset < u->old_size) {
        u->n = offset + n <= u->old_size ? n : (int)(u->old_size - offset);
        u->bytes = heap_alloc((size_t)u->n);
        f->real->pMethods->xRead(f->real, u->bytes, u->n, offset);
    }
    u->next = f->undo;
    f->undo = u;
}

#define F(file) ((struct file *)(file))
#define REAL(file) (F(file)->real->pMethods)

static int f_close(sqlite3_file *file)
{
    struct file *f = F(file);

    for (struct file **at = &files; *at; at = &(*at)->next)
        if (*at == f) {
            *at = f->next;
            break;
        }
    forget(f);
    return f->real->pMethods ? REAL(file)->xClose(f->real) : SQLITE_OK;
}

static int f_read(sqlite3_file *file, void *p, int n, sqlite3_int64 at)
{
    return REAL(file)->xRead(F(file)->real, p, n, at);
}

static int f_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 at)
{
    if (strikes(FAULT_WRITE, FAULT_FULL))
        return fault == FAULT_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    remember(F(file), at, n);
    if (strikes(FAULT_POWER_WRITE, FAULT_POWER_WRITE))
        power_off();
    return REAL(file)->xWrite(F(file)->real, p, n, at);
}

static int f_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sqlite3_int64 old = 0;

    REAL(file)->xFileSize(F(file)->real, &old);
    if (size < old)
        remember(F(file), size, (int)(old - size));
    return REAL(file)->xTruncate(F(file)->real, size);
}

static int f_sync(sqlite3_file *file, int flags)
{
    if (strikes(FAULT_SYNC, FAULT_SYNC))
        return SQLITE_IOERR_FSYNC;
    if (strikes(FAULT_POWER_SYNC, FAULT_POWER_SYNC))
        power_off();
    forget(F(file));
    return REAL(file)->xSync(F(file)->real, flags);
}

static int f_size(sqlite3_file *file, sqlite3_int64 *out)
{
    return REAL(file)->xFileSize(F(file)->real, out);
}

static int f_lock(sqlite3_file *file, int how)
{
    return REAL(file)->xLock(F(file)->real, how);
}

static int f_unlock(sqlite3_file *file, int how)
{
    return REAL(file)->xUnlock(F(file)->real, how);
}

static int f_reserved(sqlite3_file *file, int *out)
{
    return REAL(file)->xCheckReservedLock(F(file)->real, out);
}

static int f_control(sqlite3_file *file, int op, void *arg)
{
    return REAL(file)->xFileControl(F(file)->real, op, arg);
}

static int f_sector(sqlite3_file *file)
{
    return REAL(file)->xSectorSize(F(file)->real);
}

static int f_traits(sqlite3_file *file)
{
    return REAL(file)->xDeviceCharacteristics(F(file)->real);
}

static int f_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return REAL(file)->xShmMap(F(file)->real, page, size, extend, out);
}

static int f_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return REAL(file)->xShmLock(F(file)->real, offset, n, flags);
}

static void f_shm_barrier(sqlite3_file *file)
{
    REAL(file)->xShmBarrier(F(file)->real);
}

static int f_shm_unmap(sqlite3_file *file, int delete_it)
{
    return REAL(file)->xShmUnmap(F(file)->real, delete_it);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = f_close, .xRead = f_read, .xWrite = f_write, .xTruncate = f_truncate,
    .xSync = f_sync, .xFileSize = f_size, .xLock = f_lock, .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved, .xFileControl = f_control, .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_traits, .xShmMap = f_shm_map, .xShmLock = f_shm_lock,
    .xShmBarrier = f_shm_barrier, .xShmUnmap = f_shm_unmap,
};

static int v_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    struct file *f = F(file);
    int rc;

    (void)vfs;
    *f = (struct file){.real = (sqlite3_file *)(f + 1)};
    rc = real_vfs->xOpen(real_vfs, name, f->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    f->base.pMethods = &methods;
    f->next = files;
    files = f;
    return SQLITE_OK;
}

static void install(void)
{
    static sqlite3_vfs layer;

    real_vfs = sqlite3_vfs_find(NULL);
    if (!real_vfs) // no memory to begin with
        _exit(101);
    layer = *real_vfs;
    layer.zName = "faults";
    layer.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    layer.xOpen = v_open;
    sqlite3_vfs_register(&layer, 1);
}

/* --- memory that runs out ------------------------------------------------------------------------- */

static sqlite3_mem_methods real_memory;

static void *m_malloc(int n)
{
    return strikes(FAULT_MEMORY, FAULT_MEMORY) ? NULL : real_memory.xMalloc(n);
}

static void *m_realloc(void *p, int n)
{
    return strikes(FAULT_MEMORY, FAULT_MEMORY) ? NULL : real_memory.xRealloc(p, n);
}

static void install_memory(void)
{
    sqlite3_mem_methods own;

    sqlite3_shutdown(); // our parent has used it
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    own = real_memory;
    own.xMalloc = m_malloc;
    own.xRealloc = m_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &own);
}

/* --- what is done while the fault happens ----------------------------------------------------------- */

enum { MESSAGES = 8 };

// Said to the parent after the acknowledgement: 'a' added i, 'f' flagged i, 'm' moved i, 'x' gone i.
static void acknowledge(int to, char what, unsigned i)
{
    char said[2] = {what, (char)i};

    if (write(to, said, 2) != 2)
        _exit(3);
}

static int message_file(unsigned i)
{
    struct err e = {0};
    int fd = os_memfile("m", &e);
    AUTO_BUF b = BUF_LIMIT(1 << 20);

    buf_printf(&b, "Subject: message %u\r\nMessage-Id: <%u@x>\r\n\r\n", i, i);
    for (unsigned k = 0; k < 400 * (i + 1); k++)
        buf_printf(&b, "line %u of %u\r\n", k, i);
    if (fd < 0 || !os_write_all(fd, buf_str(&b), &e))
        _exit(3);
    return fd;
}

static uint32_t uids[MESSAGES];

static void add(struct store *st, int to, unsigned i)
{
    AUTO_FD fd = message_file(i);
    char id[20];
    struct store_new m = {.fd = fd, .size = (uint64_t)lseek(fd, 0, SEEK_END),
                          .received_unix = 1000};
    struct store_added added;
    struct err e = {0};

    snprintf(id, sizeof id, "d%u", i);
    m.delivery_id = str_of(id);
    // As a sender does: what was not acknowledged is sent again.
    for (int attempt = 0; attempt < 3; attempt++) {
        e = (struct err){0};
        if (store_add(st, STR("Inbox"), true, &m, 1, &added, &e)) {
            uids[i] = added.uid;
            acknowledge(to, 'a', i);
            return;
        }
    }
}

static uint64_t inbox(void)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct store_mailbox m = {0};
    struct err e = {0};
    struct store_reader *r = store_reader_open(&e);

    if (r && !store_mailbox_find(r, &a, STR("Inbox"), &m, &e))
        m.id = 0;
    if (r)
        store_reader_close(r);
    return m.id;
}

static bool on_copied(void *ctx, uint32_t from, uint32_t to)
{
    (void)ctx, (void)from, (void)to;
    return true;
}

static void change(struct store *st, int to)
{
    uint64_t mailbox = inbox();

    for (unsigned i = 0; i < MESSAGES && mailbox; i++) {
        struct store_range one = {uids[i], uids[i]};
        struct store_flags_change c = {.mailbox = mailbox, .ranges = &one, .n_ranges = 1,
                                       .op = FLAGS_ADD, .flags = i % 4 == 3 ? FLAG_DELETED
                                                                             : FLAG_FLAGGED};
        struct err e = {0};
        uint32_t uidvalidity;

        if (!uids[i])
            continue;
        if (i % 4 == 1 && store_flags(st, &c, NULL, NULL, &e))
            acknowledge(to, 'f', i);
        if (i % 4 == 2 && store_copy(st, mailbox, &one, 1, STR("Archive"), true, &uidvalidity,
                                     on_copied, NULL, &e))
            acknowledge(to, 'm', i);
        if (i % 4 == 3 && store_flags(st, &c, NULL, NULL, &e) &&
            store_expunge(st, mailbox, &one, 1, true, &e))
            acknowledge(to, 'x', i);
    }
}

static _Noreturn void work(int to)
{
    static const struct store_initial_mailbox initial[] = {{STR_("Inbox"), STR_("")},
                                                           {STR_("Archive"), STR_("Archive")}};
    struct store_options o = {initial, COUNT(initial), 0};
    struct err e = {0};
    struct store *st;

    if (fault == FAULT_MEMORY)
        install_memory();
    install();
    st = store_open(&o, &e);
    if (!st) // the fault hit the opening: a role would be started again
        _exit(101);
    for (unsigned i = 0; i < MESSAGES; i++)
        add(st, to, i);
    change(st, to);
    store_close(st);
    if (write(to, &(char[2]){'e', 0}, 2) != 2 || write(to, &events, sizeof events) != sizeof events)
        _exit(3);
    _exit(0);
}

/* --- what must be there afterwards ------------------------------------------------------------------ */

struct found {
    unsigned in_inbox[MESSAGES], in_archive[MESSAGES], flags[MESSAGES];
    struct store_reader *r;
    unsigned *where;
    int problems;
};

static bool to_buf(void *ctx, struct str bytes)
{
    buf_put(ctx, bytes);
    return true;
}

static bool on_row(void *ctx, const struct store_row *row)
{
    AUTO_BUF got = BUF_LIMIT(1 << 20);
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    struct found *f = ctx;
    struct err e = {0};
    struct str want;
    unsigned i;

    if (!store_email_read(f->r, row->email, 0, row->size, to_buf, &got, &e) || got.n < 20) {
        printf("unreadable message: %s\n", e.text);
        f->problems++;
        return true;
    }
    i = (unsigned)(got.p[17] - '0');
    {
        AUTO_FD fd = message_file(i < MESSAGES ? i : 0);

        if (i >= MESSAGES || !os_read_fd(&a, fd, 1 << 20, &want, &e) ||
            !str_eq(want, buf_str(&got))) {
            printf("message %u is not intact\n", i);
            f->problems++;
            return true;
        }
    }
    f->where[i]++;
    f->flags[i] = row->flags;
    return true;
}

static void look(struct found *f, const char *mailbox, unsigned *where)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct store_mailbox m;
    struct err e = {0};

    f->where = where;
    if (store_mailbox_find(f->r, &a, str_of(mailbox), &m, &e) &&
        !store_rows(f->r, m.id, 0, on_row, f, &e)) {
        printf("%s: %s\n", mailbox, e.text);
        f->problems++;
    }
}

static void expect(struct found *f, bool is_so, const char *text, unsigned i)
{
    if (!is_so) {
        printf("message %u: %s\n", i, text);
        f->problems++;
    }
}

static int check(const char *said, size_t n)
{
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    bool is_added[MESSAGES] = {0}, is_moved[MESSAGES] = {0}, is_gone[MESSAGES] = {0},
         is_flagged[MESSAGES] = {0};
    struct found f = {.problems = 0};
    struct err e = {0};

    for (size_t i = 0; i + 1 < n; i += 2) {
        unsigned k = (unsigned char)said[i + 1] % MESSAGES;

        is_added[k] |= said[i] == 'a';
        is_moved[k] |= said[i] == 'm';
        is_gone[k] |= said[i] == 'x';
        is_flagged[k] |= said[i] == 'f';
    }
    // Opening for writing recovers, as the next start would.
    {
        struct store_options o = {0};
        struct store *st = store_open(&o, &e);

        if (!st) {
            printf("cannot be opened: %s\n", e.text);
            return 1;
        }
        store_close(st);
    }
    f.r = store_reader_open(&e);
    if (!f.r || !store_check(f.r, &problems, &e)) {
        printf("cannot be checked: %s\n", e.text);
        return 1;
    }
    if (problems.n) {
        printf("%.*s", STR_FMT(buf_str(&problems)));
        f.problems++;
    }
    look(&f, "Inbox", f.in_inbox);
    look(&f, "Archive", f.in_archive);
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned both = f.in_inbox[i] + f.in_archive[i];

        expect(&f, both <= 1, "is there twice", i);
        if (is_gone[i])
            expect(&f, both == 0, "was expunged and is there", i);
        else if (is_added[i] && i % 4 != 3) // an expunge that was not acknowledged may have happened
            expect(&f, both == 1, "was acknowledged and is missing", i);
        if (is_moved[i])
            expect(&f, f.in_archive[i] == 1, "was moved and is elsewhere", i);
        if (is_flagged[i])
            expect(&f, f.flags[i] & FLAG_FLAGGED, "was flagged and has no flag", i);
    }
    store_reader_close(f.r);
    return f.problems;
}

/* --- running ---------------------------------------------------------------------------------------- */

// One run in a directory of its own. *total: how many events of this kind a whole run has.
static int run(enum fault which, long n, long *total)
{
    char dir[] = "/tmp/mox-fault-XXXXXX", command[64], said[4096];
    size_t got = 0;
    long counted;
    int pipes[2], status, problems;
    ssize_t k;
    pid_t pid;

    if (!mkdtemp(dir) || chdir(dir) || pipe(pipes))
        return 1;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        fault = which;
        countdown = n;
        close(pipes[0]);
        work(pipes[1]);
    }
    close(pipes[1]);
    while (got < sizeof said && (k = read(pipes[0], said + got, sizeof said - got)) > 0)
        got += (size_t)k;
    close(pipes[0]);
    waitpid(pid, &status, 0);
    // A whole run ends with its count, whose bytes are no acknowledgements.
    if (got >= 2 + sizeof counted && said[got - 2 - sizeof counted] == 'e') {
        got -= 2 + sizeof counted;
        memcpy(&counted, said + got + 2, sizeof counted);
        if (total)
            *total = counted;
    }
    problems = WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT;
    if (problems)
        printf("ended by signal %d\n", WTERMSIG(status));
    problems += check(said, got);
    if (problems)
        printf("... with %s, number %ld\n", fault_names[which], n);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return chdir("/") || system(command) ? 1 : problems;
}

int main(int argc, char **argv)
{
    // How many points of each kind are tried, spread over the whole run.
    long points = argc > 1 ? strtol(argv[1], NULL, 10) : 60;
    int passed = 0, failed = 0;

    for (enum fault which = FAULT_POWER_WRITE; which <= FAULT_MEMORY; which++) {
        long total = 0, step, tried = 0;
        int problems = run(which, 0, &total);

        step = total > points ? total / points : 1;
        for (long n = 1; n <= total; n += step, tried++)
            problems += run(which, n, NULL);
        problems += total == 0;
        printf("%s fault %s: %ld of %ld points\n", problems ? "FAIL" : "PASS", fault_names[which],
               tried, total);
        problems ? failed++ : passed++;
    }
    printf("fault: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
