/*
 * What a session asks of the monitor, auth, the queue, the accounts and the DNS: one function, one conversation.
 */
#include "role/session/session.h"

struct granted session_granted(struct session *s)
{
    return (struct granted){ROLE_SESSION, &s->monitor, s->packet, SESSION_IPC_TIMEOUT_MS};
}

bool session_grant(struct session *s, enum ipc_service service, struct channel *out,
                   enum role peer, struct err *e)
{
    struct granted g = session_granted(s);

    return granted_service(&g, service, peer, out, e);
}

bool session_open_delivery(struct session *s, uint32_t grant, struct channel *out, struct err *e)
{
    struct granted g = session_granted(s);

    return IPC_SEND(&s->monitor, deliver_open, NULL, 0, e, .grant = grant) &&
           granted_take(&g, ROLE_ACCOUNT, out, e);
}

// What others would have the client told is a reply that may be given here.
static bool is_reply(unsigned code, struct err *e)
{
    return code == 250 || (code >= 400 && code <= 599) || fail(e, ERR_SYNTAX, "%u is no reply", code);
}

static bool hear_verdict(struct session *s, struct channel *from, struct ipc_verdict *v, struct err *e)
{
    return channel_expect(from, IPC_verdict, s->packet, SESSION_DELIVERY_TIMEOUT_MS, e) &&
           ipc_verdict_get(s->packet->body, v, e) && is_reply(v->code, e);
}

static bool hear_auth(struct session *s, enum ipc_outcome *outcome, struct str *text, struct err *e)
{
    struct ipc_auth_reply m;

    if (!channel_expect(&s->auth, IPC_auth_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) ||
        !ipc_auth_reply_get(s->packet->body, &m, e))
        return false;
    *outcome = (enum ipc_outcome)m.outcome;
    *text = m.text;
    return true;
}

bool session_auth_step(struct session *s, struct str mechanism, const struct str *response,
                       enum ipc_outcome *outcome, struct str *text, struct err *e)
{
    return session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) &&
           IPC_SEND(&s->auth, auth_step, NULL, 0, e, .mechanism = mechanism,
                    .has_response = response != NULL,
                    .response = response ? *response : STR("")) &&
           hear_auth(s, outcome, text, e);
}

bool session_auth_abort(struct session *s, enum ipc_outcome *outcome, struct str *text,
                        struct err *e)
{
    return IPC_SEND(&s->auth, auth_abort, NULL, 0, e) && hear_auth(s, outcome, text, e);
}

bool session_auth_key(struct session *s, enum ipc_outcome *outcome, struct str *text,
                      struct err *e)
{
    return session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) &&
           IPC_SEND(&s->auth, auth_key, NULL, 0, e) && hear_auth(s, outcome, text, e);
}

bool session_check_rcpt(struct session *s, struct str reverse_path, struct str localpart, struct str domain,
                        struct ipc_rcpt_reply *r, struct err *e)
{
    return session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) &&
           IPC_SEND(&s->auth, rcpt_check, NULL, 0, e, .reverse_path = reverse_path,
                    .localpart = localpart, .domain = domain) &&
           channel_expect(&s->auth, IPC_rcpt_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) &&
           ipc_rcpt_reply_get(s->packet->body, r, e) && is_reply(r->code, e);
}

bool session_check_from(struct session *s, struct str localpart, struct str domain,
                        enum ipc_outcome *outcome, struct str *canonical, struct err *e)
{
    struct ipc_from_reply r;

    if (!session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) ||
        !IPC_SEND(&s->auth, from_check, NULL, 0, e, .localpart = localpart, .domain = domain) ||
        !channel_expect(&s->auth, IPC_from_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) ||
        !ipc_from_reply_get(s->packet->body, &r, e))
        return false;
    *outcome = (enum ipc_outcome)r.outcome;
    *canonical = r.address;
    return true;
}

bool session_sign(struct session *s, const struct dkim_client_message *m, struct buf *out,
                  struct err *e)
{
    s->signer.ch = &s->dkim;
    s->signer.packet = s->packet;
    if (!session_grant(s, IPC_SERVICE_DKIM, &s->dkim, ROLE_DKIM, e))
        return false;
    if (dkim_client_sign(&s->signer, m, out, e))
        return true;
    channel_close(&s->dkim); // the next message asks for a channel to the next dkim
    return false;
}

bool session_selectors(struct session *s, struct arena *a, struct str domain,
                       struct dkim_selector **out, size_t *n, struct err *e)
{
    s->signer.ch = &s->dkim;
    s->signer.packet = s->packet;
    return session_grant(s, IPC_SERVICE_DKIM, &s->dkim, ROLE_DKIM, e) &&
           dkim_client_selectors(&s->signer, a, domain, out, n, e);
}

