#include "base/test.h"
#include "ipc/channel.h"
#include "ipc/compiled.h"
#include "ipc/dkim.h"
#include "ipc/resolve.h"
#include "os/clock.h"

#include <sys/socket.h>
#include <unistd.h>

static void make_pair(struct channel *a, enum role role_a, struct channel *b, enum role role_b)
{
    int fds[2];

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    *a = (struct channel){fds[0], role_a, role_b};
    *b = (struct channel){fds[1], role_b, role_a};
}

TEST(fields_within_limits)
{
    AUTO_BUF b = BUF_LIMIT(1000);
    struct ipc_verdict m = {.code = 250, .enhanced = STR("2.0.0"), .text = STR("ok")}, got;
    struct err e = {0};

    ipc_verdict_put(&b, &m);
    for (size_t n = 0; n < b.n; n++) { // every truncation is refused
        AUTO_EXACT cut = exact_copy(str_sub(buf_str(&b), 0, n));

        CHECK_CASE(!ipc_verdict_get(cut.str, &got, &e), n);
    }
    CHECK(ipc_verdict_get(buf_str(&b), &got, &e));
    CHECK(got.code == 250);
    CHECK_STR(got.text, STR("ok"));
    buf_put_char(&b, 'x');
    CHECK(!ipc_verdict_get(buf_str(&b), &got, &e));

    buf_reset(&b);
    m.code = 600; // over the field's limit
    ipc_verdict_put(&b, &m);
    CHECK(!ipc_verdict_get(buf_str(&b), &got, &e));
}

TEST(messages_with_descriptors)
{
    struct packet *p = packet_new();
    struct channel monitor, front;
    struct ipc_listen m;
    struct err e = {0};

    make_pair(&monitor, ROLE_MONITOR, &front, ROLE_FRONT);
    CHECK(IPC_SEND(&monitor, listen, &(int){STDOUT_FILENO}, 1, &e, .index = 3));
    CHECK(channel_receive(&front, p, 1000, &e) == CHANNEL_MESSAGE);
    CHECK(p->type == IPC_listen && p->n_fds == 1);
    CHECK(ipc_listen_get(p->body, &m, &e) && m.index == 3);
    packet_close_fds(p);
    CHECK(channel_receive(&front, p, 0, &e) == CHANNEL_TIMEOUT);
    channel_close(&monitor);
    CHECK(channel_receive(&front, p, 1000, &e) == CHANNEL_CLOSED);
    channel_close(&front);
    packet_free(p);
}

// What was sent before is read after it, and the other direction stays.
TEST(a_channel_on_which_one_side_says_no_more)
{
    struct packet *p = packet_new();
    struct channel queue, deliver;
    struct err e = {0};

    make_pair(&queue, ROLE_QUEUE, &deliver, ROLE_DELIVER);
    CHECK(!channel_has_ended(&deliver));
    CHECK(IPC_SEND(&queue, deliver_noted, NULL, 0, &e, .message = 1) && !channel_has_ended(&deliver));
    channel_say_no_more(&queue);
    CHECK(channel_has_ended(&deliver) && !channel_has_ended(&queue));
    CHECK(channel_receive(&deliver, p, 1000, &e) == CHANNEL_MESSAGE && p->type == IPC_deliver_noted);
    CHECK(channel_receive(&deliver, p, 1000, &e) == CHANNEL_CLOSED);
    CHECK(IPC_SEND(&deliver, deliver_end, NULL, 0, &e, .message = 1));
    CHECK(channel_receive(&queue, p, 1000, &e) == CHANNEL_MESSAGE && p->type == IPC_deliver_end);
    channel_close(&deliver);
    CHECK(channel_has_ended(&queue) && channel_receive(&queue, p, 1000, &e) == CHANNEL_CLOSED);
    channel_close(&queue);
    CHECK(channel_has_ended(&queue));
    packet_free(p);
}

