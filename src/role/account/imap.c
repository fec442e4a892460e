/*
 * The command loop of a logged-in IMAP connection (RFC 9051 6.3, 6.4).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "ipc/metrics.h"
#include "os/clock.h"
#include "os/fd.h"
#include "proto/imap/capability.h"
#include "role/account/imap_conn.h"
#include "role/account/rules.h"
#include "text/encode.h"

/* --- replies --------------------------------------------------------------------------------------- */

static void put_line(struct imap_conn *c, struct str text)
{
    for (size_t i = 0; i < text.n; i++) // nothing from elsewhere ends the line
        buf_put_char(&c->out, (unsigned char)text.p[i] < 32 ? '?' : text.p[i]);
    BUF_PUT(&c->out, "\r\n");
}

static void put_tagged(struct imap_conn *c, const char *what)
{
    buf_put(&c->out, c->tag);
    buf_printf(&c->out, " %s ", what);
}

void imap_ok(struct imap_conn *c, struct str code_and_text)
{
    put_tagged(c, "OK");
    put_line(c, code_and_text);
}

static void done(struct imap_conn *c)
{
    put_tagged(c, "OK");
    buf_put(&c->out, c->command);
    BUF_PUT(&c->out, " done\r\n");
}

void imap_id_put(struct buf *out, char type, uint64_t number)
{
    buf_put_char(out, type);
    crockford_put(out, number);
}

void imap_no(struct imap_conn *c, const char *code, struct str text)
{
    c->result = c->result == METRIC_IMAP_SERVER_ERROR ? c->result : METRIC_IMAP_USER_ERROR;
    put_tagged(c, "NO");
    if (code)
        buf_printf(&c->out, "[%s] ", code);
    buf_put(&c->out, c->command);
    BUF_PUT(&c->out, " ");
    put_line(c, text);
}

void imap_bad(struct imap_conn *c, struct str text)
{
    c->result = METRIC_IMAP_BAD_SYNTAX;
    put_tagged(c, "BAD");
    buf_put(&c->out, c->command);
    BUF_PUT(&c->out, " unrecognized syntax/command: ");
    put_line(c, text);
}

void imap_store_failed(struct imap_conn *c, const struct err *e, const char *missing)
{
    switch (e->kind) {
    case ERR_NOT_FOUND:
        imap_no(c, missing, str_of(e->text));
        break;
    case ERR_LIMIT:
        imap_no(c, "OVERQUOTA", str_of(e->text));
        break;
    case ERR_SYNTAX:
    case ERR_DENIED:
        imap_no(c, "CANNOT", str_of(e->text));
        break;
    case ERR_CONFLICT:
        imap_no(c, "ALREADYEXISTS", str_of(e->text));
        break;
    case ERR_NONE:
    case ERR_TEMPORARY:
    case ERR_BUG:
        LOG(LOG_ERROR, "imapserver", "command failed", LOG_E(e), LOG_S("account", account.name),
            LOG_S("command", c->command));
        imap_no(c, "UNAVAILABLE", STR("the server cannot do that now, try again later"));
        break;
    }
}

/* --- reading and writing --------------------------------------------------------------------------- */

bool imap_flush(struct imap_conn *c, bool is_forced)
{
    struct err e = {0};

    if (!is_forced && c->out.n < IMAP_OUT_BYTES)
        return true;
    if (!c->out.full && stream_write(&c->stream, buf_str(&c->out), IMAP_WRITE_MS, &e)) {
        buf_reset(&c->out);
        return true;
    }
    LOG(LOG_DEBUG, "imapserver", "writing to the client", LOG_E(&e));
    c->is_ending = true;
    buf_reset(&c->out);
    return false;
}

bool imap_read_more(struct imap_conn *c, int timeout_ms)
{
    enum { READ_BYTES = 16 * 1024 };
    char *room = buf_room(&c->in, READ_BYTES);
    struct err e = {0};
    size_t got = 0;

    if (!room || !stream_read(&c->stream, room, READ_BYTES, timeout_ms, &got, &e) || !got) {
        c->is_ending = true;
        return false;
    }
    buf_claim(&c->in, got);
    return true;
}

