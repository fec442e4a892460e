"""
Logins: every SASL mechanism, with clients from outside and with one that says what none would.
"""
import base64
import hashlib
import hmac
import smtplib
import sqlite3

from harness import *


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def attempts(s):
    """The recorded attempts as (login, account, protocol, mechanism, result, count, tls, key)."""
    db = sqlite3.connect('file:%s/data/auth/auth.db?mode=ro' % s.dir, uri=True)
    try:
        return db.execute('SELECT login, account, protocol, mechanism, result, count, tls, client_key '
                          'FROM login_attempt').fetchall()
    finally:
        db.close()


def wait_attempt(s, **want):
    """Waits until an attempt with these values is recorded."""
    names = ['login', 'account', 'protocol', 'mechanism', 'result', 'count', 'tls', 'key']
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        for row in attempts(s):
            row = dict(zip(names, row))
            if all(row[k] == v for k, v in want.items()):
                return row
        time.sleep(0.1)
    raise AssertionError('no attempt %r in %r' % (want, attempts(s)))


# --- carriers: one exchange in SMTP and in IMAP -----------------------------------------------------


class Smtp:
    """An exchange over submission. step() sends a message and returns a challenge, or None at the end."""

    protocol = 'submission'

    def __init__(self, s, tls=None, source=None):
        self.w = dial(s, SUBMISSIONS if tls else SUBMISSION, tls, source)
        self.w.expect('220')
        self.hello = self.w.cmd('EHLO client.example', '250')

    def begin(self, mechanism, initial=None):
        return self.line('AUTH ' + mechanism + ('' if initial is None else ' ' + (b64(initial) or '=')))

    def step(self, message):
        return self.line(b64(message))

    def line(self, line):
        self.w.write(line + '\r\n')
        self.end = self.w.reply()
        return base64.b64decode(self.end[4:]) if self.end.startswith('334 ') else None

    def is_ok(self):
        return self.end.startswith('235 2.7.0')

    def close(self):
        self.w.close()


class Imap:
    protocol = 'imap'

    def __init__(self, s, tls=None, source=None):
        self.w = dial(s, IMAPS if tls else IMAP, tls, source)
        self.hello = self.w.line()

    def begin(self, mechanism, initial=None):
        return self.line('a AUTHENTICATE ' + mechanism +
                         ('' if initial is None else ' ' + (b64(initial) or '=')))

    def step(self, message):
        return self.line(b64(message))

    def line(self, line):
        self.w.write(line + '\r\n')
        self.end = self.w.line()
        return base64.b64decode(self.end[2:]) if self.end.startswith('+ ') else None

    def is_ok(self):
        return self.end.startswith('a OK [CAPABILITY ')

    def close(self):
        self.w.close()


BOTH = [Smtp, Imap]


def dial(s, port, tls=None, source=None):
    sock = socket.create_connection((s.ip, port), timeout=WAIT, source_address=(source, 0) if source else None)
    if tls:
        sock = tls.wrap_socket(sock)
    return Wire(sock)


_sources = [0]


