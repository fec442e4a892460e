/*
 * A whole session fed with anything, over memory. The first byte chooses the port, 0xff ends a
 * packet. Every reply is well formed; a message that is delivered was received in full.
 */
#include <stdint.h>

#include "base/die.h"
#include "base/log.h"
#include "role/session/smtp_scripted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_PACKETS = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct str packets[MAX_PACKETS];
    struct scripted s = {.packets = packets, .max_message_bytes = 10000};
    struct str in = str_at(data, size), packet, out;
    static bool is_quiet;

    if (!is_quiet) {
        log_set_fd(-1);
        is_quiet = true;
    }
    if (!size)
        return 0;
    s.is_submission = data[0] & 1;
    s.is_localserve = data[0] & 2;
    s.is_pedantic = data[0] & 4;
    s.requires_tls = data[0] & 8;
    s.has_starttls = data[0] & 16;
    in = str_from(in, 1);
    while (s.n_packets < MAX_PACKETS - 1 && str_cut(in, (char)0xff, &packet, &in))
        packets[s.n_packets++] = packet;
    packets[s.n_packets++] = in;
    scripted_run(&s);
    out = buf_str(&s.out);
    while (scripted_reply(&out))
        ;
    if (s.message.n > 2 * s.max_message_bytes)
        die("a message over the limit was taken");
    scripted_fini(&s);
    return 0;
}
