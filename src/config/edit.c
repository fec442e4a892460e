#include "config/edit.h"

#include <stdlib.h>

#include "config/config_priv.h"
#include "message/header.h"
#include "text/date.h"
#include "text/idna.h"

// Of the largest file: its text and its tree.
enum { TREE_BYTES = 192 << 20 };

bool config_editor_begin(struct config_editor *ed, struct arena *a, struct str text, struct err *e)
{
    AUTO_BUF lines = BUF_LIMIT(1 << 16);
    struct problems problems = {.out = &lines};

    *ed = (struct config_editor){.a = a, .answer = BUF_LIMIT(1 << 20),
                                 .trees = {ARENA_LIMIT(TREE_BYTES), ARENA_LIMIT(TREE_BYTES)}};
    sconf_parse(&ed->trees[0], STR("domains.conf"), text, &ed->file, &problems);
    if (!problems.n)
        return true;
    return fail(e, ERR_SYNTAX, "domains.conf has errors, see \"mox config test\"");
}

void config_editor_end(struct config_editor *ed)
{
    buf_fini(&ed->answer);
    arena_fini(&ed->trees[0]);
    arena_fini(&ed->trees[1]);
}

/* --- making changes --------------------------------------------------------------------------------- */

// The text is another now: the tree is made anew, in place of the one before the last. Nodes that were
// found before are not to be used any more.
static bool use(struct config_editor *ed, struct buf *text, struct err *e)
{
    AUTO_BUF lines = BUF_LIMIT(1 << 16);
    struct problems problems = {.out = &lines};
    struct arena *tree = &ed->trees[!ed->at];

    if (text->full)
        return fail(e, ERR_LIMIT, "domains.conf would become too large");
    arena_reset(tree);
    ed->at = !ed->at;
    sconf_parse(tree, ed->file.name, arena_dup(tree, buf_str(text)), &ed->file, &problems);
    return !problems.n || fail(e, ERR_SYNTAX, "%.*s", STR_FMT(str_trim(buf_str(&lines))));
}

static bool set(struct config_editor *ed, const struct sconf_node *node, struct str value,
                struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(SCONF_MAX_BYTES);

    sconf_write_value(&text, &ed->file, node, value);
    return use(ed, &text, e);
}

static bool add(struct config_editor *ed, const struct sconf_node *parent, struct str block,
                struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(SCONF_MAX_BYTES);

    sconf_write_added(&text, &ed->file, parent, block);
    return use(ed, &text, e);
}

static bool take_away(struct config_editor *ed, const struct sconf_node *node, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(SCONF_MAX_BYTES);

    sconf_write_removed(&text, &ed->file, node);
    return use(ed, &text, e);
}

// A child of that key gets a value, or is made.
static bool put(struct config_editor *ed, const struct sconf_node *parent, const char *key,
                struct str value, struct err *e)
{
    const struct sconf_node *node = sconf_get(parent, key);

    if (node)
        return set(ed, node, value, e);
    return add(ed, parent, arena_printf(ed->a, "%s: %.*s\n", key, STR_FMT(value)), e);
}

// The last entry of a block goes with the block, when it may be left out.
static bool take_away_from(struct config_editor *ed, const struct sconf_node *parent,
                           const struct sconf_node *node, bool is_optional, struct err *e)
{
    if (parent->child == node && !node->next)
        return is_optional ? take_away(ed, parent, e) : set(ed, parent, STR("nil"), e);
    return take_away(ed, node, e);
}

/* --- finding ------------------------------------------------------------------------------------------ */

static const struct sconf_node *child_of(const struct sconf_node *parent, struct str key)
{
    SCONF_EACH (n, parent)
        if (!n->is_item && str_eq(n->key, key))
            return n;
    return NULL;
}

static bool find_account(struct config_editor *ed, struct str name, const struct sconf_node **out,
                         struct err *e)
{
    *out = child_of(sconf_get(ed->file.root, "Accounts"), name);
    return *out || fail(e, ERR_NOT_FOUND, "no account \"%.*s\"", STR_FMT(name));
}

static bool find_domain(struct config_editor *ed, struct str name, const struct sconf_node **out,
                        struct err *e)
{
    struct config c = {.domains = ed->file};

    *out = domain_node(&c, ed->a, name);
    return *out || fail(e, ERR_NOT_FOUND, "no domain \"%.*s\"", STR_FMT(name));
}

