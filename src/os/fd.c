#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int fd_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

int fd_copy(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static bool make_pair(int type, int out[2], struct err *e)
{
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, out) < 0)
        return fail_errno(e, "socketpair");
    return true;
}

bool fd_pair_packets(int out[2], struct err *e)
{
    return make_pair(SOCK_SEQPACKET, out, e);
}

bool fd_pair_stream(int out[2], struct err *e)
{
    return make_pair(SOCK_STREAM, out, e);
}

bool fd_send(int socket, struct str bytes, int fd, struct err *e)
{
    struct iovec part = {(void *)bytes.p, bytes.n};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    ssize_t sent;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    do
        sent = sendmsg(socket, &msg, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return fail_errno(e, "passing a descriptor");
    return (size_t)sent == bytes.n || fail(e, ERR_TEMPORARY, "the other side does not read");
}

bool fd_receive(int socket, char *bytes, size_t n, size_t *got, int *fd, struct err *e)
{
    struct iovec part = {bytes, n};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c;
    ssize_t r;

    *fd = -1;
    do
        r = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return fail_errno(e, "reading from the server");
    *got = (size_t)r;
    c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    return true;
}

bool fd_set_nonblocking(int fd, struct err *e)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail_errno(e, "set non-blocking");
    return true;
}

void os_limit(unsigned open_files)
{
    struct rlimit core = {0, 0}, files;

    setrlimit(RLIMIT_CORE, &core);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max < open_files ? files.rlim_max : open_files;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

uint64_t os_inode(int fd)
{
    struct stat st;

    // The call itself: libc's fstat asks by an empty path, and sandboxes allow no paths.
    return syscall(SYS_fstat, fd, &st) == 0 ? st.st_ino : 0;
}
