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
        # An account may have the name of a file that is left out.
        os.mkdir(os.path.join(s.dir, 'data/accounts/joe.new'))
        with open(os.path.join(s.dir, 'data/accounts/joe.new/his'), 'w') as f:
            f.write('his')
        assert s.command('backup', backup) == (0, '', '')
        assert os.path.exists(backup + '/data/accounts/joe.new/his')
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
def restore_that_is_killed_is_begun_again():
    """Until it is whole no server starts there; then all is there."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        for i in range(4):
            s.send(body=os.urandom(400000).hex().replace('0', '0\r\n'))
        assert s.command('config', 'account', 'add', 'ann', 'ann@localhost')[0] == 0
        s.send(to='ann@localhost')
        assert s.command('backup', d + '/backup')[0] == 0
        want = messages(s.imap())
        s.stop()
        rng = random.Random(2)
        target = d + '/again'
        command = [s.mox, '-config', target + '/mox.conf', 'restore', '-verbose', d + '/backup']
        seen = set()
        for i in range(25):
            # The first is caught in the middle of it, the others wherever they are.
            p = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=s.env) if i else in_step(*command, env=s.env)
            for _ in range(rng.randint(0, 14) if i else 9):
                p.stderr.readline()
            p.kill()
            p.stderr.close()
            assert p.wait() in (0, 1, -9)
            state = (os.path.exists(target + '/mox.conf'), os.path.exists(target + '/data/restoring'))
            seen.add(state)
            if state == (True, True):
                r = subprocess.run([s.mox, 'localserve', '-dir', target, '-ip', s.ip], env=s.env, capture_output=True, text=True, timeout=WAIT)
                assert r.returncode and 'restore' in r.stderr, r.stderr[-500:]
            elif state == (True, False) and os.path.exists(target + '/data/accounts'):
                break
        if not os.path.exists(target + '/data/accounts') or os.path.exists(target + '/data/restoring'):
            run(*command, env=s.env)
        assert (True, True) in seen, seen
        with running(dir=target, ip=s.ip) as other:
            assert messages(other.imap()) == want
            assert other.command('verifydata')[0] == 0
        # What is there, and whole, is not touched.
        r = run(*command, ok=False, env=s.env)
        assert r.returncode == 1 and 'not empty' in r.stderr, r.stderr


@test
def a_database_that_means_harm_does_none():
    """What a process that was taken over could make of its database: SQL in the schema, files that are others'."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.send()
        s.stop()
        for name in ('queue/queue.db', 'accounts/mox/account.db'):
            path, other = os.path.join(s.dir, 'data', name), os.path.join(d, 'made.db')
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.execute('PRAGMA writable_schema = ON')
                kept = db.execute("SELECT rowid, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchone()
                db.execute("UPDATE sqlite_schema SET sql = sql || ? WHERE rowid = ?",
                           ("; ATTACH '%s' AS other; CREATE TABLE other.t (a)" % other, kept[0]))
                db.commit()
                code, out, err = s.command('backup', d + '/backup')
                assert code == 1 and 'unable to open database' in err, (code, out, err)
                assert not os.path.exists(other)
                db.execute('UPDATE sqlite_schema SET sql = ? WHERE rowid = ?', (kept[1], kept[0]))
                db.commit()
            assert s.command('backup', d + '/backup')[0] == 0
        # Names of mailboxes that are paths.
        with contextlib.closing(sqlite3.connect(path)) as db:
            for name in (d + '/escaped', '../escaped', 'a//../escaped'):
                db.execute("UPDATE mailbox SET name = ? WHERE name = 'Inbox' OR name LIKE '%escaped'", (name,))
                db.commit()
                for kind in ('mbox', 'maildir'):
                    out = tempfile.mkdtemp(dir=d)
                    assert s.command('export', kind, out, os.path.dirname(path))[0] == 0
                    assert any('escaped' in f for _, dirs, files in os.walk(out) for f in dirs + files), name
                    shutil.rmtree(out)
            assert not [f for f in os.listdir(d) if 'escaped' in f]
            db.execute("UPDATE mailbox SET name = 'Inbox' WHERE name LIKE '%escaped'")
            db.commit()
        # Files that are links, and a pipe, at which it would wait for ever.
        for name, what in (('queue.db-wal', 'link'), ('queue.db-shm', 'link'), ('queue.db', 'link'), ('queue.db', 'pipe')):
            path, target = os.path.join(s.dir, 'data/queue', name), os.path.join(d, 'secret.db')
            shutil.copy(os.path.join(s.dir, 'data/queue/queue.db'), target)
            before = os.stat(target)
            kept = os.path.join(d, 'kept')
            if os.path.exists(path):
                os.rename(path, kept)
            os.symlink(target, path) if what == 'link' else os.mkfifo(path)
            code, out, err = s.command('verifydata')
            assert code == 1 and 'queue.db: ' in out, (name, code, out, err)
            assert os.stat(target) == before
            os.unlink(path)
            if os.path.exists(kept):
                os.rename(kept, path)
            os.unlink(target)
        assert s.command('verifydata')[0] == 0


@contextlib.contextmanager
def small_disk(path, size):
    """A file system of this size; None where it cannot be had."""
    os.makedirs(path, exist_ok=True)
    if os.geteuid() or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=' + size, 'tmpfs', path], capture_output=True).returncode:
        print('# cannot mount here, left out')
        yield None
        return
    try:
        yield path
    finally:
        subprocess.run(['umount', '-l', path])


@contextlib.contextmanager
def moved_to_small_disk(path):
    """What is in a directory, on a disk of 6 MB in its place; None where that cannot be had."""
    before = tempfile.mkdtemp(prefix='mox-before-')
    shutil.copytree(path, before, dirs_exist_ok=True)
    with small_disk(path, '6m') as disk:
        if disk:
            os.chmod(path, 0o700)
            shutil.copytree(before, path, dirs_exist_ok=True)
        shutil.rmtree(before)
        yield disk


def fill(path):
    with open(path + '/filler', 'wb', buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))


