/*
 * What the files of config/ share.
 */
#pragma once

#include "base/map.h"
#include "config/config.h"

/* Where a check is: its arena, both files, and where problems go. */
struct check {
    struct arena *a;
    struct config *config;
    const struct sconf *file; // the one being checked
    struct problems *problems;
};

void check_static(struct check *c);
void check_dynamic(struct check *c);
void check_web(struct check *c);

/* Checks shared by both files; each notes its problem at the node. node may be NULL: fine. */
void check_domain(struct check *c, const struct sconf_node *node, struct str name);
void check_mailbox(struct check *c, const struct sconf_node *node, bool may_be_inbox);
void check_account(struct check *c, const struct sconf_node *node);
void check_localpart(struct check *c, const struct sconf_node *node);
void check_regex(struct check *c, const struct sconf_node *node);
void check_not_negative(struct check *c, const struct sconf_node *node);
void check_one_of(struct check *c, const struct sconf_node *node, const char *const *names);

/* The separators of a domain: at most MAX_SEPARATORS. */
enum { MAX_SEPARATORS = 8 };
size_t domain_separators(const struct sconf_node *domain, struct str out[MAX_SEPARATORS]);
/* The localpart that an address has in the directory. */
struct str localpart_canonical(struct arena *a, const struct sconf_node *domain,
                               struct str localpart);
/* The domain's entry in domains.conf, by A-labels. */
const struct sconf_node *domain_node(const struct config *c, struct arena *a, struct str domain);
