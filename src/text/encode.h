/*
 * Base64, quoted-printable, UTF-8 and IMAP's modified UTF-7.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

/* RFC 4648 4, with padding. */
void base64_encode(struct buf *out, struct str bytes);
/* RFC 2045 6.8: in lines of 76 characters ended by CR LF. */
void base64_encode_lines(struct buf *out, struct str bytes);
/* RFC 4648 5, without padding. */
void base64url_encode(struct buf *out, struct str bytes);
MUST_USE bool base64url_decode(struct buf *out, struct str text);
/* The whole of text, nothing but the alphabet and right padding (SASL). */
MUST_USE bool base64_decode_strict(struct buf *out, struct str text);

/* A number in lower-case Crockford base 32, without leading zeros. */
void crockford_put(struct buf *out, uint64_t v);

/* Decoding a message body piece by piece (RFC 2045 6.7, 6.8); what is no code is passed over. */
enum transfer_encoding { TRANSFER_IDENTITY, TRANSFER_BASE64, TRANSFER_QUOTED_PRINTABLE };
struct transfer_decoder {
    enum transfer_encoding encoding;
    uint32_t bits;     // base64: collected
    unsigned n_bits;
    bool is_ended;     // base64: padding was seen
    char held[4];      // quoted-printable: an escape that is not complete
    size_t n_held;
    uint64_t n_spaces; // quoted-printable: spaces that may turn out to end a line
};
void transfer_feed(struct transfer_decoder *d, struct str bytes, struct buf *out);
void transfer_end(struct transfer_decoder *d, struct buf *out);
/* The encoding of a Content-Transfer-Encoding value; identity for what is unknown. */
enum transfer_encoding transfer_of(struct str name);

/* Bytes with CR LF for each bare LF, piece by piece; *last is the byte before, 0 at the start. */
void crlf_put(struct buf *out, struct str bytes, char *last);

/* True when s is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_is_valid(struct str s);
/* Appends s with each malformed byte replaced by U+FFFD. */
void utf8_put_valid(struct buf *out, struct str s);
void utf8_put(struct buf *out, uint32_t code_point);
/* The next code point of *s, which is shortened; U+FFFD for a malformed byte. s is not empty. */
uint32_t utf8_next(struct str *s);

/*
 * For a terminal: what would move its cursor, change how it looks or turn the direction of text is written as its
 * octets, \DDD each, and so is what is malformed.
 */
void utf8_put_shown(struct buf *out, struct str s);

/* For comparing without regard to case (Unicode's full case folding, NFC); s as it is if malformed. */
struct str utf8_fold(struct arena *a, struct str s);

/* RFC 3501 5.1.3. Decoding refuses what is not canonical. */
void mutf7_encode(struct buf *out, struct str utf8);
MUST_USE bool mutf7_decode(struct buf *out, struct str text);

/* Bytes of a charset as valid UTF-8; an unknown charset is passed through. */
void charset_put_utf8(struct buf *out, struct str charset, struct str bytes);
/* Opens the converters now: they cannot be opened in a sandbox. */
void charset_warm(void);

/* A JSON string with quotes. */
void json_put_string(struct buf *out, struct str s);
