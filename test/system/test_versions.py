"""Data directories that older versions of the program made (test/data/versions) are opened, and all is there."""
import fcntl
import glob
import sqlite3
import struct
import subprocess
import tarfile

from harness import *

VERSIONS = os.path.join(ROOT, 'test', 'data', 'versions')
# What `make` there puts in: subject, flags, first line of text.
INBOX = [('subject 0', set(), 'text 0'), ('subject 1', {'\\Seen'}, 'text 1'), ('subject 1', set(), 'text 3'), ('Re: subject 0', set(), 'an answer')]
OLD = [('subject 0', set(), 'text 0'), ('subject 1', set(), 'text 1')]
WORK = [('appended', {'\\Flagged', '$Junk', 'work'}, 'hi')]


def archives():
    out = sorted(glob.glob(VERSIONS + '/*.tgz'))
    assert out
    return out


def listed(c, box):
    c.select(box, readonly=True)
    out = []
    parts = c.uid('FETCH', '1:*', '(FLAGS BODY.PEEK[TEXT] BODY.PEEK[HEADER.FIELDS (SUBJECT)])')[1]
    for i in range(0, len(parts), 3):
        text, header = sorted((p for p in parts[i:i + 3] if isinstance(p, tuple)), key=lambda p: b'HEADER' in p[0][-60:])
        flags = {f.decode() for p in parts[i:i + 3] for f in imaplib.ParseFlags(p[0] if isinstance(p, tuple) else p)} - {'\\Recent'}
        out.append((header[1].decode().split(': ', 1)[1].strip(), flags, text[1].decode().split('\r\n')[0]))
    return out


def replace_data(s, archive):
    """The server's own databases go, those of the archive come."""
    for name in os.listdir(s.dir + '/data'):
        if os.path.isdir(s.dir + '/data/' + name):
            shutil.rmtree(s.dir + '/data/' + name)
    with tarfile.open(archive) as t:
        t.extractall(s.dir)
    for folder, _, names in os.walk(s.dir + '/data'):
        os.chmod(folder, 0o700)
    # What waits was queued just now: else its sender is told of the delay, and after some days it is returned.
    for path in glob.glob(s.dir + '/data/queue/queue.db'):
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute('UPDATE message SET queued_unix = ?', (int(time.time()),))
            db.execute('UPDATE entry SET next_attempt_unix = ?, last_attempt_unix = ?', (int(time.time()) + 3600, int(time.time())))


def current():
    return {d: len(glob.glob(os.path.join(ROOT, 'sql', d, '*.sql'))) for d in ('account', 'auth', 'queue', 'admin', 'junk')}


NEVER_MADE = {('queue', 7)}  # its migration was not built in before the next one came


@test
def data_of_every_version_is_opened():
    with running() as s:
        for archive in archives():
            s.stop()
            replace_data(s, archive)
            s.start()
            c = s.imap()  # the password is there
            assert listed(c, 'INBOX') == INBOX, (archive, listed(c, 'INBOX'))
            assert listed(c, '"Work/Old"') == OLD and listed(c, 'Work') == WORK, archive
            assert any(l.endswith((b'Nowhere', b'"Nowhere"')) for l in c.lsub()[1]), archive
            # It is used, as of this version.
            c.select('INBOX')
            assert c.uid('STORE', '1', '+FLAGS', '(\\Answered)')[0] == 'OK'
            s.send(body='new')
            assert c.noop()[0] == 'OK' and b'MESSAGES 5' in c.status('INBOX', '(MESSAGES)')[1][0], (archive, c.status('INBOX', '(MESSAGES)'))
            c.logout()
            code, out, err = s.command('queue', 'list')
            assert code == 0 and 'queueuser452@localhost' in out, (archive, out, err)
            code, out, err = s.command('queue', 'drop')
            assert code == 0 and out == '1 message(s) dropped\n', (archive, out, err)
            code, out, err = s.command('verifydata')
            assert code == 0, (archive, out, err)
            s.stop()
            for name, n in current().items():
                for path in glob.glob(s.dir + '/data/*/%s.db' % name) + glob.glob(s.dir + '/data/*/*/%s.db' % name):
                    db = sqlite3.connect(path)
                    assert db.execute('PRAGMA user_version').fetchone() == (n,), (archive, path)
                    db.close()


