"""Newer versions: told by the DNS, described by a signed list behind HTTPS, sent to the postmaster once."""
import email
import json
import email.policy

from outside import *
from https_server import Web
from metrics import scrape, value

HOST, NEWER = 9, 'version: v9.0.1\ndate: 2026-11-01\n\n- grüner\n'
CONF = '''CheckUpdates: true
Updates:
	Domain: versions.example
	ChangelogURL: https://www.versions.example/changelog
	PublicKey: %s
DataDir: data'''
VERSION = subprocess.run([MOX, 'version'], capture_output=True, text=True).stdout.split()[1]
class World:
    """A publisher: zone, key, list of changes and web server; and somebody else's key."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-update-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        self.keys = {name: os.path.join(self.dir, name) for name in ('own', 'other')}
        for path in self.keys.values():
            with open(path, 'w') as f:
                f.write(run(MOX, 'updates', 'genkey').stdout)
        self.public = run(MOX, 'updates', 'pubkey', self.keys['own']).stdout.strip()
        self.internet = Internet([Zone('versions.example', '_updates TXT "v=UPDATES0; l=v9.0.1"\nwww A %s\n' % ip(HOST))])
        self.env = {}

    def changes(self, key='own', *texts):
        path = os.path.join(self.dir, 'changes.json')
        open(path, 'w').close()
        for text in texts or ('version: v0.0.1\n\n- first\n', NEWER):
            run(MOX, 'updates', 'addsigned', self.keys[key], path, input=text)
        with open(path, 'rb') as f:
            return f.read()

    def __enter__(self):
        self.internet.start()
        chain = os.path.join(self.dir, 'web.pem')
        with open(chain, 'w') as f:
            for part in self.ca.certificate('www.versions.example'):
                f.write(open(part).read())
        self.web = Web(ip(HOST), {None: chain}, {})
        self.publish(self.changes())
        self.env = dict(self.internet.env, SSL_CERT_FILE=self.ca.file, MOX_DIAL_PRIVATE='1')
        return self

    def publish(self, changes):
        self.web.pages = {('www.versions.example', '/changelog?from=v' + v): (200, {}, changes)
                          for v in (VERSION, '9.0.1')}

    def __exit__(self, *_):
        self.web.__exit__()
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def told(s):
    """The messages in the postmaster's mailbox."""
    c = s.login('ann')
    try:
        if c.select('Postmaster')[0] != 'OK':
            return []
        numbers = c.search(None, 'ALL')[1][0].split()
        return [email.message_from_bytes(c.fetch(n, '(RFC822)')[1][0][1], policy=email.policy.default) for n in numbers]
    finally:
        c.logout()


@test
def the_postmaster_is_told_once():
    if why_not():
        return print('SKIP the_postmaster_is_told_once: %s' % why_not())
    metrics = ('\t\tSMTP:\n', '\t\tMetricsHTTP:\n\t\t\tEnabled: true\n\t\tSMTP:\n')
    with World() as w, serving(env=w.env, conf=[('DataDir: data', CONF % w.public), metrics]) as s:
        s.wait_log('the postmaster is told of a newer version')
        s.wait_log('m="delivered" pkg=queue to=postmaster@mail.example.org')
        messages = told(s)
        assert len(messages) == 1 and messages[0]['Subject'] == 'mox v9.0.1 available', messages
        eventually(lambda: value(scrape(s, 8010)[1], 'updates_fetchchangelog_duration_seconds_count', result='ok') == 1, pause=0.3)
        found = scrape(s, 8010)[1]
        assert value(found, 'updates_lookup_duration_seconds_count', result='ok') == 1, found
        text = messages[0].get_content()
        assert '- grüner' in text and 'v0.0.1' not in text and 'https://www.versions.example/changelog' in text, text
        assert w.web.hits == [('www.versions.example', '/changelog?from=v' + VERSION)], w.web.hits
        # It is not told again, not even when a day has passed.
        s.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'), timeout=WAIT)) as db:
            assert db.execute('SELECT known FROM update_check').fetchone() == ('v9.0.1',)
            db.execute('UPDATE update_check SET checked_unix = checked_unix - 86400')
            db.commit()
        s.start()
        deadline = time.monotonic() + WAIT
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'), timeout=WAIT)) as db:
            while time.time() - db.execute('SELECT checked_unix FROM update_check').fetchone()[0] > 80000:
                assert time.monotonic() < deadline, 'it is not looked again'
                time.sleep(0.05)
        assert len(w.web.hits) == 1 and len(told(s)) == 1, w.web.hits
        # What was counted began anew with the server.
        text, found = scrape(s, 8010)
        assert value(found, 'updates_lookup_duration_seconds_count', result='ok') == 1, text
        assert value(found, 'updates_fetchchangelog_duration_seconds_count') == 0, text


@test
def what_is_not_signed_is_not_told():
    if why_not():
        return print('SKIP what_is_not_signed_is_not_told: %s' % why_not())
    with World() as w:
        w.publish(w.changes('other'))
        with serving(env=w.env, conf=[('DataDir: data', CONF % w.public)]) as s:
            s.wait_log('cannot tell whether there is a newer version')
            assert 'not signed by the key' in s.log_text() and not told(s)
            # The same by hand, and with the right list.
            code, out, err = s.command('checkupdate')
            assert code == 1 and 'not signed by the key' in err and 'latest version: v9.0.1' in out, (out, err)
            w.publish(w.changes())
            code, out, err = s.command('checkupdate')
            assert code == 0 and out.endswith('\n\n' + NEWER) and 'current version: v' + VERSION in out, (out, err)
            # The authorities of the configuration, and no others.
            shutil.copy(w.ca.file, os.path.join(s.dir, 'ca.pem'))
            del s.env['SSL_CERT_FILE']
            assert s.command('checkupdate')[0] == 1
            s.set_conf('DataDir: data', 'TLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- ca.pem\nDataDir: data')
            assert s.command('checkupdate')[0] == 0


