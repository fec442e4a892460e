"""What IMAP clients are told of changes: CONDSTORE, QRESYNC, ENABLE, IDLE, untagged LIST."""
import glob
import sqlite3

from harness import *
from imap_client import append, session

def fresh(w, box, n=0):
    w.write('f DELETE %s\r\n' % box)
    w.imap_until('f')
    w.imap_cmd('f CREATE %s' % box)
    append(w, box, n)


def number(lines, what):
    return int(re.search(r'%s (\d+)' % what, '\n'.join(lines)).group(1))


def untagged(lines, *words):
    """Untagged lines that have all words."""
    return [l for l in lines if l.startswith('* ') and all(w in l for w in words)]


@test
def enable_and_its_answers():
    w = session()
    assert 'IMAP4rev1' in w.imap_cmd('a CAPABILITY')[0]
    assert w.imap_cmd('b ENABLE X-NONE CONDSTORE')[0] == '* ENABLED CONDSTORE'
    assert w.imap_cmd('c ENABLE qresync CONDSTORE')[0] == '* ENABLED QRESYNC'
    assert w.imap_cmd('d ENABLE QRESYNC')[0] == '* ENABLED'
    assert w.imap_cmd('e ENABLE IMAP4rev2 UTF8=ACCEPT')[0] == '* ENABLED IMAP4rev2 UTF8=ACCEPT'
    w.imap_cmd('f ENABLE', 'BAD')
    w.imap_cmd('g ENABLE (X)', 'BAD')
    w = session()
    assert w.imap_cmd('b ENABLE QRESYNC')[0] == '* ENABLED QRESYNC CONDSTORE'


@test
def select_in_both_revisions():
    w = session()
    fresh(w, 'both', 3)
    w.imap_cmd('a SELECT both')
    w.imap_cmd('a STORE 1 +FLAGS.SILENT (\\Seen Word)')
    lines = w.imap_cmd('b SELECT both')
    assert lines[0] == '* OK [CLOSED] x'
    assert 'word' in lines[1] and lines[1].startswith('* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft ')
    assert lines[2].endswith('\\*)] x') and 'word' not in lines[2], lines
    assert lines[3:6] == ['* 0 RECENT', '* 3 EXISTS', '* OK [UNSEEN 2] x'], lines
    assert lines[6].startswith('* OK [UIDVALIDITY ') and lines[7] == '* OK [UIDNEXT 4] x'
    assert lines[8] == '* LIST () "/" both' and lines[9].startswith('* OK [MAILBOXID (b')
    assert lines[10] == 'b OK [READ-WRITE] x' and len(lines) == 11
    assert w.imap_cmd('c EXAMINE both')[-1] == 'c OK [READ-ONLY] x'
    assert '* OK [PERMANENTFLAGS ()] x' in w.imap_cmd('d EXAMINE both')
    # A mailbox is closed even when the next one cannot be opened.
    lines = w.imap_cmd('e SELECT nothing', 'NO')
    assert lines[0] == '* OK [CLOSED] x' and lines[-1].startswith('e NO [NONEXISTENT]')
    w.imap_cmd('f FETCH 1 FLAGS', 'NO')
    w.imap_cmd('g ENABLE IMAP4rev2')
    lines = w.imap_cmd('h SELECT both')
    assert not untagged(lines, 'RECENT') and not untagged(lines, 'UNSEEN')
    assert '* LIST () "/" "both"' in lines
    for bad in ('(FOO)', '(CONDSTORE CONDSTORE)', '()', '(QRESYNC (1 2))', 'x', '(CONDSTORE) x'):
        w.imap_cmd('i SELECT both ' + bad, 'BAD')
    # What is badly said does not close the mailbox.
    w.imap_cmd('j FETCH 1 FLAGS')


@test
def unseen_is_the_first_of_them():
    w = session()
    fresh(w, 'unseen', 1)
    assert '* OK [UNSEEN 1] x' in w.imap_cmd('a SELECT unseen')
    append(w, 'unseen', 3, '\\Seen')
    append(w, 'unseen', 2)
    w.imap_cmd('b STORE 1 +FLAGS (\\Seen)')
    w.imap_cmd('c CLOSE')
    assert '* OK [UNSEEN 5] x' in w.imap_cmd('d EXAMINE unseen')
    w.imap_cmd('e SELECT unseen')
    w.imap_cmd('f STORE 1:* +FLAGS (\\Seen)')
    assert not untagged(w.imap_cmd('g SELECT unseen'), 'UNSEEN')


