"""import archive and export archive: zip, tgz and tar files of other programs, and ours read by them."""
import email
import io
import mailbox
import random
import signal
import subprocess
import tarfile
import zipfile

from harness import *


def message(i):
    return b'Subject: number %d\nFrom: a@b.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\nFrom here, line %d\n\nend\n' % (i, i)


def quoted(i):
    return message(i).replace(b'\nFrom ', b'\n>From ')


def account(s):
    return os.path.join(s.dir, 'data', 'accounts', 'mox')


def listed(c, box):
    """Subject, flags, internal date and body of each message, in order."""
    typ, n = c.select('"%s"' % box, readonly=True)
    assert typ == 'OK', n
    if n == [b'0']:
        return []
    out = []
    parts = c.fetch('1:*', '(FLAGS INTERNALDATE BODY.PEEK[])')[1]
    for part, after in zip(parts, parts[1:]):
        if isinstance(part, tuple):
            m = email.message_from_bytes(part[1])
            flags = frozenset(f.decode() for f in imaplib.ParseFlags(after)) - {'\\Recent'}
            out.append((m['Subject'], flags, int(time.mktime(imaplib.Internaldate2tuple(part[0]))), m.get_payload().replace('\r\n', '\n')))
    return out


def filled(s):
    c = s.imap()
    for box in ('Work', 'Work/Old', 'Caf&AOk-'):  # in modified UTF-7
        c.create(box)
        for i in range(5):
            c.append(box, ['', '\\Seen', '\\Flagged \\Answered', '$Junk \\Seen', '$Forwarded'][i], imaplib.Time2Internaldate(1100000000 + i),
                     message(i).replace(b'\n', b'\r\n'))
    c.create('Empty')
    return c


BOXES = {'Work': 'Work', 'Work/Old': 'Work/Old', 'Caf\u00e9': 'Caf&AOk-', 'Empty': 'Empty'}


@test
def what_we_write_others_read_and_we_do():
    with running() as s, tempfile.TemporaryDirectory() as d:
        c = filled(s)
        before = {name: listed(c, box) for name, box in BOXES.items()}
        n = 0
        for form in ('maildir', 'mbox'):
            for end in ('tgz', 'zip', 'tar', 'tar.gz'):
                path = os.path.join(d, '%s.%s' % (form, end))
                code, out, err = s.command('export', 'archive', '-format', form, path, account(s))
                assert code == 0 and err == '15 exported\n', (out, err)
                assert os.listdir(d).count(path + '.new') == 0
                reads = [['bsdtar', '-xf', path]] + {'zip': [['unzip', '-q', path]]}.get(end, [['tar', '-xf', path]])
                for read in reads:
                    to = os.path.join(d, 'x')
                    os.mkdir(to)
                    subprocess.run(read, cwd=to, check=True, env=dict(os.environ, LC_ALL='C.UTF-8'))
                    for name in before:
                        if form == 'mbox':
                            box = mailbox.mbox(os.path.join(to, name + '.mbox'), create=False)
                        else:
                            box = mailbox.Maildir(os.path.join(to, name), create=False)
                        assert sorted(m['Subject'] for m in box) == ['number %d' % i for i in range(len(before[name]))], (read, name)
                        if before[name]:
                            m = next(m for m in box if m['Subject'] == 'number 2')
                            assert set(m.get_flags()) >= set('FA' if form == 'mbox' else 'FR'), m.get_flags()
                        box.close()
                    shutil.rmtree(to)
                if end == 'zip':
                    z = zipfile.ZipFile(path)
                    assert z.testzip() is None and any('Caf\u00e9' in name for name in z.namelist()), z.namelist()
                else:
                    with tarfile.open(path) as t:
                        assert all(i.mode == (0o770 if i.isdir() else 0o660) for i in t)
                # And in again, below another name.
                n += 1
                if end in ('tgz', 'zip'):
                    with tempfile.TemporaryDirectory() as again:
                        subprocess.run(['bsdtar', '-xf', path], cwd=again, check=True, env=dict(os.environ, LC_ALL='C.UTF-8'))
                        moved = os.path.join(again, 'In%d' % n)
                        names = os.listdir(again)
                        os.mkdir(moved)
                        for name in names:
                            os.rename(os.path.join(again, name), os.path.join(moved, name))
                        packed = os.path.join(d, 'packed%d.%s' % (n, end))
                        if end == 'zip':
                            subprocess.run(['zip', '-q', '-r', packed, '.'], cwd=again, check=True)
                        else:
                            subprocess.run(['tar', '-czf', packed, '.'], cwd=again, check=True)
                        code, out, err = s.command('import', 'archive', 'mox', packed)
                        assert code == 0 and err == '15 imported\n' and 'In%d/Work: 5\n' % n in out, (out, err)
                        for name, box in BOXES.items():
                            assert sorted(listed(c, 'In%d/%s' % (n, box)), key=lambda m: m[2]) == before[name], (form, end, name)
                        code, out, err = s.command('import', 'archive', 'mox', packed)
                        assert code == 0 and err == '0 imported, 15 were there already\n', (out, err)
                        c.unselect()
                        for box in sorted(('In%d/%s' % (n, box) for box in BOXES.values()), reverse=True):
                            assert c.delete('"%s"' % box)[0] == 'OK'
        code, out, err = s.command('export', 'archive', path, account(s))
        assert code == 1 and 'is there already' in err, err
        code, out, err = s.command('export', 'archive', d + '/x.rar', account(s))
        assert code == 1 and '.zip, .tgz' in err, err
        one = os.path.join(d, 'one.zip')
        assert s.command('export', 'archive', '-single', one, account(s), 'Work')[2] == '5 exported\n'
        assert {n.split('/')[0] for n in zipfile.ZipFile(one).namelist()} == {'Work'}
        assert s.command('verifydata')[0] == 0


