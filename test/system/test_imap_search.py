"""SEARCH: every key, return options, saved results, charsets, and what grows with its input."""
from harness import *
from imap_client import session

MESSAGES = [
    ('(\\Seen \\Answered)', '"01-Jan-2020 23:30:00 -0500"', 'From: Ann <ann@example.org>\r\nTo: bob@example.com\r\n'
     'Cc: Carol <carol@example.net>\r\nBcc: dave@example.net\r\nSubject: one\r\n'
     'Date: Tue, 01 Sep 2026 23:30:00 -0700\r\nX-Mark: yes\r\n\r\nalpha beta\r\n'),
    ('(\\Flagged \\Deleted $Work)', '"15-Jun-2020 10:00:00 +0000"', 'From: bob@example.com\r\nTo: Ann <ann@example.org>\r\n'
     'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= two\r\nDate: Wed, 02 Sep 2026 00:30:00 +0900\r\nX-Mark: \r\n'
     'Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
     'caf=E9 needle\r\n'),
    ('(\\Draft $Junk)', '"01-Jan-2021 10:00:00 +0000"', 'From: =?utf-8?b?w4Rubg==?= <aenn@example.org>\r\n'
     'Subject: three\r\n folded line\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n'
     'Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVuIHdvcmQ=\r\n--b\r\n'
     'Content-Type: application/octet-stream\r\n\r\nbinaryneedle\r\n--b\r\n'
     'Content-Type: message/rfc822\r\n\r\nSubject: embedded subject\r\n\r\nembedded body\r\n--b--\r\n'),
    ('', '"02-Jan-2021 10:00:00 +0000"', 'Subject: four\r\n\r\n' + 'long line ' * 500 + '\r\n'),
]


def fill(w, box):
    w.write('f DELETE %s\r\n' % box)
    w.imap_until('f')
    w.imap_cmd('f CREATE ' + box)
    for flags, date, body in MESSAGES:
        w.write('p APPEND %s %s %s {%d+}\r\n%s\r\n' % (box, flags or '()', date, len(body), body))
        assert w.imap_until('p')[-1].startswith('p OK')
    w.imap_cmd('f SELECT ' + box)


def found(w, query, uid=False):
    lines = w.imap_cmd(('x UID SEARCH ' if uid else 'x SEARCH ') + query)
    return ' '.join(l[len('* SEARCH '):] for l in lines if l.startswith('* SEARCH '))


@test
def many_keys_and_a_long_field():
    """What is made of a message for one comparison is gone at the next: else a message ends the account's process."""
    w = session()
    w.imap_cmd('a CREATE long')
    body = 'Subject: x\r\nX-Long:' + (' ' + 'abcde' * 15 + '\r\n') * 8000 + '\r\nbody\r\n'
    w.write('b APPEND long {%d+}\r\n%s\r\n' % (len(body), body))
    w.imap_until('b')
    w.imap_cmd('c SELECT long')
    assert found(w, ' '.join(['HEADER X-Long abcde'] * 700)) == '1'
    w.imap_cmd('d LOGOUT')


