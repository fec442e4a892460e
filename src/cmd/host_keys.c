#include "cmd/host_keys.h"

#include "crypto/crypto.h"
#include "text/date.h"

enum { RSA_BITS = 2048 };

// "ecdsap256", "rsa2048"
static const char *kind_name(enum host_key_kind kind)
{
    return kind == HOST_KEY_RSA ? "rsa2048" : "ecdsap256";
}

bool host_key_new(struct arena *a, struct str host, int64_t now_unix, enum host_key_kind kind, struct str *file,
                  struct str *pem, struct err *e)
{
    AUTO_BUF stamp = BUF_LIMIT(100);

    date_put_stamp(&stamp, now_unix);
    *file = arena_printf(a, "hostkeys/%.*s.%.*s.%s.privatekey.pkcs8.pem", STR_FMT(host), STR_FMT(buf_str(&stamp)),
                         kind_name(kind));
    return kind == HOST_KEY_RSA ? key_rsa(a, RSA_BITS, pem, e) : key_ecdsa_p256(a, pem, e);
}
