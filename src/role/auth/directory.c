/*
 * Which account an address belongs to, and who may send as it: asked by sessions and the queue. What
 * may be delivered goes to the monitor as a grant; the asker hears a reply code.
 */
#include "role/auth/auth.h"

static uint32_t next_grant = 1;

static bool give_grants(struct service_peer *p, const struct targets *t, uint32_t *first,
                        struct err *e)
{
    *first = next_grant;
    for (size_t i = 0; i < t->n; i++) {
        const struct target *to = &t->items[i];

        if (!IPC_SEND(&auth.start.monitor, delivery_grant, NULL, 0, e, .conn = p->conn,
                      .grant = next_grant++, .account = to->account, .mailbox = to->mailbox,
                      .address = to->address))
            return false;
    }
    return true;
}

static bool reply_rcpt(struct service_peer *p, uint64_t request, unsigned code, const char *enhanced,
                       struct str text, struct err *e)
{
    return IPC_SEND(&p->ch, rcpt_reply, NULL, 0, e, .request = request, .code = code, .enhanced = str_of(enhanced),
                    .text = text);
}

static enum lookup_result find(struct arena *a, const struct ipc_rcpt_check *m,
                               struct targets *out)
{
    enum lookup_result r = directory_find(auth.loaded->directory, a, m->localpart, m->domain, out);

    // localserve: everything arrives in its one account (mox-imap-store-cli-config.md 3.6).
    if (auth.start.settings.is_localserve && (r == LOOKUP_REMOTE || r == LOOKUP_NO_ADDRESS))
        r = directory_find(auth.loaded->directory, a, STR("mox"), STR("localhost"), out);
    return r;
}

bool auth_has_account(struct str name)
{
    SCONF_EACH (n, sconf_get(auth.loaded->config.domains.root, "Accounts"))
        if (str_eq(n->key, name))
            return true;
    return false;
}

// What comes to an address that was made for a sender elsewhere: a report, which has no sender, and nothing
// else, since who is told how to reach somebody by way of us is everybody.
static bool reply_return(struct service_peer *p, const struct ipc_rcpt_check *m,
                         struct str returned, struct err *e)
{
    struct err why = {0};
    uint32_t relay = 0;

    if (p->role == ROLE_QUEUE)
        return IPC_SEND(&p->ch, rcpt_reply, NULL, 0, e, .request = m->request, .code = 250,
                        .enhanced = STR("2.1.0"), .elsewhere = returned);
    if (m->reverse_path.n)
        return reply_rcpt(p, m->request, 550, "5.7.1", STR("this address takes reports about mail only"),
                          e);
    if (!relay_return(p, returned, &relay, &why))
        return reply_rcpt(p, m->request, 451, "4.3.0", str_of(why.text), e);
    return IPC_SEND(&p->ch, rcpt_reply, NULL, 0, e, .request = m->request, .code = 250,
                    .enhanced = STR("2.1.0"), .relay = relay, .n_relays = 1);
}

// Who has logged in may send anywhere: to the members of a list that are at other servers too.
static bool reply_submitter(struct service_peer *p, struct arena *a, const struct ipc_rcpt_check *m,
                            bool is_list, size_t n_here, struct err *e)
{
    AUTO_BUF elsewhere = BUF_LIMIT(IPC_MAX_RECORD);
    struct addresses members;

    directory_elsewhere(auth.loaded->directory, a, m->localpart, m->domain, &members);
    for (size_t i = 0; i < members.n && i < IPC_MAX_TARGETS; i++) {
        if (i)
            BUF_PUT(&elsewhere, "\n");
        buf_put(&elsewhere, members.items[i]);
    }
    return IPC_SEND(&p->ch, rcpt_reply, NULL, 0, e, .request = m->request, .code = 250,
                    .enhanced = STR("2.1.0"), .n_grants = (uint32_t)n_here, .is_list = is_list,
                    .elsewhere = elsewhere.full ? STR("") : buf_str(&elsewhere));
}

