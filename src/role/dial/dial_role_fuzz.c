/*
 * dial: what those who want connections may say to it, and resolve about the servers behind the proxy. In place of
 * os/net_dial.c, the last byte of an address says what becomes of a connection; to where it may be made is looked at here.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/die.h"
#include "os/fd.h"
#include "os/net.h"
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REFUSED = 2, AT_ONCE = 3, SILENT = 4, WEB_PORT = 8080, TRANSPORT_PORT = 587 };

// A socket that is ready at once, or never; what is asked of it then is its buffer's size.
static int made(bool is_silent, int code)
{
    int ends[2];
    char full[4096] = {0};

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        die("no socket");
    while (is_silent && send(ends[0], full, sizeof full, MSG_NOSIGNAL) > 0)
        ;
    if (code && shutdown(ends[0], SHUT_RD))
        die("no socket");
    if (is_silent)
        (void)!fd_take(&ends[1]); // somebody must have it
    else
        close(ends[1]);
    return ends[0];
}

// The most that any of them may have, by this configuration.
static void check(const struct ip *to, unsigned port)
{
    static const struct ip update = {4, {192, 0, 2, 53}};
    bool is_target = port == WEB_PORT; // of a server behind the proxy: wherever its name leads

    if (to->family != 4 && to->family != 6)
        die("no address is dialed");
    if (to->family == 4 && (to->bytes[0] == 0 || to->bytes[0] >= 224))
        die("an address is dialed that is nobody's");
    if (port != 25 && port != TRANSPORT_PORT && port != 443 && !is_target && !(port == 53 && ip_eq(to, &update)))
        die("port %u is dialed", port);
}

int net_dial(const struct ip *to, unsigned port, const struct ip *from, int *code, struct err *e)
{
    unsigned last = to->bytes[to->family == 4 ? 3 : 15];

    check(to, port);
    if (from && from->family != to->family)
        die("an address of the other family is dialed from");
    if (last == AT_ONCE) {
        *code = ENETUNREACH;
        (void)fail(e, ERR_TEMPORARY, "no route");
        return -1;
    }
    return made(last == SILENT, last == REFUSED ? ECONNREFUSED : 0);
}

int net_dial_result(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0 ? ECONNREFUSED : 0;
}

static void configure(struct buf *config, struct buf *file)
{
    (void)file;
    COMPILED_PUT(config, dial_port, .port = TRANSPORT_PORT);
    COMPILED_PUT(config, acme_dns, .provider = STR("ca"), .server = STR("192.0.2.53"), .port = 53);
    COMPILED_PUT(config, web_target, .host = STR("back.example"), .port = WEB_PORT);
    COMPILED_PUT(config, web_target, .host = STR("192.0.2.1"), .port = WEB_PORT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("\xc0\x00\x02\x01"), STR_("\xc0\x00\x02\x02"), STR_("\xc0\x00\x02\x03"), STR_("\xc0\x00\x02\x04"), STR_("\xc0\x00\x02\x35"),
        STR_("\x7f\x00\x00\x01"), STR_("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"), STR_("\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01"),
        STR_("\x08\x08\x08\x08"), STR_("\xe0\0\0\x01"), STR_("back.example"), STR_("192.0.2.1"), STR_("\x06\x00\x00\xc0\x00\x02\x01"),
        STR_("\x06\x00\x00\xc0\x00\x02\x02\x06\x00\x00\xc0\x00\x02\x04"), STR_("\0\0\0\0"), STR_("other.example"),
    };
    static const struct role_fuzz r = {.role = ROLE_DIAL, .main = dial_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
