"""Setting up a server: quickstart, what it writes and prints, verbs for the administrator."""
import json
import pwd
import sqlite3
import stat

from fresh import *
from https_server import Web


@contextlib.contextmanager
def directory():
    d = tempfile.mkdtemp(prefix='mox-setup-')
    os.chmod(d, 0o711)
    try:
        yield d
    finally:
        shutil.rmtree(d, ignore_errors=True)


def tree(d):
    return sorted(os.path.relpath(os.path.join(at, f), d) for at, _, files in os.walk(d) for f in files)


def mode(*path):
    return stat.S_IMODE(os.stat(os.path.join(*path)).st_mode)


@test
def quickstart_works_without_a_network():
    with directory() as d:
        r = mox('quickstart', '-skipdial', '-hostname', HOST, 'Ann@' + DOMAIN, USER, cwd=d)
        assert 'WARNING: the DNS gives no answer' in r.stdout and not r.stderr, r.stdout
        # Whoever starts it finds all that is named, and nobody else reads keys and passwords.
        assert mox('config', 'test', cwd=d).stdout == 'config OK\n'
        for path in tree(d):
            if 'key' in path or 'passw' in path or path.endswith(('.db', '.log')):
                assert mode(d, path) == 0o600, path
        assert mode(d, 'config') == 0o750 and mode(d, 'mox.service') == 0o644
        admin = re.search('^Admin password: (.{12})$', r.stdout, re.M).group(1)
        account = re.search('^Password of ann@fresh.example: (.{12})$', r.stdout, re.M).group(1)
        log = read(d, 'quickstart.log')
        for secret in (admin, account):
            assert r.stdout.count(secret) == 1 and secret not in log
        assert log == r.stdout.replace(admin, '(shown on the terminal only)').replace(
            account, '(shown on the terminal only)')
        assert 'useradd' not in r.stdout  # USER is there
        conf = read(d, 'config', 'mox.conf')
        assert 'User: %s\n' % USER in conf and '\t\t\t- 0.0.0.0\n' in conf, conf
        # On all addresses, port 80 is there once.
        assert conf.count('Port: 1080') == 4, conf
        # Everything that is printed is a zone, as with "config dnsrecords".
        zone = r.stdout[r.stdout.index('; DNS records of'):r.stdout.index('A unit for systemd')].strip()
        assert zone == mox('config', 'dnsrecords', DOMAIN, cwd=d).stdout.strip()
        for record in ('mta-sts.fresh.example. .* CNAME mx.fresh.example', 'CAA 0 issue "letsencrypt.org"',
                       '_mta-sts.fresh.example. .* TXT "v=STSv1; id=', ';; _25._tcp.mx.fresh.example. .* TLSA 3 1 1 '):
            assert re.search(record, zone), (record, zone)
        table = mox('clientconfig', DOMAIN, cwd=d).stdout
        assert table in r.stdout and re.search('IMAP +mail.fresh.example +993 +public +with TLS\n', table), table
        # It is for new installations.
        r = mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, cwd=d, code=1)
        assert r.stderr == 'mox: config/mox.conf is there already: quickstart is for a new installation\n', r.stderr
        assert read(d, 'config', 'mox.conf') == conf


@test
def quickstart_takes_back_what_it_made():
    with directory() as d:
        open(os.path.join(d, 'mox.service'), 'w').write('mine')  # it is made last
        r = mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d, code=1)
        assert r.stderr.endswith('mox.service is there already\n'), r.stderr
        assert tree(d) == ['mox.service'] and os.listdir(d) == ['mox.service'], tree(d)
        assert read(d, 'mox.service') == 'mine'
        # Passwords that were there before are not what it made.
        old = os.path.join(d, 'data', 'auth', 'auth.db')
        os.makedirs(os.path.dirname(old))
        with sqlite3.connect(old):
            pass
        mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d, code=1)
        assert os.path.exists(old) and tree(d)[-1] == 'mox.service', tree(d)
        shutil.rmtree(os.path.join(d, 'data'))
        os.mkdir(os.path.join(d, 'config'))
        open(os.path.join(d, 'config', 'adminpasswd'), 'w').write('mine')
        r = mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d, code=1)
        assert 'adminpasswd is there already' in r.stderr, r.stderr
        assert tree(d) == ['config/adminpasswd', 'mox.service'], tree(d)
        for words, say in ((['ann'], 'is no email address'), (['ann@a..b'], 'ann@a..b'),
                           (['-hostname', 'short', 'ann@' + DOMAIN], 'must be a full name'),
                           (['a:b@' + DOMAIN], 'a:b@'), (['ann@' + DOMAIN, 'root'], 'another than root')):
            r = mox('quickstart', '-skipdial', *words, cwd=d, code=1)
            assert say in r.stderr, (words, r.stderr)
        assert tree(d) == ['config/adminpasswd', 'mox.service'], tree(d)


@test
def strings_of_records_are_not_too_long():
    with directory() as d:
        mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d)
        path = os.path.join(d, 'config', 'mox.conf')
        text = read(path)
        ips = ['2001:db8:1:2:3:4:5:%x' % i for i in range(1, 13)]
        with open(path, 'w') as f:  # of the first listener
            f.write(re.sub(r'(\t\tIPs:\n)(\t\t\t- .*\n)+', lambda m: m[1] + ''.join('\t\t\t- %s\n' % ip for ip in ips), text, count=1))
        out = mox('config', 'dnsrecords', DOMAIN, cwd=d).stdout
        assert all(len(s) <= 255 for s in re.findall('"([^"]*)"', out)), out
        blocks = [''.join(re.findall('"([^"]*)"', b)) for b in re.findall(r'TXT \(((?:\s+"[^"]*")+) \)', out)]
        spf = next(b for b in blocks if b.startswith('v=spf1'))
        assert spf == 'v=spf1 ' + ''.join('ip6:%s ' % ip for ip in ips) + 'mx ~all', spf


@test
def quickstart_beside_a_web_server():
    with directory() as d:
        r = mox('quickstart', '-skipdial', '-existing-webserver', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d)
        assert 'put the paths of your certificates into mox.conf' in r.stdout
        assert not os.path.exists(os.path.join(d, 'config', 'hostkeys'))
        r = mox('config', 'test', cwd=d, code=1)
        assert r.stderr.count('path/to/') == 10 and 'mail.fresh.example-chain.crt.pem' in r.stderr, r.stderr
        conf = read(d, 'config', 'mox.conf')
        assert 'ACME' not in conf.replace('ACME client', '') and conf.count('Forwarded: true') == 6, conf


