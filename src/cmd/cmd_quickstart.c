/*
 * quickstart: configuration, keys and data of a new server, and what to do then
 * (mox-imap-store-cli-config.md 3.5).
 *
 * The DNS is asked for advice and for addresses only: without it there are warnings, and an installation all
 * the same. What was made is removed again when a later step fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/client_table.h"
#include "cmd/host_keys.h"
#include "cmd/own_connect.h"
#include "cmd/own_dns.h"
#include "cmd/paths.h"
#include "cmd/rdap.h"
#include "cmd/service_unit.h"
#include "cmd/verbs.h"
#include "cmd/zone_text.h"
#include "config/edit.h"
#include "crypto/crypto.h"
#include "message/header.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"
#include "os/user.h"
#include "policy/dnsbl.h"
#include "policy/psl.h"
#include "policy/rdap.h"
#include "role/auth/credentials.h"
#include "text/idna.h"

enum {
    DNS_MS = 10 * 1000,       // for all questions; an answer takes as long as resolve's own limit
    DIAL_MS = 10 * 1000,
    AGE_MS = 20 * 1000,
    YOUNG_S = 6 * 7 * 24 * 3600,
    MAX_OWN = 64,             // addresses of this machine
    MAX_IPS = MAX_OWN + MX_MAX_ADDRESSES,
    MAX_MADE = 64,            // files and directories
    PASSWORD_CHARACTERS = 12,
    DKIM_BITS = 2048,
};

/* --- what was made, and is removed again after a failure ------------------------------------------------ */

struct made {
    const char *path;
    bool is_dir;
};

struct quickstart {
    struct arena *a;
    struct made made[MAX_MADE];
    size_t n_made;
    int log_fd; // quickstart.log
    struct str localpart, domain, hostname, user; // domain and hostname in A-labels
    struct str domain_text, hostname_text;        // and as people write them
    bool has_webserver, skip_dial, is_everywhere;
    struct dns dns;
    bool has_dns;        // as far as we know
    int64_t dns_end_ms;
    bool has_dnssec;     // of the host's name
    struct net_own own[MAX_OWN];
    size_t n_own;
    struct mx_addresses host; // of the hostname
    struct str ips[MAX_IPS], nat_ips[MAX_IPS], internal_ips[MAX_IPS];
    size_t n_ips, n_nat_ips, n_internal_ips;
    struct str dir;      // of the server, absolute, without its slash
};

static bool note_made(struct quickstart *q, struct str path, bool is_dir, struct err *e)
{
    if (q->n_made == MAX_MADE)
        return fail(e, ERR_BUG, "too many files");
    q->made[q->n_made++] = (struct made){arena_cstring(q->a, path), is_dir};
    return true;
}

static void take_back(struct quickstart *q)
{
    while (q->n_made) {
        const struct made *m = &q->made[--q->n_made];

        (void)!(m->is_dir ? rmdir(m->path) : unlink(m->path));
    }
}

static bool make_file(struct quickstart *q, struct str path, struct str bytes, mode_t mode, struct err *e)
{
    const char *name = arena_cstring(q->a, path);

    return (name || fail(e, ERR_SYNTAX, "no name of a file")) && os_create_file(name, bytes, mode, e) &&
           note_made(q, path, false, e) && (chmod(name, mode) == 0 || fail_errno(e, "%s", name));
}

// One that is there already stays when the rest is removed.
static bool make_dir(struct quickstart *q, struct str path, mode_t mode, struct err *e)
{
    const char *name = arena_cstring(q->a, path);

    if (!name || mkdir(name, mode))
        return (name && errno == EEXIST) || fail_errno(e, "making directory %s", name ? name : "");
    return note_made(q, path, true, e) && (chmod(name, mode) == 0 || fail_errno(e, "%s", name));
}

// A file of the configuration.
static struct str config_path(struct quickstart *q, struct str name)
{
    return arena_printf(q->a, "%.*s%.*s", STR_FMT(paths_config_dir()), STR_FMT(name));
}

/* --- what is said ------------------------------------------------------------------------------------------ */

