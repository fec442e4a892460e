/*
 * All cases of test/vectors/spf/cases.txt, whose form its converter describes: spf_check against the
 * zone of each. Prints one PASS or FAIL line for each source file.
 *
 *     mox-spf-cases test/vectors/spf/cases.txt
 */
#include <stdio.h>

#include "base/cur.h"
#include "base/die.h"
#include "policy/dns_zone.h"
#include "policy/spf/spf.h"

enum { MAX_FILE = 4 << 20 };

struct suite {
    struct str title;
    struct arena a; // the zone
    struct buf text;
    struct dns_zone zone;
    bool is_parsed;
};

struct one {
    struct str name, helo, mailfrom, wants, explanation;
    struct ip ip;
    bool is_set, is_helo_first, has_explanation;
};

struct tally {
    struct str file;
    unsigned n, n_failed;
};

struct reading {
    struct suite suite;
    struct one one;
    struct tally tally;
    bool is_good;
};

static bool wants(struct str list, struct str word)
{
    struct str first;

    while (str_cut(list, ' ', &first, &list))
        if (str_eq(first, word))
            return true;
    return str_eq(list, word);
}

static void run(struct suite *s, const struct one *t, struct tally *tally)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct spf_query q = {.ip = t->ip, .helo = t->helo, .now_unix = 1700000000};
    ptrdiff_t at = str_find_last(t->mailfrom, '@');
    struct spf_result r;
    struct err e = {0};
    struct dns dns;
    bool is_good;

    if (!s->is_parsed && !dns_zone_parse(&s->a, buf_str(&s->text), &s->zone, &e))
        die("%.*s: %s", STR_FMT(s->title), e.text);
    s->is_parsed = true;
    dns = dns_zone_dns(&s->zone);
    if (at != STR_NONE) {
        q.local_part = str_sub(t->mailfrom, 0, (size_t)at);
        q.domain = str_from(t->mailfrom, (size_t)at + 1);
    }
    s->zone.n_lookups = 0;
    spf_check(&dns, &a, &q, t->is_helo_first ? SPF_HELO : SPF_MAILFROM, &r);
    if (t->is_helo_first && r.status == AUTH_PASS)
        spf_check(&dns, &a, &q, SPF_MAILFROM, &r);
    is_good = wants(t->wants, str_of(auth_result_name(r.status))) &&
              s->zone.n_lookups <= SPF_MAX_QUESTIONS * 2 &&
              (!t->has_explanation || str_eq_ci(r.explanation, t->explanation));
    tally->n++;
    if (is_good)
        return;
    tally->n_failed++;
    printf("%.*s, %.*s: %s (%.*s; %.*s), explanation \"%.*s\"; wanted: %.*s, \"%.*s\"\n",
           STR_FMT(s->title), STR_FMT(t->name), auth_result_name(r.status), STR_FMT(r.mechanism),
           STR_FMT(r.why), STR_FMT(r.explanation), STR_FMT(t->wants), STR_FMT(t->explanation));
}

static void finish_file(struct reading *r)
{
    bool is_good = r->tally.n && !r->tally.n_failed;

    if (!r->tally.file.n)
        return;
    printf("%s spf-cases %.*s (%u)\n", is_good ? "PASS" : "FAIL", STR_FMT(r->tally.file),
           r->tally.n);
    r->is_good &= is_good;
}

static void finish_case(struct reading *r)
{
    if (r->one.is_set)
        run(&r->suite, &r->one, &r->tally);
    r->one = (struct one){0};
}

static void begin_suite(struct reading *r, struct str title)
{
    struct str file = STR(""), rest;

    str_cut(title, ':', &file, &rest);
    if (!str_eq(file, r->tally.file)) {
        finish_file(r);
        r->tally = (struct tally){.file = file};
    }
    arena_reset(&r->suite.a);
    buf_reset(&r->suite.text);
    r->suite.is_parsed = false;
    r->suite.title = title;
}

static void take_line(struct reading *r, struct str key, struct str value)
{
    struct one *t = &r->one;

    if (str_eq(key, STR("suite"))) {
        finish_case(r);
        begin_suite(r, value);
    } else if (str_eq(key, STR("zone"))) {
        buf_put(&r->suite.text, value);
        buf_put_char(&r->suite.text, '\n');
    } else if (str_eq(key, STR("case"))) {
        finish_case(r);
        t->name = value;
        t->is_set = true;
    } else if (str_eq(key, STR("helo")))
        t->helo = value;
    else if (str_eq(key, STR("mailfrom")))
        t->mailfrom = value;
    else if (str_eq(key, STR("helo-first")))
        t->is_helo_first = true;
    else if (str_eq(key, STR("want")))
        t->wants = value;
    else if (str_eq(key, STR("explanation"))) {
        t->explanation = value;
        t->has_explanation = true;
    } else if (!str_eq(key, STR("ip")) || !ip_parse(value, &t->ip))
        die("unknown line: %.*s %.*s", STR_FMT(key), STR_FMT(value));
}

static void read_file(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "r");

    if (!f)
        die("cannot open %s", path);
    for (size_t n; (n = fread(buf_room(out, 65536), 1, 65536, f)) > 0;)
        buf_claim(out, n);
    fclose(f);
}

int main(int argc, char **argv)
{
    AUTO_BUF text = BUF_LIMIT(MAX_FILE);
    struct reading r = {.suite = {.a = ARENA_LIMIT(16 << 20), .text = BUF_LIMIT(MAX_FILE)},
                        .is_good = true};
    struct str line, key, value;
    struct cur c;

    if (argc != 2)
        die("usage: mox-spf-cases cases.txt");
    read_file(argv[1], &text);
    c = cur_of(buf_str(&text));
    while (cur_line(&c, &line)) {
        if (str_starts(line, STR("#")))
            continue;
        if (!str_cut(line, ' ', &key, &value)) {
            key = line;
            value = STR("");
        }
        take_line(&r, key, value);
    }
    finish_case(&r);
    finish_file(&r);
    arena_fini(&r.suite.a);
    buf_fini(&r.suite.text);
    return r.is_good ? 0 : 1;
}
