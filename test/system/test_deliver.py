"""Mail to other servers: over a DNS of the test's own, to servers of every kind."""

from outside import *


class World:
    """The zones, one mox, a certificate authority; servers come and go with the tests."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-outside-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        zones = [Zone('one.example', '@ MX 10 mx\nmx A %s\n' % ip(1))]
        zones += [Zone('two.example', '@ MX 10 a\n@ MX 20 b\na A %s\nb A %s\n' % (ip(2), ip(3)))]
        zones += [Zone('three.example', '@ MX 10 a.two.example.\n@ MX 20 b.two.example.\n@ MX 30 mx.one.example.\n')]
        zones += [Zone('null.example', '@ MX 0 .\n')]
        zones += [Zone('bare.example', '@ A %s\n' % ip(1))]
        zones += [Zone('self.example', '@ MX 10 mail.example.org.\n')]
        zones += [Zone('dual.example', '@ MX 10 mx\nmx A %s\nmx AAAA ::1\n' % ip(1))]
        zones += [Zone('forged.example', '@ MX 10 www\nwww A 127.0.0.8\n', breaks='signature')]
        zones += [Zone('s%d.example' % i, '@ MX 10 mx\nmx A %s\n' % ip(10 + i)) for i in range(8)]
        self.internet = Internet(zones)

    def __enter__(self):
        self.internet.start()
        env = dict(self.internet.env, SSL_CERT_FILE=self.ca.file, MOX_SMTP_TIMEOUT_MS='5000')
        self.serving = serving(env=env)
        self.s = self.serving.__enter__()
        return self

    def __exit__(self, *args):
        self.serving.__exit__(*args)
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)


out = in_world(World)


@out
def plain(w, s, start):
    with Sink(1) as sink:
        submit(s, 'bob@one.example', body='.dot\r\n..\r\nend', subject='plain')
        mail, rcpts, data, is_tls = sink.wait()[0]
        assert mail.startswith('MAIL FROM:<ann@example.org> SIZE='), mail
        assert rcpts == ['RCPT TO:<bob@one.example>'] and not is_tls
        assert b'\r\n..dot\r\n...\r\nend\r\n' in data and b'Subject: plain\r\n' in data, data
        line = outcome(s, 'bob@one.example', start)
        assert 'delivered' in line and 'mx.one.example' in line, line
        assert sink.connections[0][0] == 'EHLO mail.example.org', sink.connections
        assert sink.peers == [s.ip], sink.peers
        sink.wait_line('QUIT')


@out
def starttls_is_used_whatever_the_certificate(w, s, start):
    for names, days in ((['mx.one.example'], 30), (['other.example'], 30), (['mx.one.example'], -1)):
        with Sink(1, tls=w.ca.context(*names, days=days)) as sink:
            submit(s, 'bob@one.example')
            assert sink.wait()[0][3], sink.connections
            assert sink.connections[0].count('EHLO mail.example.org') == 2, sink.connections


@out
def starttls_that_fails_is_done_without(w, s, start):
    with Sink(1, tls=w.ca.context('mx.one.example'), says={'STARTTLS': '454 4.7.0 not now'}) as sink:
        submit(s, 'bob@one.example')
        assert not sink.wait()[0][3] and len(sink.connections) == 2, sink.connections
    old = w.ca.context('mx.one.example')
    old.set_ciphers('DEFAULT@SECLEVEL=0')
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Sink(1, tls=old) as sink:
        submit(s, 'bob@one.example')
        assert not sink.wait()[0][3], sink.connections


@out
def tls_that_fails_says_how(w, s, start):
    """The reason in the report (RFC 8460 4.4), of each way to fail a handshake; then it is done without."""
    wants_ours = w.ca.context('mx.s0.example')
    wants_ours.verify_mode = ssl.CERT_REQUIRED  # of a client's certificate: said behind the handshake
    wants_ours.load_verify_locations(w.ca.file)

    def asks(c, line):
        if line == 'STARTTLS':
            c.say('220 go')
            c.sock = wants_ours.wrap_socket(c.sock, server_side=True, do_handshake_on_connect=False)
            try:
                c.sock.do_handshake()
            except ssl.SSLError:
                while socket.socket.recv(c.sock, 4096):  # so that the alert is not lost to a reset
                    pass
                raise

    def breaks(word):
        def hook(c, line):
            if line == 'STARTTLS':
                c.say('220 go')
                c.sock.recv(1)  # the ClientHello is under way
                if word == 'close':
                    c.sock.shutdown(socket.SHUT_WR)
                elif word == 'plain':
                    c.say('500 what is that?')
                c.stall()
        return hook

    ways = ((asks, 'tls-remote-alert-116-'), (breaks('close'), 'connection-closed-during-handshake'),
            (breaks('plain'), 'tls-record-header-error'), (breaks('silent'), 'i-o-timeout-during-handshake'))
    for n, (hook, _) in enumerate(ways):
        with Sink(10 + n, tls=wants_ours, hook=hook) as sink:
            submit(s, 'bob@s%d.example' % n)
            assert not sink.wait()[0][3], sink.connections
    for n, (_, reason) in enumerate(ways):
        deadline = time.monotonic() + WAIT
        while not any(r[1] == 'validation-failure' and r[2].startswith(reason) for r in results(s, 's%d.example' % n)[0]
                      if r[1]):
            assert time.monotonic() < deadline, (reason, results(s, 's%d.example' % n))
            time.sleep(0.05)


@out
def replies_injected_before_tls_end_the_connection(w, s, start):
    """What a man in the middle says behind the reply to STARTTLS is not taken for the server's."""
    for inject in ('220 go\r\n250-sink.example\r\n250 AUTH PLAIN', '220 go\r\n', '220 go\r\n2'):
        with Sink(1, tls=w.ca.context('mx.one.example'), says={'STARTTLS': inject}) as sink:
            submit(s, 'inject%d@one.example' % len(inject))
            line = outcome(s, 'inject%d@one.example' % len(inject), start)
            assert 'put off' in line and 'plain bytes' in line, line
            assert not sink.messages and not any('MAIL' in l for c in sink.connections for l in c), sink.connections
            assert len(sink.connections) == 1, sink.connections


