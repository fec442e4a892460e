/*
 * config: reads and checks mox.conf and domains.conf, writes for each role what that role needs
 * into a sealed memory file, and exits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "config/config.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/process.h"
#include "role/config/account.h"
#include "role/config/acme.h"
#include "role/config/dkim.h"
#include "role/config/transport.h"
#include "role/config/web.h"
#include "role/profiles.h"
#include "role/start.h"
#include "text/encode.h"
#include "text/idna.h"

enum { TIMEOUT_MS = 10000 };

static struct channel monitor = {3, ROLE_CONFIG, ROLE_MONITOR};

struct compile {
    struct arena *a;
    const struct config *config;
    struct ipc_check_files files;
    struct buf common; // settings and levels: for every role
    struct buf ports;  // listener records
    struct buf pairs, accounts, mailboxes, texts, reports;
    struct buf transports, dial_ports;
    struct buf acme, key_files; // authorities and names; where keys are
    struct buf web; // services on ports, and domains
    struct buf signing, signing_files; // who signs what; where the keys are
    uint32_t n_ports, n_keys;
    uint32_t on_https[IPC_LAST_PROTOCOL + 1]; // of this listener, by protocol: 1 + index of its port at the first address; or 0
};

static _Noreturn void finish(bool is_ok, struct str problems)
{
    struct err e = {0};

    (void)!IPC_SEND(&monitor, compiled_end, NULL, 0, &e, .is_ok = is_ok,
                    .problems = str_sub(problems, 0, IPC_MAX_LINES));
    exit(0);
}

static void warn_of_idle(const struct config *config)
{
    AUTO_BUF lines = BUF_LIMIT(1 << 20);
    struct str left, line;

    config_put_idle(config, &lines);
    left = buf_str(&lines);
    while (str_next(&left, '\n', &line))
        if (line.n)
            LOG(LOG_WARN, "mox", "a setting that does nothing", LOG_S("where", line));
}

static bool has_service(const struct sconf_node *root, const char *service)
{
    SCONF_EACH (l, sconf_get(root, "Listeners"))
        if (sconf_bool(sconf_get(l, service), "Enabled"))
            return true;
    return false;
}

static void put_common(struct compile *c)
{
    const struct sconf_node *root = c->config->main.root, *authorities = sconf_get(sconf_get(root, "TLS"), "CA");
    struct str level = sconf_text(root, "LogLevel"), user = sconf_text(root, "User");

    COMPILED_PUT(&c->common, settings, .hostname = c->config->hostname,
                 .data_dir = sconf_text(root, "DataDir"), .user = user.n ? user : STR("mox"),
                 .is_pedantic = c->files.is_pedantic || sconf_bool(root, "Pedantic"),
                 .is_localserve = c->files.is_localserve,
                 .no_dmarc_reports = sconf_bool(root, "NoOutgoingDMARCReports"),
                 .no_tls_reports = sconf_bool(root, "NoOutgoingTLSReports"),
                 .reports_success = sconf_bool(root, "OutgoingTLSReportsForAllSuccess"),
                 .no_fix_permissions = sconf_bool(root, "NoFixPermissions"),
                 .has_mtasts = has_service(root, "MTASTSHTTPS"),
                 .no_system_authorities = authorities && !sconf_bool(authorities, "AdditionalToSystem"),
                 .postmaster = sconf_text(sconf_get(root, "Postmaster"), "Account"),
                 .quota_bytes = sconf_u64(root, "QuotaMessageSize", 0));
    COMPILED_PUT(&c->common, level, .package = STR(""), .level = level);
    SCONF_EACH (n, sconf_get(root, "PackageLogLevels"))
        COMPILED_PUT(&c->common, level, .package = n->key, .level = n->value);
}

// For metrics, where it may be cut.
static struct str listener_name(const struct sconf_node *l)
{
    return str_sub(l->key, 0, IPC_MAX_NAME);
}

static struct str listener_hostname(struct compile *c, const struct sconf_node *l)
{
    struct str out, own = sconf_text(l, "Hostname");
    struct err e = {0};

    return own.n && domain_to_ascii(c->a, own, &out, &e) ? out : c->config->hostname;
}

static void put_key_pairs(struct compile *c, const struct sconf_node *tls, uint32_t index)
{
    SCONF_EACH (pair, sconf_get(tls, "KeyCerts"))
        COMPILED_PUT(&c->pairs, tls_pair, .listener = index, .key = ++c->n_keys,
                     .cert_path = sconf_text(pair, "CertFile"),
                     .key_path = sconf_text(pair, "KeyFile"));
}

static struct str zones_of(struct compile *c, const struct sconf_node *smtp)
{
    AUTO_BUF out = BUF_LIMIT(IPC_MAX_RECORD);

    SCONF_EACH (zone, sconf_get(smtp, "DNSBLs")) {
        struct str ascii;
        struct err e = {0};

        if (!domain_to_ascii(c->a, zone->value, &ascii, &e))
            continue; // the check has refused it
        if (out.n)
            BUF_PUT(&out, " ");
        buf_put(&out, ascii);
    }
    return arena_dup(c->a, buf_str(&out));
}

// mox-smtp-delivery.md 1.1: 15 seconds unless something is said; 0 is something.
static uint32_t first_time_delay(const struct sconf_node *smtp)
{
    struct str text = sconf_text(smtp, "FirstTimeSenderDelay");
    int64_t ns = 15000000000;

    if (text.n && !sconf_duration(text, &ns))
        return 0;
    return ns / 1000000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / 1000000);
}

static void put_listener(struct compile *c, const struct sconf_node *l)
{
    static const struct {
        const char *name;
        enum ipc_protocol protocol;
        unsigned port;
        bool is_immediate;
        const char *no_tls; // switch that takes TLS or its necessity away
    } services[] = {
        {"SMTP", IPC_PROTOCOL_SMTP, 25, false, "NoSTARTTLS"},
        {"Submission", IPC_PROTOCOL_SUBMISSION, 587, false, "NoRequireSTARTTLS"},
        {"Submissions", IPC_PROTOCOL_SUBMISSION, 465, true, NULL},
        {"IMAP", IPC_PROTOCOL_IMAP, 143, false, "NoRequireSTARTTLS"},
        {"IMAPS", IPC_PROTOCOL_IMAP, 993, true, NULL},
    };
    const struct sconf_node *tls = sconf_get(l, "TLS");

    memset(c->on_https, 0, sizeof c->on_https);
    for (size_t i = 0; i < COUNT(services); i++) {
        const struct sconf_node *s = sconf_get(l, services[i].name);
        bool is_smtp = services[i].protocol == IPC_PROTOCOL_SMTP;
        bool has_switch = services[i].no_tls && sconf_bool(s, services[i].no_tls);
        bool has_starttls = tls && !(is_smtp && has_switch);

        if (!sconf_bool(s, "Enabled"))
            continue;
        if (sconf_bool(s, "EnabledOnHTTPS"))
            c->on_https[services[i].protocol] = c->n_ports + 1;
        SCONF_EACH (ip, sconf_get(l, "IPs")) {
            COMPILED_PUT(&c->ports, listener, .index = c->n_ports, .protocol = (uint8_t)services[i].protocol,
                         .tls = services[i].is_immediate ? LISTENER_TLS_IMMEDIATE
                                : has_starttls           ? LISTENER_TLS_STARTTLS
                                                         : LISTENER_TLS_NONE,
                         .require_tls = is_smtp ? sconf_bool(s, "RequireSTARTTLS") : !has_switch,
                         .no_requiretls_extension = sconf_bool(s, "NoRequireTLS"),
                         .no_client_auth = sconf_bool(tls, "ClientAuthDisabled"),
                         .needs_tls13 = str_eq(sconf_text(tls, "MinVersion"), STR("TLSv1.3")),
                         .port = (uint32_t)sconf_u64(s, "Port", services[i].port), .ip = ip->value,
                         .name = listener_name(l), .hostname = listener_hostname(c, l), .acme = sconf_text(tls, "ACME"),
                         .dnsbls = zones_of(c, s),
                         .first_time_delay_ms = first_time_delay(s),
                         .max_message_bytes = sconf_u64(l, "SMTPMaxMessageSize", 104857600));
            put_key_pairs(c, tls, c->n_ports);
            c->n_ports++;
        }
    }
}

// One port for all that is served by HTTP on it.
static void put_http_ports(struct compile *c, const struct sconf_node *l)
{
    const struct sconf_node *tls = sconf_get(l, "TLS");
    AUTO_BUF proxies = BUF_LIMIT(IPC_MAX_RECORD);
    struct web_port ports[WEB_MAX_PORTS];
    size_t n = web_ports_of(c->a, l, acme_port_of(c->config, l), ports);
    uint32_t smtp = c->on_https[IPC_PROTOCOL_SUBMISSION], imap = c->on_https[IPC_PROTOCOL_IMAP], nth = 0;

    SCONF_EACH (network, sconf_get(l, "ProxyProtocolFrom")) {
        buf_put(&proxies, network->value);
        BUF_PUT(&proxies, " ");
    }
    SCONF_EACH (ip, sconf_get(l, "IPs")) {
        for (size_t i = 0; i < n; i++) {
            COMPILED_PUT(&c->ports, listener, .index = c->n_ports, .protocol = IPC_PROTOCOL_HTTP, .proxies = buf_str(&proxies),
                         .tls = ports[i].has_tls ? LISTENER_TLS_IMMEDIATE : LISTENER_TLS_NONE,
                         .needs_tls13 = str_eq(sconf_text(tls, "MinVersion"), STR("TLSv1.3")),
                         .port = ports[i].port, .ip = ip->value, .name = listener_name(l), .hostname = listener_hostname(c, l),
                         .acme = sconf_text(tls, "ACME"), .is_forwarded = ports[i].is_forwarded,
                         .no_rate_limit = ports[i].no_rate_limit,
                         .alpn_smtp = smtp && ports[i].has_mail ? smtp + nth : 0,
                         .alpn_imap = imap && ports[i].has_mail ? imap + nth : 0);
            if (!ports[i].has_tls && sconf_get(c->config->main.root, "ACME"))
                COMPILED_PUT(&c->web, web_service, .listener = c->n_ports, .kind = WEB_ACME,
                             .path = STR("/.well-known/acme-challenge/"));
            for (size_t j = 0; j < ports[i].n_services; j++)
                COMPILED_PUT(&c->web, web_service, .listener = c->n_ports,
                             .kind = (uint8_t)ports[i].services[j].kind, .path = ports[i].services[j].path);
            if (ports[i].has_tls)
                put_key_pairs(c, tls, c->n_ports);
            c->n_ports++;
        }
        nth++;
    }
}

// A limit that is not set, or zero, is the usual one; localserve has none then: whoever tests a
// program there sends a lot.
static uint32_t daily_limit(const struct compile *c, const struct sconf_node *account,
                            const char *name, uint32_t usual)
{
    uint64_t n = sconf_u64(account, name, 0);

    if (n)
        return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    return c->files.is_localserve ? 0 : usual;
}

static uint32_t keep_retired_s(const struct sconf_node *account)
{
    int64_t ns = 0;

    if (!sconf_duration(sconf_text(account, "KeepRetiredMessagePeriod"), &ns) || ns < 0)
        return 0;
    return ns / 1000000000 < UINT32_MAX ? (uint32_t)(ns / 1000000000) : UINT32_MAX;
}

static void put_accounts(struct compile *c)
{
    AUTO_BUF own = BUF_LIMIT(COMPILED_MAX_BYTES);
    struct compile_accounts accounts;

    compile_accounts_begin(&accounts, c->a, c->config);
    SCONF_EACH (n, sconf_get(c->config->domains.root, "Accounts")) {
        COMPILED_PUT(&c->accounts, account_entry, .name = n->key,
                     .quota_bytes = config_quota(c->config, n),
                     .max_per_day = daily_limit(c, n, "MaxOutgoingMessagesPerDay", 1000),
                     .max_first_per_day = daily_limit(c, n, "MaxFirstTimeRecipientsPerDay", 200),
                     .keep_retired_s = keep_retired_s(n));
        buf_reset(&own);
        compile_account(&accounts, n, &own);
        for (size_t at = 0; at < own.n; at += IPC_MAX_RECORD)
            COMPILED_PUT(&c->accounts, account_part,
                         .bytes = str_sub(buf_str(&own), at, IPC_MAX_RECORD));
    }
    compile_dkim(c->a, c->config, accounts.directory, &c->signing, &c->signing_files);
}

// Logins whose messages have return paths of their own, and what those are made with.
static void put_fromid(struct compile *c)
{
    SCONF_EACH (n, sconf_get(c->config->domains.root, "Accounts"))
        SCONF_EACH (login, sconf_get(n, "FromIDLoginAddresses"))
            COMPILED_PUT(&c->transports, fromid_login, .login = login->value);
    SCONF_EACH (n, sconf_get(c->config->domains.root, "Domains")) {
        const struct sconf_node *list = sconf_get(n, "LocalpartCatchallSeparators");
        struct str separator = sconf_text(n, "LocalpartCatchallSeparator"), domain;

        SCONF_EACH (s, list)
            if (!separator.n)
                separator = s->value;
        if (separator.n && domain_to_ascii(c->a, n->key, &domain, NULL))
            COMPILED_PUT(&c->transports, separator, .domain = domain, .separator = separator);
    }
}

static void put_authority_files(struct compile *c)
{
    SCONF_EACH (file, sconf_get(sconf_get(sconf_get(c->config->main.root, "TLS"), "CA"), "CertFiles"))
        COMPILED_PUT(&c->pairs, authority_file, .path = file->value);
}

// fetch asks the authorities, and nobody else, at other ports than 443.
static void put_web_ports(struct compile *c)
{
    struct url url;
    struct err e = {0};

    SCONF_EACH (n, sconf_get(c->config->main.root, "ACME"))
        if (url_parse(sconf_text(n, "DirectoryURL"), &url, &e))
            COMPILED_PUT(&c->dial_ports, web_port, .port = url.port);
}

static void put_watched_zones(struct compile *c, const struct sconf_node *list, struct map *seen)
{
    SCONF_EACH (zone, list) {
        struct str ascii;
        struct err e = {0};

        if (domain_to_ascii(c->a, zone->value, &ascii, &e) && !map_put(seen, ascii, c))
            COMPILED_PUT(&c->reports, watched_zone, .name = ascii);
    }
}

static void put_watched_addresses(struct compile *c, const struct sconf_node *list)
{
    SCONF_EACH (ip, list)
        COMPILED_PUT(&c->reports, watched_address, .ip = ip->value);
}

/* mox-imap-store-cli-config.md 5.7 */
static void put_watched(struct compile *c)
{
    const struct sconf_node *root = c->config->main.root, *public = sconf_get(sconf_get(root, "Listeners"), "public");
    const struct sconf_node *nat = sconf_get(public, "NATIPs");
    struct map seen = {0};

    put_watched_zones(c, sconf_get(sconf_get(public, "SMTP"), "DNSBLs"), &seen);
    put_watched_zones(c, sconf_get(c->config->domains.root, "MonitorDNSBLs"), &seen);
    map_fini(&seen);
    put_watched_addresses(c, nat && nat->child ? nat : sconf_get(public, "IPs"));
    // Mail leaves from these, too.
    SCONF_EACH (transport, sconf_get(root, "Transports"))
        put_watched_addresses(c, sconf_get(sconf_get(transport, "Socks"), "RemoteIPs"));
}