@test
def small_verbs():
    with directory() as d:
        mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d)
        old = read(d, 'config', 'adminpasswd')
        r = mox('setadminpassword', cwd=d, input='short\n', code=1)
        assert read(d, 'config', 'adminpasswd') == old
        r = mox('setadminpassword', cwd=d, input='long enough\n')
        assert r.stdout == 'admin password changed\n' and read(d, 'config', 'adminpasswd') != old
        assert mode(d, 'config', 'adminpasswd') == 0o600
        unit = mox('config', 'printservice', cwd=d).stdout
        assert 'ExecStart=%s/mox serve\n' % os.path.realpath(d) in unit and '/home/mox' not in unit
        assert unit == read(d, 'mox.service')
        assert mox('config', 'example', cwd=d).stdout == 'webhandlers\ntransport\n'
        for name, file in (('webhandlers', 'domains.conf'), ('transport', 'mox.conf')):
            text = mox('config', 'example', name, cwd=d).stdout
            whole = read(d, 'config', file)
            open(os.path.join(d, 'config', file), 'a').write(text)
            assert mox('config', 'test', cwd=d).stdout == 'config OK\n'
            open(os.path.join(d, 'config', file), 'w').write(whole)
        assert 'no example "x"' in mox('config', 'example', 'x', cwd=d, code=1).stderr
        # Keys that are there are enough.
        assert 'have keys of both kinds' in mox('config', 'ensureacmehostprivatekeys', cwd=d).stdout
        conf = read(d, 'config', 'mox.conf')
        start = conf.index('\t\t\tHostPrivateKeyFiles:')
        lines = conf[start:].splitlines()[:3]
        ecdsa = [l for l in lines if 'ecdsa' in l]
        open(os.path.join(d, 'config', 'mox.conf'), 'w').write(conf.replace('\n'.join(lines), lines[0] + '\n' + ecdsa[0]))
        os.rename(os.path.join(d, 'config', 'hostkeys'), os.path.join(d, 'config', 'old'))
        os.mkdir(os.path.join(d, 'config', 'hostkeys'), 0o700)
        name = ecdsa[0].strip('\t- ')
        os.rename(os.path.join(d, 'config', name.replace('hostkeys', 'old')), os.path.join(d, 'config', name))
        r = mox('config', 'ensureacmehostprivatekeys', cwd=d)
        made = [f for f in os.listdir(os.path.join(d, 'config', 'hostkeys')) if 'rsa2048' in f]
        assert len(made) == 1 and mode(d, 'config', 'hostkeys', made[0]) == 0o600
        snippet = r.stdout[r.stdout.index('\t\t\tHostPrivateKeyFiles:'):]
        assert '\t\t\t\t- hostkeys/' + made[0] in snippet and ecdsa[0] in snippet, r.stdout
        open(os.path.join(d, 'config', 'mox.conf'), 'w').write(conf.replace('\n'.join(lines), snippet.rstrip()))
        assert 'have keys of both kinds' in mox('config', 'ensureacmehostprivatekeys', cwd=d).stdout
        assert mox('config', 'dnsrecords', DOMAIN, cwd=d).stdout.count('TLSA 3 1 1') == 2
        # What the configuration names is there, or the line that names it is told.
        conf = read(d, 'config', 'mox.conf')
        key = os.path.join(d, 'config', 'hostkeys', made[0])
        open(os.path.join(d, 'config', 'mox.conf'), 'w').write(conf.replace('User: ' + USER, 'User: nobody-of-this-name'))
        r = mox('config', 'test', cwd=d, code=1)
        assert re.match(r'config/mox.conf:\d+: there is no user "nobody-of-this-name"', r.stderr), r.stderr
        open(os.path.join(d, 'config', 'mox.conf'), 'w').write(conf.replace('User: ' + USER, 'User:'))  # as if it were not there
        assert mox('config', 'test', cwd=d).stdout == 'config OK\n'
        open(os.path.join(d, 'config', 'mox.conf'), 'w').write(conf)
        open(key, 'w').write('no key')
        r = mox('config', 'test', cwd=d, code=1)
        assert re.match(r'config/mox.conf:\d+: hostkeys/' + re.escape(made[0]), r.stderr), r.stderr
        os.unlink(key)
        r = mox('config', 'test', cwd=d, code=1)
        assert re.match(r'config/mox.conf:\d+: .*%s: No such file' % re.escape(made[0]), r.stderr), r.stderr


@test
def licenses_are_named():
    text = mox('licenses').stdout
    assert open(os.path.join(ROOT, 'LICENSE')).read() in text, text
    named = {n for l in text.split('# Libraries')[1].splitlines() for n in re.findall(r'^lib\S+, lib\S+|^lib\S+', l)}
    named = {n for two in named for n in two.split(', ')}
    loaded = {m for m in re.findall(r'^\s*(lib[\w-]+)\.so', run('ldd', MOX).stdout, re.M)}
    if not any(n.startswith(('libasan', 'libubsan')) for n in loaded):
        assert loaded <= named, loaded - named
        assert {'libc', 'libssl', 'libsqlite3'} <= loaded, loaded
    assert mox('licenses', 'x', code=2).stderr.startswith('usage: mox licenses')


@test
def help_is_where_people_look_for_it():
    listing = mox('help').stdout
    for word in ('-h', '-help', '--help'):
        assert mox(word).stdout == listing and mox('queue', word).stdout == mox('help', 'queue').stdout
        assert mox('backup', word).stdout == mox('help', 'backup').stdout
    for words, say in ((['queue', 'push', 'x'], 'queue push'), (['nothing'], 'nothing'), (['config', 'account', 'x\x1b'], 'config account x\\027')):
        assert mox(*words, code=2).stderr.startswith('mox: unknown command "%s"\nusage: mox ' % say), words
    assert mox('queue', code=2).stderr.startswith('usage: mox queue list ')


