#include "base/test.h"

#include <stdio.h>

#include "os/clock.h"
#include "role/queue/queue_role.h"

TEST(window_grows_with_what_works)
{
    const struct queue_destination to = {STR(""), STR("grows.example"), STR("")};
    struct window *w = window_enter(&to);

    CHECK(!window_has_room(&to) && window_count(&to) == 1);
    CHECK(window_heard(w, WINDOW_SPOKE) && window_has_room(&to));
    CHECK(!window_heard(w, WINDOW_SPOKE)); // nobody has used the room yet
    for (unsigned n = 2; n <= 20; n++) {
        CHECK_CASE(window_has_room(&to) && window_enter(&to) == w, n);
        CHECK_CASE(window_heard(w, WINDOW_SPOKE) == (n < 20), n);
    }
    CHECK(!window_has_room(&to) && window_count(&to) == 20);
    for (unsigned n = 0; n < 20; n++)
        window_leave(w);
    CHECK(window_has_room(&to) && window_count(&to) == 0);
}

TEST(window_is_of_a_domain_and_a_transport)
{
    const struct queue_destination all[] = {{STR("a"), STR("same.example"), STR("")},
                                            {STR("b"), STR("same.example"), STR("")},
                                            {STR("a"), STR("same.example"), STR("t")},
                                            {STR("a"), STR("other.example"), STR("")}};
    struct window *w = window_enter(&all[0]);

    for (size_t i = 0; i < COUNT(all); i++)
        CHECK_CASE(window_has_room(&all[i]) == (i > 1), i);
    window_leave(w);
}

TEST(window_falls_when_connections_fail)
{
    const struct queue_destination to = {STR(""), STR("falls.example"), STR("")};
    struct window *w = window_enter(&to);

    os_clock_set_for_test(1000000);
    for (unsigned n = 1; n < 12; n++) {
        CHECK(window_heard(w, WINDOW_SPOKE));
        window_enter(&to);
    }
    CHECK(!window_heard(w, WINDOW_LOST) && window_is_over(w)); // 12, and 11 may be
    window_leave(w);
    CHECK(!window_is_over(w) && !window_has_room(&to));
    CHECK(!window_heard(w, WINDOW_BUSY) && window_is_over(w)); // 5
    for (unsigned n = 11; n > 5; n--)
        window_leave(w);
    CHECK(!window_is_over(w));
    CHECK(!window_heard(w, WINDOW_SPOKE));
    os_clock_set_for_test(1000000 + 61 * 1000);
    CHECK(window_heard(w, WINDOW_SPOKE));
    for (unsigned n = 5; n; n--)
        CHECK(!window_heard(w, WINDOW_BUSY));
    for (unsigned n = 5; n > 1; n--) {
        CHECK(window_is_over(w));
        window_leave(w);
    }
    CHECK(!window_is_over(w)); // one is always possible
    CHECK(!window_heard(w, WINDOW_LOST) && !window_heard(w, WINDOW_LOST) && !window_is_over(w));
    window_leave(w);
    os_clock_set_for_test(-1);
}

// What is known of so many destinations is forgotten, but not of those that have a connection.
TEST(window_forgets)
{
    const struct queue_destination to = {STR(""), STR("kept.example"), STR("")};
    struct window *w;
    char name[32];

    os_clock_set_for_test(1000000);
    w = window_enter(&to);
    CHECK(window_heard(w, WINDOW_SPOKE));
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "d%d.example", i);
        window_leave(window_enter(&(struct queue_destination){STR(""), str_of(name), STR("")}));
    }
    CHECK(window_enter(&to) == w);
    window_leave(w);
    window_leave(w);
    os_clock_set_for_test(1000000 + 301 * 1000);
    CHECK(window_enter(&to) == w && !window_has_room(&to)); // it begins again
    window_leave(w);
    os_clock_set_for_test(-1);
}

// A server that was never there is dead at once, one that spoke a moment ago when it is lost again and again.
TEST(window_tells_the_dead)
{
    const struct queue_destination to = {STR(""), STR("dead.example"), STR("")};
    struct window *w = window_enter(&to);

    os_clock_set_for_test(1000000);
    CHECK(window_is_dead(w));
    (void)window_heard(w, WINDOW_SPOKE);
    CHECK(!window_is_dead(w));
    (void)window_heard(w, WINDOW_LOST);
    CHECK(!window_is_dead(w));
    (void)window_heard(w, WINDOW_LOST);
    CHECK(window_is_dead(w)); // with the third
    (void)window_heard(w, WINDOW_SPOKE);
    CHECK(!window_is_dead(w));
    window_leave(w);
    os_clock_set_for_test(1000000 + 301 * 1000);
    CHECK(window_enter(&to) == w && window_is_dead(w));
    window_leave(w);
    os_clock_set_for_test(-1);
}
