/*
 * resolve: what all who ask the DNS may say to it. In place of unbound.c, a name's first letter says what becomes of the
 * question.
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/die.h"
#include "role/resolve/unbound.h"
#include "role/role_fuzz.h"
#include "role/start.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_OPEN = 3000 };

static unbound_fn *tell;
static int ready_fd = -1;
static struct { void *question; char first; int id; } open_questions[MOST_OPEN];
static size_t n_open;
static int last_id;

bool unbound_open(const struct source *source, const char *anchor, unbound_fn *answered, struct err *e)
{
    (void)source, (void)anchor, (void)e;
    tell = answered;
    ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return ready_fd >= 0;
}

int unbound_fd(void)
{
    return ready_fd;
}

static struct unbound_answer answer_of(char first)
{
    static char many[DNS_MAX_ANSWER + 1];

    switch (first) {
    case 'n':
        return (struct unbound_answer){.status = DNS_NXDOMAIN, .is_secure = true, .ttl = 5};
    case 'b':
        return (struct unbound_answer){.status = DNS_BOGUS, .why = STR("forged")};
    case 'f':
        return (struct unbound_answer){.status = DNS_TEMPORARY, .is_failure = true, .why = STR("silence")};
    case 'm':
        return (struct unbound_answer){.status = DNS_OK, .records = str_at(many, sizeof many), .name = STR("m.example")};
    default:
        return (struct unbound_answer){.status = DNS_OK, .ttl = UINT32_MAX, .records = STR("\x06\x00\x00\xc0\x00\x02\x01")};
    }
}

// Those that begin with 's' stay silent.
void unbound_process(void)
{
    uint64_t n;

    if (read(ready_fd, &n, sizeof n) != sizeof n)
        return;
    for (size_t i = n_open; i-- > 0;) {
        void *question = open_questions[i].question;
        struct unbound_answer a = answer_of(open_questions[i].first);

        if (open_questions[i].first == 's')
            continue;
        open_questions[i] = open_questions[--n_open];
        tell(question, &a);
    }
}

bool unbound_ask(struct str name, enum dns_type type, void *question, int *id, struct err *e)
{
    const uint64_t one = 1;

    (void)type;
    if (!name.n || name.p[0] == 'x' || n_open == MOST_OPEN)
        return fail(e, ERR_TEMPORARY, "it is not taken");
    *id = ++last_id;
    open_questions[n_open].question = question;
    open_questions[n_open].first = name.p[0];
    open_questions[n_open++].id = *id;
    if (write(ready_fd, &one, sizeof one) != sizeof one)
        die("no event");
    return true;
}

void unbound_cancel(int id)
{
    for (size_t i = 0; i < n_open; i++)
        if (open_questions[i].id == id) {
            open_questions[i] = open_questions[--n_open];
            return;
        }
    die("a question is taken back that nobody has asked");
}

static void configure(struct buf *config, struct buf *file)
{
    (void)config, (void)file;
    setenv("MOX_RESOLVER", "127.0.0.1 deadline:200 hosts:/dev/null", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str words[] = {
        STR_("other.example"), STR_("n.example"), STR_("b.example"), STR_("f.example"), STR_("m.example"), STR_("s.example"), STR_("x.example"),
        STR_("."), STR_("1.2.0.192.in-addr.arpa"), STR_("a..example"), STR_("A.EXAMPLE"), STR_("s2.example"),
    };
    static const struct role_fuzz r = {.role = ROLE_RESOLVE, .main = resolve_main, .configure = configure, .words = words,
                                       .n_words = COUNT(words)};

    return role_fuzz(&r, data, size);
}
