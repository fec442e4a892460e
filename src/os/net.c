#include "os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/ip.h"
#include "os/clock.h"
#include "os/fd.h"

enum { BACKLOG = 512 };

int net_parse_ip(struct str text, unsigned char out[16])
{
    struct ip ip;

    if (!ip_parse(text, &ip))
        return 0;
    memcpy(out, ip.bytes, sizeof ip.bytes);
    return ip.family;
}

int net_listen(struct str ip, unsigned port, struct err *e)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    unsigned char bytes[16];
    int family = net_parse_ip(ip, bytes), one = 1;
    AUTO_FD fd = -1;

    if (!family) {
        fail(e, ERR_SYNTAX, "\"%.*s\" is not an IP address", STR_FMT(ip));
        return -1;
    }
    memcpy(&v4.sin_addr, bytes, 4);
    memcpy(&v6.sin6_addr, bytes, 16);
    fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        (family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0) ||
        bind(fd, family == 4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
             family == 4 ? sizeof v4 : sizeof v6) < 0 ||
        listen(fd, BACKLOG) < 0) {
        fail_errno(e, "listen on %.*s port %u", STR_FMT(ip), port);
        return -1;
    }
    return fd_take(&fd);
}

static bool is_link_local(const struct ip *ip)
{
    return ip->family == 4 ? ip->bytes[0] == 169 && ip->bytes[1] == 254
                           : ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

static bool is_multicast(const struct ip *ip)
{
    return ip->family == 4 ? ip->bytes[0] >= 224 : ip->bytes[0] == 0xff;
}

static bool own_address_of(const struct ifaddrs *i, struct ip *out)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)i->ifa_addr;

    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP))
        return false;
    return (i->ifa_addr->sa_family == AF_INET && ip_of_bytes(str_at(&v4->sin_addr, 4), out)) ||
           (i->ifa_addr->sa_family == AF_INET6 && ip_of_bytes(str_at(&v6->sin6_addr, 16), out));
}

// Whether an interface has addresses that are nobody's on the Internet.
static bool is_private_interface(const struct ifaddrs *all, const char *name)
{
    struct ip ip;

    for (const struct ifaddrs *i = all; i; i = i->ifa_next)
        if (strcmp(i->ifa_name, name) == 0 && own_address_of(i, &ip) && !is_link_local(&ip) && !ip_is_public(&ip))
            return true;
    return false;
}

size_t net_own_addresses(struct net_own *out, size_t max)
{
    struct ifaddrs *all = NULL;
    size_t n = 0;

    if (getifaddrs(&all))
        return 0;
    for (const struct ifaddrs *i = all; i && n < max; i = i->ifa_next)
        if (own_address_of(i, &out[n].ip) && !is_link_local(&out[n].ip) && !is_multicast(&out[n].ip)) {
            out[n].is_public = !is_private_interface(all, i->ifa_name);
            n++;
        }
    freeifaddrs(all);
    return n;
}

static int connect_one(const struct addrinfo *to, int timeout_ms, struct err *e)
{
    AUTO_FD fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t n = sizeof error;

    if (fd < 0 || (connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)) {
        fail_errno(e, "connect");
        return -1;
    }
    if (poll(&p, 1, timeout_ms) != 1 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n))
        error = ETIMEDOUT;
    if (error) {
        errno = error;
        fail_errno(e, "connect");
        return -1;
    }
    return fd_take(&fd);
}

int net_connect(struct str host, unsigned port, int timeout_ms, struct err *e)
{
    struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    int64_t end = os_monotonic_ms() + timeout_ms;
    char name[256], service[16];
    int fd = -1, rc;

    if (host.n >= sizeof name || str_find(host, '\0') != STR_NONE) {
        fail(e, ERR_SYNTAX, "no name of a host");
        return -1;
    }
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(name, service, &want, &found);
    if (rc) {
        fail(e, ERR_TEMPORARY, "looking up %s: %s", name, gai_strerror(rc));
        return -1;
    }
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        int64_t left = end - os_monotonic_ms();

        fd = connect_one(a, left > 0 ? (int)left : 0, e);
    }
    freeaddrinfo(found);
    if (fd < 0)
        fail_in(e, "%s port %u", name, port);
    return fd;
}

int net_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1, idle = NET_KEEPALIVE_SECONDS;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    return fd;
}

size_t net_peek(int fd, char *p, size_t n)
{
    ssize_t got = recv(fd, p, n, MSG_PEEK | MSG_DONTWAIT);

    return got > 0 ? (size_t)got : 0;
}

bool net_wake_at(int fd, size_t n)
{
    int value = (int)n;

    return n <= INT_MAX && setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value) == 0;
}

static void address_text(const struct sockaddr_storage *a, char out[NET_ADDRESS_TEXT])
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)a;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)a;

    memset(out, 0, NET_ADDRESS_TEXT);
    if (a->ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, out, NET_ADDRESS_TEXT);
    else if (a->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &v6->sin6_addr, out, NET_ADDRESS_TEXT);
}

void net_remote_text(int fd, char out[NET_ADDRESS_TEXT])
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;

    if (getpeername(fd, (struct sockaddr *)&a, &n) < 0)
        a.ss_family = AF_UNSPEC;
    address_text(&a, out);
}

void net_local_text(int fd, char out[NET_ADDRESS_TEXT])
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;

    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        a.ss_family = AF_UNSPEC;
    address_text(&a, out);
}

static bool unix_address(const char *path, struct sockaddr_un *out, struct err *e)
{
    size_t n = strlen(path);

    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n >= sizeof out->sun_path)
        return fail(e, ERR_LIMIT, "path of the control socket is too long: %s", path);
    memcpy(out->sun_path, path, n);
    return true;
}

int net_listen_unix(const char *path, struct err *e)
{
    struct sockaddr_un a;
    AUTO_FD fd = -1;

    if (!unix_address(path, &a, e))
        return -1;
    unlink(path); // what a killed server left behind
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // Of the socket, which bind takes over: the path could lead to another file by then.
    if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
        listen(fd, 16) < 0) {
        fail_errno(e, "control socket %s", path);
        return -1;
    }
    return fd_take(&fd);
}

int net_connect_unix(const char *path, struct err *e)
{
    struct sockaddr_un a;
    AUTO_FD fd = -1;

    if (!unix_address(path, &a, e))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            fail_errno(e, "no server is running: connecting to control socket at %s", path);
        else
            fail_errno(e, "connecting to control socket at %s", path);
        return -1;
    }
    return fd_take(&fd);
}
