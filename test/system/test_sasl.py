"""
Logins: every SASL mechanism, with clients from outside and with one that says what none would.
"""
import base64
import functools
import hashlib
import hmac
import smtplib
import sqlite3

from harness import *
from serving import serving


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def attempts(s):
    """The recorded attempts as (login, account, protocol, mechanism, result, count, tls, key)."""
    db = sqlite3.connect('file:%s/data/auth/auth.db?mode=ro' % s.dir, uri=True, timeout=WAIT)
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

    def __init__(self, s, tls=None, source=None, port=None):
        self.w = dial(s, port or (SUBMISSIONS if tls else SUBMISSION), tls, source)
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

    def __init__(self, s, tls=None, source=None, port=None):
        self.w = dial(s, port or (IMAPS if tls else IMAP), tls, source)
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
        for protocol in ('smtp', 'imap'):
            for mechanism in ('PLAIN', 'CRAM-MD5', 'SCRAM-SHA-1', 'SCRAM-SHA-256'):
                r = gsasl(s, protocol, mechanism, '--no-starttls')
                assert 'Client authentication finished (server trusted)' in r.stderr, r.stderr
        for protocol in ('submission', 'imap'):
            for mechanism in ('plain', 'cram-md5', 'scram-sha-1', 'scram-sha-256'):
                wait_attempt(s, mechanism=mechanism, protocol=protocol, result='ok', login=LOGIN,
                             account='mox', tls='')
        gsasl(s, 'smtp', 'LOGIN', '--no-starttls')
        r = gsasl(s, 'imap', 'SCRAM-SHA-256', '--no-starttls', password='wrong password', ok=False)
        assert r.returncode != 0
        wait_attempt(s, mechanism='scram-sha-256', result='badpassword')


@test
def gsasl_binds_the_channel():
    with running() as s:
        for protocol in ('smtp', 'imap'):
            for mechanism in ('SCRAM-SHA-1-PLUS', 'SCRAM-SHA-256-PLUS'):
                r = gsasl(s, protocol, mechanism)  # tls-exporter
                assert 'TLS1.3' in r.stderr and 'server trusted' in r.stderr, r.stderr
                assert b64('p=tls-exporter,,n=')[:20] in r.stdout, r.stdout
                r = gsasl(s, protocol, mechanism, '--priority=NORMAL:-VERS-TLS1.3')
                assert 'TLS1.2' in r.stderr and b64('p=tls-unique,,n=')[:18] in r.stdout
            gsasl(s, protocol, 'SCRAM-SHA-256', '--no-cb')
        wait_attempt(s, mechanism='scram-sha-256', protocol='imap', result='ok')
        for name in ('submission', 'imap'):
            for version in ('1.2', '1.3'):
                eventually(lambda: any(row[2] == name and row[3] == 'scram-sha-1-plus' and
                                       'version=TLS' + version in row[6] for row in attempts(s)), lambda: attempts(s))


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



# --- SCRAM, said by hand ------------------------------------------------------------------------------


@test
def scram_by_hand():
    with running() as s:
        for carrier in BOTH:
            for hash in ('SHA-1', 'SHA-256'):
                c = carrier(s)
                assert Scram(c, hash).run(), c.end
                c.close()
                c = carrier(s, tls12())
                binding = c.w.sock.get_channel_binding('tls-unique')
                assert Scram(c, hash, gs2='p=tls-unique,,', binding=binding, plus='-PLUS').run(), c.end
                c.close()
            c = carrier(s, insecure_context())
            assert Scram(c, gs2='n,a=' + LOGIN + ',').run(), c.end  # the identity is its own
            c.close()
        wait_attempt(s, mechanism='scram-sha-1-plus', protocol='imap', result='ok')


@test
def scram_channel_binding_mismatch():
    with running() as s:
        for carrier, code in ((Smtp, '535 5.7.7'), (Imap, 'a NO [AUTHENTICATIONFAILED] channel binding')):
            # Somebody in between has another channel to us than the client has to them.
            c = carrier(s, tls12(), source())
            x = Scram(c, gs2='p=tls-unique,,', binding=b'another chan', plus='-PLUS')
            assert not x.run() and x.answer == 'e=channel-bindings-dont-match', x.answer
            assert c.end.startswith(code), c.end
            c.close()
            c = carrier(s, insecure_context(), source())
            x = Scram(c, gs2='p=tls-exporter,,', binding=b'x' * 32, plus='-PLUS')
            assert not x.run() and x.answer == 'e=channel-bindings-dont-match', x.answer
            c.close()
            # tls-unique is not for TLS 1.3, tls-exporter not for TLS 1.2 here; no type is made up.
            for tls, gs2 in ((insecure_context(), 'p=tls-unique,,'), (tls12(), 'p=tls-exporter,,'),
                             (tls12(), 'p=tls-server-end-point,,')):
                c = carrier(s, tls, source())
                assert not Scram(c, gs2=gs2, binding=b'x', plus='-PLUS').run()
                assert 'unsupported-channel-binding-type' in c.end, c.end
                c.close()
        wait_attempt(s, result='badchanbind', protocol='submission', login=LOGIN, account='mox')
        wait_attempt(s, result='badchanbind', protocol='imap')
        s.wait_log('is somebody in between?')


@test
def scram_downgrades_are_refused():
    with running() as s:
        for carrier in BOTH:
            plain = [('SCRAM-SHA-256-PLUS', None, 'p=tls-exporter,,'), ('EXTERNAL', None, '')]
            c = carrier(s, source=source())
            for mechanism, _, gs2 in plain:  # there is no channel to bind to
                assert c.begin(mechanism, gs2) is None
                assert c.end.startswith(('538 5.7.11', 'a NO [PRIVACYREQUIRED]')), c.end
            c.close()
            # Our list has -PLUS; a client that was shown one without says "y".
            c = carrier(s, insecure_context(), source())
            assert not Scram(c, gs2='y,,').run()
            assert c.end.startswith(('455 4.7.0 server-does-support', 'a NO [AUTHENTICATIONFAILED] scram: '
                                     'server-does-support-channel-binding')), c.end
            # The mechanism and the flag must agree.
            assert not Scram(c, gs2='n,,', plus='-PLUS').run() and 'NO' in c.end + 'NO'
            assert not Scram(c, gs2='p=tls-exporter,,', binding=b'x').run()
            assert 'channel-binding-not-supported' in c.end, c.end
            c.close()
            # Without TLS, "y" is what an honest client says.
            c = carrier(s)
            assert Scram(c, gs2='y,,').run()
            c.close()