enum imap_wait imap_wait(struct imap_conn *c, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = c->stream.fd, .events = POLLIN},
                            {.fd = c->wake_fd, .events = POLLIN}};
    uint64_t count;
    int n;

    if (stream_has_input(&c->stream)) // and poll would not tell
        return IMAP_WAIT_INPUT;
    do
        n = poll(fds, 2, timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return IMAP_WAIT_GONE;
    if (n == 0)
        return IMAP_WAIT_TIMEOUT;
    if (fds[1].revents && read(c->wake_fd, &count, sizeof count) < 0)
        LOG(LOG_DEBUG, "imapserver", "nothing to wake for");
    if (atomic_load(&account.is_stopping))
        return IMAP_WAIT_STOP;
    if (fds[0].revents && c->stream.compression && !stream_has_input(&c->stream))
        return IMAP_WAIT_CHANGE; // bytes that hold nothing yet
    return fds[0].revents ? IMAP_WAIT_INPUT : IMAP_WAIT_CHANGE;
}

// Input for the next command, while commits of others pass by. False when the connection ends.
static bool wait_command(struct imap_conn *c)
{
    int64_t deadline = os_monotonic_ms() + IMAP_READ_MS;

    if (!imap_flush(c, true))
        return false;
    // What a long command took is not kept while nothing happens.
    if (c->out.cap > 2 * IMAP_OUT_BYTES)
        buf_fini(&c->out);
    for (;;) {
        int64_t left = deadline - os_monotonic_ms();

        switch (imap_wait(c, left > 0 ? (int)left : 0)) {
        case IMAP_WAIT_INPUT:
            return imap_read_more(c, IMAP_LITERAL_MS);
        case IMAP_WAIT_CHANGE:
            continue;
        case IMAP_WAIT_STOP:
            BUF_PUT(&c->out, "* BYE shutting down\r\n");
            return false;
        case IMAP_WAIT_TIMEOUT:
            BUF_PUT(&c->out, "* BYE inactive\r\n");
            return false;
        case IMAP_WAIT_GONE:
            return false;
        }
    }
}

/* --- simple commands ------------------------------------------------------------------------------- */

// IMAPCapabilitiesDisabled of the account: for clients that do wrong with what is announced.
static void put_capabilities(struct imap_conn *c)
{
    struct rules *rules = rules_get();

    imap_capabilities_put(&c->out, rules_account(rules)->imap_disabled);
    rules_put(rules);
}

static void cmd_capability(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    BUF_PUT(&c->out, "* CAPABILITY ");
    put_capabilities(c);
    BUF_PUT(&c->out, "\r\n");
    done(c);
}

static void cmd_noop(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    imap_sync(c, SYNC_ALL);
    done(c);
}

static void cmd_logout(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    BUF_PUT(&c->out, "* BYE thanks\r\n");
    done(c);
    c->is_ending = true;
}