static void put_out(struct quickstart *q, struct str text)
{
    struct err e = {0};

    fwrite(text.p, 1, text.n, stdout);
    fflush(stdout);
    if (q->log_fd >= 0 && !os_write_all(q->log_fd, text, &e))
        fd_close(&q->log_fd);
}

static void say(struct quickstart *q, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct quickstart *q, const char *format, ...)
{
    char text[4096];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n > 0)
        put_out(q, str_at(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

// Passwords are shown once, and kept nowhere.
static void say_password(struct quickstart *q, const char *label, struct str password)
{
    int log_fd = q->log_fd;

    q->log_fd = -1;
    say(q, "%s%.*s\n", label, STR_FMT(password));
    q->log_fd = log_fd;
    if (log_fd >= 0) {
        struct err e = {0};

        (void)!os_write_all(log_fd, arena_printf(q->a, "%s(shown on the terminal only)\n", label), &e);
    }
}

static struct str ip_text(struct quickstart *q, const struct ip *ip)
{
    AUTO_BUF text = BUF_LIMIT(64);

    ip_put(&text, ip);
    return arena_dup(q->a, buf_str(&text));
}

/* --- the DNS --------------------------------------------------------------------------------------------------- */

// Nobody waits for a DNS that does not answer more than once.
static bool ask(struct quickstart *q, struct str name, enum dns_type type, struct dns_answer *out)
{
    *out = (struct dns_answer){.status = DNS_TEMPORARY};
    if (!q->has_dns || os_monotonic_ms() > q->dns_end_ms) {
        if (q->has_dns)
            say(q, "\nWARNING: the DNS takes too long; checks that need it are left out from here on.\n");
        q->has_dns = false;
        return false;
    }
    dns_lookup(&q->dns, q->a, name, type, out);
    return out->status != DNS_TEMPORARY && out->status != DNS_BOGUS;
}

static void check_dnssec(struct quickstart *q)
{
    struct dns_answer answer;
    struct err e = {0};

    say(q, "Checking that the DNS answers and that DNSSEC works... ");
    q->has_dns = own_dns_open(&q->dns, &e);
    q->dns_end_ms = os_monotonic_ms() + DNS_MS;
    if (!ask(q, STR("com"), DNS_NS, &answer)) {
        q->has_dns = false;
        say(q, "\n\nWARNING: the DNS gives no answer (%.*s%s).\nThe checks that need it are left out. Mail cannot be sent or received "
               "before the DNS works;\nlook at /etc/resolv.conf, or install a resolver of your own, such as unbound, and let\n"
               "/etc/resolv.conf name it: \"nameserver 127.0.0.1\".\n\n", STR_FMT(answer.why), e.text);
    } else if (answer.is_secure) {
        say(q, "OK\n");
    } else {
        say(q, "\n\nWARNING: answers are not validated with DNSSEC, though this program would do it: the root's\n"
               "signatures do not get here. A resolver that is asked in its place must pass them on; with a\n"
               "resolver of your own, such as unbound, in /etc/resolv.conf, they do. Without DNSSEC, others'\n"
               "certificates cannot be verified by DANE.\n\n");
    }
}

// The names of an address.
static bool reverse_names(struct quickstart *q, const struct ip *ip, struct dns_answer *out)
{
    AUTO_BUF name = BUF_LIMIT(128);

    ip_put_arpa(&name, ip);
    return ask(q, arena_dup(q->a, buf_str(&name)), DNS_PTR, out) || !dns_is_none(out);
}

/* --- addresses and names ------------------------------------------------------------------------------------------ */

static bool find_hostname(struct quickstart *q, const char *given, struct err *e)
{
    char system[256] = {0};
    struct str name;

    (void)gethostname(system, sizeof system - 1);
    if (given) {
        name = str_of(given);
    } else if (str_find(str_of(system), '.') >= 0) {
        name = str_of(system);
    } else {
        name = STR("");
        for (size_t i = 0; i < q->n_own && !name.n; i++) {
            struct dns_answer answer;

            if (q->own[i].is_public && reverse_names(q, &q->own[i].ip, &answer) && answer.n &&
                str_find(answer.records[0].name, '.') > 0)
                name = answer.records[0].name;
        }
        if (!name.n) {
            name = arena_printf(q->a, "%s.%.*s", system[0] ? system : "mail", STR_FMT(q->domain));
            say(q, "\nWARNING: this machine has no full name, and no address of it leads to one. Taken: %.*s. If that is\n"
                   "wrong, begin again with -hostname.\n\n", STR_FMT(name));
        }
    }
    return (domain_to_ascii(q->a, name, &q->hostname, e) || fail_in(e, "hostname \"%.*s\"", STR_FMT(name))) &&
           (str_find(q->hostname, '.') > 0 ||
            fail(e, ERR_SYNTAX, "the hostname must be a full name, such as mail.%.*s", STR_FMT(q->domain))) &&
           domain_to_unicode(q->a, q->hostname, &q->hostname_text, e);
}

static void drop_loopback(struct quickstart *q)
{
    size_t n = 0;

    for (size_t i = 0; i < q->host.n; i++)
        if (own_dns_is_address(&q->host.ips[i]))
            q->host.ips[n++] = q->host.ips[i];
    if (n < q->host.n)
        say(q, "\nWARNING: %.*s leads to a loopback address, which is left out. If /etc/hosts says so, and not the\n"
               "DNS, take it out there.\n\n", STR_FMT(q->hostname));
    q->host.n = n;
}

static void look_up_host(struct quickstart *q)
{
    struct dns_answer answer;

    say(q, "Looking up %.*s... ", STR_FMT(q->hostname));
    if (!q->has_dns) {
        say(q, "left out\n");
        return;
    }
    ask(q, q->hostname, DNS_A, &answer);
    q->has_dnssec = answer.is_secure;
    mx_addresses(&q->dns, q->a, q->hostname, MX_IPV4 | MX_IPV6, NULL, 0, &q->host);
    if (!q->host.n)
        say(q, "\n\nWARNING: %.*s has no address in the DNS yet (%.*s). It needs A and AAAA records with the public\n"
               "addresses of this machine.\n\n", STR_FMT(q->hostname), STR_FMT(q->host.why));
    else
        say(q, "OK\n");
    drop_loopback(q);
    if (q->host.n && !q->has_dnssec)
        say(q, "\nNOTE: the zone of %.*s is not signed with DNSSEC. With it, senders can be made to verify the\n"
               "certificate (DANE). See whether who runs your DNS can sign it.\n\n", STR_FMT(q->hostname));
}

static bool has_ip(const struct str *list, size_t n, struct str ip)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i], ip))
            return true;
    return false;
}