@test
def scram_wrong_messages():
    with running() as s:
        for carrier in BOTH:
            c = carrier(s, source=source())
            is_smtp = carrier is Smtp
            first = '455 4.7.0' if is_smtp else 'a NO [AUTHENTICATIONFAILED]'
            final = '535 5.7.0' if is_smtp else 'a NO [AUTHENTICATIONFAILED]'
            for message in ('', 'x', 'n,,n=user', 'n,,m=ext,n=user,r=abc', 'n,,r=abc,n=user', 'n,,n=,r=abc',
                            'n,,n=a=b,r=abc', 'n,,n=user,r=', 'n,,n=user,r=a b', 'n,,n=\xff,r=abc',
                            'n' * 1000):
                assert c.begin('SCRAM-SHA-256', message.encode('latin-1')) is None
                assert c.end.startswith(first), (message, c.end)
            c.close()
            # A wrong final message counts as a failed login; the answer of slow mode comes a byte a second.
            for change in (lambda m: m + ',', lambda m: m.replace('p=', 'm=x,p='), lambda m: m[:-6],
                           lambda m: m.replace('c=', 'x='), lambda m: ''):
                c = carrier(s, source=source())
                x = Scram(c)
                assert x.first()
                assert c.step(change(x.final_message())) is None and c.end.startswith(final), c.end
                c.close()


@test
def scram_messages_of_another_exchange():
    with running() as s:
        for carrier in BOTH:
            # Recorded once, played again: the server's half of the nonce is new.
            c = carrier(s)
            x = Scram(c, nonce='always-the-same')
            assert x.first()
            recorded = x.final_message()
            assert c.step(recorded).decode() == x.want
            c.close()
            c = carrier(s, source=source())
            y = Scram(c, nonce='always-the-same')
            assert y.first() != x.server_first
            assert c.step(recorded) == b'e=other-error'
            c.line('*')
            assert c.end.startswith(('535 5.7.8', 'a NO [AUTHENTICATIONFAILED]')), c.end
            c.close()


@test
def scram_wrong_proof():
    with running() as s:
        for carrier in BOTH:
            c = carrier(s, source=source())
            x = Scram(c, password='wrong password')
            assert not x.run() and x.answer == 'e=invalid-proof'
            # Giving up after the news does not make the failure undone.
            assert c.end.startswith(('535 5.7.8', 'a NO [AUTHENTICATIONFAILED]')), c.end
            wait_attempt(s, mechanism='scram-sha-256', result='badpassword', protocol=c.protocol)
            assert Scram(c).run()  # the connection goes on
            c.close()


@test
def scram_does_not_tell_who_exists():
    with running() as s:
        seen = {}
        for user in (LOGIN, 'nobody@localhost', 'no address', 'nobody@example.net', 'NOBODY@localhost'):
            for _ in range(2):
                c = Imap(s, source=source())
                x = Scram(c, user=user, password='wrong password')
                assert not x.run() and x.answer == 'e=invalid-proof', x.answer
                assert c.end.startswith('a NO [AUTHENTICATIONFAILED] bad user name or password'), c.end
                assert x.iterations == 10000 and len(base64.b64decode(x.salt)) == 16
                assert seen.setdefault(user, x.salt) == x.salt  # asked again, the same
                c.close()
        assert len(set(seen.values())) == 4 and seen['nobody@localhost'] == seen['NOBODY@localhost'], seen
        s.stop()
        s.start()
        c = Imap(s, source=source())
        x = Scram(c, user='nobody@localhost')
        assert not x.run() and x.salt == seen['nobody@localhost']  # also after a restart
        c.close()
        wait_attempt(s, result='baduser', login='nobody@localhost', account='-')


@test
def secrets_come_with_the_next_password_login():
    with running() as s:
        s.stop()
        # An account of before SCRAM and CRAM-MD5: only the password's hash.
        db = sqlite3.connect('%s/data/auth/auth.db' % s.dir)
        db.execute('UPDATE credential SET cram_md5 = NULL')
        db.execute('DELETE FROM scram')
        db.commit()
        db.close()
        s.start()
        for mechanism in ('SCRAM-SHA-1', 'SCRAM-SHA-256'):
            c = Smtp(s, source=source())
            x = Scram(c, mechanism[6:])
            assert not x.run() and x.answer == 'e=invalid-proof'
            c.close()
        wait_attempt(s, mechanism='scram-sha-256', result='error', account='mox')
        try:
            s.imap(login=False).login_cram_md5(LOGIN, PASSWORD)
            raise AssertionError('logged in')
        except imaplib.IMAP4.error:
            pass
        s.imap().logout()
        for mechanism in ('SHA-1', 'SHA-256'):
            c = Smtp(s)
            assert Scram(c, mechanism).run()
            c.close()
        assert s.imap(login=False).login_cram_md5(LOGIN, PASSWORD)[0] == 'OK'


@test
def a_new_password_is_new_for_all():
    with running() as s:
        assert s.command('setaccountpassword', 'mox', input='pass \u0065\u0301 xyzzy\n')[0] == 0
        for password, is_good in ((PASSWORD, False), ('pass \u00e9 xyzzy', True)):
            for hash in ('SHA-1', 'SHA-256'):
                c = Imap(s, source=source())
                assert Scram(c, hash, password=password).run() == is_good
                c.close()
            c = Imap(s, source=source())
            assert c.begin('PLAIN', '\0%s\0%s' % (LOGIN, password)) is None and c.is_ok() == is_good
            c.close()
        s.stop()
        with open('%s/data/auth/auth.db' % s.dir, 'rb') as f:
            stored = f.read()
        assert b'xyzzy' not in stored and PASSWORD.encode() not in stored


# --- PLAIN, LOGIN, CRAM-MD5 and the dialogue ------------------------------------------------------------


