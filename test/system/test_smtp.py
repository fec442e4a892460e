"""SMTP and submission against a running server, with curl, swaks and raw bytes."""
import smtplib
import ssl

from harness import *

def newest():
    """The newest message of the Inbox as bytes."""
    c = server().imap()
    n = int(c.select('INBOX')[1][0])
    data = c.fetch(str(n), '(BODY.PEEK[])')[1][0][1]
    c.logout()
    return data


def count():
    c = server().imap()
    n = int(c.select('INBOX')[1][0])
    c.logout()
    return n


def wait_count(n):
    """The queue delivers after the acknowledgement."""
    deadline = time.monotonic() + WAIT
    while count() < n:
        assert time.monotonic() < deadline, 'no delivery'
        time.sleep(0.05)


@test
def swaks_delivers():
    n = count()
    run('swaks', '--server', '%s:%d' % (server().ip, SMTP), '--from', 'a@example.org', '--to',
        'b@example.com', '--header', 'Subject: by swaks', '--body', 'hi')
    assert count() == n + 1
    m = newest()
    assert b'Subject: by swaks' in m and m.startswith(b'Delivered-To: b@example.com\r\nReturn-Path: <a@example.org>\r\nReceived: from ')


@test
def swaks_with_starttls():
    n = count()
    run('swaks', '--server', '%s:%d' % (server().ip, SMTP), '--from', 'a@example.org', '--to',
        'b@example.com', '-tls', '--body', 'hi')
    assert count() == n + 1
    assert b'ESMTPS' in newest() and b'TLS1.3' in newest()


@test
def swaks_submits_with_auth_plain_and_login():
    for mechanism in ('PLAIN', 'LOGIN'):
        for tls in (['-tls'], [], ['--tlsc', '-p', str(SUBMISSIONS)]):
            n = count()
            port = [] if '--tlsc' in tls else ['-p', str(SUBMISSION)]
            run('swaks', '--server', server().ip, *port, *tls, '--auth', mechanism, '--auth-user', LOGIN,
                '--auth-password', PASSWORD, '--from', LOGIN, '--to', 'far@example.com', '--body', 'hi')
            wait_count(n + 1)
    assert b'ESMTPSA' in newest()


@test
def curl_submits_and_reads():
    n = count()
    run('curl', '-sS', '--url', 'smtps://%s:%d' % (server().ip, SUBMISSIONS), '-k', '-u',
        '%s:%s' % (LOGIN, PASSWORD), '--mail-from', LOGIN, '--mail-rcpt', 'x@example.com', '-T', '-',
        input='From: <mox@localhost>\nSubject: by curl\n\nbody\n')
    run('curl', '-sS', '--url', 'smtp://%s:%d' % (server().ip, SMTP), '--mail-from', 'a@example.org',
        '--mail-rcpt', 'x@example.com', '-T', '-', input='From: <a@example.org>\nSubject: two\n\nbody\n')
    wait_count(n + 2)
    for url, more in (('imap://%s:%d' % (server().ip, IMAP), []),
                      ('imaps://%s:%d' % (server().ip, IMAPS), ['-k']),
                      ('imap://%s:%d' % (server().ip, IMAP), ['-k', '--ssl-reqd'])):
        out = run('curl', '-sS', '-u', '%s:%s' % (LOGIN, PASSWORD), *more,
                  url + '/INBOX;MAILINDEX=%d' % (n + 2)).stdout
        assert 'Subject:' in out and 'body' in out, out


@test
def submission_completes_headers():
    n = count()
    w = smtplib.SMTP(server().ip, SUBMISSION, timeout=WAIT)
    w.login(LOGIN, PASSWORD)
    w.sendmail(LOGIN, ['x@example.com'], 'From: mox@localhost\r\n\r\nno date, no id\r\n')
    w.quit()
    wait_count(n + 1)
    m = newest()
    assert b'\r\nMessage-Id: <' in m and b'\r\nDate: ' in m
    assert b'Received: from localhost by localhost' in m  # the client's address is nobody's business


