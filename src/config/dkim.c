/*
 * What domains.conf says about signing (mox-imap-store-cli-config.md 4.6, DKIM).
 */
#include "config/config_priv.h"
#include "text/idna.h"

// Selector is a checked entry of Selectors.
static bool read_selector(struct arena *a, const struct sconf_node *node, struct str domain,
                          struct config_selector *out, struct err *e)
{
    const struct sconf_node *canonical = sconf_get(node, "Canonicalization");
    struct dkim_selector *s = &out->selector;
    struct str *headers = NULL, expiration = sconf_text(node, "Expiration");
    size_t cap = 0;
    int64_t ns = 0;

    *s = (struct dkim_selector){
        .domain = domain,
        .is_unsealed = sconf_bool(node, "DontSealHeaders"),
        .header_is_relaxed = sconf_bool(canonical, "HeaderRelaxed"),
        .body_is_relaxed = sconf_bool(canonical, "BodyRelaxed"),
        .headers = dkim_default_headers,
        .n_headers = dkim_n_default_headers,
    };
    if (!domain_to_ascii(a, node->key, &s->name, e))
        return false;
    if (expiration.n && !sconf_duration(expiration, &ns))
        return fail(e, ERR_SYNTAX, "Expiration of selector %.*s is no duration",
                    STR_FMT(node->key));
    s->expires_after = ns / 1000000000;
    if (sconf_get(node, "Headers") && sconf_get(node, "Headers")->child) {
        s->n_headers = 0;
        SCONF_EACH(h, sconf_get(node, "Headers"))
        *ARENA_PUSH(a, headers, &s->n_headers, &cap) = h->value;
        s->headers = headers;
    }
    out->key_file = sconf_text(node, "PrivateKeyFile");
    return true;
}

bool config_dkim(const struct config *c, struct arena *a, struct str domain,
                 struct config_selectors *out, struct err *e)
{
    const struct sconf_node *own = domain_node(c, a, domain);

    *out = (struct config_selectors){0};
    return own ? config_dkim_of(own, a, out, e)
               : fail(e, ERR_NOT_FOUND, "%.*s is not among the Domains", STR_FMT(domain));
}

bool config_dkim_of(const struct sconf_node *domain, struct arena *a, struct config_selectors *out,
                    struct err *e)
{
    const struct sconf_node *dkim = sconf_get(domain, "DKIM");
    struct str ascii;

    *out = (struct config_selectors){0};
    if (!domain_to_ascii(a, domain->key, &ascii, e))
        return false;
    SCONF_EACH(n, sconf_get(dkim, "Sign"))
    SCONF_EACH(s, sconf_get(dkim, "Selectors"))
    if (str_eq(s->key, n->value) &&
        !read_selector(a, s, ascii, ARENA_PUSH(a, out->items, &out->n, &out->cap), e))
        return false;
    return true;
}
