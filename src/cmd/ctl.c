#include "cmd/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cur.h"
#include "cmd/cmd.h"
#include "cmd/paths.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "text/encode.h"

enum { READ_BYTES = 64 * 1024, LONGEST_LINE = 64 * 1024 };

bool ctl_open(struct ctl_client *c, struct err *e)
{
    struct str line, data_dir;
    const char *path;

    *c = (struct ctl_client){.fd = -1, .in = BUF_LIMIT(16 << 20), .a = ARENA_LIMIT(64 << 20)};
    if (!paths_data_dir(&c->a, &data_dir, e))
        return false;
    path = arena_cstring(&c->a, arena_printf(&c->a, "%.*s/ctl", STR_FMT(data_dir)));
    c->fd = net_connect_unix(path, e);
    if (c->fd < 0)
        return false;
    if (!ctl_line(c, &line, e))
        return false;
    return str_eq(line, STR("ctlv0")) ||
           fail(e, ERR_CONFLICT, "the server speaks another version: \"%.*s\"", STR_FMT(line));
}

void ctl_close(struct ctl_client *c)
{
    fd_close(&c->fd);
    buf_fini(&c->in);
    arena_fini(&c->a);
}

bool ctl_send(struct ctl_client *c, struct str line, struct err *e)
{
    // A line break would begin the next parameter.
    if (str_find(line, '\n') != STR_NONE)
        return fail(e, ERR_SYNTAX, "no line breaks allowed");
    return os_write_all(c->fd, line, e) && os_write_all(c->fd, STR("\n"), e);
}

static bool read_more(struct ctl_client *c, struct err *e)
{
    char *room = buf_room(&c->in, READ_BYTES);
    ssize_t got = room ? read(c->fd, room, READ_BYTES) : -1;

    if (got < 0)
        return fail_errno(e, "reading from the server");
    if (got == 0)
        return fail(e, ERR_NOT_FOUND, "the server ended the conversation");
    buf_claim(&c->in, (size_t)got);
    return true;
}

bool ctl_line(struct ctl_client *c, struct str *out, struct err *e)
{
    ptrdiff_t end;

    while ((end = str_find(buf_str(&c->in), '\n')) < 0)
        if (!read_more(c, e))
            return false;
    *out = arena_dup(&c->a, str_sub(buf_str(&c->in), 0, (size_t)end));
    buf_drop(&c->in, (size_t)end + 1);
    return true;
}

static bool is_progress(struct str line, uint64_t *n, uint64_t *all)
{
    struct cur c = cur_of(line);

    return cur_skip_str(&c, STR("progress ")) && cur_u64(&c, UINT64_MAX, n) && cur_skip(&c, ' ') &&
           cur_u64(&c, UINT64_MAX, all) && cur_peek(&c) < 0;
}

bool ctl_ok_after(struct ctl_client *c, ctl_progress_fn *progress, struct err *e)
{
    struct str line;
    uint64_t n, all;

    if (!ctl_line(c, &line, e))
        return false;
    while (progress && is_progress(line, &n, &all)) {
        progress(n, all);
        if (!ctl_line(c, &line, e))
            return false;
    }
    return str_eq(line, STR("ok")) || fail(e, ERR_DENIED, "%.*s", STR_FMT(line));
}

bool ctl_ok(struct ctl_client *c, struct err *e)
{
    return ctl_ok_after(c, NULL, e);
}

bool ctl_command(struct ctl_client *c, const char *command, const struct str *arguments, size_t n, struct err *e)
{
    if (!ctl_open(c, e) || !ctl_send(c, str_of(command), e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!ctl_send(c, arguments[i], e))
            return false;
    return ctl_ok(c, e);
}

bool ctl_take_fd(struct ctl_client *c, int *fd, struct err *e)
{
    char bytes[1024];
    size_t got;

    if (!fd_receive(c->fd, bytes, sizeof bytes, &got, fd, e))
        return false;
    buf_put(&c->in, str_at(bytes, got));
    return ctl_ok(c, e) && (*fd >= 0 || fail(e, ERR_DENIED, "the server gave no channel"));
}

static void print_shown(struct buf *held)
{
    AUTO_BUF shown = BUF_LIMIT(16 * LONGEST_LINE);

    utf8_put_shown(&shown, buf_str(held));
    if (shown.n)
        fwrite(shown.p, 1, shown.n, stdout);
    buf_reset(held);
}

// Whole lines; their tabs stay.
static void print_lines(struct buf *held, struct str bytes, bool is_end)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] != '\n' && bytes.p[i] != '\t' && held->n < LONGEST_LINE) {
            buf_put_char(held, bytes.p[i]);
            continue;
        }
        print_shown(held);
        if (bytes.p[i] == '\n' || bytes.p[i] == '\t')
            putchar(bytes.p[i]);
        else
            buf_put_char(held, bytes.p[i]);
    }
    if (is_end)
        print_shown(held);
}

bool ctl_print_stream(struct ctl_client *c, enum ctl_stream what, struct err *e)
{
    AUTO_BUF held = BUF_LIMIT(2 * LONGEST_LINE);

    for (;;) {
        struct str line;
        uint64_t left;

        if (!ctl_line(c, &line, e))
            return false;
        if (!str_u64(line, SIZE_MAX / 2, &left))
            return fail(e, ERR_DENIED, "%.*s", STR_FMT(line));
        if (!left) {
            print_lines(&held, STR(""), true);
            return true;
        }
        while (left) {
            size_t n = c->in.n < left ? c->in.n : (size_t)left;

            if (what == CTL_BYTES)
                fwrite(c->in.p, 1, n, stdout);
            else
                print_lines(&held, str_at(c->in.p, n), false);
            buf_drop(&c->in, n);
            left -= n;
            if (left && !read_more(c, e))
                return false;
        }
        if (!os_write_all(c->fd, STR("ok\n"), e))
            return false;
    }
}

int ctl_run(const char *command, const struct str *arguments, size_t n)
{
    struct err e = {0};
    AUTO_CTL c = {.fd = -1};

    return ctl_command(&c, command, arguments, n, &e) ? 0 : cmd_fail(&e);
}

int ctl_show(const char *command, const struct str *arguments, size_t n, enum ctl_stream what)
{
    struct err e = {0};
    AUTO_CTL c = {.fd = -1};

    return ctl_command(&c, command, arguments, n, &e) && ctl_print_stream(&c, what, &e) ? 0 : cmd_fail(&e);
}
