/*
 * config tlspubkey: keys of clients' TLS certificates.
 */
#include <stdio.h>

#include "cmd/ctl.h"
#include "cmd/verbs.h"
#include "crypto/crypto.h"
#include "os/clock.h"
#include "os/file.h"
#include "text/date.h"
#include "text/encode.h"

enum { VALID_DAYS = 100 * 365, MAX_PEM = 256 * 1024, FILE_MODE = 0600 };

int cmd_tlspubkey_list(int argc, char **argv)
{
    if (argc > 2)
        return cmd_usage("config tlspubkey list");
    return ctl_show("tlspubkeylist", (struct str[]){argc > 1 ? str_of(argv[1]) : STR("")}, 1, CTL_LINES);
}

int cmd_tlspubkey_get(int argc, char **argv)
{
    if (argc != 2)
        return cmd_usage("config tlspubkey get");
    return ctl_show("tlspubkeyget", (struct str[]){str_of(argv[1])}, 1, CTL_LINES);
}

int cmd_tlspubkey_add(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF pem = BUF_LIMIT(MAX_PEM), cert = BUF_LIMIT(MAX_PEM);
    bool no_imap_preauth = false;
    const struct cmd_flag flags[] = {{"no-imap-preauth", NULL, &no_imap_preauth}};
    int at = cmd_flags(argc, argv, flags, COUNT(flags));
    struct str der;
    struct err e = {0};

    if (at < 0 || argc - at < 1 || argc - at > 2)
        return cmd_usage("config tlspubkey add");
    if (!cmd_read_stdin(&pem, "the certificate", &e) || !cert_of_pem(&a, buf_str(&pem), &der, &e))
        return cmd_fail(&e);
    base64_encode(&cert, der);
    return ctl_run("tlspubkeyadd",
                   (struct str[]){str_of(argv[at]), argc - at > 1 ? str_of(argv[at + 1]) : STR(""),
                                  no_imap_preauth ? STR("true") : STR("false"), buf_str(&cert)}, 4);
}

int cmd_tlspubkey_rm(int argc, char **argv)
{
    if (argc != 2)
        return cmd_usage("config tlspubkey rm");
    return ctl_run("tlspubkeyrm", (struct str[]){str_of(argv[1])}, 1);
}

// <stem>.<YYYYMMDDhhmm>.<end>, in UTC.
static const char *path_of(struct arena *a, const char *stem, int64_t now, const char *end)
{
    AUTO_BUF date = BUF_LIMIT(100);
    AUTO_BUF digits = BUF_LIMIT(100);

    date_put_rfc3339(&date, now);
    for (size_t i = 0; i < date.n && digits.n < 12; i++)
        if (ascii_is_digit(date.p[i]))
            buf_put_char(&digits, date.p[i]);
    return arena_cstring(a, arena_printf(a, "%s.%.*s.%s", stem, STR_FMT(buf_str(&digits)), end));
}

int cmd_tlspubkey_gen(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(4 << 20);
    AUTO_BUF fingerprint = BUF_LIMIT(100);
    AUTO_BUF both = BUF_LIMIT(MAX_PEM);
    int64_t now = os_now_unix();
    struct str cert, key, der, name;
    struct cert_key k;
    struct err e = {0};

    if (argc != 2 || !argv[1][0])
        return cmd_usage("config tlspubkey gen");
    name = str_of(argv[1]);
    name = str_from(name, (size_t)(str_find_last(name, '/') + 1));
    if (!cert_for_client(&a, name, VALID_DAYS, &cert, &key, &e) ||
        !cert_of_pem(&a, cert, &der, &e) || !cert_key_of(&a, der, &k, &e))
        return cmd_fail(&e);
    buf_put(&both, key);
    buf_put(&both, cert);
    base64url_encode(&fingerprint, str_at(k.fingerprint, sizeof k.fingerprint));
    if (!os_write_file(path_of(&a, argv[1], now, "ed25519privatekey.pkcs8.pem"), key, FILE_MODE,
                       &e) ||
        !os_write_file(path_of(&a, argv[1], now, "certificate.pem"), cert, FILE_MODE, &e) ||
        !os_write_file(path_of(&a, argv[1], now, "ed25519privatekey-certificate.pem"),
                       buf_str(&both), FILE_MODE, &e))
        return cmd_fail(&e);
    fprintf(stderr, "%.*sfingerprint: %.*s\n", STR_FMT(buf_str(&both)),
            STR_FMT(buf_str(&fingerprint)));
    return 0;
}
