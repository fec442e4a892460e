/*
 * The input is a conversation: each message with a byte for who says it, one for which of those that the table of
 * ipc/messages.h allows, and its fields. What does not decode is left to the target ipc; here all of it does. The role
 * must take every message or close that peer's channel; it must not end, and answer nothing that the table forbids.
 */
#include "role/role_fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "os/fd.h"
#include "role/message_fuzz.h"

enum { MONITOR_FD = 3, MOST_MESSAGES = 1200, PATIENCE_MS = 20000, GRANTED = 8 };

/* The role never ends, and gives nothing back. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

static const struct role_fuzz *role;
static struct channel monitor = {-1, ROLE_MONITOR, ROLE_MONITOR};
static struct packet *packet;

/* Who speaks to the role: first those that the monitor introduces, then those that the role asked for. */
struct speaker {
    struct channel ch;
    uint64_t last_request; // of what the role said last, if it begins with one
    int stream;            // instead: that of a user; -1
};
static struct speaker speakers[2 * ROLE_COUNT + GRANTED];
static enum role introduced[2 * ROLE_COUNT]; // ROLE_COUNT: a user
static size_t n_introduced, n_speakers;

/* --- channels ---------------------------------------------------------------------------------------------- */

static void pair(int ends[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        die("no channel");
}

static struct speaker *add_speaker(struct speaker *s, enum role as, int fd)
{
    *s = (struct speaker){.ch = {fd, as, role->role}, .stream = -1};
    return s;
}

// A channel that the role asked for: its end of it, or -1 when there are enough.
static int grant_speaker(enum role as)
{
    int ends[2];

    if (n_speakers == COUNT(speakers))
        return -1;
    pair(ends);
    add_speaker(&speakers[n_speakers++], as, ends[0]);
    return ends[1];
}

static void grant(enum role as, uint64_t request)
{
    AUTO_FD fd = grant_speaker(as);
    struct err e = {0};
    bool is_ok;

    if (as == ROLE_DELIVER)
        is_ok = IPC_SEND(&monitor, deliver_made, &fd, fd >= 0, &e, .request = request);
    else if (as == ROLE_FETCH)
        is_ok = IPC_SEND(&monitor, fetch_made, &fd, fd >= 0, &e, .request = request);
    else
        is_ok = IPC_SEND(&monitor, granted, &fd, fd >= 0, &e, .grant = (uint32_t)request);
    if (!is_ok)
        die("the monitor cannot grant: %s", e.text);
}

static uint64_t number_in(const struct packet *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = n < p->body.n ? n : p->body.n; i-- > 0;)
        v = v << 8 | (unsigned char)p->body.p[i];
    return v;
}

// What the role says to the monitor; some of it has an answer.
static void hear_monitor(int timeout_ms, bool *has_begun)
{
    struct err e = {0};

    for (;; timeout_ms = 0) {
        switch (channel_receive(&monitor, packet, timeout_ms, &e)) {
        case CHANNEL_MESSAGE:
            break;
        case CHANNEL_TIMEOUT:
            return;
        case CHANNEL_CLOSED:
            die("the role has ended");
        case CHANNEL_BAD:
            die("the role says what it may not: %s", e.text);
        }
        if (packet->type == IPC_config_done && has_begun)
            *has_begun = true;
        if (packet->type == IPC_deliver_new)
            grant(ROLE_DELIVER, number_in(packet, 8));
        if (packet->type == IPC_fetch_new)
            grant(ROLE_FETCH, number_in(packet, 8));
        if (packet->type == IPC_deliver_open)
            grant(ROLE_ACCOUNT, number_in(packet, 4));
        if (packet->type == IPC_grant && !IPC_SEND(&monitor, granted, NULL, 0, &e, .reason = STR("there is none")))
            die("the monitor cannot refuse: %s", e.text);
        packet_close_fds(packet);
        if (has_begun && *has_begun)
            return;
    }
}

static bool is_there(const struct speaker *s)
{
    return s->ch.fd >= 0 || s->stream >= 0;
}

static void close_speaker(struct speaker *s)
{
    channel_close(&s->ch);
    fd_close(&s->stream);
}

static void hear_stream(struct speaker *s)
{
    static char unused[65536];
    ssize_t n;

    while ((n = recv(s->stream, unused, sizeof unused, MSG_DONTWAIT)) > 0)
        ;
    if (!n || (errno != EAGAIN && errno != EINTR))
        close_speaker(s);
}

// What it says to others.
static void hear(struct speaker *s)
{
    struct err e = {0};

    if (s->stream >= 0)
        hear_stream(s);

    while (s->ch.fd >= 0)
        switch (channel_receive(&s->ch, packet, 0, &e)) {
        case CHANNEL_MESSAGE:
            s->last_request = number_in(packet, 8);
            if (role->answer)
                role->answer(&s->ch, packet, s->last_request);
            packet_close_fds(packet);
            break;
        case CHANNEL_TIMEOUT:
            return;
        case CHANNEL_CLOSED:
            close_speaker(s);
            break;
        case CHANNEL_BAD:
            die("the role says what it may not: %s", e.text);
        }
}