@test
def who_does_not_say_where_is_told_so():
    with serving() as s:
        code, out, err = s.command('checkupdate')
        assert code == 1 and not out and 'no Updates section' in err, (out, err)


@contextlib.contextmanager
def served(w, address, *args):
    """`mox updates serve` of the world's list, ready; its log comes after."""
    log = []
    p = subprocess.Popen([MOX, 'updates', 'serve', '-address', address, *args], stderr=subprocess.PIPE, text=True, cwd=w.dir)
    try:
        log.append(p.stderr.readline())
        assert 'serving a list of changes' in log[0], log
        yield p, log
    finally:
        p.terminate()
        log.extend(p.stderr)
        p.wait(WAIT)


def asked(address, raw, half_closed=True):
    """What is answered to these bytes: status, fields, body."""
    host, port = address.rsplit(':', 1)
    with socket.create_connection((host, int(port)), WAIT) as c:
        c.sendall(raw)
        if half_closed:
            c.shutdown(socket.SHUT_WR)
        reply = b''
        while piece := c.recv(65536):
            reply += piece
    head, _, body = reply.partition(b'\r\n\r\n')
    status, *fields = head.decode().split('\r\n')
    return status.split()[1] if reply else '', dict(f.split(': ', 1) for f in fields), body


def get(address, target, method='GET'):
    return asked(address, ('%s %s HTTP/1.1\r\nHost: x\r\n\r\n' % (method, target)).encode())


@test
def a_list_of_changes_is_served():
    w, address = World(), '%s:8596' % ip(HOST)
    path = os.path.join(w.dir, 'changelog.json')
    try:
        shutil.copy(os.path.join(w.dir, (w.changes(), 'changes.json')[1]), path)
        with served(w, address) as (p, log):
            texts = lambda target: [c['Text'] for c in json.loads(get(address, target)[2])['Changes']]
            first = 'version: v0.0.1\n\n- first\n'
            assert texts('/changelog?from=v0.0.1') == texts('/changelog?from=0.0.1') == [NEWER]
            assert texts('/changelog?from=v9.0.1') == [] and texts('/changelog?from=new') == texts('/changelog') == [NEWER, first]
            status, fields, body = get(address, '/changelog')
            assert status == '200' and fields['Content-Type'] == 'application/json; charset=utf-8', fields
            assert run(MOX, 'updates', 'verify', w.public, input=body.decode()).stdout.startswith('2 changes, all signed')
            status, head, none = get(address, '/changelog', 'HEAD')
            assert status == '200' and not none and head['Content-Length'] == fields['Content-Length'] == str(len(body)), head
            # Other clients, and what is none.
            assert run('curl', '-sS', 'http://%s/changelog?from=v0.0.1' % address).stdout == get(address, '/changelog?from=v0.0.1')[2].decode()
            assert get(address, '/')[0] == get(address, '/changelog/x')[0] == get(address, '/../etc/passwd')[0] == '404'
            assert get(address, '/changelog', 'POST')[:2][0] == '405'
            for raw, status in ((b'GET /changelog HTTP/1.1\r\n\r\n', '400'), (b'\x16\x03\x01\0\0\r\n\r\n', '400'), (b'GET', ''),
                                (b'GET /changelog HTTP/1.1\r\nHost: x\r\nX: ' + 40000 * b'a', '431'),
                                (b'GET /changelog HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', '400')):
                assert asked(address, raw)[0] == status, (raw[:50], asked(address, raw))
            # Who says nothing keeps nobody waiting; its process can open nothing and has the connection alone.
            children = lambda: set(open('/proc/%d/task/%d/children' % (p.pid, p.pid)).read().split())
            before = children()
            with socket.create_connection((ip(HOST), 8596)) as silent:
                deadline, found = time.monotonic() + WAIT, None
                is_ready = lambda c: open('/proc/%s/cmdline' % c).read().startswith('mox: updates 127.') and (
                    os.environ.get('MOX_SANDBOX') == 'off' or 'Seccomp:\t2' in open('/proc/%s/status' % c).read())
                while not found:
                    assert time.monotonic() < deadline
                    found = [c for c in children() - before if is_ready(c)]
                assert get(address, '/changelog')[0] == '200'
                sockets = [os.readlink('/proc/%s/fd/%s' % (found[0], fd)) for fd in os.listdir('/proc/%s/fd' % found[0])
                           if int(fd) > 2]
                assert len(sockets) == 1 and sockets[0].startswith('socket:'), sockets
                assert os.geteuid() or 'Uid:\t65534\t65534' in open('/proc/%s/status' % found[0]).read()
            # What is added is served; what is no list is not, and is again when it is one.
            run(MOX, 'updates', 'addsigned', w.keys['own'], path, input='version: v9.0.2\n')
            assert texts('/changelog?from=v9.0.1') == ['version: v9.0.2\n']
            with open(path, 'a') as f:
                f.write('}')
            assert get(address, '/changelog')[0] == '500'
            os.unlink(path)
            assert get(address, '/changelog')[0] == '500'
        assert '/changelog' in ''.join(log[1:]), log
        # Without a list it does not start.
        for args in ((), ('-changelog', w.keys['own']), ('x',), ('-address', 'nowhere')):
            p = subprocess.run([MOX, 'updates', 'serve', '-address', address, *args], capture_output=True, text=True, timeout=WAIT, cwd=w.dir)
            assert p.returncode in (1, 2) and 'serving' not in p.stderr, p
    finally:
        shutil.rmtree(w.dir, ignore_errors=True)


main('update')