@test
def backup_onto_a_full_disk():
    """It says so, what was backed up before stays whole, and with room it goes on."""
    with running() as s, tempfile.TemporaryDirectory() as d, small_disk(d + '/disk', '3m') as disk:
        if not disk:
            return
        s.send(body='x\r\n' * 1000)
        backup = disk + '/backup'
        assert s.command('backup', backup)[0] == 0
        first = s.command('verifydata', backup + '/data')
        assert first[0] == 0, first
        for i in range(12):
            s.send(body=os.urandom(400000).hex().replace('0', '0\r\n'))
        code, out, err = s.command('backup', backup)
        assert code == 1 and err.startswith('mox: ') and ('full' in err or 'No space' in err), (code, err)
        code, out, err = s.command('verifydata', backup + '/data')
        assert code == 0, (out, err)
        with contextlib.closing(sqlite3.connect(backup + '/data/accounts/mox/account.db')) as db:
            assert db.execute('SELECT count(*) FROM email').fetchone() == (1,)
        run('mount', '-o', 'remount,size=60m', disk)
        assert s.command('backup', backup)[0] == 0
        assert s.command('verifydata', backup + '/data')[0] == 0
        with contextlib.closing(sqlite3.connect(backup + '/data/accounts/mox/account.db')) as db:
            assert db.execute('SELECT count(*) FROM email').fetchone() == (13,)


@test
def a_full_disk_under_the_reports():
    """Mail comes all the same, and reports are kept again when there is room."""
    with running() as s:
        s.stop()
        admin = s.dir + '/data/admin'
        shutil.rmtree(admin)
        with small_disk(admin, '3m') as disk:
            if not disk:
                return
            os.chmod(admin, 0o700)
            s.start()
            with open(admin + '/filler', 'wb', buffering=0) as f, contextlib.suppress(OSError):
                while True:
                    f.write(bytes(4096))
            path = ROOT + '/test/vectors/dmarc/mail-auth'
            reports = [os.path.join(path, n) for n in sorted(os.listdir(path)) if n.endswith('.eml')]
            text = open(reports[0], 'rb').read().decode('latin-1')
            code, out, err = s.command('dmarcdb', 'addreport', 'theirs.example', input=text)
            assert code == 1 and err.startswith('mox: ') and 'Sanitizer' not in err, (out, err)
            for i in range(3):
                s.send(body='mail %d' % i)
            assert s.imap().select('INBOX')[1] == [b'3']
            os.unlink(admin + '/filler')
            code, out, err = s.command('dmarcdb', 'addreport', 'theirs.example', input=text)
            assert code == 0, err
            assert s.command('verifydata')[0] == 0
            s.stop()


@test
def a_disk_too_full_to_open_a_database():
    """Who sends is told, the log says why, and nothing is said to have crashed."""
    with running() as s:
        s.send()
        s.stop()
        data = s.dir + '/data/accounts'
        with moved_to_small_disk(data) as disk:
            if not disk:
                return
            fill(data)
            s.start()
            incoming = ['swaks', '--server', f'{s.ip}:1025', '--from', 'a@else.example', '--to', 'mox@localhost']
            for i in range(2):
                r = run(*incoming, ok=False)
                assert '<** 452 4.3.1 no room' in r.stdout, (r.stdout[-300:], s.log_text()[-3000:])
            assert re.search(r'm="cannot open account" err="[^"]*disk is full"', s.log_text()), s.log_text()[-3000:]
            assert 'crashed' not in s.log_text(), s.log_text()[-3000:]
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                s.imap()  # has an end as well
            os.unlink(data + '/filler')
            eventually(lambda: run(*incoming, ok=False).returncode == 0)
            c = s.imap()
            assert c.select('INBOX')[1] == [b'2']
            s.stop()
            assert s.command('verifydata')[0] == 0