def cram(c, user=LOGIN, password=PASSWORD):
    challenge = c.begin('CRAM-MD5')
    assert re.fullmatch(rb'<\d+\.\d+@(localhost|mail\.example\.org)>', challenge), challenge
    return c.step('%s %s' % (user, hmac.new(password.encode(), challenge, hashlib.md5).hexdigest()))


@test
def other_identities():
    with running() as s:
        for carrier, denied in ((Smtp, '535 5.7.8'), (Imap, 'a NO [AUTHORIZATIONFAILED] cannot assume role')):
            c = carrier(s, source=source())
            assert c.begin('PLAIN', '%s\0%s\0%s' % ('other@localhost', LOGIN, PASSWORD)) is None
            assert c.end.startswith(denied), c.end
            assert not Scram(c, gs2='n,a=other@localhost,').run() and c.end.startswith(denied), c.end
            assert c.begin('PLAIN', '%s\0%s\0%s' % (LOGIN, LOGIN, PASSWORD)) is None and c.is_ok(), c.end
            c.close()


@test
def malformed_messages():
    with running() as s:
        for carrier, bad in ((Smtp, '501 5.5.4'), (Imap, 'a BAD ')):
            c = carrier(s, source=source())
            for m in ('', LOGIN, '\0' + LOGIN, '\0%s\0' % LOGIN, '\0\0' + PASSWORD,
                      '\0%s\0%s\0x' % (LOGIN, PASSWORD), '\0%s\0%s' % (LOGIN, 'x' * 2000),
                      '\0%s\0%s' % ('x' * 2000, PASSWORD)):
                assert c.begin('PLAIN') == b''
                assert c.step(m) is None and c.end.startswith(bad), (m, c.end)
            c.close()
            c = carrier(s, source=source())
            for m in ('', 'x', LOGIN, LOGIN + ' ', LOGIN + ' 12', LOGIN + ' ' + 'g' * 32, ' ' + 'a' * 32):
                assert c.begin('CRAM-MD5').startswith(b'<')
                assert c.step(m) is None and c.end.startswith(bad), (m, c.end)
            # CRAM-MD5 begins with the server.
            assert c.begin('CRAM-MD5', 'x') is None and c.end.startswith(bad), c.end
            # The right digest, of another challenge: each is good once.
            challenge = c.begin('CRAM-MD5')
            answer = LOGIN + ' ' + hmac.new(PASSWORD.encode(), challenge, hashlib.md5).hexdigest()
            assert c.line('*') is None
            assert c.begin('CRAM-MD5') != challenge
            assert c.step(answer) is None and c.end.startswith(('535 5.7.8', 'a NO [AUTH')), c.end
            assert cram(c, 'nobody@localhost') is None and c.end.startswith(('535 5.7.8', 'a NO [AUTH'))
            assert cram(c) is None and c.is_ok(), c.end
            c.close()
        wait_attempt(s, mechanism='plain', result='badprotocol', protocol='imap')
        wait_attempt(s, mechanism='cram-md5', result='baduser', account='-')


@test
def dialogue():
    with running() as s:
        for carrier, base64_bad, abort, unknown in (
                (Smtp, '501 5.5.2', '501 5.5.0', '504 5.5.4'),
                (Imap, 'a BAD AUTHENTICATE bad base64', 'a BAD AUTHENTICATE aborted', 'a NO AUTHENTICATE mech')):
            c = carrier(s, source=source())
            for mechanism in ('PLAIN', 'CRAM-MD5', 'SCRAM-SHA-1'):
                assert c.begin(mechanism) is not None
                assert c.line('*') is None and c.end.startswith(abort), c.end
                for wrong in ('!', 'Zg', 'Zg=', 'Zh==', '====', 'Zm9v Zm9v', '\xff', '=', 'AA*='):
                    assert c.begin(mechanism) is not None
                    assert c.line(wrong) is None and c.end.startswith(base64_bad), (wrong, c.end)
            for mechanism in ('NTLM', 'PLAINX', 'X' * 200, 'SCRAM-SHA-512', 'DIGEST-MD5', 'XOAUTH2'):
                assert c.begin(mechanism, 'x') is None and c.end.startswith(unknown), c.end
            # A command begins anew after each, and the right message is still right.
            assert c.begin('PLAIN') == b''
            assert c.step('\0%s\0%s' % (LOGIN, PASSWORD)) is None and c.is_ok(), c.end
            c.close()
        wait_attempt(s, mechanism='scram-sha-1', result='aborted', protocol='submission')
        c = Imap(s, source=source())  # a command there, not a mechanism; names in any case
        assert c.begin('LOGIN') is None and c.end.startswith('a NO AUTHENTICATE mechanism'), c.end
        assert c.begin('sCRAM-shA-1') is not None
        c.close()
        c = Smtp(s, source=source())  # names in upper case
        assert c.begin('plain') is None and c.end.startswith('504'), c.end
        assert c.line('AUTH PLAIN ') is None and c.end.startswith('501 5.5.2'), c.end
        assert c.line('AUTH PLAIN =') is None and c.end.startswith('501 5.5.4'), c.end
        assert c.line('AUTH LOGIN') == b'Username:' and c.step(LOGIN) == b'Password:'
        assert c.step(PASSWORD) is None and c.is_ok()
        assert c.line('AUTH PLAIN') is None and c.end.startswith('503 5.5.1'), c.end
        c.close()


@test
def oversize_lines():
    with running() as s:
        for carrier, long in ((Smtp, '500 5.5.6'), (Imap, 'a BAD [TOOBIG]')):
            c = carrier(s, source=source())
            assert c.begin('SCRAM-SHA-256') == b''
            assert c.line('QUFB' * 3071) is None and not c.end.startswith(long), c.end  # RFC 4954 4: 12288
            assert c.begin('SCRAM-SHA-256') == b''
            assert c.line('QUFB' * 4000) is None and c.end.startswith(long), c.end
            assert c.w.at_end()
            c.close()
            c = carrier(s, source=source())
            assert c.begin('PLAIN') == b''
            with contextlib.suppress(ConnectionError):  # it ends before all is sent
                c.w.write('A' * (1 << 20))
            assert c.w.at_end() or c.w.line().startswith(('00 5.5.6', ' BAD', 'BAD'))
            c.close()


