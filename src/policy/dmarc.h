/*
 * DMARC (RFC 7489; of its successor RFC 9989 the tags psd, np and t): the record, which record is for
 * a message, and what it says about the message.
 *
 * The organisational domain is that of the public suffix list. Where owners of domains have marked
 * their place in the tree with psd, those marks count instead: psd=n makes a domain an organisation
 * of its own, psd=y its children. Marks can only divide what the list holds together, so that
 * nobody is joined with strangers by a record.
 */
#pragma once

#include "base/err.h"
#include "policy/authres.h"
#include "policy/dns.h"
#include "policy/report_uri.h"

enum {
    DMARC_MAX_QUERIES = 8,     // of one walk up the tree (RFC 9989 4.10)
    DMARC_MAX_IDENTITIES = 20, // DKIM signatures that are looked at
    DMARC_MAX_RECORD = 16 * 1024,
};

enum dmarc_policy { DMARC_UNSET, DMARC_NO_POLICY, DMARC_QUARANTINE, DMARC_REJECT };
enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };

struct dmarc_record {
    enum dmarc_policy p, sp, np; // p is always set
    bool is_adkim_strict, is_aspf_strict;
    bool is_test;         // t=y: the policy is not to be applied
    enum dmarc_psd psd;
    bool has_tree_tags;   // psd, np or t: whoever wrote it knows RFC 9989
    unsigned pct;         // 0 to 100
    uint32_t ri;          // seconds
    struct str fo, rf;    // as written; empty: not given
    struct report_uris rua, ruf;
};

/* Whether a TXT record is meant to be one of DMARC: it begins with v=DMARC1. */
bool dmarc_is_record(struct str text);
/*
 * ERR_SYNTAX for what makes a record void: another version, a tag twice, a tag without a value,
 * pct above 100, no usable p, sp or np and no rua to tell anybody (RFC 7489 6.6.3 (6); with one, the
 * policy is none). Other values that mean nothing give way to the default (RFC 7489 6.3). Tags come
 * in any order, RFC 9989 4.8. Texts point into text.
 */
MUST_USE bool dmarc_record_parse(struct arena *a, struct str text, struct dmarc_record *out,
                                 struct err *e);
/* "v=DMARC1;p=reject;rua=mailto:a@b.example!10m": only what is not the default. */
void dmarc_record_put(struct buf *out, const struct dmarc_record *record);
const char *dmarc_policy_name(enum dmarc_policy policy); // "" when unset

/* What is published for a From domain. */
struct dmarc_found {
    enum auth_result result; // AUTH_PASS: there is a record; AUTH_NONE, AUTH_TEMPERROR, AUTH_PERMERROR
    struct str domain;       // where the record is
    struct str text;
    struct dmarc_record record;
    enum dmarc_policy policy; // of p, sp and np the one that is for the From domain
    bool is_secure;
    struct str why;           // of an error
};
/* Domains are A-labels in lower case. */
void dmarc_find(const struct dns *dns, struct arena *a, struct str from, struct dmarc_found *out);

struct dmarc_dkim {
    struct str domain, selector;
    enum auth_result result;
};
/* What has been found out about a message. Domains are A-labels; only from must be in lower case. */
struct dmarc_input {
    struct str from;       // domain of the From field; empty: none that counts
    struct str spf_domain; // that SPF was asked about: of MAIL FROM, else of EHLO
    bool is_spf_helo;
    enum auth_result spf;
    const struct dmarc_dkim *dkim;
    size_t n_dkim;
    unsigned sample; // 0 to 99, by chance: the policy is for those below pct
};
struct dmarc_result {
    enum auth_result status; // none, pass, fail, temperror, permerror
    bool is_reject;          // fail, and the policy wants it kept out; quarantine counts as reject
    bool is_spf_aligned, is_dkim_aligned; // pass and aligned
    bool is_sampled_out, is_test;         // why the policy of a failure is not applied
    struct dmarc_found found;
    struct str organizational; // of the From domain
};
/*
 * A temporary error of SPF or DKIM makes that of DMARC only where the identity could have been
 * aligned; upstream takes any, so that a stranger's slow DNS is a way past a policy.
 */
void dmarc_evaluate(const struct dns *dns, struct arena *a, const struct dmarc_input *in,
                    struct dmarc_result *out);

/*
 * The domain of the From field as A-labels: there must be exactly one field with exactly one
 * address (RFC 7489 6.6.1). ERR_SYNTAX says what there is instead.
 */
MUST_USE bool dmarc_from(struct arena *a, struct str header, struct str *domain, struct err *e);
/*
 * The domains of everyone whom some reader may take for the author, as A-labels, each once: of all
 * addresses in all From fields, also in lines that only others take for fields. At most DMARC_MAX_AUTHORS
 * and one more, which says that there are too many.
 */
enum { DMARC_MAX_AUTHORS = 5 };
size_t dmarc_authors(struct arena *a, struct str header, struct str out[DMARC_MAX_AUTHORS + 1]);

/* What an aggregate report tells of one message; address and envelope are the caller's to add. */
struct dmarc_evaluation {
    struct str policy_domain, from;
    struct dmarc_record published;
    unsigned interval_hours; // divides a day
    bool is_rejected;        // disposition: none or reject
    bool is_spf_aligned, is_dkim_aligned;
    struct str overrides[4]; // "sampled_out", "forwarded", ...
    size_t n_overrides;
    struct str spf_domain, spf_scope; // "mfrom" or "helo"; empty: SPF was not asked
    enum auth_result spf;
    struct dmarc_dkim *dkim; // of the same organisation only
    size_t n_dkim;
};
/*
 * False when nobody wants to know: no record, or no rua. override: why the policy was not applied
 * by the receiver ("forwarded", "mailing_list"), or empty.
 */
bool dmarc_evaluation_of(struct arena *a, const struct dmarc_input *in,
                         const struct dmarc_result *result, struct str override, bool is_rejected,
                         struct dmarc_evaluation *out);
/* The seconds of ri in hours that divide a day, at most 24. */
unsigned dmarc_interval_hours(uint32_t seconds);

/*
 * Whether domain to wants reports about the policy at domain about (RFC 7489 7.1): the same
 * organisation does; others say so in a record of their own, which may name other addresses of the
 * same host in *rua.
 */
enum dmarc_consent { DMARC_CONSENT_SAME, DMARC_CONSENT_YES, DMARC_CONSENT_NO, DMARC_CONSENT_TEMPORARY };
enum dmarc_consent dmarc_report_consent(const struct dns *dns, struct arena *a, struct str about,
                                        struct str to, struct report_uris *rua, struct str *why);
