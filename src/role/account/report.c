#include "role/account/report.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/report.h"
#include "message/mime.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "policy/report_mail.h"
#include "role/account/account.h"

enum {
    ADMIN_MS = 20 * 1000,
    FUTURE_S = 60, // of a report's end, by which clocks differ
    MEMORY = MIME_MEMORY + DMARC_REPORT_MEMORY + TLSRPT_REPORT_MEMORY + REPORT_MAX_SIZE,
};

// One report at a time takes much memory, several would take several times as much.
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* --- the channel to admin or queue ------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of what follows
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;
static bool is_asked;
static int granted_fd = -1;
static char refusal[IPC_MAX_ANSWER];

void report_granted(int fd, struct str reason)
{
    pthread_mutex_lock(&lock);
    if (is_asked) {
        granted_fd = fd;
        snprintf(refusal, sizeof refusal, "%.*s", STR_FMT(reason));
        is_asked = false;
        pthread_cond_signal(&answered);
    } else if (fd >= 0) { // nobody waits for it any more
        fd_close(&fd);
    }
    pthread_mutex_unlock(&lock);
}

// The main thread hears the answer.
static bool open_service(enum ipc_service service, enum role role, struct channel *out, struct err *e)
{
    struct timespec end;
    bool is_sent;
    int rc = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ADMIN_MS / 1000;
    pthread_mutex_lock(&lock);
    is_asked = true;
    granted_fd = -1;
    is_sent = IPC_SEND(&account.monitor, grant, NULL, 0, e, .service = (uint8_t)service);
    while (is_sent && is_asked && rc == 0)
        rc = pthread_cond_clockwait(&answered, &lock, CLOCK_MONOTONIC, &end);
    *out = (struct channel){granted_fd, ROLE_ACCOUNT, role};
    if (is_sent && is_asked)
        (void)fail(e, ERR_TEMPORARY, "no channel to it in time");
    else if (is_sent && granted_fd < 0)
        (void)fail(e, ERR_TEMPORARY, "no channel to it: %s", refusal);
    granted_fd = -1;
    is_asked = false;
    pthread_mutex_unlock(&lock);
    return out->fd >= 0;
}

static bool ask_admin(struct channel *admin, const struct report_mail *mail, bool is_tls, int fd,
                      struct packet *p, struct ipc_report_taken *out, struct err *e)
{
    return IPC_SEND(admin, report_received, &fd, 1, e, .is_tls = is_tls,
                    .from_domain = mail->findings->from_domain, .mail_from = mail->mail_from) &&
           channel_expect(admin, IPC_report_taken, p, ADMIN_MS, e) &&
           ipc_report_taken_get(p->body, out, e);
}

static bool hand_over(struct arena *a, const struct report_mail *mail, bool is_tls,
                      const struct buf *bytes, struct str *why, struct err *e)
{
    AUTO_FD fd = os_memfile("report", e);
    struct channel admin;
    struct packet *p;
    struct ipc_report_taken taken;
    bool is_ok;

    if (bytes->full)
        return fail(e, ERR_LIMIT, "the report is too large");
    if (fd < 0 || !os_write_all(fd, buf_str(bytes), e) || !os_memfile_seal(fd, e) ||
        !open_service(IPC_SERVICE_ADMIN, ROLE_ADMIN, &admin, e))
        return false;
    p = packet_new();
    is_ok = ask_admin(&admin, mail, is_tls, fd, p, &taken, e);
    channel_close(&admin);
    if (is_ok && taken.outcome == IPC_REPORT_TEMPORARY)
        is_ok = fail(e, ERR_TEMPORARY, "admin: %.*s", STR_FMT(taken.why));
    if (is_ok)
        *why = taken.outcome == IPC_REPORT_STORED ? STR("") : arena_dup(a, taken.why);
    packet_free(p);
    return is_ok;
}

/* --- reading -------------------------------------------------------------------------------------- */

// What a sender must have proved before a report is believed.
static bool check_sender(const struct report_mail *mail, bool is_tls, struct err *e)
{
    if (mail->m->size > REPORT_MAX_MESSAGE)
        return fail(e, ERR_LIMIT, "the message is larger than a report may be");
    if (!mail->findings->has_from)
        return fail(e, ERR_DENIED, "the message has no From address that counts");
    if (is_tls)
        // RFC 8460 3: others could otherwise report in anyone's name.
        return mail->findings->is_tlsrpt_signed ||
               fail(e, ERR_DENIED, "no DKIM signature of the From domain over the whole message");
    return mail->findings->dmarc == FINDING_PASS ||
           fail(e, ERR_DENIED, "the message does not pass DMARC");
}

