/*
 * Parsing never fails or reads past its input, each change of a parsed text parses again, and so does
 * the part for auth of whatever was good.
 */
#include "base/die.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA a = ARENA_LIMIT(256 << 20);
    AUTO_BUF out = BUF_LIMIT(64 << 20);
    AUTO_BUF changed = BUF_LIMIT(64 << 20);
    struct problems problems = {&out, 0};
    struct sconf file;
    struct config config;
    struct str text = str_at(data, size);

    sconf_parse(&a, STR("f"), text, &file, &problems);
    if (file.root->child) {
        sconf_write_value(&changed, &file, file.root->child, STR("x"));
        buf_reset(&changed);
        sconf_write_removed(&changed, &file, file.root->child);
        buf_reset(&changed);
        sconf_write_added(&changed, &file, file.root->child, STR("y: z\n"));
    }
    if (config_load(&a, STR("mox.conf"), text, STR("domains.conf"), text, &config, &out)) {
        AUTO_BUF main = BUF_LIMIT(64 << 20);
        AUTO_BUF domains = BUF_LIMIT(64 << 20);
        struct config part;
        struct err e = {0};

        config_put_directory(&config, &main, &domains);
        if (!config_read_directory(&a, buf_str(&main), buf_str(&domains), &part, &e))
            die("a good configuration, and its part does not parse: %s", e.text);
    }
    return 0;
}
