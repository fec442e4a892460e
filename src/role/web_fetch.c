#include "role/web_fetch.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/service.h"

enum {
    MAX_REQUESTS = 10,
    ANSWER_MS = 60 * 1000,    // fetch gives up by itself
    GIVE_UP_MS = 80 * 1000,
};

struct request {
    enum { FREE, WANTED, BUSY } state;
    uint64_t number;
    int64_t deadline_ms;
    web_fetch_fn *fn; // NULL: nobody wants to hear any more
    void *ctx;
    struct arena a;
    struct web_request asked;
    struct channel ch;
    struct event_source *source;
};

static struct request requests[MAX_REQUESTS];
static uint64_t last_number;

// It is free before its asker hears, who may ask again at once.
static void end(struct request *r, const struct ipc_web_fetched *m)
{
    web_fetch_fn *fn = r->fn;
    void *ctx = r->ctx;

    event_remove(service_loop(), r->source);
    if (r->ch.fd >= 0)
        channel_close(&r->ch);
    arena_fini(&r->a);
    *r = (struct request){.state = FREE};
    if (fn)
        fn(ctx, m);
}

static void end_failed(struct request *r, struct str why)
{
    struct ipc_web_fetched m = {.outcome = IPC_WEB_FAILED, .why = why};

    end(r, &m);
}

static void on_answer(void *ctx, int events)
{
    struct packet *p = packet_new();
    struct request *r = ctx;
    struct ipc_web_fetched m;
    struct err e = {0};

    (void)events;
    switch (channel_receive(&r->ch, p, 0, &e)) {
    case CHANNEL_TIMEOUT:
        break;
    case CHANNEL_MESSAGE:
        if (p->type == IPC_web_fetched && ipc_web_fetched_get(p->body, &m, &e) && m.outcome)
            end(r, &m);
        else
            end_failed(r, STR("the process that asked the web server says nonsense"));
        break;
    case CHANNEL_CLOSED:
        end_failed(r, STR("the process that asked the web server ended"));
        break;
    case CHANNEL_BAD:
        end_failed(r, str_of(e.text));
        break;
    }
    packet_close_fds(p);
    packet_free(p);
}

static bool send_request(struct request *r, struct err *e)
{
    const struct web_request *asked = &r->asked;
    bool has_body = asked->method == IPC_WEB_POST;
    AUTO_FD body = has_body ? os_memfile("request", e) : -1;

    return (!has_body || (body >= 0 && os_write_all(body, asked->body, e) && os_memfile_seal(body, e))) &&
           IPC_SEND(&r->ch, web_fetch, &body, has_body, e, .method = (uint8_t)asked->method, .url = asked->url,
                    .fields = asked->fields, .max_body = asked->max_body, .timeout_ms = ANSWER_MS);
}

bool web_fetch_made(struct packet *p, struct err *e)
{
    struct ipc_fetch_made made;
    struct request *r = NULL;
    struct err why = {0};

    if (!ipc_fetch_made_get(p->body, &made, e))
        return false;
    for (size_t i = 0; i < MAX_REQUESTS; i++)
        if (requests[i].state == WANTED && requests[i].number == made.request)
            r = &requests[i];
    if (!r)
        return true; // it was given up meanwhile
    if (!p->n_fds) {
        end_failed(r, made.reason);
        return true;
    }
    r->ch.fd = packet_take_fd(p, 0);
    r->state = BUSY;
    r->source = event_add(service_loop(), r->ch.fd, EVENT_READ, on_answer, r, &why);
    if (!r->source || !send_request(r, &why))
        end_failed(r, str_of(why.text));
    return true;
}

bool web_fetch(struct channel *monitor, const struct web_request *asked, web_fetch_fn *fn, void *ctx,
               struct err *e)
{
    struct request *r = NULL;

    for (size_t i = 0; i < MAX_REQUESTS && !r; i++)
        if (requests[i].state == FREE)
            r = &requests[i];
    if (!r)
        return fail(e, ERR_TEMPORARY, "too many web servers are being asked");
    if (!IPC_SEND(monitor, fetch_new, NULL, 0, e, .request = last_number + 1))
        return false;
    *r = (struct request){.state = WANTED, .number = ++last_number, .fn = fn, .ctx = ctx, .asked = *asked,
                          .a = ARENA_LIMIT(16 << 20), .ch = {-1, monitor->self, ROLE_FETCH},
                          .deadline_ms = os_monotonic_ms() + GIVE_UP_MS};
    r->asked.url = arena_dup(&r->a, asked->url);
    r->asked.fields = arena_dup(&r->a, asked->fields);
    r->asked.body = arena_dup(&r->a, asked->body);
    return true;
}

void web_fetch_tick(void)
{
    int64_t now = os_monotonic_ms();

    for (size_t i = 0; i < MAX_REQUESTS; i++)
        if (requests[i].state != FREE && requests[i].deadline_ms < now)
            end_failed(&requests[i], STR("no answer in time"));
}