// Behind a router this machine has private addresses, and others see those that its name has.
static bool is_behind_router(const struct quickstart *q)
{
    bool has_private = false;

    for (size_t i = 0; i < q->n_own; i++) {
        if (q->own[i].is_public)
            return false;
        has_private = has_private || !ip_is_loopback(&q->own[i].ip);
    }
    for (size_t i = 0; i < q->host.n; i++)
        if (!ip_is_public(&q->host.ips[i]))
            return false;
    return has_private && q->host.n;
}

static void choose_ips(struct quickstart *q)
{
    bool has_nat = is_behind_router(q);

    for (size_t i = 0; i < q->host.n; i++)
        if (has_nat)
            q->nat_ips[q->n_nat_ips++] = ip_text(q, &q->host.ips[i]);
        else
            q->ips[q->n_ips++] = ip_text(q, &q->host.ips[i]);
    for (size_t i = 0; i < q->n_own; i++)
        if (has_nat ? !ip_is_loopback(&q->own[i].ip) : !q->host.n && q->own[i].is_public)
            q->ips[q->n_ips++] = ip_text(q, &q->own[i].ip);
    for (size_t i = 0; i < q->n_own; i++) {
        struct str ip = ip_text(q, &q->own[i].ip);

        if (!q->own[i].is_public && !has_ip(q->ips, q->n_ips, ip))
            q->internal_ips[q->n_internal_ips++] = ip;
    }
    if (!q->n_internal_ips) {
        q->internal_ips[q->n_internal_ips++] = STR("127.0.0.1");
        q->internal_ips[q->n_internal_ips++] = STR("::1");
    }
    if (q->n_ips)
        return;
    q->is_everywhere = true;
    q->ips[q->n_ips++] = STR("0.0.0.0");
    q->ips[q->n_ips++] = STR("::");
    say(q, "\nWARNING: no public address was found: the server listens on all (0.0.0.0 and ::). Better name them in\n"
           "mox.conf, so that mail leaves from the addresses that the DNS has.\n\n");
}

