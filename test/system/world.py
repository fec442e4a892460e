"""Senders with a DNS of their own, for the suites about mail from outside."""
import base64
import json
import threading

from serving import *

GOOD, OTHER, LISTED = '127.66.0.1', '127.66.0.2', '127.66.0.3'
PUBLIC, PUBLIC_LISTED = '8.0.0.2', '8.0.0.1' # that nobody connects to
MESSAGE = ('From: Ann <ann@sender.example>\r\nTo: <ann@example.org>\r\nSubject: %s\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n'
           'Message-ID: <%s@sender.example>\r\n\r\nhello\r\n')


class World:
    """Zones of a sender who does everything right, and of others; and their key."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-world-')
        self.key = os.path.join(self.dir, 'key.pem')
        self.signer = None
        run('openssl', 'genrsa', '-traditional', '-out', self.key, '2048')
        public = ''.join(run('openssl', 'rsa', '-in', self.key, '-pubout').stdout.splitlines()[1:-1])
        pieces = ' '.join('"%s"' % ('v=DKIM1; k=rsa; p=' + public)[i:i + 200] for i in range(0, len(public) + 18, 200))
        zones = [
            Zone('sender.example', '@ TXT "v=spf1 ip4:%s -all"\n@ MX 10 mx\nmx A %s\n_dmarc TXT "v=DMARC1; p=reject"\n'
                 'sel._domainkey TXT %s\nsel._domainkey.sub TXT %s\n' % (GOOD, GOOD, pieces, pieces)),
            # Who sends for others: nothing but a signature.
            Zone('signer.example', 'sel._domainkey TXT %s\n' % pieces),
            # A domain without signatures, and what is below it.
            Zone('plain.example', '@ MX 10 mx\nmx A %s\nproved TXT "v=spf1 ip4:%s -all"\nsoft TXT "v=spf1 ip4:%s ~all"\n'
                 '_dmarc.quarantine TXT "v=DMARC1; p=quarantine"\n_dmarc.sampled TXT "v=DMARC1; p=reject; pct=0"\n'
                 % (OTHER, GOOD, GOOD)),
            Zone('bl.example', '2.0.0.127 A 127.0.0.2\n' + ''.join('%s A 127.0.0.2\n' % '.'.join(reversed(i.split('.'))) for i in (LISTED, PUBLIC_LISTED))),
            Zone('dead.example', 'x A 127.0.0.1'),
        ]
        self.internet = Internet(zones, reverse={GOOD: 'mx.sender.example', OTHER: 'liar.sender.example'})

    def __enter__(self):
        self.internet.start()
        return self

    def __exit__(self, *_):
        if self.signer:
            self.signer.stdin.close()
            self.signer.wait(WAIT)
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def signed(self, message, domain='sender.example', seals_for=None):
        if not self.signer:
            self.signer = subprocess.Popen(['/usr/bin/python3', os.path.join(ROOT, 'test', 'system', 'dkim_signer.py')],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with open(self.key, 'rb') as f:
            key = f.read()
        question = {'message': base64.b64encode(message.encode()).decode(), 'key': base64.b64encode(key).decode(),
                    'domain': domain, 'seals_for': seals_for}
        self.signer.stdin.write(json.dumps(question).encode() + b'\n')
        self.signer.stdin.flush()
        return base64.b64decode(self.signer.stdout.readline()).decode()


class Attempt(threading.Thread):
    """
    A message on its way. A refusal comes a byte a second, and others go on meanwhile: wait() gives its code and
    enhanced code, or with is_whole all of it. seconds: how long it took. came_at_once: no tarpit.
    """

    def __init__(self, s, message, source=GOOD, hello='mx.sender.example', sender='ann@sender.example', to='ann@example.org',
                 tls=False, is_whole=False):
        super().__init__(daemon=True)
        self.s, self.message, self.is_whole = s, message, is_whole
        self.source, self.hello, self.sender, self.to, self.tls = source, hello, sender, to, tls
        self.reply, self.error, self.came_at_once = '', None, False
        self.start()

    def run(self):
        try:
            self._send()
        except Exception as e:
            self.error = e

    def _send(self):
        w = self.s.connect(SMTP, source=self.source)
        w.expect('220')
        w.cmd('EHLO ' + self.hello, '250')
        if self.tls:
            w.cmd('STARTTLS', '220')
            w = Wire(insecure_context().wrap_socket(w.sock))
            w.cmd('EHLO ' + self.hello, '250')
        w.cmd('MAIL FROM:<%s>' % self.sender, '250')
        w.cmd('RCPT TO:<%s>' % self.to, '250')
        w.cmd('DATA', '354')
        begin = time.monotonic()
        w.write(self.message + '.\r\n')
        got = b''
        while not (got.endswith(b'\n') or (not self.is_whole and got.count(b' ') == 2)):
            piece = w.sock.recv(4096)
            assert piece, got
            self.came_at_once = self.came_at_once or not got and len(piece) > 20
            got += piece
        self.seconds = time.monotonic() - begin
        self.reply = got.decode()
        w.close()

    def wait(self):
        self.join(WAIT)
        assert not self.is_alive() and self.error is None, self.error
        return self.reply


def send(s, message, want='250', **how):
    """want: one code, or some of them; only as much of the reply is waited for."""
    w = s.connect(SMTP, source=how.get('source', GOOD))
    w.expect('220')
    w.cmd('EHLO ' + how.get('hello', 'mx.sender.example'), '250')
    w.cmd('MAIL FROM:<%s>' % how.get('sender', 'ann@sender.example'), '250')
    w.cmd('RCPT TO:<%s>' % how.get('to', 'ann@example.org'), '250')
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
    return fields_of(raw)


def fields_of(raw):
    fields = re.sub(r'\r\n[ \t]+', ' ', raw).split('\r\n')
    return [tuple(f.split(': ', 1)) for f in fields if ': ' in f]


def count_of(c):
    return int(c.select('INBOX')[1][0])


def field(fields, name):
    found = [v for n, v in fields if n == name]
    assert found, (name, fields)
    return found[0]
