/*
 * Verbs that talk to the running server.
 */
#include <stdio.h>

#include "cmd/ctl.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"

int cmd_stop(int argc, char **argv)
{
    struct err e = {0};
    struct str line;
    AUTO_CTL c = {.fd = -1};

    (void)argv;
    if (argc > 1)
        return cmd_usage("stop");
    if (!ctl_open(&c, &e) || !ctl_send(&c, STR("stop"), &e))
        return cmd_fail(&e);
    while (ctl_line(&c, &line, &e)) // the end of the conversation is the end of the server
        ;
    puts("mox stopped");
    return 0;
}

bool cmd_read_password(char *room, size_t size, struct str *out, struct err *e)
{
    fprintf(stderr, "Use a password that is not in use elsewhere; it will be shown as you type.\n"
                    "password: ");
    if (!fgets(room, (int)size, stdin))
        return fail(e, ERR_SYNTAX, "no password on standard input");
    *out = str_of(room);
    if (str_ends(*out, STR("\n")))
        out->n--;
    if (str_ends(*out, STR("\r")))
        out->n--;
    return true;
}

int cmd_setaccountpassword(int argc, char **argv)
{
    char password[2048] = {0};
    struct err e = {0};
    struct str text;
    AUTO_CTL c = {.fd = -1};

    if (argc != 2)
        return cmd_usage("setaccountpassword");
    if (!ctl_open(&c, &e) || !cmd_read_password(password, sizeof password, &text, &e))
        return cmd_fail(&e);
    if (!ctl_send(&c, STR("setaccountpassword"), &e) || !ctl_send(&c, str_of(argv[1]), &e) ||
        !ctl_send(&c, text, &e) || !ctl_ok(&c, &e))
        return cmd_fail(&e);
    printf("password of account %s changed\n", argv[1]);
    return 0;
}

static int retrain(const char *account)
{
    return ctl_run("retrain", (struct str[]){str_of(account)}, 1);
}

int cmd_retrain(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct paths_names accounts;
    struct err e = {0};
    struct str data;
    int worst = 0;

    if (argc > 2)
        return cmd_usage("retrain");
    if (argc == 2)
        return retrain(argv[1]);
    if (!paths_data_dir(&a, &data, &e) || !paths_accounts(&a, data, &accounts, &e))
        return cmd_fail(&e);
    for (size_t i = 0; i < accounts.n; i++) {
        int code = retrain(accounts.items[i]);

        worst = code ? code : worst;
    }
    return worst;
}

int cmd_loglevels(int argc, char **argv)
{
    if (argc > 3)
        return cmd_usage("loglevels");
    if (argc == 1)
        return ctl_show("loglevels", NULL, 0, CTL_LINES);
    return ctl_run("setloglevels", (struct str[]){argc == 3 ? str_of(argv[2]) : STR(""), str_of(argv[1])}, 2);
}

static int list_reports(int argc, char **argv, const char *words, const char *command)
{
    struct str domain = argc == 2 ? str_of(argv[1]) : STR("");

    return argc > 2 ? cmd_usage(words) : ctl_show(command, &domain, 1, CTL_LINES);
}

static int send_command(const char *words, int argc, const char *command)
{
    return argc > 1 ? cmd_usage(words) : ctl_run(command, NULL, 0);
}

int cmd_dmarc_sendreports(int argc, char **argv)
{
    (void)argv;
    return send_command("dmarc sendreports", argc, "dmarcsendreports");
}

int cmd_tlsrpt_sendreports(int argc, char **argv)
{
    (void)argv;
    return send_command("tlsrpt sendreports", argc, "tlssendreports");
}

/* What all of them do; kind: "dmarc" or "tls". */
static int suppress_list(int argc, const char *words, const char *kind)
{
    if (argc > 1)
        return cmd_usage(words);
    return ctl_show("reportsuppresslist", (struct str[]){str_of(kind)}, 1, CTL_LINES);
}

static int suppress_add(int argc, char **argv, const char *words, const char *kind)
{
    if (argc < 3 || argc > 4)
        return cmd_usage(words);
    return ctl_run("reportsuppressadd",
                   (struct str[]){str_of(kind), str_of(argv[1]), str_of(argv[2]),
                                  argc == 4 ? str_of(argv[3]) : STR("")}, 4);
}

static int suppress_rm(int argc, char **argv, const char *words, const char *kind)
{
    if (argc != 2)
        return cmd_usage(words);
    return ctl_run("reportsuppressrm", (struct str[]){str_of(kind), str_of(argv[1])}, 2);
}

int cmd_dmarc_suppress_list(int argc, char **argv)
{
    (void)argv;
    return suppress_list(argc, "dmarc suppress list", "dmarc");
}

int cmd_dmarc_suppress_add(int argc, char **argv)
{
    return suppress_add(argc, argv, "dmarc suppress add", "dmarc");
}

int cmd_dmarc_suppress_rm(int argc, char **argv)
{
    return suppress_rm(argc, argv, "dmarc suppress rm", "dmarc");
}

int cmd_tlsrpt_suppress_list(int argc, char **argv)
{
    (void)argv;
    return suppress_list(argc, "tlsrpt suppress list", "tls");
}

int cmd_tlsrpt_suppress_add(int argc, char **argv)
{
    return suppress_add(argc, argv, "tlsrpt suppress add", "tls");
}

int cmd_tlsrpt_suppress_rm(int argc, char **argv)
{
    return suppress_rm(argc, argv, "tlsrpt suppress rm", "tls");
}

int cmd_dmarc_listreports(int argc, char **argv)
{
    return list_reports(argc, argv, "dmarc listreports", "dmarcreports");
}

int cmd_tlsrpt_listreports(int argc, char **argv)
{
    return list_reports(argc, argv, "tlsrpt listreports", "tlsreports");
}
