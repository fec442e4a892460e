#include "base/test.h"
#include "policy/srs.h"

static const unsigned char key[SRS_KEY_BYTES] = "a key used in these tests";
enum { NOW = 1764100000, DAY = 86400 };

static struct str forward(struct arena *a, const char *localpart, const char *domain)
{
    AUTO_BUF out = BUF_LIMIT(4096);
    struct err e = {0};

    CHECK(srs_forward(key, NOW, str_of(localpart), str_of(domain), &out, &e));
    return arena_dup(a, buf_str(&out));
}

static struct str back(struct arena *a, struct str localpart, int64_t now)
{
    AUTO_EXACT copy = exact_copy(localpart);
    struct str local, domain;
    struct err e = {0};

    if (!srs_reverse(key, now, a, copy.str, &local, &domain, &e))
        return STR("no");
    return arena_printf(a, "%.*s@%.*s", STR_FMT(local), STR_FMT(domain));
}

TEST(srs_comes_back)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct str first = forward(&a, "User+tag=x", "example.org"), second, third;

    CHECK(str_starts(first, STR("SRS0=")));
    CHECK(str_ends(first, STR("=example.org=User+tag=x")));
    CHECK_STR(back(&a, first, NOW), STR("User+tag=x@example.org"));
    // In another case, as some servers make it of localparts.
    CHECK_STR(back(&a, arena_lower(&a, first), NOW), STR("user+tag=x@example.org"));
    // Of another's that rewrote it before us, and of a third after that: back to the first.
    second = forward(&a, "SRS0=abcd=zz=example.org=user", "relay.example");
    CHECK(str_starts(second, STR("SRS1=")));
    CHECK_STR(back(&a, second, NOW), STR("SRS0=abcd=zz=example.org=user@relay.example"));
    third = forward(&a, arena_cstring(&a, arena_printf(&a, "SRS1=xxxx=relay.example==abcd=zz=example.org=user")),
                    "other.example");
    CHECK_STR(back(&a, third, NOW), STR("SRS0=abcd=zz=example.org=user@relay.example"));
    CHECK_STR(back(&a, forward(&a, "SRS0+abcd=zz=example.org=user", "relay.example"), NOW),
              STR("SRS0+abcd=zz=example.org=user@relay.example"));
}

TEST(srs_of_others_and_of_the_past_is_refused)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF out = BUF_LIMIT(4096);
    struct str good = forward(&a, "user", "example.org");
    static const char *const bad[] = {"", "SRS0", "SRS0=", "SRS0==", "SRS0=aaaaaaaa=", "SRS1=aaaaaaaa=x=",
                                      "user", "SRS0=aaaaaaaa=zz=example.org=user", "SRS2=aaaaaaaa=x=y"};
    struct err e = {0};

    CHECK_STR(back(&a, good, NOW + SRS_DAYS * DAY), STR("user@example.org"));
    CHECK_STR(back(&a, good, NOW + (SRS_DAYS + 1) * DAY), STR("no"));
    CHECK_STR(back(&a, good, NOW - DAY), STR("no")); // not made yet
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_STR(back(&a, str_of(bad[i]), NOW), STR("no"));
    // No byte of it can be another, and none be missing.
    for (size_t i = 0; i < good.n; i++) {
        struct str changed = arena_dup(&a, good);

        ((char *)(uintptr_t)changed.p)[i] = good.p[i] == 'q' ? 'r' : 'q';
        CHECK_STR(back(&a, changed, NOW), STR("no"));
        CHECK_STR(back(&a, str_sub(good, 0, i), NOW), STR("no"));
    }
    CHECK(!srs_forward(key, NOW, STR(""), STR("example.org"), &out, &e));
    CHECK(!srs_forward(key, NOW, STR("a"), STR("exam=ple.org"), &out, &e));
    CHECK(!srs_forward(key, NOW, STR("SRS1=xxxx"), STR("example.org"), &out, &e));
    CHECK_STR(buf_str(&out), STR(""));
}
