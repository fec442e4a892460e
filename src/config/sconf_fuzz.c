/* Parsing never fails or reads past its input, and each change of a parsed text parses again. */
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
    (void)!config_load(&a, STR("mox.conf"), text, STR("domains.conf"), text, &config, &out);
    return 0;
}
