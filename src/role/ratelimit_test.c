#include "role/ratelimit.h"

#include "base/test.h"
#include "os/clock.h"

TEST(ratelimit_classes_and_windows)
{
    struct ratelimit l = RATELIMIT(60000, 2, 3, 100);

    os_clock_set_for_test(600000);
    CHECK(ratelimit_add(&l, STR("192.0.2.1"), 2));
    CHECK(!ratelimit_add(&l, STR("192.0.2.1"), 1)); // its own limit
    CHECK(ratelimit_add(&l, STR("192.0.2.2"), 1));
    CHECK(!ratelimit_add(&l, STR("192.0.2.3"), 1)); // that of the /26
    CHECK(ratelimit_add(&l, STR("192.0.2.65"), 1)); // another /26
    ratelimit_reset(&l, STR("192.0.2.1"));
    CHECK(ratelimit_add(&l, STR("192.0.2.3"), 1));
    os_clock_set_for_test(660000);
    CHECK(ratelimit_add(&l, STR("192.0.2.1"), 2));
    CHECK(ratelimit_add(&l, STR("2001:db8::1"), 2));
    CHECK(!ratelimit_add(&l, STR("2001:db8::ffff"), 1)); // the same /64
    os_clock_set_for_test(-1);
    ratelimit_fini(&l);
}
