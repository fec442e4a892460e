"""
The queue as senders and operators see it: reports to senders (RFC 3461 to 3464), read with Python's email package, and
`mox queue ...`. Clients are smtplib, swaks and msmtp.
"""
import email
import json
import re
import smtplib
import tempfile

from outside import *


def messages(c, mailbox='INBOX'):
    """All messages of a mailbox, oldest first."""
    if c.select(mailbox, readonly=True)[0] != 'OK':
        return []
    found = [email.message_from_bytes(part[1]) for part in c.fetch('1:*', '(BODY.PEEK[])')[1] if isinstance(part, tuple)] \
        if int(c.select(mailbox, readonly=True)[1][0]) else []
    return found


def reports(c, n=1, mailbox='INBOX'):
    """The n reports in a mailbox, once they are there."""
    def look():
        found = [m for m in messages(c, mailbox) if m.get_content_type() == 'multipart/report']
        return found if len(found) >= n else None
    found = eventually(look)
    assert len(found) == n, [m.as_string() for m in found]
    for m in found:
        check_report(m)
    return found


def check_report(m):
    """RFC 3464, 6522: what every report has."""
    assert m.get_param('report-type') == 'delivery-status' and m['Auto-Submitted'] == 'auto-replied'
    assert not m.defects and m['Return-Path'] == '<>', (m.defects, m['Return-Path'])
    text, status, original = m.get_payload()
    assert text.get_content_type() == 'text/plain' and status.get_content_type() == 'message/delivery-status'
    assert original.get_content_type() in ('text/rfc822-headers', 'message/rfc822'), original.get_content_type()
    about, *recipients = [part for part in status.get_payload() if part.keys()]
    assert about['Reporting-MTA'].startswith('dns; ') and about['Arrival-Date']
    for r in recipients:
        assert r['Final-Recipient'].startswith('rfc822;') and r['Action'] and re.match(r'[245]\.\d+\.\d+$', r['Status'])


def status(m):
    return [part for part in m.get_payload(1).get_payload() if part.keys()]


@test
def an_account_that_hangs_delays_nobody_else():
    """It has its share of the deliveries that go on at once, and what it does not answer waits for another time."""
    with running(env={'MOX_SILENT_MS': '200'}) as s:
        assert s.command('config', 'account', 'add', 'ann', 'ann@localhost')[0] == 0
        assert s.command('setaccountpassword', 'ann', input='ann has a word\n')[0] == 0
        hers = s.imap(login=False)
        hers.login('ann@localhost', 'ann has a word')
        hers.select('INBOX')  # stays, and with it the process
        pid, = s.pids('mox: account ann')
        os.kill(pid, signal.SIGSTOP)
        others = ['ann+%d@localhost' % i for i in range(20)]
        with client(s) as c:
            c.sendmail('mox@localhost', others, 'From: <mox@localhost>\r\nSubject: to ann\r\n\r\nhi\r\n')
        s.submit('to mox')
        c = s.imap()
        eventually(lambda: [m['Subject'] for m in messages(c)] == ['to mox'])
        assert 'gave no answer in time' not in s.log_text()  # that was not waited for
        # Those over its share are put off, and have lost nothing.
        s.wait_log_count('delivery put off', 16)
        os.kill(pid, signal.SIGCONT)
        # However slow it is here: those that are put off again are tried again.
        eventually(lambda: s.command('queue', 'schedule', '-now', '0s')[0] == 0 and hers.select('INBOX')[1] == [b'20'] and 'ann' not in s.command('queue', 'list')[1])
        assert sorted(m['Delivered-To'] for m in messages(hers)) == sorted(others)
        c.logout()
        hers.logout()


def client(s, login=LOGIN, password=PASSWORD, port=SUBMISSION):
    c = smtplib.SMTP(s.ip, port, timeout=WAIT)
    c.ehlo('client.example')
    if 'starttls' in c.esmtp_features and port == SUBMISSION and login != LOGIN:
        c.starttls(context=insecure_context())
        c.ehlo('client.example')
    c.login(login, password)
    return c


TEXT = 'From: <%s>\r\nSubject: a subject\r\nMessage-ID: <m1@client.example>\r\n\r\nthe body\r\n'


