/*
 * The rules of domains.conf (mox-imap-store-cli-config.md 4.6).
 */
#include "config/config_priv.h"
#include "message/header.h"
#include "text/idna.h"

static void note(struct check *c, const struct sconf_node *at, const char *text)
{
    problem_add(c->problems, c->file, at, "%s", text);
}

static void check_routes(struct check *c, const struct sconf_node *routes)
{
    const struct sconf_node *transports = sconf_get(c->config->main.root, "Transports");

    SCONF_EACH (route, routes) {
        const struct sconf_node *t = sconf_get(route, "Transport");
        bool is_known = !t;

        SCONF_EACH (n, transports)
            is_known = is_known || str_eq(n->key, t->value);
        if (!is_known)
            problem_add(c->problems, c->file, t, "no transport \"%.*s\" in mox.conf",
                        STR_FMT(t->value));
        check_not_negative(c, sconf_get(route, "MinimumAttempts"));
        for (int i = 0; i < 2; i++)
            SCONF_EACH (n, sconf_get(route, i ? "ToDomain" : "FromDomain"))
                if (!str_eq(n->value, STR(".")))
                    check_domain(c, n, str_starts(n->value, STR(".")) ? str_from(n->value, 1)
                                                                      : n->value);
    }
}

// Root reads it for whoever may change domains.conf. The monitor looks at symbolic links, too.
static void check_key_file(struct check *c, const struct sconf_node *selector, const struct sconf_node *file)
{
    struct str rest = file ? file->value : STR(""), part;
    bool leads_out = str_starts(rest, STR("/"));

    if (!rest.n)
        note(c, selector, "PrivateKeyFile is empty");
    while (str_next(&rest, '/', &part))
        leads_out = leads_out || str_eq(part, STR(".."));
    if (leads_out)
        note(c, file, "PrivateKeyFile must be below the directory of the configuration: a relative path without ..");
}

static void check_dkim(struct check *c, const struct sconf_node *dkim)
{
    static const char *const hashes[] = {"sha256", "sha1", "", NULL};
    const struct sconf_node *selectors = sconf_get(dkim, "Selectors");

    SCONF_EACH (s, selectors) {
        const struct sconf_node *headers = sconf_get(s, "Headers");
        const struct sconf_node *expiration = sconf_get(s, "Expiration");
        bool has_from = !headers;
        int64_t ns;

        check_domain(c, s, s->key);
        check_one_of(c, sconf_get(s, "Hash"), hashes);
        SCONF_EACH (h, headers)
            has_from = has_from || str_eq_ci(h->value, STR("From"));
        if (!has_from)
            note(c, headers, "From must be among the signed Headers");
        if (expiration && expiration->value.n && !sconf_duration(expiration->value, &ns))
            note(c, expiration, "Expiration must be a duration such as 72h");
        check_key_file(c, s, sconf_get(s, "PrivateKeyFile"));
    }
    SCONF_EACH (n, sconf_get(dkim, "Sign")) {
        bool is_known = false;

        SCONF_EACH (s, selectors)
            is_known = is_known || str_eq(s->key, n->value);
        if (!is_known)
            problem_add(c->problems, c->file, n, "no selector \"%.*s\"", STR_FMT(n->value));
    }
}

static void check_report(struct check *c, const struct sconf_node *report)
{
    const struct sconf_node *domain = sconf_get(report, "Domain");

    check_localpart(c, sconf_get(report, "Localpart"));
    check_account(c, sconf_get(report, "Account"));
    check_mailbox(c, sconf_get(report, "Mailbox"), true);
    if (domain && domain->value.n && !domain_node(c->config, c->a, domain->value))
        problem_add(c->problems, c->file, domain, "domain \"%.*s\" is not configured",
                    STR_FMT(domain->value));
}

