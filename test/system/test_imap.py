"""IMAP against a running server, with imaplib and raw bytes."""
import struct

from harness import *

MESSAGE = (b'From: Ann <ann@example.org>\r\nTo: Bob <bob@example.com>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n'
           b'Date: Tue, 01 Sep 2026 10:00:00 +0200\r\nMessage-Id: <m%d@example.org>\r\nMIME-Version: 1.0\r\n'
           b'Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
           b'needle in text\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner body\r\n'
           b'--b--\r\n')


def ok(response):
    assert response[0] == 'OK', response
    return response[1]


def fresh(c, name, n=0):
    """A mailbox with n messages, selected."""
    c.delete(name)
    ok(c.create(name))
    for i in range(n):
        ok(c.append(name, None, None, MESSAGE % i))
    ok(c.select(name))


@test
def login_and_authenticate():
    c = server().imap(login=False)
    try:
        c.login(LOGIN, 'wrong password')
        raise AssertionError('logged in')
    except c.error as e:
        assert 'AUTHENTICATIONFAILED' in str(e)
    c.authenticate('PLAIN', lambda _: b'\0' + LOGIN.encode() + b'\0' + PASSWORD.encode())
    assert 'IDLE' in c.capabilities
    c.logout()
    c = server().imap(login=False)
    c.starttls(insecure_context())
    c.login(LOGIN, PASSWORD)
    c.logout()
    server().imap(tls=True).logout()


@test
def before_login():
    w = server().connect(IMAP)
    assert w.line().startswith('* OK [CAPABILITY IMAP4rev2 IMAP4rev1 ')
    w.imap_cmd('a CAPABILITY')
    w.imap_cmd('b NOOP')
    w.imap_cmd('c ID ("name" "x")')
    w.imap_cmd('d SELECT INBOX', 'NO')
    w.imap_cmd('e FROBNICATE', 'BAD')
    w.imap_cmd('f LOGIN x', 'BAD')
    w.imap_cmd('g AUTHENTICATE GSSAPI', 'NO')
    w.write('h LOGIN {3+}\r\nfoo {3}\r\n')
    assert w.line().startswith('+ ')
    w.write('bar\r\n')
    assert w.imap_until('h')[-1].startswith('h NO [AUTHENTICATIONFAILED]')
    w.imap_cmd('i LOGOUT')
    assert w.at_end()


@test
def strangers_cannot_send_much():
    for attack in ('a LOGIN {100000000}\r\n', 'a LOGIN {5000+}\r\n', 'a ' + 'x' * 20000 + '\r\n',
                   'a APPEND INBOX {10}\r\n', 'a NOOP\n', 'GET / HTTP/1.0\r\n'):
        w = server().connect(IMAP)
        w.line()
        w.write(attack)
        lines = w.rest().decode()
        assert '* BYE' in lines, (attack[:20], lines)
        w.close()


@test
def an_account_with_too_many_connections_says_bye():
    with running() as s:
        held = []
        for i in range(501):
            w = s.connect(IMAP)
            w.line()
            w.write('a LOGIN %s %s\r\n' % (LOGIN, PASSWORD))
            line = w.line()
            held.append(w)
            if not line.startswith('a OK'):
                break
        assert i == 500 and line == '* BYE [UNAVAILABLE] too many connections to this account', (i, line)
        assert w.at_end()
        held[0].imap_cmd('b LOGOUT')
        assert held[0].at_end()
        deadline = time.monotonic() + WAIT
        while True:  # there is room as soon as its thread has gone
            w = s.connect(IMAP)
            w.line()
            w.write('a LOGIN %s %s\r\n' % (LOGIN, PASSWORD))
            if w.line().startswith('a OK'):
                break
            assert time.monotonic() < deadline
        for w in held:
            w.close()


@test
def starttls_injection():
    w = server().connect(IMAP)
    w.line()
    w.write('a STARTTLS\r\nb NOOP\r\n')
    got = w.rest().decode()
    assert 'b OK' not in got, got
    w.close()


