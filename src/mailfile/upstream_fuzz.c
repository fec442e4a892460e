/*
 * Any bytes as a database of upstream, of an account or of the server. Checksums of meta pages are made right, so
 * that more than their first bytes are looked at. Behind a 'T' it is one table instead: which, its description up to
 * a NUL, and records with their lengths.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cur.h"
#include "base/die.h"
#include "mailfile/bolt.h"
#include "mailfile/bolt_test.h"
#include "mailfile/upstream_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_RECORDS = 64 };

static void sum(char *bytes, size_t size, size_t at)
{
    uint64_t h = 14695981039346656037u;

    if (at + 80 > size)
        return;
    for (size_t i = 0; i < 56; i++)
        h = (h ^ (unsigned char)bytes[at + 16 + i]) * 1099511628211u;
    memcpy(bytes + at + 72, &h, sizeof h);
}

static void put_table(struct buf *out, struct str description, const struct bolt_test_item *records, size_t n)
{
    AUTO_BUF types = BUF_LIMIT(1 << 20), all = BUF_LIMIT(1 << 20);
    struct bolt_test_item type = {str_at("\0\0\0\1", 4), description, false};

    bolt_test_bucket(&types, &type, 1);
    bolt_test_bucket(&all, records, n);
    bolt_test_bucket(out, (struct bolt_test_item[]){{STR("records"), buf_str(&all), true},
                                                    {STR("types"), buf_str(&types), true}}, 2);
}

static size_t records_of(struct str text, struct bolt_test_item out[MOST_RECORDS])
{
    struct cur c = cur_of(text);
    size_t n = 0;

    for (int length; n < MOST_RECORDS && (length = cur_next(&c)) >= 0; n++) {
        struct str record, key;

        // Two bytes for long ones; keys are as long as the first says.
        if (length == 255 && (length = cur_next(&c)) >= 0)
            length = 256 * length + 255;
        if (length < 0 || !cur_take(&c, (size_t)length, &record) || !record.n)
            break;
        key = str_from(record, 1);
        key = str_sub(key, 0, (unsigned char)record.p[0] & 15);
        out[n] = (struct bolt_test_item){key, str_from(record, 1 + key.n), record.p[0] & 16};
    }
    return n;
}

static bool on_queued(void *ctx, const struct upstream_queued *m, struct err *e)
{
    (void)ctx, (void)e;
    assert(!m->recipient.n || str_find(m->recipient, '@') != STR_NONE);
    assert(str_find(m->recipient, '\n') == STR_NONE && str_find(m->reverse_path, '\n') == STR_NONE);
    return true;
}

static bool on_hold_rule(void *ctx, const struct upstream_hold_rule *rule, struct err *e)
{
    (void)ctx, (void)rule, (void)e;
    return true;
}

static bool on_suppression(void *ctx, const struct upstream_suppression *s, struct err *e)
{
    (void)ctx, (void)s, (void)e;
    return true;
}

static bool on_policy(void *ctx, const struct upstream_policy *p, struct err *e)
{
    (void)ctx, (void)e;
    assert(p->domain.n && p->id.n <= MTASTS_MAX_ID && (p->policy.n || p->policy.mode == MTASTS_NONE));
    return true;
}

static bool on_dmarc(void *ctx, const struct report_origin *from, const struct dmarc_report *report, struct err *e)
{
    (void)ctx, (void)from, (void)e;
    assert(report->domain.n && report->n <= DMARC_REPORT_MAX_RECORDS);
    return true;
}

static bool on_tls(void *ctx, const struct report_origin *from, struct str domain, bool is_host,
                   const struct tlsrpt_report *report, struct err *e)
{
    (void)ctx, (void)from, (void)domain, (void)is_host, (void)report, (void)e;
    return true;
}

static bool on_evaluation(void *ctx, int64_t at_unix, const struct report_evaluation *m, struct err *e)
{
    (void)ctx, (void)at_unix, (void)e;
    assert(m->policy_domain.n && m->interval_hours >= 1 && m->interval_hours <= 24);
    return true;
}

static bool on_result(void *ctx, int64_t day_unix, const struct report_tls_result *m, struct err *e)
{
    (void)ctx, (void)day_unix, (void)m, (void)e;
    return true;
}

static bool on_suppressed(void *ctx, bool is_tls, struct str address, int64_t until_unix, struct str comment,
                          struct err *e)
{
    (void)ctx, (void)is_tls, (void)address, (void)until_unix, (void)comment, (void)e;
    return true;
}

static bool on_key(void *ctx, const struct upstream_client_key *k, struct err *e)
{
    (void)ctx, (void)e;
    assert(k->fingerprint.n == 32);
    return true;
}

static bool on_login(void *ctx, const struct upstream_login *l, struct err *e)
{
    (void)ctx, (void)l, (void)e;
    return true;
}

static bool on_sent(void *ctx, struct str recipient, int64_t sent_unix, struct err *e)
{
    (void)ctx, (void)recipient, (void)sent_unix, (void)e;
    return true;
}

static void read_account(struct str file)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct upstream_account account;
    struct err e = {0};

    (void)!upstream_sent_read(file, on_sent, NULL, &e);
    e = (struct err){0};
    if (!upstream_read(file, &a, &account, &e)) {
        if (!e.kind)
            die("refused without a reason");
        return;
    }
    for (size_t i = 0; i < account.n_messages; i++) {
        AUTO_ARENA own = ARENA_LIMIT(1 << 20);
        struct upstream_origin origin;
        bool found;

        e = (struct err){0};
        (void)!upstream_origin(&account, &account.messages[i], &own, &origin, &found, &e);
    }
}

static void read_server(struct str file)
{
    const struct upstream_reports_reader reports = {NULL, on_dmarc, on_tls, on_evaluation, on_result, on_suppressed};
    const struct upstream_auth_reader auth = {NULL, on_key, on_login};
    struct upstream_queue_reader queue = {NULL, on_queued, on_queued, on_hold_rule, on_suppression, 0};
    struct err e = {0};

    (void)!upstream_queue_read(file, &queue, &e);
    (void)!upstream_policies_read(file, on_policy, NULL, &e);
    (void)!upstream_dmarc_read(file, &reports, &e);
    (void)!upstream_tls_read(file, &reports, &e);
    (void)!upstream_evaluations_read(file, &reports, &e);
    (void)!upstream_results_read(file, &reports, &e);
    (void)!upstream_auth_read(file, &auth, &e);
}

static void read_bytes(struct str file)
{
    read_account(file);
    read_server(file);
}

static void read_table_of(struct str text)
{
    static const struct str names[] = {STR_("Mailbox"), STR_("Message"), STR_("NextUIDValidity"),
                                       STR_("Password"), STR_("Subscription"), STR_("SyncState"),
                                       STR_("Recipient"), STR_("Msg"), STR_("MsgRetired"), STR_("HoldRule"),
                                       STR_("Suppression"), STR_("PolicyRecord"), STR_("DomainFeedback"),
                                       STR_("Record"), STR_("Evaluation"), STR_("TLSResult"),
                                       STR_("TLSPublicKey"), STR_("LoginAttempt")};
    static const struct str plain = STR_("{\"Fields\":[{\"Name\":\"ID\",\"Type\":{\"Kind\":\"int64\"}}]}");
    AUTO_BUF file = BUF_LIMIT(16 << 20);
    struct buf tables[COUNT(names)];
    struct bolt_test_item items[COUNT(names)], records[MOST_RECORDS];
    struct str description = {0};
    size_t which = text.n ? (unsigned char)text.p[0] % COUNT(names) : 0, n;

    text = str_from(text, 1);
    (void)!str_next(&text, '\0', &description);
    n = records_of(text, records);
    for (size_t i = 0; i < COUNT(names); i++) {
        tables[i] = (struct buf)BUF_LIMIT(4 << 20);
        put_table(&tables[i], i == which ? description : plain, records, i == which ? n : 0);
        items[i] = (struct bolt_test_item){names[i], buf_str(&tables[i]), true};
    }
    bolt_test_file(&file, items, COUNT(items));
    read_bytes(buf_str(&file));
    for (size_t i = 0; i < COUNT(names); i++)
        buf_fini(&tables[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size); // of exactly its length

    if (size)
        memcpy(bytes, data, size);
    sum(bytes, size, 0);
    sum(bytes, size, 1024);
    sum(bytes, size, 4096);
    if (size && bytes[0] == 'T')
        read_table_of(str_at(bytes + 1, size - 1));
    else
        read_bytes(str_at(bytes, size));
    free(bytes);
    return 0;
}
