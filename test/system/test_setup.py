"""Setting up a server: quickstart, what it writes and prints, verbs for the administrator."""
import stat

from serving import *

DOMAIN, HOST = 'fresh.example', 'mx.fresh.example'


def mox(*args, cwd, input=None, env=None, code=0):
    r = subprocess.run([MOX, *args], cwd=cwd, input=input, capture_output=True, text=True, timeout=WAIT,
                       env=dict(os.environ, **(env or {})))
    assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
    return r


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


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


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
        os.mkdir(os.path.join(d, 'config'))
        open(os.path.join(d, 'config', 'adminpasswd'), 'w').write('mine')
        r = mox('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d, code=1)
        assert 'adminpasswd is there already' in r.stderr, r.stderr
        assert tree(d) == ['config/adminpasswd', 'mox.service'], tree(d)
        for words, say in ((['ann'], 'is no email address'), (['ann@a..b'], 'ann@a..b'),
                           (['-hostname', 'short', 'ann@' + DOMAIN], 'must be a full name'),
                           (['a:b@' + DOMAIN], 'a:b@')):
            r = mox('quickstart', '-skipdial', *words, cwd=d, code=1)
            assert say in r.stderr, (words, r.stderr)
        assert tree(d) == ['config/adminpasswd', 'mox.service'], tree(d)


@test
def quickstart_beside_a_web_server():
    with directory() as d:
        r = mox('quickstart', '-skipdial', '-existing-webserver', '-hostname', HOST, 'ann@' + DOMAIN, USER, cwd=d)
        assert 'put the paths of your certificates into mox.conf' in r.stdout
        assert not os.path.exists(os.path.join(d, 'config', 'hostkeys'))
        r = mox('config', 'test', cwd=d, code=1)
        assert r.stderr.count('path/to/') == 8 and 'mail.fresh.example-chain.crt.pem' in r.stderr, r.stderr
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
            with open(os.path.join(s.dir, 'domains.conf'), 'w') as f:
                f.write(conf.replace('\texample.org:\n', '\texample.org:\n' + DKIM % path))
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


main('setup')
