/*
 * Random sequences of SMTP commands against the real session, in this process, beside a model that
 * says which replies must come: every command in every state, with DATA, BDAT, RSET, STARTTLS, AUTH
 * and QUIT in any mixture, pipelined and cut anywhere.
 *
 *     mox-smtp-sequences [how many] [first seed]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"
#include "role/session/smtp_scripted.h"

enum { MAX_STEPS = 150, MAX_BYTES = 8000, MAX_BAD = 10, SLOW_AFTER = 3 };

enum kind { GOOD, LIST, UNKNOWN, FULL, TORN, KINDS };
static const char *const kind_names[] = {"good", "list", "unknown", "full", "torn"};
static const unsigned kind_mailboxes[] = {1, 3, 0, 0, 0};
static const unsigned kind_codes[] = {250, 250, 550, 452, 451};

struct model {
    bool is_submission, has_starttls;
    bool is_hostile; // most of its messages are flawed, and it sends many
    bool has_hello, is_tls, is_authed, has_mail, is_null, is_binary, has_chunks, has_ended;
    unsigned rcpts[KINDS], n_rcpts, bad, good, failed_logins;
    unsigned delivered, queued;
    struct buf chunks;  // of BDAT, so far
    struct buf message; // the last one that was taken
};

static uint64_t seed;
static unsigned expected[4 * MAX_STEPS];
static size_t n_expected;
static struct buf input = BUF_LIMIT(1 << 20);
static size_t cuts[MAX_STEPS]; // where a packet must end: after STARTTLS
static size_t n_cuts;

static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static void expect(unsigned code)
{
    expected[n_expected++] = code;
}

static void say(const char *line, unsigned code)
{
    buf_put(&input, str_of(line));
    BUF_PUT(&input, "\r\n");
    expect(code);
}

static void reset(struct model *m)
{
    m->has_mail = m->is_null = m->is_binary = m->has_chunks = false;
    memset(m->rcpts, 0, sizeof m->rcpts);
    m->n_rcpts = 0;
    buf_reset(&m->chunks);
}

/* --- messages ------------------------------------------------------------------------------------ */

enum flaw { NO_FLAW, BARE_CR, BARE_DOT, FLAWS };

static enum flaw pick_flaw(const struct model *m)
{
    return pick(10) < (m->is_hostile ? 1 : 9) ? NO_FLAW : (enum flaw)pick(FLAWS);
}

static void put_message(struct buf *out, const struct model *m, enum flaw flaw)
{
    static const char *const lines[] = {"", ".", "..", ".a", "a", "QUIT", "BDAT 5", "a."};

    if (m->is_submission)
        BUF_PUT(out, "From: <me@x.example>\r\n");
    BUF_PUT(out, "Subject: s\r\n\r\n");
    for (unsigned n = pick(8); n; n--) {
        buf_put(out, str_of(lines[pick(COUNT(lines))]));
        BUF_PUT(out, "\r\n");
    }
    if (flaw == BARE_CR)
        BUF_PUT(out, "a\rb");
    if (flaw == BARE_DOT)
        BUF_PUT(out, "a\n.\r\n");
}

static void put_stuffed(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '.' && i > 1 && text.p[i - 1] == '\n' && text.p[i - 2] == '\r')
            BUF_PUT(&input, ".");
        buf_put_char(&input, text.p[i]);
    }
    BUF_PUT(&input, "\r\n.\r\n");
}

// The code of the reply to a whole message, and what it does.
static void finish(struct model *m, struct str text, bool is_refused)
{
    unsigned mailboxes = 0, code = 0;
    bool is_same = true, has_permanent = false;

    m->bad++;
    for (unsigned k = 0; k < KINDS; k++) {
        if (!m->rcpts[k])
            continue;
        mailboxes += m->rcpts[k] * kind_mailboxes[k];
        is_same = is_same && (!code || code == kind_codes[k]);
        code = kind_codes[k];
        has_permanent = has_permanent || code >= 500;
    }
    if (is_refused) {
        expect(500);
    } else if (m->is_submission || mailboxes) {
        bool has_rest = m->rcpts[UNKNOWN] || m->rcpts[FULL] || m->rcpts[TORN];

        m->delivered += m->is_submission ? 0 : mailboxes;
        m->queued += m->is_submission || has_rest;
        m->bad--;
        m->good++;
        buf_reset(&m->message);
        buf_put(&m->message, text);
        expect(250);
    } else {
        buf_reset(&m->message); // offered all the same
        if (m->rcpts[FULL] || m->rcpts[TORN])
            buf_put(&m->message, text);
        expect(is_same ? code : has_permanent ? 554 : 451);
    }
    reset(m);
}

static void step_data(struct model *m)
{
    AUTO_BUF text = BUF_LIMIT(1 << 16);
    enum flaw flaw = pick_flaw(m);
    unsigned code = !m->has_hello ? 503 : !m->has_mail ? 503 : !m->n_rcpts ? 554
                    : m->has_chunks || m->is_binary ? 503 : 354;

    say("DATA", code);
    if (code != 354)
        return;
    put_message(&text, m, flaw);
    put_stuffed(buf_str(&text));
    BUF_PUT(&text, "\r\n");
    finish(m, buf_str(&text), flaw != NO_FLAW);
}