// An address of ours, or "@domain": localpart is empty then.
static bool parse_own(struct config_editor *ed, struct str text, struct str *localpart,
                      const struct sconf_node **domain, struct err *e)
{
    struct address address = {0};

    if (str_starts(text, STR("@")))
        address.domain = str_from(text, 1);
    else if (!address_parse_spec(ed->a, text, &address) || !address.domain.n)
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no address", STR_FMT(text));
    *localpart = address.localpart;
    return find_domain(ed, address.domain, domain, e);
}

// An address that others are compared with.
struct own_address {
    struct str localpart, ascii; // canonical, empty for "@domain"; the domain in A-labels
    const struct sconf_node *domain;
};

static bool find_own(struct config_editor *ed, struct str text, struct own_address *out,
                     struct err *e)
{
    *out = (struct own_address){0};
    if (!parse_own(ed, text, &out->localpart, &out->domain, e) ||
        !domain_to_ascii(ed->a, out->domain->key, &out->ascii, e))
        return false;
    if (out->localpart.n)
        out->localpart = localpart_canonical(ed->a, out->domain, out->localpart);
    return true;
}

// As the directory compares addresses. There may be many thousand, and most are told apart by their domains.
static bool is_same_address(const struct own_address *wanted, struct str text)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct address address = {0};
    ptrdiff_t at = str_find_last(text, '@');
    struct str domain = str_from(text, (size_t)(at + 1)), ascii = domain;
    struct err e = {0};

    if (at < 0 || (!str_is_ascii(domain) && !domain_to_ascii(&a, domain, &ascii, &e)) ||
        (!str_eq_ci(ascii, wanted->ascii) && !str_eq_ci(ascii, wanted->domain->key)))
        return false;
    if (!at || !wanted->localpart.n)
        return !at && !wanted->localpart.n;
    return address_parse_spec(&a, text, &address) &&
           str_eq(localpart_canonical(&a, wanted->domain, address.localpart), wanted->localpart);
}

// The address of a key of Destinations: old files have localparts alone.
static struct str destination(struct config_editor *ed, const struct sconf_node *account,
                              const struct sconf_node *node)
{
    if (str_find(node->key, '@') >= 0)
        return node->key;
    return arena_printf(ed->a, "%.*s@%.*s", STR_FMT(node->key),
                        STR_FMT(sconf_text(account, "Domain")));
}

// Whose an address is: its entry and account. NULL for nobody's.
static const struct sconf_node *find_destination(struct config_editor *ed, struct str address,
                                                 const struct sconf_node **account)
{
    struct own_address wanted;
    struct err e = {0};

    if (!find_own(ed, address, &wanted, &e))
        return NULL;
    SCONF_EACH (a, sconf_get(ed->file.root, "Accounts"))
        SCONF_EACH (n, sconf_get(a, "Destinations"))
            if (is_same_address(&wanted, destination(ed, a, n))) {
                *account = a;
                return n;
            }
    return NULL;
}

bool config_editor_is(struct config_editor *ed, struct str what, struct str address)
{
    const struct sconf_node *of = NULL, *domain = NULL;
    struct own_address wanted;
    struct str localpart;
    struct err e = {0};

    if (str_find(what, '@') >= 0)
        return find_own(ed, what, &wanted, &e) && is_same_address(&wanted, address);
    return find_domain(ed, what, &domain, &e) && parse_own(ed, address, &localpart, &of, &e) && of == domain;
}

struct str config_editor_sole_owner(struct config_editor *ed, struct str address)
{
    const struct sconf_node *account, *other;
    struct str domain = str_from(address, (size_t)(str_find_last(address, '@') + 1));

    if (!find_destination(ed, address, &account) ||
        (find_destination(ed, arena_printf(ed->a, "@%.*s", STR_FMT(domain)), &other) && other == account))
        return STR("");
    return account->key;
}

static bool find_alias(struct config_editor *ed, struct str address,
                       const struct sconf_node **domain, const struct sconf_node **out,
                       struct err *e)
{
    struct str localpart;

    if (!parse_own(ed, address, &localpart, domain, e))
        return false;
    SCONF_EACH (n, sconf_get(*domain, "Aliases"))
        if (str_eq(localpart_canonical(ed->a, *domain, n->key),
                   localpart_canonical(ed->a, *domain, localpart))) {
            *out = n;
            return true;
        }
    return fail(e, ERR_NOT_FOUND, "no alias \"%.*s\"", STR_FMT(address));
}

