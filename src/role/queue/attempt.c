/*
 * Attempts at delivery to other servers: what is noted of each, and those that end without a connection.
 */
#include "base/log.h"
#include "os/clock.h"
#include "role/queue/courier.h"

enum {
    OPTIONAL_TLS = 2, // require_tls: TLS-Required: No
    MAX_ALIKE = 1000, // entries in a second that fail for another's reason: what can be sent does not wait for all of them
};

static size_t n_alike; // entries that failed for another's reason, since the last tick

bool entry_is_dmarc_report(const struct queue_entry *entry)
{
    return entry->origin == QUEUE_OWN_REPORT && entry->max_attempts && entry->require_tls != OPTIONAL_TLS;
}

struct down_place entry_place(const struct queue_entry *entry, const struct ipc_transport *t)
{
    return (struct down_place){.domain = t && t->kind == TRANSPORT_RELAY ? STR("") : entry->domain,
                               .transport = t ? t->name : STR(""),
                               .way = entry->require_tls + (entry_is_dmarc_report(entry) ? 3u : 0u)};
}

void attempt_note(const struct queue_entry *entry, const struct attempt *attempt)
{
    struct err e = {0};

    LOG(LOG_INFO, "queue",
        attempt->class == ATTEMPT_DELIVERED   ? "delivered"
        : attempt->class == ATTEMPT_PERMANENT ? "delivery failed"
                                              : "delivery put off",
        LOG_S("to", entry->recipient), LOG_S("host", attempt->remote_name),
        LOG_S("ip", attempt->remote_address), LOG_N("code", attempt->code),
        LOG_S("enhanced", attempt->enhanced), LOG_S("text", attempt->text));
    if (!queue_result(queue_role.queue, entry, attempt, &e))
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(&e));
}

// An attempt without a connection.
static void end_at_once(const struct queue_entry *entry, const struct attempt *why)
{
    struct attempt attempt = *why;
    struct queue_entry begun = *entry;
    struct err e = {0};

    if (!queue_begin(queue_role.queue, &begun, &e)) {
        LOG(LOG_ERROR, "queue", "cannot note an attempt", LOG_E(&e));
        queue_put_back(queue_role.queue, entry);
        return;
    }
    attempt.is_remote = true;
    attempt.started_unix = os_now_unix();
    attempt.duration_ms = 0;
    attempt_note(&begun, &attempt);
}

bool attempt_fails_here(const struct queue_entry *entry, const struct ipc_transport *t)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct attempt attempt = {.class = ATTEMPT_TEMPORARY, .is_remote = true, .enhanced = STR("4.3.5")};

    if (t && t->kind != TRANSPORT_FAIL)
        return false;
    if (t) {
        attempt.class = t->code >= 500 ? ATTEMPT_PERMANENT : ATTEMPT_TEMPORARY;
        attempt.code = t->code;
        attempt.enhanced = t->code >= 500 ? STR("5.7.0") : STR("4.7.0");
        attempt.text = t->text;
    } else {
        attempt.text = arena_printf(&a, "there is no transport \"%.*s\" in mox.conf",
                                    STR_FMT(entry->transport));
    }
    end_at_once(entry, &attempt);
    return true;
}

bool attempt_fails_alike(const struct queue_entry *entry, const struct ipc_transport *t)
{
    const struct down_place where = entry_place(entry, t);
    const struct attempt *why = down_why(&where);

    if (!why)
        return false;
    end_at_once(entry, why);
    n_alike++;
    return true;
}

bool attempt_has_room(void)
{
    return n_alike < MAX_ALIKE;
}

void attempt_tick(void)
{
    n_alike = 0;
}