static void check_mtasts(struct check *c, const struct sconf_node *mtasts)
{
    static const char *const modes[] = {"none", "testing", "enforce", NULL};
    bool is_served = false;

    if (!mtasts)
        return;
    SCONF_EACH (l, sconf_get(c->config->main.root, "Listeners"))
        is_served = is_served || sconf_bool(sconf_get(l, "MTASTSHTTPS"), "Enabled");
    if (!is_served)
        note(c, mtasts, "MTASTS needs a listener with MTASTSHTTPS in mox.conf");
    if (!sconf_text(mtasts, "PolicyID").n)
        note(c, mtasts, "PolicyID is empty");
    check_one_of(c, sconf_get(mtasts, "Mode"), modes);
    check_not_negative(c, sconf_get(mtasts, "MaxAge"));
    SCONF_EACH (n, sconf_get(mtasts, "MX"))
        check_domain(c, n, str_starts(n->value, STR("*.")) ? str_from(n->value, 2) : n->value);
}

static bool has_separator(const struct sconf_node *domain, struct str localpart)
{
    struct str separators[MAX_SEPARATORS];
    size_t n = domain_separators(domain, separators);

    for (size_t i = 0; i < n; i++)
        if (str_find_str(localpart, separators[i]) >= 0)
            return true;
    return false;
}

// An address as text; noted when it is none or its domain is not ours.
static bool parse_own(struct check *c, const struct sconf_node *at, struct str text,
                      struct address *out, const struct sconf_node **domain)
{
    if (!address_parse_spec(c->a, text, out)) {
        problem_add(c->problems, c->file, at, "\"%.*s\" is no address", STR_FMT(text));
        return false;
    }
    *domain = domain_node(c->config, c->a, out->domain);
    if (!*domain) {
        problem_add(c->problems, c->file, at, "domain of \"%.*s\" is not configured",
                    STR_FMT(text));
        return false;
    }
    return true;
}

// What names an address in the directory: canonical localpart, "@", A-labels.
static struct str address_key(struct check *c, const struct sconf_node *domain,
                              const struct address *address)
{
    struct str ascii, localpart = localpart_canonical(c->a, domain, address->localpart);
    struct err e = {0};

    if (!domain_to_ascii(c->a, address->domain, &ascii, &e))
        ascii = address->domain;
    return arena_printf(c->a, "%.*s@%.*s", STR_FMT(localpart), STR_FMT(ascii));
}

static void check_aliases(struct check *c, const struct sconf_node *domain,
                          const struct map *addresses)
{
    SCONF_EACH (alias, sconf_get(domain, "Aliases")) {
        struct address self = {.localpart = alias->key, .domain = domain->key};
        struct sconf_node key = {.value = alias->key, .line = alias->line};
        const struct sconf_node *own;
        struct map seen = {0};
        size_t n_members = 0;

        check_localpart(c, &key);
        if (has_separator(domain, alias->key))
            note(c, alias, "an alias cannot have the catchall separator");
        if (map_get(addresses, address_key(c, domain, &self)))
            note(c, alias, "there is an account with this address");
        SCONF_EACH (n, sconf_get(alias, "Addresses")) {
            struct address member;

            n_members++;
            if (!address_parse_spec(c->a, n->value, &member)) {
                problem_add(c->problems, c->file, n, "\"%.*s\" is no address", STR_FMT(n->value));
                continue;
            }
            // One at a domain of another server gets the message passed on.
            own = domain_node(c->config, c->a, member.domain);
            if (own && !map_get(addresses, address_key(c, own, &member)))
                problem_add(c->problems, c->file, n, "no account has the address \"%.*s\"",
                            STR_FMT(n->value));
            if (map_put(&seen, own ? address_key(c, own, &member) : arena_lower(c->a, n->value), c))
                note(c, n, "the address is there twice");
        }
        if (!n_members)
            note(c, alias, "an alias needs at least one address");
        map_fini(&seen);
    }
}

