"""mox dmarc and mox tlsrpt: against a test Internet, with messages that dkimpy signed, and reports as others send them."""
import glob
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'internet'))
from harness import *
from internet import Internet, Zone, why_not
import base64

VECTORS = os.path.join(ROOT, 'test', 'vectors')
SIGN = '''
import sys, dkim
key, domain = open(sys.argv[1], 'rb').read(), sys.argv[2].encode()
sys.stdout.buffer.write(dkim.sign(sys.stdin.buffer.read(), b's', domain, key))
'''
IP = '127.9.0.1'

net = None
work = tempfile.mkdtemp(prefix='mox-dmarc-')
key_file = os.path.join(work, 'key')


def make_key():
    subprocess.run(['openssl', 'genrsa', '-traditional', '-out', key_file, '2048'], check=True, capture_output=True)
    der = subprocess.run(['openssl', 'rsa', '-in', key_file, '-pubout', '-outform', 'DER'], check=True,
                         capture_output=True).stdout
    text = 'v=DKIM1; p=' + base64.b64encode(der).decode()
    return ' '.join('"%s"' % text[i:i + 200] for i in range(0, len(text), 200))


KEY = make_key()
ZONES = [
    Zone('shop.com', '''
_dmarc TXT "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:r@shop.com,mailto:r@yes.com!5m,mailto:r@no.com,https://shop.com/r"
@ TXT "v=spf1 ip4:127.9.0.1 -all"
@ A 127.9.0.1
news A 127.9.0.1
news TXT "v=spf1 ip4:127.9.0.1 -all"
s._domainkey TXT ''' + KEY + '''
s._domainkey.news TXT ''' + KEY + '''
_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@shop.com"
_dmarc.bad TXT "v=DMARC1; p=reject; p=none"
_dmarc.self TXT "v=DMARC1; p=none; rua=mailto:a@self.shop.com"
_smtp._tls.two TXT "v=TLSRPTv1; rua=mailto:a@shop.com"
_smtp._tls.two TXT "v=TLSRPTv1; rua=mailto:b@shop.com"
'''),
    Zone('yes.com', 'shop.com._report._dmarc TXT "v=DMARC1"'),
    Zone('no.com', '@ A 127.9.0.1'),
    Zone('strict.com', '''
_dmarc TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
s._domainkey.news TXT ''' + KEY, signed=False),
    Zone('evil.com', '@ TXT "v=spf1 +all"\ns._domainkey TXT ' + KEY),
    # Nothing in this zone can be believed.
    Zone('forged.com', '_dmarc TXT "v=DMARC1; p=none"\n_smtp._tls TXT "v=TLSRPTv1; rua=mailto:a@forged.com"', breaks='expired'),
    # Who rents out names says so.
    Zone('rent.com', '_dmarc TXT "v=DMARC1; p=reject; psd=y"\n_dmarc.tenant TXT "v=DMARC1; p=reject"\n'
         's._domainkey.other TXT ' + KEY + '\ns._domainkey.x.tenant TXT ' + KEY),
]


def mox(*args, message=''):
    """Exit code and output."""
    r = subprocess.run([MOX, *args], env=dict(os.environ, **net.env), input=message, capture_output=True, text=True,
                       timeout=WAIT)
    return r.returncode, r.stdout + r.stderr


def says(args, want):
    got = mox(*args.split())
    assert got == (0, want), (args, got)


def refuses(args, *words):
    code, out = mox(*args.split())
    assert code == 1 and all(w in out for w in words), (args, code, out)


def signed(message, domain):
    for python in ('python3', '/usr/bin/python3'):
        r = subprocess.run([python, '-c', SIGN, key_file, domain], input=message.replace('\n', '\r\n').encode(),
                           capture_output=True, timeout=WAIT)
        if r.returncode == 0:
            return r.stdout.decode().replace('\r\n', '\n') + message
    raise AssertionError(r.stderr)


def judged(message, mail_from='', helo='', ip=IP):
    """The lines of dmarc verify as a dictionary."""
    code, out = mox('dmarc', 'verify', ip, mail_from, helo, message=message)
    assert code == 0, out
    return dict(line.split(': ', 1) for line in out.splitlines())


def mail(sender):
    return 'From: <%s>\nTo: <x@example.com>\nSubject: test\nDate: Tue, 24 Nov 2026 09:16:53 +0100\n\nhello\n' % sender


@test
def lookup():
    record = 'v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:r@shop.com,mailto:r@yes.com!5m,mailto:r@no.com,https://shop.com/r'
    at = 'dmarc record at shop.com (with dnssec): %s\npolicy: ' % record
    says('dmarc lookup shop.com', at + 'reject\n')
    says('dmarc lookup NEWS.shop.com', at + 'quarantine\n')
    says('dmarc lookup ghost.shop.com', at + 'reject\n')  # np: there is no such name
    says('dmarc lookup strict.com', 'dmarc record at strict.com (without dnssec): v=DMARC1; p=reject; adkim=s; aspf=s\n'
         'policy: reject\n')
    refuses('dmarc lookup evil.com', 'evil.com has no DMARC record')
    refuses('dmarc lookup bad.shop.com', 'permerror', 'tag p twice')
    refuses('dmarc lookup a..b')


@test
def bogus_is_a_temporary_error_and_no_downgrade():
    refuses('dmarc lookup forged.com', 'temperror')
    refuses('tlsrpt lookup forged.com', 'TLSRPT record of forged.com')
    got = judged(mail('a@forged.com'), 'a@evil.com')
    assert got['dmarc status'] == 'temperror' and got['dmarc reject'] == 'no', got


