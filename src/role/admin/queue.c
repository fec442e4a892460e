/*
 * `mox queue`: what the queue answers in pieces, put together.
 */
#include "role/admin/admin.h"

static bool ask(uint8_t verb, struct str filter, struct str value, uint64_t after,
                struct ipc_admin_reply *out, struct err *e)
{
    struct service_peer *queue;

    return admin_peer(ROLE_QUEUE, &queue, e) &&
           IPC_SEND(&queue->ch, queue_command, NULL, 0, e, .verb = verb, .filter = filter,
                    .value = value, .after = after) &&
           admin_await(&queue->ch, out, e);
}

// A stream of all pieces; without any, what is given for nothing.
static bool stream(struct ctl *c, uint8_t verb, struct str filter, struct str value,
                   struct str header, struct str nothing, struct err *e)
{
    struct ipc_admin_reply reply = {0};
    struct err why = {0};
    uint64_t after = 0;

    for (bool is_first = true; is_first || after; is_first = false) {
        if (!ask(verb, filter, value, after, &reply, &why))
            return is_first ? admin_answer(c, &why, e) : admin_put(c, arena_printf(&c->a, "%s\n", why.text), e);
        if (is_first && (!admin_put(c, STR("ok\n"), e) ||
                         (header.n && !admin_put_piece(c, header, e)) ||
                         (!reply.text.n && nothing.n && !admin_put_piece(c, nothing, e))))
            return false;
        if (reply.text.n && !admin_put_piece(c, reply.text, e))
            return false;
        after = reply.more;
    }
    return admin_put(c, STR("0\n"), e);
}

static bool run_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    return stream(c, IPC_QUEUE_LIST, arguments[0], STR(""), STR("messages:\n"), STR("(none)\n"), e);
}

static bool run_retired_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    return stream(c, IPC_QUEUE_RETIRED_LIST, arguments[0], STR(""), STR("messages:\n"),
                  STR("(none)\n"), e);
}

static bool run_dump(struct ctl *c, const struct str *arguments, struct err *e)
{
    return stream(c, IPC_QUEUE_DUMP, STR(""), arguments[0], STR(""), STR(""), e);
}

static bool run_retired_print(struct ctl *c, const struct str *arguments, struct err *e)
{
    return stream(c, IPC_QUEUE_RETIRED_PRINT, STR(""), arguments[0], STR(""), STR(""), e);
}

static bool run_hold_rules_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    (void)arguments;
    return stream(c, IPC_QUEUE_HOLD_RULES_LIST, STR(""), STR(""), STR("hold rules:\n"),
                  STR("(none)\n"), e);
}

static bool run_suppress_list(struct ctl *c, const struct str *arguments, struct err *e)
{
    return stream(c, IPC_QUEUE_SUPPRESS_LIST, STR(""), arguments[0],
                  STR("suppressions (account, address, manual, time added, base address, reason):\n"),
                  STR("(none)\n"), e);
}

static bool run_suppress_lookup(struct ctl *c, const struct str *arguments, struct err *e)
{
    return stream(c, IPC_QUEUE_SUPPRESS_LOOKUP, STR(""), arguments[0], STR(""), STR(""), e);
}

// What answers with nothing but that it is done.
static bool simple(struct ctl *c, uint8_t verb, struct str value, struct err *e)
{
    struct ipc_admin_reply reply;
    struct err why = {0};

    if (!ask(verb, STR(""), value, 0, &reply, &why))
        return admin_answer(c, &why, e);
    return admin_put(c, arena_printf(&c->a, "ok\n%.*s\n", STR_FMT(reply.text)), e);
}

// The value begins with an account, or with a tab. auth, which knows them, lists no keys of one that there is not.
static bool has_account(struct str value, struct err *e)
{
    struct ipc_admin_reply reply;
    struct service_peer *auth;
    struct str account, rest;

    if (!str_cut(value, '\t', &account, &rest) || !account.n)
        return true;
    return admin_peer(ROLE_AUTH, &auth, e) &&
           IPC_SEND(&auth->ch, client_key_list, NULL, 0, e, .account = account) && admin_await(&auth->ch, &reply, e);
}

static bool run_hold_rules_add(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    if (!has_account(arguments[0], &why))
        return admin_answer(c, &why, e);
    return simple(c, IPC_QUEUE_HOLD_RULES_ADD, arguments[0], e);
}

static bool run_hold_rules_remove(struct ctl *c, const struct str *arguments, struct err *e)
{
    return simple(c, IPC_QUEUE_HOLD_RULES_REMOVE, arguments[0], e);
}

static bool run_suppress_add(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct err why = {0};

    if (!has_account(arguments[0], &why))
        return admin_answer(c, &why, e);
    return simple(c, IPC_QUEUE_SUPPRESS_ADD, arguments[0], e);
}

static bool run_suppress_remove(struct ctl *c, const struct str *arguments, struct err *e)
{
    return simple(c, IPC_QUEUE_SUPPRESS_REMOVE, arguments[0], e);
}

/*
 * Verb (a number of enum queue_change), filter, value: "ok", then how many so far after each piece, "progress N",
 * and how many in all.
 */
static bool run_change(struct ctl *c, const struct str *arguments, struct err *e)
{
    struct ipc_admin_reply reply = {0};
    struct err why = {0};
    uint64_t after = 0, n, verb, total = 0;

    if (!str_u64(arguments[0], IPC_QUEUE_LIST - 1, &verb)) {
        (void)fail(&why, ERR_SYNTAX, "no such change");
        return admin_answer(c, &why, e);
    }
    for (bool is_first = true; is_first || after; is_first = false) {
        if (!ask((uint8_t)verb, arguments[1], arguments[2], after, &reply, &why))
            return admin_answer(c, &why, e);
        if (is_first && !admin_put(c, STR("ok\n"), e))
            return false;
        if (str_u64(reply.text, UINT32_MAX, &n))
            total += n;
        after = reply.more;
        if (after && !admin_put(c, arena_printf(&c->a, "progress %llu\n", (unsigned long long)total), e))
            return false;
    }
    return admin_put(c, arena_printf(&c->a, "%llu\n", (unsigned long long)total), e);
}

const struct command queue_commands[] = {
    {STR_("queuelist"), 1, run_list},
    {STR_("queuechange"), 3, run_change},
    {STR_("queuedump"), 1, run_dump},
    {STR_("queueretiredlist"), 1, run_retired_list},
    {STR_("queueretiredprint"), 1, run_retired_print},
    {STR_("queueholdruleslist"), 0, run_hold_rules_list},
    {STR_("queueholdrulesadd"), 1, run_hold_rules_add},
    {STR_("queueholdrulesremove"), 1, run_hold_rules_remove},
    {STR_("queuesuppresslist"), 1, run_suppress_list},
    {STR_("queuesuppressadd"), 1, run_suppress_add},
    {STR_("queuesuppressremove"), 1, run_suppress_remove},
    {STR_("queuesuppresslookup"), 1, run_suppress_lookup},
};
const size_t queue_command_count = COUNT(queue_commands);
