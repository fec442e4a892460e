"""FETCH in all its forms, from outside: sections, structure, decoding, and what hostile messages cost."""
import base64

from harness import *
from imap_client import MEMORY_IS_NOT_REAL, Client

INNER = (b'Subject: inner\r\nFrom: i@example.org\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n'
         b'--in\r\nContent-Type: text/plain\r\n\r\nplain\r\n--in\r\nContent-Type: text/html\r\n\r\n<b>\r\n--in--\r\n')
NESTED = (b'Date: Tue, 01 Sep 2026 10:00:00 +0200\r\nFrom: Ann <ann@example.org>\r\nTo: Team: b@example.com;\r\n'
          b'Subject: nested\r\nX-Long: a\r\n  b\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=out\r\n'
          b'\r\npreamble\r\n--out\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n' +
          base64.b64encode('line\nzwei ä\r\n'.encode()) + b'\r\n--out\r\nContent-Type: application/octet-stream\r\n'
          b'Content-Transfer-Encoding: base64\r\n\r\n' + base64.b64encode(b'a\0b' * 100) + b'\r\n--out\r\n'
          b'Content-Type: message/rfc822\r\n\r\n' + INNER + b'\r\n--out\r\nContent-Type: text/plain\r\n'
          b'Content-Transfer-Encoding: x-strange\r\n\r\n?\r\n--out\r\nContent-Type: text/plain\r\n'
          b'Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 =\r\nau lait\r\n--out--\r\nepilogue\r\n')


@test
def sections_of_nested_messages():
    c = Client(server(), 'sections', [NESTED])
    head, body = NESTED.split(b'\r\n\r\n', 1)
    head += b'\r\n\r\n'
    inner_head, inner_body = INNER.split(b'\r\n\r\n', 1)
    for what, want in (
            ('BODY.PEEK[]', NESTED), ('BODY.PEEK[HEADER]', head), ('BODY.PEEK[TEXT]', body),
            ('RFC822', NESTED), ('RFC822.HEADER', head), ('RFC822.TEXT', body),
            ('BODY.PEEK[3]', INNER), ('BODY.PEEK[3.HEADER]', inner_head + b'\r\n\r\n'),
            ('BODY.PEEK[3.TEXT]', inner_body), ('BODY.PEEK[3.MIME]', b'Content-Type: message/rfc822\r\n\r\n'),
            ('BODY.PEEK[3.1]', b'plain'), ('BODY.PEEK[3.2]', b'<b>'),
            ('BODY.PEEK[3.2.MIME]', b'Content-Type: text/html\r\n\r\n'),
            ('BODY.PEEK[3.HEADER.FIELDS (SUBJECT X-NONE)]', b'Subject: inner\r\n\r\n'),
            ('BODY.PEEK[3.HEADER.FIELDS.NOT (SUBJECT CONTENT-TYPE)]', b'From: i@example.org\r\n\r\n'),
            ('BODY.PEEK[HEADER.FIELDS ("x-long")]', b'X-Long: a\r\n  b\r\n\r\n'),
            ('BODY.PEEK[HEADER.FIELDS (SUBJECT)]<3.5>', b'ject:'),
            ('BODY.PEEK[TEXT]<5.7>', body[5:12]), ('BODY.PEEK[]<0.99999999999>', NESTED),
            ('BODY.PEEK[]<99999999999.5>', b''),
            ('BODY.PEEK[1.HEADER]', None), ('BODY.PEEK[3.3]', None), ('BODY.PEEK[1.1]', None),
            ('BODY.PEEK[3.1.1]', None), ('BODY.PEEK[4294967295]', None)):
        assert c.one(what) == want, (what, c.one(what), want)
    f = c.fetch('BODY.PEEK[HEADER.FIELDS (Subject Date)] BODY.PEEK[2]<2.3> UID FLAGS')
    assert 'BODY[HEADER.FIELDS (Subject Date)]' in f and 'BODY[2]<2>' in f, f
    # Not a multipart: part 1 is the body, and has no parts of its own.
    single = b'Subject: x\r\n\r\nbody'
    c = Client(server(), 'sections', [single, INNER])
    assert c.one('BODY.PEEK[1]') == b'body' and c.one('BODY.PEEK[2]') is None
    assert c.one('BODY.PEEK[1.MIME]') == b'Subject: x\r\n\r\n' and c.one('BODY.PEEK[1.TEXT]') is None
    assert c.one('BODY.PEEK[1]', 2) == b'plain'


