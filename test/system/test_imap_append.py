"""APPEND of one message and many, its limits, quotas, and literals that are too large."""
from harness import *
from imap_client import MEMORY_IS_NOT_REAL, Client

SMALL = b'Subject: small\r\n\r\nbody\r\n'
GROUP = '"01-Jan-2020 10:00:00 +0100"'


def raw(c, data, want):
    """Sends bytes after the tag, and gives the tagged reply."""
    c.n += 1
    c.w.write(b'%d ' % c.n + data)
    return c.finish(want)[-1]


def messages(c, mailbox):
    for l in c.cmd('STATUS %s (MESSAGES)' % mailbox):
        m = re.search(rb'MESSAGES (\d+)', l)
        if m:
            return int(m.group(1))


@test
def many_messages_in_one_command():
    c = Client(server(), 'multi')
    data = b''
    for i in range(5):
        data += b' (\\Flagged work) "%02d-Feb-2021 10:00:00 +0000" {%d+}\r\n' % (i + 1, len(SMALL)) + SMALL
    reply = raw(c, b'APPEND multi' + data + b'\r\n', 'OK')
    assert re.search(rb'\[APPENDUID \d+ 1:5\]', reply), reply
    f = c.fetch('FLAGS INTERNALDATE BODY.PEEK[]', 3)
    assert f['INTERNALDATE'] == b' 3-Feb-2021 10:00:00 +0000' and f['FLAGS'] == ['\\Flagged', 'work']
    assert f['BODY[]'] == SMALL
    # Synchronizing literals, in mixed forms.
    c.n += 1
    c.w.write('%d APPEND {5}\r\n' % c.n)
    assert c.w.line().startswith('+')
    c.w.write('multi ~{%d}\r\n' % len(SMALL))
    assert c.w.line().startswith('+')
    c.w.write(SMALL + b' (\\Seen) UTF8 (~{%d}\r\n' % len(SMALL))
    assert c.w.line().startswith('+')
    c.w.write(SMALL + b') {2+}\r\nx\n\r\n')
    assert b'[APPENDUID' in c.finish()[-1]
    assert messages(c, 'multi') == 8
    c.cmd('NOOP')
    assert c.fetch('FLAGS', 7)['FLAGS'] == ['\\Seen'] and c.one('BODY.PEEK[]', 8) == b'x\r\n'
    # More messages than a line has room for.
    data = (b' {%d+}\r\n' % len(SMALL) + SMALL) * 3000
    assert b' 9:3008]' in raw(c, b'APPEND multi' + data + b'\r\n', 'OK')
    c.cmd('CHECK')
    assert c.one('BODY.PEEK[]', 3000) == SMALL


@test
def all_or_none():
    c = Client(server(), 'atomic')
    lit = b' {%d+}\r\n' % len(SMALL) + SMALL
    for bad, want, code in ((b' {0+}\r\n\r\n', 'NO', b''), (b' (\\Wrong) {2+}\r\nab\r\n', 'BAD', b''),
                            (b' "31-Feb-2021 10:00:00 +0000" {2+}\r\nab\r\n', 'BAD', b''),
                            (b' x\r\n', 'BAD', b''), (b' {2+}\r\nab)\r\n', 'BAD', b''),
                            (b' UTF8 ({2+}\r\nab)\r\n', 'BAD', b''), (b' UTF8 (~{2+}\r\nab\r\n', 'BAD', b''),
                            (b' {268435457}\r\n', 'NO', b'[TOOBIG]'), (b' {9223372036854775807}\r\n', 'NO', b'[TOOBIG]')):
        reply = raw(c, b'APPEND atomic' + lit + lit + bad, want)
        assert code in reply, reply
        assert messages(c, 'atomic') == 0, bad
    assert raw(c, b'APPEND atomic {0}\r\n', 'NO')
    # The mailbox is looked for before anything is read.
    assert b'[TRYCREATE]' in raw(c, b'APPEND none {100000}\r\n', 'NO')
    assert b'[TRYCREATE]' in raw(c, b'APPEND none' + lit + lit + b'\r\n', 'NO')
    c.cmd('NOOP')
    # An announcement without its plus, after an unasked literal that was refused: the reply was the answer.
    assert b'[TRYCREATE]' in raw(c, b'APPEND none' + lit + b' {10}\r\n', 'NO')
    c.cmd('NOOP')