def packed(path, entries):
    """A tgz or zip of (name, bytes or None for a directory), as Python writes it."""
    if path.endswith('.zip'):
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
            for name, data in entries:
                z.writestr(name, data or b'')
    else:
        with tarfile.open(path, 'w:gz') as t:
            for name, data in entries:
                i = tarfile.TarInfo(name)
                if data is None:
                    i.type = tarfile.DIRTYPE
                i.size, i.mtime = len(data or b''), 1300000000
                t.addfile(i, io.BytesIO(data or b''))
    return path


@test
def names_mean_what_upstream_takes_them_for():
    with running() as s, tempfile.TemporaryDirectory() as d:
        entries = [('old/Box/new/', None), ('old/Box/cur/1200000000.1.host:2,FSab', message(1)), ('old/Box/new/noname', message(2)),
                   ('old/Box/tmp/1200000003.3.host', message(3)), ('old/Box/dovecot-keywords', b'0 work\n1 NonJunk\n'),
                   ('old/Nothing/cur/', None), ('old/a.mbox', b'From x Mon Jan  2 15:04:05 2006\n' + quoted(4)),
                   ('old/no.mbox', b'Subject: none\n\n'), ('old/readme', b'x'), ('top.mbox', b'From x\n' + quoted(5)), ('errors.txt', b'')]
        for end in ('zip', 'tgz'):
            path = packed(os.path.join(d, 'a.' + end), entries)
            code, out, err = s.command('import', 'archive', '-skipprefix', 'old', 'mox', path)
            assert code == 0 and err.endswith('5 imported\n'), (out, err)
            for name in ('old/no.mbox', 'old/readme', 'errors.txt'):
                assert 'problem: %s:' % name in err, err
            assert out.splitlines() == ['Box: 3', 'Nothing: 0', 'a: 1', 'no: 0', 'top: 1'], out
        c = s.imap()
        by_subject = {m[0]: m for m in listed(c, 'Box')}
        assert by_subject['number 1'][1] == {'\\Flagged', '\\Seen', 'work', '$NotJunk'} and by_subject['number 1'][2] == 1200000000, by_subject
        assert by_subject['number 2'][2] == 1300000000 and by_subject['number 3'][2] == 1200000003
        assert listed(c, 'Nothing') == [] and listed(c, 'a')[0][2] == 1136214245 and listed(c, 'top')[0][0] == 'number 5'


