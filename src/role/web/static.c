/*
 * Files of a web site (mox-web-http-api.md 5.5, WebStatic).
 *
 * The kernel keeps every path below the handler's directory, whatever links are in it: those that stay below are
 * followed, those that lead out are as good as not there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/web/files.h"
#include "role/web/web.h"
#include "web/encoding.h"
#include "web/listing.h"
#include "web/mime.h"
#include "web/range.h"

enum { MAX_LISTED = 10000, BOUNDARY_BYTES = 15 };

static const struct str index_name = STR_("index.html");
static const struct str html_type = STR_("text/html; charset=utf-8");

/* What is served: where, and by which handler. */
struct place {
    struct web_exchange *x;
    const struct site_handler *h;
    int root;
    struct str path; // below the root, without a slash at its begin
};

// Opening never waits, whatever it is. as_path: only to ask about it.
static int open_at(const struct place *p, struct str path, bool as_path, struct stat *st)
{
    const char *name = arena_cstring(p->x->arena, path.n ? path : STR("."));
    unsigned flags = as_path ? O_PATH : O_RDONLY | O_NONBLOCK | O_NOCTTY;
    int fd = name ? os_open_beneath_flags(p->root, name, flags) : -1;

    if (fd >= 0 && fstat(fd, st))
        fd_close(&fd);
    return fd;
}

// ContinueNotFound: the next handler may have it.
static bool decline(const struct place *p, unsigned status)
{
    if (p->h->continues)
        return false;
    web_fail(p->x, status, STR(""));
    return true;
}

static bool deny(const struct place *p)
{
    struct web_reply r = {.status = 403, .body = STR("403 - permission denied\n")};

    web_field(p->x, &r, STR("Content-Type"), STR("text/plain; charset=utf-8"));
    web_reply(p->x, &r);
    return true;
}

static bool fail_open(const struct place *p, int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EXDEV: // a link that leads out
    case ENXIO:
        return decline(p, 404);
    case EACCES:
    case EPERM:
        return deny(p);
    default:
        LOG(LOG_ERROR, "webserver", "opening a file", LOG_S("why", str_of(strerror(code))),
            LOG_S("path", str_sub(p->path, 0, 500)));
        web_fail(p->x, 500, STR(""));
        return true;
    }
}

static void add_fields(const struct place *p, struct web_reply *r)
{
    for (size_t i = 0; i < p->h->fields.n; i++)
        if (!str_eq_ci(p->h->fields.items[i].name, STR("Content-Type")))
            web_field(p->x, r, p->h->fields.items[i].name, p->h->fields.items[i].value);
}

/* --- one file --------------------------------------------------------------------------------------- */

static struct str type_of(const struct place *p, int fd)
{
    struct str own = http_field_get(&p->h->fields, STR("Content-Type")), type = mime_of_name(p->path);
    char first[MIME_SNIFF];
    ssize_t n;

    if (own.n)
        return own;
    if (type.n)
        return type;
    n = pread(fd, first, sizeof first, 0);
    return mime_of_bytes(str_at(first, n > 0 ? (size_t)n : 0));
}

static struct str field(const struct place *p, const char *name)
{
    const struct http_field *f = http_field_find(&p->x->request->fields, str_of(name));

    return f ? f->value : (struct str){0};
}

// A list may be in several fields (RFC 9110 5.3).
static struct str list_field(const struct place *p, const char *name)
{
    AUTO_BUF b = BUF_LIMIT(HTTP_MAX_HEAD);
    struct http_fields all = p->x->request->fields;
    bool is_there = false;

    for (size_t i = 0; i < all.n; i++)
        if (str_eq_ci(all.items[i].name, str_of(name))) {
            if (is_there)
                BUF_PUT(&b, ", ");
            buf_put(&b, all.items[i].value);
            is_there = true;
        }
    return is_there ? arena_dup(p->x->arena, buf_str(&b)) : (struct str){0};
}

/* Parts of a file, between their heads. */
struct parts {
    int fd;
    struct ranges ranges;
    uint64_t size;
    struct str boundary, type;
    size_t next;       // range
    uint64_t at, left; // of the one that is being sent
    struct buf head;
    bool is_end;
};

