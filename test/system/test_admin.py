"""Commands, configuration, processes: the server as its administrator meets it."""
import base64
import contextlib
import hashlib
import json
import sqlite3

from harness import *
from lone_role import LoneRole, encode_record

STARTED = ['mox: monitor', 'mox: keys', 'mox: auth', 'mox: queue', 'mox: front', 'mox: session-template', 'mox: admin']
ON_DEMAND = ['mox: account-template', 'mox: dkim']  # and others, which send mail out and ask the DNS


@test
def help_and_version():
    r = run(MOX, 'help')
    assert 'mox localserve' in r.stdout and 'mox queue list' in r.stdout
    assert run(MOX, 'version').stdout.startswith('mox 0.')
    assert 'read from standard input' in run(MOX, 'help', 'setaccountpassword').stdout
    for argv in ([], ['nonsense'], ['queue'], ['stop', 'now'], ['-nonsense', 'stop']):
        assert run(MOX, *argv, ok=False).returncode == 2, argv
    assert run(MOX, 'help', 'nonsense', ok=False).returncode == 2
    r = run(MOX, '-config', '/nonexistent/mox.conf', 'stop', ok=False)
    assert r.returncode == 1 and len(r.stderr.splitlines()) == 1, r.stderr


@test
def every_command_has_help():
    """Each command of the list: usage and a sentence on standard output, and the same for a wrong use."""
    lines = [l[7:] for l in run(MOX, 'help').stdout.splitlines() if l[7:].startswith('mox ')]
    assert len(lines) >= 13, lines
    for line in lines:
        words = line.split()[1:]
        while True:  # the command is what has help of its own; arguments follow
            r = run(MOX, 'help', *words, ok=False)
            if r.stdout.startswith('usage: %s\n\n' % line):
                break
            words.pop()
            assert words, line
        assert len(r.stdout) > len(line) + 30, r.stdout
        if words[0] != 'help':
            takes_any_number = '...' in line
            arguments = [] if takes_any_number else ['far', 'too', 'many', 'arguments', 'are', 'here', 'now']
            wrong = run(MOX, *words, *arguments, ok=False)
            assert wrong.returncode == 2 and wrong.stderr == r.stdout, (words, wrong)


@test
def helpall_has_it_all():
    out = run(MOX, 'helpall').stdout
    assert out.count('# mox ') == out.count('usage: mox ') > 15, out
    assert 'usage: mox cid id\n' in out and 'usage: mox queue list [filterflags]' in out
    assert run(MOX, 'helpall', 'x', ok=False).returncode == 2


@test
def localserve_files_and_titles():
    with running() as s:
        files = set(os.listdir(s.dir))
        assert {'localhost.key', 'localhost.crt', 'adminpasswd', 'mox.conf', 'domains.conf', 'data',
                'dkim.localserve.privatekey.pkcs8.pem'} <= files, files
        key = os.stat(os.path.join(s.dir, 'data', 'receivedid.key'))
        assert key.st_size == 24 and key.st_mode & 0o777 == 0o600, key
        for title in STARTED:  # a child of a template has its title for a moment
            eventually(lambda: len(s.pids(title)) == 1, title)
        assert not s.pids('mox: account-template')  # dkim looks at its keys by itself
        s.submit()
        s.imap().logout()
        for title in ON_DEMAND:
            eventually(lambda: len(s.pids(title)) == 1, title)
        for folder, _, names in os.walk(os.path.join(s.dir, 'data')):
            for name in names:  # not even readable for others, wherever the files are copied to
                with contextlib.suppress(FileNotFoundError):  # journals come and go
                    assert os.lstat(os.path.join(folder, name)).st_mode & 0o077 == 0, (folder, name)
        assert 'SMTP       %s:1025' % s.ip in s.log_text()
        assert s.stop() == 15  # the number of the signal
        assert 'stopped' in s.log_text()


@test
def stop_waits_for_the_end():
    with running() as s:
        code, out, err = s.command('stop')
        assert code == 0 and out == 'mox stopped\n', (out, err)
        assert s.process.wait(WAIT) == 0
        code, out, err = s.command('stop')
        assert code == 1 and err.count('connecting to control socket at') == 1, err


@test
def stop_tells_connected_clients():
    with running() as s:
        i, m = s.connect(IMAP), s.connect(SMTP)
        i.line()
        i.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
        i.imap_cmd('b SELECT INBOX')
        parked = Wire(insecure_context().wrap_socket(s.connect(IMAPS).sock))
        parked.line()
        parked.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
        parked.write('b IDLE\r\n')
        wait_parked(s, 1)
        i.write('c IDLE\r\n')
        i.line()
        m.smtp_hello()
        s.process.terminate()
        m.expect('421 4.3.2')
        assert i.line() == '* BYE shutting down'
        assert parked.line() == '+ waiting'
        assert parked.line() == '* BYE shutting down'
        s.process.wait(WAIT)


@test
def password_is_changed():
    with running() as s:
        assert s.command('setaccountpassword', 'mox', input='short\n')[0] == 1
        code, _, err = s.command('setaccountpassword', 'nobody', input='long enough\n')
        assert code == 1 and 'no account nobody' in err
        s.imap().logout()  # the old one is remembered by now
        assert s.command('setaccountpassword', 'mox', input='a new password')[0] == 0
        try:
            s.imap()
            raise AssertionError('the old password still works')
        except imaplib.IMAP4.error:
            pass
        c = s.imap(login=False)
        c.login(LOGIN, 'a new password')
        c.logout()
        s.stop()
        s.start()
        c = s.imap(login=False)
        c.login(LOGIN, 'a new password')
        c.logout()


@test
def log_levels():
    with running(args=['-loglevel', 'info']) as s:
        code, out, _ = s.command('loglevels')
        assert code == 0 and '(default): info\n' in out, out
        assert s.command('loglevels', 'trace', 'imapserver')[0] == 0
        assert 'imapserver: trace\n' in s.command('loglevels')[1]
        assert s.command('loglevels', 'loud')[0] == 1
        s.imap().logout()
        s.wait_log('pkg=imapserver')
        assert s.command('loglevels', '', 'imapserver')[0] == 0
        assert 'imapserver' not in s.command('loglevels')[1]