@test
def what_could_not_be_printed_is_no_success():
    """A key that was to be in a file on a full disk, for one: its program said that all is well."""
    with open('/dev/full', 'w') as full:
        for words in (('dkim', 'gened25519'), ('version',), ('helpall',)):
            r = subprocess.run([MOX, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT)
            assert r.returncode == 1 and r.stderr == 'mox: not all that was to be printed could be written\n', (words, r)
        with running() as s:
            s.stop()
            r = subprocess.run([MOX, '-config', os.path.join(s.dir, 'mox.conf'), 'bumpuidvalidity', 'mox'], stdout=full,
                               stderr=subprocess.PIPE, text=True, timeout=WAIT)
            assert r.returncode == 1 and r.stderr.count('\n') == 1, r
    # A reader that has seen enough is no failure to tell of.
    r = subprocess.run('"$MOX" helpall | head -n 1', shell=True, capture_output=True, text=True, env=dict(os.environ, MOX=MOX))
    assert r.stdout == '# mox serve\n' and not r.stderr, r
    # No file that is opened gets a number that is printed to.
    with directory() as d:
        os.mkfifo(d + '/message')
        p = subprocess.Popen([MOX, 'message', 'parse', d + '/message'], preexec_fn=lambda: os.closerange(0, 3))
        with open(d + '/message', 'wb'):  # it waits for this
            assert [os.readlink('/proc/%d/fd/%d' % (p.pid, fd)) for fd in range(3)] == ['/dev/null'] * 3
        assert p.wait(WAIT) == 0


@test
def a_domain_has_letters_of_its_own():
    with directory() as d:
        r = mox('quickstart', '-skipdial', '-hostname', HOST, 'jörg@münchen.example', USER, cwd=d)
        assert not r.stderr and '\nxn--mnchen-3ya.example. ' in r.stdout, r.stderr
        assert mox('config', 'test', cwd=d).stdout == 'config OK\n'
        assert '\tmünchen.example:\n' in read(d, 'config', 'domains.conf')
        assert all(f.isascii() for f in os.listdir(os.path.join(d, 'config', 'dkim')))


@test
def addresses_have_accounts():
    with serving() as s:
        def ask(address):
            return s.command('config', 'address', 'account', address)
        for address, account in (('ann@example.org', 'ann'), ('ANN+tag@Example.ORG', 'ann'), ('bob@example.org', 'bob'),
                                 ('anything@rest.example', 'ann')):
            assert ask(address) == (0, account + '\n', ''), ask(address)
        assert 'is an alias' in ask('team@example.org')[2] and 'no account has' in ask('eve@example.org')[2]


DKIM = '''		DKIM:
			Selectors:
				sel:
					PrivateKeyFile: %s
			Sign:
				- sel
'''


@test
def keys_are_read_below_the_configuration_only():
    """domains.conf can be changed by less than root: what root reads for it are keys that root has put there."""
    with serving() as s, directory() as elsewhere:
        key = run(MOX, 'dkim', 'gened25519').stdout
        os.mkdir(os.path.join(s.dir, 'keys'))
        for path in (os.path.join(s.dir, 'keys', 'in.pem'), os.path.join(elsewhere, 'out.pem')):
            with open(path, 'w') as f:
                f.write(key)
        os.symlink('keys/in.pem', os.path.join(s.dir, 'link-in.pem'))
        os.symlink(os.path.join(elsewhere, 'out.pem'), os.path.join(s.dir, 'link-out.pem'))
        os.symlink(elsewhere, os.path.join(s.dir, 'away'))
        conf = read(s.dir, 'domains.conf')

        def write(path):
            start = len(s.log_text())
            with open(os.path.join(s.dir, 'domains.new'), 'w') as f:
                f.write(conf.replace('\texample.org:\n', '\texample.org:\n' + DKIM % path))
            os.rename(f.name, os.path.join(s.dir, 'domains.conf'))  # what is written in its place can be read half
            s.wait_log('domains config', start)
            return s.log_text(start)

        for path, say in (('keys/in.pem', None), ('link-in.pem', None),
                          (os.path.join(elsewhere, 'out.pem'), 'must be below'), ('../x.pem', 'must be below'),
                          ('keys/../../x.pem', 'must be below'), ('link-out.pem', 'leads out of its directory'),
                          ('away/out.pem', 'leads out of its directory'), ('/proc/self/environ', 'must be below'),
                          ('none.pem', 'No such file')):
            log = write(path)
            if say:
                assert 'the previous one stays in use' in log and say in log, (path, log)
            else:
                assert 'domains config reloaded' in log, (path, log)


@test
def ports_are_open_when_all_is_ready():
    """Whoever connects while the server starts is served, and not told to try later."""
    with serving() as s:
        for _ in range(3):
            s.stop()
            before = os.path.getsize(s.log_path)
            s.process = subprocess.Popen([s.mox, '-config', os.path.join(s.dir, 'mox.conf'), 'serve'],
                                         stdin=subprocess.DEVNULL, stdout=open(s.log_path, 'ab'), stderr=subprocess.STDOUT,
                                         env=s.env)
            deadline = time.monotonic() + WAIT
            while True:
                assert time.monotonic() < deadline
                try:
                    w = s.connect(IMAP)
                    break
                except ConnectionRefusedError:
                    pass
            assert w.line().startswith('* OK')
            w.imap_cmd('a LOGIN ann@example.org "ann password"')
            w.close()
            assert 'UNAVAILABLE' not in s.log_text(before)
        # front can be started again.
        os.kill(s.pids('mox: front')[0], signal.SIGKILL)
        s.wait_log('role ended unexpectedly')
        w = s.connect(IMAP)
        assert w.line().startswith('* OK')


def root_test(fn):
    return test(fn) if os.geteuid() == 0 else fn


def uids_of(s):
    """The user id of each role's process."""
    found = {}
    for pid in s.pids('mox: '):
        try:
            with open('/proc/%d/cmdline' % pid) as f:
                title = f.read().split('\0')[0].strip()[5:]
            with open('/proc/%d/status' % pid) as f:
                lines = [l.split()[1:] for l in f if l.startswith(('Uid:', 'Gid:', 'Groups:'))]
        except OSError:
            continue  # it has just ended
        if not title:
            continue
        assert len(set(lines[0])) == len(set(lines[1])) == 1, lines
        found[title] = int(lines[0][0]), int(lines[1][0]), lines[2]
    return found


def files_in(path):
    """Name and status of the files there; a database's journals come and go."""
    for f in os.listdir(path):
        with contextlib.suppress(FileNotFoundError):
            yield f, os.stat(os.path.join(path, f))


def capabilities(pid, field):
    with open('/proc/%d/status' % pid) as f:
        return next(int(l.split()[1], 16) for l in f if l.startswith(field + ':'))


def deliver(s, to):
    w = s.connect(SMTP)
    w.smtp_hello()
    for line, code in (('MAIL FROM:<>', '250'), ('RCPT TO:<%s>' % to, '250'), ('DATA', '354')):
        w.cmd(line, code)
    w.write('Subject: x\r\n\r\nhello\r\n.\r\n')
    w.expect('250')
    w.close()


OWN, FIRST = 54321, 1879048192  # nobody's ids


@root_test
def roles_have_ids_of_their_own():
    """Where the system keeps a range of ids for User; nothing else has to be said or made."""
    with tempfile.NamedTemporaryFile('w') as subuid:
        subuid.write('someone:100000:65536\n%d:165536:10\n%d:%d:64\n' % (OWN, OWN, FIRST))
        subuid.flush()
        with serving(env={'MOX_SUBUID': subuid.name}, conf=[('User: ' + USER, 'User: %d' % OWN)]) as s:
            deliver(s, 'ann@example.org')
            assert s.login('ann').select('INBOX')[1] == [b'1']
            started_on_demand(s, 'dkim')
            w = s.connect(SMTP)
            w.expect('220')
            uids = uids_of(s)
            assert uids.pop('monitor')[0] == 0
            assert all(gid == OWN and not groups for _, gid, groups in uids.values()), uids
            roles = {title: uid for title, (uid, _, _) in uids.items()}
            services = [r for r in roles if r in ('front', 'auth', 'queue', 'keys', 'dkim', 'admin')]
            services += ['session-template', 'account-template']
            own = [roles[r] for r in services]
            assert len(set(own)) == len(services) == 8 and all(FIRST < uid < FIRST + 64 for uid in own), roles
            assert [uid for r, uid in roles.items() if r.startswith('account ann')] == [roles['account-template']]
            # Each has its files, and nobody else may read them, whatever Landlock says.
            for name, role in (('auth', 'auth'), ('queue', 'queue'), ('admin', 'admin'), ('accounts/ann', 'account-template')):
                path = os.path.join(s.dir, 'data', name)
                assert os.stat(path).st_uid == roles[role] and mode(path) == 0o700, name
                for f, st in files_in(path):
                    assert st.st_uid == roles[role] and st.st_mode & 0o077 == 0, f
            r = subprocess.run(['setpriv', '--reuid', str(roles['queue']), '--regid', str(OWN), '--clear-groups', 'cat',
                                os.path.join(s.dir, 'data/auth/auth.db')], capture_output=True, text=True)
            assert r.returncode == 1 and 'Permission denied' in r.stderr, r
            w.close()
            # Without the range, all are User again, with all that there is.
            s.stop()
            s.env['MOX_SUBUID'] = '/dev/null'
            s.start()
            assert s.login('ann').select('INBOX')[0] == 'OK'
            uids = uids_of(s)
            assert {u for t, (u, _, _) in uids.items() if t != 'monitor'} == {OWN}, uids


@root_test
def accounts_have_ids_of_their_own():
    """Where the range has more than the roles take: the owner of an account's directory says which is whose."""
    with tempfile.NamedTemporaryFile('w') as subuid:
        subuid.write('%d:%d:64\n%d:%d:1064\n' % (OWN, FIRST - 1000, OWN, FIRST))
        subuid.flush()
        last = FIRST + 1063
        with serving(env={'MOX_SUBUID': '/dev/null'}, conf=[('User: ' + USER, 'User: %d' % OWN)]) as s:
            accounts = os.path.join(s.dir, 'data', 'accounts')

            def owners(*names):
                found = [os.stat(os.path.join(accounts, n)).st_uid for n in names]
                for name, uid in zip(names, found):
                    assert mode(accounts, name) == 0o700, name
                    assert {st.st_uid for _, st in files_in(os.path.join(accounts, name))} <= {uid}, name
                return found

            def uids(s, *names):
                return [uids_of(s)['account ' + n][0] for n in names]

            def use(*names):
                for name in names:
                    deliver(s, name + '@example.org')
                return uids(s, *names)

            # What was one id's becomes that of two, whatever was done of it when the server was killed.
            assert use('ann', 'bob') == [OWN, OWN] == owners('ann', 'bob')
            s.stop()
            os.symlink('/etc/hostname', os.path.join(accounts, 'link'))
            before = os.stat('/etc/hostname')
            os.chmod(os.path.join(accounts, 'bob'), 0o755)
            os.chown(os.path.join(accounts, 'bob'), last, 0)
            s.env['MOX_SUBUID'] = subuid.name
            s.start()
            ann, bob = owners('ann', 'bob')
            assert bob == last and ann != bob and FIRST + 64 <= ann <= last, (ann, bob)
            assert use('ann', 'bob') == [ann, bob]
            assert os.stat('/etc/hostname') == before
            r = subprocess.run(['setpriv', '--reuid', str(ann), '--regid', str(OWN), '--clear-groups', 'cat',
                                os.path.join(accounts, 'bob/account.db')], capture_output=True, text=True)
            assert r.returncode == 1 and 'Permission denied' in r.stderr, r
            template = s.pids('mox: account-template')[0]
            for field, wanted in (('CapEff', 1 << 7), ('CapPrm', 1 << 7), ('CapInh', 0), ('CapAmb', 0)):
                assert capabilities(template, field) == wanted or s.env.get('MOX_SANDBOX') == 'off', field
            assert s.env.get('MOX_SANDBOX') == 'off' or not any(capabilities(s.pids('mox: account ann')[0], f) for f in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'))
            os.unlink(os.path.join(accounts, 'link'))
            # Commands of root leave no files that are others', and make those that the server needs for whom they are.
            with tempfile.TemporaryDirectory() as d:
                s.stop()
                os.chmod(d, 0o711)
                for args in (('verifydata',), ('verifydata', '-fix'), ('backup', d + '/backup'), ('bumpuidvalidity', 'ann'),
                             ('reparse',), ('reassignuids', 'bob'), ('openaccounts', os.path.join(s.dir, 'data'), 'ann', 'bob'),
                             ('export', 'maildir', d + '/maildir', os.path.join(accounts, 'ann')),
                             ('export', 'archive', d + '/all.tgz', os.path.join(accounts, 'bob')),
                             ('ximport', 'maildir', os.path.join(accounts, 'ann'), 'Inbox', d + '/maildir/Inbox')):
                    if args[0] == 'ximport':  # what reads a maildir is the account's own, too
                        run('chown', '-R', str(ann), d + '/maildir')
                    code, out, err = s.command(*args)
                    assert code == 0, (args, code, out, err)
                    assert owners('ann', 'bob') == [ann, bob], args
                    for name, at in (('queue', 5), ('auth', 4)):
                        path = os.path.join(s.dir, 'data', name)
                        assert {st.st_uid for _, st in files_in(path)} == {FIRST + at}, (args, name)
                # They are whose they are to be from the first moment, not given away later: killed in between, root would have them.
                r = subprocess.run(['setpriv', '--bounding-set=-chown', s.mox, '-config', s.dir + '/mox.conf', 'verifydata'],
                                   capture_output=True, text=True, env=s.env, timeout=WAIT)
                assert r.returncode == 0 and owners('ann', 'bob') == [ann, bob], r
                assert len(os.listdir(d + '/maildir/Inbox/new')) == 2 and os.path.getsize(d + '/all.tgz')
                s.start()
                for args in (('verifydata',), ('backup', d + '/backup'), ('reparse', 'ann'), ('message', 'why', 'ann', 'Inbox', '1'),
                             ('export', 'mbox', d + '/mbox', os.path.join(accounts, 'ann'))):
                    code, out, err = s.command(*args)
                    assert code == 0 or args[0] == 'message', (args, code, out, err)
                    assert owners('ann', 'bob') == [ann, bob], args
                # Restored where another server is to be, which makes of root's files what they are to be.
                there = d + '/there'
                run(s.mox, '-config', there + '/mox.conf', 'restore', d + '/backup', env=s.env)
                run(s.mox, '-config', there + '/mox.conf', 'verifydata', env=s.env)
                assert os.stat(there + '/data/accounts/ann/account.db').st_uid == 0
                s.stop()
                here = s.dir, s.log_path
                os.chmod(there, 0o711)
                s.dir, accounts, s.log_path = there, there + '/data/accounts', d + '/log'
                s.start()
                assert len(set(owners('ann', 'bob'))) == 2 and min(owners('ann', 'bob')) >= FIRST + 64
                assert s.login('ann').select('INBOX')[1] == [b'4']
                s.stop()
                s.dir, s.log_path = here
                accounts = os.path.join(s.dir, 'data', 'accounts')
                s.start()
            # Accounts come and go, and others keep theirs.
            assert s.command('config', 'account', 'add', 'eve', 'eve@example.org')[0] == 0
            eve = use('eve')[0]
            assert [eve] == owners('eve') and eve not in (ann, bob) and FIRST + 64 <= eve <= last
            assert s.command('config', 'account', 'rm', 'eve')[0] == 0
            s.wait_log('account and its mail removed')
            assert s.command('config', 'account', 'add', 'eve', 'eve@example.org')[0] == 0
            assert use('eve', 'bob', 'ann') == [eve, bob, ann]
            # Copied files, a copy that pretends to be somebody else's, and what root has made.
            s.stop()
            shutil.copytree(os.path.join(accounts, 'ann'), os.path.join(accounts, 'moved'))
            for d in ('moved', 'moved/account.db'):
                os.chown(os.path.join(accounts, d), ann, OWN)
            os.chown(os.path.join(accounts, 'eve'), 0, 0)
            os.chown(os.path.join(accounts, 'eve/account.db'), 0, 0)
            s.start()
            moved = owners('moved')[0]
            assert owners('bob') == [bob] and owners('eve') == [eve] and len({owners('ann')[0], moved, bob, eve}) == 4
            assert ann in (owners('ann')[0], moved)
            s.stop()
            shutil.rmtree(os.path.join(accounts, 'moved'))
            # Another machine, with other ids.
            text = open(subuid.name).read().replace(str(FIRST), str(FIRST + 200000))
            open(subuid.name, 'w').write(text)
            s.start()
            others = owners('ann', 'bob', 'eve')
            assert len(set(others)) == 3 and all(FIRST + 200064 <= uid for uid in others), others
            assert use('ann', 'bob') == others[:2]
            # Too few for any, and too few for all.
            for n, wanted, sentence in ((63, 1, 'too small for ids of roles and accounts'), (64, 1, 'too small for ids of accounts'),
                                        (65, 2, 'more accounts than user ids for them')):
                s.stop()
                open(subuid.name, 'w').write('%d:%d:%d\n' % (OWN, FIRST, n))
                start = len(s.log_text())
                s.start()
                assert sentence in s.log_text(start), s.log_text(start)
                shared = owners('ann', 'bob', 'eve')
                assert len(set(shared)) == wanted, shared
            assert use('ann', 'bob') == shared[:2]


@root_test
def permissions_are_put_right():
    with serving() as s:
        s.stop()
        d, user = s.dir, pwd.getpwnam(USER)
        os.mkdir(os.path.join(d, 'keys'), 0o777)
        os.chmod(os.path.join(d, 'keys'), 0o777)
        for name in ('mox.conf', 'keys/x.pem'):
            with open(os.path.join(d, name), 'a'):
                pass
            os.chmod(os.path.join(d, name), 0o666)
            os.chown(os.path.join(d, name), user.pw_uid, user.pw_gid)
        with open(os.path.join(d, 'hook'), 'w'):
            pass
        os.chmod(os.path.join(d, 'hook'), 0o777)
        os.symlink('/etc/hostname', os.path.join(d, 'link'))
        before = os.stat('/etc/hostname')
        os.chown(d, user.pw_uid, user.pw_gid)
        os.chmod(os.path.join(d, 'data'), 0o777)
        os.chown(os.path.join(d, 'data', 'auth', 'auth.db'), 0, 0)
        s.start()
        assert 'could be read or changed by others' in s.log_text()
        for name, wanted in (('', 0o711), ('mox.conf', 0o640), ('keys', 0o751), ('keys/x.pem', 0o640), ('hook', 0o755)):
            path = os.path.join(d, name)
            assert (os.stat(path).st_uid, mode(path)) == (0, wanted), (name, oct(mode(path)))
        assert os.stat('/etc/hostname') == before
        assert (os.stat(d + '/data').st_uid, mode(d, 'data')) == (user.pw_uid, 0o750)
        assert os.stat(d + '/data/auth/auth.db').st_uid == user.pw_uid
        s.login('ann')
        # What lies in a directory that is another's stays his.
        s.stop()
        os.chown(d, OWN + 5, 0)
        os.chown(os.path.join(d, 'keys'), OWN + 5, 0)
        start = len(s.log_text())
        s.start()
        assert 'does not lie in a directory of its own' in s.log_text(start), s.log_text(start)
        assert os.stat(d).st_uid == os.stat(d + '/keys').st_uid == OWN + 5
        os.chown(d, 0, 0)
        # A link in the directory of User's, that it could have made, has nothing given away; one of root's is followed.
        s.stop()
        os.rename(d + '/data/queue', d + '/elsewhere')
        os.symlink('../elsewhere', d + '/data/queue')
        os.lchown(d + '/data/queue', user.pw_uid, user.pw_gid)
        os.chown(d + '/elsewhere', 0, 0)
        s.start(expect_failure=True)
        assert s.process.wait(WAIT) == 1
        assert 'queue is a link that another user than root has made' in s.log_text(), s.log_text()
        assert os.stat(d + '/elsewhere').st_uid == 0
        os.lchown(d + '/data/queue', 0, 0)
        s.start()
        assert os.stat(d + '/elsewhere').st_uid == user.pw_uid
        # It is said once, and never when that is not wanted.
        s.stop()
        os.chown(d, user.pw_uid, user.pw_gid)
        s.set_conf('Hostname:', 'NoFixPermissions: true\nHostname:')
        start = len(s.log_text())
        s.start()
        assert 'could be read' not in s.log_text(start) and os.stat(d).st_uid == user.pw_uid


@root_test
def what_is_wrong_at_the_start_is_one_sentence():
    with serving() as s:
        def refused(say):
            start = len(s.log_text())
            s.start(expect_failure=True)
            assert s.process.wait(WAIT) == 1
            lines = [l for l in s.log_text(start).splitlines() if 'cannot start' in l]
            assert len(lines) == 1 and say in lines[0], (say, s.log_text(start))

        with open(s.dir + '/data/lock') as f:
            other = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'serve'], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=s.env)
            out = other.communicate(timeout=WAIT)[0]
            assert other.returncode == 1 and 'another mox is running with this data directory' in out, out
        s.stop()
        with socket.create_server((s.ip, IMAPS)):
            refused('listen on %s port %d: Address already in use' % (s.ip, IMAPS))
        os.rename(s.dir + '/localhost.crt', s.dir + '/away.crt')
        refused('opening certificate localhost.crt: No such file')
        os.rename(s.dir + '/away.crt', s.dir + '/localhost.crt')
        os.chmod(s.dir, 0o700)
        refused('cannot use %s/data/accounts' % os.path.realpath(s.dir))
        os.chmod(s.dir, 0o711)
        s.set_conf('Hostname:', 'NoFixPermissions: true\nHostname:')
        os.chown(s.dir + '/data/queue', 0, 0)
        refused('cannot use %s/data/queue' % os.path.realpath(s.dir))
        s.set_conf('NoFixPermissions: true\n', '')
        s.start()
        # A hangup is no reason to go: files are looked at.
        w = s.connect(IMAP)
        w.line()
        for problem in ('the previous one stays in use', 'domains config reloaded'):
            start = len(s.log_text())
            text = read(s.dir, 'domains.conf')
            with open(s.dir + '/domains.conf', 'w') as f:
                f.write(text + 'Nonsense: 1\n' if 'previous' in problem else text.replace('Nonsense: 1\n', ''))
            for pid in {s.process.pid, *s.pids('mox: ')}:  # as a terminal does that is closed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGHUP)
            s.wait_log('hangup: looking at domains.conf', start)
            s.wait_log(problem, start)
            w.write('a NOOP\r\n')
            assert w.imap_until('a')[-1].startswith('a OK')
            assert 'crashed' not in s.log_text(start) and 'unexpectedly' not in s.log_text(start), s.log_text(start)
        w.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            s.process.send_signal(number)
            assert s.process.wait(WAIT) == number
            assert not os.path.exists(s.dir + '/data/ctl')
            s.start()


