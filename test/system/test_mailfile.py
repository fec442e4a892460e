"""import and export: mail of other programs' files, which Python's mailbox module writes and reads."""
import email.utils
import mailbox
import signal
import subprocess

from harness import *


def a_message(i, text=None):
    m = mailbox.Message()
    m['Subject'] = 'number %d' % i
    m['From'] = 'a@b.example'
    m['Message-ID'] = '<%d@files.example>' % i
    m['Date'] = email.utils.formatdate(1000000000 + 60 * i)
    m.set_payload(text or 'From here on, line %d\n\nFrom there\n\n.\nend\n' % i)
    return m


def listed(c, box):
    """What an IMAP client sees: subject, flags, internal date, body of each message, in order."""
    typ, n = c.select('"%s"' % box, readonly=True)
    assert typ == 'OK', n
    if n == [b'0']:
        return []
    out = []
    parts = c.fetch('1:*', '(FLAGS INTERNALDATE BODY.PEEK[])')[1]
    for part, after in zip(parts, parts[1:]):
        if isinstance(part, tuple):
            m = email.message_from_bytes(part[1])
            flags = {f.decode() for f in imaplib.ParseFlags(after)}
            when = time.mktime(imaplib.Internaldate2tuple(part[0]))
            out.append((m['Subject'], frozenset(flags), int(when), m.get_payload().replace('\r\n', '\n')))
    return out


@test
def mbox_in_and_out():
    with running() as s, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'old.mbox')
        box = mailbox.mbox(path)
        for i in range(1200):
            m = mailbox.mboxMessage(a_message(i))
            m.set_from('x@y.example', time.gmtime(1100000000 + i))
            m.set_flags({0: 'RO', 1: 'F', 2: 'RAD', 3: ''}[i % 4])
            if i % 5 == 0:
                m['X-Keywords'] = '$Junk,work'
            box.add(m)
        box.flush()
        code, out, err = s.command('import', 'mbox', 'mox', 'Old/Mail', path)
        assert code == 0 and err == '1000...\n1200 imported\n', (out, err)
        # What is there is not there twice, and what is new comes in.
        m = mailbox.mboxMessage(a_message(1200))
        m.set_from('x@y.example', time.gmtime(1100001200))
        box.add(m)
        box.flush()
        code, out, err = s.command('import', 'mbox', 'mox', 'Old/Mail', path)
        assert code == 0 and err == '1000...\n1 imported, 1200 were there already\n', (out, err)
        c = s.imap()
        seen = listed(c, 'Old/Mail')
        assert len(seen) == 1201
        for i, (subject, flags, when, text) in enumerate(seen):
            assert subject == 'number %d' % i and when == 1100000000 + i, seen[i]
            assert text == 'From here on, line %d\n\nFrom there\n\n.\nend\n' % i, seen[i]
            wanted = {0: {'\\Seen'}, 1: {'\\Flagged'}, 2: {'\\Seen', '\\Answered', '\\Deleted'}, 3: set()}[i % 4]
            assert flags == (wanted | ({'$Junk', 'work'} if i % 5 == 0 else set()) if i < 1200 else set()), seen[i]
        # Out again, while the server runs; and what was written is read by another program.
        to = os.path.join(d, 'out')
        code, out, err = s.command('export', 'mbox', to, os.path.join(s.dir, 'data', 'accounts', 'mox'), 'Old')
        assert code == 0 and err.endswith('1201 exported\n'), (out, err)
        again = mailbox.mbox(os.path.join(to, 'Old', 'Mail.mbox'), create=False)
        assert len(again) == 1201
        assert 'F' in again[1].get_flags() and again[0]['X-Keywords'] == '$Junk,work'
        assert again[7].get_from().startswith('mox ') and '>From here on' in again[7].get_payload()
        code, out, err = s.command('import', 'mbox', 'mox', 'Copy', os.path.join(to, 'Old', 'Mail.mbox'))
        assert code == 0 and '1201 imported' in err, err
        assert listed(c, 'Copy') == seen
        # Nothing is written over.
        code, out, err = s.command('export', 'mbox', to, os.path.join(s.dir, 'data', 'accounts', 'mox'), 'Old')
        assert code == 0 and 'Old/Mail.mbox is there already, and stays as it is\n' in err and '0 exported, 1201 were there already\n' in err, err
        # What is killed leaves no file with the name of a whole one; the next one makes it.
        whole = open(os.path.join(to, 'Old', 'Mail.mbox'), 'rb').read()
        os.unlink(os.path.join(to, 'Old', 'Mail.mbox'))
        p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'export', 'mbox', to, os.path.join(s.dir, 'data', 'accounts', 'mox'), 'Old'],
                             stderr=subprocess.PIPE, text=True, env=s.env)
        while p.stderr.readline() != '1000...\n':
            assert p.poll() is None
        p.kill()
        p.communicate()
        path = os.path.join(to, 'Old', 'Mail.mbox')
        assert not os.path.exists(path) or open(path, 'rb').read() == whole
        assert s.command('export', 'mbox', to, os.path.join(s.dir, 'data', 'accounts', 'mox'), 'Old')[0] == 0
        assert open(path, 'rb').read() == whole and os.listdir(os.path.join(to, 'Old')) == ['Mail.mbox']
        assert s.command('verifydata')[0] == 0


