/*
 * An SMTP session and time, limits and STARTTLS, with the clock and the client given.
 */
#include "base/test.h"
#include "role/session/smtp_scripted.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define SAY(literal) STR(literal "\r\n")

// Runs the packets and compares the codes of all replies.
static void talk(struct scripted *s, const struct str *packets, size_t n, const unsigned *codes,
                 size_t n_codes)
{
    struct str out;

    s->packets = packets;
    s->n_packets = n;
    s->max_message_bytes = s->max_message_bytes ? s->max_message_bytes : 1 << 20;
    scripted_run(s);
    out = buf_str(&s->out);
    for (size_t i = 0; i < n_codes; i++) {
        unsigned code = scripted_reply(&out);

        CHECK_CASE(code == codes[i], i);
    }
    CHECK_STR(out, STR(""));
}

#define TALK(s, packets, ...)                                                                      \
    talk((s), (packets), COUNT(packets), (unsigned[]){__VA_ARGS__},                                \
         COUNT(((unsigned[]){__VA_ARGS__})))

#define AUTO_SCRIPTED CLEANUP(scripted_fini) struct scripted

// The text in packets of one byte.
static struct str *bytes_of(struct arena *a, struct str text)
{
    struct str *out = ARENA_ARRAY(a, text.n, struct str);

    for (size_t i = 0; i < text.n; i++)
        out[i] = str_sub(text, i, 1);
    return out;
}

TEST(smtp_each_read_has_its_time)
{
    const struct str packets[] = {SAY("EHLO x.example"), SAY("NOOP")};
    AUTO_SCRIPTED quick = {.read_ms = 30 * SECOND}, slow = {.read_ms = 31 * SECOND};

    TALK(&quick, packets, 220, 250, 250);
    TALK(&slow, packets, 220);
    CHECK(slow.took_ms == 30 * SECOND);
}

TEST(smtp_a_byte_now_and_then_keeps_no_session)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    const struct str line = SAY("NOOP aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    AUTO_SCRIPTED s = {.read_ms = 20 * SECOND};

    talk(&s, bytes_of(&a, line), line.n, (unsigned[]){220}, 1);
    CHECK(s.took_ms > 5 * MINUTE && s.took_ms <= 5 * MINUTE + 20 * SECOND);
}

TEST(smtp_a_message_has_its_time)
{
    const struct str hello = SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\nDATA");
    const struct str chunks = SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\nBDAT 1000 LAST");
    const struct str refused = SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nBDAT 1000 LAST");
    static struct str packets[1001];

    for (size_t i = 0; i < COUNT(packets); i++)
        packets[i] = STR("a");
    {
        AUTO_SCRIPTED s = {.read_ms = 20 * SECOND};

        packets[0] = hello;
        TALK(&s, packets, 220, 250, 250, 250, 354);
        CHECK(s.took_ms > 30 * MINUTE && s.took_ms <= 30 * MINUTE + 40 * SECOND);
        CHECK(!s.delivered);
    }
    {
        AUTO_SCRIPTED s = {.read_ms = 20 * SECOND};

        packets[0] = chunks;
        TALK(&s, packets, 220, 250, 250, 250);
        CHECK(s.took_ms > 30 * MINUTE && s.took_ms <= 30 * MINUTE + 40 * SECOND);
    }
    {
        AUTO_SCRIPTED s = {.read_ms = 20 * SECOND};

        packets[0] = refused;
        TALK(&s, packets, 220, 250, 250);
        CHECK(s.took_ms <= 30 * MINUTE + 40 * SECOND);
    }
}

