/* URLs: what is accepted is made of the parts that come out, and nothing in it ends a line. */
#include "base/buf.h"
#include "base/die.h"
#include "text/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_at(data, size);
    AUTO_BUF again = BUF_LIMIT(URL_MAX_BYTES);
    struct err e = {0};
    struct url url;

    if (!url_parse(text, &url, &e)) {
        if (e.kind != ERR_SYNTAX && e.kind != ERR_LIMIT)
            die("refused for a strange reason");
        return 0;
    }
    buf_put(&again, url.is_https ? STR("https://") : STR("http://"));
    buf_put(&again, url.authority);
    buf_put(&again, url.target);
    if (!str_eq_ci(buf_str(&again), text) || !url.port || !str_starts(url.authority, url.host))
        die("the parts are not the whole");
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] > 126)
            die("a byte that is not for a request");
    return 0;
}