static void check_reverse(struct quickstart *q)
{
    bool is_good = true;

    if (!q->host.n || !q->has_dns)
        return;
    say(q, "Looking up the names of the addresses... ");
    for (size_t i = 0; i < q->host.n; i++) {
        struct str ip = ip_text(q, &q->host.ips[i]);
        struct dns_answer answer;

        if (!reverse_names(q, &q->host.ips[i], &answer) || !answer.n)
            say(q, "\n\nWARNING: %.*s has no name. Who gave you the address can set it, to %.*s; many servers take no mail\n"
                   "from an address without a name.\n", STR_FMT(ip), STR_FMT(q->hostname));
        else if (answer.n > 1)
            say(q, "\n\nWARNING: %.*s has more than one name; it should have one, %.*s.\n", STR_FMT(ip), STR_FMT(q->hostname));
        else if (!str_eq(answer.records[0].name, q->hostname))
            say(q, "\n\nWARNING: the name of %.*s is %.*s, not %.*s.\n", STR_FMT(ip), STR_FMT(answer.records[0].name),
                STR_FMT(q->hostname));
        else
            continue;
        is_good = false;
    }
    say(q, is_good ? "OK\n" : "\n");
}

static void check_dial(struct quickstart *q)
{
    struct dns_answer answer;
    struct mx_addresses to;

    if (q->skip_dial || !q->has_dns)
        return;
    say(q, "Checking that connections to port 25 of other servers are possible... ");
    if (!ask(q, STR("gmail.com"), DNS_MX, &answer) || !answer.n) {
        say(q, "left out, no server was found\n");
        return;
    }
    mx_addresses(&q->dns, q->a, answer.records[0].name, MX_IPV4 | MX_IPV6, NULL, 0, &to);
    for (size_t i = 0; i < to.n; i++) {
        struct pollfd p = {.events = POLLOUT};
        struct err e = {0};
        int code;
        AUTO_FD fd = net_dial(&to.ips[i], 25, NULL, &code, &e);

        p.fd = fd;
        if (fd >= 0 && poll(&p, 1, DIAL_MS) == 1 && !net_dial_result(fd)) {
            say(q, "OK\n");
            return;
        }
    }
    say(q, "\n\nWARNING: no connection to port 25 of %.*s. Many providers close that port until they are asked to open\n"
           "it; without it, mail cannot be delivered, but by a relay (Transports in mox.conf).\n\n",
        STR_FMT(answer.records[0].name));
}

// Many servers take mail of a domain that was registered yesterday for junk, whatever else is right.
static void check_age(struct quickstart *q)
{
    struct prober prober = {.a = q->a, .dns = &q->dns, .end_ms = os_monotonic_ms() + AGE_MS};
    AUTO_BUF age = BUF_LIMIT(100), safe = BUF_LIMIT(4096);
    int64_t registered;
    struct err e = {0};

    if (q->skip_dial || !q->has_dns)
        return;
    say(q, "Asking when the domain was registered... ");
    if (!domain_registered(&prober, q->domain, &registered, &e)) {
        own_dns_put_text(&safe, str_of(e.text)); // others have a part in it
        say(q, "left out (%.*s)\n", STR_FMT(buf_str(&safe)));
        return;
    }
    rdap_put_age(&age, os_now_unix() - registered);
    if (os_now_unix() - registered >= YOUNG_S)
        say(q, "OK, %.*s ago\n", STR_FMT(buf_str(&age)));
    else
        say(q, "\n\nWARNING: %.*s was registered %.*s ago. Many servers refuse mail of domains that are younger than some\n"
               "weeks, or take it for junk: send little at first, and to people who expect it.\n\n",
            STR_FMT(psl_organizational(q->domain)), STR_FMT(buf_str(&age)));
}

