/*
 * What a restart must not forget: accounts, and attempts that failed. A file of JSON in the directory of the role.
 */
#include <jansson.h>
#include <unistd.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/file.h"
#include "role/acme/acme_role.h"
#include "text/encode.h"
#include "text/json.h"

enum { MAX_STATE = 4 << 20, MAX_VALUES = 100000 };

static const char file_name[] = "state.json";

static void load_account(const json_t *account)
{
    struct provider *p = acme_provider(json_text_at(account, "provider"));

    // Another authority under the old name knows nothing of our account.
    if (p && str_eq(json_text_at(account, "directory"), p->authority.directory_url))
        acme_authority_set_account(&p->authority, json_text_at(account, "url"));
}

static void load_attempt(const json_t *attempt)
{
    int64_t now = os_now_unix_ms() / 1000;
    struct str host = json_text_at(attempt, "host");
    enum ipc_key_kind kind = str_eq(json_text_at(attempt, "kind"), STR("rsa")) ? IPC_KEY_RSA : IPC_KEY_ECDSA;
    struct wanted *w = wanted_of(json_text_at(attempt, "provider"), host, kind);
    int64_t next = json_integer_value(json_object_get(attempt, "next_try"));
    int64_t failures = json_integer_value(json_object_get(attempt, "failures"));

    w->failures = failures > 0 && failures < 1000 ? (unsigned)failures : 0;
    // A clock that was wrong when it was written must not keep us from trying.
    w->not_before_try = next < now + 2 * ACME_RETRY_MAX_S ? next : now;
    w->is_asked_for |= json_is_true(json_object_get(attempt, "is_asked_for"));
}

bool state_load(struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * MAX_STATE);
    const json_t *item;
    struct str text;
    json_t *root;
    size_t i;

    if (access(file_name, F_OK))
        return true;
    if (!os_read_file(&a, file_name, MAX_STATE, &text, e) || !(root = json_read(text, MAX_VALUES, e)))
        return fail_in(e, "data/acme/state/%s", file_name);
    json_array_foreach(json_object_get(root, "accounts"), i, item)
        load_account(item);
    json_array_foreach(json_object_get(root, "attempts"), i, item)
        load_attempt(item);
    json_decref(root);
    return true;
}

static void put_text(struct buf *out, const char *name, struct str value)
{
    json_put_string(out, str_of(name));
    BUF_PUT(out, ": ");
    json_put_string(out, value);
}

static void put_accounts(struct buf *out)
{
    bool is_first = true;

    for (struct wanted *w = wanted_first(); w; w = w->next) {
        const struct provider *p = acme_provider(w->provider);
        bool was_there = false;

        for (struct wanted *before = wanted_first(); before != w; before = before->next)
            was_there |= str_eq(before->provider, w->provider);
        if (was_there || !p || !p->authority.account.n)
            continue;
        buf_put(out, is_first ? STR("\n  {") : STR(",\n  {"));
        put_text(out, "provider", p->name);
        BUF_PUT(out, ", ");
        put_text(out, "directory", p->authority.directory_url);
        BUF_PUT(out, ", ");
        put_text(out, "url", p->authority.account);
        BUF_PUT(out, "}");
        is_first = false;
    }
}

static void put_attempts(struct buf *out)
{
    bool is_first = true;

    for (struct wanted *w = wanted_first(); w; w = w->next) {
        if (!w->is_configured || (!w->failures && !w->is_asked_for))
            continue;
        buf_put(out, is_first ? STR("\n  {") : STR(",\n  {"));
        put_text(out, "provider", w->provider);
        BUF_PUT(out, ", ");
        put_text(out, "host", w->host);
        BUF_PUT(out, ", ");
        put_text(out, "kind", w->kind == IPC_KEY_RSA ? STR("rsa") : STR("ecdsa"));
        buf_printf(out, ", \"is_asked_for\": %s, \"failures\": %u, \"next_try\": %lld}",
                   w->is_asked_for ? "true" : "false", w->failures, (long long)w->not_before_try);
        is_first = false;
    }
}

void state_save(void)
{
    AUTO_BUF out = BUF_LIMIT(MAX_STATE);
    struct err e = {0};

    BUF_PUT(&out, "{\"accounts\": [");
    put_accounts(&out);
    BUF_PUT(&out, "],\n\"attempts\": [");
    put_attempts(&out);
    BUF_PUT(&out, "]}\n");
    if (out.full || !os_write_file(file_name, buf_str(&out), 0600, &e))
        LOG(LOG_ERROR, "autotls", "cannot note what was done", LOG_E(&e));
}
