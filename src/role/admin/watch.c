/*
 * Whether our own addresses are in block lists (mox-imap-store-cli-config.md 5.7): asked at start, every few hours, and sooner
 * when much mail leaves. Told in the log and as a metric.
 */
#include <stdlib.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "policy/dnsbl.h"
#include "policy/mx.h"
#include "role/admin/admin.h"
#include "role/admin/lookup.h"

enum {
    EVERY_MS = 3 * 3600 * 1000,
    SOONEST_MS = 5 * 60 * 1000,
    MANY_CONNECTIONS = 100, // of mail that left
    PAUSE_MS = 1000,        // between two questions
    MAX_ZONES = 32,
    MAX_ADDRESSES = 32,
};

/* An address in a list: what was found last. */
struct listing {
    unsigned zone, ip; // as values of labels
    enum dnsbl_status status;
    bool is_known; // was asked
    bool is_wanted;
};

static struct {
    struct arena a;
    struct str zones[MAX_ZONES];
    size_t n_zones;
    struct ip configured[MAX_ADDRESSES];
    size_t n_configured;
    bool is_everywhere; // a listener has all of the machine's addresses: those of the host's name are meant
} what;

static void run_step(void);

static struct {
    enum { IDLE, FINDING_HOST, ASKING } state;
    struct lookup lookup; // open while the question of one step is asked
    int64_t next_ms;      // the next question, or round
    int64_t ended_ms;     // the last round
    unsigned connections; // since then
    struct ip ips[MAX_ADDRESSES];
    size_t n_ips, at; // the pair that is asked about
    struct listing listings[MAX_ZONES * MAX_ADDRESSES];
    size_t n_listings;
} watch = {.lookup = {run_step}};

static bool is_others(const struct ip *ip)
{
    const char *is_test = getenv("MOX_DIAL_PRIVATE"); // this machine is the Internet then

    return ip_is_public(ip) || (is_test && str_eq(str_of(is_test), STR("1")));
}

static bool is_any(const struct ip *ip)
{
    struct str bytes = ip_bytes(ip);

    for (size_t i = 0; i < bytes.n; i++)
        if (bytes.p[i])
            return false;
    return true;
}

bool admin_use_watch(struct str text, struct err *e)
{
    struct cur c = cur_of(text);
    enum compiled_type type;
    struct ipc_watched_zone zone;
    struct ipc_watched_address address;
    struct str body;

    arena_fini(&what.a);
    what.a = (struct arena)ARENA_LIMIT(1 << 16);
    what.n_zones = what.n_configured = 0;
    what.is_everywhere = false;
    while (compiled_next(&c, &type, &body, e))
        if (type == COMPILED_watched_zone) {
            if (!ipc_watched_zone_get(body, &zone, e))
                return false;
            if (what.n_zones < MAX_ZONES)
                what.zones[what.n_zones++] = arena_dup(&what.a, zone.name);
        } else if (type == COMPILED_watched_address) {
            struct ip ip;

            if (!ipc_watched_address_get(body, &address, e))
                return false;
            if (!ip_parse(address.ip, &ip))
                continue;
            what.is_everywhere = what.is_everywhere || is_any(&ip);
            if (!is_any(&ip) && is_others(&ip) && what.n_configured < MAX_ADDRESSES)
                what.configured[what.n_configured++] = ip;
        }
    // What was asked about may not be ours any more, and what is new is asked about at once.
    lookup_end(&watch.lookup);
    watch.state = IDLE;
    watch.next_ms = 0;
    return !e->kind;
}

void admin_watch_connection(void)
{
    watch.connections++;
}

/* --- what is found ---------------------------------------------------------------------------------- */

static struct str ip_text(struct arena *a, const struct ip *ip)
{
    AUTO_BUF text = BUF_LIMIT(64);

    ip_put(&text, ip);
    return arena_dup(a, buf_str(&text));
}

static struct listing *listing_of(struct str zone, struct str ip)
{
    unsigned z = metric_name(zone), i = metric_name(ip);
    struct listing *f;

    for (size_t n = 0; n < watch.n_listings; n++)
        if (watch.listings[n].zone == z && watch.listings[n].ip == i)
            return &watch.listings[n];
    if (watch.n_listings == COUNT(watch.listings))
        return NULL;
    f = &watch.listings[watch.n_listings++];
    *f = (struct listing){z, i, DNSBL_NOT_LISTED, false, false};
    return f;
}

