#include "db/db.h"
#include "db/sql.h"
#include "message/dsn_test.h"
#include "queue/manage.h"
#include "queue/queue_test.h"

static const struct queue_recipient bob = {.address = STR_("bob@other.example")};

static const struct queue_new mail = {
    .account = STR_("ann"), .reverse_path = STR_("ann@mox.example"), .recipients = &bob,
    .n_recipients = 1, .message_id = STR_("<m1@mox.example>"), .fd = -1,
    .prefix = STR_("From: <ann@mox.example>\r\nSubject: x\r\n\r\nbody\r\n")};

static void add(struct queue_fixture *f, const struct queue_new *m)
{
    struct err e = {0};

    CHECK(queue_add(f->q, m, &e));
}

static bool has(struct str text, const char *part)
{
    return str_find_str(text, str_of(part)) != STR_NONE;
}

// The next entry, tried at another server with this end; it is gone or waits.
static void try(struct queue_fixture *f, struct queue_entry *entry, const struct attempt *attempt)
{
    struct err e = {0};

    CHECK(queue_fixture_next(f, entry));
    CHECK(!attempt->is_remote || queue_begin(f->q, entry, &e));
    CHECK(queue_result(f->q, entry, attempt, &e));
}

// The report that waits, and nothing else; it is delivered.
static struct str take_report(struct queue_fixture *f)
{
    const struct attempt delivered = {.class = ATTEMPT_DELIVERED, .code = 250};
    struct queue_entry report, other;
    struct str bytes;

    CHECK(queue_fixture_next(f, &report));
    CHECK(!queue_fixture_next(f, &other));
    CHECK(report.origin == QUEUE_OWN_REPORT && !report.reverse_path.n);
    bytes = queue_fixture_bytes(f, &report);
    CHECK(queue_result(f->q, &report, &delivered, &(struct err){0}));
    return bytes;
}

static bool is_empty(struct queue_fixture *f)
{
    struct queue_entry entry;
    uint64_t last;
    AUTO_BUF out = BUF_LIMIT(1 << 20);

    CHECK(queue_list(f->q, &(struct queue_filter){0}, 0, &out, &last, &(struct err){0}));
    return !queue_fixture_next(f, &entry) && !out.n;
}

static const struct attempt no_user = {
    .class = ATTEMPT_PERMANENT, .is_remote = true, .code = 550, .enhanced = STR_("5.1.1"),
    .text = STR_("5.1.1 no such user"), .remote_name = STR_("mx.other.example"),
    .remote_address = STR_("192.0.2.7"), .started_unix = 1000};
static const struct attempt busy = {.class = ATTEMPT_TEMPORARY, .is_remote = true, .code = 450,
                                    .enhanced = STR_("4.2.1"), .text = STR_("busy"),
                                    .started_unix = 1000};
static const struct attempt accepted = {.class = ATTEMPT_DELIVERED, .is_remote = true, .code = 250,
                                        .text = STR_("ok"), .started_unix = 1000};

