"""
SMTP and submission as an attacker, a pedant or a good modern client would speak them: chunks, later release, addresses
that ask to fail, headers, relay attempts, limits.
"""
import email
import sqlite3

from serving import *

AUTH = 'AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94'
LENIENT = [('Pedantic: true', 'Pedantic: false')]


def hello(port=SMTP, s=None):
    w = (s or server()).connect(port)
    w.smtp_hello()
    return w


def submitter(s=None):
    w = hello(SUBMISSION, s)
    w.cmd(AUTH, '235')
    return w


def envelope(w, sender='a@example.org', to=('b@example.com',), params=''):
    w.cmd('MAIL FROM:<%s>%s' % (sender, params), '250')
    for r in to:
        w.cmd('RCPT TO:<%s>' % r, '250')


def data(w, text, code):
    w.cmd('DATA', '354')
    w.write(text if isinstance(text, bytes) else text.encode())
    w.write('\r\n.\r\n')
    return w.expect(code)


def messages(s=None, mailbox='INBOX'):
    c = (s or server()).imap()
    n = int(c.select(mailbox, readonly=True)[1][0])
    newest = c.fetch(str(n), '(BODY.PEEK[])')[1][0][1] if n else b''
    c.logout()
    return n, newest


def wait_more(n, s=None):
    """The queue delivers after the acknowledgement."""
    deadline = time.monotonic() + WAIT
    while True:
        now, newest = messages(s)
        if now > n:
            return newest
        assert time.monotonic() < deadline, 'no delivery'
        time.sleep(0.05)


def queue_list(s=None):
    code, out, err = (s or server()).command('queue', 'list')
    assert code == 0, err
    return out


def queued_bytes(s):
    """The newest message of the queue."""
    number = max(int(l.split()[0]) for l in s.command('queue', 'list')[1].splitlines()[1:])
    return s.command('queue', 'dump', str(number))[1].replace('\r\n', '\n')


def queued(s, column):
    """What the queue keeps of its newest message."""
    db = sqlite3.connect('file:%s/data/queue/queue.db?mode=ro' % s.dir, uri=True)
    value = db.execute('SELECT %s FROM message ORDER BY id DESC LIMIT 1' % column).fetchone()[0]
    db.close()
    return value


# --- chunks -------------------------------------------------------------------------------------------


@test
def bdat_delivers_what_was_sent():
    n, _ = messages()
    w = hello()
    envelope(w)
    w.write('BDAT 14\r\nSubject: bdat\r')  # the CR LF that ends the line is cut between two chunks
    w.expect('250 2.0.0')
    w.write('BDAT 3\r\n\n\r\n')
    w.expect('250 2.0.0')
    w.write('BDAT 0\r\n')
    w.expect('250 2.0.0')
    w.write('BDAT 17 LAST\r\n.\r\n..dots\r\nlf\nx\r\n')
    w.expect('250 2.2.0')
    w.cmd('BDAT 0 LAST', '503 5.5.1')
    now, m = messages()
    assert now == n + 1 and m.endswith(b'\r\nSubject: bdat\r\n\r\n.\r\n..dots\r\nlf\r\nx\r\n'), m
    w.close()


@test
def bdat_binary_stays_as_it_is():
    with configured(main=LENIENT) as s:
        body = bytes(range(1, 256)) + b'\r\n.\r\n\n.\n\r.\r'
        w = hello(s=s)
        envelope(w, params=' BODY=BINARYMIME')
        w.cmd('DATA', '503 5.5.1')
        message = b'Content-Transfer-Encoding: binary\r\n\r\n' + body
        w.write(b'BDAT %d LAST\r\n%s' % (len(message), message))
        w.expect('250 2.2.0')
        assert messages(s)[1].endswith(b'\r\n' + message)
        w.close()


@test
def bdat_and_data_do_not_mix():
    w = hello()
    envelope(w)
    w.write('BDAT 4\r\na: b')
    w.expect('250')
    w.cmd('DATA', '503 5.5.1')
    w.cmd('RCPT TO:<c@example.com>', '503 5.5.1')
    w.cmd('MAIL FROM:<a@example.org>', '503 5.5.1')
    w.cmd('RSET', '250')
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.write('BDAT 4\r\nQUIT')
    w.expect('554 5.5.1')  # no recipients; what was in the chunk is no command
    envelope(w)
    data(w, 'Subject: x\r\n\r\nx', '250')
    w.close()


