/*
 * The session template, and what a forked session does first.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/crypto.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "policy/psl.h"
#include "role/certificates.h"
#include "role/session/session.h"
#include "role/template.h"

static struct tls_server *servers[ROLE_MAX_GIVEN]; // by listener index
static struct session *current;                    // the one session of a forked child

static bool sign(void *ctx, uint32_t key, int type, unsigned parameter, struct str digest, struct buf *out,
                 struct err *e)
{
    const struct granted_operation op = {key, type, parameter, digest};
    struct granted g = session_granted(current);

    (void)ctx;
    return granted_sign(&g, &current->keys, &op, out, e);
}

static const struct key_signer signer = {NULL, sign};

static const char *protocol_name(uint8_t protocol)
{
    return protocol == IPC_PROTOCOL_IMAP ? "imap"
           : protocol == IPC_PROTOCOL_SMTP ? "smtp" : "submission";
}

// What every session does first, for nothing: the pages that it touches are this process's own when a
// client waits.
static void rehearse(const struct role_start *start)
{
    AUTO_BUF id = BUF_LIMIT(64);
    AUTO_BUF input = BUF_LIMIT(SESSION_BUFFER);

    received_id_put(&id, start->received_key, 0);
    memset(buf_room(&input, SESSION_BUFFER), 0, SESSION_BUFFER);
}

static void prepare_session(struct role_start *start)
{
    child_enter_sandbox(start, NULL, 0);
    rehearse(start);
}

// In the forked child. Everything in the packet's texts is copied before the next receive.
static void run_session(struct role_start *start, struct packet *p)
{
    struct session s = {.start = start, .monitor = {-1}, .front = {-1}, .auth = {-1},
                        .queue = {-1}, .keys = {-1}, .dkim = {-1}, .admin = {-1},
                        .arena = ARENA_LIMIT(16 << 20),
                        .line_arena = ARENA_LIMIT(4 << 20), .in = BUF_LIMIT(256 * 1024),
                        .out = BUF_LIMIT(256 * 1024)};
    struct err e = {0};
    AUTO_BUF received_id = BUF_LIMIT(64);
    bool has_front = p->n_fds == 3;

    if (!ipc_session_start_get(p->body, &s.conn, &e) ||
        !stream_open(&s.stream, packet_take_fd(p, 0), &e))
        _exit(1);
    s.monitor = (struct channel){packet_take_fd(p, 1), ROLE_SESSION, ROLE_MONITOR};
    s.front = (struct channel){has_front ? packet_take_fd(p, 2) : -1, ROLE_SESSION, ROLE_FRONT};
    s.conn.remote = arena_dup(&s.arena, s.conn.remote);
    s.conn.local = arena_dup(&s.arena, s.conn.local);
    s.port = role_port(start, s.conn.listener);
    if (!s.port)
        _exit(1);
    s.packet = p;
    s.is_tls = s.conn.is_tls;
    s.tls_version = arena_dup(&s.arena, s.conn.version);
    s.tls_cipher = arena_dup(&s.arena, s.conn.cipher);
    s.has_client_key = s.conn.has_client_key;
    // The key does not stay where strangers' bytes are read.
    received_id_put(&received_id, start->received_key, s.conn.conn);
    explicit_bzero(start->received_key, sizeof start->received_key);
    s.received_id = buf_str(&received_id);
    s.tls = s.conn.listener < ROLE_MAX_GIVEN ? servers[s.conn.listener] : NULL;
    current = &s;
    os_title_set("mox: session %s %.*s", protocol_name(s.port->protocol), STR_FMT(s.conn.remote));
    log_set_cid(s.conn.conn);
    if (s.port->protocol == IPC_PROTOCOL_IMAP)
        imap_session(&s);
    else
        smtp_session(&s);
    if (s.stream.fd >= 0)
        stream_close(&s.stream);
    _exit(0);
}

_Noreturn void session_template_main(void)
{
    static const struct child_kind kind = {IPC_session_start, prepare_session, run_session};
    static struct role_start s;

    role_start(&s, ROLE_SESSION_TEMPLATE);
    crypto_warm_tls();
    psl_warm();
    certificates_load(&s, &(struct certificates_use){.protocols = 1u << IPC_PROTOCOL_SMTP, .signer = &signer}, servers);
    template_loop(&s, &kind);
}
