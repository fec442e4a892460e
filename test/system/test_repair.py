"""verifydata -fix and the verbs that repair: data is damaged with sqlite3, named, repaired, and clean."""
import sqlite3

from harness import *


def filled(s):
    """Mailboxes with threads, flags, copies, expunged messages; what a client sees of it."""
    for i in range(6):
        s.send(body='text %d\r\n' % i + 'line\r\n' * 200, subject='subject %d' % (i % 3))
    s.send(body='an answer', subject='Re: subject 1')
    c = s.imap()
    for box in ('Work', 'Work/Old', 'Other'):
        c.create(box)
    c.select('INBOX')
    c.uid('COPY', '1:3', 'Work/Old')
    c.uid('STORE', '2', '+FLAGS', '($Junk)')
    c.uid('STORE', '3', '+FLAGS', '(\\Seen $NotJunk)')
    c.uid('STORE', '4', '+FLAGS', '(\\Deleted)')
    c.expunge()
    c.logout()


def seen(s):
    c = s.imap()
    out = {}
    for box in ('INBOX', 'Work/Old', 'Other'):
        c.select(box, readonly=True)
        parts = c.uid('FETCH', '1:*', '(FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])')[1]
        out[box] = [parts, c.status(box, '(MESSAGES UNSEEN UIDNEXT SIZE DELETED)')[1]]
    c.logout()
    return out


@contextlib.contextmanager
def database(s):
    db = sqlite3.connect(s.dir + '/data/accounts/mox/account.db', timeout=WAIT)
    try:
        with db:
            yield db
    finally:
        db.close()


# What is done to the data, what verifydata says, the verb that is for it alone, and whether a client sees the
# same afterwards.
DAMAGE = (
    ("UPDATE mailbox SET total = total + 5, unseen = 0 WHERE name = 'Inbox'", 'mailbox counts differ', 'recalculatemailboxcounts', True),
    ("UPDATE mailbox SET size = 1, deleted = 3", 'mailbox counts differ', 'recalculatemailboxcounts', True),
    ("UPDATE thread_mailbox SET emails = emails + 1", "thread's row differs", 'recalculatemailboxcounts', True),
    ("DELETE FROM thread_mailbox", 'thread counts differ', 'recalculatemailboxcounts', True),
    ("UPDATE account SET used_bytes = 1", 'used space differs', 'recalculatemailboxcounts', True),
    ("UPDATE mailbox SET uidnext = 1 WHERE name = 'Inbox'", 'uid is not below uidnext', 'fixuidmeta', True),
    ("UPDATE account SET next_uidvalidity = 1", 'uidvalidity is not below', 'fixuidmeta', True),
    ("INSERT INTO expunged SELECT mailbox, modseq, uid, email FROM placement", 'uid was used before', 'fixuidmeta', True),
    ("UPDATE email SET size = size + 7", 'bytes are missing or of another length', 'fixmsgsize', True),
    ("UPDATE placement SET size = 1", 'copy differs from its message', 'fixmsgsize', True),
    ("UPDATE email_state SET flags = 4", 'flags of a message differ', None, True),
    ("UPDATE mailbox SET special_use = 'Sent'", 'same special use', None, True),
    ("UPDATE account SET modseq = 2", "modseq is above the account's", None, True),
    ("UPDATE placement SET modseq = (SELECT modseq FROM account)", "above its mailbox's", None, True),
    ("UPDATE email_state SET memberseq = modseq + 1", "modseq of a message is above", None, True),
    ("UPDATE email_state SET dead_modseq = 5", 'copy of a message that is not there', None, True),
    ("DELETE FROM email_state WHERE id = 2", 'message and its state', None, True),
    ("DELETE FROM mailbox WHERE name = 'Work'", 'parent mailbox is missing', None, True),
    ("INSERT INTO origin (email, mailbox, destined, is_reject, judged, received_unix, signs) SELECT email, mailbox, 0, 0, 1, received_unix, "
     "x'' FROM placement GROUP BY email", 'judgement of a message differs', None, True),
    ("INSERT INTO sign (mailbox, kind, value, received_unix, email, is_junk, who) VALUES (77, 1, 'x', 0, 2, 1, '')",
     'sign of a message differs', None, True),
    ("UPDATE email_state SET learnt = 2", 'learnt', None, True),
    ("UPDATE junk_state SET ham = 70", 'numbers of learnt messages', None, True),
    ("DELETE FROM junk_page", 'words learnt differ', None, True),
    ("DELETE FROM placement WHERE mailbox = (SELECT id FROM mailbox WHERE name = 'Inbox') AND uid = 5", 'without a place', None, False),
    ("DELETE FROM email WHERE id = 6", 'bytes of no message', None, False),
    ("DELETE FROM mailbox WHERE name = 'Inbox'", 'no Inbox', None, False),
    ("DELETE FROM thread", 'thread', None, True),
)


