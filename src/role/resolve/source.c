#include "role/resolve/source.h"

#include "base/cur.h"
#include "ipc/resolve.h"

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(unsigned char c)
{
    return !is_blank(c);
}

static bool add_server(struct source *s, enum source_kind kind, const struct ip *ip, struct err *e)
{
    if (s->n && s->kind != kind)
        return fail(e, ERR_SYNTAX, "either forwarders or root servers, not both");
    if (s->n == SOURCE_MAX_SERVERS)
        return fail(e, ERR_LIMIT, "more than %d servers", SOURCE_MAX_SERVERS);
    s->kind = kind;
    s->servers[s->n++] = *ip;
    return true;
}

static bool parse_word(struct str word, struct source *out, bool *is_given, struct err *e)
{
    struct str key, value;
    uint64_t ms;
    struct ip ip;

    if (ip_parse(word, &ip)) {
        *is_given = true;
        return add_server(out, SOURCE_FORWARD, &ip, e);
    }
    if (str_eq(word, STR("none"))) {
        *is_given = true;
        out->kind = SOURCE_NONE;
        return !out->n || fail(e, ERR_SYNTAX, "\"none\" and servers");
    }
    if (!str_cut(word, ':', &key, &value))
        return fail(e, ERR_SYNTAX, "\"%.*s\" is no address", STR_FMT(word));
    if (str_eq(key, STR("root")) && ip_parse(value, &ip)) {
        *is_given = true;
        return add_server(out, SOURCE_ROOT, &ip, e);
    }
    if (str_eq(key, STR("deadline")) && str_u64(value, RESOLVE_MAX_MS, &ms) && ms) {
        out->deadline_ms = (int64_t)ms;
        return true;
    }
    if (str_eq(key, STR("hosts"))) {
        out->hosts_path = value;
        return true;
    }
    return fail(e, ERR_SYNTAX, "\"%.*s\" is not understood", STR_FMT(word));
}

/* The stubs of systemd-resolved; they pass on to whatever the network said. */
static bool is_stub(const struct ip *ip)
{
    static const struct ip stubs[] = {{4, {127, 0, 0, 53}}, {4, {127, 0, 0, 54}}};

    return ip_eq(ip, &stubs[0]) || ip_eq(ip, &stubs[1]);
}

static void use_resolv_conf(struct str text, struct source *out)
{
    struct cur c = cur_of(text);
    struct str line;

    out->kind = SOURCE_RECURSION;
    while (cur_line(&c, &line)) {
        struct cur word = cur_of(line);
        struct ip ip;

        cur_while(&word, is_blank);
        if (!str_eq(cur_while(&word, is_word), STR("nameserver")))
            continue;
        cur_while(&word, is_blank);
        if (ip_parse(cur_while(&word, is_word), &ip) && ip_is_loopback(&ip) && !is_stub(&ip) &&
            add_server(out, SOURCE_FORWARD, &ip, NULL))
            continue;
        out->kind = SOURCE_RECURSION; // one that is elsewhere, and all are only a habit
        out->n = 0;
        return;
    }
}

bool source_parse(struct str setting, struct str resolv_conf, struct source *out, struct err *e)
{
    struct cur c = cur_of(setting);
    bool is_given = false;

    *out = (struct source){.deadline_ms = SOURCE_DEADLINE_MS, .hosts_path = STR("/etc/hosts")};
    for (;;) {
        struct str word;

        cur_while(&c, is_blank);
        word = cur_while(&c, is_word);
        if (!word.n)
            break;
        if (!parse_word(word, out, &is_given, e))
            return fail_in(e, "MOX_RESOLVER");
    }
    if (!is_given)
        use_resolv_conf(resolv_conf, out);
    return true;
}