static bool read_dmarc(struct arena *a, struct str message, struct buf *out, struct err *e)
{
    struct dmarc_report *report;
    bool is_broken;

    if (!dmarc_report_of_message(a, message, mime_parse(a, message, &is_broken), &report, e))
        return false;
    if (report->end > os_now_unix() + FUTURE_S)
        return fail(e, ERR_DENIED, "its period ends in the future");
    ipc_put_dmarc_report(out, report);
    return true;
}

static bool read_tls(struct arena *a, struct str message, struct buf *out, struct err *e)
{
    struct tlsrpt_report *report;
    bool is_broken;

    if (!tlsrpt_report_of_message(a, message, mime_parse(a, message, &is_broken), &report, e))
        return false;
    ipc_put_tls_report(out, report);
    return true;
}

static bool read_report(const struct report_mail *mail, bool is_tls, report_read_fn *read,
                        struct buf *out, struct err *e)
{
    struct arena a = ARENA_LIMIT(MEMORY);
    AUTO_BUF message = BUF_LIMIT(REPORT_MAX_MESSAGE + 1);
    bool is_ok = check_sender(mail, is_tls, e) && read(mail->m, &a, &message, e) &&
                 (is_tls ? read_tls(&a, buf_str(&message), out, e)
                         : read_dmarc(&a, buf_str(&message), out, e));

    arena_fini(&a);
    return is_ok;
}

bool report_take(struct arena *a, const struct report_mail *mail, bool is_tls,
                 report_read_fn *read, struct str *why, struct err *e)
{
    AUTO_BUF bytes = BUF_LIMIT(IPC_REPORT_BYTES);
    struct err none = {0};
    bool is_ok = true;

    pthread_mutex_lock(&turn);
    if (!read_report(mail, is_tls, read, &bytes, &none))
        *why = arena_dup(a, str_of(none.text));
    else
        is_ok = hand_over(a, mail, is_tls, &bytes, why, e);
    pthread_mutex_unlock(&turn);
    if (is_ok)
        LOG(LOG_INFO, "store", why->n ? "a report is not taken" : "a report was taken",
            LOG_S("account", account.name), LOG_S("kind", is_tls ? STR("tls") : STR("dmarc")),
            LOG_S("from", mail->findings->from_domain), LOG_S("why", *why));
    return is_ok;
}

/* --- reports about this account's own messages ---------------------------------------------------- */

_Static_assert(DSN_EXPANDED == 4, "the limit of ipc_returned's action");

static bool tell_queue(const struct report_returned *r, struct str path, struct err *e)
{
    struct channel queue;
    bool is_ok;

    if (!open_service(IPC_SERVICE_QUEUE, ROLE_QUEUE, &queue, e))
        return false;
    is_ok = IPC_SEND(&queue, returned, NULL, 0, e, .path = path, .action = (uint8_t)r->said.action,
                     .status = str_sub(r->said.status, 0, 16), .code = r->said.code,
                     .text = str_sub(r->said.text, 0, IPC_MAX_TEXT));
    channel_close(&queue);
    return is_ok;
}

void report_tell_returned(const struct report_returned *r, struct str path)
{
    struct err e = {0};

    if (!r->is_one)
        return;
    pthread_mutex_lock(&turn);
    if (!tell_queue(r, path, &e))
        LOG(LOG_INFO, "store", "a report about a message is not noted", LOG_E(&e), LOG_S("account", account.name));
    pthread_mutex_unlock(&turn);
}

void report_read_returned(struct arena *out_arena, const struct store_new *m, report_read_fn *read,
                          struct report_returned *out)
{
    struct arena a = ARENA_LIMIT(MEMORY);
    AUTO_BUF message = BUF_LIMIT(REPORT_MAX_MESSAGE + 1);
    struct dsn_report report;
    struct err e = {0};
    bool is_broken;

    pthread_mutex_lock(&turn);
    // One about several recipients is not about a message that had a path of its own.
    if (m->size <= REPORT_MAX_MESSAGE && read(m, &a, &message, &e) &&
        dsn_read(&a, buf_str(&message), mime_parse(&a, buf_str(&message), &is_broken), &report, &e) && report.n == 1)
        *out = (struct report_returned){.is_one = true, .said = {.action = report.items[0].action,
                                        .status = arena_dup(out_arena, report.items[0].status),
                                        .code = report.items[0].code,
                                        .text = arena_dup(out_arena, report.items[0].text)}};
    pthread_mutex_unlock(&turn);
    arena_fini(&a);
}
