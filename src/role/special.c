#include "role/special.h"

#include "base/cur.h"

static bool is_stage(struct str localpart, enum special_stage stage)
{
    bool is_mail = str_starts(localpart, STR("mailfrom"));
    bool is_rcpt = str_starts(localpart, STR("rcptto"));

    switch (stage) {
    case SPECIAL_MAIL:
        return is_mail;
    case SPECIAL_RCPT:
        return is_rcpt;
    case SPECIAL_SUBMIT:
        return !is_mail && !is_rcpt && !str_starts(localpart, STR("queue"));
    case SPECIAL_DELIVER:
        return !is_mail && !is_rcpt;
    }
    return false;
}

struct special special_of(struct str localpart, enum special_stage stage)
{
    uint64_t code;

    if (!is_stage(localpart, stage))
        return (struct special){0};
    if (str_ends(localpart, STR("temperror")))
        return (struct special){451, false};
    if (str_ends(localpart, STR("permerror")))
        return (struct special){550, false};
    if (str_ends(localpart, STR("timeout")))
        return (struct special){451, true};
    // Upstream takes 600 too, which is no reply code (RFC 5321 4.2).
    if (localpart.n >= 3 && str_u64(str_from(localpart, localpart.n - 3), 599, &code) &&
        code >= 400)
        return (struct special){(unsigned)code, false};
    return (struct special){0};
}