@test
def condstore_enabling_tells_highestmodseq():
    w = session()
    fresh(w, 'cse', 2)
    for command in ('STATUS cse (HIGHESTMODSEQ)', 'FETCH 1 (MODSEQ)', 'FETCH 1 (FLAGS) (CHANGEDSINCE 1)',
                    'SEARCH MODSEQ 1', 'STORE 1 (UNCHANGEDSINCE 1) +FLAGS (x)', 'ENABLE CONDSTORE'):
        w = session()
        assert not untagged(w.imap_cmd('a SELECT cse'), 'HIGHESTMODSEQ')
        lines = w.imap_cmd('b ' + command)
        assert len(untagged(lines, '* OK [HIGHESTMODSEQ ')) == 1, (command, lines)
        assert not untagged(w.imap_cmd('c ' + command), '* OK [HIGHESTMODSEQ '), command
        assert untagged(w.imap_cmd('d SELECT cse'), 'HIGHESTMODSEQ')


@test
def modseq_rules():
    w, v = session(enable='CONDSTORE'), session()
    fresh(w, 'ms', 3)
    before = number(w.imap_cmd('a SELECT ms'), 'HIGHESTMODSEQ')
    v.imap_cmd('a SELECT ms')
    # A change is told with its modseq; one that changes nothing has no new modseq.
    one = int(re.search(r'MODSEQ \((\d+)\)', w.imap_cmd('b STORE 1 +FLAGS (\\Flagged)')[0]).group(1))
    assert one > before
    lines = w.imap_cmd('c STORE 1:2 +FLAGS (\\Flagged)')
    assert 'MODSEQ (%d)' % one in lines[0] and 'MODSEQ (%d)' % one not in lines[1], lines
    lines = w.imap_cmd('d STORE 3 +FLAGS.SILENT (\\Flagged)')
    assert re.fullmatch(r'\* 3 FETCH \(UID 3 MODSEQ \(\d+\)\)', lines[0]), lines
    # Another session's change comes with a modseq, too; in that one, without.
    lines = v.imap_cmd('e STORE 1 -FLAGS (\\Flagged)')
    assert '* 1 FETCH (UID 1 FLAGS ())' in lines and not untagged(lines, 'MODSEQ'), lines
    lines = w.imap_cmd('f NOOP')
    assert re.match(r'\* 1 FETCH \(UID 1 FLAGS \(\) MODSEQ \(\d+\)\)', lines[0]), lines
    # \\Seen by FETCH.
    assert untagged(w.imap_cmd('g FETCH 2 BODY[TEXT]'), 'BODY[TEXT]')
    lines = w.imap_cmd('h FETCH 2 (FLAGS MODSEQ)')
    assert '\\Seen' in lines[0]
    highest = number(w.imap_cmd('i STATUS ms (HIGHESTMODSEQ)'), 'HIGHESTMODSEQ')
    assert 'MODSEQ (%d)' % highest in lines[0]
    # SEARCH: the highest modseq of what is found.
    lines = w.imap_cmd('j SEARCH MODSEQ "/flags/\\\\draft" all %d' % highest)
    assert lines[0] == '* SEARCH 2 (MODSEQ %d)' % highest, lines
    lines = w.imap_cmd('k SEARCH RETURN (MIN MAX) MODSEQ 1')
    assert re.match(r'\* ESEARCH \(TAG "k"\) MIN 1 MAX 3 MODSEQ \d+', lines[0])
    assert w.imap_cmd('l SEARCH MODSEQ 9223372036854775807')[0] == '* SEARCH'
    w.imap_cmd('m SEARCH MODSEQ 9223372036854775808', 'BAD')
    w.imap_cmd('n FETCH 1 (FLAGS) (CHANGEDSINCE 99999999999999999999)', 'BAD')


