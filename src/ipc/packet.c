#include <stdlib.h>

#include "base/arena.h"
#include "ipc/channel.h"
#include "os/fd.h"

struct packet *packet_new(void)
{
    // Its bytes are written before they are read: zeroing 160 kB would touch forty pages for most
    // messages' few hundred bytes.
    struct packet *p = heap_resize(NULL, 1, sizeof *p);

    p->type = IPC_none;
    p->body = (struct str){0};
    p->n_fds = 0;
    for (size_t i = 0; i < IPC_MAX_FDS; i++)
        p->fds[i] = -1;
    return p;
}

void packet_free(struct packet *p)
{
    if (p)
        packet_close_fds(p);
    free(p);
}

void packet_close_fds(struct packet *p)
{
    for (size_t i = 0; i < IPC_MAX_FDS; i++)
        fd_close(&p->fds[i]);
    p->n_fds = 0;
}

int packet_take_fd(struct packet *p, size_t i)
{
    return i < IPC_MAX_FDS ? fd_take(&p->fds[i]) : -1;
}
