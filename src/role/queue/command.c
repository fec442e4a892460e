/*
 * What `mox queue` asks, by way of admin.
 */
#include "base/log.h"
#include "os/clock.h"
#include "queue/manage.h"
#include "role/queue/queue_role.h"

enum {
    AT_ONCE = 500, // entries changed by one request; others have their turn in between
};

struct answer {
    struct buf *out;
    uint64_t more;
};

static bool change(const struct ipc_queue_command *m, const struct queue_filter *f,
                   struct answer *answer, struct err *e)
{
    static uint64_t changed; // by the requests so far
    size_t max = AT_ONCE, n;

    changed = m->after ? changed : 0;
    if (f->max && f->max - changed < AT_ONCE)
        max = (size_t)(f->max - changed);
    if (m->verb >= QUEUE_CHANGE_COUNT)
        return fail(e, ERR_SYNTAX, "no such command");
    if (m->verb == QUEUE_TRANSPORT && m->value.n && !transport_is_known(m->value))
        return fail(e, ERR_NOT_FOUND, "no transport \"%.*s\" in mox.conf", STR_FMT(m->value));
    if (!queue_change(queue_role.queue, (enum queue_change)m->verb, f, m->value, m->after, max, &n,
                      &answer->more, e))
        return false;
    changed += n;
    if (m->verb != QUEUE_HOLD && m->verb != QUEUE_FAIL && m->verb != QUEUE_DROP)
        down_forget(); // somebody has mended something, and wants it to be tried
    if (f->max && changed >= f->max)
        answer->more = 0;
    LOG(LOG_INFO, "queue", "changed by command", LOG_N("change", m->verb), LOG_N("messages", n));
    buf_put_u64(answer->out, n);
    return true;
}

static bool take_id(struct str text, uint64_t *out, struct err *e)
{
    return str_u64(text, INT64_MAX, out) ||
           fail(e, ERR_SYNTAX, "\"%.*s\" is no number", STR_FMT(text));
}

static bool add_hold_rule(struct str value, struct buf *out, struct err *e)
{
    struct str account, sender, recipient, rest;
    size_t n;

    if (!str_cut(value, '\t', &account, &rest) || !str_cut(rest, '\t', &sender, &recipient))
        return fail(e, ERR_SYNTAX, "a rule has three fields");
    if (!queue_hold_rules_add(queue_role.queue, account, sender, recipient, &n, e))
        return false;
    buf_put_u64(out, n);
    return true;
}

// What it waited for is gone with it: nobody is told, since nobody could be.
static bool forget_account(struct str account, uint64_t after, struct answer *answer, struct err *e)
{
    struct queue_filter all = {.account = account};
    size_t n;

    if (!account.n) // would be everybody's
        return fail(e, ERR_SYNTAX, "an account is needed");
    return queue_change(queue_role.queue, QUEUE_DROP, &all, STR(""), after, AT_ONCE, &n, &answer->more, e) &&
           (answer->more || queue_suppress_forget(queue_role.queue, account, e));
}

static bool run(const struct ipc_queue_command *m, const struct queue_filter *f,
                struct answer *answer, struct err *e)
{
    struct str account = m->value, address = STR("");
    struct queue *q = queue_role.queue;
    uint64_t id;

    switch ((int)m->verb) {
    case IPC_QUEUE_LIST:
        return queue_list(q, f, m->after, answer->out, &answer->more, e);
    case IPC_QUEUE_RETIRED_LIST:
        return queue_retired_list(q, f, m->after, answer->out, &answer->more, e);
    case IPC_QUEUE_DUMP:
        return take_id(m->value, &id, e) &&
               queue_dump(q, id, m->after, answer->out, &answer->more, e);
    case IPC_QUEUE_RETIRED_PRINT:
        return take_id(m->value, &id, e) && queue_retired_print(q, id, answer->out, e);
    case IPC_QUEUE_HOLD_RULES_LIST:
        return queue_hold_rules_list(q, answer->out, e);
    case IPC_QUEUE_HOLD_RULES_ADD:
        return add_hold_rule(m->value, answer->out, e);
    case IPC_QUEUE_HOLD_RULES_REMOVE:
        return take_id(m->value, &id, e) && queue_hold_rules_remove(q, id, e);
    case IPC_QUEUE_SUPPRESS_LIST:
        return queue_suppress_list(q, m->value, m->after, answer->out, &answer->more, e);
    case IPC_QUEUE_SUPPRESS_ADD:
    case IPC_QUEUE_SUPPRESS_REMOVE:
    case IPC_QUEUE_SUPPRESS_LOOKUP:
        if (!str_cut(m->value, '\t', &account, &address))
            return fail(e, ERR_SYNTAX, "an account and an address are needed");
        return m->verb == IPC_QUEUE_SUPPRESS_ADD
                   ? queue_suppress_add(q, account, address, e)
               : m->verb == IPC_QUEUE_SUPPRESS_REMOVE
                   ? queue_suppress_remove(q, account, address, e)
                   : queue_suppress_lookup(q, account, address, answer->out, e);
    case IPC_QUEUE_SENDERS:
        return queue_senders(q, m->value, m->after, answer->out, &answer->more, e);
    case IPC_QUEUE_FORGET:
        return forget_account(m->value, m->after, answer, e);
    default:
        return change(m, f, answer, e);
    }
}

bool command_message(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_LINES - 64);
    struct answer answer = {.out = &out};
    struct ipc_queue_command m;
    struct queue_filter filter;
    struct err why = {0};
    bool is_ok;

    if (!ipc_queue_command_get(packet->body, &m, e))
        return false;
    is_ok = queue_filter_parse(&a, m.filter, os_now_unix(), &filter, &why) &&
            run(&m, &filter, &answer, &why);
    queue_role.has_work = true;
    // What is answered has been done.
    if (!queue_role_commit() && is_ok)
        is_ok = fail(&why, ERR_TEMPORARY, "the change could not be written");
    return IPC_SEND(&p->ch, admin_reply, NULL, 0, e, .is_ok = is_ok, .more = answer.more,
                    .text = is_ok ? buf_str(&out) : str_of(why.text));
}