// Linux tells of the unread message first, and of what the peer had said after that.
TEST(last_words_of_who_did_not_listen)
{
    struct packet *p = packet_new();
    struct channel queue, deliver;
    struct err e = {0};

    make_pair(&queue, ROLE_QUEUE, &deliver, ROLE_DELIVER);
    CHECK(IPC_SEND(&queue, deliver_noted, NULL, 0, &e, .message = 1));
    CHECK(IPC_SEND(&deliver, deliver_end, NULL, 0, &e, .message = 1));
    channel_close(&deliver);
    CHECK(channel_receive(&queue, p, 0, &e) == CHANNEL_MESSAGE && p->type == IPC_deliver_end);
    CHECK(channel_receive(&queue, p, 0, &e) == CHANNEL_CLOSED);
    channel_close(&queue);
    packet_free(p);
}

// A captured session or account must not hold up those that everybody needs.
TEST(who_serves_everybody_does_not_wait_for_one)
{
    static const struct {
        enum role self, peer;
    } cases[] = {{ROLE_MONITOR, ROLE_SESSION}, {ROLE_MONITOR, ROLE_ACCOUNT}};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct packet *p = packet_new();
        int64_t start = os_monotonic_ms();
        struct channel a, b;
        struct err e = {0};
        unsigned sent = 0, got = 0;

        make_pair(&a, cases[i].self, &b, cases[i].peer);
        while (IPC_SEND(&a, stop, NULL, 0, &e))
            sent++;
        CHECK_CASE(os_monotonic_ms() - start < 8000, i);
        CHECK_CASE(sent > 100 && str_find_str(str_of(e.text), STR("does not read")) >= 0, i);
        // The channel has ended: nothing more is sent on it, and the peer sees that something is missing.
        start = os_monotonic_ms();
        CHECK_CASE(!IPC_SEND(&a, stop, NULL, 0, &e) && os_monotonic_ms() - start < 1500, i);
        CHECK_CASE(channel_receive(&a, p, 0, &e) == CHANNEL_CLOSED, i);
        while (channel_receive(&b, p, 0, &e) == CHANNEL_MESSAGE)
            got++;
        CHECK_CASE(got == sent && channel_receive(&b, p, 0, &e) == CHANNEL_CLOSED, i);
        channel_close(&a);
        channel_close(&b);
        packet_free(p);
    }
}

TEST(what_the_table_does_not_allow_is_refused)
{
    struct packet *p = packet_new();
    struct channel a, b;
    struct err e = {0};
    static const struct {
        enum role real_sender; // as the sender sees itself, so that sending works
        enum role seen_as;     // what the receiver knows it to be
        enum role receiver;
    } cases[] = {
        {ROLE_AUTH, ROLE_SESSION, ROLE_MONITOR},  // a session may not say who logged in
        {ROLE_AUTH, ROLE_ACCOUNT, ROLE_MONITOR},
        {ROLE_AUTH, ROLE_FRONT, ROLE_MONITOR},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        make_pair(&a, cases[i].real_sender, &b, cases[i].receiver);
        b.peer = cases[i].seen_as;
        CHECK(IPC_SEND(&a, login_ok, NULL, 0, &e, .conn = 1, .account = STR("alice")));
        CHECK_CASE(channel_receive(&b, p, 1000, &e) == CHANNEL_BAD, i);
        channel_close(&a);
        channel_close(&b);
    }
    // A message with a descriptor too many, an unknown type, and an empty datagram.
    make_pair(&a, ROLE_MONITOR, &b, ROLE_FRONT);
    CHECK(send(a.fd, "\xff", 1, 0) == 1);
    CHECK(channel_receive(&b, p, 1000, &e) == CHANNEL_BAD);
    CHECK(send(a.fd, &(char){IPC_listen}, 1, 0) == 1);
    CHECK(channel_receive(&b, p, 1000, &e) == CHANNEL_BAD);
    channel_close(&a);
    channel_close(&b);
    packet_free(p);
}