TEST(queue_reports_a_failure)
{
    struct queue_fixture f;
    struct queue_entry entry, report;
    struct str text;

    queue_fixture_begin(&f);
    add(&f, &mail);
    try(&f, &entry, &no_user);
    CHECK(queue_has_new(f.q));
    CHECK(queue_commit(f.q, &(struct err){0}) && !queue_has_new(f.q));
    CHECK(queue_fixture_next(&f, &report));
    CHECK_STR(report.account, STR("ann"));
    CHECK_STR(report.recipient, STR("ann@mox.example"));
    text = queue_fixture_bytes(&f, &report);
    CHECK(has(text, "From: <postmaster@mox.example>\r\nTo: <ann@mox.example>\r\n"
                    "Subject: mail delivery failed\r\n"));
    CHECK(has(text, "References: <m1@mox.example>\r\n"));
    CHECK(has(text, "Final-Recipient: rfc822;bob@other.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
                    "Remote-MTA: dns; mx.other.example ([192.0.2.7])\r\n"
                    "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
    CHECK(has(text, "\r\n\r\nFrom: <ann@mox.example>\r\nSubject: x\r\n\r\n--"));
    CHECK(!has(text, "body"));
    // Nothing is ever told about a report.
    CHECK(queue_result(f.q, &report, &no_user, &(struct err){0}));
    CHECK(is_empty(&f));
    queue_fixture_end(&f);
}

TEST(queue_reports_what_is_wanted)
{
    static const struct {
        uint8_t notify;
        bool failed, delayed, success;
    } cases[] = {
        {0, true, true, false},
        {QUEUE_NOTIFY_NEVER, false, false, false},
        {QUEUE_NOTIFY_SUCCESS, false, false, true},
        {QUEUE_NOTIFY_FAILURE, true, false, false},
        {QUEUE_NOTIFY_DELAY, false, true, false},
        {QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_FAILURE | QUEUE_NOTIFY_DELAY, true, true, true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct queue_recipient to = {.address = STR("bob@other.example"),
                                     .orcpt = STR("rfc822;B@other.example"),
                                     .notify = cases[i].notify};
        struct queue_new m = mail;
        struct queue_fixture f;
        struct queue_entry entry;

        queue_fixture_begin(&f);
        m.recipients = &to;
        m.envid = STR("QQ 1");
        add(&f, &m);
        try(&f, &entry, &no_user);
        if (cases[i].failed)
            CHECK(has(take_report(&f), "Original-Envelope-Id: QQ 1\r\n"));
        CHECK_CASE(is_empty(&f), i);
        add(&f, &m);
        try(&f, &entry, &accepted);
        if (cases[i].success)
            CHECK(has(take_report(&f), "Original-Recipient: rfc822;B@other.example\r\n"
                                       "Final-Recipient: rfc822;bob@other.example\r\n"
                                       "Action: relayed\r\nStatus: 2.0.0\r\n"));
        CHECK_CASE(is_empty(&f), i);
        add(&f, &m); // the next server reports itself
        {
            struct attempt passed_on = accepted;

            passed_on.has_dsn_duty = true;
            try(&f, &entry, &passed_on);
        }
        CHECK_CASE(is_empty(&f), i);
        add(&f, &m); // an account of ours
        try(&f, &entry, &(struct attempt){.class = ATTEMPT_DELIVERED, .code = 250});
        if (cases[i].success)
            CHECK(has(take_report(&f), "Action: delivered\r\n"));
        CHECK_CASE(is_empty(&f), i);
        add(&f, &m);
        for (int n = 1; n <= QUEUE_DELAY_ATTEMPTS; n++) {
            try(&f, &entry, &busy);
            if (n < QUEUE_DELAY_ATTEMPTS || !cases[i].delayed)
                CHECK_CASE(!queue_fixture_next(&f, &entry), i);
            else
                CHECK(has(take_report(&f), "Action: delayed\r\nStatus: 4.2.1\r\n"));
            queue_fixture_wait(&f, queue_wait_s(true, (uint32_t)n - 1) + 5);
        }
        queue_fixture_end(&f);
    }
}

TEST(queue_gives_up_after_the_last_attempt)
{
    struct queue_fixture f;
    struct queue_entry entry;
    struct str delayed, failed;

    queue_fixture_begin(&f);
    add(&f, &mail);
    for (uint32_t n = 1; n <= QUEUE_MAX_ATTEMPTS; n++) {
        try(&f, &entry, &busy);
        if (n == QUEUE_DELAY_ATTEMPTS) {
            delayed = take_report(&f);
            // It waits 2, 4 and 8 hours from now on; mox-smtp-delivery.md 9 tells of other times.
            CHECK(f.now_unix == 1000 + 450 + 900 + 1800 + 3600 + 4 * 5);
            CHECK(has(delayed, "Will-Retry-Until: Thu, 1 Jan 1970 16:09:30 +0000\r\n"));
        }
        queue_fixture_wait(&f, queue_wait_s(true, n - 1) + 5);
    }
    failed = take_report(&f);
    CHECK(has(failed, "Action: failed\r\nStatus: 4.2.1\r\n"));
    CHECK(has(failed, "Diagnostic-Code: smtp; 450 4.2.1 busy\r\n"));
    CHECK(is_empty(&f));
    queue_fixture_end(&f);
}

TEST(queue_gives_up_on_an_account_of_ours_after_days)
{
    const struct attempt full = {.class = ATTEMPT_TEMPORARY, .code = 452, .enhanced = STR_("4.2.2"),
                                 .text = STR_("over quota")};
    struct queue_fixture f;
    struct queue_entry entry;
    unsigned delayed = 0, failed = 0, tried = 0;

    queue_fixture_begin(&f);
    add(&f, &mail);
    for (int64_t end = f.now_unix + 3 * 86400; f.now_unix < end; queue_fixture_wait(&f, 60))
        while (queue_fixture_next(&f, &entry)) {
            if (entry.origin == QUEUE_OWN_REPORT) {
                struct str text = queue_fixture_bytes(&f, &entry);

                delayed += has(text, "Action: delayed\r\n");
                failed += has(text, "Action: failed\r\nStatus: 4.2.2\r\n");
            }
            tried += entry.origin == QUEUE_SUBMITTED;
            CHECK(queue_result(f.q, &entry, entry.origin == QUEUE_OWN_REPORT
                                                ? &(struct attempt){.class = ATTEMPT_DELIVERED} : &full,
                               &(struct err){0}));
        }
    CHECK(delayed == 1 && failed == 1 && tried > 40 && tried < 100);
    CHECK(is_empty(&f));
    queue_fixture_end(&f);
}

TEST(queue_returns_the_message_when_asked)
{
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry;

    queue_fixture_begin(&f);
    m.ret = QUEUE_RET_FULL;
    add(&f, &m);
    try(&f, &entry, &no_user);
    CHECK(has(take_report(&f), "message/rfc822\r\n\r\nFrom: <ann@mox.example>\r\nSubject: x\r\n\r\nbody\r\n"));
    m.require_tls = 1; // RFC 8689 5: nothing of it where TLS is not certain
    add(&f, &m);
    try(&f, &entry, &no_user);
    CHECK(queue_fixture_next(&f, &entry) && entry.require_tls == 1);
    CHECK(!has(queue_fixture_bytes(&f, &entry), "body"));
    queue_fixture_end(&f);
}

// attacks.md, "Backscatter, DSN loops".
TEST(queue_tells_nobody_who_may_not_have_sent_it)
{
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry;
    struct str text;

    queue_fixture_begin(&f);
    m.origin = QUEUE_FROM_OUTSIDE;
    m.account = STR("");
    m.reverse_path = STR("victim@elsewhere.example");
    add(&f, &m);
    try(&f, &entry, &(struct attempt){.class = ATTEMPT_PERMANENT, .code = 550});
    CHECK(is_empty(&f));
    m.reverse_path = STR("");
    m.is_sender_real = true;
    add(&f, &m);
    try(&f, &entry, &(struct attempt){.class = ATTEMPT_PERMANENT, .code = 550});
    CHECK(is_empty(&f));
    m.reverse_path = STR("carol@elsewhere.example");
    m.ret = QUEUE_RET_FULL;
    add(&f, &m);
    try(&f, &entry, &(struct attempt){.class = ATTEMPT_PERMANENT, .code = 550, .text = STR("no")});
    CHECK(queue_fixture_next(&f, &entry));
    CHECK_STR(entry.recipient, STR("carol@elsewhere.example"));
    CHECK_STR(entry.account, STR(""));
    text = queue_fixture_bytes(&f, &entry);
    CHECK(has(text, "From: <postmaster@other.example>\r\n"));
    CHECK(!has(text, "body")); // whatever was asked for
    queue_fixture_end(&f);
}

TEST(queue_reports_to_outside_are_counted)
{
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry;
    unsigned n = 0;

    queue_fixture_begin(&f);
    m.origin = QUEUE_FROM_OUTSIDE;
    m.account = STR("");
    m.is_sender_real = true;
    for (int i = 0; i < 600; i++)
        add(&f, &m);
    while (queue_fixture_next(&f, &entry)) {
        n += entry.origin == QUEUE_OWN_REPORT;
        CHECK(queue_result(f.q, &entry, &(struct attempt){.class = ATTEMPT_PERMANENT}, &(struct err){0}));
    }
    CHECK(n == 500);
    queue_fixture_wait(&f, 3600);
    add(&f, &m);
    try(&f, &entry, &(struct attempt){.class = ATTEMPT_PERMANENT});
    (void)take_report(&f);
    queue_fixture_end(&f);
}

TEST(queue_tells_at_once_what_was_refused)
{
    const struct queue_recipient to[] = {
        {.address = STR_("a@x"), .delivery_id = STR_("s.abc.0")},
        {.address = STR_("b@x"), .refused_code = 550, .refused_enhanced = STR_("5.1.1"),
         .refused_text = STR_("no such address")},
        {.address = STR_("c@x"), .refused_code = 550, .refused_enhanced = STR_("5.7.1"),
         .refused_text = STR_("no")}};
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry;
    struct str text;

    queue_fixture_begin(&f);
    m.origin = QUEUE_FROM_OUTSIDE;
    m.account = STR("");
    m.reverse_path = STR("carol@elsewhere.example");
    m.is_sender_real = true;
    m.recipients = to;
    m.n_recipients = 3;
    add(&f, &m);
    try(&f, &entry, &(struct attempt){.class = ATTEMPT_DELIVERED});
    CHECK_STR(entry.delivery_id, STR("s.abc.0"));
    text = take_report(&f); // one for both
    CHECK(has(text, "Final-Recipient: rfc822;b@x\r\nAction: failed\r\nStatus: 5.1.1\r\n"
                    "Diagnostic-Code: smtp; 550 no such address\r\n"));
    CHECK(has(text, "Final-Recipient: rfc822;c@x\r\nAction: failed\r\nStatus: 5.7.1\r\n"));
    CHECK(is_empty(&f));
    m.recipients = to + 1; // nobody is left
    m.n_recipients = 2;
    add(&f, &m);
    (void)take_report(&f);
    m.is_sender_real = false;
    add(&f, &m);
    CHECK(is_empty(&f));
    queue_fixture_end(&f);
}

TEST(queue_suppresses_recipients_that_are_not_there)
{
    static const struct {
        unsigned code;
        const char *enhanced;
        bool is_listed;
    } cases[] = {
        {550, "5.0.0", true}, {521, "", true},      {551, "", true},      {553, "", true},
        {556, "", true},      {554, "5.1.1", true}, {554, "5.2.1", true}, {554, "5.7.1", true},
        {554, "5.1.6", true}, {554, "5.3.4", false}, {552, "5.2.2", false}, {0, "5.1.1", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct queue_fixture f;
        struct queue_entry entry = {.origin = QUEUE_SUBMITTED, .account = STR("ann"),
                                    .recipient = STR("B.O.B+tag@other.example")};
        struct attempt attempt = {.class = ATTEMPT_PERMANENT, .is_remote = true,
                                  .code = cases[i].code, .enhanced = str_of(cases[i].enhanced)};
        struct queue_entry tried;
        struct err e = {0};
        bool is;

        queue_fixture_begin(&f);
        add(&f, &mail);
        try(&f, &tried, &attempt);
        CHECK(queue_is_suppressed(f.q, &entry, &is, &e));
        CHECK_CASE(is == cases[i].is_listed, i);
        entry.account = STR("carl"); // only for the one
        CHECK(queue_is_suppressed(f.q, &entry, &is, &e) && !is);
        entry.account = STR("ann"); // not for what is not the account's
        entry.origin = QUEUE_OWN_REPORT;
        CHECK(queue_is_suppressed(f.q, &entry, &is, &e) && !is);
        queue_fixture_end(&f);
    }
}

TEST(queue_suppresses_after_three_failures)
{
    const struct attempt refused = {.class = ATTEMPT_PERMANENT, .is_remote = true, .code = 554,
                                    .enhanced = STR_("5.3.0")};
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    bool is;

    queue_fixture_begin(&f);
    m.keep_retired_s = 3600;
    m.recipients = &(struct queue_recipient){.address = STR("bob@other.example"),
                                             .notify = QUEUE_NOTIFY_NEVER};
    for (int i = 1; i <= 5; i++) {
        add(&f, &m);
        try(&f, &entry, i == 2 ? &accepted : &refused);
        CHECK(queue_is_suppressed(f.q, &entry, &is, &e));
        CHECK_CASE(is == (i == 5), i);
    }
    queue_fixture_end(&f);
}

TEST(queue_forgets_retired_messages_in_time)
{
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry;
    struct err e = {0};
    size_t n;

    queue_fixture_begin(&f);
    m.keep_retired_s = 3600;
    for (int i = 0; i < 3; i++) {
        add(&f, &m);
        try(&f, &entry, &accepted);
    }
    CHECK(queue_forget_retired(f.q, 10, &n, &e) && n == 0);
    queue_fixture_wait(&f, 3600);
    CHECK(queue_forget_retired(f.q, 2, &n, &e) && n == 2);
    CHECK(queue_forget_retired(f.q, 2, &n, &e) && n == 1);
    CHECK(queue_forget_retired(f.q, 2, &n, &e) && n == 0);
    queue_fixture_end(&f);
}

static struct queue_returned returned(struct str path, enum dsn_action action, unsigned code, struct str status)
{
    return (struct queue_returned){.account = STR("ann"), .path = path, .action = action, .code = code,
                                   .status = status, .text = STR("said later")};
}

TEST(queue_hears_of_messages_later)
{
    static const struct queue_recipient both[] = {{.address = STR_("bob@other.example")},
                                                  {.address = STR_("carl@other.example")}};
    static const struct str paths[] = {STR_("ann+Xy1@mox.example"), STR_("ann+Xy2@mox.example")};
    struct queue_new m = mail;
    struct queue_fixture f;
    struct queue_entry entry = {.origin = QUEUE_SUBMITTED, .account = STR("ann"), .recipient = both[1].address};
    struct queue_returned r = returned(STR("ANN+xy2@mox.example"), DSN_DELAYED, 450, STR("4.2.2"));
    struct str recipient;
    struct err e = {0};
    bool is;

    queue_fixture_begin(&f);
    m.recipients = both;
    m.n_recipients = 2;
    m.reverse_paths = paths;
    m.has_own_path = true;
    m.keep_retired_s = 3600;
    add(&f, &m);
    CHECK(queue_path_is_used(f.q, STR("ann"), STR("ann+xy2@mox.example"), &is, &e) && is);
    CHECK(queue_path_is_used(f.q, STR("carl"), STR("ann+xy2@mox.example"), &is, &e) && !is);
    CHECK(queue_path_is_used(f.q, STR("ann"), STR("ann+xy3@mox.example"), &is, &e) && !is);
    CHECK(queue_returned(f.q, &f.a, &r, &recipient, &is, &e) && !is); // it waits still
    for (size_t i = 0; i < 2; i++) {
        struct queue_entry tried;

        try(&f, &tried, &accepted);
        CHECK_STR(tried.reverse_path, paths[tried.id - 1]);
        CHECK_STR(tried.recipient, both[tried.id - 1].address);
    }
    CHECK(queue_path_is_used(f.q, STR("ann"), paths[0], &is, &e) && is);
    CHECK(queue_returned(f.q, &f.a, &r, &recipient, &is, &e) && is);
    CHECK_STR(recipient, both[1].address);
    CHECK(queue_is_suppressed(f.q, &entry, &is, &e) && !is);
    r.account = STR("carl"); // whose it is not
    CHECK(queue_returned(f.q, &f.a, &r, &recipient, &is, &e) && !is);
    r = returned(STR("ann+Xy2@mox.example"), DSN_FAILED, 0, STR("5.1.1"));
    CHECK(queue_returned(f.q, &f.a, &r, &recipient, &is, &e) && is);
    CHECK(queue_is_suppressed(f.q, &entry, &is, &e) && is);
    entry.recipient = both[0].address;
    CHECK(queue_is_suppressed(f.q, &entry, &is, &e) && !is);
    // Two that have the same path: nobody can tell which.
    m = mail;
    m.keep_retired_s = 3600;
    for (size_t i = 0; i < 2; i++) {
        struct queue_entry tried;

        add(&f, &m);
        try(&f, &tried, &accepted);
    }
    r.path = mail.reverse_path;
    CHECK(queue_returned(f.q, &f.a, &r, &recipient, &is, &e) && !is);
    queue_fixture_end(&f);
}

// A file of a program that knew no such paths.
TEST(queue_of_before_return_paths)
{
    char dir[] = "/tmp/mox-queue-XXXXXX";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct queue_returned r = returned(STR("ann+1@mox.example"), DSN_FAILED, 550, STR("5.1.1"));
    struct str recipient;
    struct err e = {0};
    struct queue *q;
    struct db *old;
    bool is;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    old = db_open("queue.db", sql_queue, 8, &e);
    CHECK(old && db_exec(old, "INSERT INTO retired VALUES (7, 1, 'ann', 'ann+1@mox.example', 'bob@x', 'bob@x', '', '', "
                              "'', 0, '', 1, 5, 1, 1, '', 5, 9999999999)", &e));
    db_close(old);
    q = queue_open(&e);
    CHECK(q && queue_path_is_used(q, STR("ann"), STR("ann+1@mox.example"), &is, &e) && is);
    CHECK(queue_returned(q, &a, &r, &recipient, &is, &e) && is);
    CHECK_STR(recipient, STR("bob@x"));
    queue_close(q);
    CHECK(chdir("/") == 0);
}
