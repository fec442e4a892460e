#include "base/test.h"
#include "message/summary.h"

static const char mixed[] =
    "From: \"A. B\" <a@example.org>\r\nTo: c@example.org, D <d@example.org>\r\n"
    "Subject: =?utf-8?q?caf=C3=A9?=\r\nMessage-ID: <X@Example.org>\r\n"
    "Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n"
    "preamble\r\n--b1\r\n\r\nhello\r\nworld\r\n--b1\r\n"
    "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n"
    "--b1 \r\nContent-Type: application/pdf; name*0*=utf-8''a%20; name*1=b.pdf\r\n"
    "Content-Transfer-Encoding: BASE64\r\nContent-Disposition: attachment\r\n\r\nZm9v\r\n--b1--\r\nepilogue";

TEST(mime_tree)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str m = str_at(mixed, sizeof mixed - 1);
    struct part *root, *text, *inner, *pdf;
    bool is_broken;

    root = mime_parse(&a, m, &is_broken);
    CHECK(!is_broken && root->is_multipart && root->child);
    text = root->child;
    CHECK_STR(str_sub(m, text->body_start, text->body_end - text->body_start), STR("hello\r\nworld"));
    CHECK(!text->type.n && text->lines == 1);
    CHECK(text->next && text->next->is_message);
    inner = text->next->child;
    CHECK_STR(inner->envelope->subject, STR("inner"));
    CHECK_STR(str_sub(m, inner->body_start, inner->body_end - inner->body_start), STR("inner body"));
    pdf = text->next->next;
    CHECK(pdf && !pdf->next);
    CHECK_STR(pdf->encoding, STR("base64"));
    CHECK_STR(param_get(&pdf->params, STR("name")), STR("a b.pdf"));
    CHECK_STR(str_sub(m, pdf->body_start, pdf->body_end - pdf->body_start), STR("Zm9v"));
    CHECK(message_has_attachment(root));
    CHECK(message_first_text(root) == text);
    CHECK_STR(encoded_word_decode(&a, root->envelope->subject), STR("caf\xc3\xa9"));
    CHECK_STR(message_id_canonical(&a, root->envelope->message_id), STR("x@example.org"));
}

TEST(mime_every_cut_gives_the_same_tree)
{
    struct str m = str_at(mixed, sizeof mixed - 1);

    for (size_t cut = 0; cut <= m.n; cut++) {
        AUTO_ARENA a = ARENA_LIMIT(4 << 20);
        AUTO_BUF whole = BUF_LIMIT(100000);
        AUTO_BUF parts = BUF_LIMIT(100000);
        struct mime_parser *p = mime_parser_new(&a);
        bool is_broken;

        mime_parser_feed(p, str_sub(m, 0, cut));
        mime_parser_feed(p, str_from(m, cut));
        part_encode(&parts, mime_parser_end(p, &is_broken));
        part_encode(&whole, mime_parse(&a, m, &is_broken));
        CHECK_CASE(str_eq(buf_str(&whole), buf_str(&parts)), cut);
        // And every truncation parses.
        mime_parse(&a, str_sub(m, 0, cut), &is_broken);
    }
}

TEST(a_message_that_is_announced_and_does_not_come)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str top = STR("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
    AUTO_EXACT in = exact_copy(arena_printf(&a, "%.*s--b\r\nContent-Type: message/rfc822\r\n"
                                            "--b--\r\nepilogue: is no field\r\n", STR_FMT(top)));
    bool is_broken;
    struct part *root = mime_parse(&a, in.str, &is_broken);

    CHECK(!is_broken && root->body_start == top.n && root->body_end == in.str.n);
    CHECK(root->child && root->child->is_message && root->child->child);
    CHECK(root->child->child->body_end <= root->child->body_end && !root->child->next);
}

