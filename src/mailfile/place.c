/*
 * What the names in an archive say.
 */
#include "mailfile/mailarchive.h"

// "./" and "/" before a name mean nothing; neither does "/" behind it.
static struct str bare(struct str name)
{
    for (;;) {
        if (str_starts(name, STR("./")))
            name = str_from(name, 2);
        else if (str_starts(name, STR("/")))
            name = str_from(name, 1);
        else
            break;
    }
    while (str_ends(name, STR("/")))
        name.n--;
    return name;
}

static struct str without_prefix(struct str name, struct str prefix)
{
    prefix = bare(prefix);
    if (!prefix.n || !str_starts(name, prefix))
        return name;
    return bare(str_from(name, prefix.n));
}

// The part before the last slash, and the one behind it.
static void split(struct str path, struct str *dir, struct str *last)
{
    ptrdiff_t slash = str_find_last(path, '/');

    *dir = slash < 0 ? (struct str){0} : str_sub(path, 0, (size_t)slash);
    *last = slash < 0 ? path : str_from(path, (size_t)slash + 1);
}

static bool is_maildir_folder(struct str name)
{
    return str_eq(name, STR("new")) || str_eq(name, STR("cur")) || str_eq(name, STR("tmp"));
}

void mailarchive_place(struct str name, bool is_dir, struct str prefix, struct mailarchive_place *out)
{
    struct str path = without_prefix(bare(name), prefix), dir, folder, above;

    split(path, &dir, &out->file);
    split(dir, &above, &folder);
    out->mailbox = (struct str){0};
    out->what = is_dir ? MAILARCHIVE_NOTHING : MAILARCHIVE_UNKNOWN;
    if (is_dir && is_maildir_folder(out->file) && dir.n) {
        out->what = MAILARCHIVE_MAILDIR;
        out->mailbox = dir;
    } else if (is_dir) {
        return;
    } else if (is_maildir_folder(folder) && above.n && out->file.n) {
        out->what = MAILARCHIVE_MESSAGE;
        out->mailbox = above;
    } else if (str_eq(out->file, STR("dovecot-keywords")) && dir.n) {
        out->what = MAILARCHIVE_KEYWORDS;
        out->mailbox = dir;
    } else if (str_ends(path, STR(".mbox")) && out->file.n > 5) {
        out->what = MAILARCHIVE_MBOX;
        out->mailbox = str_sub(path, 0, path.n - 5);
    }
}