@test
def starttls_where_it_does_not_belong():
    """Half a command in plain is not finished in TLS, and an exchange is not interrupted."""
    w = server().connect(IMAP)
    w.line()
    w.write('a STARTTLS\r\nb NO')
    while w.line():  # to the end, where the second half has nobody to read it
        pass
    w.close()
    w = server().connect(IMAP)
    w.line()
    w.write('a STARTTLS\r\n')
    assert w.line().startswith('a OK')
    w.write('b NOOP\r\n')  # no handshake begins so
    assert w.at_end()
    w.close()
    w = server().connect(IMAP)
    w.line()
    w.write('a AUTHENTICATE PLAIN\r\n')
    assert w.line().startswith('+')
    w.write('b STARTTLS\r\n')  # an answer to the challenge, and a wrong one
    assert w.line().startswith('a BAD'), 'not refused'
    w.write('c START')
    w.write('TLS\r\n')
    assert w.line().startswith('c OK')
    t = Wire(insecure_context().wrap_socket(w.sock))
    t.imap_cmd('d LOGIN %s %s' % (LOGIN, PASSWORD))
    t.imap_cmd('e STARTTLS', 'BAD')
    t.close()


@test
def login_needs_tls_where_configured():
    with running() as s:
        conf = os.path.join(s.dir, 'mox.conf')
        text = open(conf).read().replace('\t\t\tNoRequireSTARTTLS: true\n', '')
        s.stop()
        open(conf, 'w').write(text)
        s.start()
        w = s.connect(IMAP)
        assert 'LOGINDISABLED' in w.line()
        lines = w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD), 'NO')
        assert '[PRIVACYREQUIRED]' in lines[-1]
        w.close()
        w = s.connect(SUBMISSION)
        assert '250-AUTH \n' in w.smtp_hello() + '\n'
        w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94', '538 5.7.11')
        w.close()
        c = s.imap(login=False)
        c.starttls(insecure_context())
        c.login(LOGIN, PASSWORD)
        c.logout()


@test
def mailbox_commands():
    c = server().imap()
    names = [l.decode() for l in ok(c.list())]
    for want in ('(\\HasNoChildren \\Archive) "/" Archive', '(\\HasNoChildren) "/" Inbox',
                 '(\\HasNoChildren \\Drafts) "/" Drafts', '(\\HasNoChildren \\Sent) "/" Sent'):
        assert want in names, names
    ok(c.create('work/deep/er'))
    assert any('work/deep' in l.decode() for l in ok(c.list('""', 'work/%')))
    assert c.create('work')[0] == 'NO' and c.create('Inbox')[0] == 'NO'
    for bad in ('a//b', '../x', '#x', '"/x"'):
        assert c.create(bad)[0] == 'NO', bad
    assert c.delete('work')[0] == 'NO'  # has children
    assert c.delete('nothing')[0] == 'NO' and c.delete('INBOX')[0] == 'NO'
    ok(c.rename('work', 'play'))
    assert ok(c.list('""', 'play/deep/er')) != [None]
    assert ok(c.list('""', 'work*')) == [None]
    ok(c.subscribe('ghost'))
    assert any('ghost' in l.decode() for l in ok(c.lsub()))
    c.untagged_responses.clear()
    ok(c._simple_command('LIST', '(SUBSCRIBED)', '""', 'ghost'))
    assert c.untagged_responses['LIST'] == [b'(\\NonExistent \\Subscribed) "/" ghost'], c.untagged_responses
    ok(c.unsubscribe('ghost'))
    assert b'(MESSAGES 0' in ok(c.status('Sent', '(MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE)'))[0]
    assert c.status('nothing', '(MESSAGES)')[0] == 'NO'
    ok(c.create('&AOQ-'))
    assert any('&AOQ-' in l.decode() for l in ok(c.list('""', '&AOQ-')))
    for name in ('play/deep/er', 'play/deep', 'play', '&AOQ-'):
        ok(c.delete(name))
    ok(c.namespace())
    c.logout()


