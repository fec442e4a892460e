"""
mox dkim: messages that dkimpy and OpenDKIM signed, verified with keys in a test Internet, and ours verified
by them. The messages have every sort of blank and line, which the canonical forms must agree about.
"""
import base64
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'internet'))
from harness import *
from internet import Internet, Zone, why_not
from signing import *

DOMAIN = 'signer.com'
FORMS = [(h, b) for h in ('simple', 'relaxed') for b in ('simple', 'relaxed')]
MESSAGE = b'''From: Al <al+x@signer.com>\r
To: b@example.org\r
Subject: hello   there\r
 and\t more \r
Date: Wed, 25 Nov 2026 10:00:00 +0000\r
\r
body   text \r
\r
'''
net = dir = None


def mox(*args, input=None, ok=True):
    r = subprocess.run([MOX, *args], input=input, env=dict(os.environ, **net.env), capture_output=True, timeout=WAIT)
    assert not ok or r.returncode == 0, (args, r.stderr)
    return r.stdout if ok else (r.returncode, r.stdout.decode() + r.stderr.decode())


def path(name, content=None):
    p = os.path.join(dir, name)
    if content is not None:
        with open(p, 'wb') as f:
            f.write(content)
    return p


def statuses(message):
    """What mox dkim verify says of each signature: [(status, why)]."""
    out = mox('dkim', 'verify', path('verify.eml', message)).decode()
    return re.findall(r'^status "(\w+)", err (.*)$', out, re.M)


def all_pass(message, n):
    got = statuses(message)
    assert [s for s, _ in got] == ['pass'] * n, (got, message)


KEYS = [Key('rsa', 'rsa', DOMAIN), Key('ed', 'ed25519', DOMAIN)]
BAD = '''
revoked._domainkey TXT "v=DKIM1; p="
testing._domainkey TXT "v=DKIM1; t=y; p="
spf._domainkey TXT "v=spf1 -all"
'''


def questions(message):
    return [{'do': 'sign', 'message': b64(message), 'selector': k.selector, 'domain': DOMAIN, 'key': b64(k.for_dkimpy()),
             'canonical': form, 'algorithm': k.algorithm} for k in KEYS for form in FORMS]


def signed_by_dkimpy(messages):
    """Each with eight signatures: of each key in each canonical form."""
    answers = judge([q for m in messages for q in questions(m)])
    for i, m in enumerate(messages):
        yield b''.join(base64.b64decode(a) for a in answers[8 * i:8 * i + 8]) + m


def config(selectors):
    """A configuration directory whose domain signs with these: [(key, header form, body form)]."""
    shutil.rmtree(path('config'), ignore_errors=True)
    mox('localserve', '-dir', path('config'), '-initonly')
    text = '\t%s:\n\t\tDKIM:\n\t\t\tSelectors:\n' % DOMAIN
    for name, key, header, body in selectors:
        text += '\t\t\t\t%s:\n\t\t\t\t\tCanonicalization:\n\t\t\t\t\t\tHeaderRelaxed: %s\n\t\t\t\t\t\tBodyRelaxed: %s\n' % (
            name, str(header == 'relaxed').lower(), str(body == 'relaxed').lower())
        text += '\t\t\t\t\tExpiration: 72h\n\t\t\t\t\tPrivateKeyFile: %s.pem\n' % key.kind
        path('config/%s.pem' % key.kind, key.pem.encode())
    text += '\t\t\tSign:\n' + ''.join('\t\t\t\t- %s\n' % s[0] for s in selectors)
    with open(path('config/domains.conf')) as f:
        old = f.read()
    assert old.count('Domains:\n') == 1
    path('config/domains.conf', old.replace('Domains:\n', 'Domains:\n' + text).encode())


def sign(message):
    return mox('-config', path('config/mox.conf'), 'dkim', 'sign', path('sign.eml', message))


SELECTORS = [('%s%s%s' % (k.selector, h[0], b[0]), k, h, b) for k in KEYS for h, b in FORMS]


@test
def messages_that_dkimpy_signed():
    rng = random.Random(6376)
    messages = [MESSAGE] + [odd_message(rng, 'al@signer.com') for _ in range(12)]
    for m in signed_by_dkimpy(messages):
        all_pass(m, 8)


@test
def what_was_changed_fails():
    good, = signed_by_dkimpy([MESSAGE])
    forms = FORMS * 2
    for old, new, who in [
            (b'hello', b'hullo', lambda h, b: False),
            (b'hello   there', b'hello there', lambda h, b: h == 'relaxed'),
            (b'To: b', b'to:b', lambda h, b: h == 'relaxed'),
            (b'body', b'bady', lambda h, b: False),
            (b'text \r\n', b'text\r\n', lambda h, b: b == 'relaxed'),
            (b'text \r\n\r\n', b'text \r\n\r\n\r\n', lambda h, b: True),
            (b'From:', b'From: evil@example.org\r\nFrom:', lambda h, b: False),  # dkimpy signs From twice
    ]:
        assert good.count(old) >= 1
        changed = good[:-len(MESSAGE)] + MESSAGE.replace(old, new, 1)
        got = [s for s, _ in statuses(changed)]
        assert got == ['pass' if who(*f) else 'fail' for f in forms], (old, got)