@test
def structure_and_envelope():
    c = Client(server(), 'structure', [NESTED])
    f = c.fetch('ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE INTERNALDATE')
    assert f['RFC822.SIZE'] == str(len(NESTED))
    date, subject, sender, _, reply_to, to = f['ENVELOPE'][:6]
    assert (date, subject) == (b'Tue, 01 Sep 2026 10:00:00 +0200', b'nested')
    assert sender == reply_to == [[b'Ann', None, b'ann', b'example.org']]
    assert to == [[None, None, b'Team', None], [None, None, b'b', b'example.com'], [None, None, None, None]]
    assert len(f['BODY']) == 6 and f['BODY'][-1] == b'MIXED'
    full = f['BODYSTRUCTURE']
    assert len(full) == 10 and full[5:] == [b'MIXED', [b'BOUNDARY', b'out'], None, None, None]
    assert full[0][:6] == [b'TEXT', b'PLAIN', [b'CHARSET', b'utf-8'], None, None, b'BASE64']
    inner = full[2]
    assert inner[:2] == [b'MESSAGE', b'RFC822'] and inner[7][1] == b'inner' and inner[8][2] == b'ALTERNATIVE'
    assert int(inner[6]) == len(INNER) and int(inner[9]) == INNER.count(b'\n')
    assert full[3][5] == b'X-STRANGE'


@test
def binary_decodes():
    c = Client(server(), 'binary', [NESTED])
    text, data = 'line\r\nzwei ä\r\n'.encode(), b'a\0b' * 100
    assert c.one('BINARY.PEEK[1]') == text and c.one('BINARY.SIZE[1]') == str(len(text))
    assert c.one('BINARY.PEEK[2]') == data and c.one('BINARY.SIZE[2]') == '300'
    assert c.one('BINARY.PEEK[2]<1.3>') == data[1:4] and c.one('BINARY.PEEK[2]<299.9>') == b'b'
    assert c.one('BINARY.PEEK[2]<300.9>') == b''
    assert c.one('BINARY.PEEK[5]') == 'café au lait'.encode()
    assert c.one('BINARY.PEEK[3.1]') == b'plain' and c.one('BINARY.PEEK[]') == NESTED
    assert c.one('BINARY.SIZE[]') == str(len(NESTED))
    assert c.one('BINARY.PEEK[9]') is None and c.one('BINARY.SIZE[9]') == '0'
    # A literal8 where there is a NUL in what is sent, and only there.
    assert b'BINARY[2] ~{300}\r\n' in c.cmd('FETCH 1 BINARY.PEEK[2]')[0]
    assert b'BINARY[2]<2> {1}\r\n' in c.cmd('FETCH 1 BINARY.PEEK[2]<2.1>')[0]
    assert b'BINARY[1] {' in c.cmd('FETCH 1 BINARY.PEEK[1]')[0]
    assert b'[UNKNOWN-CTE]' in c.cmd('FETCH 1 BINARY.PEEK[4]', 'NO')[-1]
    assert b'[UNKNOWN-CTE]' in c.cmd('FETCH 1 (UID BINARY.SIZE[4])', 'NO')[-1]
    assert len(c.cmd('FETCH 1 BINARY[3]', 'NO')) == 1  # and nothing half told
    for wrong in ('BINARY', 'BINARY[TEXT]', 'BINARY[1.MIME]', 'BINARY[1.]', 'BINARY.SIZE[1]<0.5>', 'BINARY.PEEK',
                  'BINARY[0]', 'BODY[TEXT.1]', 'BODY[]<5>', 'BODY[HEADER.FIELDS ()]', 'BODY[MIME]'):
        c.cmd('FETCH 1 ' + wrong, 'BAD')
    # Larger than what is kept while decoding.
    big = os.urandom(3 << 20)
    encoded = base64.encodebytes(big).replace(b'\n', b'\r\n')
    c = Client(server(), 'binary')
    c.append('binary', b'Content-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n\r\n' + encoded)
    c.cmd('NOOP')
    assert c.one('BINARY.PEEK[1]') == big and c.one('BINARY.SIZE[1]') == str(len(big))
    assert c.one('BINARY.PEEK[1]<2000000.1500000>') == big[2000000:]