static void put_updates(struct compile *c)
{
    const struct sconf_node *root = c->config->main.root, *updates = sconf_get(root, "Updates");
    AUTO_BUF key = BUF_LIMIT(64);
    struct str domain;
    struct url url;
    struct err e = {0};

    if (!sconf_bool(root, "CheckUpdates"))
        return;
    if (!updates) {
        LOG(LOG_INFO, "config", "CheckUpdates has no effect: there is no Updates section that says where to look");
        return;
    }
    // Both files are checked by now.
    if (!domain_to_ascii(c->a, sconf_text(updates, "Domain"), &domain, &e) ||
        !base64_decode_strict(&key, sconf_text(updates, "PublicKey")) ||
        !url_parse(sconf_text(updates, "ChangelogURL"), &url, &e))
        return;
    COMPILED_PUT(&c->reports, updates_source, .domain = domain, .public_key = buf_str(&key),
                 .changelog_url = sconf_text(updates, "ChangelogURL"));
    COMPILED_PUT(&c->dial_ports, web_port, .port = url.port);
}

static void put_report_address(struct compile *c, const struct sconf_node *report, struct str domain,
                               bool is_tls, bool is_host)
{
    if (report)
        COMPILED_PUT(&c->reports, report_address, .account = sconf_text(report, "Account"),
                     .domain = domain, .is_tls = is_tls, .is_host = is_host);
}

