/*
 * QUOTA (RFC 9208): one root, named "", with the storage of the whole account.
 */
#include "base/log.h"
#include "role/account/imap_conn.h"

uint64_t imap_deleted_storage(struct imap_conn *c, uint64_t mailbox)
{
    uint64_t bytes = 0;
    struct err e = {0};

    if (!store_deleted_bytes(c->reader, mailbox, &bytes, &e))
        LOG(LOG_ERROR, "imapserver", "counting deleted messages", LOG_E(&e),
            LOG_S("account", account.name));
    return bytes;
}

// Units of 1024 bytes, rounded up, so that a little is not told as nothing.
static unsigned long long units(uint64_t bytes)
{
    return bytes / 1024 + (bytes % 1024 != 0);
}

// RFC 9208 4.2.1: a root without limits has no resources. False after a reply.
static bool put_quota(struct imap_conn *c, bool is_asked)
{
    struct store_quota q;
    struct err e = {0};

    if (!store_quota_get(account.store, c->reader, &q, &e)) {
        imap_store_failed(c, &e, NULL);
        return false;
    }
    if (q.limit)
        buf_printf(&c->out, "* QUOTA \"\" (STORAGE %llu %llu)\r\n", units(q.used), units(q.limit));
    else if (is_asked)
        BUF_PUT(&c->out, "* QUOTA \"\" ()\r\n");
    return true;
}

void cmd_getquota(struct imap_conn *c, struct imap_parser *p)
{
    struct str root;

    if (!imap_space(p) || !imap_astring(p, &root) || !imap_end(p))
        imap_bad(c, str_of(c->e.text));
    else if (root.n)
        imap_no(c, "NONEXISTENT", STR("no such quota root"));
    else if (put_quota(c, true))
        imap_ok(c, STR("GETQUOTA done"));
}

void cmd_getquotaroot(struct imap_conn *c, struct imap_parser *p)
{
    struct store_mailbox m;
    struct err e = {0};
    struct str name;

    if (!imap_space(p) || !imap_mailbox(p, &name) || !imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    if (!store_mailbox_name(&c->a, name, &name, &e) ||
        !store_mailbox_find(c->reader, &c->a, name, &m, &e)) {
        imap_store_failed(c, &e, "NONEXISTENT");
        return;
    }
    BUF_PUT(&c->out, "* QUOTAROOT ");
    imap_mailbox_put(&c->out, m.name, c->has_utf8);
    BUF_PUT(&c->out, " \"\"\r\n");
    if (put_quota(c, false))
        imap_ok(c, STR("GETQUOTAROOT done"));
}