@test
def every_key():
    w = session()
    fill(w, 's')
    for query, want in (
            ('ALL', '1 2 3 4'), ('ANSWERED', '1'), ('UNANSWERED', '2 3 4'), ('DELETED', '2'), ('UNDELETED', '1 3 4'),
            ('DRAFT', '3'), ('UNDRAFT', '1 2 4'), ('FLAGGED', '2'), ('UNFLAGGED', '1 3 4'), ('SEEN', '1'),
            ('UNSEEN', '2 3 4'), ('NEW', ''), ('RECENT', ''), ('OLD', '1 2 3 4'), ('KEYWORD $work', '2'),
            ('UNKEYWORD $WORK', '1 3 4'), ('KEYWORD $Junk', '3'), ('UNKEYWORD $junk', '1 2 4'), ('KEYWORD none', ''),
            ('FROM ann@', '1'), ('FROM example.org', '1 3'), ('TO ann', '2'), ('CC carol', '1'), ('BCC dave', '1'),
            ('SUBJECT ONE', '1'), ('SUBJECT "three folded"', '3'), ('SUBJECT ""', '1 2 3 4'), ('FROM ""', '1 2 3'),
            ('HEADER X-Mark ""', '1 2'), ('HEADER x-mark YES', '1'), ('HEADER X-None ""', ''), ('HEADER to bob', '1'),
            ('BODY needle', '2'), ('BODY "hidden word"', '3'), ('BODY binaryneedle', ''), ('BODY embedded', '3'),
            ('BODY "embedded subject"', '3'), ('TEXT "embedded subject"', '3'), ('TEXT x-mark', '1 2'), ('BODY x-mark', ''),
            ('TEXT alpha', '1'), ('BODY ""', '1 2 3 4'), ('LARGER 1000', '4'), ('SMALLER 1000', '1 2 3'),
            ('BEFORE 2-Jan-2020', ''), ('BEFORE 16-Jun-2020', '1 2'), ('ON "15-Jun-2020"', '2'), ('SINCE 1-Jan-2021', '3 4'),
            # The date as the header has it, whatever its zone.
            ('SENTON 1-Sep-2026', '1'), ('SENTON 2-Sep-2026', '2'), ('SENTSINCE 2-Sep-2026', '2'),
            ('SENTBEFORE 2-Sep-2026', '1 3 4'), ('SENTSINCE 1-Sep-2026', '1 2'),
            ('UID 2:3', '2 3'), ('UID 4:*', '4'), ('UID 99:*', '4'), ('2,4', '2 4'), ('*', '4'), ('3:*', '3 4'), ('99', ''),
            ('99:*', '4'), ('*:2', '2 3 4'), ('1:4294967295', '1 2 3 4'), ('UID 1:4294967295', '1 2 3 4'),
            ('NOT SEEN', '2 3 4'), ('OR SEEN FLAGGED', '1 2'), ('(SEEN ANSWERED)', '1'), ('NOT (OR SEEN FLAGGED)', '3 4'),
            ('OR (FROM ann UNSEEN) (NOT ALL)', ''), ('SEEN ANSWERED NOT DELETED', '1'), ('NOT NOT SEEN', '1')):
        assert found(w, query) == want, (query, found(w, query), want)
        assert found(w, query, True) == want, query
    for bad in ('', 'FOO', 'NOT', 'OR SEEN', 'FROM', 'BEFORE 32-Jan-2020', 'BEFORE 1-Foo-2020', 'LARGER x', 'LARGER -1',
                '()', '(ALL', 'ALL)', '0', 'UID 0', 'UID', 'KEYWORD (x)', 'ALL  ALL', 'RETURN (FOO) ALL', 'RETURN ALL',
                'RETURN (MIN', 'MODSEQ x', 'HEADER a', 'KEYWORD \\Seen', 'CHARSET', 'CHARSET UTF-8'):
        w.imap_cmd('b SEARCH ' + bad, 'BAD')


@test
def charsets_and_letters():
    w = session()
    fill(w, 's')

    def with_literal(before, text, after=''):
        data = text.encode()
        w.write(('c SEARCH %s {%d+}\r\n' % (before, len(data))).encode() + data + after.encode() + b'\r\n')
        return w.imap_until('c')
    for text in ('Gr\u00fc\u00dfe', 'gr\u00fc\u00dfe', 'GR\u00dc\u00dfE', 'GR\u00dcSSE'):
        assert with_literal('CHARSET UTF-8 SUBJECT', text)[0] == '* SEARCH 2', text
    assert with_literal('CHARSET utf-8 BODY', 'CAF\u00c9')[0] == '* SEARCH 2'
    assert with_literal('FROM', '\u00e4nn')[0] == '* SEARCH 3'
    assert with_literal('CHARSET UTF-8 OR SUBJECT', 'gr\u00fc', ' SEEN')[0] == '* SEARCH 1 2'
    assert found(w, 'CHARSET US-ASCII SUBJECT one') == '1'
    assert '[BADCHARSET (US-ASCII UTF-8)]' in w.imap_cmd('d SEARCH CHARSET KOI8-R ALL', 'NO')[-1]


