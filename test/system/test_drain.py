"""Many messages for one place: how many connections they take, whose turn it is, and what a stop of the server leaves."""
from outside import *

MANY = 60


class World:
    def __init__(self):
        self.internet = Internet([Zone('one.example', '@ MX 10 mx\nmx A %s\n' % ip(1)),
                                  Zone('two.example', '@ MX 10 mx\nmx A %s\n' % ip(2)),
                                  Zone('dead.example', '@ MX 10 mx\nmx A %s\n' % ip(3)),
                                  Zone('stall.example', '* MX 10 mx\nmx A %s\n' % ip(5)),
                                  Zone('limited.example', '@ MX 10 mx\nmx A %s\n' % ip(7)),
                                  Zone('proved.example', '@ MX 10 mx\nmx A %s\n_25._tcp.mx TLSA 3 1 1 %s\n' % (ip(6), '00' * 32)),
                                  Zone('plain.example', '@ MX 10 mx\nmx A %s\n' % ip(4))])

    def __enter__(self):
        self.internet.start()
        self.serving = serving(env=dict(self.internet.env, MOX_DOWN_MS='600000'))
        self.s = self.serving.__enter__()
        self.s.stop()
        path = os.path.join(self.s.dir, 'domains.conf')
        text = open(path).read().replace('\tann:\n', '\tann:\n\t\tMaxFirstTimeRecipientsPerDay: 100000\n\t\tMaxOutgoingMessagesPerDay: 100000\n')
        with open(path, 'w') as f:
            f.write(text)
        self.s.start()
        return self

    def __exit__(self, *args):
        self.serving.__exit__(*args)
        self.internet.close()


out = in_world(World)


class Busy(Sink):
    """A server that tells those who are too many to go. most: connections that were open at once."""

    def __init__(self, n, limit=1000, **kw):
        self.limit, self.now, self.most, self.refused = limit, 0, 0, 0
        self.own = threading.local()  # of each connection's thread
        super().__init__(n, **kw)

    def _serve(self, c):
        with self.changed:
            self.now += 1
            self.own.is_here = True
            self.most = max(self.most, self.now)
            self.changed.notify_all()
        try:
            super()._serve(c)
        finally:
            self._leave()

    def _leave(self):
        with self.changed:
            self.now -= self.own.is_here
            self.own.is_here = False

    def reply(self, verb, usual):
        if verb == 'QUIT':  # with the answer the client may come with another
            self._leave()
        if verb == 'greeting':
            with self.changed:
                if self.now > self.limit:
                    self.refused += 1
                    return '421 4.7.0 too many connections'
        return super().reply(verb, usual)


def empty(s):
    deadline = time.monotonic() + WAIT
    while True:
        text = queue_command(s, 'list', '-n', '5')
        if text == 'messages:\n(none)\n':
            return
        assert time.monotonic() < deadline, text
        time.sleep(0.05)


def entries(s, domain):
    """(recipient, attempts, seconds until the next, why) of all that wait for a domain."""
    with contextlib.closing(sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data/queue/queue.db'), uri=True,
                                            timeout=WAIT)) as db:
        return db.execute('SELECT recipient, attempts, next_attempt_unix - last_attempt_unix, last_error FROM entry WHERE domain = ? '
                          'ORDER BY 1', (domain,)).fetchall()


def recipients(sink):
    return sorted(m[1][0] for m in sink.messages)


def expected(addresses):
    return sorted('RCPT TO:<%s>' % a for a in addresses)


@out
def many_messages_take_several_connections(w, s, start):
    """One after the other as they work: nobody is told to go on before there are five."""
    to = ['a%02d@one.example' % i for i in range(MANY)]

    def wait_for_five(c, line):
        if line.startswith('MAIL') and len(sink.messages) >= 5:
            with sink.changed:
                assert sink.changed.wait_for(lambda: sink.most >= 5, WAIT)
        return False

    with Busy(1, hook=wait_for_five) as sink:
        fill(s, to)
        release(s)
        sink.wait(MANY)
        empty(s)
        assert recipients(sink) == expected(to)
        assert 5 <= sink.most <= 20, sink.most
        assert not any('!' in l for c in sink.connections for l in c), sink.connections


@out
def a_server_that_has_no_time_is_left_alone(w, s, start):
    """Two connections at once, no more: who was told to go comes over those, and is not put off."""
    to = ['c%02d@two.example' % i for i in range(MANY)]
    with Busy(2, limit=2) as sink:
        fill(s, to)
        release(s)
        sink.wait(MANY)
        empty(s)
        assert recipients(sink) == expected(to)
        log = s.log_text(start)
        assert 'delivery put off' not in log and 'delivery failed' not in log, log[-3000:]
        assert 0 < sink.refused <= 4, sink.refused