static void check_domain_entry(struct check *c, const struct sconf_node *domain,
                               const struct map *addresses)
{
    const struct sconf_node *client = sconf_get(domain, "ClientSettingsDomain");
    const struct sconf_node *many = sconf_get(domain, "LocalpartCatchallSeparators");
    struct map seen = {0};

    check_domain(c, domain, domain->key);
    if (client && client->value.n)
        check_domain(c, client, client->value);
    if (many && sconf_text(domain, "LocalpartCatchallSeparator").n)
        note(c, many, "LocalpartCatchallSeparator and LocalpartCatchallSeparators exclude each "
                      "other");
    SCONF_EACH (n, many)
        if (!n->value.n || map_put(&seen, n->value, c))
            note(c, n, "separators must be different and not empty");
    map_fini(&seen);
    check_dkim(c, sconf_get(domain, "DKIM"));
    check_report(c, sconf_get(domain, "DMARC"));
    check_report(c, sconf_get(domain, "TLSRPT"));
    check_mtasts(c, sconf_get(domain, "MTASTS"));
    check_routes(c, sconf_get(domain, "Routes"));
    check_aliases(c, domain, addresses);
}

static void check_smtp_text(struct check *c, const struct sconf_node *n)
{
    if (n && (n->value.n > 256 || !str_is_ascii(n->value)))
        note(c, n, "the text must be ASCII, at most 256 bytes");
}

static void check_rulesets(struct check *c, const struct sconf_node *destination)
{
    SCONF_EACH (r, sconf_get(destination, "Rulesets")) {
        const struct sconf_node *headers = sconf_get(r, "HeadersRegexp");
        const struct sconf_node *domain = sconf_get(r, "VerifiedDomain");
        const struct sconf_node *list = sconf_get(r, "ListAllowDomain");

        check_regex(c, sconf_get(r, "SMTPMailFromRegexp"));
        check_regex(c, sconf_get(r, "MsgFromRegexp"));
        SCONF_EACH (n, headers) {
            struct sconf_node key = {.value = n->key, .line = n->line};

            if (!str_eq(arena_lower(c->a, n->key), n->key) ||
                !str_eq(arena_lower(c->a, n->value), n->value))
                note(c, n, "HeadersRegexp is matched against lower case: write it so");
            check_regex(c, &key);
            check_regex(c, n);
        }
        if (domain)
            check_domain(c, domain, domain->value);
        if (list)
            check_domain(c, list, list->value);
        if (!sconf_get(r, "SMTPMailFromRegexp") && !sconf_get(r, "MsgFromRegexp") && !domain &&
            !headers)
            note(c, r, "a ruleset needs something to match");
        if (sconf_bool(r, "IsForward") && (!sconf_get(r, "SMTPMailFromRegexp") || !domain))
            note(c, r, "IsForward needs SMTPMailFromRegexp and VerifiedDomain");
        if (sconf_bool(r, "IsForward") && list)
            note(c, r, "IsForward and ListAllowDomain exclude each other");
        check_mailbox(c, sconf_get(r, "AcceptRejectsToMailbox"), false);
        check_mailbox(c, sconf_get(r, "Mailbox"), true);
    }
}

