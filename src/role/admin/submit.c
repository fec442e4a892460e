/*
 * Messages of the server's own, on their way to the queue.
 */
#include "os/fd.h"
#include "os/file.h"
#include "role/admin/admin.h"

static bool hand_over(struct service_peer *to, const struct admin_mail *m, int fd, struct packet *p,
                      struct err *e)
{
    struct ipc_verdict v;

    if (!IPC_SEND(&to->ch, submit, NULL, 0, e, .reverse_path = m->from, .recipients = (uint32_t)m->n_to,
                  .require_tls = m->requires_no_tls ? 2 : 0, .name = m->name))
        return false;
    for (size_t i = 0; i < m->n_to; i++)
        if (!IPC_SEND(&to->ch, submit_rcpt, NULL, 0, e, .address = m->to[i]))
            return false;
    return IPC_SEND(&to->ch, submit_data, &fd, 1, e, .size = m->message.n) &&
           admin_expect(&to->ch, IPC_verdict, p, e) && ipc_verdict_get(p->body, &v, e) &&
           (v.code == 250 || fail(e, ERR_TEMPORARY, "queue: %.*s", STR_FMT(v.text)));
}

bool admin_submit(const struct admin_mail *m, struct err *e)
{
    AUTO_FD fd = os_memfile("message", e);
    struct service_peer *to;
    struct packet *p;
    bool is_ok;

    if (fd < 0 || !os_write_all(fd, m->message, e) ||
        !os_memfile_seal(fd, e) || !admin_peer(ROLE_QUEUE, &to, e))
        return false;
    p = packet_new();
    is_ok = hand_over(to, m, fd, p, e);
    packet_free(p);
    return is_ok;
}
