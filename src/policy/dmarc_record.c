#include "base/cur.h"
#include "policy/dmarc.h"

enum { DEFAULT_PCT = 100, DEFAULT_RI = 86400 };

const char *dmarc_policy_name(enum dmarc_policy policy)
{
    static const char *const names[] = {"", "none", "quarantine", "reject"};

    return names[policy];
}

static bool is_tag_char(unsigned char c)
{
    return ascii_is_alnum((char)c) || c == '_' || c == '-';
}

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t';
}

static bool is_pair_char(unsigned char c)
{
    return c != ';';
}

/* dmarc-version, RFC 7489 6.4: "v" *WSP "=" *WSP %x44 %x4d %x41 %x52 %x43 %x31. */
static bool take_version(struct cur *c)
{
    int after;

    if (!cur_skip_str(c, STR("v")))
        return false;
    (void)cur_while(c, is_space);
    if (!cur_skip(c, '='))
        return false;
    (void)cur_while(c, is_space);
    if (!cur_skip_str(c, STR("DMARC1")))
        return false;
    (void)cur_while(c, is_space);
    after = cur_peek(c);
    return after < 0 || after == ';';
}

bool dmarc_is_record(struct str text)
{
    struct cur c = cur_of(text);

    return take_version(&c);
}

static bool parse_policy(struct str value, enum dmarc_policy *out)
{
    for (enum dmarc_policy p = DMARC_NO_POLICY; p <= DMARC_REJECT; p++)
        if (str_eq_ci(value, str_of(dmarc_policy_name(p)))) {
            *out = p;
            return true;
        }
    return false;
}

enum tag { P, SP, NP, ADKIM, ASPF, PCT, RI, FO, RF, RUA, RUF, PSD, T, N_TAGS };
static const struct str tag_names[N_TAGS] = {
    STR_("p"),  STR_("sp"), STR_("np"),  STR_("adkim"), STR_("aspf"), STR_("pct"), STR_("ri"),
    STR_("fo"), STR_("rf"), STR_("rua"), STR_("ruf"),   STR_("psd"),  STR_("t"),
};

/* Takes the tags, each at most once. One that is not known has no place (RFC 7489 6.3). */
static bool take_tags(struct cur *c, struct str values[N_TAGS], bool has[N_TAGS], struct err *e)
{
    while (cur_skip(c, ';')) {
        struct str pair = cur_while(c, is_pair_char), name, value;
        enum tag tag = P;

        if (!str_trim(pair).n)
            continue;
        if (!str_cut(pair, '=', &name, &value))
            return fail(e, ERR_SYNTAX, "a tag without a value");
        name = str_trim(name);
        for (size_t i = 0; i < name.n; i++)
            if (!is_tag_char((unsigned char)name.p[i]))
                return fail(e, ERR_SYNTAX, "no name of a tag");
        if (!name.n)
            return fail(e, ERR_SYNTAX, "a value without a tag");
        if (str_eq_ci(name, STR("v")))
            return fail(e, ERR_SYNTAX, "tag v twice");
        while (tag < N_TAGS && !str_eq_ci(name, tag_names[tag]))
            tag++;
        if (tag == N_TAGS)
            continue;
        if (has[tag])
            return fail(e, ERR_SYNTAX, "tag %.*s twice", STR_FMT(tag_names[tag]));
        has[tag] = true;
        values[tag] = str_trim(value);
    }
    return true;
}

bool dmarc_record_parse(struct arena *a, struct str text, struct dmarc_record *out, struct err *e)
{
    struct cur c = cur_of(text);
    struct str values[N_TAGS] = {{0}};
    bool has[N_TAGS] = {false};
    uint64_t number;

    *out = (struct dmarc_record){.pct = DEFAULT_PCT, .ri = DEFAULT_RI};
    if (text.n > DMARC_MAX_RECORD)
        return fail(e, ERR_LIMIT, "longer than %d bytes", DMARC_MAX_RECORD);
    if (!take_version(&c))
        return fail(e, ERR_SYNTAX, "not v=DMARC1");
    if (!take_tags(&c, values, has, e))
        return false;
    if (has[PCT]) {
        if (!str_u64(values[PCT], 100, &number))
            return fail(e, ERR_SYNTAX, "pct is not 0 to 100");
        out->pct = (unsigned)number;
    }
    if (str_u64(values[RI], UINT32_MAX, &number))
        out->ri = (uint32_t)number;
    out->is_adkim_strict = str_eq_ci(values[ADKIM], STR("s"));
    out->is_aspf_strict = str_eq_ci(values[ASPF], STR("s"));
    out->fo = values[FO];
    out->rf = values[RF];
    out->is_test = str_eq_ci(values[T], STR("y"));
    out->psd = str_eq_ci(values[PSD], STR("y"))   ? DMARC_PSD_YES
               : str_eq_ci(values[PSD], STR("n")) ? DMARC_PSD_NO
                                                  : DMARC_PSD_UNKNOWN;
    out->has_tree_tags = has[PSD] || has[NP] || has[T];
    report_uris_parse(a, values[RUA], true, &out->rua);
    report_uris_parse(a, values[RUF], true, &out->ruf);
    if (parse_policy(values[P], &out->p) && (!has[SP] || parse_policy(values[SP], &out->sp)) &&
        (!has[NP] || parse_policy(values[NP], &out->np)))
        return true;
    // RFC 7489 6.6.3 (6): with a rua it is still good for reports.
    if (!out->rua.n)
        return fail(e, ERR_SYNTAX, has[P] ? "a policy that is none, quarantine or reject is missing"
                                          : "tag p is missing");
    out->p = DMARC_NO_POLICY;
    out->sp = out->np = DMARC_UNSET;
    return true;
}

static void put_tag(struct buf *out, enum tag tag, struct str value)
{
    if (!value.n)
        return;
    BUF_PUT(out, ";");
    buf_put(out, tag_names[tag]);
    BUF_PUT(out, "=");
    buf_put(out, value);
}

static void put_uris(struct buf *out, enum tag tag, const struct report_uris *uris)
{
    AUTO_BUF text = BUF_LIMIT(DMARC_MAX_RECORD);

    report_uris_put(&text, uris);
    put_tag(out, tag, buf_str(&text));
}

void dmarc_record_put(struct buf *out, const struct dmarc_record *record)
{
    BUF_PUT(out, "v=DMARC1");
    put_tag(out, P, str_of(dmarc_policy_name(record->p)));
    put_tag(out, SP, str_of(dmarc_policy_name(record->sp)));
    put_tag(out, NP, str_of(dmarc_policy_name(record->np)));
    if (record->psd != DMARC_PSD_UNKNOWN)
        put_tag(out, PSD, record->psd == DMARC_PSD_YES ? STR("y") : STR("n"));
    if (record->is_test)
        put_tag(out, T, STR("y"));
    put_uris(out, RUA, &record->rua);
    put_uris(out, RUF, &record->ruf);
    if (record->is_adkim_strict)
        put_tag(out, ADKIM, STR("s"));
    if (record->is_aspf_strict)
        put_tag(out, ASPF, STR("s"));
    if (record->ri != DEFAULT_RI)
        buf_printf(out, ";ri=%u", record->ri);
    put_tag(out, FO, record->fo);
    put_tag(out, RF, record->rf);
    if (record->pct != DEFAULT_PCT)
        buf_printf(out, ";pct=%u", record->pct);
}
