#include "ipc/metrics.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cur.h"
#include "base/log.h"
#include "base/map.h"
#include "os/file.h"

/* --- the table ------------------------------------------------------------------------------------- */

// Values that are no words: these lists stand for what they are named after.
static const char *const NUMBER[] = {NULL};
static const char *const ENHANCED[] = {NULL};
static const char *const NAME[] = {NULL}; // 0: empty; from 1 on the page's; then "(other)"
static const char *const roles[] = {NULL};
static const char *const page_role[] = {NULL};
#define BY_ROLE {"role", page_role}

// Of all others the last value is for what is none of them.
static const char *const versions[] = {MOX_VERSION, NULL};
static const char *const protocols[] = {"smtp", "submission", "imap", "http", NULL};
static const char *const smtp_kinds[] = {"smtp", "submission", NULL};
// As enum smtp_verb.
static const char *const smtp_commands[] = {"helo", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "bdat",
                                            "rset", "vrfy", "expn", "help", "noop", "quit", "(unknown)", NULL};
static const char *const delivery_results[] = {"delivered", "reject", "unknownuser", "delivererror", NULL};
static const char *const reasons[] = { // of policy/decide.c
    "", "dmarc-policy", "give-subjectpass", "high-rate", "junk-classify-error", "junk-content", "junk-content-strict",
    "junk-filter-error", "list-allow", "msg-auth-required", "no-bad-signals", "reporting", "subjectpass", "msgfromfull",
    "msgtofull", "msgfromdomain", "msgtodomain", "msgfromorgdomain", "msgtoorgdomain", "dkim", "spf", "mailfromfull",
    "mailfromdomain", "helo", "ip1", "ip2", "ip3", "other", NULL};
static const char *const starttls_errors[] = { // as tls_end_put_label has them
    "eof", "nottls", "unsupportedversions", "alert-10-unexpected-message", "alert-20-bad-record-mac",
    "alert-22-record-overflow", "alert-40-handshake-failure", "alert-42-bad-certificate",
    "alert-43-unsupported-certificate", "alert-44-certificate-revoked", "alert-45-certificate-expired",
    "alert-46-certificate-unknown", "alert-47-illegal-parameter", "alert-48-unknown-ca", "alert-49-access-denied",
    "alert-50-decode-error", "alert-51-decrypt-error", "alert-70-protocol-version", "alert-71-insufficient-security",
    "alert-80-internal-error", "alert-90-user-canceled", "alert-110-unsupported-extension",
    "alert-112-unrecognized-name", "alert-120-no-application-protocol", "other", NULL};
static const char *const submission_results[] = {"ok", "badfrom", "badheader", "messagelimiterror", "queueerror", NULL};
static const char *const login_kinds[] = {"submission", "imap", "webmail", "webapi", "webaccount", "webadmin", "other", NULL};
static const char *const variants[] = {"login", "plain", "scram-sha-256", "scram-sha-1", "scram-sha-256-plus",
                                       "scram-sha-1-plus", "cram-md5", "tlsclientauth", "external", "oauthbearer",
                                       "other", NULL};
static const char *const login_results[] = {"ok", "baduser", "badpassword", "badcreds", "badchanbind", "badprotocol",
                                            "logindisabled", "error", "aborted", "other", NULL};
static const char *const auth_results[] = {"none", "pass", "fail", "softfail", "neutral", "policy", "temperror",
                                           "permerror", NULL}; // as enum auth_result
static const char *const algorithms[] = {"rsa-sha256", "ed25519-sha256", "rsa-sha1", NULL}; // as enum dkim_algorithm
static const char *const key_types[] = {"rsa", "ed25519", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};
static const char *const dnsbl_results[] = {"pass", "fail", "temperror", NULL}; // as enum dnsbl_status
static const char *const junk_results[] = {"ham", "spam", "unknown", NULL};
static const char *const imap_services[] = {"imap", "imaps", NULL};
static const char *const imap_commands[] = {
    "append", "authenticate", "capability", "check", "close", "compress", "copy", "create", "delete", "enable", "esearch", "examine",
    "expunge", "fetch", "getmetadata", "getquota", "getquotaroot", "id", "idle", "list", "login", "logout", "lsub", "move",
    "namespace", "noop", "notify", "starttls", "rename", "replace", "search", "select", "setmetadata", "setquota", "sort", "status",
    "store", "subscribe", "thread", "unauthenticate", "unselect", "unsubscribe", "(unrecognized)", NULL};