@test
def messages_that_we_sign():
    config(SELECTORS)
    rng = random.Random(8463)
    messages = [MESSAGE, MESSAGE.replace(b'\r\n', b'\n')] + [odd_message(rng, 'al@signer.com') for _ in range(12)]
    signed = [sign(m) for m in messages]
    records = {'%s._domainkey.%s' % (s[0], DOMAIN): s[1].record for s in SELECTORS}
    for m in signed:
        assert m.count(b'DKIM-Signature:') == 8 and b'\n' not in m.replace(b'\r\n', b'')
    answers = judge([{'do': 'verify', 'message': b64(m), 'records': records} for m in signed])
    assert answers == [[True] * 8] * len(signed), answers
    # And none when it was changed, so that the other can say no.
    assert judge([{'do': 'verify', 'message': b64(signed[0].replace(b'hello', b'hullo')), 'records': records}]) == [[False] * 8]
    all_pass(signed[0], 8)


@test
def opendkim_verifies_and_signs():
    rsa = KEYS[0]
    config([('rsa', rsa, h, b) for h, b in [('relaxed', 'relaxed')]])
    path('opendkim.keys', ('%s %s\n' % (rsa.name, rsa.record)).encode())
    modes = {'v': 'Mode v\nTestPublicKeys %s\n' % path('opendkim.keys'),
             's': 'Mode s\nDomain %s\nSelector rsa\nKeyFile %s\nRequireSafeKeys no\nSignatureAlgorithm rsa-sha256\n'
                  % (DOMAIN, path('opendkim.pem', rsa.pem.encode()))}
    program = shutil.which('opendkim', path=os.environ.get('PATH', '') + ':/usr/sbin')

    def opendkim(mode, canonical, message):
        own = modes[mode] + 'Canonicalization %s/%s\n' % canonical
        r = subprocess.run([program, '-x', path('opendkim.conf', own.encode()), '-t',
                            path('opendkim.eml', message.replace(b'\r\n', b'\n')), '-v', '-v'],
                           capture_output=True, timeout=WAIT)
        return r.stdout.decode('latin-1') + r.stderr.decode('latin-1')
    signed = sign(MESSAGE)
    out = opendkim('v', ('simple', 'simple'), signed)
    assert 'dkim=pass' in out, out
    assert 'dkim=fail' in opendkim('v', ('simple', 'simple'), signed.replace(b'hello', b'hullo'))
    for form in FORMS:
        out = opendkim('s', form, MESSAGE)
        field = re.search(r"hname='DKIM-Signature' hvalue='(.*?)'\n", out, re.S).group(1)
        all_pass(('DKIM-Signature: ' + field + '\n').replace('\n', '\r\n').encode() + MESSAGE, 1)


@test
def keys_and_their_failures():
    def one(selector, domain=DOMAIN):
        q = dict(questions(MESSAGE)[7], selector=selector, domain=domain)
        return statuses(base64.b64decode(judge([q])[0]) + MESSAGE)[0]
    assert one('ed') == ('pass', '<nil>')
    assert one('revoked') == ('permerror', 'the key is revoked')
    assert one('testing') == ('none', 'the key is revoked')
    assert one('absent')[0] == 'permerror'
    assert one('spf')[0] == 'temperror'
    assert one('x', 'expired.com')[0] == 'temperror'  # never "no key"
    assert one('x', 'com') == ('permerror', 'd= is a public suffix')
    assert mox('dkim', 'verify', path('plain.eml', MESSAGE)) == b'no signatures\n'


@test
def lookup_prints_the_record():
    assert mox('dkim', 'lookup', 'ed', DOMAIN).decode() == KEYS[1].record + '\n(with dnssec)\n'
    assert mox('dkim', 'lookup', 'RSA', 'Signer.com').decode().split('\n')[0] == KEYS[0].record
    code, out = mox('dkim', 'lookup', 'absent', DOMAIN, ok=False)
    assert code == 1 and 'no key at absent._domainkey.signer.com' in out, out
    code, out = mox('dkim', 'lookup', 'ed', 'expired.com', ok=False)
    assert code == 1 and 'temperror' in out, out


@test
def what_cannot_be_signed():
    config(SELECTORS)
    for message, words in [(b'Subject: x\r\n\r\n', 'one From field'),
                           (MESSAGE.replace(b'To:', b'From:'), 'one From field'),
                           (MESSAGE.replace(b'Al <al+x@signer.com>', b'a@signer.com, b@signer.com'), 'one address'),
                           (MESSAGE.replace(b'signer.com', b'example.org'), 'not among the Domains'),
                           (MESSAGE.replace(b'@signer.com', b'@localhost'), None)]:
        code, out = mox('-config', path('config/mox.conf'), 'dkim', 'sign', path('sign.eml', message), ok=False)
        assert (code == 0) == (words is None) and (not words or words in out), (message, out)
    weak = subprocess.run(['openssl', 'genrsa', '512'], capture_output=True, timeout=WAIT).stdout
    for key in (weak, b'no key'):
        path('config/rsa.pem', key)
        code, out = mox('-config', path('config/mox.conf'), 'dkim', 'sign', path('sign.eml', MESSAGE), ok=False)
        assert code == 1 and 'rsa.pem' in out, out
        assert mox('dkim', 'txt', input=key, ok=False)[0] == 1


reason = why_not()
if reason:
    print('SKIP dkim: ' + reason)
    sys.exit(0)
ZONE = Zone(DOMAIN, BAD + ''.join(k.zone_line() for k in KEYS) + ''.join(
    Key.zone_line(type('K', (), {'selector': s[0], 'record': s[1].record})) for s in SELECTORS))
with Internet([ZONE]) as net, tempfile.TemporaryDirectory(prefix='mox-dkim-') as dir:
    main('dkim')