@test
def verify_with_spf():
    got = judged(mail('a@shop.com'), 'bounce@shop.com', 'mx.shop.com')
    assert got['spf'] == 'pass, mailfrom shop.com (with dnssec)' and got['dmarc status'] == 'pass', got
    got = judged(mail('a@shop.com'), 'bounce@news.shop.com')
    assert got['dmarc status'] == 'pass', got
    got = judged(mail('a@shop.com'), '', 'news.shop.com')  # the null reverse path: HELO counts
    assert got['spf'].startswith('pass, helo news.shop.com') and got['dmarc status'] == 'pass', got
    got = judged(mail('a@shop.com'), 'bounce@shop.com', ip='127.9.0.2')
    assert (got['dmarc status'], got['dmarc reject']) == ('fail', 'yes'), got
    got = judged(mail('a@shop.com'), 'bounce@evil.com')  # passes, for itself
    assert (got['spf'][:4], got['dmarc status'], got['dmarc reject']) == ('pass', 'fail', 'yes'), got
    got = judged(mail('a@evil.com'), 'bounce@evil.com')
    assert (got['dmarc status'], got['dmarc reject']) == ('none', 'no'), got


@test
def verify_with_signatures():
    for sender, domain, want in [('a@shop.com', 'shop.com', 'pass'), ('a@shop.com', 'news.shop.com', 'pass'),
                                 ('a@news.shop.com', 'shop.com', 'pass'), ('a@shop.com', 'evil.com', 'fail'),
                                 ('a@strict.com', 'news.strict.com', 'fail'),
                                 ('a@tenant.rent.com', 'x.tenant.rent.com', 'pass'),
                                 ('a@tenant.rent.com', 'other.rent.com', 'fail')]:
        got = judged(signed(mail(sender), domain), 'x@evil.com')
        assert got['dkim'].startswith('pass, s._domainkey.%s ' % domain), got
        assert (got['dmarc status'], got['dmarc reject']) == (want, 'yes' if want == 'fail' else 'no'), (sender, domain, got)
    changed = signed(mail('a@shop.com'), 'shop.com').replace('hello', 'hell')
    got = judged(changed)
    assert got['dkim'].startswith('fail') and got['dmarc status'] == 'fail', got


@test
def verify_wants_one_author():
    for header in ['', 'From: a@shop.com, b@shop.com\n', 'From: a@shop.com\nFrom: b@evil.com\n']:
        code, out = mox('dmarc', 'verify', IP, '', '', message=header + 'Subject: x\n\nhello\n')
        assert code == 1 and 'From' in out, out


@test
def report_addresses():
    code, out = mox('dmarc', 'checkreportaddrs', 'shop.com')
    assert code == 1 and out.splitlines()[1:] == [
        'rua mailto:r@shop.com: same organisation', 'rua mailto:r@yes.com: accepts reports',
        'rua mailto:r@no.com: does not accept reports', 'rua https://shop.com/r: no mail address, and is not used'], out
    code, out = mox('dmarc', 'checkreportaddrs', 'self.shop.com')
    assert code == 0 and 'same organisation' in out, out


@test
def tlsrpt_lookup():
    says('tlsrpt lookup shop.com', 'v=TLSRPTv1; rua=mailto:tls@shop.com\n(with dnssec)\n')
    refuses('tlsrpt lookup two.shop.com', '2 TLSRPT records')
    refuses('tlsrpt lookup evil.com', '0 TLSRPT records')


@test
def reports_of_others():
    n = 0
    for kind, folder in [('dmarc', 'dmarc/mail-auth'), ('dmarc', 'dmarc/parsedmarc/aggregate'), ('tlsrpt', 'tlsrpt/*')]:
        for path in glob.glob(os.path.join(VECTORS, folder, '*.eml')):
            code, out = mox(kind, 'parsereportmsg', path)
            assert code == 0, (path, out)
            if kind == 'tlsrpt':
                assert json.loads(out)['policies'], path
            else:
                assert out.startswith('Report: period ') and '\tfrom "' in out, (path, out)
            n += 1
    assert n >= 14, n
    code, out = mox('dmarc', 'parsereportmsg', os.path.join(VECTORS, 'dmarc/arf/001.eml'))
    assert code == 1 and 'no part with a report' in out, out


@test
def report_bombs_end_quickly():
    bomb = base64.encodebytes(gzip.compress(b'<feedback>' + b' ' * (200 << 20))).decode()
    for kind, subtype in [('dmarc', 'gzip'), ('tlsrpt', 'tlsrpt+gzip')]:
        path = os.path.join(work, 'bomb.eml')
        with open(path, 'w') as f:
            f.write('Content-Type: application/%s\nContent-Transfer-Encoding: base64\n\n%s' % (subtype, bomb))
        code, out = mox(kind, 'parsereportmsg', path)
        assert code == 1 and 'larger than is allowed' in out, out


@test
def a_report_cannot_write_to_the_terminal():
    path = os.path.join(work, 'escape.eml')
    with open(path, 'w') as f:
        f.write('Content-Type: text/xml\n\n<feedback><report_metadata><org_name>x&#9;"\u009b31m</org_name><date_range><begin>1</begin>'
                '<end>2</end></date_range></report_metadata><policy_published><domain>a.example</domain></policy_published>'
                '</feedback>')
    code, out = mox('dmarc', 'parsereportmsg', path)
    assert code == 0 and 'organisation "x\\009"\\194\\15531m"' in out, (code, out)


reason = why_not()
if reason:
    print('SKIP dmarc: ' + reason)
    sys.exit(0)
with Internet(ZONES) as net:
    main('dmarc')