static const char *const imap_results[] = {"ok", "badsyntax", "servererror", "usererror", NULL};
static const char *const dns_types[] = {"a", "aaaa", "mx", "txt", "ptr", "tlsa", "cname", "ns", "srv", "hosts", "other", NULL};
static const char *const dns_results[] = {"ok", "nxdomain", "temporary", "error", NULL};
static const char *const dial_results[] = {"ok", "timeout", "error", NULL};
static const char *const tls_modes[] = {"skip", "opportunistic", NULL}; // what came of it
static const char *const attempt_results[] = {"ok", "temperror", "permerror", NULL};
static const char *const requiretls_reasons[] = {"nopolicy", "norequiretls", NULL};
static const char *const tlsrequiredno_ignored[] = {"mtastspolicy", "mtastsmx", "badtls", "badtlsa", NULL};
static const char *const client_commands[] = {"ehlo", "helo", "starttls", "auth", "mail", "rcpt", "data", "bdat", ".",
                                              "rset", "quit", "greeting", "(other)", NULL};
static const char *const client_details[] = { // subject and detail of RFC 3463 and of its registry: what servers do say
    "", "0.0", "1.0", "1.1", "1.2", "1.3", "1.5", "1.6", "1.7", "1.8", "1.10", "2.0", "2.1", "2.2", "2.3", "3.0", "3.2",
    "3.4", "4.0", "4.1", "4.2", "4.4", "4.5", "4.7", "5.0", "5.1", "5.2", "5.3", "5.4", "6.0", "6.7", "7.0", "7.1", "7.4",
    "7.5", "7.7", "7.8", "7.20", "7.21", "7.23", "7.25", "7.26", "7.27", "7.28", "7.29", "7.30", "other", NULL};
static const char *const client_ignored[] = {"daneverification", NULL};
static const char *const sts_kept[] = {"nopolicy", "ok", "temporary", "fetch", NULL}; // as enum sts_status, from 1
static const char *const sts_results[] = {"ok", "lookuperror", "fetcherror", NULL};
static const char *const client_results[] = {"ok", "error", NULL};
static const char *const dispositions[] = {"none", "quarantine", "reject", "other", NULL};
static const char *const evaluated[] = {"pass", "fail", "other", NULL};
static const char *const report_results[] = {"none", "pass", "fail", "softfail", "neutral", "policy", "temperror",
                                             "permerror", "other", NULL};
static const char *const session_types[] = { // RFC 8460 4.3
    "success", "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
    "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
    "sts-policy-invalid", "sts-webpki-invalid", "other", NULL};
static const char *const tlsrpt_results[] = {"ok", "none", "temporary", NULL};
static const char *const update_results[] = {"ok", "error", NULL};
static const char *const subjectpass_results[] = {"ok", "fail", NULL};
static const char *const server_errors[] = {"dkimsign", NULL};
static const char *const web_handlers[] = {"account", "admin", "webmail", "webapi", "metrics", "autoconfig", "mtasts",
                                           "index", "(nomatch)", "(badrequest)", "other", NULL};
static const char *const web_protocols[] = {"http", "https", "ws", "wss", NULL};
static const char *const methods[] = {"get", "head", "post", "put", "delete", "options", "patch", "connect", "trace",
                                      "(other)", NULL};

// Upper bounds in milliseconds.
struct buckets {
    const uint32_t *ms;
    unsigned n;
};
#define BUCKETS(...) {(const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)}
#define NO_BUCKETS {NULL, 0}
#define TO_20 BUCKETS(1, 5, 10, 50, 100, 500, 1000, 5000, 10000, 20000)
#define TO_30 BUCKETS(1, 5, 10, 50, 100, 500, 1000, 5000, 10000, 20000, 30000)
#define TO_20_COARSE BUCKETS(10, 50, 100, 500, 1000, 5000, 10000, 20000)
#define TO_30_COARSE BUCKETS(10, 50, 100, 500, 1000, 5000, 10000, 20000, 30000)
#define TO_120 BUCKETS(1, 5, 10, 50, 100, 500, 1000, 5000, 10000, 20000, 30000, 60000, 120000)
#define TO_120_COARSE BUCKETS(10, 50, 100, 500, 1000, 5000, 10000, 20000, 30000, 60000, 120000)

