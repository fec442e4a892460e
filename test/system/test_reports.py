"""Reports about DMARC and TLS: those that come, and our own, with a DNS and senders of their own."""
import base64
import ctypes
import gzip
import io
import json
import sqlite3
import zipfile

import email
import email.policy

import https_server
import outside
from metrics import scrape, value
from signing import Key, b64, judge
from world import *

VECTORS = os.path.join(ROOT, 'test', 'vectors')
CONF = [('\t\tSMTP:\n', '\t\tMetricsHTTP:\n\t\t\tEnabled: true\n\t\tSMTP:\n'),
        ('Postmaster:\n', 'HostTLSRPT:\n\tAccount: bob\n\tMailbox: TLSRPT\n\tLocalpart: tlsreports\nPostmaster:\n')]
SECTIONS = ('\t\tDMARC:\n\t\t\tLocalpart: dmarcreports\n\t\t\tAccount: ann\n\t\t\tMailbox: DMARC\n'
            '\t\tTLSRPT:\n\t\t\tLocalpart: tlsreports\n\t\t\tAccount: ann\n\t\t\tMailbox: TLSRPT\n')
BOBS = '\tbobs.example:\n\t\tDMARC:\n\t\t\tLocalpart: reports\n\t\t\tAccount: bob\n\t\t\tMailbox: DMARC\n'


@contextlib.contextmanager
def reporting(conf=()):
    with World() as world, serving(env=world.internet.env, conf=CONF + list(conf)) as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        rewrite(path, text.replace('\texample.org:\n', '\texample.org:\n' + SECTIONS).replace('\trest.example', BOBS + '\trest.example'))
        s.wait_log('domains config reloaded')
        yield world, s


def counted(s):
    """The metrics: name with labels -> value."""
    text = run('curl', '-sS', '--max-time', str(WAIT), 'http://%s:8010/metrics' % s.ip).stdout
    return dict(l.rsplit(' ', 1) for l in text.splitlines() if not l.startswith('#'))


def database(s):
    return sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data', 'admin', 'admin.db'), uri=True, timeout=WAIT)


def mail(to, kind, name, content, more=''):
    """A message of sender.example with one attachment."""
    return ('From: <reports@sender.example>\r\nTo: <%s>\r\nSubject: Report\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n'
            'Message-ID: <%d@sender.example>\r\nMIME-Version: 1.0\r\nContent-Type: %s; name="%s"\r\n'
            'Content-Transfer-Encoding: base64\r\n%s\r\n%s' % (
                to, time.monotonic_ns(), kind, name, more,
                base64.encodebytes(content).decode().replace('\n', '\r\n')))


def xml_of(domain='example.org', id='r1', rows=1, end=172799):
    row = ('<record><row><source_ip>192.0.2.1</source_ip><count>2</count><policy_evaluated><disposition>none</disposition>'
           '<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>%s</header_from></identifiers>'
           '<auth_results><dkim><domain>%s</domain><result>pass</result></dkim></auth_results></record>' % (domain, domain))
    return ('<?xml version="1.0"?><feedback><report_metadata><org_name>them</org_name><report_id>%s</report_id><date_range>'
            '<begin>86400</begin><end>%d</end></date_range></report_metadata><policy_published><domain>%s</domain><p>none</p>'
            '</policy_published>%s</feedback>' % (id, end, domain, row * rows)).encode()


def zipped(content, name='report.xml'):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        z.writestr(name, content)
    return out.getvalue()


def last_of(s, mailbox, who='ann'):
    """Flags and header of the newest message."""
    c = s.login(who)
    n = c.select(mailbox)[1][0].decode()
    flags = c.fetch(n, '(FLAGS)')[1][0].decode()
    raw = c.fetch(n, '(BODY.PEEK[HEADER])')[1][0][1].decode()
    c.logout()
    return flags, re.sub(r'\r\n[ \t]+', ' ', raw)


def send_report(s, message, **kw):
    send(s, message, sender='reports@sender.example', **kw)