@test
def bdat_refused_swallows_its_chunks():
    with configured(main=[('\t\tTLS:\n', '\t\tSMTPMaxMessageSize: 100\n\t\tTLS:\n')]) as s:
        w = s.connect(SMTP)
        w.expect('220')
        w.write('BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n')  # before EHLO, in one packet
        w.expect('503 5.5.1')
        w.expect('503 5.5.1')
        w.cmd('EHLO x.example', '250')
        envelope(w)
        w.write('BDAT 50\r\n' + 'x' * 50 + 'BDAT 51\r\n' + 'QUIT\r\n' * 8 + 'abcBDAT 2 LAST\r\nabNOOP\r\n')
        w.expect('250 2.0.0')
        w.expect('552 5.2.3')
        w.expect('503 5.5.1')
        w.expect('250 2.0.0')
        envelope(w)
        w.write('BDAT 100 LAST\r\nA: ' + 'b' * 93 + '\r\n\r\n')  # as much as there may be
        w.expect('250 2.2.0')
        for wrong in ('', ' x', ' -1', ' 1 FIRST', ' 99999999999999999999'):
            w = hello(s=s)
            w.cmd('BDAT' + wrong, '501 5.5.4')
            assert w.at_end()  # where the chunk ends is unknown


@test
def bdat_with_bare_line_ends():
    for text in ('a\rb', 'a\n.\nb', 'a\r\n.\nb', 'a\n.\r\nb', 'a\r'):
        n, _ = messages()
        w = hello()
        envelope(w)
        w.write('BDAT %d LAST\r\n%s' % (len(text) + 3, 'x\r\n' + text))
        w.expect('500 5.5.2')
        w.cmd('NOOP', '250')
        w.close()
        assert messages()[0] == n, text


@test
def bdat_submits():
    n, _ = messages()
    w = submitter()
    envelope(w, LOGIN)
    message = 'From: <%s>\r\nSubject: by chunk\r\n\r\nx\r\n' % LOGIN
    for part in (message[:10], message[10:]):
        w.write('BDAT %d\r\n%s' % (len(part), part))
    w.write('BDAT 0 LAST\r\n')
    for code in ('250 2.0.0', '250 2.0.0', '250 2.2.0'):
        w.expect(code)
    w.close()
    assert b'Subject: by chunk' in wait_more(n)


# --- the end of DATA ----------------------------------------------------------------------------------


@test
def end_of_data_over_every_packet_boundary():
    n, _ = messages()
    text = b'Subject: split\r\n\r\n..\r\nx\r\n.\r\n'
    for cut in range(len(text) - 8, len(text)):
        w = hello()
        w.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        envelope(w)
        w.cmd('DATA', '354')
        for byte in (text[:cut], text[cut:]):
            w.write(byte)
        w.expect('250 2.2.0')
        w.cmd('NOOP', '250')
        w.close()
    w = hello()
    envelope(w)
    w.cmd('DATA', '354')
    for i in range(len(text)):
        w.write(text[i:i + 1])
    w.expect('250 2.2.0')
    now, m = messages()
    assert now == n + 9 and m.endswith(b'\r\n\r\n.\r\nx\r\n')


# --- STARTTLS -----------------------------------------------------------------------------------------


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        insecure_context().wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@test
def starttls_with_bytes_in_the_same_packet():
    for port in (SMTP, SUBMISSION):
        for more in (b'NOOP\r\n', b'EH', client_hello(), b'\r\n'):
            w = hello(port)
            w.write(b'STARTTLS\r\n' + more)
            w.reply()
            assert w.at_end(), (port, more)
            w.close()
    # A line that is not complete is no command, and stays one line.
    w = hello()
    w.write('START')
    w.write('TLS\r\n')
    w.expect('220 2.0.0')
    t = Wire(insecure_context().wrap_socket(w.sock))
    t.cmd('EHLO x.example', '250')
    t.close()


@test
def starttls_in_the_wrong_place():
    w = hello(SUBMISSION)
    w.cmd('AUTH PLAIN', '334')
    w.cmd('STARTTLS', '5')  # an answer to the challenge, and a wrong one
    w.cmd('NOOP', '250')
    w.cmd('STARTTLS x', '501 5.5.2')
    w.close()
    w = submitter()
    w.cmd('STARTTLS', '503 5.5.1')
    w.close()


# --- parameters and what is kept of them --------------------------------------------------------------


@test
def submission_extensions():
    r = hello(SUBMISSION).cmd('EHLO x', '250')
    m = re.search(r'\n250-FUTURERELEASE 5184000 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\n', r)
    assert m, r
    assert 'FUTURERELEASE' not in hello().cmd('EHLO x', '250')


