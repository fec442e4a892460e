#include "config/edit_priv.h"

/* --- accounts --------------------------------------------------------------------------------------- */

void config_put_account(struct buf *out, unsigned indent, struct str domain, struct str address)
{
    static const char *const lines[] = {
        "SubjectPass:",
        "\tPeriod: 12h",
        "RejectsMailbox: Rejects",
        "AutomaticJunkFlags:",
        "\tEnabled: true",
        "\tJunkMailboxRegexp: ^(junk|spam)",
        "\tNeutralMailboxRegexp: ^(inbox|introbox|neutral|postmaster|dmarc|tlsrpt|rejects)",
        "NoCustomPassword: true",
        "JunkFilter:",
        "\tThreshold: 0.950000",
        "\tParams:",
        "\t\tOnegrams: true",
        "\t\tMaxPower: 0.010000",
        "\t\tTopWords: 10",
        "\t\tIgnoreWords: 0.100000",
        "\t\tRareWords: 2",
    };
    const char *tabs = "\t\t\t\t";

    buf_printf(out, "%.*sDomain: %.*s\n", (int)indent, tabs, STR_FMT(domain));
    buf_printf(out, "%.*sDestinations:\n%.*s\t%.*s: nil\n", (int)indent, tabs, (int)indent, tabs,
               STR_FMT(address));
    for (size_t i = 0; i < COUNT(lines); i++)
        buf_printf(out, "%.*s%s\n", (int)indent, tabs, lines[i]);
}

bool edit_account_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    const struct sconf_node *domain;
    struct str name = arguments[0], address = arguments[1], localpart;

    if (!editor_is_word(name, "the name of an account", e) || !editor_is_word(address, "an address", e) ||
        !editor_parse_own(ed, address, &localpart, &domain, e) || !editor_is_free(ed, address, e))
        return false;
    if (editor_child(sconf_get(ed->file.root, "Accounts"), name))
        return fail(e, ERR_CONFLICT, "there is an account \"%.*s\"", STR_FMT(name));
    ed->added_account = name;
    buf_printf(&block, "%.*s:\n", STR_FMT(name));
    config_put_account(&block, 1, domain->key, address);
    return (sconf_get(ed->file.root, "Accounts") || editor_add(ed, ed->file.root, STR("Accounts: nil\n"), e)) &&
           editor_add(ed, sconf_get(ed->file.root, "Accounts"), buf_str(&block), e);
}

bool edit_account_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account;

    ed->removed_account = arguments[0];
    if (!editor_find_account(ed, arguments[0], &account, e))
        return false;
    if (str_eq(arguments[0], ed->postmaster))
        return fail(e, ERR_CONFLICT, "it is the postmaster's account, name another under Postmaster in mox.conf first");
    SCONF_EACH (domain, sconf_get(ed->file.root, "Domains"))
        if (str_eq(sconf_text(sconf_get(domain, "DMARC"), "Account"), arguments[0]) ||
            str_eq(sconf_text(sconf_get(domain, "TLSRPT"), "Account"), arguments[0]))
            return fail(e, ERR_CONFLICT, "it has the reports for %.*s: name another account under DMARC and TLSRPT"
                                         " of that domain in domains.conf first", STR_FMT(domain->key));
    return editor_remove_from(ed, sconf_get(ed->file.root, "Accounts"), account, false, e);
}

bool edit_account_disable(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account;

    if (!editor_find_account(ed, arguments[0], &account, e))
        return false;
    return arguments[1].n ? editor_put(ed, account, "LoginDisabled", arguments[1], e)
                          : fail(e, ERR_SYNTAX, "a message for those who try to log in is needed");
}

bool edit_account_enable(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account, *node;

    if (!editor_find_account(ed, arguments[0], &account, e))
        return false;
    node = sconf_get(account, "LoginDisabled");
    return !node || editor_remove(ed, node, e);
}

bool edit_account_list(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    struct str *items = NULL;
    size_t n = 0, cap = 0;

    (void)arguments, (void)e;
    SCONF_EACH (a, sconf_get(ed->file.root, "Accounts"))
        *ARENA_PUSH(ed->a, items, &n, &cap) =
            sconf_text(a, "LoginDisabled").n
                ? arena_printf(ed->a, "%.*s\t(disabled)", STR_FMT(a->key)) : a->key;
    editor_answer_sorted(ed, items, n);
    return true;
}

