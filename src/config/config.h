/*
 * The configuration: mox.conf and domains.conf read and checked together, and questions to it.
 */
#pragma once

#include "config/schema.h"
#include "policy/dkim.h"
#include "web/autoconfig.h"

struct config {
    struct sconf main, domains;
    struct str hostname; // A-labels
};

/*
 * Parses and checks both texts, which must outlive the result. False when something is wrong:
 * problems then has lines "file:line: message", all there are.
 */
MUST_USE bool config_load(struct arena *a, struct str main_name, struct str main_text,
                          struct str domains_name, struct str domains_text, struct config *out,
                          struct buf *problems);

/*
 * Lines as those of problems, of settings that are right and do nothing here: who comes from upstream, where they do,
 * would wait for it.
 */
void config_put_idle(const struct config *c, struct buf *out);

/* The quota of an account in bytes, 0 for none. */
uint64_t config_quota(const struct config *c, const struct sconf_node *account);

/* --- addresses ---------------------------------------------------------------------------------- */

struct target {
    struct str account, mailbox;
    struct str address;    // canonical
    struct str smtp_error; // configured refusal, or empty
};
enum lookup_result {
    LOOKUP_LOCAL,      // targets are filled
    LOOKUP_REMOTE,     // not one of our domains
    LOOKUP_NO_ADDRESS, // our domain, no such address
    LOOKUP_DISABLED,   // our domain, disabled
};
struct targets {
    struct target *items;
    size_t n, cap;
};
/* Who answers for addresses; made from a checked configuration, which must outlive it. */
struct directory;
/*
 * What a directory needs of a checked configuration, in the form of the two files, and a configuration
 * of that: good for a directory and for the names of accounts, and not checked again.
 */
void config_put_directory(const struct config *c, struct buf *main, struct buf *domains);
MUST_USE bool config_read_directory(struct arena *a, struct str main, struct str domains,
                                    struct config *out, struct err *e);
struct directory *directory_new(const struct config *c);
void directory_free(struct directory *d);
/*
 * The address of an entry of an account's Destinations as a target has it; "@domain" for a catchall.
 * And that of a section DMARC or TLSRPT of a domain, or of HostTLSRPT of mox.conf (domain NULL).
 */
struct str directory_destination(const struct directory *d, struct arena *a,
                                 const struct sconf_node *account, const struct sconf_node *node);
struct str directory_report(const struct directory *d, struct arena *a,
                            const struct sconf_node *domain, const struct sconf_node *report);
/* mox-imap-store-cli-config.md, "Address lookup order". Texts live in a or in the configuration. */
enum lookup_result directory_find(const struct directory *d, struct arena *a, struct str localpart,
                                  struct str domain, struct targets *out);
/*
 * The account of an address that logs in or sends; postmaster and aliases are none. Empty when
 * there is none. disabled: the text of LoginDisabled.
 */
struct str directory_login(const struct directory *d, struct arena *a, struct str localpart,
                           struct str domain, struct str *disabled);
/* Whether a message from this address may go to one of ours: a list takes it from some only. */
bool directory_may_post(const struct directory *d, struct arena *a, struct str localpart,
                        struct str domain, struct str from_localpart, struct str from_domain);
/* Whether an address is a list's. */
bool directory_is_list(const struct directory *d, struct arena *a, struct str localpart,
                       struct str domain);
/* Whether an address is for reports about TLS, of a domain or of this host. */
bool directory_is_tlsrpt(const struct directory *d, struct arena *a, struct str localpart,
                         struct str domain);
/*
 * The members of a list that are at other servers, as they are written in the configuration; none for
 * any other address.
 */
struct addresses {
    struct str *items;
    size_t n, cap;
};
void directory_elsewhere(const struct directory *d, struct arena *a, struct str localpart,
                         struct str domain, struct addresses *out);
/* Whether the domain is one of ours, with addresses. */
bool directory_is_ours(const struct directory *d, struct arena *a, struct str domain);
/* Whether a domain of ours is disabled for now. */
bool directory_is_disabled(const struct directory *d, struct arena *a, struct str domain);
/* The one spelling of an address, of our domains or not: other spellings of it give the same. */
struct str directory_canonical(const struct directory *d, struct arena *a, struct str localpart,
                               struct str domain);
/* Whether the account may send as this address: its own, or an alias it may use. */
bool directory_may_send(const struct directory *d, struct arena *a, struct str account,
                        struct str localpart, struct str domain);

/* --- mail programs ------------------------------------------------------------------------------ */

/*
 * What they connect to for addresses of an entry of Domains: of the listener named public, then of the others, what each has
 * first. Host names are A-labels.
 */
void config_mail_settings(const struct config *c, struct arena *a, const struct sconf_node *domain,
                          struct mail_settings *out);

/* --- signing ------------------------------------------------------------------------------------ */

struct config_selector {
    struct dkim_selector selector; // without its signer
    struct str key_file;           // relative to the configuration's directory
};
struct config_selectors {
    struct config_selector *items;
    size_t n, cap;
};
/* The selectors that mail from the domain is signed with; ERR_NOT_FOUND when it is none of ours. */
MUST_USE bool config_dkim(const struct config *c, struct arena *a, struct str domain,
                          struct config_selectors *out, struct err *e);
/* The same of an entry of Domains. */
MUST_USE bool config_dkim_of(const struct sconf_node *domain, struct arena *a,
                             struct config_selectors *out, struct err *e);

/* --- certificates -------------------------------------------------------------------------------- */

/* A name that certificates may be requested for at one authority; proactively, or when somebody wants one. */
struct config_host {
    struct str provider, host; // A-labels
    bool is_proactive;
};
struct config_hosts {
    struct config_host *items;
    size_t n, cap;
};
void config_acme_hosts(const struct config *c, struct arena *a, struct config_hosts *out);
/*
 * The files of HostPrivateKeyFiles for a name of a host of ours, in the order in which they are tried; none for
 * other names.
 */
void config_host_keys(const struct config *c, struct arena *a, struct str host, struct addresses *out);

/* --- quickstart --------------------------------------------------------------------------------- */

/* What a new installation is made of. Domains as people write them. */
struct config_new {
    struct str user, hostname, domain, account, contact;
    const struct str *ips, *nat_ips, *internal_ips, *host_keys; // addresses; names of files
    size_t n_ips, n_nat_ips, n_internal_ips, n_host_keys;
    bool has_webserver; // another one, which gets certificates and has ports 80 and 443
    bool is_everywhere; // the addresses are all of this machine's: port 80 is not there for the internal listener
};
/* Its mox.conf, with comments. */
void config_put_new(struct buf *out, const struct config_new *new);

/* --- localserve --------------------------------------------------------------------------------- */

/* The two files that localserve writes at first run, for these addresses to listen on. */
void config_localserve(struct buf *main, struct buf *domains, const struct str *ips, size_t n_ips);