static enum web_got read_parts(void *ctx, char *p, size_t n, size_t *got, struct err *e)
{
    struct parts *s = ctx;
    ssize_t rc;

    *got = 0;
    if (!s->head.n && !s->left && !s->is_end) {
        if (s->next < s->ranges.n) {
            const struct range *r = &s->ranges.items[s->next++];

            range_put_part(&s->head, s->boundary, s->type, r, s->size);
            s->at = r->first;
            s->left = r->last - r->first + 1;
        } else {
            range_put_end(&s->head, s->boundary);
            s->is_end = true;
        }
    }
    if (s->head.n) {
        *got = n < s->head.n ? n : s->head.n;
        memcpy(p, s->head.p, *got);
        buf_drop(&s->head, *got);
        return WEB_GOT;
    }
    if (!s->left)
        return WEB_END;
    rc = pread(s->fd, p, n < s->left ? n : (size_t)s->left, (off_t)s->at);
    if (rc <= 0) {
        (void)fail(e, ERR_TEMPORARY, "the file has become shorter, or cannot be read");
        return WEB_FAILED;
    }
    *got = (size_t)rc;
    s->at += *got;
    s->left -= *got;
    return WEB_GOT;
}

static void close_parts(void *ctx)
{
    struct parts *s = ctx;

    buf_fini(&s->head);
    fd_close(&s->fd);
}

static void reply_parts(const struct place *p, struct web_reply *r, const struct site_file *f,
                        const struct ranges *ranges, uint64_t size)
{
    struct parts *s = ARENA_NEW(p->x->arena, struct parts);
    struct web_source *source = ARENA_NEW(p->x->arena, struct web_source);
    unsigned char random[BOUNDARY_BYTES];
    AUTO_BUF boundary = BUF_LIMIT(64);

    os_random(random, sizeof random); // in no file by chance
    for (size_t i = 0; i < sizeof random; i++)
        buf_printf(&boundary, "%02x", random[i]);
    *s = (struct parts){.fd = fd_copy(f->fd), .ranges = *ranges, .size = size, .type = f->type,
                        .boundary = arena_dup(p->x->arena, buf_str(&boundary)), .head = BUF_LIMIT(64 << 10)};
    *source = (struct web_source){s, -1, read_parts, close_parts};
    r->status = 206;
    r->source = source;
    r->has_length = true;
    r->length = range_body_size(ranges, s->boundary, f->type, size);
    web_field(p->x, r, STR("Content-Type"),
              arena_printf(p->x->arena, "multipart/byteranges; boundary=%.*s", STR_FMT(s->boundary)));
    web_reply(p->x, r);
}

static void put_content_range(const struct place *p, struct web_reply *r, const struct range *range, uint64_t size)
{
    AUTO_BUF b = BUF_LIMIT(128);

    range_put_content(&b, range, size);
    web_field(p->x, r, STR("Content-Range"), arena_dup(p->x->arena, buf_str(&b)));
}

static void reply_whole(const struct place *p, struct web_reply *r, int fd, uint64_t at, uint64_t length,
                        struct str type)
{
    struct web_file file = {fd, at};

    web_field(p->x, r, STR("Content-Type"), type);
    r->file = &file;
    r->length = length;
    web_reply(p->x, r);
}

// A file of that name with ".gz" behind it that is not older; -1: none.
static int open_packed(const struct place *p, const struct stat *st, struct str type, struct stat *packed)
{
    int fd = -1;

    if (!p->h->compresses || !encoding_is_worth_it(type) || !encoding_takes_gzip(field(p, "Accept-Encoding")))
        return -1;
    fd = open_at(p, arena_printf(p->x->arena, "%.*s.gz", STR_FMT(p->path)), false, packed);
    if (fd >= 0 && (!S_ISREG(packed->st_mode) || packed->st_mtime < st->st_mtime))
        fd_close(&fd);
    return fd;
}

