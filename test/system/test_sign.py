"""
Signing: mail that a user submits gets the signatures of the domain in its From field, which dkimpy, OpenDKIM and
our own verifier accept; keys are changed while the server runs.
"""
import random
import smtplib
import sys

from harness import *
from serving import *
from signing import *

SELECTOR = '''				%s:
					Canonicalization:
						HeaderRelaxed: %s
						BodyRelaxed: %s
					PrivateKeyFile: %s
'''


class Signed(Key):
    """A selector of example.org with a key in a file of its own."""

    def __init__(self, selector, kind, header='relaxed', body='relaxed', more=''):
        super().__init__(selector, kind, 'example.org')
        self.header, self.body, self.more = header, body, more
        self.file = selector + '.pem'

    def lines(self):
        return SELECTOR % (self.selector, str(self.header == 'relaxed').lower(), str(self.body == 'relaxed').lower(),
                           self.file) + ''.join('\t\t\t\t\t%s\n' % l for l in self.more.split('\n') if l)


def write_keys(s, keys):
    for k in keys:
        with open(os.path.join(s.dir, k.file), 'w') as f:
            f.write(k.pem)
        os.chmod(f.name, 0o600)  # root's: the roles run as another user


def configure(s, keys, sign=None):
    """The domain's section DKIM; the server takes it over by itself."""
    with open(os.path.join(s.dir, 'domains.conf')) as f:
        text = f.read()
    text = re.sub(r'\t\tDKIM:\n(\t\t\t.*\n)*', '', text)
    own = '\t\tDKIM:\n\t\t\tSelectors:\n' + ''.join(k.lines() for k in keys)
    own += '\t\t\tSign:\n' + ''.join('\t\t\t\t- %s\n' % (k.selector) for k in sign or keys)
    text = text.replace('\texample.org:\n', '\texample.org:\n' + own) if keys else text
    rewrite(os.path.join(s.dir, 'domains.conf'), text)


def reload(s, keys):
    before = os.path.getsize(s.log_path)
    configure(s, keys)
    s.wait_log('selectors are in use', before)


@contextlib.contextmanager
def signing(keys, sign=None):
    s = Serve().start()
    try:
        s.stop()
        write_keys(s, keys)
        configure(s, keys, sign=sign)
        s.start()
        for name in ('ann', 'bob'):
            code, _, err = s.command('setaccountpassword', name, input=name + ' password\n')
            assert code == 0, err
        yield s
    finally:
        s.close()


def submit(s, who, text, to='bob@example.org', sender=None):
    """The message as it came to bob."""
    with smtplib.SMTP_SSL(s.ip, SUBMISSIONS, timeout=WAIT, context=insecure_context()) as c:
        c.login(who + '@example.org', who + ' password')
        c.sendmail(sender or who + '@example.org', [to], text, ['BODY=8BITMIME', 'SMTPUTF8'])


def arrived(s, name, subject):
    c = s.login(name)
    try:
        deadline = time.monotonic() + WAIT
        while True:
            c.select('Inbox')
            found = c.search(None, 'SUBJECT', '"%s"' % subject)[1][0].split()
            if found:
                return c.fetch(found[0], '(BODY.PEEK[])')[1][0][1]
            assert time.monotonic() < deadline, subject
            time.sleep(0.05)
    finally:
        c.logout()


def sent(s, subject, text=None, **more):
    """Submits and fetches; what the server of the recipient put before it is taken off."""
    text = text or 'From: Ann <Ann+x@Example.org>\r\nTo: bob@example.org\r\nSubject: %s\r\n\r\nhello  \r\n\r\n'
    submit(s, 'ann', (text % subject).encode(), **more)
    return arrived(s, 'bob', subject)


def signatures(message):
    """The signatures of a message from the top, as dicts of their tags."""
    head = message.split(b'\r\n\r\n', 1)[0].decode()
    found = re.findall(r'^DKIM-Signature:((?:.*\n[ \t])*.*)', head, re.M)
    return [dict(re.sub(r'\s+', '', t).split('=', 1) for t in f.split(';') if t.strip()) for f in found]


def good(message, keys):
    """What dkimpy says of each signature."""
    return judge([{'do': 'verify', 'message': b64(message), 'records': {k.name: k.record for k in keys}}])[0]


