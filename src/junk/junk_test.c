#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"
#include "db/sql.h"
#include "junk/junk_priv.h"

static const struct junk_settings evidence = {.method = JUNK_EVIDENCE};
static const struct junk_settings words = {.method = JUNK_WORDS, .onegrams = true, .twograms = true,
                                           .threegrams = true, .max_power = 0.01,
                                           .ignore_words = 0.1, .top_words = 10, .rare_words = 2};
static const struct junk_key key = {1, 2};

static void note_link(void *ctx, struct str url)
{
    buf_put(ctx, url);
    BUF_PUT(ctx, ";");
}

TEST(junk_html_text)
{
    static const struct {
        struct str in, text, links;
    } cases[] = {
        {STR_("plain"), STR_("plain"), STR_("")},
        {STR_("a<b>b</b>c"), STR_("abc"), STR_("")},
        {STR_("a<p>b</p>c"), STR_("a\nb\nc"), STR_("")},
        {STR_("V<!-- x > y -->iagra"), STR_("Viagra"), STR_("")},
        {STR_("a<!--"), STR_("a"), STR_("")},
        {STR_("<!DOCTYPE html><?xml?>x"), STR_("x"), STR_("")},
        {STR_("a<script>b<x></Script >c<style>d</style><svg><g>e</svg>f"), STR_("acf"), STR_("")},
        {STR_("<script>never ends"), STR_(""), STR_("")},
        {STR_("&lt;&#65;&#x42;&eacute;&amp;&nbsp;&nosuch;&#0;&#xd800;& x"),
         STR_("<AB\xc3\xa9& &nosuch;&#0;&#xd800;& x"), STR_("")},
        {STR_("<a href=\"http://x/\">t</a><img src='y' alt='an &quot;alt'>"),
         STR_("t an \"alt \n"), STR_("http://x/;y;")},
        {STR_("<a HREF = z>t"), STR_("t"), STR_("z;")},
        {STR_("1 < 2 <3"), STR_("1 < 2 <3"), STR_("")},
        {STR_("<a b=\"unterminated > x"), STR_(""), STR_("")},
        {STR_("<"), STR_("<"), STR_("")},
        {STR_("<a"), STR_(""), STR_("")},
        {STR_("<a/ / b=>x"), STR_("x"), STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_BUF out = BUF_LIMIT(1000);
        AUTO_BUF links = BUF_LIMIT(1000);

        html_text(in.str, &out, &out, note_link, &links);
        CHECK_STR(buf_str(&out), cases[i].text);
        CHECK_STR(buf_str(&links), cases[i].links);
        for (size_t n = 0; n < in.str.n; n++) { // every truncation ends
            AUTO_EXACT cut = exact_copy(str_sub(in.str, 0, n));

            buf_reset(&out);
            html_text(cut.str, &out, &out, note_link, &links);
        }
    }
}

TEST(junk_html_hidden_text)
{
    static const struct {
        struct str in, shown, hidden;
    } cases[] = {
        {STR_("a<span style=\"display: NONE\">b</span>c"), STR_("ac"), STR_("b")},
        {STR_("a<div style='x:y;visibility:hidden'>b<div>c</div>d</div>e"), STR_("a\ne"), STR_("b\nc\nd\n")},
        {STR_("<font style=font-size:0px>a</font>b"), STR_("b"), STR_("a")},
        {STR_("<font style=\"font-size:0.9em;opacity:0.5\">a</font>"), STR_("a"), STR_("")},
        {STR_("<span style=\"opacity:0.0\">a</span><b hidden>c</b>"), STR_(""), STR_("ac")},
        {STR_("<img style=display:none>a<br hidden>b<p style=display:none>c"), STR_("\na\nb\nc"), STR_("")},
        {STR_("<span hidden>a</div>b</span>c</span>d"), STR_("cd"), STR_("a\nb")},
        {STR_("<span hidden>never ends"), STR_(""), STR_("never ends")},
        {STR_("<span style=\"\">a</span><span style>b"), STR_("ab"), STR_("")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_BUF shown = BUF_LIMIT(1000);
        AUTO_BUF hidden = BUF_LIMIT(1000);

        html_text(in.str, &shown, &hidden, NULL, NULL);
        CHECK_STR(buf_str(&shown), cases[i].shown);
        CHECK_STR(buf_str(&hidden), cases[i].hidden);
    }
}

// All tokens of a message, in order, separated by spaces.
static void put_tokens(struct buf *out, const struct junk_settings *s, struct str message)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * JUNK_MEMORY);
    bool is_broken;
    struct junk_message m = {mime_parse(&a, message, &is_broken), junk_read_str, &message};
    struct junk_tokens tokens;
    struct err e = {0};

    CHECK(junk_tokenise(&a, s, &key, &m, &tokens, &e));
    for (size_t i = 0; i < tokens.n; i++) {
        if (i)
            BUF_PUT(out, "|");
        buf_put(out, tokens.items[i].text);
    }
}

