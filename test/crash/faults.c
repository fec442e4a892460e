#include "faults.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"

enum fault fault;
long countdown;
long events;

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

void faults_install(void)
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

void faults_install_memory(void)
{
    sqlite3_mem_methods own;

    sqlite3_shutdown(); // our parent has used it
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    own = real_memory;
    own.xMalloc = m_malloc;
    own.xRealloc = m_realloc;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &own);
}