TEST(smtp_slow_mode_for_guessers)
{
    const struct str two[] = {SAY("EHLO x"), SAY("AUTH PLAIN AG1lAGJhZA=="),
                              SAY("AUTH PLAIN AG1lAGJhZA=="), SAY("NOOP"), SAY("QUIT")};
    const struct str three[] = {SAY("EHLO x"), SAY("AUTH PLAIN AG1lAGJhZA=="),
                                SAY("AUTH PLAIN AG1lAGJhZA=="),
                                SAY("AUTH PLAIN AG1lAGJhZA=="), SAY("NOOP"), SAY("QUIT")};
    const struct str good[] = {SAY("EHLO x"), SAY("AUTH PLAIN AG1lAGJhZA=="),
                               SAY("AUTH PLAIN AG1lAGJhZA=="),
                               SAY("AUTH PLAIN AG1lAGJhZA=="),
                               SAY("AUTH PLAIN AG1lAGdvb2Q="), SAY("NOOP"), SAY("QUIT")};
    AUTO_SCRIPTED a = {.is_submission = true}, b = {.is_submission = true},
                  c = {.is_submission = true};

    TALK(&a, two, 220, 250, 535, 535, 250, 221);
    CHECK(a.took_ms == 0);
    TALK(&b, three, 220, 250, 535, 535, 535, 250, 221);
    // The refusal goes out in 26 s, a byte in each and then the rest; two more reads take a second,
    // and both their replies a second for each byte.
    CHECK(b.took_ms == 26 * SECOND + 2 * SECOND + (sizeof "250 2.0.0 alrighty\r\n" - 1) * SECOND +
                           26 * SECOND);
    TALK(&c, good, 220, 250, 535, 535, 535, 235, 250, 221);
    CHECK(c.took_ms == 26 * SECOND + SECOND); // the third refusal, the read of what was right
}

TEST(smtp_unknown_addresses_take_time)
{
    const struct str alone[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<unknown@d>\r\nDATA\r\n"
                                    "\r\nx\r\n.")};
    const struct str mixed[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<unknown@d>\r\n"
                                    "RCPT TO:<c@d>\r\nDATA\r\n\r\nx\r\n.")};
    AUTO_SCRIPTED a = {0}, b = {0};

    TALK(&a, alone, 220, 250, 250, 250, 354, 550);
    CHECK(a.took_ms == 5 * SECOND && !a.delivered && !a.queued);
    // Whoever takes a part of it answers for the rest: the queue has that.
    TALK(&b, mixed, 220, 250, 250, 250, 250, 354, 250);
    CHECK(b.took_ms == 0 && b.delivered == 1 && b.queued == 1);
}

TEST(smtp_refusals_of_several_recipients)
{
    const struct str same[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<full1@d>\r\n"
                                   "RCPT TO:<full2@d>\r\nDATA\r\n\r\nx\r\n.")};
    const struct str differ[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<full@d>\r\n"
                                     "RCPT TO:<unknown@d>\r\nDATA\r\n\r\nx\r\n.")};
    const struct str torn[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<full@d>\r\n"
                                   "RCPT TO:<torn@d>\r\nDATA\r\n\r\nx\r\n.")};
    AUTO_SCRIPTED a = {0}, b = {0}, c = {0};

    TALK(&a, same, 220, 250, 250, 250, 250, 354, 452);
    CHECK(str_find_str(buf_str(&a.out), STR("452-4.2.2 full1@d: full\r\n452 4.2.2 full2@d: full")) >= 0);
    TALK(&b, differ, 220, 250, 250, 250, 250, 354, 554);
    CHECK(str_find_str(buf_str(&b.out), STR("554-5.3.0 full@d: 452 4.2.2 full\r\n"
                                            "554 5.3.0 unknown@d: 550 5.1.1 no such")) >= 0);
    TALK(&c, torn, 220, 250, 250, 250, 250, 354, 451);
}