@test
def future_release_waits_in_the_queue():
    with running() as s:
        w = submitter(s)
        for params, code in ((' HOLDFOR=0', '501 5.5.2'), (' HOLDFOR=5184001', '554 5.5.4'),
                             (' HOLDUNTIL=2020-01-01T00:00:00Z', '554 5.5.4'),
                             (' HOLDUNTIL=2999-01-01T00:00:00Z', '554 5.5.4'),
                             (' HOLDFOR=60 HOLDUNTIL=2999-01-01T00:00:00Z', '501 5.5.4'),
                             (' HOLDFOR=60 HOLDFOR=60', '501 5.5.4')):
            w.cmd('MAIL FROM:<%s>%s' % (LOGIN, params), code)
        until = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 7200))
        for params in (' HOLDFOR=3600', ' HOLDUNTIL=' + until):
            envelope(w, LOGIN, params=params)
            data(w, 'From: <%s>\r\n\r\nlater' % LOGIN, '250 2.2.0')
        w.close()
        lines = queue_list(s).splitlines()[:0:-1]  # the last to be tried comes first
        assert len(lines) == 2 and lines[0].endswith(' futurerelease "for;3600"'), lines
        assert re.search(r' next (59m\d+s|1h0m0s) ', lines[0]), lines
        assert lines[1].endswith(' futurerelease "until;%s"' % until), lines
        assert messages(s)[0] == 0
        s.stop()
        s.start()
        assert len(queue_list(s).splitlines()) == 3
    hello().cmd('MAIL FROM:<a@example.org> HOLDFOR=60', '555 5.3.3')


@test
def the_queue_keeps_what_the_next_server_must_hear():
    with running() as s:
        w = submitter(s)
        head = 'From: <%s>\r\n' % LOGIN
        for params, header, body, want in (
                ('', '', 'x', (0, 0, 0, 0)),
                (' BODY=8BITMIME', '', '\u00fc', (1, 0, 0, 0)),
                # What was announced and is not needed is no hindrance on the way.
                (' BODY=8BITMIME SMTPUTF8', '', '\u00fc', (1, 0, 0, 0)),
                (' BODY=8BITMIME SMTPUTF8', 'Subject: \u00fc\r\n', 'x', (1, 0, 1, 0)),
                ('', 'TLS-Required: no\r\nTLS-Required: No\r\n', 'x', (0, 0, 0, 2)),
                ('', 'TLS-Required: no\r\nTLS-Required: yes\r\n', 'x', (0, 0, 0, 0))):
            envelope(w, LOGIN, params=params + ' HOLDFOR=3600')
            data(w, head + header + '\r\n' + body, '250 2.2.0')
            assert queued(s, "is_8bit || is_binary || is_smtputf8 || require_tls") == '%d%d%d%d' % want, (params, header)
        w.cmd('MAIL FROM:<%s> REQUIRETLS' % LOGIN, '523 5.7.10')
        w.close()
        t = Wire(insecure_context().wrap_socket(socket.create_connection((s.ip, SUBMISSIONS), timeout=WAIT)))
        t.smtp_hello()
        t.cmd(AUTH, '235')
        envelope(t, LOGIN, params=' REQUIRETLS BODY=BINARYMIME HOLDFOR=3600')
        m = (head + 'TLS-Required: no\r\n\r\nx').encode()
        t.write(b'BDAT %d LAST\r\n' % len(m) + m)
        t.expect('250 2.2.0')
        assert queued(s, 'is_8bit || is_binary || is_smtputf8 || require_tls') == '1101'
        t.close()


@test
def utf8_addresses():
    n, _ = messages()
    w = hello()
    w.cmd('MAIL FROM:<j\u00f6rg@example.org>', '550 5.6.7')
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.cmd('RCPT TO:<j\u00f6rg@example.com>', '553 5.6.7')
    w.cmd('RSET', '250')
    envelope(w, 'j\u00f6rg@b\u00fccher.example', ['gr\u00fc\u00dfe@example.com'], ' SMTPUTF8')
    data(w, 'Subject: x\r\n\r\nx', '250')
    m = messages()[1]
    assert b' with UTF8SMTP id ' in m and 'Delivered-To: gr\u00fc\u00dfe@example.com'.encode() in m, m
    w.cmd('MAIL FROM:<a@example.org> SMTPUTF8', '250')
    w.cmd('RCPT TO:<b@example.com>', '250')
    data(w, 'Subject: x\r\n\r\nx', '250')
    assert b' with ESMTP id ' in messages()[1]  # it was not needed
    w.close()


# --- headers ------------------------------------------------------------------------------------------


def field(message, name):
    head = message.split(b'\r\n\r\n')[0].decode()
    m = re.search(r'^%s: ((?:\r\n[ \t]|[^\r])*)\r?$' % name, head, re.M)
    return re.sub(r'\r\n[ \t]', ' ', m.group(1)) if m else None


DATE = r'\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}'