@test
def what_is_announced():
    order = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1', 'CRAM-MD5']
    with running() as s:
        for tls in (None, insecure_context()):
            c = Smtp(s, tls)
            assert '250-AUTH %s PLAIN LOGIN\n' % ' '.join(order) in c.hello, c.hello
            c.close()
            c = Imap(s, tls)
            offered = [w[5:] for w in c.hello.split() if w.startswith('AUTH=')]
            assert [m.rstrip(']') for m in offered] == order + ['PLAIN'], c.hello
            c.close()


# Localserve lets passwords pass in plain; other servers do not.
def strict(s):
    s.stop()
    path = os.path.join(s.dir, 'mox.conf')
    with open(path) as f:
        text = f.read()
    assert 'NoRequireSTARTTLS: true' in text
    with open(path, 'w') as f:
        f.write(text.replace('NoRequireSTARTTLS: true', 'NoRequireSTARTTLS: false'))
    s.start()


@test
def passwords_wait_for_tls():
    with running() as s:
        strict(s)
        c = Smtp(s, source=source())
        assert '250-AUTH \n' in c.hello, c.hello
        for mechanism in ('PLAIN', 'LOGIN'):
            assert c.begin(mechanism) is None and c.end.startswith('538 5.7.11'), c.end
        assert cram(c) is None and c.is_ok()
        c.close()
        c = Imap(s, source=source())
        assert 'LOGINDISABLED' in c.hello and 'AUTH=PLAIN' not in c.hello and 'AUTH=SCRAM-SHA-1 ' in c.hello
        assert c.begin('PLAIN') is None and c.end.startswith('a NO [PRIVACYREQUIRED]'), c.end
        assert c.line('a LOGIN %s %s' % (LOGIN, PASSWORD)) is None
        assert c.end.startswith('a NO [PRIVACYREQUIRED]'), c.end
        assert Scram(c).run()
        c.close()


@test
def starttls_forgets_what_was_before():
    with running() as s:
        for carrier, word in ((Smtp, 'STARTTLS'), (Imap, 'a STARTTLS')):
            c = carrier(s, source=source())
            assert not Scram(c, password='wrong password').run()  # auth was asked in plain
            c.w.write(word + '\r\n')
            assert c.w.line().startswith(('220', 'a OK'))
            c.w = Wire(tls12().wrap_socket(c.w.sock))
            if carrier is Smtp:
                c.w.cmd('EHLO x', '250')
            binding = c.w.sock.get_channel_binding('tls-unique')
            assert Scram(c, gs2='p=tls-unique,,', binding=binding, plus='-PLUS').run(), c.end
            c.close()
        row = wait_attempt(s, mechanism='scram-sha-256-plus', result='ok', protocol='imap')
        assert 'version=TLS1.2' in row['tls'], row


@test
def limiter_is_one_for_all():
    with running() as s:
        ip = source()
        turn = 0
        while True:  # failures by every mechanism and protocol; 10 per minute, or 11 when the minute turns
            turn += 1
            assert turn < 25, 'nothing limits'
            minute = int(time.time()) // 60
            c = [Smtp, Imap][turn % 2](s, source=ip)
            if turn % 3 == 0:
                cram(c, password='wrong password')
            elif turn % 3 == 1:
                Scram(c, password='wrong password').run()
            else:
                c.begin('PLAIN', '\0%s\0%s' % (LOGIN, 'wrong password'))
            is_limited = 'too many failed logins' in c.end
            c.close()
            if is_limited:
                break
        assert 10 <= turn <= 22, turn
        for begin in (lambda c: c.begin('CRAM-MD5'), lambda c: c.begin('EXTERNAL', ''),
                      lambda c: Scram(c).run()):
            for carrier in BOTH:
                c = carrier(s, insecure_context(), ip)
                begin(c)
                # Before any work, right or wrong; but what was counted is forgotten when the minute turns.
                assert 'too many failed logins' in c.end or int(time.time()) // 60 != minute, c.end
                c.close()
        c = Smtp(s, source=source())  # others are not concerned
        assert Scram(c).run()
        c.close()


@test
def names_from_outside_stay_inside_their_lines():
    with running() as s:
        for carrier in BOTH:
            c = carrier(s, source=source())
            forged = 'x@localhost\r\nl=info m=forged\n\x1b[2J'
            c.begin('PLAIN', '\0%s\0%s' % (forged, PASSWORD))
            assert c.end.startswith(('535 5.7.8', 'a NO [AUTHENTICATIONFAILED] bad user')), c.end
            assert not Scram(c, user=forged).run()
            assert cram(c, forged) is None
            c.close()
            # A command where an answer is due is an answer, if not a good one.
            c = carrier(s, insecure_context(), source())
            assert c.begin('PLAIN') == b'' and c.line('STARTTLS') is None
            assert c.end.startswith(('501 5.5.4', 'a BAD malformed')), c.end
            assert c.begin('PLAIN', '\0%s\0%s' % (LOGIN, PASSWORD)) is None and c.is_ok(), c.end
            c.close()
        wait_attempt(s, login=forged, mechanism='plain', result='baduser')
        assert not [l for l in s.log_text().splitlines() if l.startswith('l=info m=forged') or '\x1b' in l]


@test
def imap_login_arguments():
    with running() as s:
        w = dial(s, IMAP, source=source())
        w.line()
        for literals, want in (((LOGIN, ''), 'NO'), (('', PASSWORD), 'BAD'), (('x' * 2000, PASSWORD), 'BAD'),
                               ((LOGIN, 'x' * 2000), 'BAD'), ((LOGIN, PASSWORD), 'OK')):
            w.write('a LOGIN {%d+}\r\n%s {%d+}\r\n%s\r\n' % (len(literals[0]), literals[0],
                                                            len(literals[1]), literals[1]))
            assert w.imap_until('a')[-1].startswith('a ' + want), want
        w.close()


@test
def unknown_users_cost_the_same():
    with running() as s:
        took = {LOGIN: [], 'nobody@localhost': []}
        auth, = s.pids('mox: auth')
        for _ in range(5):
            for user in took:
                c = Smtp(s, source=source())
                start = cpu_seconds(auth)
                c.begin('PLAIN', '\0%s\0%s' % (user, 'wrong password'))
                took[user].append(cpu_seconds(auth) - start)
                assert c.end.startswith('535 5.7.8 bad user name or password'), c.end
                c.close()
        a, b = (sorted(v)[2] for v in took.values())
        # A password is hashed for both, which takes 20 ms or more; without, the answer takes 1 or 2.
        assert a < 4 * b and b < 4 * a, took