TEST(every_message_has_a_sender_and_a_receiver)
{
    for (unsigned t = 1; t < IPC_TYPE_COUNT; t++) {
        const struct ipc_rule *r = ipc_rule_of(t);

        CHECK_CASE(r && r->name && r->from && r->to && r->min_fds <= r->max_fds, t);
        CHECK_CASE(r->max_fds <= IPC_MAX_FDS, t);
    }
    CHECK(!ipc_rule_of(0) && !ipc_rule_of(IPC_TYPE_COUNT) && !ipc_rule_of(9999));
}

// What would be taken for the truth comes from those who know it, and from nobody else.
TEST(only_these_may_say_it)
{
    static const struct {
        enum ipc_type type;
        role_set from;
    } cases[] = {
        {IPC_login_ok, R_(AUTH)},       {IPC_delivery_grant, R_(AUTH)},  {IPC_peer, R_(MONITOR)},
        {IPC_attach, R_(MONITOR)},      {IPC_account_start, R_(MONITOR)}, {IPC_config, R_(MONITOR)},
        {IPC_session_start, R_(MONITOR) | R_(SESSION_TEMPLATE) | R_(WEB_TEMPLATE)}, {IPC_listen, R_(MONITOR)},     {IPC_tls_file, R_(MONITOR)},
        {IPC_check_files, R_(MONITOR)}, {IPC_account_end, R_(MONITOR)},  {IPC_granted, R_(MONITOR)},
        {IPC_compiled, R_(CONFIG)},     {IPC_compiled_end, R_(CONFIG)},  {IPC_set_password, R_(ADMIN)},
        {IPC_queue_command, R_(ADMIN)}, {IPC_conn_new, R_(FRONT)},       {IPC_conn_resume, R_(FRONT)},
        {IPC_conn_gone, R_(FRONT)},     {IPC_park, R_(ACCOUNT)},         {IPC_parked_send, R_(ACCOUNT)},
        {IPC_returned, R_(ACCOUNT)},
        {IPC_detached, R_(ACCOUNT)},    {IPC_signed, R_(KEYS)},          {IPC_auth_reply, R_(AUTH)},
        {IPC_rcpt_reply, R_(AUTH)},     {IPC_from_reply, R_(AUTH)},
        {IPC_resolved, R_(RESOLVE)},
    };

    for (size_t i = 0; i < COUNT(cases); i++)
        CHECK_CASE(ipc_rule_of(cases[i].type)->from == cases[i].from, i);
    // Keys and configuration hear nobody but those who need them.
    CHECK(ipc_rule_of(IPC_sign)->to == R_(KEYS) && ipc_rule_of(IPC_set_password)->to == R_(AUTH));
}

TEST(compiled_records_in_sequence)
{
    AUTO_BUF b = BUF_LIMIT(10000);
    enum compiled_type type;
    struct ipc_level level;
    struct str body;
    struct err e = {0};
    struct cur c;

    COMPILED_PUT(&b, level, .package = STR("queue"), .level = STR("debug"));
    COMPILED_PUT(&b, account_entry, .name = STR("alice"));
    c = cur_of(buf_str(&b));
    CHECK(compiled_next(&c, &type, &body, &e) && type == COMPILED_level);
    CHECK(ipc_level_get(body, &level, &e));
    CHECK_STR(level.package, STR("queue"));
    CHECK(compiled_next(&c, &type, &body, &e) && type == COMPILED_account_entry);
    CHECK(!compiled_next(&c, &type, &body, &e) && e.kind == ERR_NONE);
    c = cur_of(str_sub(buf_str(&b), 0, b.n - 1));
    CHECK(compiled_next(&c, &type, &body, &e));
    CHECK(!compiled_next(&c, &type, &body, &e) && e.kind == ERR_SYNTAX);
}

/* A resolve that has said everything before it is asked. */
struct scripted_resolve {
    struct channel ch;
    const struct ipc_resolved *answers;
    size_t n;
    unsigned n_connects;
    bool is_silent; // it goes on to listen, and says nothing more
};