TEST(broken_messages_are_kept_as_they_are)
{
    static const struct {
        const char *in;
        bool is_broken;
    } cases[] = {
        {"", false},
        {"no header at all", false},
        {"Content-Type: multipart/mixed\r\n\r\nx", true},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n", true},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nno end", false},
        {"Content-Type: nonsense\r\n\r\nx", false},
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bx\r\n\r\n--b\r\n\r\n", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct part *root;
        bool is_broken;

        root = mime_parse(&a, in.str, &is_broken);
        CHECK_CASE(is_broken == cases[i].is_broken, i);
        CHECK_CASE(!is_broken || (str_eq(root->subtype, STR("octet-stream")) && !root->child), i);
        CHECK_CASE(root->body_end == in.str.n, i);
    }
}

TEST(depth_and_number_of_parts_are_bounded)
{
    AUTO_ARENA a = ARENA_LIMIT(MIME_MEMORY);
    AUTO_BUF b = BUF_LIMIT(64 << 20);
    struct part *root;
    size_t n = 0;
    bool is_broken;

    for (int i = 0; i < 200; i++)
        BUF_PUT(&b, "Content-Type: message/rfc822\r\n\r\n");
    root = mime_parse(&a, buf_str(&b), &is_broken);
    for (struct part *p = root; p; p = p->child)
        n++;
    CHECK(n == MIME_MAX_DEPTH + 1);

    buf_reset(&b);
    BUF_PUT(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (int i = 0; i < 20000; i++)
        BUF_PUT(&b, "--b\r\n\r\nx\r\n");
    root = mime_parse(&a, buf_str(&b), &is_broken);
    n = 0;
    for (struct part *p = root->child; p; p = p->next)
        n++;
    CHECK(n == MIME_MAX_PARTS - 1);
}

TEST(address_lists)
{
    static const struct {
        const char *in, *out; // name|localpart|domain;...
    } cases[] = {
        {"a@b.c", "|a|b.c;"},
        {"\"Doe, Jane\" <jane@x.org>, j@y.org", "Doe, Jane|jane|x.org;|j|y.org;"},
        {"Group: a@b.c, D <d@e.f>;", "|a|b.c;D|d|e.f;"},
        {"undisclosed-recipients:;", ""},
        {"a@b.c (Comment)", "Comment|a|b.c;"},
        {"<@route.x,@y:a@b.c>", "|a|b.c;"},
        {"\"quoted local\"@b.c", "|quoted local|b.c;"},
        {"Just A Name", "Just A Name||;"},
        {"<>", ""},
        {"M\xc3\xbcller <m\xc3\xbc@b.c>", "M\xc3\xbcller|m\xc3\xbc|b.c;"},
        {"a@[192.0.2.1]", "|a|[192.0.2.1];"},
        {"John Q. Public <j@x>", "John Q. Public|j|x;"},
        // RFC 5322 4.4, obs-domain
        {"a @ b . c", "|a|b.c;"},
        {"N <a@b(x) .\r\n c (y)>, d@e", "N|a|b.c;|d|e;"},
        {"a@b c, d@e", "|a|b;|d|e;"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        AUTO_BUF b = BUF_LIMIT(1000);
        struct address_list l;

        address_parse_list(&a, in.str, &l);
        for (size_t k = 0; k < l.n; k++)
            buf_printf(&b, "%.*s|%.*s|%.*s;", STR_FMT(l.items[k].name), STR_FMT(l.items[k].localpart),
                       STR_FMT(l.items[k].domain));
        CHECK_STR(buf_str(&b), str_of(cases[i].out));
    }
}

TEST(address_lists_with_guesses)
{
    static const struct {
        const char *in;
        bool is_guessed;
    } cases[] = {
        {"a@b.c, \"D\" <d@e.f> (f), g:h@i;, root, <a@b.c>, <@r,@s:a@b.c>, <\"a\".b@c>", false},
        {"a @ b . c, \"q l\"@b.c, < a@b >, <a (c)@b>", false},
        {"undisclosed-recipients:;", false},
        {"", false},
        {"a@b c@d", true},
        {"a@b\r\n c@d", true},
        {"a c@d", true},
        {"<a c@d>", true},
        {"<a@b c@d>", true},
        {"<a@b> c@d", true},
        {"a@@b", true},
        {"a@b)", true},
        {"a\\, c@d", true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));
        struct address_list l;

        address_parse_list(&a, in.str, &l);
        CHECK_CASE(l.is_guessed == cases[i].is_guessed, i);
    }
}

TEST(single_addresses)
{
    static const struct {
        const char *in;
        bool ok;
    } cases[] = {
        {"a@b.c", true},      {"a.b@c.d", true},  {"\"a b\"@c.d", true}, {"a@[1.2.3.4]", true},
        {"", false},          {"@b.c", false},    {"a@", false},         {".a@b.c", false},
        {"a..b@c.d", false},  {"a@b..c", false},  {"a@b.c x", false},    {"a b@c.d", false},
        {"\"a@b.c", false},   {"a@b.c.", false},  {"a@b@c", false},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct address out;

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].in));

        CHECK_CASE(address_parse_spec(&a, in.str, &out) == cases[i].ok, i);
    }
}

