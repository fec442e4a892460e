"""Newer versions: told by the DNS, described by a signed list behind HTTPS, sent to the postmaster once."""
import email
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
        s.wait_log('to=postmaster@mail.example.org')
        messages = told(s)
        assert len(messages) == 1 and messages[0]['Subject'] == 'mox v9.0.1 available', messages
        found = scrape(s, 8010)[1]
        assert value(found, 'updates_lookup_duration_seconds_count', result='ok') == 1, found
        assert value(found, 'updates_fetchchangelog_duration_seconds_count', result='ok') == 1, found
        text = messages[0].get_content()
        assert '- grüner' in text and 'v0.0.1' not in text and 'https://www.versions.example/changelog' in text, text
        assert w.web.hits == [('www.versions.example', '/changelog?from=v' + VERSION)], w.web.hits
        # It is not told again, not even when a day has passed.
        s.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'))) as db:
            assert db.execute('SELECT known FROM update_check').fetchone() == ('v9.0.1',)
            db.execute('UPDATE update_check SET checked_unix = checked_unix - 86400')
            db.commit()
        s.start()
        deadline = time.monotonic() + WAIT
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'))) as db:
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


main('update')
