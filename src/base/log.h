/*
 * Log lines in logfmt on standard error, whole lines of at most 4 KiB, with a level per package.
 *
 *     LOG(LOG_INFO, "queue", "message queued", LOG_S("account", name), LOG_N("id", id));
 *     -> l=info m="message queued" pkg=queue account=alice id=12
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

/* From most to least verbose; PRINT and FATAL always appear. */
enum log_level {
    LOG_TRACEDATA,
    LOG_TRACEAUTH,
    LOG_TRACE,
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
    LOG_FATAL,
    LOG_PRINT,
};

struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_NUMBER, LOG_FIELD_SIGNED, LOG_FIELD_HEX, LOG_FIELD_ERR } type;
    struct str text;
    uint64_t number;
};

#define LOG_S(key, value) ((struct log_field){(key), LOG_FIELD_STR, (value), 0})
#define LOG_N(key, value) ((struct log_field){(key), LOG_FIELD_NUMBER, {0}, (uint64_t)(value)})
#define LOG_I(key, value)                                                                          \
    ((struct log_field){(key), LOG_FIELD_SIGNED, {0}, (uint64_t)(int64_t)(value)})
#define LOG_X(key, value) ((struct log_field){(key), LOG_FIELD_HEX, {0}, (uint64_t)(value)})
/* The text of a struct err *, as err=; it comes right after the message. */
#define LOG_E(e) ((struct log_field){"err", LOG_FIELD_ERR, str_of((e)->text), 0})

#define LOG(level, package, message, ...)                                                          \
    do {                                                                                           \
        if (log_is_on((level), (package))) {                                                       \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_write((level), (package), (message), log_fields_ + 1, COUNT(log_fields_) - 1);     \
        }                                                                                          \
    } while (0)

/* True when a line of this level and package would be written. */
bool log_is_on(enum log_level level, const char *package);
void log_write(enum log_level level, const char *package, const char *message,
               const struct log_field *fields, size_t n);

/* Calls fn for each line that is written, from now on. */
void log_count_with(void (*fn)(enum log_level level));

/* Adds " cid=<hex>" to every further line of this thread; 0 ends that. */
void log_set_cid(uint64_t cid);

/*
 * Levels: package "" is the default. level_name "" removes the package's own level.
 * ERR_SYNTAX for an unknown level, ERR_LIMIT past 64 packages.
 */
MUST_USE bool log_set_level(struct str package, struct str level_name, struct err *e);
/* All levels as lines "package: level", "(default)" first, then sorted; into the caller's buf. */
struct buf;
void log_list_levels(struct buf *out);
/* True and *out for one of the names error, info, debug, trace, ...; ERR_SYNTAX names all of them. */
MUST_USE bool log_level_parse(struct str name, enum log_level *out, struct err *e);

/* logfmt for servers; or "level: message: err (key: value)" for people at a terminal. */
void log_set_human(bool human);
/* With "<4>" and the like before each line, of which the journal makes its priority (sd-daemon(3)). */
void log_set_priority(bool priority);
/* Where lines go; standard error unless a test says otherwise. */
void log_set_fd(int fd);