static void hear_all(void)
{
    hear_monitor(0, NULL);
    for (size_t i = 0; i < n_speakers; i++)
        hear(&speakers[i]);
}

// Until the role has taken what was said from its channel.
static void wait_until_taken(const struct channel *ch)
{
    int left = 1;

    for (long n = 0; ch->fd >= 0 && !ioctl(ch->fd, SIOCOUTQ, &left) && left; n++) {
        if (n > PATIENCE_MS * 20L)
            die("the role does not listen any more");
        sched_yield();
        if (n > 100) {
            hear_all();
            usleep(50);
        }
    }
}

// Until it has seen that nobody is there any more.
static void wait_until_closed(struct speaker *s)
{
    int fd = s->stream >= 0 ? s->stream : s->ch.fd;

    if (fd < 0)
        return;
    shutdown(fd, SHUT_WR);
    for (int waited = 0;; waited += 10) {
        struct pollfd p = {.fd = fd};

        if (poll(&p, 1, 10) > 0 && (p.revents & (POLLHUP | POLLERR)))
            break;
        hear_all();
        if (!is_there(s))
            return;
        if (waited > PATIENCE_MS)
            die("the role keeps a channel that has ended");
    }
    close_speaker(s);
}

static void attach(struct speaker *s)
{
    static uint64_t conn = 100;
    struct err e = {0};
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("no stream");
    add_speaker(s, ROLE_COUNT, -1);
    s->stream = ends[0];
    if (!IPC_SEND(&monitor, attach, &ends[1], 1, &e, .conn = ++conn, .is_tls = 1, .login = STR("alice@mox.example"),
                  .remote = STR("192.0.2.1"), .tag = STR("a")))
        die("the monitor cannot attach: %s", e.text);
    close(ends[1]);
}

static void introduce(struct speaker *s, size_t which)
{
    enum role as = introduced[which];
    bool is_second = which && introduced[which - 1] == as; // the other session has come by submission
    bool is_ours = as == ROLE_ACCOUNT || is_second;
    struct err e = {0};
    int ends[2];

    pair(ends);
    add_speaker(s, as, ends[0]);
    if (!IPC_SEND(&monitor, peer, &ends[1], 1, &e, .role = (uint8_t)as, .conn = as == ROLE_SESSION ? 1 + which : 0,
                  .protocol = as == ROLE_SESSION ? (is_second ? IPC_PROTOCOL_SUBMISSION : IPC_PROTOCOL_SMTP) : 0,
                  .is_tls = 1, .account = is_ours ? STR("alice") : STR(""), .keep_retired_s = 60,
                  .login = is_ours ? STR("alice@mox.example") : STR(""), .remote = STR("192.0.2.1"),
                  .local = STR("192.0.2.2"), .mailbox = STR("Inbox"),
                  .address = as == ROLE_SESSION ? STR("mox.example") : STR("alice@mox.example")))
        die("the monitor cannot introduce: %s", e.text);
    close(ends[1]);
    wait_until_taken(&monitor);
}

static struct speaker *speaker_of(unsigned byte)
{
    struct speaker *s = &speakers[byte % n_speakers];
    size_t which = (size_t)(s - speakers);

    if (!is_there(s) && which < n_introduced && introduced[which] == ROLE_COUNT)
        attach(s);
    else if (!is_there(s) && which < n_introduced)
        introduce(s, which);
    return is_there(s) ? s : NULL;
}

/* --- the role ----------------------------------------------------------------------------------------------- */

static void *run(void *unused)
{
    (void)unused;
    if (unshare(CLONE_FS)) // it enters its directory, and the corpus is named from this one
        die("no directory of its own");
    role->main();
    return NULL;
}

static int listening(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX}; // the kernel finds a name
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name.sun_family) || listen(fd, 1))
        die("no socket to listen at");
    return fd;
}

static char dir[] = "/tmp/mox-fuzz-XXXXXX"; // the role's
static int role_dir = -1;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void __gcov_dump(void) __attribute__((weak));

// The role is not to find libraries that have been cleaned up: without what else is done at an exit.
static void end(int status, void *unused)
{
    (void)unused;
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    fflush(NULL);
    if (__gcov_dump)
        __gcov_dump();
    _exit(status);
}

