#include "web/autoconfig.h"

#include <expat.h>

#include "crypto/crypto.h"
#include "text/encode.h"
#include "text/idna.h"
#include "web/pages.h"

enum { MAX_LOCALPART = 256, MAX_TEXT = 1024 };

bool mail_address_parse(struct arena *a, struct str text, struct mail_address *out, struct err *e)
{
    ptrdiff_t at = str_find_last(text, '@');

    *out = (struct mail_address){.text = text};
    if (at <= 0 || at > MAX_LOCALPART)
        return fail(e, ERR_SYNTAX, "no address");
    out->localpart = str_sub(text, 0, (size_t)at);
    for (size_t i = 0; i < out->localpart.n; i++)
        if ((unsigned char)out->localpart.p[i] <= ' ' || out->localpart.p[i] == 127 || out->localpart.p[i] == ',')
            return fail(e, ERR_SYNTAX, "no address");
    return (utf8_is_valid(out->localpart) || fail(e, ERR_SYNTAX, "no address")) &&
           domain_to_ascii(a, str_from(text, (size_t)at + 1), &out->domain, e);
}

static void put_element(struct buf *out, const char *name, struct str text)
{
    buf_printf(out, "<%s>", name);
    html_put(out, text);
    buf_printf(out, "</%s>\n", name);
}

static void put_number(struct buf *out, const char *name, uint32_t n)
{
    buf_printf(out, "<%s>%u</%s>\n", name, n, name);
}

/* --- Thunderbird ------------------------------------------------------------------------------- */

static void put_server(struct buf *out, const char *element, const char *type, const struct mail_server *s,
                       uint32_t port, enum mail_socket socket, struct str email)
{
    static const char *const names[] = {"plain", "STARTTLS", "SSL"};

    buf_printf(out, "<%s type=\"%s\">\n", element, type);
    put_element(out, "hostname", s->host);
    put_number(out, "port", port);
    put_element(out, "socketType", str_of(names[socket]));
    put_element(out, "username", email);
    BUF_PUT(out, "<authentication>password-encrypted</authentication>\n");
    buf_printf(out, "</%s>\n", element);
}

static void put_servers(struct buf *out, const char *element, const char *type, const struct mail_server *s,
                        struct str email)
{
    if (!s->host.n)
        return;
    put_server(out, element, type, s, s->port, s->socket, email);
    if (s->is_on_https)
        put_server(out, element, type, s, 443, MAIL_SOCKET_TLS, email);
}

void autoconfig_put(struct buf *out, const struct mail_settings *s, struct str email)
{
    struct str user = email.n ? email : STR("%EMAILADDRESS%");

    BUF_PUT(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n<emailProvider id=\"");
    html_put(out, s->domain);
    BUF_PUT(out, "\">\n");
    put_element(out, "domain", s->domain);
    put_element(out, "displayName", user);
    put_element(out, "displayShortName", s->domain);
    put_servers(out, "incomingServer", "imap", &s->imap, user);
    put_servers(out, "outgoingServer", "smtp", &s->submission, user);
    BUF_PUT(out, "</emailProvider>\n<clientConfigUpdate url=\"https://autoconfig.");
    html_put(out, s->domain);
    BUF_PUT(out, "/mail/config-v1.1.xml\"/>\n</clientConfig>\n");
}

/* --- Microsoft --------------------------------------------------------------------------------- */

static const char *const wanted[] = {"Autodiscover", "Request", "EMailAddress"};

struct reading {
    XML_Parser xml;
    unsigned depth, matched; // how many elements are open; how many of them are those that are wanted
    struct buf text;
    bool has_doctype, is_found;
};

static void on_start(void *ctx, const char *name, const char **attributes)
{
    struct reading *r = ctx;
    // "uri element", by namespace, or "element".
    struct str whole = str_of(name), local = str_from(whole, (size_t)(str_find_last(whole, ' ') + 1));

    (void)attributes;
    if (r->matched == r->depth && r->matched < COUNT(wanted) && str_eq(local, str_of(wanted[r->matched])))
        r->matched++;
    if (++r->depth > 20)
        XML_StopParser(r->xml, XML_FALSE);
}

static void on_end(void *ctx, const char *name)
{
    struct reading *r = ctx;

    (void)name;
    r->is_found |= r->matched == COUNT(wanted) && r->depth == r->matched;
    if (r->matched == r->depth)
        r->matched--;
    r->depth--;
}

