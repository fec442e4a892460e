#include "linear.h"

#include "base/die.h"
#include "junk/junk.h"
#include "message/header.h"
#include "message/mime.h"
#include "message/summary.h"
#include "policy/authres.h"
#include "policy/dkim.h"
#include "proto/imap/imap.h"
#include "proto/imap/structure.h"
#include "proto/smtp/smtp.h"

enum { MEMORY = 256 << 20 };

/* --- header fields ---------------------------------------------------------------------------------- */

static void walk(struct str block)
{
    struct cur c = cur_of(block);
    struct header_field f;

    while (header_next(&c, &f))
        ;
    (void)header_is_strict(block);
}

static void many_fields(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str block = repeat(&a, STR("X-Field: value\r\n"), n, 0);

    count_begin();
    walk(block);
    count_end();
}

static void folded_field(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str block = arena_printf(&a, "Subject:%.*s\r\n",
                                    STR_FMT(repeat(&a, STR("\r\n nothing"), n, 0)));

    count_begin();
    walk(block);
    header_unfold(&a, block);
    count_end();
}

static void encoded_words(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = repeat(&a, STR("=?utf-8?q?caf=C3=A9?= "), n, 1);

    count_begin();
    encoded_word_decode(&a, text);
    count_end();
}

static void unfinished_words(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = repeat(&a, STR("=?utf-8?q?"), n, 0);

    count_begin();
    encoded_word_decode(&a, text);
    count_end();
}

/* --- addresses ---------------------------------------------------------------------------------------- */

static void addresses(struct str text, struct arena *a)
{
    struct address_list list = {0};

    count_begin();
    address_parse_list(a, text, &list);
    count_end();
}

static void many_addresses(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    addresses(repeat(&a, STR("\"A B\" <a.b@example.org>, "), n, 2), &a);
}

static void long_name(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    addresses(arena_printf(&a, "%.*s <a@example.org>", STR_FMT(repeat(&a, STR("word "), n, 1))), &a);
}

static void open_comments(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    addresses(repeat(&a, STR("("), n, 0), &a);
}

static void comments_between(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    addresses(repeat(&a, STR("((a)b) x@(c)y.example (d), "), n, 2), &a);
}

static void open_quotes(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    addresses(repeat(&a, STR("<\""), n, 0), &a);
}

static void groups(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    addresses(repeat(&a, STR("g: a@b.example;, h:"), n, 0), &a);
}

/* --- parameters --------------------------------------------------------------------------------------- */

static void params(struct str text, struct arena *a)
{
    struct params out = {0};
    struct cur c = cur_of(text);

    count_begin();
    param_parse(a, &c, &out);
    count_end();
}

static void continuations(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);

    for (size_t i = 0; i < n; i++) // the last one first
        buf_printf(&text, "; name*%zu*=%s%%41", n - 1 - i, i == n - 1 ? "utf-8''" : "");
    params(buf_str(&text), &a);
}

static void many_params(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);

    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "; p%zu=\"v\"", i);
    params(buf_str(&text), &a);
}

/* --- the tree of a message ---------------------------------------------------------------------------- */

static void tree(struct str message, struct arena *a)
{
    AUTO_BUF coded = BUF_LIMIT(MEMORY), out = BUF_LIMIT(MEMORY);
    struct part *root, *again;
    struct err e = {0};
    bool is_broken;

    count_begin();
    root = mime_parse(a, message, &is_broken);
    part_encode(&coded, root);
    if (!part_decode(a, buf_str(&coded), &again, &e))
        die("the tree cannot be read: %s", e.text);
    imap_bodystructure_put(&out, again, true);
    imap_envelope_put(&out, again->envelope);
    (void)message_has_attachment(again);
    count_end();
}

static void many_parts(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    tree(arena_printf(&a, "Content-Type: multipart/mixed; boundary=b\r\n\r\n%.*s--b--\r\n",
                      STR_FMT(repeat(&a, STR("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"), n, 0))),
         &a);
}

// The lines that look like the boundary and are none.
static void almost_boundaries(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    tree(arena_printf(&a, "Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\n%.*s",
                      STR_FMT(repeat(&a, STR("--b\r\n--bbb\r\n"), n, 0))),
         &a);
}

// Each level is told the end by the line that ends the outermost one; the depth is limited.
static void deep(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);

    for (size_t i = 0; i < 90; i++)
        buf_printf(&text, "Content-Type: multipart/mixed; boundary=b%zu\r\n\r\n--b%zu\r\n", i, i);
    BUF_PUT(&text, "\r\n");
    buf_put(&text, repeat(&a, STR("--b89x\r\n--b\r\n"), n, 0));
    tree(buf_str(&text), &a);
}

