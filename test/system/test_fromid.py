"""
Return paths of their own for the recipients of some logins (FromIDLoginAddresses), and what other servers report later
to them: the message that is remembered, and the suppression list.
"""
from outside import *
from world import MESSAGE

PATH = r'MAIL FROM:<ann\+([\w-]{22})@example\.org>'


class World:
    def __enter__(self):
        self.internet = Internet([Zone('far.example', '@ MX 10 mx\nmx A %s\n@ TXT "v=spf1 ip4:127.0.0.1 -all"\n'
                                                      'mx TXT "v=spf1 ip4:127.0.0.1 -all"\n' % ip(1))])
        self.internet.start()
        self.s = Serve(env=self.internet.env).start()
        path = os.path.join(self.s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        rewrite(path, text.replace('\tann:\n\t\tDomain: example.org\n', '\tann:\n\t\tDomain: example.org\n'
                                   '\t\tKeepRetiredMessagePeriod: 24h\n\t\tFromIDLoginAddresses:\n\t\t\t- ann@example.org\n'))
        self.s.wait_log('domains config reloaded')
        for name in ('ann', 'bob'):
            assert self.s.command('setaccountpassword', name, input=name + ' password\n')[0] == 0
        return self

    def __exit__(self, *_):
        self.s.close()
        self.internet.close()


out = in_world(World)


def path_of(mail):
    found = re.match(PATH, mail)
    assert found, mail
    return 'ann+%s@example.org' % found.group(1)


def report(recipient, action='failed', status='5.1.1', code='smtp; 550 5.1.1 nobody here', more='', kind='delivery-status'):
    return ('From: <postmaster@far.example>\r\nTo: <ann@example.org>\r\nSubject: report\r\n'
            'Content-Type: multipart/report; report-type=%s; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n--b\r\n'
            'Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.far.example\r\n\r\n'
            'Final-Recipient: rfc822; %s\r\nAction: %s\r\nStatus: %s\r\nDiagnostic-Code: %s\r\n%s\r\n--b--\r\n' %
            (kind, recipient, action, status, code, more))


def comes_back(s, to, message, sender=''):
    w = s.connect(SMTP)
    w.expect('220')
    w.cmd('EHLO mx.far.example', '250')
    w.cmd('MAIL FROM:<%s>' % sender, '250')
    w.cmd('RCPT TO:<%s>' % to, '250')
    w.cmd('DATA', '354')
    w.write(message + '.\r\n')
    w.expect('250')
    w.close()


def retired(s, recipient):
    """What is remembered of messages to that recipient: (reverse path, whether it went well, results)."""
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data/queue/queue.db'), uri=True, timeout=WAIT)
    rows = db.execute('SELECT reverse_path, is_success, id FROM retired WHERE recipient = ? ORDER BY id', (recipient,)).fetchall()
    found = [(p, ok, db.execute('SELECT is_success, code, enhanced FROM result WHERE entry = ? ORDER BY id', (id,)).fetchall())
             for p, ok, id in rows]
    db.close()
    return found


def eventually(look):
    deadline = time.monotonic() + WAIT
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def suppressed(s):
    return s.command('queue', 'suppress', 'list')[1]


@out
def each_recipient_has_a_path_of_its_own(w, s, start):
    with Sink(1) as sink:
        submit(s, ['one@far.example', 'two@far.example', 'bob@example.org'], subject='paths')
        got = sink.wait(2)
        paths = {path_of(mail) for mail, _, _, _ in got}
        assert len(paths) == 2 and [len(rcpts) for _, rcpts, _, _ in got] == [1, 1], got
        assert eventually(lambda: {p for to in ('one', 'two') for p, _, _ in retired(s, to + '@far.example')} == paths)
    # bob is none of those logins.
    with Sink(1) as sink, smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT) as c:
        c.login('bob@example.org', 'bob password')
        c.sendmail('bob@example.org', ['one@far.example', 'two@far.example'], 'From: <bob@example.org>\r\n\r\nx\r\n')
        (mail, rcpts, _, _), = sink.wait()
        assert mail.startswith('MAIL FROM:<bob@example.org>') and len(rcpts) == 2, (mail, rcpts)


@out
def what_is_refused_at_once_comes_to_the_account(w, s, start):
    with Sink(1, says={'RCPT': '550 5.1.1 nobody'}):
        submit(s, 'refused@far.example', subject='refused')
        c = s.login('ann')
        eventually(lambda: (c.select('INBOX'), c.search(None, 'SUBJECT', '"mail delivery failed"')[1][0])[1])
        c.logout()
    eventually(lambda: 'refused@far.example' in suppressed(s))
    eventually(lambda: [len(r) for _, _, r in retired(s, 'refused@far.example')] == [1])