static void on_text(void *ctx, const char *p, int n)
{
    struct reading *r = ctx;

    if (r->matched == COUNT(wanted) && r->depth == r->matched && !r->is_found)
        buf_put(&r->text, str_at(p, (size_t)n));
}

// Entities are defined there; nobody who asks for settings needs any.
static void on_doctype(void *ctx, const char *name, const char *system, const char *public, int has_internal)
{
    struct reading *r = ctx;

    (void)name, (void)system, (void)public, (void)has_internal;
    r->has_doctype = true;
    XML_StopParser(r->xml, XML_FALSE);
}

bool autodiscover_parse(struct arena *a, struct str xml, struct str *email, struct err *e)
{
    struct reading r = {.xml = XML_ParserCreateNS("UTF-8", ' '), .text = BUF_LIMIT(MAX_TEXT)};
    bool is_ok;

    if (!r.xml)
        return fail(e, ERR_TEMPORARY, "no memory for XML");
    XML_SetUserData(r.xml, &r);
    XML_SetElementHandler(r.xml, on_start, on_end);
    XML_SetCharacterDataHandler(r.xml, on_text);
    XML_SetStartDoctypeDeclHandler(r.xml, on_doctype);
    is_ok = xml.n <= 1 << 20 && XML_Parse(r.xml, xml.p, (int)xml.n, 1) == XML_STATUS_OK && r.is_found && !r.text.full;
    if (is_ok)
        *email = arena_dup(a, str_trim(buf_str(&r.text)));
    buf_fini(&r.text);
    XML_ParserFree(r.xml);
    return is_ok || fail(e, ERR_SYNTAX, r.has_doctype ? "a document with a DOCTYPE" : "no request of autodiscover");
}

static void put_protocol(struct buf *out, const char *type, const struct mail_server *s, struct str email)
{
    if (!s->host.n)
        return;
    BUF_PUT(out, "<Protocol>\n");
    put_element(out, "Type", str_of(type));
    put_element(out, "Server", s->host);
    put_number(out, "Port", s->port);
    BUF_PUT(out, "<DirectoryPort>0</DirectoryPort>\n<ReferralPort>0</ReferralPort>\n");
    put_element(out, "LoginName", email);
    put_element(out, "SSL", s->socket == MAIL_SOCKET_PLAIN ? STR("off") : STR("on"));
    if (s->socket == MAIL_SOCKET_TLS)
        BUF_PUT(out, "<Encryption>TLS</Encryption>\n");
    BUF_PUT(out, "<SPA>off</SPA>\n<AuthRequired>on</AuthRequired>\n</Protocol>\n");
}

void autodiscover_put(struct buf *out, const struct mail_settings *s, struct str email)
{
    BUF_PUT(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                 "<Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n"
                 "<Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">\n"
                 "<Account>\n<AccountType>email</AccountType>\n<Action>settings</Action>\n");
    put_protocol(out, "IMAP", &s->imap, email);
    put_protocol(out, "SMTP", &s->submission, email);
    BUF_PUT(out, "</Account>\n</Response>\n</Autodiscover>\n");
}

/* --- Apple ------------------------------------------------------------------------------------- */

static void put_key(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "<key>%s</key>\n", key);
    put_element(out, "string", value);
}

static void put_flag(struct buf *out, const char *key, bool is_true)
{
    buf_printf(out, "<key>%s</key>\n<%s/>\n", key, is_true ? "true" : "false");
}

static void put_integer(struct buf *out, const char *key, uint32_t n)
{
    buf_printf(out, "<key>%s</key>\n<integer>%u</integer>\n", key, n);
}

// The same for the same addresses, so that a profile that is installed again takes the place of the first.
static void put_uuid(struct buf *out, const char *what, struct str addresses)
{
    AUTO_BUF text = BUF_LIMIT(1 << 20);
    unsigned char mac[SHA256_BYTES];

    buf_printf(&text, "%s\n\n", what);
    buf_put(&text, addresses);
    hmac_sha256(STR("mox0"), buf_str(&text), mac);
    BUF_PUT(out, "<key>PayloadUUID</key>\n<string>");
    for (size_t i = 0; i < 16; i++)
        buf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", mac[i]);
    BUF_PUT(out, "</string>\n");
}