static void reply_file(const struct place *p, const struct site_file *f)
{
    struct conditions conditions = {list_field(p, "If-Match"), list_field(p, "If-None-Match"),
                                    field(p, "If-Modified-Since"), field(p, "If-Unmodified-Since"),
                                    field(p, "If-Range")};
    // RFC 9110 14.2: GET alone.
    struct str range = p->x->request->method == HTTP_GET ? list_field(p, "Range") : (struct str){0};
    int64_t now = os_now_unix_ms() / 1000;
    uint64_t size = (uint64_t)f->st.st_size;
    struct web_reply r = {.status = 200};
    struct ranges ranges;
    struct stat packed;
    AUTO_FD gz = -1;

    add_fields(p, &r);
    web_field(p->x, &r, STR("Last-Modified"), f->modified);
    web_field(p->x, &r, STR("ETag"), f->validators.etag);
    web_field(p->x, &r, STR("Accept-Ranges"), STR("bytes"));
    // RFC 9110 15.3.7, 15.4.5: of a part, and of what has not changed, as of the whole.
    compress_put_vary(p->x, &r, f->type);
    switch (condition_check(&conditions, &f->validators)) {
    case CONDITION_NOT_MODIFIED:
        r.status = 304;
        web_reply(p->x, &r);
        return;
    case CONDITION_FAILED:
        web_fail(p->x, 412, STR(""));
        return;
    case CONDITION_SEND:
        break;
    }
    if (range.p && condition_range_counts(&conditions, &f->validators, now)) {
        switch (range_parse(range, size, &ranges)) {
        case RANGE_NOT_SATISFIABLE:
            r = (struct web_reply){.status = 416, .body = STR("416 - range not satisfiable\n")};
            put_content_range(p, &r, NULL, size);
            web_field(p->x, &r, STR("Content-Type"), STR("text/plain; charset=utf-8"));
            web_reply(p->x, &r);
            return;
        case RANGE_SOME:
            if (ranges.n > 1) {
                reply_parts(p, &r, f, &ranges, size);
                return;
            }
            r.status = 206;
            put_content_range(p, &r, &ranges.items[0], size);
            reply_whole(p, &r, f->fd, ranges.items[0].first, ranges.items[0].last - ranges.items[0].first + 1, f->type);
            return;
        case RANGE_WHOLE:
            break;
        }
    }
    gz = open_packed(p, &f->st, f->type, &packed);
    if (gz >= 0) {
        web_field(p->x, &r, STR("Content-Encoding"), STR("gzip"));
        for (size_t i = 0; i < r.fields.n; i++) // not these bytes, but as good
            if (str_eq(r.fields.items[i].name, STR("ETag")))
                r.fields.items[i].value = arena_printf(p->x->arena, "W/%.*s", STR_FMT(f->validators.etag));
        reply_whole(p, &r, gz, 0, (uint64_t)packed.st_size, f->type);
        return;
    }
    reply_whole(p, &r, f->fd, 0, size, f->type);
}

/* --- directories --------------------------------------------------------------------------------------- */

// Files and directories; of links those that can be served. The name in out is the caller's.
static bool look_at(const struct place *p, int dir, const char *name, struct listing_entry *out)
{
    struct stat st;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return false;
    if (S_ISLNK(st.st_mode)) {
        AUTO_ARENA a = ARENA_LIMIT(4 * HTTP_MAX_TARGET); // for one name, not for those of thousands
        struct str path = arena_printf(&a, "%.*s%s", STR_FMT(p->path), name);
        AUTO_FD fd = os_open_beneath_flags(p->root, path.p, O_PATH);

        if (fd < 0 || fstat(fd, &st))
            return false;
    }
    *out = (struct listing_entry){str_of(name), S_ISDIR(st.st_mode), (uint64_t)st.st_size, st.st_mtim.tv_sec};
    return S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
}

/* The page of a directory, as it is made. */
struct page {
    struct listing listing;
    struct buf piece;
};

static enum web_got read_page(void *ctx, char *p, size_t n, size_t *got, struct err *e)
{
    struct page *s = ctx;

    (void)e;
    if (!s->piece.n)
        listing_put(&s->piece, &s->listing);
    *got = n < s->piece.n ? n : s->piece.n;
    if (*got)
        memcpy(p, s->piece.p, *got);
    buf_drop(&s->piece, *got);
    return *got ? WEB_GOT : WEB_END;
}

static void close_page(void *ctx)
{
    buf_fini(&((struct page *)ctx)->piece);
}

