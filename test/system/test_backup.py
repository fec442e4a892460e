"""backup, restore, bumpuidvalidity: while mail comes in, again into the same place, and back from it."""
import random
import sqlite3
import subprocess
import threading

from harness import *


def messages(c, box='INBOX'):
    assert c.select(box, readonly=True)[0] == 'OK'
    uids = c.uid('SEARCH', 'ALL')[1][0].split()
    return {u: c.uid('FETCH', u, 'BODY.PEEK[]')[1][0][1] for u in uids}


def uidvalidity(c, box='INBOX'):
    return int(re.search(rb'UIDVALIDITY (\d+)', c.status(box, '(UIDVALIDITY)')[1][0])[1])


def restored(s, backup, *flags):
    """A directory with what the backup has, for a server of its own."""
    d = tempfile.mkdtemp(prefix='mox-restored-')
    os.rmdir(d)
    r = run(s.mox, '-config', os.path.join(d, 'mox.conf'), 'restore', *flags, backup, ok=False, env=s.env)
    return d, r


@test
def backup_while_mail_comes_and_back():
    with running() as s, tempfile.TemporaryDirectory() as d:
        backup = os.path.join(d, 'backup')
        for i in range(5):
            s.send(body='before %d' % i)
        c = s.imap()
        c.create('Kept')
        c.select('INBOX')
        c.uid('COPY', '1:2', 'Kept')
        assert s.command('backup', backup) == (0, '', '')
        assert {'mox.conf', 'domains.conf', 'localhost.key'} <= set(os.listdir(backup + '/config'))
        assert not os.path.exists(backup + '/config/data')
        assert {'accounts', 'auth', 'queue', 'receivedid.key'} <= set(os.listdir(backup + '/data'))
        db = backup + '/data/accounts/mox/account.db'
        assert os.listdir(os.path.dirname(db)) == ['account.db'], os.listdir(os.path.dirname(db))
        assert os.stat(db).st_mode & 0o077 == 0
        assert s.command('verifydata', backup + '/data')[0] == 0
        first = os.stat(db).st_ino
        # Again, while one sender goes on: what is stored when it begins is in it.
        stop = threading.Event()

        def pour():
            n = 0
            while not stop.is_set():
                s.send(body='during %d' % n)
                n += 1

        for i in range(3):
            s.send(body='after %d' % i)
        c.store('1', '+FLAGS', '\\Deleted')
        c.expunge()
        sender = threading.Thread(target=pour)
        sender.start()
        code, out, err = s.command('backup', '-verbose', backup)
        stop.set()
        sender.join()
        assert code == 0 and 'databases and' in err and 'accounts/mox/account.db' in err, err
        assert os.stat(db).st_ino == first  # it was brought up to date, not made anew
        assert s.command('verifydata', backup + '/data')[0] == 0
        now = messages(c)
        validity = uidvalidity(c)

        code, out, err = s.command('restore', backup)
        assert code == 1 and 'is not empty' in err, err
        s.stop()
        target, r = restored(s, backup)
        assert r.returncode == 0 and 'are restored' in r.stdout, (r.stdout, r.stderr)
        with running(dir=target, ip=s.ip) as other:
            assert other.command('verifydata')[0] == 0
            o = other.imap()  # the password is there, too
            back = messages(o)
            assert len(back) >= 7 and b'1' not in back
            assert all(now[u] == back[u] for u in back), (now.keys(), back.keys())
            assert uidvalidity(o) > 1000000000 and uidvalidity(o) != validity
            assert len(messages(o, 'Kept')) == 2
            # The next one gets a UID that no backed up message has.
            other.send(body='new')
            assert max(int(u) for u in messages(o)) > max(int(u) for u in back)
            code, out, err = other.command('bumpuidvalidity', 'mox')
            assert code == 1 and 'the server is running' in err, err
            other.stop()
            before = int(re.search(r'"Inbox" updated to (\d+)', other.command('bumpuidvalidity', 'mox')[1])[1])
            code, out, err = other.command('bumpuidvalidity', 'mox', 'Inbox')
            assert code == 0 and out == 'uid validity for "Inbox" updated to %d\n' % (before + 1), out
            assert other.command('bumpuidvalidity', 'mox', 'None')[0] == 1
            assert other.command('bumpuidvalidity', 'nobody')[0] == 1
            other.start()
            assert uidvalidity(other.imap()) == before + 1
        shutil.rmtree(target)
        target, r = restored(s, backup, '-keep-uidvalidity')
        assert r.returncode == 0
        with running(dir=target, ip=s.ip) as other:
            assert uidvalidity(other.imap()) == validity
        shutil.rmtree(target)


@test
def backup_that_is_killed_leaves_the_one_before():
    """Whenever the command ends, each database is the old or the new one, whole."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        backup = os.path.join(d, 'backup')
        s.send(body='x\r\n' * 100000)
        assert s.command('backup', backup)[0] == 0
        rng = random.Random(1)
        for i in range(6):
            for _ in range(3):
                s.send(body=os.urandom(150000).hex().replace('aa', 'a\r\na').replace('0', '0\r\n'))
            p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'backup', '-verbose', backup],
                                 stderr=subprocess.PIPE, env=s.env)
            for _ in range(rng.randint(1, 14)):  # lines that it says first
                p.stderr.readline()
            p.kill()
            p.wait()
            p.stderr.close()
            code, out, err = s.command('verifydata', backup + '/data')
            assert code == 0, (out, err)
        assert s.command('backup', backup)[0] == 0
        db = sqlite3.connect(backup + '/data/accounts/mox/account.db')
        assert db.execute('SELECT count(*) FROM email').fetchone() == (19,)
        db.close()


@test
def backup_says_what_is_left_and_what_is_wrong():
    with running() as s, tempfile.TemporaryDirectory() as d:
        backup = os.path.join(d, 'backup')
        assert s.command('config', 'account', 'add', 'ann', 'ann@localhost')[0] == 0
        s.send(to='ann@localhost')
        s.send()
        assert s.command('backup', backup)[0] == 0
        assert s.command('config', 'account', 'rm', 'ann')[0] == 0
        s.wait_log('account and its mail removed')
        code, out, err = s.command('backup', backup)
        assert code == 0 and err.count('\n') == 1 and 'warning: only in the backup' in err and 'accounts/ann' in err, err
        code, out, err = s.command('backup', '/proc/none/x')
        assert code == 1 and err.startswith('mox: making /proc/none/x') and err.count('\n') == 1, err
        with open(backup + '/data/accounts/mox/account.db', 'wb') as f:
            f.write(b'rubbish' * 1000)
        code, out, err = s.command('backup', backup)
        assert code == 1 and 'account.db' in err, err
        code, out, err = s.command('restore', d + '/none')
        assert code == 1, err


main('backup')