// What becomes a key or value: one line, and nothing that means something else there.
static bool is_word(struct str text, const char *what, struct err *e)
{
    if (!text.n || text.p[0] == '-' || text.p[0] == '#' || str_find(text, ':') >= 0 ||
        str_find(text, ' ') >= 0)
        return fail(e, ERR_SYNTAX, "\"%.*s\" cannot be %s", STR_FMT(text), what);
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
            return fail(e, ERR_SYNTAX, "%s has no control characters", what);
    return true;
}

/* --- accounts --------------------------------------------------------------------------------------- */

void config_put_account(struct buf *out, unsigned indent, struct str domain, struct str address)
{
    static const char *const lines[] = {
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

static bool is_free(struct config_editor *ed, struct str address, struct err *e)
{
    const struct sconf_node *account, *domain, *alias;
    struct err none = {0};

    if (find_destination(ed, address, &account))
        return fail(e, ERR_CONFLICT, "\"%.*s\" is an address of account \"%.*s\"",
                    STR_FMT(address), STR_FMT(account->key));
    if (find_alias(ed, address, &domain, &alias, &none))
        return fail(e, ERR_CONFLICT, "\"%.*s\" is an alias", STR_FMT(address));
    return true;
}

static bool account_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    const struct sconf_node *domain;
    struct str name = arguments[0], address = arguments[1], localpart;

    if (!is_word(name, "the name of an account", e) || !is_word(address, "an address", e) ||
        !parse_own(ed, address, &localpart, &domain, e) || !is_free(ed, address, e))
        return false;
    if (child_of(sconf_get(ed->file.root, "Accounts"), name))
        return fail(e, ERR_CONFLICT, "there is an account \"%.*s\"", STR_FMT(name));
    ed->added_account = name;
    buf_printf(&block, "%.*s:\n", STR_FMT(name));
    config_put_account(&block, 1, domain->key, address);
    return (sconf_get(ed->file.root, "Accounts") || add(ed, ed->file.root, STR("Accounts: nil\n"), e)) &&
           add(ed, sconf_get(ed->file.root, "Accounts"), buf_str(&block), e);
}

static bool account_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account;

    ed->removed_account = arguments[0];
    return find_account(ed, arguments[0], &account, e) &&
           take_away_from(ed, sconf_get(ed->file.root, "Accounts"), account, false, e);
}

static bool account_disable(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account;

    if (!find_account(ed, arguments[0], &account, e))
        return false;
    return arguments[1].n ? put(ed, account, "LoginDisabled", arguments[1], e)
                          : fail(e, ERR_SYNTAX, "a message for those who try to log in is needed");
}

static bool account_enable(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account, *node;

    if (!find_account(ed, arguments[0], &account, e))
        return false;
    node = sconf_get(account, "LoginDisabled");
    return !node || take_away(ed, node, e);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

// Lines, sorted.
static void answer_sorted(struct config_editor *ed, struct str *items, size_t n)
{
    if (n)
        qsort(items, n, sizeof *items, by_text);
    for (size_t i = 0; i < n; i++) {
        buf_put(&ed->answer, items[i]);
        buf_put_char(&ed->answer, '\n');
    }
}

static bool account_list(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    struct str *items = NULL;
    size_t n = 0, cap = 0;

    (void)arguments, (void)e;
    SCONF_EACH (a, sconf_get(ed->file.root, "Accounts"))
        *ARENA_PUSH(ed->a, items, &n, &cap) =
            sconf_text(a, "LoginDisabled").n
                ? arena_printf(ed->a, "%.*s\t(disabled)", STR_FMT(a->key)) : a->key;
    answer_sorted(ed, items, n);
    return true;
}

static bool account_addresses(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account;
    struct str *items = NULL;
    size_t n = 0, cap = 0;

    if (!find_account(ed, arguments[0], &account, e))
        return false;
    SCONF_EACH (d, sconf_get(account, "Destinations"))
        *ARENA_PUSH(ed->a, items, &n, &cap) = destination(ed, account, d);
    answer_sorted(ed, items, n);
    return true;
}

/* --- addresses -------------------------------------------------------------------------------------- */

static bool address_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *account;
    struct str address = arguments[0], localpart;

    if (!is_word(address, "an address", e) || !parse_own(ed, address, &localpart, &domain, e) ||
        !is_free(ed, address, e) || !find_account(ed, arguments[1], &account, e))
        return false;
    if (!sconf_get(account, "Destinations")) {
        if (!add(ed, account, STR("Destinations: nil\n"), e) ||
            !find_account(ed, arguments[1], &account, e))
            return false;
    }
    return add(ed, sconf_get(account, "Destinations"),
               arena_printf(ed->a, "%.*s: nil\n", STR_FMT(address)), e);
}