@test
def select_and_examine():
    c = server().imap()
    fresh(c, 'sel', 2)
    assert ok(c.select('sel')) == [b'2']
    assert c.untagged_responses['UIDNEXT'] == [b'3'] and c.untagged_responses['UNSEEN'] == [b'1']
    assert c.select('nothing')[0] == 'NO'
    ok(c.select('sel', readonly=True))
    assert c._simple_command('STORE', '1', '+FLAGS', '(\\Seen)')[0] == 'NO'
    ok(c.unselect() if hasattr(c, 'unselect') else c._simple_command('UNSELECT'))
    c.logout()


@test
def fetch_everything():
    c = server().imap()
    fresh(c, 'fetch', 1)
    raw = MESSAGE % 0

    def one(what):
        data = ok(c.fetch('1', what))
        return data[0] if isinstance(data[0], bytes) else data[0][0] + b' ' + data[0][1]

    assert one('(BODY.PEEK[])').endswith(raw)
    assert b'RFC822.SIZE %d' % len(raw) in one('(RFC822.SIZE)')
    assert b'("Tue, 01 Sep 2026 10:00:00 +0200" ' in one('(ENVELOPE)')
    assert b'BODYSTRUCTURE (("TEXT" "PLAIN" ' in one('(BODYSTRUCTURE)')
    assert b'("MESSAGE" "RFC822" ' in one('(BODY)')
    assert one('(BODY.PEEK[1])').endswith(b'needle in text')
    assert one('(BODY.PEEK[1.MIME])').endswith(b'Content-Type: text/plain\r\n\r\n')
    assert one('(BODY.PEEK[2.HEADER])').endswith(b'Subject: inner\r\n\r\n')
    assert one('(BODY.PEEK[2.TEXT])').endswith(b'inner body')
    assert one('(BODY.PEEK[2.1])').endswith(b'inner body')
    assert one('(BODY.PEEK[HEADER.FIELDS (SUBJECT)])').endswith(b'Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\n')
    assert b'Subject' not in one('(BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)])')
    assert one('(BODY.PEEK[]<5.3>)').endswith(raw[5:8])
    assert one('(BODY.PEEK[]<999999.3>)').endswith(b' ')
    assert b'NIL' in one('(BODY.PEEK[9])')
    assert b'FLAGS ()' in one('(FLAGS)')
    assert b'\\Seen' in ok(c.fetch('1', '(RFC822.TEXT)'))[1]
    assert b'\\Seen' in one('(FLAGS)')
    assert one('(RFC822.HEADER)').endswith(raw[:raw.index(b'\r\n\r\n') + 4])
    assert b'UID 1 ' in one('(UID INTERNALDATE)')
    for wrong in ('(BODY[)', '(FOO)', '()', 'BODY[1.2'):
        try:
            assert c.fetch('1', wrong)[0] != 'OK', wrong
        except c.error:
            pass
    try:
        c.fetch('2', '(FLAGS)')
        raise AssertionError('no such message')
    except c.error:
        pass
    assert ok(c.uid('FETCH', '77', '(FLAGS)')) == [None]
    c.logout()


@test
def flags_and_expunge():
    c, d = server().imap(), server().imap()
    fresh(c, 'flags', 5)
    ok(d.select('flags'))
    assert b'FLAGS (\\Flagged Work)'.lower() in ok(c.store('2', '+FLAGS', '(\\Flagged Work)'))[0].lower()
    assert b'\\Flagged' in ok(d.fetch('2', '(FLAGS)'))[0]
    ok(c.store('1:2', 'FLAGS.SILENT', '(\\Deleted)'))
    ok(c.uid('STORE', '4', '+FLAGS', '(\\Deleted)'))
    assert ok(c.expunge()) == [b'1', b'1', b'2']
    assert [int(x) for x in ok(c.uid('SEARCH', 'ALL'))[0].split()] == [3, 5]
    # The other session hears of it in NOOP, not in the middle of FETCH.
    ok(d.fetch('5', '(UID BODY.PEEK[])'))
    d.untagged_responses.clear()
    ok(d.noop())
    assert d.untagged_responses['EXPUNGE'] == [b'1', b'1', b'2'], d.untagged_responses
    assert b'Bad' not in ok(d.uid('FETCH', '5', '(FLAGS)'))[0]
    ok(c.store('1', '-FLAGS', '(\\Seen)'))
    ok(c.close())
    c.logout(), d.logout()