def entries(zone):
    """The records of a zone file as printed, each a text of its own."""
    found = []
    for line in zone.splitlines():
        if line.startswith('\t'):
            found[-1] += '\n' + line
        elif line and line[0] not in ';$':
            found.append(line)
    return found


# What is to be found when a record is not there, or is another: the owner (relative) and type, what it becomes, the
# section and what it says. Other sections that must have something to say too come last.
GONE = None
BROKEN = [
    ('_25._tcp.mx', 'TLSA', GONE, 'DANE', 'error: missing TLSA record: _25._tcp.mx.fresh.example. TLSA 3 1 1 '),
    ('_25._tcp.mx', 'TLSA', 'TLSA 3 1 1 ' + '00' * 32, 'DANE', 'fits no key of this host'),
    ('mx', 'TXT', GONE, 'SPF', 'error: SPF record of mx.fresh.example: '),
    ('mx', 'TXT', 'TXT "v=spf1 -all"', 'SPF', 'the SPF record of mx.fresh.example does not allow mail from '),
    ('_smtp._tls.mx', 'TXT', GONE, 'Host TLSRPT', 'error: 0 TLSRPT records for mx.fresh.example'),
    ('_smtp._tls.mx', 'TXT', 'TXT "v=TLSRPTv1; rua=mailto:x@mx.fresh.example"', 'Host TLSRPT',
     'not in rua of _smtp._tls.mx.fresh.example: tlsreports@mx.fresh.example'),
    ('', 'MX', GONE, 'MX', 'error: no MX records: fresh.example. MX 10 mx.fresh.example. is needed', 'MTASTS'),
    ('', 'MX', 'MX 10 www.insecure.com.', 'MX',
     'the mail server www.insecure.com has the address 127.0.0.7, which is not of this server', 'TLS', 'MTASTS'),
    ('', 'MX', 'MX 0 .', 'MX', 'takes no mail', 'MTASTS'),
    ('YEARa._domainkey', 'TXT', GONE, 'DKIM', 'error: record of selector YEARa, YEARa._domainkey.fresh.example: '),
    ('YEARb._domainkey', 'TXT', GONE, 'DKIM', 'error: record of selector YEARb, YEARb._domainkey.fresh.example: '),
    ('YEARa._domainkey', 'TXT', 'TXT "v=DKIM1;k=rsa;p=!!"', 'DKIM', 'error: record of selector YEARa, '),
    ('YEARa._domainkey', 'TXT', 'OTHER', 'DKIM', 'it has another key than the configuration'),
    ('', 'TXT', GONE, 'SPF', 'error: SPF record of fresh.example: '),
    ('', 'TXT', 'TXT "v=spf1 ip4:192.0.2.1 ~all"', 'SPF', 'the SPF record of fresh.example does not allow mail from '),
    ('_dmarc', 'TXT', GONE, 'DMARC', 'error: DMARC record: there is none'),
    ('_dmarc', 'TXT', 'TXT "v=DMARC1;p=none;rua=mailto:dmarcreports@fresh.example"', 'DMARC', 'warning: the policy is p=none'),
    ('_dmarc', 'TXT', 'TXT "v=DMARC1;p=reject;rua=mailto:x@fresh.example"', 'DMARC',
     'error: the configured address for reports is not in rua: dmarcreports@fresh.example'),
    ('_dmarc', 'TXT', 'TXT "v=DMARC1;p=reject;rua=mailto:x@example.com,mailto:dmarcreports@fresh.example"', 'DMARC',
     'error: example.com does not say that it wants the reports: fresh.example._report._dmarc.example.com'),
    ('_dmarc', 'TXT', 'TXT "v=DMARC1;p=reject"', 'DMARC', 'nobody gets reports'),
    ('mta-sts', 'CNAME', GONE, 'MTASTS', 'error: policy at https://mta-sts.fresh.example/.well-known/mta-sts.txt: '),
    ('mta-sts', 'CNAME', 'CNAME www.insecure.com.', 'MTASTS', 'error: policy at https://mta-sts.fresh.example'),
    ('_mta-sts', 'TXT', GONE, 'MTASTS', 'error: 0 MTA-STS records'),
    ('_mta-sts', 'TXT', 'TXT "v=STSv1; id=1"', 'MTASTS', 'error: the record at _mta-sts.fresh.example has the id 1, the configuration '),
    ('_smtp._tls', 'TXT', GONE, 'Domain TLSRPT', 'error: 0 TLSRPT records for fresh.example'),
    ('mail', 'CNAME', GONE, 'Autoconf', 'error: the name for clients, mail.fresh.example: '),
    ('mail', 'CNAME', 'CNAME www.insecure.com.', 'Autoconf', 'mail.fresh.example has the address 127.0.0.7'),
    ('autoconfig', 'CNAME', GONE, 'Autoconf', 'error: the name for settings, autoconfig.fresh.example: '),
    ('ua-auto-config', 'CNAME', GONE, 'Autoconf', 'error: the name for settings, ua-auto-config.fresh.example: '),
    ('_ua-auto-config', 'TXT', GONE, 'Autoconf', 'error: missing: _ua-auto-config.fresh.example. TXT "'),
    ('_ua-auto-config', 'TXT', 'TXT "v=UAAC1; a=sha256; d=AAAA"', 'Autoconf', 'error: the record is for other settings'),
    ('_autodiscover._tcp', 'SRV', GONE, 'Autodiscover', 'SRV 0 1 443 mx.fresh.example. is needed'),
    ('_autodiscover._tcp', 'SRV', 'SRV 0 1 443 www.insecure.com.', 'Autodiscover', 'www.insecure.com has the address 127.0.0.7'),
    ('_autodiscover._tcp', 'SRV', 'SRV 0 1 80 mx.fresh.example.', 'Autodiscover', 'error: no record with port 443'),
    ('_imaps._tcp', 'SRV', GONE, 'SRV conf', 'error: missing: _imaps._tcp.fresh.example. SRV 0 1 993 mail.fresh.example.'),
    ('_imaps._tcp', 'SRV', 'SRV 0 0 0 .', 'SRV conf', 'says that there is no such service'),
    ('_submissions._tcp', 'SRV', GONE, 'SRV conf', 'error: missing: _submissions._tcp.fresh.example. SRV 0 1 465 mail'),
    ('_submissions._tcp', 'SRV', 'SRV 0 1 465 mx.fresh.example.', 'SRV conf', 'it should lead to mail.fresh.example port 465'),
    ('_imap._tcp', 'SRV', GONE, 'SRV conf', 'warning: missing, to say that there is no such service: _imap._tcp'),
    ('_submission._tcp', 'SRV', GONE, 'SRV conf', 'warning: missing, to say that there is no such service: _submission._tcp'),
    ('_pop3._tcp', 'SRV', GONE, 'SRV conf', 'warning: missing, to say that there is no such service: _pop3._tcp'),
    ('_pop3s._tcp', 'SRV', 'SRV 0 1 995 mx.fresh.example.', 'SRV conf', 'which this server does not have'),
    ('', 'CAA', GONE, 'CAA', 'warning: anybody may make certificates'),
    ('', 'CAA', 'CAA 0 issue "other.example"', 'CAA', 'error: the CAA records do not allow letsencrypt.org'),
    ('', 'CAA', 'CAA 0 issue "letsencrypt.org; validationmethods=dns-01,x"', 'CAA', 'not in the ways that are used here'),
]


