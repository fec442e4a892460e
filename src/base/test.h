/*
 * What unit tests need beyond cmocka: tests that register themselves, heap copies of exactly
 * the input's length (so that AddressSanitizer sees a read one past the end), and table cases.
 */
#pragma once

#include <stdbool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail // cmocka's macro; ours is a function of base/err.h

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

void test_register(const char *file, const char *name, void (*run)(void));

#define TEST(name)                                                                                 \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        test_register(__FILE__, #name, test_##name);                                               \
    }                                                                                              \
    static void test_##name(void)

#define CHECK(condition) assert_true(condition)
void test_failed_case(const char *condition, size_t index, const char *file, int line);
/* In a table: says which case failed. */
#define CHECK_CASE(condition, index)                                                               \
    do {                                                                                           \
        if (!(condition))                                                                          \
            test_failed_case(#condition, (index), __FILE__, __LINE__);                             \
    } while (0)
/* Equal texts; shows both when they are not. */
#define CHECK_STR(got, want) test_check_str((got), (want), __FILE__, __LINE__)
void test_check_str(struct str got, struct str want, const char *file, int line);

struct exact {
    struct str str;
    char *memory;
};
/* A heap copy of exactly this length, freed at the end of the scope. */
struct exact exact_copy(struct str s);
void exact_fini(struct exact *e);
#define AUTO_EXACT CLEANUP(exact_fini) struct exact
