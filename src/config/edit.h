/*
 * Changes of domains.conf that commands ask for (mox-imap-store-cli-config.md 3.2), and questions about
 * it: text in, text out, with the author's comments and order kept. Whether the result is a good
 * configuration is for the `config` process to say.
 */
#pragma once

#include "config/sconf.h"

struct config_editor {
    struct arena *a; // of texts that live longer than the editor
    struct sconf file; // as it is now; in one of the trees, in turns
    struct arena trees[2];
    bool at; // which
    struct buf answer; // of a question: lines for a person
    struct str added_account, removed_account; // by the change, or empty
    struct str new_keys; // of DKIM, that the change needs: file names below the configuration's directory, a line each
    struct str old_keys; // that nothing names any more, likewise
    // For a change that needs them, set after the beginning.
    struct str postmaster; // the account
    struct str hostname;   // of mox.conf
    bool has_mtasts;       // a listener serves policies of MTA-STS
    int64_t now_unix;
};

/* ERR_SYNTAX when text has errors of form. The editor is to be ended also then. */
MUST_USE bool config_editor_begin(struct config_editor *ed, struct arena *a, struct str text,
                                  struct err *e);
void config_editor_end(struct config_editor *ed);

/* Changes ed->file, or fails with a sentence and leaves it. */
typedef bool config_edit_run_fn(struct config_editor *ed, const struct str *arguments, struct err *e);

enum { CONFIG_EDIT_MAX_ARGUMENTS = 4 };
struct config_edit {
    struct str name; // of the command of the control socket
    size_t n_arguments;
    bool is_question; // answers, and changes nothing
    bool strands;     // what its first argument, an address or a domain, is elsewhere: keys, mail that waits
    config_edit_run_fn *run;
};
/* The one of that name, or NULL. */
const struct config_edit *config_edit_of(struct str name);

/* Whether an address is that one, or at that domain, whichever of the two what is; as the directory compares them. */
bool config_editor_is(struct config_editor *ed, struct str what, struct str address);
/* The account of an address, unless without that address it has it as one of "@domain". Empty otherwise. */
struct str config_editor_sole_owner(struct config_editor *ed, struct str address);

/* Appends the settings of an account made by a command, indented by as many tabs. */
void config_put_account(struct buf *out, unsigned indent, struct str domain, struct str address);