def owner_and_type(entry):
    owner, kind = entry.split()[:2]
    return owner[:-len(DOMAIN) - 1].rstrip('.'), kind


@test
@needs_dns
def every_record_that_is_wrong_is_named():
    """config dnscheck has nothing to say of what quickstart printed, and names each record of it that is not so."""
    with Fresh() as fresh:
        assert 'WARNING' not in fresh.printed, fresh.printed
        assert fresh.check(0) == {}
        records = entries(fresh.records)
        year = owner_and_type([r for r in records if 'a._domainkey' in r][0])[0][:4]
        of = [owner_and_type(r) for r in records]
        assert {(b[0].replace('YEAR', year), b[1]) for b in BROKEN} == set(of), of
        for broken in BROKEN:
            owner, kind, new, section, say, *others = [b and b.replace('YEAR', year) for b in broken]
            at = of.index((owner, kind))
            if new == 'OTHER':
                other = records[of.index((year + 'b._domainkey', 'TXT'))]
                new = other[other.index('TXT'):]
            name = owner + '.' + DOMAIN + '.' if owner else DOMAIN + '.'
            changed = records[:at] + ([name + ' ' + new] if new else []) + records[at + 1:]
            fresh.internet.change(fresh.zone('\n'.join(changed)))
            found = fresh.check(0 if say.startswith('warning') else 1)
            assert any(say in line for line in found.get(section, [])), (broken, found)
            assert set(found) == {section, *others}, (broken, found)
        # Without a listener for IMAPS the record of it is wrong, and what is printed instead is not.
        fresh.internet.change(fresh.zone(fresh.records))
        path = os.path.join(fresh.dir, 'config', 'mox.conf')
        text = read(path)
        assert text.count('\t\tIMAPS:\n\t\t\tEnabled: true\n') == 1
        with open(path, 'w') as f:
            f.write(text.replace('\t\tIMAPS:\n', '\t\tIMAP:\n'))
        found = fresh.check(1)['SRV conf']
        assert 'leads to mail.fresh.example port 993, which this server does not have' in found[0], found
        assert 'error: the record at _imap._tcp.fresh.example says that there is no such service' in found, found
        records = fresh.mox('config', 'dnsrecords', DOMAIN)
        assert re.search(r'^_imaps._tcp.fresh.example. +SRV 0 0 0 \.$', records, re.M), records
        assert re.search(r'^_imap._tcp.fresh.example. +SRV 0 1 143 mail.fresh.example.$', records, re.M), records
        fresh.internet.change(fresh.zone(records))
        assert fresh.check(0) == {}


