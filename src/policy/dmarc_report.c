#include "policy/dmarc_report.h"

#include <expat.h>
#include <stdlib.h>

#include "base/cur.h"
#include "base/die.h"
#include "base/map.h"
#include "policy/report_mail.h"
#include "text/idna.h"

/* --- what elements there are ---------------------------------------------------------------------- */

enum place {
    OUTSIDE,
    FEEDBACK,
    METADATA,
    DATE_RANGE,
    POLICY,
    RECORD,
    ROW,
    EVALUATED,
    REASON,
    IDENTIFIERS,
    AUTH_RESULTS,
    DKIM,
    SPF,
    LEAF,    // with text that is kept
    UNKNOWN, // and all that is in it
};

enum owner { IN_REPORT, IN_RECORD, IN_REASON, IN_DKIM, IN_SPF };
enum meaning { TEXT, WORD, COUNT_OF, BEGIN, END, AN_ERROR };

#define AT(type, field) offsetof(struct type, field)

static const struct element {
    enum place parent;
    const char *name;
    enum place place;
    // Of a leaf:
    enum owner owner;
    size_t offset; // of a struct str
    enum meaning meaning;
} elements[] = {
    {OUTSIDE, "feedback", FEEDBACK, 0, 0, 0},
    {FEEDBACK, "version", LEAF, IN_REPORT, AT(dmarc_report, version), TEXT},
    {FEEDBACK, "report_metadata", METADATA, 0, 0, 0},
    {FEEDBACK, "policy_published", POLICY, 0, 0, 0},
    {FEEDBACK, "record", RECORD, 0, 0, 0},
    {METADATA, "org_name", LEAF, IN_REPORT, AT(dmarc_report, org_name), TEXT},
    {METADATA, "email", LEAF, IN_REPORT, AT(dmarc_report, email), TEXT},
    {METADATA, "extra_contact_info", LEAF, IN_REPORT, AT(dmarc_report, extra_contact_info), TEXT},
    {METADATA, "report_id", LEAF, IN_REPORT, AT(dmarc_report, report_id), TEXT},
    {METADATA, "generator", LEAF, IN_REPORT, AT(dmarc_report, generator), TEXT},
    {METADATA, "error", LEAF, IN_REPORT, 0, AN_ERROR},
    {METADATA, "date_range", DATE_RANGE, 0, 0, 0},
    {DATE_RANGE, "begin", LEAF, IN_REPORT, 0, BEGIN},
    {DATE_RANGE, "end", LEAF, IN_REPORT, 0, END},
    {POLICY, "domain", LEAF, IN_REPORT, AT(dmarc_report, domain), TEXT},
    {POLICY, "adkim", LEAF, IN_REPORT, AT(dmarc_report, adkim), WORD},
    {POLICY, "aspf", LEAF, IN_REPORT, AT(dmarc_report, aspf), WORD},
    {POLICY, "p", LEAF, IN_REPORT, AT(dmarc_report, p), WORD},
    {POLICY, "sp", LEAF, IN_REPORT, AT(dmarc_report, sp), WORD},
    {POLICY, "np", LEAF, IN_REPORT, AT(dmarc_report, np), WORD},
    {POLICY, "pct", LEAF, IN_REPORT, AT(dmarc_report, pct), TEXT},
    {POLICY, "fo", LEAF, IN_REPORT, AT(dmarc_report, fo), TEXT},
    {POLICY, "testing", LEAF, IN_REPORT, AT(dmarc_report, testing), WORD},
    {POLICY, "discovery_method", LEAF, IN_REPORT, AT(dmarc_report, discovery_method), WORD},
    {RECORD, "row", ROW, 0, 0, 0},
    {RECORD, "identifiers", IDENTIFIERS, 0, 0, 0},
    {RECORD, "auth_results", AUTH_RESULTS, 0, 0, 0},
    {ROW, "source_ip", LEAF, IN_RECORD, AT(dmarc_report_record, source_ip), TEXT},
    {ROW, "count", LEAF, IN_RECORD, 0, COUNT_OF},
    {ROW, "policy_evaluated", EVALUATED, 0, 0, 0},
    {EVALUATED, "disposition", LEAF, IN_RECORD, AT(dmarc_report_record, disposition), WORD},
    {EVALUATED, "dkim", LEAF, IN_RECORD, AT(dmarc_report_record, dkim), WORD},
    {EVALUATED, "spf", LEAF, IN_RECORD, AT(dmarc_report_record, spf), WORD},
    {EVALUATED, "reason", REASON, 0, 0, 0},
    {REASON, "type", LEAF, IN_REASON, AT(dmarc_report_reason, type), WORD},
    {REASON, "comment", LEAF, IN_REASON, AT(dmarc_report_reason, comment), TEXT},
    {IDENTIFIERS, "header_from", LEAF, IN_RECORD, AT(dmarc_report_record, header_from), TEXT},
    {IDENTIFIERS, "envelope_from", LEAF, IN_RECORD, AT(dmarc_report_record, envelope_from), TEXT},
    {IDENTIFIERS, "envelope_to", LEAF, IN_RECORD, AT(dmarc_report_record, envelope_to), TEXT},
    {AUTH_RESULTS, "dkim", DKIM, 0, 0, 0},
    {AUTH_RESULTS, "spf", SPF, 0, 0, 0},
    {DKIM, "domain", LEAF, IN_DKIM, AT(dmarc_report_dkim, domain), TEXT},
    {DKIM, "selector", LEAF, IN_DKIM, AT(dmarc_report_dkim, selector), TEXT},
    {DKIM, "result", LEAF, IN_DKIM, AT(dmarc_report_dkim, result), WORD},
    {DKIM, "human_result", LEAF, IN_DKIM, AT(dmarc_report_dkim, human_result), TEXT},
    {SPF, "domain", LEAF, IN_SPF, AT(dmarc_report_spf, domain), TEXT},
    {SPF, "scope", LEAF, IN_SPF, AT(dmarc_report_spf, scope), WORD},
    {SPF, "result", LEAF, IN_SPF, AT(dmarc_report_spf, result), WORD},
    {SPF, "human_result", LEAF, IN_SPF, AT(dmarc_report_spf, human_result), TEXT},
};