def restore(s, kept):
    for name in os.listdir(s.dir + '/data/accounts/mox'):
        os.unlink(s.dir + '/data/accounts/mox/' + name)
    shutil.copy(kept, s.dir + '/data/accounts/mox/account.db')


@test
def what_verifydata_finds_is_repaired():
    with running() as s, tempfile.TemporaryDirectory() as d:
        filled(s)
        before = seen(s)
        with database(s) as db:  # its damage is looked for, too
            eventually(lambda: db.execute('SELECT ham, spam, (SELECT count(*) FROM junk_due) FROM junk_state').fetchone() == (1, 1, 0), 'not learnt')
        s.stop()
        kept = d + '/account.db'
        code, out, err = s.command('verifydata', '-fix')
        assert code == 0 and out == '1 accounts checked, no problems\n', (out, err)  # nothing to repair
        shutil.copy(s.dir + '/data/accounts/mox/account.db', kept)
        assert not os.path.exists(s.dir + '/data/accounts/mox/account.db-wal')
        for sql, says, verb, same in DAMAGE:
            for how in ('-fix', verb):
                if not how:
                    continue
                restore(s, kept)
                with database(s) as db:
                    db.execute(sql)
                code, out, err = s.command('verifydata')
                assert code == 1 and says in out, (sql, out, err)
                code, out, err = s.command('verifydata', '-fix') if how == '-fix' else s.command(verb, 'mox')
                assert code == 0 and ('mox: ' in out if how == '-fix' else out), (sql, how, out, err)
                code, out, err = s.command('verifydata')
                assert code == 0, (sql, how, out, err)
        # All of it at once, as far as a client can see the same afterwards.
        restore(s, kept)
        with database(s) as db:
            for sql, says, verb, same in DAMAGE:
                if same:
                    db.execute(sql)
        assert s.command('verifydata')[0] == 1
        code, out, err = s.command('verifydata', '-fix')
        assert code == 0, (out, err)
        s.start()
        after = seen(s)
        for box in before:
            assert [len(p) for p in before[box]] == [len(p) for p in after[box]]
            a, b = ([re.sub(rb'UIDNEXT \d+|FLAGS \([^)]*\)', b'', p[0] + b' ' + p[1]) if isinstance(p, tuple) else p for p in x[box][0]]
                    for x in (before, after))
            assert a == b, box
        assert s.command('verifydata')[0] == 0


@test
def what_lost_its_place_comes_back():
    with running() as s:
        filled(s)
        s.stop()
        with database(s) as db:
            # A message whose row is gone, one that is in no mailbox, one whose mailbox is gone.
            db.execute("DELETE FROM email WHERE id = 6")
            db.execute("DELETE FROM placement WHERE email = 5")
            db.execute("DELETE FROM mailbox WHERE name = 'Work/Old'")
        code, out, err = s.command('verifydata', '-fix')
        assert code == 0 and 'Recovered' in out, (out, err)
        s.start()
        c = s.imap()
        assert c.select('Recovered')[1] == [b'2']
        texts = {c.fetch(str(i), 'BODY.PEEK[TEXT]')[1][0][1].split(b'\r\n')[0] for i in (1, 2)}
        assert texts == {b'text 4', b'text 5'}, texts
        # What is damaged in itself is told, and stays.
        s.stop()
        with database(s) as db:
            db.execute("UPDATE chunk SET sum = sum + 1 WHERE owner = 1")
        code, out, err = s.command('verifydata', '-fix')
        assert code == 1 and 'message' in out, (out, err)