// "org.example.localpart.email" for localpart@example.org.
static void put_identifier(struct buf *out, const struct mail_address *address, const char *more)
{
    struct str rest = address->domain;

    BUF_PUT(out, "<key>PayloadIdentifier</key>\n<string>");
    while (rest.n) {
        ptrdiff_t dot = str_find_last(rest, '.');

        html_put(out, str_from(rest, (size_t)(dot + 1)));
        BUF_PUT(out, ".");
        rest = str_sub(rest, 0, dot < 0 ? 0 : (size_t)dot);
    }
    html_put(out, address->localpart);
    buf_printf(out, ".email%s</string>\n", more);
}

static void put_account(struct buf *out, const struct mail_settings *s, const struct mail_address *first,
                        struct str addresses, struct str full_name)
{
    // In the order of the keys.
    put_key(out, "EmailAccountDescription", first->text);
    if (full_name.n)
        put_key(out, "EmailAccountName", full_name);
    put_key(out, "EmailAccountType", STR("EmailTypeIMAP"));
    put_key(out, "EmailAddress", addresses);
    put_key(out, "IncomingMailServerAuthentication", STR("EmailAuthCRAMMD5"));
    put_key(out, "IncomingMailServerHostName", s->imap.host);
    put_integer(out, "IncomingMailServerPortNumber", s->imap.port);
    put_flag(out, "IncomingMailServerUseSSL", s->imap.socket == MAIL_SOCKET_TLS);
    put_key(out, "IncomingMailServerUsername", first->text);
    put_key(out, "OutgoingMailServerAuthentication", STR("EmailAuthCRAMMD5"));
    put_key(out, "OutgoingMailServerHostName", s->submission.host);
    put_integer(out, "OutgoingMailServerPortNumber", s->submission.port);
    put_flag(out, "OutgoingMailServerUseSSL", s->submission.socket == MAIL_SOCKET_TLS);
    put_key(out, "OutgoingMailServerUsername", first->text);
    put_flag(out, "OutgoingPasswordSameAsIncomingPassword", true);
    put_identifier(out, first, ".account");
    put_key(out, "PayloadType", STR("com.apple.mail.managed"));
    put_uuid(out, "account", addresses);
    put_integer(out, "PayloadVersion", 1);
}

void mobileconfig_put(struct buf *out, const struct mail_settings *s, const struct mail_address *addresses, size_t n,
                      struct str full_name)
{
    AUTO_BUF all = BUF_LIMIT(1 << 20);

    for (size_t i = 0; i < n; i++) {
        if (i)
            BUF_PUT(&all, ",");
        buf_put(&all, addresses[i].text);
    }
    BUF_PUT(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                 "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" "
                 "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
                 "<plist version=\"1.0\">\n<dict>\n<key>PayloadContent</key>\n<array>\n<dict>\n");
    put_account(out, s, &addresses[0], buf_str(&all), full_name);
    BUF_PUT(out, "</dict>\n</array>\n<key>PayloadDisplayName</key>\n<string>");
    html_put(out, addresses[0].text);
    BUF_PUT(out, " email account</string>\n");
    put_identifier(out, &addresses[0], "");
    put_key(out, "PayloadType", STR("Configuration"));
    put_uuid(out, "config", buf_str(&all));
    put_integer(out, "PayloadVersion", 1);
    BUF_PUT(out, "</dict>\n</plist>\n");
}

/* --- PACC -------------------------------------------------------------------------------------- */

static bool put_host(struct buf *out, bool has_one, const char *name, const struct mail_server *s, uint32_t port)
{
    if (!s->host.n || s->socket != MAIL_SOCKET_TLS || s->port != port)
        return has_one;
    buf_printf(out, "%s\"%s\":{\"host\":", has_one ? "," : "", name);
    json_put_string(out, s->host);
    BUF_PUT(out, "}");
    return true;
}

bool pacc_put(struct buf *out, const struct mail_settings *s)
{
    bool has_one;

    BUF_PUT(out, "{\"protocols\":{");
    has_one = put_host(out, false, "imap", &s->imap, 993);
    has_one = put_host(out, has_one, "smtp", &s->submission, 465);
    BUF_PUT(out, "},\"authentication\":{\"password\":true},\"info\":{\"provider\":{\"name\":");
    json_put_string(out, s->domain);
    BUF_PUT(out, "}}}\n");
    return has_one;
}

void pacc_record_put(struct buf *out, struct str document)
{
    unsigned char digest[SHA256_BYTES];

    sha256(document, digest);
    BUF_PUT(out, "v=UAAC1; a=sha256; d=");
    base64_encode(out, str_at(digest, sizeof digest));
}
