#include "web/mime.h"

#include "base/compiler.h"

static const struct {
    struct str ending, type;
} endings[] = {
    {STR_("html"), STR_("text/html; charset=utf-8")},
    {STR_("htm"), STR_("text/html; charset=utf-8")},
    {STR_("css"), STR_("text/css; charset=utf-8")},
    {STR_("js"), STR_("text/javascript; charset=utf-8")},
    {STR_("mjs"), STR_("text/javascript; charset=utf-8")},
    {STR_("json"), STR_("application/json")},
    {STR_("map"), STR_("application/json")},
    {STR_("webmanifest"), STR_("application/manifest+json")},
    {STR_("xml"), STR_("text/xml; charset=utf-8")},
    {STR_("xhtml"), STR_("application/xhtml+xml")},
    {STR_("atom"), STR_("application/atom+xml")},
    {STR_("rss"), STR_("application/rss+xml")},
    {STR_("txt"), STR_("text/plain; charset=utf-8")},
    {STR_("asc"), STR_("text/plain; charset=utf-8")},
    {STR_("md"), STR_("text/markdown; charset=utf-8")},
    {STR_("csv"), STR_("text/csv; charset=utf-8")},
    {STR_("ics"), STR_("text/calendar; charset=utf-8")},
    {STR_("vcf"), STR_("text/vcard; charset=utf-8")},
    {STR_("svg"), STR_("image/svg+xml")},
    {STR_("png"), STR_("image/png")},
    {STR_("jpg"), STR_("image/jpeg")},
    {STR_("jpeg"), STR_("image/jpeg")},
    {STR_("gif"), STR_("image/gif")},
    {STR_("webp"), STR_("image/webp")},
    {STR_("avif"), STR_("image/avif")},
    {STR_("ico"), STR_("image/vnd.microsoft.icon")},
    {STR_("bmp"), STR_("image/bmp")},
    {STR_("tif"), STR_("image/tiff")},
    {STR_("tiff"), STR_("image/tiff")},
    {STR_("mp3"), STR_("audio/mpeg")},
    {STR_("ogg"), STR_("audio/ogg")},
    {STR_("opus"), STR_("audio/ogg")},
    {STR_("flac"), STR_("audio/flac")},
    {STR_("wav"), STR_("audio/wav")},
    {STR_("m4a"), STR_("audio/mp4")},
    {STR_("mp4"), STR_("video/mp4")},
    {STR_("webm"), STR_("video/webm")},
    {STR_("ogv"), STR_("video/ogg")},
    {STR_("mkv"), STR_("video/x-matroska")},
    {STR_("mov"), STR_("video/quicktime")},
    {STR_("woff"), STR_("font/woff")},
    {STR_("woff2"), STR_("font/woff2")},
    {STR_("ttf"), STR_("font/ttf")},
    {STR_("otf"), STR_("font/otf")},
    {STR_("pdf"), STR_("application/pdf")},
    {STR_("ps"), STR_("application/postscript")},
    {STR_("zip"), STR_("application/zip")},
    {STR_("gz"), STR_("application/gzip")},
    {STR_("tgz"), STR_("application/gzip")},
    {STR_("tar"), STR_("application/x-tar")},
    {STR_("bz2"), STR_("application/x-bzip2")},
    {STR_("xz"), STR_("application/x-xz")},
    {STR_("zst"), STR_("application/zstd")},
    {STR_("7z"), STR_("application/x-7z-compressed")},
    {STR_("deb"), STR_("application/vnd.debian.binary-package")},
    {STR_("wasm"), STR_("application/wasm")},
    {STR_("epub"), STR_("application/epub+zip")},
    {STR_("eml"), STR_("message/rfc822")},
    {STR_("mobileconfig"), STR_("application/x-apple-aspen-config")},
};

struct str mime_of_name(struct str name)
{
    ptrdiff_t dot = str_find_last(name, '.');
    struct str ending = dot == STR_NONE ? STR("") : str_from(name, (size_t)dot + 1);

    for (size_t i = 0; i < COUNT(endings); i++)
        if (str_eq_ci(ending, endings[i].ending))
            return endings[i].type;
    return (struct str){"", 0};
}

static const struct {
    struct str first, type;
} signatures[] = {
    {STR_("\x89PNG\r\n\x1a\n"), STR_("image/png")},
    {STR_("\xff\xd8\xff"), STR_("image/jpeg")},
    {STR_("GIF87a"), STR_("image/gif")},
    {STR_("GIF89a"), STR_("image/gif")},
    {STR_("%PDF-"), STR_("application/pdf")},
    {STR_("%!PS-Adobe-"), STR_("application/postscript")},
    {STR_("PK\x03\x04"), STR_("application/zip")},
    {STR_("\x1f\x8b\x08"), STR_("application/gzip")},
    {STR_("OggS\0"), STR_("application/ogg")},
    {STR_("\x1a\x45\xdf\xa3"), STR_("video/webm")},
    {STR_("wOFF"), STR_("font/woff")},
    {STR_("wOF2"), STR_("font/woff2")},
    {STR_("\0asm"), STR_("application/wasm")},
    {STR_("ID3"), STR_("audio/mpeg")},
    {STR_("\xfe\xff"), STR_("text/plain; charset=utf-16be")},
    {STR_("\xff\xfe"), STR_("text/plain; charset=utf-16le")},
    {STR_("\xef\xbb\xbf"), STR_("text/plain; charset=utf-8")},
};

static bool is_html(struct str first)
{
    static const struct str tags[] = {STR_("<!doctype html"), STR_("<html"), STR_("<head"),
                                      STR_("<script"),        STR_("<body"), STR_("<title")};

    first = str_trim(first);
    for (size_t i = 0; i < COUNT(tags); i++)
        if (str_starts_ci(first, tags[i]) && first.n > tags[i].n &&
            (first.p[tags[i].n] == ' ' || first.p[tags[i].n] == '>' || first.p[tags[i].n] == '\n'))
            return true;
    return false;
}

// Bytes that no text has (WHATWG, MIME Sniffing: binary data byte).
static bool is_text(struct str first)
{
    for (size_t i = 0; i < first.n; i++) {
        unsigned char c = (unsigned char)first.p[i];

        if (c < 9 || c == 11 || (c >= 14 && c <= 26) || (c >= 28 && c < 32))
            return false;
    }
    return true;
}

struct str mime_of_bytes(struct str first)
{
    first = str_sub(first, 0, MIME_SNIFF);
    for (size_t i = 0; i < COUNT(signatures); i++)
        if (str_starts(first, signatures[i].first))
            return signatures[i].type;
    if (str_starts(first, STR("RIFF")) && str_eq(str_sub(first, 8, 4), STR("WEBP")))
        return STR("image/webp");
    if (str_eq(str_sub(first, 4, 4), STR("ftyp")))
        return STR("video/mp4");
    if (is_html(first))
        return STR("text/html; charset=utf-8");
    if (str_starts(str_trim(first), STR("<?xml")))
        return STR("text/xml; charset=utf-8");
    return is_text(first) ? STR("text/plain; charset=utf-8") : STR("application/octet-stream");
}
