#include "cmd/own_trust.h"

#include "cmd/paths.h"

enum { MAX_AUTHORITIES = 8 << 20 };

bool own_trust_of(struct arena *a, const struct config *config, struct own_trust *out, struct err *e)
{
    AUTO_BUF all = BUF_LIMIT(MAX_AUTHORITIES);
    const struct sconf_node *ca = sconf_get(sconf_get(config->main.root, "TLS"), "CA");

    *out = (struct own_trust){.is_alone = ca && !sconf_bool(ca, "AdditionalToSystem")};
    SCONF_EACH (file, sconf_get(ca, "CertFiles")) {
        struct str pem;

        if (!paths_read_named(a, file->value, MAX_AUTHORITIES, &pem, e))
            return fail_in(e, "certificates of authorities");
        buf_put(&all, pem);
        BUF_PUT(&all, "\n"); // a file need not end with a line's end
    }
    out->pem = arena_dup(a, buf_str(&all));
    return !all.full || fail(e, ERR_LIMIT, "the certificates of authorities are too large");
}

struct tls_client *own_tls_client(const struct own_trust *trust, struct err *e)
{
    struct tls_client *c = tls_client_new(e);

    if (!c || !trust || (!trust->pem.n && !trust->is_alone) || tls_client_add_roots(c, trust->pem, trust->is_alone, e))
        return c;
    tls_client_free(c);
    return NULL;
}