@test
def failures_are_reported():
    with running() as s:
        c, imap = client(s), s.imap()
        assert 'dsn' in c.esmtp_features
        c.sendmail(LOGIN, ['queuepermerror@example.com'], TEXT % LOGIN, ['RET=FULL', 'ENVID=QQ+2B1'],
                   ['NOTIFY=FAILURE', 'ORCPT=rfc822;Perm+2BError@example.com'])
        m, = reports(imap)
        assert m['To'] == '<%s>' % LOGIN and m['From'].startswith('<postmaster@') and m['References'] == '<m1@client.example>'
        about, r = status(m)
        assert about['Original-Envelope-Id'] == 'QQ+1'
        assert r['Original-Recipient'] == 'rfc822;Perm+Error@example.com'
        assert r['Final-Recipient'] == 'rfc822;queuepermerror@example.com'
        assert (r['Action'], r['Status'], r['Diagnostic-Code'][:9]) == ('failed', '5.0.0', 'smtp; 550')
        returned = m.get_payload(2).get_payload(0)
        assert returned['Subject'] == 'a subject' and returned.get_payload() == 'the body\r\n', returned.as_string()
        # Without asking for more, the header comes back; NEVER is kept.
        c.sendmail(LOGIN, ['queuepermerror@example.com'], TEXT % LOGIN, [], ['NOTIFY=NEVER'])
        c.sendmail(LOGIN, ['queuepermerror@example.com'], TEXT % LOGIN)
        m = reports(imap, 2)[1]
        assert m.get_payload(2).get_content_type() == 'text/rfc822-headers'
        assert 'Subject: a subject' in m.get_payload(2).get_payload() and 'the body' not in m.as_string()
        eventually(lambda: s.command('queue', 'list')[1] == 'messages:\n(none)\n')
        reports(imap, 2)
        c.quit()


@test
def successes_are_reported_when_asked_for():
    with running() as s:
        c, imap = client(s), s.imap()
        c.sendmail(LOGIN, ['anyone@example.com'], TEXT % LOGIN)
        c.sendmail(LOGIN, ['anyone@example.com'], TEXT % LOGIN, [], ['NOTIFY=SUCCESS,FAILURE'])
        m, = reports(imap)
        assert (status(m)[1]['Action'], status(m)[1]['Status']) == ('delivered', '2.0.0')
        eventually(lambda: len(messages(imap)) == 3)
        c.quit()


@test
def swaks_and_msmtp_ask_for_reports():
    with running() as s:
        imap = s.imap()
        run('swaks', '--server', '%s:%d' % (s.ip, SUBMISSION), '--auth', 'PLAIN', '--auth-user', LOGIN, '--auth-password',
            PASSWORD, '--from', LOGIN, '--to', 'queuepermerror@example.com', '--h-From', '<%s>' % LOGIN)
        reports(imap)
        with tempfile.NamedTemporaryFile('w', suffix='.msmtprc') as f:
            f.write('account default\nhost %s\nport %d\nfrom %s\nauth plain\nuser %s\npassword %s\ntls off\n'
                    'dsn_notify success\ndsn_return headers\n' % (s.ip, SUBMISSION, LOGIN, LOGIN, PASSWORD))
            f.flush()
            os.chmod(f.name, 0o600)
            run('msmtp', '-C', f.name, 'anyone@example.com', input=TEXT % LOGIN)
        assert status(reports(imap, 2)[1])[1]['Action'] == 'delivered'


@test
def reports_are_for_the_account_that_sent():
    with serving() as s:
        s.stop()
        path = os.path.join(s.dir, 'domains.conf')
        text = open(path).read()
        with open(path, 'w') as f:
            f.write(text.replace('\t\t\tteam:\n', '\t\t\tteam:\n\t\t\t\tAllowMsgFrom: true\n'))
        s.start()
        ann, bob = s.login('ann'), s.login('bob')
        # In a list's name, to a list: what is told goes to her, not to the list.
        c = client(s, 'ann@example.org', 'ann password')
        c.sendmail('team@example.org', ['both@example.org'], TEXT % 'team@example.org', [], ['NOTIFY=SUCCESS'])
        m, = reports(ann)
        assert status(m)[1]['Action'] == 'expanded' and m['To'] == '<team@example.org>'
        eventually(lambda: len(messages(bob)) == 1)
        assert messages(bob)[0].get_content_type() == 'text/plain'
        c.quit()


@test
def a_report_without_its_account_goes_to_the_postmaster():
    with serving() as s:
        queue(s, 'holdrules', 'add', '-recipientdom', 'example.org')
        c = client(s, 'bob@example.org', 'bob password')
        c.sendmail('bob@example.org', ['ann@example.org'], TEXT % 'bob@example.org', [], ['NOTIFY=SUCCESS'])
        c.quit()
        path = os.path.join(s.dir, 'domains.conf')
        text = open(path).read()
        s.stop()
        with open(path, 'w') as f:
            f.write(re.sub(r'\tbob:\n.*', '', text, flags=re.S).replace('\t\t\t\t\t- bob@example.org\n', ''))
        s.start()
        ann = s.login('ann')
        queue(s, 'holdrules', 'remove', '1')
        queue(s, 'unhold')
        m, = reports(ann, mailbox='Postmaster')
        assert m['To'] == '<bob@example.org>' and status(m)[1]['Action'] == 'delivered'


