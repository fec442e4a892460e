#include "base/test.h"

#include <stdio.h>

#include "os/clock.h"
#include "role/queue/queue_role.h"

static struct down_place place(const char *domain, const char *transport, unsigned way)
{
    return (struct down_place){str_of(domain), str_of(transport), way};
}

static const struct attempt refused = {.class = ATTEMPT_TEMPORARY, .enhanced = STR_("4.4.1"), .text = STR_("refused"),
                                       .dialed = STR_("mx 192.0.2.1\n")};

TEST(down_is_of_a_place_and_a_way)
{
    const struct down_place there = place("a.example", "", 0);
    const struct down_place others[] = {place("b.example", "", 0), place("a.example", "t", 0), place("a.example", "", 1)};

    CHECK(!down_why(&there));
    down_note(&there, &refused);
    for (size_t i = 0; i < COUNT(others); i++)
        CHECK_CASE(!down_why(&others[i]), i);
    CHECK(down_why(&there) && down_why(&there)->class == ATTEMPT_TEMPORARY);
    CHECK_STR(down_why(&there)->text, STR("refused"));
    CHECK_STR(down_why(&there)->dialed, STR("mx 192.0.2.1\n"));
    down_note(&there, down_why(&there)); // its own texts
    CHECK_STR(down_why(&there)->text, STR("refused"));
    down_over(&others[0]);
    CHECK(down_why(&there));
    down_over(&there);
    CHECK(!down_why(&there));
    down_note(&there, &refused);
    down_forget();
    CHECK(!down_why(&there));
}

// Seconds, then twice as many, and never so long that a message's own next attempt would be none.
TEST(down_holds_for_longer_each_time)
{
    static const int64_t seconds[] = {10, 20, 40, 80, 160, 300, 300};
    const struct down_place there = place("a.example", "", 0);
    int64_t now = 1000000;

    for (size_t i = 0; i < COUNT(seconds); i++) {
        os_clock_set_for_test(now);
        down_note(&there, &refused);
        os_clock_set_for_test(now + seconds[i] * 1000 - 1);
        CHECK_CASE(down_why(&there), i);
        os_clock_set_for_test(now += seconds[i] * 1000);
        CHECK_CASE(!down_why(&there), i);
    }
    CHECK(queue_wait_s(true, 0) - 10 > 300);
    down_over(&there); // it was reached: it begins again
    down_note(&there, &refused);
    os_clock_set_for_test(now + 10 * 1000);
    CHECK(!down_why(&there));
    down_forget();
    os_clock_set_for_test(-1);
}

TEST(down_forgets_the_oldest)
{
    struct down_place first = place("d0.example", "", 0), last = first;
    char name[32];

    for (int i = 0; i < 201; i++) {
        os_clock_set_for_test(1000000 + i);
        snprintf(name, sizeof name, "d%d.example", i);
        last.domain = str_of(name);
        down_note(&last, &refused);
    }
    CHECK(!down_why(&first) && down_why(&last));
    first.domain = STR("d1.example");
    CHECK(down_why(&first));
    down_forget();
    os_clock_set_for_test(-1);
}
