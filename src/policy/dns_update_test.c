#include "policy/dns_update.h"

#include "base/test.h"

// By dnspython 2.3 (dns.update, dns.tsig), without compression of names.
static const char set[] =
    "123428000001000000020001076578616d706c65036f726700000600010f5f61636d652d6368616c6c656e6765046d61696c"
    "076578616d706c65036f726700001000ff0000000000000f5f61636d652d6368616c6c656e6765046d61696c076578616d70"
    "6c65036f726700001000010000003c002c2b4c6f71586359563871354f4e624a5178626d52375343544e6f33746941584466"
    "6f77796a78416a457558300861636d652d6b6579076578616d706c650000fa00ff00000000003d0b686d61632d7368613235"
    "360000006553f100012c002033dac5544fd71f789019ad87bf697e5509610921753008a0e0d79d251d10ccab123400000000";
static const char set_done[] =
    "1234a8000001000000000001076578616d706c65036f726700000600010861636d652d6b6579076578616d706c650000fa00"
    "ff00000000003d0b686d61632d7368613235360000006553f100012c0020a90bb094d1637ba630a817de9d60cbb674355648"
    "2c5764dc476015f828779c5d123400000000";
static const char set_refused[] =
    "1234a8050001000000000001076578616d706c65036f726700000600010861636d652d6b6579076578616d706c650000fa00"
    "ff00000000003d0b686d61632d7368613235360000006553f100012c00208bc68fe10f10d5cc3e08b32afe1fe9cbc9dd448e"
    "cd1ec836612e2cc0cd1d806c123400000000";
static const char clear[] =
    "123428000001000000010001076578616d706c65036f726700000600010f5f61636d652d6368616c6c656e6765046d61696c"
    "076578616d706c65036f726700001000fe00000000002c2b4c6f71586359563871354f4e624a5178626d52375343544e6f33"
    "7469415844666f77796a78416a457558300861636d652d6b6579076578616d706c650000fa00ff00000000003d0b686d6163"
    "2d7368613235360000006553f100012c00208906ff814f52673c2212ad180af301107a3c5f68ee091fd6cc838e192de4f48a"
    "123400000000";

#define SECRET STR("0123456789abcdef0123456789abcdef")
#define KEY STR("acme-key.example")
enum { NOW = 1700000000 };

static struct dns_update update(bool is_set)
{
    return (struct dns_update){.id = 0x1234, .time = NOW, .zone = STR("example.org"), .key_name = KEY, .is_set = is_set,
                               .name = STR("_acme-challenge.mail.example.org"),
                               .text = STR("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0")};
}

static int nibble(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static struct str bytes_of(struct arena *a, const char *hex)
{
    AUTO_BUF out = BUF_LIMIT(DNS_UPDATE_MAX);

    for (; hex[0]; hex += 2)
        buf_put_char(&out, (char)(unsigned char)(nibble(hex[0]) << 4 | nibble(hex[1])));
    return arena_dup(a, buf_str(&out));
}

static struct str written(struct arena *a, bool is_set)
{
    AUTO_BUF out = BUF_LIMIT(DNS_UPDATE_MAX);
    struct dns_update u = update(is_set);
    struct err e = {0};

    CHECK(dns_update_put(&out, &u, SECRET, &e));
    return arena_dup(a, buf_str(&out));
}

TEST(dns_update_is_written_as_others_write_it)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(DNS_UPDATE_MAX);
    struct dns_update u = update(true);
    struct err e = {0};
    char long_text[DNS_UPDATE_MAX_TEXT + 1] = {0};

    CHECK(str_eq(written(&a, true), bytes_of(&a, set)));
    CHECK(str_eq(written(&a, false), bytes_of(&a, clear)));
    CHECK(dns_update_id(written(&a, true)) == 0x1234);
    u.text = str_at(long_text, sizeof long_text);
    CHECK(!dns_update_put(&out, &u, SECRET, &e) && e.kind == ERR_LIMIT);
}

// As the role has it done: parsed here, and the MAC computed where the secret is.
static bool is_believed(struct arena *a, struct str answer, struct str secret, int64_t now, struct err *e)
{
    AUTO_EXACT in = exact_copy(answer);
    AUTO_BUF input = BUF_LIMIT(DNS_UPDATE_MAX);
    unsigned char mac[SHA256_BYTES];
    struct dns_update_answer got;

    if (!dns_update_answer_parse(in.str, 0x1234, KEY, &got, e))
        return false;
    if (got.is_signed) {
        dns_update_answer_put_signed(&input, in.str, &got, KEY, dns_update_mac(bytes_of(a, set)));
        hmac_sha256(secret, buf_str(&input), mac);
        if (!str_eq(got.mac, str_at(mac, sizeof mac)))
            return fail(e, ERR_DENIED, "the MAC is wrong");
    }
    return dns_update_is_done(&got, now, e);
}

TEST(dns_update_answers_are_verified)
{
    AUTO_ARENA a = ARENA_LIMIT(8 << 20);
    struct str done = bytes_of(&a, set_done);
    struct err e = {0};

    CHECK(is_believed(&a, done, SECRET, NOW, &e));
    CHECK(is_believed(&a, done, SECRET, NOW + 300, &e) && is_believed(&a, done, SECRET, NOW - 300, &e));
    CHECK(!is_believed(&a, done, SECRET, NOW + 301, &e) && e.kind == ERR_TEMPORARY);
    e = (struct err){0};
    CHECK(!is_believed(&a, done, STR("another"), NOW, &e) && str_eq(str_of(e.text), STR("the MAC is wrong")));
    e = (struct err){0};
    CHECK(!is_believed(&a, bytes_of(&a, set_refused), SECRET, NOW, &e) &&
          str_eq(str_of(e.text), STR("the server says REFUSED")));
    // No octet can be another, and none can be missing.
    for (size_t i = 0; i < done.n; i++) {
        struct str other = arena_dup(&a, done);

        ((char *)(uintptr_t)other.p)[i] ^= 1;
        e = (struct err){0};
        CHECK(!is_believed(&a, other, SECRET, NOW, &e));
        e = (struct err){0};
        CHECK(!is_believed(&a, str_sub(done, 0, i), SECRET, NOW, &e));
    }
}

TEST(dns_update_answers_without_a_signature)
{
    // Of a server that does not know the key (RFC 8945 5.2): no TSIG at all.
    static const char bare[] = "1234a8090000000000000000", good[] = "1234a8000000000000000000";
    static const char circle[] = "1234a8000001000000000000c00c00060001";
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct err e = {0};

    CHECK(!is_believed(&a, bytes_of(&a, bare), SECRET, NOW, &e) && str_eq(str_of(e.text), STR("the server says NOTAUTH")));
    e = (struct err){0};
    CHECK(!is_believed(&a, bytes_of(&a, good), SECRET, NOW, &e) &&
          str_eq(str_of(e.text), STR("the server's answer is not signed")));
    e = (struct err){0};
    CHECK(!is_believed(&a, bytes_of(&a, circle), SECRET, NOW, &e) && e.kind == ERR_SYNTAX);
}
