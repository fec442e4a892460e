/*
 * Verbs that try out the junk filter on files (mox-imap-store-cli-config.md 3.3): a word table in a file
 * of the current directory, or for "analyze" and "play" in memory.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/verbs.h"
#include "db/sql.h"
#include "junk/junk.h"
#include "os/clock.h"
#include "os/file.h"
#include "text/date.h"
#include "text/encode.h"

enum { MAX_FILE = 128 << 20, MAX_FILES = 10 * 1000 * 1000 };

enum label { LABEL_HAM, LABEL_SPAM, LABEL_SENT };

struct file {
    char *path; // heap
    enum label label;
    int64_t time;
    bool is_learnt; // of "analyze"
};

struct junk_run {
    struct junk_settings settings;
    const char *db_path, *sent_dir;
    double threshold, train_ratio;
    bool is_seeded, is_debug;
    struct arena a; // of the message in progress
    struct buf text; // and its bytes

    struct file *files; // heap
    size_t n, cap;

    struct db *db; // or a batch alone
    struct junk_key key;
    struct junk_batch *batch;
    uint64_t right[2], wrong[2]; // of ham and of spam
};

/* --- the command line ------------------------------------------------------------------------------- */

// A number from 0 to max.
static bool number(const char *name, const char *text, double max, double *out, struct err *e)
{
    char *end;

    *out = strtod(text, &end);
    return (end != text && !*end && *out >= 0 && *out <= max) ||
           fail(e, ERR_SYNTAX, "-%s is a number from 0 to %g", name, max);
}

static bool set_method(struct junk_run *r, const char *method, struct err *e)
{
    if (strcmp(method, "words") == 0)
        r->settings.method = JUNK_WORDS;
    else if (strcmp(method, "evidence") == 0)
        r->settings.method = JUNK_EVIDENCE;
    else
        return fail(e, ERR_SYNTAX, "-method is evidence or words");
    return true;
}

// The number of arguments used, or -1 after saying what is wrong.
static int take_flags(struct junk_run *r, int argc, char **argv)
{
    static const char power[] = "0.05", top[] = "10", ignore[] = "0.1", rare[] = "1";
    struct junk_settings *s = &r->settings;
    const char *method = NULL, *bloom = NULL, *max_power = power, *top_words = top,
               *ignore_words = ignore, *rare_words = rare, *threshold = "0.95", *ratio = "0.5";
    const struct cmd_flag flags[] = {
        {"dbpath", &r->db_path, NULL}, {"bloompath", &bloom, NULL}, {"method", &method, NULL},
        {"one-grams", NULL, &s->onegrams}, {"two-grams", NULL, &s->twograms},
        {"three-grams", NULL, &s->threegrams}, {"max-power", &max_power, NULL},
        {"top-words", &top_words, NULL}, {"ignore-words", &ignore_words, NULL},
        {"rare-words", &rare_words, NULL}, {"spam-threshold", &threshold, NULL},
        {"train-ratio", &ratio, NULL}, {"sent-dir", &r->sent_dir, NULL},
        {"seed", NULL, &r->is_seeded}, {"debug", NULL, &r->is_debug}};
    double top_number, rare_number;
    struct err e = {0};
    int at;

    s->twograms = true;
    at = cmd_flags(argc, argv, flags, COUNT(flags));
    if (at < 0)
        return -1;
    if (bloom) {
        fail(&e, ERR_SYNTAX, "-bloompath: there is no bloom filter, a word counts from its first message");
        cmd_fail(&e);
        return -1;
    }
    // Who sets what upstream's formula is made of wants that formula.
    if (!method)
        method = s->onegrams || !s->twograms || s->threegrams || max_power != power ||
                         top_words != top || ignore_words != ignore || rare_words != rare
                     ? "words"
                     : "evidence";
    if (!set_method(r, method, &e) || !number("max-power", max_power, 0.5, &s->max_power, &e) ||
        !number("top-words", top_words, 1000000, &top_number, &e) ||
        !number("ignore-words", ignore_words, 0.5, &s->ignore_words, &e) ||
        !number("rare-words", rare_words, 1000000, &rare_number, &e) ||
        !number("spam-threshold", threshold, 1, &r->threshold, &e) ||
        !number("train-ratio", ratio, 1, &r->train_ratio, &e)) {
        cmd_fail(&e);
        return -1;
    }
    s->top_words = (unsigned)top_number;
    s->rare_words = (unsigned)rare_number;
    return at;
}