@test
def unchangedsince():
    w, v = session(enable='CONDSTORE'), session()
    fresh(w, 'us', 4)
    modseq = number(w.imap_cmd('a SELECT us'), 'HIGHESTMODSEQ')
    v.imap_cmd('a SELECT us')
    v.imap_cmd('b STORE 2,4 +FLAGS (\\Answered)')
    lines = w.imap_cmd('c STORE 1:4 (UNCHANGEDSINCE %d) +FLAGS.SILENT (\\Deleted)' % modseq)
    assert '[MODIFIED 2,4]' in lines[-1], lines
    # The stored flags of those that failed, not those that the change would have given.
    assert untagged(lines, '* 2 FETCH', 'FLAGS (\\Answered)'), lines
    assert untagged(lines, '* 1 FETCH (UID 1 MODSEQ'), lines
    lines = w.imap_cmd('d UID STORE 1 (UNCHANGEDSINCE 0) +FLAGS (x)')
    assert '[MODIFIED 1]' in lines[-1]
    # Messages that are gone: with numbers the client has to be told.
    v.imap_cmd('d EXPUNGE')
    assert w.imap_cmd('e STORE 1 +FLAGS (x)', 'NO')[-1].startswith('e NO [EXPUNGEISSUED]')
    assert w.imap_cmd('f UID STORE 1 +FLAGS (x)')[:2] == ['* 1 EXPUNGE', '* 2 EXPUNGE']


@test
def a_message_that_is_expunged_beside_a_store():
    """Before it or the moment after: the change is told with a modseq of its own, or the message is gone."""
    w, v = session(enable='CONDSTORE'), session()
    fresh(w, 'beside')
    for c in (w, v):
        c.imap_cmd('a SELECT beside')
    for i in range(60):
        append(v, 'beside', 1, '\\Deleted')
        for c in (w, v):
            c.imap_cmd('b NOOP')
        uid, modseq = map(int, re.search(r'UID (\d+) MODSEQ \((\d+)\)', w.imap_cmd('c FETCH 1 (UID MODSEQ)')[0]).groups())
        for c, line in ((w, 'd STORE 1 +FLAGS.SILENT (\\Seen)'), (v, 'd UID EXPUNGE %d' % uid))[::1 if i % 2 else -1]:
            c.write(line + '\r\n')
        lines = w.imap_until('d')
        assert lines[-1].startswith('d NO [EXPUNGEISSUED]') or int(re.search(r'MODSEQ \((\d+)\)', lines[0])[1]) > modseq, lines
        v.imap_until('d')
        for c in (w, v):
            c.imap_cmd('e NOOP')


@test
def silence_does_not_hide_other_changes():
    w, v = session(), session()
    fresh(w, 'silent', 3)
    w.imap_cmd('a SELECT silent')
    v.imap_cmd('a SELECT silent')
    v.imap_cmd('b STORE 2:3 +FLAGS (\\Flagged)')
    lines = w.imap_cmd('c STORE 1:2 +FLAGS.SILENT (\\Seen)')
    assert untagged(lines, '* 2 FETCH', '\\Flagged') and untagged(lines, '* 3 FETCH', '\\Flagged'), lines
    assert not untagged(lines, '* 1 FETCH')


@test
def vanished_instead_of_expunge():
    w, v = session(enable='QRESYNC'), session()
    fresh(w, 'van', 8)
    v.imap_cmd('a NOOP')
    modseq = number(w.imap_cmd('a SELECT van'), 'HIGHESTMODSEQ')
    v.imap_cmd('a SELECT van')
    v.imap_cmd('b STORE 2:4,6 +FLAGS.SILENT (\\Deleted)')
    lines = v.imap_cmd('c EXPUNGE')
    assert lines[:4] == ['* 2 EXPUNGE', '* 2 EXPUNGE', '* 2 EXPUNGE', '* 3 EXPUNGE'], lines
    assert not untagged(w.imap_cmd('d FETCH 1 (UID)'), 'VANISHED')
    lines = w.imap_cmd('e NOOP')
    assert lines[0] == '* VANISHED 2:4,6', lines
    w.imap_cmd('f STORE 1 +FLAGS (\\Deleted)')
    lines = w.imap_cmd('g UID EXPUNGE 1:5')
    assert lines[0] == '* VANISHED 1' and '[HIGHESTMODSEQ ' in lines[-1], lines
    # HIGHESTMODSEQ of the reply, of STATUS and of SELECT are the same.
    highest = number(lines[-1:], 'HIGHESTMODSEQ')
    assert number(w.imap_cmd('h STATUS van (HIGHESTMODSEQ)'), 'HIGHESTMODSEQ') == highest
    fresh(v, 'van2')
    w.imap_cmd('h NOOP')
    lines = w.imap_cmd('i MOVE 1 van2')
    at = [i for i, l in enumerate(lines) if 'COPYUID' in l]
    assert at and lines[at[0] + 1] == '* VANISHED 5' and '[HIGHESTMODSEQ' in lines[-1], lines
    # UID FETCH tells modseqs by itself, and what vanished when asked.
    lines = w.imap_cmd('j UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)' % modseq)
    assert lines[0] == '* VANISHED (EARLIER) 1:6', lines
    lines = w.imap_cmd('k UID FETCH 2:3,5,7 (FLAGS) (CHANGEDSINCE %d VANISHED)' % modseq)
    assert lines[0] == '* VANISHED (EARLIER) 2:3,5', lines
    assert untagged(w.imap_cmd('l UID FETCH 7 (FLAGS)'), 'MODSEQ')
    w.imap_cmd('m FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)', 'BAD')
    w.imap_cmd('n UID FETCH 1 (FLAGS) (VANISHED)', 'BAD')
    v.imap_cmd('o UID FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)', 'BAD')