@test
def submission_checks_sender():
    w = server().connect(SUBMISSION)
    w.smtp_hello()
    w.cmd('MAIL FROM:<mox@localhost>', '530 5.7.0')
    w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94', '235 2.7.0')
    w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94', '503 5.5.1')
    w.cmd('MAIL FROM:<other@localhost>', '550 5.7.1')
    w.cmd('MAIL FROM:<mox+tag@localhost>', '250')
    w.cmd('RCPT TO:<x@example.com>', '250')
    w.cmd('DATA', '354')
    w.write('From: <someone@else.example>\r\n\r\nx\r\n.\r\n')
    w.expect('550 5.7.1')
    w.cmd('MAIL FROM:<mox@localhost>', '250')
    w.cmd('RCPT TO:<x@example.com>', '250')
    w.cmd('DATA', '354')
    w.write('From: <mox@localhost>\r\nFrom: <mox@localhost>\r\n\r\nx\r\n.\r\n')
    w.expect('550 5.6.0')
    w.cmd('MAIL FROM:<mox@localhost>', '250')
    w.cmd('RCPT TO:<x@example.com>', '250')
    w.cmd('DATA', '354')
    w.write('no header at all\r\n.\r\n')
    w.expect('554 5.6.0')
    w.close()


@test
def bad_password_is_refused():
    w = server().connect(SUBMISSION)
    w.smtp_hello()
    w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAd3Jvbmd3cm9uZw==', '535 5.7.8')
    w.cmd('AUTH PLAIN !!!', '501 5.5.2')
    w.cmd('AUTH PLAIN', '334')
    w.cmd('*', '501 5.5.0')
    w.cmd('AUTH GSSAPI', '504 5.5.4')
    w.cmd('AUTH PLAIN AG5vYm9keUBsb2NhbGhvc3QAbW94bW94bW94', '535 5.7.8')
    w.close()


@test
def commands_and_replies():
    w = server().connect(SMTP)
    w.expect('220 localhost ESMTP mox')
    w.cmd('MAIL FROM:<a@example.org>', '503 5.5.1')
    w.cmd('EHLO', '501 5.5.2')
    r = w.cmd('EHLO [127.0.0.1]', '250')
    assert r.split('\n') == ['250-localhost', '250-PIPELINING', '250-SIZE 104857600', '250-STARTTLS',
                             '250-ENHANCEDSTATUSCODES', '250-8BITMIME', '250-CHUNKING',
                             '250-BINARYMIME', '250-LIMITS RCPTMAX=1000',
                             '250 SMTPUTF8'], r
    w.cmd('RCPT TO:<b@example.com>', '503 5.5.1')
    w.cmd('DATA', '503 5.5.1')
    w.cmd('AUTH PLAIN x', '503 5.5.1')
    w.cmd('VRFY someone', '252 2.7.0')
    w.cmd('VRFY', '501 5.5.2')
    w.cmd('HELP', '214 2.0.0')
    w.cmd('noop', '250 2.0.0')
    w.cmd('FROBNICATE', '500 5.5.1')
    w.cmd('MAIL FROM:<a@example.org> SIZE=104857601', '552 5.3.4')
    w.cmd('MAIL FROM:<a@example.org> FOO=1', '555 5.3.3')
    w.cmd('MAIL FROM:<a@example.org> SIZE=1 SIZE=1', '501 5.5.4')
    w.cmd('MAIL FROM:<a@example.org> REQUIRETLS', '523 5.7.10')
    w.cmd('MAIL FROM:<\u00e4@example.org>', '550 5.6.7')
    w.cmd('MAIL FROM:<a@[127.0.0.1]>', '550 5.7.0')
    w.cmd('MAIL FROM:a@example.org', '501')
    w.cmd('MAIL FROM:<>', '250')
    w.cmd('MAIL FROM:<a@example.org>', '503 5.5.1')
    w.cmd('RCPT TO:<b@example.com> NOTIFY=NEVER', '555 5.3.3')
    w.cmd('RCPT TO:<b@example.com>', '250')
    w.cmd('RCPT TO:<c@example.com>', '452 4.5.3')  # a bounce has one recipient
    w.cmd('RSET', '250')
    w.cmd('DATA', '503 5.5.1')
    w.cmd('QUIT', '221 2.0.0')
    assert w.at_end()
    w.close()


