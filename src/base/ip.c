#include "base/ip.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/die.h"

bool ip_parse(struct str text, struct ip *out)
{
    char copy[INET6_ADDRSTRLEN] = {0};

    if (!text.n || text.n >= sizeof copy || str_find(text, '\0') != STR_NONE)
        return false;
    memcpy(copy, text.p, text.n);
    *out = (struct ip){0};
    if (inet_pton(AF_INET, copy, out->bytes) == 1)
        out->family = 4;
    else if (inet_pton(AF_INET6, copy, out->bytes) == 1)
        out->family = 6;
    return out->family != 0;
}

bool ip_of_bytes(struct str bytes, struct ip *out)
{
    if (bytes.n != 4 && bytes.n != 16)
        return false;
    *out = (struct ip){.family = bytes.n == 4 ? 4 : 6};
    memcpy(out->bytes, bytes.p, bytes.n);
    return true;
}

struct str ip_bytes(const struct ip *ip)
{
    return str_at(ip->bytes, ip->family == 4 ? 4 : 16);
}

void ip_put(struct buf *out, const struct ip *ip)
{
    char text[INET6_ADDRSTRLEN];

    if (!inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->bytes, text, sizeof text))
        die("ip_put: no address");
    buf_put(out, str_of(text));
}

void ip_put_reversed(struct buf *out, const struct ip *ip)
{
    static const char hex[] = "0123456789abcdef";

    if (ip->family == 4) {
        buf_printf(out, "%u.%u.%u.%u", ip->bytes[3], ip->bytes[2], ip->bytes[1], ip->bytes[0]);
        return;
    }
    for (size_t i = 16; i-- > 0;) {
        buf_put_char(out, hex[ip->bytes[i] & 15]);
        buf_put_char(out, '.');
        buf_put_char(out, hex[ip->bytes[i] >> 4]);
        if (i)
            buf_put_char(out, '.');
    }
}

void ip_put_arpa(struct buf *out, const struct ip *ip)
{
    ip_put_reversed(out, ip);
    buf_put(out, ip->family == 4 ? STR(".in-addr.arpa") : STR(".ip6.arpa"));
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return ip_in_network(a, b, 128);
}

bool ip_in_network(const struct ip *ip, const struct ip *network, unsigned bits)
{
    size_t all = ip_bytes(ip).n * 8;
    size_t n = bits > all ? all : bits;
    unsigned last = (unsigned)(0xff00 >> n % 8) & 0xff;

    return ip->family == network->family && memcmp(ip->bytes, network->bytes, n / 8) == 0 &&
           (n % 8 == 0 || ((ip->bytes[n / 8] ^ network->bytes[n / 8]) & last) == 0);
}

struct ip ip_unmapped(const struct ip *ip)
{
    static const struct ip mapped = {6, {[10] = 0xff, [11] = 0xff}};
    struct ip four = {.family = 4};

    if (!ip_in_network(ip, &mapped, 96))
        return *ip;
    memcpy(four.bytes, ip->bytes + 12, 4);
    return four;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip six = {6, {[15] = 1}};

    return ip->family == 4 ? ip->bytes[0] == 127 : ip_eq(ip, &six);
}