@test
def imap_lines_are_traced_without_passwords():
    with running(args=['-loglevel', 'trace']) as s:
        c = s.imap()
        c.select('INBOX')
        c.logout()
        w = s.connect(IMAP)
        w.line()
        w.imap_cmd('0 NOOP')
        w.imap_cmd('a LOGN %s %s' % (LOGIN, PASSWORD), 'BAD')  # mistyped
        w.imap_cmd('b AUTHENTICATE PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94')
        w.imap_cmd('c SEARCH SUBJECT "two words"', 'NO')
        w.close()
        text = s.log_text()
        assert 'SEARCH SUBJECT \\"two words\\"' in text and 'SELECT INBOX' in text, text[-3000:]
        assert 'command=LOGIN arguments=***' in text and 'command=AUTHENTICATE arguments=***' in text
        secret = [l for l in text.splitlines() if PASSWORD in l or 'AG1veEBsb2NhbGhvc3QAbW94bW94bW94' in l]
        assert 'LOGIN ' + LOGIN not in text
        assert not [l for l in secret if 'password moxmoxmox' not in l], secret
        assert s.command('loglevels', 'traceauth', 'imapserver')[0] == 0
        s.imap().logout()
        s.wait_log('LOGIN ' + LOGIN)


@test
def queue_is_listed_and_kept():
    """What cannot be delivered now stays, over a restart, and arrives when it can."""
    with running() as s:
        code, out, _ = s.command('queue', 'list')
        assert (code, out) == (0, 'messages:\n(none)\n'), out
        s.stop()
        domains = os.path.join(s.dir, 'domains.conf')
        good = open(domains).read()
        open(domains, 'w').write(good.replace('Domains:\n', 'Domains:\n\tother.example:\n\t\tDisabled: true\n').replace(
            '\t\t\tmox@localhost: nil\n', '\t\t\tmox@localhost: nil\n\t\t\tmox@other.example: nil\n'))
        s.start()
        w = s.connect(SUBMISSION)
        w.smtp_hello()
        w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94', '235')
        w.cmd('MAIL FROM:<mox@localhost>', '250')
        w.cmd('RCPT TO:<mox@other.example>', '450 4.2.1')
        w.cmd('RCPT TO:<x@localhost>', '250')
        # Its account's directory cannot be entered for now.
        w.cmd('DATA', '354')
        accounts = os.path.join(s.dir, 'data', 'accounts', 'mox')
        os.makedirs(accounts, exist_ok=True)
        os.rename(accounts, accounts + '.away')
        open(accounts, 'w').close()
        w.write('From: <mox@localhost>\r\n\r\nwaits\r\n.\r\n')
        w.expect('250')
        s.wait_log('delivery put off')
        out = s.command('queue', 'list')[1]
        assert re.search(r'^ +1 \S+Z from:<mox@localhost> to:<x@localhost> next \S+ last \S+ error ".+"$', out, re.M), out
        s.stop()
        os.remove(accounts)
        os.rename(accounts + '.away', accounts)
        s.start()
        s.wait_log('pkg=queue to=x@localhost')
        s.wait_log('m="delivered" pkg=queue')
        assert s.command('queue', 'list')[1] == 'messages:\n(none)\n'
        assert s.imap().select('INBOX')[1] == [b'1']


@test
def received_ids_lead_to_the_log():
    """Clients are shown the connection's number so that only the administrator can read it."""
    with running() as s:
        w = s.connect(SMTP)
        w.smtp_hello()
        ids = [w.cmd('XYZZY', '500').split('(')[1].rstrip(')')]
        w.cmd('MAIL FROM:<a@example.org>', '250')
        w.cmd('RCPT TO:<x@localhost>', '250')
        w.cmd('DATA', '354')
        w.write('Subject: x\r\n\r\nx\r\n.\r\n')
        w.expect('250')
        ids.append(w.cmd('STARTTLS', '220').split('(')[1].rstrip(')'))
        c = s.imap()
        c.select()
        text = c.fetch('1', '(BODY.PEEK[HEADER])')[1][0][1].decode()
        c.logout()
        ids.append(re.search(r'\sid\s+(\S+)', text).group(1))
        assert len(set(ids)) == 1 and re.fullmatch(r'[A-Za-z0-9_-]{22}', ids[0]), ids
        code, cid, err = s.command('cid', ids[0])
        assert code == 0 and err == '', err
        assert re.search(r'recipients=1 delivered=1 size=\d+ cid=%s$' % cid.strip(), s.log_text(), re.M), cid
        i = s.connect(IMAP)
        i.line()
        i.write('a STARTTLS\r\n')
        other = i.line()
        assert s.command('cid', other.split('(')[1].rstrip(')'))[1] != cid, other
        assert cid.strip() not in text + other
        for bad in ('', 'x', ids[0][:-1], 'A' * 22):
            code, out, err = s.command('cid', bad)
            assert code == 1 and not out and err.startswith('mox: '), (bad, code, out, err)
        # It is made once.
        s.stop()
        s.start()
        assert s.command('cid', ids[0])[1] == cid
        s.stop()
        with open(os.path.join(s.dir, 'data', 'receivedid.key'), 'wb') as f:
            f.write(b'short')
        s.start(expect_failure=True)
        assert 'receivedid.key in the data directory has 5 bytes' in s.log_text()


@test
def config_test_and_describe():
    with running() as s:
        s.stop()
        assert s.command('config', 'test')[:2] == (0, 'config OK\n')
        path = os.path.join(s.dir, 'mox.conf')
        good = open(path).read()
        open(path, 'w').write('broken\n' + good + 'Bogus: 1\n')
        assert [l.split(':', 1)[1] for l in s.command('config', 'test')[2].splitlines() if l.startswith(s.dir)] == ['1: no colon after the key']
        os.unlink(path), os.mkdir(path)
        assert 'it is a directory' in s.command('config', 'test')[2]
        os.rmdir(path)
        open(path, 'w').write(good + 'Bogus: 1\nUser:\n\tx: y\n')
        code, _, err = s.command('config', 'test')
        assert code == 1 and re.search(r'mox.conf:\d+: unknown key "Bogus"', err) and 'duplicate key' in err, err
        s.process = subprocess.Popen([MOX, 'localserve', '-dir', s.dir], stderr=subprocess.PIPE, text=True)
        assert 'unknown key "Bogus"' in s.process.communicate(timeout=WAIT)[1]
        assert s.process.returncode == 1
        for which, field in (('describe-static', 'Listeners:'), ('describe-domains', 'Accounts:')):
            assert '\n%s\n' % field in run(MOX, 'config', which).stdout