// Where an address is a member of an alias; NULL when nowhere.
static const struct sconf_node *find_membership(struct config_editor *ed, struct str address,
                                                const struct sconf_node **alias)
{
    struct own_address wanted;
    struct err e = {0};

    if (!find_own(ed, address, &wanted, &e))
        return NULL;
    SCONF_EACH (domain, sconf_get(ed->file.root, "Domains"))
        SCONF_EACH (a, sconf_get(domain, "Aliases"))
            SCONF_EACH (m, sconf_get(a, "Addresses"))
                if (is_same_address(&wanted, m->value)) {
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
        if (!take_away(ed, member, e))
            return false;
    }
    return true;
}

static bool address_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account, *node;
    struct own_address wanted;

    if (!find_destination(ed, arguments[0], &account))
        return fail(e, ERR_NOT_FOUND, "no account has the address \"%.*s\"", STR_FMT(arguments[0]));
    if (!leave_aliases(ed, arguments[0], e))
        return false;
    node = find_destination(ed, arguments[0], &account);
    if (!find_own(ed, arguments[0], &wanted, e))
        return false;
    SCONF_EACH (login, sconf_get(account, "FromIDLoginAddresses"))
        if (is_same_address(&wanted, login->value)) {
            if (!take_away_from(ed, sconf_get(account, "FromIDLoginAddresses"), login, true, e))
                return false;
            node = find_destination(ed, arguments[0], &account);
            break;
        }
    return take_away_from(ed, sconf_get(account, "Destinations"), node, false, e);
}

// Whose it is, by itself or as one of those that are nobody else's at its domain. A list is nobody's.
static bool address_account(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *account, *domain, *alias;
    struct str localpart;
    struct err none = {0};

    if (!parse_own(ed, arguments[0], &localpart, &domain, e))
        return false;
    if (!find_destination(ed, arguments[0], &account)) {
        if (find_alias(ed, arguments[0], &domain, &alias, &none))
            return fail(e, ERR_NOT_FOUND, "\"%.*s\" is an alias, see \"config alias print\"", STR_FMT(arguments[0]));
        if (!find_destination(ed, arena_printf(ed->a, "@%.*s", STR_FMT(domain->key)), &account))
            return fail(e, ERR_NOT_FOUND, "no account has the address \"%.*s\"", STR_FMT(arguments[0]));
    }
    buf_put(&ed->answer, account->key);
    buf_put_char(&ed->answer, '\n');
    return true;
}

/* --- domains ---------------------------------------------------------------------------------------- */

// mox-imap-store-cli-config.md, "Default domain config". Two keys, so that there is a spare one; large
// receivers verify RSA only.
static void put_domain(struct config_editor *ed, struct buf *out, struct str domain, struct str account,
                       bool is_disabled)
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
                                      STR_FMT(year), 'a' + i, STR_FMT(domain),
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
static bool domain_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    struct str domain, account = arguments[2], localpart = arguments[3];
    const struct sconf_node *node;
    struct err none = {0};
    bool is_new = !find_account(ed, account, &node, &none);

    if (!domain_to_ascii(ed->a, arguments[1], &domain, e) || !is_word(account, "the name of an account", e))
        return false;
    if (is_new && !localpart.n)
        return fail(e, ERR_NOT_FOUND, "no account \"%.*s\": with a localpart it is made", STR_FMT(account));
    if (!is_new && localpart.n)
        return fail(e, ERR_CONFLICT, "there is an account \"%.*s\": leave the localpart out", STR_FMT(account));
    if (find_domain(ed, domain, &node, &none))
        return fail(e, ERR_CONFLICT, "there is a domain \"%.*s\"", STR_FMT(domain));
    put_domain(ed, &block, domain, account, str_eq(arguments[0], STR("true")));
    if (!sconf_get(ed->file.root, "Domains") && !add(ed, ed->file.root, STR("Domains: nil\n"), e))
        return false;
    if (!add(ed, sconf_get(ed->file.root, "Domains"), buf_str(&block), e))
        return false;
    if (is_new)
        return account_add(ed, (struct str[]){account, arena_printf(ed->a, "%.*s@%.*s", STR_FMT(localpart),
                                                                    STR_FMT(domain))}, e);
    // That account has a mailbox of its own for the postmaster of all domains.
    return str_eq(account, ed->postmaster) ||
           address_add(ed, (struct str[]){arena_printf(ed->a, "postmaster@%.*s", STR_FMT(domain)), account}, e);
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