@test
def hostile_archives():
    with running() as s, tempfile.TemporaryDirectory() as d:
        def refused(path, say, *args):
            code, out, err = s.command('import', 'archive', *args, 'mox', path)
            assert code == 1 and say in err and 'Sanitizer' not in err, (path, out, err)
            assert c.select('"B"')[0] == 'NO', path  # and nothing of it is stored

        c = s.imap()
        # Bombs: 100 MB of nothing in a message or beside one; many zips of one byte range are not made by any writer.
        zeros = bytes(100 << 20)
        refused(packed(d + '/bomb.zip', [('B/new/1', message(1)), ('B/new/2', zeros)]), 'unpacks to more than')
        refused(packed(d + '/bomb.tgz', [('B/new/1', message(1)), ('other', zeros)]), 'unpacks to more than')
        del zeros
        # Cut off, damaged, locked, none.
        good = open(packed(d + '/good.tgz', [('B/new/%d' % i, message(i) + os.urandom(500).hex().encode()) for i in range(50)]), 'rb').read()
        open(d + '/cut.tgz', 'wb').write(good[:len(good) // 2])
        refused(d + '/cut.tgz', 'is broken')
        good = open(packed(d + '/good.zip', [('B/new/%d' % i, message(i) + os.urandom(500).hex().encode()) for i in range(50)]), 'rb').read()
        open(d + '/cut.zip', 'wb').write(good[:len(good) // 2])
        refused(d + '/cut.zip', 'is broken')
        bad = bytearray(good)
        bad[len(bad) // 3] ^= 255
        open(d + '/bad.zip', 'wb').write(bad)
        refused(d + '/bad.zip', 'is broken')
        open(d + '/m', 'wb').write(message(1))
        subprocess.run(['zip', '-q', '-P', 'secret', 'locked.zip', 'm'], cwd=d, check=True)
        os.makedirs(d + '/B/new')
        open(d + '/B/new/m', 'wb').write(message(1))
        subprocess.run(['zip', '-q', '-P', 'secret', 'locked.zip', 'B/new/m'], cwd=d, check=True)
        refused(d + '/locked.zip', 'is broken')
        open(d + '/none.zip', 'w').write('Subject: none\n\n')
        refused(d + '/none.zip', 'neither a zip, a tgz nor a tar')
        refused('/dev/zero', 'not a file')
        refused(d + '/B', 'not a file')
        # Names that lead elsewhere are names of mailboxes that cannot be; links are not followed.
        path = d + '/names.tgz'
        packed(path, [('../../../B/new/1', message(1)), ('/etc/B/new/1', message(2)), ('a/../B/new/x', message(3)), ('\x01/new/1', message(4))])
        with tarfile.open(d + '/links.tar', 'w') as t:
            i = tarfile.TarInfo('L/new/1')
            i.type, i.linkname = tarfile.SYMTYPE, '/etc/passwd'
            t.addfile(i)
            i = tarfile.TarInfo('L/new/2')
            i.type, i.linkname = tarfile.LNKTYPE, '/etc/passwd'
            t.addfile(i)
            i = tarfile.TarInfo('L/new/3')
            i.type = tarfile.FIFOTYPE
            t.addfile(i)
        # Fields as long as a message may be: one message is one, and the others come.
        long = b'Date: ' + bytes(random.choices(b'abcdefgh', k=3 << 20)) + b'\nSubject: long\n\nlong\n'
        words = b'X-Keywords: ' + b','.join(b'k%d' % i for i in range(3 << 20)) + b'\nSubject: words\n\nwords\n'
        code, out, err = s.command('import', 'archive', 'mox', packed(d + '/long.tgz', [
            ('Long/new/1', long), ('Long/new/2', message(2)),
            ('Words.mbox', b'From a@b.example Mon Jan  1 00:00:00 2024\n' + words + b'\nFrom a@b.example Mon Jan  1 00:00:00 2024\n' + quoted(3))]))
        assert code == 0 and out == 'Long: 2\nWords: 2\n', (out, err)
        # The keywords of a mailbox are there once.
        code, out, err = s.command('import', 'archive', 'mox', packed(d + '/twice.tgz', [
            ('Twice/dovecot-keywords', b'0 one\n'), ('Twice/dovecot-keywords', b'0 two\n'), ('Twice/cur/1:2,a', message(1))]))
        assert code == 0 and err.count('problem: ') == 1, (out, err)
        c.select('Twice', readonly=True)
        assert b'one' in c.fetch('1', '(FLAGS)')[1][0], c.fetch('1', '(FLAGS)')
        code, out, err = s.command('import', 'archive', 'mox', path)
        assert code == 0 and out == 'etc/B: 1\n' and err.count('problem: ') == 3 and '1 imported' in err, (out, err)
        code, out, err = s.command('import', 'archive', 'mox', d + '/links.tar')
        assert code == 0 and out == '' and err.count('neither a file nor a directory') == 3, (out, err)
        assert s.command('verifydata')[0] == 0


@test
def a_killed_import_is_repeated():
    with running() as s, tempfile.TemporaryDirectory() as d:
        path = packed(d + '/big.tgz', [('Big/cur/%d.%d.x:2,S' % (1000000000 + i, i), message(i) + b'text\n' * 20) for i in range(6000)])
        command = [s.mox, '-config', s.dir + '/mox.conf', 'import', 'archive', 'mox', path]
        p = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=s.env)
        assert p.stderr.readline() == '1000 of 6000...\n'
        p.send_signal(signal.SIGKILL)
        p.communicate()
        start = time.monotonic()
        code, out, err = s.command('import', 'archive', 'mox', path)
        took = time.monotonic() - start
        assert code == 0 and ' were there already' in err and out == 'Big: 6000\n', (out, err)
        c = s.imap()
        seen = listed(c, 'Big')
        assert len({m[0] for m in seen}) == len(seen) == 6000
        print('# %d of 6000 short messages imported from a tgz in %.1f s' % (int(re.search(r'(\d+) imported', err)[1]), took))
        assert s.command('verifydata')[0] == 0


@test
def a_message_that_cannot_be_read_is_named():
    import sqlite3
    with running() as s, tempfile.TemporaryDirectory() as d:
        filled(s)
        s.stop()
        db = sqlite3.connect(account(s) + '/account.db')
        with db:
            db.execute('UPDATE chunk SET sum = sum + 1 WHERE owner = 2')
        db.close()
        for form in ('maildir', 'mbox'):
            path = '%s/%s.tar' % (d, form)
            code, out, err = s.command('export', 'archive', '-format', form, path, account(s))
            assert code == 0 and 'errors.txt' in err and '14 exported' in err, err
            with tarfile.open(path) as t:
                assert b'mailbox Work, uid 2' in t.extractfile('errors.txt').read()


@test
def without_a_server():
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.imap()
        with open(d + '/m', 'wb') as f:
            for i in range(3):
                f.write(b'From x Mon Jan  2 15:04:05 2006\n' + quoted(i) + b'\n')
        box = mailbox.Maildir(d + '/dir')
        box.add(message(7))
        code, out, err = s.command('ximport', 'mbox', account(s), 'X', d + '/m')
        assert code == 1 and 'the server is running' in err, err
        s.stop()
        for said in ('3 imported\n', '0 imported, 3 were there already\n'):
            code, out, err = s.command('ximport', 'mbox', account(s), 'X', d + '/m')
            assert code == 0 and err == said, (out, err)
        code, out, err = s.command('ximport', 'maildir', account(s), 'Y', d + '/dir')
        assert code == 0 and err == '1 imported\n', (out, err)
        assert s.command('verifydata')[0] == 0
        s.start()
        c = s.imap()
        assert len(listed(c, 'X')) == 3 and listed(c, 'Y')[0][0] == 'number 7'


@test
def names_do_nothing_to_the_terminal():
    """Escapes, carriage returns and turns of direction in names: of an archive, of a maildir's file, of a mailbox."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        with zipfile.ZipFile(d + '/x.zip', 'w') as z:
            z.writestr('\x1b]0;title\x07\x1b[2Jevil', b'x')
            z.writestr('a\rproblem: none', b'x')
            z.writestr('b\u202ecod.exe', b'x')
            z.writestr('Caf\u00e9/readme', b'x')
            z.writestr('\u009b31mBox.mbox', b'From a@b.example Mon Jan  1 00:00:00 2024\n' + message(1))
        code, out, err = s.command('import', 'archive', 'mox', d + '/x.zip')
        assert 'problem: \\027]0;title\\007\\027[2Jevil: ' in err and 'problem: a\\013problem: none: ' in err, err
        assert 'problem: b\\226\\128\\174cod.exe: ' in err and 'problem: Caf\u00e9/readme: ' in err, err
        for folder in ('new', 'cur', 'tmp'):
            os.makedirs(d + '/maildir/' + folder)
        os.symlink('/', d + '/maildir/new/\x1b[31mlink')
        err += s.command('import', 'maildir', 'mox', 'Box', d + '/maildir')[2]
        err += s.command('import', 'mbox', 'mox', 'Box', d + '/\x1b[31mnone')[2]
        assert 'new/\\027[31mlink: not a file' in err and '/?[31mnone: ' in err, err  # errors have a question mark
        shown = out + err
        assert not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]', shown), repr(shown)


main('archive')