// fd is used up.
static bool reply_listing(const struct place *p, int fd)
{
    struct web_source *source = ARENA_NEW(p->x->arena, struct web_source);
    struct page *s = ARENA_NEW(p->x->arena, struct page);
    struct web_reply r = {.status = 200, .source = source};
    struct listing *l = &s->listing;
    struct listing_entry entry;
    DIR *dir = fdopendir(fd);
    size_t cap = 0;

    if (!dir) {
        close(fd);
        return fail_open(p, errno);
    }
    *s = (struct page){.listing = {.path = p->x->request->path}, .piece = BUF_LIMIT(LISTING_PIECE)};
    *source = (struct web_source){s, -1, read_page, close_page};
    for (struct dirent *d; !l->has_more && (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 && look_at(p, fd, d->d_name, &entry)) {
            l->has_more = l->n == MAX_LISTED;
            if (l->has_more)
                break;
            entry.name = arena_dup(p->x->arena, entry.name);
            *ARENA_PUSH(p->x->arena, l->entries, &l->n, &cap) = entry;
        }
    closedir(dir);
    add_fields(p, &r);
    web_field(p->x, &r, STR("Content-Type"), html_type);
    web_reply(p->x, &r);
    return true;
}

// Whether there was an index.
static bool reply_index(const struct place *p)
{
    struct place index = *p;
    const struct site_file *f;
    const char *name;
    struct stat st;
    int fd;

    index.path = arena_printf(p->x->arena, "%.*s%s%.*s", STR_FMT(p->path),
                              p->path.n && !str_ends(p->path, STR("/")) ? "/" : "", STR_FMT(index_name));
    name = arena_cstring(p->x->arena, index.path);
    f = name ? files_find(p->h, p->root, name, true) : NULL;
    if (!f) {
        fd = open_at(&index, index.path, false, &st);
        if (fd >= 0 && !S_ISREG(st.st_mode))
            fd_close(&fd);
        if (fd < 0)
            return false;
        f = files_keep(p->h, name, true, fd, &st, html_type);
    }
    reply_file(&index, f);
    return true;
}

static bool redirect_to_slash(const struct place *p)
{
    AUTO_BUF to = BUF_LIMIT(4 * HTTP_MAX_TARGET);

    http_percent_encode(&to, p->x->request->path, true);
    buf_put_char(&to, '/');
    if (p->x->request->has_query)
        buf_put_char(&to, '?');
    buf_put(&to, p->x->request->query);
    web_redirect(p->x, 307, arena_dup(p->x->arena, buf_str(&to)));
    return true;
}

bool static_serve(struct web_exchange *x, const struct site_handler *h, int root)
{
    struct place p = {x, h, root, {0}};
    bool names_dir = str_ends(x->request->path, STR("/"));
    const struct site_file *f;
    const char *name;
    struct stat st;
    AUTO_FD fd = -1;

    if (x->request->method != HTTP_GET && x->request->method != HTTP_HEAD && h->continues)
        return false;
    if (!web_is_get(x))
        return true;
    if (!site_file_path(h, x->request, &p.path) || root < 0)
        return decline(&p, 404);
    name = arena_cstring(x->arena, p.path);
    f = name && !names_dir ? files_find(h, root, name, false) : NULL;
    if (f) {
        reply_file(&p, f);
        return true;
    }
    fd = open_at(&p, p.path, false, &st);
    if (fd < 0 && errno == EACCES) {
        // A directory may be open to those who know what is in it.
        return (names_dir && reply_index(&p)) || fail_open(&p, EACCES);
    }
    if (fd < 0)
        return fail_open(&p, errno);
    if (S_ISDIR(st.st_mode)) {
        if (!names_dir)
            return redirect_to_slash(&p);
        if (reply_index(&p))
            return true;
        return h->lists_files ? reply_listing(&p, fd_take(&fd)) : decline(&p, 403);
    }
    // No pipes, sockets and devices, and no file that is asked for as a directory.
    if (!S_ISREG(st.st_mode) || names_dir)
        return decline(&p, 404);
    {
        struct str type = type_of(&p, fd);

        reply_file(&p, files_keep(h, name, false, fd_take(&fd), &st, type));
    }
    return true;
}