static bool domain_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain;

    if (!find_domain(ed, arguments[0], &domain, e))
        return false;
    SCONF_EACH (account, sconf_get(ed->file.root, "Accounts"))
        SCONF_EACH (d, sconf_get(account, "Destinations")) {
            const struct sconf_node *of = NULL;
            struct str localpart;
            struct err none = {0};

            if (parse_own(ed, destination(ed, account, d), &localpart, &of, &none) && of == domain)
                return fail(e, ERR_CONFLICT, "account \"%.*s\" has the address %.*s",
                            STR_FMT(account->key), STR_FMT(destination(ed, account, d)));
        }
    ed->old_keys = own_key_files(ed, domain);
    return take_away_from(ed, sconf_get(ed->file.root, "Domains"), domain, false, e);
}

static bool domain_disable(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *node;

    if (!find_domain(ed, arguments[0], &domain, e))
        return false;
    if (str_eq(arguments[1], STR("true")))
        return put(ed, domain, "Disabled", STR("true"), e);
    node = sconf_get(domain, "Disabled");
    return !node || take_away(ed, node, e);
}

/* --- aliases ---------------------------------------------------------------------------------------- */

static bool alias_list(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain;
    struct str *items = NULL;
    size_t n = 0, cap = 0;

    if (!find_domain(ed, arguments[0], &domain, e))
        return false;
    SCONF_EACH (alias, sconf_get(domain, "Aliases"))
        *ARENA_PUSH(ed->a, items, &n, &cap) =
            arena_printf(ed->a, "%.*s@%.*s", STR_FMT(alias->key), STR_FMT(domain->key));
    answer_sorted(ed, items, n);
    return true;
}