static void check_destination(struct check *c, const struct sconf_node *account,
                              const struct sconf_node *d, struct map *addresses)
{
    const struct sconf_node *smtp_error = sconf_get(d, "SMTPError"), *domain = NULL;
    struct address address;
    struct str key;

    check_mailbox(c, sconf_get(d, "Mailbox"), true);
    check_rulesets(c, d);
    check_smtp_text(c, smtp_error);
    check_smtp_text(c, sconf_get(d, "MessageAuthRequiredSMTPError"));
    if (smtp_error && !str_starts(smtp_error->value, STR("421")) &&
        !str_starts(smtp_error->value, STR("550")))
        note(c, smtp_error, "SMTPError must begin with 421 or 550");
    if (smtp_error && (sconf_get(d, "Mailbox") || sconf_get(d, "Rulesets")))
        note(c, smtp_error, "SMTPError excludes Mailbox and Rulesets");
    if (str_starts(d->key, STR("@"))) {
        address = (struct address){.domain = str_from(d->key, 1)};
        domain = domain_node(c->config, c->a, address.domain);
        if (!domain) {
            problem_add(c->problems, c->file, d, "domain of \"%.*s\" is not configured",
                        STR_FMT(d->key));
            return;
        }
    } else if (str_find(d->key, '@') == STR_NONE) {
        // Deprecated: a localpart of the account's own domain.
        address = (struct address){.localpart = d->key, .domain = sconf_text(account, "Domain")};
        domain = domain_node(c->config, c->a, address.domain);
        if (!domain)
            return; // noted at the account
    } else if (!parse_own(c, d, d->key, &address, &domain)) {
        return;
    }
    if (has_separator(domain, address.localpart))
        note(c, d, "an address cannot have the catchall separator of its domain");
    key = address_key(c, domain, &address);
    if (map_put(addresses, key, (void *)(uintptr_t)account))
        problem_add(c->problems, c->file, d, "address \"%.*s\" is there twice", STR_FMT(key));
}

static void check_webhook(struct check *c, const struct sconf_node *hook)
{
    static const char *const events[] = {"delivered", "suppressed", "delayed", "failed", "relayed",
                                         "expanded", "canceled", "unrecognized", NULL};
    const struct sconf_node *url = sconf_get(hook, "URL");

    if (url && !str_starts(url->value, STR("http://")) && !str_starts(url->value, STR("https://")))
        note(c, url, "URL must begin with http:// or https://");
    SCONF_EACH (n, sconf_get(hook, "Events"))
        check_one_of(c, n, events);
}

// A number written with a point; the schema has checked its form.
static void check_fraction(struct check *c, const struct sconf_node *parent, const char *key,
                           double max)
{
    const struct sconf_node *n = sconf_get(parent, key);

    if (n && (str_starts(n->value, STR("-")) || sconf_float(parent, key) > max))
        problem_add(c->problems, c->file, n, "%s must be between 0 and %g", key, max);
}

static void check_capabilities(struct check *c, const struct sconf_node *names)
{
    enum { MAX_BYTES = 2000 }; // with a space between them, IPC_MAX_TEXT
    size_t total = 0;

    SCONF_EACH (n, names) {
        total += n->value.n + 1;
        for (size_t i = 0; i < n->value.n; i++)
            if (n->value.p[i] != ascii_upper(n->value.p[i]) || n->value.p[i] == ' ') {
                note(c, n, "capability names are in upper case, one on each line");
                break;
            }
    }
    if (total > MAX_BYTES)
        note(c, names, "too many capability names");
}

static void check_account_entry(struct check *c, const struct sconf_node *account,
                                struct map *addresses)
{
    const struct sconf_node *domain = sconf_get(account, "Domain");
    const struct sconf_node *login = sconf_get(account, "LoginDisabled");
    const struct sconf_node *rejects = sconf_get(account, "RejectsMailbox");
    const struct sconf_node *intro = sconf_get(account, "Introbox");
    const struct sconf_node *junk = sconf_get(account, "JunkFilter");
    const struct sconf_node *params = sconf_get(junk, "Params");
    const struct sconf_node *method = sconf_get(junk, "Method");
    const struct sconf_node *flags = sconf_get(account, "AutomaticJunkFlags");

