/*
 * localserve answers programs under test as they ask for (mox-imap-store-cli-config.md 3.6).
 */
#include "base/log.h"
#include "role/session/smtp.h"

bool smtp_fails_specially(struct smtp_session *c, struct str localpart, enum special_stage stage)
{
    struct special how = {0};

    if (c->s->start->settings.is_localserve)
        how = special_of(localpart, stage);
    if (!how.code)
        return false;
    LOG(LOG_INFO, smtp_package(c), "failing as the address asks for", LOG_S("localpart", localpart),
        LOG_N("code", how.code));
    if (how.is_timeout && !session_pause(c->s, SPECIAL_TIMEOUT_MS)) {
        c->is_ending = true;
        return true;
    }
    smtp_reply(c, how.code, how.code >= 500 ? "5.3.0" : "4.3.0",
               STR("failure due to special localpart"));
    return true;
}