TEST(smtp_localserve_fails_as_asked)
{
    const struct str packets[] = {
        SAY("EHLO x.example\r\nMAIL FROM:<mailfrom452@b.example>\r\nMAIL FROM:<a@b.example>\r\n"
            "RCPT TO:<rcpttopermerror@x>\r\nRCPT TO:<rcpttotimeout@x>\r\nRCPT TO:<user557@x>\r\n"
            "DATA\r\nSubject: x\r\n\r\nx\r\n.")};
    AUTO_SCRIPTED s = {.is_localserve = true}, other = {0};

    TALK(&s, packets, 220, 250, 452, 250, 550, 451, 250, 354, 557);
    CHECK(s.took_ms == HOUR);
    TALK(&other, packets, 220, 250, 250, 503, 250, 250, 250, 354, 250); // not elsewhere
    CHECK(other.took_ms == 0);
}

TEST(smtp_starttls_and_bytes_before_it)
{
    const struct str fine[] = {SAY("EHLO x"), STR("STARTTLS\r"), STR("\n"), SAY("EHLO x"),
                               SAY("STARTTLS"), SAY("QUIT")};
    const struct str buffered[] = {SAY("EHLO x"), SAY("STARTTLS\r\nEHLO evil.example"),
                                   SAY("MAIL FROM:<a@b.example>")};
    const struct str half[] = {SAY("EHLO x"), STR("STARTTLS\r\nMAIL FROM:<evil@b"), STR(">\r\n")};
    const struct str in_auth[] = {SAY("EHLO x"), SAY("AUTH PLAIN"), SAY("STARTTLS"),
                                  SAY("NOOP"), SAY("QUIT")};
    const struct str in_mail[] = {SAY("EHLO x"), SAY("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\nSTARTTLS"),
                                  SAY("DATA"), SAY("EHLO x\r\nRCPT TO:<c@d>\r\nQUIT")};
    const struct str in_chunks[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\nBDAT 1"),
                                    SAY("xSTARTTLS"), SAY("EHLO x\r\nBDAT 1 LAST\r\nyQUIT")};
    AUTO_SCRIPTED a = {.has_starttls = true}, b = a, c = a, d = {.has_starttls = true,
                                                                 .is_submission = true},
                  f = a, g = a, none = {0};

    TALK(&a, fine, 220, 250, 220, 250, 503, 221);
    TALK(&b, buffered, 220, 250);
    TALK(&c, half, 220, 250);
    TALK(&d, in_auth, 220, 250, 334, 535, 250, 221); // it is good base64, and no command there
    TALK(&f, in_mail, 220, 250, 250, 250, 220, 503, 250, 503, 221);
    TALK(&g, in_chunks, 220, 250, 250, 250, 250, 220, 250, 503, 221);
    TALK(&none, fine, 220, 250, 503, 250, 503, 221);
}

TEST(smtp_requires_tls_but_for_reports)
{
    const struct str packets[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\n"
                                      "RCPT TO:<report@d>\r\nQUIT")};
    AUTO_SCRIPTED s = {.requires_tls = true, .has_starttls = true};

    TALK(&s, packets, 220, 250, 250, 530, 250, 221);
}

