/*
 * ACME: what an authority answers. The input is a series of answers with NUL between them, each a digit for its
 * status, perhaps a line "@" and the location, and the body; a job is led through them, and the last one comes
 * again and again. Whatever comes, it asks https URLs alone, ends after a bounded number of steps, and says in one
 * printable line why.
 */
#include "base/die.h"
#include "policy/acme/acme.h"
#include "text/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_STEPS = 5000 };

static struct acme_answer answer_of(struct str text)
{
    static const unsigned codes[] = {200, 201, 400, 403, 404, 429, 500, 503, 301, 200};
    unsigned digit = text.n && ascii_is_digit(text.p[0]) ? (unsigned)(text.p[0] - '0') : 0;
    struct str location = STR("https://ca.example/made/1");

    text = str_from(text, 1);
    if (str_starts(text, STR("@"))) {
        text = str_from(text, 1);
        (void)!str_next(&text, '\n', &location);
    }
    return (struct acme_answer){.code = codes[digit], .body = text, .replay_nonce = STR("abc"), .location = location,
                                .retry_after = digit % 2 ? STR("3") : STR("")};
}

static void check_parsers(struct str text)
{
    AUTO_ARENA a = ARENA_LIMIT(16 << 20);
    struct acme_window w;
    struct acme_problem p;
    struct err e = {0};

    if (acme_window_parse(&a, text, &w, &e) && w.start >= w.end)
        die("a window that is none");
    acme_problem_parse(&a, text, &p);
    if (acme_retry_after(text, 0) < 0)
        die("a time that has passed");
}

static void check_request(const struct acme_request *r)
{
    struct err e = {0};
    struct url url;

    if (!url_parse(r->url, &url, &e) || !url.is_https)
        die("a request to what is no https URL");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_at(data, size), text = {0};
    struct acme_authority y;
    struct acme_request r;
    struct acme_job j;
    unsigned n = 0;

    check_parsers(rest);
    acme_authority_init(&y, STR("https://ca.example/directory"), STR("me@example"), false);
    acme_job_init(&j, &y, STR("mail.example"), 7, STR(""));
    for (enum acme_need need; (need = acme_job_next(&j, &r)) < ACME_NEED_NOTHING; n++) {
        if (n == MAX_STEPS)
            die("it does not end");
        if (need == ACME_NEED_CHALLENGE) {
            acme_job_challenge_set(&j);
        } else if (need == ACME_NEED_CSR) {
            acme_job_csr(&j, STR("csr"));
        } else if (need == ACME_NEED_REQUEST) {
            struct acme_answer answer;

            check_request(&r);
            (void)!str_next(&rest, '\0', &text);
            answer = answer_of(text);
            acme_job_answer(&j, &answer, 1000);
        }
    }
    for (const char *p = j.why.text; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > 126)
            die("a line that is not printable");
    acme_job_fini(&j);
    acme_authority_fini(&y);
    return 0;
}