static void check_block_lists(struct quickstart *q)
{
    static const char *const zones[] = {"sbl.spamhaus.org", "bl.spamcop.net"};
    bool is_good = true, has_asked = false;

    if (!q->host.n || !q->has_dns)
        return;
    say(q, "Asking block lists about the addresses... ");
    for (size_t i = 0; i < q->host.n; i++)
        for (size_t j = 0; j < COUNT(zones); j++) {
            struct str ip = ip_text(q, &q->host.ips[i]);
            AUTO_BUF safe = BUF_LIMIT(4096); // others have written it
            struct dnsbl_result r;

            if (os_monotonic_ms() > q->dns_end_ms)
                break;
            has_asked = true;
            dnsbl_check(&q->dns, q->a, str_of(zones[j]), &q->host.ips[i], &r);
            if (r.status == DNSBL_NOT_LISTED)
                continue;
            is_good = false;
            own_dns_put_text(&safe, r.explanation);
            if (r.status == DNSBL_LISTED)
                say(q, "\n\nWARNING: %.*s is in %s: %.*s\nMany servers will refuse your mail. See also "
                       "https://multirbl.valli.org/lookup/%.*s.html\n", STR_FMT(ip), zones[j], STR_FMT(buf_str(&safe)),
                    STR_FMT(ip));
            else
                say(q, "\n%s does not say: %.*s\n", zones[j], STR_FMT(r.why));
        }
    say(q, !has_asked ? "left out\n" : is_good ? "OK\n" : "\n");
}

/* --- keys and passwords ----------------------------------------------------------------------------------------- */

static struct str new_password(struct quickstart *q)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#$%^&*-_;:,<.>/";
    enum { N = sizeof characters - 1 };
    char out[PASSWORD_CHARACTERS];

    for (size_t i = 0; i < sizeof out;) {
        unsigned char byte;

        os_random(&byte, 1);
        if (byte < 256 / N * N) // each character is as likely as another
            out[i++] = characters[byte % N];
    }
    return arena_dup(q->a, str_at(out, sizeof out));
}

static bool make_admin_password(struct quickstart *q, struct err *e)
{
    struct str password = new_password(q), hash;

    if (!password_hash(q->a, password, &hash, e) ||
        !make_file(q, config_path(q, STR("adminpasswd")), hash, 0600, e))
        return false;
    say_password(q, "Admin password: ", password);
    return true;
}

static bool make_host_keys(struct quickstart *q, struct str files[HOST_KEY_KINDS], struct err *e)
{
    if (!make_dir(q, config_path(q, STR("hostkeys")), 0700, e))
        return false;
    for (int kind = 0; kind < HOST_KEY_KINDS; kind++) {
        struct str pem;

        if (!host_key_new(q->a, q->hostname, os_now_unix(), (enum host_key_kind)kind, &files[kind], &pem, e) ||
            !make_file(q, config_path(q, files[kind]), pem, 0600, e))
            return false;
    }
    return true;
}

static bool make_dkim_keys(struct quickstart *q, struct str names, struct err *e)
{
    struct str name;

    if (!make_dir(q, config_path(q, STR("dkim")), 0700, e))
        return false;
    while (str_next(&names, '\n', &name)) {
        struct str pem;

        if (!key_rsa(q->a, DKIM_BITS, &pem, e) || !make_file(q, config_path(q, name), pem, 0600, e))
            return false;
    }
    return true;
}

/* --- the configuration ------------------------------------------------------------------------------------------- */

static const struct str domains_head = STR_(
    "# domains.conf: taken over while the server runs, within a second or when a command changes it, which keeps\n"
    "# your comments. \"mox config describe-domains\" prints all there is, \"mox config test\" checks it.\n\n"
    "Domains: nil\n"
    "Accounts: nil\n\n"
    "# Block lists to watch for our own addresses.\nMonitorDNSBLs:\n\t- sbl.spamhaus.org\n\t- bl.spamcop.net\n");
