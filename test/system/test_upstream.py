"""import upstream: accounts of a data directory of upstream, written by Python and by the real bbolt."""
import fcntl
import random
import sqlite3

import upstream_writer as w
from harness import *

BOXES = {1: 'INBOX', 2: 'Sent', 3: 'Work', 4: '"Work/Caf&AOk-"', 5: 'Spam'}
NAMES = {'Seen': '\\Seen', 'Answered': '\\Answered', 'Flagged': '\\Flagged', 'Forwarded': '$Forwarded', 'Junk': '$Junk', 'Notjunk': '$NotJunk',
         'Deleted': '\\Deleted', 'Draft': '\\Draft', 'Phishing': '$Phishing', 'MDNSent': '$MDNSent'}


def expected(messages, files):
    """Per mailbox and UID: flags, time, bytes."""
    out = {box: {} for box in BOXES}
    for m in messages:
        if not m.get('Expunged'):
            flags = {NAMES[f] for f in w.FLAGS if m.get(f)} | set(m.get('Keywords', ()))
            out[m['MailboxID']][m['UID']] = (frozenset(flags), m['Received'], m['MsgPrefix'] + files[m['ID']])
    return out


def seen(c, box):
    typ, n = c.select(box, readonly=True)
    assert typ == 'OK', n
    out = {}
    if n == [b'0']:
        return out
    parts = c.uid('FETCH', '1:*', '(FLAGS INTERNALDATE BODY.PEEK[])')[1]
    for part, after in zip(parts, parts[1:]):
        if isinstance(part, tuple):
            flags = frozenset(f.decode() for f in imaplib.ParseFlags(part[0]) + imaplib.ParseFlags(after)) - {'\\Recent'}
            when = int(time.mktime(imaplib.Internaldate2tuple(part[0])))
            out[int(re.search(rb'UID (\d+)', part[0] + after)[1])] = (flags, when, part[1])
    return out


def check_taken(s, messages, files, mailboxes, subscriptions):
    c = s.imap()
    want = expected(messages, files)
    for m in mailboxes:
        box = BOXES[m['ID']]
        assert seen(c, box) == want[m['ID']], box
        status = c.status(box, '(UIDVALIDITY UIDNEXT)')[1][0]
        assert b'UIDVALIDITY %d' % m['UIDValidity'] in status and b'UIDNEXT %d' % m['UIDNext'] in status, status
    lsub = {l.decode().rsplit(' ', 1)[1].strip('"') for l in c.lsub()[1]}
    assert lsub == {'Gone', 'Inbox', 'Sent', 'Work/Caf&AOk-'}, lsub
    assert any(b'\\Sent' in l for l in c.list('""', 'Sent')[1])
    c.logout()


@test
def accounts_are_taken_over():
    for kind in ('python', 'bbolt'):
        with running() as s, tempfile.TemporaryDirectory() as d:
            mailboxes, messages, files, subscriptions = w.sample(300 if kind == 'python' else 120)
            if kind == 'python':
                index = w.Bolt().write(w.tables(mailboxes, messages, subscriptions, 950, 2000))
            else:
                index = open(os.path.join(ROOT, 'test', 'data', 'upstream', 'index.db'), 'rb').read()
            w.write(d, 'mox', index, files)
            before = {p: os.stat(os.path.join(r, p)).st_mtime_ns for r, _, fs in os.walk(d) for p in fs}
            code, out, err = s.command('import', 'upstream', d)
            assert code == 1 and 'the server is running' in err, err
            s.stop()
            with open(d + '/accounts/mox/index.db', 'rb') as f:
                fcntl.flock(f, fcntl.LOCK_EX)
                code, out, err = s.command('import', 'upstream', d)
                assert code == 1 and 'in use' in err, err
            n = sum(len(v) for v in expected(messages, files).values())
            code, out, err = s.command('import', 'upstream', d)
            assert code == 0 and err == 'mox: %d messages taken over\n' % n, (out, err)
            assert 'mox: Work/Caf\u00e9: %d\n' % len(expected(messages, files)[4]) in out, out
            code, out, err = s.command('import', 'upstream', d, 'mox')
            assert code == 0 and err == 'mox: 0 messages taken over, %d were there already\n' % n, (out, err)
            assert before == {p: os.stat(os.path.join(r, p)).st_mtime_ns for r, _, fs in os.walk(d) for p in fs}
            assert s.command('verifydata') == (0, '1 accounts checked, no problems\n', '')
            s.start()
            check_taken(s, messages, files, mailboxes, subscriptions)
            # It goes on from there: the next UID, and a modseq above all that clients have seen.
            s.send(body='new')
            c = s.imap()
            c.select('INBOX')
            assert c.uid('SEARCH', '%d:*' % mailboxes[0]['UIDNext'])[1] == [b'%d' % mailboxes[0]['UIDNext']]
            c._simple_command('FETCH', '*', '(MODSEQ)')
            assert int(re.search(rb'MODSEQ \((\d+)\)', b''.join(x for x in c.response('FETCH')[1] if isinstance(x, bytes)))[1]) > 950
            c.logout()
            s.stop()
            code, out, err = s.command('import', 'upstream', d)
            assert code == 0, err