@test
def what_is_asked_for_must_be_well_formed():
    with running() as s:
        w = s.connect(SUBMISSION)
        assert '250-DSN\n' in w.smtp_hello()
        w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94', '235')
        for params in (' RET=ALL', ' ENVID=', ' ENVID=a+0D+0AX', ' ENVID=' + 'x' * 101, ' RET=FULL RET=FULL'):
            w.cmd('MAIL FROM:<%s>%s' % (LOGIN, params), '501 5.5')
        w.cmd('MAIL FROM:<%s> RET=HDRS ENVID=+2B' % LOGIN, '250')
        for params in (' NOTIFY=', ' NOTIFY=NEVER,DELAY', ' NOTIFY=X', ' ORCPT=x', ' ORCPT=rfc822;a+0Ab', ' ORCPT=rfc822;' + 'x' * 500):
            w.cmd('RCPT TO:<a@example.com>' + params, '501 5.5')
        w.cmd('RCPT TO:<a@example.com> NOTIFY=DELAY,SUCCESS ORCPT=utf-8;\\x{F6}@x', '250')
        w.close()
        # Nobody outside is told of anything they ask for.
        w = s.connect(SMTP)
        assert 'DSN' not in w.smtp_hello()
        w.cmd('MAIL FROM:<a@example.com> RET=HDRS', '555 5.3.3')
        w.cmd('MAIL FROM:<a@example.com>', '250')
        w.cmd('RCPT TO:<b@example.com> NOTIFY=SUCCESS', '555 5.3.3')
        w.close()


def queue(s, *args, want=0):
    """What a command prints; else its complaint."""
    code, out, err = s.command('queue', *args)
    assert code == want, (args, code, out, err)
    return out if want == 0 else err


def ids(s, *flags):
    lines = queue(s, 'list', *flags).splitlines()
    assert lines[0] == 'messages:'
    return [int(l.split()[0]) for l in lines[1:] if l != '(none)']