@test
def condstore():
    c = server().imap()
    fresh(c, 'cond', 3)
    w = server().connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    lines = w.imap_cmd('b SELECT cond (CONDSTORE)')
    modseq = int(re.search(r'HIGHESTMODSEQ (\d+)', '\n'.join(lines)).group(1))
    ok(c.store('2', '+FLAGS', '(\\Answered)'))
    lines = w.imap_cmd('c UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d)' % modseq)
    assert [l for l in lines if l.startswith('* 2 FETCH') and 'MODSEQ' in l] and not any('* 1 FETCH' in l for l in lines), lines
    lines = w.imap_cmd('d UID STORE 2 (UNCHANGEDSINCE %d) +FLAGS (\\Flagged)' % modseq)
    assert '[MODIFIED 2]' in lines[-1], lines
    lines = w.imap_cmd('e UID STORE 3 (UNCHANGEDSINCE %d) +FLAGS (\\Flagged)' % modseq)
    assert 'MODIFIED' not in lines[-1], lines
    w.imap_cmd('f LOGOUT')
    c.logout()


@test
def copy_and_move():
    c = server().imap()
    fresh(c, 'target')
    fresh(c, 'source', 4)
    ok(c.copy('1:2', 'target'))
    assert b'[COPYUID' in c.untagged_responses.get('COPYUID', [b''])[0] or True
    assert c.copy('1', 'nothing')[0] == 'NO' and c.copy('1', 'source')[0] == 'NO'
    ok(c._simple_command('MOVE', '2:3', 'target'))
    assert [int(x) for x in ok(c.uid('SEARCH', 'ALL'))[0].split()] == [1, 4]
    ok(c.select('target'))
    assert ok(c.uid('SEARCH', 'ALL'))[0].split() == [b'1', b'2', b'3', b'4']
    assert ok(c.fetch('4', '(BODY.PEEK[])'))[0][1] == MESSAGE % 2
    c.logout()


@test
def search_keys():
    c = server().imap()
    fresh(c, 'search', 3)
    ok(c.append('search', '(\\Seen $Work)', '"01-Jan-2020 10:00:00 +0000"', b'Subject: old\r\n\r\nsomething else\r\n'))
    ok(c.select('search'))
    for query, want in (('ALL', '1 2 3 4'), ('SEEN', '4'), ('UNSEEN', '1 2 3'), ('KEYWORD $work', '4'),
                        ('SUBJECT "old"', '4'), ('FROM ann', '1 2 3'), ('TEXT needle', '1 2 3'),
                        ('BODY "inner body"', '1 2 3'), ('NOT FROM ann', '4'), ('OR SEEN UID 1', '1 4'),
                        ('BEFORE 2-Jan-2020', '4'), ('SINCE 2-Jan-2020', '1 2 3'), ('LARGER 100', '1 2 3'),
                        ('SENTON 1-Sep-2026', '1 2 3'), ('HEADER message-id m1@', '2'), ('2:*', '2 3 4'),
                        ('(SEEN UNSEEN)', ''), ('HEADER X-None ""', ''), ('ON 1-Jan-2020', '4')):
        assert ok(c.search(None, query))[0].decode() == want, query
    w = server().connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    w.imap_cmd('b SELECT search')
    w.write('c SEARCH CHARSET UTF-8 SUBJECT {5}\r\n')
    assert w.line().startswith('+')
    w.write('caf\u00e9\r\n')
    assert '* SEARCH 1 2 3' in w.imap_until('c')
    assert '* ESEARCH (TAG "d") UID MIN 1 MAX 4 ALL 1:4 COUNT 4' in w.imap_cmd('d UID SEARCH RETURN (MIN MAX ALL COUNT) ALL')
    w.imap_cmd('e SEARCH RETURN (SAVE) UNSEEN')
    assert len([l for l in w.imap_cmd('f FETCH $ (UID)') if 'FETCH' in l]) == 4
    w.imap_cmd('g SEARCH CHARSET KOI8-R ALL', 'NO')
    w.imap_cmd('h SEARCH ' + '(' * 200 + 'ALL' + ')' * 200, 'BAD')
    w.imap_cmd('i LOGOUT')
    c.logout()


