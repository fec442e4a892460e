/*
 * For tests: files of test/vectors, and messages verified against a scripted zone.
 */
#pragma once

#include "base/cur.h"
#include "base/test.h"
#include "os/file.h"
#include "message/header.h"
#include "policy/arc.h"
#include "policy/dkim_priv.h"
#include "policy/dns_zone.h"
#include "text/encode.h"

static inline struct str vector_file(struct arena *a, const char *path)
{
    struct err e = {0};
    struct str text = {0};

    if (!os_read_file(a,
                      arena_cstring(a, arena_printf(a, "%s/%s", MOX_SOURCE "/test/vectors", path)),
                      16 << 20, &text, &e))
        test_check_str(str_of(e.text), STR("a file that can be read"), path, 0);
    return text;
}

enum { NOW = 1600000000 };

struct test_message {
    struct str header, body;
};

// With CR LF, and taken apart at the first empty line.
static inline struct test_message test_message_of(struct arena *a, struct str text)
{
    AUTO_BUF crlf = BUF_LIMIT(64 << 20);
    char last = 0;
    struct str all;
    ptrdiff_t end;

    crlf_put(&crlf, text, &last);
    all = arena_dup(a, buf_str(&crlf));
    if (str_starts(all, STR("\r\n")))
        return (struct test_message){STR(""), str_from(all, 2)};
    end = str_find_str(all, STR("\r\n\r\n"));
    if (end == STR_NONE)
        return (struct test_message){all, STR("")};
    return (struct test_message){str_sub(all, 0, (size_t)end + 2), str_from(all, (size_t)end + 4)};
}

// The next section of a text made of lines "<mark> name": its name line and what follows it.
static inline bool next_section(struct str *rest, struct str mark, struct str *name,
                                struct str *text)
{
    ptrdiff_t end;

    if (!str_starts(*rest, mark) || !str_cut(str_from(*rest, mark.n), '\n', name, rest))
        return false;
    for (size_t from = 0;; from = (size_t)end + 1) {
        if (str_starts(str_from(*rest, from), mark)) {
            *text = str_sub(*rest, 0, from);
            *rest = str_from(*rest, from);
            return true;
        }
        end = str_find(str_from(*rest, from), '\n');
        if (end == STR_NONE)
            break;
        end += (ptrdiff_t)from;
    }
    *text = *rest;
    *rest = STR("");
    return true;
}

static inline void test_zone(struct arena *a, struct str text, struct dns_zone *zone)
{
    struct err e = {0};

    if (!dns_zone_parse(a, text, zone, &e))
        test_check_str(str_of(e.text), STR(""), "zone", 0);
}

static inline void test_verify_with(struct arena *a, struct test_message m, struct dns_zone *zone,
                                    const struct dkim_policy *policy, struct dkim_verification *out)
{
    AUTO_EXACT header = exact_copy(m.header), body = exact_copy(m.body);
    struct dns dns = dns_zone_dns(zone);
    struct dkim_bodies *bodies = dkim_bodies_new();
    struct err e = {0};
    struct dkim_header *h = dkim_header_parse(a, arena_dup(a, header.str), &e);

    CHECK(h != NULL);
    dkim_verify_begin(a, h, policy, &dns, bodies, out);
    dkim_bodies_feed(bodies, str_sub(body.str, 0, body.str.n / 2));
    dkim_bodies_feed(bodies, str_from(body.str, body.str.n / 2));
    dkim_bodies_end(bodies);
    dkim_verify_end(out);
    dkim_bodies_free(bodies);
}

static inline void test_verify(struct arena *a, struct test_message m, struct dns_zone *zone,
                               int64_t now, struct dkim_verification *out)
{
    struct dkim_policy policy = {.now_unix = now};

    test_verify_with(a, m, zone, &policy, out);
}

static inline struct str test_statuses(struct arena *a, const struct dkim_verification *v)
{
    AUTO_BUF out = BUF_LIMIT(1000);

    for (size_t i = 0; i < v->n; i++) {
        if (i)
            BUF_PUT(&out, " ");
        buf_put(&out, str_of(auth_result_name(v->results[i].status)));
    }
    return arena_dup(a, buf_str(&out));
}

static inline bool test_sign_with_key(void *ctx, struct str digest, struct buf *signature,
                                      struct err *e)
{
    return private_key_sign_sha256(ctx, digest, signature, e);
}
