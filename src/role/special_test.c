#include "role/special.h"

#include "base/test.h"

TEST(special_localparts)
{
    static const struct {
        const char *localpart;
        enum special_stage stage;
        unsigned code;
        bool is_timeout;
    } cases[] = {
        {"temperror", SPECIAL_DELIVER, 451, false},
        {"xpermerror", SPECIAL_DELIVER, 550, false},
        {"timeout", SPECIAL_SUBMIT, 451, true},
        {"user452", SPECIAL_DELIVER, 452, false},
        {"452", SPECIAL_DELIVER, 452, false},
        {"52", SPECIAL_DELIVER, 0, false},
        {"user399", SPECIAL_DELIVER, 0, false},
        {"user599", SPECIAL_DELIVER, 599, false},
        {"user600", SPECIAL_DELIVER, 0, false},
        {"user4+2", SPECIAL_DELIVER, 0, false},
        {"", SPECIAL_DELIVER, 0, false},
        {"mailfrom451", SPECIAL_MAIL, 451, false},
        {"mailfrom451", SPECIAL_DELIVER, 0, false},
        {"mailfrom451", SPECIAL_RCPT, 0, false},
        {"rcpttopermerror", SPECIAL_RCPT, 550, false},
        {"rcpttopermerror", SPECIAL_SUBMIT, 0, false},
        {"queuepermerror", SPECIAL_SUBMIT, 0, false},
        {"queuepermerror", SPECIAL_DELIVER, 550, false},
        {"someone", SPECIAL_DELIVER, 0, false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_EXACT in = exact_copy(str_of(cases[i].localpart));
        struct special s = special_of(in.str, cases[i].stage);

        CHECK_CASE(s.code == cases[i].code && s.is_timeout == cases[i].is_timeout, i);
    }
}
