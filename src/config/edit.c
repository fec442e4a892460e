#include "config/edit.h"

#include <stdlib.h>

#include "config/edit_priv.h"
#include "message/header.h"
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

static bool set(struct config_editor *ed, const struct sconf_node *node, struct str value, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(SCONF_MAX_BYTES);

    sconf_write_value(&text, &ed->file, node, value);
    return use(ed, &text, e);
}

bool editor_add(struct config_editor *ed, const struct sconf_node *parent, struct str block, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(SCONF_MAX_BYTES);

    sconf_write_added(&text, &ed->file, parent, block);
    return use(ed, &text, e);
}

bool editor_remove(struct config_editor *ed, const struct sconf_node *node, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(SCONF_MAX_BYTES);

    sconf_write_removed(&text, &ed->file, node);
    return use(ed, &text, e);
}

bool editor_put(struct config_editor *ed, const struct sconf_node *parent, const char *key, struct str value,
                struct err *e)
{
    const struct sconf_node *node = sconf_get(parent, key);

    if (node)
        return set(ed, node, value, e);
    return editor_add(ed, parent, arena_printf(ed->a, "%s: %.*s\n", key, STR_FMT(value)), e);
}

bool editor_remove_from(struct config_editor *ed, const struct sconf_node *parent,
                        const struct sconf_node *node, bool is_optional, struct err *e)
{
    if (parent->child == node && !node->next)
        return is_optional ? editor_remove(ed, parent, e) : set(ed, parent, STR("nil"), e);
    return editor_remove(ed, node, e);
}

/* --- finding ------------------------------------------------------------------------------------------ */

const struct sconf_node *editor_child(const struct sconf_node *parent, struct str key)
{
    SCONF_EACH (n, parent)
        if (!n->is_item && str_eq(n->key, key))
            return n;
    return NULL;
}

bool editor_find_account(struct config_editor *ed, struct str name, const struct sconf_node **out,
                         struct err *e)
{
    *out = editor_child(sconf_get(ed->file.root, "Accounts"), name);
    return *out || fail(e, ERR_NOT_FOUND, "no account \"%.*s\"", STR_FMT(name));
}

bool editor_find_domain(struct config_editor *ed, struct str name, const struct sconf_node **out,
                        struct err *e)
{
    struct config c = {.domains = ed->file};

    *out = domain_node(&c, ed->a, name);
    return *out || fail(e, ERR_NOT_FOUND, "no domain \"%.*s\"", STR_FMT(name));
}

bool editor_parse_own(struct config_editor *ed, struct str text, struct str *localpart,
                      const struct sconf_node **domain, struct err *e)
{
    struct address address = {0};

    if (str_starts(text, STR("@")))
        address.domain = str_from(text, 1);
    else if (!address_parse_spec(ed->a, text, &address) || !address.domain.n)
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no address", STR_FMT(text));
    *localpart = address.localpart;
    return editor_find_domain(ed, address.domain, domain, e);
}

bool editor_find_own(struct config_editor *ed, struct str text, struct own_address *out, struct err *e)
{
    *out = (struct own_address){0};
    if (!editor_parse_own(ed, text, &out->localpart, &out->domain, e) ||
        !domain_to_ascii(ed->a, out->domain->key, &out->ascii, e))
        return false;
    if (out->localpart.n)
        out->localpart = localpart_canonical(ed->a, out->domain, out->localpart);
    return true;
}

bool editor_is_same_address(const struct own_address *wanted, struct str text)
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

struct str editor_destination(struct config_editor *ed, const struct sconf_node *account,
                              const struct sconf_node *node)
{
    if (str_find(node->key, '@') >= 0)
        return node->key;
    return arena_printf(ed->a, "%.*s@%.*s", STR_FMT(node->key),
                        STR_FMT(sconf_text(account, "Domain")));
}