@test
def return_options():
    w = session()
    fill(w, 's')
    w.imap_cmd('a UID STORE 1 +FLAGS.SILENT (\\Deleted)')
    w.imap_cmd('a EXPUNGE')
    w.imap_cmd('a UID STORE 2 -FLAGS.SILENT (\\Deleted)')  # gone, too
    for query, want in (('RETURN () ALL', ' ALL 1:2'), ('RETURN (ALL) ALL', ' ALL 1:2'), ('RETURN (MIN) ALL', ' MIN 1'),
                        ('RETURN (MAX) ALL', ' MAX 2'), ('RETURN (COUNT) ALL', ' COUNT 2'), ('RETURN (MIN) SEEN', ''),
                        ('RETURN (MIN MAX COUNT ALL) DRAFT', ' MIN 1 MAX 1 ALL 1 COUNT 1'),
                        ('RETURN (MIN MAX) ALL', ' MIN 1 MAX 2'), ('RETURN (COUNT) SEEN', ' COUNT 0'),
                        ('RETURN (ALL) SEEN', ''), ('RETURN (MIN MAX) DRAFT', ' MIN 1 MAX 1')):
        assert w.imap_cmd('b SEARCH ' + query)[0] == '* ESEARCH (TAG "b")' + want, query
    assert w.imap_cmd('c UID SEARCH RETURN (MIN MAX ALL) ALL')[0] == '* ESEARCH (TAG "c") UID MIN 3 MAX 4 ALL 3:4'
    # RFC 7162 3.1.10, RFC 4731 3.2: the modseq of what is told.
    w.imap_cmd('d ENABLE CONDSTORE')
    modseqs = {int(u): int(m) for u, m in re.findall(r'UID (\d+) MODSEQ \((\d+)\)', '\n'.join(
        w.imap_cmd('e FETCH 1:* (UID MODSEQ)')))}
    for options, uid in (('MIN', 3), ('MAX', 4), ('ALL', 4), ('COUNT', 4)):
        line = w.imap_cmd('f SEARCH RETURN (%s) MODSEQ 1' % options)[0]
        assert line.endswith(' MODSEQ %d' % modseqs[uid]), (options, line, modseqs)
    # IMAP4rev2 has no other response.
    w.imap_cmd('g ENABLE IMAP4rev2')
    assert w.imap_cmd('h SEARCH ALL')[0] == '* ESEARCH (TAG "h") ALL 1:2'
    assert w.imap_cmd('h UID SEARCH SEEN')[0] == '* ESEARCH (TAG "h") UID'


@test
def saved_results():
    w = session()
    fill(w, 's')

    def saved():
        return [l.split()[1] for l in w.imap_cmd('s FETCH $ (UID)') if 'FETCH (' in l]
    assert saved() == []
    for options, want, line in (('SAVE', ['2', '3', '4'], None), ('SAVE MIN', ['2'], ' MIN 2'), ('SAVE MAX', ['4'], ' MAX 4'),
                                ('SAVE MIN MAX', ['2', '4'], ' MIN 2 MAX 4'), ('SAVE COUNT', ['2', '3', '4'], ' COUNT 3'),
                                ('SAVE ALL', ['2', '3', '4'], ' ALL 2:4'),
                                ('MIN SAVE COUNT', ['2', '3', '4'], ' MIN 2 COUNT 3')):
        lines = w.imap_cmd('a SEARCH RETURN (%s) UNSEEN' % options)
        assert lines[:-1] == (['* ESEARCH (TAG "a")' + line] if line else []), lines
        assert saved() == want, options
    # As a key, alone and with others; for UID commands, too.
    w.imap_cmd('b UID SEARCH RETURN (SAVE) UID 2:3')
    assert found(w, '$') == '2 3' and found(w, 'UID $ FLAGGED', True) == '2' and found(w, 'OR $ 1') == '1 2 3'
    assert found(w, 'NOT $') == '1 4'
    w.imap_cmd('c UID STORE $ +FLAGS (\\Deleted)')
    # BAD changes nothing; a search without SAVE neither; NO empties it.
    w.imap_cmd('d SEARCH RETURN (SAVE) FOO', 'BAD')
    w.imap_cmd('e SEARCH CHARSET KOI8-R ALL', 'NO')
    w.imap_cmd('f SEARCH ALL')
    assert saved() == ['2', '3']
    w.imap_cmd('g UID EXPUNGE 2')
    assert saved() == ['2']  # uid 3
    w.imap_cmd('h SEARCH RETURN (SAVE) CHARSET KOI8-R ALL', 'NO')
    assert saved() == []
    for command in ('FETCH $ FLAGS', 'STORE $ +FLAGS (x)', 'COPY $ Trash', 'UID MOVE $ Trash', 'UID EXPUNGE $',
                    'SEARCH $'):
        w.imap_cmd('i ' + command)
    w.imap_cmd('j SEARCH RETURN (SAVE) ALL')
    w.imap_cmd('k SELECT s')
    assert saved() == []
    for bad in ('FETCH $,1 FLAGS', 'FETCH 1,$ FLAGS', 'FETCH $:2 FLAGS'):
        w.imap_cmd('l ' + bad, 'BAD')