@test
@needs_dns
def the_age_of_a_domain_is_asked_for():
    """Whom to ask is in a list of IANA's; young domains are warned of, and what cannot be found out is left out."""
    listed, registry = free_ip(), free_ip()
    day = lambda days: time.strftime('%Y-%m-%dT00:00:00Z', time.gmtime(time.time() - days * 86400))
    today = day(0)
    page = lambda data, status=200, **fields: (status, fields, json.dumps(data).encode())
    domain = ('rdap.nic.example', '/v1/domain/fresh.example')
    names = ['data.iana.org', 'rdap.nic.example']
    zones = [Zone('iana.org', 'data A %s\n' % listed), Zone('nic.example', 'rdap A %s\n' % registry)]
    authority = Authority()
    pem = authority.issue(names)
    services = [[['com'], ['https://nowhere.example/']], [['example'], ['https://rdap.nic.example/v1/']]]
    pages = {('data.iana.org', '/rdap/dns.json'): page({'services': services})}
    try:
        with Internet(zones) as internet, Web(listed, {None: pem}, pages), Web(registry, {None: pem}, {}) as web:
            env = dict(os.environ, **internet.env, SSL_CERT_FILE=authority.file)

            def quickstart():
                with directory() as d:
                    return mox('quickstart', '-hostname', HOST, 'ann@mail.' + DOMAIN, USER, cwd=d, env=env).stdout

            web.pages[domain] = page({'events': [{'eventAction': 'registration', 'eventDate': day(800)}]})
            age = mox('rdap', 'domainage', 'www.' + DOMAIN, env=env).stdout
            assert age == '2 years, 70 days\n' or day(0) != today, age
            # By way of another address; and from one day to the next.
            web.pages['rdap.nic.example', '/there'] = page({'events': [{'eventAction': 'registration', 'eventDate': day(41)}]})
            web.pages[domain] = page({}, 302, Location='https://rdap.nic.example/there')
            out = quickstart()
            assert 'WARNING: fresh.example was registered 41 days ago.' in out or day(0) != today, out
            for answer, why in ((page({}), 'the registry does not say when it was registered'), (page({}, 404), 'HTTP status 404'),
                                (page({}, 302, Location='http://rdap.nic.example/there'), 'is not https'),
                                (page({}, 302, Location='https://rdap.nic.example' + domain[1]), 'too often'),
                                ((200, {}, b'{' * 5000), 'rdap.nic.example')):
                web.pages[domain] = answer
                r = mox('rdap', 'domainage', DOMAIN, env=env, code=1)
                assert why in r.stderr and r.stderr.count('\n') == 1, r.stderr
            assert 'registered... left out (' in quickstart()
            r = mox('rdap', 'domainage', 'www.insecure.com', env=env, code=1)
            assert r.returncode == 1 and r.stderr.count('\n') == 1, r.stderr
            assert 'no registry tells about such domains' in mox('rdap', 'domainage', 'a.org', env=env, code=1).stderr
    finally:
        shutil.rmtree(authority.dir, ignore_errors=True)