static bool alias_print(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *alias;

    if (!find_alias(ed, arguments[0], &domain, &alias, e))
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
static bool put_members(struct config_editor *ed, struct buf *out, struct str addresses,
                        const char *indent, struct err *e)
{
    struct str rest = str_trim(addresses), one;

    while (str_next(&rest, ' ', &one)) {
        const struct sconf_node *account, *domain;
        struct err ignored = {0};

        if (!is_word(one, "an address", e))
            return false;
        // One at a domain of another server gets messages passed on.
        if (!find_destination(ed, one, &account) &&
            find_domain(ed, str_from(one, (size_t)(str_find_last(one, '@') + 1)), &domain, &ignored))
            return fail(e, ERR_NOT_FOUND, "no account has the address \"%.*s\"", STR_FMT(one));
        buf_printf(out, "%s- %.*s\n", indent, STR_FMT(one));
    }
    return true;
}

static bool alias_add(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    const struct sconf_node *domain;
    struct str localpart;

    if (!is_word(arguments[0], "an alias", e) ||
        !parse_own(ed, arguments[0], &localpart, &domain, e) || !is_free(ed, arguments[0], e))
        return false;
    if (!localpart.n)
        return fail(e, ERR_SYNTAX, "an alias has a localpart");
    buf_printf(&block, "%.*s:\n\tAddresses:\n", STR_FMT(localpart));
    if (!put_members(ed, &block, arguments[1], "\t\t", e))
        return false;
    BUF_PUT(&block, "\tPostPublic: true\n");
    if (!sconf_get(domain, "Aliases")) {
        if (!add(ed, domain, STR("Aliases: nil\n"), e) ||
            !parse_own(ed, arguments[0], &localpart, &domain, e))
            return false;
    }
    return add(ed, sconf_get(domain, "Aliases"), buf_str(&block), e);
}

// "true", "false", or empty for what stays as it is.
static bool alias_update(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    static const char *const keys[] = {"PostPublic", "ListMembers", "AllowMsgFrom"};
    const struct sconf_node *domain, *alias;

    for (size_t i = 0; i < COUNT(keys); i++) {
        const struct sconf_node *node;

        if (!find_alias(ed, arguments[0], &domain, &alias, e))
            return false;
        node = sconf_get(alias, keys[i]);
        if (str_eq(arguments[i + 1], STR("true"))) {
            if (!put(ed, alias, keys[i], STR("true"), e))
                return false;
        } else if (str_eq(arguments[i + 1], STR("false"))) {
            if (node && !take_away(ed, node, e))
                return false;
        } else if (arguments[i + 1].n) {
            return fail(e, ERR_SYNTAX, "\"%.*s\" is neither true nor false",
                        STR_FMT(arguments[i + 1]));
        }
    }
    return true;
}

static bool alias_rm(struct config_editor *ed, const struct str *arguments, struct err *e)
{
    const struct sconf_node *domain, *alias;

    return find_alias(ed, arguments[0], &domain, &alias, e) &&
           take_away_from(ed, sconf_get(domain, "Aliases"), alias, true, e);
}

static bool alias_add_addresses(struct config_editor *ed, const struct str *arguments,
                                struct err *e)
{
    AUTO_BUF block = BUF_LIMIT(1 << 16);
    const struct sconf_node *domain, *alias;

    return find_alias(ed, arguments[0], &domain, &alias, e) &&
           put_members(ed, &block, arguments[1], "", e) &&
           add(ed, sconf_get(alias, "Addresses"), buf_str(&block), e);
}

static bool alias_rm_addresses(struct config_editor *ed, const struct str *arguments,
                               struct err *e)
{
    const struct sconf_node *domain, *alias;
    struct str rest = str_trim(arguments[1]), one;

    while (str_next(&rest, ' ', &one)) {
        const struct sconf_node *found = NULL, *members;
        struct own_address wanted;
        struct err elsewhere = {0};
        bool is_own;

        if (!find_alias(ed, arguments[0], &domain, &alias, e))
            return false;
        is_own = find_own(ed, one, &wanted, &elsewhere);
        members = sconf_get(alias, "Addresses");
        SCONF_EACH (m, members)
            if (str_eq(m->value, one) || (is_own && is_same_address(&wanted, m->value)))
                found = m;
        if (!found)
            return fail(e, ERR_NOT_FOUND, "\"%.*s\" is no member", STR_FMT(one));
        if (members->child == found && !found->next)
            return fail(e, ERR_CONFLICT, "\"%.*s\" is the last member; remove the alias instead",
                        STR_FMT(one));
        if (!take_away(ed, found, e))
            return false;
    }
    return true;
}

static const struct config_edit edits[] = {
    {STR_("accountadd"), 2, false, false, account_add},
    {STR_("accountrm"), 1, false, false, account_rm},
    {STR_("accountdisabled"), 2, false, false, account_disable},
    {STR_("accountenable"), 1, false, false, account_enable},
    {STR_("accountlist"), 0, true, false, account_list},
    {STR_("accountaddresses"), 1, true, false, account_addresses},
    {STR_("addressadd"), 2, false, false, address_add},
    {STR_("addressrm"), 1, false, true, address_rm},
    {STR_("addressaccount"), 1, true, false, address_account},
    {STR_("domainadd"), 4, false, false, domain_add},
    {STR_("domainrm"), 1, false, true, domain_rm},
    {STR_("domaindisabled"), 2, false, false, domain_disable},
    {STR_("aliaslist"), 1, true, false, alias_list},
    {STR_("aliasprint"), 1, true, false, alias_print},
    {STR_("aliasadd"), 2, false, false, alias_add},
    {STR_("aliasupdate"), 4, false, false, alias_update},
    {STR_("aliasrm"), 1, false, false, alias_rm},
    {STR_("aliasaddaddr"), 2, false, false, alias_add_addresses},
    {STR_("aliasrmaddr"), 2, false, false, alias_rm_addresses},
};

const struct config_edit *config_edit_of(struct str name)
{
    for (size_t i = 0; i < COUNT(edits); i++)
        if (str_eq(edits[i].name, name))
            return &edits[i];
    return NULL;
}