@out
def null_mx_and_domains_without_mail(w, s, start):
    for domain, text in (('null.example', '5.1.10'), ('nowhere.example', '5.1.2'), ('self.example', '5.4.6')):
        submit(s, 'bob@' + domain)
        line = outcome(s, 'bob@' + domain, start)
        assert 'delivery failed' in line and text in line, line
    with Sink(1) as sink:
        submit(s, 'bob@bare.example')
        assert sink.wait()[0][1] == ['RCPT TO:<bob@bare.example>']


@out
def forged_records_put_it_off(w, s, start):
    with Sink(1) as sink:
        submit(s, 'bob@forged.example')
        line = outcome(s, 'bob@forged.example', start)
        assert 'put off' in line and '4.7.0' in line, line
        assert not sink.connections
    deadline = time.monotonic() + WAIT
    while results(s, 'forged.example')[0] != {(0, 'validation-failure', 'dns-extended-error-6-dnssec-bogus')}:
        assert time.monotonic() < deadline, results(s, 'forged.example')
        time.sleep(0.05)


@out
def first_mx_dead(w, s, start):
    """Nobody there; then a server that says it is busy; then one that says nothing."""
    with Sink(3) as b:
        submit(s, 'bob@two.example', subject='refused')
        assert b'refused' in b.wait(1)[0][2]
        with Sink(2, greeting='421 4.3.2 busy') as a:
            submit(s, 'bob@two.example', subject='busy')
            assert b'busy' in b.wait(2)[1][2] and len(a.connections) == 1
        with Sink(2, greeting='554 5.7.1 go away') as a:
            submit(s, 'bob@two.example', subject='away')
            assert b'away' in b.wait(3)[2][2] and len(a.connections) == 1
        with Sink(2, stalls='connect') as a:
            submit(s, 'bob@two.example', subject='silent')
            assert b'silent' in b.wait(4)[3][2] and len(a.connections) == 1
    submit(s, 'none@two.example')
    line = outcome(s, 'none@two.example', start)
    assert 'put off' in line and '4.4.1' in line, line


