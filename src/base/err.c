#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Text from outside may be among the arguments: an error is one printable line.
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 32 || *text == 127)
            *text = '?';
}

bool fail(struct err *e, enum err_kind kind, const char *format, ...)
{
    va_list args;

    if (!e)
        return false;
    e->kind = kind;
    e->is_full = false;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    make_printable(e->text);
    return false;
}

static enum err_kind kind_of_errno(int number)
{
    switch (number) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_CONFLICT;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_TEMPORARY;
    }
}

bool fail_errno(struct err *e, const char *format, ...)
{
    int number = errno;
    char reason[80];
    char what[sizeof e->text];
    va_list args;

    if (!e)
        return false;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    (void)fail(e, kind_of_errno(number), "%.110s: %s", what,
               strerror_r(number, reason, sizeof reason));
    e->is_full = number == ENOSPC || number == EDQUOT;
    return false;
}

bool fail_in(struct err *e, const char *format, ...)
{
    char what[sizeof e->text], text[sizeof e->text];
    va_list args;
    bool is_full;

    if (!e)
        return false;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    memcpy(text, e->text, sizeof text);
    is_full = e->is_full;
    (void)fail(e, e->kind, "%.80s: %.115s", what, text);
    e->is_full = is_full;
    return false;
}