/* --- events of the XML ---------------------------------------------------------------------------- */

/*
 * A token that is not whole is read again with each piece that comes, so it must be short: no tag,
 * comment or declaration of a report is longer.
 */
enum { MAX_TOKEN = 64 * 1024, FEED = 16 * 1024 };

struct dmarc_report_parser {
    struct arena *a;
    XML_Parser xml;
    struct dmarc_report *report;
    enum place path[DMARC_REPORT_MAX_DEPTH];
    size_t depth;
    const struct element *leaf; // that is being read
    struct buf text;            // of the leaf
    size_t n_results, n_unknown, n_text;
    uint64_t n_fed;
    bool has_feedback, has_failed;
    struct err failure;
};

static void stop(struct dmarc_report_parser *p, enum err_kind kind, const char *why)
{
    if (p->has_failed)
        return;
    p->has_failed = true;
    (void)fail(&p->failure, kind, "%s", why);
    (void)XML_StopParser(p->xml, XML_FALSE);
}

static struct dmarc_report_record *last_record(struct dmarc_report_parser *p)
{
    return &p->report->records[p->report->n - 1];
}

static bool may_add_result(struct dmarc_report_parser *p)
{
    if (p->n_results++ < DMARC_REPORT_MAX_RESULTS)
        return true;
    stop(p, ERR_LIMIT, "too many results");
    return false;
}

/* Makes room for what the element stands for. */
static void add(struct dmarc_report_parser *p, enum place place)
{
    struct dmarc_report *report = p->report;
    struct dmarc_report_record *record = report->n ? last_record(p) : NULL;

    switch (place) {
    case FEEDBACK:
        p->has_feedback = true;
        break;
    case RECORD:
        if (report->n == DMARC_REPORT_MAX_RECORDS)
            stop(p, ERR_LIMIT, "too many records");
        else
            (void)ARENA_PUSH(p->a, report->records, &report->n, &report->cap);
        break;
    case REASON:
        if (may_add_result(p))
            (void)ARENA_PUSH(p->a, record->reasons, &record->n_reasons, &record->cap_reasons);
        break;
    case DKIM:
        if (may_add_result(p))
            (void)ARENA_PUSH(p->a, record->dkim_results, &record->n_dkim, &record->cap_dkim);
        break;
    case SPF:
        if (may_add_result(p))
            (void)ARENA_PUSH(p->a, record->spf_results, &record->n_spf, &record->cap_spf);
        break;
    case UNKNOWN:
        if (p->n_unknown++ == DMARC_REPORT_MAX_UNKNOWN)
            stop(p, ERR_LIMIT, "too many elements that are not of a report");
        break;
    case OUTSIDE:
    case METADATA:
    case DATE_RANGE:
    case POLICY:
    case ROW:
    case EVALUATED:
    case IDENTIFIERS:
    case AUTH_RESULTS:
    case LEAF:
        break;
    }
}