@test
def dates_and_flags_are_strict():
    c = Client(server(), 'strict')
    for bad in ('"1-Jan-2020 10:00:00 +0100"', '"01-Foo-2020 10:00:00 +0100"', '"01-Jan-2020 25:00:00 +0100"',
                '"01-Jan-2020 10:00:00"', '""', '(\\Recent)', '(\\)', '(()', '\\Seen'):
        raw(c, b'APPEND strict %s {2+}\r\nab\r\n' % bad.encode(), 'BAD')
    raw(c, b'APPEND strict () " 1-Jan-2020 10:00:00 +0100" {2+}\r\nab\r\n', 'OK')


@test
def the_limit_is_announced_and_holds():
    c = Client(server(), 'limit')
    caps = b''.join(c.cmd('CAPABILITY'))
    limit = int(re.search(rb'APPENDLIMIT=(\d+)', caps).group(1))
    assert b'MULTIAPPEND' in caps and b'BINARY' in caps
    assert b'APPENDLIMIT %d' % limit in c.cmd('STATUS limit (APPENDLIMIT)')[0]
    assert b'[TOOBIG]' in raw(c, b'APPEND limit {%d}\r\n' % (limit + 1), 'NO')
    c.cmd('NOOP')
    # Not asked for: refused, and since its bytes are on their way, the end.
    c.n += 1
    c.w.write('%d APPEND limit {%d+}\r\n' % (c.n, limit + 1))
    lines = c.w.rest()
    assert b'NO [TOOBIG]' in lines and b'* BYE [ALERT]' in lines, lines


@test
def large_messages_do_not_stay_in_memory():
    with running() as s:
        c = Client(s, 'large')
        raw(c, b'APPEND large {2+}\r\nab\r\n', 'OK')
        size = 60 << 20
        c.n += 1
        c.w.write('%d APPEND large {%d+}\r\n' % (c.n, size))
        block = (b'x' * 75 + b'\n') * 13797  # bare LF: stored as CR LF
        sent = 0
        while sent < size:
            c.w.write(block[:size - sent])
            sent += len(block[:size - sent])
        c.w.write('\r\n')
        c.finish()
        (pid,) = [p for p in s.pids('mox: account mox')]
        with open('/proc/%d/status' % pid) as f:
            peak = [int(l.split()[1]) for l in f if l.startswith('VmHWM')][0]
        assert MEMORY_IS_NOT_REAL or peak < 48 * 1024, peak
        c.cmd('SELECT large')
        assert int(c.one('RFC822.SIZE', 2)) == size + size // 76


@test
def literals_past_the_limits():
    c = Client(server(), 'lits')
    # One that waits for leave: the reply is the answer, and the connection goes on.
    for i in range(3):
        assert b'BAD [TOOBIG]' in raw(c, b'SEARCH SUBJECT {102401}\r\n', 'BAD')
    c.cmd('NOOP')
    c.cmd(b'SEARCH SUBJECT {102400+}\r\n' + b'x' * 102400)
    # All together, and their number.
    for data in ((b'{102400+}\r\n' + b'x' * 102400 + b' SUBJECT ') * 11, b'{1+}\r\nx SUBJECT ' * 1100,
                 b'{102401+}\r\n', b'{99999999999+}\r\n', b'{18446744073709551615+}\r\n'):
        d = Client(server())
        d.n += 1
        try:
            d.w.write(b'%d SEARCH SUBJECT ' % d.n + data + b'\r\n')
        except ConnectionError:
            pass  # it ended before all was sent
        got = d.w.rest()
        assert b'* BYE [ALERT]' in got and b'BAD [TOOBIG]' in got, (data[:20], got)
    c.cmd('NOOP')


