#include "cmd/confine.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"
#include "cmd/cmd.h"
#include "os/process.h"
#include "os/sandbox.h"
#include "os/user.h"
#include "role/profiles.h"
#include "text/encode.h"

// Files that this makes must be the server's to use.
static bool become_owner(int dir, struct err *e)
{
    struct os_user owner = {.is_set = true};
    struct stat st;

    if (fstat(dir, &st))
        return fail_errno(e, "looking at the account's directory");
    owner.uid = st.st_uid;
    owner.gid = st.st_gid;
    return geteuid() || !st.st_uid || os_user_become(&owner) ||
           fail_errno(e, "becoming the owner of the account's directory");
}

static bool enter(int account_dir, int other_dir, struct err *e)
{
    int dirs[] = {account_dir, other_dir};
    struct sandbox *box;
    bool is_ok;

    charset_warm();
    if (!become_owner(account_dir, e))
        return false;
    if (fchdir(account_dir))
        return fail_errno(e, "entering the account's directory");
    box = sandbox_compile(role_profile(ROLE_ACCOUNT), e);
    is_ok = box && sandbox_enter(box, dirs, other_dir < 0 ? 1 : 2, e);
    sandbox_free(box);
    return is_ok;
}

bool confine_run(int account_dir, int other_dir, confine_fn *fn, void *ctx, int *code, struct err *e)
{
    pid_t self = getpid(), child;
    char how[64];
    int status;

    fflush(stdout);
    fflush(stderr);
    child = fork();
    if (child < 0)
        return fail_errno(e, "making a process");
    if (!child) {
        int answer;

        if (!os_die_with_parent(self))
            _exit(1);
        answer = enter(account_dir, other_dir, e) ? fn(ctx) : cmd_fail(e);
        fflush(stdout);
        _exit(answer);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return fail_errno(e, "waiting for a process");
    if (WIFEXITED(status)) {
        *code = WEXITSTATUS(status);
        return true;
    }
    os_describe_status(status, how, sizeof how);
    return fail(e, ERR_BUG, "the process that worked on the account ended with %s", how);
}

void *confine_shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("no memory to share");
    return p;
}