RSA, ED = Signed('rsa', 'rsa'), Signed('ed', 'ed25519', 'simple', 'relaxed', 'Expiration: 72h')
BOTH = Signed('rs', 'rsa', 'simple', 'simple', 'DontSealHeaders: true\nHeaders:\n\t- From\n\t- Subject')
OTHER = Signed('other', 'rsa')


@test
def what_is_submitted_is_signed_with_all_selectors():
    keys = [RSA, ED, BOTH]
    with signing(keys + [OTHER], sign=keys) as s:
        m = sent(s, 'signed')
        tags = signatures(m)
        assert [t['s'] for t in tags] == ['rsa', 'ed', 'rs'], tags
        assert good(m, keys) == [True] * 3, m
        for t in tags:
            assert t['d'] == 'example.org' and t['i'] == 'ann@example.org', t
        assert [t['a'] for t in tags] == ['rsa-sha256', 'ed25519-sha256', 'rsa-sha256']
        assert [t.get('c') for t in tags] == ['relaxed/relaxed', 'simple/relaxed', None]
        assert ['x' in t for t in tags] == [False, True, False]
        assert int(tags[1]['x']) - int(tags[1]['t']) == 72 * 3600
        # Sealed: each field once more than it is there. And only what the configuration lists.
        names = tags[0]['h'].lower().split(':')
        assert names.count('from') == 2 and names.count('subject') == 2 and names.count('cc') == 1, names
        assert names.count('message-id') == 2 and names.count('date') == 2, names  # which the server added
        assert tags[2]['h'].lower() == 'from:subject', tags[2]
        # Another opinion, and one that can say no.
        assert opendkim(m, RSA) and not opendkim(m.replace(b'hello', b'hullo'), RSA)
        assert good(m.replace(b'Subject: signed', b'Subject: forged'), keys) == [False] * 3
        assert good(b'Subject: more\r\n' + m, keys) == [False, False, True]  # the last one is not sealed
        # The order of 1.10: Received, what was missing, signatures, results.
        order = [l.split(b':')[0] for l in m.split(b'\r\n\r\n')[0].split(b'\r\n') if l[:1] not in b' \t']
        at = order.index(b'Message-Id')
        assert order[at - 1:at + 6] == [b'Received', b'Message-Id', b'Date'] + [b'DKIM-Signature'] * 3 + [
            b'Authentication-Results'], order


def opendkim(message, key):
    program = shutil.which('opendkim', path=os.environ.get('PATH', '') + ':/usr/sbin')
    with tempfile.TemporaryDirectory() as d:
        def put(name, text):
            with open(os.path.join(d, name), 'wb') as f:
                f.write(text)
            return os.path.join(d, name)
        keys = put('keys', ('%s %s\n' % (key.name, key.record)).encode())
        conf = put('conf', ('Mode v\nTestPublicKeys %s\n' % keys).encode())
        # One signature, since it looks no further than the first.
        fields = re.split(rb'(?m)^(?=[^ \t])', message[:message.index(b'\r\n\r\n') + 2])
        own = b''.join(f for f in fields if not f.startswith(b'DKIM-Signature:') or b's=%s;' % key.selector.encode() in f)
        own += message[message.index(b'\r\n\r\n') + 2:]
        r = subprocess.run([program, '-x', conf, '-t', put('m', own.replace(b'\r\n', b'\n')), '-v', '-v'],
                           capture_output=True, timeout=WAIT)
        out = r.stdout.decode('latin-1') + r.stderr.decode('latin-1')
        assert 'dkim=' in out, out
        return 'dkim=pass' in out


@test
def odd_messages_keep_their_signatures():
    rng = random.Random(1128)
    keys = [RSA, Signed('ed', 'ed25519', 'simple', 'simple')]
    with signing(keys) as s:
        odd = []
        for i in range(8):
            m = odd_message(rng, 'ann@example.org')
            m = re.sub(rb'(?im)^subject:(.*\r\n[ \t])*.*\r\n', b'', m.replace(b'\rx', b'x'))
            odd.append(b'Subject: odd %d\r\n' % i + m)
        for i, m in enumerate(odd):
            submit(s, 'ann', m)
            got = arrived(s, 'bob', 'odd %d' % i)
            assert good(got, keys) == [True, True], (m, got)