static const struct str domains_tail = STR_(
    "\n# Mail of a mailing list can go to a mailbox of its own: in an account, below one of its Destinations.\n"
    "#\n"
    "#\t\t\tyou@example.org:\n"
    "#\t\t\t\tRulesets:\n"
    "#\t\t\t\t\t-\n"
    "#\t\t\t\t\t\t# Mail that the list's domain is proved to have sent, and a field that it writes.\n"
    "#\t\t\t\t\t\tVerifiedDomain: lists.example.net\n"
    "#\t\t\t\t\t\tHeadersRegexp:\n"
    "#\t\t\t\t\t\t\t^list-id$: <friends\\.lists\\.example\\.net>\n"
    "#\t\t\t\t\t\tListAllowDomain: lists.example.net\n"
    "#\t\t\t\t\t\tMailbox: Lists/friends\n");

static bool make_domains(struct quickstart *q, struct str account, struct err *e)
{
    const struct config_edit *add = config_edit_of(STR("domainadd"));
    struct str arguments[CONFIG_EDIT_MAX_ARGUMENTS] = {STR("false"), q->domain_text, account, q->localpart};
    struct config_editor ed = {0};
    bool is_ok;

    is_ok = config_editor_begin(&ed, q->a, domains_head, e);
    ed.now_unix = os_now_unix();
    ed.postmaster = account;
    ed.hostname = q->hostname_text;
    ed.has_mtasts = true;
    is_ok = is_ok && add->run(&ed, arguments, e) && make_dkim_keys(q, ed.new_keys, e) &&
            make_file(q, config_path(q, STR("domains.conf")),
                      arena_printf(q->a, "%.*s%.*s", STR_FMT(ed.file.text), STR_FMT(domains_tail)), 0640, e);
    config_editor_end(&ed);
    return is_ok;
}

static bool make_main(struct quickstart *q, struct str account, struct err *e)
{
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    struct str keys[HOST_KEY_KINDS] = {{0}};
    struct config_new new = {
        .user = q->user, .hostname = q->hostname_text, .domain = q->domain_text, .account = account,
        .ips = q->ips, .n_ips = q->n_ips, .nat_ips = q->nat_ips, .n_nat_ips = q->n_nat_ips,
        .internal_ips = q->internal_ips, .n_internal_ips = q->n_internal_ips, .host_keys = keys,
        .n_host_keys = q->has_webserver ? 0 : HOST_KEY_KINDS, .has_webserver = q->has_webserver,
        .is_everywhere = q->is_everywhere,
    };

    new.contact = arena_printf(q->a, "%.*s@%.*s", STR_FMT(str_is_ascii(q->localpart) ? q->localpart : STR("postmaster")),
                               STR_FMT(q->domain));
    if (!q->has_webserver && !make_host_keys(q, keys, e))
        return false;
    config_put_new(&text, &new);
    return make_file(q, config_path(q, STR("mox.conf")), buf_str(&text), 0640, e);
}

// The databases that the password is in; serve gives them to those who use them.
static bool make_account(struct quickstart *q, struct str account, struct err *e)
{
    static const char *const files[] = {"auth.db", "auth.db-wal", "auth.db-shm"};
    struct str password = new_password(q), data = config_path(q, STR("../data")), dir;
    AUTO_FD here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct credentials *c;
    bool is_ok;

    dir = arena_printf(q->a, "%.*s/auth", STR_FMT(data));
    if (here < 0 || !make_dir(q, data, 0750, e) || !make_dir(q, dir, 0700, e))
        return here >= 0 ? false : fail_errno(e, "opening the current directory");
    // Passwords of accounts that were here before stay, whatever becomes of this one.
    for (size_t i = 0; i < COUNT(files); i++) {
        struct str file = arena_printf(q->a, "%.*s/%s", STR_FMT(dir), files[i]);

        if (access(arena_cstring(q->a, file), F_OK) && !note_made(q, file, false, e))
            return false;
    }
    if (chdir(arena_cstring(q->a, dir)))
        return fail_errno(e, "entering %.*s", STR_FMT(dir));
    c = credentials_open(e);
    is_ok = c && credentials_set(c, account, password, e);
    credentials_close(c);
    if (fchdir(here))
        return fail_errno(e, "changing directories");
    if (is_ok)
        say_password(q, arena_cstring(q->a, arena_printf(q->a, "Password of %.*s@%.*s: ", STR_FMT(q->localpart),
                                                         STR_FMT(q->domain_text))), password);
    return is_ok;
}

