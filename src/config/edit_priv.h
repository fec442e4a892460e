/*
 * What the files of the editor of domains.conf share: changing its text, finding what a command names, and the
 * commands themselves, of which edit.c has the table. After a change, nodes that were found before are gone.
 */
#pragma once

#include "config/config_priv.h"
#include "config/edit.h"

MUST_USE bool editor_add(struct config_editor *ed, const struct sconf_node *parent, struct str block, struct err *e);
MUST_USE bool editor_remove(struct config_editor *ed, const struct sconf_node *node, struct err *e);
/* The last entry of a block goes with the block, when that may be left out. */
MUST_USE bool editor_remove_from(struct config_editor *ed, const struct sconf_node *parent,
                                 const struct sconf_node *node, bool is_optional, struct err *e);
/* A child of that key gets a value, or is made. */
MUST_USE bool editor_put(struct config_editor *ed, const struct sconf_node *parent, const char *key,
                         struct str value, struct err *e);

const struct sconf_node *editor_child(const struct sconf_node *parent, struct str key);
MUST_USE bool editor_find_account(struct config_editor *ed, struct str name, const struct sconf_node **out,
                                  struct err *e);
MUST_USE bool editor_find_domain(struct config_editor *ed, struct str name, const struct sconf_node **out,
                                 struct err *e);
MUST_USE bool editor_find_alias(struct config_editor *ed, struct str address, const struct sconf_node **domain,
                                const struct sconf_node **out, struct err *e);
/* An address of ours, or "@domain": localpart is empty then. */
MUST_USE bool editor_parse_own(struct config_editor *ed, struct str text, struct str *localpart,
                               const struct sconf_node **domain, struct err *e);

/* An address that others are compared with. */
struct own_address {
    struct str localpart, ascii; // canonical, empty for "@domain"; the domain in A-labels
    const struct sconf_node *domain;
};
MUST_USE bool editor_find_own(struct config_editor *ed, struct str text, struct own_address *out, struct err *e);
/* As the directory compares addresses. */
bool editor_is_same_address(const struct own_address *wanted, struct str text);

/* The address of a key of Destinations: old files have localparts alone. */
struct str editor_destination(struct config_editor *ed, const struct sconf_node *account,
                              const struct sconf_node *node);
/* Whose an address is: its entry and account. NULL for nobody's. */
const struct sconf_node *editor_find_destination(struct config_editor *ed, struct str address,
                                                 const struct sconf_node **account);
/* Neither an account's nor an alias. */
MUST_USE bool editor_is_free(struct config_editor *ed, struct str address, struct err *e);
/* What becomes a key or value: one line, and nothing that means something else there. what: for the sentence. */
MUST_USE bool editor_is_word(struct str text, const char *what, struct err *e);

/* Lines, sorted. */
void editor_answer_sorted(struct config_editor *ed, struct str *items, size_t n);

config_edit_run_fn edit_account_add, edit_account_rm, edit_account_disable, edit_account_enable, edit_account_list,
    edit_account_addresses, edit_address_add, edit_address_rm, edit_address_account; // edit_account.c
config_edit_run_fn edit_domain_add, edit_domain_rm, edit_domain_disable;              // edit_domain.c
config_edit_run_fn edit_alias_list, edit_alias_print, edit_alias_add, edit_alias_update, edit_alias_rm,
    edit_alias_add_addresses, edit_alias_rm_addresses; // edit_alias.c