@out
def servers_that_stall(w, s, start):
    """At each step, and with a byte now and then, all at once: the deadlines are ours."""
    def drip(c, line):
        if not line.startswith('MAIL'):
            return False
        while True:
            c.say(b'2')
            time.sleep(0.05)

    verbs = ('connect', 'EHLO', 'STARTTLS', 'MAIL', 'RCPT', 'DATA', 'END')
    sinks = [Sink(10 + i, stalls=v, tls=w.ca.context('mx.one.example') if v == 'STARTTLS' else None)
             for i, v in enumerate(verbs)] + [Sink(10 + len(verbs), hook=drip)]
    for i in range(len(sinks)):
        submit(s, 'stall@s%d.example' % i)
    for i, sink in enumerate(sinks):
        line = outcome(s, 'stall@s%d.example' % i, start)
        assert 'put off' in line and ('4.4.2' in line or i == len(verbs)), line
        assert not sink.messages and len(sink.connections) == 1, sink.connections
        sink.close()


@out
def floods_of_replies(w, s, start):
    """Lines without end, replies without end, replies nobody asked for."""
    def flood(what):
        def hook(c, line):
            if not line.startswith('MAIL'):
                return False
            for _ in range(5000):
                c.say(what)
            return True
        return hook

    for i, what in enumerate((b'250-' + b'x' * 200 + b'\r\n', b'2' * 3000, b'250-\r\n', b'\r\n', b'\0' * 500)):
        with Sink(1, hook=flood(what)) as sink:
            submit(s, 'flood%d@one.example' % i)
            line = outcome(s, 'flood%d@one.example' % i, start)
            assert 'put off' in line and not sink.messages, line
    with Sink(1, greeting='220 hello\r\n250 and more') as sink:
        submit(s, 'more@one.example')
        assert 'put off' in outcome(s, 'more@one.example', start)
        assert all(l in ('QUIT', '$') or l.startswith('! ') for l in sink.connections[0]), sink.connections


@out
def refusals(w, s, start):
    for verb, text, word, code in (('MAIL', '550 5.7.1 no', 'failed', '5.7.1'), ('MAIL', '451 4.3.0 later', 'put off', '4.3.0'),
                                   ('RCPT', '550 5.1.1 nobody', 'failed', '5.1.1'), ('RCPT', '450 4.2.1 grey', 'put off', '4.2.1'),
                                   ('DATA', '550 5.6.0 no', 'failed', '5.6.0'), ('END', '554 5.7.1 spam', 'failed', '5.7.1'),
                                   ('END', '452 4.3.1 full', 'put off', '4.3.1'), ('END', '550 without one', 'failed', '5.0.0'),
                                   ('MAIL', '250-\r\n251 x', 'put off', '4.5.0'), ('MAIL', 'hello', 'put off', '4.5.0')):
        for extensions in (EXTENSIONS, ()):
            with Sink(1, says={verb: text}, extensions=extensions) as sink:
                to = 'no%s%d@one.example' % (verb.lower(), abs(hash((text, extensions))))  # one that no list suppresses
                submit(s, to)
                line = outcome(s, to, start)
                assert word in line and code in line and 'mx.one.example' in line, line
                assert not sink.messages, (to, sink.connections)


