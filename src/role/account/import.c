/*
 * Messages that `mox import` puts into a mailbox: batches, each stored whole or not at all. What is here
 * already, by the id that says where it came from, is not stored again: an import that was broken off is
 * simply begun anew.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "os/fd.h"
#include "os/file.h"
#include "role/account/account.h"

enum { IMPORT_MS = 10 * 60 * 1000, MAX_BATCH = 10000, MEMORY = 64 << 20 };

static const uint32_t all_flags = FLAG_SEEN | FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DELETED |
                                  FLAG_DRAFT | FLAG_FORWARDED | FLAG_JUNK | FLAG_NOTJUNK |
                                  FLAG_PHISHING | FLAG_MDNSENT;

struct import {
    struct channel ch;
    struct packet *p;
    struct arena a; // of the batch
    struct store_new *messages;
    size_t n, cap;
    uint64_t size; // of all
    char mailbox[IPC_MAX_MAILBOX + 1];
};

static bool take_message(struct import *im, struct err *e)
{
    struct ipc_import_message m;
    struct store_names keywords = {0};
    uint32_t flags = 0;
    struct str rest, one;

    if (!ipc_import_message_get(im->p->body, &m, e))
        return false;
    if (im->n == MAX_BATCH || m.size > IMAP_APPEND_LIMIT)
        return fail(e, ERR_LIMIT, "the batch is too large");
    rest = m.keywords;
    while (str_next(&rest, ' ', &one))
        if (!store_flag_parse(&im->a, one, &flags, &keywords, e))
            return false;
    *ARENA_PUSH(&im->a, im->messages, &im->n, &im->cap) =
        (struct store_new){.offset = im->size, .size = m.size, .flags = (m.flags & all_flags) | flags,
                           .keywords = store_keywords_join(&im->a, &keywords),
                           .received_unix = (int64_t)m.received_unix,
                           .delivery_id = arena_printf(&im->a, "i.%.*s", STR_FMT(m.id))};
    im->size += m.size;
    return true;
}

static bool take_mailbox(struct import *im, struct err *e)
{
    struct ipc_import_mailbox m;

    if (!ipc_import_mailbox_get(im->p->body, &m, e))
        return false;
    if (im->n)
        return fail(e, ERR_DENIED, "another mailbox in the middle of a batch");
    memset(im->mailbox, 0, sizeof im->mailbox);
    memcpy(im->mailbox, m.mailbox.p, m.mailbox.n);
    return true;
}

static bool make_mailbox(struct str name, struct err *e)
{
    struct err exists = {0};

    if (store_mailbox_create(account.store, NULL, name, (struct str){0}, &exists) ||
        exists.kind == ERR_CONFLICT)
        return true;
    *e = exists;
    return false;
}

static bool store_batch(struct import *im, uint32_t *n_added, struct err *e)
{
    AUTO_FD fd = packet_take_fd(im->p, 0);
    struct store_added *added = ARENA_ARRAY(&im->a, im->n, struct store_added);
    struct ipc_import_batch batch;
    struct str mailbox;

    if (!ipc_import_batch_get(im->p->body, &batch, e))
        return false;
    if (batch.size != im->size || !os_memfile_is_sealed(fd))
        return fail(e, ERR_DENIED, "the batch is not what was announced");
    for (size_t i = 0; i < im->n; i++)
        im->messages[i].fd = fd;
    if (!store_mailbox_name(&im->a, str_of(im->mailbox), &mailbox, e))
        return false;
    if (im->n ? !store_add(account.store, mailbox, true, im->messages, im->n, added, e)
              : !make_mailbox(mailbox, e))
        return false;
    *n_added = 0;
    for (size_t i = 0; i < im->n; i++)
        *n_added += added[i].uid != 0;
    return true;
}

static void forget_batch(struct import *im)
{
    arena_reset(&im->a);
    im->messages = NULL;
    im->n = im->cap = 0;
    im->size = 0;
}

static bool serve(struct import *im, struct err *e)
{
    uint32_t n_added = 0;
    struct err why = {0};

    switch (channel_receive(&im->ch, im->p, IMPORT_MS, e)) {
    case CHANNEL_CLOSED:
        return false; // the command has ended
    case CHANNEL_TIMEOUT:
        return fail(e, ERR_TEMPORARY, "nothing comes");
    case CHANNEL_BAD:
        return false;
    case CHANNEL_MESSAGE:
        break;
    }
    if (im->p->type == IPC_import_message)
        return take_message(im, e);
    if (im->p->type == IPC_import_mailbox)
        return take_mailbox(im, e);
    if (im->p->type != IPC_import_batch)
        return fail(e, ERR_BUG, "unexpected message");
    if (!store_batch(im, &n_added, &why)) {
        LOG(LOG_ERROR, "store", "import", LOG_E(&why), LOG_S("account", account.name));
        (void)!IPC_SEND(&im->ch, imported, NULL, 0, e, .text = str_of(why.text));
        return false;
    }
    LOG(LOG_INFO, "store", "imported", LOG_S("account", account.name),
        LOG_S("mailbox", str_of(im->mailbox)), LOG_N("messages", n_added));
    forget_batch(im);
    return IPC_SEND(&im->ch, imported, NULL, 0, e, .is_ok = true, .added = n_added);
}

static void run(void *ctx)
{
    struct import *im = ctx;
    struct err e = {0};

    while (serve(im, &e) && !atomic_load(&account.is_stopping))
        packet_close_fds(im->p);
    if (e.kind)
        LOG(LOG_ERROR, "store", "import given up", LOG_E(&e), LOG_S("account", account.name));
    channel_close(&im->ch);
    packet_close_fds(im->p);
    packet_free(im->p);
    arena_fini(&im->a);
    free(im);
}

void import_start(const struct ipc_peer *who, int fd)
{
    struct import *im = heap_alloc(sizeof *im);

    *im = (struct import){.ch = {fd, ROLE_ACCOUNT, ROLE_ADMIN}, .p = packet_new(),
                          .a = ARENA_LIMIT(MEMORY)};
    memcpy(im->mailbox, who->mailbox.p, who->mailbox.n);
    if (!account_thread(run, im)) {
        LOG(LOG_ERROR, "store", "too many at once for an import", LOG_S("account", account.name));
        channel_close(&im->ch);
        packet_free(im->p);
        free(im);
    }
}
