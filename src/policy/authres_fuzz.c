/*
 * Authentication-Results: the value of a field, which is read, written and read again; and the bytes
 * as what a stranger chose, in a field of ours, which stays one field.
 */
#include <stdint.h>

#include "base/die.h"
#include "message/header.h"
#include "policy/authres.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_field(struct arena *a, const struct authres *ar, struct authres *again)
{
    AUTO_BUF out = BUF_LIMIT(AUTHRES_MAX_FIELD);
    struct header_field field;
    struct err e = {0};

    if (!authres_put(&out, ar, &e)) {
        if (e.kind != ERR_BUG && e.kind != ERR_LIMIT) // underscores are for reading only
            die("not written for a strange reason");
        return;
    }
    if (!header_is_strict(buf_str(&out)) ||
        !header_find(buf_str(&out), STR("Authentication-Results"), &field) ||
        field.raw.n != out.n)
        die("not one field");
    if (!authres_parse(a, field.value, again, &e))
        die("our own field cannot be read: %s", e.text);
    if (again->n != ar->n)
        die("%zu methods have become %zu", ar->n, again->n);
    for (size_t i = 0; i < ar->n; i++)
        if (!str_eq_ci(ar->methods[i].method, again->methods[i].method) ||
            !str_eq_ci(ar->methods[i].result, again->methods[i].result))
            die("a result is not the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    struct str bytes = str_at(data, size);
    struct authres read, again = {0}, ours = {.host = STR_("mx.example.com")};
    struct authres_method *m;
    struct err e = {0};

    if (size > 2 * AUTHRES_MAX_FIELD)
        return 0;
    if (authres_parse(&a, bytes, &read, &e)) {
        if (!authres_claims_host(bytes, read.host))
            die("the host is another when asked for");
        check_field(&a, &read, &again);
    } else if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
        die("refused for a strange reason");
    m = authres_add(&ours, &a, "spf", AUTH_FAIL);
    m->comment = m->reason = bytes;
    authres_add_property(m, &a, "smtp", "mailfrom", bytes);
    authres_add_property(m, &a, "smtp", "helo", STR("x"));
    check_field(&a, &ours, &again);
    if (again.n != 1 || again.methods[0].n != 1u + (size && size <= AUTHRES_MAX_VALUE))
        die("a stranger's text has left its place");
    return 0;
}