@test
def config_test_reads_the_files_that_are_named():
    """Certificates, keys that fit them, keys of DKIM: each problem with its line, and all of them."""
    with running() as s:
        s.stop()
        other = os.path.join(s.dir, 'other')
        assert run(MOX, 'localserve', '-dir', other, '-initonly')

        def problems():
            code, out, err = s.command('config', 'test')
            assert (code, out) == (1, ''), (code, out, err)
            return [l for l in err.splitlines() if re.match(r'.*\.conf:\d+: ', l)]

        def line_of(name, text):
            lines = open(os.path.join(s.dir, name)).read().splitlines()
            return [i + 1 for i, l in enumerate(lines) if text in l][0]

        shutil.copy(os.path.join(other, 'localhost.key'), os.path.join(s.dir, 'localhost.key'))
        assert re.search(r'mox.conf:\d+: localhost.crt and localhost.key: the key is not that of the certificate',
                         problems()[0])
        with open(os.path.join(s.dir, 'localhost.crt'), 'w') as f:
            f.write('no certificate\n')
        assert 'no certificate in PEM' in problems()[0]
        os.remove(os.path.join(s.dir, 'localhost.crt'))
        dkim = os.path.join(s.dir, 'dkim.localserve.privatekey.pkcs8.pem')
        shutil.copy(os.path.join(other, 'localhost.key'), dkim)
        found = problems()
        assert len(found) == 2, found
        assert 'mox.conf:%d: ' % line_of('mox.conf', 'CertFile') in found[0] and 'localhost.crt' in found[0], found
        assert 'domains.conf:%d: ' % line_of('domains.conf', 'PrivateKeyFile') in found[1], found
        assert 'DKIM signs with RSA or ed25519' in found[1], found
        run('openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:512', '-out', dkim)
        assert 'RSA keys have 1024 bits or more' in problems()[1]
        with open(dkim, 'w') as f:
            f.write('-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n')
        assert 'no private key in PEM' in problems()[1]
        for name in ('localhost.crt', 'localhost.key', os.path.basename(dkim)):
            shutil.copy(os.path.join(other, name), os.path.join(s.dir, name))
        assert s.command('config', 'test')[:2] == (0, 'config OK\n')


@test
def localserve_says_where_it_is():
    with running() as s:
        log = s.log_text()
        assert '    SMTP       %s:1025, ' % s.ip in log and 'localhost:' not in log[log.index('mox localserve, '):], log[-1000:]
        process = s.process
        s.stop(signal.SIGHUP)  # the terminal is closed
        assert process.returncode == signal.SIGHUP and not os.path.exists(os.path.join(s.dir, 'data', 'ctl'))
        r = run(MOX, 'localserve', '-dir', s.dir, '-ip', '127.0.0.1', '-initonly')
        assert '-ip is for a new directory' in r.stderr, r.stderr