@test
def structure_that_is_not_there_is_made():
    with running() as s:
        filled(s)
        before = seen(s)
        code, out, err = s.command('ensureparsed', 'mox')
        assert code == 1 and out == '', (out, err)  # while it runs
        s.stop()
        assert s.command('ensureparsed', 'mox')[:2] == (0, 'nothing to do: the structure of all messages is stored\n')
        with database(s) as db:
            db.execute("UPDATE email SET bodystructure = x'' WHERE id = 2")
            db.execute("UPDATE email SET tree = x'', envelope = x'' WHERE id = 3")
        assert s.command('ensureparsed', 'mox')[:2] == (0, '2 message(s) parsed\n')
        assert s.command('ensureparsed', '-all', 'mox')[:2] == (0, '6 message(s) reparsed\n')
        assert s.command('ensureparsed')[0] == 2 and s.command('ensureparsed', 'nobody')[0] == 1
        s.start()
        assert seen(s) == before


@test
def repairs_beside_a_running_server():
    with running(env={'MOX_PROGRESS_MS': '0'}) as s:
        filled(s)
        c = s.imap()
        c.select('INBOX')
        before = seen(s)
        with database(s) as db:
            db.execute("UPDATE mailbox SET total = total + 5, unseen = 0 WHERE name = 'Inbox'")
        code, out, err = s.command('recalculatemailboxcounts', 'mox')
        assert code == 0 and out.startswith('for Inbox setting new counts'), (out, err)
        with database(s) as db:
            db.execute('UPDATE email SET size = size + 7, preview = "", envelope = x\'28\'')
        code, out, err = s.command('fixmsgsize')
        assert code == 0 and 'sizes of messages: 6 corrected' in out, (out, err)
        with database(s) as db:
            db.execute("UPDATE email SET preview = '', envelope = x'28', bodystructure = x'', subject_base = ''")
            db.execute('DELETE FROM header')
        code, out, err = s.command('reparse', 'mox')
        assert code == 0 and re.search(r'^\d message\(s\) reparsed\naccount mox took \d+ms\n$', out), (out, err)
        assert err == '6 messages...\n', err
        assert seen(s) == before
        # All in one thread: put where they belong again.
        with database(s) as db:
            one = db.execute('SELECT min(id) FROM thread').fetchone()[0]
            db.execute('UPDATE email SET thread = ?', (one,))
            db.execute('UPDATE placement SET thread = ?', (one,))
        code, out, err = s.command('reassignthreads')
        assert code == 0 and re.search(r'^\d message\(s\) in 5 thread\(s\)\n$', out), (out, err)
        assert '6 of 6 messages...\n' in err, err
        with database(s) as db:
            groups = db.execute('SELECT group_concat(subject_base) FROM email GROUP BY thread HAVING count(*) > 1').fetchall()
        assert groups == [('subject 1,subject 1',)], groups
        # The connection that was there goes on, and mail comes.
        assert c.noop()[0] == 'OK'
        s.send(subject='Re: subject 2')
        assert c.noop()[0] == 'OK' and c.uid('SEARCH', 'ALL')[0] == 'OK'
        assert s.command('verifydata')[0] == 0
        code, out, err = s.command('reparse', 'nobody')
        assert code == 1 and 'no such account' in err, err
        for verb in ('fixuidmeta', 'reassignuids', 'verifydata'):
            args = ('-fix',) if verb == 'verifydata' else ('mox',)
            code, out, err = s.command(verb, *args)
            assert code == 1 and 'the server is running' in err, (verb, err)