@test
def disabled_logins():
    with configured(domains=[('\tmox:\n\t\tDomain: localhost\n',
                              '\tmox:\n\t\tLoginDisabled: on holiday\n\t\tDomain: localhost\n')]) as s:
        key, cert, _ = generate(s, 'laptop')
        assert s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0] == 0
        for carrier, want in ((Smtp, '525 5.7.13 login disabled for account: on holiday'),
                              (Imap, 'a NO login disabled for account: on holiday')):
            c = carrier(s, insecure_context(), source())
            for log_in in (lambda: c.begin('PLAIN', '\0%s\0%s' % (LOGIN, PASSWORD)), lambda: cram(c),
                           lambda: Scram(c).run()):
                log_in()
                assert c.end.startswith(want), c.end
            # Only who has proved to be the user hears of it.
            c.begin('PLAIN', '\0%s\0%s' % (LOGIN, 'wrong password'))
            assert c.end.startswith(('535 5.7.8', 'a NO [AUTHENTICATIONFAILED]')), c.end
            c.close()
            c = carrier(s, with_key(key), source())
            if carrier is Smtp:
                c.w.cmd('MAIL FROM:<mox@localhost>', '530')
            assert c.begin('EXTERNAL', '') is None and c.end.startswith(want), c.end
            c.close()
        wait_attempt(s, mechanism='scram-sha-256', result='logindisabled', account='mox')


@test
def a_key_is_for_its_account_alone():
    with serving() as s:
        key, cert, _ = generate(s, 'laptop')
        assert s.command('config', 'tlspubkey', 'add', 'bob+phone@example.org', input=cert)[0] == 0
        assert '\tbob\tbob+phone@example.org\t' in s.command('config', 'tlspubkey', 'list')[1]
        ann, bob = [('%s@example.org' % n, n + ' password') for n in ('ann', 'bob')]
        c = Smtp(s, with_key(key), source())
        c.w.cmd('MAIL FROM:<ann@example.org>', '550 5.7.1')
        for log_in in (lambda: c.begin('PLAIN', '\0%s\0%s' % ann), lambda: cram(c, *ann)):
            # The password is right, and the key is bob's.
            log_in()
            assert c.end.startswith('535 5.7.8'), c.end
        assert Scram(c, user=bob[0], password=bob[1]).run(), c.end
        c.w.cmd('MAIL FROM:<bob@example.org>', '250')
        c.close()
        for identity, want in (('ann@example.org', False), ('gone@example.org', True), ('', True)):
            c = Smtp(s, with_key(key), source())
            assert c.begin('EXTERNAL', identity) is None and c.is_ok() == want, c.end
            c.close()
        c = Imap(s, with_key(key), source())
        assert c.hello.endswith('mox imap welcomes bob+phone@example.org'), c.hello
        c.close()
        # The address moves to somebody else, or away: the key is nobody's then.
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        s.stop()
        with open(path, 'w') as f:
            f.write(text.replace('\t\t\tbob@example.org: nil\n', '').replace(
                '\t\t\tann@example.org: nil\n', '\t\t\tann@example.org: nil\n\t\t\tbob@example.org: nil\n'))
        s.start()
        c = Imap(s, with_key(key), source())
        assert c.hello.startswith('* OK'), c.hello
        assert c.begin('EXTERNAL', '') is None and c.end.startswith('a NO [AUTHENTICATIONFAILED]'), c.end
        c.close()


# --- keys of clients -----------------------------------------------------------------------------------


def generate(s, stem):
    """A key made by our command: the file for clients, and the certificate."""
    path = os.path.join(s.dir, stem)
    code, out, err = s.command('config', 'tlspubkey', 'gen', path)
    assert code == 0 and out == '' and '-----BEGIN PRIVATE KEY-----' in err, err
    names = sorted(f for f in os.listdir(s.dir) if f.startswith(stem + '.'))
    assert [re.sub(r'\.\d{12}\.', '.', n) for n in names] == [
        stem + '.certificate.pem', stem + '.ed25519privatekey-certificate.pem',
        stem + '.ed25519privatekey.pkcs8.pem'], names
    for n in names:
        assert os.stat(os.path.join(s.dir, n)).st_mode & 0o777 == 0o600
    with open(os.path.join(s.dir, names[0])) as f:
        cert = f.read()
    return os.path.join(s.dir, names[1]), cert, re.search(r'fingerprint: (\S+)', err).group(1)


