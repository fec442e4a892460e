#include "policy/psl.h"

#include <libpsl.h>

#include "policy/dns.h"

static psl_ctx_t *loaded; // NULL: the one that is built in

void psl_warm(void)
{
    if (!loaded)
        loaded = psl_latest("/usr/share/publicsuffix/public_suffix_list.dafsa");
}

bool psl_load(const char *path)
{
    psl_free(loaded);
    loaded = psl_load_file(path);
    return loaded;
}

bool psl_is_suffix(struct str domain)
{
    char name[4 * DNS_MAX_NAME_TEXT]; // U-labels are longer than the names of the DNS

    if (!domain.n || domain.n >= sizeof name || str_find(domain, '\0') != STR_NONE)
        return false;
    for (size_t i = 0; i < domain.n; i++)
        name[i] = domain.p[i];
    name[domain.n] = '\0';
    return psl_is_public_suffix2(loaded ? loaded : psl_builtin(), name, PSL_TYPE_ICANN);
}

struct str psl_organizational(struct str domain)
{
    struct str name = domain, label, parent;

    // From the left, so that an exception ("!www.ck") is seen before the rule that it is one to.
    for (; str_cut(name, '.', &label, &parent); name = parent)
        if (psl_is_suffix(name))
            return domain; // only at first: then domain itself is a suffix
        else if (psl_is_suffix(parent))
            return name;
    return name;
}
