/*
 * QR codes by libqrencode. Loaded by the web template alone, with dlopen: linked, every process would have its mappings.
 */
#include <dlfcn.h>
#include <qrencode.h>

#include "role/web/web.h"
#include "web/autoconfig.h"

enum { SCALE = 6 };

static __typeof__(&QRcode_encodeString8bit) encode;
static __typeof__(&QRcode_free) release;

bool qr_open(struct err *e)
{
    void *library = dlopen("libqrencode.so.4", RTLD_NOW | RTLD_LOCAL);

    if (!library)
        return fail(e, ERR_NOT_FOUND, "cannot load libqrencode: %s", dlerror());
    encode = (__typeof__(encode))dlsym(library, "QRcode_encodeString8bit");
    release = (__typeof__(release))dlsym(library, "QRcode_free");
    return (encode && release) || fail(e, ERR_NOT_FOUND, "libqrencode lacks a function");
}

bool qr_put(struct buf *out, const char *text)
{
    QRcode *code = encode ? encode(text, 0, QR_ECLEVEL_L) : NULL;
    size_t n = code ? (size_t)code->width * (size_t)code->width : 0;

    if (!code)
        return false;
    for (size_t i = 0; i < n; i++)
        code->data[i] &= 1; // the other bits say what kind of square it is
    png_squares_put(out, code->data, (size_t)code->width, SCALE);
    release(code);
    return true;
}