def with_key(path, version=None):
    c = insecure_context()
    if version:
        c.maximum_version = version
    c.load_cert_chain(path)
    return c


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@test
def tlspubkey_commands():
    with running() as s:
        key, cert, fingerprint = generate(s, 'laptop')
        header = '# fingerprint, type, name, account, login address, no imap preauth (%d)\n'
        assert s.command('config', 'tlspubkey', 'list')[1] == header % 0
        code, out, err = s.command('config', 'tlspubkey', 'add', 'nobody@example.org', input=cert)
        assert code == 1 and 'no account has the address nobody@example.org' in err, err
        for wrong in ('', 'text', open(key).read()):
            assert s.command('config', 'tlspubkey', 'add', LOGIN, input=wrong)[0] == 1
        assert s.command('config', 'tlspubkey', 'add', LOGIN, 'my laptop', input=cert) == (0, '', '')
        code, out, err = s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)
        assert code == 1 and 'registered already' in err, err
        _, cert2, fingerprint2 = generate(s, 'phone')
        assert s.command('config', 'tlspubkey', 'add', '-no-imap-preauth', LOGIN, input=cert2)[0] == 0
        lines = [fingerprint + '\ted25519\tmy laptop\tmox\tmox@localhost\tfalse\n',
                 fingerprint2 + '\ted25519\tphone\tmox\tmox@localhost\ttrue\n']
        assert s.command('config', 'tlspubkey', 'list')[1] == header % 2 + ''.join(lines)
        assert s.command('config', 'tlspubkey', 'list', 'mox')[1] == header % 2 + ''.join(lines)
        assert s.command('config', 'tlspubkey', 'list', 'nobody')[0] == 1
        code, out, err = s.command('config', 'tlspubkey', 'get', fingerprint2)
        assert out == ('type: ed25519\nname: phone\naccount: mox\naddress: mox@localhost\n'
                       'no imap preauth: true\n' + cert2), out
        for wrong in ('x', fingerprint[:-1], fingerprint + '=', 'A' * 43):
            assert s.command('config', 'tlspubkey', 'get', wrong)[0] == 1
        assert s.command('config', 'tlspubkey', 'rm', fingerprint2)[0] == 0
        assert s.command('config', 'tlspubkey', 'rm', fingerprint2)[0] == 1
        assert s.command('config', 'tlspubkey', 'list')[1] == header % 1 + lines[0]
        # Other kinds of keys, made by openssl.
        for kind, option, name in (('ec', 'ec_paramgen_curve:prime256v1', 'ecdsa-p256'),
                                   ('rsa', 'rsa_keygen_bits:2048', 'rsa-2048'),
                                   ('rsa', 'rsa_keygen_bits:1024', None)):
            r = run('openssl', 'req', '-x509', '-newkey', kind, '-pkeyopt', option, '-nodes', '-days', '1',
                    '-subj', '/CN=by openssl', '-keyout', os.path.join(s.dir, 'k.pem'))
            code, out, err = s.command('config', 'tlspubkey', 'add', LOGIN, input=r.stdout)
            if name:
                assert code == 0 and '\t%s\tby openssl\t' % name in s.command('config', 'tlspubkey', 'list')[1]
            else:
                assert code == 1 and '2048 bits' in err, err


@test
def a_key_logs_in():
    with running() as s:
        key, cert, fingerprint = generate(s, 'laptop')
        assert s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0] == 0
        for version in VERSIONS:
            c = Imap(s, with_key(key, version))
            assert c.hello.startswith('* PREAUTH [CAPABILITY IMAP4rev'), c.hello
            assert c.hello.endswith('] mox imap welcomes mox@localhost'), c.hello
            c.w.imap_cmd('a SELECT INBOX')
            c.w.imap_cmd('b LOGOUT')
            c.close()
            # Submission needs no AUTH after it, and allows it for the same account.
            c = Smtp(s, with_key(key, version))
            assert '250-AUTH EXTERNAL SCRAM-SHA-256-PLUS ' in c.hello, c.hello
            c.w.cmd('MAIL FROM:<mox@localhost>', '250')
            c.w.cmd('RCPT TO:<mox@localhost>', '250')
            c.w.cmd('RSET', '250')
            assert Scram(c).run(), c.end
            c.w.cmd('MAIL FROM:<mox@localhost>', '250')
            c.close()
            # Without one, all is as before.
            c = Smtp(s, insecure_context())
            assert 'EXTERNAL' not in c.hello
            c.w.cmd('MAIL FROM:<mox@localhost>', '530')
            assert c.begin('EXTERNAL', '') is None and c.end.startswith('535 5.7.8'), c.end
            c.close()
        row = wait_attempt(s, mechanism='tlsclientauth', result='ok', protocol='imap', key=fingerprint)
        wait_attempt(s, mechanism='tlsclientauth', result='ok', protocol='submission', login=LOGIN)
        # The real thing: openssl's client.
        r = run('openssl', 's_client', '-connect', '%s:%d' % (s.ip, IMAPS), '-cert', key, '-key', key, '-quiet',
                input='a LOGOUT\r\n', ok=False)
        assert '* PREAUTH ' in r.stdout, r.stdout + r.stderr


@test
def external():
    with running() as s:
        key, cert, _ = generate(s, 'laptop')
        assert s.command('config', 'tlspubkey', 'add', '-no-imap-preauth', LOGIN, input=cert)[0] == 0
        for version in VERSIONS:
            for identity in ('', LOGIN, 'MOX@localhost'):
                for carrier in BOTH:
                    c = carrier(s, with_key(key, version))
                    assert carrier is Smtp or 'AUTH=EXTERNAL' in c.hello, c.hello
                    assert c.begin('EXTERNAL', identity) is None and c.is_ok(), c.end
                    c.close()
            for carrier in BOTH:  # in two steps
                c = carrier(s, with_key(key, version))
                assert c.begin('EXTERNAL') == b'' and c.step('') is None and c.is_ok(), c.end
                c.close()
                c = carrier(s, with_key(key, version), source())
                for other in ('other@example.org', 'not an address'):
                    assert c.begin('EXTERNAL', other) is None
                    assert c.end.startswith(('535 5.7.8', 'a NO [AUTHORIZATIONFAILED]')), c.end
                assert c.begin('EXTERNAL', 'a\0b') is None and c.end.startswith(('501', 'a BAD')), c.end
                c.close()
            # After STARTTLS.
            for carrier, word in ((Smtp, 'STARTTLS'), (Imap, 'a STARTTLS')):
                c = carrier(s)
                assert c.begin('EXTERNAL', '') is None and 'TLS' in c.end.upper()
                c.w.write(word + '\r\n')
                assert c.w.line().startswith(('220', 'a OK'))
                c.w = Wire(with_key(key, version).wrap_socket(c.w.sock))
                if carrier is Smtp:
                    assert 'AUTH EXTERNAL' in c.w.cmd('EHLO x', '250')
                else:
                    assert 'AUTH=EXTERNAL' in c.w.imap_cmd('c CAPABILITY')[0]
                assert c.begin('EXTERNAL', '') is None and c.is_ok(), c.end
                c.close()
        # By GNU SASL, which has the certificate for GnuTLS.
        for protocol in ('smtp', 'imap'):
            r = gsasl(s, protocol, 'EXTERNAL', '--x509-cert-file=' + key, '--x509-key-file=' + key)
            assert 'Client authentication finished' in r.stderr, r.stderr


