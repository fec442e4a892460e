/*
 * Charsets by iconv. The converters are a fixed list, opened once before the sandbox closes;
 * one lock, since a converter has state. Of those that have a byte for each character and begin with ASCII, what the
 * converter makes of each byte is kept instead: a call for each piece of text costs many times as much.
 */
#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "text/encode.h"

static const char *const names[] = {
    "ISO-8859-1",  "ISO-8859-2",   "ISO-8859-3",   "ISO-8859-4",   "ISO-8859-5",  "ISO-8859-6",
    "ISO-8859-7",  "ISO-8859-8",   "ISO-8859-9",   "ISO-8859-10",  "ISO-8859-13", "ISO-8859-14",
    "ISO-8859-15", "ISO-8859-16",  "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1252", "WINDOWS-1253",
    "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256", "WINDOWS-1257", "WINDOWS-1258", "KOI8-R",
    "KOI8-U",      "GB2312",       "GBK",          "GB18030",      "BIG5",        "SHIFT_JIS",
    "EUC-JP",      "ISO-2022-JP",  "EUC-KR",       "ISO-2022-KR",  "TIS-620",     "UTF-16",
    "UTF-16LE",    "UTF-16BE",     "UTF-32",       "UTF-7",        "IBM437",      "IBM850",
    "MACINTOSH",
};
static iconv_t converters[COUNT(names)]; // closed again where there are codes
static bool is_open[COUNT(names)];
static uint32_t *high_codes[COUNT(names)]; // of the bytes from 128 on; NULL when it is not one of those
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// The converters of these two wait for a mark that makes one character with the one before.
static bool is_composing(const char *name)
{
    return strcmp(name, "WINDOWS-1255") == 0 || strcmp(name, "WINDOWS-1258") == 0;
}

// What the converter makes of a byte: 0 when it wants more, U+FFFD when it knows none.
static uint32_t code_of(iconv_t c, unsigned char byte)
{
    char in = (char)byte, out[16], *p = &in, *q = out;
    size_t left = 1, room = sizeof out;
    struct str made;

    iconv(c, NULL, NULL, NULL, NULL);
    if (iconv(c, &p, &left, &q, &room) == (size_t)-1)
        return errno == EINVAL ? 0 : 0xfffd;
    made = str_at(out, sizeof out - room);
    return made.n ? utf8_next(&made) : 0;
}

static uint32_t *read_codes(size_t i)
{
    uint32_t *codes;

    if (is_composing(names[i]))
        return NULL;
    for (unsigned byte = 1; byte < 128; byte++)
        if (code_of(converters[i], (unsigned char)byte) != byte)
            return NULL;
    codes = heap_array(128, sizeof *codes);
    for (unsigned k = 0; k < 128; k++)
        if (!(codes[k] = code_of(converters[i], (unsigned char)(128 + k)))) {
            free(codes);
            return NULL;
        }
    return codes;
}

static bool open_converter(size_t i)
{
    if (!is_open[i]) {
        converters[i] = iconv_open("UTF-8", names[i]);
        is_open[i] = converters[i] != (iconv_t)-1;
        if (is_open[i] && (high_codes[i] = read_codes(i)))
            iconv_close(converters[i]); // with its library, of which each has some pages
    }
    return is_open[i];
}

void charset_warm(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < COUNT(names); i++)
        if (open_converter(i) && !high_codes[i]) {
            char in[] = "a", out[16], *p = in, *q = out;
            size_t n = 1, m = sizeof out;

            iconv(converters[i], &p, &n, &q, &m); // loads what it needs
            iconv(converters[i], NULL, NULL, NULL, NULL);
        }
    pthread_mutex_unlock(&lock);
}

static ptrdiff_t find_charset(struct str charset)
{
    struct str alias = charset;

    if (str_starts_ci(charset, STR("cp125")))
        for (size_t i = 0; i < COUNT(names); i++)
            if (str_starts(str_of(names[i]), STR("WINDOWS-")) &&
                str_eq(str_from(str_of(names[i]), 8), str_from(charset, 2)))
                return (ptrdiff_t)i;
    if (str_eq_ci(charset, STR("latin1")))
        alias = STR("ISO-8859-1");
    if (str_eq_ci(charset, STR("ks_c_5601-1987")))
        alias = STR("EUC-KR");
    for (size_t i = 0; i < COUNT(names); i++)
        if (str_eq_ci(alias, str_of(names[i])))
            return (ptrdiff_t)i;
    return STR_NONE;
}

// Called with the lock held. Malformed input becomes U+FFFD, byte by byte.
static void convert(iconv_t c, struct str bytes, struct buf *out)
{
    char *in = (char *)(uintptr_t)bytes.p;
    size_t left = bytes.n;
    char last[16], *end = last;
    size_t last_room = sizeof last;

    iconv(c, NULL, NULL, NULL, NULL);
    while (left) {
        char piece[1024], *p = piece;
        size_t room = sizeof piece;
        size_t rc = iconv(c, &in, &left, &p, &room);
        bool is_malformed = rc == (size_t)-1 && errno != E2BIG;

        utf8_put_valid(out, str_at(piece, sizeof piece - room));
        if (is_malformed) {
            utf8_put(out, 0xfffd);
            in++;
            left--;
        }
    }
    iconv(c, NULL, NULL, &end, &last_room); // what waited for a mark that did not come
    utf8_put_valid(out, str_at(last, sizeof last - last_room));
}

static void put_bytes(struct buf *out, const uint32_t *codes, struct str bytes)
{
    while (bytes.n) {
        size_t n = str_ascii_n(bytes);

        buf_put(out, str_sub(bytes, 0, n));
        for (; n < bytes.n && bytes.p[n] & 0x80; n++)
            utf8_put(out, codes[bytes.p[n] & 0x7f]);
        bytes = str_from(bytes, n);
    }
}

void charset_put_utf8(struct buf *out, struct str charset, struct str bytes)
{
    ptrdiff_t i = find_charset(charset);

    if (i == STR_NONE) {
        utf8_put_valid(out, bytes);
        return;
    }
    pthread_mutex_lock(&lock);
    if (open_converter((size_t)i) && high_codes[i])
        put_bytes(out, high_codes[i], bytes);
    else if (is_open[i])
        convert(converters[i], bytes, out);
    else
        utf8_put_valid(out, bytes);
    pthread_mutex_unlock(&lock);
}
