#include "cmd/own_https.h"

#include "cmd/own_connect.h"
#include "os/fd.h"
#include "role/profiles.h"

enum { FETCH_MS = 60 * 1000 };

static bool confine(struct err *e)
{
    struct sandbox *box = sandbox_compile(role_profile(ROLE_FETCH), e);
    bool is_ok = box && sandbox_enter(box, NULL, 0, e);

    sandbox_free(box);
    return is_ok;
}

bool own_https_ask(struct arena *a, const struct dns *dns, const struct url *url, const struct own_https *how,
                   struct https_answer *out, struct err *e)
{
    struct https_request request = {.method = HTTPS_GET, .host = arena_cstring(a, url->host), .port = url->port,
                                    .path = url->target.n ? arena_cstring(a, url->target) : "/", .fields = how->fields,
                                    .max_body = how->max_body, .timeout_ms = FETCH_MS};
    const struct own_trust *trust = how->trust ? how->trust : &(const struct own_trust){0};
    struct stream s = {.fd = -1};
    struct mx_addresses addresses;
    struct ip used;

    if (!https_open(trust->pem, trust->is_alone, e) || !own_addresses(dns, a, url->host, &addresses, e) ||
        !own_connect(&addresses, url->port, &s, &used, e) || !confine(e))
        return false;
    request.fd = s.fd;
    https_ask(a, &request, out, e);
    return out->status == HTTPS_ANSWER;
}

bool own_https_get(struct arena *a, const struct dns *dns, const struct url *url, const struct own_https *how,
                   struct str *body, struct err *e)
{
    struct https_answer answer;

    if (!own_https_ask(a, dns, url, how, &answer, e))
        return false;
    *body = answer.body;
    return answer.code == 200 || fail(e, ERR_NOT_FOUND, "HTTP status %ld", answer.code);
}
