#include "ipc/messages.h"

#define IPC_DEFINE_(message, from, to, min_fds, max_fds) IPC_DEFINE(message)
IPC_MESSAGES(IPC_DEFINE_)

#define IPC_RECODE_(message, from, to, min_fds, max_fds)                                           \
    static bool message##_recode(struct str bytes, struct buf *out, struct err *e)                 \
    {                                                                                              \
        struct ipc_##message m;                                                                    \
                                                                                                   \
        if (!ipc_##message##_get(bytes, &m, e))                                                    \
            return false;                                                                          \
        ipc_##message##_put(out, &m);                                                              \
        return true;                                                                               \
    }
IPC_MESSAGES(IPC_RECODE_)

#define IPC_RULE_(message, from, to, min_fds, max_fds)                                             \
    [IPC_##message] = {#message, (from), (to), (min_fds), (max_fds), message##_recode},
static const struct ipc_rule rules[IPC_TYPE_COUNT] = {IPC_MESSAGES(IPC_RULE_)};

const struct ipc_rule *ipc_rule_of(unsigned type)
{
    return type > IPC_none && type < IPC_TYPE_COUNT ? &rules[type] : NULL;
}