@test
@needs_dns
def servers_that_are_wrong_are_named():
    with Fresh() as fresh:
        assert fresh.check(0) == {}
        # Whom to trust, the configuration says, as it does for the server.
        del fresh.env['SSL_CERT_FILE']
        found = fresh.check(1)
        assert set(found) == {'TLS', 'MTASTS', 'Autoconf', 'Autodiscover'}, found
        shutil.copy(fresh.authority.file, os.path.join(fresh.dir, 'config', 'ca.pem'))
        path = os.path.join(fresh.dir, 'config', 'mox.conf')
        text = read(path)
        with open(path, 'w') as f:
            f.write('TLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- ca.pem\n' + text)
        assert fresh.check(0) == {}
        fresh.process.terminate()
        fresh.process.wait(WAIT)
        found = fresh.check(1)
        assert set(found) == {'TLS', 'MTASTS', 'Autoconf', 'Autodiscover'}, found
        assert all('refused' in l or 'Could' in l or 'policy at' in l for lines in found.values() for l in lines), found


def control(deb):
    fields, name = {}, None
    for line in run('dpkg-deb', '-f', deb).stdout.splitlines():
        if line[0] == ' ':
            fields[name] += line
        else:
            name, _, fields[name] = line.partition(':')
    return fields


@test
def the_package_has_what_it_should():
    if not shutil.which('dpkg-shlibdeps'):
        return print('SKIP the_package_has_what_it_should: dpkg-dev is not installed (tools/install-deps)')
    with directory() as d:
        deb = run(os.path.join(ROOT, 'tools', 'make-deb'), os.path.dirname(MOX), d).stdout.strip()
        version = run(MOX, 'version').stdout.split()[1]
        fields = control(deb)
        assert fields['Package'].strip() == 'mox' and fields['Version'].strip() == version, fields
        # What is linked, and what is loaded by name.
        loaded = set(re.findall(r'dlopen\("(lib[a-z]*\d*)\.so', run('grep', '-rh', 'dlopen(', os.path.join(ROOT, 'src')).stdout))
        for library in {'libc6', 'libssl3', 'libsqlite3-0', 'libseccomp2', *loaded}:
            assert re.search('[ |]%s[-0-9t]*[ ,]' % library, fields['Depends'] + ','), (library, fields['Depends'])
        entries = [l.split(None, 5) for l in run('dpkg-deb', '-c', deb).stdout.splitlines()]
        names = {e[5][1:]: (e[0], e[1]) for e in entries}
        assert all(owner == 'root/root' for _, owner in names.values())
        assert names['/usr/bin/mox'][0] == '-rwxr-xr-x' and names['/etc/mox -> /var/lib/mox/config']
        files = [n for n, (kind, _) in names.items() if kind[0] == '-' and n != '/usr/bin/mox']
        assert all(names[n][0] == '-rw-r--r--' for n in files), names
        # No file of the package is one that is changed: upgrades have nothing to ask.
        assert not [n for n in files if n.startswith(('/etc', '/var'))] and 'conffiles' not in os.listdir(d)
        assert {'/usr/share/man/man1/mox.1.gz', '/usr/share/man/man5/mox.conf.5.gz', '/usr/share/man/man5/domains.conf.5.gz',
                '/usr/share/doc/mox/copyright', '/usr/share/doc/mox/changelog.gz',
                '/usr/lib/systemd/system/mox.service'} <= set(files), files
        root = os.path.join(d, 'root')
        run('dpkg-deb', '-R', deb, root)
        assert os.path.getsize(os.path.join(root, 'usr/bin/mox')) < 10 << 20
        run('sh', '-c', 'cd "$0" && md5sum --quiet -c DEBIAN/md5sums', root)
        for script in ('postinst', 'prerm', 'postrm'):
            path = os.path.join(root, 'DEBIAN', script)
            assert mode(path) == 0o755 and 'set -e\n' in read(path)
            run('sh', '-n', path)
        # Every command has its section, and the pages are in order.
        page = run('gzip', '-dc', os.path.join(root, 'usr/share/man/man1/mox.1.gz')).stdout
        for line in run(MOX, 'helpall').stdout.splitlines():
            assert not line.startswith('# mox ') or '.SS "%s"\n' % line[6:].replace('-', '\\-') in page, line
        if shutil.which('groff'):
            for name in files:
                if '/man/' in name:
                    r = run('sh', '-c', 'gzip -dc "$0" | groff -man -ww -z -Tutf8 -K utf8 2>&1', root + name)
                    assert not r.stdout, (name, r.stdout[:2000])


