#include "proto/sasl/sasl.h"

#include "text/encode.h"

static const struct sasl_mechanism_info infos[SASL_MECHANISMS] = {
    [SASL_EXTERNAL] = {STR_("EXTERNAL"), STR_("external"), .needs_tls = true},
    [SASL_SCRAM_SHA_256_PLUS] = {STR_("SCRAM-SHA-256-PLUS"), STR_("scram-sha-256-plus"),
                                 .needs_tls = true, .is_scram = true, .is_plus = true,
                                 .hash = HASH_SHA256},
    [SASL_SCRAM_SHA_256] = {STR_("SCRAM-SHA-256"), STR_("scram-sha-256"), .is_scram = true,
                            .hash = HASH_SHA256},
    [SASL_SCRAM_SHA_1_PLUS] = {STR_("SCRAM-SHA-1-PLUS"), STR_("scram-sha-1-plus"),
                               .needs_tls = true, .is_scram = true, .is_plus = true,
                               .hash = HASH_SHA1},
    [SASL_SCRAM_SHA_1] = {STR_("SCRAM-SHA-1"), STR_("scram-sha-1"), .is_scram = true,
                          .hash = HASH_SHA1},
    [SASL_CRAM_MD5] = {STR_("CRAM-MD5"), STR_("cram-md5")},
    [SASL_PLAIN] = {STR_("PLAIN"), STR_("plain"), .is_password = true},
    [SASL_LOGIN] = {STR_("LOGIN"), STR_("login"), .is_password = true},
};

enum sasl_mechanism sasl_mechanism_of(struct str name)
{
    int i = 0;

    while (i < SASL_MECHANISMS && !str_eq(infos[i].name, name))
        i++;
    return (enum sasl_mechanism)i;
}

const struct sasl_mechanism_info *sasl_info(enum sasl_mechanism mechanism)
{
    return &infos[mechanism];
}

bool sasl_plain_parse(struct str message, struct sasl_plain *out, struct err *e)
{
    struct str rest;

    if (!str_cut(message, 0, &out->authzid, &rest) ||
        !str_cut(rest, 0, &out->authcid, &out->password) ||
        str_find(out->password, 0) != STR_NONE || !out->authcid.n || !out->password.n)
        return fail(e, ERR_SYNTAX, "malformed PLAIN message");
    if (out->authcid.n > SASL_MAX_NAME || out->authzid.n > SASL_MAX_NAME ||
        !utf8_is_valid(out->authcid) || !utf8_is_valid(out->authzid))
        return fail(e, ERR_SYNTAX, "a name in the PLAIN message is too long or not UTF-8");
    return true;
}

static int hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sasl_cram_parse(struct str message, struct sasl_cram *out, struct err *e)
{
    ptrdiff_t space = str_find_last(message, ' ');
    struct str hex = str_from(message, (size_t)(space + 1));

    if (space < 1 || hex.n != 2 * MD5_BYTES)
        return fail(e, ERR_SYNTAX, "malformed CRAM-MD5 response");
    for (size_t i = 0; i < MD5_BYTES; i++) {
        int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);

        if (high < 0 || low < 0)
            return fail(e, ERR_SYNTAX, "malformed CRAM-MD5 digest");
        out->digest[i] = (unsigned char)(high * 16 + low);
    }
    out->name = str_sub(message, 0, (size_t)space);
    if (out->name.n > SASL_MAX_NAME || !utf8_is_valid(out->name) ||
        str_find(out->name, 0) != STR_NONE)
        return fail(e, ERR_SYNTAX, "malformed CRAM-MD5 name");
    return true;
}

void sasl_cram_challenge(struct buf *out, uint64_t random, uint64_t time_ns, struct str hostname)
{
    BUF_PUT(out, "<");
    buf_put_u64(out, random);
    BUF_PUT(out, ".");
    buf_put_u64(out, time_ns);
    BUF_PUT(out, "@");
    buf_put(out, hostname);
    BUF_PUT(out, ">");
}

bool sasl_external_parse(struct str message, struct err *e)
{
    if (message.n > SASL_MAX_NAME || !utf8_is_valid(message) ||
        str_find(message, 0) != STR_NONE)
        return fail(e, ERR_SYNTAX, "malformed authorization identity");
    return true;
}