@test
def maildir_in_and_out():
    with running() as s, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'Maildir')
        box = mailbox.Maildir(path)
        for i in range(60):
            m = mailbox.MaildirMessage(a_message(i, 'body %d\n' % i))
            m.set_date(1200000000 + i)
            m.set_subdir('cur' if i % 2 else 'new')
            m.set_flags('FS' if i % 2 else '')
            box.add(m)
        # As Dovecot has keywords: letters in the name, and a file that says what they are.
        with open(os.path.join(path, 'dovecot-keywords'), 'w') as f:
            f.write('0 NonJunk\n1 work\n')
        name = sorted(n for n in os.listdir(path + '/cur'))[0]
        os.rename(f'{path}/cur/{name}', f'{path}/cur/{name}ab')
        for folder in ('new', 'cur'):  # the time of arrival is the file's when its name has none
            for n in os.listdir(f'{path}/{folder}'):
                os.rename(f'{path}/{folder}/{n}', f'{path}/{folder}/' + n.replace('.', '-', 1).replace('.', '-', 1))
        # Links could lead to what the maildir's owner may not read.
        with open(d + '/secret', 'w') as f:
            f.write(a_message(99, 'secret').as_string())
        os.symlink('../../secret', path + '/new/link')
        code, out, err = s.command('import', 'maildir', 'mox', 'Dir', path)
        assert code == 0 and err == 'problem: new/link: not a file, skipped\n60 imported\n', (out, err)
        os.unlink(path + '/new/link')
        c = s.imap()
        seen = listed(c, 'Dir')
        assert [m[0] for m in seen] == ['number %d' % i for i in range(60)]
        assert [m[2] for m in seen] == [1200000000 + i for i in range(60)]
        assert sum('work' in m[1] and '$NotJunk' in m[1] for m in seen) == 1
        assert all((m[1] >= {'\\Flagged', '\\Seen'}) == bool(i % 2) for i, m in enumerate(seen))
        to = os.path.join(d, 'out')
        account = os.path.join(s.dir, 'data', 'accounts', 'mox')
        assert s.command('export', 'maildir', '-single', to, account, 'Dir')[0] == 0
        assert os.listdir(to) == ['Dir']
        # It goes on where it was broken off, also when flags have changed meanwhile.
        for name in os.listdir(to + '/Dir/cur')[:5]:
            os.unlink(to + '/Dir/cur/' + name)
        with open(to + '/Dir/new/.1.2_3.mox', 'w') as f:
            f.write('half of a')
        moved = os.listdir(to + '/Dir/cur')[0]
        os.rename(to + '/Dir/cur/' + moved, to + '/Dir/cur/' + moved.split(':')[0] + ':2,RS')
        code, out, err = s.command('export', 'maildir', '-single', to, account, 'Dir')
        assert code == 0 and err == '5 exported, 55 were there already\n', (out, err)
        os.rename(to + '/Dir/cur/' + moved.split(':')[0] + ':2,RS', to + '/Dir/cur/' + moved)
        again = mailbox.Maildir(os.path.join(to, 'Dir'), create=False)
        assert len(again) == 60
        code, out, err = s.command('import', 'maildir', 'mox', 'Dir2', os.path.join(to, 'Dir'))
        assert code == 0, err
        # A maildir from here has no keywords but the known ones.
        assert listed(c, 'Dir2') == [(a, b - {'work'}, t, m) for a, b, t, m in seen]