@test
def domains_conf_is_picked_up():
    with running() as s:
        path = os.path.join(s.dir, 'domains.conf')
        good = open(path).read()

        def write(text):
            with open(path + '.new', 'w') as f:
                f.write(text)
            os.rename(path + '.new', path)

        write(good + 'Nonsense: 1\n')
        s.wait_log('the previous one stays in use')
        s.imap().logout()
        write('# a comment\n' + good.replace('\t\t\tmox@localhost: nil', '\t\t\tmox@localhost: nil\n\t\t\tann@localhost: nil'))
        s.wait_log('domains config reloaded')
        tries = iter(range(10000))

        def ann_logs_in():
            """From another network each time: who fails ten times a minute is not heard any more."""
            n = next(tries)
            w = Wire(socket.create_connection((s.ip, IMAP), timeout=WAIT, source_address=('127.%d.%d.1' % (200 + n // 30 % 50, n % 30 * 8), 0)))
            w.line()
            w.write('a LOGIN ann@localhost %s\r\n' % PASSWORD)
            return w.imap_until('a')[-1].startswith('a OK')

        eventually(ann_logs_in)  # auth takes it over after the monitor has said so


@test
def accounts_and_addresses_by_command():
    """Each change is in effect when its command returns, and domains.conf keeps what its author wrote."""
    with running() as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('Accounts:\n', '# People.\nAccounts:\n'))
        os.chmod(path, 0o640)

        def ok(*words):
            code, out, err = s.command('config', *words)
            assert code == 0 and not err, (words, out, err)
            return out

        def refused(say, *words):
            code, out, err = s.command('config', *words)
            assert code == 1 and not out and err.startswith('mox: ') and say in err and err.count('\n') == 1, \
                (words, out, err)

        def ann():
            c = s.imap(login=False)
            c.login('ann@localhost', 'ann has a word')
            return c

        assert ok('account', 'list') == 'mox\n'
        assert 'mox setaccountpassword ann' in ok('account', 'add', 'ann', 'ann@localhost')
        refused('there is an account', 'account', 'add', 'ann', 'ann3@localhost')
        refused('is an address of account "ann"', 'account', 'add', 'eve', 'Ann@localhost')
        assert s.command('setaccountpassword', 'ann', input='ann has a word\n')[0] == 0
        ann().logout()
        ok('address', 'add', 'info@localhost', 'ann')
        assert ok('account', 'addresses', 'ann') == 'ann@localhost\ninfo@localhost\n'
        run('swaks', '--server', f'{s.ip}:1025', '--to', 'info@localhost', '--from', 'x@example.org', '--body', 'b1')
        ok('alias', 'add', 'team@localhost', 'mox@localhost', 'info@localhost')
        assert ok('alias', 'list', 'localhost') == 'team@localhost\n'
        run('swaks', '--server', f'{s.ip}:1025', '--to', 'team@localhost', '--from', 'x@example.org', '--body', 'b2')
        ok('alias', 'update', '-postpublic', 'false', '-allowmsgfrom=true', 'team@localhost')
        assert ok('alias', 'print', 'team@localhost').splitlines() == [
            '# postpublic false', '# listmembers false', '# allowmsgfrom true', '# members:',
            'mox@localhost', 'info@localhost']
        r = run('swaks', '--server', f'{s.ip}:1025', '--to', 'team@localhost', '--from', 'x@example.org',
                '--body', 'b3', ok=False)
        assert '\n<** 550' in r.stdout or '\n<** 554' in r.stdout, r.stdout
        ok('alias', 'rmaddr', 'team@localhost', 'mox@localhost')
        refused('the last member', 'address', 'rm', 'info@localhost')
        ok('alias', 'addaddr', 'team@localhost', 'mox@localhost')
        ok('address', 'rm', 'info@localhost')
        ok('alias', 'rm', 'team@localhost')
        c = ann()
        assert c.select('INBOX')[1] == [b'2']
        ok('account', 'disable', 'ann', 'on leave until May')
        assert ok('account', 'list') == 'ann\t(disabled)\nmox\n'
        try:
            ann()
            assert False, 'a disabled account logs in'
        except imaplib.IMAP4.error as e:
            assert 'on leave until May' in str(e)
        ok('account', 'enable', 'ann')
        mail = os.path.join(s.dir, 'data', 'accounts', 'ann')
        assert os.path.exists(mail)
        for account in ('ann', 'mox'):
            assert s.command('queue', 'suppress', 'add', account, 'gone@else.example')[0] == 0
        # Mail that waits would be told about to nobody.
        assert s.command('queue', 'holdrules', 'add', '-account', 'ann')[0] == 0
        ok('address', 'add', 'second@localhost', 'ann')
        for sender in ('ann', 'second+x'):
            run('swaks', '--server', f'{s.ip}:1587', '--to', 'mox@localhost', '--from', sender + '@localhost',
                '--auth', 'PLAIN', '--auth-user', 'ann@localhost', '--auth-password', 'ann has a word')
        refused('messages of second+x@localhost wait', 'address', 'rm', 'Second@localhost')
        assert s.command('queue', 'drop', '-from', 'second')[1] == '1 message(s) dropped\n'
        ok('address', 'rm', 'second@localhost')
        ok('address', 'add', 'key@localhost', 'ann')
        stem = os.path.join(s.dir, 'client')
        run(MOX, 'config', 'tlspubkey', 'gen', stem)
        cert = [n for n in os.listdir(s.dir) if n.startswith('client.') and n.endswith('.certificate.pem')][0]
        with open(os.path.join(s.dir, cert)) as f:
            code, out, err = s.command('config', 'tlspubkey', 'add', 'key@localhost', input=f.read())
        assert code == 0, err
        refused('logs in as key@localhost', 'address', 'rm', 'KEY@localhost')
        # Its client is told, and its mail is gone when its process is.
        ok('account', 'rm', 'ann')
        assert b'BYE' in c.readline()
        s.wait_log('account and its mail removed')
        assert not os.path.exists(mail)
        # What auth and queue knew of it is gone as well: another of its name is another.
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'auth', 'auth.db'), timeout=WAIT)) as db:
            for table in ('credential', 'scram', 'client_key', 'login_attempt'):
                assert db.execute('SELECT count(*) FROM %s WHERE account = ?' % table, ('ann',)).fetchone() == (0,), table
        assert 'ann@' not in s.command('queue', 'list')[1]
        assert s.command('queue', 'suppress', 'list')[1].count('"mox"') == 1
        assert s.command('queue', 'suppress', 'list')[1].count('"ann"') == 0
        refused('no account "ann"', 'account', 'rm', 'ann')
        refused("it is the postmaster's account", 'account', 'rm', 'mox')
        os.mkdir(mail)
        refused('mail of a former account', 'account', 'add', 'ann', 'ann@localhost')
        ok('domain', 'disable', 'localhost')
        r = run('swaks', '--server', f'{s.ip}:1025', '--to', 'mox@localhost', '--from', 'x@example.org', ok=False)
        assert '<** 450 4.2.1' in r.stdout, r.stdout
        ok('domain', 'enable', 'localhost')
        refused('has the address', 'domain', 'rm', 'localhost')
        # A domain has its keys, signs at once, and takes mail.
        refused('with a localpart it is made', 'domain', 'add', 'new.example', 'eve')
        assert 'new keys for DKIM' in ok('domain', 'add', 'new.example', 'eve', 'eve')
        refused('there is a domain', 'domain', 'add', 'NEW.example', 'mox')
        keys = sorted(os.listdir(os.path.join(s.dir, 'dkim')))
        year = time.strftime('%Y', time.gmtime())
        assert [k.split('.')[0] for k in keys] == [year + 'a', year + 'b'], keys
        assert 'TXT v=DKIM1' in run(MOX, 'dkim', 'txt', input=open(os.path.join(s.dir, 'dkim', keys[0])).read()).stdout
        assert s.command('setaccountpassword', 'eve', input='eve has a word\n')[0] == 0
        run('swaks', '--server', f'{s.ip}:1587', '--to', 'eve@new.example', '--from', 'eve@new.example',
            '--auth', 'PLAIN', '--auth-user', 'eve@new.example', '--auth-password', 'eve has a word')
        c = s.imap(login=False)
        c.login('eve@new.example', 'eve has a word')
        deadline = time.monotonic() + WAIT
        while c.select('INBOX')[1] == [b'0']:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert b'DKIM-Signature: ' in c.fetch('1', 'BODY.PEEK[HEADER]')[1][0][1]
        c.logout()
        ok('domain', 'add', '-disabled', 'other.example', 'eve')
        assert 'postmaster@other.example\n' in ok('account', 'addresses', 'eve')
        ok('address', 'rm', 'postmaster@other.example')
        keys_of_other = sorted(k for k in os.listdir(os.path.join(s.dir, 'dkim')) if '.other.example.' in k)
        ok('domain', 'rm', 'other.example')
        assert len(keys_of_other) == 2 and sorted(os.listdir(os.path.join(s.dir, 'dkim', 'old'))) == keys_of_other
        assert sorted(os.listdir(os.path.join(s.dir, 'dkim'))) == sorted(keys + ['old'])
        refused('has the reports for new.example', 'account', 'rm', 'eve')
        # One with letters of its own, by either of its names.
        ok('domain', 'add', 'münchen.example', 'mox')
        refused('there is a domain', 'domain', 'add', 'xn--mnchen-3ya.example', 'mox')
        ok('address', 'add', 'jörg@xn--mnchen-3ya.example', 'mox')
        run('swaks', '--server', f'{s.ip}:1025', '--to', 'postmaster@xn--mnchen-3ya.example', '--from', 'x@example.org')
        assert 'xn--mnchen-3ya.example.' in ok('dnsrecords', 'münchen.example')
        ok('address', 'rm', 'jörg@münchen.example')
        ok('domain', 'rm', 'münchen.example')
        # What has several faults is told of the first, and of how many there are.
        ok('account', 'add', 'third', 'third@localhost')
        for alias in ('one', 'two'):
            ok('alias', 'add', alias + '@new.example', 'mox@localhost', 'third@localhost')
        refused('(the first of 2)', 'account', 'rm', 'third')
        for alias in ('one', 'two'):
            ok('alias', 'rm', alias + '@new.example')
        ok('account', 'rm', 'third')
        with open(path) as f:
            now = f.read()
        start, end = now.index('\tnew.example:'), now.index('# People.')
        now = now[:start] + now[end:]
        start = now.index('\teve:')
        end = now.index('WebHandlers:')
        assert now[:start] + now[end:] == text.replace('Accounts:\n', '# People.\nAccounts:\n')
        assert os.stat(path).st_mode & 0o777 == 0o640
        assert sorted(os.listdir(s.dir)).count('domains.conf.new') == 0
        # Nobody writes over what somebody else has changed in the meantime, and no broken file is edited.
        with open(path, 'a') as f:
            f.write('Nonsense\n')
        refused('domains.conf has errors', 'account', 'add', 'eve', 'eve@localhost')