static const struct metric_info {
    struct str name;
    enum metric_type type;
    struct str help;
    struct buckets buckets;
    struct {
        const char *name;
        const char *const *values;
    } labels[METRIC_LABELS];
} table[METRIC_COUNT] = {
#define METRIC_ROW_(name, type, help, buckets, ...)                                                \
    {STR_("mox_" #name), METRIC_##type, STR_(help), buckets, {__VA_ARGS__}},
    METRICS(METRIC_ROW_)
#undef METRIC_ROW_
};

static unsigned n_values(const char *const *values)
{
    unsigned n = 0;

    if (values == NUMBER || values == ENHANCED)
        return METRIC_MAX_NUMBER + 1;
    if (values == NAME)
        return METRICS_NAMES + 2;
    if (values == roles || values == page_role)
        return ROLE_COUNT;
    while (values[n])
        n++;
    return n;
}

unsigned metric_word(enum metric m, unsigned i, struct str word)
{
    const char *const *values = table[m].labels[i].values;
    unsigned at = 0;

    while (values[at] && values[at + 1] && !str_eq_ci(str_of(values[at]), word))
        at++;
    return at;
}

unsigned metric_enhanced(struct str code)
{
    struct cur c = cur_of(code);
    uint64_t class, subject, detail;

    return cur_u64(&c, 9, &class) && cur_skip(&c, '.') && cur_u64(&c, 9, &subject) && cur_skip(&c, '.') &&
                   cur_u64(&c, 99, &detail)
               ? (unsigned)(subject * 100 + detail)
               : 0;
}

unsigned metric_code(unsigned code)
{
    static const uint16_t known[] = {200, 201, 202, 204, 220, 221, 235, 250, 251, 252, 301, 302, 303, 304, 307, 308, 334,
                                     354, 400, 401, 403, 404, 405, 408, 409, 410, 413, 421, 429, 450, 451, 452, 454, 455,
                                     500, 501, 502, 503, 504, 521, 530, 535, 550, 551, 552, 553, 554, 555, 556};

    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i] == code)
            return code;
    return code >= 100 && code < 600 ? code / 100 * 100 : 0;
}

/* --- counting -------------------------------------------------------------------------------------- */

/*
 * A key has the metric, its labels' values, and of a histogram the bucket: from the highest bits to the lowest, so that
 * what belongs together is together when sorted. 0 is a free place.
 */
enum { BUCKET_BITS = 5, VALUE_BITS = 12, METRIC_SHIFT = BUCKET_BITS + METRIC_LABELS * VALUE_BITS,
       SUM_BUCKET = (1 << BUCKET_BITS) - 1, VALUE_MASK = (1 << VALUE_BITS) - 1, MAX_STEPS = 64 };

static struct metrics_page private_page;
static struct metrics_page *page = &private_page;

static uint64_t key_of(enum metric m, const unsigned labels[METRIC_LABELS], unsigned bucket)
{
    uint64_t key = (uint64_t)m + 1;

    for (size_t i = 0; i < METRIC_LABELS; i++) {
        unsigned n = table[m].labels[i].name ? n_values(table[m].labels[i].values) : 1;

        key = key << VALUE_BITS | (labels[i] < n ? labels[i] : n - 1);
    }
    return key << BUCKET_BITS | bucket;
}

static unsigned value_of(uint64_t key, size_t label)
{
    return (unsigned)(key >> (BUCKET_BITS + (METRIC_LABELS - 1 - label) * VALUE_BITS)) & VALUE_MASK;
}

// The number of the series, which others may add at the same time; NULL when there is no room.
static uint64_t *number_of(uint64_t key)
{
    size_t at = (size_t)(key * 0x9e3779b97f4a7c15 >> 32);

    for (int step = 0; step < MAX_STEPS; step++) {
        struct metrics_place *place = &page->places[(at + (size_t)step) % METRICS_PLACES];
        uint64_t found = __atomic_load_n(&place->key, __ATOMIC_RELAXED);

        if (!found && __atomic_compare_exchange_n(&place->key, &found, key, false, __ATOMIC_RELAXED,
                                                  __ATOMIC_RELAXED)) {
            found = key;
            __atomic_fetch_add(&page->n_places, 1, __ATOMIC_RELAXED);
        }
        if (found == key)
            return &place->value;
    }
    return NULL;
}