@test
def keys_change_while_the_server_runs():
    fresh = Signed('fresh', 'rsa')
    with signing([RSA]) as s:
        assert good(sent(s, 'first'), [RSA]) == [True]
        write_keys(s, [fresh])
        reload(s, [fresh])
        m = sent(s, 'second')
        assert [t['s'] for t in signatures(m)] == ['fresh'] and good(m, [fresh]) == [True], m
        # A connection that was there before has what is used now.
        with smtplib.SMTP_SSL(s.ip, SUBMISSIONS, timeout=WAIT, context=insecure_context()) as c:
            c.login('ann@example.org', 'ann password')
            for keys, subject in (([fresh], 'third'), ([RSA], 'fourth'), ([], 'fifth')):
                if subject != 'third':
                    reload(s, keys)
                c.sendmail('ann@example.org', ['bob@example.org'],
                           'From: ann@example.org\r\nSubject: %s\r\n\r\nhi\r\n' % subject)
                assert [t['s'] for t in signatures(arrived(s, 'bob', subject))] == [k.selector for k in keys]
        # A key that is none: what was used stays in use, and the log says so.
        reload(s, [RSA])
        before = os.path.getsize(s.log_path)
        with open(os.path.join(s.dir, RSA.file), 'w') as f:
            f.write('no key\n')
        reload(s, [RSA, fresh])
        s.wait_log('m="private key not usable, the previous one stays in use"', before)
        m = sent(s, 'sixth')
        assert good(m, [RSA, fresh]) == [True, True], m
        assert s.command('config', 'test')[0] == 1
        # A file that is not there: the configuration stays as it was.
        os.unlink(os.path.join(s.dir, RSA.file))
        before = os.path.getsize(s.log_path)
        configure(s, [RSA])
        s.wait_log('the previous one stays in use', before)
        assert 'private key of DKIM rsa.pem: opening: No such file' in s.log_text(before), s.log_text(before)
        assert good(sent(s, 'seventh'), [RSA, fresh]) == [True, True]
        assert RSA.file in s.command('config', 'test')[2]
        # Also after a crash: the monitor keeps what was read.
        before = os.path.getsize(s.log_path)
        os.kill(s.pids('mox: dkim')[0], signal.SIGKILL)
        s.wait_log('role ended unexpectedly', before)
        deadline = time.monotonic() + WAIT
        got, i = [], 0
        while len(got) != 1:  # until it is there again, messages go out without
            assert time.monotonic() < deadline
            i += 1
            got = signatures(sent(s, 'eighth%d' % i))
        assert [t['s'] for t in got] == ['fresh'], got
        # At start it is an error.
        s.stop()
        s.start(expect_failure=True)
        assert 'private key of DKIM rsa.pem' in s.log_text()
        # At the start, before anything is to be signed.
        with open(os.path.join(s.dir, RSA.file), 'w') as f:
            f.write('no key\n')
        s.stop()
        before = os.path.getsize(s.log_path)
        s.start()
        s.wait_log('m="private key not usable, nothing is signed with this selector"', before)


@test
def a_message_without_a_signer_goes_out():
    """There are no selectors, or whoever has the keys does not answer."""
    with signing([]) as s:
        write_keys(s, [RSA])
        assert not signatures(sent(s, 'unsigned'))
        reload(s, [RSA])
        os.kill(s.pids('mox: dkim')[0], signal.SIGSTOP)
        with smtplib.SMTP_SSL(s.ip, SUBMISSIONS, timeout=WAIT, context=insecure_context()) as c:
            c.login('ann@example.org', 'ann password')
            for subject in ('lost', 'found'):
                c.sendmail('ann@example.org', ['bob@example.org'],
                           'From: ann@example.org\r\nSubject: %s\r\n\r\nhi\r\n' % subject)
                assert len(signatures(arrived(s, 'bob', subject))) == (subject == 'found')
                os.kill(s.pids('mox: dkim')[0], signal.SIGCONT)
        assert s.log_text().count('a message is not signed') == 1


if __name__ == '__main__':
    main('sign')