@test
def nothing_vanishes_while_numbers_are_used():
    w, v = session(enable='QRESYNC'), session()
    fresh(w, 'num', 5)
    w.imap_cmd('a SELECT num')
    v.imap_cmd('a SELECT num')
    v.imap_cmd('b STORE 2 +FLAGS (\\Deleted)')
    v.imap_cmd('c EXPUNGE')
    for command in ('FETCH 1:* (UID)', 'STORE 1 +FLAGS (x)', 'SEARCH ALL', 'UID SEARCH 1:3'):
        assert not untagged(w.imap_cmd('d ' + command), 'VANISHED'), command
    # Numbers still count what is gone.
    assert untagged(w.imap_cmd('e FETCH 5 (UID)'), '* 5 FETCH (UID 5')
    assert '* VANISHED 2' in w.imap_cmd('f UID SEARCH UID 1:3')
    assert untagged(w.imap_cmd('g FETCH 4 (UID)'), '* 4 FETCH (UID 5')


@test
def a_message_that_is_gone_can_still_be_read():
    w, v = session(), session()
    fresh(w, 'gone', 3)
    w.imap_cmd('a SELECT gone')  # rows are not read yet
    v.imap_cmd('a SELECT gone')
    v.imap_cmd('b STORE 1:2 +FLAGS (\\Deleted)')
    v.imap_cmd('c EXPUNGE')
    append(v, 'gone', 1)
    lines = w.imap_cmd('d FETCH 1:3 (UID BODY.PEEK[TEXT])')
    assert [l for l in lines if l == 'body 0'] and [l for l in lines if l == 'body 2'], lines
    assert not untagged(lines, 'EXISTS') and not untagged(lines, 'EXPUNGE')
    w.imap_cmd('e FETCH 4 (UID)', 'BAD')
    lines = w.imap_cmd('f NOOP')
    assert lines[:3] == ['* 1 EXPUNGE', '* 1 EXPUNGE', '* 2 EXISTS'], lines


def resync(w, box, uidvalidity, modseq, more='', want='OK'):
    return w.imap_cmd('q SELECT %s (QRESYNC (%d %d%s))' % (box, uidvalidity, modseq, more), want)


