/*
 * Asking a web server from a role with the loop of role/service.h: the monitor makes a fetch process, which gets
 * the request, answers and ends. For roles that may say fetch_new (ipc/messages.h).
 *
 * The role passes on fetch_made to web_fetch_made, and calls web_fetch_tick every second.
 */
#pragma once

#include "ipc/channel.h"

struct web_request {
    enum ipc_web_method method;
    struct str url;    // https
    struct str fields; // "Name: value", with LF between
    struct str body;   // of a POST
    uint32_t max_body; // of the answer, IPC_MAX_WEB_BODY at most
};

/* What m points to is gone after the call. Without a fetch process the outcome is IPC_WEB_FAILED. */
typedef void web_fetch_fn(void *ctx, const struct ipc_web_fetched *m);

/* fn hears of it once, later. False: too many are under way, or the monitor is gone, and fn hears nothing. */
MUST_USE bool web_fetch(struct channel *monitor, const struct web_request *r, web_fetch_fn *fn, void *ctx,
                        struct err *e);
MUST_USE bool web_fetch_made(struct packet *p, struct err *e);
void web_fetch_tick(void);