@out
def a_connection_too_many_is_no_dead_server(w, s, start):
    """Those beyond two are closed without a word: what was for them comes over the others, and few are tried."""
    class Limited(Busy):
        def _serve(self, c):
            if self.now >= 2:
                self.refused += 1
                c.close()
            else:
                super()._serve(c)

    to = ['q%02d@limited.example' % i for i in range(MANY)]
    with Limited(7) as sink:
        fill(s, to)
        release(s)
        deadline = time.monotonic() + WAIT
        while len(sink.messages) + len(put := [e for e in entries(s, 'limited.example') if e[3] not in ('', 'delivering...')]) < MANY:
            assert time.monotonic() < deadline, put
            time.sleep(0.05)
        assert len(put) <= 2 and 0 < sink.refused <= 10, (put, sink.refused)
        queue_command(s, 'drop')


@out
def another_account_does_not_wait_for_the_first(w, s, start):
    ann, bob = ['d%03d@one.example' % i for i in range(200)], ['e%d@one.example' % i for i in range(5)]
    with Busy(1) as sink:
        fill(s, ann)
        fill(s, bob, user='bob')
        release(s)
        sink.wait(205)
        empty(s)
        order = [m[1][0] for m in sink.messages]
        assert max(order.index('RCPT TO:<%s>' % a) for a in bob) < 100, order


@out
def another_destination_does_not_wait_for_the_first(w, s, start):
    """However many wait for a server that has come to a halt."""
    go = threading.Event()

    def halt(c, line):
        if line.startswith('MAIL') and len(slow.messages) >= 5:
            assert go.wait(WAIT)
        return False

    with Busy(1, hook=halt) as slow, Sink(2) as other:
        fill(s, ['h%03d@one.example' % i for i in range(200)])
        release(s)
        with slow.changed:
            assert slow.changed.wait_for(lambda: slow.most >= 5, WAIT)
        submit(s, 'h@two.example')
        other.wait(1)
        go.set()
        slow.wait(200)
        empty(s)


@out
def another_account_does_not_wait_for_servers_that_stall(w, s, start):
    """However many of them there are."""
    with Busy(5, stalls='connect') as stalled, Sink(2) as other:
        fill(s, ['n@n%02d.stall.example' % i for i in range(45)])
        release(s)
        with stalled.changed:
            assert stalled.changed.wait_for(lambda: stalled.now >= 30, WAIT), stalled.now
        submit(s, 'n@two.example', sender='bob@example.org', user='bob')
        other.wait(1)
        assert stalled.now == 30, stalled.now
        queue_command(s, 'drop')


@out
def long_texts_of_many_messages_do_no_harm(w, s, start):
    """What was noted of earlier attempts, and what the server says of each recipient."""
    queue, = s.pids('mox: queue')
    with Busy(1, limit=1, says={'RCPT': '450 4.2.1 ' + 'busy ' * 380}):
        # For one connection, which gets as many as one may.
        fill(s, [['o%d.%02d@one.example' % (i, n) for n in range(10)] for i in range(60)])
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data/queue/queue.db'), timeout=WAIT)) as db, db:
            db.execute('UPDATE entry SET dialed = ?', ('x' * 8000 + ' 192.0.2.1\n',))
        release(s)
        put_off(s, 'one.example', 600)
        assert s.pids('mox: queue') == [queue]
        queue_command(s, 'drop')


@out
def many_accounts_that_send_little_wait_together(w, s, start):
    """Six messages of each of two accounts are many for one place."""
    with Busy(1) as sink:
        fill(s, ['i%d@one.example' % i for i in range(7)])
        fill(s, ['k%d@one.example' % i for i in range(7)], user='bob')
        release(s)
        sink.wait(14)
        empty(s)
        assert recipients(sink) == expected(['i%d@one.example' % i for i in range(7)] + ['k%d@one.example' % i for i in range(7)])
        assert len(sink.connections) >= 2


class Dead(Sink):
    """Connections are taken, and nothing is said on them."""

    def _serve(self, c):
        with self.changed:
            self.connections.append([])
            self.changed.notify_all()
        c.close()


def put_off(s, domain, n, attempts=1):
    deadline = time.monotonic() + WAIT
    while True:
        got = entries(s, domain)
        if len(got) == n and all(g[1] == attempts and g[3] not in ('', 'delivering...') for g in got):
            return got
        assert time.monotonic() < deadline, got[:5]
        time.sleep(0.05)


