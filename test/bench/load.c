/*
 * Load for test/bench/run, cheap enough not to be what is measured: a thread per connection, each
 * message and command written in one piece.
 *
 *     load smtp    ADDRESS PORT CONNECTIONS MESSAGES BYTES RECIPIENT [FROM USER PASSWORD] [keep]
 *     load login   ADDRESS PORT CONNECTIONS LOGINS USER PASSWORD
 *     load append  ADDRESS PORT CONNECTIONS MESSAGES BYTES USER PASSWORD MAILBOX
 *     load idle    ADDRESS PORT PLAIN_PORT CONNECTIONS USER PASSWORD
 *
 * The first three print the seconds from the first connection to the last answer. smtp with a user
 * is submission: TLS from the first byte, AUTH PLAIN; keep: one connection for many messages. login
 * is IMAP over TLS. idle leaves its connections in IDLE and prints "ready"; for each line on its
 * input it appends a message and prints the seconds until every connection was told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 120, MAX_CONNECTIONS = 10000, LINE = 4096 };

struct link {
    int fd;
    SSL *tls;
    char in[LINE];
    size_t start, n;
};

static struct {
    const char *address, *recipient, *from, *user, *password, *mailbox;
    unsigned short port;
    int connections;
    size_t bytes;
    bool is_tls, is_kept;
} o;
static SSL_CTX *tls;
static atomic_int left, numbers;

static _Noreturn void die(const char *what, const char *detail)
{
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void link_open(struct link *l, unsigned short port, bool is_tls)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = TIMEOUT_S};
    int one = 1;

    *l = (struct link){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (l->fd < 0 || inet_pton(AF_INET, o.address, &a.sin_addr) != 1 ||
        setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        connect(l->fd, (struct sockaddr *)&a, sizeof a))
        die("connect", strerror(errno));
    if (!is_tls)
        return;
    l->tls = SSL_new(tls);
    if (!l->tls || !SSL_set_fd(l->tls, l->fd) || SSL_connect(l->tls) != 1)
        die("connect", "TLS handshake failed");
}

static void link_close(struct link *l)
{
    if (l->tls)
        SSL_shutdown(l->tls);
    SSL_free(l->tls);
    close(l->fd);
}

static void put(struct link *l, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = l->tls ? SSL_write(l->tls, bytes, n < 1 << 20 ? (int)n : 1 << 20)
                              : send(l->fd, bytes, n, MSG_NOSIGNAL);

        if (done <= 0)
            die("write", strerror(errno));
        bytes += done;
        n -= (size_t)done;
    }
}

__attribute__((format(printf, 2, 3))) static void say(struct link *l, const char *format, ...)
{
    char line[LINE];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put(l, line, (size_t)n);
}

/* The next line, terminated, without its line end; valid until the next call. */
static const char *hear(struct link *l)
{
    for (;;) {
        char *line = l->in + l->start, *end = memchr(line, '\n', l->n - l->start);
        int got;

        if (end) {
            l->start = (size_t)(end + 1 - l->in);
            *end = 0;
            return line;
        }
        memmove(l->in, line, l->n - l->start);
        l->n -= l->start;
        l->start = 0;
        if (l->n == sizeof l->in)
            die("read", "line too long");
        got = l->tls ? SSL_read(l->tls, l->in + l->n, (int)(sizeof l->in - l->n))
                     : (int)recv(l->fd, l->in + l->n, sizeof l->in - l->n, 0);
        if (got <= 0)
            die("read", "connection ended or timed out");
        l->n += (size_t)got;
    }
}

/* Reads lines up to one that starts so; any other ending of the exchange is fatal. */
static void expect(struct link *l, const char *start)
{
    size_t n = strlen(start);

    for (;;) {
        const char *line = hear(l);

        if (!strncmp(line, start, n))
            return;
        if (line[0] == start[0] ? start[0] != '2' || line[3] != '-' : line[0] != '*')
            die(start, line);
    }
}