@out
def a_client_may_bring_its_own(w, s, start):
    with Sink(1) as sink:
        c = smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT)
        c.login('ann@example.org', 'ann password')
        message = 'From: <ann@example.org>\r\n\r\nx\r\n'
        c.sendmail('ann+order-17@example.org', ['own@far.example'], message)
        assert sink.wait()[0][0].startswith('MAIL FROM:<ann+order-17@example.org>')
        eventually(lambda: retired(s, 'own@far.example'))
        for to, sender, want in ((['own@far.example'], 'ann+order-17@example.org', (554, b'5.1.7')),
                                 (['own@far.example'], 'ann+ORDER-17@example.org', (554, b'5.1.7')),
                                 (['a@far.example', 'b@far.example'], 'ann+order-18@example.org', (554, b'5.5.3'))):
            try:
                c.sendmail(sender, to, message)
                raise AssertionError('taken: %s' % sender)
            except smtplib.SMTPDataError as e:
                assert (e.smtp_code, e.smtp_error[:5]) == want, e
        c.quit()
        assert len(sink.messages) == 1, sink.messages


@out
def what_is_reported_later_is_noted(w, s, start):
    with Sink(1) as sink:
        submit(s, ['late@far.example', 'full@far.example', 'fine@far.example'], subject='later')
        path = {rcpts[0].split('<')[1].split('>')[0]: path_of(mail) for mail, rcpts, _, _ in sink.wait(3)}
    for to in path:
        eventually(lambda: retired(s, to))
    # First what is no report about it: of nobody knows which message, about two, of somebody with an address, no report.
    late = path['late@far.example']
    comes_back(s, 'ann@example.org', report('late@far.example'))
    comes_back(s, 'ann+AAAAAAAAAAAAAAAAAAAAAA@example.org', report('late@far.example'))
    comes_back(s, late, report('late@far.example', more='\r\nFinal-Recipient: rfc822; x@y\r\nAction: failed\r\nStatus: 5.1.1\r\n'))
    comes_back(s, late, report('late@far.example'), sender='postmaster@far.example')
    comes_back(s, late, report('late@far.example', kind='disposition-notification'))
    comes_back(s, late, report('late@far.example', status='7.0.0'))
    comes_back(s, late, 'From: <postmaster@far.example>\r\nSubject: away\r\n\r\nI am on holiday.\r\n')
    # What is delivered or put off for now changes nothing but what is known.
    comes_back(s, path['fine@far.example'], report('fine@far.example', 'delivered', '2.0.0', 'smtp; 250 2.0.0 it is there'))
    assert eventually(lambda: len(retired(s, 'fine@far.example')[0][2]) == 2)
    assert retired(s, 'fine@far.example')[0][1:] == (1, [(1, 250, '2.0.0'), (1, 250, '2.0.0')]), retired(s, 'fine@far.example')
    comes_back(s, path['full@far.example'], report('full@far.example', 'delayed', '4.2.2', 'smtp; 452 4.2.2 full'))
    comes_back(s, path['full@far.example'].upper(), report('full@far.example', 'failed', '5.2.2', 'x-unix; full'))
    assert eventually(lambda: len(retired(s, 'full@far.example')[0][2]) == 3)
    assert retired(s, 'full@far.example')[0][1:] == (0, [(1, 250, '2.0.0'), (0, 452, '4.2.2'), (0, 500, '5.2.2')])
    assert 'full@far.example' not in suppressed(s), suppressed(s)
    assert retired(s, 'late@far.example')[0][1] == 1, retired(s, 'late@far.example')
    # One that does not exist is not written to any more.
    comes_back(s, late, report('late@far.example'))
    eventually(lambda: 'late@far.example' in suppressed(s))
    eventually(lambda: retired(s, 'late@far.example')[0][1:] == (0, [(1, 250, '2.0.0'), (0, 550, '5.1.1')]))
    s.wait_log('action=failed status=5.1.1', start)
    with Sink(1) as sink:
        submit(s, 'late@far.example', subject='in vain')
        eventually(lambda: len(retired(s, 'late@far.example')) == 2)
        assert not sink.connections
    # All of them are in ann's mailbox, as any mail.
    c = s.login('ann')
    c.select('INBOX')
    assert len(c.search(None, 'SUBJECT', '"report"')[1][0].split()) >= 9


last(out)


main('fromid')
