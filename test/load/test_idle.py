"""
Many TLS connections in IDLE, all parked: what each costs, and that one new message is heard on all of
them. How many is CONNECTIONS in the environment. They come as fast as they can: an account serves 500
connections that are not parked yet, and parks those of a crowd at once.
"""
import os
import resource
import select
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
from harness import *

CONNECTIONS = int(os.environ.get('CONNECTIONS', 1000))
MOST_KIB = 60  # each, of private memory: a generous ceiling; the goal is 20
MOST_AT_REST_MIB = 12  # 10.4 when this was written; each role that is started with all others has one or more


def pss_kib(s, what='Pss'):
    """Memory of all of a server's processes, shared pages counted once; Pss_Anon: without those of files."""
    total = 0
    for pid in s.pids('') + [s.process.pid]:
        try:
            with open('/proc/%d/smaps_rollup' % pid) as f:
                total += int(re.search(r'^%s: +(\d+) kB' % what, f.read(), re.M).group(1))
        except (OSError, AttributeError):
            pass  # it has just ended
    return total


class Log:
    """How often something was logged so far, without reading everything each time."""

    def __init__(self, s, text):
        self.path, self.text, self.at, self.n = s.log_path, text.encode(), 0, 0

    def count(self):
        with open(self.path, 'rb') as f:
            f.seek(self.at)
            data = f.read()
        end = data.rfind(b'\n') + 1
        self.at += end
        self.n += data[:end].count(self.text)
        return self.n


def wait_until(what, why):
    deadline = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def idle_connection(s, context):
    sock = context.wrap_socket(socket.create_connection((s.ip, IMAPS), timeout=WAIT))
    for line, end in ((b'a LOGIN %s %s' % (LOGIN.encode(), PASSWORD.encode()), b'a OK'), (b'b SELECT Inbox', b'b OK'), (b'c IDLE', b'+ ')):
        sock.sendall(line + b'\r\n')
        got = b''
        while end not in got or not got.endswith(b'\r\n'):
            data = sock.recv(16384)
            assert data, 'connection ended: %r' % got
            got += data
    return sock


def hear(socks, text):
    """Reads until all have said text."""
    poll = select.epoll()
    left = {c.fileno(): c for c in socks}
    got = dict.fromkeys(left, b'')
    for fd, c in left.items():
        c.setblocking(False)
        poll.register(fd, select.EPOLLIN)
    deadline = time.monotonic() + WAIT
    while left:
        assert time.monotonic() < deadline, '%d of %d heard nothing' % (len(left), len(socks))
        for fd, _ in poll.poll(1):
            try:
                data = left[fd].recv(16384)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            assert data, 'connection ended'
            got[fd] += data
            if text in got[fd]:
                poll.unregister(fd)
                del left[fd]
    poll.close()
    for c in socks:
        c.setblocking(True)
        c.settimeout(WAIT)


@test
def a_server_at_rest_has_little_memory_of_its_own():
    with running() as s:
        s.stop()
        s.start()  # the first start made keys and databases
        wait_until(lambda: len(s.pids('mox: spare session')) == 2 and s.pids('mox: dkim'), 'not all are there')
        mib = pss_kib(s, 'Pss_Anon') / 1024
        print('at rest: %.1f MiB, and what of %.1f is in files' % (mib, pss_kib(s) / 1024))
        assert mib < MOST_AT_REST_MIB, '%.1f MiB at rest' % mib


@test
def idle_sessions():
    n = CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, n + 1000)), hard))
    context = insecure_context()
    with running() as s:
        parked = Log(s, 'connection parked')
        socks = [idle_connection(s, context)]
        wait_until(lambda: parked.count() == 1, 'not parked')
        before = pss_kib(s)
        for _ in range(1, n):
            socks.append(idle_connection(s, context))
            wait_until(lambda: len(socks) - parked.count() < 400, 'they are not parked')
        wait_until(lambda: parked.count() == n, 'not all are parked')
        # The account itself may go now; what stays is what the connections cost.
        wait_until(lambda: not s.pids('mox: account mox'), 'the account does not end')
        after = pss_kib(s)
        each = (after - before) / (n - 1)
        print('%d connections: %.1f KiB each (%.1f MiB before, %.1f after)' % (n, each, before / 1024, after / 1024))
        start = time.monotonic()
        s.send()
        sent = time.monotonic()
        hear(socks, b'* 1 EXISTS\r\n')
        print('delivered in %.3f s, heard by all %.3f s after that' % (sent - start, time.monotonic() - sent))
        # Those who come back are where they were.
        for c in socks[::max(1, n // 20)]:
            c.sendall(b'DONE\r\nd UID FETCH 1:* (FLAGS)\r\n')
            got = b''
            while b'd OK' not in got:
                data = c.recv(16384)
                assert data, got
                got += data
            assert b'c OK' in got and b'* 1 FETCH (UID 1 FLAGS ()' in got, got
        s.send(subject='second')
        hear(socks[1::max(1, n // 20)], b'* 2 EXISTS\r\n')
        # All go at once, and front has as much to say to the account as the account to front.
        for c in socks:
            c.close()

        def comes_back():
            """Whoever comes while five hundred others are being seen off may be asked to come later."""
            try:
                idle_connection(s, context).close()
            except AssertionError as e:
                assert 'too many connections' in str(e), e
                return False
            return True

        wait_until(comes_back, 'nobody is let in again')
        wait_until(lambda: not s.pids('mox: account mox'), 'the account does not end')
        assert each < MOST_KIB, '%.1f KiB for each' % each


main('load')
