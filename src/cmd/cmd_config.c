/*
 * Verbs about the configuration files.
 */
#include <stdio.h>

#include "cmd/paths.h"
#include "cmd/verbs.h"

int cmd_config_test(int argc, char **argv)
{
    AUTO_ARENA a = ARENA_LIMIT(512 << 20);
    AUTO_BUF problems = BUF_LIMIT(4 << 20);
    struct config config;
    struct err e = {0};

    (void)argv;
    if (argc > 1)
        return cmd_usage("config test");
    if (!paths_load(&a, &config, &problems, &e)) {
        fwrite(problems.p, 1, problems.n, stderr);
        return cmd_fail(&e);
    }
    puts("config OK");
    return 0;
}

static int describe(const struct schema *s)
{
    AUTO_BUF out = BUF_LIMIT(4 << 20);

    schema_describe(s, &out);
    fwrite(out.p, 1, out.n, stdout);
    return 0;
}

int cmd_config_describe_static(int argc, char **argv)
{
    (void)argv;
    return argc > 1 ? cmd_usage("config describe-static") : describe(&schema_static);
}

int cmd_config_describe_domains(int argc, char **argv)
{
    (void)argv;
    return argc > 1 ? cmd_usage("config describe-domains") : describe(&schema_dynamic);
}