@test
def sequence_sets_without_end():
    w = session()
    fill(w, 's')
    for wrong in ('5', '0', '4294967296', '1:5', '1,2,9', '99999999999999999999', '-1', '1:', ':1', '1,,2', 'x', ''):
        for command in ('FETCH %s FLAGS', 'STORE %s +FLAGS (x)', 'COPY %s Trash', 'MOVE %s Trash'):
            w.imap_cmd('a ' + command % wrong, 'BAD')
    # Uids that do not exist are no error (RFC 9051 6.4.9).
    for command in ('FETCH %s FLAGS', 'STORE %s +FLAGS (x)', 'COPY %s Trash', 'MOVE %s Trash', 'EXPUNGE %s', 'SEARCH UID %s'):
        w.imap_cmd('b UID ' + command % '5:4294967294')
    many = ','.join(['1:4294967295', '4294967295:1', '*:1', '1:*'] * 300)
    lines = w.imap_cmd('c UID FETCH %s (UID)' % many)
    assert len(lines) == 5
    assert found(w, 'UID ' + many) == '1 2 3 4' and found(w, many) == '1 2 3 4'
    w.imap_cmd('d UID FETCH %s (UID)' % ','.join(['1'] * 7500))
    set_of = ','.join(['1'] * 10001)
    w.write('e UID SEARCH UID {%d+}\r\n' % len(set_of))
    w.write(set_of + '\r\n')
    assert w.imap_until('e')[-1].split()[1] in ('BAD', 'NO')


@test
def deep_and_wide_trees():
    w = session()
    fill(w, 's')
    for deep in ('(' * 200 + 'ALL' + ')' * 200, 'NOT ' * 2000 + 'ALL', 'OR ALL ' * 1500 + 'ALL', 'OR ' * 3000,
                 '(' * 8000, '(NOT ' * 1500):
        w.imap_cmd('a SEARCH ' + deep, 'BAD')
    assert found(w, 'NOT ' * 40 + 'ALL') == '1 2 3 4'
    w.imap_cmd('b SEARCH ' + ' '.join(['ALL'] * 1100), 'BAD')
    assert found(w, ' '.join(['UNDELETED OR SEEN UNSEEN'] * 150)) == '1 3 4'


@test
def work_is_linear():
    """Twice the messages, twice the work: with a set of thousands of ranges, and with a saved result."""
    w = session()
    w.imap_cmd('a CREATE lin')
    fill(w, 'lin')
    odd = ','.join(str(i) for i in range(1, 6000, 2))

    def seconds(n):
        while True:
            w.imap_cmd('b SELECT lin')
            total = int(re.search(r'\* (\d+) EXISTS', '\n'.join(w.imap_cmd('b SELECT lin'))).group(1))
            if total >= n:
                break
            w.write('c DELETE lin2\r\n')
            w.imap_until('c')
            w.imap_cmd('c CREATE lin2')
            w.imap_cmd('d COPY 1:%d lin2' % min(total, n - total))
            w.imap_cmd('e SELECT lin2')
            w.imap_cmd('f MOVE 1:* lin')
        w.imap_cmd('g FETCH 1:* (UID)')
        account = server().pids('mox: account mox')
        start = cpu_seconds(*account)
        for _ in range(5):
            w.imap_cmd('h UID SEARCH RETURN (SAVE) UID ' + odd)
            w.imap_cmd('i UID SEARCH RETURN (COUNT) OR $ NOT $')
            w.imap_cmd('j UID FETCH $ (FLAGS)')
        return cpu_seconds(*account) - start
    small, large = seconds(2000), seconds(4000)
    assert large < 4 * small + 0.5, (small, large)


main('imap_search')