#define BARE "no:subject|no:from|no:reply-to|no:to|no:cc|no:message-id|no:date|no:x-mailer|"         \
             "no:user-agent|no:organization|type:/|"

TEST(junk_tokens)
{
    static const struct {
        struct str in, want;
    } cases[] = {
        {STR_("\r\nHello hello, WORLD x 7"), STR_(BARE "hello|world")},
        {STR_("\r\ndon't e-mail 1,000.5 $99 100% free!!! -a-"),
         STR_(BARE "don't|e-mail|1,000.5|$99|100%|free!!!")},
        {STR_("\r\n123456789 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
         STR_(BARE "digits:9|long:a3")},
        {STR_("\r\nsee https://user@www.Evil.example.com:81/Some/path?id=5 now"),
         STR_(BARE "see|url:user|url:port|url:www.evil.example.com|url:evil.example.com|url:example.com|"
                   "path:Some|path:path|now")},
        {STR_("\r\nhttp://192.0.2.1/"),
         STR_(BARE "url:number|url:192.0.2.1|url:0.2.1|url:2.1")},
        // Characters of scripts without spaces, and what they are with the one before.
        {STR_("\r\n\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xbd\xa0"),
         STR_(BARE "\xe4\xbd\xa0|\xe5\xa5\xbd|\xe4\xbd\xa0\xe5\xa5\xbd")},
        {STR_("\r\n\xe4\xbd\xa0" "ab\xe5\xa5\xbd \xe4\xbd\xa0"), // no pair: something is between
         STR_(BARE "\xe4\xbd\xa0|ab|\xe5\xa5\xbd")},
        // What is hidden is another word.
        {STR_("Content-Type: text/html\r\n\r\n<b>pills</b> <span hidden>pills lunch</span>"),
         STR_("no:subject|no:from|no:reply-to|no:to|no:cc|no:message-id|no:date|no:x-mailer|no:user-agent|"
              "no:organization|type:text/html|pills|html:hidden|hidden:pills|hidden:lunch")},
        // Invisible characters do not cut.
        {STR_("\r\nv\xe2\x80\x8bi\xc2\xad" "agra \xc3\x89T\xc3\x89"), STR_(BARE "viagra|\xc3\xa9t\xc3\xa9")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_BUF out = BUF_LIMIT(10000);

        put_tokens(&out, &evidence, in.str);
        CHECK_STR(buf_str(&out), cases[i].want);
    }
}

// Letters are read eight at a time.
TEST(junk_words_of_each_length)
{
    for (size_t n = 2; n < 70; n++) {
        AUTO_BUF text = BUF_LIMIT(100), want = BUF_LIMIT(1000), out = BUF_LIMIT(1000);
        struct str lower;

        BUF_PUT(&text, "\r\n");
        for (size_t i = 0; i < n; i++)
            buf_put_char(&text, (char)((i % 3 ? 'A' : 'a') + (int)(i % 26)));
        AUTO_ARENA a = ARENA_LIMIT(4096);
        AUTO_EXACT in = exact_copy(buf_str(&text));

        lower = arena_lower(&a, str_from(in.str, 2));
        BUF_PUT(&want, BARE);
        if (n <= JUNK_MAX_WORD)
            buf_put(&want, lower);
        else
            buf_printf(&want, "long:a%zu", n / 16);
        put_tokens(&out, &evidence, in.str);
        CHECK_STR(buf_str(&out), buf_str(&want));
    }
}

// Words of a few letters before an ASCII character have a way of their own: it is no other.
TEST(junk_short_words)
{
    static const char chars[] = "abcdefgijklmABCXYZ  \n\n\t,.-'_$!01()";
    AUTO_BUF plain = BUF_LIMIT(100000), wide = BUF_LIMIT(200000), of_plain = BUF_LIMIT(1 << 20);
    AUTO_BUF of_wide = BUF_LIMIT(1 << 20);
    uint64_t state = 1;

    BUF_PUT(&plain, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
    buf_put(&wide, buf_str(&plain));
    for (int i = 0; i < 50000; i++) {
        char c;

        state = state * 6364136223846793005 + 1442695040888963407;
        c = chars[(state >> 33) % (sizeof chars - 1)];
        buf_put_char(&plain, c);
        if (c == ' ' || c == '\n' || c == '\t' || c == '(' || c == ')')
            BUF_PUT(&wide, "\xc2\xa0"); // a blank that is not ASCII
        else
            buf_put_char(&wide, c);
    }
    put_tokens(&of_plain, &evidence, buf_str(&plain));
    put_tokens(&of_wide, &evidence, buf_str(&wide));
    CHECK(of_plain.n > 10000);
    CHECK_STR(buf_str(&of_plain), buf_str(&of_wide));
}

TEST(junk_letters)
{
    for (int c = 1; c < 256; c++) {
        bool is_letter = ascii_is_alpha((char)c);
        AUTO_BUF text = BUF_LIMIT(100), out = BUF_LIMIT(1000), want = BUF_LIMIT(100);

        buf_printf(&text, "\r\nABCD%cEFGHijkl mnop", c);
        buf_printf(&want, "|abcd%cefghijkl|", is_letter ? ascii_lower((char)c) : 'x');
        put_tokens(&out, &evidence, buf_str(&text));
        CHECK_CASE((str_find_str(buf_str(&out), buf_str(&want)) != STR_NONE) == is_letter, (size_t)c);
        CHECK_CASE(str_ends(buf_str(&out), STR("|mnop")), (size_t)c);
    }
}

TEST(junk_tokens_of_header_and_parts)
{
    static const struct str message = STR_(
        "From: =?utf-8?q?Caf=C3=A9?= <Shop@Example.org>\r\n"
        "To: a@example.com\r\nSubject: Buy\r\n now\r\n"
        "Date: Mon, 1 Jan 2024 00:00:00 +0900\r\nMessage-ID: <1@id.example>\r\n"
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
        "--x\r\nContent-Type: text/html; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        "<b>caf=E9</b> <a href=3D\"http://link.example/\">x</a>\r\n"
        "--x\r\nContent-Type: application/octet-stream; name=a.exe\r\n\r\nnot text\r\n--x--\r\n");
    static const struct str present[] = {
        STR_("from:caf\xc3\xa9"), STR_("from:shop"), STR_("from:@example.org"), STR_("to:@example.com"),
        STR_("subject:buy"), STR_("subject:now"), STR_("zone:+0900"), STR_("message-id:id.example"),
        STR_("subject:now"), STR_("url:link.example"), STR_("type:multipart/mixed"),
        STR_("type:text/html"), STR_("charset:iso-8859-1"), STR_("encoding:quoted-printable"),
        STR_("file:.exe"), STR_("no:x-mailer"),
    };
    AUTO_BUF out = BUF_LIMIT(10000);

    put_tokens(&out, &evidence, message);
    for (size_t i = 0; i < COUNT(present); i++)
        CHECK_CASE(str_find_str(buf_str(&out), present[i]) != STR_NONE, i);
    CHECK(str_find_str(buf_str(&out), STR("|not")) == STR_NONE);
}

// mox-smtp-delivery.md 2.4, "Tokenisation".
TEST(junk_upstream_words)
{
    static const struct {
        struct str in, want;
    } cases[] = {
        {STR_("\r\nThe cat"), STR_("the|cat|the cat")},
        {STR_("\r\none two three four"), STR_("one|two|one two|three|two three|one two three|four|"
                                              "three four|two three four")},
        {STR_("\r\nab 123 abc1"), STR_("abc1")},               // too short; digits alone
        {STR_("\r\ndon't 'quoted' x''"), STR_("don|quoted|don quoted")}, // cut; trimmed
        {STR_("\r\nbcdfgh bcd23f rhythm"), STR_("rhythm")},    // random looking
        {STR_("\r\nx1234 0xab12 0x123f beef dead123"), STR_("0xab12|beef|0xab12 beef")},
        {STR_("Subject: Big cat\r\nX-Other: word\r\n\r\n"), STR_("")}, // longer than 3
        {STR_("Subject: Offer\r\nReply-to: shop\r\n\r\n"), STR_("Subject:offer|Reply-To:shop")},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(cases[i].in);
        AUTO_BUF out = BUF_LIMIT(10000);

        put_tokens(&out, &words, in.str);
        CHECK_STR(buf_str(&out), cases[i].want);
    }
}

// The same by hand.
TEST(junk_upstream_formula)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct junk_token items[] = {{1, STR_("often")}, {2, STR_("rare")}, {3, STR_("even")},
                                 {4, STR_("good")}, {5, STR_("unknown")}};
    struct junk_tokens tokens = {items, COUNT(items), COUNT(items)};
    struct junk_count counts[] = {{0, 8}, {0, 1}, {5, 5}, {9, 1}, {0, 0}};
    struct junk_settings s = words;
    struct junk_result r;
    double rare = 0.99 + 2 * (0.5 - 0.99) / 10, eta;

    junk_decide(&a, &s, &tokens, counts, (struct junk_count){100, 100}, &r);
    eta = log(0.01) - log(0.99) + log(1 - rare) - log(rare) + log(0.9) - log(0.1);
    CHECK(fabs(r.probability - 1 / (1 + exp(eta))) < 1e-12);
    CHECK(r.is_significant && r.n_spam_deciders == 2 && r.n_ham_deciders == 1);
    CHECK_STR(r.spam[0].text, STR("often"));
    CHECK_STR(r.ham[0].text, STR("good"));
    s.top_words = 1;
    junk_decide(&a, &s, &tokens, counts, (struct junk_count){100, 100}, &r);
    eta = log(0.01) - log(0.99) + log(0.9) - log(0.1);
    CHECK(fabs(r.probability - 1 / (1 + exp(eta))) < 1e-12);
    s.ignore_words = 0.45; // 0.9 and 0.1 say too little then
    junk_decide(&a, &s, &tokens, counts, (struct junk_count){100, 100}, &r);
    CHECK(fabs(r.probability - 0.99) < 1e-12);
    junk_decide(&a, &s, &tokens, counts, (struct junk_count){49, 100}, &r);
    CHECK(!r.is_significant);
    tokens.n = 0;
    junk_decide(&a, &s, &tokens, counts, (struct junk_count){0, 0}, &r);
    CHECK(r.probability == 0.5);
}

TEST(junk_evidence_formula)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct junk_token items[] = {{1, STR_("bad")}, {2, STR_("good")}, {3, STR_("unknown")}};
    struct junk_tokens tokens = {items, COUNT(items), COUNT(items)};
    struct junk_count counts[] = {{0, 50}, {50, 0}, {0, 0}};
    static struct junk_token long_items[60];
    static struct junk_count long_counts[COUNT(long_items)];
    static struct junk_result both, bad, few, many, none;

    junk_decide(&a, &evidence, &tokens, counts, (struct junk_count){100, 100}, &both);
    CHECK(fabs(both.probability - 0.5) < 1e-9);
    CHECK(both.n_spam_deciders == 1 && both.n_ham_deciders == 1);
    tokens.n = 1;
    junk_decide(&a, &evidence, &tokens, counts, (struct junk_count){100, 100}, &bad);
    CHECK(bad.probability > 0.6 && bad.probability < 1);
    // What is seen once is clearer after few messages of the other kind than after many.
    counts[0] = (struct junk_count){0, 1};
    junk_decide(&a, &evidence, &tokens, counts, (struct junk_count){100, 1000}, &few);
    junk_decide(&a, &evidence, &tokens, counts, (struct junk_count){1000, 100}, &many);
    CHECK(few.probability > 0.5 && few.probability < many.probability);
    counts[0] = (struct junk_count){0};
    junk_decide(&a, &evidence, &tokens, counts, (struct junk_count){0, 0}, &none);
    CHECK(none.probability == 0.5 && !none.is_significant);
    // A long text that says ham does not drown out a header that says junk.
    for (size_t i = 0; i < COUNT(long_items); i++)
        long_items[i] = (struct junk_token){i + 1, STR("word"), i < 10};
    for (size_t i = 0; i < COUNT(long_items); i++)
        long_counts[i] = i < 10 ? (struct junk_count){0, 50} : (struct junk_count){50, 0};
    tokens = (struct junk_tokens){long_items, COUNT(long_items), COUNT(long_items)};
    junk_decide(&a, &evidence, &tokens, long_counts, (struct junk_count){100, 100}, &both);
    CHECK(both.probability > 0.01 && both.probability < 0.5 && both.is_significant);
}

static void tokens_of(struct arena *a, const struct junk_key *k, struct str message,
                      struct junk_tokens *out)
{
    bool is_broken;
    struct str *copy = ARENA_NEW(a, struct str);
    struct junk_message m = {mime_parse(a, message, &is_broken), junk_read_str, copy};
    struct err e = {0};

    *copy = message;
    CHECK(junk_tokenise(a, &evidence, k, &m, out, &e));
}

static uint64_t sum_of(struct db *d, const char *sql)
{
    struct err e = {0};
    struct stmt *s = db_prepare(d, sql, &e);
    uint64_t v;

    CHECK(s && stmt_step(s, &e));
    v = stmt_u64(s, 0);
    stmt_done(&s);
    return v;
}

TEST(junk_learn_and_forget)
{
    static const struct str ham = STR_("Subject: lunch\r\n\r\nsee you at noon"),
                            spam = STR_("Subject: pills\r\n\r\nbuy cheap pills at noon");
    char dir[] = "/tmp/mox-junk-XXXXXX";
    struct junk_batch *b = junk_batch_new(0);
    AUTO_ARENA a = ARENA_LIMIT(4 * JUNK_MEMORY);
    struct junk_result first, second;
    struct junk_tokens h, s;
    struct junk_state state;
    struct err e = {0};
    struct db *d;

    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    d = db_open("filter.db", sql_junk, sql_junk_count, &e);
    CHECK(d && !junk_state_read(d, &a, &state, &e) && e.kind == ERR_NOT_FOUND);
    e = (struct err){0};
    CHECK(db_begin(d, &e) && junk_state_reset(d, &evidence, &e));
    CHECK(junk_state_read(d, &a, &state, &e));
    CHECK_STR(state.settings, junk_settings_name(&a, &evidence));
    tokens_of(&a, &state.key, ham, &h);
    tokens_of(&a, &state.key, spam, &s);
    for (int i = 0; i < 3; i++) {
        junk_batch_add(b, &h, false, 1);
        junk_batch_add(b, &s, true, 1);
    }
    CHECK(junk_batch_write(b, d, &e));
    CHECK(sum_of(d, "SELECT ham + spam FROM junk_state") == 6);
    CHECK(junk_batch_read(b, d, &e) && junk_batch_left(b) > h.n);
    for (size_t i = 0; i < s.n; i++)
        CHECK(junk_batch_word(b, s.items[i].hash).spam == 3);
    junk_batch_free(b);
    b = junk_batch_new(0);
    // The same message is always the same.
    CHECK(junk_classify(d, &a, &evidence, &s, &first, &e));
    CHECK(junk_classify(d, &a, &evidence, &s, &second, &e));
    CHECK(first.probability == second.probability && first.probability > 0.5);
    CHECK(first.n_ham == 3 && first.n_spam == 3 && first.n_spam_deciders > 0);
    CHECK(junk_classify(d, &a, &evidence, &h, &second, &e) && second.probability < 0.5);
    // What was learnt is undone in other steps than it was learnt in, one of them from one to the other.
    junk_batch_add(b, &s, true, -1);
    junk_batch_add(b, &s, false, 1);
    CHECK(junk_batch_write(b, d, &e));
    CHECK(sum_of(d, "SELECT ham * 10 + spam FROM junk_state") == 42);
    junk_batch_add(b, &s, false, -1);
    CHECK(junk_batch_write(b, d, &e));
    for (int i = 0; i < 3; i++)
        junk_batch_add(b, &h, false, -1);
    junk_batch_add(b, &s, true, -1);
    CHECK(junk_batch_write(b, d, &e));
    junk_batch_add(b, &s, true, -1);
    CHECK(junk_batch_write(b, d, &e));
    CHECK(sum_of(d, "SELECT count(*) FROM junk_page") == 0);
    CHECK(sum_of(d, "SELECT ham + spam FROM junk_state") == 0);
    CHECK(db_commit(d, &e));
    db_close(d);
    junk_batch_free(b);
    CHECK(unlink("filter.db") == 0);
    unlink("filter.db-wal");
    unlink("filter.db-shm");
    CHECK(chdir("/") == 0 && rmdir(dir) == 0);
}

static struct junk_tokens made_up(struct junk_token *items, size_t n, uint64_t *state)
{
    for (size_t i = 0; i < n; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        items[i] = (struct junk_token){(*state >> JUNK_HASH_SHIFT) + 1, STR("word"), false};
    }
    return (struct junk_tokens){items, n, n};
}

// Many words in steps of many sizes: each page is cut as often as it must be, and nothing is lost.
TEST(junk_pages)
{
    static const size_t sizes[] = {1, 3000, 1, 200, 5, 9000, 700, 1};
    static struct junk_token items[COUNT(sizes)][9000];
    struct junk_tokens tokens[COUNT(sizes)];
    AUTO_ARENA a = ARENA_LIMIT(JUNK_MEMORY);
    struct junk_batch *b = junk_batch_new(0), *read = junk_batch_new(0);
    AUTO_BUF problems = BUF_LIMIT(1000);
    struct junk_result result;
    struct err e = {0};
    struct db *d = db_open(":memory:", sql_junk, sql_junk_count, &e);
    uint64_t state = 7;

    CHECK(d && db_begin(d, &e) && junk_state_reset(d, &evidence, &e));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        tokens[i] = made_up(items[i], sizes[i], &state);
        junk_batch_add(b, &tokens[i], i % 2, 1);
        CHECK(junk_batch_write(b, d, &e));
    }
    CHECK(junk_check(d, &problems, &e) && !problems.n);
    CHECK(sum_of(d, "SELECT max(length(words)) FROM junk_page") <= 2000);
    CHECK(sum_of(d, "SELECT sum(length(words)) / count(*) FROM junk_page") > 700);
    CHECK(sum_of(d, "SELECT sum(length(words)) FROM junk_page") < 9 * 12908);
    CHECK(junk_batch_read(read, d, &e) && junk_batch_left(read) == 12908);
    // Asked for one by one, in the order of a message, each is what it is in memory.
    CHECK(junk_classify(d, &a, &evidence, &tokens[5], &result, &e) && result.probability > 0.9);
    CHECK(junk_classify(d, &a, &evidence, &tokens[1], &result, &e) && result.probability > 0.9);
    CHECK(junk_classify(d, &a, &evidence, &tokens[6], &result, &e) && result.probability < 0.1);
    for (size_t i = COUNT(sizes); i--;) {
        junk_batch_add(b, &tokens[i], i % 2, -1);
        CHECK(junk_batch_write(b, d, &e));
    }
    CHECK(sum_of(d, "SELECT count(*) FROM junk_page") == 0);
    // Damage is told, and is never read as something else.
    junk_batch_add(b, &tokens[3], true, 1);
    CHECK(junk_batch_write(b, d, &e));
    CHECK(db_exec(d, "UPDATE junk_page SET words = substr(words, 1, length(words) - 1)", &e));
    CHECK(junk_check(d, &problems, &e) && problems.n);
    junk_batch_free(read);
    read = junk_batch_new(0);
    CHECK(!junk_batch_read(read, d, &e) && e.kind == ERR_BUG);
    e = (struct err){0};
    CHECK(!junk_classify(d, &a, &evidence, &tokens[3], &result, &e) && e.kind == ERR_BUG);
    db_rollback(d);
    db_close(d);
    junk_batch_free(b);
    junk_batch_free(read);
}

