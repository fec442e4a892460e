#include "role/message_fuzz.h"

#include <fcntl.h>
#include <string.h>

#include "base/die.h"
#include "os/fd.h"
#include "os/file.h"

enum { LONG_FIELD = 2000 };

unsigned source_byte(struct source *s)
{
    int c = cur_next(&s->in);

    return c < 0 ? 0 : (unsigned)c;
}

uint64_t source_number(struct source *s, uint64_t max)
{
    unsigned byte = source_byte(s);
    uint64_t v = byte;

    if (byte == 254)
        v = s->last_request;
    if (byte == 255)
        for (int i = 0; i < 8; i++)
            v = v << 8 | source_byte(s);
    return max ? v % (max + 1) : v;
}

struct str source_text(struct source *s, uint64_t max)
{
    unsigned n = source_byte(s);
    struct str text;

    if (n < 192)
        text = str_sub(s->in.p ? str_at(s->in.p, cur_left(&s->in)) : STR(""), 0, n);
    else if (n < 251)
        return str_sub(s->words[(n - 192) % s->n_words], 0, max ? max : SIZE_MAX);
    else {
        // The first word may be at their end.
        size_t length = max && max < 2 * LONG_FIELD ? max : LONG_FIELD;
        struct str end = n == 251 ? str_sub(s->words[0], 0, length) : STR("");
        char *many = arena_alloc(&s->a, length);

        memset(many, n == 252 ? ' ' : n == 253 ? '\n' : 'a', length);
        if (end.n)
            memcpy(many + length - end.n, end.p, end.n);
        return str_at(many, length);
    }
    (void)!cur_take(&s->in, text.n, &text);
    return str_sub(text, 0, max ? max : SIZE_MAX);
}

int source_memfile(struct str bytes)
{
    struct err e = {0};
    int fd = os_memfile("fuzz", &e);

    if (fd < 0 || !os_write_all(fd, bytes, &e) || !os_memfile_seal(fd, &e))
        die("%s", e.text);
    return fd;
}

int source_descriptor(struct source *s)
{
    unsigned kind = source_byte(s);
    struct err e = {0};

    if (kind == 255)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    if (kind == 254)
        return os_memfile("not sealed", &e);
    return source_memfile(source_text(s, 0));
}

enum ipc_type source_type(struct source *s, enum role from, enum role to)
{
    enum ipc_type types[IPC_TYPE_COUNT];
    unsigned n = 0;

    for (enum ipc_type type = IPC_none + 1; type < IPC_TYPE_COUNT; type++) {
        const struct ipc_rule *rule = ipc_rule_of(type);

        if ((rule->from & ROLE_BIT(from)) && (rule->to & ROLE_BIT(to)))
            types[n++] = type;
    }
    return n ? types[source_byte(s) % n] : IPC_none;
}

#define TAKE_u8(s, max) (uint8_t)source_number((s), (max))
#define TAKE_u32(s, max) (uint32_t)source_number((s), (max))
#define TAKE_u64(s, max) source_number((s), (max))
#define TAKE_str(s, max) source_text((s), (max))
#define FILL_(type, name, max) m.name = (IPC_CTYPE_##type)TAKE_##type(s, max);
#define MAKE_(message, from, to, min_fds, max_fds)                                                 \
    static void make_##message(struct source *s, struct buf *out)                                  \
    {                                                                                              \
        struct ipc_##message m;                                                                    \
                                                                                                   \
        (void)s;                                                                                   \
        ipc_##message##_FIELDS(FILL_) ipc_##message##_put(out, &m);                                \
    }
IPC_MESSAGES(MAKE_)

#define MADE_(message, from, to, min_fds, max_fds) [IPC_##message] = make_##message,
static void (*const make[IPC_TYPE_COUNT])(struct source *s, struct buf *out) = {IPC_MESSAGES(MADE_)};

void source_message(struct source *s, enum ipc_type type, struct buf *out)
{
    arena_reset(&s->a);
    make[type](s, out);
}
