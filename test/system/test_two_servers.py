"""
Mail between two servers of ours, with REQUIRETLS from end to end and back, and released later; and with whatever they
say of each other. A has example.org, B has far.example with a list that goes on to others.
"""
from outside import *

PORT = ('\t\t\tPort: 1025\n', '\t\t\tPort: 25\n')
LISTS = '''			onward:
				Addresses:
					- carl@third.example
				PostPublic: true
			astray:
				Addresses:
					- carl@fourth.example
				PostPublic: true
'''


class Far(Serve):
    """The same server under another name, for another domain."""

    def start(self, *args, expect_failure=False):
        new = not os.path.exists(os.path.join(self.dir, 'localhost.key'))
        super().start(*args, expect_failure=expect_failure)
        if new:
            self.stop()
            for name, pairs in (('mox.conf', [('mail.example.org', 'mail.far.example')]),
                                ('domains.conf', [('\t\t\tteam:\n', LISTS + '\t\t\tteam:\n'), ('example.org', 'far.example')])):
                path = os.path.join(self.dir, name)
                text = open(path).read()
                for old, now in pairs:
                    assert old in text, old
                    text = text.replace(old, now)
                open(path, 'w').write(text)
            super().start(*args)
        return self


class World:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-outside-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        self.third = self.ca.certificate('mx.third.example', 'mx.fourth.example')
        # Their certificates, and with them the zones, are there once they have run.
        self.s, self.far = Serve(env={'MOX_SMTP_TIMEOUT_MS': '20000'}), Far(env={'MOX_SMTP_TIMEOUT_MS': '20000'})
        zones = []
        for server, domain in ((self.s, 'example.org'), (self.far, 'far.example')):
            server.start()
            for name in ('ann', 'bob'):
                assert server.command('setaccountpassword', name, input=name + ' password\n')[0] == 0
            server.stop()
            server.set_conf(*PORT)
            record = tlsa(3, 1, 1, os.path.join(server.dir, 'localhost.crt'))
            zones.append(Zone(domain, '@ MX 10 mail\n@ TXT "v=spf1 ip4:%s -all"\nmail A %s\nmail TXT "v=spf1 a -all"\n'
                                      '_25._tcp.mail %s\n' % (server.ip, server.ip, record)))
        for n, name in enumerate(('third', 'fourth')):
            zones.append(Zone(name + '.example', '@ MX 10 mx\nmx A %s\n_25._tcp.mx %s\n' %
                              (ip(1 + n), tlsa(3, 1, 1, self.third[0]))))
        self.internet = Internet(zones)
        self.internet.start()
        for server in (self.s, self.far):
            server.env.update(self.internet.env)
            server.start()
        return self

    def __exit__(self, *_):
        for server in (self.s, self.far):
            server.close()
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def sink(self, n, *extensions):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.third)
        return Sink(n, tls=context, extensions=EXTENSIONS + extensions)


both = in_world(World)


def arrived(s, domain, who, subject, mailbox='INBOX'):
    """The newest message with that subject in somebody's mailbox, once it is there."""
    c = imaplib.IMAP4(s.ip, IMAP, timeout=WAIT)
    c.login('%s@%s' % (who, domain), who + ' password')
    deadline = time.monotonic() + WAIT
    while True:
        c.select(mailbox)
        if found := c.search(None, 'SUBJECT', '"%s"' % subject)[1][0].split():
            raw = c.fetch(found[-1].decode(), '(BODY.PEEK[])')[1][0][1].decode()
            c.logout()
            return re.sub(r'\r\n[ \t]+', ' ', raw)
        assert time.monotonic() < deadline, s.log_text()[-3000:]
        time.sleep(0.05)


@both
def requiretls_all_the_way(w, s, start):
    submit(s, 'ann@far.example', subject='to the end', options=('REQUIRETLS',))
    message = arrived(w.far, 'far.example', 'ann', 'to the end')
    assert ' with UTF8SMTPS ' in message or ' with ESMTPS ' in message, message
    # A list passes it on with the same wish, to whoever takes it.
    with w.sink(1, 'REQUIRETLS') as third:
        submit(s, 'onward@far.example', subject='passed on', options=('REQUIRETLS',))
        mail, rcpts, data, is_tls = third.wait()[0]
        assert is_tls and mail.endswith(' REQUIRETLS') and rcpts == ['RCPT TO:<carl@third.example>'], (mail, rcpts)