TEST(junk_page_words)
{
    static const struct page_word list[] = {{5, 0, 1}, {5 + 127, 128, 0}, {1u << 30, INT32_MAX, 1},
                                            {JUNK_MAX_HASH, 1, INT32_MAX}};
    AUTO_BUF bytes = BUF_LIMIT(200);
    struct page_word w;
    uint64_t before = 5;

    for (size_t i = 0; i < COUNT(list); before = list[i++].hash)
        page_put(&bytes, before, &list[i]);
    for (size_t n = 0; n <= bytes.n; n++) {
        AUTO_EXACT cut = exact_copy(str_sub(buf_str(&bytes), 0, n));
        struct cur c = cur_of(cut.str);
        size_t i = 0;

        for (before = 5; page_take(&c, before, &w); before = w.hash, i++)
            CHECK_CASE(w.hash == list[i].hash && w.ham == list[i].ham && w.spam == list[i].spam, i);
        CHECK((i == COUNT(list)) == (n == bytes.n));
    }
    CHECK(!page_take(&(struct cur){0}, 0, &w));
    for (size_t i = 0; i < 2; i++) { // beyond the last hash; a number without an end
        AUTO_EXACT bad = exact_copy(i ? STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0")
                                      : STR("\1\1\1"));
        struct cur c = cur_of(bad.str);

        CHECK_CASE(!page_take(&c, JUNK_MAX_HASH, &w), i);
    }
}