@out
def a_success_before_the_message_is_none(w, s, start):
    """What a server says too early, or twice, is not taken for its answer to the message: that would be lost."""
    ways = (('DATA', '250 2.0.0 ok', (EXTENSIONS, ())), ('DATA', '354 go\r\n250 2.0.0 taken', (EXTENSIONS, ())),
            ('RCPT', '250 2.1.5 ok\r\n250 2.1.5 ok', (EXTENSIONS, (), EXTENSIONS + ('CHUNKING',))),
            ('MAIL', '250 2.1.0 ok\r\n250 2.1.0 ok', (EXTENSIONS, ())))
    for i, (verb, text, offers) in enumerate(ways):
        for k, extensions in enumerate(offers):
            with Sink(1, says={verb: text}, extensions=extensions) as sink:
                to = 'early%d%d@one.example' % (i, k)
                submit(s, to)
                line = outcome(s, to, start)
                assert 'put off' in line and '4.5.0' in line and 'mx.one.example' in line, line
                assert not sink.messages, sink.connections


@out
def the_next_mx_is_asked_when_one_puts_off(w, s, start):
    for n, (verb, text) in enumerate((('RCPT', '450 4.2.0 later'), ('RCPT', '552 5.2.2 full'), ('DATA', '451 4.3.0 later'),
                                      ('END', '451 4.3.0 later'))):
        with Sink(2, says={verb: text}) as a, Sink(3) as b:
            submit(s, ['off%d@two.example' % n, 'too%d@two.example' % n])
            assert len(b.wait()[0][1]) == 2
            assert 'delivered' in outcome(s, 'off%d@two.example' % n, start)
            assert not a.messages and len(a.connections) == 1
            a.wait_line('QUIT')
    # None that is known to have it, or never will.
    for n, says in enumerate(({'some0@two.example': '450 4.2.0 later'}, {'RCPT': '550 5.7.1 no'})):
        with Sink(2, says=says) as a, Sink(3) as b:
            submit(s, ['some%d@two.example' % n, 'more%d@two.example' % n])
            assert ('put off', 'failed')[n] in outcome(s, 'some%d@two.example' % n, start)
            assert len(a.messages) == 1 - n and not b.connections
    # Not more than two.
    with Sink(2, says={'RCPT': '450 4.2.0 later'}), Sink(3, says={'RCPT': '451 4.7.28 you too'}), Sink(1) as third:
        submit(s, 'limit@three.example')
        line = outcome(s, 'limit@three.example', start)
        assert 'put off' in line and 'you too' in line and not third.connections, line
    # A server behind it that knows less does not end it.
    with Sink(2, says={'RCPT': '450 4.2.0 grey'}), Sink(3, says={'RCPT': '550 5.7.1 no relay'}):
        submit(s, 'spare@two.example')
        line = outcome(s, 'spare@two.example', start)
        assert 'put off' in line and 'b.two.example' in line and 'no relay' in line, line
    # Of each recipient its own words, and not another's.
    for to in (('mine', 'yours'), ('yours', 'mine')):
        with Sink(1, says={'mine@one.example': '450 4.2.0 mine is grey', 'yours@one.example': '452 4.2.2 yours is full'}):
            begun = len(s.log_text())
            submit(s, ['%s@one.example' % local for local in to])
            for local, text in (('mine', '4.2.0 mine is grey'), ('yours', '4.2.2 yours is full')):
                line = outcome(s, local + '@one.example', begun)
                assert 'put off' in line and text in line, (to, line)
    # What a server said is told, not that the other one is away.
    with Sink(2, says={'RCPT': '450 4.2.0 grey'}):
        submit(s, 'alone@two.example')
        line = outcome(s, 'alone@two.example', start)
        assert 'put off' in line and 'a.two.example' in line and 'grey' in line, line
        assert 'error "450 4.2.0 grey"' in queue_command(s, 'list', '-to', 'alone@two.example')
    # On a connection that has had a message.
    with Sink(2, says={'RCPT': ['250 2.1.5 ok', '450 4.2.0 later']}) as a, Sink(3) as b:
        fill(s, ['first@two.example', 'second@two.example'])
        release(s)
        assert len(a.wait()) == len(b.wait()) == 1 and len(a.connections) == 1, a.connections