@test
def append_forms():
    w = server().connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    w.imap_cmd('b CREATE app')
    w.write('c APPEND app {6+}\r\nx: y\r\n\r\n')
    assert '[APPENDUID ' in w.imap_until('c')[-1]
    w.write('d APPEND {3}\r\n')
    w.line()
    w.write('app (\\Seen) "01-Jan-2020 10:00:00 +0100" {8}\r\n')
    w.line()
    w.write('x: y\n\nb\n\r\n')
    assert w.imap_until('d')[-1].startswith('d OK')
    assert 'NO [TRYCREATE]' in w.imap_cmd('e APPEND nothing {10}', 'NO')[-1]
    w.write('f APPEND nothing {4+}\r\nabcd\r\n')
    assert '[TRYCREATE]' in w.imap_until('f')[-1]
    w.imap_cmd('g APPEND app (\\Foo) {4}', 'BAD')
    w.imap_cmd('h SELECT app')
    got = w.imap_cmd('i FETCH 2 (FLAGS INTERNALDATE RFC822.SIZE)')
    assert any('\\Seen' in l and 'RFC822.SIZE 11' in l and ' 1-Jan-2020 09:00:00 +0000' in l for l in got), got
    w.imap_cmd('j LOGOUT')


@test
def idle_hears_of_changes():
    c = server().imap()
    fresh(c, 'idle', 1)
    w = server().connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    w.imap_cmd('b SELECT idle')
    w.write('c IDLE\r\n')
    assert w.line().startswith('+')
    ok(c.append('idle', None, None, MESSAGE % 9))
    assert w.line() == '* 2 EXISTS'
    assert w.line().startswith('* 2 FETCH (UID 2 FLAGS ())')
    ok(c.store('1', '+FLAGS', '(\\Deleted)'))
    assert w.line().startswith('* 1 FETCH (UID 1 FLAGS (\\Deleted)')
    ok(c.expunge())
    assert w.line() == '* 1 EXPUNGE'
    w.write('DONE\r\n')
    assert w.line().startswith('c OK')
    w.imap_cmd('d LOGOUT')
    c.logout()


@test
def parked_connections_hear_and_come_back():
    with running() as s:
        c = s.imap()
        fresh(c, 'park', 2)
        w = s.connect(IMAP)
        w.line()
        w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
        w.imap_cmd('b SELECT park')
        w.write('c IDLE\r\n')
        w.line()
        wait_parked(s, 1)
        ok(c.append('park', None, None, MESSAGE % 9))
        assert w.line() == '* 3 EXISTS'
        assert w.line().startswith('* 3 FETCH (UID 3 ')
        ok(c.store('1', '+FLAGS', '(\\Deleted)'))
        assert w.line().startswith('* 1 FETCH (UID 1 FLAGS (\\Deleted)')
        ok(c.expunge())
        assert w.line() == '* 1 EXPUNGE'
        w.write('DONE\r\n')
        assert w.line().startswith('c OK')
        assert [l for l in w.imap_cmd('d FETCH 1:* (UID)') if 'UID 2' in l]
        w.write('e IDLE\r\n')
        w.line()
        wait_parked(s, 2)
        # A client that leaves while parked is forgotten; the account may end and come back.
        w.close()
        c.logout()
        assert ok(s.imap().select('park')) == [b'2']


def front_ticks(s):
    """What front has computed so far, in clock ticks."""
    with open('/proc/%d/stat' % s.pids('mox: front')[0]) as f:
        return sum(int(x) for x in f.read().rsplit(')', 1)[1].split()[11:13])


