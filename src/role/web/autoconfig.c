/*
 * Settings of mail programs (mox-web-http-api.md 5.8) and policies of MTA-STS (5.9).
 */
#include "ipc/metrics.h"
#include "policy/mtasts.h"
#include "role/web/web.h"
#include "web/autoconfig.h"

enum { MAX_DOCUMENT = 256 * 1024, MAX_ADDRESSES = 100, MAX_QR = 2000 };

enum { THUNDERBIRD, THUNDERBIRD_AT_DOMAIN, MICROSOFT, APPLE, APPLE_QR, PACC };
const struct str autoconfig_paths[AUTOCONFIG_PATHS] = {
    [THUNDERBIRD] = STR_("/mail/config-v1.1.xml"),
    [THUNDERBIRD_AT_DOMAIN] = STR_("/.well-known/autoconfig/mail/config-v1.1.xml"),
    [MICROSOFT] = STR_("/autodiscover/autodiscover.xml"),
    [APPLE] = STR_("/profile.mobileconfig"),
    [APPLE_QR] = STR_("/profile.mobileconfig.qrcode.png"),
    [PACC] = STR_(PACC_PATH),
};

const struct ipc_web_domain *autoconfig_domain(struct str host)
{
    static const struct str prefixes[] = {STR_("autoconfig."), STR_("autodiscover."), STR_(PACC_HOST_PREFIX)};
    const struct ipc_web_domain *d = dispatch_domain(host);

    for (size_t i = 0; i < COUNT(prefixes) && !d; i++)
        if (str_starts(host, prefixes[i]))
            d = dispatch_domain(str_from(host, prefixes[i].n));
    return d;
}

static struct mail_settings settings_of(const struct ipc_web_domain *d)
{
    return (struct mail_settings){
        .domain = d->name,
        .imap = {d->imap_host, d->imap_port, (enum mail_socket)d->imap_socket, d->imap_on_https},
        .submission = {d->submission_host, d->submission_port, (enum mail_socket)d->submission_socket,
                       d->submission_on_https},
    };
}

static void refuse(struct web_exchange *x, struct str detail)
{
    web_fail(x, 400, detail);
}

// The settings for an address; false: that has been refused.
static bool settings_for(struct web_exchange *x, struct str email, struct mail_address *address, struct mail_settings *out)
{
    const struct ipc_web_domain *d;
    struct err e = {0};

    if (!mail_address_parse(x->arena, email, address, &e)) {
        refuse(x, STR("invalid email address"));
        return false;
    }
    d = dispatch_domain(address->domain);
    if (!d)
        refuse(x, STR("unknown domain"));
    else
        *out = settings_of(d);
    return d;
}

static void reply(struct web_exchange *x, struct str type, const struct buf *document)
{
    if (document->full)
        refuse(x, STR("too long"));
    else
        web_reply_text(x, type, arena_dup(x->arena, buf_str(document)));
}

static void serve_thunderbird(struct web_exchange *x)
{
    AUTO_BUF out = BUF_LIMIT(MAX_DOCUMENT);
    const struct ipc_web_domain *d = autoconfig_domain(x->request->host);
    struct str email = {0}, form;
    struct mail_address address;
    struct mail_settings s;
    struct err e = {0};

    METRIC(autoconf_request_total);
    if (!http_query_get(x->arena, x->request->query, STR("emailaddress"), &email) &&
        x->request->method == HTTP_POST) {
        if (!web_body_all(x, WEB_MAX_FORM, &form, &e)) {
            web_fail_err(x, &e);
            return;
        }
        if (!http_query_get(x->arena, form, STR("emailaddress"), &email))
            email = STR("");
    }
    if (email.n) {
        if (!settings_for(x, email, &address, &s))
            return;
    } else if (d) {
        s = settings_of(d);
    } else {
        refuse(x, STR("no email address"));
        return;
    }
    autoconfig_put(&out, &s, email);
    reply(x, STR("application/xml; charset=utf-8"), &out);
}

static void serve_microsoft(struct web_exchange *x)
{
    AUTO_BUF out = BUF_LIMIT(MAX_DOCUMENT);
    struct web_reply not_allowed = {.status = 405, .body = STR("405 - method not allowed\n")};
    struct mail_address address;
    struct mail_settings s;
    struct str body, email;
    struct err e = {0};

    METRIC(autodiscover_request_total);
    if (x->request->method != HTTP_POST) {
        web_field(x, &not_allowed, STR("Allow"), STR("POST"));
        web_field(x, &not_allowed, STR("Content-Type"), STR("text/plain; charset=utf-8"));
        web_reply(x, &not_allowed);
        return;
    }
    if (!web_body_all(x, WEB_MAX_FORM, &body, &e) || !autodiscover_parse(x->arena, body, &email, &e)) {
        web_fail_err(x, &e);
        return;
    }
    if (!settings_for(x, email, &address, &s))
        return;
    autodiscover_put(&out, &s, email);
    reply(x, STR("application/xml; charset=utf-8"), &out);
}

// "email-account-ann-at-example-org.mobileconfig"; what a file name or a field cannot have becomes a hyphen.
static struct str disposition(struct web_exchange *x, struct str address)
{
    AUTO_BUF b = BUF_LIMIT(1024);