@test
@needs_dns
def dmarc_reports_of_others_are_kept():
    with reporting() as (world, s):
        to = 'dmarcreports@example.org'
        send_report(s, mail(to, 'application/gzip', 'r.xml.gz', gzip.compress(xml_of(id='gz'))), to=to)
        flags, head = last_of(s, 'DMARC')
        assert '\\Seen' in flags and head.startswith('X-Mox-Reason: reporting'), (flags, head)
        assert 'X-Mox-DMARCReport-Error' not in head, head
        send_report(s, mail(to, 'application/zip', 'r.zip', zipped(xml_of(id='zip', rows=3))), to=to)
        # The same report again, as a sender may whose connection broke.
        send_report(s, mail(to, 'text/xml', 'r.xml', xml_of(id='zip', rows=3)), to=to)
        # One of a program of others, as swaks sends it.
        with open(os.path.join(VECTORS, 'dmarc', 'dmarc-cat', 'google.com!keltia.net!1538438400!1538524799.xml'), 'rb') as f:
            theirs = f.read().replace(b'keltia.net', b'example.org')
        path = os.path.join(world.dir, 'google.com!example.org!1538438400!1538524799.xml.gz')
        with open(path, 'wb') as f:
            f.write(gzip.compress(theirs))
        run('swaks', '--server', s.ip, '--port', str(SMTP), '--local-interface', GOOD, '--helo', 'mx.sender.example',
            '--from', 'reports@sender.example', '--h-From', '<reports@sender.example>', '--to', to,
            '--attach-type', 'application/gzip', '--attach', '@' + path)
        code, out, err = s.command('dmarc', 'listreports')
        lines = out.splitlines()
        assert code == 0 and len(lines) == 3, (out, err)
        assert 'id "gz"' in lines[0] and lines[0].endswith('pass 2 fail 0') and lines[1].endswith('pass 6 fail 0'), lines
        assert 'by "google.com"' in lines[2] and 'domain "example.org"' in lines[2], lines
        assert s.command('dmarc', 'listreports', 'other.example')[1] == ''
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*) FROM dmarc_row').fetchone()[0] > 4
        numbers = counted(s)
        assert int(numbers['mox_dmarcdb_policy_evaluated_total{domain="example.org",disposition="none",dkim="pass",spf="fail"}']) >= 2 + 6 + 6, numbers
        assert int(numbers['mox_dmarcdb_dkim_result_total{result="pass"}']) >= 2 + 6 + 6, numbers
        assert [k for k in numbers if k.startswith('mox_dmarcdb_spf_result_total')], numbers
        # It is all there after a restart.
        s.stop()
        s.start()
        assert s.command('dmarc', 'listreports', 'example.org')[1] == out


@test
@needs_dns
def what_is_no_dmarc_report_is_a_message_like_others():
    to = 'dmarcreports@example.org'
    future = int(time.time()) + 3600
    cases = [
        ('text/plain', b'hello', 'no part with a report'),
        ('text/xml', xml_of('sender.example'), 'whose reports do not come here'),
        ('text/xml', xml_of('bobs.example'), 'whose reports do not come here'),
        ('text/xml', xml_of(end=future), 'its period ends in the future'),
        ('text/xml', b'<!DOCTYPE x [<!ENTITY a "b">]><feedback>&a;</feedback>', 'document type'),
        ('application/gzip', gzip.compress(b' ' * (21 << 20)), ''),  # more than a report may be
        ('application/zip', zipped(gzip.compress(xml_of())), ''),    # packed twice
        ('application/zip', b'PK\3\4 broken', ''),
    ]
    with reporting() as (world, s):
        for i, (kind, content, why) in enumerate(cases):
            send_report(s, mail(to, kind, 'x', content), to=to)
            flags, head = last_of(s, 'DMARC')
            m = re.search(r'^X-Mox-DMARCReport-Error: (.*)', head, re.M)
            assert m and why in m.group(1) and '\\Seen' not in flags, (i, head, flags)
        # Without proof of who sends it: plain.example has no DMARC.
        send(s, mail(to, 'text/xml', 'x', xml_of()).replace('sender.example', 'plain.example'), source=OTHER,
             hello='mx.plain.example', sender='reports@plain.example', to=to)
        assert 'does not pass DMARC' in last_of(s, 'DMARC')[1]
        # At another address it is nothing special.
        send_report(s, mail('ann@example.org', 'text/xml', 'x', xml_of()), to='ann@example.org')
        assert 'Report-Error' not in last_of(s, 'INBOX')[1]
        assert s.command('dmarc', 'listreports')[1] == ''


def tls_report(domain, id='t1'):
    with open(os.path.join(VECTORS, 'tlsrpt', 'dmarc-report-viewer', 'google.json')) as f:
        text = f.read()
    was = re.search(r'"policy-domain":\s*"([^"]+)"', text).group(1)
    return re.sub(r'("report-id":\s*)"[^"]*"', r'\1"%s"' % id, text.replace(was, domain)).encode()


@test
@needs_dns
def tls_reports_of_others_are_kept():
    to = 'tlsreports@example.org'
    with reporting() as (world, s):
        def deliver(content, kind='application/tlsrpt+gzip', to=to, change=None, sign=True):
            m = mail(to, kind, 'r', content)
            m = world.signed(m) if sign else m
            send_report(s, change(m) if change else m, to=to)

        deliver(gzip.compress(tls_report('example.org')))
        flags, head = last_of(s, 'TLSRPT')
        assert '\\Seen' in flags and 'X-Mox-TLSReport-Error' not in head, (flags, head)
        deliver(tls_report('mail.example.org', 'host'), 'application/tlsrpt+json', 'tlsreports@mail.example.org')
        assert '\\Seen' in last_of(s, 'TLSRPT', 'bob')[0]
        deliver(tls_report('mail.example.org'))  # ann's are those of the domain
        assert 'about no domain whose reports come here' in last_of(s, 'TLSRPT')[1]
        deliver(gzip.compress(tls_report('example.org', 'unsigned')), sign=False)
        assert 'no DKIM signature of the From domain' in last_of(s, 'TLSRPT')[1]
        deliver(b'{"policies": [' * 1000, 'application/tlsrpt+json')
        assert 'X-Mox-TLSReport-Error' in last_of(s, 'TLSRPT')[1]
        code, out, err = s.command('tlsrpt', 'listreports')
        lines = out.splitlines()
        assert code == 0 and len(lines) == 2 and 'domain "example.org"' in lines[0] and 'id "host"' in lines[1], (out, err)
        numbers = counted(s)
        assert int(numbers['mox_tlsrptdb_session_total{type="success"}']) > 0, numbers
        # Reports about TLS must not need it.
        assert s.command('tlsrpt', 'listreports', 'mail.example.org')[1] == lines[1] + '\n'


