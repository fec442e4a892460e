/*
 * mox: picks the role to run, when the monitor executed us as one, or the verb of the command line.
 */
#include "base/log.h"
#include "cmd/cmd.h"
#include "os/process.h"
#include "os/systemd.h"
#include "os/user.h"
#include "role/start.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    os_standard_files();
    os_title_init(argc, argv);
    os_memory_init();
    log_set_priority(systemd_is_journal(STDERR_FILENO));
    signal(SIGPIPE, SIG_IGN);
    if (argc >= 3 && strcmp(argv[1], "role") == 0 && !os_is_setgid())
        role_run(str_of(argv[2]));
    return cmd_end(cmd_main(argc, argv));
}