static void say_config(void)
{
    AUTO_BUF config = BUF_LIMIT(COMPILED_MAX_BYTES), file = BUF_LIMIT(COMPILED_MAX_BYTES);
    AUTO_FD socket_fd = -1;
    struct err e = {0};
    int fds[2];

    if (!mkdtemp(dir))
        die("no directory");
    COMPILED_PUT(&config, settings, .hostname = STR("mail.mox.example"), .data_dir = str_of(dir),
                 .user = STR("mox"), .postmaster = STR("alice"));
    COMPILED_PUT(&config, listener, .index = 0, .protocol = IPC_PROTOCOL_SMTP, .port = 25, .ip = STR("127.0.0.1"),
                 .hostname = STR("mail.mox.example"), .max_message_bytes = 1 << 20);
    role->configure(&config, &file);
    fds[0] = source_memfile(buf_str(&config));
    fds[1] = file.n ? source_memfile(buf_str(&file)) : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fds[1] < 0 || !IPC_SEND(&monitor, config, fds, 2, &e, .number = 1))
        die("no configuration: %s", e.text);
    close(fds[0]);
    role_dir = fds[1];
    if (role->needs_listener) {
        socket_fd = listening();
        if (!IPC_SEND(&monitor, listen, &socket_fd, 1, &e, .index = 0))
            die("%s", e.text);
    }
    if (role->role == ROLE_AUTH &&
        !IPC_SEND(&monitor, srs_key, NULL, 0, &e, .key = STR("0123456789abcdef0123456789abcdef")))
        die("%s", e.text);
    if (!IPC_SEND(&monitor, go, NULL, 0, &e))
        die("%s", e.text);
}

// Those who may say something to it. Sessions come by two ways.
static void find_speakers(void)
{
    for (unsigned as = ROLE_MONITOR + 1; as < ROLE_COUNT; as++)
        for (unsigned type = IPC_none + 1; type < IPC_TYPE_COUNT; type++) {
            const struct ipc_rule *rule = ipc_rule_of(type);

            if (!(rule->from & ROLE_BIT(as)) || !(rule->to & ROLE_BIT(role->role)))
                continue;
            introduced[n_introduced++] = (enum role)as;
            if (as == ROLE_SESSION)
                introduced[n_introduced++] = (enum role)as;
            break;
        }
    if (role->has_streams)
        introduced[n_introduced++] = ROLE_COUNT;
    for (n_speakers = 0; n_speakers < n_introduced; n_speakers++)
        add_speaker(&speakers[n_speakers], introduced[n_speakers], -1);
}

// The role's channel has this number, so the fuzzer's own files must have others.
__attribute__((constructor)) static void reserve(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (fd > MONITOR_FD)
        close(fd);
}

static void start(void)
{
    bool has_begun = false;
    pthread_t thread;
    struct err e = {0};
    int ends[2];

    signal(SIGPIPE, SIG_IGN); // as src/main.c
    setenv("MOX_SANDBOX", "off", 1);
    if (!log_set_level(STR(""), STR("fatal"), &e))
        die("%s", e.text);
    pair(ends);
    if (ends[0] == MONITOR_FD)
        ends[0] = dup(ends[0]);
    monitor = (struct channel){ends[0], ROLE_MONITOR, role->begin ? ROLE_ACCOUNT_TEMPLATE : role->role};
    if (ends[1] != MONITOR_FD && dup2(ends[1], MONITOR_FD) < 0)
        die("no channel");
    packet = packet_new();
    find_speakers();
    say_config();
    if (pthread_create(&thread, NULL, run, NULL))
        die("no thread");
    if (role->begin) {
        role->begin(&monitor, role_dir);
        return;
    }
    hear_monitor(PATIENCE_MS, &has_begun);
    if (!has_begun)
        die("the role does not begin");
}

/* --- a conversation ------------------------------------------------------------------------------------------ */

static void say(struct source *s)
{
    struct speaker *who = speaker_of(source_byte(s));
    AUTO_BUF body = BUF_LIMIT(IPC_MAX_BYTES);
    const struct ipc_rule *rule;
    enum ipc_type type;
    int fds[IPC_MAX_FDS];
    size_t n = 0;
    struct err e = {0};

    if (!who)
        return;
    s->last_request = who->last_request;
    if (who->stream >= 0) {
        struct str text = source_text(s, 0);

        if (send(who->stream, text.p, text.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            close_speaker(who);
        return;
    }
    type = source_type(s, who->ch.self, role->role);
    rule = ipc_rule_of(type);
    source_message(s, type, &body);
    if (body.full)
        return;
    while (n < rule->max_fds)
        fds[n++] = source_descriptor(s);
    if (!channel_send(&who->ch, type, buf_str(&body), fds, n, &e))
        close_speaker(who);
    while (n)
        close(fds[--n]);
    wait_until_taken(&who->ch);
}

int role_fuzz(const struct role_fuzz *r, const uint8_t *data, size_t size)
{
    static bool has_end; // libraries have theirs by the end of the first conversation
    struct source s = {.in = cur_of(str_at(data, size)), .a = ARENA_LIMIT(1 << 20), .words = r->words, .n_words = r->n_words};

    if (!role) {
        role = r;
        start();
    }
    for (int n = 0; n < MOST_MESSAGES && cur_left(&s.in); n++) {
        say(&s);
        hear_all();
    }
    for (size_t i = 0; i < n_speakers; i++)
        wait_until_closed(&speakers[i]);
    hear_monitor(0, NULL);
    for (size_t i = n_introduced; i < n_speakers; i++)
        wait_until_closed(&speakers[i]);
    n_speakers = n_introduced;
    has_end = has_end || !on_exit(end, NULL);
    arena_fini(&s.a);
    return 0;
}