bool edit_account_addresses(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account;
    struct str *items = NULL;
    size_t n = 0, cap = 0;

    if (!editor_find_account(ed, arguments[0], &account, e))
        return false;
    SCONF_EACH (d, sconf_get(account, "Destinations"))
        *ARENA_PUSH(ed->a, items, &n, &cap) = editor_destination(ed, account, d);
    editor_answer_sorted(ed, items, n);
    return true;
}

/* --- addresses -------------------------------------------------------------------------------------- */

bool edit_address_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *account;
    struct str address = arguments[0], localpart;

    if (!editor_is_word(address, "an address", e) || !editor_parse_own(ed, address, &localpart, &domain, e) ||
        !editor_is_free(ed, address, e) || !editor_find_account(ed, arguments[1], &account, e))
        return false;
    if (!sconf_get(account, "Destinations")) {
        if (!editor_add(ed, account, STR("Destinations: nil\n"), e) ||
            !editor_find_account(ed, arguments[1], &account, e))
            return false;
    }
    return editor_add(ed, sconf_get(account, "Destinations"),
               arena_printf(ed->a, "%.*s: nil\n", STR_FMT(address)), e);
}

// Where an address is a member of an alias; NULL when nowhere.
static const struct sconf_node *find_membership(struct config_editor *ed, struct str address,
                                                const struct sconf_node **alias)
{
    struct own_address wanted;
    struct err e = {0};

    if (!editor_find_own(ed, address, &wanted, &e))
        return NULL;
    SCONF_EACH (domain, sconf_get(ed->file.root, "Domains"))
        SCONF_EACH (a, sconf_get(domain, "Aliases"))
            SCONF_EACH (m, sconf_get(a, "Addresses"))
                if (editor_is_same_address(&wanted, m->value)) {
                    *alias = a;
                    return m;
                }
    return NULL;
}

// Out of all aliases; an alias without anyone would be none.
static bool leave_aliases(struct config_editor *ed, struct str address, struct err *e)
{
    const struct sconf_node *alias, *member;

    while ((member = find_membership(ed, address, &alias))) {
        if (sconf_get(alias, "Addresses")->child == member && !member->next)
            return fail(e, ERR_CONFLICT, "it is the last member of the alias \"%.*s\"",
                        STR_FMT(alias->key));
        if (!editor_remove(ed, member, e))
            return false;
    }
    return true;
}

bool edit_address_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account, *node;
    struct own_address wanted;

    if (!editor_find_destination(ed, arguments[0], &account))
        return fail(e, ERR_NOT_FOUND, "no account has the address \"%.*s\"", STR_FMT(arguments[0]));
    if (!leave_aliases(ed, arguments[0], e))
        return false;
    node = editor_find_destination(ed, arguments[0], &account);
    if (!editor_find_own(ed, arguments[0], &wanted, e))
        return false;
    SCONF_EACH (login, sconf_get(account, "FromIDLoginAddresses"))
        if (editor_is_same_address(&wanted, login->value)) {
            if (!editor_remove_from(ed, sconf_get(account, "FromIDLoginAddresses"), login, true, e))
                return false;
            node = editor_find_destination(ed, arguments[0], &account);
            break;
        }
    return editor_remove_from(ed, sconf_get(account, "Destinations"), node, false, e);
}

// Whose it is, by itself or as one of those that are nobody else's at its domain. A list is nobody's.
bool edit_address_account(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account, *domain, *alias;
    struct str localpart;
    struct err none = {0};

    if (!editor_parse_own(ed, arguments[0], &localpart, &domain, e))
        return false;
    if (!editor_find_destination(ed, arguments[0], &account)) {
        if (editor_find_alias(ed, arguments[0], &domain, &alias, &none))
            return fail(e, ERR_NOT_FOUND, "\"%.*s\" is an alias, see \"config alias print\"", STR_FMT(arguments[0]));
        if (!editor_find_destination(ed, arena_printf(ed->a, "@%.*s", STR_FMT(domain->key)), &account))
            return fail(e, ERR_NOT_FOUND, "no account has the address \"%.*s\"", STR_FMT(arguments[0]));
    }
    buf_put(&ed->answer, account->key);
    buf_put_char(&ed->answer, '\n');
    return true;
}