static const struct element *element_of(enum place parent, struct str name)
{
    ptrdiff_t prefix = str_find(name, ':'); // of a namespace

    if (prefix >= 0)
        name = str_from(name, (size_t)prefix + 1);
    for (size_t i = 0; i < COUNT(elements); i++)
        if (elements[i].parent == parent && str_eq(name, str_of(elements[i].name)))
            return &elements[i];
    return NULL;
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct dmarc_report_parser *p = ctx;
    enum place parent = p->depth ? p->path[p->depth - 1] : OUTSIDE;
    const struct element *element = element_of(parent, str_of(name));
    enum place place = element ? element->place : UNKNOWN;

    (void)attributes;
    if (p->has_failed)
        return;
    if (!p->depth && place != FEEDBACK)
        return stop(p, ERR_SYNTAX, "it is not a report: there is no feedback element");
    if (p->depth == DMARC_REPORT_MAX_DEPTH)
        return stop(p, ERR_LIMIT, "elements nested too deep");
    p->path[p->depth++] = place;
    if (place == LEAF) {
        p->leaf = element;
        buf_reset(&p->text);
    }
    add(p, place);
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int n)
{
    struct dmarc_report_parser *p = ctx;
    size_t room = DMARC_REPORT_MAX_FIELD - p->text.n;

    // Not of an element inside the leaf, which is nothing of a report.
    if (!p->has_failed && p->depth && p->path[p->depth - 1] == LEAF)
        buf_put(&p->text, str_sub(str_at(text, (size_t)n), 0, room));
}

/* The object whose field the leaf is. Its element was seen, so it is there. */
static void *owner_of(struct dmarc_report_parser *p, enum owner owner)
{
    struct dmarc_report_record *record = p->report->n ? last_record(p) : NULL;

    switch (owner) {
    case IN_REPORT:
        return p->report;
    case IN_RECORD:
        return record;
    case IN_REASON:
        return &record->reasons[record->n_reasons - 1];
    case IN_DKIM:
        return &record->dkim_results[record->n_dkim - 1];
    case IN_SPF:
        return &record->spf_results[record->n_spf - 1];
    }
    die("an element of nobody");
}

static void take_number(struct dmarc_report_parser *p, uint64_t max, uint64_t *out)
{
    if (!str_u64(str_trim(buf_str(&p->text)), max, out))
        stop(p, ERR_SYNTAX, "a count or time is no number");
}

static void take_leaf(struct dmarc_report_parser *p, const struct element *leaf)
{
    enum { MAX_COUNT = INT32_MAX };
    const int64_t max_time = 253402300799; // the year 9999
    struct dmarc_report *report = p->report;
    struct str text = str_trim(buf_str(&p->text));
    void *owner = owner_of(p, leaf->owner);
    uint64_t number = 0;

    p->n_text += text.n;
    if (p->n_text > DMARC_REPORT_MAX_TEXT)
        return stop(p, ERR_LIMIT, "too much text");
    switch (leaf->meaning) {
    case TEXT:
        *(struct str *)((char *)owner + leaf->offset) = arena_dup(p->a, text);
        break;
    case WORD:
        *(struct str *)((char *)owner + leaf->offset) = arena_lower(p->a, text);
        break;
    case COUNT_OF:
        take_number(p, MAX_COUNT, &((struct dmarc_report_record *)owner)->count);
        break;
    case BEGIN:
        take_number(p, (uint64_t)max_time, &number);
        report->begin = (int64_t)number;
        break;
    case END:
        take_number(p, (uint64_t)max_time, &number);
        report->end = (int64_t)number;
        break;
    case AN_ERROR:
        if (text.n && report->n_errors < DMARC_REPORT_MAX_ERRORS)
            *ARENA_PUSH(p->a, report->errors, &report->n_errors, &report->cap_errors) =
                arena_dup(p->a, text);
        break;
    }
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    struct dmarc_report_parser *p = ctx;

    (void)name;
    if (p->has_failed)
        return;
    if (p->path[--p->depth] == LEAF)
        take_leaf(p, p->leaf);
}

