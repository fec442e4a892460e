/*
 * Any bytes as an archive: read to its end, with every name taken for a place.
 */
#include <unistd.h>

#include "base/die.h"
#include "mailfile/mailarchive.h"
#include "os/fd.h"
#include "os/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(struct str name, bool is_dir)
{
    struct mailarchive_place p;

    mailarchive_place(name, is_dir, STR("Old/"), &p);
    if ((p.what == MAILARCHIVE_MESSAGE || p.what == MAILARCHIVE_MBOX) && (!p.mailbox.n || !p.file.n))
        die("mail without a mailbox");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_loaded;
    struct mailarchive_entry entry;
    struct mailarchive_reader *r;
    struct err e = {0};
    AUTO_FD fd = os_memfile("archive", &e);
    struct str bytes;

    if (!is_loaded && !mailarchive_load(&e))
        die("%s", e.text);
    is_loaded = true;
    if (fd < 0 || !os_write_all(fd, str_at(data, size), &e))
        die("%s", e.text);
    look_at(str_at(data, size), size & 1);
    r = mailarchive_open(fd, &e);
    while (r && mailarchive_next(r, &entry, &e)) {
        look_at(entry.name, entry.is_dir);
        while (mailarchive_read(r, &bytes, &e))
            ;
        if (e.kind)
            break;
    }
    mailarchive_close(r);
    return 0;
}
