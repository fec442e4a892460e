/*
 * Return paths of their own for the recipients of some logins (FromIDLoginAddresses, mox-smtp-delivery.md 1.10): what
 * other servers report later comes to them, and tells by the address which recipient it is about.
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/queue/queue_role.h"
#include "text/encode.h"
#include "text/idna.h"

enum { ID_BYTES = 16 };

static struct arena arena = ARENA_LIMIT(4 * COMPILED_MAX_BYTES);
static struct str *logins;
static size_t n_logins, cap_logins;
static struct ipc_separator *separators;
static size_t n_separators, cap_separators;

bool fromid_use(struct str config, struct err *e)
{
    struct cur c;
    enum compiled_type type;
    struct str body;

    arena_reset(&arena);
    logins = NULL;
    separators = NULL;
    n_logins = cap_logins = n_separators = cap_separators = 0;
    c = cur_of(arena_dup(&arena, config));
    while (compiled_next(&c, &type, &body, e)) {
        struct ipc_fromid_login login;

        if (type == COMPILED_fromid_login) {
            if (!ipc_fromid_login_get(body, &login, e))
                return false;
            *ARENA_PUSH(&arena, logins, &n_logins, &cap_logins) = login.login;
        }
        if (type == COMPILED_separator &&
            !ipc_separator_get(body, ARENA_PUSH(&arena, separators, &n_separators, &cap_separators), e))
            return false;
    }
    return !e->kind;
}

/* What parts a localpart of the address's domain from what follows; empty without. */
static struct str separator_of(struct str address)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str domain = str_from(address, (size_t)(str_find_last(address, '@') + 1)), ascii;

    if (!domain_to_ascii(&a, domain, &ascii, &(struct err){0}))
        return STR("");
    for (size_t i = 0; i < n_separators; i++)
        if (str_eq_ci(separators[i].domain, ascii))
            return separators[i].separator;
    return STR("");
}

static bool has_id(struct str address)
{
    struct str separator = separator_of(address);
    ptrdiff_t at = str_find_last(address, '@');

    return separator.n && at > 0 && str_find_str(str_sub(address, 0, (size_t)at), separator) > 0;
}

static struct str with_id(struct arena *a, struct str address, struct str separator)
{
    size_t at = (size_t)str_find_last(address, '@');
    unsigned char random[ID_BYTES];
    AUTO_BUF id = BUF_LIMIT(64);

    os_random(random, sizeof random);
    base64url_encode(&id, str_at(random, sizeof random));
    return arena_printf(a, "%.*s%.*s%.*s%.*s", STR_FMT(str_sub(address, 0, at)), STR_FMT(separator),
                        STR_FMT(buf_str(&id)), STR_FMT(str_from(address, at)));
}

static bool is_wanted(struct str login, struct str reverse_path)
{
    for (size_t i = 0; i < n_logins; i++)
        if (str_eq_ci(logins[i], login))
            return reverse_path.n && separator_of(reverse_path).n;
    return false;
}

bool fromid_paths(struct arena *a, struct str login, struct queue_new *m, struct fromid_refusal *refusal,
                  struct err *e)
{
    struct str *paths, separator;
    bool is_used;

    *refusal = (struct fromid_refusal){0};
    if (!is_wanted(login, m->reverse_path))
        return true;
    if (!has_id(m->reverse_path)) {
        separator = separator_of(m->reverse_path);
        paths = ARENA_ARRAY(a, m->n_recipients, struct str);
        for (size_t i = 0; i < m->n_recipients; i++)
            paths[i] = with_id(a, m->reverse_path, separator);
        m->reverse_paths = paths;
        m->has_own_path = true;
        return true;
    }
    // One of the client's own making, by which it wants to know the recipient.
    if (m->n_recipients > 1) {
        *refusal = (struct fromid_refusal){554, "5.5.3", "a return path with an identifier is for one recipient"};
        return true;
    }
    if (!queue_path_is_used(queue_role.queue, m->account, m->reverse_path, &is_used, e))
        return false;
    if (is_used)
        *refusal = (struct fromid_refusal){554, "5.1.7", "that identifier was used before"};
    m->has_own_path = true;
    return true;
}

bool fromid_returned(struct service_peer *p, struct packet *m, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct ipc_returned said;
    struct str recipient;
    struct err why = {0};
    bool found;

    if (!ipc_returned_get(m->body, &said, e))
        return false;
    // Of an address that many messages have as their return path nobody can tell which one it is about.
    if (!has_id(said.path))
        return true;
    if (!queue_returned(queue_role.queue, &a,
                        &(struct queue_returned){.account = p->account, .path = said.path,
                                                 .action = (enum dsn_action)said.action, .status = said.status,
                                                 .code = said.code, .text = said.text},
                        &recipient, &found, &why))
        LOG(LOG_ERROR, "queue", "cannot note what another server reported", LOG_E(&why));
    else if (found)
        LOG(LOG_INFO, "queue", "another server reports", LOG_S("account", p->account), LOG_S("to", recipient),
            LOG_S("action", dsn_action_word((enum dsn_action)said.action)), LOG_S("status", said.status));
    return true;
}