@test
def what_waits_is_listed_and_changed():
    with configured(main=[('Postmaster:\n', 'Transports:\n\tsmarthost:\n\t\tSMTP:\n\t\t\tHost: relay.example\nPostmaster:\n')]) as s:
        imap = s.imap()
        # On hold by a rule before it comes: nothing moves that is not meant to.
        assert queue(s, 'holdrules', 'list') == 'hold rules:\n(none)\n'
        assert queue(s, 'holdrules', 'add', '-senderdom', 'LOCALHOST') == '0 messages put on hold\n'
        assert queue(s, 'holdrules', 'list') == 'hold rules:\nid 1: sender domain "localhost"\n'
        c = client(s)
        for to in ('a@one.example', 'b@two.example', 'c@two.example'):
            c.sendmail(LOGIN, [to], TEXT % LOGIN)
        assert ids(s, '-sort', 'queued', '-asc') == [1, 2, 3] and ids(s, '-hold', 'false') == []
        assert ids(s, '-to', '@two.example', '-asc', '-sort', 'queued') == [2, 3] and ids(s, '-n', '1', '-sort', 'queued') == [3]
        assert ids(s, '-submitted', '>now') == [] and len(ids(s, '-submitted', '<1h', '-account', 'mox')) == 3
        assert 'on hold' in queue(s, 'list', '-ids', '1')
        assert 'no duration' in queue(s, 'list', '-submitted', '<soon', want=1)
        queue(s, 'list', 'x', want=2)
        # The message, to the byte; nothing of a number that is none.
        m = queue(s, 'dump', '2')
        assert m.startswith('Received: ') and m.endswith('Message-ID: <m1@client.example>\n\nthe body\n'), m
        assert queue(s, 'dump', '99', want=1) == 'mox: no message 99 in the queue\n'
        assert queue(s, 'transport', '-ids', '1', 'nowhere', want=1) == 'mox: no transport "nowhere" in mox.conf\n'
        assert queue(s, 'transport', '-ids', '1', 'smarthost') == '1 message(s) changed\n'
        assert queue(s, 'requiretls', '-ids', '1', 'yes') == '1 message(s) changed\n'
        assert ' transport "smarthost" requiretls yes\n' in queue(s, 'list', '-transport', 'smarthost')
        assert 'none of yes, no, default' in queue(s, 'requiretls', 'perhaps', want=1)
        assert queue(s, 'transport', '-ids', '1', '') == queue(s, 'requiretls', '-ids', '1', 'default')
        assert queue(s, 'schedule', '-to', '@two.example', '2h') == '2 message(s) rescheduled\n'
        assert re.search(r' next (2h0m0s|1h59m\d+s) ', queue(s, 'list', '-nextattempt', '>1h')), queue(s, 'list')
        assert queue(s, 'schedule', '-to', '@two.example', '-30m') == '2 message(s) rescheduled\n'
        assert queue(s, 'schedule', '-to', '@two.example', '--', '-10m') == '2 message(s) rescheduled\n'
        assert re.search(r' next (1h20m0s|1h19m\d+s) ', queue(s, 'list', '-nextattempt', '>1h')), queue(s, 'list')
        # Upstream's first version had one command for it.
        assert queue(s, 'schedule', '-now', '1h') == '3 message(s) rescheduled\n'
        assert queue(s, 'kick', '-recipient', '@two.example') == queue(s, 'kick', '-todomain', 'wo.example') == '0 messages scheduled\n'
        assert queue(s, 'kick', '-todomain', 'one.example', '-recipient', 'b@two.example') == '0 messages scheduled\n'
        assert len(ids(s, '-nextattempt', '>50m')) == 3
        assert queue(s, 'kick', '-id', '1', '-transport', 'nowhere', want=1) == 'mox: no transport "nowhere" in mox.conf\n'
        assert queue(s, 'kick', '-id', '1', '-transport', 'smarthost') == '1 messages scheduled\n'
        assert sorted(ids(s, '-nextattempt', '>50m')) == [2, 3] and ids(s, '-transport', 'smarthost') == [1]
        assert (got := queue(s, 'kick', '-todomain', 'two.example', '-recipient', 'B@two.example', '-transport', '')) == '1 messages scheduled\n', got
        assert ids(s, '-nextattempt', '>50m') == [3] and queue(s, 'kick') == '3 messages scheduled\n'
        assert ids(s, '-nextattempt', '>1m') == []
        queue(s, 'kick', 'x', want=2), queue(s, 'kick', '-id', 'x', want=1), queue(s, 'kick', '-id', '1,2', want=2)
        assert queue(s, 'transport', '') == '3 message(s) changed\n'
        assert 'is true or false' in queue(s, 'list', '-asc=perhaps', want=2) and queue(s, 'list', '-asc=false')
        assert queue(s, 'holdrules', 'add', '-recipientdom', 'no domain', want=1) == 'mox: "no domain" is no domain\n'
        # What a person fails is reported, what they drop is not.
        assert queue(s, 'fail', '-ids', '2') == '1 message(s) marked as failed\n'
        assert queue(s, 'drop', '-ids', '3') == '1 message(s) dropped\n'
        assert queue(s, 'unhold', '-ids', '1') == '1 messages changed\n'
        m, = reports(imap)
        assert status(m)[1]['Final-Recipient'] == 'rfc822;b@two.example' and 'canceled by the administrator' in m.as_string()
        eventually(lambda: queue(s, 'list') == 'messages:\n(none)\n')
        assert sorted(m['Delivered-To'] for m in messages(imap)) == ['a@one.example', LOGIN]
        # The rule holds still, until it goes.
        c.sendmail(LOGIN, ['d@two.example'], TEXT % LOGIN)
        assert ids(s, '-hold', 'true')
        assert queue(s, 'holdrules', 'remove', '1') == ''
        assert queue(s, 'holdrules', 'remove', '1', want=1) == 'mox: no hold rule 1\n'
        assert queue(s, 'schedule', '-now', '1h') == '1 message(s) rescheduled\n'
        assert queue(s, 'unhold') == '1 messages changed\n' and len(messages(imap)) == 2
        assert queue(s, 'schedule', '-now', '0s') == '1 message(s) rescheduled\n'
        eventually(lambda: len(messages(imap)) == 3)
        # localserve keeps for three days what became of it all.
        eventually(lambda: queue(s, 'retired', 'list').count(' success ') == 2, lambda: queue(s, 'retired', 'list'))
        assert queue(s, 'retired', 'list').startswith('messages:\n')
        assert len(queue(s, 'retired', 'list', '-result', 'failure').splitlines()) == 3
        what = json.loads(queue(s, 'retired', 'print', '2'))
        assert what['Recipient'] == 'b@two.example' and not what['Success'] and what['Results'][0]['Secode'] == '5.7.0', what
        c.quit()