static void put_reports(struct compile *c)
{
    put_report_address(c, sconf_get(c->config->main.root, "HostTLSRPT"), c->config->hostname, true,
                       true);
    SCONF_EACH (n, sconf_get(c->config->domains.root, "Domains")) {
        struct str domain;
        struct err e = {0};

        if (!domain_to_ascii(c->a, n->key, &domain, &e))
            continue; // the check has refused it
        put_report_address(c, sconf_get(n, "DMARC"), domain, false, false);
        put_report_address(c, sconf_get(n, "TLSRPT"), domain, true, false);
        if (!sconf_bool(n, "Disabled"))
            COMPILED_PUT(&c->reports, own_domain, .domain = domain);
    }
}

static void put_initial_mailboxes(struct compile *c)
{
    static const char *const names[][2] = {{"Archive", "Archive"}, {"Drafts", "Drafts"},
                                           {"Junk", "Junk"}, {"Sent", "Sent"}, {"Trash", "Trash"}};
    static const char *const uses[][2] = {{"Sent", "Sent"}, {"Archive", "Archive"},
                                          {"Trash", "Trash"}, {"Draft", "Drafts"},
                                          {"Junk", "Junk"}};
    const struct sconf_node *root = c->config->main.root;
    const struct sconf_node *initial = sconf_get(root, "InitialMailboxes");
    const struct sconf_node *old = sconf_get(root, "DefaultMailboxes");

    COMPILED_PUT(&c->mailboxes, initial_mailbox, .name = STR("Inbox"));
    for (size_t i = 0; i < COUNT(uses) && initial; i++) {
        struct str name = sconf_text(sconf_get(initial, "SpecialUse"), uses[i][0]);

        if (name.n)
            COMPILED_PUT(&c->mailboxes, initial_mailbox, .name = name,
                         .special_use = str_of(uses[i][1]));
    }
    SCONF_EACH (n, sconf_get(initial, "Regular"))
        COMPILED_PUT(&c->mailboxes, initial_mailbox, .name = n->value);
    SCONF_EACH (n, old) {
        struct str use = STR("");

        for (size_t i = 0; i < COUNT(names); i++)
            if (str_starts(n->value, str_of(names[i][0])))
                use = str_of(names[i][1]);
        COMPILED_PUT(&c->mailboxes, initial_mailbox, .name = n->value, .special_use = use);
    }
    for (size_t i = 0; i < COUNT(names) && !initial && !old; i++)
        COMPILED_PUT(&c->mailboxes, initial_mailbox, .name = str_of(names[i][0]),
                     .special_use = str_of(names[i][1]));
}

