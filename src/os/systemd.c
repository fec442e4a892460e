#include "os/systemd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cur.h"
#include "os/fd.h"

bool systemd_notify(const char *state, struct err *e)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t n = path ? strlen(path) : 0;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    AUTO_FD fd = -1;

    if (!n)
        return true;
    if (n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
        return fail(e, ERR_SYNTAX, "NOTIFY_SOCKET is no address: %s", path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') // an abstract one
        a.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&a,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        return fail_errno(e, "telling %s by NOTIFY_SOCKET", state);
    return true;
}

bool systemd_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM"); // "device:inode"
    struct str device, inode;
    uint64_t dev, ino;
    struct stat st;

    return stream && str_cut(str_of(stream), ':', &device, &inode) && str_u64(device, UINT64_MAX, &dev) &&
           str_u64(inode, UINT64_MAX, &ino) && fstat(fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}
