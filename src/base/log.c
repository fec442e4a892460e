#include "base/log.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"

enum { MAX_LINE = 4096, MAX_PACKAGES = 64, MAX_NAME = 32 };

static const char *const level_names[] = {"tracedata", "traceauth", "trace", "debug", "info",
                                          "warn",      "error",     "fatal", "print"};

struct package_level {
    char name[MAX_NAME];
    enum log_level level;
};

// Written at start and by rare requests; read on every line. The lock is for the threads of
// account and auth.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level default_level = LOG_INFO;
static struct package_level packages[MAX_PACKAGES];
static size_t n_packages;
static bool is_human, has_priority;
static int log_fd = STDERR_FILENO;
static _Thread_local uint64_t thread_cid;

bool log_level_parse(struct str name, enum log_level *out, struct err *e)
{
    for (size_t i = 0; i < COUNT(level_names); i++)
        if (str_eq(name, str_of(level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    return fail(e, ERR_SYNTAX, "unknown log level \"%.*s\": error, warn, info, debug, trace, traceauth and tracedata"
                               " are there", STR_FMT(str_sub(name, 0, MAX_NAME)));
}

void log_set_human(bool human)
{
    is_human = human;
}

void log_set_priority(bool priority)
{
    has_priority = priority;
}

void log_set_fd(int fd)
{
    log_fd = fd;
}

void log_set_cid(uint64_t cid)
{
    thread_cid = cid;
}

static struct package_level *find_package(struct str name)
{
    for (size_t i = 0; i < n_packages; i++)
        if (str_eq(name, str_of(packages[i].name)))
            return &packages[i];
    return NULL;
}

bool log_is_on(enum log_level level, const char *package)
{
    struct package_level *own;
    enum log_level threshold;

    if (level >= LOG_FATAL)
        return true;
    pthread_mutex_lock(&lock);
    own = n_packages ? find_package(str_of(package)) : NULL;
    threshold = own ? own->level : default_level;
    pthread_mutex_unlock(&lock);
    return level >= threshold;
}

// Called with the lock held.
static bool set_level(struct str package, struct str level_name, struct err *e)
{
    struct package_level *own = find_package(package);
    enum log_level level = LOG_INFO;

    if (level_name.n && !log_level_parse(level_name, &level, e))
        return false;
    if (!package.n) {
        if (!level_name.n)
            return fail(e, ERR_SYNTAX, "the default log level cannot be empty");
        default_level = level;
        return true;
    }
    if (package.n >= MAX_NAME)
        return fail(e, ERR_LIMIT, "package name too long");
    if (!level_name.n) {
        if (own)
            *own = packages[--n_packages];
        return true;
    }
    if (!own) {
        if (n_packages == MAX_PACKAGES)
            return fail(e, ERR_LIMIT, "levels for more than %d packages", MAX_PACKAGES);
        own = &packages[n_packages++];
        memset(own->name, 0, sizeof own->name);
        memcpy(own->name, package.p, package.n);
    }
    own->level = level;
    return true;
}

bool log_set_level(struct str package, struct str level_name, struct err *e)
{
    bool ok;

    pthread_mutex_lock(&lock);
    ok = set_level(package, level_name, e);
    pthread_mutex_unlock(&lock);
    return ok;
}

void log_list_levels(struct buf *out)
{
    struct str previous = {0};

    pthread_mutex_lock(&lock);
    buf_printf(out, "(default): %s\n", level_names[default_level]);
    for (size_t done = 0; done < n_packages; done++) {
        struct package_level *next = NULL;

        for (size_t i = 0; i < n_packages; i++) {
            struct str name = str_of(packages[i].name);

            if ((!done || str_cmp(name, previous) > 0) &&
                (!next || str_cmp(name, str_of(next->name)) < 0))
                next = &packages[i];
        }
        if (!next)
            break;
        buf_printf(out, "%s: %s\n", next->name, level_names[next->level]);
        previous = str_of(next->name);
    }
    pthread_mutex_unlock(&lock);
}

static bool needs_quotes(struct str s)
{
    if (!s.n)
        return true;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c >= 0x7f)
            return true;
    }
    return false;
}

static void put_quoted(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789abcdef";

    buf_put_char(b, '"');
    for (size_t i = 0; i < s.n && b->n < MAX_LINE - 64; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\') {
            buf_put_char(b, '\\');
            buf_put_char(b, (char)c);
        } else if (c == '\n') {
            BUF_PUT(b, "\\n");
        } else if (c == '\r') {
            BUF_PUT(b, "\\r");
        } else if (c == '\t') {
            BUF_PUT(b, "\\t");
        } else if (c < ' ' || c >= 0x7f) {
            BUF_PUT(b, "\\x");
            buf_put_char(b, hex[c >> 4]);
            buf_put_char(b, hex[c & 15]);
        } else {
            buf_put_char(b, (char)c);
        }
    }
    buf_put_char(b, '"');
}

