#include "policy/tls_rule.h"

#include "base/die.h"

const char *tls_failure_name(enum tls_failure failure)
{
    static const char *const names[] = {
        "",
        "starttls-not-supported",
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "validation-failure",
        "tlsa-invalid",
        "dnssec-invalid",
        "dane-required",
        "sts-policy-fetch-error",
        "sts-policy-invalid",
        "sts-webpki-invalid",
    };

    if (failure >= COUNT(names))
        die("tls_failure_name: no such failure");
    return names[failure];
}

void tls_reason_put(struct buf *out, struct str text)
{
    enum { MAX_REASON = 100 };
    size_t start = out->n;
    bool has_gap = false;

    for (size_t i = 0; i < text.n && out->n - start < MAX_REASON - 1; i++) {
        char c = ascii_lower(text.p[i]);

        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '+') {
            has_gap = out->n > start;
            continue;
        }
        if (has_gap)
            buf_put_char(out, '-');
        has_gap = false;
        buf_put_char(out, c);
    }
}

const char *tls_policy_type_name(enum tls_policy_type type)
{
    static const char *const names[] = {"no-policy-found", "sts", "tlsa"};

    if (type >= COUNT(names))
        die("tls_policy_type_name: no such type");
    return names[type];
}

static void refuse(struct tls_rule *out, unsigned code, const char *enhanced, struct str why)
{
    if (out->is_unusable)
        return;
    out->is_unusable = true;
    out->code = code;
    out->enhanced = enhanced;
    out->refusal = why;
}

static void apply_sts(struct arena *a, const struct tls_input *in, struct tls_rule *out)
{
    // RFC 8461 5: "none" is as if there were no policy.
    if (!in->sts || in->sts->mode == MTASTS_NONE)
        return;
    out->has_sts = true;
    if (!mtasts_allows(in->sts, in->host)) {
        out->sts_failure = TLS_VALIDATION_FAILURE;
        out->sts_reason = STR("mtasts-policy-mx-mismatch");
        // For good only after the record has been looked at again, which every attempt does.
        if (in->sts->mode == MTASTS_ENFORCE && in->wish != TLS_WISH_OPTIONAL)
            refuse(out, 450, "4.7.5",
                   arena_printf(a, "%.*s is not among the servers that the domain's MTA-STS policy allows",
                                STR_FMT(in->host)));
    }
    if (in->sts->mode == MTASTS_ENFORCE) {
        out->must_encrypt = true;
        out->proof = TLS_PROOF_PKIX;
    }
}

static void apply_dane(struct arena *a, const struct tls_input *in, struct tls_rule *out)
{
    switch (in->dane.status) {
    case DANE_NONE:
        return;
    case DANE_FAILED:
        // RFC 7672 2.1.2: whoever can make the lookup fail must not get the message that way.
        out->tlsa_failure = in->dane.is_bogus ? TLS_DNSSEC_INVALID : TLS_TLSA_INVALID;
        // RFC 8914 4.7
        out->tlsa_reason = in->dane.is_bogus ? STR("extended-dns-error-6-dnssec-bogus") : STR("tlsa-lookup-error");
        if (in->wish != TLS_WISH_OPTIONAL)
            refuse(out, 450, "4.7.5",
                   arena_printf(a, "it is not known how %.*s is to be authenticated: %.*s",
                                STR_FMT(in->host), STR_FMT(in->dane.why)));
        return;
    case DANE_UNUSABLE:
        out->has_tlsa = true;
        out->tlsa_failure = TLS_TLSA_INVALID;
        out->tlsa_reason = STR("all-unusable-records+ignored");
        out->must_encrypt = true; // RFC 7672 2.2; a policy that asks for more stays in force
        return;
    case DANE_USABLE:
        out->has_tlsa = true;
        out->must_encrypt = true;
        out->proof = TLS_PROOF_DANE;
        return;
    }
}

/*
 * RFC 8689 4.2.1: that it is the right server must be proved by DNSSEC or MTA-STS, and by its certificate. A report about
 * such a message goes encrypted, and proved where something can be; but it is not lost because nothing can, or because the
 * server does not know REQUIRETLS (5).
 */
static void apply_required(const struct tls_input *in, struct tls_rule *out)
{
    out->must_encrypt = true;
    out->must_offer_requiretls = !in->is_bounce;
    if (out->proof != TLS_PROOF_NONE)
        return;
    if (in->is_next_hop_secure)
        out->proof = TLS_PROOF_PKIX;
    else if (!in->is_bounce)
        refuse(out, 554, "5.7.30",
               STR("REQUIRETLS: neither DNSSEC nor MTA-STS proves which server is the right one"));
}

void tls_rule_make(struct arena *a, const struct tls_input *in, struct tls_rule *out)
{
    *out = (struct tls_rule){0};
    apply_sts(a, in, out);
    apply_dane(a, in, out);
    switch (in->wish) {
    case TLS_WISH_OPTIONAL: // RFC 8689 4.2.2
        out->must_encrypt = false;
        out->proof = TLS_PROOF_NONE;
        break;
    case TLS_WISH_REQUIRED:
        apply_required(in, out);
        break;
    case TLS_WISH_NONE:
        break;
    }
    out->may_retry_plain =
        !out->must_encrypt && (!in->is_dmarc_report || in->wish == TLS_WISH_OPTIONAL);
}