class LoneAdmin(LoneRole):
    """admin, whose monitor, auth and queue we are."""

    def __init__(self, dir):
        def memory(data):
            fd = os.memfd_create('config')
            os.write(fd, data)
            return fd
        self.dir, self.memory, self.commands = dir, memory, []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(dir + '/ctl')
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(dir + '/ctl')
        self.listener.listen()
        config = memory(encode_record('settings', hostname='mail.example', postmaster='mox'))
        data = os.open(dir + '/admin', os.O_DIRECTORY)
        super().__init__('admin', [('config', [config, data], {'number': 1}), ('listen', [self.listener.fileno()], {})])
        os.close(config)
        os.close(data)

    def command(self, *lines):
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(WAIT)
        c.connect(self.dir + '/ctl')
        w = Wire(c)
        self.commands.append(w)  # one that has gone is not answered
        assert w.line() == 'ctlv0'
        w.write('\n'.join(lines + ('',)))
        return w

    def change(self, *lines, text):
        """A change of domains.conf as far as the monitor has been asked to write it, if it is."""
        c = self.command(*lines)
        name, m, _ = self.monitor.hear()
        assert name == 'domains_read', (name, m)
        fd = self.memory(text)
        self.monitor.send('domains_text', [fd], request=m['request'], version=7)
        os.close(fd)
        return c

    def asked(self, peer, what, **fields):
        name, m, fds = peer.hear()
        assert name == what and all(m[k] == v for k, v in fields.items()), (name, m)
        for fd in fds:
            os.close(fd)
        return m


@test
def a_removal_that_was_broken_off_goes_on():
    """admin is killed at each step of it; its peers are played here, so that each step is known to have come."""
    text = b'Domains:\n\tx.example: nil\nAccounts:\n' + b''.join(
        b'\t%s:\n\t\tDomain: x.example\n\t\tDestinations:\n\t\t\t%s@x.example: nil\n' % (n, n) for n in (b'ann', b'mox'))
    without = text.replace(text[text.index(b'\tann'):text.index(b'\tmox')], b'')
    dir = tempfile.mkdtemp(prefix='mox-removal-')
    os.mkdir(dir + '/admin')

    @contextlib.contextmanager
    def admin():
        with LoneAdmin(dir) as a:
            a.auth, a.queue = a.peer('AUTH', 1), a.peer('QUEUE', 2)
            yield a
        a.listener.close()

    def done(a):
        """What it was told before has been handled."""
        assert a.command('accountlist') and a.asked(a.monitor, 'domains_read')

    def is_refused(a, why, *lines):
        answer = a.change(*lines, text=without).line() if lines[0] == 'accountadd' else a.command(*lines).line()
        assert why in answer, answer
    try:
        # Before domains.conf was changed: it stays an account, and can be removed again.
        with admin() as a:
            a.change('accountrm', 'ann', text=text)
            a.asked(a.monitor, 'domains_write', removed_account=b'ann')
            assert 'is being removed' in a.change('accountrm', 'ann', text=text).line()
        with admin() as a:
            a.asked(a.monitor, 'account_erase', account=b'ann')
            a.monitor.send('account_erased', account='ann', outcome=1)
            c = a.change('accountrm', 'ann', text=text)
            m = a.asked(a.monitor, 'domains_write', removed_account=b'ann')
            # When the change is refused, too.
            a.monitor.send('domains_written', request=m['request'], is_ok=0, text='config error: why')
            assert c.line() == 'config error: why'
            a.change('accountrm', 'ann', text=text)
            a.asked(a.monitor, 'domains_write', removed_account=b'ann')
        # After it: nobody has heard of it yet, then auth has not answered, then queue.
        with admin() as a:
            a.asked(a.monitor, 'account_erase', account=b'ann')
            is_refused(a, 'is being removed', 'accountadd', 'ann', 'ann@x.example')
            is_refused(a, 'goes first', 'setaccountpassword', 'ann', 'a new password')
            a.monitor.send('account_erased', account='ann', outcome=0)
            a.asked(a.auth, 'forget_account', account=b'ann', is_anew=0)
        with admin() as a:
            a.asked(a.monitor, 'account_erase', account=b'ann')
            a.asked(a.auth, 'forget_account', account=b'ann', is_anew=0)
            a.auth.send('admin_reply', is_ok=1)
            m = a.asked(a.queue, 'queue_command', value=b'ann', after=0)
            a.queue.send('admin_reply', is_ok=1, more=5)
            a.asked(a.queue, 'queue_command', verb=m['verb'], value=b'ann', after=5)
        with admin() as a:
            a.asked(a.monitor, 'account_erase', account=b'ann')
            a.asked(a.auth, 'forget_account', account=b'ann')
            a.auth.send('admin_reply', is_ok=1)
            a.asked(a.queue, 'queue_command', value=b'ann', after=0)
            a.queue.send('admin_reply', is_ok=1)
            done(a)
        # Its mail is what is left; auth and queue hear no more of it.
        with admin() as a:
            a.asked(a.monitor, 'account_erase', account=b'ann')
            is_refused(a, 'is being removed', 'accountadd', 'ann', 'ann@x.example')
            a.monitor.send('account_erased', account='ann', outcome=0)
            a.change('accountadd', 'ann', 'ann@x.example', text=without)
            a.asked(a.monitor, 'domains_write', added_account=b'ann')
            c = a.command('setaccountpassword', 'ann', 'a new password')
            a.asked(a.auth, 'set_password')
            a.auth.send('admin_reply', is_ok=1)
            assert c.line() == 'ok'
            # One that goes without being disturbed; auth fails at first.
            c = a.change('accountrm', 'ann', text=text)
            m = a.asked(a.monitor, 'domains_write', removed_account=b'ann')
            a.monitor.send('domains_written', request=m['request'], is_ok=1)
            a.asked(a.monitor, 'account_erase', account=b'ann')
            a.asked(a.auth, 'forget_account', account=b'ann', is_anew=0)
            a.auth.send('admin_reply', is_ok=0, text='a full disk')
            answer = c.line()
            assert answer.startswith('the account is gone, and ') and answer.endswith(': a full disk'), answer
            a.monitor.send('account_erased', account='ann', outcome=0)
            a.asked(a.auth, 'forget_account', is_anew=0)
            # It is written into domains.conf again after its mail was erased, and before auth has forgotten it.
            a.auth.send('admin_reply', is_ok=0, text='account ann is in the configuration')
            done(a)
            auth = a.peer('AUTH', 3)
            a.asked(a.monitor, 'account_erase', account=b'ann')
            a.asked(auth, 'forget_account')
            auth.send('admin_reply', is_ok=0, text='account ann is in the configuration')
            a.monitor.send('account_erased', account='ann', outcome=1)
            a.asked(auth, 'forget_account', account=b'ann', is_anew=1)
        # Somebody has written it into domains.conf again meanwhile: it is another.
        with admin() as a:
            a.asked(a.monitor, 'account_erase', account=b'ann')
            a.asked(a.auth, 'forget_account', is_anew=0)
            a.auth.send('admin_reply', is_ok=0, text='account ann is in the configuration')
            a.monitor.send('account_erased', account='ann', outcome=1)
            a.asked(a.auth, 'forget_account', account=b'ann', is_anew=1)
            a.auth.send('admin_reply', is_ok=1)
            a.asked(a.queue, 'queue_command', value=b'ann')
            a.queue.send('admin_reply', is_ok=1)
            done(a)
        with admin() as a:
            a.change('accountrm', 'ann', text=text)
            a.asked(a.monitor, 'domains_write', removed_account=b'ann')
    finally:
        shutil.rmtree(dir)