const struct sconf_node *editor_find_destination(struct config_editor *ed, struct str address,
                                                 const struct sconf_node **account)
{
    struct own_address wanted;
    struct err e = {0};

    if (!editor_find_own(ed, address, &wanted, &e))
        return NULL;
    SCONF_EACH (a, sconf_get(ed->file.root, "Accounts"))
        SCONF_EACH (n, sconf_get(a, "Destinations"))
            if (editor_is_same_address(&wanted, editor_destination(ed, a, n))) {
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
        return editor_find_own(ed, what, &wanted, &e) && editor_is_same_address(&wanted, address);
    return editor_find_domain(ed, what, &domain, &e) && editor_parse_own(ed, address, &localpart, &of, &e) && of == domain;
}

struct str config_editor_sole_owner(struct config_editor *ed, struct str address)
{
    const struct sconf_node *account, *other;
    struct str domain = str_from(address, (size_t)(str_find_last(address, '@') + 1));

    if (!editor_find_destination(ed, address, &account) ||
        (editor_find_destination(ed, arena_printf(ed->a, "@%.*s", STR_FMT(domain)), &other) && other == account))
        return STR("");
    return account->key;
}

bool editor_find_alias(struct config_editor *ed, struct str address, const struct sconf_node **domain,
                       const struct sconf_node **out, struct err *e)
{
    struct str localpart;

    if (!editor_parse_own(ed, address, &localpart, domain, e))
        return false;
    SCONF_EACH (n, sconf_get(*domain, "Aliases"))
        if (str_eq(localpart_canonical(ed->a, *domain, n->key),
                   localpart_canonical(ed->a, *domain, localpart))) {
            *out = n;
            return true;
        }
    return fail(e, ERR_NOT_FOUND, "no alias \"%.*s\"", STR_FMT(address));
}

bool editor_is_word(struct str text, const char *what, struct err *e)
{
    if (!text.n || text.p[0] == '-' || text.p[0] == '#' || str_find(text, ':') >= 0 ||
        str_find(text, ' ') >= 0)
        return fail(e, ERR_SYNTAX, "\"%.*s\" cannot be %s", STR_FMT(text), what);
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
            return fail(e, ERR_SYNTAX, "%s has no control characters", what);
    return true;
}

bool editor_is_free(struct config_editor *ed, struct str address, struct err *e)
{
    const struct sconf_node *account, *domain, *alias;
    struct err none = {0};

    if (editor_find_destination(ed, address, &account))
        return fail(e, ERR_CONFLICT, "\"%.*s\" is an address of account \"%.*s\"",
                    STR_FMT(address), STR_FMT(account->key));
    if (editor_find_alias(ed, address, &domain, &alias, &none))
        return fail(e, ERR_CONFLICT, "\"%.*s\" is an alias", STR_FMT(address));
    return true;
}

/* --- answering ----------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void editor_answer_sorted(struct config_editor *ed, struct str *items, size_t n)
{
    if (n)
        qsort(items, n, sizeof *items, by_text);
    for (size_t i = 0; i < n; i++) {
        buf_put(&ed->answer, items[i]);
        buf_put_char(&ed->answer, '\n');
    }
}

static const struct config_edit edits[] = {
    {STR_("accountadd"), 2, false, false, edit_account_add},
    {STR_("accountrm"), 1, false, false, edit_account_rm},
    {STR_("accountdisabled"), 2, false, false, edit_account_disable},
    {STR_("accountenable"), 1, false, false, edit_account_enable},
    {STR_("accountlist"), 0, true, false, edit_account_list},
    {STR_("accountaddresses"), 1, true, false, edit_account_addresses},
    {STR_("addressadd"), 2, false, false, edit_address_add},
    {STR_("addressrm"), 1, false, true, edit_address_rm},
    {STR_("addressaccount"), 1, true, false, edit_address_account},
    {STR_("domainadd"), 4, false, false, edit_domain_add},
    {STR_("domainrm"), 1, false, true, edit_domain_rm},
    {STR_("domaindisabled"), 2, false, false, edit_domain_disable},
    {STR_("aliaslist"), 1, true, false, edit_alias_list},
    {STR_("aliasprint"), 1, true, false, edit_alias_print},
    {STR_("aliasadd"), 2, false, false, edit_alias_add},
    {STR_("aliasupdate"), 4, false, false, edit_alias_update},
    {STR_("aliasrm"), 1, false, false, edit_alias_rm},
    {STR_("aliasaddaddr"), 2, false, false, edit_alias_add_addresses},
    {STR_("aliasrmaddr"), 2, false, false, edit_alias_rm_addresses},
};

const struct config_edit *config_edit_of(struct str name)
{
    for (size_t i = 0; i < COUNT(edits); i++)
        if (str_eq(edits[i].name, name))
            return &edits[i];
    return NULL;
}