@test
def qresync():
    w, v = session(enable='QRESYNC'), session()
    fresh(w, 'qr', 10)
    lines = w.imap_cmd('a SELECT qr')
    uidvalidity, modseq = number(lines, 'UIDVALIDITY'), number(lines, 'HIGHESTMODSEQ')
    w.imap_cmd('a UNSELECT')
    v.imap_cmd('a SELECT qr')
    v.imap_cmd('b STORE 5 +FLAGS (\\Flagged)')
    v.imap_cmd('c STORE 3 +FLAGS (\\Seen)')
    v.imap_cmd('d UID STORE 1,4,9 +FLAGS (\\Deleted)')
    v.imap_cmd('e EXPUNGE')
    append(v, 'qr', 1)
    lines = resync(w, 'qr', uidvalidity, modseq)
    at = lines.index('* VANISHED (EARLIER) 1,4,9')
    # By modseq: the older change first; after what vanished; with the numbers of now.
    assert [re.sub(r' MODSEQ \(\d+\)', '', l) for l in lines[at + 1:-1]] == [
        '* 3 FETCH (UID 5 FLAGS (\\Flagged))', '* 2 FETCH (UID 3 FLAGS (\\Seen))',
        '* 8 FETCH (UID 11 FLAGS ())'], lines
    assert all('MODSEQ' in l for l in lines[at + 1:-1])
    now = number(lines, 'HIGHESTMODSEQ')
    # Only for known uids.
    lines = resync(w, 'qr', uidvalidity, modseq, ' 1:4')
    assert '* VANISHED (EARLIER) 1,4' in lines and len(untagged(lines, 'FETCH')) == 1, lines
    # Nothing new, another uidvalidity, a modseq of the future: no more than SELECT says.
    for other in ((uidvalidity, now), (uidvalidity + 1, 1), (uidvalidity, 2 ** 63 - 1)):
        lines = resync(w, 'qr', *other)
        assert not untagged(lines, 'VANISHED') and not untagged(lines, 'FETCH'), (other, lines)
    # Numbers that match: what is below is known to be gone. 3 is uid 5, 5 would be 8.
    lines = resync(w, 'qr', uidvalidity, modseq, ' 1:11 (3,5 5,7)')
    assert '* VANISHED (EARLIER) 9' in lines, lines
    lines = resync(w, 'qr', uidvalidity, modseq, ' (3:4 5:6)')
    assert '* VANISHED (EARLIER) 9' in lines, lines
    lines = resync(w, 'qr', uidvalidity, modseq, ' (4 5)')
    assert '* VANISHED (EARLIER) 1,4,9' in lines, lines
    # A client that names a uid which was gone before its modseq is out of step.
    lines = resync(w, 'qr', uidvalidity, now, ' 1:11 (1,4 2,4)')
    assert untagged(lines, '[ALERT]') and '* VANISHED (EARLIER) 1,4,9' in lines, lines
    # The rest of the session goes on with these numbers.
    assert untagged(w.imap_cmd('f FETCH 3 (UID)'), 'UID 5')


@test
def qresync_syntax_and_absurd_ranges():
    w = session(enable='QRESYNC')
    fresh(w, 'abs', 5)
    lines = w.imap_cmd('a SELECT abs')
    uidvalidity, modseq = number(lines, 'UIDVALIDITY'), number(lines, 'HIGHESTMODSEQ')
    w.imap_cmd('b UID STORE 2 +FLAGS (\\Deleted)')
    w.imap_cmd('c EXPUNGE')
    for bad in (' 1:*', ' $', ' 0', ' 1:5 (1 1,2)', ' (2,1 1,2)', ' (1:2 2:1)', ' (1,1 1,2)', ' ()', ' 1:5 ',
                ' 1:5 (1 1) x', ' 4294967296', ' (1:* 1:*)', ' 1:4294967295 (1:4294967295 1:4294967294)'):
        resync(w, 'abs', uidvalidity, modseq, bad, 'BAD')
    resync(w, 'abs', 0, modseq, '', 'BAD')
    resync(w, 'abs', uidvalidity, 0, '', 'BAD')
    resync(w, 'abs', uidvalidity, 2 ** 63, '', 'BAD')
    w.imap_cmd('d SELECT abs (QRESYNC (1 1) QRESYNC (1 1))', 'BAD')
    v = session()
    v.imap_cmd('a SELECT abs (QRESYNC (1 1))', 'BAD')
    # The whole space of numbers, ten thousand times over, is no more work than the mailbox.
    many = ','.join(['1:4294967295'] * 1000)
    for odd in (' 1:4294967295', ' 4294967295:1', ' ' + many, ' 1:4294967295 (1:4294967295 1:4294967295)',
                ' (1:2000000000,3000000000 7:2000000006,4294967295)'):
        lines = resync(w, 'abs', uidvalidity, modseq, odd)
        assert '* VANISHED (EARLIER) 2' in lines or '(1:4294967295' in odd, (odd[:40], lines)
    assert untagged(w.imap_cmd('e UID FETCH 1:4294967295 (FLAGS) (CHANGEDSINCE 1 VANISHED)'),
                    'VANISHED (EARLIER) 2')
    # A mailbox that never had a message, and one that does not exist.
    fresh(w, 'empty')
    lines = w.imap_cmd('f SELECT empty')
    lines = resync(w, 'empty', number(lines, 'UIDVALIDITY'), 1, ' 1:10 (1 1)')
    assert not untagged(lines, 'VANISHED')
    resync(w, 'nothing', 1, 1, '', 'NO')


