#include "web/pages.h"

void html_put(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        switch (text.p[i]) {
        case '&':
            BUF_PUT(out, "&amp;");
            break;
        case '<':
            BUF_PUT(out, "&lt;");
            break;
        case '>':
            BUF_PUT(out, "&gt;");
            break;
        case '"':
            BUF_PUT(out, "&quot;");
            break;
        case '\'':
            BUF_PUT(out, "&#39;");
            break;
        default:
            buf_put_char(out, text.p[i]);
        }
}

static const struct page {
    struct str service, title, what, commands;
} pages[] = {
    {STR_("account"), STR_("Account"),
     STR_("Settings of your account will be here. Until then whoever runs this server can change them, and "
          "your mail program reads and sends your mail."),
     STR_("mox setaccountpassword &lt;account&gt;\nmox config account list\n"
          "mox config address add &lt;address&gt; &lt;account&gt;\nmox import maildir &lt;account&gt; ...")},
    {STR_("admin"), STR_("Administration"),
     STR_("The server will be administered here. Until then it is by commands on the server itself."),
     STR_("mox config domain add &lt;domain&gt; &lt;account&gt;\nmox config dnsrecords &lt;domain&gt;\n"
          "mox config account add &lt;account&gt; &lt;address&gt;\nmox queue list\nmox loglevels\nmox help")},
    {STR_("webmail"), STR_("Webmail"),
     STR_("Mail will be read and written here. Until then please use a mail program: IMAP reads, and "
          "submission sends. Most programs find the settings by your address alone."),
     STR_("mox clientconfig &lt;domain&gt;")},
    {STR_("webapi"), STR_("HTTP API"),
     STR_("Programs will send and receive mail here. Until then they submit it by SMTP."),
     STR_("mox sendmail")},
};

static const struct page *page_of(struct str service)
{
    for (size_t i = 0; i < COUNT(pages); i++)
        if (str_eq(pages[i].service, service))
            return &pages[i];
    return NULL;
}

static void begin(struct buf *out, struct str title, struct str hostname)
{
    BUF_PUT(out, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    buf_put(out, title);
    BUF_PUT(out, " - ");
    html_put(out, hostname);
    BUF_PUT(out, "</title>\n<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; "
                 "margin: 3rem auto; padding: 0 1rem } pre { background: #f3f3f3; color: #111; padding: 1rem; "
                 "overflow: auto }</style>\n<h1>");
    buf_put(out, title);
    BUF_PUT(out, "</h1>\n<p>This is the mail server <b>");
    html_put(out, hostname);
    BUF_PUT(out, "</b>, run with mox " MOX_VERSION ".</p>\n");
}

void web_page_put(struct buf *out, struct str service, struct str hostname)
{
    const struct page *page = page_of(service);

    if (!page)
        return;
    begin(out, page->title, hostname);
    BUF_PUT(out, "<p>");
    buf_put(out, page->what);
    BUF_PUT(out, "</p>\n<pre>");
    buf_put(out, page->commands);
    BUF_PUT(out, "</pre>\n</html>\n");
}

void web_index_put(struct buf *out, struct str hostname, const struct web_link *links, size_t n)
{
    begin(out, STR("Mail"), hostname);
    BUF_PUT(out, "<ul>\n");
    for (size_t i = 0; i < n; i++) {
        const struct page *page = page_of(links[i].service);

        BUF_PUT(out, "<li><a href=\"");
        html_put(out, links[i].path);
        BUF_PUT(out, "\">");
        html_put(out, page ? page->title : links[i].path);
        BUF_PUT(out, "</a>\n");
    }
    BUF_PUT(out, "</ul>\n</html>\n");
}
