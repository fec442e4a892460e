/*
 * The directories of static web sites. The web template and its children have them open, and nothing beside them: when
 * another takes the place of one, as it does when a site is deployed by renaming, or one is there at last, a new template
 * begins.
 */
#include <sys/stat.h>

#include "base/log.h"
#include "os/file.h"
#include "role/monitor/monitor_priv.h"

enum { MEMORY = 2 * COMPILED_MAX_BYTES };

static struct arena memory = ARENA_LIMIT(MEMORY);
static char **roots; // in memory
static size_t n_roots, cap_roots;
static uint64_t seen; // what they were

// Which directories they are now; not what is in them.
static uint64_t look(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n_roots; i++) {
        struct stat st = {0};
        uint64_t which[2] = {0};

        if (stat(roots[i], &st) == 0)
            which[0] = st.st_dev, which[1] = st.st_ino;
        sum = str_hash_keyed(sum, i, str_at(which, sizeof which));
    }
    return sum;
}

void sites_configure(struct monitor *m)
{
    enum compiled_type type;
    struct str text, body;
    struct err e = {0};
    struct cur c;

    arena_reset(&memory);
    roots = NULL;
    n_roots = cap_roots = 0;
    if (!os_read_fd(&memory, m->configs[ROLE_WEB_TEMPLATE], COMPILED_MAX_BYTES, &text, &e))
        text = STR("");
    c = cur_of(text);
    while (compiled_next(&c, &type, &body, &e)) {
        struct ipc_web_handler h;
        char *path;

        if (type != COMPILED_web_handler || !ipc_web_handler_get(body, &h, &e) || !h.root.n)
            continue;
        path = arena_cstring(&memory, h.root);
        if (path)
            *ARENA_PUSH(&memory, roots, &n_roots, &cap_roots) = path;
    }
    if (e.kind)
        LOG(LOG_ERROR, "webserver", "directories of web sites", LOG_E(&e));
    seen = look();
}

void sites_look(struct monitor *m)
{
    uint64_t now = look();

    if (now == seen)
        return;
    seen = now;
    if (!role_begun(m, ROLE_WEB_TEMPLATE))
        return;
    LOG(LOG_INFO, "webserver", "another directory of a web site: a new template begins");
    process_start(m, ROLE_WEB_TEMPLATE);
}