static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_internal;
    stop(ctx, ERR_SYNTAX, "it has a document type, which no report needs");
}

/* --- reading -------------------------------------------------------------------------------------- */

struct dmarc_report_parser *dmarc_report_parser_new(struct arena *a)
{
    struct dmarc_report_parser *p = heap_alloc(sizeof *p);

    p->a = a;
    p->report = ARENA_NEW(a, struct dmarc_report);
    p->text.limit = DMARC_REPORT_MAX_FIELD;
    p->xml = XML_ParserCreate(NULL);
    if (!p->xml)
        die("out of memory");
    // Ours, so that expat asks no file for one.
    (void)XML_SetHashSalt(p->xml, (unsigned long)str_hash(STR("dmarc report")) | 1);
    XML_SetUserData(p->xml, p);
    XML_SetElementHandler(p->xml, on_start, on_end);
    XML_SetCharacterDataHandler(p->xml, on_text);
    XML_SetStartDoctypeDeclHandler(p->xml, on_doctype);
    return p;
}

static bool parse(struct dmarc_report_parser *p, struct str xml, bool is_end, struct err *e)
{
    enum XML_Status status;
    XML_Index at;

    if (!p->has_failed) {
        p->n_fed += xml.n;
        status = XML_Parse(p->xml, xml.p, (int)xml.n, is_end);
        if (status != XML_STATUS_OK && !p->has_failed) {
            p->has_failed = true;
            (void)fail(&p->failure, ERR_SYNTAX, "line %lu: %s",
                       (unsigned long)XML_GetCurrentLineNumber(p->xml),
                       XML_ErrorString(XML_GetErrorCode(p->xml)));
        }
        at = XML_GetCurrentByteIndex(p->xml);
        if (!p->has_failed && !is_end && p->n_fed > MAX_TOKEN &&
            (at < 0 || p->n_fed - (uint64_t)at > MAX_TOKEN))
            stop(p, ERR_LIMIT, "a tag or comment is too long");
    }
    return !p->has_failed || fail(e, p->failure.kind, "%s", p->failure.text);
}

bool dmarc_report_feed(struct dmarc_report_parser *p, struct str xml, struct err *e)
{
    for (; xml.n; xml = str_from(xml, FEED))
        if (!parse(p, str_sub(xml, 0, FEED), false, e))
            return false;
    return true;
}

static bool check_report(struct dmarc_report_parser *p, struct err *e)
{
    struct dmarc_report *report = p->report;

    if (!p->has_feedback)
        return fail(e, ERR_SYNTAX, "it is empty");
    if (!report->domain.n)
        return fail(e, ERR_SYNTAX, "it has no domain of a published policy");
    if (!domain_to_ascii(p->a, report->domain, &report->domain, e))
        return fail_in(e, "domain of the published policy");
    if (!report->begin || !report->end || report->end < report->begin)
        return fail(e, ERR_SYNTAX, "it does not say for which time it is");
    return true;
}

bool dmarc_report_end(struct dmarc_report_parser *p, struct dmarc_report **out, struct err *e)
{
    bool is_ok = parse(p, STR(""), true, e) && check_report(p, e);

    *out = is_ok ? p->report : NULL;
    XML_ParserFree(p->xml);
    buf_fini(&p->text);
    free(p);
    return is_ok;
}

static bool feed(void *ctx, struct str piece, struct err *e)
{
    return dmarc_report_feed(ctx, piece, e);
}

bool dmarc_report_of_message(struct arena *a, struct str message, const struct part *root,
                             struct dmarc_report **out, struct err *e)
{
    struct dmarc_report_parser *p = dmarc_report_parser_new(a);
    struct err later = {0};
    bool is_ok = report_unpack(message, root, REPORT_DMARC, feed, p, e);

    // The parser is to be freed in any case, and the first error is the one to tell.
    return dmarc_report_end(p, out, is_ok ? e : &later) && is_ok;
}
