#include "config/edit_priv.h"

bool edit_alias_list(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain;
    struct str *items = NULL;
    size_t n = 0, cap = 0;

    if (!editor_find_domain(ed, arguments[0], &domain, e))
        return false;
    SCONF_EACH (alias, sconf_get(domain, "Aliases"))
        *ARENA_PUSH(ed->a, items, &n, &cap) =
            arena_printf(ed->a, "%.*s@%.*s", STR_FMT(alias->key), STR_FMT(domain->key));
    editor_answer_sorted(ed, items, n);
    return true;
}

bool edit_alias_print(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *alias;

    if (!editor_find_alias(ed, arguments[0], &domain, &alias, e))
        return false;
    buf_printf(&ed->answer, "# postpublic %s\n# listmembers %s\n# allowmsgfrom %s\n# members:\n",
               sconf_bool(alias, "PostPublic") ? "true" : "false",
               sconf_bool(alias, "ListMembers") ? "true" : "false",
               sconf_bool(alias, "AllowMsgFrom") ? "true" : "false");
    SCONF_EACH (m, sconf_get(alias, "Addresses")) {
        buf_put(&ed->answer, m->value);
        buf_put_char(&ed->answer, '\n');
    }
    return true;
}

// Addresses with blanks between, as lines of a list.
static bool put_members(struct config_editor *ed, struct buf *out, struct str addresses, const char *indent,
                        struct err *e)
{
    struct str rest = str_trim(addresses), one;

    while (str_next(&rest, ' ', &one)) {
        const struct sconf_node *account, *domain;
        struct err ignored = {0};

        if (!editor_is_word(one, "an address", e))
            return false;
        // One at a domain of another server gets messages passed on.
        if (!editor_find_destination(ed, one, &account) &&
            editor_find_domain(ed, str_from(one, (size_t)(str_find_last(one, '@') + 1)), &domain, &ignored))
            return fail(e, ERR_NOT_FOUND, "no account has the address \"%.*s\"", STR_FMT(one));
        buf_printf(out, "%s- %.*s\n", indent, STR_FMT(one));
    }
    return true;
}

bool edit_alias_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    const struct sconf_node *domain;
    struct str localpart;

    if (!editor_is_word(arguments[0], "an alias", e) ||
        !editor_parse_own(ed, arguments[0], &localpart, &domain, e) || !editor_is_free(ed, arguments[0], e))
        return false;
    if (!localpart.n)
        return fail(e, ERR_SYNTAX, "an alias has a localpart");
    buf_printf(&block, "%.*s:\n\tAddresses:\n", STR_FMT(localpart));
    if (!put_members(ed, &block, arguments[1], "\t\t", e))
        return false;
    BUF_PUT(&block, "\tPostPublic: true\n");
    if (!sconf_get(domain, "Aliases")) {
        if (!editor_add(ed, domain, STR("Aliases: nil\n"), e) ||
            !editor_parse_own(ed, arguments[0], &localpart, &domain, e))
            return false;
    }
    return editor_add(ed, sconf_get(domain, "Aliases"), buf_str(&block), e);
}

// "true", "false", or empty for what stays as it is.
bool edit_alias_update(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    static const char *const keys[] = {"PostPublic", "ListMembers", "AllowMsgFrom"};
    const struct sconf_node *domain, *alias;

    for (size_t i = 0; i < COUNT(keys); i++) {
        const struct sconf_node *node;

        if (!editor_find_alias(ed, arguments[0], &domain, &alias, e))
            return false;
        node = sconf_get(alias, keys[i]);
        if (str_eq(arguments[i + 1], STR("true"))) {
            if (!editor_put(ed, alias, keys[i], STR("true"), e))
                return false;
        } else if (str_eq(arguments[i + 1], STR("false"))) {
            if (node && !editor_remove(ed, node, e))
                return false;
        } else if (arguments[i + 1].n) {
            return fail(e, ERR_SYNTAX, "\"%.*s\" is neither true nor false",
                        STR_FMT(arguments[i + 1]));
        }
    }
    return true;
}

bool edit_alias_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *alias;

    return editor_find_alias(ed, arguments[0], &domain, &alias, e) &&
           editor_remove_from(ed, sconf_get(domain, "Aliases"), alias, true, e);
}

bool edit_alias_add_addresses(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    const struct sconf_node *domain, *alias;

    return editor_find_alias(ed, arguments[0], &domain, &alias, e) &&
           put_members(ed, &block, arguments[1], "", e) &&
           editor_add(ed, sconf_get(alias, "Addresses"), buf_str(&block), e);
}

bool edit_alias_rm_addresses(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *alias;
    struct str rest = str_trim(arguments[1]), one;

    while (str_next(&rest, ' ', &one)) {
        const struct sconf_node *found = NULL, *members;
        struct own_address wanted;
        struct err elsewhere = {0};
        bool is_own;

        if (!editor_find_alias(ed, arguments[0], &domain, &alias, e))
            return false;
        is_own = editor_find_own(ed, one, &wanted, &elsewhere);
        members = sconf_get(alias, "Addresses");
        SCONF_EACH (m, members)
            if (str_eq(m->value, one) || (is_own && editor_is_same_address(&wanted, m->value)))
                found = m;
        if (!found)
            return fail(e, ERR_NOT_FOUND, "\"%.*s\" is no member", STR_FMT(one));
        if (members->child == found && !found->next)
            return fail(e, ERR_CONFLICT, "\"%.*s\" is the last member; remove the alias instead",
                        STR_FMT(one));
        if (!editor_remove(ed, found, e))
            return false;
    }
    return true;
}