unsigned metric_foreign_word(enum metric m, unsigned i, struct str word)
{
    bool has_room = __atomic_load_n(&page->n_places, __ATOMIC_RELAXED) < METRICS_PLACES / 2;

    return metric_word(m, i, has_room ? word : STR("other"));
}

static void add(uint64_t key, uint64_t n)
{
    uint64_t *number = number_of(key);

    if (number)
        __atomic_fetch_add(number, n, __ATOMIC_RELAXED);
}

void metric_add(enum metric m, const unsigned labels[METRIC_LABELS], uint64_t n)
{
    add(key_of(m, labels, 0), n);
}

void metric_observe(enum metric m, const unsigned labels[METRIC_LABELS], int64_t ms)
{
    const struct buckets *b = &table[m].buckets;
    unsigned bucket = 0;

    if (ms < 0)
        ms = 0;
    while (bucket < b->n && ms > b->ms[bucket])
        bucket++;
    add(key_of(m, labels, bucket), 1);
    add(key_of(m, labels, SUM_BUCKET), (uint64_t)ms);
}

void metric_set(enum metric m, const unsigned labels[METRIC_LABELS], int64_t value)
{
    uint64_t *number = number_of(key_of(m, labels, 0));

    if (number)
        __atomic_store_n(number, (uint64_t)value, __ATOMIC_RELAXED);
}

static struct str text_of(const struct metrics_name *n)
{
    return str_at(n->text, strnlen(n->text, sizeof n->text));
}