@test
def the_password_comes_over():
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        w.write(d, 'mox', w.Bolt().write(w.tables(*[w.sample(5)[i] for i in (0, 1, 3)], 950, 2000)), w.sample(5)[2])
        with contextlib.closing(sqlite3.connect(s.dir + '/data/auth/auth.db')) as db, db:
            db.execute('DELETE FROM credential')
            db.execute('DELETE FROM scram')
        code, out, err = s.command('import', 'upstream', d)
        assert code == 0 and 'mox: password taken over\n' in out, (out, err)
        s.start()
        c = s.imap(login=False)
        assert c.login(LOGIN, w.PASSWORD)[0] == 'OK'
        c.logout()
        # One that is there stays.
        s.stop()
        code, out, err = s.command('import', 'upstream', d)
        assert code == 0 and 'password' not in out, (out, err)
        shutil.rmtree(d + '/accounts')
        w.write(d, 'other', w.Bolt().write(w.tables(*[w.sample(5)[i] for i in (0, 1, 3)], 950, 2000, 'no hash')), w.sample(5)[2])
        code, out, err = s.command('import', 'upstream', d)
        assert code == 1 and 'none of bcrypt' in err and 'other: 5 messages taken over' in err, (out, err)


@test
def one_that_is_killed_is_repeated():
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(5000)
        mailboxes[3]['UIDNext'] = 10000
        w.write(d, 'mox', w.Bolt().write(w.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        for after in ('1000 of', '3000 of'):
            p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'import', 'upstream', d], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True, env=s.env)
            line = p.stderr.readline()
            while not line.startswith(after):
                assert line and 'is running' not in line, line
                line = p.stderr.readline()
            p.kill()  # its children die with it
            p.stderr.read()
            p.wait()
        n = sum(len(v) for v in expected(messages, files).values())
        code, out, err = s.command('import', 'upstream', d)
        there = int(re.search(r', (\d+) were there already', err)[1])
        assert code == 0 and there >= 3000 and 'mox: %d messages taken over' % (n - there) in err, err
        s.start()
        check_taken(s, messages, files, mailboxes, subscriptions)
        assert s.command('verifydata')[0] == 0


@test
def what_is_not_there_is_told():
    with running() as s, tempfile.TemporaryDirectory() as d:
        c = s.imap()
        c.logout()
        s.send(body='mail of our own')
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(20)
        w.write(d, 'mox', w.Bolt().write(w.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        code, out, err = s.command('import', 'upstream', d)
        assert code == 1 and 'Inbox' in err and 'has mail already' in err, err
        w.write(d, 'new', w.Bolt(page_size=16384).write(w.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        os.unlink(os.path.join(d, 'accounts', 'new', w.message_path(5)))
        with open(os.path.join(d, 'accounts', 'new', w.message_path(6)), 'ab') as f:
            f.write(b'more\r\n')
        code, out, err = s.command('import', 'upstream', d, 'new')
        assert code == 1 and 'message 5: its file cannot be read' in err and 'message 6: its file has another size' in err and ', 1 could not be\n' in err, err
        assert s.command('verifydata')[0] == 0
        code, out, err = s.command('import', 'upstream', d, 'none')
        assert code == 1 and 'none' in err, err
        assert s.command('import', 'upstream', d + '/none')[0] == 1


@test
def damaged_databases():
    """Cut off, or with bytes changed: an error, or what is left, and never a crash."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(60)
        good = w.Bolt(page_size=1024).write(w.tables(mailboxes, messages, subscriptions, 950, 2000))
        w.write(d, 'x', good, {})
        rng = random.Random(5)
        refused = 0
        for i in range(40):
            bad = bytearray(good)
            if i % 4 == 0:
                del bad[rng.randrange(len(bad)):]
            else:
                for _ in range(1 + i % 5):
                    bad[rng.randrange(2048, len(bad))] ^= 1 << rng.randrange(8)
            with open(d + '/accounts/x/index.db', 'wb') as f:
                f.write(bad)
            shutil.rmtree(s.dir + '/data/accounts/x', ignore_errors=True)
            code, out, err = s.command('import', 'upstream', d, 'x')
            assert code == 1 and 'ended with' not in err and 'Sanitizer' not in err, (i, err[-2000:])
            refused += 'could not be' not in err
        assert refused > 15, refused
        # One of the two meta pages may be broken.
        for at in (100, 1024 + 100):
            bad = bytearray(good)
            bad[at - 60] ^= 255
            with open(d + '/accounts/x/index.db', 'wb') as f:
                f.write(bad)
            shutil.rmtree(s.dir + '/data/accounts/x', ignore_errors=True)
            assert ' could not be' in s.command('import', 'upstream', d, 'x')[2]


main('upstream')