@test
def what_an_admin_asked_that_has_ended_is_not_answered_to_another():
    """An account goes on with its work when admin ends, and its answer comes to the next."""
    dir = tempfile.mkdtemp(prefix='mox-admin-')
    os.mkdir(dir + '/admin')
    asked = []
    try:
        for account in ('ann', 'mox'):
            with LoneAdmin(dir) as a:
                c = a.command('reparse', account)
                m = a.asked(a.monitor, 'account_task', account=account.encode())
                for earlier in asked:
                    a.monitor.send('account_progress', request=earlier, n=1, all=2)
                    a.monitor.send('account_done', request=earlier, is_ok=1, text='of ann')
                asked.append(m['request'])
                a.monitor.send('account_done', request=m['request'], is_ok=1, text=f'of {account}')
                assert (c.line(), c.line()) == ('ok', str(len(f'of {account}'))) and c.line().startswith(f'of {account}')
            a.listener.close()
    finally:
        shutil.rmtree(dir)


@test
def a_removed_account_leaves_nothing_to_the_next_of_its_name():
    """The server dies when domains.conf has changed and nobody has heard of it."""
    with running() as s:
        def config(*words, input=None):
            return s.command('config', *words, input=input)

        def login(password):
            c = s.imap(login=False)
            c.login('ann@localhost', password)
            return c
        assert config('account', 'add', 'ann', 'ann@localhost')[0] == 0
        assert s.command('setaccountpassword', 'ann', input='an old password\n')[0] == 0
        run(MOX, 'config', 'tlspubkey', 'gen', os.path.join(s.dir, 'client'))
        cert, = [n for n in os.listdir(s.dir) if n.startswith('client.') and n.endswith('.certificate.pem')]
        with open(os.path.join(s.dir, cert)) as f:
            assert config('tlspubkey', 'add', 'ann@localhost', input=f.read())[0] == 0
        s.send(to='ann@localhost')
        login('an old password').logout()
        assert s.command('queue', 'holdrules', 'add', '-account', 'ann')[0] == 0
        run('swaks', '--server', f'{s.ip}:1587', '--to', 'mox@localhost', '--from', 'ann@localhost',
            '--auth', 'PLAIN', '--auth-user', 'ann@localhost', '--auth-password', 'an old password')
        assert 'ann@' in s.command('queue', 'list')[1]
        os.kill(s.pids('mox: auth')[0], signal.SIGSTOP)
        path = os.path.join(s.dir, 'domains.conf')
        rm = subprocess.Popen([MOX, '-config', os.path.join(s.dir, 'mox.conf'), 'config', 'account', 'rm', 'ann'], stderr=subprocess.PIPE)
        deadline = time.monotonic() + WAIT
        while '\tann:' in open(path).read():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        s.stop(signal.SIGKILL)
        assert rm.communicate(timeout=WAIT) and rm.returncode == 1
        s.start()
        deadline = time.monotonic() + WAIT
        while True:
            code, out, err = config('account', 'add', 'ann', 'ann@localhost')
            if not code:
                break
            assert 'is being removed' in err and time.monotonic() < deadline, err
        try:
            login('an old password')
            assert False, 'the old password is good'
        except imaplib.IMAP4.error:
            pass
        assert 'ann' not in config('tlspubkey', 'list')[1]
        assert 'ann@' not in s.command('queue', 'list')[1]
        assert s.command('setaccountpassword', 'ann', input='a new password\n')[0] == 0
        c = login('a new password')
        assert c.select('INBOX')[1] == [b'0']
        c.logout()
        # And that stays so.
        s.stop()
        s.start()
        login('a new password').logout()