unsigned metric_name(struct str name)
{
    struct str cut = str_sub(name, 0, METRICS_NAME_BYTES - 1);

    if (!name.n)
        return 0;
    for (unsigned i = 0; i < METRICS_NAMES; i++) {
        struct metrics_name *n = &page->names[i];
        uint32_t state = 0;

        if (__atomic_compare_exchange_n(&n->state, &state, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
            memcpy(n->text, cut.p, cut.n);
            __atomic_store_n(&n->state, 2, __ATOMIC_RELEASE);
            return i + 1;
        }
        // One that another process is writing may be the same: it is there twice then, and shown once.
        if (state == 2 && str_eq(text_of(n), cut))
            return i + 1;
    }
    return METRICS_NAMES + 1;
}

/* --- pages ------------------------------------------------------------------------------------------ */

int metrics_file(struct err *e)
{
    return os_memfile_sized("metrics", sizeof(struct metrics_page), e);
}

int metrics_file_read_only(int fd, struct err *e)
{
    char path[40];
    int copy;

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    copy = open(path, O_RDONLY | O_CLOEXEC);
    if (copy < 0)
        fail_errno(e, "metrics to read");
    return copy;
}

static void count_line(enum log_level level)
{
    if (level == LOG_ERROR)
        METRIC(logging_level_error_total);
    else if (level == LOG_WARN)
        METRIC(logging_level_warn_total);
    else if (level == LOG_INFO)
        METRIC(logging_level_info_total);
}

bool metrics_use(int fd, struct err *e)
{
    void *p = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return fail_errno(e, "metrics");
    page = p;
    log_count_with(count_line);
    return true;
}

const struct metrics_page *metrics_map(int fd, struct err *e)
{
    void *p = mmap(NULL, sizeof *page, PROT_READ, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        fail_errno(e, "metrics to read");
    return p == MAP_FAILED ? NULL : p;
}

const struct metrics_page *metrics_own(void)
{
    return page;
}

/* --- showing --------------------------------------------------------------------------------------- */

struct number {
    uint64_t key, value;
};

// Whether the key is one that this program makes.
static bool is_valid(uint64_t key)
{
    uint64_t m = (key >> METRIC_SHIFT) - 1;
    unsigned bucket = key & SUM_BUCKET;
    const struct metric_info *info;

    if (m >= METRIC_COUNT)
        return false;
    info = &table[m];
    for (size_t i = 0; i < METRIC_LABELS; i++)
        if (value_of(key, i) >= (info->labels[i].name ? n_values(info->labels[i].values) : 1))
            return false;
    return info->type == METRIC_HISTOGRAM ? bucket <= info->buckets.n || bucket == SUM_BUCKET : !bucket;
}

/* Names of all pages: equal ones are one. Number 0 is the empty one. */
struct names {
    struct map numbers; // text -> its number
    struct str *texts;
    size_t n, cap;
    struct arena a;
};

static unsigned number_of_name(struct names *all, struct str text)
{
    size_t number = text.n ? (size_t)map_get(&all->numbers, text) : 0;

    if (!text.n || number)
        return (unsigned)number;
    if (!all->n)
        *ARENA_PUSH(&all->a, all->texts, &all->n, &all->cap) = STR("");
    number = all->n;
    *ARENA_PUSH(&all->a, all->texts, &all->n, &all->cap) = text;
    map_put(&all->numbers, text, (void *)number);
    return (unsigned)number;
}

// Whatever is in a page: printable characters, none of which means something in a label. What is being written is empty.
static struct str plain_name(struct names *all, const struct metrics_page *p, unsigned v)
{
    const struct metrics_name *n;
    struct str text;
    char *out;

    if (!v || v > METRICS_NAMES)
        return v ? STR("(other)") : STR("");
    n = &p->names[v - 1];
    if (__atomic_load_n(&n->state, __ATOMIC_ACQUIRE) != 2)
        return STR("");
    text = arena_dup(&all->a, text_of(n));
    out = (char *)(uintptr_t)text.p;
    for (size_t i = 0; i < text.n; i++)
        if (out[i] <= ' ' || out[i] > '~' || out[i] == '"' || out[i] == '\\')
            out[i] = '?';
    return text;
}

// The key with the numbers of all pages' names in place of its own page's.
static uint64_t with_names(struct names *all, const struct metrics_page *p, uint64_t key)
{
    const struct metric_info *info = &table[(key >> METRIC_SHIFT) - 1];

    for (size_t i = 0; i < METRIC_LABELS; i++)
        if (info->labels[i].values == NAME) {
            unsigned shift = BUCKET_BITS + (unsigned)(METRIC_LABELS - 1 - i) * VALUE_BITS;
            uint64_t number = number_of_name(all, plain_name(all, p, value_of(key, i)));

            key = (key & ~((uint64_t)VALUE_MASK << shift)) | number << shift;
        }
    return key;
}

static size_t gather(struct number *out, const struct metrics_page *const pages[ROLE_COUNT], struct names *names)
{
    size_t n = 0;

    for (size_t role = 0; role < ROLE_COUNT; role++)
        for (size_t i = 0; pages[role] && i < METRICS_PLACES; i++) {
            uint64_t key = __atomic_load_n(&pages[role]->places[i].key, __ATOMIC_RELAXED);

            if (!key || !is_valid(key))
                continue;
            if (table[(key >> METRIC_SHIFT) - 1].labels[0].values == page_role)
                key |= (uint64_t)role << (BUCKET_BITS + (METRIC_LABELS - 1) * VALUE_BITS);
            if (!is_valid(key))
                continue;
            out[n] = (struct number){with_names(names, pages[role], key),
                                     __atomic_load_n(&pages[role]->places[i].value, __ATOMIC_RELAXED)};
            n += out[n].value != (uint64_t)METRIC_GONE || table[(key >> METRIC_SHIFT) - 1].type != METRIC_GAUGE;
        }
    return n;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct number *)a)->key, y = ((const struct number *)b)->key;

    return x < y ? -1 : x > y;
}

static size_t add_up(struct number *all, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (kept && all[kept - 1].key == all[i].key)
            all[kept - 1].value += all[i].value;
        else
            all[kept++] = all[i];
    return kept;
}

static void put_value(struct buf *out, const char *const *values, unsigned v, const struct names *names)
{
    if (values == NUMBER)
        buf_put_u64(out, v);
    else if (values == NAME)
        buf_put(out, v < names->n ? names->texts[v] : STR(""));
    else if (values == ENHANCED && v)
        buf_printf(out, "%u.%u", v / 100, v % 100);
    else if (values == roles || values == page_role)
        buf_put(out, str_of(role_name((enum role)v)));
    else
        buf_put(out, str_of(values[v]));
}