@out
def a_dead_destination_is_dialed_once(w, s, start):
    """Of many messages one is tried, and its reason holds for all; each has its attempt and its own next time."""
    to = ['l%03d@dead.example' % i for i in range(150)]
    with Dead(3) as dead, Sink(2) as other:
        fill(s, to[:100])
        fill(s, to[100:] + ['l@two.example'], user='bob')
        release(s)
        other.wait(1)  # who has another server does not wait
        got = put_off(s, 'dead.example', 150)
        assert [g[0] for g in got] == to and len(dead.connections) == 1, len(dead.connections)
        assert {g[3] for g in got} == {'waiting for a reply: the server closed the connection'}, {g[3] for g in got}
        assert all(445 <= g[2] <= 455 for g in got) and len({g[2] for g in got}) > 2, {g[2] for g in got}
        submit(s, 'l@dead.example')  # nor is it dialed for one that comes now
        put_off(s, 'dead.example', 151)
        assert len(dead.connections) == 1, len(dead.connections)
    # A person who has mended it is not told of what was.
    with Sink(3) as sink:
        queue_command(s, 'schedule', '-to', 'dead.example', '-now', '0s')
        sink.wait(151)
        empty(s)
        assert recipients(sink) == expected(to + ['l@dead.example'])


@out
def a_server_without_the_tls_that_must_be_is_dialed_once(w, s, start):
    """Also when it says so itself."""
    with Sink(6, extensions=EXTENSIONS + ('STARTTLS',), says={'STARTTLS': '454 4.7.0 not now'}) as sink:
        fill(s, ['p%d@proved.example' % i for i in range(20)])
        release(s)
        got = put_off(s, 'proved.example', 20)
        assert len(sink.connections) == 1 and not sink.messages and {g[3] for g in got} == {'454 4.7.0 not now'}, (sink.connections, got[0])
        queue_command(s, 'drop')


@out
def what_one_message_asks_for_is_not_held_against_others(w, s, start):
    """What needs no TLS was not delivered; what does not say so is dialed all the same."""
    with Dead(4) as dead:
        submit(s, 'm1@plain.example', headers='TLS-Required: No\r\n')
        put_off(s, 'plain.example', 1)
    with Sink(4) as sink:
        submit(s, 'm2@plain.example')
        sink.wait(1)
        submit(s, 'm3@plain.example', headers='TLS-Required: No\r\n')
        got = put_off(s, 'plain.example', 2)
        assert [g[0] for g in got] == ['m1@plain.example', 'm3@plain.example'] and len(dead.connections) == 1, got
        # Refusals of one message are its own.
        sink.says['MAIL'] = ['451 4.3.0 not this one']
        submit(s, 'm4@plain.example')
        put_off(s, 'plain.example', 3)
        del sink.says['MAIL']
        submit(s, 'm5@plain.example')
        sink.wait(2)
        queue_command(s, 'schedule', '-to', 'plain.example', '-now', '0s')
        sink.wait(5)
        empty(s)


def stop_and_start(s, before_end):
    """A stop that waits for what before_end makes happen."""
    t = threading.Thread(target=s.stop)
    t.start()
    before_end()
    t.join()
    start = len(s.log_text())
    s.start()
    return start


def stopping(s, start):
    s.wait_log('shutting down', start)


@out
def a_stop_waits_for_the_reply_to_a_message(w, s, start):
    """It was sent to its end: whether the server has it is known when it answers. The next is not begun."""
    ended, go = threading.Event(), threading.Event()

    class Slow(Busy):
        def reply(self, verb, usual):
            if verb == 'END':
                ended.set()
                assert go.wait(WAIT)
            return super().reply(verb, usual)

    with Slow(1) as sink:
        fill(s, ['f%d@one.example' % i for i in range(3)])
        release(s)
        assert ended.wait(WAIT)

        def reply():
            stopping(s, start)
            # queue has told deliver when it says nothing to it any more.
            s.wait_log('no message is ended any more', start)
            go.set()

        again = stop_and_start(s, reply)
        sink.wait(3)
        empty(s)
        assert recipients(sink) == expected('f%d@one.example' % i for i in range(3))
        assert 'f0@one.example' not in s.log_text(again)


@out
def a_stop_ends_no_message(w, s, start):
    """What was not sent to its end is as if it had not begun: it is due at once when the server is back."""
    begun, go = threading.Event(), threading.Event()

    def slow(c, line):
        if line.startswith('DATA') and not go.is_set():
            begun.set()
            assert go.wait(WAIT)
        return False

    with Busy(1, hook=slow) as sink:
        fill(s, ['g%d@one.example' % i for i in range(3)])
        release(s)
        assert begun.wait(WAIT)

        def reply():
            stopping(s, start)
            s.wait_log('no message is ended any more', start)
            go.set()

        stop_and_start(s, reply)
        sink.wait(3)
        empty(s)
        assert recipients(sink) == expected('g%d@one.example' % i for i in range(3))
        assert any(c[-1] == '$ in DATA' for c in sink.connections), sink.connections


last(out)
main('drain')