@test
def other_protocols_are_dropped():
    for first in ('GET / HTTP/1.1', 'a1 LOGIN x y'):
        w = server().connect(SMTP)
        w.expect('220')
        w.cmd(first, '500 5.5.2')
        assert w.at_end()
        w.close()


@test
def long_lines_and_bare_line_ends():
    w = server().connect(SMTP)
    w.expect('220')
    w.write('EHLO ' + 'x' * 5000 + '\r\n')
    w.expect('500 5.5.0')
    assert w.at_end()
    w = server().connect(SMTP)
    w.expect('220')
    w.write('EHLO x.example\n')
    w.expect('500 5.5.2')
    assert w.at_end()


@test
def smuggling_matrix():
    """RFC 5321 2.3.8: only CR LF . CR LF ends the data; what others might take for it is refused."""
    ends = ['\n', '\r', '\r\n', '\r\0\n']
    for before in ends:
        for after in ends:
            if before == after == '\r\n':
                continue
            n = count()
            w = server().connect(SMTP)
            w.smtp_hello()
            w.cmd('MAIL FROM:<a@example.org>', '250')
            w.cmd('RCPT TO:<b@example.com>', '250')
            w.cmd('DATA', '354')
            w.write('Subject: smuggler\r\n\r\nx%s.%sMAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.com>\r\n'
                    'DATA\r\nsmuggled\r\n.\r\n' % (before, after))
            w.expect('500 5.5.2')
            w.cmd('NOOP', '250 2.0.0')  # one reply for the data, and no other
            w.cmd('QUIT', '221')
            w.close()
            assert count() == n, (before, after)


@test
def dot_stuffing_and_bare_lf():
    w = server().connect(SMTP)
    w.smtp_hello()
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.cmd('RCPT TO:<b@example.com>', '250')
    w.cmd('DATA', '354')
    w.write('Subject: dots\r\n\r\n..one\r\n...\r\nplain\nlf\r\n.')
    w.write('\r')
    w.write('\n')
    w.expect('250')
    m = newest()
    assert m.endswith(b'\r\n\r\n.one\r\n..\r\nplain\r\nlf\r\n'), m
    w.close()


@test
def starttls_injection():
    """RFC 3207 4.2: bytes sent in plain behind STARTTLS never act."""
    for port in (SMTP, SUBMISSION):
        n = count()
        w = server().connect(port)
        w.smtp_hello()
        w.write('STARTTLS\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n')
        w.reply()
        assert w.at_end(), port
        w.close()
        assert count() == n


@test
def starttls_resets_and_comes_once():
    for port in (SMTP, SUBMISSION):
        w = server().connect(port)
        w.smtp_hello()
        if port == SMTP:
            w.cmd('MAIL FROM:<a@example.org>', '250')
        w.cmd('STARTTLS', '220 2.0.0')
        t = Wire(insecure_context().wrap_socket(w.sock))
        t.cmd('MAIL FROM:<a@example.org>', '503 5.5.1')
        r = t.cmd('EHLO x.example', '250')
        assert 'STARTTLS' not in r and 'REQUIRETLS' in r
        t.cmd('STARTTLS', '503 5.5.1')
        t.cmd('RCPT TO:<x@example.com>', '503 5.5.1')
        t.cmd('QUIT', '221')
        t.close()


@test
def tls_records_of_one_byte():
    w = server().connect(SMTP)
    w.smtp_hello()
    w.cmd('STARTTLS', '220')
    t = Wire(insecure_context().wrap_socket(w.sock))
    for byte in b'EHLO x.example\r\nNOOP\r\n':
        t.write(bytes([byte]))
    t.expect('250')
    t.expect('250 2.0.0')
    t.close()


