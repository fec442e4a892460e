/*
 * config account, address, domain, alias: what domains.conf says, and changes of it, through the running
 * server: they are checked, written and in use when the command returns.
 */
#include <stdio.h>

#include "cmd/ctl.h"
#include "cmd/verbs.h"

enum { MAX_ARGUMENTS = 4, MAX_LINE = 16 * 1024 };

// A verb with n arguments that are those of the command of the control socket.
static int plain_change(int argc, char **argv, const char *words, int n, const char *command)
{
    struct str arguments[MAX_ARGUMENTS] = {{0}};

    if (argc != 1 + n)
        return cmd_usage(words);
    for (int i = 0; i < n; i++)
        arguments[i] = str_of(argv[i + 1]);
    return ctl_run(command, arguments, (size_t)n);
}

// A verb with one argument at most, whose answer is lines.
static int question(int argc, char **argv, const char *words, int n, const char *command)
{
    struct str argument = argc > 1 ? str_of(argv[1]) : STR("");

    return argc != 1 + n ? cmd_usage(words) : ctl_show(command, &argument, (size_t)n, CTL_LINES);
}

int cmd_account_list(int argc, char **argv)
{
    return question(argc, argv, "config account list", 0, "accountlist");
}

int cmd_account_addresses(int argc, char **argv)
{
    return question(argc, argv, "config account addresses", 1, "accountaddresses");
}

int cmd_account_rm(int argc, char **argv)
{
    return plain_change(argc, argv, "config account rm", 1, "accountrm");
}

int cmd_account_disable(int argc, char **argv)
{
    return plain_change(argc, argv, "config account disable", 2, "accountdisabled");
}

int cmd_account_enable(int argc, char **argv)
{
    return plain_change(argc, argv, "config account enable", 1, "accountenable");
}

int cmd_address_add(int argc, char **argv)
{
    return plain_change(argc, argv, "config address add", 2, "addressadd");
}

int cmd_address_rm(int argc, char **argv)
{
    return plain_change(argc, argv, "config address rm", 1, "addressrm");
}

int cmd_address_account(int argc, char **argv)
{
    return question(argc, argv, "config address account", 1, "addressaccount");
}

int cmd_domain_rm(int argc, char **argv)
{
    return plain_change(argc, argv, "config domain rm", 1, "domainrm");
}

int cmd_alias_list(int argc, char **argv)
{
    return question(argc, argv, "config alias list", 1, "aliaslist");
}

int cmd_alias_print(int argc, char **argv)
{
    return question(argc, argv, "config alias print", 1, "aliasprint");
}

int cmd_alias_rm(int argc, char **argv)
{
    return plain_change(argc, argv, "config alias rm", 1, "aliasrm");
}

int cmd_account_add(int argc, char **argv)
{
    struct str arguments[2];
    int code;

    if (argc != 3)
        return cmd_usage("config account add");
    arguments[0] = str_of(argv[1]);
    arguments[1] = str_of(argv[2]);
    code = ctl_run("accountadd", arguments, COUNT(arguments));
    if (!code)
        printf("account added; set a password with: mox setaccountpassword %s\n", argv[1]);
    return code;
}

int cmd_domain_add(int argc, char **argv)
{
    bool is_disabled = false;
    const struct cmd_flag flags[] = {{"disabled", NULL, &is_disabled}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags)), code;

    if (at < 0 || argc - at < 2 || argc - at > 3)
        return cmd_usage("config domain add");
    code = ctl_run("domainadd",
                  (struct str[]){is_disabled ? STR("true") : STR("false"), str_of(argv[at]),
                                 str_of(argv[at + 1]), argc - at > 2 ? str_of(argv[at + 2]) : STR("")}, 4);
    if (!code)
        printf("domain added, with new keys for DKIM; for what the DNS needs: mox config dnsrecords %s\n", argv[at]);
    return code;
}

static int set_disabled(int argc, char **argv, const char *words, struct str value)
{
    if (argc != 2)
        return cmd_usage(words);
    return ctl_run("domaindisabled", (struct str[]){str_of(argv[1]), value}, 2);
}

int cmd_domain_disable(int argc, char **argv)
{
    return set_disabled(argc, argv, "config domain disable", STR("true"));
}

int cmd_domain_enable(int argc, char **argv)
{
    return set_disabled(argc, argv, "config domain enable", STR("false"));
}

// An alias and addresses, which are one line with blanks between.
static int with_members(int argc, char **argv, const char *words, const char *command)
{
    AUTO_BUF members = BUF_LIMIT(MAX_LINE);
    struct err e = {0};

    if (argc < 3)
        return cmd_usage(words);
    for (int i = 2; i < argc; i++)
        buf_printf(&members, "%s%s", i > 2 ? " " : "", argv[i]);
    if (members.full) {
        (void)fail(&e, ERR_LIMIT, "too many addresses for one command");
        return cmd_fail(&e);
    }
    return ctl_run(command, (struct str[]){str_of(argv[1]), buf_str(&members)}, 2);
}

int cmd_alias_add(int argc, char **argv)
{
    return with_members(argc, argv, "config alias add", "aliasadd");
}

int cmd_alias_addaddr(int argc, char **argv)
{
    return with_members(argc, argv, "config alias addaddr", "aliasaddaddr");
}

int cmd_alias_rmaddr(int argc, char **argv)
{
    return with_members(argc, argv, "config alias rmaddr", "aliasrmaddr");
}

int cmd_alias_update(int argc, char **argv)
{
    const char *post = "", *list = "", *from = "";
    const struct cmd_flag flags[] = {
        {"postpublic", &post, NULL}, {"listmembers", &list, NULL}, {"allowmsgfrom", &from, NULL}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));

    if (at < 0 || argc - at != 1)
        return cmd_usage("config alias update");
    return ctl_run("aliasupdate",
                  (struct str[]){str_of(argv[at]), str_of(post), str_of(list), str_of(from)}, 4);
}
