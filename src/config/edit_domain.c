#include "config/edit_priv.h"
#include "text/date.h"
#include "text/idna.h"

// mox-imap-store-cli-config.md, "Default domain config". Two keys, so that there is a spare one; large
// receivers verify RSA only. The domain is written with its own letters, files of keys have its A-labels.
static void put_domain(struct config_editor *ed, struct buf *out, struct str domain, struct str ascii,
                       struct str account, bool is_disabled)
{
    AUTO_BUF stamp = BUF_LIMIT(100);
    AUTO_BUF keys = BUF_LIMIT(4096);
    struct str year;

    date_put_stamp(&stamp, ed->now_unix);
    year = str_sub(buf_str(&stamp), 0, 4);
    buf_printf(out, "%.*s:\n", STR_FMT(domain));
    if (is_disabled)
        BUF_PUT(out, "\tDisabled: true\n");
    buf_printf(out, "\tClientSettingsDomain: mail.%.*s\n\tLocalpartCatchallSeparator: +\n"
                    "\tDKIM:\n\t\tSelectors:\n", STR_FMT(domain));
    for (int i = 0; i < 2; i++) {
        struct str key = arena_printf(ed->a, "dkim/%.*s%c._domainkey.%.*s.%.*s.rsa2048.privatekey.pkcs8.pem",
                                      STR_FMT(year), 'a' + i, STR_FMT(ascii),
                                      STR_FMT(buf_str(&stamp)));

        buf_printf(out, "\t\t\t%.*s%c:\n\t\t\t\tExpiration: 72h\n\t\t\t\tPrivateKeyFile: %.*s\n",
                   STR_FMT(year), 'a' + i, STR_FMT(key));
        buf_printf(&keys, "%.*s\n", STR_FMT(key));
    }
    buf_printf(out, "\t\tSign:\n\t\t\t- %.*sa\n"
                    "\tDMARC:\n\t\tLocalpart: dmarcreports\n\t\tAccount: %.*s\n\t\tMailbox: DMARC\n"
                    "\tTLSRPT:\n\t\tLocalpart: tlsreports\n\t\tAccount: %.*s\n\t\tMailbox: TLSRPT\n",
               STR_FMT(year), STR_FMT(account), STR_FMT(account));
    if (ed->has_mtasts)
        buf_printf(out, "\tMTASTS:\n\t\tPolicyID: %.*s\n\t\tMode: enforce\n\t\tMaxAge: 24h0m0s\n"
                        "\t\tMX:\n\t\t\t- %.*s\n", STR_FMT(buf_str(&stamp)), STR_FMT(ed->hostname));
    ed->new_keys = arena_dup(ed->a, buf_str(&keys));
}

// Arguments: "true" or "false" for disabled, domain, account, and a localpart when there is no such account.
bool edit_domain_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    struct str domain, ascii, account = arguments[2], localpart = arguments[3];
    const struct sconf_node *node;
    struct err none = {0};
    bool is_new = !editor_find_account(ed, account, &node, &none);

    if (!domain_to_ascii(ed->a, arguments[1], &ascii, e) || !domain_to_unicode(ed->a, ascii, &domain, e) ||
        !editor_is_word(account, "the name of an account", e))
        return false;
    if (is_new && !localpart.n)
        return fail(e, ERR_NOT_FOUND, "no account \"%.*s\": with a localpart it is made", STR_FMT(account));
    if (!is_new && localpart.n)
        return fail(e, ERR_CONFLICT, "there is an account \"%.*s\": leave the localpart out", STR_FMT(account));
    if (editor_find_domain(ed, domain, &node, &none))
        return fail(e, ERR_CONFLICT, "there is a domain \"%.*s\"", STR_FMT(domain));
    put_domain(ed, &block, domain, ascii, account, str_eq(arguments[0], STR("true")));
    if (!sconf_get(ed->file.root, "Domains") && !editor_add(ed, ed->file.root, STR("Domains: nil\n"), e))
        return false;
    if (!editor_add(ed, sconf_get(ed->file.root, "Domains"), buf_str(&block), e))
        return false;
    if (is_new)
        return edit_account_add(ed, (struct str[]){account, arena_printf(ed->a, "%.*s@%.*s", STR_FMT(localpart),
                                                                    STR_FMT(domain))}, e);
    // That account has a mailbox of its own for the postmaster of all domains.
    return str_eq(account, ed->postmaster) ||
           edit_address_add(ed, (struct str[]){arena_printf(ed->a, "postmaster@%.*s", STR_FMT(domain)), account}, e);
}

