/*
 * Tokens that a refused sender can put into the Subject to be let through (mox-smtp-delivery.md 2.6).
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* The token for this sender, "(pass:...)" as it goes into a Subject. */
struct str subjectpass_token(struct arena *a, struct str key, struct str from, int64_t now_unix);
/* Whether subject has one for this sender that was made at most period_seconds ago. */
bool subjectpass_verify(struct str subject, struct str key, struct str from, int64_t now_unix,
                        uint64_t period_seconds);