@test
def what_marks_as_seen():
    c = Client(server(), 'seen', [NESTED] * 8)
    for i, (what, marks) in enumerate((('BODY[1]', True), ('BINARY[1]', True), ('RFC822', True), ('RFC822.TEXT', True),
                                       ('RFC822.HEADER', False), ('BINARY.SIZE[1]', False), ('BODY.PEEK[]', False),
                                       ('BODYSTRUCTURE', False))):
        f = c.fetch(what, i + 1)
        assert ('FLAGS' in f) == marks and (not marks or f['FLAGS'] == ['\\Seen']), (what, f)
        assert c.fetch('FLAGS', i + 1)['FLAGS'] == (['\\Seen'] if marks else []), what
    c.cmd('EXAMINE seen')
    assert 'FLAGS' not in c.fetch('BODY[]', 8) and c.fetch('FLAGS', 8)['FLAGS'] == []
    # With CONDSTORE the change comes with its modseq.
    c.cmd('SELECT seen (CONDSTORE)')
    assert 'MODSEQ' in c.fetch('BODY[]', 8)


@test
def expunged_messages_are_told_of():
    c, d = Client(server(), 'gone', [NESTED] * 3), Client(server())
    d.cmd('SELECT gone')
    d.cmd('STORE 2 +FLAGS (\\Deleted)')
    d.cmd('EXPUNGE')
    lines = c.cmd('FETCH 1:2 BODY.PEEK[]')
    assert b'[EXPUNGEISSUED]' in lines[-1] and sum(NESTED in l for l in lines) == 2
    assert b'EXPUNGEISSUED' not in c.cmd('FETCH 3 BODY.PEEK[]')[-1]
    assert b'* 2 EXPUNGE' in c.cmd('NOOP')


@test
def ids_dates_and_previews():
    c = Client(server(), 'ids', [NESTED, b'Subject: p\r\n\r\n' + 'schöner Text '.encode() * 100])
    f = c.fetch('EMAILID THREADID SAVEDATE PREVIEW INTERNALDATE')
    assert re.match(r'^m[0-9a-z]+$', f['EMAILID'][0]) and re.match(r'^t[0-9a-z]+$', f['THREADID'][0])
    assert re.match(rb'^[ 0-9]\d-\w{3}-\d{4} \d\d:\d\d:\d\d \+0000$', f['SAVEDATE'])
    assert c.one('PREVIEW (LAZY)', 1).startswith(b'line')
    p = c.one('PREVIEW', 2).decode()
    assert p.startswith('schöner Text') and 190 <= len(p) <= 200, p
    c.cmd('DELETE ids2', None)
    made = re.search(rb'\[MAILBOXID \((b[0-9a-z]+)\)\]', c.cmd('CREATE ids2')[-1]).group(1)
    c.cmd('COPY 1 ids2')
    assert b'* OK [MAILBOXID (' + made + b')] x' in c.cmd('SELECT ids2')
    assert c.one('EMAILID') == f['EMAILID'] and c.one('THREADID') == f['THREADID']
    assert b'(MESSAGES 1 MAILBOXID (' + made + b'))' in c.cmd('STATUS ids2 (MESSAGES MAILBOXID)')[0]
    c.cmd('RENAME ids2 ids3')
    assert b'(MAILBOXID (' + made + b'))' in c.cmd('STATUS ids3 (MAILBOXID)')[0]
    c.cmd('DELETE ids3')
    c.cmd('SELECT ids')
    saved = [time.strptime(date.decode().strip(), '%d-%b-%Y %H:%M:%S +0000')[:3] for date in (f['SAVEDATE'], c.one('SAVEDATE', 2))]
    day = time.strftime('%d-%b-%Y', saved[0] + (0,) * 6)
    both = b'* SEARCH 1 2' if saved[0] == saved[1] else b'* SEARCH 1'  # at midnight
    for query, want in (('EMAILID ' + f['EMAILID'][0], b'* SEARCH 1'), ('EMAILID ' + f['EMAILID'][0].upper(), b'* SEARCH'),
                        ('THREADID ' + f['THREADID'][0], b'* SEARCH 1'), ('NOT EMAILID m0', b'* SEARCH 1 2'),
                        ('SAVEDON ' + day, both), ('SAVEDBEFORE ' + day, b'* SEARCH'),
                        ('SAVEDSINCE ' + day, b'* SEARCH 1 2'), ('SAVEDATESUPPORTED', b'* SEARCH 1 2')):
        assert want in c.cmd('SEARCH ' + query), query


def ten_thousand_parts(n):
    return b'Content-Type: multipart/mixed; boundary=b\r\n\r\n' + \
        b'--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: inline; filename=x\r\n\r\npart\r\n' * n + \
        b'--b--\r\n'