@test
@needs_dns
def a_report_waits_for_whoever_keeps_it():
    """While admin is not there, the sender is to come again; then everything is as before."""
    to = 'dmarcreports@example.org'
    with reporting() as (world, s):
        pid = s.pids('mox: admin')[0]
        os.kill(pid, signal.SIGSTOP)
        start = len(s.log_text())
        os.kill(pid, signal.SIGKILL)
        s.wait_log('role ended unexpectedly', start)
        deadline = time.monotonic() + WAIT
        while True:
            code = []
            send_report(s, mail(to, 'text/xml', 'x', xml_of(id='late')), to=to, want=('250', '451'))
            if s.command('dmarc', 'listreports')[1].count('id "late"'):
                break
            assert time.monotonic() < deadline
        assert len(s.command('dmarc', 'listreports')[1].splitlines()) == 1


@test
def reports_are_added_by_hand():
    """Messages of others, beside the running server."""
    with serving() as s:
        before = s.command('dmarc', 'listreports')[1]
        for kind, name in (('dmarcdb', 'dmarc/mail-auth/100.eml'), ('tlsrptdb', 'tlsrpt/mail-auth/rpt01.eml')):
            with open(os.path.join(VECTORS, name), encoding='utf-8') as f:
                message = f.read()
            for _ in range(2):
                code, out, err = s.command(kind, 'addreport', 'theirs.example', input=message)
                assert (code, out) == (0, ''), err
            assert s.command(kind, 'addreport', 'theirs.example', input='Subject: none\n\nx\n')[0] == 1
        assert before == '' and len(s.command('dmarc', 'listreports')[1].splitlines()) == 1
        assert 'from "theirs.example"' in s.command('tlsrpt', 'listreports')[1]
        # And the server goes on with them.
        s.stop()
        s.start()
        assert len(s.command('dmarc', 'listreports')[1].splitlines()) == 1


# --- our own -------------------------------------------------------------------------------------------

WANTS = '127.66.0.9'
LATER = '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:ann@example.org"\n'


class Wanting(World):
    """And domains that want to know: each has said something else about where to."""

    def __init__(self):
        super().__init__()
        self.dkim = Key('ours', 'ed25519', 'example.org')
        rua = '_dmarc TXT "v=DMARC1; p=%s; rua=%s"\n'
        zones = [
            Zone('wants.example', '@ TXT "v=spf1 ip4:%s -all"\n@ MX 10 mx\nmx A %s\n' % (WANTS, WANTS) + rua % (
                'reject; sp=none; pct=100', 'mailto:ann@example.org!10m,mailto:bob@example.org!1k,mailto:x@plain.example')),
            Zone('far.example', '@ TXT "v=spf1 ip4:%s -all"\n@ MX 10 mx\nmx A 127.66.0.77\n' % WANTS + rua % (
                'none', 'mailto:reports@far.example')),
            Zone('relay.example', '@ MX 10 mx\nmx A %s\n_smtp._tls TXT "v=TLSRPTv1; rua=mailto:reports@relay.example"\n'
                 % outside.ip(1)),
            Zone('tls.example', '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:ann@example.org,https://tls.example/report"\n'),
            Zone('host.example', '_smtp._tls.mx TXT "v=TLSRPTv1; rua=mailto:bob@example.org"\n'),
            Zone('unheard.example', 'x A 127.0.0.1'),
            Zone('later.example', LATER, breaks='expired'),
            Zone('died.example', '_smtp._tls TXT "v=TLSRPTv1; rua=https://post.example/died,mailto:bob@example.org"\n'),
            Zone('post.example', '@ A %s\nwrong A %s\n_smtp._tls TXT "v=TLSRPTv1; rua=%s"\n' % (
                outside.ip(7), outside.ip(7), ','.join('https://' + u for u in (
                    'post.example/v1/tlsrpt?who=us', 'post.example/busy', 'wrong.post.example/x', 'post.example/fourth')))),
            Zone('gone.example', '_smtp._tls TXT "v=TLSRPTv1; rua=https://post.example/gone,mailto:bob@example.org"\n'),
            Zone('small.example', '@ TXT "v=spf1 ip4:%s -all"\n' % WANTS + rua % ('none', 'mailto:ann@example.org!1k')),
            Zone('unasked.example', '@ TXT "v=spf1 ip4:%s -all"\n' % WANTS + rua % ('none', 'mailto:bob@example.org')),
            Zone('example.org', ''.join('%s._report._dmarc TXT "v=DMARC1"\n' % d for d in ('wants.example', 'small.example')) +
                 self.dkim.zone_line()),
        ]
        self.internet.zones.update({z.name: z for z in zones})


