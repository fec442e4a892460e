/*
 * A page of words: whatever its bytes, words come in order and within their limits, and written again they
 * are the same words.
 */
#include "base/die.h"
#include "junk/junk_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cur c = cur_of(str_at(data, size)), again;
    AUTO_BUF b = BUF_LIMIT(1 << 20);
    struct page_word w, same;
    uint64_t before = 0;

    if (size > 100000)
        return 0;
    while (page_take(&c, before, &w)) {
        if (w.hash < before || w.hash > JUNK_MAX_HASH || w.ham < 0 || w.spam < 0)
            die("a word is out of order or of limits");
        buf_reset(&b);
        page_put(&b, before, &w);
        again = cur_of(buf_str(&b));
        if (!page_take(&again, before, &same) || cur_left(&again) || same.hash != w.hash ||
            same.ham != w.ham || same.spam != w.spam)
            die("a word is another one when written");
        before = w.hash;
    }
    return 0;
}
