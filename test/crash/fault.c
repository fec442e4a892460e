/*
 * Faults under the databases that hold mail: the power goes off and what was not synced is gone; a
 * write or a sync fails; memory runs out. Each scenario is repeated with the fault at point after
 * point, and checked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "faults.h"
#include "os/fd.h"
#include "os/file.h"

static const char *const fault_names[] = {"none", "power off at a write", "power off at a sync",
                                          "failing write", "full disk", "failing sync",
                                          "failing allocation"};

void acknowledge(int to, char what, unsigned i)
{
    char said[2] = {what, (char)i};

    if (write(to, said, 2) != 2)
        _exit(3);
}

int message_file(unsigned i)
{
    struct err e = {0};
    int fd = os_memfile("m", &e);
    AUTO_BUF b = BUF_LIMIT(1 << 20);

    buf_printf(&b, "Subject: message %u\r\nMessage-Id: <%u@x>\r\n\r\n", i, i);
    for (unsigned k = 0; k < 400 * (i + 1); k++)
        buf_printf(&b, "line %u of %u\r\n", k, i);
    if (fd < 0 || !os_write_all(fd, buf_str(&b), &e))
        _exit(3);
    return fd;
}

static _Noreturn void work(const struct scenario *s, int to)
{
    if (fault == FAULT_MEMORY)
        faults_install_memory();
    faults_install();
    s->work(to);
    if (write(to, &(char[2]){'e', 0}, 2) != 2 || write(to, &events, sizeof events) != sizeof events)
        _exit(3);
    _exit(0);
}

// One run in a directory of its own. *total: how many events of this kind a whole run has.
static int run(const struct scenario *s, enum fault which, long n, long *total)
{
    char dir[] = "/tmp/mox-fault-XXXXXX", command[64], said[4096];
    size_t got = 0;
    long counted;
    int pipes[2], status, problems;
    ssize_t k;
    pid_t pid;

    if (!mkdtemp(dir) || chdir(dir) || pipe(pipes))
        return 1;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        fault = which;
        countdown = n;
        close(pipes[0]);
        work(s, pipes[1]);
    }
    close(pipes[1]);
    while (got < sizeof said && (k = read(pipes[0], said + got, sizeof said - got)) > 0)
        got += (size_t)k;
    close(pipes[0]);
    waitpid(pid, &status, 0);
    // A whole run ends with its count, whose bytes are no acknowledgements.
    if (got >= 2 + sizeof counted && said[got - 2 - sizeof counted] == 'e') {
        got -= 2 + sizeof counted;
        memcpy(&counted, said + got + 2, sizeof counted);
        if (total)
            *total = counted;
    }
    problems = WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT;
    if (problems)
        printf("ended by signal %d\n", WTERMSIG(status));
    problems += s->check(said, got);
    if (problems)
        printf("... with %s, number %ld\n", fault_names[which], n);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return chdir("/") || system(command) ? 1 : problems;
}

// Points of one kind, spread over the whole run; whether all went well.
static bool try_kind(const struct scenario *s, enum fault which, long points)
{
    long total = 0, step, tried = 0;
    int problems = run(s, which, 0, &total);

    step = total > points ? total / points : 1;
    for (long n = 1; n <= total; n += step, tried++)
        problems += run(s, which, n, NULL);
    problems += total == 0;
    printf("%s fault %s, %s: %ld of %ld points\n", problems ? "FAIL" : "PASS", s->name,
           fault_names[which], tried, total);
    return !problems;
}

int main(int argc, char **argv)
{
    static const struct scenario *const scenarios[] = {&store_scenario, &queue_scenario, &migrate_scenario};
    long points = argc > 1 ? strtol(argv[1], NULL, 10) : 60;
    int passed = 0, failed = 0;

    for (size_t i = 0; i < COUNT(scenarios); i++)
        for (enum fault which = FAULT_POWER_WRITE; which <= FAULT_MEMORY; which++)
            try_kind(scenarios[i], which, points) ? passed++ : failed++;
    printf("fault: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
