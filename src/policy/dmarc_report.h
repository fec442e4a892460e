/*
 * Aggregate reports of DMARC (RFC 7489 7.2 and appendix C; what RFC 9990 adds), as others send them.
 *
 * The XML may come in any pieces. A document type, and with it every entity, is refused. Elements that
 * are not known are passed over, and so are missing ones where a report is of use without them.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "message/mime.h"

enum {
    DMARC_REPORT_MAX_RECORDS = 50000,
    DMARC_REPORT_MAX_RESULTS = 200000, // of DKIM and SPF, and reasons, of all records
    DMARC_REPORT_MAX_ERRORS = 100,
    DMARC_REPORT_MAX_FIELD = 4096,     // bytes of one text; the rest of it is left out
    DMARC_REPORT_MAX_TEXT = 16 << 20,  // of all texts
    DMARC_REPORT_MAX_DEPTH = 20,
    DMARC_REPORT_MAX_UNKNOWN = 100000, // elements
    DMARC_REPORT_MEMORY = 96 << 20,    // what an arena must allow
};

struct dmarc_report_reason {
    struct str type, comment;
};
struct dmarc_report_dkim {
    struct str domain, selector, result, human_result;
};
struct dmarc_report_spf {
    struct str domain, scope, result, human_result;
};
/* Words ("pass", "reject") are in lower case. */
struct dmarc_report_record {
    struct str source_ip, disposition, dkim, spf;
    uint64_t count;
    struct dmarc_report_reason *reasons;
    size_t n_reasons, cap_reasons;
    struct str header_from, envelope_from, envelope_to;
    struct dmarc_report_dkim *dkim_results;
    size_t n_dkim, cap_dkim;
    struct dmarc_report_spf *spf_results;
    size_t n_spf, cap_spf;
};
struct dmarc_report {
    struct str version, org_name, email, extra_contact_info, report_id, generator;
    int64_t begin, end; // Unix time
    struct str *errors;
    size_t n_errors, cap_errors;
    // policy_published
    struct str domain; // A-labels
    struct str adkim, aspf, p, sp, np, pct, fo, testing, discovery_method;
    struct dmarc_report_record *records;
    size_t n, cap;
};

struct dmarc_report_parser;
struct dmarc_report_parser *dmarc_report_parser_new(struct arena *a);
MUST_USE bool dmarc_report_feed(struct dmarc_report_parser *p, struct str xml, struct err *e);
/*
 * What there must be: a feedback element, a published policy with a domain, and a time. The parser is
 * freed, also when something went wrong before.
 */
MUST_USE bool dmarc_report_end(struct dmarc_report_parser *p, struct dmarc_report **out,
                               struct err *e);

/*
 * The XML of a report, after the schema of RFC 7489 appendix C, with the additions of RFC 9990 where they
 * are set. What XML cannot have in it becomes "?".
 */
void dmarc_report_put(struct buf *out, const struct dmarc_report *report);

/* The report in a message; see report_unpack. */
MUST_USE bool dmarc_report_of_message(struct arena *a, struct str message, const struct part *root,
                                      struct dmarc_report **out, struct err *e);
