"""mox sendmail with its configuration, as cron and its like start it, against our own submission ports."""
import base64
import threading

from harness import *
from serving import *

CONF = '''LocalHostname: localhost
Host: %s
Port: %d
TLS: %s
STARTTLS: %s
Username: ann@example.org
AuthMethod: %s
From: ann@example.org
'''


class Sendmail:
    def __init__(self, s):
        self.dir = tempfile.mkdtemp(prefix='mox-sendmail-')
        self.s = s
        self.conf_path = os.path.join(self.dir, 'moxsubmit.conf')
        self.failures = os.path.join(self.dir, 'moxsubmit.failures')

    def conf(self, port=SUBMISSIONS, host=None, auth='', secret='Password: ann password\n', more=''):
        with open(self.conf_path, 'w') as f:
            f.write(CONF % (host or self.s.ip, port, str(port == SUBMISSIONS).lower(),
                            str(port == SUBMISSION).lower(), auth) + secret + more)

    def run(self, *args, message=b'To: bob@example.org\nSubject: hello\n\nhi\n', code=0, program=None, trust=True):
        env = dict(os.environ, MOX_SUBMIT_CONF=self.conf_path, HOME=self.dir,
                   SSL_CERT_FILE=os.path.join(self.s.dir, 'localhost.crt') if trust else '/dev/null')
        r = subprocess.run(program or [MOX, 'sendmail', *args], input=message, env=env, capture_output=True,
                           timeout=WAIT)
        err = r.stderr.decode()
        assert r.returncode == code, (r.returncode, err)
        return err

    def kept(self):
        """The message that was kept, of which there is one."""
        name, = os.listdir(self.failures)
        path = os.path.join(self.failures, name)
        assert name.startswith('newmsg.') and os.stat(path).st_mode & 0o777 == 0o600
        with open(path, 'rb') as f:
            text = f.read()
        os.unlink(path)
        return text


@contextlib.contextmanager
def submitting():
    with serving() as s:
        s.stop()
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days',
                        '9', '-subj', '/CN=mail', '-addext', 'subjectAltName=IP:' + s.ip, '-keyout',
                        os.path.join(s.dir, 'localhost.key'), '-out', os.path.join(s.dir, 'localhost.crt')],
                       check=True, capture_output=True, timeout=WAIT)
        s.start()
        m = Sendmail(s)
        try:
            yield m
        finally:
            shutil.rmtree(m.dir)


def fetched(m, n):
    """The n-th message of bob's, when it is there."""
    c = m.s.login('bob')
    deadline = time.monotonic() + WAIT
    while int(c.select('Inbox')[1][0]) < n:
        assert time.monotonic() < deadline, n
        time.sleep(0.02)
    text = c.fetch(str(n), '(BODY.PEEK[])')[1][0][1]
    c.logout()
    return text


@test
def a_message_goes_out_completed():
    with submitting() as m:
        m.conf()
        m.run('-i', '-f', 'root', '-Fcron', '-oem', 'bob@example.org',
              message=b'From: root (Cron)\nSubject: cron\n' + b'X-Cron-Env: <A=B>\n\n' + b'line\n.\n..dots\nend')
        got = fetched(m, 1)
        head, body = got.split(b'\r\n\r\n', 1)
        assert body == b'line\r\n.\r\n..dots\r\nend\r\n', body
        assert head.count(b'\r\nFrom: <ann@example.org>') == 1 and b'root' not in head, head
        assert b'\r\nTo: <bob@example.org>' in head and b'\r\nX-Cron-Env: <A=B>' in head
        assert b'with ESMTPSA' in head and b'Return-Path: <ann@example.org>' in head, head
        # By name, with -t, STARTTLS, 8 bit, and long.
        m.conf(SUBMISSION)
        link = os.path.join(m.dir, 'sendmail')
        os.symlink(MOX, link)
        big = b'\xc3\xa4' * 400 + b'\n'
        m.run(program=[link, '-t', '-i'], message=b'To: Bob <bob@example.org>\nSubject: two\n\n' + big * 20)
        got = fetched(m, 2)
        assert got.endswith(big.replace(b'\n', b'\r\n')) and got.count(b'\xc3\xa4') == 400 * 20
        # Names of this computer, and no header at all.
        m.conf(more='DefaultDestination: bob@example.org\nRequireTLS: no\n')
        m.run('root', message=b'no header here\n')
        got = fetched(m, 3)
        assert got.endswith(b'\r\n\r\nno header here\r\n') and b'\r\nTLS-Required: No\r\n' in got, got
        assert not os.path.exists(m.failures)