@test
def suppressed_recipients_are_not_written_to():
    with running() as s:
        c, imap = client(s), s.imap()
        header = 'suppressions (account, address, manual, time added, base address, reason):\n'
        assert queue(s, 'suppress', 'list') == header + '(none)\n'
        assert queue(s, 'suppress', 'lookup', 'mox', 'bob@other.example') == 'not present\n'
        for verb in ('add', 'lookup'):
            assert queue(s, 'suppress', verb, 'mox', 'bob', want=1) == 'mox: "bob" is no email address\n'
        assert queue(s, 'suppress', 'add', 'mox', 'B.ob+tag@Other.example') == ''
        assert queue(s, 'suppress', 'lookup', 'mox', 'bob@other.example').startswith('present\nadded: 20')
        assert queue(s, 'suppress', 'list', '-account', 'mox').count('"bob@other.example"') == 1
        c.sendmail(LOGIN, ['bob-x@other.example'], TEXT % LOGIN)
        m, = reports(imap)
        assert status(m)[1]['Status'] == '5.7.1' and 'suppression list' in m.get_payload(0).get_payload()
        assert queue(s, 'suppress', 'remove', 'mox', 'bob@other.example') == ''
        assert 'not on' in queue(s, 'suppress', 'remove', 'mox', 'bob@other.example', want=1)
        c.sendmail(LOGIN, ['bob-x@other.example'], TEXT % LOGIN)
        eventually(lambda: len(messages(imap)) == 2)
        c.quit()


@contextlib.contextmanager
def with_another_server(**kw):
    with Internet([Zone('one.example', '@ MX 10 mx\nmx A %s\n' % ip(1))]) as internet:
        with serving(env=internet.env) as s, Sink(1, **kw) as sink:
            yield s, sink


ASKED = dict(options=['RET=HDRS', 'ENVID=QQ+2B1'], rcpt_options=['NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;Out@one.example'])


@test
@needs_dns
def another_server_that_reports_is_asked_to():
    with with_another_server(extensions=EXTENSIONS + ('DSN',)) as (s, sink):
        submit(s, 'out@one.example', **ASKED)
        mail, rcpts, _, _ = sink.wait()[0]
        assert ' RET=HDRS' in mail and ' ENVID=QQ+2B1' in mail, mail
        assert rcpts == ['RCPT TO:<out@one.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Out@one.example'], rcpts
        eventually(lambda: queue(s, 'list') == 'messages:\n(none)\n')
        assert messages(s.login('ann')) == []


@test
@needs_dns
def another_server_that_does_not_report_is_the_end_of_it():
    with with_another_server() as (s, sink):
        submit(s, 'out@one.example', **ASKED)
        mail, rcpts, _, _ = sink.wait()[0]
        assert 'ENVID' not in mail and rcpts == ['RCPT TO:<out@one.example>'], (mail, rcpts)
        m, = reports(s.login('ann'))
        about, r = status(m)
        assert about['Original-Envelope-Id'] == 'QQ+1' and r['Original-Recipient'] == 'rfc822;Out@one.example'
        assert (r['Action'], r['Status']) == ('relayed', '2.0.0') and r['Remote-MTA'] == 'dns; mx.one.example ([%s])' % ip(1)


@test
@needs_dns
def whom_another_server_does_not_know_is_not_tried_again():
    with with_another_server(says={'RCPT': '550 5.1.1 no such user'}) as (s, sink):
        ann = s.login('ann')
        submit(s, 'nobody@one.example', headers='Message-ID: <m7@example.org>\r\n')
        m, = reports(ann)
        r = status(m)[1]
        assert (r['Action'], r['Status']) == ('failed', '5.1.1') and r['Diagnostic-Code'] == 'smtp; 550 5.1.1 no such user', r.as_string()
        assert m['References'] == '<m7@example.org>'
        assert 'no such user' in queue(s, 'suppress', 'lookup', 'ann', 'nobody@one.example')
        n = len(sink.connections)
        submit(s, 'no.body+x@one.example')
        assert status(reports(ann, 2)[1])[1]['Status'] == '5.7.1' and len(sink.connections) == n
        # A code that the server did not say is not in its words.
        sink.says['RCPT'] = ['550-no such user\r\n550 here']
        submit(s, 'nobody.else@one.example')
        r = status(reports(ann, 3)[2])[1]
        assert (r['Status'], r['Diagnostic-Code']) == ('5.0.0', 'smtp; 550 no such user here'), r.as_string()
        # Another account may still find out for itself.
        assert queue(s, 'suppress', 'lookup', 'bob', 'nobody@one.example') == 'not present\n'


main('queue')
