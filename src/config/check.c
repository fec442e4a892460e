/*
 * Reading both files, and the checks that both need.
 */
#include "config/config_priv.h"
#include "message/header.h"
#include "text/encode.h"
#include "text/idna.h"
#include "text/regex.h"

void check_domain(struct check *c, const struct sconf_node *node, struct str name)
{
    struct str ascii;
    struct err e = {0};

    if (!node)
        return;
    if (str_find_str_ci(name, STR("xn--")) == 0 || str_find_str_ci(name, STR(".xn--")) >= 0)
        problem_add(c->problems, c->file, node,
                    "write the domain \"%.*s\" with its own letters, not as xn--", STR_FMT(name));
    else if (!domain_to_ascii(c->a, name, &ascii, &e))
        problem_add(c->problems, c->file, node, "\"%.*s\": %s", STR_FMT(name), e.text);
}

void check_mailbox(struct check *c, const struct sconf_node *node, bool may_be_inbox)
{
    struct str v = node ? node->value : STR("");
    const char *wrong = NULL;

    if (!node)
        return;
    if (!v.n)
        wrong = "a mailbox name is missing";
    else if (!may_be_inbox && str_eq_ci(v, STR("Inbox")))
        wrong = "Inbox cannot be used here";
    else if (v.p[0] == '/' || v.p[v.n - 1] == '/' || str_find_str(v, STR("//")) >= 0)
        wrong = "a mailbox name cannot begin or end with a slash, or have two in a row";
    else if (v.p[0] == '#')
        wrong = "a mailbox name cannot begin with #";
    else if (!str_eq(text_nfc(c->a, v), v))
        wrong = "the mailbox name is not in Unicode normal form C";
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] < 32 || v.p[i] == 127)
            wrong = "a mailbox name cannot have control characters";
    if (wrong)
        problem_add(c->problems, c->file, node, "%s: \"%.*s\"", wrong, STR_FMT(v));
}

void check_account(struct check *c, const struct sconf_node *node)
{
    const struct sconf_node *accounts = sconf_get(c->config->domains.root, "Accounts");

    if (!node)
        return;
    SCONF_EACH (account, accounts)
        if (str_eq(account->key, node->value))
            return;
    problem_add(c->problems, c->file, node, "no account \"%.*s\" in domains.conf",
                STR_FMT(node->value));
}

void check_localpart(struct check *c, const struct sconf_node *node)
{
    struct buf text = BUF_LIMIT(2048);
    struct address address;

    if (!node)
        return;
    buf_put(&text, node->value);
    BUF_PUT(&text, "@x");
    if (!str_is_ascii(node->value))
        problem_add(c->problems, c->file, node, "localpart \"%.*s\" is not ASCII",
                    STR_FMT(node->value));
    else if (!address_parse_spec(c->a, buf_str(&text), &address))
        problem_add(c->problems, c->file, node, "\"%.*s\" is no localpart", STR_FMT(node->value));
    buf_fini(&text);
}

void check_regex(struct check *c, const struct sconf_node *node)
{
    struct err e = {0};

    if (node && !regex_check(node->value, &e))
        problem_add(c->problems, c->file, node, "regular expression: %s", e.text);
}

void check_not_negative(struct check *c, const struct sconf_node *node)
{
    if (node && str_starts(node->value, STR("-")))
        problem_add(c->problems, c->file, node, "must not be negative");
}

void check_one_of(struct check *c, const struct sconf_node *node, const char *const *names)
{
    AUTO_BUF known = BUF_LIMIT(1024);

    if (!node)
        return;
    for (size_t i = 0; names[i]; i++)
        if (str_eq(node->value, str_of(names[i])))
            return;
    for (size_t i = 0; names[i]; i++)
        buf_printf(&known, "%s%s", i ? ", " : "", names[i]);
    problem_add(c->problems, c->file, node, "unknown value \"%.*s\": %s%.*s", STR_FMT(str_sub(node->value, 0, 100)),
                names[1] ? "one of " : "it can only be ", STR_FMT(buf_str(&known)));
}

uint64_t config_quota(const struct config *c, const struct sconf_node *account)
{
    const struct sconf_node *own = sconf_get(account, "QuotaMessageSize");

    if (own && str_starts(own->value, STR("-")))
        return 0;
    return sconf_u64(account, "QuotaMessageSize",
                     sconf_u64(c->main.root, "QuotaMessageSize", 0));
}

bool config_load(struct arena *a, struct str main_name, struct str main_text,
                 struct str domains_name, struct str domains_text, struct config *out,
                 struct buf *problems)
{
    struct problems found = {problems, 0};
    struct check c = {.a = a, .config = out, .problems = &found};
    struct err e = {0};

    *out = (struct config){0};
    sconf_parse(a, main_name, main_text, &out->main, &found);
    sconf_parse(a, domains_name, domains_text, &out->domains, &found);
    // Of a file that could not be read to the end nothing more is said: what is missing may be there.
    if (!out->main.is_broken)
        schema_check(&schema_static, &out->main, &found);
    if (!out->domains.is_broken)
        schema_check(&schema_dynamic, &out->domains, &found);
    if (!out->main.is_broken && !out->domains.is_broken) {
        c.file = &out->main;
        check_static(&c);
        c.file = &out->domains;
        check_dynamic(&c);
    }
    if (!domain_to_ascii(a, sconf_text(out->main.root, "Hostname"), &out->hostname, &e))
        out->hostname = STR("");
    if (found.n > SCONF_MAX_PROBLEMS)
        buf_printf(problems, "%.*s:1: and %zu more problems\n", STR_FMT(main_name),
                   found.n - SCONF_MAX_PROBLEMS);
    return found.n == 0;
}
