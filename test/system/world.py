"""Senders with a DNS of their own, for the suites about mail from outside."""
from serving import *

GOOD, OTHER, LISTED = '127.66.0.1', '127.66.0.2', '127.66.0.3'
MESSAGE = ('From: Ann <ann@sender.example>\r\nTo: <ann@example.org>\r\nSubject: %s\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n'
           'Message-ID: <%s@sender.example>\r\n\r\nhello\r\n')


class World:
    """Zones of a sender who does everything right, and of others; and its key."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-world-')
        self.key = os.path.join(self.dir, 'key.pem')
        run('openssl', 'genrsa', '-traditional', '-out', self.key, '2048')
        public = ''.join(run('openssl', 'rsa', '-in', self.key, '-pubout').stdout.splitlines()[1:-1])
        pieces = ' '.join('"%s"' % ('v=DKIM1; k=rsa; p=' + public)[i:i + 200] for i in range(0, len(public) + 18, 200))
        zones = [
            Zone('sender.example', '@ TXT "v=spf1 ip4:%s -all"\n@ MX 10 mx\nmx A %s\n_dmarc TXT "v=DMARC1; p=reject"\n'
                 'sel._domainkey TXT %s\n' % (GOOD, GOOD, pieces)),
            Zone('plain.example', '@ MX 10 mx\nmx A %s\n' % OTHER),
            Zone('bl.example', '2.0.0.127 A 127.0.0.2\n%s A 127.0.0.2\n' % '.'.join(reversed(LISTED.split('.')))),
            Zone('dead.example', 'x A 127.0.0.1'),
        ]
        self.internet = Internet(zones, reverse={GOOD: 'mx.sender.example', OTHER: 'liar.sender.example'})

    def __enter__(self):
        self.internet.start()
        return self

    def __exit__(self, *_):
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def signed(self, message):
        r = subprocess.run(['dkimsign', 'sel', 'sender.example', self.key], input=message.encode(), capture_output=True,
                           timeout=WAIT)
        assert r.returncode == 0, r.stderr
        return r.stdout.decode()


def send(s, message, source=GOOD, hello='mx.sender.example', sender='ann@sender.example', to='ann@example.org', want='250'):
    w = s.connect(SMTP, source=source)
    w.expect('220')
    w.cmd('EHLO ' + hello, '250')
    w.cmd('MAIL FROM:<%s>' % sender, '250')
    w.cmd('RCPT TO:<%s>' % to, '250')
    w.cmd('DATA', '354')
    w.write(message + '.\r\n')
    code = w.f.read(3).decode()  # a refusal comes a byte a second
    assert code in want if isinstance(want, tuple) else code == want, (code, s.log_text()[-2000:])
    w.f.close()
    w.sock.close()


def newest(s):
    """The header of the newest message, unfolded, as a list of (name, value)."""
    c = s.login('ann')
    n = count_of(c)
    raw = c.fetch(str(n), '(BODY.PEEK[HEADER])')[1][0][1].decode()
    c.logout()
    fields = re.sub(r'\r\n[ \t]+', ' ', raw).split('\r\n')
    return [tuple(f.split(': ', 1)) for f in fields if ': ' in f]


def count_of(c):
    return int(c.select('INBOX')[1][0])


def field(fields, name):
    found = [v for n, v in fields if n == name]
    assert found, (name, fields)
    return found[0]