static bool connect_scripted(void *ctx, struct channel *out, struct err *e)
{
    struct scripted_resolve *r = ctx;

    channel_close(&r->ch);
    make_pair(out, ROLE_SESSION, &r->ch, ROLE_RESOLVE);
    for (size_t i = 0; i < r->n; i++)
        CHECK(IPC_SEND(&r->ch, resolved, NULL, 0, e, .request = r->answers[i].request,
                       .status = r->answers[i].status, .is_secure = r->answers[i].is_secure,
                       .name = r->answers[i].name, .records = r->answers[i].records,
                       .why = r->answers[i].why));
    r->n_connects++;
    if (!r->is_silent)
        shutdown(r->ch.fd, SHUT_WR);
    return true;
}

TEST(answers_of_resolve_are_input_like_any_other)
{
    static const struct {
        struct ipc_resolved answers[3];
        size_t n;
        enum dns_status want;
        bool is_secure;
        const char *why;
    } cases[] = {
        {{{.request = 1, .is_secure = 1, .name = STR_("a"), .records = STR_("\0\4\1\2\3\4")}}, 1, DNS_OK,
         true, ""},
        // Those of questions that were given up come first.
        {{{.request = 7, .status = DNS_BOGUS}, {.request = 1, .status = DNS_NXDOMAIN, .is_secure = 1}},
         2, DNS_NXDOMAIN, true, ""},
        {{{.request = 1, .status = DNS_BOGUS, .is_secure = 1, .why = STR_("forged")}}, 1, DNS_BOGUS,
         false, "forged"},
        {{{.request = 1, .status = DNS_TEMPORARY, .is_secure = 1}}, 1, DNS_TEMPORARY, false, ""},
        {{{.request = 1, .is_secure = 1}}, 1, DNS_TEMPORARY, false, "an answer without records"},
        {{{.request = 1, .records = STR_("\0\4\1")}}, 1, DNS_TEMPORARY, false,
         "truncated list of records"},
        {{{.request = 1, .records = STR_("\0\1\1")}}, 1, DNS_TEMPORARY, false, "malformed A record"},
        {{{.request = 2, .status = DNS_NXDOMAIN}}, 1, DNS_TEMPORARY, false, "resolve is not there"},
        {{{0}}, 0, DNS_TEMPORARY, false, "resolve is not there"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        struct scripted_resolve script = {{-1}, cases[i].answers, cases[i].n, 0, false};
        struct resolver r = RESOLVER(connect_scripted, &script);
        struct dns dns = resolver_dns(&r);
        struct dns_answer got;

        dns_lookup(&dns, &a, STR("a"), DNS_A, &got);
        CHECK_CASE(got.status == cases[i].want && got.is_secure == cases[i].is_secure, i);
        CHECK_STR(got.why, str_of(cases[i].why));
        CHECK_CASE(got.n == (got.status == DNS_OK), i);
        // After a resolve that has ended, the next question goes to the next one.
        dns_lookup(&dns, &a, STR("a"), DNS_A, &got);
        CHECK_CASE(script.n_connects == (str_eq(str_of(cases[i].why), STR("resolve is not there")) ? 2 : 1),
                   i);
        resolver_fini(&r);
        channel_close(&script.ch);
    }
}

TEST(questions_end_at_the_deadline)
{
    static const struct ipc_resolved answer = {.request = 1, .status = DNS_NXDOMAIN};
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct scripted_resolve script = {{-1}, &answer, 1, 0, true};
    struct resolver r = RESOLVER(connect_scripted, &script);
    struct dns dns = resolver_dns(&r);
    struct dns_answer got;

    r.deadline_ms = os_monotonic_ms() + 3600 * 1000;
    dns_lookup(&dns, &a, STR("a"), DNS_A, &got);
    CHECK(got.status == DNS_NXDOMAIN);
    // The second is not answered. It ends before patience with resolve does, and then none is asked.
    r.deadline_ms = os_monotonic_ms() + 50;
    dns_lookup(&dns, &a, STR("a"), DNS_A, &got);
    CHECK(got.status == DNS_TEMPORARY && os_monotonic_ms() >= r.deadline_ms);
    dns_lookup(&dns, &a, STR("a"), DNS_A, &got);
    CHECK(got.status == DNS_TEMPORARY);
    CHECK_STR(got.why, STR("no time is left for questions to the DNS"));
    dns_prefetch(&dns, STR("a"), DNS_A);
    CHECK(script.n_connects == 1);
    r.deadline_ms = 0;
    script.is_silent = false;
    dns_lookup(&dns, &a, STR("a"), DNS_A, &got);
    CHECK(script.n_connects == 2);
    resolver_fini(&r);
    channel_close(&script.ch);
}

// A dkim that has said everything before it is asked.
static bool sign_scripted(const struct ipc_dkim_selector *selectors, size_t n_selectors,
                          const struct ipc_dkim_signed *answers, size_t n, struct buf *out)
{
    struct dkim_client_message m = {.header = STR("From: a@example.org\r\n"), .body = STR("hi\r\n"),
                                    .fd = -1};
    struct dkim_client k = {.packet = packet_new()};
    struct channel here, there;
    struct err e = {0};
    bool is_ok;

    make_pair(&here, ROLE_QUEUE, &there, ROLE_DKIM);
    for (size_t i = 0; i < n_selectors; i++)
        CHECK(IPC_SEND(&there, dkim_selector, NULL, 0, &e, .request = selectors[i].request,
                       .left = selectors[i].left, .domain = STR("example.org"),
                       .name = selectors[i].name, .headers = selectors[i].headers));
    for (size_t i = 0; i < n; i++)
        CHECK(IPC_SEND(&there, dkim_signed, NULL, 0, &e, .request = answers[i].request,
                       .is_ok = answers[i].is_ok, .signature = answers[i].signature));
    shutdown(there.fd, SHUT_WR);
    k.ch = &here;
    is_ok = dkim_client_sign(&k, &m, out, &e);
    channel_close(&here);
    channel_close(&there);
    packet_free(k.packet);
    return is_ok;
}

TEST(signatures_of_dkim_are_put_together)
{
    static const struct ipc_dkim_selector two[] = {
        {.request = 7, .name = STR_("late"), .headers = STR_("From")},
        {.request = 1, .left = 1, .name = STR_("one"), .headers = STR_("From:Subject")},
        {.request = 1, .name = STR_("two"), .headers = STR_("From")},
    };
    static const struct ipc_dkim_selector none[] = {{.request = 1}};
    static const struct ipc_dkim_signed good[] = {
        {.request = 9, .is_ok = 1, .signature = STR_("late")},
        {.request = 2, .is_ok = 1, .signature = STR_("first")},
        {.request = 3, .is_ok = 1, .signature = STR_("second")},
    };
    static const struct ipc_dkim_signed refused[] = {
        {.request = 2, .is_ok = 1, .signature = STR_("first")},
        {.request = 3},
    };
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    BUF_PUT(&out, "before");
    CHECK(sign_scripted(none, COUNT(none), NULL, 0, &out));
    // Nothing is left behind by what fails half way, or when dkim ends.
    CHECK(!sign_scripted(two, COUNT(two), refused, COUNT(refused), &out));
    CHECK(!sign_scripted(two, COUNT(two), good, 2, &out));
    CHECK(!sign_scripted(two, 2, NULL, 0, &out));
    CHECK_STR(buf_str(&out), STR("before"));
    CHECK(sign_scripted(two, COUNT(two), good, COUNT(good), &out));
    CHECK(str_starts(buf_str(&out), STR("beforeDKIM-Signature: v=1; d=example.org; s=one; a=rsa-sha256;")));
    CHECK(str_find_str(buf_str(&out), STR("h=From:From:Subject;")) != STR_NONE);
    CHECK(str_find_str(buf_str(&out), STR("b=Zmlyc3Q=")) != STR_NONE);
    CHECK(str_find_str(buf_str(&out), STR("s=two;")) != STR_NONE);
    CHECK(str_find_str(buf_str(&out), STR("b=c2Vjb25k\r\n")) != STR_NONE);
    CHECK(str_find_str(buf_str(&out), STR("late")) == STR_NONE);
}