@test
def unknown_keys_are_refused():
    with running() as s:
        key, cert, fingerprint = generate(s, 'laptop')

        def is_refused(port, context):
            try:
                w = dial(s, port, context, source())
                return not w.line()
            except (ssl.SSLError, ConnectionError):
                return True

        for version in VERSIONS:
            for port in (IMAPS, SUBMISSIONS):
                assert is_refused(port, with_key(key, version))
        wait_attempt(s, mechanism='tlsclientauth', result='badcreds', account='-', key=fingerprint)
        assert s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0] == 0
        # Sessions that are resumed bring the key of before; removing it counts for them too.
        for version in VERSIONS:
            context = with_key(key, version)
            first = context.wrap_socket(socket.create_connection((s.ip, IMAPS), timeout=WAIT))
            w = Wire(first)
            assert w.line().startswith('* PREAUTH')
            session = first.session
            assert session and session.has_ticket
            again = context.wrap_socket(socket.create_connection((s.ip, IMAPS), timeout=WAIT), session=session)
            assert Wire(again).line().startswith('* PREAUTH') and again.session_reused
            assert s.command('config', 'tlspubkey', 'rm', fingerprint)[0] == 0
            try:
                late = context.wrap_socket(socket.create_connection((s.ip, IMAPS), timeout=WAIT), session=session)
                assert not Wire(late).line()
            except (ssl.SSLError, ConnectionError):
                pass
            assert s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0] == 0
        s.wait_log('not known any more')


@test
def client_certificates_can_be_turned_off():
    with running() as s:
        s.stop()
        path = os.path.join(s.dir, 'mox.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(re.sub(r'(\n\t+)TLS:\n', r'\1TLS:\n\1\tClientAuthDisabled: true\n', text).replace('\n\n', '\n'))
        s.start()
        key, cert, _ = generate(s, 'laptop')
        assert s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0] == 0
        c = Imap(s, with_key(key))
        assert c.hello.startswith('* OK') and 'EXTERNAL' not in c.hello, c.hello
        c.close()


@test
def auth_that_dies_is_started_again():
    with running() as s:
        pid = s.pids('mox: auth')[0]
        c = Smtp(s, source=source())
        assert c.begin('SCRAM-SHA-256') == b''
        os.kill(pid, signal.SIGKILL)
        c.line('*')
        assert c.end.startswith('454 4.7.0') and c.w.at_end(), c.end
        key, cert, _ = generate(s, 'laptop')
        deadline = time.monotonic() + WAIT
        while s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # front is introduced to the new one, too.
        eventually(lambda: Imap(s, with_key(key)).hello.startswith('* PREAUTH'), 'front does not know it')


# --- ALPN on the HTTPS port ---------------------------------------------------------------------------

HTTPS = 443
ON_HTTPS = [('Port: 1443', 'Port: 443')] + [
    ('\t\t%s:\n\t\t\tEnabled: true\n' % name, '\t\t%s:\n\t\t\tEnabled: true\n\t\t\tEnabledOnHTTPS: true\n' % name)
    for name in ('IMAPS', 'Submissions')]


def needs_port_443(fn):
    """Root's, as the port is. Without, test_acme.py has IMAP on another port."""
    @functools.wraps(fn)
    def wrapped():
        if os.geteuid() == 0:
            fn()
    return wrapped


def asking_for(*protocols, context=None):
    c = context or insecure_context()
    c.set_alpn_protocols(list(protocols))
    return c


def agreed(s, *protocols, context=None):
    """What the server takes of them; None: it refuses."""
    try:
        with asking_for(*protocols, context=context).wrap_socket(
                socket.create_connection((s.ip, HTTPS), timeout=WAIT)) as c:
            return c.selected_alpn_protocol()
    except ssl.SSLError as e:
        assert 'no application protocol' in str(e).lower().replace('_', ' '), e
        return None


def page(s, *args):
    return run('curl', '-sS', '--max-time', str(WAIT), '--cacert', os.path.join(s.dir, 'localhost.crt'), '--connect-to',
               '::%s:' % s.ip, '-w', 'HTTP/%{http_version}', *args, 'https://localhost/admin/').stdout


@test
@needs_port_443
def alpn_leads_to_mail():
    with configured(ON_HTTPS) as s:
        for version in VERSIONS:
            for carrier, name in ((Imap, 'imap'), (Smtp, 'smtp')):
                context = insecure_context()
                context.maximum_version = version
                c = carrier(s, asking_for(name, context=context), port=HTTPS)
                assert c.w.sock.selected_alpn_protocol() == name
                if version == VERSIONS[0]:
                    binding = c.w.sock.get_channel_binding('tls-unique')
                    x = Scram(c, gs2='p=tls-unique,,', binding=binding, plus='-PLUS')
                else:
                    assert 'SCRAM-SHA-256-PLUS' in c.hello, c.hello
                    x = Scram(c)
                assert x.run(), c.end
                row = wait_attempt(s, mechanism=x.mechanism.lower(), protocol=c.protocol, result='ok')
                assert row['tls'].endswith(' alpn=' + name), row
                c.close()
        # Others, from outside; with a certificate that they believe.
        for name, greeting, end in (('imap', '* OK ', 'a LOGOUT\r\n'), ('smtp', '220 ', 'QUIT\r\n')):
            r = run('openssl', 's_client', '-alpn', name, '-connect', '%s:%d' % (s.ip, HTTPS), '-servername', 'localhost',
                    '-CAfile', os.path.join(s.dir, 'localhost.crt'), '-verify_return_error', '-ign_eof', input=end)
            assert 'ALPN protocol: ' + name in r.stdout and '\n' + greeting in r.stdout, r.stdout + r.stderr
        assert 'Administration' in page(s) and page(s).endswith('HTTP/2')
        assert 'Administration' in page(s, '--no-alpn') and page(s, '--http1.1').endswith('HTTP/1.1')