// The log has what changed.
static void note(struct listing *f, struct str zone, struct str ip, const struct dnsbl_result *r)
{
    bool is_new = !f->is_known || f->status != r->status;

    METRIC_SET(dnsbl_ips_success, r->status == DNSBL_NOT_LISTED, f->zone, f->ip);
    if (is_new && r->status == DNSBL_LISTED)
        LOG(LOG_WARN, "dnsbl", "an address of ours is in a block list", LOG_S("zone", zone), LOG_S("ip", ip),
            LOG_S("explanation", r->explanation));
    else if (is_new && r->status == DNSBL_ERROR)
        LOG(LOG_INFO, "dnsbl", "a block list does not say whether it has an address of ours", LOG_S("zone", zone),
            LOG_S("ip", ip), LOG_S("why", r->why));
    else if (is_new)
        LOG(LOG_INFO, "dnsbl", "an address of ours is not in a block list", LOG_S("zone", zone), LOG_S("ip", ip));
    f->is_known = f->is_wanted = true;
    f->status = r->status;
}

// unknown: which addresses are ours was not to be found out. Else what this round did not ask about is shown no longer.
static void end_round(bool is_unknown)
{
    size_t kept = 0;

    for (size_t i = 0; i < watch.n_listings; i++) {
        struct listing *f = &watch.listings[i];

        if (is_unknown)
            METRIC_SET(dnsbl_ips_success, -1, f->zone, f->ip);
        else if (!f->is_wanted)
            METRIC_SET(dnsbl_ips_success, METRIC_GONE, f->zone, f->ip);
        if (is_unknown || f->is_wanted)
            watch.listings[kept++] = *f;
    }
    watch.n_listings = kept;
    watch.state = IDLE;
    watch.ended_ms = os_monotonic_ms();
    watch.next_ms = watch.ended_ms + EVERY_MS;
    watch.connections = 0;
}

/* --- questions --------------------------------------------------------------------------------------- */

static void end_step(void)
{
    lookup_end(&watch.lookup);
    watch.next_ms = os_monotonic_ms() + PAUSE_MS;
}

static void add_ip(const struct ip *ip)
{
    for (size_t i = 0; i < watch.n_ips; i++)
        if (ip_eq(&watch.ips[i], ip))
            return;
    if (watch.n_ips < MAX_ADDRESSES)
        watch.ips[watch.n_ips++] = *ip;
}

// With the answers that there are.
static void run_host(const struct dns *dns, struct arena *a)
{
    struct mx_addresses host;

    mx_addresses(dns, a, admin_settings()->hostname, MX_IPV4 | MX_IPV6, NULL, 0, &host);
    if (lookup_is_missing(&watch.lookup))
        return;
    end_step();
    for (size_t i = 0; i < host.n; i++)
        if (is_others(&host.ips[i]))
            add_ip(&host.ips[i]);
    watch.state = ASKING;
    if (watch.n_ips)
        return;
    LOG(LOG_WARN, "dnsbl", "own addresses are not known, and not looked up in block lists", LOG_S("why", host.why));
    end_round(true);
}

static void run_pair(const struct dns *dns, struct arena *a)
{
    struct str zone = what.zones[watch.at % what.n_zones], ip = ip_text(a, &watch.ips[watch.at / what.n_zones]);
    struct dnsbl_result r;
    struct listing *f;

    dnsbl_check(dns, a, zone, &watch.ips[watch.at / what.n_zones], &r);
    if (lookup_is_missing(&watch.lookup))
        return;
    end_step();
    f = listing_of(zone, ip);
    if (f)
        note(f, zone, ip, &r);
    if (++watch.at == watch.n_ips * what.n_zones)
        end_round(false);
}

static void run_step(void)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct dns dns;

    if (!watch.lookup.is_open)
        lookup_begin(&watch.lookup);
    dns = lookup_dns(&watch.lookup);
    if (watch.state == FINDING_HOST)
        run_host(&dns, &a);
    else
        run_pair(&dns, &a);
}

/* --- when -------------------------------------------------------------------------------------------- */

static void begin_round(void)
{
    watch.n_ips = watch.at = 0;
    for (size_t i = 0; i < watch.n_listings; i++)
        watch.listings[i].is_wanted = false;
    for (size_t i = 0; i < what.n_configured; i++)
        add_ip(&what.configured[i]);
    if (!what.n_zones || (!watch.n_ips && !what.is_everywhere)) {
        end_round(false);
        return;
    }
    watch.state = what.is_everywhere ? FINDING_HOST : ASKING;
    run_step();
}

void admin_watch_tick(void)
{
    int64_t now = os_monotonic_ms();

    if (watch.state == IDLE) {
        if (now >= watch.next_ms ||
            (watch.connections >= MANY_CONNECTIONS && now - watch.ended_ms >= SOONEST_MS))
            begin_round();
    } else if (!watch.lookup.is_open && now >= watch.next_ms) {
        run_step();
    }
}