@test
def several_recipients():
    """As PHP and its like have them: in To, Cc and Bcc, of which the last is nobody's business."""
    with submitting() as m:
        m.conf()
        m.run('-oi', '-ti', '-f', 'www@example.org', message=b'To: Bob <bob@example.org>, bob@example.org\nCc: ann@example.org\n'
              b'Bcc: rest-of-them@rest.example\nSubject: php\n\nhi\n')
        got = fetched(m, 1)
        assert b'\r\nCc: ann@example.org\r\n' in got and b'Bcc' not in got and b'rest-of' not in got, got
        c = m.s.login('ann')
        deadline = time.monotonic() + WAIT
        while int(c.select('Inbox')[1][0]) < 1 or int(c.select('Rest')[1][0] or 0) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert b'rest-of' not in c.fetch('1', '(BODY.PEEK[TEXT])')[1][0][1]
        c.logout()
        m.run('bob@example.org', 'ann@example.org', message=b'Subject: args\n\nhi\n')
        assert b'\r\nTo:' not in fetched(m, 2)
        assert not os.path.exists(m.failures)


@test
def every_mechanism_logs_in():
    with submitting() as m:
        names = ['', 'SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1', 'CRAM-MD5', 'PLAIN', 'LOGIN']
        for i, auth in enumerate(names):
            m.conf(SUBMISSION if i % 2 else SUBMISSIONS, auth=auth)
            m.run('bob@example.org')
            fetched(m, i + 1)
        # A key instead of a password.
        key = os.path.join(m.dir, 'key.pem')
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '9', '-subj', '/CN=cron', '-keyout',
                        key, '-out', os.path.join(m.dir, 'crt.pem')], check=True, capture_output=True, timeout=WAIT)
        with open(os.path.join(m.dir, 'crt.pem')) as f:
            cert = f.read()
        code, _, err = m.s.command('config', 'tlspubkey', 'add', 'ann@example.org', 'cron', input=cert)
        assert code == 0, err
        with open(key, 'a') as f:
            f.write(cert)
        m.conf(secret='ClientAuthCertPrivateKeyPEMFile: %s\n' % key)
        m.run('bob@example.org')
        fetched(m, len(names) + 1)
        with open(key) as f:
            der = base64.b64decode(''.join(l for l in f.read().split('-----END')[0].split('\n')[1:]))
        m.conf(secret='ClientAuthEd25519PrivateKey: %s\n' % base64.urlsafe_b64encode(der[-32:]).decode().rstrip('='))
        m.run('bob@example.org')
        fetched(m, len(names) + 2)


