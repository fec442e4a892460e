#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/verbs.h"
#include "os/user.h"
#include "text/encode.h"

struct cmd_options cmd_options;

static const char *program = "mox";

void cmd_say(FILE *to, const char *format, ...)
{
    enum { LONGEST = 1 << 20 }; // with its end; what is longer is cut off
    AUTO_BUF line = BUF_LIMIT(LONGEST), shown = BUF_LIMIT(4 * LONGEST);
    struct str text;
    va_list args, again;
    size_t size;
    int n;

    if (!format) // none of ours: gcc with sanitizers wants to see it
        return;
    va_start(args, format);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size = n < 0 ? 1 : n < LONGEST ? (size_t)n + 1 : LONGEST;
    vsnprintf(buf_room(&line, size), size, format, again);
    buf_claim(&line, size - 1);
    va_end(again);
    text = buf_str(&line);
    utf8_put_shown(&shown, str_sub(text, 0, text.n - str_ends(text, STR("\n"))));
    fprintf(to, "%.*s\n", STR_FMT(buf_str(&shown)));
}

int cmd_fail(const struct err *e)
{
    cmd_say(stderr, "mox: %s\n", e->text);
    return 1;
}

int cmd_end(int code)
{
    struct stat st;

    if ((fflush(stdout) == 0 && !ferror(stdout)) || code)
        return code;
    if (fstat(STDOUT_FILENO, &st) || !S_ISFIFO(st.st_mode))
        cmd_say(stderr, "mox: not all that was to be printed could be written\n");
    return 1;
}

bool cmd_read_stdin(struct buf *out, const char *what, struct err *e)
{
    enum { PIECE = 4096 };
    ssize_t got;
    char *room;

    while ((room = buf_room(out, PIECE)) && (got = read(0, room, PIECE)) != 0)
        if (got < 0)
            return fail_errno(e, "reading %s", what);
        else
            buf_claim(out, (size_t)got);
    return room || fail(e, ERR_LIMIT, "%s is too long", what);
}

static const struct cmd *find_verb(const char *words)
{
    for (size_t i = 0; i < cmd_verb_count; i++)
        if (strcmp(cmd_verbs[i].words, words) == 0)
            return &cmd_verbs[i];
    return NULL;
}

static void print_usage(FILE *to, const struct cmd *c)
{
    fprintf(to, "usage: %s %s%s%s\n\n%s\n", program, c->words, c->arguments[0] ? " " : "",
            c->arguments, c->help);
}

int cmd_usage(const char *words)
{
    const struct cmd *c = find_verb(words);

    if (c)
        print_usage(stderr, c);
    return 2;
}

int cmd_flags(int argc, char **argv, const struct cmd_flag *flags, size_t n)
{
    int at = 1;

    // "-30m" is a duration: no flag begins with a digit.
    while (at < argc && argv[at][0] == '-' && argv[at][1] && !(argv[at][1] >= '0' && argv[at][1] <= '9')) {
        const char *name = argv[at] + (argv[at][1] == '-' ? 2 : 1);
        const char *equals = strchr(name, '=');
        struct str word = equals ? str_at(name, (size_t)(equals - name)) : str_of(name);
        const struct cmd_flag *flag = NULL;

        if (strcmp(argv[at], "--") == 0)
            return at + 1;
        for (size_t i = 0; i < n; i++)
            if (str_eq(word, str_of(flags[i].name)))
                flag = &flags[i];
        if (!flag) {
            fprintf(stderr, "mox: unknown flag %s\n", argv[at]);
            return -1;
        }
        if (flag->is_set) {
            *flag->is_set = !equals || strcmp(equals + 1, "true") == 0;
            if (equals && !*flag->is_set && strcmp(equals + 1, "false") != 0) {
                fprintf(stderr, "mox: flag %s is true or false\n", argv[at]);
                return -1;
            }
        } else if (equals) {
            *flag->value = equals + 1;
        } else if (at + 1 < argc) {
            *flag->value = argv[++at];
        } else {
            fprintf(stderr, "mox: flag %s needs a value\n", argv[at]);
            return -1;
        }
        at++;
    }
    return at;
}

// How many of the verb's words the arguments begin with; all of them when *is_whole.
static int match_words(const struct cmd *c, int argc, char **argv, bool *is_whole)
{
    struct str left = str_of(c->words), word;
    int n = 0;

    *is_whole = false;
    while (str_next(&left, ' ', &word)) {
        if (n == argc || !str_eq(word, str_of(argv[n])))
            return n;
        n++;
    }
    *is_whole = true;
    return n;
}