@out
def recipients_each_hear_their_own(w, s, start):
    for extensions in (EXTENSIONS, ()):
        with Sink(1, extensions=extensions, says={'bad@one.example': '550 5.1.1 nobody',
                                                  'grey@one.example': '450 4.7.1 later'}) as sink:
            at = len(s.log_text())
            submit(s, ['good@one.example', 'bad@one.example', 'grey@one.example', 'fine@one.example'])
            mail, rcpts, data, _ = sink.wait()[0]
            assert rcpts == ['RCPT TO:<good@one.example>', 'RCPT TO:<fine@one.example>'], rcpts
            assert 'delivered' in outcome(s, 'good@one.example', at)
            assert 'failed' in outcome(s, 'bad@one.example', at)
            assert 'put off' in outcome(s, 'grey@one.example', at)
            assert 'delivered' in outcome(s, 'fine@one.example', at)
            assert len(sink.connections) == 1


@out
def too_many_recipients_take_another_transaction(w, s, start):
    for extensions in (EXTENSIONS, (), EXTENSIONS + ('LIMITS RCPTMAX=2',)):
        def few(c, line):
            if line.startswith('MAIL'):
                c.taken = 0
            if line.startswith('RCPT') and 'LIMITS RCPTMAX=2' not in extensions:
                c.taken += 1
                if c.taken > 2:
                    c.say('452 4.5.3 too many')
                    return True
            return False

        with Sink(1, extensions=extensions, hook=few) as sink:
            submit(s, ['r%d@one.example' % i for i in range(5)])
            got = [len(m[1]) for m in sink.wait(3)]
            assert got == [2, 2, 1] and len(sink.connections) == 1, (got, sink.connections)
    # Whom it has no time for any more hears what it said.
    for n, extensions in enumerate((EXTENSIONS, ())):
        with Sink(1, extensions=extensions + ('LIMITS RCPTMAX=1',), says={'MAIL': ['250 2.1.0 ok', '421 4.3.2 that will do']}):
            submit(s, ['in%d@one.example' % n, 'out%d@one.example' % n])
            assert 'delivered' in outcome(s, 'in%d@one.example' % n, start)
            line = outcome(s, 'out%d@one.example' % n, start)
            assert 'put off' in line and 'code=421' in line and 'that will do' in line, line


@out
def one_connection_for_several_messages(w, s, start):
    to = ['many%d@one.example' % i for i in range(9)]
    with Sink(1) as sink:
        fill(s, to)
        release(s)
        messages = sink.wait(9)
        assert len(sink.connections) == 1, sink.connections
        assert sorted(m[1][0] for m in messages) == ['RCPT TO:<%s>' % a for a in to]


@out
def a_server_that_hangs_up_between_messages(w, s, start):
    def moody(c, line):
        if line.startswith('MAIL') and getattr(c, 'had_one', False):
            if len(sink.connections) % 2:
                raise OSError('had enough')
            c.say('421 4.4.2 idle')
            return True
        c.had_one = c.__dict__.get('had_one') or line.startswith('DATA')
        return False

    with Sink(1, hook=moody) as sink:
        fill(s, ['moody%d@one.example' % i for i in range(4)])
        release(s)
        sink.wait(4)
        for i in range(4):
            assert 'delivered' in outcome(s, 'moody%d@one.example' % i, start)
        assert len(sink.messages) == 4 == len(sink.connections)


@out
def chunks_when_offered(w, s, start):
    with Sink(1, extensions=EXTENSIONS + ('CHUNKING',)) as sink:
        submit(s, 'bob@one.example', body='.dot\r\n.\r\n' + 'x' * 300000)
        mail, _, data, _ = sink.wait()[0]
        assert b'\r\n.dot\r\n.\r\nxxx' in data and 'SIZE=%d' % len(data) in mail, (mail, data[:500])
        assert any(l == 'BDAT %d LAST' % len(data) for l in sink.connections[0])