/* RFC 2971. */
static void cmd_id(struct imap_conn *c, struct imap_parser *p)
{
    struct imap_words pairs;

    if (!imap_space(p) || !imap_id_arguments(p, &pairs)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    for (size_t i = 0; i < pairs.n; i += 2)
        LOG(LOG_INFO, "imapserver", "client id", LOG_S("name", pairs.items[i]),
            LOG_S("value", pairs.items[i + 1]), LOG_S("account", account.name));
    BUF_PUT(&c->out, "* ID (\"name\" \"mox\" \"version\" \"" MOX_VERSION "\")\r\n");
    done(c);
}

/* RFC 5161, RFC 9051 6.3.1, RFC 6855 3, RFC 7162 3.2.3: what is not known is passed over. */
static void cmd_enable(struct imap_conn *c, struct imap_parser *p)
{
    AUTO_BUF enabled = BUF_LIMIT(1024);
    struct imap_words words;
    struct rules *rules;
    bool has_modseq = false;

    if (!imap_space(p) || !imap_enable_arguments(p, &words)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    rules = rules_get();
    for (size_t i = 0; i < words.n; i++) {
        struct str word = words.items[i];

        if (imap_has_name(rules_account(rules)->imap_disabled, word))
            continue;
        if (str_eq(word, STR("IMAP4REV2")) && !c->has_rev2) {
            c->has_rev2 = c->has_utf8 = true;
            BUF_PUT(&enabled, " IMAP4rev2");
        } else if (str_eq(word, STR("UTF8=ACCEPT")) && !c->has_utf8_accept) {
            c->has_utf8_accept = c->has_utf8 = true;
            BUF_PUT(&enabled, " UTF8=ACCEPT");
        } else if (str_eq(word, STR("QRESYNC")) && !c->has_qresync) {
            c->has_qresync = has_modseq = true;
            BUF_PUT(&enabled, " QRESYNC");
        } else if (str_eq(word, STR("CONDSTORE"))) {
            has_modseq = true;
        }
    }
    rules_put(rules);
    if (has_modseq && !c->has_condstore)
        BUF_PUT(&enabled, " CONDSTORE");
    BUF_PUT(&c->out, "* ENABLED");
    buf_put(&c->out, buf_str(&enabled));
    BUF_PUT(&c->out, "\r\n");
    if (has_modseq)
        imap_enable_condstore(c);
    done(c);
}

/* RFC 4978. */
static void cmd_compress(struct imap_conn *c, struct imap_parser *p)
{
    struct str mechanism;

    if (!imap_space(p) || !imap_word(p, &mechanism) || !imap_end(p)) {
        imap_bad(c, str_of(c->e.text));
    } else if (!str_eq(mechanism, STR("DEFLATE"))) {
        imap_no(c, NULL, STR("unknown mechanism"));
    } else if (c->stream.compression) {
        imap_no(c, "COMPRESSIONACTIVE", STR("DEFLATE is active"));
    } else {
        // The reply is the last that is plain. What the client sent behind the command is not: read as
        // commands, bytes that somebody put into a plain connection would be the client's.
        imap_ok(c, STR("COMPRESS done"));
        if (!imap_flush(c, true))
            return;
        stream_compress(&c->stream, buf_str(&c->in));
        buf_reset(&c->in);
    }
}

static void cmd_already(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    imap_no(c, NULL, STR("already logged in"));
}

/* RFC 9208: quotas are the operator's. */
static void cmd_setquota(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    imap_no(c, "NOPERM", STR("quotas are set in the configuration"));
}

static void cmd_starttls(struct imap_conn *c, struct imap_parser *p)
{
    (void)p;
    imap_bad(c, STR("not after login"));
}

/* --- the table ------------------------------------------------------------------------------------- */

typedef void numbered_fn(struct imap_conn *c, struct imap_parser *p, bool is_uid);

enum { ANY = 1, SELECTED = 2 };
struct verb {
    struct str name;
    int state;
    imap_command_fn *run;
    numbered_fn *run_numbered; // also as "UID ..."
    enum { SYNC_NOT, SYNC_UID, SYNC_AFTER } sync; // changes of others before the tagged reply
    bool has_arguments;
};
static const struct verb verbs[] = {
    {STR_("CAPABILITY"), ANY, cmd_capability, NULL, SYNC_NOT, false},
    {STR_("NOOP"), ANY, cmd_noop, NULL, SYNC_NOT, false},
    {STR_("LOGOUT"), ANY, cmd_logout, NULL, SYNC_NOT, false},
    {STR_("ID"), ANY, cmd_id, NULL, SYNC_NOT, true},
    {STR_("ENABLE"), ANY, cmd_enable, NULL, SYNC_NOT, true},
    {STR_("COMPRESS"), ANY, cmd_compress, NULL, SYNC_NOT, true},
    {STR_("LOGIN"), ANY, cmd_already, NULL, SYNC_NOT, true},
    {STR_("AUTHENTICATE"), ANY, cmd_already, NULL, SYNC_NOT, true},
    {STR_("STARTTLS"), ANY, cmd_starttls, NULL, SYNC_NOT, true},
    {STR_("SELECT"), ANY, cmd_select, NULL, SYNC_NOT, true},
    {STR_("EXAMINE"), ANY, cmd_examine, NULL, SYNC_NOT, true},
    {STR_("CREATE"), ANY, cmd_create, NULL, SYNC_AFTER, true},
    {STR_("DELETE"), ANY, cmd_delete, NULL, SYNC_AFTER, true},
    {STR_("RENAME"), ANY, cmd_rename, NULL, SYNC_AFTER, true},
    {STR_("SUBSCRIBE"), ANY, cmd_subscribe, NULL, SYNC_AFTER, true},
    {STR_("UNSUBSCRIBE"), ANY, cmd_unsubscribe, NULL, SYNC_AFTER, true},
    {STR_("LIST"), ANY, cmd_list, NULL, SYNC_AFTER, true},
    {STR_("LSUB"), ANY, cmd_lsub, NULL, SYNC_AFTER, true},
    {STR_("NAMESPACE"), ANY, cmd_namespace, NULL, SYNC_AFTER, false},
    {STR_("STATUS"), ANY, cmd_status, NULL, SYNC_AFTER, true},
    {STR_("GETQUOTA"), ANY, cmd_getquota, NULL, SYNC_AFTER, true},
    {STR_("GETQUOTAROOT"), ANY, cmd_getquotaroot, NULL, SYNC_AFTER, true},
    {STR_("SETQUOTA"), ANY, cmd_setquota, NULL, SYNC_AFTER, true},
    {STR_("IDLE"), ANY, cmd_idle, NULL, SYNC_NOT, false},
    {STR_("CHECK"), SELECTED, cmd_noop, NULL, SYNC_NOT, false},
    {STR_("CLOSE"), SELECTED, cmd_close, NULL, SYNC_NOT, false},
    {STR_("UNSELECT"), SELECTED, cmd_unselect, NULL, SYNC_NOT, false},
    {STR_("EXPUNGE"), SELECTED, NULL, cmd_expunge, SYNC_NOT, true},
    {STR_("SEARCH"), SELECTED, NULL, cmd_search, SYNC_UID, true},
    {STR_("FETCH"), SELECTED, NULL, cmd_fetch, SYNC_UID, true},
    {STR_("STORE"), SELECTED, NULL, cmd_store, SYNC_UID, true},
    {STR_("COPY"), SELECTED, NULL, cmd_copy, SYNC_NOT, true},
    {STR_("MOVE"), SELECTED, NULL, cmd_move, SYNC_NOT, true},
};

static const struct verb *find_verb(struct str name)
{
    for (size_t i = 0; i < COUNT(verbs); i++)
        if (str_eq(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

// What others changed belongs before the tagged reply, which is already written: put it there.
static void sync_before_reply(struct imap_conn *c, const struct verb *v, bool is_uid)
{
    AUTO_BUF reply = BUF_LIMIT(1 << 20);
    bool syncs = v->sync == SYNC_AFTER || (v->sync == SYNC_UID && is_uid);
    bool is_behind = v->sync == SYNC_UID && c->has_qresync && c->view && c->view->is_behind;
    ptrdiff_t at;

    syncs &= !c->used_numbers;
    if ((!syncs && !is_behind) || c->is_ending || c->out.n < 2)
        return;
    // The tagged reply is the last line, and has no literal. Long output was written before it.
    at = str_find_last(str_sub(buf_str(&c->out), 0, c->out.n - 1), '\n');
    buf_put(&reply, str_from(buf_str(&c->out), (size_t)(at + 1)));
    c->out.n -= reply.n;
    if (syncs)
        imap_sync(c, SYNC_ALL);
    else // RFC 7162 3.2, 6: or the client takes the highest MODSEQ that it saw for all it knows
        buf_printf(&c->out, "* OK [HIGHESTMODSEQ %llu] more is to be told\r\n",
                   (unsigned long long)c->view->highest);
    buf_put(&c->out, buf_str(&reply));
}

// The rows of the selected mailbox, and flags as they are now; numbers stay.
static bool prepare(struct imap_conn *c, const struct verb *v)
{
    struct err e = {0};

    if (v->state != SELECTED || !v->run_numbered)
        return true;
    if (!view_load(c->view, c->reader, &e)) {
        imap_store_failed(c, &e, NULL);
        return false;
    }
    imap_sync(c, SYNC_NO_EXPUNGE);
    return !c->is_ending;
}

static void run_verb(struct imap_conn *c, struct imap_parser *p, const struct verb *v, bool is_uid)
{
    c->is_listing = v->run == cmd_list || v->run == cmd_lsub;
    if (v->state == SELECTED && !c->view)
        imap_no(c, NULL, STR("no mailbox is selected"));
    else if (!v->has_arguments && cur_left(&p->c))
        imap_bad(c, STR("the command takes no arguments"));
    else if (is_uid && !v->run_numbered)
        imap_bad(c, STR("no such command with UID"));
    else if (!prepare(c, v))
        return;
    else if (v->run_numbered)
        v->run_numbered(c, p, is_uid);
    else
        v->run(c, p);
    sync_before_reply(c, v, is_uid);
}

static void take_command(struct imap_conn *c, bool is_append)
{
    struct imap_parser p = {cur_of(buf_str(&c->input.bytes)), &c->a, c->has_utf8, &c->e};
    const struct verb *v;
    bool is_uid;

    c->e = (struct err){0};
    c->used_numbers = c->is_listing = false;
    c->tag = STR("*");
    c->command = STR("");
    if (!imap_tag(&p, &c->tag) || !imap_space(&p) || !imap_word(&p, &c->command)) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    // An APPEND's message is not in it, and nobody logs in here.
    LOG(LOG_TRACE, "imapserver", "C:",
        LOG_S("line", str_sub(buf_str(&c->input.bytes), 0, IMAP_MAX_TRACED)),
        LOG_S("account", account.name));
    if (is_append) {
        cmd_append(c);
        return;
    }
    is_uid = str_eq(c->command, STR("UID"));
    if (is_uid && (!imap_space(&p) || !imap_word(&p, &c->command))) {
        imap_bad(c, str_of(c->e.text));
        return;
    }
    v = find_verb(c->command);
    if (!v) {
        imap_bad(c, str_eq(c->command, STR("APPEND")) || str_eq(c->command, STR("REPLACE"))
                        ? STR("a literal is missing") : STR("unknown command"));
        return;
    }
    run_verb(c, &p, v, is_uid);
}

static void run_command(struct imap_conn *c, bool is_append)
{
    int64_t began = os_monotonic_ms();

    c->result = METRIC_IMAP_OK;
    take_command(c, is_append);
    METRIC_TIME(imap_command_duration_seconds, os_monotonic_ms() - began,
                metric_word(METRIC_imap_command_duration_seconds, 0, c->command), c->result);
}

/*
 * RFC 7888 4: a literal past the limits. A client that waits for leave takes the reply for it; one that
 * does not sends bytes which are no commands. False when the connection ends.
 */
static bool too_big(struct imap_conn *c)
{
    struct imap_parser p = {cur_of(buf_str(&c->input.bytes)), &c->a, c->has_utf8, &c->e};
    struct str tag = STR("*");

    (void)!imap_tag(&p, &tag);
    if (!c->input.data_is_sync)
        BUF_PUT(&c->out, "* BYE [ALERT] a literal, or all together, is too large\r\n");
    buf_put(&c->out, tag);
    BUF_PUT(&c->out, " BAD [TOOBIG] a literal, or all together, is too large\r\n");
    return c->input.data_is_sync;
}

// Takes and runs one command. False when the connection ends.
static bool serve_one(struct imap_conn *c)
{
    imap_input_reset(&c->input);
    arena_reset(&c->a);
    for (;;) {
        struct str bytes = buf_str(&c->in);
        size_t had = bytes.n;
        enum imap_input_result r = imap_input_feed(&c->input, &bytes);

        buf_drop(&c->in, had - bytes.n);
        switch (r) {
        case IMAP_INPUT_COMMAND:
        case IMAP_INPUT_DATA:
            run_command(c, r == IMAP_INPUT_DATA);
            return !c->is_ending;
        case IMAP_INPUT_CONTINUE:
            BUF_PUT(&c->out, "+ \r\n");
            break;
        case IMAP_INPUT_MORE:
            break;
        case IMAP_INPUT_TOO_BIG:
            return too_big(c);
        case IMAP_INPUT_TOO_LONG:
            BUF_PUT(&c->out, "* BYE line too long\r\n");
            return false;
        case IMAP_INPUT_BAD_LINE:
            BUF_PUT(&c->out, "* BYE a line must end in CR LF\r\n");
            return false;
        }
        if (!c->in.n && !wait_command(c))
            return false;
    }
}

/* --- beginning and end ----------------------------------------------------------------------------- */

void imap_unselect(struct imap_conn *c)
{
    view_give(c->view);
    c->view = NULL;
    free(c->saved);
    c->saved = NULL;
    c->n_saved = 0;
    if (c->session)
        store_session_seen(account.store, c->session, store_modseq(account.store));
}

static void detach(struct imap_conn *c)
{
    struct err e = {0};

    pthread_mutex_lock(&account.lock);
    for (struct imap_conn **at = &account.conns; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    pthread_mutex_unlock(&account.lock);
    stream_close(&c->stream);
    if (!IPC_SEND(&account.monitor, detached, NULL, 0, &e, .conn = c->conn,
                  .is_parked = c->is_handed))
        LOG(LOG_DEBUG, "imapserver", "telling the monitor", LOG_E(&e));
}

static void free_conn(struct imap_conn *c)
{
    imap_unselect(c);
    if (c->wake_fd >= 0) {
        store_unwatch(account.store, c->wake_fd);
        fd_close(&c->wake_fd);
    }
    if (c->session)
        store_session_end(account.store, c->session);
    if (c->reader)
        store_reader_close(c->reader);
    stream_close(&c->stream);
    imap_input_fini(&c->input);
    buf_fini(&c->in);
    buf_fini(&c->out);
    arena_fini(&c->a);
    arena_fini(&c->arena);
    free(c);
}

static void run(void *ctx)
{
    struct imap_conn *c = ctx;
    struct err e = {0};

    log_set_cid(c->conn);
    c->reader = store_reader_open(&e);
    c->session = store_session_begin(account.store);
    store_watch(account.store, c->wake_fd);
    c->told_modseq = store_modseq(account.store);
    if (!c->reader) {
        LOG(LOG_ERROR, "imapserver", "cannot open the account", LOG_E(&e));
        BUF_PUT(&c->out, "* BYE cannot open the account now\r\n");
    } else if (c->command.n) { // the state of a parked connection
        idle_resume(c, c->command);
    } else if (c->tag.n) {
        put_tagged(c, "OK");
        BUF_PUT(&c->out, "[CAPABILITY ");
        put_capabilities(c);
        BUF_PUT(&c->out, "] login done\r\n");
    } else { // the client's key has logged it in before it said anything
        BUF_PUT(&c->out, "* PREAUTH [CAPABILITY ");
        put_capabilities(c);
        BUF_PUT(&c->out, "] mox imap welcomes ");
        buf_put(&c->out, c->login);
        BUF_PUT(&c->out, "\r\n");
    }
    while (c->reader && !c->is_ending && serve_one(c))
        ;
    if (!c->is_handed)
        (void)imap_flush(c, true);
    detach(c);
    free_conn(c);
}

void imap_attach(const struct ipc_attach *a, int stream)
{
    struct imap_conn *c = heap_alloc(sizeof *c);
    struct err e = {0};

    c->conn = a->conn;
    c->arena = (struct arena)ARENA_LIMIT(1 << 20);
    c->a = (struct arena)ARENA_LIMIT(IMAP_COMMAND_MEMORY);
    c->login = arena_dup(&c->arena, a->login);
    c->remote = arena_dup(&c->arena, a->remote);
    c->tag = arena_dup(&c->arena, a->tag);
    c->command = arena_dup(&c->arena, a->parked);
    c->in = (struct buf)BUF_LIMIT(1 << 20);
    c->out = (struct buf)BUF_LIMIT(256 << 20);
    buf_put(&c->in, a->unread);
    imap_input_init(&c->input, &imap_limits_authenticated);
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake_fd < 0 || !stream_open(&c->stream, stream, &e)) {
        c->is_ending = true;
        fd_close(&stream);
    }
    pthread_mutex_lock(&account.lock);
    c->next = account.conns;
    account.conns = c;
    pthread_mutex_unlock(&account.lock);
    if (c->is_ending || !account_thread(run, c)) {
        LOG(LOG_ERROR, "imapserver", "no room for a connection", LOG_E(&e),
            LOG_S("account", account.name));
        // RFC 5530 3. The stream is empty, so this waits for nobody.
        if (!c->is_ending &&
            !stream_write(&c->stream, STR("* BYE [UNAVAILABLE] too many connections to this account\r\n"), 0, &e))
            LOG(LOG_DEBUG, "imapserver", "cannot say so", LOG_E(&e));
        detach(c);
        free_conn(c);
    }
}