@test
def a_flood_before_login_costs_nothing():
    with running() as s:
        for attack in (b'a LOGIN {4097}\r\n', b'a LOGIN {4097+}\r\n', b'a APPEND x {10+}\r\n', b'a REPLACE 1 x {10}\r\n',
                       b'a X ' + b'{4000+}\r\n' + b'y' * 4000 + b'{4000+}\r\n' + b'y' * 4000 + b'{4000+}\r\n' + b'y' * 4000 +
                       b'{4000+}\r\n' + b'y' * 4000 + b'{4000+}\r\n', b'a X ' + b'{0+}\r\n ' * 30, b'a X {9999999999999999999}\r\n'):
            w = s.connect(IMAP)
            w.line()
            w.write(attack + b'b LOGOUT\r\n')
            got = w.rest()
            assert b'* BYE' in got, (attack[:30], got)
            w.close()


@test
def quotas_are_told_and_kept():
    with running() as s:
        conf = os.path.join(s.dir, 'domains.conf')
        text = open(conf).read()
        s.stop()
        new = re.sub(r'(\nAccounts:\n\tmox:\n)', r'\1\t\tQuotaMessageSize: 100000\n', text)
        assert new != text, text
        open(conf, 'w').write(new)
        s.start()
        c = Client(s, 'quota')
        assert b'* QUOTA "" (STORAGE 0 98)' in c.cmd('GETQUOTA ""')
        lines = c.cmd('GETQUOTAROOT quota')
        assert lines[0] == b'* QUOTAROOT quota ""' and lines[1].startswith(b'* QUOTA "" (STORAGE ')
        assert b'[NONEXISTENT]' in c.cmd('GETQUOTAROOT nothing', 'NO')[-1]
        assert b'[NONEXISTENT]' in c.cmd('GETQUOTA other', 'NO')[-1]
        c.cmd('SETQUOTA "" (STORAGE 5)', 'NO')
        c.append('quota', b'x' * 60000)
        assert b'* QUOTA "" (STORAGE 59 98)' in c.cmd('GETQUOTA ""')
        # Refused before it is sent, with room for a smaller one.
        assert b'[OVERQUOTA]' in raw(c, b'APPEND quota {50000}\r\n', 'NO')
        assert b'[OVERQUOTA]' in raw(c, b'APPEND quota {30000+}\r\n' + b'x' * 30000 + b' {20000}\r\n', 'NO')
        c.cmd('NOOP')
        assert messages(c, 'quota') == 1
        # What grows while it is stored is refused then: line ends become two bytes.
        assert b'[OVERQUOTA]' in raw(c, b'APPEND quota {30000+}\r\n' + b'\n' * 30000 + b'\r\n', 'NO')
        c.append('quota', b'x' * 39000)
        # A copy has the same bytes, which count once (RFC 8474: it is the same email).
        c.cmd('NOOP')
        c.cmd('CREATE quota2')
        c.cmd('COPY 1 quota2')
        c.cmd('STORE 1 +FLAGS (\\Deleted)')
        assert b'(DELETED 1 DELETED-STORAGE 60000)' in c.cmd('STATUS quota (DELETED DELETED-STORAGE)')[0]
        c.cmd('EXPUNGE')
        assert b'* QUOTA "" (STORAGE 97 98)' in c.cmd('GETQUOTA ""')
        c.cmd('STORE 1 +FLAGS (\\Deleted)')
        c.cmd('EXPUNGE')
        # The space is free as soon as the account has tidied up.
        deadline = time.monotonic() + WAIT
        while b'(STORAGE 59 98)' not in c.cmd('GETQUOTA ""')[0]:
            assert time.monotonic() < deadline, 'not erased'
            time.sleep(0.01)
        c.append('quota', b'x' * 39000)
    with running() as s:
        c = Client(s, 'quota')
        assert c.cmd('GETQUOTAROOT quota')[:-1] == [b'* QUOTAROOT quota ""']
        assert b'* QUOTA "" ()' in c.cmd('GETQUOTA ""')