/* --- what is to be done then -------------------------------------------------------------------------------------- */

static bool say_settings(struct quickstart *q, struct err *e)
{
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    const struct sconf_node *domain;
    struct config config;

    if (!paths_load(q->a, &config, &problems, e) ||
        !paths_domain(q->a, &config, arena_cstring(q->a, q->domain), &domain, e)) {
        put_out(q, buf_str(&problems));
        return false;
    }
    BUF_PUT(&out, "\nSettings for mail clients:\n\n");
    if (!client_table_put(q->a, &config, domain, &out, e))
        return false;
    BUF_PUT(&out, "\nBelow are the DNS records that the domain needs. If it has mail already, look at its present ones first:\n"
                  "SPF and DMARC records of today stop to count where these replace them, and mail goes to this server\n"
                  "as soon as the MX record says so. Print them again with \"mox config dnsrecords ");
    buf_printf(&out, "%.*s\", and check\nthem with \"mox config dnscheck %.*s\".\n\n", STR_FMT(q->domain), STR_FMT(q->domain));
    if (!zone_text_put(q->a, &config, domain, q->has_dnssec, &out, e))
        return false;
    put_out(q, buf_str(&out));
    return true;
}

static bool is_user_known(struct quickstart *q)
{
    const char *name = arena_cstring(q->a, q->user);
    uint64_t number;

    return str_u64(q->user, UINT32_MAX, &number) || (name && getpwnam(name));
}

static bool make_service(struct quickstart *q, struct err *e)
{
    AUTO_BUF unit = BUF_LIMIT(1 << 16);
    struct str path = arena_printf(q->a, "%.*s/mox.service", STR_FMT(q->dir));
    const char *docker = getenv("MOX_DOCKER");
    bool is_packaged = access("/usr/lib/systemd/system/mox.service", F_OK) == 0;

    say(q, "\n");
    if (!is_user_known(q))
        say(q, "The server needs a user of its own, and better also ids for its roles and accounts, which nobody else has. As root:\n\n"
               "    useradd -r -d %.*s -s /usr/sbin/nologin %.*s\n    usermod --add-subuids 1879048192-1879113727 %.*s\n\n",
            STR_FMT(q->dir), STR_FMT(q->user), STR_FMT(q->user));
    if (docker && docker[0])
        return true;
    if (is_packaged) {
        say(q, "Start the server, now and when the machine starts:\n\n    systemctl enable --now mox\n    journalctl -f -u mox\n");
        return true;
    }
    service_unit_put(&unit, q->dir);
    if (!make_file(q, path, buf_str(&unit), 0644, e))
        return false;
    say(q, "A unit for systemd is in %.*s. As root:\n\n    systemctl enable --now %.*s\n    journalctl -f -u mox\n",
        STR_FMT(path), STR_FMT(path));
    return true;
}

static void say_pages(struct quickstart *q)
{
    bool is_elsewhere = q->has_webserver || q->is_everywhere;
    const char *port = is_elsewhere ? ":1080" : "";

    say(q, "\nPages for this machine only, with their passwords above:\n\n"
           "    account   http://localhost%s/\n    admin     http://localhost%s/admin/\n    webmail   http://localhost%s/webmail/\n\n"
           "From elsewhere, by way of ssh: ssh -L 8080:localhost:%s you@%.*s, then http://localhost:8080/.\n",
        port, port, port, is_elsewhere ? "1080" : "80", STR_FMT(q->hostname));
    if (q->has_webserver)
        say(q, "\nBefore the server starts, put the paths of your certificates into mox.conf (path/to/...), and have your web\n"
               "server pass on what the comments there say; \"mox config test\" tells what is missing.\n");
    say(q, "\nAll of this is in quickstart.log, without the passwords.\n");
}

/* --- the steps -------------------------------------------------------------------------------------------------------- */

