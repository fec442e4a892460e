/*
 * The parameters of SELECT and EXAMINE (RFC 7162 3.1.8, 3.2.5).
 */
#include "proto/imap/imap.h"

/* known-uids, known-sequence-set: a set without "*" and "$". */
static bool known_set(struct imap_parser *p, bool is_ascending, struct imap_set *out)
{
    uint64_t last = 0;

    if (!imap_sequence_set(p, out))
        return false;
    if (out->is_saved)
        return fail(p->e, ERR_SYNTAX, "\"$\" is no set of known uids");
    for (size_t i = 0; i < out->n; i++) {
        const struct imap_range *r = &out->ranges[i];

        if (r->first == IMAP_STAR || r->last == IMAP_STAR)
            return fail(p->e, ERR_SYNTAX, "\"*\" in a set of known uids");
        if (is_ascending && (r->first <= last || r->last < r->first))
            return fail(p->e, ERR_SYNTAX, "set is not in ascending order");
        last = r->last;
    }
    return true;
}

static uint64_t count(const struct imap_set *set)
{
    uint64_t n = 0;

    for (size_t i = 0; i < set->n; i++)
        n += set->ranges[i].last - set->ranges[i].first + 1;
    return n;
}

static bool match_data(struct imap_parser *p, struct imap_select *out)
{
    out->has_match = true;
    if (!imap_open(p) || !known_set(p, true, &out->match_numbers) || !imap_space(p) ||
        !known_set(p, true, &out->match_uids) || !imap_close(p))
        return false;
    return count(&out->match_numbers) == count(&out->match_uids) ||
           fail(p->e, ERR_SYNTAX, "sequence numbers and uids differ in count");
}

/* "(uidvalidity modseq [known-uids] [(numbers uids)])" */
static bool qresync(struct imap_parser *p, struct imap_select *out)
{
    uint64_t uidvalidity;

    out->has_qresync = true;
    if (!imap_space(p) || !imap_open(p) || !imap_number(p, UINT32_MAX, &uidvalidity) ||
        !imap_space(p) || !imap_number(p, INT64_MAX, &out->modseq))
        return false;
    if (!uidvalidity || !out->modseq)
        return fail(p->e, ERR_SYNTAX, "uidvalidity and modseq are not 0");
    out->uidvalidity = (uint32_t)uidvalidity;
    if (cur_skip(&p->c, ' ')) {
        if (!imap_is_next(p, '(')) {
            out->has_known = true;
            if (!known_set(p, false, &out->known))
                return false;
            if (cur_skip(&p->c, ' ') && !match_data(p, out))
                return false;
        } else if (!match_data(p, out)) {
            return false;
        }
    }
    return imap_close(p);
}

bool imap_select_arguments(struct imap_parser *p, struct imap_select *out)
{
    *out = (struct imap_select){0};
    if (!imap_mailbox(p, &out->mailbox))
        return false;
    if (!cur_skip(&p->c, ' '))
        return imap_end(p);
    if (!imap_open(p))
        return false;
    do {
        bool is_twice = false;

        if (imap_skip_word(p, STR("CONDSTORE"))) {
            is_twice = out->has_condstore;
            out->has_condstore = true;
        } else if (imap_skip_word(p, STR("QRESYNC"))) {
            is_twice = out->has_qresync;
            if (!is_twice && !qresync(p, out))
                return false;
        } else {
            return fail(p->e, ERR_SYNTAX, "unknown parameter");
        }
        if (is_twice)
            return fail(p->e, ERR_SYNTAX, "parameter is given twice");
    } while (cur_skip(&p->c, ' '));
    return imap_close(p) && imap_end(p);
}
