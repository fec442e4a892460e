/*
 * What the configuration says of this account's incoming mail (ipc/compiled.h, account_rules). A change
 * of the file counts from the next message on; what concerns the junk filter and the flags that go with
 * mailboxes, from the next start of the account's process on, which is 10 seconds after its last use.
 */
#pragma once

#include "ipc/compiled.h"
#include "policy/decide.h"

struct rules;
/* Reads the records; config need not stay. NULL with an error. */
struct rules *rules_read(struct str config, struct err *e);

/* Those in use; until rules_put. */
struct rules *rules_get(void);
void rules_put(struct rules *r);
/* Takes r over in place of those in use. */
void rules_use(struct rules *r);

const struct ipc_account_rules *rules_account(const struct rules *r);
const struct ipc_account_junk *rules_junk(const struct rules *r);
const struct decide_account *rules_decide(const struct rules *r);
/* Of an address in its canonical form, or of the catchall of its domain; NULL when there is none. */
const struct decide_destination *rules_destination(const struct rules *r, struct str address);