static bool take_address(struct quickstart *q, const char *text, struct err *e)
{
    struct address address;

    if (!address_parse_spec(q->a, str_of(text), &address) || !address.localpart.n || !address.domain.n)
        return fail(e, ERR_SYNTAX, "\"%s\" is no email address", text);
    q->localpart = arena_lower(q->a, address.localpart);
    return domain_to_ascii(q->a, address.domain, &q->domain, e) && domain_to_unicode(q->a, q->domain, &q->domain_text, e);
}

// One that there is not yet can be made; root, the server would refuse when it starts.
static bool check_user(struct quickstart *q, struct err *e)
{
    const char *name = arena_cstring(q->a, q->user);
    struct os_user unused;
    struct err why = {0};

    if (name && (os_user_find(name, &unused, &why) || why.kind != ERR_DENIED))
        return true;
    return fail(e, ERR_DENIED, "the server's user must be another than root");
}

// What is there belongs to somebody: better now than after all questions.
static bool check_is_new(struct quickstart *q, struct err *e)
{
    static const char *const names[] = {"mox.conf", "domains.conf"};

    for (size_t i = 0; i < COUNT(names); i++) {
        const char *path = arena_cstring(q->a, config_path(q, str_of(names[i])));

        if (access(path, F_OK) == 0)
            return fail(e, ERR_CONFLICT, "%s is there already: quickstart is for a new installation", path);
    }
    return true;
}

static bool open_log(struct quickstart *q, struct err *e)
{
    struct str path = arena_printf(q->a, "%.*s/quickstart.log", STR_FMT(q->dir));

    if (!make_file(q, path, STR(""), 0600, e))
        return false;
    q->log_fd = open(arena_cstring(q->a, path), O_WRONLY | O_APPEND | O_CLOEXEC);
    return q->log_fd >= 0 || fail_errno(e, "opening quickstart.log");
}

// The configuration's directory is below that of the server.
static bool find_dirs(struct quickstart *q, struct err *e)
{
    struct str config = paths_config_dir();
    char *path;

    if (config.n && !make_dir(q, str_sub(config, 0, config.n - 1), 0750, e))
        return false;
    path = realpath(arena_cstring(q->a, config_path(q, STR(".."))), NULL);
    if (!path)
        return fail_errno(e, "finding the directory above that of the configuration");
    q->dir = arena_dup(q->a, str_of(path));
    free(path);
    return true;
}

static bool run(struct quickstart *q, const char *address, const char *hostname, struct err *e)
{
    struct str account;

    if (!take_address(q, address, e) || !check_user(q, e) || !check_is_new(q, e) || !find_dirs(q, e) || !open_log(q, e))
        return false;
    account = q->localpart;
    if (!str_is_ascii(account))
        say(q, "NOTE: the localpart has letters that are not ASCII: some servers cannot write to such an address.\n\n");
    check_dnssec(q);
    q->n_own = net_own_addresses(q->own, MAX_OWN);
    if (!find_hostname(q, hostname, e))
        return false;
    look_up_host(q);
    choose_ips(q);
    check_reverse(q);
    check_dial(q);
    check_age(q);
    check_block_lists(q);
    say(q, "\n");
    return make_admin_password(q, e) && make_main(q, account, e) && make_domains(q, account, e) &&
           make_account(q, account, e) && say_settings(q, e) && make_service(q, e);
}

int cmd_quickstart(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    struct quickstart q = {.a = &a, .log_fd = -1};
    const char *hostname = NULL;
    const struct cmd_flag flags[] = {{"hostname", &hostname, NULL},
                                     {"existing-webserver", NULL, &q.has_webserver},
                                     {"skipdial", NULL, &q.skip_dial}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct err e = {0};
    mode_t old;
    bool is_ok;

    if (at < 0 || argc - at < 1 || argc - at > 2)
        return cmd_usage("quickstart");
    q.user = argc - at == 2 ? str_of(argv[at + 1]) : STR("mox");
    old = umask(0077);
    is_ok = run(&q, argv[at], hostname, &e);
    umask(old);
    if (is_ok)
        say_pages(&q);
    else
        take_back(&q);
    fd_close(&q.log_fd);
    return is_ok ? 0 : cmd_fail(&e);
}
