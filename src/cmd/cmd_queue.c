/*
 * mox queue: what waits for delivery, and what becomes of it (mox-imap-store-cli-config.md 3.2).
 */
#include <stdio.h>
#include <string.h>

#include "base/cur.h"
#include "cmd/ctl.h"
#include "cmd/verbs.h"
#include "queue/manage.h"

/* Flags of a filter, in the order of names; those of lists at the end. */
static const char *const entry_filters[] = {"ids", "n", "account", "from", "to", "hold", "submitted",
                                            "nextattempt", "transport", "sort"};
static const char *const retired_filters[] = {"ids", "n", "account", "from", "to", "submitted",
                                              "lastactivity", "transport", "result", "sort"};
enum { N_FILTERS = COUNT(entry_filters), N_ENTRY_FILTERS = N_FILTERS - 1 };
_Static_assert(COUNT(retired_filters) == N_FILTERS, "one array holds the values of both");

struct flags {
    const char *values[N_FILTERS];
    bool is_ascending, is_now;
};

// Takes the flags; what they say is in out as queue_filter_parse reads it. -1 after printing what is wrong.
static int take_flags(int argc, char **argv, const char *const *names, size_t n, bool is_list,
                      bool has_now, struct flags *f, struct buf *out)
{
    struct cmd_flag all[N_FILTERS + 2];
    size_t n_all = 0;
    int at;

    *f = (struct flags){0};
    for (size_t i = 0; i < n; i++)
        all[n_all++] = (struct cmd_flag){names[i], &f->values[i], NULL};
    if (is_list)
        all[n_all++] = (struct cmd_flag){"asc", NULL, &f->is_ascending};
    if (has_now)
        all[n_all++] = (struct cmd_flag){"now", NULL, &f->is_now};
    at = cmd_flags(argc, argv, all, n_all);
    for (size_t i = 0; at >= 0 && i < n; i++) {
        if (!f->values[i])
            continue;
        if (str_find(str_of(f->values[i]), '\t') != STR_NONE) {
            fprintf(stderr, "mox: -%s has a tab in it\n", names[i]);
            return -1;
        }
        buf_put(out, str_of(names[i]));
        BUF_PUT(out, "=");
        buf_put(out, str_of(f->values[i]));
        BUF_PUT(out, "\t");
    }
    if (f->is_ascending)
        BUF_PUT(out, "asc=true\t");
    return at;
}

static int list(int argc, char **argv, const char *words, const char *command,
                const char *const *names)
{
    AUTO_BUF filter = BUF_LIMIT(16384);
    struct flags f;
    int at = take_flags(argc, argv, names, N_FILTERS, true, false, &f, &filter);
    struct str line = buf_str(&filter);

    return at != argc ? cmd_usage(words) : ctl_show(command, &line, 1, CTL_LINES);
}

int cmd_queue_list(int argc, char **argv)
{
    return list(argc, argv, "queue list", "queuelist", entry_filters);
}

int cmd_queue_retired_list(int argc, char **argv)
{
    return list(argc, argv, "queue retired list", "queueretiredlist", retired_filters);
}

static int print_one(int argc, char **argv, const char *words, const char *command, enum ctl_stream what)
{
    struct str id;

    if (argc != 2)
        return cmd_usage(words);
    id = str_of(argv[1]);
    return ctl_show(command, &id, 1, what);
}

int cmd_queue_dump(int argc, char **argv)
{
    return print_one(argc, argv, "queue dump", "queuedump", CTL_BYTES);
}

int cmd_queue_retired_print(int argc, char **argv)
{
    return print_one(argc, argv, "queue retired print", "queueretiredprint", CTL_LINES);
}

/* --- changes ------------------------------------------------------------------------------------- */

// Waits for the end; of many, how far it has come is told on standard error. What was done is printed, if it has a name.
static int change(enum queue_change what, struct str filter, struct str value, const char *done)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const struct str lines[] = {arena_printf(&a, "%d", (int)what), filter, value};
    struct err e = {0};
    struct str line, n;
    AUTO_CTL c = {.fd = -1};

    if (!ctl_command(&c, "queuechange", lines, COUNT(lines), &e))
        return cmd_fail(&e);
    for (;;) {
        uint64_t count;

        if (!ctl_line(&c, &line, &e))
            return cmd_fail(&e);
        if (str_cut(line, ' ', &line, &n) && str_eq(line, STR("progress")) &&
            str_u64(n, UINT64_MAX, &count)) {
            fprintf(stderr, "%llu so far\n", (unsigned long long)count);
            continue;
        }
        if (!str_u64(line, UINT64_MAX, &count)) {
            (void)fail(&e, ERR_DENIED, "%.*s %.*s", STR_FMT(line), STR_FMT(n));
            return cmd_fail(&e);
        }
        if (done)
            printf("%llu %s\n", (unsigned long long)count, done);
        return 0;
    }
}

static int change_matching(int argc, char **argv, const char *words, enum queue_change what,
                           bool has_value, const char *done)
{
    AUTO_BUF filter = BUF_LIMIT(16384);
    struct flags f;
    int at = take_flags(argc, argv, entry_filters, N_ENTRY_FILTERS, false, what == QUEUE_ADD_TIME,
                        &f, &filter);

    if (at < 0 || argc - at != has_value)
        return cmd_usage(words);
    return change(f.is_now ? QUEUE_SET_TIME : what, buf_str(&filter),
                  has_value ? str_of(argv[at]) : STR(""), done);
}

int cmd_queue_hold(int argc, char **argv)
{
    return change_matching(argc, argv, "queue hold", QUEUE_HOLD, false, "messages changed");
}