/*
 * Lines of base64 that stand for a body, in which a compressor finds nothing that repeats: more of
 * them than it looks back.
 */
static char pool[1 << 20];

static void fill_pool(void)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t x = 88172645463325252; // xorshift

    for (size_t i = 0; i < sizeof pool; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        pool[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : alphabet[x & 63];
    }
}

/* Each message has its own header and another part of the pool as its body. */
static char *make_message(size_t *n)
{
    int number = atomic_fetch_add(&numbers, 1);
    size_t room = o.bytes + 1024, at, from = (size_t)number * 64 * 167 % sizeof pool;
    char *m = malloc(room);

    if (!m)
        die("message", "out of memory");
    at = (size_t)snprintf(m, room,
                          "From: <%s>\r\nTo: <%s>\r\nSubject: message %d of a measurement\r\n"
                          "Date: Tue, 14 Jul 2026 10:00:00 +0000\r\n"
                          "Message-Id: <%d.%ld.%d@example.org>\r\n\r\n",
                          o.from ? o.from : "sender@example.org", o.recipient ? o.recipient : o.user,
                          number, number, (long)time(NULL), getpid());
    while (at < o.bytes) {
        memcpy(m + at, pool + from, 64);
        at += 64;
        from = (from + 64) % sizeof pool;
    }
    *n = at;
    return m;
}

static void smtp_open(struct link *l)
{
    unsigned char plain[LINE / 4], text[LINE / 2];
    int n;

    link_open(l, o.port, o.is_tls);
    expect(l, "220 ");
    say(l, "EHLO client.example.org\r\n");
    expect(l, "250 ");
    if (!o.user)
        return;
    n = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, o.user, 0, o.password);
    EVP_EncodeBlock(text, plain, n);
    say(l, "AUTH PLAIN %s\r\n", text);
    expect(l, "235 ");
}

static void *smtp(void *ctx)
{
    struct link l;
    bool is_open = false;

    (void)ctx;
    while (atomic_fetch_sub(&left, 1) > 0) {
        size_t n;
        char *m = make_message(&n);

        if (!is_open)
            smtp_open(&l);
        is_open = o.is_kept;
        say(&l, "MAIL FROM:<%s>\r\n", o.from ? o.from : "sender@example.org");
        expect(&l, "250 ");
        say(&l, "RCPT TO:<%s>\r\n", o.recipient);
        expect(&l, "250 ");
        say(&l, "DATA\r\n");
        expect(&l, "354 ");
        memcpy(m + n, ".\r\n", 3);
        put(&l, m, n + 3);
        free(m);
        expect(&l, "250 ");
        if (!is_open) {
            say(&l, "QUIT\r\n");
            expect(&l, "221 ");
            link_close(&l);
        }
    }
    if (is_open)
        link_close(&l);
    return NULL;
}

static void imap_open(struct link *l, unsigned short port, bool is_tls)
{
    link_open(l, port, is_tls);
    expect(l, "* OK");
    say(l, "a LOGIN %s %s\r\n", o.user, o.password);
    expect(l, "a OK");
}

static void *login(void *ctx)
{
    (void)ctx;
    while (atomic_fetch_sub(&left, 1) > 0) {
        struct link l;

        imap_open(&l, o.port, true);
        say(&l, "b LOGOUT\r\n");
        expect(&l, "b OK");
        link_close(&l);
    }
    return NULL;
}

static void append_one(struct link *l)
{
    size_t n;
    char *m = make_message(&n);

    say(l, "c APPEND %s {%zu+}\r\n", o.mailbox, n);
    memcpy(m + n, "\r\n", 2);
    put(l, m, n + 2);
    free(m);
    expect(l, "c OK");
}

static void *append(void *ctx)
{
    struct link l;

    (void)ctx;
    imap_open(&l, o.port, false);
    while (atomic_fetch_sub(&left, 1) > 0)
        append_one(&l);
    link_close(&l);
    return NULL;
}