/* Text without an end, every word another one. Counts what is read of it. */
struct endless {
    uint64_t n_read;
};

static bool read_endless(void *ctx, uint64_t offset, size_t n, struct buf *out, struct err *e)
{
    struct endless *x = ctx;

    (void)e;
    for (size_t i = 0; i < n; i += 8) {
        for (int k = 0; k < 7; k++)
            buf_put_char(out, "aeioubcdfghklmnp"[(offset + i) >> (4 * k) & 15]);
        buf_put_char(out, ' ');
    }
    x->n_read += n;
    return true;
}

TEST(junk_work_and_memory_are_bounded)
{
    static const uint64_t sizes[] = {100 << 20, (uint64_t)100 << 30};

    for (size_t i = 0; i < COUNT(sizes); i++)
        for (int method = 0; method < 2; method++) {
            AUTO_ARENA a = ARENA_LIMIT(JUNK_MEMORY);
            struct part root = {.type = STR("text"), .subtype = STR("plain"), .body_end = sizes[i]};
            struct endless x = {0};
            struct junk_message m = {&root, read_endless, &x};
            struct junk_tokens tokens;
            struct err e = {0};

            CHECK(junk_tokenise(&a, method ? &words : &evidence, &key, &m, &tokens, &e));
            CHECK(tokens.n == JUNK_MAX_TOKENS);
            CHECK(x.n_read < JUNK_MAX_TEXT + JUNK_MAX_HEADER + 1000);
        }
}

TEST(junk_ten_thousand_parts)
{
    AUTO_ARENA a = ARENA_LIMIT(2 * MIME_MEMORY + JUNK_MEMORY);
    AUTO_BUF message = BUF_LIMIT(4 << 20);
    struct junk_tokens tokens;

    BUF_PUT(&message, "Content-Type: multipart/mixed; boundary=x\r\n\r\n");
    for (int i = 0; i < 10000; i++)
        buf_printf(&message, "--x\r\nContent-Type: text/plain\r\n\r\nword%d\r\n", i);
    BUF_PUT(&message, "--x--\r\n");
    tokens_of(&a, &key, buf_str(&message), &tokens);
    CHECK(tokens.n > JUNK_MAX_PARTS / 2 && tokens.n < JUNK_MAX_PARTS + 50);
}