@test
def history_that_is_forgotten():
    """Where removals are no longer known, all uids that are not there are told; matches keep that short."""
    with running() as s:
        w = session(s)
        fresh(w, 'old', 10)
        lines = w.imap_cmd('a SELECT old (CONDSTORE)')
        uidvalidity, modseq = number(lines, 'UIDVALIDITY'), number(lines, 'HIGHESTMODSEQ')
        w.imap_cmd('b UID STORE 2,5:6,9:10 +FLAGS (\\Deleted)')
        w.imap_cmd('c EXPUNGE')
        s.stop()
        db = sqlite3.connect(glob.glob(os.path.join(s.dir, '**', 'mox', 'account.db'), recursive=True)[0])
        db.execute('DELETE FROM expunged')
        db.execute('UPDATE mailbox SET expunge_floor = (SELECT modseq FROM account)')
        db.commit()
        db.close()
        s.start()
        w = session(s, 'QRESYNC')
        for more, want in (('', '2,5:6,9:10'), (' 1:4', '2'), (' 5:4000000000', '5:6,9:10'), (' 5,6,5:5', '5:6'), (' 7:8', None),
                           (' (3,5 4,8)', '9:10'), (' 1:6 (1 1)', '2,5:6'), (' 1:6 (3 4)', '5:6')):
            lines = resync(w, 'old', uidvalidity, modseq, more)
            got = untagged(lines, 'VANISHED')
            assert got == (['* VANISHED (EARLIER) ' + want] if want else []), (more, lines)
        lines = w.imap_cmd('d UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)' % modseq)
        assert lines[0] == '* VANISHED (EARLIER) 2,5:6', lines  # "*" is 8
        lines = w.imap_cmd('e UID FETCH 1:100 (FLAGS) (CHANGEDSINCE %d VANISHED)' % modseq)
        assert lines[0] == '* VANISHED (EARLIER) 2,5:6,9:10', lines


@test
def uids_come_to_an_end():
    with running() as s:
        w = session(s)
        fresh(w, 'end', 0)
        s.stop()
        db = sqlite3.connect(glob.glob(os.path.join(s.dir, '**', 'mox', 'account.db'), recursive=True)[0])
        db.execute("UPDATE mailbox SET uidnext = 4294967293 WHERE name = 'end'")
        db.commit()
        db.close()
        s.start()
        w = session(s, 'QRESYNC')
        append(w, 'end', 2)
        w.write('a APPEND end {5+}\r\na: b\n\r\n')
        assert w.imap_until('a')[-1].split()[1] == 'NO'
        lines = w.imap_cmd('b SELECT end')
        assert '* OK [UIDNEXT 4294967295] x' in lines
        uidvalidity = number(lines, 'UIDVALIDITY')
        lines = w.imap_cmd('c UID FETCH 1:4294967295 (UID)')
        assert untagged(lines, '* 2 FETCH', 'UID 4294967294'), lines
        assert untagged(w.imap_cmd('d UID FETCH 4294967295:* (UID)'), 'UID 4294967294')
        w.imap_cmd('e STORE 2 +FLAGS (\\Deleted)')
        assert w.imap_cmd('f EXPUNGE')[0] == '* VANISHED 4294967294'
        lines = resync(w, 'end', uidvalidity, 1, ' 4294967290:4294967295')
        assert '* VANISHED (EARLIER) 4294967294' in lines, lines
        w.imap_cmd('g COPY 1 Sent')
        w.imap_cmd('h SELECT Sent')
        w.imap_cmd('i COPY 1 end', 'NO')


