#include "web/encoding.h"

#include "base/compiler.h"
#include "base/cur.h"

// weight (RFC 9110 12.4.2): whether it is one that refuses.
static bool is_zero_weight(struct str parameters)
{
    struct str parameter;

    while (str_next(&parameters, ';', &parameter)) {
        parameter = str_trim(parameter);
        if (!str_starts_ci(parameter, STR("q=")))
            continue;
        for (size_t i = 2; i < parameter.n; i++)
            if (parameter.p[i] != '0' && parameter.p[i] != '.')
                return false;
        return true;
    }
    return false;
}

bool encoding_takes_gzip(struct str accept_encoding)
{
    struct str rest = accept_encoding, item, parameters;
    bool any = false;

    while (str_next(&rest, ',', &item)) {
        struct str name = item;

        parameters = (struct str){0};
        (void)str_cut(item, ';', &name, &parameters);
        name = str_trim(name);
        // RFC 9110 8.4.1.3: x-gzip is the same.
        if (str_eq_ci(name, STR("gzip")) || str_eq_ci(name, STR("x-gzip")))
            return !is_zero_weight(parameters);
        if (str_eq(name, STR("*")))
            any = !is_zero_weight(parameters);
    }
    return any;
}

bool encoding_is_worth_it(struct str content_type)
{
    static const struct str names[] = {
        STR_("application/csv"),          STR_("application/javascript"), STR_("application/json"),
        STR_("application/x-javascript"), STR_("application/xml"),        STR_("image/vnd.microsoft.icon"),
        STR_("image/x-icon"),             STR_("font/ttf"),               STR_("font/eot"),
        STR_("font/otf"),                 STR_("font/opentype"),
    };
    struct str media = content_type, parameters;

    (void)str_cut(content_type, ';', &media, &parameters);
    media = str_trim(media);
    if (str_starts_ci(media, STR("text/")))
        return true;
    if (str_find(media, '/') != STR_NONE &&
        (str_ends_ci(media, STR("+json")) || str_ends_ci(media, STR("+xml"))))
        return true;
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq_ci(media, names[i]))
            return true;
    return false;
}
