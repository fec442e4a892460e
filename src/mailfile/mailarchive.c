#include "mailfile/mailarchive.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/file.h"

enum {
    BLOCK = 256 * 1024,
    // Mail packs to a tenth, or in the best case some hundredths, of its size; what unpacks to more is made
    // for harm. Small files may do as they like.
    MOST_RATIO = 250,
    ALWAYS_ALLOWED = 64 << 20,
    FILE_MODE = 0660, // mox-imap-store-cli-config.md 2.15
    DIR_MODE = 0770,
};

#define FUNCTIONS(F)                                                                               \
    F(archive_read_new)                                                                            \
    F(archive_read_support_filter_gzip)                                                            \
    F(archive_read_support_format_tar)                                                             \
    F(archive_read_support_format_zip_seekable)                                                    \
    F(archive_read_set_read_callback)                                                              \
    F(archive_read_set_seek_callback)                                                              \
    F(archive_read_set_skip_callback)                                                              \
    F(archive_read_set_callback_data)                                                              \
    F(archive_read_open1)                                                                          \
    F(archive_read_next_header)                                                                    \
    F(archive_read_data_block)                                                                     \
    F(archive_read_free)                                                                           \
    F(archive_format_name)                                                                         \
    F(archive_filter_bytes)                                                                        \
    F(archive_error_string)                                                                        \
    F(archive_entry_pathname)                                                                      \
    F(archive_entry_filetype)                                                                      \
    F(archive_entry_hardlink)                                                                      \
    F(archive_entry_mtime)                                                                         \
    F(archive_entry_new)                                                                           \
    F(archive_entry_clear)                                                                         \
    F(archive_entry_free)                                                                          \
    F(archive_entry_copy_pathname)                                                                 \
    F(archive_entry_set_filetype)                                                                  \
    F(archive_entry_set_perm)                                                                      \
    F(archive_entry_set_size)                                                                      \
    F(archive_entry_set_mtime)                                                                     \
    F(archive_write_new)                                                                           \
    F(archive_write_add_filter_gzip)                                                               \
    F(archive_write_set_format_pax_restricted)                                                     \
    F(archive_write_set_format_zip)                                                                \
    F(archive_write_set_options)                                                                   \
    F(archive_write_open)                                                                          \
    F(archive_write_header)                                                                        \
    F(archive_write_data)                                                                          \
    F(archive_write_close)                                                                         \
    F(archive_write_free)

#define MEMBER(name) __typeof__(&(name)) name;
static struct {
    FUNCTIONS(MEMBER)
} la;