static bool has_key_file(const struct sconf_node *domain, struct str file)
{
    SCONF_EACH (s, sconf_get(sconf_get(domain, "DKIM"), "Selectors"))
        if (str_eq(sconf_text(s, "PrivateKeyFile"), file))
            return true;
    return false;
}

// Files of keys that no other domain has.
static struct str own_key_files(struct config_editor *ed, const struct sconf_node *domain)
{
    AUTO_BUF out = BUF_LIMIT(1 << 16);

    SCONF_EACH (s, sconf_get(sconf_get(domain, "DKIM"), "Selectors")) {
        struct str file = sconf_text(s, "PrivateKeyFile");
        bool is_shared = false;

        SCONF_EACH (other, sconf_get(ed->file.root, "Domains"))
            is_shared = is_shared || (other != domain && has_key_file(other, file));
        if (!is_shared)
            buf_printf(&out, "%.*s\n", STR_FMT(file));
    }
    return arena_dup(ed->a, buf_str(&out));
}

// The default domain of an account that has no address at the present one (any more): that of one of its
// addresses, or any.
static struct str other_domain(struct config_editor *ed, const struct sconf_node *account,
                               const struct sconf_node *present)
{
    SCONF_EACH (d, sconf_get(account, "Destinations")) {
        const struct sconf_node *of = NULL;
        struct str localpart;
        struct err none = {0};

        if (editor_parse_own(ed, editor_destination(ed, account, d), &localpart, &of, &none) && of != present)
            return of->key;
    }
    SCONF_EACH (domain, sconf_get(ed->file.root, "Domains"))
        if (domain != present)
            return domain->key;
    return (struct str){0};
}

// No account keeps the domain as its default: it would have to go before the domain, which names an account
// for its reports and has to go before that.
static bool leave_domain(struct config_editor *ed, struct str name, const struct sconf_node **domain, struct err *e)
{
    const struct sconf_node *accounts = sconf_get(ed->file.root, "Accounts"), *of;

    for (const struct sconf_node *account = accounts ? accounts->child : NULL; account; account = account->next) {
        struct str key = account->key, other;
        struct err none = {0};

        if (!editor_find_domain(ed, sconf_text(account, "Domain"), &of, &none) || of != *domain)
            continue;
        other = other_domain(ed, account, *domain);
        if (!other.n)
            return fail(e, ERR_CONFLICT, "it is the only domain, and that of account \"%.*s\"", STR_FMT(key));
        if (!editor_put(ed, account, "Domain", other, e) || !editor_find_domain(ed, name, domain, e) ||
            !editor_find_account(ed, key, &account, e)) // after a change, nodes of before are gone
            return false;
    }
    return true;
}

bool edit_domain_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain;

    if (!editor_find_domain(ed, arguments[0], &domain, e))
        return false;
    SCONF_EACH (account, sconf_get(ed->file.root, "Accounts"))
        SCONF_EACH (d, sconf_get(account, "Destinations")) {
            const struct sconf_node *of = NULL;
            struct str localpart;
            struct err none = {0};

            if (editor_parse_own(ed, editor_destination(ed, account, d), &localpart, &of, &none) && of == domain)
                return fail(e, ERR_CONFLICT, "account \"%.*s\" has the address %.*s",
                            STR_FMT(account->key), STR_FMT(editor_destination(ed, account, d)));
        }
    if (!leave_domain(ed, arguments[0], &domain, e))
        return false;
    ed->old_keys = own_key_files(ed, domain);
    return editor_remove_from(ed, sconf_get(ed->file.root, "Domains"), domain, false, e);
}

bool edit_domain_disable(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *node;

    if (!editor_find_domain(ed, arguments[0], &domain, e))
        return false;
    if (str_eq(arguments[1], STR("true")))
        return editor_put(ed, domain, "Disabled", STR("true"), e);
    node = sconf_get(domain, "Disabled");
    return !node || editor_remove(ed, node, e);
}
