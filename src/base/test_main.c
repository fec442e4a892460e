/*
 * Runs the registered unit tests: all, or those whose "file/name" contains one of the arguments.
 */
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"

struct test_case {
    const char *file, *name;
    void (*run)(void);
};

static struct test_case *cases;
static size_t n_cases;

void test_register(const char *file, const char *name, void (*run)(void))
{
    cases = heap_resize(cases, n_cases + 1, sizeof *cases);
    cases[n_cases++] = (struct test_case){file, name, run};
}

void test_check_str(struct str got, struct str want, const char *file, int line)
{
    if (str_eq(got, want))
        return;
    print_error("%s:%d: got  \"%.*s\"\n%s:%d: want \"%.*s\"\n", file, line, STR_FMT(got), file,
                line, STR_FMT(want));
    _fail(file, line);
}

void test_failed_case(const char *condition, size_t index, const char *file, int line)
{
    print_error("case %zu: %s\n", index, condition);
    _fail(file, line);
}

struct exact exact_copy(struct str s)
{
    struct exact e = {.memory = malloc(s.n ? s.n : 1)};

    if (!e.memory)
        abort();
    if (s.n)
        memcpy(e.memory, s.p, s.n);
    e.str = str_at(e.memory, s.n);
    return e;
}

void exact_fini(struct exact *e)
{
    free(e->memory);
}

static void run_case(void **state)
{
    ((struct test_case *)*state)->run();
}

static bool is_wanted(const struct test_case *c, int argc, char **argv)
{
    char full[300];

    snprintf(full, sizeof full, "%s/%s", c->file, c->name);
    for (int i = 1; i < argc; i++)
        if (strstr(full, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    size_t passed = 0, failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < n_cases; i++) {
        struct CMUnitTest one[] = {
            {cases[i].name, run_case, NULL, NULL, &cases[i]},
        };
        bool is_ok;

        if (!is_wanted(&cases[i], argc, argv))
            continue;
        cmocka_set_message_output(CM_OUTPUT_TAP);
        is_ok = cmocka_run_group_tests_name(cases[i].name, one, NULL, NULL) == 0;
        printf("%s unit %s %s\n", is_ok ? "PASS" : "FAIL", cases[i].file, cases[i].name);
        passed += is_ok;
        failed += !is_ok;
    }
    free(cases);
    printf("unit: %zu passed, %zu failed\n", passed, failed);
    return failed ? 1 : 0;
}