    if (account->key.n > 100 || str_find(account->key, '/') != STR_NONE ||
        str_starts(account->key, STR(".")))
        note(c, account, "an account name has at most 100 bytes, no slash and no leading dot");
    for (size_t i = 0; i < account->key.n; i++)
        if ((unsigned char)account->key.p[i] < 33 || account->key.p[i] == 127) {
            note(c, account, "an account name has no blanks or control characters");
            break;
        }
    if (domain && !domain_node(c->config, c->a, domain->value))
        problem_add(c->problems, c->file, domain, "domain \"%.*s\" is not configured",
                    STR_FMT(domain->value));
    check_smtp_text(c, login);
    for (size_t i = 0; login && i < login->value.n; i++)
        if ((unsigned char)login->value.p[i] < 32 || login->value.p[i] == 127) {
            note(c, login, "LoginDisabled is shown to clients: no control characters");
            break;
        }
    if (rejects && rejects->value.n)
        check_mailbox(c, rejects, false);
    if (intro && intro->value.n)
        check_mailbox(c, intro, false);
    if (intro && rejects && intro->value.n && str_eq(intro->value, rejects->value))
        note(c, intro, "Introbox and RejectsMailbox must differ");
    check_regex(c, sconf_get(flags, "JunkMailboxRegexp"));
    check_regex(c, sconf_get(flags, "NeutralMailboxRegexp"));
    check_regex(c, sconf_get(flags, "NotJunkMailboxRegexp"));
    check_fraction(c, junk, "Threshold", 1);
    if (method && !str_eq(method->value, STR("evidence")) && !str_eq(method->value, STR("words")))
        note(c, method, "is evidence or words");
    check_fraction(c, params, "MaxPower", 0.5);
    check_fraction(c, params, "IgnoreWords", 0.5);
    check_not_negative(c, sconf_get(params, "TopWords"));
    check_not_negative(c, sconf_get(params, "RareWords"));
    check_not_negative(c, sconf_get(account, "KeepRetiredMessagePeriod"));
    check_not_negative(c, sconf_get(account, "KeepRetiredWebhookPeriod"));
    check_not_negative(c, sconf_get(sconf_get(account, "SubjectPass"), "Period"));
    check_not_negative(c, sconf_get(account, "MaxOutgoingMessagesPerDay"));
    check_not_negative(c, sconf_get(account, "MaxFirstTimeRecipientsPerDay"));
    check_webhook(c, sconf_get(account, "OutgoingWebhook"));
    check_webhook(c, sconf_get(account, "IncomingWebhook"));
    check_routes(c, sconf_get(account, "Routes"));
    check_capabilities(c, sconf_get(account, "IMAPCapabilitiesDisabled"));
    SCONF_EACH (d, sconf_get(account, "Destinations"))
        check_destination(c, account, d, addresses);
}

static void check_fromid(struct check *c, const struct sconf_node *account,
                         const struct map *addresses)
{
    SCONF_EACH (n, sconf_get(account, "FromIDLoginAddresses")) {
        const struct sconf_node *domain;
        struct address address;
        struct str separators[MAX_SEPARATORS];

        if (!parse_own(c, n, n->value, &address, &domain))
            continue;
        if (map_get(addresses, address_key(c, domain, &address)) != account)
            note(c, n, "the address is not one of this account");
        if (!domain_separators(domain, separators))
            note(c, n, "the domain of the address has no catchall separator");
    }
}

void check_dynamic(struct check *c)
{
    const struct sconf_node *root = c->file->root;
    struct map addresses = {0}, names = {0}, seen = {0};
    struct err e = {0};
    struct str ascii;

    SCONF_EACH (account, sconf_get(root, "Accounts"))
        check_account_entry(c, account, &addresses);
    SCONF_EACH (account, sconf_get(root, "Accounts"))
        check_fromid(c, account, &addresses);
    SCONF_EACH (domain, sconf_get(root, "Domains")) {
        // Two spellings of one name: only the first would ever be found.
        if (domain_to_ascii(c->a, domain->key, &ascii, &e) && map_put(&names, ascii, c))
            note(c, domain, "the domain is there twice, in two spellings");
        check_domain_entry(c, domain, &addresses);
    }
    check_web(c);
    check_routes(c, sconf_get(root, "Routes"));
    SCONF_EACH (n, sconf_get(root, "MonitorDNSBLs")) {
        check_domain(c, n, n->value);
        if (map_put(&seen, n->value, c))
            note(c, n, "the list is there twice");
    }
    map_fini(&addresses);
    map_fini(&names);
    map_fini(&seen);
}
