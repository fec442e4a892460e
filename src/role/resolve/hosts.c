#include "role/resolve/hosts.h"

#include "base/cur.h"
#include "base/ip.h"
#include "policy/dns_wire.h"

enum { MAX_PER_NAME = 100 };

/* The data of the records of a name, in the order of the file. */
struct host_list {
    struct host_data *first, *last;
    unsigned n;
};

struct host_data {
    struct str rdata;
    struct host_data *next;
};

static void add(struct hosts *h, struct map *to, struct str name, struct str rdata)
{
    struct host_list *list = map_get(to, name);
    struct host_data *own;

    if (!list) {
        list = ARENA_NEW(h->a, struct host_list);
        map_put(to, name, list);
    }
    if (list->n == MAX_PER_NAME)
        return;
    own = ARENA_NEW(h->a, struct host_data);
    own->rdata = arena_dup(h->a, rdata);
    *(list->last ? &list->last->next : &list->first) = own;
    list->last = own;
    list->n++;
}

static void add_name(struct hosts *h, struct str name, const struct ip *ip)
{
    AUTO_BUF arpa = BUF_LIMIT(200), wire = BUF_LIMIT(300);

    ip_put_arpa(&arpa, ip);
    dns_name_put_wire(&wire, name);
    add(h, &h->names, buf_str(&arpa), buf_str(&wire));
}

static bool is_blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_word(unsigned char c)
{
    return !is_blank(c) && c != '#';
}

static struct str take_word(struct cur *c)
{
    cur_while(c, is_blank);
    return cur_while(c, is_word);
}

void hosts_parse(struct arena *a, struct str text, struct hosts *out)
{
    struct cur c = cur_of(text);
    struct str line;

    *out = (struct hosts){.a = a};
    while (cur_line(&c, &line)) {
        struct cur words = cur_of(line);
        struct str name;
        bool is_first = true;
        struct ip ip;

        if (!ip_parse(take_word(&words), &ip))
            continue;
        while ((name = take_word(&words)).n) {
            if (!dns_name_is_ok(name))
                continue;
            name = arena_lower(a, name);
            add(out, &out->addresses, name, ip_bytes(&ip));
            if (is_first) // the canonical name; the others are aliases
                add_name(out, name, &ip);
            is_first = false;
        }
    }
}

// The records whose data are of that many octets; 0: of any number.
static bool answer(const struct host_list *list, size_t octets, struct buf *records)
{
    if (!list)
        return false;
    for (const struct host_data *at = list->first; at; at = at->next)
        if ((!octets || at->rdata.n == octets) && !dns_records_put(records, at->rdata))
            break;
    return true;
}

bool hosts_answer(const struct hosts *h, struct str name, enum dns_type type,
                  enum dns_status *status, struct buf *records)
{
    bool is_known = type == DNS_A || type == DNS_AAAA
                        ? answer(map_get(&h->addresses, name), type == DNS_A ? 4 : 16, records)
                        : type == DNS_PTR && answer(map_get(&h->names, name), 0, records);

    *status = records->n ? DNS_OK : DNS_NODATA;
    return is_known;
}