@test
def vanished_lines_are_short():
    w = session(enable='QRESYNC')
    fresh(w, 'long', 1)
    w.imap_cmd('a SELECT long')
    for i in range(12):  # 1 becomes 2, 4, ... 4096
        w.imap_cmd('b CREATE long%d' % i)
        w.imap_cmd('c COPY 1:* long%d' % i)
        if i:
            w.imap_cmd('d SELECT long%d' % (i - 1))
            w.imap_cmd('e COPY 1:* long%d' % i)
        w.imap_cmd('f SELECT long%d' % i)
    n = number(w.imap_cmd('g STATUS long11 (MESSAGES)'), 'MESSAGES')
    assert n > 100
    uids = ','.join(str(i) for i in range(1, n, 2))
    for part in range(1, n, 2 * 1000):
        w.imap_cmd('h UID STORE %s +FLAGS.SILENT (\\Deleted)' % ','.join(
            str(i) for i in range(part, min(n, part + 2000), 2)))
    lines = w.imap_cmd('i EXPUNGE')
    gone = [l for l in lines if l.startswith('* VANISHED ')]
    assert all(len(l) <= 4096 for l in gone)
    assert ','.join(l[len('* VANISHED '):] for l in gone) == uids


@test
def enabled_qresync_hears_in_idle():
    w, v = session(enable='QRESYNC'), session()
    fresh(w, 'qidle', 3)
    w.imap_cmd('a SELECT qidle')
    v.imap_cmd('a SELECT qidle')
    w.write('b IDLE\r\n')
    assert w.line().startswith('+')
    v.imap_cmd('b STORE 1:2 +FLAGS (\\Deleted)')
    assert 'MODSEQ' in w.line() and w.line()
    v.imap_cmd('c EXPUNGE')
    assert w.line() == '* VANISHED 1:2'
    v.imap_cmd('d CREATE qidle-new')
    assert w.line() == '* LIST (\\Subscribed) "/" qidle-new'
    w.write('DONE\r\n')
    w.imap_until('b')


@test
def mailbox_changes_are_told():
    w, v = session(), session(enable='IMAP4rev2')
    lines = w.imap_cmd('a CREATE news/deep/er')
    assert lines[:3] == ['* LIST (\\Subscribed) "/" news', '* LIST (\\Subscribed) "/" news/deep',
                         '* LIST (\\Subscribed) "/" news/deep/er'], lines
    lines = v.imap_cmd('b NOOP')
    assert untagged(lines, '* LIST (\\Subscribed) "/" "news/deep/er"') and len(lines) == 4, lines
    w.imap_cmd('c UNSUBSCRIBE news/deep')
    assert v.imap_cmd('d NOOP')[0] == '* LIST () "/" "news/deep"'
    w.imap_cmd('e UNSUBSCRIBE news/deep')  # no change, no news
    w.imap_cmd('e RENAME news/deep old')
    assert v.imap_cmd('f NOOP') == ['* LIST () "/" "old" ("OLDNAME" ("news/deep"))',
                                    '* LIST () "/" "old/er" ("OLDNAME" ("news/deep/er"))',
                                    'f OK NOOP done']
    assert w.imap_cmd('g NOOP') == ['g OK NOOP done']  # it did that itself
    v.imap_cmd('h RENAME old back')
    assert w.imap_cmd('i NOOP')[:2] == ['* LIST () "/" back', '* LIST () "/" back/er']
    w.imap_cmd('j DELETE back/er')
    assert v.imap_cmd('k NOOP')[0] == '* LIST (\\NonExistent) "/" "back/er"'
    v.imap_cmd('l DELETE back')
    assert w.imap_cmd('m NOOP') == ['m OK NOOP done']  # IMAP4rev1 has no word for it
    w.imap_cmd('n SUBSCRIBE ghost')
    assert v.imap_cmd('o NOOP')[0] == '* LIST (\\NonExistent \\Subscribed) "/" "ghost"'
    w.imap_cmd('p UNSUBSCRIBE ghost')
    w.imap_cmd('q UNSUBSCRIBE ghost', 'NO')
    # A name that is not in its canonical form.
    lines = v.imap_cmd('r CREATE inbox/sub/')
    assert lines[0].startswith('* LIST') and untagged(
        lines, '* LIST (\\Subscribed) "/" "Inbox/sub" ("OLDNAME" ("inbox/sub"))'), lines
    lines = v.imap_cmd('s CREATE Spam (USE (\\Junk))')
    assert '* LIST (\\Subscribed \\Junk) "/" "Spam"' in lines, lines
    assert len(untagged(v.imap_cmd('t LIST (SPECIAL-USE) "" *'), '\\Junk')) == 1
    v.imap_cmd('u DELETE Inbox/sub')
    # Deliveries make mailboxes, too; a selected one can be renamed and deleted under the feet.
    fresh(w, 'feet', 2)
    v.imap_cmd('v SELECT feet')
    w.imap_cmd('w RENAME feet hands')
    v.imap_cmd('x FETCH 1 (FLAGS)')
    v.imap_cmd('y NOOP')
    v.imap_cmd('z COPY 1 hands', 'NO')  # the same mailbox by its new name
    w.imap_cmd('w DELETE hands')
    assert '* 1 EXPUNGE' in v.imap_cmd('y NOOP')
    v.imap_cmd('z FETCH 1 (FLAGS)', 'BAD')
    v.imap_cmd('z CLOSE')