TEST(encoded_words)
{
    static const char *const cases[][2] = {
        {"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
        {"=?utf-8?q?a?= b", "a b"},
        {"x =?iso-8859-1?Q?caf=E9_x?= y", "x caf\xc3\xa9 x y"},
        {"=?utf-8?b?w6k=?=", "\xc3\xa9"},
        {"=?utf-8?x?abc?=", "=?utf-8?x?abc?="},
        {"=?utf-8?q?open", "=?utf-8?q?open"},
        {"=?utf-8*en?q?lang?=", "lang"},
        {"plain", "plain"},
        {"a =? b", "a =? b"},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i][0]));

        CHECK_STR(encoded_word_decode(&a, in.str), str_of(cases[i][1]));
    }
}

TEST(parameters_in_every_form)
{
    static const char *const cases[][2] = {
        {"; filename=plain.txt", "plain.txt"},
        {"; filename=\"a \\\"b\\\".txt\"", "a \"b\".txt"},
        {"; filename=\"=?utf-8?q?caf=C3=A9.txt?=\"", "caf\xc3\xa9.txt"}, // no place for words, in use all the same
        {"; filename*=iso-8859-1'fr'caf%E9.txt", "caf\xc3\xa9.txt"},
        {"; filename*1=b; filename*0=a; filename*2*=%63", "abc"},
        {"; FileName=x; filename=y", "x"},
        {"; filename", ""},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i][0]));
        struct cur c = cur_of(in.str);
        struct params p;

        param_parse(&a, &c, &p);
        CHECK_STR(param_get(&p, STR("filename")), str_of(cases[i][1]));
    }
}

TEST(base_subjects)
{
    static const struct {
        const char *in, *out;
        bool is_reply;
    } cases[] = {
        {"Hello", "hello", false},
        {"Re: Hello", "hello", true},
        {"RE: [list] Fwd: Hello (fwd)", "hello", true},
        {"[list] Hello", "hello", false},
        {"[fwd: Hello]", "hello", true},
        {"[blob]", "[blob]", false},
        {"Re[2]: x", "x", true},
        {"Regarding", "regarding", false},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);

    for (size_t i = 0; i < COUNT(cases); i++) {
        bool is_reply;

        CHECK_STR(subject_base(&a, str_of(cases[i].in), &is_reply), str_of(cases[i].out));
        CHECK_CASE(is_reply == cases[i].is_reply, i);
    }
}

TEST(header_writer_refuses_injection)
{
    AUTO_BUF b = BUF_LIMIT(1000);
    struct err e = {0};

    CHECK(header_put(&b, STR("Subject"), STR("hello"), &e));
    CHECK_STR(buf_str(&b), STR("Subject: hello\r\n"));
    CHECK(!header_put(&b, STR("Subject"), STR("a\r\nBcc: x"), &e));
    CHECK(!header_put(&b, STR("Sub ject"), STR("a"), &e));
    CHECK(!header_put(&b, STR("X"), STR("a\0b"), &e));
}