def clear_of(period_s, seconds):
    """What belongs together is not torn apart by the end of an hour or a day: whoever begins just before it waits for it."""
    left = period_s - time.time() % period_s
    if left < seconds:
        time.sleep(left)


@contextlib.contextmanager
def wanting(**env):
    clear_of(86400, WAIT)
    with Wanting() as world, serving(env=dict(world.internet.env, **env), conf=CONF) as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(os.path.join(s.dir, 'ours.pem'), 'w') as f:
            f.write(world.dkim.pem)
        with open(path) as f:
            text = f.read()
        rewrite(path, text.replace('\texample.org:\n', '\texample.org:\n\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\tours:\n'
                                   '\t\t\t\t\tPrivateKeyFile: ours.pem\n\t\t\tSign:\n\t\t\t\t- ours\n' + SECTIONS))
        s.wait_log('domains config reloaded')
        yield world, s


def greeting(domain, sender=None, more=''):
    return ('From: <a@%s>\r\nTo: <ann@example.org>\r\nSubject: hello\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n'
            'Message-ID: <%d@x>\r\n%s\r\nhello\r\n' % (domain, time.monotonic_ns(), more))


def from_domain(s, domain, source=WANTS, **kw):
    send(s, greeting(domain), source=source, hello='mx.' + domain, sender='a@' + domain, **kw)


def letters(s, who, subject):
    """Whole messages of the inbox with that in their subject."""
    c = s.login(who)
    c.select('INBOX')
    found = c.search(None, 'SUBJECT', '"%s"' % subject)[1][0].split()
    out = [c.fetch(n.decode(), '(BODY.PEEK[])')[1][0][1] for n in found]
    c.logout()
    return out


def eventually(what, *args):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        got = what(*args)
        if got:
            return got
        time.sleep(0.2)
    raise AssertionError('nothing came of %s %s' % (what.__name__, args))


def gathered(s, n):
    """Until so many messages were noted."""
    def enough():
        with contextlib.closing(database(s)) as db:
            return (db.execute('SELECT coalesce(sum(messages), 0) FROM evaluation').fetchone()[0] or -1) >= n
    eventually(enough)


def without_what_we_added(raw):
    return raw[raw.index(b'DKIM-Signature:'):]


@test
@needs_dns
def dmarc_reports_are_sent_to_those_who_agree():
    with wanting() as (world, s):
        clear_of(3600, 20)
        for _ in range(2):
            from_domain(s, 'wants.example')
        from_domain(s, 'wants.example', source=OTHER, want='550')  # forged: rejected, and known here since it has written
        gathered(s, 3)
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*), sum(messages) FROM evaluation').fetchone() == (2, 3)
        code, _, err = s.command('dmarc', 'sendreports')
        assert code == 0, err
        raw = eventually(letters, s, 'ann', 'Report Domain: wants.example')
        assert len(raw) == 1
        numbers = counted(s)
        assert int(numbers['mox_dmarcdb_report_queued_total']) >= 1 and numbers['mox_dmarcdb_report_error_total'] == '0', numbers
        assert not letters(s, 'bob', 'Report Domain')  # more than he takes
        queued = s.command('queue', 'list')[1]
        assert 'plain.example' not in queued, queued  # never said yes
        m = email.message_from_bytes(raw[0], policy=email.policy.default)
        assert m['From'] == 'postmaster@mail.example.org' and m['To'] == 'ann@example.org', m.items()
        assert re.match(r'Report Domain: wants\.example Submitter: mail\.example\.org Report-ID:\s<2\d{7}\.\d\d\.', m['Subject']), m['Subject']
        part = [p for p in m.walk() if p.get_content_type() == 'application/gzip'][0]
        assert re.fullmatch(r'mail\.example\.org!wants\.example!\d+!\d+\.xml\.gz', part.get_filename()), part.get_filename()
        xml = gzip.decompress(part.get_payload(decode=True))
        path = os.path.join(world.dir, 'report.xml')
        with open(path, 'wb') as f:
            f.write(xml)
        run('xmllint', '--noout', '--schema', os.path.join(ROOT, 'test', 'schema', 'rfc7489.xsd'), path)
        text = xml.decode()
        for wanted in ('<org_name>mail.example.org</org_name>', '<domain>wants.example</domain>', '<p>reject</p>', '<sp>none</sp>',
                       '<count>2</count>', '<disposition>none</disposition>', '<disposition>reject</disposition>',
                       '<source_ip>%s</source_ip>' % WANTS, '<source_ip>%s</source_ip>' % OTHER, '<scope>mfrom</scope>',
                       '<envelope_to>example.org</envelope_to>', '<header_from>wants.example</header_from>'):
            assert wanted in text, (wanted, text)
        # Signed by our domain, as dkimpy sees it; and read by ourselves.
        answer = judge([{'do': 'verify', 'message': b64(without_what_we_added(raw[0])), 'records': {world.dkim.name: world.dkim.record}}])
        assert answer == [[True]], answer
        path = os.path.join(world.dir, 'report.eml')
        with open(path, 'wb') as f:
            f.write(raw[0])
        assert 'domain "wants.example"' in run(MOX, 'dmarc', 'parsereportmsg', path).stdout
        # What was told is not told again.
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*) FROM evaluation').fetchone()[0] == 0
        assert s.command('dmarc', 'sendreports')[0] == 0
        assert len(letters(s, 'ann', 'Report Domain')) == 1


