/*
 * What each account gets of the configuration: its own rules about incoming mail, nobody else's.
 */
#include "ipc/compiled.h"
#include "role/config/account.h"
#include "text/idna.h"

static uint32_t millionths(const struct sconf_node *node, const char *key)
{
    return (uint32_t)(sconf_float(node, key) * 1e6 + 0.5);
}

static uint32_t number(const struct sconf_node *node, const char *key)
{
    uint64_t n = sconf_u64(node, key, 0);

    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint64_t seconds(const struct sconf_node *node, const char *key)
{
    int64_t ns;

    return sconf_duration(sconf_text(node, key), &ns) && ns > 0 ? (uint64_t)ns / 1000000000 : 0;
}

static void put_rules(const struct sconf_node *account, struct buf *out)
{
    const struct sconf_node *filter = sconf_get(account, "JunkFilter");
    const struct sconf_node *params = sconf_get(filter, "Params");
    const struct sconf_node *flags = sconf_get(account, "AutomaticJunkFlags");
    AUTO_BUF disabled = BUF_LIMIT(IPC_MAX_TEXT);

    SCONF_EACH (n, sconf_get(account, "IMAPCapabilitiesDisabled"))
        buf_printf(&disabled, "%s%.*s", disabled.n ? " " : "", STR_FMT(n->value));
    COMPILED_PUT(out, account_rules, .rejects_mailbox = sconf_text(account, "RejectsMailbox"),
                 .introbox = sconf_text(account, "Introbox"),
                 .keep_rejects = sconf_bool(account, "KeepRejects"),
                 .no_first_time_delay = sconf_bool(account, "NoFirstTimeSenderDelay"),
                 .subjectpass_seconds = seconds(sconf_get(account, "SubjectPass"), "Period"),
                 .imap_disabled = buf_str(&disabled));
    COMPILED_PUT(out, account_junk, .has_filter = filter != NULL,
                 .method = str_eq(sconf_text(filter, "Method"), STR("words")),
                 .onegrams = sconf_bool(params, "Onegrams"),
                 .twograms = sconf_bool(params, "Twograms"),
                 .threegrams = sconf_bool(params, "Threegrams"),
                 .threshold_e6 = millionths(filter, "Threshold"),
                 .max_power_e6 = millionths(params, "MaxPower"),
                 .ignore_words_e6 = millionths(params, "IgnoreWords"),
                 .top_words = number(params, "TopWords"),
                 .rare_words = number(params, "RareWords"),
                 .sets_flags = sconf_bool(flags, "Enabled"),
                 .junk = sconf_text(flags, "JunkMailboxRegexp"),
                 .neutral = sconf_text(flags, "NeutralMailboxRegexp"),
                 .notjunk = sconf_text(flags, "NotJunkMailboxRegexp"));
}

static struct str ascii_domain(struct arena *a, const struct sconf_node *node, const char *key)
{
    struct str text = sconf_text(node, key), out;
    struct err e = {0};

    return text.n && domain_to_ascii(a, text, &out, &e) ? out : text;
}

static void put_ruleset(struct arena *a, const struct sconf_node *r, struct buf *out)
{
    COMPILED_PUT(out, ruleset, .mail_from_regexp = sconf_text(r, "SMTPMailFromRegexp"),
                 .msg_from_regexp = sconf_text(r, "MsgFromRegexp"),
                 .verified_domain = ascii_domain(a, r, "VerifiedDomain"),
                 .is_forward = sconf_bool(r, "IsForward"),
                 .list_allow_domain = ascii_domain(a, r, "ListAllowDomain"),
                 .accept_rejects_mailbox = sconf_text(r, "AcceptRejectsToMailbox"),
                 .mailbox = sconf_text(r, "Mailbox"));
    SCONF_EACH (n, sconf_get(r, "HeadersRegexp"))
        COMPILED_PUT(out, ruleset_header, .name_regexp = n->key, .value_regexp = n->value);
}

static void put_destination(const struct directory *d, struct arena *a,
                            const struct sconf_node *account, const struct sconf_node *node,
                            struct buf *out)
{
    COMPILED_PUT(out, account_destination, .address = directory_destination(d, a, account, node),
                 .auth_required = sconf_text(node, "MessageAuthRequiredSMTPError"));
    SCONF_EACH (r, sconf_get(node, "Rulesets"))
        put_ruleset(a, r, out);
}

/* An address for reports; those of one account follow each other. */
struct report {
    struct str address;
    bool is_tls;
    const struct report *next;
};

static void add_report(struct compile_accounts *c, const struct sconf_node *domain,
                       const struct sconf_node *report, bool is_tls)
{
    struct report *r;

    if (!report)
        return;
    r = ARENA_NEW(c->a, struct report);
    *r = (struct report){directory_report(c->directory, c->a, domain, report), is_tls,
                         map_get(&c->reports, sconf_text(report, "Account"))};
    map_put(&c->reports, sconf_text(report, "Account"), r);
}

void compile_accounts_begin(struct compile_accounts *c, struct arena *a, const struct config *config)
{
    *c = (struct compile_accounts){.a = a, .directory = directory_new(config)};
    SCONF_EACH (domain, sconf_get(config->domains.root, "Domains")) {
        add_report(c, domain, sconf_get(domain, "DMARC"), false);
        add_report(c, domain, sconf_get(domain, "TLSRPT"), true);
    }
    add_report(c, NULL, sconf_get(config->main.root, "HostTLSRPT"), true);
}

void compile_account(struct compile_accounts *c, const struct sconf_node *account, struct buf *out)
{
    put_rules(account, out);
    for (const struct report *r = map_get(&c->reports, account->key); r; r = r->next)
        COMPILED_PUT(out, account_destination, .address = r->address, .is_dmarc_report = !r->is_tls,
                     .is_tls_report = r->is_tls);
    SCONF_EACH (n, sconf_get(account, "Destinations"))
        put_destination(c->directory, c->a, account, n, out);
}