def deep(n):
    head = b''.join(b'Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n' % (i, i) for i in range(n))
    return head + b'Content-Type: text/plain\r\n\r\ndeepest\r\n'


def seconds(fn):
    """What the account's process computes for it: the least of three runs."""
    account, times = server().pids('mox: account mox'), []
    for _ in range(3):
        start = cpu_seconds(*account)
        fn()
        times.append(cpu_seconds(*account) - start)
    return min(times)


@test
def many_parts_and_deep_nesting():
    c = Client(server(), 'hostile', [ten_thousand_parts(12000), deep(90), deep(1000)])
    full = c.one('BODYSTRUCTURE')
    assert 9990 <= len([p for p in full if isinstance(p, list) and p and p[0] == b'TEXT']) <= 10000
    assert len(c.one('BODY')) > 9990 and c.one('BINARY.PEEK[9000]') == b'part' and c.one('BINARY.SIZE[9000]') == '4'
    assert c.one('BODY.PEEK[9999999]') is None
    assert c.one('BINARY.PEEK[' + '.'.join(['1'] * 90) + ']', 2) == b'deepest\r\n'
    for item in ('BODYSTRUCTURE', 'BODY', 'ENVELOPE'):
        c.one(item, 3)
    c.cmd('FETCH 3 BINARY[' + '.'.join(['1'] * 99) + ']', None)
    c.cmd('FETCH 3 BINARY[' + '.'.join(['1'] * 200) + ']', 'BAD')
    # Everything about it is linear: twice the parts are at most some three times the work.
    c = Client(server(), 'hostile', [ten_thousand_parts(4000), ten_thousand_parts(8000)])
    for item in ('BODY', 'BODYSTRUCTURE', 'BINARY.SIZE[4000]'):
        small, large = (seconds(lambda: c.cmd('FETCH %d %s' % (i, item))) for i in (1, 2))
        assert large < 4 * small + 0.1, (item, small, large)


def peak_kib(s):
    """The largest peak of the account's processes."""
    peaks = [0]
    for pid in s.pids('mox: account mox'):
        with open('/proc/%d/status' % pid) as f:
            peaks += [int(l.split()[1]) for l in f if l.startswith('VmHWM')]
    return max(peaks)


@test
def overlapping_partials_take_no_memory():
    with running() as s:
        c = Client(s, 'overlap')
        big = b'Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n' + \
            (b'QUJD' * 18 + b'\r\n') * 80000  # 6 MB
        c.append('overlap', big)
        c.cmd('NOOP')
        c.cmd('FETCH 1 BODY.PEEK[]')
        before = peak_kib(s)
        got = c.cmd('FETCH 1 (' + ' '.join('BODY.PEEK[]<%d.999999999>' % i for i in range(40)) + ')')
        assert sum(map(len, got)) > 39 * len(big)
        assert MEMORY_IS_NOT_REAL or peak_kib(s) - before < 16 * 1024, (before, peak_kib(s))
        # Work without output is bounded by the number of such items.
        c.cmd('FETCH 1 (' + ' '.join('BINARY.PEEK[1]<%d.1>' % i for i in range(200)) + ')', 'BAD')
        c.cmd('FETCH 1 (' + ' '.join(['BINARY.SIZE[1]'] * 200) + ')', 'BAD')
        c.cmd('FETCH 1 (' + ' '.join(['BODY[HEADER.FIELDS (A)]'] * 200) + ')', 'BAD')
        # A client that leaves in the middle ends the work.
        c.n += 1
        c.w.write('%d FETCH 1 (%s)\r\n' % (c.n, ' '.join(['BODY.PEEK[]'] * 900)))
        c.w.f.read(1 << 20)
        c.w.close()
        s.wait_log('writing to the client')


@test
def imaplib_and_curl_read_messages():
    c = server().imap()
    c.delete('lib')
    c.create('lib')
    c.append('lib', None, None, NESTED)
    c.select('lib')
    assert c.fetch('1', '(BODY.PEEK[])')[1][0][1] == NESTED
    assert c.fetch('1', '(BINARY.PEEK[1])')[1][0][1] == 'line\r\nzwei ä\r\n'.encode()
    c.logout()
    got = subprocess.run(['curl', '-sS', '--user', LOGIN + ':' + PASSWORD,
                          'imap://%s:%d/lib;MAILINDEX=1;SECTION=3.TEXT' % (server().ip, IMAP)],
                         capture_output=True, timeout=WAIT)
    assert got.stdout == INNER.split(b'\r\n\r\n', 1)[1], got


main('imap-fetch')