/* --- messages --------------------------------------------------------------------------------------- */

// A message as it would arrive: CR LF, and no line of an mbox before it.
static bool read_message(struct junk_run *r, const char *path, struct str *out, struct err *e)
{
    struct str text, line;
    struct cur c;
    char last = 0;

    if (!os_read_file(&r->a, path, MAX_FILE, &text, e))
        return false;
    c = cur_of(text);
    if (str_starts(text, STR("From ")) && cur_line(&c, &line))
        text = cur_rest(&c);
    buf_reset(&r->text);
    crlf_put(&r->text, text, &last);
    *out = buf_str(&r->text);
    return true;
}

static bool tokenise(struct junk_run *r, const char *path, struct junk_tokens *out,
                     struct part **root, struct err *e)
{
    struct str text;
    struct junk_message m = {.read = junk_read_str, .ctx = &text};
    bool is_broken;

    arena_reset(&r->a);
    if (!read_message(r, path, &text, e))
        return false;
    *root = mime_parse(&r->a, text, &is_broken);
    m.root = *root;
    return junk_tokenise(&r->a, &r->settings, &r->key, &m, out, e);
}

static bool add_dir(struct junk_run *r, const char *path, enum label label, struct err *e)
{
    DIR *d = opendir(path);

    if (!d)
        return fail_errno(e, "%s", path);
    for (struct dirent *entry; (entry = readdir(d));) {
        char child[4096];
        struct stat s;

        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (r->n >= MAX_FILES ||
            (entry->d_type != DT_REG && (stat(child, &s) || !S_ISREG(s.st_mode))))
            continue;
        if (r->n == r->cap) {
            r->cap = r->cap ? r->cap * 2 : 1024;
            r->files = heap_resize(r->files, r->cap, sizeof *r->files);
        }
        r->files[r->n++] = (struct file){strdup(child), label, 0, false};
    }
    closedir(d);
    return true;
}

static int by_path(const void *x, const void *y)
{
    return strcmp(((const struct file *)x)->path, ((const struct file *)y)->path);
}

static int by_time(const void *x, const void *y)
{
    const struct file *a = x, *b = y;

    return a->time != b->time ? (a->time < b->time ? -1 : 1) : by_path(x, y);
}

static bool add_dirs(struct junk_run *r, char **argv, struct err *e)
{
    if (!add_dir(r, argv[0], LABEL_HAM, e) || !add_dir(r, argv[1], LABEL_SPAM, e) ||
        (r->sent_dir && !add_dir(r, r->sent_dir, LABEL_SENT, e)))
        return false;
    if (r->n)
        qsort(r->files, r->n, sizeof *r->files, by_path); // the same on every file system
    return true;
}

/* --- learning and classifying ------------------------------------------------------------------------ */

static bool open_filter(struct junk_run *r, bool may_be_new, struct err *e)
{
    struct junk_state state;

    if (!may_be_new && access(r->db_path, F_OK))
        return fail_errno(e, "%s", r->db_path);
    r->db = db_open(r->db_path, sql_junk, sql_junk_count, e);
    // What is lost with the machine's power is trained again.
    if (!r->db || !db_exec(r->db, "PRAGMA synchronous = OFF", e) || !db_begin(r->db, e))
        return false;
    if (!junk_state_read(r->db, &r->a, &state, e)) {
        if (e->kind != ERR_NOT_FOUND || !may_be_new)
            return false;
        *e = (struct err){0};
        if (!junk_state_reset(r->db, &r->settings, e) ||
            !junk_state_read(r->db, &r->a, &state, e))
            return false;
    }
    if (!str_eq(state.settings, junk_settings_name(&r->a, &r->settings)))
        return fail(e, ERR_CONFLICT, "%s was trained with other settings", r->db_path);
    r->key = state.key;
    return true;
}

static bool learn(struct junk_run *r, const struct file *f, struct err *e)
{
    struct junk_tokens tokens;
    struct part *root;

    if (!tokenise(r, f->path, &tokens, &root, e))
        return fail_in(e, "%s", f->path);
    junk_batch_add(r->batch, &tokens, f->label == LABEL_SPAM, 1);
    return !r->db || !junk_batch_is_full(r->batch) || junk_batch_write(r->batch, r->db, e);
}