@test
@needs_port_443
def alpn_that_is_not_for_mail():
    """A browser is not led to mail, whatever it is made to say (ALPACA), nor is anybody to what is not there."""
    with configured(ON_HTTPS) as s:
        for asked, answer in ((['imap', 'http/1.1'], 'http/1.1'), (['smtp', 'imap', 'h2'], 'h2'), (['imap', 'smtp'], 'smtp'),
                              (['pop3', 'imap'], 'imap'), (['IMAP'], None), (['pop3'], None), (['acme-tls/1'], None)):
            assert agreed(s, *asked) == answer, asked
        with asking_for('imap').wrap_socket(socket.create_connection((s.ip, HTTPS), timeout=WAIT)) as c:
            w = Wire(c)
            assert w.line().startswith('* OK ')
            w.write('GET / HTTP/1.1\r\nHost: localhost\r\nCookie: a LOGIN x y\r\n\r\n')
            assert 'LOGIN' not in w.line() and w.at_end()  # the first line of HTTP is the last that is read
            w.close()
        w = Wire(socket.create_connection((s.ip, HTTPS), timeout=WAIT))  # no TLS at all
        w.write('a LOGIN x y\r\n')
        assert w.at_end()
        w.close()
        text = open(os.path.join(s.dir, 'mox.conf')).read()
        s.stop()
        open(os.path.join(s.dir, 'mox.conf'), 'w').write(text.replace('EnabledOnHTTPS: true', 'EnabledOnHTTPS: false', 1))
        s.start()
        assert (agreed(s, 'smtp'), agreed(s, 'imap'), agreed(s, 'smtp', 'imap')) == (None, 'imap', 'imap')


@test
@needs_port_443
def alpn_with_a_key_and_parked():
    with configured(ON_HTTPS) as s:
        key, cert, _ = generate(s, 'laptop')
        assert s.command('config', 'tlspubkey', 'add', LOGIN, input=cert)[0] == 0
        c = Imap(s, asking_for('imap', context=with_key(key)), port=HTTPS)
        assert c.hello.startswith('* PREAUTH'), c.hello
        c.w.imap_cmd('a SELECT INBOX')
        c.w.write('b IDLE\r\n')
        assert c.w.line().startswith('+ ')
        wait_parked(s, 1)
        c.w.write('DONE\r\n')
        assert c.w.imap_until('b')[-1].startswith('b OK')
        c.w.imap_cmd('c LOGOUT')
        c.close()


class Pieces:
    """A client of TLS whose first message is sent as it is told."""

    def __init__(self, s, context, cut):
        self.sock = socket.create_connection((s.ip, HTTPS), timeout=WAIT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname='localhost')
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        for piece in cut(self.outgoing.read()):
            self.sock.sendall(piece)

    def call(self, fn, *args):
        while True:
            try:
                r = fn(*args)
                self.sock.sendall(self.outgoing.read())
                return r
            except ssl.SSLWantReadError:
                self.sock.sendall(self.outgoing.read())
                got = self.sock.recv(65536)
                self.incoming.write(got) if got else self.incoming.write_eof()

    def hello(self):
        self.call(self.tls.do_handshake)
        return self.call(self.tls.read, 1000)


def one_by_one(hello):
    return [hello[i:i + 1] for i in range(len(hello))]


def in_records(hello):
    return [b'\x16\x03\x01' + len(p).to_bytes(2, 'big') + p for p in (hello[i:i + 50] for i in range(5, len(hello), 50))]


@test
@needs_port_443
def alpn_in_pieces():
    with configured(ON_HTTPS) as s:
        for cut in (one_by_one, in_records, lambda hello: one_by_one(b''.join(in_records(hello)))):
            c = Pieces(s, asking_for('imap'), cut)
            assert c.hello().startswith(b'* OK ')
            c.sock.close()
            c = Pieces(s, asking_for('http/1.1'), cut)
            c.call(c.tls.do_handshake)
            c.call(c.tls.write, b'GET /admin/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
            assert c.call(c.tls.read, 1000).startswith(b'HTTP/1.1 200 ')
            c.sock.close()


def cpu(pid):
    return sum(map(int, open('/proc/%d/stat' % pid).read().rsplit(')', 1)[1].split()[11:13])) / os.sysconf('SC_CLK_TCK')


@test
@needs_port_443
def alpn_of_those_who_say_too_little():
    """They get what there was before ALPN: a web process, which has deadlines of its own."""
    with configured(ON_HTTPS) as s:
        front, = s.pids('mox: front')
        wait_idle([front, s.process.pid])  # all who are there have been introduced
        n_files = len(os.listdir('/proc/%d/fd' % front))
        w = Wire(socket.create_connection((s.ip, HTTPS), timeout=WAIT))
        w.write(b'\x16\x03\x01\x02\x00\x01')
        w.sock.shutdown(socket.SHUT_WR)
        assert w.at_end()  # nothing is waited for that cannot come
        w.close()
        began, used = time.monotonic(), cpu(front)
        held = [Pieces(s, asking_for('imap'), lambda hello: [hello[:100]])]
        held.append(Pieces(s, asking_for('http/1.1'), lambda hello: []))
        deadline = time.monotonic() + WAIT
        while len(s.pids('mox: web 127')) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert cpu(front) - used < (time.monotonic() - began) / 4  # it did not look all the time
        # Who comes too late is served, but with pages only.
        held[1].tls = asking_for('http/1.1').wrap_bio(held[1].incoming, held[1].outgoing, server_hostname='localhost')
        held[1].call(held[1].tls.do_handshake)
        held[1].call(held[1].tls.write, b'GET /admin/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert held[1].call(held[1].tls.read, 1000).startswith(b'HTTP/1.1 200 ')
        for c in held:
            c.sock.close()
        deadline = time.monotonic() + WAIT
        while len(os.listdir('/proc/%d/fd' % front)) > n_files + 2:  # what it has of new processes
            assert time.monotonic() < deadline, os.listdir('/proc/%d/fd' % front)
            time.sleep(0.1)


@test
@needs_port_443
def alpn_counts_as_mail():
    """30 connections of mail from one address at once, also when they come by way of the HTTPS port."""
    with serving(conf=[(old, new) for old, new in ON_HTTPS if 'Port' not in old]) as s:
        where = source()

        def come():
            sock = socket.create_connection((s.ip, HTTPS), timeout=WAIT, source_address=(where, 0))
            return asking_for('imap').wrap_socket(sock)

        for _ in range(4):  # those that ended are not counted any more, neither as mail nor as HTTP, which may be 100
            held = [come() for _ in range(30)]
            for c in held:
                assert Wire(c).line().startswith('* OK ')
            try:
                come()
                raise AssertionError('one too many')
            except OSError:
                pass
            for c in map(Wire, held):
                c.imap_cmd('a LOGOUT')
                assert c.at_end()
                c.close()


if __name__ == '__main__':
    main('sasl')