@test
def junk_filters_of_every_version_are_opened():
    n = 0
    with tempfile.TemporaryDirectory() as d:
        for archive in archives():
            with tarfile.open(archive) as t:
                if 'junk.db' not in t.getnames():
                    continue
                t.extract('junk.db', d)
            n += 1
            with open(d + '/m', 'w') as f:
                f.write('From: x@y.example\nSubject: s\n\nbuy cheap pills now\n')
            for kind in ('ham', 'spam'):
                os.makedirs(d + '/' + kind, exist_ok=True)
                shutil.copy(d + '/m', d + '/%s/m' % kind)
            r = run(MOX, 'junk', 'check', '-dbpath', d + '/junk.db', d + '/m', ok=False)
            assert re.match(r'^[01]\.\d{6}', r.stdout) or 'junk1' in archive and 'has learnt nothing' in r.stderr, (archive, r.stdout, r.stderr)
            run(MOX, 'junk', 'train', '-dbpath', d + '/junk.db', d + '/ham', d + '/spam')
            r = run(MOX, 'junk', 'check', '-dbpath', d + '/junk.db', d + '/m')
            assert re.match(r'^[01]\.\d{6}', r.stdout), (archive, r.stdout)
            with contextlib.closing(sqlite3.connect(d + '/junk.db')) as db:
                assert db.execute('PRAGMA user_version').fetchone() == (current()['junk'],), archive
    assert n


@test
def every_landed_version_is_kept():
    """For each database, data of all versions before the present one, as far as a server made it."""
    kept = {}
    for archive in archives():
        for name, n in re.findall(r'([a-z]+)(\d+)', os.path.basename(archive)[:-4]):
            kept.setdefault(name, set()).add(int(n))
    for name, n in current().items():
        assert {i for i in range(1, n) if (name, i) not in NEVER_MADE} <= kept[name], (name, n, kept[name])


@test
def a_migration_that_is_killed_goes_on():
    """Each step is a transaction: whenever the program ends, what is there is one version or another. (Each point of it: mox-fault.)"""
    with running() as s:
        s.stop()
        for archive in archives()[:2]:
            replace_data(s, archive)
            # More mail, so that it takes a while.
            path = s.dir + '/data/accounts/mox/account.db'
            db = sqlite3.connect(path)
            with db:
                columns = [r[1] for r in db.execute('PRAGMA table_info(email)') if r[1] not in ('id', 'delivery_id')]
                first = db.execute('SELECT max(id) FROM email').fetchone()[0]
                db.execute('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO email (%s) SELECT %s FROM n, email '
                           'WHERE email.id = 1' % (', '.join(columns), ', '.join(columns)))
            db.close()
            seen = [version(path)]
            while True:
                p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'openaccounts', s.dir + '/data', 'mox'], env=s.env, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, text=True)
                while p.poll() is None and version(path) == seen[-1]:
                    pass
                p.kill()  # its child dies with it, somewhere in the next step
                p.communicate()
                wait_unlocked(s.dir + '/data/lock')  # until the child has, too
                if version(path) == seen[-1]:
                    break
                seen.append(version(path))
                with contextlib.closing(sqlite3.connect(path)) as db:
                    assert db.execute('PRAGMA integrity_check').fetchone() == ('ok',)
                    assert db.execute('SELECT count(*) FROM email WHERE id > ?', (first,)).fetchone() == (20000,)
            assert seen[0] == 1 and seen[-1] == current()['account'], seen
            code, out, err = s.command('openaccounts', s.dir + '/data', 'mox')
            assert code == 0, err
            db = sqlite3.connect(path)
            with db:
                db.execute('DELETE FROM email WHERE id > ?', (first,))
                db.execute('DELETE FROM email_state WHERE id > ?', (first,))
                db.execute('DELETE FROM header WHERE email > ?', (first,))
            db.close()
            assert s.command('verifydata', '-fix')[0] == 0


def wait_unlocked(path):
    """Until nobody holds the lock of the data directory."""
    with open(path, 'r+') as f:
        fcntl.fcntl(f, fcntl.F_OFD_SETLKW, struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))


def version(path):
    with contextlib.closing(sqlite3.connect(path, timeout=WAIT)) as db:
        return db.execute('PRAGMA user_version').fetchone()[0]


main('versions')