@out
def what_a_server_cannot_take(w, s, start):
    eight = 'gr\u00fc\u00dfe'
    with Sink(1, extensions=('PIPELINING',)) as sink:
        submit(s, 'eight@one.example', body=eight, options=['BODY=8BITMIME'])
        line = outcome(s, 'eight@one.example', start)
        assert 'failed' in line and '5.6.3' in line, line
        submit(s, 'seven@one.example', options=['BODY=8BITMIME'])
        assert 'BODY' not in sink.wait()[0][0]
        submit(s, 'j\u00fcrgen@one.example', options=['SMTPUTF8'])
        line = outcome(s, 'j\\xc3\\xbcrgen@one.example', start)
        assert 'failed' in line and '5.6.7' in line, line
    with Sink(1, extensions=EXTENSIONS + ('REQUIRETLS',)) as sink:
        submit(s, 'plainly@one.example', options=['REQUIRETLS'])
        line = outcome(s, 'plainly@one.example', start)
        assert 'failed' in line and '5.7.10' in line and not sink.messages, line
    with Sink(1, extensions=('PIPELINING', 'SIZE 1000', '8BITMIME', 'SMTPUTF8')) as sink:
        submit(s, 'large@one.example', body='x' * 2000)
        line = outcome(s, 'large@one.example', start)
        assert 'failed' in line and '5.3.4' in line, line
        submit(s, 'eight@one.example', body=eight, options=['BODY=8BITMIME'])
        mail = sink.wait()[0][0]
        assert mail.endswith(' BODY=8BITMIME'), mail
        submit(s, 'j\u00fcrgen@one.example', options=['SMTPUTF8'])
        mail, rcpts, _, _ = sink.wait(2)[1]
        assert mail.endswith(' SMTPUTF8') and rcpts == ['RCPT TO:<j\u00fcrgen@one.example>'], (mail, rcpts)


@out
def dual_stack_with_one_family_dead(w, s, start):
    with ipv6_alone():
        with Sink(1) as sink:  # nobody listens on ::1
            submit(s, 'four@dual.example')
            assert sink.wait()[0][1] == ['RCPT TO:<four@dual.example>']
        with Sink(1, address='::1') as sink:
            submit(s, 'six@dual.example')
            assert sink.wait()[0][1] == ['RCPT TO:<six@dual.example>']


@out
def address_literals(w, s, start):
    with Sink(4) as sink:
        submit(s, 'bob@[%s]' % ip(4))
        assert sink.wait()[0][1] == ['RCPT TO:<bob@[%s]>' % ip(4)]


@out
def greylisting(w, s, start):
    with Sink(1, says={'RCPT': ['450 4.7.1 come back', '250 ok']}) as sink:
        submit(s, 'greylisted@one.example')
        assert 'put off' in outcome(s, 'greylisted@one.example', start)
        entries = due_now(s, 'greylisted@one.example')
        assert entries[0][0] == 'greylisted@one.example' and 445 <= entries[0][1] <= 455, entries
        assert sink.wait()[0][1] == ['RCPT TO:<greylisted@one.example>']
        assert 'delivered' in outcome(s, 'greylisted@one.example', start, 2)


@test
def localserve_never_dials(**kw):
    if why_not():
        return
    with Internet([Zone('one.example', '@ MX 10 mx\nmx A %s\n' % ip(1))]) as internet, Sink(1) as sink:
        with running(env=internet.env) as s:
            c = smtplib.SMTP(s.ip, SUBMISSION, timeout=WAIT)
            c.starttls(context=insecure_context())
            c.login(LOGIN, PASSWORD)
            c.sendmail('mox@localhost', ['bob@one.example'], 'From: <mox@localhost>\r\nSubject: x\r\n\r\nhi\r\n')
            c.quit()
            c = s.imap()
            deadline = time.monotonic() + WAIT
            while c.select('INBOX')[1] == [b'0']:
                assert time.monotonic() < deadline, s.log_text()[-3000:]
                time.sleep(0.05)
            assert not sink.connections


last(out)


main('deliver')
