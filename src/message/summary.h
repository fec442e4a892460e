/*
 * What lists, threads and searches need of a message: canonical ids, base subject.
 */
#pragma once

#include "message/mime.h"

/*
 * mox-imap-store-cli-config.md 2.8: a Message-ID without its brackets, lower case; empty when
 * value is none.
 */
struct str message_id_canonical(struct arena *a, struct str value);

/* Referenced ids in order: all of References, or the first of In-Reply-To. */
struct str_list {
    struct str *items;
    size_t n, cap;
};
enum { SUMMARY_MAX_REFERENCES = 1000 };
void message_references(struct arena *a, const struct envelope *env, struct str_list *out);

/* The base subject (RFC 5256 2.1, lower case) of a decoded subject; *is_reply: something was cut. */
struct str subject_base(struct arena *a, struct str subject, bool *is_reply);

/* True for multipart/report with report-type=delivery-status. */
bool message_is_dsn(const struct part *root);

/* Whether some part is an attachment: disposition says so, or it has a file name. */
bool message_has_attachment(const struct part *root);

/* The first text part that is shown, or NULL. */
const struct part *message_first_text(const struct part *root);

/* At most 256 characters of decoded text, white space joined, quotations left out. */
struct str message_preview(struct arena *a, struct str text);