@test
def mistakes_are_told_in_one_sentence():
    """What a person gets wrong: one line that says what, and a code that a script can see."""
    def refused(s, words, say, input=None):
        code, out, err = s.command(*words.split(), input=input)
        assert code == 1 and not out and err.startswith('mox: ') and err.count('\n') == 1 and say in err, (words, code, out, err)

    with running() as s:
        run(MOX, 'config', 'tlspubkey', 'gen', os.path.join(s.dir, 'c'))
        for words, say in (
                ('clientconfig none.example', 'no domain "none.example"'), ('config dnscheck none.example', 'no domain "none.example"'),
                ('config alias list none.example', 'no domain "none.example"'), ('config account addresses eve', 'no account "eve"'),
                ('config address account x@localhost', 'no account has the address'), ('retrain eve', 'no such account'),
                ('config domain add new.example eve', 'with a localpart it is made'), ('queue dump 5', 'no message 5'),
                ('queue suppress add eve a@b.example', 'no account eve'), ('queue holdrules add -account eve', 'no account eve'),
                ('queue transport nowhere', 'no transport "nowhere"'), ('queue requiretls maybe', 'none of yes, no, default'),
                ('queue schedule soon', 'no duration'), ('loglevels loud', 'unknown log level "loud"'),
                ('config tlspubkey get x', '43 letters'), ('message why eve Inbox 1', 'no account "eve"'),
                ('bumpuidvalidity mox', 'stop it first'), ('restore /nonexistent', '/nonexistent is no backup'),
                ('import mbox mox Inbox /nonexistent', 'No such file'), ('cid 5', '22 characters'),
                ('config account add %s ab@localhost' % ('y' * 300), 'too long'), ('retrain ' + 'y' * 300, 'too long'),
                ('import mbox %s Inbox /dev/null' % ('y' * 300), 'too long'), ('config tlspubkey list ' + 'y' * 300, 'too long'),
                ('checkupdate', 'no Updates section'), ('dmarc suppress add a@b.example soon', 'number of days'),
                ('dmarc suppress add nobody 5', '"nobody" is no address'), ('tlsrpt suppress add b.example 5', 'is no address')):
            refused(s, words, say)
        assert 'too long' in s.command('setaccountpassword', 'y' * 300, input='password1\n')[2]
        assert 'misbehaves' not in s.log_text()  # nobody was ended for it
        refused(s, 'config tlspubkey add mox@localhost', 'no certificate in PEM', input='')
        refused(s, 'dmarc verify 192.0.2.1 a@b.example b.example', 'has 0 From fields, not one', input='')
        assert run(MOX, 'dns', 'lookup', 'mx', ok=False).returncode == 2
        s.send()
        assert s.command('retrain')[:2] == (0, '')
        s.stop()
        for words in ('stop', 'queue list', 'config account list', 'loglevels', 'retrain mox', 'dmarc listreports'):
            refused(s, words, 'no server is running: connecting to control socket at ')
        os.chmod(s.dir, 0o711)
        for words in ('config test', 'queue list', 'clientconfig localhost', 'backup /tmp/none'):  # somebody else
            r = run('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', MOX, '-config', os.path.join(s.dir, 'mox.conf'),
                    *words.split(), ok=False)
            assert r.returncode == 1 and r.stderr == 'mox: %s/mox.conf: Permission denied\n' % s.dir, r
        with open(os.path.join(s.dir, 'domains.conf'), 'a') as f:
            f.write('Nonsense\n')
        refused(s, 'config dnsrecords localhost', 'see "mox config test"')
    r = run(MOX, '-config', '/nonexistent/mox.conf', 'queue', 'list', ok=False)
    assert r.returncode == 1 and r.stderr == 'mox: there is no /nonexistent/mox.conf: -config names another, "mox quickstart" makes one\n', r.stderr


@test
def dnsrecords_are_a_zone():
    """What is printed is read by NSD, says what the configuration has, and our own commands understand it."""
    with running() as s:
        s.command('config', 'domain', 'add', 'new.example', 'eve', 'eve')
        key = os.path.join(s.dir, 'host.pem')
        run('openssl', 'genpkey', '-quiet', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key)
        path = os.path.join(s.dir, 'mox.conf')
        with open(path) as f:
            text = f.read().replace('Hostname: localhost', 'Hostname: mx.new.example')
        text = text.replace('\t\tTLS:\n', '\t\tNATIPs:\n\t\t\t- 192.0.2.7\n\t\t\t- 2001:db8::7\n\t\tTLS:\n'
                            '\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- host.pem\n', 1)
        with open(path, 'w') as f:
            f.write(text)
        code, zone, err = s.command('config', 'dnsrecords', 'NEW.example')
        assert code == 0, err
        zone = zone.replace(';; ', '')  # as with DNSSEC
        with open(os.path.join(s.dir, 'zone'), 'w') as f:
            f.write('new.example. 300 SOA ns.new.example. a.new.example. 1 2 3 4 5\nnew.example. NS ns.example.\n' + zone)
        run('nsd-checkzone', 'new.example', os.path.join(s.dir, 'zone'))
        records = run('ldns-read-zone', os.path.join(s.dir, 'zone')).stdout
        records = [l.split(None, 4) for l in records.splitlines()]
        of = {(r[0], r[3]): r[4] for r in records}
        assert of['new.example.', 'MX'] == '10 mx.new.example.'
        spf = of['new.example.', 'TXT'].strip('"')
        assert spf == 'v=spf1 ip4:192.0.2.7 ip6:2001:db8::7 mx ~all'
        run(MOX, 'spf', 'parse', spf)
        spki = run('openssl', 'pkey', '-in', key, '-pubout').stdout
        der = base64.b64decode(''.join(spki.splitlines()[1:-1]))
        assert of['_25._tcp.mx.new.example.', 'TLSA'] == '3 1 1 ' + hashlib.sha256(der).hexdigest()
        year = time.strftime('%Y', time.gmtime())
        for letter in 'ab':
            txt = of['%s%s._domainkey.new.example.' % (year, letter), 'TXT'].replace('"', '').replace(' ', '')
            name = [k for k in os.listdir(s.dir + '/dkim') if k.startswith(year + letter)][0]
            with open(os.path.join(s.dir, 'dkim', name)) as f:
                assert txt.split('p=')[1] == run(MOX, 'dkim', 'txt', input=f.read()).stdout.split('p=')[1].strip()
        assert of['_dmarc.new.example.', 'TXT'] == '"v=DMARC1;p=reject;rua=mailto:dmarcreports@new.example!10m"'
        assert of['_imaps._tcp.new.example.', 'SRV'] == '0 1 993 mail.new.example.'
        assert of['mail.new.example.', 'CNAME'] == 'mx.new.example.'
        code, out, err = s.command('config', 'dnsrecords', 'none.example')
        assert (code, out) == (1, '') and 'no domain "none.example"' in err, err