@test
def received_field_says_how_it_came():
    ip = server().ip
    w = hello()
    envelope(w, to=['b@example.com', 'c@example.com'])
    data(w, 'Subject: x\r\n\r\nx', '250')
    m = messages()[1]
    want = (r'from client\.example \(\[127\.0\.0\.1\]\) by localhost \(\[%s\]\) via tcp with ESMTP id \S+ '
            r'for <(\w@example\.com)>; %s' % (re.escape(ip), DATE))
    found = re.fullmatch(want, field(m, 'Received'))
    assert found and found.group(1) == field(m, 'Delivered-To'), field(m, 'Received')  # each copy names its own
    assert all(len(l) <= 79 for l in m.split(b'\r\n\r\n')[0].decode().split('\r\n'))
    w.cmd('HELO old.example', '250')
    envelope(w)
    data(w, 'Subject: x\r\n\r\nx', '250')
    assert ' with SMTP id ' in field(messages()[1], 'Received')
    w.close()
    w = hello(SUBMISSION)
    w.cmd('STARTTLS', '220')
    for t in (Wire(insecure_context().wrap_socket(w.sock)), Wire(insecure_context().wrap_socket(
            socket.create_connection((ip, SUBMISSIONS), timeout=WAIT)))):
        if t.sock.getpeername()[1] == SUBMISSIONS:
            t.expect('220')
        t.cmd('EHLO x.example', '250')
        n, _ = messages()
        t.cmd(AUTH, '235')
        envelope(t, LOGIN)
        data(t, 'From: <%s>\r\n\r\nx' % LOGIN, '250')
        m = wait_more(n)
        want = (r'from localhost by localhost \(\[%s\]\) via tcp with ESMTPSA id \S+ \(TLS1\.3 TLS_\w+\) '
                r'for <b@example\.com>; %s' % (re.escape(ip), DATE))
        assert re.fullmatch(want, field(m, 'Received')), field(m, 'Received')
        assert field(m, 'Authentication-Results') == 'localhost; auth=pass smtp.mailfrom=' + LOGIN
        names = [l.split(':')[0] for l in m.decode().split('\r\n') if l[:1] not in ('\t', ' ')]
        assert names[:8] == ['Delivered-To', 'Return-Path', 'Received', 'Message-Id', 'Date', 'DKIM-Signature',
                             'Authentication-Results', 'From'], names
    # Copies for several are the same to the byte: none of them is named.
    n, _ = messages()
    envelope(t, LOGIN, to=['b@example.com', 'c@example.com'])
    data(t, 'From: <%s>\r\n\r\nx' % LOGIN, '250')
    assert ' for <' not in field(wait_more(n), 'Received')
    t.close()


@test
def submitted_headers_have_one_reading():
    with configured(main=LENIENT) as s:
        w = submitter(s)
        for head, code in (
                ('From: =?utf-8?q?other=40elsewhere.example?= <mox@localhost>\r\n', '250'),
                ('From: group:mox@localhost;\r\n', '250'),
                ('From: \r\n <mox@localhost>\r\n', '250'),
                ('', '554 5.6.0'),
                ('Subject: x\r\n', '550 5.6.0'),
                ('From: <mox@localhost>\r\nFrom: <mox@localhost>\r\n', '550 5.6.0'),
                ('From: <mox@localhost>, <mox@localhost>\r\n', '550 5.6.0'),
                ('From: <mox@localhost>\r\nSender: a@x\r\nSender: b@x\r\n', '550 5.6.0'),
                ('From: <mox@localhost>\r\nDate: x\r\nDate: y\r\n', '550 5.6.0'),
                ('From: <other@elsewhere.example>\r\n', '550 5.7.1'),
                ('From: other@elsewhere.example <mox@localhost>\r\n', '550 5.6.0'),
                ('From : <other@elsewhere.example>\r\nFrom: <mox@localhost>\r\n', '550 5.6.0'),
                ('From: <mox@localhost>\r\nno field\r\n', '550 5.6.0'),
                (' From: <other@elsewhere.example>\r\nFrom: <mox@localhost>\r\n', '550 5.6.0')):
            envelope(w, LOGIN)
            data(w, head + '\r\nbody' if head else 'no separator', code)
        w.close()


# --- pedantic -----------------------------------------------------------------------------------------


@test
def pedantic_and_not():
    long = 'a' * 65
    with configured(main=LENIENT) as s:
        for args, is_pedantic in (([], False), (['-pedantic'], True)):
            s.stop()
            s.args = args
            s.start()
            w = s.connect(SUBMISSION)
            w.expect('220')
            w.cmd('EHLO what ever', '501 5.5.2' if is_pedantic else '250')
            w.cmd('EHLO x.example', '250')
            w.cmd(AUTH, '235')
            w.cmd('MAIL FROM: <%s>' % LOGIN, '501 5.5.2' if is_pedantic else '250')
            w.cmd('RSET', '250')
            w.cmd('MAIL FROM:<%s>' % LOGIN, '250')
            w.cmd('RCPT TO:<%s@example.com>' % long, '501 5.5.2' if is_pedantic else '250')
            w.cmd('RSET', '250')
            envelope(w, LOGIN)
            data(w, 'From: <%s>\r\n\r\n\u00fc' % LOGIN, '500 5.6.0' if is_pedantic else '250')
            envelope(w, LOGIN)
            data(w, 'From: <%s>\r\nReturn-Path: <x@y>\r\n\r\nx' % LOGIN, '550 5.6.0' if is_pedantic else '250')
            envelope(w, LOGIN, params=' BODY=8BITMIME')
            data(w, 'From: <%s>\r\nSubject: \u00fc\r\n\r\nx' % LOGIN, '550 5.6.0' if is_pedantic else '250')
            w.close()
            w = hello(s=s)
            envelope(w)
            data(w, 'Subject: x\r\n\r\n' + 'x' * 1001, '554 5.6.0' if is_pedantic else '250')
            w.close()


