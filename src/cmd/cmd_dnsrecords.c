/*
 * config dnsrecords.
 */
#include <stdio.h>

#include "cmd/zone_text.h"
#include "cmd/own_dns.h"
#include "cmd/paths.h"
#include "cmd/verbs.h"

int cmd_dnsrecords(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF problems = BUF_LIMIT(1 << 20);
    AUTO_BUF out = BUF_LIMIT(1 << 20);
    const struct sconf_node *domain;
    struct config config;
    struct err e = {0};

    if (argc != 2)
        return cmd_usage("config dnsrecords");
    if (!paths_load(&a, &config, &problems, &e) || !paths_domain(&a, &config, argv[1], &domain, &e) ||
        !zone_text_put(&a, &config, domain, own_dns_is_signed(&a, config.hostname), &out, &e))
        return cmd_fail(&e);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}