// Verbs that share their first words with the arguments, or all when there are none.
static int list_verbs(FILE *to, int argc, char **argv)
{
    bool is_whole, is_first = true;
    int most = 0;

    for (size_t i = 0; i < cmd_verb_count; i++) {
        int n = match_words(&cmd_verbs[i], argc, argv, &is_whole);

        if (n > most)
            most = n;
    }
    if (argc > most) {
        AUTO_BUF words = BUF_LIMIT(1 << 20);

        for (int i = 0; i <= most; i++)
            buf_printf(&words, "%s%s", i ? " " : "", argv[i]);
        cmd_say(stderr, "mox: unknown command \"%.*s\"\n", STR_FMT(buf_str(&words)));
    }
    for (size_t i = 0; i < cmd_verb_count; i++) {
        const struct cmd *c = &cmd_verbs[i];

        if (match_words(c, argc, argv, &is_whole) != most || (!most && c->is_unlisted))
            continue;
        fprintf(to, "%s%s %s%s%s\n", is_first ? "usage: " : "       ", program, c->words,
                c->arguments[0] ? " " : "", c->arguments);
        is_first = false;
    }
    return 2;
}

int cmd_help(int argc, char **argv)
{
    bool is_whole, found = false;

    if (argc < 2) {
        list_verbs(stdout, 0, NULL);
        printf("\nFlags before the command: -config file (default: environment MOXCONF, else "
               "config/mox.conf, else\n/etc/mox/mox.conf), -loglevel level, -pedantic\n");
        return 0;
    }
    for (size_t i = 0; i < cmd_verb_count; i++)
        if (match_words(&cmd_verbs[i], argc - 1, argv + 1, &is_whole) == argc - 1 && is_whole) {
            print_usage(stdout, &cmd_verbs[i]);
            return 0;
        }
    for (size_t i = 0; i < cmd_verb_count; i++)
        if (match_words(&cmd_verbs[i], argc - 1, argv + 1, &is_whole) == argc - 1) {
            struct str first = str_of(cmd_verbs[i].help);
            ptrdiff_t end = str_find(first, '\n');

            printf("mox %s - %.*s\n", cmd_verbs[i].words,
                   STR_FMT(end == STR_NONE ? first : str_sub(first, 0, (size_t)end)));
            found = true;
        }
    if (found)
        return 0;
    fprintf(stderr, "mox: no help for \"%s\"\n", argv[1]);
    return 2;
}

int cmd_helpall(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return cmd_usage("helpall");
    for (size_t i = 0; i < cmd_verb_count; i++) {
        if (cmd_verbs[i].is_unlisted)
            continue;
        printf("# mox %s\n\n", cmd_verbs[i].words);
        print_usage(stdout, &cmd_verbs[i]);
        printf("\n");
    }
    return 0;
}

int cmd_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return cmd_usage("version");
    puts("mox " MOX_VERSION);
    return 0;
}

// That of the current directory; elsewhere, that of the package.
static const char *default_config(void)
{
    static const char here[] = "config/mox.conf", packaged[] = "/etc/mox/mox.conf";

    return access(here, F_OK) && access(packaged, F_OK) == 0 ? packaged : here;
}

// What people try first with a program that they do not know.
static bool asks_for_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0 || strcmp(word, "--help") == 0;
}

int cmd_main(int argc, char **argv)
{
    const struct cmd_flag flags[] = {
        {"config", &cmd_options.config_path, NULL},
        {"loglevel", &cmd_options.log_level, NULL},
        {"pedantic", NULL, &cmd_options.pedantic},
    };
    const struct cmd *best = NULL;
    int at, words = 0;

    const char *slash = argc ? strrchr(argv[0], '/') : NULL;

    log_set_human(true);
    if (argc && strcmp(slash ? slash + 1 : argv[0], "sendmail") == 0)
        return cmd_sendmail(argc, argv);
    if (os_is_setgid()) {
        fprintf(stderr, "mox: installed with set-group-id, this program is sendmail and nothing else\n");
        return 1;
    }
    if (argc > 1 && asks_for_help(argv[1]))
        return cmd_help(1, argv);
    at = cmd_flags(argc, argv, flags, COUNT(flags));
    if (at < 0)
        return 2;
    if (!cmd_options.config_path)
        cmd_options.config_path = getenv("MOXCONF");
    if (!cmd_options.config_path || !cmd_options.config_path[0])
        cmd_options.config_path = default_config();
    if (cmd_options.log_level) {
        struct err e = {0};

        if (!log_set_level(STR(""), str_of(cmd_options.log_level), &e))
            return cmd_fail(&e);
    }
    for (size_t i = 0; i < cmd_verb_count; i++) {
        bool is_whole;
        int n = match_words(&cmd_verbs[i], argc - at, argv + at, &is_whole);

        if (is_whole && n > words) {
            best = &cmd_verbs[i];
            words = n;
        }
    }
    for (int i = at; !best && i < argc; i++)
        if (asks_for_help(argv[i]))
            return cmd_help(i - at + 1, argv + at - 1);
    if (!best)
        return list_verbs(stderr, argc - at, argv + at);
    // That "sendmail" has flags of its own, which other programs give it.
    if (best->run != cmd_sendmail && at + words < argc && asks_for_help(argv[at + words])) {
        print_usage(stdout, best);
        return 0;
    }
    return best->run(argc - at - words + 1, argv + at + words - 1);
}