static void put_text(struct compile *c, uint8_t file, struct str text)
{
    for (size_t at = 0; at < text.n; at += IPC_MAX_RECORD)
        COMPILED_PUT(&c->texts, text_piece, .file = file,
                     .bytes = str_sub(text, at, IPC_MAX_RECORD));
}

static bool send_part(enum role role, const struct buf *const *parts, size_t n, struct err *e)
{
    AUTO_FD fd = os_memfile("compiled", e);

    if (fd < 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (parts[i]->full || !os_write_all(fd, buf_str(parts[i]), e))
            return parts[i]->full ? fail(e, ERR_LIMIT, "the configuration is too large") : false;
    return os_memfile_seal(fd, e) &&
           IPC_SEND(&monitor, compiled, &fd, 1, e, .role = (uint8_t)role);
}

static void compile(struct compile *c)
{
    const struct buf *const for_monitor[] = {&c->common, &c->ports, &c->pairs, &c->accounts,
                                             &c->signing_files, &c->key_files};
    const struct buf *const for_acme[] = {&c->common, &c->acme};
    const struct buf *const for_keys[] = {&c->common, &c->ports, &c->acme};
    const struct buf *const with_ports[] = {&c->common, &c->ports};
    const struct buf *const for_account[] = {&c->common, &c->mailboxes};
    const struct buf *const for_auth[] = {&c->common, &c->texts};
    const struct buf *const for_admin[] = {&c->common, &c->reports};
    const struct buf *const for_dkim[] = {&c->common, &c->signing};
    const struct buf *const for_queue[] = {&c->common, &c->transports};
    const struct buf *const for_dial[] = {&c->common, &c->ports, &c->dial_ports};
    const struct buf *const for_web[] = {&c->common, &c->ports, &c->web};
    const struct buf *const plain[] = {&c->common};
    AUTO_BUF main_part = BUF_LIMIT(SCONF_MAX_BYTES);
    AUTO_BUF domains_part = BUF_LIMIT(SCONF_MAX_BYTES);
    struct err e = {0};

    put_common(c);
    SCONF_EACH (l, sconf_get(c->config->main.root, "Listeners")) {
        put_listener(c, l);
        put_http_ports(c, l);
    }
    put_accounts(c);
    put_initial_mailboxes(c);
    compile_acme(c->a, c->config, &c->acme, &c->key_files, &c->dial_ports);
    compile_transports(c->a, c->config, &c->transports, &c->dial_ports);
    put_fromid(c);
    put_web_ports(c);
    put_authority_files(c);
    put_reports(c);
    compile_web_domains(c->a, c->config, &c->web);
    compile_web_sites(c->a, c->config, &c->web, &c->dial_ports);
    put_updates(c);
    put_watched(c);
    config_put_directory(c->config, &main_part, &domains_part);
    if (main_part.full || domains_part.full)
        finish(false, STR("the configuration is too large\n"));
    put_text(c, 0, buf_str(&main_part));
    put_text(c, 1, buf_str(&domains_part));
    if (!send_part(ROLE_MONITOR, for_monitor, COUNT(for_monitor), &e) ||
        !send_part(ROLE_FRONT, with_ports, COUNT(with_ports), &e) ||
        !send_part(ROLE_SESSION_TEMPLATE, with_ports, COUNT(with_ports), &e) ||
        !send_part(ROLE_ACCOUNT_TEMPLATE, for_account, COUNT(for_account), &e) ||
        !send_part(ROLE_AUTH, for_auth, COUNT(for_auth), &e) ||
        !send_part(ROLE_QUEUE, for_queue, COUNT(for_queue), &e) || !send_part(ROLE_KEYS, for_keys, COUNT(for_keys), &e) ||
        !send_part(ROLE_DKIM, for_dkim, COUNT(for_dkim), &e) ||
        !send_part(ROLE_ACME, for_acme, COUNT(for_acme), &e) ||
        !send_part(ROLE_RESOLVE, plain, 1, &e) || !send_part(ROLE_ADMIN, for_admin, COUNT(for_admin), &e) ||
        !send_part(ROLE_DIAL, for_dial, COUNT(for_dial), &e) ||
        !send_part(ROLE_DELIVER_TEMPLATE, plain, 1, &e) ||
        !send_part(ROLE_FETCH_TEMPLATE, plain, 1, &e) ||
        !send_part(ROLE_WEB_TEMPLATE, for_web, COUNT(for_web), &e))
        finish(false, str_of(e.text));
    finish(true, STR(""));
}

// The files are read before the sandbox closes, and parsed inside it.
_Noreturn void config_main(void)
{
    static struct arena a = ARENA_LIMIT(512 << 20);
    static struct compile c = {.common = BUF_LIMIT(1 << 20), .ports = BUF_LIMIT(1 << 20),
                               .pairs = BUF_LIMIT(1 << 20), .accounts = BUF_LIMIT(40 << 20),
                               .mailboxes = BUF_LIMIT(1 << 20), .texts = BUF_LIMIT(40 << 20),
                               .transports = BUF_LIMIT(8 << 20), .dial_ports = BUF_LIMIT(1 << 20),
                               .web = BUF_LIMIT(40 << 20), .acme = BUF_LIMIT(8 << 20),
                               .key_files = BUF_LIMIT(8 << 20),
                               .reports = BUF_LIMIT(40 << 20), .signing = BUF_LIMIT(40 << 20),
                               .signing_files = BUF_LIMIT(10 << 20)};
    static struct config config;
    struct packet *p = packet_new();
    struct buf problems = BUF_LIMIT(IPC_MAX_LINES);
    struct str texts[2];
    struct sandbox *box;
    struct err e = {0};
    uint64_t seed[2];

    os_title_set("mox: config");
    os_limit(64);
    os_random(seed, sizeof seed);
    str_hash_seed(seed[0], seed[1]);
    if (!channel_expect(&monitor, IPC_check_files, p, TIMEOUT_MS, &e) ||
        !ipc_check_files_get(p->body, &c.files, &e))
        exit(1);
    for (size_t i = 0; i < 2; i++)
        if (!os_read_fd(&a, p->fds[i], SCONF_MAX_BYTES, &texts[i], &e))
            finish(false, str_of(e.text));
    packet_close_fds(p);
    box = sandbox_compile(role_profile(ROLE_CONFIG), &e);
    if (!box || !sandbox_enter(box, NULL, 0, &e))
        finish(false, str_of(e.text));
    if (!config_load(&a, c.files.main_name, texts[0], c.files.domains_name, texts[1], &config,
                     &problems))
        finish(false, buf_str(&problems));
    warn_of_idle(&config);
    c.a = &a;
    c.config = &config;
    compile(&c);
    exit(0);
}
