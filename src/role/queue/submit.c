/*
 * Messages that sessions bring: an envelope, its recipients, then the message. They are stored together,
 * with one sync for all that has gathered.
 */
#include <stdlib.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/queue/queue_role.h"

enum {
    MAX_ANSWERS = 256, // that wait for one commit
    REPORT_ATTEMPTS = 5,
};

/* A message that a session is submitting. In service_peer's data. */
struct submission {
    struct arena a;
    bool is_open;
    struct queue_new message;
    struct queue_recipient *recipients;
    size_t n, cap;
    uint32_t expected;
    bool is_waiting; // for the commit
};

static uint64_t answers[MAX_ANSWERS]; // peers whose messages wait for the commit
static size_t n_answers;

static bool on_submit(struct service_peer *p, struct packet *m, struct err *e)
{
    struct submission *s = p->data;
    struct ipc_submit submit;

    if (!ipc_submit_get(m->body, &submit, e))
        return false;
    // Port 25 gives back what some of several recipients could not take; it goes to local accounts
    // only, and has no account of its own.
    if (!p->account.n && p->protocol != IPC_PROTOCOL_SMTP && p->role != ROLE_ADMIN)
        return fail(e, ERR_DENIED, "submission without a login");
    if (submit.name.n && p->role != ROLE_ADMIN)
        return fail(e, ERR_DENIED, "a name that only admin gives");
    if (s->is_waiting)
        return fail(e, ERR_DENIED, "submission before the answer to the last one");
    arena_reset(&s->a);
    s->recipients = NULL;
    s->n = s->cap = 0;
    s->is_open = true;
    s->expected = submit.recipients;
    s->message = (struct queue_new){.origin = p->role == ROLE_ADMIN ? QUEUE_OWN_REPORT
                                              : p->account.n        ? QUEUE_SUBMITTED
                                                                    : QUEUE_FROM_OUTSIDE,
                                    .account = p->account,
                                    // mox-smtp-delivery.md 5.4: nobody waits for a report.
                                    .max_attempts = p->role == ROLE_ADMIN ? REPORT_ATTEMPTS : 0,
                                    .reverse_path = arena_dup(&s->a, submit.reverse_path),
                                    .prefix = arena_dup(&s->a, submit.prefix),
                                    .max_per_day = p->max_per_day,
                                    .max_first_per_day = p->max_first_per_day,
                                    .is_8bit = submit.is_8bit,
                                    .is_binary = submit.is_binary,
                                    .is_smtputf8 = submit.is_smtputf8,
                                    .require_tls = submit.require_tls,
                                    .hold_until_unix = (int64_t)submit.hold_until_unix,
                                    .future_release = arena_dup(&s->a, submit.future_release),
                                    .ret = (enum queue_ret)submit.ret,
                                    .envid = arena_dup(&s->a, submit.envid),
                                    .message_id = arena_dup(&s->a, submit.message_id),
                                    .name = arena_dup(&s->a, submit.name),
                                    .is_sender_real = submit.is_sender_real,
                                    .keep_retired_s = p->keep_retired_s};
    return true;
}

// A recipient at another server, of a message from outside: by auth's word, not the session's. All
// recipients of such a message are, since it has another reverse path.
static bool take_relay(const struct service_peer *p, struct submission *s, uint32_t number,
                       struct str *address, struct err *e)
{
    const struct passing *r;

    if (!number)
        return s->message.origin != QUEUE_RELAYED ||
               fail(e, ERR_DENIED, "a recipient here among those elsewhere");
    r = p->role == ROLE_SESSION && p->protocol == IPC_PROTOCOL_SMTP ? passing_find(p->conn, number) : NULL;
    if (!r)
        return fail(e, ERR_DENIED, "passed on without a grant");
    if (s->n && s->message.origin != QUEUE_RELAYED)
        return fail(e, ERR_DENIED, "a recipient elsewhere among those here");
    if (s->n && !str_eq(s->message.reverse_path, r->reverse_path))
        return fail(e, ERR_DENIED, "two reverse paths of one message");
    s->message.origin = QUEUE_RELAYED;
    s->message.reverse_path = arena_dup(&s->a, r->reverse_path);
    *address = arena_dup(&s->a, r->recipient);
    return true;
}

