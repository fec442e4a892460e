#include "base/test.h"
#include "policy/dns_wire.h"
#include "role/resolve/hosts.h"
#include "role/resolve/source.h"

TEST(resolve_sources)
{
    static const struct {
        const char *setting, *conf;
        bool is_ok;
        enum source_kind kind;
        size_t n;
    } cases[] = {
        {"", "", true, SOURCE_RECURSION, 0},
        {"", "nameserver 192.0.2.1\n", true, SOURCE_RECURSION, 0},
        {"", "# mine\nnameserver 127.0.0.1\nnameserver ::1\noptions edns0\n", true, SOURCE_FORWARD, 2},
        {"", "nameserver\t127.0.0.1 \r\n", true, SOURCE_FORWARD, 1},
        {"", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n", true, SOURCE_RECURSION, 0},
        {"", "nameserver 127.0.0.53\n", true, SOURCE_RECURSION, 0}, // systemd's stub
        {"", "nameserver fe80::1%eth0\n", true, SOURCE_RECURSION, 0},
        {"", "search 127.0.0.1\nnameservers 127.0.0.1\nnameserver", true, SOURCE_RECURSION, 0},
        {"192.0.2.1", "nameserver 127.0.0.1\n", true, SOURCE_FORWARD, 1},
        {"127.0.0.53 ::1", "", true, SOURCE_FORWARD, 2}, // said on purpose
        {"root:127.9.0.1 root:127.9.0.2", "", true, SOURCE_ROOT, 2},
        {"none", "nameserver 127.0.0.1\n", true, SOURCE_NONE, 0},
        {"deadline:300", "nameserver 127.0.0.1\n", true, SOURCE_FORWARD, 1},
        {"hosts:/tmp/h none", "", true, SOURCE_NONE, 0},
        {"1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1 1.1.1.1", "", false, 0, 0},
        {"root:127.0.0.1 127.0.0.2", "", false, 0, 0},
        {"127.0.0.1 none", "", false, 0, 0},
        {"example.com", "", false, 0, 0},
        {"127.0.0.1@5353", "", false, 0, 0},
        {"root:a", "", false, 0, 0},
        {"deadline:0", "", false, 0, 0},
        {"deadline:999999", "", false, 0, 0},
        {"what:ever", "", false, 0, 0},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT setting = exact_copy(str_of(cases[i].setting));
        AUTO_EXACT conf = exact_copy(str_of(cases[i].conf));
        struct source got;
        struct err e = {0};

        CHECK_CASE(source_parse(setting.str, conf.str, &got, &e) == cases[i].is_ok, i);
        CHECK_CASE(!cases[i].is_ok || (got.kind == cases[i].kind && got.n == cases[i].n), i);
        CHECK_CASE(cases[i].is_ok || e.kind == ERR_SYNTAX || e.kind == ERR_LIMIT, i);
    }
}

static const char hosts_text[] =
    "127.0.0.1\tlocalhost  # this one\n"
    "::1 localhost ip6-localhost\n"
    "# 127.0.0.9 commented\n"
    "127.0.1.1 Mail.Example.org mail\r\n"
    "127.0.1.1 second\n"
    "not an address\n"
    "192.0.2.7\n"
    "192.0.2.8 bad..name good";

TEST(resolve_hosts_file)
{
    static const struct {
        const char *name;
        enum dns_type type;
        bool is_known;
        size_t n;
        const char *first; // of a PTR record
    } cases[] = {
        {"localhost", DNS_A, true, 1, NULL},
        {"localhost", DNS_AAAA, true, 1, NULL},
        {"mail.example.org", DNS_A, true, 1, NULL},
        {"mail.example.org", DNS_AAAA, true, 0, NULL}, // and no others
        {"mail.example.org", DNS_MX, false, 0, NULL},  // still the DNS's
        {"commented", DNS_A, false, 0, NULL},
        {"good", DNS_A, true, 1, NULL},
        {"example.org", DNS_A, false, 0, NULL},
        {"1.0.0.127.in-addr.arpa", DNS_PTR, true, 1, "localhost"},
        {"1.1.0.127.in-addr.arpa", DNS_PTR, true, 2, "mail.example.org"},
        {"7.2.0.192.in-addr.arpa", DNS_PTR, false, 0, NULL},
        {"8.2.0.192.in-addr.arpa", DNS_PTR, true, 1, "good"},
        {"localhost", DNS_PTR, false, 0, NULL},
    };
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_EXACT text = exact_copy(str_of(hosts_text));
    struct hosts h;

    hosts_parse(&a, text.str, &h);
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF records = BUF_LIMIT(DNS_MAX_ANSWER);
        struct dns_answer got = {0};
        enum dns_status status;
        struct err e = {0};

        CHECK_CASE(hosts_answer(&h, str_of(cases[i].name), cases[i].type, &status, &records) ==
                       cases[i].is_known, i);
        CHECK_CASE(dns_records_parse(&a, cases[i].type, buf_str(&records), &got, &e), i);
        CHECK_CASE(got.n == cases[i].n && status == (got.n ? DNS_OK : DNS_NODATA), i);
        if (cases[i].first)
            CHECK_STR(got.records[0].name, str_of(cases[i].first));
    }
    map_fini(&h.addresses);
    map_fini(&h.names);
}

// A list against advertisers gives one address to very many names.
TEST(resolve_hosts_file_is_read_in_linear_time)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF text = BUF_LIMIT(16 << 20), records = BUF_LIMIT(DNS_MAX_ANSWER);
    enum dns_status status;
    struct hosts h;

    for (int i = 0; i < 200000; i++)
        buf_printf(&text, "0.0.0.0 ad%d.example\n", i);
    hosts_parse(&a, buf_str(&text), &h);
    CHECK(hosts_answer(&h, STR("ad199999.example"), DNS_A, &status, &records));
    buf_reset(&records);
    CHECK(hosts_answer(&h, STR("0.0.0.0.in-addr.arpa"), DNS_PTR, &status, &records));
    CHECK(h.addresses.count == 200000 && h.names.count == 1 && records.n < 4096);
    map_fini(&h.addresses);
    map_fini(&h.names);
}