bool mailarchive_load(struct err *e)
{
    void *library = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return fail(e, ERR_NOT_FOUND, "cannot load libarchive: %s", dlerror());
#define LOAD(name)                                                                                 \
    la.name = (__typeof__(la.name))dlsym(library, #name);                                          \
    if (!la.name)                                                                                  \
        return fail(e, ERR_NOT_FOUND, "libarchive has no %s", #name);
    FUNCTIONS(LOAD)
    // Names are UTF-8, and times of zip files are in the local time zone.
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return fail(e, ERR_NOT_FOUND, "the system has no locale C.UTF-8");
    tzset();
    return true;
}

/* --- reading ------------------------------------------------------------------------------------------ */

struct mailarchive_reader {
    struct archive *archive;
    int fd;
    int64_t at, size;  // in the file
    uint64_t unpacked; // bytes of entries
    uint64_t in_entry; // of the one that is read
    bool is_zip;
    char block[BLOCK];
};

static la_ssize_t on_read(struct archive *unused, void *ctx, const void **out)
{
    struct mailarchive_reader *r = ctx;
    ssize_t got;

    (void)unused;
    do
        got = pread(r->fd, r->block, sizeof r->block, r->at);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        r->at += got;
    *out = r->block;
    return got < 0 ? ARCHIVE_FATAL : got;
}

static la_int64_t on_seek(struct archive *unused, void *ctx, la_int64_t offset, int whence)
{
    struct mailarchive_reader *r = ctx;
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? r->at : r->size, to;

    (void)unused;
    if (__builtin_add_overflow(base, offset, &to) || to < 0 || to > r->size)
        return ARCHIVE_FATAL;
    return r->at = to;
}

static la_int64_t on_skip(struct archive *unused, void *ctx, la_int64_t n)
{
    struct mailarchive_reader *r = ctx;

    (void)unused;
    if (n < 0 || n > r->size - r->at) // the end is met by reading
        n = 0;
    r->at += n;
    return n;
}

static bool fail_archive(const struct mailarchive_reader *r, struct err *e)
{
    const char *why = la.archive_error_string(r->archive);

    return fail(e, ERR_SYNTAX, "the archive is broken: %s", why ? why : "it cannot be read");
}

// By what is in it; its name says nothing (mox-imap-store-cli-config.md 2.14).
static bool set_format(struct mailarchive_reader *r, struct err *e)
{
    char start[262] = {0};
    ssize_t got = pread(r->fd, start, sizeof start, 0);

    if (got < 0)
        return fail_errno(e, "reading the archive");
    r->is_zip = got >= 4 && (!memcmp(start, "PK\3\4", 4) || !memcmp(start, "PK\5\6", 4));
    if (r->is_zip)
        return la.archive_read_support_format_zip_seekable(r->archive) == ARCHIVE_OK ||
               fail_archive(r, e);
    if ((got < 2 || memcmp(start, "\x1f\x8b", 2)) && (got < 262 || memcmp(start + 257, "ustar", 5)))
        return fail(e, ERR_SYNTAX, "this is neither a zip, a tgz nor a tar file");
    return (la.archive_read_support_filter_gzip(r->archive) == ARCHIVE_OK &&
            la.archive_read_support_format_tar(r->archive) == ARCHIVE_OK) || fail_archive(r, e);
}

struct mailarchive_reader *mailarchive_open(int fd, struct err *e)
{
    struct mailarchive_reader *r = heap_alloc(sizeof *r);

    r->fd = fd;
    r->archive = la.archive_read_new();
    if (!r->archive)
        (void)fail(e, ERR_TEMPORARY, "no memory to read an archive");
    else if ((r->size = lseek(fd, 0, SEEK_END)) < 0)
        (void)fail(e, ERR_SYNTAX, "the archive is not a file");
    else {
        la.archive_read_set_callback_data(r->archive, r);
        la.archive_read_set_read_callback(r->archive, on_read);
        la.archive_read_set_seek_callback(r->archive, on_seek);
        la.archive_read_set_skip_callback(r->archive, on_skip);
        if (set_format(r, e) &&
            (la.archive_read_open1(r->archive) == ARCHIVE_OK || fail_archive(r, e)))
            return r;
    }
    mailarchive_close(r);
    return NULL;
}

void mailarchive_close(struct mailarchive_reader *r)
{
    if (!r)
        return;
    if (r->archive)
        la.archive_read_free(r->archive);
    free(r);
}

// In a tar file headers and padding count too.
static bool is_bounded(const struct mailarchive_reader *r, struct err *e)
{
    int64_t all = r->is_zip ? 0 : la.archive_filter_bytes(r->archive, 0);
    uint64_t n = all > 0 && (uint64_t)all > r->unpacked ? (uint64_t)all : r->unpacked;

    return n <= ALWAYS_ALLOWED || n / MOST_RATIO <= (uint64_t)r->size ||
           fail(e, ERR_LIMIT, "the archive unpacks to more than %d times its size", MOST_RATIO);
}

// Mail is deflated, or stored. Of what else libarchive unpacks, some ask for as much memory as the file says.
static bool is_method_known(const struct mailarchive_reader *r, struct err *e)
{
    const char *text = la.archive_format_name(r->archive);
    struct str name = text ? str_of(text) : STR("");

    return !r->is_zip || str_ends(name, STR("(deflation)")) || str_ends(name, STR("(uncompressed)")) ||
           fail(e, ERR_SYNTAX, "the archive has a file that is packed in another way than deflated: %s", text ? text : "");
}

bool mailarchive_next(struct mailarchive_reader *r, struct mailarchive_entry *out, struct err *e)
{
    struct archive_entry *entry;
    const char *name;
    int rc;

    do
        rc = la.archive_read_next_header(r->archive, &entry);
    while (rc == ARCHIVE_RETRY);
    if (rc == ARCHIVE_EOF)
        return false;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        return fail_archive(r, e);
    if (!is_method_known(r, e))
        return false;
    name = la.archive_entry_pathname(entry);
    *out = (struct mailarchive_entry){
        .name = name ? str_at(name, strnlen(name, MAILARCHIVE_MAX_NAME + 1)) : STR("?"),
        .is_dir = la.archive_entry_filetype(entry) == AE_IFDIR,
        .is_other = (la.archive_entry_filetype(entry) != AE_IFDIR &&
                     la.archive_entry_filetype(entry) != AE_IFREG) || la.archive_entry_hardlink(entry),
        .mtime = la.archive_entry_mtime(entry),
    };
    if (out->name.n > MAILARCHIVE_MAX_NAME)
        return fail(e, ERR_LIMIT, "the archive has a name of more than %d bytes", MAILARCHIVE_MAX_NAME);
    r->in_entry = 0;
    return is_bounded(r, e);
}

bool mailarchive_read(struct mailarchive_reader *r, struct str *out, struct err *e)
{
    const void *bytes;
    la_int64_t offset;
    size_t n;
    int rc;

    do
        rc = la.archive_read_data_block(r->archive, &bytes, &n, &offset);
    while (rc == ARCHIVE_RETRY || (rc == ARCHIVE_OK && !n));
    if (rc == ARCHIVE_EOF)
        return false;
    if (rc != ARCHIVE_OK) // a warning says that a checksum is wrong
        return fail_archive(r, e);
    if (offset < 0 || (uint64_t)offset != r->in_entry)
        return fail(e, ERR_SYNTAX, "the archive has a file with holes");
    r->in_entry += n;
    r->unpacked += n;
    *out = str_at(bytes, n);
    return is_bounded(r, e);
}

/* --- writing ------------------------------------------------------------------------------------------ */

struct mailarchive_writer {
    struct archive *archive;
    struct archive_entry *entry;
    int fd;
    struct err why; // of the write that failed
};

bool mailarchive_kind_of(struct str path, enum mailarchive_kind *out, struct err *e)
{
    static const struct {
        struct str end;
        enum mailarchive_kind kind;
    } kinds[] = {{STR_(".tar"), MAILARCHIVE_TAR}, {STR_(".tgz"), MAILARCHIVE_TGZ},
                 {STR_(".tar.gz"), MAILARCHIVE_TGZ}, {STR_(".zip"), MAILARCHIVE_ZIP}};

    for (size_t i = 0; i < COUNT(kinds); i++)
        if (str_ends(path, kinds[i].end)) {
            *out = kinds[i].kind;
            return true;
        }
    return fail(e, ERR_SYNTAX, "the name of an archive ends in .zip, .tgz, .tar.gz or .tar");
}

static bool fail_write(const struct mailarchive_writer *w, struct err *e)
{
    const char *why = la.archive_error_string(w->archive);

    if (w->why.kind) {
        *e = w->why;
        return false;
    }
    return fail(e, ERR_TEMPORARY, "writing the archive: %s", why ? why : "it fails");
}

static la_ssize_t on_write(struct archive *unused, void *ctx, const void *bytes, size_t n)
{
    struct mailarchive_writer *w = ctx;

    (void)unused;
    return os_write_all(w->fd, str_at(bytes, n), &w->why) ? (la_ssize_t)n : ARCHIVE_FATAL;
}

static bool configure(struct mailarchive_writer *w, enum mailarchive_kind kind)
{
    if (kind == MAILARCHIVE_ZIP)
        return la.archive_write_set_format_zip(w->archive) == ARCHIVE_OK &&
               la.archive_write_set_options(w->archive, "zip:compression=deflate,zip:hdrcharset=UTF-8") ==
                   ARCHIVE_OK;
    if (la.archive_write_set_format_pax_restricted(w->archive) != ARCHIVE_OK)
        return false;
    // Mail packs little better with more work.
    return kind == MAILARCHIVE_TAR ||
           (la.archive_write_add_filter_gzip(w->archive) == ARCHIVE_OK &&
            la.archive_write_set_options(w->archive, "gzip:compression-level=2") == ARCHIVE_OK);
}

struct mailarchive_writer *mailarchive_create(int fd, enum mailarchive_kind kind, struct err *e)
{
    struct mailarchive_writer *w = heap_alloc(sizeof *w);

    w->fd = fd;
    w->archive = la.archive_write_new();
    w->entry = la.archive_entry_new();
    if (w->archive && w->entry && configure(w, kind) &&
        la.archive_write_open(w->archive, w, NULL, on_write, NULL) == ARCHIVE_OK)
        return w;
    if (w->archive)
        (void)fail_write(w, e);
    else
        (void)fail(e, ERR_TEMPORARY, "no memory to write an archive");
    mailarchive_free(w);
    return NULL;
}

static bool put_header(struct mailarchive_writer *w, struct str name, unsigned type, unsigned mode,
                       uint64_t size, int64_t mtime, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 * 1024);
    const char *path = arena_cstring(&a, name);

    if (!path || size > INT64_MAX)
        return fail(e, ERR_SYNTAX, "no name or size for an archive");
    la.archive_entry_clear(w->entry);
    la.archive_entry_copy_pathname(w->entry, path);
    la.archive_entry_set_filetype(w->entry, type);
    la.archive_entry_set_perm(w->entry, (__LA_MODE_T)mode);
    la.archive_entry_set_size(w->entry, (la_int64_t)size);
    la.archive_entry_set_mtime(w->entry, mtime, 0);
    return la.archive_write_header(w->archive, w->entry) >= ARCHIVE_WARN || fail_write(w, e);
}

bool mailarchive_put_dir(struct mailarchive_writer *w, struct str name, int64_t mtime, struct err *e)
{
    return put_header(w, name, AE_IFDIR, DIR_MODE, 0, mtime, e);
}

bool mailarchive_begin(struct mailarchive_writer *w, struct str name, uint64_t size, int64_t mtime,
                       struct err *e)
{
    return put_header(w, name, AE_IFREG, FILE_MODE, size, mtime, e);
}

bool mailarchive_put(struct mailarchive_writer *w, struct str bytes, struct err *e)
{
    return la.archive_write_data(w->archive, bytes.p, bytes.n) == (la_ssize_t)bytes.n || fail_write(w, e);
}

bool mailarchive_finish(struct mailarchive_writer *w, struct err *e)
{
    return la.archive_write_close(w->archive) == ARCHIVE_OK || fail_write(w, e);
}

void mailarchive_free(struct mailarchive_writer *w)
{
    if (!w)
        return;
    if (w->entry)
        la.archive_entry_free(w->entry);
    if (w->archive)
        la.archive_write_free(w->archive);
    free(w);
}