@test
def a_full_disk_under_the_mail():
    """Each sender is told what it is, and the mail is taken when there is room again."""
    with running() as s:
        s.send()
        s.stop()
        data = s.dir + '/data'
        with moved_to_small_disk(data) as disk:
            if not disk:
                return
            s.start()
            c = s.imap()  # a database that is open already
            c.select('INBOX')
            fill(data)
            login = ['--auth', 'PLAIN', '--auth-user', 'mox@localhost', '--auth-password', PASSWORD]
            submitted = ['swaks', '--server', f'{s.ip}:1587', '--from', 'mox@localhost', '--to', 'x@else.example', *login]
            incoming = ['swaks', '--server', f'{s.ip}:1025', '--from', 'a@else.example', '--to', 'mox@localhost']
            for words in (incoming, submitted):
                r = run(*words, '--body', 'many words\\n' * 9000, ok=False)
                assert '<** 452 4.3.1 no room' in r.stdout, (r.stdout[-300:], s.log_text()[-3000:])
            os.unlink(data + '/filler')
            for words in (incoming, submitted):
                run(*words, '--body', 'many words\\n' * 9000)
            s.stop()
            assert s.command('verifydata')[0] == 0


def files_in(path):
    return sorted(n for n in os.listdir(path) if n != 'filler')


@test
def a_full_disk_under_the_configuration_and_its_keys():
    """A command that cannot write says so, and all is as it was; with room, the same command works."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        os.makedirs(s.dir + '/dkim', exist_ok=True)
        before = open(s.dir + '/domains.conf').read()
        had = files_in(s.dir)
        with small_disk(s.dir + '/dkim', '64k') as disk:
            if not disk:
                return
            s.start()
            fill(disk)
            code, out, err = s.command('config', 'domain', 'add', 'more.example', 'mox')
            assert code == 1 and 'dkim/' in err and 'No space left' in err, (out, err)
            assert files_in(disk) == [] and open(s.dir + '/domains.conf').read() == before and files_in(s.dir) == had
            # Room for one of the two keys: neither stays.
            with open(disk + '/filler', 'r+b') as f:
                f.truncate(os.path.getsize(disk + '/filler') - 4096)
            code, out, err = s.command('config', 'domain', 'add', 'more.example', 'mox')
            assert code == 1 and 'No space left' in err and files_in(disk) == [], (out, err, files_in(disk))
            os.unlink(disk + '/filler')
            code, out, err = s.command('config', 'domain', 'add', 'more.example', 'mox')
            assert code == 0 and len(files_in(disk)) >= 2 and 'more.example' in open(s.dir + '/domains.conf').read(), (out, err)
            s.stop()
    # The file itself, with the whole directory on that disk.
    with tempfile.TemporaryDirectory() as d, small_disk(d + '/all', '40m') as disk, running(dir=disk) as s:
        s.command('config', 'account', 'add', 'first', 'first@localhost')
        before, had = open(disk + '/domains.conf').read(), files_in(disk)
        fill(disk)
        code, out, err = s.command('config', 'account', 'add', 'more', 'more@localhost')
        assert code == 1 and 'domains.conf' in err and 'No space left' in err, (out, err)
        assert open(disk + '/domains.conf').read() == before and files_in(disk) == had, files_in(disk)
        os.unlink(disk + '/filler')
        assert s.command('config', 'account', 'add', 'more', 'more@localhost')[0] == 0
    # Keys of hosts, made without a server.
    with tempfile.TemporaryDirectory() as d:
        shutil.copytree(os.path.join(ROOT, 'test', 'data', 'upstream', 'config'), d + '/config')
        path = d + '/config/mox.conf'
        text = re.sub(r'\t+HostPrivateKeyFiles:\n(?:\t+- hostkeys.*\n)+', '', open(path).read())
        with open(path, 'w') as f:
            f.write(text)
        with small_disk(d + '/config/hostkeys', '4k') as disk:
            r = subprocess.run([MOX, '-config', path, 'config', 'ensureacmehostprivatekeys'], capture_output=True, text=True, timeout=WAIT)
            assert r.returncode == 1 and 'hostkeys/' in r.stderr and 'No space left' in r.stderr, r
            assert files_in(disk) == [], files_in(disk)


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
        # Into itself it would have no end.
        for itself in (s.dir, os.path.join(s.dir, 'data')):
            before = sorted(os.listdir(itself))
            code, out, err = s.command('backup', itself)
            assert code == 1 and 'name another directory' in err and sorted(os.listdir(itself)) == before, err
        code, out, err = s.command('backup', '/proc/none/x')
        assert code == 1 and err.startswith('mox: making /proc/none/x') and err.count('\n') == 1, err
        with open(backup + '/data/accounts/mox/account.db', 'wb') as f:
            f.write(b'rubbish' * 1000)
        code, out, err = s.command('backup', backup)
        assert code == 1 and 'account.db' in err, err
        code, out, err = s.command('restore', d + '/none')
        assert code == 1, err


main('backup')