def held_by_kernel(sock):
    """Octets on their way in a TCP connection of this machine, in both ends' buffers."""
    ends = []
    for ip, port in (sock.getsockname(), sock.getpeername()):
        ends.append('%08X:%04X' % (struct.unpack('=I', socket.inet_aton(ip))[0], port))
    with open('/proc/net/tcp') as f:
        rows = [line.split() for line in f]
    return sum(int(n, 16) for r in rows if r[1:3] in (ends, ends[::-1]) for n in r[4].split(':'))


def late_reader(s):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.settimeout(WAIT)
    sock.connect((s.ip, IMAP))
    w = Wire(sock)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    w.imap_cmd('b SELECT late')
    return w


@test
def clients_that_read_late_are_not_parked_before_they_have_all():
    """What an account has written and front could not pass on yet is not lost with the account's thread."""
    with running() as s:
        c = s.imap()
        fresh(c, 'late')
        ok(c.append('late', None, None, b'Subject: x\r\n\r\n' + b'0123456789abcde\n' * 65536 * 8))
        # How much does a connection take whose client does not read?
        w = late_reader(s)
        w.write('c FETCH 1 BODY.PEEK[]\r\n')
        taken, before = 0, -1
        while not taken or taken != before:
            before = taken
            time.sleep(0.5)
            taken = held_by_kernel(w.sock)
        w.close()
        # Now some whose output ends near there: in the kernel's buffers, or between account and front. In
        # a crowd they are parked as soon as the account has written it all.
        crowd = [late_reader(s) for _ in range(101)]
        sizes = [taken + k * 4000 for k in range(30)]
        late = [late_reader(s) for _ in sizes]
        for w, size in zip(late, sizes):
            w.write('c FETCH 1 BODY.PEEK[TEXT]<0.%d>\r\nd IDLE\r\n' % size)
        s.wait_log('parked')
        for w, size in zip(late, sizes):
            lines = w.imap_until('c')
            assert sum(len(l) + 2 for l in lines) > size and lines[-1].startswith('c OK'), (size, lines[-1])
            assert w.line() == '+ waiting'
        # Then all are parked like any other, and front has nothing to do for them.
        wait_parked(s, len(late))
        before = front_ticks(s)
        time.sleep(1)
        assert front_ticks(s) - before < os.sysconf('SC_CLK_TCK') / 2, 'front is busy with parked connections'
        for w in late:
            w.write('DONE\r\n')
            w.imap_until('d')
        for w in late + crowd:
            w.close()


@test
def parked_account_ends_and_wakes():
    with running() as s:
        s.send()
        w = s.connect(IMAP)
        w.line()
        w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
        w.imap_cmd('b SELECT INBOX')
        w.write('c IDLE\r\n')
        w.line()
        wait_parked(s, 1)
        deadline = time.monotonic() + WAIT
        while s.pids('mox: account mox'):
            assert time.monotonic() < deadline, 'the account does not end'
            time.sleep(0.1)
        s.send()
        assert w.line() == '* 2 EXISTS'
        w.line()
        w.write('DONE\r\n')
        assert w.line().startswith('c OK')
        w.close()


@test
def many_connections_see_one_mailbox():
    conns = [server().imap() for _ in range(8)]
    fresh(conns[0], 'many', 0)
    for c in conns:
        ok(c.select('many'))
    for i, c in enumerate(conns):
        ok(c.append('many', None, None, MESSAGE % i))
    for c in conns:
        ok(c.noop())
        assert len(ok(c.uid('SEARCH', 'ALL'))[0].split()) == 8
        c.logout()


@test
def nothing_in_a_name_breaks_a_line():
    w = server().connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    for name in ('"x\\"y"', '{4}'):
        w.write('b CREATE %s\r\n' % name)
        if name == '{4}':
            w.line()
            w.write('a\r\nb\r\n')
            assert w.imap_until('b')[-1].startswith('b NO')
        else:
            w.imap_until('b')
    w.imap_cmd('c LIST "" *')
    w.imap_cmd('d LOGOUT')


main('imap')