static void put_value(struct buf *b, const struct log_field *f)
{
    if (f->type == LOG_FIELD_NUMBER)
        buf_put_u64(b, f->number);
    else if (f->type == LOG_FIELD_SIGNED)
        buf_printf(b, "%lld", (long long)(int64_t)f->number);
    else if (f->type == LOG_FIELD_HEX)
        buf_printf(b, "%llx", (unsigned long long)f->number);
    else if (needs_quotes(f->text))
        put_quoted(b, f->text);
    else
        buf_put(b, str_sub(f->text, 0, MAX_LINE / 2));
}

static void put_logfmt(struct buf *b, enum log_level level, const char *package,
                       const char *message, const struct log_field *fields, size_t n)
{
    buf_printf(b, "l=%s m=", level_names[level]);
    put_quoted(b, str_of(message));
    for (size_t i = 0; i < n; i++)
        if (fields[i].type == LOG_FIELD_ERR) {
            BUF_PUT(b, " err=");
            put_quoted(b, fields[i].text);
        }
    buf_printf(b, " pkg=%s", package);
    for (size_t i = 0; i < n; i++) {
        if (fields[i].type == LOG_FIELD_ERR)
            continue;
        buf_printf(b, " %s=", fields[i].key);
        put_value(b, &fields[i]);
    }
    if (thread_cid)
        buf_printf(b, " cid=%llx", (unsigned long long)thread_cid);
}

static void put_human(struct buf *b, enum log_level level, const char *message,
                      const struct log_field *fields, size_t n)
{
    const char *separator = "; ";

    if (level != LOG_PRINT)
        buf_printf(b, "%s: ", level_names[level]);
    buf_put(b, str_of(message));
    for (size_t i = 0; i < n; i++)
        if (fields[i].type == LOG_FIELD_ERR) {
            BUF_PUT(b, ": ");
            buf_put(b, fields[i].text);
        }
    for (size_t i = 0; i < n; i++)
        if (fields[i].type != LOG_FIELD_ERR) {
            buf_printf(b, "%s%s=", separator, fields[i].key);
            put_value(b, &fields[i]);
            separator = " ";
        }
}

// As syslog numbers them (RFC 5424 6.2.1).
static const char priorities[COUNT(level_names)] = {'7', '7', '7', '7', '6', '4', '3', '2', '5'};

static void (*count_line)(enum log_level level);

void log_count_with(void (*fn)(enum log_level level))
{
    count_line = fn;
}

void log_write(enum log_level level, const char *package, const char *message,
               const struct log_field *fields, size_t n)
{
    AUTO_BUF b = BUF_LIMIT(MAX_LINE - 1); // room for the line end

    if (count_line)
        count_line(level);
    if (has_priority)
        buf_printf(&b, "<%c>", priorities[level]);
    if (is_human)
        put_human(&b, level, message, fields, n);
    else
        put_logfmt(&b, level, package, message, fields, n);
    b.full = false; // a line that was too long is cut
    b.limit = MAX_LINE;
    buf_put_char(&b, '\n');
    // One write: lines of several processes on one pipe stay whole. Nowhere to report a failure.
    if (write(log_fd, b.p, b.n) < 0)
        return;
}