@test
def syntax_errors_say_more_to_friends():
    w = submitter()
    assert ', at:  y@example.org>' in w.cmd('MAIL FROM:<x y@example.org>', '501 5.5.2')
    w.cmd('MAIL FROM:<%s> ' % LOGIN, '501 5.5.2')  # a blank at the end
    w.cmd('NOOP', '250')
    w.cmd('RSET ', '501 5.5.2')
    w.close()
    w = hello()
    assert 'y@example' not in w.cmd('MAIL FROM:<x y@example.org>', '501 5.5.2')
    w.cmd('MAIL FROM:<x@example.org> ', '250')
    w.cmd('RSET ', '250')
    w.close()


# --- localserve ---------------------------------------------------------------------------------------


@test
def addresses_that_ask_to_fail():
    w = hello()
    w.cmd('MAIL FROM:<mailfromtemperror@example.org>', '451')
    w.cmd('MAIL FROM:<mailfrom557@example.org>', '557')
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.cmd('RCPT TO:<rcpttopermerror@example.com>', '550')
    w.cmd('RCPT TO:<rcptto452@example.com>', '452')
    w.cmd('RSET', '250')
    for localpart, code in (('temperror', '451'), ('permerror', '550'), ('user401', '401'), ('queue550', '550'),
                            ('user399', '250'), ('user600', '250')):
        envelope(w, to=[localpart + '@example.com'])
        data(w, 'Subject: x\r\n\r\nx', code)
    w.close()
    w = submitter()
    for localpart, code in (('temperror', '451'), ('user554', '554')):
        envelope(w, LOGIN, to=[localpart + '@example.com'])
        data(w, 'From: <%s>\r\n\r\nx' % LOGIN, code)
    n = len(queue_list().splitlines())
    envelope(w, LOGIN, to=['queuepermerror@example.com'])
    data(w, 'From: <%s>\r\n\r\nx' % LOGIN, '250')
    w.close()
    deadline = time.monotonic() + WAIT
    while b'Final-Recipient: rfc822;queuepermerror@example.com' not in messages()[1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert b'\r\nDiagnostic-Code: smtp; 550 failure due to special localpart\r\n' in messages()[1]


@test
def an_address_that_never_answers():
    w = hello()
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.write('RCPT TO:<rcpttotimeout@example.com>\r\n')
    server().wait_log('localpart=rcpttotimeout')
    pid = server().pids('mox: session smtp')
    w.sock.shutdown(socket.SHUT_WR)  # nobody waits for it any more
    assert w.at_end() and pid


@test
def localserve_writes_its_files_and_ends():
    with tempfile.TemporaryDirectory() as d:
        r = run(MOX, 'localserve', '-dir', d + '/new', '-initonly')
        assert r.stdout == d + '/new is ready\n' and os.path.exists(d + '/new/mox.conf')
        before = open(d + '/new/mox.conf').read()
        run(MOX, 'localserve', '-dir', d + '/new', '-ip', '127.9.9.9', '-initonly')
        assert open(d + '/new/mox.conf').read() == before


# --- limits -------------------------------------------------------------------------------------------


@test
def a_thousand_recipients_and_no_more():
    w = hello()
    assert 'LIMITS RCPTMAX=1000' in w.cmd('EHLO x', '250')
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.write(''.join('RCPT TO:<r%d@example.com>\r\n' % i for i in range(1003)))
    codes = [w.reply()[:9] for _ in range(1003)]
    assert codes == ['250 2.1.0'] * 1000 + ['452 4.5.3'] * 3, codes[-5:]
    w.close()


@test
def endless_lines_take_no_memory():
    w = hello()
    pid = server().pids('mox: session smtp')[-1]  # the latest
    for _ in range(20):
        w.write(('EHLO ' + 'x' * 200 + '\r\nRCPT TO:<' + 'a' * 100 + '>\r\nVRFY ' + 'y' * 1000 + '\r\n') * 50)
        for _ in range(150):
            assert w.reply()
    with open('/proc/%d/statm' % pid) as f:
        private = int(f.read().split()[1]) * 4 - int(open('/proc/%d/statm' % pid).read().split()[2]) * 4
    assert private < 20000 or 'asan' in MOX, private
    w.close()


@test
def too_many_failed_messages():
    w = hello()
    for _ in range(11):
        envelope(w)
        data(w, 'x\rx', '500')
    w.cmd('MAIL FROM:<a@example.org>', '550 5.1.0')
    assert w.at_end()
    w = hello()
    envelope(w)
    data(w, 'Subject: x\r\n\r\nx', '250')  # one that was good, and it goes on
    for _ in range(12):
        envelope(w)
        data(w, 'x\rx', '500')
    w.cmd('MAIL FROM:<a@example.org>', '250')
    w.close()


@test
def a_day_has_its_limit():
    with configured(domains=[('\t\tDestinations:\n', '\t\tMaxOutgoingMessagesPerDay: 4\n\t\tDestinations:\n')]) as s:
        w = submitter(s)
        envelope(w, LOGIN, to=['a@x', 'b@x', 'c@x'])
        data(w, 'From: <%s>\r\n\r\nx' % LOGIN, '250')
        envelope(w, LOGIN, to=['a@x', 'b@x'])
        assert 'at most 4 recipients a day' in data(w, 'From: <%s>\r\n\r\nx' % LOGIN, '451 4.7.1')
        envelope(w, LOGIN, to=['a@x'])
        data(w, 'From: <%s>\r\n\r\nx' % LOGIN, '250')
        envelope(w, LOGIN, to=['a@x'])
        data(w, 'From: <%s>\r\n\r\nx' % LOGIN, '451 4.7.1')
        w.close()


# --- injection and relaying ---------------------------------------------------------------------------


@test
def nothing_is_injected_through_an_envelope():
    start = len(server().log_text())
    n, _ = messages()
    for line in (b'EHLO a\0b', b'MAIL FROM:<a\0b@example.org>', b'MAIL FROM:<"a\0b"@example.org>',
                 b'MAIL FROM:<"a\rb"@example.org>', b'MAIL FROM:<a@example.org\0>', b'MAIL FROM:<"a\\\rb"@example.org>',
                 b'MAIL FROM:<"a\x7fb"@example.org>', b'MAIL FROM:<a@example.org> AUTH=a+0Db',
                 b'MAIL FROM:<\xff@example.org> SMTPUTF8'):
        w = hello()
        w.write(line + b'\r\n')
        r = w.reply()
        assert r.startswith(('501 ', '555 ')) or b'AUTH=' in line, (line, r)
        w.close()
    w = hello()
    w.write('MAIL FROM:<"a\r\nRCPT TO:<b@example.com>\r\nx"@example.org>\r\n')
    w.expect('501')
    w.expect('503')
    w.expect('500')
    w.cmd('MAIL FROM:<"a b\\"c"@example.org>', '250')
    w.cmd('RCPT TO:<"x> y"@example.com>', '250')
    data(w, 'Subject: x\r\n\r\nx', '250')
    now, m = messages()
    assert now == n + 1 and m.startswith(b'Delivered-To: "x> y"@example.com\r\nReturn-Path: <"a b\\"c"@example.org>\r\n'), m
    for l in server().log_text(start).splitlines():
        assert l.startswith('l='), l
    w.close()


@test
@needs_dns
def strangers_cannot_relay():
    with serving_the_trusting() as s:
        # The report stays to be looked at: its next server is not there, and it would be given up.
        assert s.command('queue', 'holdrules', 'add', '-recipientdom', 'elsewhere.example')[0] == 0
        ann = s.login('ann')
        refused = ['a@elsewhere.example', '@example.org:a@elsewhere.example', '@example.org,@x.example:a@elsewhere.example',
                   'ann@elsewhere.example', 'ann@example.org.elsewhere.example', 'a@[127.0.0.1]', 'a@[IPv6:::1]']
        malformed = ['a@elsewhere.example@example.org', 'ann@example.org.', 'elsewhere.example!a', 'ann@.example.org',
                     'ann@example..org', '@example.org', 'ann@', 'ann@[1.2.3.4.5]', '"a"b@example.org', '']
        unknown = ['a%elsewhere.example@example.org', '"a@elsewhere.example"@example.org', 'elsewhere.example!a@example.org',
                   'nobody+ann@example.org', '"ann "@example.org', '"+ann"@example.org']
        w = hello(s=s)
        w.cmd('MAIL FROM:<a@elsewhere.example> SMTPUTF8', '250')
        for to in refused:
            w.cmd('RCPT TO:<%s>' % to, '550 5.1.1')
        for to in malformed:
            w.cmd('RCPT TO:<%s>' % to, '501 5.5.2')
        # At a domain of ours, strangers are told after the message, and after five seconds.
        for to in unknown + ['\uff41nn@example.org', 'ann@\uff45xample.com'[:3] + '\u017f@example.org']:
            w.cmd('RCPT TO:<%s>' % to, '250')
        started = time.monotonic()
        r = data(w, 'Subject: x\r\n\r\nx', '550')
        assert time.monotonic() - started > 4.9 and r.count('no such address here') == len(unknown) + 2, r
        assert queue_list(s).splitlines() in (['messages:', '(none)'], ['messages:']), queue_list(s)
        assert int(ann.select('INBOX')[1][0]) == 0
        # A good recipient among them gets it at once, and the queue answers for the rest.
        w.cmd('MAIL FROM:<a@elsewhere.example>', '250')
        for to in ('ANN+x@EXAMPLE.ORG', 'nobody@example.org'):
            w.cmd('RCPT TO:<%s>' % to, '250')
        data(w, 'Subject: x\r\n\r\nx', '250')
        assert int(ann.select('INBOX')[1][0]) == 1
        # Its report waits for the sender, whom SPF has shown to be real.
        wait_queue(s, 'from:<> to:<a@elsewhere.example>')
        number = re.search(r'^ *(\d+) .*from:<> to:<a@elsewhere\.example>', queue_list(s), re.M)[1]
        report = email.message_from_string(s.command('queue', 'dump', number)[1].replace('\r\n', '\n'))
        assert report.get_content_type() == 'multipart/report' and report['Subject'] == 'mail delivery failed'
        assert report['From'] == '<postmaster@example.org>' and report['To'] == '<a@elsewhere.example>'
        status = report.get_payload(1).get_payload(1)
        assert (status['Final-Recipient'], status['Status']) == ('rfc822;nobody@example.org', '5.1.1'), status
        w.close()


@test
def lists_take_mail_of_their_members():
    with serving() as s:
        ann = s.login('ann')
        w = hello(s=s)
        for sender, code in (('stranger@elsewhere.example', '550 5.7.2'), ('Team@example.org', '550 5.7.2'),
                             ('nobody@example.org', '550 5.7.2'), ('BOB+x@example.org', '250')):
            envelope(w, 'a@elsewhere.example', ['team@example.org'])
            data(w, 'From: <%s>\r\n\r\nx' % sender, code)
        # Whom a closed list refuses gets it to a public one.
        w.cmd('MAIL FROM:<a@elsewhere.example>', '250')
        w.cmd('RCPT TO:<both@example.org>', '250')
        data(w, 'From: <a@elsewhere.example>\r\n\r\nx', '250')
        w.close()
        assert int(ann.select('INBOX')[1][0]) == 2
        t = Wire(insecure_context().wrap_socket(socket.create_connection((s.ip, SUBMISSIONS), timeout=WAIT)))
        t.smtp_hello()
        t.cmd('AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBhbm4gcGFzc3dvcmQ=', '235')
        t.cmd('MAIL FROM:<team@example.org>', '550 5.7.1')  # not without AllowMsgFrom
        envelope(t, 'ann@example.org', ['team@example.org'])
        data(t, 'From: <ann@example.org>\r\n\r\nx', '250')
        t.close()


def inbox(s, name, n):
    """Waits for n messages, which must not be more."""
    deadline = time.monotonic() + WAIT
    c = s.login(name)
    while (now := int(c.select('INBOX')[1][0])) < n:
        assert time.monotonic() < deadline, (name, now, queue_list(s))
        time.sleep(0.05)
    assert now == n, (name, now)
    return c


def wait_queue(s, pattern):
    deadline = time.monotonic() + WAIT
    while not re.search(pattern, out := queue_list(s)):
        assert time.monotonic() < deadline, out
        time.sleep(0.05)


@test
def a_list_is_kept_for_members_without_room():
    """250 is a promise to every member that could not take it now, and to no other a second time."""
    with serving() as s:
        w = hello(s=s)
        for to, size in (('bob@example.org', 16000), ('both@example.org', 8000)):
            envelope(w, 'a@elsewhere.example', [to])
            data(w, 'From: <a@elsewhere.example>\r\n\r\n' + ('x' * 62 + '\r\n') * (size // 64), '250')
        inbox(s, 'ann', 1)
        wait_queue(s, r'to:<both@example.org> next \S+ last \d+s error "mailbox full"')
        c = inbox(s, 'bob', 1)
        c.store('1', '+FLAGS', r'(\Deleted)')
        c.expunge()
        c.logout()
        wait_queue(s, r'\(none\)')
        inbox(s, 'bob', 1)
        inbox(s, 'ann', 1)
        # The first of a list has no room; the queue asks the second all the same.
        s.stop()
        path = os.path.join(s.dir, 'domains.conf')
        text = open(path).read()
        members = ['\t\t\t\t\t- %s@example.org\n' % name for name in ('ann', 'bob')]
        open(path, 'w').write(text.replace(''.join(members), ''.join(members[::-1])))
        s.start()
        t = Wire(insecure_context().wrap_socket(socket.create_connection((s.ip, SUBMISSIONS), timeout=WAIT)))
        t.smtp_hello()
        t.cmd('AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBhbm4gcGFzc3dvcmQ=', '235')
        envelope(t, 'ann@example.org', ['both@example.org'])
        data(t, 'From: <ann@example.org>\r\n\r\n' + ('x' * 62 + '\r\n') * 250, '250')
        inbox(s, 'ann', 2)
        wait_queue(s, r'to:<both@example.org> next \S+ last \d+s error "mailbox full"')
        t.close()
        w.close()


@test
@needs_dns
def what_a_list_refused_does_not_come_through_the_queue():
    with serving_the_trusting() as s:
        # The report stays to be looked at: its next server is not there, and it would be given up.
        assert s.command('queue', 'holdrules', 'add', '-recipientdom', 'elsewhere.example')[0] == 0
        w = hello(s=s)
        envelope(w, 'a@elsewhere.example', ['ann@example.org', 'team@example.org'])
        data(w, 'From: <a@elsewhere.example>\r\n\r\nx', '250')
        wait_queue(s, 'from:<> to:<a@elsewhere.example>')
        assert 'Final-Recipient: rfc822;team@example.org\nAction: failed\nStatus: 5.7.2\n' in queued_bytes(s)
        # The queue has done what it had to do when this arrives.
        envelope(w, 'a@elsewhere.example', ['both@example.org'])
        data(w, 'From: <a@elsewhere.example>\r\n\r\nx', '250')
        inbox(s, 'ann', 2)
        inbox(s, 'bob', 1)
        w.close()


@test
@needs_dns
def tls_is_required_but_for_reports():
    with serving_the_trusting() as s:
        s.stop()
        s.set_conf('\t\tSMTP:\n', '\t\tSMTP:\n\t\t\tRequireSTARTTLS: true\n')
        path = os.path.join(s.dir, 'domains.conf')
        text = open(path).read().replace('\texample.org:\n', '\toff.example:\n\t\tDisabled: true\n\texample.org:\n'
            '\t\tTLSRPT:\n\t\t\tLocalpart: tlsreports\n\t\t\tAccount: ann\n\t\t\tMailbox: TLSRPT\n')
        text = text.replace('\t\t\tann@example.org: nil\n', '\t\t\tann@example.org: nil\n\t\t\tann@off.example: nil\n')
        open(path, 'w').write(text)
        s.start()
        w = hello(s=s)
        w.cmd('MAIL FROM:<a@elsewhere.example>', '250')
        for to in ('ann@example.org', 'nobody@example.org', 'a@elsewhere.example'):
            w.cmd('RCPT TO:<%s>' % to, '530 5.7.0')
        w.cmd('RCPT TO:<TLSreports@example.org>', '250')
        data(w, 'Subject: x\r\n\r\nx', '250')
        w.cmd('STARTTLS', '220')
        t = Wire(insecure_context().wrap_socket(w.sock))
        t.cmd('EHLO x.example', '250')
        envelope(t, 'a@elsewhere.example', ['ann@example.org'])
        t.cmd('RCPT TO:<ann@off.example>', '450 4.2.1')
        data(t, 'Subject: x\r\n\r\nx', '250')
        c = s.login('ann')
        assert [int(c.select(box)[1][0]) for box in ('INBOX', 'TLSRPT')] == [1, 1]
        t.close()
        t = Wire(insecure_context().wrap_socket(socket.create_connection((s.ip, SUBMISSIONS), timeout=WAIT)))
        t.smtp_hello()
        t.cmd('AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBhbm4gcGFzc3dvcmQ=', '235')
        t.cmd('MAIL FROM:<ann@off.example>', '451 4.3.0')
        t.cmd('MAIL FROM:<ann@[127.0.0.1]>', '550 5.7.1')
        envelope(t, 'ann@example.org', ['ann@example.org'])
        data(t, 'From: <ann@off.example>\r\n\r\nx', '451 4.3.0')
        t.close()


@test
def a_first_line_that_is_a_continuation_stays_its_own():
    """A stranger's blank must not put words into our Received field."""
    with serving() as s:
        w = hello(s=s)
        envelope(w, 'a@elsewhere.example', ['ann@example.org'])
        data(w, ' for <somebody@else.example>; forged\r\nSubject: x\r\n\r\nx', '250')
        c = inbox(s, 'ann', 1)
        raw = c.fetch('1', '(BODY.PEEK[HEADER])')[1][0][1].decode()
        received = re.search(r'^Received: (?:.*\r\n[ \t])*.*\r\n', raw, re.M).group(0)
        assert 'forged' not in received and 'X-Mox-Malformed: the header began with:\r\n for <somebody@else' in raw, raw


@test
def a_thread_that_delivered_delivers_again():
    """The account's process keeps a few for a moment; then it is as small as before."""
    with running() as s:
        def threads():
            with contextlib.suppress(OSError):  # it ends when nothing comes for it
                return [t for t in os.listdir('/proc/%d/task' % account) if int(t) != account]
            return []

        w = hello(s=s)
        seen = []

        def is_used_again():
            """It would be, unless a second passes between two of them."""
            envelope(w)
            data(w, 'Subject: x\r\n\r\nx', '250')
            nonlocal account
            account, = s.pids('mox: account mox')[:1] or [account]
            seen.extend(threads())
            return any(seen.count(t) >= 5 for t in seen)

        account = 0
        eventually(is_used_again, lambda: seen)
        eventually(lambda: not threads(), threads)
        data_came = hello(s=s)
        envelope(data_came)
        data(data_came, 'Subject: x\r\n\r\nx', '250')


main('smtp-more')