static bool ends_in_cr(const struct buf *b)
{
    return b->n && b->p[b->n - 1] == '\r';
}

static void step_bdat(struct model *m)
{
    AUTO_BUF text = BUF_LIMIT(1 << 16);
    enum flaw flaw = pick_flaw(m);
    // In slow mode, a long chunk in small packets takes longer than there is time for.
    bool is_last = pick(2), is_large = !pick(20) && m->failed_logins < SLOW_AFTER;
    unsigned code = !m->has_hello || !m->has_mail ? 503 : !m->n_rcpts ? 554 : 0;

    if (is_large) {
        for (int i = 0; i < 3 * MAX_BYTES; i++)
            BUF_PUT(&text, "x");
    } else if (pick(8)) {
        put_message(&text, m, flaw);
        if (flaw == NO_FLAW && !is_last && !m->is_binary && pick(2))
            text.n -= text.n > 0 && text.p[text.n - 1] == '\n'; // between CR and LF
    } else {
        flaw = NO_FLAW; // nothing at all
    }
    if (!code && text.n + m->chunks.n > MAX_BYTES)
        code = 552;
    if (m->is_binary)
        flaw = NO_FLAW;
    buf_printf(&input, "BDAT %zu%s\r\n", text.n, is_last ? " LAST" : "");
    // What follows a CR at the end of the last chunk decides what that CR was.
    if (!code && !m->is_binary && ends_in_cr(&m->chunks) && (text.n || is_last) &&
        !(text.n && text.p[0] == '\n'))
        flaw = BARE_CR;
    buf_put(&input, buf_str(&text));
    if (code) {
        m->bad += m->has_mail;
        expect(code);
        if (m->has_hello)
            reset(m);
        return;
    }
    m->has_chunks = true;
    buf_put(&m->chunks, buf_str(&text));
    if (is_last || flaw != NO_FLAW) {
        AUTO_BUF whole = BUF_LIMIT(1 << 17);
        bool is_cr = is_last && !m->is_binary && ends_in_cr(&m->chunks);

        buf_put(&whole, buf_str(&m->chunks));
        if (m->is_submission && flaw == NO_FLAW && !is_cr && !whole.n) {
            m->bad++; // no header at all
            expect(554);
            reset(m);
            return;
        }
        finish(m, buf_str(&whole), flaw != NO_FLAW || is_cr);
    } else {
        expect(250);
    }
}

/* --- other commands ------------------------------------------------------------------------------ */

static void step_hello(struct model *m)
{
    static const char *const lines[] = {"EHLO c.example", "HELO c.example", "ehlo [192.0.2.7] hi"};

    say(lines[pick(COUNT(lines))], 250);
    reset(m);
    m->has_hello = true;
}

static void step_mail(struct model *m)
{
    unsigned how = pick(8), code = 250;
    const char *line = "MAIL FROM:<me@x.example>";

    if (how == 0)
        line = "MAIL FROM:<me@x.example> BODY=BINARYMIME";
    else if (how == 1)
        line = "MAIL FROM:<>", code = 250;
    else if (how == 2)
        line = "MAIL FROM:<me@x.example> SIZE=9999", code = 552;
    else if (how == 3)
        line = "MAIL FROM:<me", code = 501;
    if (m->is_submission && how == 4)
        line = "MAIL FROM:<other@x.example>", code = 550;
    if (!m->has_hello)
        code = 503;
    else if (m->is_submission && !m->is_authed)
        code = 530;
    else if (m->has_mail)
        code = 503;
    else if (m->bad > MAX_BAD && !m->good) {
        code = 550;
        m->has_ended = true;
    }
    say(line, code);
    if (code == 250) {
        m->has_mail = true;
        m->is_binary = how == 0;
        m->is_null = how == 1;
    }
}

static void step_rcpt(struct model *m)
{
    unsigned how = pick(KINDS + 3), code = 250;
    char line[100];

    snprintf(line, sizeof line, "RCPT TO:<%s@y.example>",
             how < KINDS ? kind_names[how] : how == KINDS ? "refused" : how == KINDS + 1 ? "later"
                                                                                      : "a b");
    if (how == KINDS)
        code = m->is_submission ? 250 : 550;
    else if (how == KINDS + 1)
        code = 451;
    else if (how > KINDS)
        code = 501;
    if (!m->has_hello || !m->has_mail || m->has_chunks)
        code = 503;
    else if (code != 501 && !m->is_submission && m->is_null && m->n_rcpts)
        code = 452;
    say(line, code);
    if (code == 250) {
        m->n_rcpts++;
        m->rcpts[how < KINDS ? how : GOOD]++;
    }
}