@test
def threads_are_assigned_in_batches():
    """Mail comes meanwhile, and one that is killed is done again: nothing is left of the old threads."""
    with running() as s:
        c = s.imap()
        lines = []
        for i in range(1500):  # threads of three, the answers first
            lines.append('From a@b.example Mon Jan  1 00:00:%02d 2024\nSubject: %s%d\nMessage-Id: <%d@b.example>\n%s\ntext\n\n' % (
                i % 60, 'Re: ' if i % 3 else '', i // 3, i, 'References: <%d@b.example>\n' % (i - i % 3) if i % 3 else ''))
        lines.reverse()
        with tempfile.NamedTemporaryFile('w', suffix='.mbox') as f:
            f.write(''.join(lines))
            f.flush()
            assert s.command('import', 'mbox', 'mox', 'Big', f.name)[0] == 0

        def groups():
            with database(s) as db:
                return db.execute("SELECT n, count(*) FROM (SELECT count(*) AS n FROM email WHERE message_id LIKE '%@b.example' GROUP BY thread) GROUP BY n").fetchall()

        assert groups() == [(1, 500), (2, 500)], groups()  # who answers what was not there yet begins another
        # Beside the server: what comes in finds its turn between the batches.
        with database(s) as db:
            top = db.execute('SELECT max(id) FROM thread').fetchone()[0]
        sent = 0

        def has_it_meanwhile():
            """One that is quicker than we are is done again: it has as much to do."""
            nonlocal sent
            p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'reassignthreads', 'mox'], stdout=subprocess.PIPE, text=True, env=s.env)
            while p.poll() is None and sent < 20:
                s.send(subject='Re: 7', body='comes meanwhile')
                sent += 1
            out = p.communicate()[0]
            assert p.returncode == 0 and 'message(s) in ' in out, (sent, out)
            return sent

        eventually(has_it_meanwhile)
        assert groups() == [(3, 500)], groups()
        with database(s) as db:
            assert db.execute('SELECT count(*) FROM email WHERE thread <= ?', (top,)).fetchone() == (0,)
            assert db.execute('SELECT count(*) FROM thread WHERE id <= ?', (top,)).fetchone() == (0,)
            assert db.execute("SELECT count(*) >= 500 FROM tombstone WHERE type = 'Thread'").fetchone() == (1,)
        c.logout()
        s.stop()
        assert s.command('verifydata') == (0, '1 accounts checked, no problems\n', '')
        # Killed between two batches: whole, and repeated.
        with database(s) as db:
            db.execute("UPDATE email SET thread = (SELECT min(thread) FROM email WHERE message_id LIKE '%@b.example') WHERE message_id LIKE '%@b.example'")
            db.execute('UPDATE placement SET thread = (SELECT thread FROM email WHERE id = placement.email)')
        assert s.command('verifydata', '-fix')[0] == 0 and groups() == [(1500, 1)]
        broken_off = 0
        for kill in range(3):
            p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'reassignthreads', 'mox'], stdout=subprocess.DEVNULL, env=s.env)
            deadline = time.monotonic() + WAIT
            while p.poll() is None and groups() == [(1500, 1)]:
                assert time.monotonic() < deadline
            p.kill()
            p.wait()
            code, out, err = s.command('verifydata')
            assert code == 0, (out, err)
            if groups() != [(3, 500)]:
                broken_off += 1
                break
        code, out, err = s.command('reassignthreads', 'mox')
        assert code == 0 and groups() == [(3, 500)], (out, groups(), broken_off)
        assert s.command('verifydata')[0] == 0


@test
def uids_from_one_on():
    with running() as s:
        filled(s)
        c = s.imap()
        old = {box: c.status(box, '(UIDVALIDITY)')[1] for box in ('INBOX', 'Work/Old')}
        c.select('INBOX')
        c.uid('STORE', '1', '+FLAGS', '(\\Deleted)')
        c.expunge()
        texts = [p[1] for p in c.fetch('1:*', 'BODY.PEEK[]')[1] if isinstance(p, tuple)]
        s.stop()
        code, out, err = s.command('reassignuids', 'mox', 'Inbox')
        assert code == 0 and re.search(r'^mailbox "Inbox" \(id \d+\): 5 messages renumbered\n$', out), (out, err)
        s.start()
        c = s.imap()
        c.select('INBOX')
        assert c.uid('SEARCH', 'ALL')[1] == [b'1 2 3 4 5'] and b'UIDNEXT 6' in c.status('INBOX', '(UIDNEXT)')[1][0]
        assert texts == [p[1] for p in c.fetch('1:*', 'BODY.PEEK[]')[1] if isinstance(p, tuple)]
        assert all(c.status(box, '(UIDVALIDITY)')[1] != old[box] for box in old)
        s.stop()
        assert s.command('verifydata')[0] == 0
        assert s.command('reassignuids', 'mox', 'None')[0] == 1
        assert s.command('reassignuids', 'nobody')[0] == 1
        code, out, err = s.command('reassignuids', 'mox')
        assert code == 0 and out.count('renumbered') > 5, out
        code, out, err = s.command('openaccounts', s.dir + '/data', 'mox')
        assert (code, out) == (0, 'account mox opened\n'), err
        assert s.command('openaccounts', s.dir + '/data', 'mox', 'nobody')[0] == 1


main('repair')
