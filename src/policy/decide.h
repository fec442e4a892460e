/*
 * Whether a message from outside is taken, and where it goes (mox-smtp-delivery.md 2.1 to 2.3, 2.6).
 *
 * Pure: what the account remembers, what its junk filter says and which time it is are asked through an
 * interface. Every step that had a say leaves a line of why.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "policy/findings.h"
#include "text/regex.h"

/* --- the account's rules ------------------------------------------------------------------------ */

struct decide_header_rule {
    struct regex *name, *value;
};
struct decide_ruleset {
    struct regex *mail_from, *msg_from; // NULL: not asked for
    struct str verified_domain;
    const struct decide_header_rule *headers;
    size_t n_headers;
    bool is_forward;
    struct str list_allow_domain, accept_rejects_mailbox, mailbox;
};
struct decide_destination {
    struct str auth_required; // what a sender who is not validated is told; empty: may be
    bool is_dmarc_report, is_tls_report;
    const struct decide_ruleset *rulesets;
    size_t n_rulesets;
};
struct decide_account {
    struct str rejects_mailbox, introbox;
    bool no_first_time_delay, has_junk_filter;
    uint64_t subjectpass_seconds; // 0: none
    double junk_threshold;
};

/* --- what is asked ------------------------------------------------------------------------------ */

/* What earlier messages are found by; as in store/reputation.h. */
enum decide_sign {
    DECIDE_FROM_PROVED = 1,
    DECIDE_FROM = 2,
    DECIDE_FROM_DOMAIN_PROVED = 3,
    DECIDE_FROM_DOMAIN = 4,
    DECIDE_FROM_ORG_PROVED = 5,
    DECIDE_FROM_ORG = 6,
    DECIDE_DKIM = 7,
    DECIDE_MAIL_FROM = 8,
    DECIDE_MAIL_FROM_DOMAIN = 9,
    DECIDE_HELLO = 10,
    DECIDE_IP1 = 11,
    DECIDE_IP2 = 12,
    DECIDE_IP3 = 13,
};
enum {
    DECIDE_MAX_HISTORY = 50,
    DECIDE_MAX_DKIM = 16,  // verified domains that count
    DECIDE_MAX_SIGNS = 40, // of one message
    DECIDE_NETWORKS = 3,
    DECIDE_MAX_HEADER = 256 * 1024, // the rest is not looked at
    DECIDE_MAX_VALUE = 8 * 1024,    // of a field that an expression is matched with
};
struct decide_judged {
    bool is_junk;
    struct str who; // localpart
};
struct decide_traffic {
    uint64_t minute_messages, minute_bytes, day_messages, day_bytes;
};
struct decide_junk {
    bool is_closed; // with an error: not the message is at fault but the filter cannot be read
    double probability;
    bool is_significant;
    struct str words; // what decided, for people
};
/* Each returns false with an error; texts live in a. */
struct decide_source {
    void *ctx;
    /* Judged messages of a mailbox with this sign, newest first; none for a mailbox that is not there. */
    bool (*history)(void *ctx, struct arena *a, struct str mailbox, enum decide_sign sign,
                    struct str value, int64_t since_unix, size_t max, struct decide_judged *out,
                    size_t *n, struct err *e);
    /* Whether the user has written to the address; without localpart to the domain, or below it. */
    bool (*has_written)(void *ctx, struct str localpart, struct str domain, bool with_subdomains,
                        int64_t since_unix, bool *out, struct err *e);
    bool (*traffic)(void *ctx, struct str network, int64_t now_unix, struct decide_traffic *out,
                    struct err *e);
    /* The key for tokens of this recipient. */
    bool (*subjectpass_key)(void *ctx, struct arena *a, struct str address, struct str *out,
                            struct err *e);
    /* NULL: there is no filter. */
    bool (*junk)(void *ctx, struct arena *a, struct decide_junk *out, struct err *e);
    /*
     * Takes a report that came to an address for them; *is_valid: it is one. NULL: reports are messages
     * like others.
     */
    bool (*report)(void *ctx, bool is_tls, bool *is_valid, struct err *e);
};

/* --- deciding ----------------------------------------------------------------------------------- */

/* As ipc/messages/account.h, findings. */
struct decide_findings {
    bool is_tls, is_smtputf8, has_from;
    struct str from_localpart, from_domain, from_org_domain;
    enum validation validation;
    struct str mail_from_localpart, mail_from_domain;
    enum finding spf_mail_from;
    struct str hello_domain;
    enum finding spf_hello;
    struct str dkim_domains;
    enum finding dmarc;
    enum dmarc_wish dmarc_wish;
    bool is_dmarc_sampled;
    enum finding iprev;
    struct str iprev_name, dnsbl_zones;
    enum finding arc;
    unsigned arc_sets;
    struct str arc_domain;
};

struct decide_message {
    struct decide_findings found;
    struct str reverse_path;   // MAIL FROM, as written
    struct str rcpt;           // the recipient, as written
    struct str address;        // the same in its canonical form
    struct str mailbox;        // of the destination
    struct str remote_ip;
    struct str header;         // of the message as received
    uint64_t size;
    int64_t now_unix;
    double jitter; // added to the filter's threshold, so that it cannot be probed: -0.05 to 0.05
};

struct decide_sign_value {
    enum decide_sign sign;
    struct str value, who;
};

struct decision {
    bool is_accepted;
    unsigned code; // of the reply
    const char *enhanced;
    struct str text;
    struct str reason, mailbox;
    struct str destined;      // where it would have gone, when that is another mailbox; or empty
    bool is_slow;             // the client is to be answered slowly
    bool is_first_time;       // nothing is known of the sender
    bool is_reject;           // to be kept as a reject: in Rejects, or accepted by a ruleset
    bool is_list, is_forward;
    enum { DECIDE_NO_TOKEN, DECIDE_TOKEN_VALID, DECIDE_TOKEN_INVALID } token; // in the subject
    enum dmarc_override dmarc_override;
    struct str details;       // for X-Mox-Reason
    struct str why;           // the record, see why.h
    // What the next message of the sender will be judged by.
    struct decide_sign_value signs[DECIDE_MAX_SIGNS];
    size_t n_signs;
    struct str networks[DECIDE_NETWORKS];
};

/* Never fails: what goes wrong is a refusal for now. destination may be NULL: no rules of its own. */
void decide(struct arena *a, const struct decide_account *account,
            const struct decide_destination *destination, const struct decide_message *m,
            const struct decide_source *source, struct decision *out);

/* The client's networks from small to large; empty ones for what is no address. */
void decide_networks(struct arena *a, struct str ip, struct str out[DECIDE_NETWORKS]);