/* --- connections that idle ------------------------------------------------------------------------- */

static struct link *held;
static bool *is_told;

static void wait_told(int poller)
{
    double deadline = now() + TIMEOUT_S;
    int told = 0;

    memset(is_told, 0, (size_t)o.connections * sizeof *is_told);
    while (told < o.connections) {
        struct epoll_event events[64];
        int n = epoll_wait(poller, events, 64, 1000);

        if (now() > deadline)
            die("idle", "not every connection was told");
        for (int i = 0; i < n; i++) {
            struct link *l = &held[events[i].data.u32];
            char bytes[LINE];
            int got = SSL_read(l->tls, bytes, sizeof bytes);

            if (got <= 0)
                die("idle", "connection ended");
            if (memmem(bytes, (size_t)got, " EXISTS", 7) && !is_told[events[i].data.u32]) {
                is_told[events[i].data.u32] = true;
                told++;
            }
        }
    }
}

static struct link writer;

static int idle(unsigned short plain_port)
{
    char line[16];
    int poller = epoll_create1(0);

    held = calloc((size_t)o.connections, sizeof *held);
    is_told = calloc((size_t)o.connections, sizeof *is_told);
    if (!held || !is_told || poller < 0)
        die("idle", "out of memory");
    for (int i = 0; i < o.connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

        imap_open(&held[i], o.port, true);
        say(&held[i], "b SELECT INBOX\r\n");
        expect(&held[i], "b OK");
        say(&held[i], "c IDLE\r\n");
        expect(&held[i], "+ ");
        if (epoll_ctl(poller, EPOLL_CTL_ADD, held[i].fd, &event))
            die("epoll", strerror(errno));
    }
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double start;

        imap_open(&writer, plain_port, false);
        start = now();
        append_one(&writer);
        wait_told(poller);
        printf("%.6f\n", now() - start);
        fflush(stdout);
        link_close(&writer);
    }
    return 0;
}

/* --- beginning --------------------------------------------------------------------------------------- */

static int run(void *(*fn)(void *))
{
    pthread_t threads[64];
    double start = now();

    if (o.connections > 64)
        die("connections", "at most 64");
    for (int i = 0; i < o.connections; i++)
        if (pthread_create(&threads[i], NULL, fn, NULL))
            die("thread", "none left");
    for (int i = 0; i < o.connections; i++)
        pthread_join(threads[i], NULL);
    printf("%.6f\n", now() - start);
    return 0;
}

static int number(const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (*end || n < 1 || n > 1 << 30)
        die("not a number", text);
    return (int)n;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";

    fill_pool();
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || argc < 8)
        die("usage", "see the comment in load.c");
    o.address = argv[2];
    o.port = (unsigned short)number(argv[3]);
    if (!strcmp(mode, "idle")) {
        o.connections = number(argv[5]);
        o.user = argv[6];
        o.password = argv[7];
        o.mailbox = "INBOX";
        o.bytes = 1000;
        return idle((unsigned short)number(argv[4]));
    }
    o.connections = number(argv[4]);
    left = number(argv[5]);
    if (!strcmp(mode, "login")) {
        o.user = argv[6];
        o.password = argv[7];
        return run(login);
    }
    o.bytes = (size_t)number(argv[6]);
    if (!strcmp(mode, "append") && argc == 10) {
        o.user = argv[7];
        o.password = argv[8];
        o.mailbox = argv[9];
        return run(append);
    }
    if (strcmp(mode, "smtp"))
        die("usage", "see the comment in load.c");
    o.recipient = argv[7];
    o.is_kept = !strcmp(argv[argc - 1], "keep");
    o.is_tls = argc >= 11;
    if (o.is_tls) {
        o.from = argv[8];
        o.user = argv[9];
        o.password = argv[10];
    }
    return run(smtp);
}