static void step_auth(struct model *m)
{
    bool is_good = pick(2);

    if (!m->has_hello || !m->is_submission || m->is_authed || m->has_mail) {
        say("AUTH PLAIN AG1lAGdvb2Q=", 503);
        return;
    }
    say(is_good ? "AUTH PLAIN AG1lAGdvb2Q=" : "AUTH PLAIN AG1lAGJhZA==", is_good ? 235 : 535);
    m->is_authed = is_good;
    m->failed_logins = is_good ? 0 : m->failed_logins + 1;
}

static void step_starttls(struct model *m)
{
    bool is_ok = m->has_hello && m->has_starttls && !m->is_tls && !m->is_authed;

    say("STARTTLS", is_ok ? 220 : 503);
    if (!is_ok)
        return;
    cuts[n_cuts++] = input.n;
    reset(m);
    m->has_hello = false;
    m->is_tls = true;
}

static void step_other(struct model *m)
{
    static const struct {
        const char *line;
        unsigned code;
    } others[] = {{"NOOP", 250}, {"NOOP x", 250}, {"VRFY x", 252}, {"VRFY", 501}, {"EXPN x", 252},
                  {"HELP", 214}, {"XYZZY", 500}, {"RSET x", 501}, {"QUIT x", 501}, {"", 500}};
    unsigned i = pick(COUNT(others));

    (void)m;
    say(others[i].line, others[i].code);
}

static void step_rset(struct model *m)
{
    say("RSET", 250);
    reset(m);
}

static void step_end(struct model *m)
{
    bool is_quit = pick(2);

    say(is_quit ? "QUIT" : "BDAT x", is_quit ? 221 : 501);
    m->has_ended = true;
}

/* --- running ------------------------------------------------------------------------------------- */

static void generate(struct model *m)
{
    static void (*const steps[])(struct model *) = {
        step_hello, step_mail, step_mail, step_rcpt, step_rcpt, step_rcpt, step_data, step_data,
        step_bdat, step_bdat, step_bdat, step_auth, step_starttls, step_other, step_rset};

    expect(220);
    step_other(m); // an unknown word at the very beginning ends the connection
    if (expected[1] == 500) {
        m->has_ended = true;
        return;
    }
    for (unsigned n = m->is_hostile ? MAX_STEPS - 2 : 1 + pick(40); n && !m->has_ended; n--) {
        if (m->is_hostile && pick(4))
            steps[m->has_hello ? 1 + pick(10) : 0](m);
        else if (m->is_submission && !m->is_authed && !m->has_mail && pick(2))
            step_auth(m);
        else if (!pick(60))
            step_end(m);
        else
            steps[pick(COUNT(steps))](m);
    }
}

// The input in packets of any size, which end where they must.
static size_t cut(struct str *packets, size_t max)
{
    unsigned most = pick(3) == 0 ? 1u << 20 : pick(2) ? 100 : 5;
    size_t n = 0, at = 0, next = 0;

    while (at < input.n && n < max) {
        size_t size = 1 + pick(most);

        while (next < n_cuts && cuts[next] <= at)
            next++;
        if (next < n_cuts && at + size > cuts[next])
            size = cuts[next] - at;
        packets[n] = str_sub(buf_str(&input), at, size);
        at += packets[n++].n;
    }
    return n;
}

static bool run_one(uint64_t number)
{
    static struct str packets[1 << 17];
    struct model m = {.chunks = BUF_LIMIT(1 << 17), .message = BUF_LIMIT(1 << 17)};
    struct scripted s = {.packets = packets, .max_message_bytes = MAX_BYTES};
    size_t at = 0;
    unsigned code;
    struct str out;
    bool is_ok;

    seed = number * 2654435761u + 12345;
    buf_reset(&input);
    n_expected = n_cuts = 0;
    m.is_submission = s.is_submission = pick(2);
    m.has_starttls = s.has_starttls = pick(2);
    m.is_hostile = !pick(8);
    generate(&m);
    s.n_packets = cut(packets, COUNT(packets));
    scripted_run(&s);
    out = buf_str(&s.out);
    while ((code = scripted_reply(&out)) && at < n_expected && code == expected[at])
        at++;
    is_ok = !code && at == n_expected && s.delivered == m.delivered && s.queued == m.queued &&
            (!m.message.n || str_eq(buf_str(&m.message), buf_str(&s.message)));
    if (!is_ok)
        printf("FAIL smtp-sequences seed %llu: reply %zu is %u instead of %u; delivered %u, not %u; "
               "queued %u, not %u\n--- sent:\n%.*s\n--- got:\n%.*s\n",
               (unsigned long long)number, at, code, at < n_expected ? expected[at] : 0,
               s.delivered, m.delivered, s.queued, m.queued, STR_FMT(buf_str(&input)),
               STR_FMT(buf_str(&s.out)));
    buf_fini(&m.chunks);
    buf_fini(&m.message);
    scripted_fini(&s);
    return is_ok;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    log_set_fd(-1);
    for (uint64_t i = 0; i < count; i++)
        if (!run_one(first + i))
            return 1;
    printf("PASS smtp-sequences %llu\n", (unsigned long long)count);
    return 0;
}