static bool classify(struct junk_run *r, const struct file *f, struct junk_result *out,
                     struct err *e)
{
    struct junk_tokens tokens;
    struct junk_count *counts;
    struct part *root;

    if (!tokenise(r, f->path, &tokens, &root, e))
        return fail_in(e, "%s", f->path);
    if (r->db)
        return junk_classify(r->db, &r->a, &r->settings, &tokens, out, e);
    counts = ARENA_ARRAY(&r->a, tokens.n + 1, struct junk_count);
    for (size_t i = 0; i < tokens.n; i++)
        counts[i] = junk_batch_word(r->batch, tokens.items[i].hash);
    junk_decide(&r->a, &r->settings, &tokens, counts, junk_batch_messages(r->batch), out);
    return true;
}

static void print_deciders(const char *what, const struct junk_decider *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        putchar('\t');
        cmd_say(stdout, "%s %.3f %.*s\n", what, d[i].probability, STR_FMT(d[i].text));
    }
}

static bool try_file(struct junk_run *r, const struct file *f, struct err *e)
{
    bool is_spam = f->label == LABEL_SPAM;
    struct junk_result result;

    if (!classify(r, f, &result, e))
        return false;
    if (is_spam == (result.probability > r->threshold))
        r->right[is_spam]++;
    else
        r->wrong[is_spam]++;
    if (r->is_debug)
        cmd_say(stdout, "%s %.9f %s\n", is_spam ? "spam" : "ham", result.probability, f->path);
    return true;
}

static double fraction(uint64_t part, uint64_t rest)
{
    return part + rest ? (double)part / (double)(part + rest) : 0;
}

static void print_quality(const struct junk_run *r)
{
    printf("total ham, ok %llu, bad %llu\n", (unsigned long long)r->right[0],
           (unsigned long long)r->wrong[0]);
    printf("total spam, ok %llu, bad %llu\n", (unsigned long long)r->right[1],
           (unsigned long long)r->wrong[1]);
    printf("specificity: %.6f\n", fraction(r->right[0], r->wrong[0]));
    printf("sensitivity: %.6f\n", fraction(r->right[1], r->wrong[1]));
    printf("accuracy: %.6f\n",
           fraction(r->right[0] + r->right[1], r->wrong[0] + r->wrong[1]));
}

/* --- the verbs -------------------------------------------------------------------------------------- */

typedef bool verb_fn(struct junk_run *r, char **argv, struct err *e);

static int run_verb(const char *words, int n_arguments, verb_fn *fn, int argc, char **argv)
{
    struct junk_run r = {.db_path = "filter.db", .key = {1, 2}, .batch = junk_batch_new(JUNK_BATCH_WORDS),
                         .text = BUF_LIMIT(2 * (size_t)MAX_FILE),
                         .a = ARENA_LIMIT(4 * (size_t)MAX_FILE + 2 * MIME_MEMORY + JUNK_MEMORY)};
    struct err e = {0};
    int at = take_flags(&r, argc, argv);
    bool is_ok = at >= 0 && argc - at == n_arguments && fn(&r, argv + at, &e);

    if (r.db)
        db_close(r.db);
    junk_batch_free(r.batch);
    for (size_t i = 0; i < r.n; i++)
        free(r.files[i].path);
    free(r.files);
    buf_fini(&r.text);
    arena_fini(&r.a);
    if (is_ok)
        return 0;
    return at < 0 ? 2 : argc - at != n_arguments ? cmd_usage(words) : cmd_fail(&e);
}

static bool train(struct junk_run *r, char **argv, struct err *e)
{
    int64_t start = os_monotonic_ms();
    size_t n_spam = 0;

    if (!add_dirs(r, argv, e) || !open_filter(r, true, e))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        if (!learn(r, &r->files[i], e))
            return false;
        n_spam += r->files[i].label == LABEL_SPAM;
    }
    if (!junk_batch_write(r->batch, r->db, e) || !db_commit(r->db, e))
        return false;
    fprintf(stderr, "trained: ham %zu, spam %zu, in %.3f s\n", r->n - n_spam, n_spam,
            (double)(os_monotonic_ms() - start) / 1000);
    return true;
}