static bool on_submit_rcpt(struct service_peer *p, struct packet *m, struct err *e)
{
    struct submission *s = p->data;
    struct ipc_submit_rcpt rcpt;

    if (!ipc_submit_rcpt_get(m->body, &rcpt, e))
        return false;
    if (!s->is_open || s->n >= s->expected)
        return fail(e, ERR_DENIED, "more recipients than were announced");
    if ((rcpt.delivery_id.n || rcpt.refused_code) && p->protocol != IPC_PROTOCOL_SMTP)
        return fail(e, ERR_DENIED, "a submission that an account has seen");
    if (rcpt.delivery_id.n && !str_starts(rcpt.delivery_id, STR("s.")))
        return fail(e, ERR_DENIED, "the delivery id is not a session's");
    rcpt.address = arena_dup(&s->a, rcpt.address);
    if (!take_relay(p, s, rcpt.relay, &rcpt.address, e))
        return false;
    *ARENA_PUSH(&s->a, s->recipients, &s->n, &s->cap) = (struct queue_recipient){
        .address = rcpt.address,
        .delivery_id = arena_dup(&s->a, rcpt.delivery_id),
        .notify = rcpt.notify,
        .orcpt = arena_dup(&s->a, rcpt.orcpt),
        .refused_code = rcpt.refused_code,
        .refused_enhanced = arena_dup(&s->a, rcpt.refused_enhanced),
        .refused_text = arena_dup(&s->a, rcpt.refused_text)};
    return true;
}

static bool answer(struct service_peer *p, bool is_ok, const struct err *why, struct err *e)
{
    const struct submission *s = p->data;

    if (is_ok)
        LOG(LOG_INFO, "queue", "message queued", LOG_S("account", p->account),
            LOG_N("recipients", s->n), LOG_N("size", s->message.size), LOG_X("cid", p->conn));
    else
        LOG(LOG_ERROR, "queue", "message not queued", LOG_E(why), LOG_X("cid", p->conn));
    if (!is_ok && why->kind == ERR_LIMIT)
        return IPC_SEND(&p->ch, verdict, NULL, 0, e, .code = 451, .enhanced = STR("4.7.1"),
                        .text = str_of(why->text));
    if (!is_ok && why->is_full)
        return IPC_SEND(&p->ch, verdict, NULL, 0, e, .code = 452, .enhanced = STR("4.3.1"),
                        .text = STR("no room for the message now, try again later"));
    return IPC_SEND(&p->ch, verdict, NULL, 0, e, .code = is_ok ? 250 : 451,
                    .enhanced = is_ok ? STR("2.2.0") : STR("4.3.0"),
                    .text = is_ok ? STR("queued") : STR("the message cannot be stored now"));
}

bool submit_is_waiting(void)
{
    return n_answers > 0;
}

void submit_committed(bool is_ok, const struct err *why)
{
    for (size_t i = 0; i < n_answers; i++) {
        struct service_peer *p = service_peer_by_id(answers[i]);
        struct err e = {0};

        if (!p)
            continue; // it has gone; its message is kept all the same
        ((struct submission *)p->data)->is_waiting = false;
        if (!answer(p, is_ok, why, &e))
            LOG(LOG_INFO, "queue", "cannot answer", LOG_E(&e), LOG_X("cid", p->conn));
    }
    n_answers = 0;
}

static bool on_submit_data(struct service_peer *p, struct packet *m, struct err *e)
{
    struct submission *s = p->data;
    struct fromid_refusal refusal = {0};
    struct ipc_submit_data data;
    AUTO_FD fd = -1;
    struct err why = {0};

    if (!ipc_submit_data_get(m->body, &data, e))
        return false;
    if (!s->is_open || !s->n || s->n != s->expected)
        return fail(e, ERR_DENIED, "data without its envelope");
    fd = packet_take_fd(m, 0);
    if (!os_memfile_is_sealed(fd))
        return fail(e, ERR_DENIED, "the message is not sealed");
    s->is_open = false;
    s->message.recipients = s->recipients;
    s->message.n_recipients = s->n;
    s->message.fd = fd;
    s->message.size = data.size;
    if (s->message.origin == QUEUE_SUBMITTED &&
        !fromid_paths(&s->a, p->login, &s->message, &refusal, &why))
        return answer(p, false, &why, e);
    if (refusal.code)
        return IPC_SEND(&p->ch, verdict, NULL, 0, e, .code = refusal.code, .enhanced = str_of(refusal.enhanced),
                        .text = str_of(refusal.text));
    if (!queue_add(queue_role.queue, &s->message, &why))
        return answer(p, false, &why, e);
    s->is_waiting = true;
    answers[n_answers++] = p->id;
    if (n_answers == MAX_ANSWERS)
        (void)queue_role_commit();
    return true;
}

bool submit_message(struct service_peer *p, struct packet *m, struct err *e)
{
    switch ((int)m->type) {
    case IPC_submit:
        return on_submit(p, m, e);
    case IPC_submit_rcpt:
        return on_submit_rcpt(p, m, e);
    default:
        return on_submit_data(p, m, e);
    }
}

void submit_opened(struct service_peer *p)
{
    struct submission *s = heap_alloc(sizeof *s);

    // Of 1000 recipients with all that can be said of each, and a return path of their own.
    s->a = (struct arena)ARENA_LIMIT(12 << 20);
    p->data = s;
}

void submit_closed(struct service_peer *p)
{
    struct submission *s = p->data;

    arena_fini(&s->a);
    free(s);
}
