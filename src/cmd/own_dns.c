#include "cmd/own_dns.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "ipc/resolve.h"
#include "os/fd.h"
#include "os/process.h"
#include "os/user.h"

enum { START_MS = 10000 };

// To its resolve, the verb is monitor and asker in one: it makes the channels it uses.
static struct channel monitor = {-1, ROLE_MONITOR, ROLE_RESOLVE};

static bool connect_resolve(void *ctx, struct channel *out, struct err *e)
{
    int pair[2];
    bool is_ok;

    (void)ctx;
    if (!fd_pair_packets(pair, e))
        return false;
    is_ok = IPC_SEND(&monitor, peer, &pair[1], 1, e, .role = ROLE_ADMIN);
    fd_close(&pair[1]);
    if (!is_ok)
        fd_close(&pair[0]);
    *out = (struct channel){pair[0], ROLE_ADMIN, ROLE_RESOLVE};
    return is_ok;
}

static bool start(struct err *e)
{
    // The last word makes room in the process's arguments for its title.
    char title_room[] = "                                ", resolve[] = "resolve";
    char *argv[] = {"mox", "role", resolve, title_room, NULL};
    struct os_user user = geteuid() ? (struct os_user){0} : os_user_nobody();
    struct packet *packet = packet_new();
    int pair[2];
    bool is_ok;

    if (!fd_pair_packets(pair, e)) {
        packet_free(packet);
        return false;
    }
    monitor.fd = pair[0];
    // Of root's, it needs nothing; but the program may be where only root can execute it.
    if (user.is_set && !os_may_execute_self(&user))
        user.is_set = false;
    is_ok = os_spawn(argv, pair[1], &user, e) > 0;
    fd_close(&pair[1]);
    is_ok = is_ok && IPC_SEND(&monitor, go, NULL, 0, e) &&
            channel_expect(&monitor, IPC_config_done, packet, START_MS, e) &&
            IPC_SEND(&monitor, log_level, NULL, 0, e,
                     .level = str_of(cmd_options.log_level ? cmd_options.log_level : "error"));
    packet_free(packet);
    return is_ok;
}

bool own_dns_open(struct dns *out, struct err *e)
{
    static struct resolver resolver = RESOLVER(connect_resolve, NULL);

    if (monitor.fd < 0 && !start(e))
        return false;
    *out = resolver_dns(&resolver);
    return true;
}

bool own_dns_is_signed(struct arena *a, struct str host)
{
    struct dns_answer answer;
    struct err e = {0};
    struct dns dns;

    if (!own_dns_open(&dns, &e))
        return false;
    dns_lookup(&dns, a, host, DNS_A, &answer);
    return answer.is_secure;
}

bool own_dns_is_address(const struct ip *ip)
{
    static const struct ip all[] = {{.family = 4}, {.family = 6}};
    const char *is_test = getenv("MOX_DIAL_PRIVATE");

    if (ip_eq(ip, &all[0]) || ip_eq(ip, &all[1]))
        return false;
    return !ip_is_loopback(ip) || (is_test && strcmp(is_test, "1") == 0);
}

const char *own_dns_security(bool is_secure)
{
    return is_secure ? "with dnssec" : "without dnssec";
}

void own_dns_put_text(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c >= ' ' && c < 127 && c != '\\')
            buf_put_char(out, (char)c);
        else
            buf_printf(out, "\\%03u", c);
    }
}