@test
def size_limit():
    with configured(main=[('\t\tTLS:\n', '\t\tSMTPMaxMessageSize: 1000\n\t\tTLS:\n')]) as s:
        w = s.connect(SMTP)
        assert 'SIZE 1000' in w.smtp_hello()
        w.cmd('MAIL FROM:<a@example.org> SIZE=1001', '552 5.2.3')
        w.cmd('MAIL FROM:<a@example.org>', '250')
        w.cmd('RCPT TO:<b@example.com>', '250')
        w.cmd('DATA', '354')
        w.write('x' * 2000 + '\r\n')
        w.expect('451 4.2.3')
        assert w.at_end()


@test
def pipelining():
    n = count()
    w = server().connect(SMTP)
    w.expect('220')
    w.write('EHLO x.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n')
    for code in ('250', '250', '250', '250', '354'):
        w.expect(code)
    w.write('Subject: p\r\n\r\nx\r\n.\r\nQUIT\r\n')
    w.expect('250')
    w.expect('221')
    assert count() == n + 2  # two recipients


@test
def malformed_message_is_kept_as_it_is():
    body = 'this is no header\x01\r\n\r\nContent-Type: multipart/mixed; boundary="\r\n--\r\n\xff\r\n'
    for pedantic in (True, False):
        with configured(main=[] if pedantic else [('Pedantic: true', 'Pedantic: false')]) as s:
            w = s.connect(SMTP)
            w.smtp_hello()
            w.cmd('MAIL FROM:<a@example.org>', '250')
            w.cmd('RCPT TO:<b@example.com>', '250')
            w.cmd('DATA', '354')
            w.write(body.encode('latin-1') + b'.\r\n')
            # For programs under test localserve is strict, unless told not to be.
            w.expect('554 5.6.0' if pedantic else '250')
            c = s.imap()
            n = int(c.select('INBOX')[1][0])
            assert n == (0 if pedantic else 1)
            if n:
                assert c.fetch('1', '(BODY.PEEK[])')[1][0][1].endswith(body.encode('latin-1'))
            c.logout()


@test
def large_message():
    n = count()
    body = ''.join('%06d %s\r\n' % (i, 'x' * 60) for i in range(80000))
    server().send(body)
    m = newest()
    assert m.endswith(body.encode() + b'\r\n'), len(m)
    assert count() == n + 1


@test
def received_loop_is_refused():
    w = server().connect(SMTP)
    w.smtp_hello()
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.cmd('RCPT TO:<b@example.com>', '250')
    w.cmd('DATA', '354')
    w.write('Received: from x\r\n' * 101 + '\r\nloop\r\n.\r\n')
    w.expect('550 5.4.6')


@test
def random_commands_in_any_order():
    """The state machine under commands in random order: always a reply, never a crash."""
    import random
    rng = random.Random(1)
    commands = ['EHLO x.example', 'HELO y.example', 'MAIL FROM:<a@example.org>', 'MAIL FROM:<>',
                'RCPT TO:<b@example.com>', 'RSET', 'NOOP', 'VRFY x', 'AUTH PLAIN x', 'DATA', 'HELP',
                'STARTTLS x', 'EXPN y', 'RCPT TO:<>', 'MAIL', 'RCPT']
    for _ in range(20):
        w = server().connect(SMTP)
        w.expect('220')
        w.cmd('EHLO x.example', '250')
        for _ in range(100):
            w.write(rng.choice(commands) + '\r\n')
            r = w.reply()
            assert r, 'connection ended'
            if r.startswith('354'):
                w.write('Subject: r\r\n\r\nx\r\n.\r\n')
                w.expect('250')
            elif r.startswith('550 5.1.0'):
                break
        w.close()
    assert 'crashed' not in server().log_text()


main('smtp')