@test
def systemd_takes_the_unit():
    if not shutil.which('systemd-analyze'):
        return print('SKIP systemd_takes_the_unit: systemd is not installed')
    with directory() as d:
        shutil.copy(MOX, os.path.join(d, 'mox'))
        for name in ('config', 'data'):
            os.mkdir(os.path.join(d, name))
        unit = os.path.join(d, 'mox.service')
        with open(unit, 'w') as f:
            f.write(mox('config', 'printservice', cwd=d).stdout)
        r = run('systemd-analyze', 'verify', unit, ok=False)
        # It looks at other units of this machine as well, and for the manual page.
        assert not [l for l in r.stderr.splitlines() if 'mox.service' in l and 'man mox(1)' not in l], r.stderr
        level = run('systemd-analyze', 'security', '--offline=true', '--threshold=60', unit, ok=False)
        assert level.returncode == 0, level.stdout[-3000:]
        # Every call that some role has in its sandbox passes the unit's filter.
        allowed, groups = set(), re.search('^SystemCallFilter=(.*)$', read(unit), re.M).group(1).split()
        while groups:
            group = groups.pop()
            if group[0] != '@':
                allowed.add(group)
                continue
            for word in run('systemd-analyze', 'syscall-filter', group).stdout.split('\n')[2:]:
                word = word.strip()
                groups += [word] if word.startswith('@') else []
                allowed.add(word)
        calls = set(re.findall(r'SCMP_SYS\((\w+)\)', read(ROOT, 'src/os/sandbox.c')))
        assert len(calls) > 60 and {'seccomp', 'landlock_restrict_self', 'openat2', 'memfd_create', 'setresuid'} <= allowed
        # Two of them are named to be refused.
        assert calls - allowed <= {'ptrace', 'process_vm_readv', 'process_vm_writev'}, calls - allowed


main('setup')