static void messages_in_messages(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);

    tree(repeat(&a, STR("Content-Type: message/rfc822\r\n\r\n"), n, 0), &a);
}

static void many_references(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);
    struct envelope env = {0};
    struct str_list refs = {0};

    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "<%zu@example.org> ", i);
    env.references = buf_str(&text);
    count_begin();
    message_references(&a, &env, &refs);
    count_end();
}

static void prefixes_of_subjects(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = repeat(&a, STR("Re: [list] Fwd: "), n, 0);
    bool is_reply;

    count_begin();
    subject_base(&a, text, &is_reply);
    count_end();
}

/* --- senders ------------------------------------------------------------------------------------------- */

static void authentication_results(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str value = arena_printf(&a, " mx.example%.*s",
                                    STR_FMT(repeat(&a, STR("; dkim=pass header.d=a.example"), n, 0)));
    struct authres out;
    struct err e = {0};

    count_begin();
    if (!authres_parse(&a, value, &out, &e))
        die("the field is refused: %s", e.text);
    (void)authres_claims_host(value, STR("mx.example"));
    count_end();
}

static void signatures(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str field = STR("DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=AAAA; b=AA\r\n");
    struct str text = arena_printf(&a, "%.*sFrom: a@a.example\r\n\r\n",
                                   STR_FMT(repeat(&a, field, n, 0)));
    struct err e = {0};

    count_begin();
    (void)dkim_header_parse(&a, text, &e);
    count_end();
}

/* --- SMTP, IMAP ---------------------------------------------------------------------------------------- */

static void dots(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF out = BUF_LIMIT(MEMORY);
    struct smtp_data d = {0};
    struct str in = repeat(&a, STR("..\r\n.\r"), n, 0);

    count_begin();
    while (in.n && !d.is_done) {
        size_t before = in.n;

        smtp_data_feed(&d, &in, &out);
        if (in.n == before)
            break;
    }
    count_end();
}

static struct imap_parser parser_of(struct arena *a, struct str text, struct err *e)
{
    return (struct imap_parser){.c = cur_of(text), .a = a, .e = e};
}

static void sequence_set(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);
    struct imap_set set = {0}, sorted;
    struct imap_parser p;
    struct err e = {0};

    for (size_t i = 0; i < n; i++) // backwards, so that sorting has all to do
        buf_printf(&text, "%s%zu:%zu", i ? "," : "", 4 * (n - i), 4 * (n - i) + 1);
    p = parser_of(&a, buf_str(&text), &e);
    count_begin();
    if (!imap_sequence_set(&p, &set))
        die("the set is refused: %s", e.text);
    sorted = imap_set_sorted(&a, &set, 100000, 1, 100000);
    for (size_t i = 0; i < n; i++)
        (void)imap_set_has(&sorted, 4 * i);
    count_end();
}

static void search_keys(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str text = repeat(&a, STR("or (not seen) subject x "), n, 1);
    struct imap_search out = {0};
    struct imap_parser p;
    struct err e = {0};

    p = parser_of(&a, arena_printf(&a, "%.*s", STR_FMT(text)), &e);
    count_begin();
    if (!imap_search_arguments(&p, &out))
        die("the keys are refused: %s", e.text);
    count_end();
}

static void wildcards(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str pattern = repeat(&a, STR("*a%"), 50, 0), name = repeat(&a, STR("a/"), n, 0);

    count_begin();
    (void)imap_list_match(arena_printf(&a, "%.*sb", STR_FMT(pattern)), name);
    count_end();
}

static void command_in_pieces(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct str bytes = repeat(&a, STR("x"), n, 0);
    struct imap_input in;

    imap_input_init(&in, &imap_limits_authenticated);
    count_begin();
    for (size_t i = 0; i < bytes.n; i++) {
        struct str one = str_sub(bytes, i, 1);

        (void)imap_input_feed(&in, &one);
    }
    count_end();
    imap_input_fini(&in);
}

/* --- the junk filter --------------------------------------------------------------------------------- */

static void make_tokens(struct arena *a, struct str message, struct junk_tokens *out)
{
    static const struct junk_settings settings = {.method = JUNK_EVIDENCE};
    bool is_broken;
    struct junk_message m = {mime_parse(a, message, &is_broken), junk_read_str, &message};
    struct err e = {0};

    count_begin();
    if (!junk_tokenise(a, &settings, &(struct junk_key){1, 2}, &m, out, &e))
        die("bytes in memory cannot be read");
    count_end();
}