def wait_parked(s, n):
    deadline = time.monotonic() + WAIT
    while s.log_text().count('connection parked') < n:
        assert time.monotonic() < deadline, 'not parked'
        time.sleep(0.05)


@test
def parked_with_all_that_was_enabled():
    with running() as s:
        w, v, u = session(s, 'QRESYNC IMAP4rev2'), session(s), session(s)
        fresh(w, 'p', 5)
        u.imap_cmd('a NOOP')
        for c in (w, u):
            c.imap_cmd('a SELECT p')
            c.imap_cmd('b SEARCH RETURN (SAVE) OR UID 2:3 5')
            c.write('c IDLE\r\n')
            assert c.line().startswith('+')
        wait_parked(s, 2)
        v.imap_cmd('a SELECT p')
        v.imap_cmd('b STORE 2,4 +FLAGS.SILENT (\\Deleted)')
        v.imap_cmd('c EXPUNGE')
        for c, want in ((w, ['* 2 FETCH', '* 4 FETCH', '* VANISHED 2,4']),
                        (u, ['* 2 FETCH', '* 4 FETCH', '* 2 EXPUNGE', '* 3 EXPUNGE'])):
            # Flags and removal may be seen in one, or one after the other.
            got = []
            while len(got) < len(want) and (not got or got[-1] != want[-1]):
                got.append(c.line())
            assert got[-1].startswith(want[-1]), got
        v.imap_cmd('d CREATE p/new')
        assert w.line() == '* LIST (\\Subscribed) "/" "p/new"'
        assert u.line() == '* LIST (\\Subscribed) "/" p/new'
        append(v, 'p', 1)
        assert w.line() == '* 4 EXISTS' and 'MODSEQ' in w.line()
        for c in (w, u):
            c.write('DONE\r\n')
            c.imap_until('c')
            lines = c.imap_cmd('d FETCH $ (UID)')
            assert [l.split()[4].rstrip(')') for l in untagged(lines, 'FETCH')] == ['3', '5'], lines
        lines = w.imap_cmd('e SEARCH UID 3')
        assert lines[0] == '* ESEARCH (TAG "e") ALL 2', lines
        # Parked without a mailbox: news of mailboxes alone.
        n = s.log_text().count('connection parked')
        w.imap_cmd('f UNSELECT')
        w.write('g IDLE\r\n')
        w.line()
        wait_parked(s, n + 1)
        v.imap_cmd('e DELETE p/new')
        got = w.line()
        assert got == '* LIST (\\NonExistent) "/" "p/new"', got
        w.write('DONE\r\n')
        w.imap_until('g')


@test
def views_are_used_again():
    """A mailbox selected once more is as the store has it, whatever happened in between."""
    w, v = session(enable='CONDSTORE'), session()
    fresh(w, 'again', 6)
    v.imap_cmd('a SELECT again')
    for i in range(3):
        w.imap_cmd('a SELECT again')
        w.imap_cmd('b FETCH 1:* (FLAGS)')
        w.imap_cmd('c UNSELECT')
        v.imap_cmd('b STORE 1 +FLAGS (\\Deleted)')
        v.imap_cmd('c STORE 2 +FLAGS (k%d)' % i)
        v.imap_cmd('d EXPUNGE')
        append(v, 'again', 1)
        lines = w.imap_cmd('d SELECT again')
        assert '* 6 EXISTS' in lines, lines
        fast = w.imap_cmd('e FETCH 1:* (FLAGS MODSEQ)')[:-1]
        other = session(enable='CONDSTORE')
        other.imap_cmd('a EXAMINE again')
        assert fast == other.imap_cmd('e FETCH 1:* (FLAGS MODSEQ)')[:-1]
        other.close()
        w.imap_cmd('f UNSELECT')


main('imap_sync')