/* mox-smtp-delivery.md 1.7, "Lookup results". */
bool auth_rcpt_check(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    bool is_submission = p->role == ROLE_SESSION && p->protocol == IPC_PROTOCOL_SUBMISSION;
    const struct client *client = p->data;
    struct ipc_rcpt_check m;
    struct targets targets;
    uint32_t first = 0, relay = 0, n_relays = 0;
    struct str returned;
    struct err why = {0};
    bool is_list;

    if (!ipc_rcpt_check_get(packet->body, &m, e))
        return false;
    if (p->role == ROLE_SESSION && p->protocol == IPC_PROTOCOL_IMAP)
        return fail(e, ERR_DENIED, "recipient without SMTP");
    if (is_submission && !client->account.n)
        return fail(e, ERR_DENIED, "recipient before login");
    if (!is_submission && relay_is_return(&a, &m, &returned))
        return reply_return(p, &m, returned, e);
    switch (find(&a, &m, &targets)) {
    case LOOKUP_NO_ADDRESS:
        // Port 25 says so after the message only: guessing addresses is to be slow.
        if (p->role == ROLE_SESSION && !is_submission)
            return reply_rcpt(p, m.request, 250, "2.1.0", STR(""), e);
        return reply_rcpt(p, m.request, 550, "5.1.1", STR("no such address here"), e);
    case LOOKUP_DISABLED:
        return reply_rcpt(p, m.request, 450, "4.2.1", STR("the domain is temporarily disabled"), e);
    case LOOKUP_REMOTE:
        if (p->role == ROLE_SESSION && !is_submission)
            return reply_rcpt(p, m.request, 550, "5.1.1", STR("not a domain of this server"), e);
        return reply_rcpt(p, m.request, 250, "2.1.0", STR(""), e);
    case LOOKUP_LOCAL:
        break;
    }
    if (targets.n == 1 && targets.items[0].smtp_error.n) {
        struct str text = targets.items[0].smtp_error;
        bool is_temporary = str_starts(text, STR("421"));

        return reply_rcpt(p, m.request, is_temporary ? 451 : 550, is_temporary ? "4.3.0" : "5.1.1",
                          str_trim(str_from(text, 3)), e);
    }
    is_list = directory_is_list(auth.loaded->directory, &a, m.localpart, m.domain);
    if (targets.n > IPC_MAX_TARGETS)
        targets.n = IPC_MAX_TARGETS;
    if (is_submission)
        return reply_submitter(p, &a, &m, is_list, targets.n, e);
    // What a session has not passed on itself stays here: the queue delivers to those who are here.
    if (p->role == ROLE_QUEUE && !targets.n)
        return reply_rcpt(p, m.request, 550, "5.1.1", STR("the list has no members here"), e);
    if (p->role == ROLE_SESSION && !relay_list(p, &a, &m, &relay, &n_relays, &why))
        return why.kind == ERR_TEMPORARY
                   ? reply_rcpt(p, m.request, 451, "4.3.0", str_of(why.text), e)
                   : reply_rcpt(p, m.request, 550, "5.1.7", str_of(why.text), e);
    return give_grants(p, &targets, &first, e) &&
           IPC_SEND(&p->ch, rcpt_reply, NULL, 0, e, .request = m.request, .code = 250, .enhanced = STR("2.1.0"),
                    .grant = first, .n_grants = (uint32_t)targets.n,
                    .is_list = is_list, .relay = relay, .n_relays = n_relays,
                    .is_report = directory_is_tlsrpt(auth.loaded->directory, &a, m.localpart,
                                                     m.domain));
}

/*
 * mox-smtp-delivery.md 3.7: into the Inbox of the sender's account, whatever its addresses lead to now; when it
 * is gone, to the postmaster.
 */
bool auth_report_check(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct ipc_report_check m;
    struct target inbox;
    struct targets targets = {.items = &inbox, .n = 1};
    uint32_t first = 0;

    if (!ipc_report_check_get(packet->body, &m, e))
        return false;
    if (auth_has_account(m.account))
        inbox = (struct target){.account = m.account, .mailbox = STR("Inbox")};
    else if (directory_find(auth.loaded->directory, &a, STR("postmaster"), STR(""), &targets) !=
             LOOKUP_LOCAL)
        return reply_rcpt(p, m.request, 550, "5.1.1", STR("no such account, and no postmaster"), e);
    return give_grants(p, &targets, &first, e) &&
           IPC_SEND(&p->ch, rcpt_reply, NULL, 0, e, .request = m.request, .code = 250,
                    .enhanced = STR("2.1.0"), .grant = first, .n_grants = (uint32_t)targets.n);
}

bool auth_from_check(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    const struct client *client = p->data;
    struct ipc_from_check m;
    enum ipc_outcome outcome = IPC_BAD;
    struct str address = STR("");

    if (!ipc_from_check_get(packet->body, &m, e))
        return false;
    if (client->account.n && directory_may_send(auth.loaded->directory, &a, client->account,
                                                m.localpart, m.domain))
        outcome = directory_is_disabled(auth.loaded->directory, &a, m.domain) ? IPC_TEMPORARY
                                                                              : IPC_OK;
    if (outcome == IPC_OK)
        address = str_sub(directory_canonical(auth.loaded->directory, &a, m.localpart, m.domain), 0,
                          IPC_MAX_ADDRESS);
    return IPC_SEND(&p->ch, from_reply, NULL, 0, e, .outcome = (uint8_t)outcome,
                    .address = address);
}

bool auth_list_check(struct service_peer *p, struct packet *packet, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct ipc_list_check m;

    if (!ipc_list_check_get(packet->body, &m, e))
        return false;
    return IPC_SEND(&p->ch, from_reply, NULL, 0, e,
                    .outcome = directory_may_post(auth.loaded->directory, &a, m.localpart, m.domain,
                                                  m.from_localpart, m.from_domain)
                                   ? IPC_OK : IPC_BAD);
}
