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

enum { CONFIG_EDIT_MAX_ARGUMENTS = 4 };
struct config_edit {
    struct str name; // of the command of the control socket
    size_t n_arguments;
    bool is_question; // answers, and changes nothing
    /* Changes ed->file, or fails with a sentence and leaves it. */
    bool (*run)(struct config_editor *ed, const struct str *arguments, struct err *e);
};
/* The one of that name, or NULL. */
const struct config_edit *config_edit_of(struct str name);

/* Appends the settings of an account made by a command, indented by as many tabs. */
void config_put_account(struct buf *out, unsigned indent, struct str domain, struct str address);