@test
def message_parse_shows_the_structure():
    text = 'Subject: =?utf-8?q?x=C3=A9?=\nFrom: a <b@c>\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhi\n--b--\n'
    out = json.loads(run(MOX, 'message', 'parse', '-', input=text).stdout)
    assert out['envelope']['subject'] == 'x\u00e9' and out['subtype'] == 'mixed' and len(out['parts']) == 1
    assert out['envelope']['from'] == [{'name': 'a', 'address': 'b@c'}]
    assert run(MOX, 'message', 'parse', '/nonexistent', ok=False).returncode == 1
    for text, needs in ((text, 'false'), (text.replace('\nhi', '\nhï'), 'false'), ('X: é\n\nhi\n', 'true'),
                        (text.replace('--b\n\n', '--b\nContent-Description: é\n\n'), 'true'),
                        ('Content-Type: message/rfc822\n\nSubject: é\n\nx\n', 'true')):
        lines = run(MOX, 'message', 'parse', '-smtputf8', '-', input=text).stdout.splitlines()
        assert json.loads(lines[0])['envelope'] and lines[1:] == ['message needs smtputf8: ' + needs], (text, lines)


@test
def verifydata_finds_damage():
    with running() as s:
        for i in range(3):
            s.send('message %d' % i)
        assert s.command('verifydata')[0] == 0  # while it runs
        s.stop()
        code, out, err = s.command('verifydata')
        assert code == 0 and out == '1 accounts checked, no problems\n', (out, err)
        db = os.path.join(s.dir, 'data', 'accounts', 'mox', 'account.db')
        run('sqlite3', db, 'UPDATE mailbox SET total = total + 1 WHERE name = \'Inbox\'')
        code, out, err = s.command('verifydata')
        assert code == 1 and 'mox: ' in out, (out, err)
        run('sqlite3', db, 'UPDATE mailbox SET total = total - 1 WHERE name = \'Inbox\'')
        assert s.command('verifydata')[0] == 0
        size = 'UPDATE email SET size = size %s; UPDATE placement SET size = size %s; UPDATE mailbox SET size = size %s * (total > 0); UPDATE account SET used_bytes = used_bytes %s'
        run('sqlite3', db, size % ('+ 1', '+ 1', '+ 3', '+ 3'))
        code, out, err = s.command('verifydata')
        assert code == 1 and out.count('missing or of another length') == 3, (out, err)
        assert s.command('verifydata', '-skip-size-check')[:2] == (0, '1 accounts checked, no problems\n')
        run('sqlite3', db, size % ('- 1', '- 1', '- 3', '- 3'))
        run('sqlite3', db, 'UPDATE chunk SET bytes = zeroblob(length(bytes)) WHERE owner = 2')
        assert s.command('verifydata')[0] == s.command('verifydata', '-skip-size-check')[0] == 1
        # A database that cannot be used is no crash, and says what is wrong.
        run('sqlite3', db, 'PRAGMA user_version = 999')
        s.start()
        r = run('swaks', '--server', f'{s.ip}:1025', '--from', 'a@else.example', '--to', 'mox@localhost', ok=False)
        assert '<** 451 4.3.0' in r.stdout, r.stdout[-300:]
        eventually(lambda: 'written by a newer mox' in s.log_text())
        s.stop()
        assert 'crashed' not in s.log_text(), s.log_text()[-2000:]


@test
def only_one_server_per_directory():
    with running() as s:
        other = subprocess.Popen([MOX, 'localserve', '-dir', s.dir], stderr=subprocess.PIPE, text=True)
        err = other.communicate(timeout=WAIT)[1]
        assert other.returncode == 1 and ('another mox' in err or 'in use' in err), err


@test
def a_late_answer_is_no_other_ones():
    """A role that answers too late is asked nothing meanwhile, and is not given up."""
    with running(env={'MOX_REPLY_MS': '300'}) as s:
        pid = s.pids('mox: queue')[0]
        os.kill(pid, signal.SIGSTOP)
        code, out, err = s.command('queue', 'list')
        assert (code, err) == (1, 'mox: the queue process did not answer in time\n'), (out, err)
        code, out, err = s.command('queue', 'suppress', 'list')
        assert code == 1 and 'still busy' in err, (out, err)

        def answered(*args):
            """What it says in time: on a busy machine the others may be late, too."""
            def ask():
                code, out, err = s.command(*args)
                assert not code or 'still busy' in err or 'did not answer in time' in err, err
                return not code and out
            return eventually(ask, args)

        answered('config', 'tlspubkey', 'list')  # another role's
        os.kill(pid, signal.SIGCONT)
        out = answered('queue', 'suppress', 'list')
        assert 'messages' not in out, out  # what the first one asked for
        assert answered('queue', 'list') == 'messages:\n(none)\n'
        assert s.pids('mox: queue') == [pid]


@test
def roles_come_back_after_a_crash():
    with running() as s:
        for role in ('keys', 'dkim', 'auth', 'queue', 'front', 'session-template', 'account-template',
                     'admin'):
            s.submit()
            s.imap().logout()
            start = len(s.log_text())
            old = s.pids('mox: ' + role)
            os.kill(old[0], signal.SIGKILL)
            s.wait_log('role ended unexpectedly', start)
            deadline = time.monotonic() + WAIT
            while True:
                try:
                    s.send('after %s' % role)
                    s.submit('after %s' % role)
                    s.imap(tls=True).logout()
                    assert s.command('queue', 'list')[0] == 0 and s.pids('mox: ' + role)
                    break
                except (AssertionError, OSError, imaplib.IMAP4.error, smtplib.SMTPException):
                    assert time.monotonic() < deadline, role
                    time.sleep(0.05)
            assert s.pids('mox: ' + role) != old, role


@test
def a_crashed_session_hurts_nobody_else():
    with running() as s:
        other = s.connect(SMTP)
        other.smtp_hello()
        w = s.connect(IMAP)
        w.line()
        deadline = time.monotonic() + WAIT
        while not s.pids('mox: session imap'):
            assert time.monotonic() < deadline
        os.kill(s.pids('mox: session imap')[0], signal.SIGSEGV)
        assert w.at_end()
        s.wait_log('session crashed')
        other.cmd('NOOP', '250')
        s.send()


main('admin')