TEST(smtp_endless_lines_take_no_memory)
{
    enum { LINES = 100000 };
    static const char *const lines[] = {
        "EHLO aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
        "MAIL FROM:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b> FOO=bar\r\n",
        "RCPT TO:<refusedaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b>\r\n",
        "VRFY aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    };
    static struct str packets[LINES + 2];

    for (size_t i = 0; i < COUNT(lines); i++) {
        AUTO_SCRIPTED s = {.packets = packets, .n_packets = COUNT(packets),
                           .max_message_bytes = 1000};
        struct str out;
        size_t replies = 0;

        packets[0] = SAY("EHLO x");
        packets[1] = SAY("MAIL FROM:<a@b.example>");
        for (size_t k = 2; k < COUNT(packets); k++)
            packets[k] = str_of(lines[i]);
        scripted_run(&s); // an arena that grew past its limit would end the process
        out = buf_str(&s.out);
        while (scripted_reply(&out))
            replies++;
        CHECK_CASE(replies == LINES + 3, i);
    }
}

TEST(smtp_at_most_1000_recipients)
{
    static struct str packets[1010];
    AUTO_SCRIPTED s = {.packets = packets, .n_packets = COUNT(packets), .max_message_bytes = 1000};
    unsigned codes[3] = {0};
    struct str out;

    for (size_t i = 0; i < COUNT(packets); i++)
        packets[i] = SAY("RCPT TO:<c@d>");
    packets[0] = SAY("EHLO x");
    packets[1] = SAY("MAIL FROM:<a@b.example>");
    packets[1009] = SAY("DATA\r\n\r\nx\r\n.");
    scripted_run(&s);
    out = buf_str(&s.out);
    for (unsigned code; (code = scripted_reply(&out));)
        codes[0] += code == 250, codes[1] += code == 452, codes[2] += code >= 500;
    CHECK(codes[0] == 1000 + 3 && codes[1] == 7 && codes[2] == 0);
    CHECK(s.delivered == 1000);
}

TEST(smtp_bdat_bytes_as_they_are)
{
    const struct str binary[] = {
        SAY("EHLO x\r\nMAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\nBDAT 8"),
        STR("\0\r\n.\r\n\n\xff"), STR("BDAT 2 LAST\r\n\r."), SAY("QUIT")};
    const struct str text[] = {
        SAY("EHLO x\r\nMAIL FROM:<a@b.example> BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nBDAT 6"),
        STR("..\nb\r\n"), STR("BDAT 0\r\nBDAT 0 LAST\r\n"), SAY("QUIT")};
    const struct str exact[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\nBDAT 6"),
                                STR("aaaa\r\nBDAT 5 LAST\r\nbbb\r\nQUIT\r\n")};
    const struct str over[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d>\r\nBDAT 6"),
                               STR("aaaa\r\nBDAT 7 LAST\r\nNOOP\r\n.BDAT 3\r\nabcQUIT\r\n")};
    AUTO_SCRIPTED a = {0}, b = {0}, c = {.max_message_bytes = 11}, d = {.max_message_bytes = 12};

    TALK(&a, binary, 220, 250, 250, 250, 250, 250, 221);
    CHECK_STR(buf_str(&a.message), STR("\0\r\n.\r\n\n\xff\r."));
    TALK(&b, text, 220, 250, 250, 250, 250, 250, 250, 221);
    CHECK_STR(buf_str(&b.message), STR("..\r\nb\r\n"));
    TALK(&c, exact, 220, 250, 250, 250, 250, 250, 221);
    CHECK_STR(buf_str(&c.message), STR("aaaa\r\nbbb\r\n"));
    TALK(&d, over, 220, 250, 250, 250, 250, 552, 503, 221); // both chunks swallowed whole
    CHECK(!d.delivered);
}

TEST(smtp_lists_take_mail_of_some)
{
    const struct str stranger[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<closed@d>\r\nDATA\r\n"
                                       "From: <a@b>\r\n\r\nx\r\n.")};
    const struct str mixed[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<closed@d>\r\n"
                                    "RCPT TO:<unknown@d>\r\nDATA\r\nFrom: <a@b>\r\n\r\nx\r\n.")};
    const struct str two[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<closed@d>\r\nDATA\r\n"
                                  "From: <member@b>, <a@b>\r\n\r\nx\r\n.")};
    const struct str member[] = {SAY("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<closed@d>\r\nDATA\r\n"
                                     "From: <member@b>\r\n\r\nx\r\n.")};
    AUTO_SCRIPTED a = {0}, b = {0}, c = {0}, d = {0};

    TALK(&a, stranger, 220, 250, 250, 250, 354, 550);
    CHECK(str_find_str(buf_str(&a.out), STR("550 5.7.2 the list takes no mail")) >= 0);
    TALK(&b, mixed, 220, 250, 250, 250, 250, 354, 554);
    TALK(&c, two, 220, 250, 250, 250, 354, 550);
    TALK(&d, member, 220, 250, 250, 250, 354, 250);
    CHECK(!a.delivered && !b.delivered && !c.delivered && d.delivered == 2);
}
