#include "base/test.h"
#include "role/monitor/monitor_priv.h"

static bool may_say(struct str host, struct str text)
{
    AUTO_EXACT h = exact_copy(host);
    AUTO_EXACT t = exact_copy(text);

    return hook_may_say(h.str, t.str);
}

TEST(hook_words_are_names_and_texts)
{
    static const struct str bad[] = {STR_("a b"), STR_("a\0b"), STR_("\0"), STR_("$(x)"), STR_("a/b"), STR_("a;b"), STR_("a\n"), STR_("\xc3\xa9")};

    CHECK(may_say(STR("mail.mox.example"), STR("gfj9Xq_Rg85nM-")));
    CHECK(may_say(STR("a"), STR("-gfj9")) && may_say(STR("a"), STR("")));
    CHECK(!may_say(STR(""), STR("a")) && !may_say(STR("-a"), STR("a")) && !may_say(STR(".a"), STR("a")));
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_CASE(!may_say(bad[i], STR("a")) && !may_say(STR("a"), bad[i]), i);
}

TEST(hook_words_have_a_length)
{
    AUTO_BUF many = BUF_LIMIT(1000);

    for (unsigned i = 0; i < 300; i++)
        buf_put_char(&many, 'a');
    CHECK(may_say(str_sub(buf_str(&many), 0, 253), str_sub(buf_str(&many), 0, 100)));
    CHECK(!may_say(str_sub(buf_str(&many), 0, 254), STR("a")) && !may_say(STR("a"), str_sub(buf_str(&many), 0, 101)));
}