static bool check(struct junk_run *r, char **argv, struct err *e)
{
    const struct file f = {.path = argv[0]};
    struct junk_result result;

    if (!open_filter(r, false, e) || !classify(r, &f, &result, e))
        return false;
    printf("%.6f%s\n", result.probability, result.is_significant ? "" : ", not significant");
    if (r->is_debug) {
        print_deciders("spam", result.spam, result.n_spam_deciders);
        print_deciders("ham", result.ham, result.n_ham_deciders);
    }
    return true;
}

static bool test(struct junk_run *r, char **argv, struct err *e)
{
    int64_t start = os_monotonic_ms();

    if (!add_dirs(r, argv, e) || !open_filter(r, false, e) ||
        !junk_batch_read(r->batch, r->db, e))
        return false;
    db_close(r->db); // all words are in memory now
    r->db = NULL;
    for (size_t i = 0; i < r->n; i++)
        if (r->files[i].label != LABEL_SENT && !try_file(r, &r->files[i], e))
            return false;
    print_quality(r);
    fprintf(stderr, "tested: %zu messages, in %.3f s\n", r->n,
            (double)(os_monotonic_ms() - start) / 1000);
    return true;
}

// Numbers from 0 to below 1: the same ones each time, unless they are seeded.
static double next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void shuffle(struct junk_run *r)
{
    uint64_t state = 0x9e3779b97f4a7c15u;

    if (r->is_seeded)
        os_random(&state, sizeof state);
    state |= 1;
    for (size_t i = r->n; i > 1; i--) {
        size_t k = (size_t)(next_random(&state) * (double)i);
        struct file f = r->files[i - 1];

        r->files[i - 1] = r->files[k];
        r->files[k] = f;
    }
}

// The first part of each label's files, in the order they have now, is learnt, the rest tried.
static bool analyze(struct junk_run *r, char **argv, struct err *e)
{
    size_t n[LABEL_SENT + 1] = {0}, n_learnt[LABEL_SENT + 1] = {0};

    if (!add_dirs(r, argv, e))
        return false;
    shuffle(r);
    for (size_t i = 0; i < r->n; i++)
        n[r->files[i].label]++;
    for (size_t i = 0; i < r->n; i++) {
        struct file *f = &r->files[i];

        f->is_learnt = f->label == LABEL_SENT ||
                       (double)n_learnt[f->label] < (double)n[f->label] * r->train_ratio;
        n_learnt[f->label] += f->is_learnt;
        if (f->is_learnt && !learn(r, f, e))
            return false;
    }
    for (size_t i = 0; i < r->n; i++)
        if (!r->files[i].is_learnt && !try_file(r, &r->files[i], e))
            return false;
    print_quality(r);
    return true;
}

// When it was written; a message that does not say so has the time of its file.
static bool date_files(struct junk_run *r, struct err *e)
{
    for (size_t i = 0; i < r->n; i++) {
        struct junk_tokens tokens;
        struct part *root;
        struct date date;
        struct stat s;

        if (!tokenise(r, r->files[i].path, &tokens, &root, e))
            return fail_in(e, "%s", r->files[i].path);
        if (date_parse(root->envelope->date, &date))
            r->files[i].time = date.unix_seconds;
        else if (!stat(r->files[i].path, &s))
            r->files[i].time = s.st_mtim.tv_sec;
    }
    if (r->n)
        qsort(r->files, r->n, sizeof *r->files, by_time);
    return true;
}

static bool play(struct junk_run *r, char **argv, struct err *e)
{
    if (!add_dirs(r, argv, e) || !date_files(r, e))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        if (r->files[i].label != LABEL_SENT && !try_file(r, &r->files[i], e))
            return false;
        if (!learn(r, &r->files[i], e))
            return false;
        if ((i + 1) % 1000 == 0)
            fprintf(stderr, "%zu of %zu messages\n", i + 1, r->n);
    }
    print_quality(r);
    return true;
}

int cmd_junk_train(int argc, char **argv)
{
    return run_verb("junk train", 2, train, argc, argv);
}

int cmd_junk_check(int argc, char **argv)
{
    return run_verb("junk check", 1, check, argc, argv);
}

int cmd_junk_test(int argc, char **argv)
{
    return run_verb("junk test", 2, test, argc, argv);
}

int cmd_junk_analyze(int argc, char **argv)
{
    return run_verb("junk analyze", 2, analyze, argc, argv);
}

int cmd_junk_play(int argc, char **argv)
{
    return run_verb("junk play", 2, play, argc, argv);
}