@both
def requiretls_comes_back_where_it_ends(w, s, start):
    """The next server does not know it: nothing is said to it, and the report travels as the message did."""
    far_start = len(w.far.log_text())
    with w.sink(2) as fourth:
        submit(s, 'astray@far.example', subject='lost', options=('REQUIRETLS',))
        assert '5.7.30' in outcome(w.far, 'carl@fourth.example', far_start)
        assert not any(line.startswith('MAIL') for c in fourth.connections for line in c), fourth.connections
    report = arrived(s, 'example.org', 'ann', 'mail delivery failed')
    for line in ('Status: 5.7.30', 'Reporting-MTA: dns; mail.far.example', 'Return-Path: <>'):
        assert line in report, (line, report)
    # RFC 8689 5: with headers only, over a connection that is as good.
    assert 'hello' not in report.split('\r\n\r\n', 1)[1].split('Content-Type: text/rfc822-headers')[1], report
    line = outcome(w.far, 'ann@example.org', far_start)
    assert 'delivered' in line, line
    # To a server that does not know it, it goes without, since it must not be lost for that; still over TLS.
    s.stop()
    s.set_conf('\t\t\tPort: 25\n', '\t\t\tPort: 25\n\t\t\tNoRequireTLS: true\n')
    s.start()
    far_start = len(w.far.log_text())
    with w.sink(2):
        submit(s, 'astray@far.example', subject='lost again', options=('REQUIRETLS',))
        line = outcome(w.far, 'ann@example.org', far_start)
        assert 'delivered' in line, line
    again = arrived(s, 'example.org', 'ann', 'mail delivery failed')
    assert again != report and ' with ESMTPS id ' in again and 'Status: 5.7.30' in again, again
    s.stop()
    s.set_conf('\t\t\tNoRequireTLS: true\n', '')
    s.start()


@both
def what_is_not_required_of_all_is_not_asked_of_the_next(w, s, start):
    with w.sink(1) as third:
        submit(s, 'onward@far.example', subject='as usual')
        mail = third.wait()[0][0]
        assert 'REQUIRETLS' not in mail, mail


@both
def released_later(w, s, start):
    """HOLDFOR and HOLDUNTIL (RFC 4865): A keeps it, B gets it in its time and knows nothing of that."""
    until = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 86400))
    for n, (parameter, seconds) in enumerate((('HOLDFOR=3600', 3600), ('HOLDUNTIL=' + until, 86400))):
        to, subject = ('ann', 'bob')[n] + '@far.example', 'later %d' % n
        submit(s, to, subject=subject, options=(parameter,))
        assert seconds - WAIT < waits_for(s, to) <= seconds + 1, waits_for(s, to)
        assert 'futurerelease' in s.command('queue', 'list')[1]
        assert len(due_now(s, to)) == 1
        assert 'delivered' in outcome(s, to, start)
        message = arrived(w.far, 'far.example', ('ann', 'bob')[n], subject)
        assert 'HOLD' not in w.far.log_text() and 'Future' not in message, message
    # What comes of it is told with what was asked for (RFC 4865 4.6).
    submit(s, 'nobody@far.example', subject='later still', options=('HOLDFOR=3600',))
    due_now(s, 'nobody@far.example')
    assert 'delivery failed' in outcome(s, 'nobody@far.example', start)
    deadline = time.monotonic() + WAIT
    while 'Final-Recipient: rfc822;nobody@far.example' not in (report := arrived(s, 'example.org', 'ann', 'mail delivery failed')):
        assert time.monotonic() < deadline, report
        time.sleep(0.05)
    assert '\r\nFuture-Release-Request: for;3600\r\n' in report and 'Status: 5.1.1' in report, report


last(both)


main('two-servers')