bool session_check_list(struct session *s, const struct ipc_list_check *question, bool *is_allowed,
                        struct err *e)
{
    struct ipc_from_reply r;

    if (!session_grant(s, IPC_SERVICE_AUTH, &s->auth, ROLE_AUTH, e) ||
        !IPC_SEND(&s->auth, list_check, NULL, 0, e, .localpart = question->localpart,
                  .domain = question->domain, .from_localpart = question->from_localpart,
                  .from_domain = question->from_domain) ||
        !channel_expect(&s->auth, IPC_from_reply, s->packet, SESSION_IPC_TIMEOUT_MS, e) ||
        !ipc_from_reply_get(s->packet->body, &r, e))
        return false;
    *is_allowed = r.outcome == IPC_OK;
    return true;
}

bool session_enqueue(struct session *s, const struct ipc_submit *envelope,
                     const struct ipc_submit_rcpt *recipients, int fd, uint64_t size,
                     struct ipc_verdict *v, struct err *e)
{
    if (!session_grant(s, IPC_SERVICE_QUEUE, &s->queue, ROLE_QUEUE, e) ||
        !IPC_SEND(&s->queue, submit, NULL, 0, e, .reverse_path = envelope->reverse_path,
                  .recipients = envelope->recipients, .is_8bit = envelope->is_8bit,
                  .is_binary = envelope->is_binary, .is_smtputf8 = envelope->is_smtputf8,
                  .require_tls = envelope->require_tls,
                  .hold_until_unix = envelope->hold_until_unix,
                  .future_release = envelope->future_release, .ret = envelope->ret,
                  .envid = envelope->envid, .message_id = envelope->message_id,
                  .is_sender_real = envelope->is_sender_real, .prefix = envelope->prefix))
        return false;
    for (size_t i = 0; i < envelope->recipients; i++)
        if (!IPC_SEND(&s->queue, submit_rcpt, NULL, 0, e, .address = recipients[i].address,
                      .delivery_id = recipients[i].delivery_id, .notify = recipients[i].notify,
                      .orcpt = recipients[i].orcpt, .refused_code = recipients[i].refused_code,
                      .refused_enhanced = recipients[i].refused_enhanced,
                      .refused_text = recipients[i].refused_text,
                      .relay = recipients[i].relay))
            return false;
    return IPC_SEND(&s->queue, submit_data, &fd, 1, e, .size = size) &&
           hear_verdict(s, &s->queue, v, e);
}

static bool send_findings(struct channel *account, const struct ipc_findings *f, struct err *e)
{
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES);

    ipc_findings_put(&body, f);
    return body.full ? fail(e, ERR_LIMIT, "the findings are too long")
                     : channel_send(account, IPC_findings, buf_str(&body), NULL, 0, e);
}

bool session_offer(struct session *s, uint32_t grant, const struct ipc_findings *findings,
                   const struct ipc_offer *offer, int fd, struct channel *account, struct err *e)
{
    return session_open_delivery(s, grant, account, e) &&
           (!findings || send_findings(account, findings, e)) &&
           IPC_SEND(account, offer, &fd, 1, e, .delivery_id = offer->delivery_id,
                    .size = offer->size, .reverse_path = offer->reverse_path,
                    .hello = offer->hello, .rcpt = offer->rcpt, .prefix = offer->prefix);
}

bool session_hear_verdict(struct session *s, struct channel *account, struct ipc_verdict *v,
                          struct err *e)
{
    return hear_verdict(s, account, v, e);
}

bool session_commit(struct channel *account, struct err *e)
{
    return IPC_SEND(account, commit, NULL, 0, e);
}

static bool connect_resolve(void *ctx, struct channel *out, struct err *e)
{
    return session_grant(ctx, IPC_SERVICE_RESOLVE, out, ROLE_RESOLVE, e);
}

struct dns session_dns(struct session *s)
{
    if (!s->resolver.connect)
        s->resolver = (struct resolver)RESOLVER(connect_resolve, s);
    return resolver_dns(&s->resolver);
}

bool session_tell_evaluation(struct session *s, const struct ipc_dmarc_evaluation *m, struct err *e)
{
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES);

    ipc_dmarc_evaluation_put(&body, m);
    if (!session_grant(s, IPC_SERVICE_ADMIN, &s->admin, ROLE_ADMIN, e))
        return false;
    // Mail does not wait for statistics.
    if (!channel_has_room(&s->admin))
        return fail(e, ERR_TEMPORARY, "admin has no time for it");
    if (channel_send(&s->admin, IPC_dmarc_evaluation, buf_str(&body), NULL, 0, e))
        return true;
    channel_close(&s->admin); // the next message gets a channel to the next admin
    return false;
}
