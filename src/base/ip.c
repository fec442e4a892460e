#include "base/ip.h"

#include "base/cur.h"

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

struct network {
    struct ip ip;
    unsigned bits;
};

static bool is_in_any(const struct ip *ip, const struct network *networks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ip_in_network(ip, &networks[i].ip, networks[i].bits))
            return true;
    return false;
}

bool ip_is_public(const struct ip *ip)
{
    // The registries that RFC 6890 made, and multicast.
    static const struct network special_4[] = {
        {{4, {0}}, 8},              {{4, {10}}, 8},           {{4, {100, 64}}, 10},
        {{4, {127}}, 8},            {{4, {169, 254}}, 16},    {{4, {172, 16}}, 12},
        {{4, {192, 0, 0}}, 24},     {{4, {192, 0, 2}}, 24},   {{4, {192, 88, 99}}, 24},
        {{4, {192, 168}}, 16},      {{4, {198, 18}}, 15},     {{4, {198, 51, 100}}, 24},
        {{4, {203, 0, 113}}, 24},   {{4, {224}}, 3},
    };
    // Within 2000::/3: protocols' own with Teredo, documentation, 6to4.
    static const struct network special_6[] = {
        {{6, {0x20, 0x01}}, 23},
        {{6, {0x20, 0x01, 0x0d, 0xb8}}, 32},
        {{6, {0x20, 0x02}}, 16},
        {{6, {0x3f, 0xff}}, 20},
    };
    static const struct ip unicast_6 = {6, {0x20}};

    if (ip->family == 4)
        return !is_in_any(ip, special_4, COUNT(special_4));
    return ip->family == 6 && ip_in_network(ip, &unicast_6, 3) &&
           !is_in_any(ip, special_6, COUNT(special_6));
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip six = {6, {[15] = 1}};

    return ip->family == 4 ? ip->bytes[0] == 127 : ip_eq(ip, &six);
}

bool ip_network_parse(struct str text, struct ip *out, unsigned *bits)
{
    struct str address = text, after = {0};
    bool has_bits = str_cut(text, '/', &address, &after);
    uint64_t n = 0;

    if (!ip_parse(address, out) || (has_bits && !str_u64(after, out->family == 4 ? 32 : 128, &n)))
        return false;
    *bits = has_bits ? (unsigned)n : out->family == 4 ? 32 : 128;
    return true;
}

bool ip_in_networks(struct str address, struct str networks)
{
    struct ip ip, network;
    struct str one;
    unsigned bits;

    if (!ip_parse(address, &ip))
        return false;
    while (str_next(&networks, ' ', &one))
        if (ip_network_parse(one, &network, &bits) && ip_in_network(&ip, &network, bits))
            return true;
    return false;
}