@test
def replace_is_one_step():
    c, d = Client(server(), 'repl', [SMALL] * 3), Client(server())
    d.cmd('SELECT repl')
    new = b'Subject: new\r\n\r\n'
    c.n += 1
    c.w.write('%d REPLACE 2 repl (\\Draft) "01-Jan-2020 10:00:00 +0000" {%d}\r\n' % (c.n, len(new)))
    assert c.w.line().startswith('+')
    c.w.write(new + b'\r\n')
    lines = c.finish()
    assert re.match(rb'\* OK \[APPENDUID \d+ 4\]', lines[0]) and b'[HIGHESTMODSEQ ' in lines[-1], lines
    assert b'* 2 EXPUNGE' in lines and any(b' EXISTS' in l for l in lines), lines
    f = c.fetch('FLAGS BODY.PEEK[] INTERNALDATE', 3)
    assert f['BODY[]'] == new and f['FLAGS'] == ['\\Draft'] and f['INTERNALDATE'].startswith(b' 1-Jan-2020')
    lines = d.cmd('NOOP')
    assert b'* 2 EXPUNGE' in lines and b'* 3 EXISTS' in lines, lines
    # Into another mailbox, by uid, with an unasked literal.
    c.cmd('CREATE repl2', None)
    lines = raw(c, b'UID REPLACE 4 repl2 {%d+}\r\n' % len(new) + new + b'\r\n', 'OK')
    assert messages(c, 'repl2') == 1 and messages(c, 'repl') == 2
    # What is refused changes nothing, and leaves the connection in step.
    lit = b'{%d+}\r\n' % len(new) + new + b'\r\n'
    for start, want in ((b'REPLACE 9 repl ', 'NO'), (b'UID REPLACE 4 repl ', 'NO'), (b'REPLACE 1 none ', 'NO'),
                        (b'REPLACE 1:2 repl ', 'BAD'), (b'REPLACE 0 repl ', 'BAD'), (b'REPLACE $ repl ', 'BAD'),
                        (b'REPLACE 1 repl (\\Foo) ', 'BAD')):
        raw(c, start + lit, want)
    raw(c, b'REPLACE 1 repl ' + lit[:-2] + b' ' + lit, 'BAD')
    raw(c, b'REPLACE 1 repl {0+}\r\n\r\n', 'NO')
    assert messages(c, 'repl') == 2
    # Gone in between: nothing is added.
    c.n += 1
    c.w.write('%d REPLACE * repl {%d}\r\n' % (c.n, len(new)))
    assert c.w.line().startswith('+')
    d.cmd('STORE 2 +FLAGS (\\Deleted)')
    d.cmd('EXPUNGE')
    c.w.write(new + b'\r\n')
    assert b'* 2 EXPUNGE' in c.finish('NO') and messages(c, 'repl') == 1
    c.cmd('EXAMINE repl')
    raw(c, b'REPLACE 1 repl ' + lit, 'NO')
    c.cmd('UNSELECT')
    raw(c, b'REPLACE 1 repl ' + lit, 'NO')


@test
def imaplib_and_curl_append():
    c = server().imap()
    c.delete('curl'), c.create('curl')
    assert c.append('curl', '(\\Seen)', imaplib.Time2Internaldate(0), SMALL)[0] == 'OK'
    with tempfile.NamedTemporaryFile() as f:
        f.write(SMALL)
        f.flush()
        run('curl', '-sS', '--user', LOGIN + ':' + PASSWORD, '-T', f.name,
            'imap://%s:%d/curl' % (server().ip, IMAP))
    c.select('curl')
    assert [c.fetch(n, '(BODY.PEEK[])')[1][0][1] for n in ('1', '2')] == [SMALL, SMALL]
    c.logout()


main('imap-append')
