/*
 * Files with private keys that the compiled configuration names: what is in them goes into a memory file, for the one
 * process that has them, and stays nowhere here.
 */
#include <string.h>

#include "os/fd.h"
#include "os/file.h"
#include "role/monitor/monitor_priv.h"

bool key_file_put(int out, enum compiled_type type, struct buf *body, struct str secret, struct err *e)
{
    struct buf record = BUF_LIMIT(1 << 20);
    bool is_ok;

    compiled_put(&record, type, buf_str(body));
    is_ok = os_write_all(out, buf_str(&record), e);
    explicit_bzero((char *)(uintptr_t)secret.p, secret.n);
    explicit_bzero(body->p, body->n);
    explicit_bzero(record.p, record.n);
    buf_fini(body);
    buf_fini(&record);
    return is_ok;
}

int key_files_read(struct monitor *m, int compiled, const char *name, key_file_fn *fn, struct err *e)
{
    AUTO_ARENA a = ARENA_LIMIT(64 << 20);
    AUTO_FD out = os_memfile(name, e);
    enum compiled_type type;
    struct str text, body;
    struct cur c;

    if (out < 0 || !os_read_fd(&a, compiled, COMPILED_MAX_BYTES, &text, e))
        return -1;
    c = cur_of(text);
    while (compiled_next(&c, &type, &body, e))
        if (!fn(m, type, body, out, e))
            return -1;
    if (e->kind || !os_memfile_seal(out, e))
        return -1;
    return fd_take(&out);
}