@test
def an_import_whose_account_dies_is_repeated():
    """What was stored before stays, and is not there twice after the next try."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'big.mbox')
        with open(path, 'w') as f:
            for i in range(6000):
                f.write('From x Mon Jan  2 15:04:05 2006\nSubject: number %d\nFrom: a@b.example\n\n%s\n' % (i, 'text\n' * 20))
        c = s.imap()  # so that the account's process is there
        account = s.pids('mox: account mox')
        p = in_step(s.mox, '-config', s.dir + '/mox.conf', 'import', 'mbox', 'mox', 'Big', path, env=s.env)
        assert p.stderr.readline() == '1000...\n'
        os.kill(account[0], signal.SIGKILL)
        rest = p.stderr.read().splitlines()
        assert p.wait(WAIT) == 1 and rest[-1].startswith('mox: ') and 'messages' in rest[-1], rest
        deadline = time.monotonic() + WAIT
        while True:  # its template is replaced first
            code, out, err = s.command('import', 'mbox', 'mox', 'Big', path)
            if code == 0:
                break
            assert time.monotonic() < deadline, err
        assert ' were there already' in err, err
        c = s.imap()
        assert c.select('Big')[1] == [b'6000']
        subjects = c.fetch('1:*', 'BODY.PEEK[HEADER.FIELDS (SUBJECT)]')[1]
        assert len({part[1] for part in subjects if isinstance(part, tuple)}) == 6000
        c.logout()
        assert s.command('verifydata')[0] == 0
        # No file has the name of a whole one before it is on the disk: after a power cut it would be an empty one, and counted as exported.
        to = os.path.join(d, 'out')
        export = ('-config', s.dir + '/mox.conf', 'export', 'maildir', '-single', to, s.dir + '/data/accounts/mox', 'Big')
        p = in_step(s.mox, *export, env=s.env)
        assert p.stderr.readline() == '1000...\n'
        p.kill()
        p.wait(WAIT)
        names = os.listdir(to + '/Big/new')
        assert len(names) > 900 and all(n.startswith('.') for n in names), len(names)
        assert s.command(*export[2:])[2].splitlines()[-1] == '6000 exported'
        names = os.listdir(to + '/Big/new')
        assert len(names) == 6000 and not any(n.startswith('.') for n in names), len(names)


@test
def an_import_stops_at_the_quota():
    with running() as s, tempfile.TemporaryDirectory() as d:
        conf = os.path.join(s.dir, 'domains.conf')
        with open(conf) as f:
            text = f.read()
        with open(conf, 'w') as f:
            f.write(text.replace('\tmox:\n', '\tmox:\n\t\tQuotaMessageSize: 20000\n'))
        s.wait_log('domains config reloaded')
        path = os.path.join(d, 'mbox')
        with open(path, 'w') as f:
            f.write(('From x\nSubject: much\n\n' + 'text\n' * 1000 + '\n') * 10)
        code, out, err = s.command('import', 'mbox', 'mox', 'Much', path)
        assert code == 1 and 'over its quota' in err and err.count('\n') == 1, err
        c = s.imap()
        assert c.select('Much')[0] == 'NO' or c.select('Much')[1] == [b'0']  # a batch is stored whole or not at all


@test
def import_says_what_is_wrong():
    with running() as s, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'x')
        with open(path, 'w') as f:
            f.write('Subject: no mbox\n\nhi\n')
        for words, say in ((('mbox', 'mox', 'Old', path), 'the first line of an mbox'),
                           (('mbox', 'mox', 'Old', path + '.none'), 'No such file'),
                           (('mbox', 'nobody', 'Old', path), 'no such account'),
                           (('maildir', 'mox', 'Old', d), 'this is no maildir'),
                           (('maildir', 'mox', 'Old', path), 'Not a directory')):
            code, out, err = s.command('import', *words)
            assert code == 1 and err.startswith('mox: ') and say in err and err.count('\n') == 1, (words, err)
        with open(path, 'w') as f:
            f.write('From x\nSubject: an mbox\n\nhi\n')
        code, out, err = s.command('import', 'mbox', 'mox', '/bad', path)
        assert code == 1 and err.count('\n') == 1, err
        assert s.command('export', 'mbox', d + '/out', os.path.join(s.dir, 'data', 'accounts', 'mox'), 'None')[0] == 1
        # Without a date anywhere, a message is from now.
        assert s.command('import', 'mbox', 'mox', 'Now', path)[2] == '1 imported\n'
        assert abs(listed(s.imap(), 'Now')[0][2] - time.time()) < 1000


main('mailfile')
