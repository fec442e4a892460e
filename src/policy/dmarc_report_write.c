#include "policy/dmarc_report.h"
#include "text/encode.h"

// Escaping is here and nowhere else: every text of a report goes through it.
static void put_escaped(struct buf *out, struct str text)
{
    AUTO_BUF valid = BUF_LIMIT(4 * DMARC_REPORT_MAX_FIELD);

    utf8_put_valid(&valid, str_sub(text, 0, DMARC_REPORT_MAX_FIELD));
    for (size_t i = 0; i < valid.n; i++) {
        unsigned char c = (unsigned char)valid.p[i];

        if (c == '&')
            BUF_PUT(out, "&amp;");
        else if (c == '<')
            BUF_PUT(out, "&lt;");
        else if (c == '>')
            BUF_PUT(out, "&gt;");
        else if (c == '"')
            BUF_PUT(out, "&quot;");
        else if (c < 32 || c == 127) // XML 1.0 2.2; a line break would be another after reading
            BUF_PUT(out, "?");
        else if (c == 0xef && str_starts(str_at(valid.p + i, valid.n - i), STR("\xef\xbf\xbe")))
            BUF_PUT(out, "?"), i += 2; // U+FFFE and U+FFFF are no characters
        else if (c == 0xef && str_starts(str_at(valid.p + i, valid.n - i), STR("\xef\xbf\xbf")))
            BUF_PUT(out, "?"), i += 2;
        else
            buf_put_char(out, (char)c);
    }
}

static void put(struct buf *out, const char *indent, const char *name, struct str text)
{
    buf_printf(out, "%s<%s>", indent, name);
    put_escaped(out, text);
    buf_printf(out, "</%s>\n", name);
}

static void put_optional(struct buf *out, const char *indent, const char *name, struct str text)
{
    if (text.n)
        put(out, indent, name, text);
}

static void put_number(struct buf *out, const char *indent, const char *name, uint64_t n)
{
    buf_printf(out, "%s<%s>%llu</%s>\n", indent, name, (unsigned long long)n, name);
}

static void put_metadata(struct buf *out, const struct dmarc_report *r)
{
    static const char in[] = "    ";

    BUF_PUT(out, "  <report_metadata>\n");
    put(out, in, "org_name", r->org_name);
    put(out, in, "email", r->email);
    put_optional(out, in, "extra_contact_info", r->extra_contact_info);
    put(out, in, "report_id", r->report_id);
    BUF_PUT(out, "    <date_range>\n");
    put_number(out, "      ", "begin", (uint64_t)r->begin);
    put_number(out, "      ", "end", (uint64_t)r->end);
    BUF_PUT(out, "    </date_range>\n");
    for (size_t i = 0; i < r->n_errors; i++)
        put(out, in, "error", r->errors[i]);
    put_optional(out, in, "generator", r->generator);
    BUF_PUT(out, "  </report_metadata>\n");
}

static void put_policy(struct buf *out, const struct dmarc_report *r)
{
    static const char in[] = "    ";

    BUF_PUT(out, "  <policy_published>\n");
    put(out, in, "domain", r->domain);
    put_optional(out, in, "adkim", r->adkim);
    put_optional(out, in, "aspf", r->aspf);
    put(out, in, "p", r->p);
    put(out, in, "sp", r->sp.n ? r->sp : r->p);
    put(out, in, "pct", r->pct.n ? r->pct : STR("100"));
    put(out, in, "fo", r->fo.n ? r->fo : STR("0"));
    put_optional(out, in, "np", r->np);
    put_optional(out, in, "testing", r->testing);
    put_optional(out, in, "discovery_method", r->discovery_method);
    BUF_PUT(out, "  </policy_published>\n");
}

static void put_row(struct buf *out, const struct dmarc_report_record *row)
{
    static const char in[] = "        ";

    BUF_PUT(out, "    <row>\n");
    put(out, "      ", "source_ip", row->source_ip);
    put_number(out, "      ", "count", row->count);
    BUF_PUT(out, "      <policy_evaluated>\n");
    put(out, in, "disposition", row->disposition);
    put(out, in, "dkim", row->dkim);
    put(out, in, "spf", row->spf);
    for (size_t i = 0; i < row->n_reasons; i++) {
        BUF_PUT(out, "        <reason>\n");
        put(out, "          ", "type", row->reasons[i].type);
        put_optional(out, "          ", "comment", row->reasons[i].comment);
        BUF_PUT(out, "        </reason>\n");
    }
    BUF_PUT(out, "      </policy_evaluated>\n    </row>\n");
}

static void put_results(struct buf *out, const struct dmarc_report_record *row)
{
    static const char in[] = "        ";

    BUF_PUT(out, "    <auth_results>\n");
    for (size_t i = 0; i < row->n_dkim; i++) {
        const struct dmarc_report_dkim *d = &row->dkim_results[i];

        BUF_PUT(out, "      <dkim>\n");
        put(out, in, "domain", d->domain);
        put_optional(out, in, "selector", d->selector);
        put(out, in, "result", d->result);
        put_optional(out, in, "human_result", d->human_result);
        BUF_PUT(out, "      </dkim>\n");
    }
    for (size_t i = 0; i < row->n_spf; i++) {
        const struct dmarc_report_spf *s = &row->spf_results[i];

        BUF_PUT(out, "      <spf>\n");
        put(out, in, "domain", s->domain);
        put(out, in, "scope", s->scope);
        put(out, in, "result", s->result);
        put_optional(out, in, "human_result", s->human_result);
        BUF_PUT(out, "      </spf>\n");
    }
    BUF_PUT(out, "    </auth_results>\n");
}

void dmarc_report_put(struct buf *out, const struct dmarc_report *r)
{
    static const char in[] = "      ";

    BUF_PUT(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback>\n");
    put(out, "  ", "version", r->version.n ? r->version : STR("1.0"));
    put_metadata(out, r);
    put_policy(out, r);
    for (size_t i = 0; i < r->n; i++) {
        const struct dmarc_report_record *row = &r->records[i];

        BUF_PUT(out, "  <record>\n");
        put_row(out, row);
        BUF_PUT(out, "    <identifiers>\n");
        put_optional(out, in, "envelope_to", row->envelope_to);
        put(out, in, "envelope_from", row->envelope_from);
        put(out, in, "header_from", row->header_from);
        BUF_PUT(out, "    </identifiers>\n");
        put_results(out, row);
        BUF_PUT(out, "  </record>\n");
    }
    BUF_PUT(out, "</feedback>\n");
}
