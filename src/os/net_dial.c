#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "os/fd.h"
#include "os/net.h"

// Returns the length of *out.
static socklen_t put_address(const struct ip *ip, unsigned port, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    *out = (struct sockaddr_storage){0};
    if (ip->family == 4) {
        memcpy(&v4.sin_addr, ip->bytes, 4);
        memcpy(out, &v4, sizeof v4);
        return sizeof v4;
    }
    memcpy(&v6.sin6_addr, ip->bytes, 16);
    memcpy(out, &v6, sizeof v6);
    return sizeof v6;
}

int net_dial(const struct ip *to, unsigned port, const struct ip *from, int *code, struct err *e)
{
    struct sockaddr_storage address;
    socklen_t n;
    int one = 1, idle = NET_KEEPALIVE_SECONDS;
    AUTO_FD fd = socket(to->family == 4 ? AF_INET : AF_INET6,
                        SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *code = errno;
    if (fd < 0) {
        fail_errno(e, "socket");
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    if (from) {
        n = put_address(from, 0, &address);
        if (bind(fd, (struct sockaddr *)&address, n) < 0) {
            *code = errno;
            fail_errno(e, "source address");
            return -1;
        }
    }
    n = put_address(to, port, &address);
    if (connect(fd, (struct sockaddr *)&address, n) < 0 && errno != EINPROGRESS) {
        *code = errno;
        fail_errno(e, "connect");
        return -1;
    }
    return fd_take(&fd);
}

int net_dial_result(int fd)
{
    int code = 0;
    socklen_t n = sizeof code;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0 ? errno : code;
}
