/*
 * The pages of the server's own services, as HTML.
 */
#pragma once

#include "base/buf.h"

/* The page of account, admin, webmail or webapi. */
void web_page_put(struct buf *out, struct str service, struct str hostname);
/* The page of a port on which nothing else is at "/": paths, with their names, to go on to. */
struct web_link {
    struct str path, service;
};
void web_index_put(struct buf *out, struct str hostname, const struct web_link *links, size_t n);
/* What browsers show beside a page's title, as an ICO file. */
extern const struct str web_icon;
/* Text as it stands in HTML, in an attribute's quotes too. */
void html_put(struct buf *out, struct str text);