int cmd_queue_unhold(int argc, char **argv)
{
    return change_matching(argc, argv, "queue unhold", QUEUE_UNHOLD, false, "messages changed");
}

int cmd_queue_schedule(int argc, char **argv)
{
    return change_matching(argc, argv, "queue schedule", QUEUE_ADD_TIME, true,
                           "message(s) rescheduled");
}

int cmd_queue_transport(int argc, char **argv)
{
    return change_matching(argc, argv, "queue transport", QUEUE_TRANSPORT, true,
                           "message(s) changed");
}

// Of upstream's first version: one message or those to one place, at once, by another way if one is named.
int cmd_queue_kick(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    AUTO_BUF filter = BUF_LIMIT(16384);
    const char *id = "", *domain = "", *recipient = "", *transport = NULL;
    const struct cmd_flag flags[] = {{"id", &id, NULL}, {"todomain", &domain, NULL},
                                     {"recipient", &recipient, NULL}, {"transport", &transport, NULL}};

    if (cmd_flags(argc, argv, flags, COUNT(flags)) != argc)
        return cmd_usage("queue kick");
    if (strpbrk(id, "\t,") || strpbrk(domain, "\t") || strpbrk(recipient, "\t"))
        return cmd_usage("queue kick");
    if (*domain && *recipient && !str_ends_ci(str_of(recipient), arena_printf(&a, "@%s", domain))) {
        printf("0 messages scheduled\n"); // no message is to both
        return 0;
    }
    if (*id && strcmp(id, "0") != 0) // 0 was any
        buf_printf(&filter, "ids=%s\t", id);
    if (*recipient)
        buf_printf(&filter, "to=<%s>\t", recipient);
    else if (*domain)
        buf_printf(&filter, "to=@%s\t", domain);
    if (transport) {
        int code = change(QUEUE_TRANSPORT, buf_str(&filter), str_of(transport), NULL);

        if (code)
            return code;
    }
    return change(QUEUE_SET_TIME, buf_str(&filter), STR("0s"), "messages scheduled");
}

int cmd_queue_requiretls(int argc, char **argv)
{
    return change_matching(argc, argv, "queue requiretls", QUEUE_REQUIRE_TLS, true,
                           "message(s) changed");
}

int cmd_queue_fail(int argc, char **argv)
{
    return change_matching(argc, argv, "queue fail", QUEUE_FAIL, false,
                           "message(s) marked as failed");
}

int cmd_queue_drop(int argc, char **argv)
{
    return change_matching(argc, argv, "queue drop", QUEUE_DROP, false, "message(s) dropped");
}

/* --- rules for holding, suppression -------------------------------------------------------------- */

// A command that answers with a line.
static bool answered(const char *command, struct str value, struct str *out, struct arena *a,
                     struct err *e)
{
    struct str line;
    AUTO_CTL c = {.fd = -1};

    if (!ctl_command(&c, command, &value, 1, e) || !ctl_line(&c, &line, e))
        return false;
    *out = arena_dup(a, line);
    return true;
}

int cmd_queue_holdrules_list(int argc, char **argv)
{
    (void)argv;
    return argc != 1 ? cmd_usage("queue holdrules list") : ctl_show("queueholdruleslist", NULL, 0, CTL_LINES);
}

int cmd_queue_holdrules_add(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    const char *account = "", *sender = "", *recipient = "";
    const struct cmd_flag flags[] = {{"account", &account, NULL}, {"senderdom", &sender, NULL},
                                     {"recipientdom", &recipient, NULL}};
    struct err e = {0};
    struct str n;

    if (cmd_flags(argc, argv, flags, COUNT(flags)) != argc)
        return cmd_usage("queue holdrules add");
    if (!answered("queueholdrulesadd", arena_printf(&a, "%s\t%s\t%s", account, sender, recipient), &n,
                  &a, &e))
        return cmd_fail(&e);
    printf("%.*s messages put on hold\n", STR_FMT(n));
    return 0;
}

int cmd_queue_holdrules_remove(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct err e = {0};
    struct str line;

    if (argc != 2)
        return cmd_usage("queue holdrules remove");
    return answered("queueholdrulesremove", str_of(argv[1]), &line, &a, &e) ? 0 : cmd_fail(&e);
}

int cmd_queue_suppress_list(int argc, char **argv)
{
    const char *account = "";
    const struct cmd_flag flags[] = {{"account", &account, NULL}};
    struct str line;

    if (cmd_flags(argc, argv, flags, COUNT(flags)) != argc)
        return cmd_usage("queue suppress list");
    line = str_of(account);
    return ctl_show("queuesuppresslist", &line, 1, CTL_LINES);
}

static int change_suppressed(int argc, char **argv, const char *words, const char *command)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct err e = {0};
    struct str line;

    if (argc != 3)
        return cmd_usage(words);
    return answered(command, arena_printf(&a, "%s\t%s", argv[1], argv[2]), &line, &a, &e) ? 0
                                                                                          : cmd_fail(&e);
}

int cmd_queue_suppress_add(int argc, char **argv)
{
    return change_suppressed(argc, argv, "queue suppress add", "queuesuppressadd");
}

int cmd_queue_suppress_remove(int argc, char **argv)
{
    return change_suppressed(argc, argv, "queue suppress remove", "queuesuppressremove");
}

int cmd_queue_suppress_lookup(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 16);
    struct str line;

    if (argc != 3)
        return cmd_usage("queue suppress lookup");
    line = arena_printf(&a, "%s\t%s", argv[1], argv[2]);
    return ctl_show("queuesuppresslookup", &line, 1, CTL_LINES);
}
