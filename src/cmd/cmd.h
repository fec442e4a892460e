/*
 * The command line: the table of verbs, the options before the verb, and what verbs share.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Options that precede the verb: -config, -loglevel, -pedantic. */
struct cmd_options {
    const char *config_path; // of mox.conf; domains.conf is in the same directory
    const char *log_level;   // NULL: not given
    bool pedantic;
};
extern struct cmd_options cmd_options;

struct cmd {
    const char *words;     // "queue list"
    const char *arguments; // as shown in the usage, "" for none
    const char *help;      // first line: one sentence
    /* argv[0] is the last word of the verb. Returns the exit code. */
    int (*run)(int argc, char **argv);
    bool is_unlisted;
};

/* Finds and runs the verb of argv (argv[0] is the program). Returns the exit code. */
int cmd_main(int argc, char **argv);
/*
 * The code to exit with: another than 0 when what was printed did not arrive, as with a key whose file is on a full
 * disk. Who closes a pipe early has read enough and is told nothing.
 */
int cmd_end(int code);

/* Prints "usage: mox <words> <arguments>" and the help on standard error; returns 2. */
int cmd_usage(const char *words);

/*
 * Prints a line, which ends with "\n", in which others may have written some of the text: a name, a reply, a record.
 * What is no text for a terminal in it is escaped (utf8_put_shown).
 */
void cmd_say(FILE *to, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints "mox: <sentence>" on standard error, as cmd_say; returns 1. */
int cmd_fail(const struct err *e);

/* All of standard input. ERR_LIMIT past the limit of out; what names it in the message. */
MUST_USE bool cmd_read_stdin(struct buf *out, const char *what, struct err *e);
/* A password, one line of standard input, into room, which must stay. */
MUST_USE bool cmd_read_password(char *room, size_t size, struct str *out, struct err *e);

/* One flag of a verb: a text, or a switch when value is NULL. */
struct cmd_flag {
    const char *name;   // without the dash
    const char **value; // of a flag with a value
    bool *is_set;       // of a switch
};
/*
 * Takes flags (-flag value, -flag=value, one dash or two; "--" ends them) from the front of argv. Returns
 * the number of arguments used including argv[0], or -1 after printing what is wrong.
 */
int cmd_flags(int argc, char **argv, const struct cmd_flag *flags, size_t n);