def source():
    """A client address in a network of its own, so that failures of one test do not limit another."""
    _sources[0] += 1
    return '127.%d.%d.1' % (250 - _sources[0] // 30, 8 * (_sources[0] % 30))


# --- a SCRAM client ---------------------------------------------------------------------------------


class Scram:
    """RFC 5802, the client's side; every part can be replaced by something wrong."""

    def __init__(self, c, hash='SHA-256', user=LOGIN, password=PASSWORD, gs2='n,,', binding=b'',
                 plus='', nonce=None, ext=''):
        self.c = c
        self.hash = hashlib.sha256 if hash == 'SHA-256' else hashlib.sha1
        self.mechanism = 'SCRAM-' + hash + plus
        self.password = password
        self.gs2, self.binding = gs2, binding
        self.nonce = nonce or b64(os.urandom(18))
        self.bare = '%sn=%s,r=%s' % (ext, user.replace('=', '=3D').replace(',', '=2C'), self.nonce)

    def mac(self, key, data):
        return hmac.new(key, data, self.hash).digest()

    def first(self):
        r = self.c.begin(self.mechanism, self.gs2 + self.bare)
        self.server_first = r.decode() if r is not None else None
        return self.server_first

    def final_message(self):
        parts = dict(p.split('=', 1) for p in self.server_first.split(','))
        self.salt, self.iterations = parts['s'], int(parts['i'])
        salted = hashlib.pbkdf2_hmac(self.hash().name, self.password.encode(),
                                     base64.b64decode(self.salt), self.iterations)
        without_proof = 'c=%s,r=%s' % (b64(self.gs2.encode() + self.binding), parts['r'])
        message = ','.join([self.bare, self.server_first, without_proof]).encode()
        client_key = self.mac(salted, b'Client Key')
        signature = self.mac(self.hash(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.want = 'v=' + b64(self.mac(self.mac(salted, b'Server Key'), message))
        return '%s,p=%s' % (without_proof, b64(proof))

    def run(self):
        """True when it succeeded and the server has proved that it knows the password."""
        if self.first() is None:
            return False
        r = self.c.step(self.final_message())
        self.answer = r.decode() if r is not None else None
        if self.answer != self.want:
            if r is not None:
                self.c.line('*')
            return False
        assert self.c.step('') is None
        return self.c.is_ok()


def tls12():
    c = insecure_context()
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    return c


# --- clients from outside ---------------------------------------------------------------------------


def gsasl(s, protocol, mechanism, *args, password=PASSWORD, login=LOGIN, ok=True):
    port = SUBMISSION if protocol == 'smtp' else IMAP
    return run('gsasl', '--' + protocol, '--connect', '%s:%d' % (s.ip, port), '--mechanism', mechanism,
               '--authentication-id', login, '--password', password, '--x509-ca-file=', '--verbose', *args,
               input='', ok=ok)


@test
def gsasl_with_every_mechanism():
    with running() as s:
        for protocol, name in (('smtp', 'submission'), ('imap', 'imap')):
            for mechanism in ('PLAIN', 'CRAM-MD5', 'SCRAM-SHA-1', 'SCRAM-SHA-256'):
                r = gsasl(s, protocol, mechanism, '--no-starttls')
                assert 'Client authentication finished (server trusted)' in r.stderr, r.stderr
                wait_attempt(s, mechanism=mechanism.lower(), protocol=name, result='ok', login=LOGIN,
                             account='mox', tls='')
        gsasl(s, 'smtp', 'LOGIN', '--no-starttls')
        r = gsasl(s, 'imap', 'SCRAM-SHA-256', '--no-starttls', password='wrong password', ok=False)
        assert r.returncode != 0
        wait_attempt(s, mechanism='scram-sha-256', result='badpassword')


@test
def gsasl_binds_the_channel():
    with running() as s:
        for protocol, name in (('smtp', 'submission'), ('imap', 'imap')):
            for mechanism in ('SCRAM-SHA-1-PLUS', 'SCRAM-SHA-256-PLUS'):
                r = gsasl(s, protocol, mechanism)  # tls-exporter
                assert 'TLS1.3' in r.stderr and 'server trusted' in r.stderr, r.stderr
                assert b64('p=tls-exporter,,n=')[:20] in r.stdout, r.stdout
                row = wait_attempt(s, mechanism=mechanism.lower(), protocol=name, result='ok')
                assert 'version=TLS1.3' in row['tls'], row
                r = gsasl(s, protocol, mechanism, '--priority=NORMAL:-VERS-TLS1.3')
                assert 'TLS1.2' in r.stderr and b64('p=tls-unique,,n=')[:18] in r.stdout
            # A client that could bind and is told by nobody that we can: refused by us or by itself.
            gsasl(s, protocol, 'SCRAM-SHA-256', '--no-cb')


@test
def swaks_with_every_mechanism():
    with running() as s:
        for mechanism in ('PLAIN', 'LOGIN', 'CRAM-MD5'):
            for tls in ([], ['--tls']):
                r = run('swaks', '--server', s.ip, '--port', str(SUBMISSION), '--auth', mechanism,
                        '--auth-user', LOGIN, '--auth-password', PASSWORD, '--from', LOGIN,
                        '--to', 'mox@localhost', '--body', 'by ' + mechanism, *tls)
                assert ' 235 2.7.0' in r.stdout and ' 250 2.' in r.stdout, r.stdout
        r = run('swaks', '--server', s.ip, '--port', str(SUBMISSION), '--auth', 'CRAM-MD5',
                '--auth-user', LOGIN, '--auth-password', 'wrong password', '--quit-after', 'AUTH', ok=False)
        assert ' 535 5.7.8' in r.stdout, r.stdout


@test
def python_clients():
    with running() as s:
        c = s.imap(login=False)
        assert c.login_cram_md5(LOGIN, PASSWORD)[0] == 'OK'
        c.select()
        c.logout()
        c = s.imap(login=False)
        assert c.authenticate('PLAIN', lambda _: b'\0%s\0%s' % (LOGIN.encode(), PASSWORD.encode()))[0] == 'OK'
        c.logout()
        for fail in (lambda c: c.login_cram_md5(LOGIN, 'wrong password'),
                     lambda c: c.login(LOGIN, 'wrong password')):
            c = s.imap(login=False)
            try:
                fail(c)
                raise AssertionError('logged in')
            except imaplib.IMAP4.error as e:
                assert 'AUTHENTICATIONFAILED' in str(e), e
        with smtplib.SMTP(s.ip, SUBMISSION, timeout=WAIT) as m:
            m.ehlo()
            for auth in ('CRAM_MD5', 'PLAIN', 'LOGIN'):
                m.user, m.password = LOGIN, PASSWORD
                try:
                    assert m.auth(auth.replace('_', '-'), getattr(m, 'auth_' + auth.lower()))[0] == 235
                except smtplib.SMTPAuthenticationError as e:
                    raise AssertionError('%s: %s' % (auth, e))
                m.close()
                m.connect(s.ip, SUBMISSION)
                m.ehlo()


if __name__ == '__main__':
    main('sasl')
