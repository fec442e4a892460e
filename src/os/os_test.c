#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/net.h"

TEST(files_are_replaced_whole)
{
    AUTO_ARENA a = ARENA_LIMIT(1 << 20);
    struct err e = {0};
    struct str got;
    char dir[] = "/tmp/mox-test-XXXXXX", path[100], deep[100];

    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/file", dir);
    snprintf(deep, sizeof deep, "%s/a/b", dir);
    CHECK(os_write_file(path, STR("one"), 0600, &e));
    CHECK(os_write_file(path, STR("two"), 0600, &e));
    CHECK(os_read_file(&a, path, 10, &got, &e));
    CHECK_STR(got, STR("two"));
    CHECK(!os_read_file(&a, path, 2, &got, &e) && e.kind == ERR_LIMIT);
    CHECK(!os_read_file(&a, "/nonexistent/x", 2, &got, &e) && e.kind == ERR_NOT_FOUND);
    CHECK(!os_write_file("/nonexistent/x", STR("x"), 0600, &e));
    CHECK(os_make_dirs(deep, 0700, &e) && os_make_dirs(deep, 0700, &e));
    rmdir(deep);
    snprintf(deep, sizeof deep, "%s/a", dir);
    rmdir(deep);
    unlink(path);
    rmdir(dir);
}

TEST(links_of_others_are_not_followed)
{
    char dir[] = "/tmp/mox-test-XXXXXX";
    struct err e = {0}, denied = {0};
    AUTO_FD at = -1;
    AUTO_FD plain = -1;
    AUTO_FD linked = -1;
    AUTO_FD other = -1;
    bool is_root = geteuid() == 0;

    CHECK(mkdtemp(dir) != NULL);
    at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(at >= 0 && mkdirat(at, "real", 0700) == 0 && symlinkat("real", at, "link") == 0 &&
          symlinkat("real", at, "other") == 0);
    CHECK(!is_root || fchownat(at, "other", 1, 1, AT_SYMLINK_NOFOLLOW) == 0);
    plain = os_open_dir_of_root(at, "real", &e);
    CHECK(plain >= 0);
    if (is_root)
        linked = os_open_dir_of_root(at, "link", &e);
    CHECK(!is_root || linked >= 0);
    other = os_open_dir_of_root(at, "other", &denied);
    CHECK(other < 0 && denied.kind == ERR_DENIED);
    CHECK(os_open_dir_of_root(at, "none", &e) < 0 && e.kind == ERR_NOT_FOUND);
    unlinkat(at, "link", 0);
    unlinkat(at, "other", 0);
    unlinkat(at, "real", AT_REMOVEDIR);
    rmdir(dir);
}

TEST(a_control_socket_is_its_owners)
{
    char dir[] = "/tmp/mox-test-XXXXXX", path[100];
    struct err e = {0};
    struct stat st;
    mode_t old = umask(0);
    AUTO_FD fd = -1;

    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/ctl", dir);
    fd = net_listen_unix(path, &e);
    CHECK(fd >= 0 && stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
    umask(old);
    unlink(path);
    rmdir(dir);
}

TEST(sealed_memory_files_cannot_change)
{
    struct err e = {0};
    AUTO_FD fd = os_memfile("test", &e);

    CHECK(fd >= 0 && os_write_all(fd, STR("bytes"), &e));
    CHECK(!os_memfile_is_sealed(fd));
    CHECK(os_memfile_seal(fd, &e));
    CHECK(os_memfile_is_sealed(fd));
    CHECK(pwrite(fd, "x", 1, 0) < 0);
}

TEST(addresses)
{
    unsigned char bytes[16];

    CHECK(net_parse_ip(STR("192.0.2.1"), bytes) == 4 && bytes[0] == 192);
    CHECK(net_parse_ip(STR("2001:db8::1"), bytes) == 6 && bytes[15] == 1);
    CHECK(!net_parse_ip(STR("192.0.2"), bytes) && !net_parse_ip(STR(""), bytes));
    CHECK(!net_parse_ip(STR("1.2.3.4\0x"), bytes));
}

TEST(time_and_randomness_can_be_given)
{
    unsigned char a[8], b[8];

    os_clock_set_for_test(5000);
    CHECK(os_now_unix() == 5 && os_monotonic_ms() == 5000);
    os_clock_set_for_test(-1);
    CHECK(os_now_unix() > 1700000000);
    os_random_set_for_test(7);
    os_random(a, sizeof a);
    os_random_set_for_test(7);
    os_random(b, sizeof b);
    os_random_set_for_test(0);
    CHECK(str_eq(str_at(a, 8), str_at(b, 8)));
}

TEST(random_names)
{
    AUTO_BUF one = BUF_LIMIT(100), other = BUF_LIMIT(100);

    os_random_name(&one);
    os_random_name(&other);
    CHECK(one.n == 22 && other.n == 22 && !str_eq(buf_str(&one), buf_str(&other)));
    for (size_t i = 0; i < one.n; i++)
        CHECK(ascii_is_alnum(one.p[i]) || one.p[i] == '-' || one.p[i] == '_');
}
