#include "role/own_mail.h"

#include "base/log.h"
#include "ipc/dkim.h"
#include "ipc/metrics.h"
#include "role/service.h"

void own_mail_sign(struct str domain, struct str header, struct str body, struct buf *out)
{
    static struct dkim_client client;
    struct service_peer *dkim = service_peer_of(ROLE_DKIM);
    struct dkim_client_message m = {.domain = domain, .header = header, .body = body, .fd = -1};
    size_t start = out->n;
    struct err e = {0};

    if (!client.packet)
        client.packet = packet_new();
    client.ch = dkim ? &dkim->ch : NULL;
    if (!dkim)
        (void)fail(&e, ERR_TEMPORARY, "dkim is starting again");
    else if (dkim_client_sign(&client, &m, out, &e)) {
        m.domain = STR("");
        if (out->n > start || dkim_client_sign(&client, &m, out, &e))
            return;
    }
    METRIC(smtpserver_errors_total, METRIC_ERROR_DKIM_SIGN);
    LOG(LOG_ERROR, "dkim", "a message of this server is not signed", LOG_E(&e));
}