// The name and labels of a line; le: of a bucket, or empty.
static void put_series(struct buf *out, const struct metric_info *info, const char *suffix, uint64_t key, struct str le,
                       const struct names *names)
{
    const char *before = "{";

    buf_put(out, info->name);
    buf_put(out, str_of(suffix));
    for (size_t i = 0; i < METRIC_LABELS && info->labels[i].name; i++) {
        buf_printf(out, "%s%s=\"", before, info->labels[i].name);
        put_value(out, info->labels[i].values, value_of(key, i), names);
        buf_put_char(out, '"');
        before = ",";
    }
    if (le.n)
        buf_printf(out, "%sle=\"%.*s\"", before, STR_FMT(le));
    if (le.n || info->labels[0].name)
        buf_put_char(out, '}');
    buf_put_char(out, ' ');
}

static void put_seconds(struct buf *out, uint64_t ms)
{
    uint64_t rest = ms % 1000;

    buf_put_u64(out, ms / 1000);
    if (rest)
        buf_printf(out, rest % 10 ? ".%03u" : rest % 100 ? ".%02u" : ".%u",
                   (unsigned)(rest % 10 ? rest : rest % 100 ? rest / 10 : rest / 100));
}

// The buckets of one series, of which n are there. The number of them used.
static size_t put_histogram(struct buf *out, const struct metric_info *info, const struct number *all, size_t n,
                            const struct names *names)
{
    uint64_t series = all[0].key >> BUCKET_BITS, count = 0, sum = 0;
    size_t used = 0;

    for (unsigned bucket = 0; bucket <= info->buckets.n; bucket++) {
        char text[24];
        struct buf le = {text, 0, sizeof text, sizeof text, false};

        if (used < n && all[used].key == (series << BUCKET_BITS | bucket))
            count += all[used++].value;
        if (bucket < info->buckets.n)
            put_seconds(&le, info->buckets.ms[bucket]);
        else
            BUF_PUT(&le, "+Inf");
        put_series(out, info, "_bucket", all[0].key, buf_str(&le), names);
        buf_put_u64(out, count);
        buf_put_char(out, '\n');
    }
    if (used < n && all[used].key == (series << BUCKET_BITS | SUM_BUCKET))
        sum = all[used++].value;
    put_series(out, info, "_sum", all[0].key, STR(""), names);
    put_seconds(out, sum);
    buf_put_char(out, '\n');
    put_series(out, info, "_count", all[0].key, STR(""), names);
    buf_put_u64(out, count);
    buf_put_char(out, '\n');
    return used;
}

static size_t put_number(struct buf *out, const struct metric_info *info, const struct number *one,
                         const struct names *names)
{
    put_series(out, info, "", one->key, STR(""), names);
    if (info->type == METRIC_GAUGE)
        buf_printf(out, "%lld", (long long)one->value);
    else
        buf_put_u64(out, one->value);
    buf_put_char(out, '\n');
    return 1;
}

static void put_head(struct buf *out, const struct metric_info *info)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    buf_printf(out, "# HELP %.*s %.*s\n# TYPE %.*s %s\n", STR_FMT(info->name), STR_FMT(info->help),
               STR_FMT(info->name), types[info->type]);
}

void metrics_put(struct buf *out, const struct metrics_page *const pages[ROLE_COUNT])
{
    struct number *all = heap_array((size_t)ROLE_COUNT * METRICS_PLACES, sizeof *all);
    struct names names = {.a = ARENA_LIMIT(4 << 20)};
    size_t n = gather(all, pages, &names), i = 0;

    qsort(all, n, sizeof *all, by_key);
    n = add_up(all, n);
    for (size_t m = 0; m < METRIC_COUNT; m++) {
        const struct metric_info *info = &table[m];

        // What has no labels is there from the start.
        if (!info->labels[0].name && info->type != METRIC_HISTOGRAM &&
            (i == n || (all[i].key >> METRIC_SHIFT) - 1 != m)) {
            put_head(out, info);
            put_number(out, info, &(struct number){(m + 1) << METRIC_SHIFT, 0}, &names);
        }
        if (i < n && (all[i].key >> METRIC_SHIFT) - 1 == m)
            put_head(out, info);
        while (i < n && (all[i].key >> METRIC_SHIFT) - 1 == m)
            i += info->type == METRIC_HISTOGRAM ? put_histogram(out, info, &all[i], n - i, &names)
                                                : put_number(out, info, &all[i], &names);
    }
    free(all);
    map_fini(&names.numbers);
    arena_fini(&names.a);
}