static void tokens_of_html(struct str piece, size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct junk_tokens tokens;

    make_tokens(&a, arena_printf(&a, "Content-Type: text/html\r\n\r\n%.*s",
                                 STR_FMT(repeat(&a, piece, n, 0))), &tokens);
}

// Each word another one, so that the table of tokens grows.
static void many_words(size_t n, struct buf *out)
{
    BUF_PUT(out, "Subject: x\r\n\r\n");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "word%zux ", i * 7919);
}

static void junk_words(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    AUTO_BUF text = BUF_LIMIT(MEMORY);
    struct junk_tokens tokens;

    many_words(n, &text);
    make_tokens(&a, buf_str(&text), &tokens);
    if (tokens.n < n)
        die("%zu words are %zu tokens", n, tokens.n);
}

static void junk_spaceless(size_t n)
{
    tokens_of_html(STR("\xe4\xbd\xa0\xe5\xa5\xbd\xe2\x80\x8b"), n);
}

static void junk_links(size_t n)
{
    tokens_of_html(STR("<a href=http://a.b.c.d.e.f.example/x/y?z=1>http://www.example</a>"), n);
}

static void junk_open_comments(size_t n)
{
    tokens_of_html(STR("<!-- <script <style "), n);
}

static void junk_hidden(size_t n)
{
    tokens_of_html(STR("<div style='display:none'>x&nbsp;"), n);
}

static void junk_entities(size_t n)
{
    tokens_of_html(STR("&yuml;&nosuchname;&#x41;&"), n);
}

// The formula, and gathering what a message changes.
static void junk_decision(size_t n)
{
    AUTO_ARENA a = ARENA_LIMIT(MEMORY);
    struct junk_token *items = ARENA_ARRAY(&a, n, struct junk_token);
    struct junk_count *counts = ARENA_ARRAY(&a, n, struct junk_count);
    struct junk_tokens tokens = {items, n, n};
    static const struct junk_settings settings = {.method = JUNK_EVIDENCE};
    struct junk_batch *b = junk_batch_new(0);
    struct junk_result result;

    for (size_t i = 0; i < n; i++) { // ever stronger words
        items[i] = (struct junk_token){(i + 1) * 0x9e3779b97f4a7c15u >> JUNK_HASH_SHIFT, STR("w"), i & 1};
        counts[i] = (struct junk_count){i & 1, i};
    }
    count_begin();
    junk_decide(&a, &settings, &tokens, counts, (struct junk_count){n, n}, &result);
    junk_batch_add(b, &tokens, true, 1);
    count_end();
    junk_batch_free(b);
}

const struct probe parser_probes[] = {
    {"many header fields", 2000, many_fields},
    {"a folded header field", 4000, folded_field},
    {"encoded words", 1000, encoded_words},
    {"unfinished encoded words", 4000, unfinished_words},
    {"addresses", 1000, many_addresses},
    {"a display name of many words", 4000, long_name},
    {"comments never closed", 10000, open_comments},
    {"comments between", 1000, comments_between},
    {"quotes never closed", 10000, open_quotes},
    {"groups", 1000, groups},
    {"RFC 2231 continuations, the last first", 50, continuations},
    {"parameters", 50, many_params},
    {"parts", 1000, many_parts},
    {"lines that are almost boundaries", 4000, almost_boundaries},
    {"lines below 90 levels", 1000, deep},
    {"messages in messages", 25, messages_in_messages},
    {"References", 200, many_references},
    {"prefixes of a subject", 10, prefixes_of_subjects},
    {"Authentication-Results", 25, authentication_results},
    {"DKIM signatures", 200, signatures},
    {"dots at the beginning of lines", 10000, dots},
    {"a sequence set", 1000, sequence_set},
    {"SEARCH keys", 40, search_keys},
    {"LIST wildcards", 100, wildcards},
    {"a command byte for byte", 4000, command_in_pieces},
    {"words for the junk filter", 4000, junk_words},
    {"characters without spaces", 4000, junk_spaceless},
    {"links", 400, junk_links},
    {"HTML comments never closed", 2000, junk_open_comments},
    {"hidden elements in one another", 1000, junk_hidden},
    {"names of characters", 2000, junk_entities},
    {"a junk decision", 4000, junk_decision},
};
const size_t n_parser_probes = COUNT(parser_probes);