@test
def what_cannot_be_sent_is_kept():
    message = b'To: bob@example.org\nSubject: kept\n\n.\nhi\n'
    with submitting() as m:
        def fails(words, *args, **more):
            err = m.run(*args, code=1, message=message, **more)
            assert words in err and m.failures in err, err
            assert m.kept() == message
        fails('moxsubmit.conf', 'bob@example.org')
        m.conf()
        fails('no such address here', 'nobody@example.org')
        fails('certificate', 'bob@example.org', trust=False)
        m.conf(secret='Password: wrong password\n')
        fails('the server refuses the login: invalid-proof', 'bob@example.org')
        m.conf(port=1)
        fails('port 1', 'bob@example.org')
        m.conf(SUBMISSION, auth='EXTERNAL')
        fails('no way to log in', 'bob@example.org')
        m.conf()
        fails('DefaultDestination', 'bob')
        for more, words in (('RequireTLS: maybe\n', 'yes or no'), ('ClientAuthEd25519PrivateKey: x\n', 'one of Password'),
                            ('Nonsense: x\n', 'Nonsense')):
            m.conf(more=more)
            fails(words, 'bob@example.org')
        m.conf()
        message = b'To: bob@example.org, nobody@example.org\n\nhi\n'
        fails('no such address here', '-t')
        # Nobody is left out without a word, and no address is made of two words.
        for to in (b'bob@example.org ann@example.org', b'bob@example.org, <ann@example.org>x', b'bob@example.org, ann@@example.org',
                   b'bob@example.org, <ann@example.org ann@example.org>', b'bob@example.org, root ann@example.org'):
            message = b'To: %s\n\nhi\n' % to
            fails('no list of addresses', '-t')
        message = b'To: root\n\nhi\n'
        fails('DefaultDestination is not set: root', '-t')
        message = b'To: undisclosed-recipients:;\n\nhi\n'
        fails('To, Cc or Bcc', '-t')
        fails('as arguments', '-t', 'bob@example.org')
        message = b'To: bob@example.org\n\nbare\rreturn\n'
        fails('', 'bob@example.org')
        m.run(code=2)


@test
def servers_that_cannot_be_trusted():
    """What is read in plain before TLS does not count after it; a login is not given to whom it does not know."""
    with submitting() as m:
        for script, words in (
                ([b'220 hi\r\n', b'250-me\r\n250 AUTH PLAIN\r\n'], 'does not offer STARTTLS'),
                ([b'220 hi\r\n', b'250-me\r\n250 STARTTLS\r\n', b'220 go\r\n250 injected\r\n'], 'more than its answer'),
                ([b'220 hi\r\n', b'250-me\r\n250 STARTTLS\r\n', b'454 no\r\n'], 'the server says: 454'),
                ([b'554 go away\r\n'], 'the server says: 554 go away'),
                ([b'no smtp\r\n'], ''), ([b'x' * 100000], ''), ([b''], 'closed'),
        ):
            listener = socket.create_server((m.s.ip, 0))
            got = []

            def play():
                c, _ = listener.accept()
                c.settimeout(WAIT)
                with contextlib.suppress(OSError):
                    for i, line in enumerate(script):
                        if i:
                            got.append(c.recv(4096))
                        c.sendall(line)
                    if script[-1] != b'':
                        got.append(c.recv(4096))
                c.close()
            listener.settimeout(WAIT)
            t = threading.Thread(target=play, daemon=True)
            t.start()
            m.conf(SUBMISSION)
            with open(m.conf_path) as f:
                text = f.read()
            with open(m.conf_path, 'w') as f:
                f.write(text.replace('Port: %d' % SUBMISSION, 'Port: %d' % listener.getsockname()[1]))
            err = m.run('bob@example.org', code=1)
            t.join(WAIT)
            listener.close()
            assert words in err, (words, err)
            assert not any(b'AUTH' in g or b'MAIL' in g for g in got), got
            m.kept()


@test
def set_group_id_makes_it_sendmail_and_nothing_else():
    if os.geteuid() != 0:
        return
    with submitting() as m:
        os.chmod(m.dir, 0o755)
        program = os.path.join(m.dir, 'sendmail')
        shutil.copy(MOX, program)
        os.chown(program, 0, 65534)
        os.chmod(program, 0o2755)
        other = os.path.join(m.dir, 'mox')
        os.link(program, other)
        r = subprocess.run([other, 'version'], capture_output=True, text=True, timeout=WAIT)
        assert r.returncode == 1 and 'sendmail and nothing else' in r.stderr, r
        # Nor does it read another file than its own.
        m.conf()
        r = subprocess.run([program, 'bob@example.org'], input='hi\n', env=dict(os.environ, MOX_SUBMIT_CONF=m.conf_path,
                           HOME=m.dir), capture_output=True, text=True, timeout=WAIT)
        assert r.returncode == 1 and ('/etc/moxsubmit.conf' in r.stderr), r


main('sendmail')