@test
@needs_dns
def dmarc_reports_go_by_their_address():
    """To another server; at most five times; and nobody hears of it when that fails."""
    with wanting() as (world, s):
        from_domain(s, 'far.example')
        gathered(s, 1)
        assert s.command('dmarc', 'sendreports')[0] == 0
        queued = s.command('queue', 'list')[1]
        assert 'from:<postmaster@mail.example.org> to:<reports@far.example>' in queued, queued
        with contextlib.closing(sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data', 'queue', 'queue.db'),
                                                uri=True)) as db:
            assert db.execute('SELECT m.account, m.origin, e.max_attempts FROM message m JOIN entry e').fetchall() == [('', 2, 5)]
        assert not letters(s, 'ann', 'Report Domain')


@test
@needs_dns
def dmarc_reports_that_are_not_sent():
    """Too large for their address, never asked for, suppressed, without a reason, about reports."""
    with wanting() as (world, s):
        from_domain(s, 'small.example')
        from_domain(s, 'unasked.example')
        from_domain(s, 'wants.example', to='dmarcreports@example.org')  # what comes there is no reason for a report
        from_domain(s, 'wants.example', source=OTHER, want='550')       # nor is forged mail of strangers
        gathered(s, 4)
        assert s.command('dmarc', 'suppress', 'add', 'Ann@Example.org', '1', 'enough')[0] == 0
        assert 'ann@example.org until ' in s.command('dmarc', 'suppress', 'list')[1]
        assert s.command('tlsrpt', 'suppress', 'list')[1] == ''
        assert s.command('dmarc', 'sendreports')[0] == 0
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*) FROM evaluation').fetchone()[0] == 0
        assert s.command('queue', 'list')[1] == 'messages:\n(none)\n', s.command('queue', 'list')[1]
        assert not letters(s, 'ann', 'Report Domain') and not letters(s, 'bob', 'Report Domain')
        assert s.command('dmarc', 'suppress', 'rm', 'ann@example.org')[0] == 0
        assert s.command('dmarc', 'suppress', 'rm', 'ann@example.org')[0] == 1
        from_domain(s, 'small.example')
        gathered(s, 1)
        assert s.command('dmarc', 'sendreports')[0] == 0
        raw = eventually(letters, s, 'ann', 'Report Domain: small.example')
        m = email.message_from_bytes(raw[0], policy=email.policy.default)
        assert m.get_content_type() == 'text/plain' and 'Report-Size: ' in m.get_content(), m
        assert 'Submitting-URI: mailto:ann@example.org' in m.get_content(), m.get_content()


