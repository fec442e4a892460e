/*
 * The records of an answer: the first byte chooses the type, the rest is the list. Whatever it is,
 * names come out as text that is safe in a line, and work is bounded.
 */
#include <stdint.h>

#include "base/die.h"
#include "policy/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct str name)
{
    if (name.n > DNS_MAX_NAME_TEXT)
        die("a name of %zu characters", name.n);
    for (size_t i = 0; i < name.n; i++)
        if (!ascii_is_alnum(name.p[i]) && str_find(STR("-_.\\"), name.p[i]) == STR_NONE)
            die("byte %d in a name", name.p[i]);
}

// A name without escapes can be asked for again, and is the same after that.
static void check_round_trip(struct arena *a, struct str name)
{
    AUTO_BUF wire = BUF_LIMIT(300), list = BUF_LIMIT(400), escaped = BUF_LIMIT(DNS_MAX_NAME_TEXT);
    struct dns_answer again = {0};
    struct err e = {0};

    if (!name.n || str_find(name, '\\') != STR_NONE)
        return;
    dns_name_put_wire(&wire, name);
    dns_name_put_escaped(&escaped, name);
    if (!dns_name_is_ok(name) || !str_eq(buf_str(&escaped), name) ||
        !dns_records_put(&list, buf_str(&wire)) ||
        !dns_records_parse(a, DNS_PTR, buf_str(&list), &again, &e) || again.n != 1 ||
        !str_eq(again.records[0].name, name))
        die("a name is not the same when written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_A,   DNS_NS,   DNS_CNAME, DNS_PTR, DNS_MX,
                                          DNS_TXT, DNS_AAAA, DNS_SRV,   DNS_TLSA, DNS_CAA};
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    struct dns_answer answer = {0};
    struct err e = {0};
    enum dns_type type;

    if (!size || size > DNS_MAX_ANSWER)
        return 0;
    type = types[data[0] % COUNT(types)];
    if (!dns_records_parse(&a, type, str_at(data + 1, size - 1), &answer, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("records refused for a strange reason");
        return 0;
    }
    for (size_t i = 0; i < answer.n; i++) {
        const struct dns_record *r = &answer.records[i];

        check_name(r->name);
        check_round_trip(&a, r->name);
        if ((type == DNS_A && r->data.n != 4) || (type == DNS_AAAA && r->data.n != 16) ||
            r->data.n > UINT16_MAX)
            die("record %zu has %zu octets", i, r->data.n);
    }
    return 0;
}
