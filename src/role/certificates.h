/*
 * The certificates of listeners, for the roles that shake hands with clients.
 */
#pragma once

#include "crypto/tls.h"
#include "role/start.h"

/*
 * Makes a server for each of the listeners whose protocol is in the set (bits 1 << enum ipc_protocol), of the files
 * that s was given; NULL where there is no certificate, unless challenges are answered there. The files are closed and
 * forgotten. wanted, which may be NULL, hears of names that an authority could give a certificate for.
 */
struct certificates_use {
    unsigned protocols;
    const struct key_signer *signer;
    bool has_tickets;
    struct str alpn; // protocols that are spoken, as tls_server_set_protocols has them; empty: none are asked for
    tls_unknown_name *wanted;
    tls_challenge *challenge; // NULL: none are answered
};
void certificates_load(struct role_start *s, const struct certificates_use *use,
                       struct tls_server *servers[ROLE_MAX_GIVEN]);
