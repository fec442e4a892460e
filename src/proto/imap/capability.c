#include "proto/imap/capability.h"

#include "proto/imap/imap.h"

static void put_all(struct buf *out)
{
    BUF_PUT(out, "IMAP4rev2 IMAP4rev1 ENABLE LITERAL+ IDLE SASL-IR BINARY UNSELECT UIDPLUS ESEARCH "
                 "SEARCHRES MOVE UTF8=ACCEPT LIST-EXTENDED SPECIAL-USE CREATE-SPECIAL-USE "
                 "LIST-STATUS CHILDREN AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 "
                 "AUTH=SCRAM-SHA-1-PLUS AUTH=SCRAM-SHA-1 AUTH=CRAM-MD5 ID APPENDLIMIT=");
    buf_put_u64(out, IMAP_APPEND_LIMIT);
    BUF_PUT(out, " CONDSTORE QRESYNC STATUS=SIZE QUOTA QUOTA=RES-STORAGE NAMESPACE "
                 "COMPRESS=DEFLATE MULTIAPPEND PREVIEW REPLACE SAVEDATE OBJECTID");
}

bool imap_has_name(struct str names, struct str name)
{
    struct str word;

    while (str_next(&names, ' ', &word))
        if (word.n && str_eq_ci(word, name))
            return true;
    return false;
}

void imap_capabilities_put(struct buf *out, struct str without)
{
    AUTO_BUF all = BUF_LIMIT(4096);
    struct str left, name;
    bool is_first = true;

    if (!without.n) {
        put_all(out);
        return;
    }
    put_all(&all);
    left = buf_str(&all);
    while (str_next(&left, ' ', &name)) {
        if (imap_has_name(without, name))
            continue;
        if (!is_first)
            buf_put_char(out, ' ');
        buf_put(out, name);
        is_first = false;
    }
}

bool imap_is_command(struct str name)
{
    static const struct str names[] = {
        STR_("ENABLE"), STR_("SELECT"), STR_("EXAMINE"), STR_("CREATE"), STR_("DELETE"),
        STR_("RENAME"), STR_("SUBSCRIBE"), STR_("UNSUBSCRIBE"), STR_("LIST"), STR_("LSUB"),
        STR_("NAMESPACE"), STR_("STATUS"), STR_("APPEND"), STR_("IDLE"), STR_("CLOSE"),
        STR_("UNSELECT"), STR_("EXPUNGE"), STR_("SEARCH"), STR_("FETCH"), STR_("STORE"),
        STR_("COPY"), STR_("MOVE"), STR_("UID"), STR_("CHECK"),
        STR_("GETQUOTA"), STR_("GETQUOTAROOT"), STR_("SETQUOTA"), STR_("COMPRESS"), STR_("REPLACE"),
    };

    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq(name, names[i]))
            return true;
    return false;
}