@test
@needs_dns
def dmarc_reports_wait_for_the_dns():
    with wanting() as (world, s):
        from_domain(s, 'wants.example')
        gathered(s, 1)
        s.stop()
        s.env['MOX_RESOLVER'] = 'none'
        s.start()
        assert s.command('dmarc', 'sendreports')[0] == 0
        s.wait_log('a report waits for the DNS')
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*) FROM evaluation').fetchone()[0] == 1
        # What an interval that is over has left is told when the server starts again.
        s.stop()
        s.env['MOX_RESOLVER'] = world.internet.env['MOX_RESOLVER']
        with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'))) as db:
            db.execute('UPDATE evaluation SET hour = ?', (int(time.time()) // 86400 * 24 - 1,))
            db.commit()
        s.start()
        eventually(letters, s, 'ann', 'Report Domain: wants.example')


@test
@needs_dns
def reports_are_tried_again():
    """When the DNS gave no answer, before the next day has come."""
    with wanting(MOX_REPORT_RETRY_MS='200') as (world, s):
        s.stop()
        put_tls_results(s, int(time.time()) // 86400 - 1, [('later.example', 'later.example', 0, 0, 1)])
        s.start()
        assert s.command('tlsrpt', 'sendreports')[0] == 0
        s.wait_log('a report waits for the DNS')
        assert not letters(s, 'ann', 'Report Domain')
        world.internet.change(Zone('later.example', LATER))
        os.kill(s.pids('mox: resolve')[0], signal.SIGKILL)  # it has kept what it knew
        assert len(eventually(letters, s, 'ann', 'Report Domain: later.example')) == 1

        def told():
            with contextlib.closing(database(s)) as db:
                return db.execute('SELECT (SELECT count(*) FROM tls_result), (SELECT count(*) FROM letter)').fetchone() == (0, 0)
        eventually(told)


@test
@needs_dns
def who_is_promised_what_is_there_already_gets_it():
    """A resolve that has ended and is not buried yet has a successor before those hear of it that had channels to it."""
    if os.geteuid():
        return  # others may not trace a role: its parent hears of its end when who traces it has
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    with wanting(MOX_REPORT_RETRY_MS='200') as (world, s):
        s.stop()
        put_tls_results(s, int(time.time()) // 86400 - 1, [('later.example', 'later.example', 0, 0, 1)])
        s.start()
        assert s.command('tlsrpt', 'sendreports')[0] == 0
        s.wait_log('a report waits for the DNS')
        world.internet.change(Zone('later.example', LATER))
        first = s.pids('mox: resolve')
        assert ptrace(0x4206, first[0], None, None) == 0, os.strerror(ctypes.get_errno())  # PTRACE_SEIZE
        start = os.path.getsize(s.log_path)
        os.kill(first[0], signal.SIGKILL)
        deadline = time.monotonic() + WAIT
        while not set(s.pids('mox: resolve')) - set(first):
            ask_the_dns(s)  # within a second it is not begun twice
            assert time.monotonic() < deadline
            time.sleep(0.1)  # there is a limit for connections
        assert os.waitpid(first[0], 0x40000000)[0] == first[0]  # __WALL
        s.wait_log('role ended unexpectedly', start)
        assert len(eventually(letters, s, 'ann', 'Report Domain: later.example')) == 1


def waits_for_an_answer(asker, asked):
    """Whether the one has told the other something that is not read yet, all of it, since it does nothing more."""
    ends = [l.split() for l in run('ss', '-xpH').stdout.splitlines()]
    of = lambda pid: [e for e in ends if 'pid=%d,' % pid in e[-1]]
    own = {e[5] for e in of(asker)}  # its sockets; 7 is the other end's
    with open('/proc/%d/stat' % asker) as f:
        is_asleep = f.read().rsplit(')', 1)[1].split()[0] == 'S'
    return is_asleep and any(int(e[2]) and e[7] in own for e in of(asked))


@test
@needs_dns
def a_report_is_queued_once_whatever_dies():
    """The queue has it, and admin dies before it hears of that."""
    with wanting() as (world, s):
        from_domain(s, 'far.example')
        gathered(s, 1)
        queue, (admin,) = s.pids('mox: queue')[0], s.pids('mox: admin')
        os.kill(queue, signal.SIGSTOP)
        with subprocess.Popen([s.mox, '-config', os.path.join(s.dir, 'mox.conf'), 'dmarc', 'sendreports'], env=s.env,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            def kept():
                with contextlib.closing(database(s)) as db:
                    return db.execute('SELECT (SELECT count(*) FROM letter), (SELECT count(*) FROM evaluation)').fetchone() == (1, 0)
            eventually(kept)
            eventually(waits_for_an_answer, admin, queue)
            os.kill(admin, signal.SIGKILL)
            os.kill(queue, signal.SIGCONT)
        s.wait_log('report sent')
        assert s.pids('mox: admin') != [admin]
        s.wait_log_count('message queued', 2)
        queued = s.command('queue', 'list')[1]
        assert queued.count('to:<reports@far.example>') == 1, queued
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*) FROM letter').fetchone()[0] == 0


def tls_results(s):
    with contextlib.closing(database(s)) as db:
        return db.execute('SELECT policy_domain, is_host, successes, failures, coalesce(result_type, ""), coalesce(mx_helo, "") '
                          'FROM tls_result LEFT JOIN tls_failure ON result = id ORDER BY 1').fetchall()


@test
@needs_dns
def tls_of_deliveries_is_gathered_and_told():
    with wanting() as (world, s):
        with outside.Sink(1) as sink:
            outside.submit(s, 'bob@relay.example')
            sink.wait()
            eventually(lambda: len(tls_results(s)) == 2)
            rows = tls_results(s)
            assert [r[:5] for r in rows] == [('mx.relay.example', 1, 0, 1, 'starttls-not-supported'),
                                             ('relay.example', 0, 0, 1, 'starttls-not-supported')], rows
            assert rows[0][5], rows  # what it calls itself
        with outside.Sink(1, tls=outside.Authority(world.dir).context('mx.relay.example')) as sink:
            outside.submit(s, 'eve@relay.example')
            assert sink.wait()[0][3]
            eventually(lambda: [r[2:4] for r in tls_results(s)] == [(1, 1), (1, 1)])
            assert s.command('tlsrpt', 'sendreports')[0] == 0
            mail, rcpts, data, is_tls = sink.wait(2)[1]
            assert rcpts == ['RCPT TO:<reports@relay.example>'] and b'Report Domain: relay.example' in data, (rcpts, data)
        # It could not be delivered otherwise than others; and whatever came of it, it is no reason for another.
        with outside.Sink(1) as sink:
            outside.submit(s, 'ann@relay.example', subject='last')
            sink.wait()
            eventually(lambda: len(tls_results(s)) == 2)
        assert [r[2:4] for r in tls_results(s)] == [(0, 1), (0, 1)], tls_results(s)


def put_tls_results(s, day, rows):
    """What deliver told, as admin keeps it: (policy domain, recipient domain, is host, successes, failures)."""
    with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'))) as db:
        for domain, recipient, is_host, successes, failures in rows:
            id = db.execute('INSERT INTO tls_result (policy_domain, day, recipient_domain, is_host, policy_type, policy_strings, '
                            "mx_hosts, successes, failures) VALUES (?,?,?,?,?,?,'',?,?)",
                            (domain, day, recipient, is_host, 1 if is_host else 0, '3 1 1 AB' if is_host else '', successes,
                             failures)).lastrowid
            if failures:
                db.execute("INSERT INTO tls_failure VALUES (?, 'certificate-expired', '192.0.2.1', 'mx.host.example', "
                           "'mx\"\n<>', '192.0.2.2', '', 'reason', ?)", (id, failures))
        db.commit()
    uid = os.stat(os.path.join(s.dir, 'data', 'admin')).st_uid
    for name in os.listdir(os.path.join(s.dir, 'data', 'admin')):
        os.chown(os.path.join(s.dir, 'data', 'admin', name), uid, -1)


@test
@needs_dns
def tls_reports_are_sent():
    today = int(time.time()) // 86400
    with wanting() as (world, s):
        s.stop()
        put_tls_results(s, today - 1, [
            ('tls.example', 'tls.example', 0, 5, 2),
            ('mx.host.example', 'tls.example', 1, 4, 1),   # its MX host, which hears of it too
            ('unheard.example', 'unheard.example', 0, 0, 3), # wants to know nothing
        ])
        put_tls_results(s, today, [('wants.example', 'wants.example', 0, 1, 1)])
        s.start()
        s.wait_log('report sent')  # the day before is told by itself, one after the other
        raw = eventually(letters, s, 'ann', 'Report Domain: tls.example')
        m = email.message_from_bytes(raw[0], policy=email.policy.default)
        assert m.get_content_type() == 'multipart/report' and m.get_param('report-type') == 'tlsrpt', m['Content-Type']
        assert m['From'] == 'postmaster@example.org' and m['TLS-Required'] == 'No' and m['TLS-Report-Domain'] == 'tls.example'
        part = [p for p in m.walk() if p.get_content_type() == 'application/tlsrpt+gzip'][0]
        begin = (today - 1) * 86400
        assert part.get_filename() == 'mail.example.org!tls.example!%d!%d.json.gz' % (begin, begin + 86399), part.get_filename()
        report = json.loads(gzip.decompress(part.get_payload(decode=True)))
        assert report['organization-name'] == 'mail.example.org', report
        day = time.strftime('%Y%m%d', time.gmtime(begin))
        assert re.fullmatch(day + r'\.tls\.example\.[\w-]{12}@mail\.example\.org', report['report-id']), report
        first, second = report['policies']
        assert first['policy'] == {'policy-type': 'no-policy-found', 'policy-domain': 'tls.example'}, first
        assert first['summary'] == {'total-successful-session-count': 5, 'total-failure-session-count': 2}, first
        assert second['policy']['policy-string'] == ['3 1 1 AB'], second
        assert second['failure-details'][0]['receiving-mx-helo'] == 'mx"\n<>', second
        answer = judge([{'do': 'verify', 'message': b64(without_what_we_added(raw[0])), 'records': {world.dkim.name: world.dkim.record}}])
        assert answer == [[True]] and re.search(r'TLS-Report-Domain:\s*TLS-Report-Domain', raw[0].decode().replace('\r\n\t', '')), raw[0]
        assert s.command('tlsrpt', 'sendreports')[0] == 0  # the rest at once
        raw = eventually(letters, s, 'bob', 'Report Domain: mx.host.example')
        # Ours is a report that we would take: it comes back to the same program.
        path = os.path.join(world.dir, 'report.eml')
        with open(path, 'wb') as f:
            f.write(raw[0])
        assert '"policy-domain": "mx.host.example"' in run(MOX, 'tlsrpt', 'parsereportmsg', path).stdout

        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT count(*) FROM tls_result').fetchone()[0] == 0
        assert len(letters(s, 'ann', 'Report Domain')) == 1 and len(letters(s, 'bob', 'Report Domain')) == 1
        text, found = scrape(s, 8010)
        assert value(found, 'tlsrptsend_report_queued_total') >= 2 and value(found, 'tlsrptsend_report_error_total') == 0, text
        assert value(found, 'tlsrpt_lookup_duration_seconds_count', result='ok') >= 2, text
        assert value(found, 'tlsrpt_lookup_duration_seconds_count', result='none') >= 1, text


@test
@needs_dns
def tls_reports_are_posted():
    """RFC 8460 5.4: to a web server, which may want to be asked again, or never."""
    yesterday = int(time.time()) // 86400 - 1
    taken, busy = [], [503, 201]

    def take(code):
        def page(h):
            body = h.rfile.read(int(h.headers['Content-Length']))
            answer = code if isinstance(code, int) else code.pop(0)
            taken.append((h.command, h.path, h.headers['Content-Type'], h.headers['User-Agent'], body, answer))
            h.send_response(answer)
            h.send_header('Content-Length', '0')
            h.close_connection = True
            h.end_headers()
        return page

    ca = https_server.Authority()
    os.chmod(ca.dir, 0o755)
    pages = {('post.example', path): take(code) for path, code in (
        ('/v1/tlsrpt?who=us', 200), ('/busy', busy), ('/fourth', 200), ('/gone', 410))}
    with https_server.Web(outside.ip(7), {None: ca.issue(['post.example'])}, pages) as web, \
            wanting(SSL_CERT_FILE=ca.file, MOX_DIAL_PRIVATE='1') as (world, s):
        s.stop()
        put_tls_results(s, yesterday, [('post.example', 'post.example', 0, 5, 2), ('gone.example', 'gone.example', 0, 0, 1)])
        admin = os.path.join(s.dir, 'data', 'admin', 'admin.db')
        with contextlib.closing(sqlite3.connect(admin)) as db, db:
            db.execute("CREATE TRIGGER full BEFORE UPDATE ON web_report WHEN NOT new.is_begun BEGIN SELECT RAISE(ABORT, 'full'); END")
        s.start()

        def waiting():
            with contextlib.closing(database(s)) as db:
                return db.execute('SELECT url, attempts, next_unix - created_unix FROM web_report ORDER BY url').fetchall()

        assert s.command('tlsrpt', 'sendreports')[0] == 0
        # What a server said is noted as soon as that can be: else the report would be lost with the process.
        s.wait_log('noting a report for a web server')
        with contextlib.closing(sqlite3.connect(admin, timeout=WAIT)) as db, db:
            db.execute('DROP TRIGGER full')
        later = [('https://post.example/busy', 1), ('https://wrong.post.example/x', 1)]
        eventually(lambda: [w[:2] for w in waiting()] == later)
        assert all(300 <= w[2] < 400 for w in waiting()), waiting()
        sent = {t[1]: t for t in taken}
        assert set(sent) == {'/v1/tlsrpt?who=us', '/busy', '/gone'} and len(taken) == 3, taken  # three addresses of one record
        method, _, kind, agent, body, _ = sent['/v1/tlsrpt?who=us']
        assert method == 'POST' and kind == 'application/tlsrpt+gzip' and agent.startswith('mox/'), (method, kind, agent)
        report = json.loads(gzip.decompress(body))
        assert report['policies'][0]['policy']['policy-domain'] == 'post.example', report
        assert report['policies'][0]['failure-details'][0]['result-type'] == 'certificate-expired', report
        assert body == sent['/busy'][4]
        s.wait_log('code=410')
        assert 'a web server does not take a report' in s.log_text()
        assert eventually(letters, s, 'bob', 'Report Domain: gone.example')  # by mail as well
        # After a while, and after a restart, those that were not taken are sent again. Who is to hear no more is left out.
        code, _, err = s.command('tlsrpt', 'suppress', 'add', 'https://post.example/gone', '1')
        assert not code and 'https://post.example/gone until ' in s.command('tlsrpt', 'suppress', 'list')[1], err
        assert s.command('dmarc', 'suppress', 'add', 'https://post.example/gone', '1')[0] == 1
        s.stop()
        put_tls_results(s, yesterday, [('gone.example', 'gone.example', 0, 0, 1)])
        with contextlib.closing(sqlite3.connect(admin)) as db:
            db.execute("UPDATE web_report SET next_unix = 5, created_unix = created_unix - 90000 WHERE url LIKE '%wrong%'")
            db.execute("UPDATE web_report SET next_unix = 5 WHERE url LIKE '%busy'")
            db.commit()
        s.start()
        eventually(lambda: not waiting())
        assert [t[5] for t in taken if t[1] == '/busy'] == [503, 201] and not [t for t in taken if t[1] == '/x'], taken
        s.wait_log('url=https://wrong.post.example/x')
        assert s.command('tlsrpt', 'sendreports')[0] == 0
        eventually(lambda: len(letters(s, 'bob', 'Report Domain: gone.example')) == 2)
        eventually(lambda: not waiting())
        assert [t[1] for t in taken].count('/gone') == 1, taken


@test
@needs_dns
def a_report_is_posted_once_whatever_dies():
    """A web server has it, and admin dies before it hears of that; what goes by mail goes once as well."""
    taken = []

    def page(h):
        taken.append(h.rfile.read(int(h.headers['Content-Length'])))
        os.kill(s.pids('mox: admin')[0], signal.SIGKILL)
        h.send_response(200)
        h.send_header('Content-Length', '0')
        h.end_headers()

    ca = https_server.Authority()
    os.chmod(ca.dir, 0o755)
    with https_server.Web(outside.ip(7), {None: ca.issue(['post.example'])}, {('post.example', '/died'): page}), \
            wanting(SSL_CERT_FILE=ca.file, MOX_DIAL_PRIVATE='1') as (world, s):
        s.stop()
        put_tls_results(s, int(time.time()) // 86400 - 1, [('died.example', 'died.example', 0, 0, 1)])
        s.start()
        s.wait_log('nobody knows whether a web server has taken a report')
        assert len(eventually(letters, s, 'bob', 'Report Domain: died.example')) == 1
        assert s.command('tlsrpt', 'sendreports')[0] == 0
        with contextlib.closing(database(s)) as db:
            assert db.execute('SELECT (SELECT count(*) FROM web_report), (SELECT count(*) FROM letter), '
                              '(SELECT count(*) FROM tls_result)').fetchone() == (0, 0, 0), s.log_text()[-4000:]
        assert len(taken) == 1 and len(letters(s, 'bob', 'Report Domain')) == 1, taken


main('reports')