    BUF_PUT(&b, "attachment; filename=\"email-account-");
    for (size_t i = 0; i < address.n && i < 300; i++)
        if (address.p[i] == '@')
            BUF_PUT(&b, "-at-");
        else
            buf_put_char(&b, ascii_is_alnum(address.p[i]) || address.p[i] == '_' || address.p[i] == '+' ? address.p[i]
                                                                                                     : '-');
    BUF_PUT(&b, ".mobileconfig\"");
    return arena_dup(x->arena, buf_str(&b));
}

static void serve_apple(struct web_exchange *x)
{
    AUTO_BUF out = BUF_LIMIT(MAX_DOCUMENT);
    struct mail_address *addresses = ARENA_ARRAY(x->arena, MAX_ADDRESSES, struct mail_address);
    struct web_reply r = {.status = 200};
    struct str list, one, full_name = {0};
    struct mail_settings s, other;
    size_t n = 0;

    if (!web_is_get(x))
        return;
    if (!http_query_get(x->arena, x->request->query, STR("addresses"), &list) || !list.n) {
        refuse(x, STR("missing parameter addresses"));
        return;
    }
    if (!http_query_get(x->arena, x->request->query, STR("name"), &full_name))
        full_name = STR("");
    while (str_next(&list, ',', &one)) {
        if (n == MAX_ADDRESSES) {
            refuse(x, STR("too many addresses"));
            return;
        }
        if (!settings_for(x, str_trim(one), &addresses[n], n ? &other : &s))
            return;
        n++;
    }
    mobileconfig_put(&out, &s, addresses, n, full_name);
    if (out.full) {
        refuse(x, STR("too long"));
        return;
    }
    r.body = arena_dup(x->arena, buf_str(&out));
    web_field(x, &r, STR("Content-Type"), STR("application/x-apple-aspen-config; charset=utf-8"));
    web_field(x, &r, STR("Content-Disposition"), disposition(x, addresses[0].text));
    web_reply(x, &r);
}

// The address of the profile itself, for a telephone to look at.
static void serve_apple_qr(struct web_exchange *x)
{
    const struct http_request *q = x->request;
    AUTO_BUF out = BUF_LIMIT(4 << 20);
    struct str url, list;
    char *text;

    if (!web_is_get(x))
        return;
    if (!http_query_get(x->arena, q->query, STR("addresses"), &list) || !list.n) {
        refuse(x, STR("missing parameter addresses"));
        return;
    }
    url = arena_printf(x->arena, "%s://%.*s%.*s?%.*s", x->is_secure ? "https" : "http",
                       STR_FMT(http_field_get(&q->fields, STR("Host"))), STR_FMT(autoconfig_paths[APPLE]),
                       STR_FMT(q->query));
    text = url.n <= MAX_QR ? arena_cstring(x->arena, url) : NULL;
    if (!text || !qr_put(&out, text)) {
        refuse(x, STR("too long for a QR code"));
        return;
    }
    reply(x, STR("image/png"), &out);
}

static void serve_pacc(struct web_exchange *x)
{
    AUTO_BUF out = BUF_LIMIT(MAX_DOCUMENT);
    const struct ipc_web_domain *d = autoconfig_domain(x->request->host);
    struct mail_settings s;

    if (!web_is_get(x))
        return;
    if (d)
        s = settings_of(d);
    if (!d || !pacc_put(&out, &s)) {
        web_fail(x, 404, STR(""));
        return;
    }
    reply(x, STR("application/json"), &out);
}

void autoconfig_serve(struct web_exchange *x, const struct web_route *route)
{
    static void (*const serve[AUTOCONFIG_PATHS])(struct web_exchange *) = {
        [THUNDERBIRD] = serve_thunderbird, [THUNDERBIRD_AT_DOMAIN] = serve_thunderbird, [MICROSOFT] = serve_microsoft,
        [APPLE] = serve_apple,             [APPLE_QR] = serve_apple_qr,                 [PACC] = serve_pacc,
    };

    for (size_t i = 0; i < AUTOCONFIG_PATHS; i++)
        if (str_eq(route->path, autoconfig_paths[i]))
            serve[i](x);
}

void mtasts_serve(struct web_exchange *x, const struct web_route *route)
{
    const struct ipc_web_domain *d = dispatch_domain(str_from(x->request->host, sizeof MTASTS_HOST_PREFIX - 1));
    AUTO_BUF out = BUF_LIMIT(2 * MTASTS_MAX_POLICY);
    struct web_reply r = {.status = 200};
    struct mtasts_policy policy = {0};
    struct err e = {0};

    (void)route;
    if (!d || !d->has_sts) {
        web_fail(x, 404, STR(""));
        return;
    }
    if (!web_is_get(x))
        return;
    if (!mtasts_mx_parse(x->arena, d->sts_mx, &policy, &e)) {
        web_fail_err(x, &e);
        return;
    }
    policy.mode = (enum mtasts_mode)d->sts_mode;
    policy.max_age = d->sts_max_age;
    mtasts_policy_put(&out, &policy);
    r.body = arena_dup(x->arena, buf_str(&out));
    web_field(x, &r, STR("Content-Type"), STR("text/plain"));
    web_field(x, &r, STR("Cache-Control"), STR("no-cache, max-age=0"));
    web_reply(x, &r);
}
