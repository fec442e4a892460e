#include <stdio.h>

#include "base/buf.h"
#include "base/test.h"
#include "policy/claims.h"

TEST(claims_of_others_to_be_ours)
{
    // Each is one field, or one line: whether it goes.
    static const struct {
        const char *field;
        bool goes;
    } cases[] = {
        {"Authentication-Results: mx.example.com; spf=pass\r\n", true},
        {"authentication-results:MX.Example.COM 1;\r\n\tdmarc=pass header.from=bank.example\r\n", true},
        {"Authentication-Results:\r\n (a comment)\r\n \"mx.example.com\"; none\r\n", true},
        {"Authentication-Results : mx.example.com; spf=pass\r\n", true}, // no field for us, but for others
        {"Authentication-Results\t\t: mx.example.com; spf=pass\r\n", true},
        {" Authentication-Results: mx.example.com; spf=pass\r\n", true}, // the first line of all
        {"Authentication-Results: mx.example.com., broken", true},
        {"Authentication-Results: mx.example.com", true}, // without an end
        {"Authentication-Results: other.example; spf=pass\r\n", false},
        {"Authentication-Results: mx.example.com.other.example; spf=pass\r\n", false},
        {"Authentication-Results: other.example; x=mx.example.com\r\n", false},
        // A version that we do not know, of whomever.
        {"Authentication-Results: other.example 2; spf=pass\r\n", true},
        {"Authentication-Results: other.example 1; spf=pass\r\n", false},
        {"ARC-Authentication-Results: i=1; mx.example.com; spf=pass\r\n", false}, // signed by its chain
        {"X-Authentication-Results: mx.example.com; spf=pass\r\n", false},
        {"Received-SPF: pass (fine) client-ip=1.2.3.4; receiver=mx.example.com;\r\n", true},
        {"Received-SPF: pass\r\n client-ip=1.2.3.4;\r\n Receiver = \"mx.exam\\ple.com\"\r\n", true},
        {"Received-SPF: pass (receiver=mx.example.com) client-ip=1.2.3.4; receiver=mx.other.example\r\n", false},
        {"Received-SPF: pass envelope-from=\"receiver=mx.example.com\"; receiver=x\r\n", false},
        {"Received-SPF: pass ;;== = receiver==mx.example.com \"\r\n", false},
        {"Received-SPF: pass receiver=\r\n", false},
        {"X-Mox-Reason: no-bad-signals\r\n", true},
        {"x-mox-reason:\r\n", true},
        {"X-Mox-DMARCReport-Error: x\r\n", true},
        {"X-Mox-Reasons: x\r\n", false},
        {"Subject: Authentication-Results: mx.example.com\r\n", false},
        {"no colon\r\n", false},
        {"", false},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_ARENA a = ARENA_LIMIT(1 << 20);
        AUTO_BUF around = BUF_LIMIT(4096);
        AUTO_EXACT alone = exact_copy(str_of(cases[i].field));
        size_t n = str_of(cases[i].field).n;
        struct claim *found;

        CHECK_CASE(claims_find(&a, alone.str, STR("mx.example.com"), &found) == cases[i].goes, i);
        CHECK_CASE(!cases[i].goes || (found[0].start == 0 && found[0].n == n), i);
        if (cases[i].field[0] == ' ' || !str_ends(str_of(cases[i].field), STR("\n")))
            continue;
        buf_printf(&around, "From: x\r\n y\r\n%s%sTo: y\r\n", cases[i].field, cases[i].field);
        CHECK_CASE(claims_find(&a, buf_str(&around), STR("mx.example.com"), &found) ==
                       (cases[i].goes ? 2u : 0u), i);
        CHECK_CASE(!cases[i].goes || (found[0].start == 13 && found[1].start == 13 + n), i);
    }
}