TEST(references_and_previews)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct envelope env = {.references = STR("<A@x> <b <c@x> junk <D @x>")};
    struct str_list l;

    struct part *root;
    bool is_broken;

    root = mime_parse(&a, STR("References: <1@x>\r\nSubject: s\r\nReferences:\r\n <2@x> <3@x>\r\n\r\n"),
                      &is_broken);
    message_references(&a, root->envelope, &l);
    CHECK(l.n == 3); // of all fields, in order
    CHECK_STR(l.items[2], STR("3@x"));
    message_references(&a, &env, &l);
    CHECK(l.n == 3);
    CHECK_STR(l.items[0], STR("a@x"));
    CHECK_STR(l.items[2], STR("d@x"));
    CHECK_STR(message_preview(&a, STR("Hi\r\n\r\n> old\r\n> older\r\n  new text\r\n-- \r\nsig")),
              STR("Hi [...] new text"));
}

// Part after part with as many short parameters as there are: read in twice MIME_MEMORY, with room for what
// else the store makes of a message, and again from what is stored in half of that.
TEST(floods_of_parameters_stay_in_bounds)
{
    static const size_t counts[] = {33, 65, 129, 200}; // just past where growing arrays double

    for (size_t i = 0; i < COUNT(counts); i++) {
        AUTO_BUF params = BUF_LIMIT(4000);
        AUTO_BUF text = BUF_LIMIT(32 << 20);
        AUTO_BUF stored = BUF_LIMIT(64 << 20);
        AUTO_ARENA a = ARENA_LIMIT(MIME_MEMORY + MIME_MEMORY / 2);
        AUTO_ARENA b = ARENA_LIMIT(MIME_MEMORY);
        struct part *again;
        struct err e = {0};
        bool is_broken;

        for (size_t k = 0; k < counts[i]; k++) {
            buf_printf(&params, ";%c", (char)('a' + k % 26));
            if (k >= 26)
                buf_put_char(&params, (char)('a' + k / 26));
            BUF_PUT(&params, "=x");
        }
        BUF_PUT(&text, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
        for (size_t k = 0; k < 12000; k++) {
            BUF_PUT(&text, "--b\r\nContent-Type: a/b");
            buf_put(&text, buf_str(&params));
            BUF_PUT(&text, "\r\nContent-Disposition: c");
            buf_put(&text, buf_str(&params));
            BUF_PUT(&text, "\r\n\r\n");
        }
        part_encode(&stored, mime_parse(&a, buf_str(&text), &is_broken));
        CHECK_CASE(!is_broken && !stored.full, i);
        CHECK_CASE(part_decode(&b, arena_dup(&b, buf_str(&stored)), &again, &e), i);
    }
}

// The most a hostile message can make of its parts and fields stays below the ceiling of its arena.
TEST(mime_floods_stay_in_bounds)
{
    static const struct {
        const char *start, *repeated;
        size_t n;
    } floods[] = {
        {"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
         "--b\r\nContent-Type: text/plain; a=1; b=2\r\nContent-Disposition: inline; c=3\r\n\r\nx\r\n", 12000},
        {"", "To:a\r\n", 43000},
        {"Content-Type: multipart/digest; boundary=b\r\n\r\n",
         "--b\r\n\r\nTo:a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n\r\n", 12000},
    };

    for (size_t i = 0; i < COUNT(floods); i++) {
        AUTO_ARENA a = ARENA_LIMIT(MIME_MEMORY);
        AUTO_BUF text = BUF_LIMIT(16 << 20);
        AUTO_BUF tree = BUF_LIMIT(32 << 20);
        struct part *root;
        bool is_broken;

        buf_put(&text, str_of(floods[i].start));
        for (size_t k = 0; k < floods[i].n; k++)
            buf_put(&text, str_of(floods[i].repeated));
        root = mime_parse(&a, buf_str(&text), &is_broken);
        part_encode(&tree, root);
        CHECK_CASE(!tree.full && !is_broken, i);
    }
}
