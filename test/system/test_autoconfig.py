"""Mail programs find their settings: Thunderbird's, Microsoft's, Apple's documents and PACC, read by parsers of others."""
import base64
import hashlib
import json
import plistlib
import xml.etree.ElementTree as ET

from https_server import Authority
from serving import *

HTTPS = 1443
NAMES = ['mail.example.org', 'autoconfig.example.org', 'autodiscover.example.org', 'ua-auto-config.example.org',
         'example.org', 'mta-sts.example.org', 'mta-sts.rest.example', 'mta-sts.other.example', 'autoconfig.rest.example',
         'autoconfig.other.example']
SERVICES = '''\t\tAutoconfigHTTPS:
\t\t\tEnabled: true
\t\t\tPort: %d
\t\tMTASTSHTTPS:
\t\t\tEnabled: true
\t\t\tPort: %d
''' % (HTTPS, HTTPS)
POLICY = '''\t\tClientSettingsDomain: mail.example.org
\t\tMTASTS:
\t\t\tPolicyID: 20261125
\t\t\tMode: enforce
\t\t\tMaxAge: 24h
\t\t\tMX:
\t\t\t\t- mail.example.org
\t\t\t\t- *.mx.example.org
'''
authority = Authority()
_server = []


def start():
    s = Serve().start()
    s.stop()
    shutil.copy(authority.issue(NAMES), os.path.join(s.dir, 'site.pem'))
    for name in ('CertFile: localhost.crt', 'KeyFile: localhost.key'):
        s.set_conf(name, name.split()[0] + ' site.pem')
    s.set_conf('\t\tSMTP:\n', SERVICES + '\t\tSMTP:\n')
    if os.geteuid() == 0:  # PACC knows no other ports than the usual ones
        s.set_conf('Port: 1993', 'Port: 993')
        s.set_conf('Port: 1465', 'Port: 465')
        s.set_conf('\t\tIMAPS:\n\t\t\tEnabled: true\n', '\t\tIMAPS:\n\t\t\tEnabled: true\n\t\t\tEnabledOnHTTPS: true\n')
    path = os.path.join(s.dir, 'domains.conf')
    text = open(path).read()
    open(path, 'w').write(text.replace('\texample.org:\n', '\texample.org:\n' + POLICY, 1))
    return s.start()


def web():
    """One server for all tests of the suite but one."""
    if not _server:
        _server.append(start())
    return _server[0]


def curl(*args):
    s = web()
    return subprocess.run(['curl', '-sS', '--max-time', str(WAIT), '--cacert', authority.file, '--connect-to', '::%s:%d' % (s.ip, HTTPS),
                           *args], capture_output=True, timeout=WAIT)


def get(url, *args):
    """Status, type and body."""
    r = curl('-w', '\n%{http_code} %{content_type}', *args, url)
    assert r.returncode == 0, r.stderr
    body, _, last = r.stdout.rpartition(b'\n')
    status, _, content_type = last.decode().partition(' ')
    return int(status), content_type, body


IMAPS_PORT = 993 if os.geteuid() == 0 else 1993
IMAP_ON_HTTPS = [443] if os.geteuid() == 0 else []
SUBMISSIONS_PORT = 465 if os.geteuid() == 0 else 1465


def check_thunderbird(body, user, domain):
    root = ET.fromstring(body)
    assert (root.tag, root.get('version')) == ('clientConfig', '1.1')
    provider = root.find('emailProvider')
    assert provider.get('id') == domain and provider.findtext('domain') == domain
    assert root.find('clientConfigUpdate').get('url') == 'https://autoconfig.%s/mail/config-v1.1.xml' % domain
    for tag, kind, ports in (('incomingServer', 'imap', [IMAPS_PORT] + IMAP_ON_HTTPS),
                             ('outgoingServer', 'smtp', [SUBMISSIONS_PORT])):
        servers = provider.findall(tag)
        assert len(servers) == len(ports)
        for server, port in zip(servers, ports):
            assert server.get('type') == kind
            assert {c.tag: c.text for c in server} == {
                'hostname': 'mail.example.org', 'port': str(port), 'socketType': 'SSL', 'username': user,
                'authentication': 'password-encrypted'}


@test
def thunderbird_finds_its_document():
    for url in ('https://autoconfig.example.org/mail/config-v1.1.xml',
                'https://example.org/.well-known/autoconfig/mail/config-v1.1.xml'):
        status, content_type, body = get(url)
        assert (status, content_type) == (200, 'application/xml; charset=utf-8'), (status, content_type)
        check_thunderbird(body, '%EMAILADDRESS%', 'example.org')
        check_thunderbird(get(url + '?emailaddress=ann%2Bx%40example.org')[2], 'ann+x@example.org', 'example.org')
    # By the host alone, which is nobody's domain, there must be an address; which may be of any domain of ours.
    url = 'https://mail.example.org/mail/config-v1.1.xml'
    assert get(url)[0] == 400
    check_thunderbird(get(url + '?emailaddress=ann@rest.example')[2], 'ann@rest.example', 'rest.example')
    check_thunderbird(get(url, '-d', 'emailaddress=ann@example.org')[2], 'ann@example.org', 'example.org')
    for bad in ('ann@other.example', 'ann', '@example.org', 'ann%00@example.org', '%3Cx%3E@', 'a%0d%0ab@example.org'):
        status, content_type, body = get(url + '?emailaddress=' + bad)
        assert status == 400 and body.startswith(b'400 - bad request - '), (bad, status, body)
    assert get('https://autoconfig.other.example/mail/config-v1.1.xml')[0] == 404


def autodiscover(email, method='POST'):
    ns = 'http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    body = ('<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="%srequestschema/2006"><Request><EMailAddress>%s'
            '</EMailAddress><AcceptableResponseSchema>%sresponseschema/2006a</AcceptableResponseSchema></Request>'
            '</Autodiscover>' % (ns, email, ns))
    return get('https://autodiscover.example.org/autodiscover/autodiscover.xml', '-X', method, '-H',
               'Content-Type: text/xml', '-d', body)


@test
def outlook_finds_its_document():
    status, content_type, body = autodiscover('ann@example.org')
    assert (status, content_type) == (200, 'application/xml; charset=utf-8'), (status, body)
    ns = '{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}'
    root = ET.fromstring(body)
    assert root.tag == '{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}Autodiscover'
    account = root.find(ns + 'Response/' + ns + 'Account')
    assert (account.findtext(ns + 'AccountType'), account.findtext(ns + 'Action')) == ('email', 'settings')
    found = [{c.tag[len(ns):]: c.text for c in p} for p in account.findall(ns + 'Protocol')]
    for p, kind, port in zip(found, ('IMAP', 'SMTP'), (IMAPS_PORT, SUBMISSIONS_PORT)):
        assert p == {'Type': kind, 'Server': 'mail.example.org', 'Port': str(port), 'DirectoryPort': '0', 'ReferralPort': '0',
                     'LoginName': 'ann@example.org', 'SSL': 'on', 'Encryption': 'TLS', 'SPA': 'off', 'AuthRequired': 'on'}
    assert autodiscover('ann@example.org', 'PUT')[0] == 405
    assert autodiscover('ann@other.example')[0] == 400
    assert autodiscover('</EMailAddress>')[0] == 400
    url = 'https://example.org/autodiscover/autodiscover.xml'
    laughs = '<!DOCTYPE x [<!ENTITY a "a">' + ''.join('<!ENTITY %s "%s">' % (b, ('&%s;' % a) * 10) for a, b in
                                                   zip('abcdefgh', 'bcdefghi')) + ']>'
    assert get(url, '-d', laughs + '<Autodiscover><Request><EMailAddress>&i;</EMailAddress></Request></Autodiscover>')[0] == 400
    assert get(url, '-d', 'x' * 70000)[0] == 413
    assert get(url)[0] == 405


@test
def telephones_get_a_profile():
    url = 'https://autoconfig.example.org/profile.mobileconfig?addresses=ann@example.org,ann%2Bx@example.org&name=Ann+%3CA%3E'
    head = curl('-I', url).stdout.decode()
    assert 'attachment; filename="email-account-ann-at-example-org.mobileconfig"' in head, head
    status, content_type, body = get(url)
    assert status == 200
    p = plistlib.loads(body)
    account = p['PayloadContent'][0]
    assert p['PayloadIdentifier'] == 'org.example.ann.email' and p['PayloadType'] == 'Configuration'
    assert account['PayloadIdentifier'] == 'org.example.ann.email.account'
    assert re.fullmatch('[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', p['PayloadUUID']) and p['PayloadUUID'] != account['PayloadUUID']
    assert account['EmailAddress'] == 'ann@example.org,ann+x@example.org' and account['EmailAccountName'] == 'Ann <A>'
    for way, port in (('Incoming', IMAPS_PORT), ('Outgoing', SUBMISSIONS_PORT)):
        assert account[way + 'MailServerHostName'] == 'mail.example.org'
        assert account[way + 'MailServerPortNumber'] == port and account[way + 'MailServerUseSSL'] is True
        assert account[way + 'MailServerUsername'] == 'ann@example.org'
    assert 'IncomingPassword' not in account and 'OutgoingPassword' not in account
    for query in ('', '?addresses=', '?addresses=ann', '?addresses=ann@other.example', '?addresses=ann@example.org,x'):
        assert get('https://example.org/profile.mobileconfig' + query)[0] == 400, query
    assert get(url, '-X', 'POST')[0] == 405


@test
def a_camera_reads_where_the_profile_is():
    query = '?addresses=ann@example.org&name=Ann'
    status, content_type, body = get('https://autoconfig.example.org/profile.mobileconfig.qrcode.png' + query)
    assert (status, content_type) == (200, 'image/png')
    with tempfile.NamedTemporaryFile(suffix='.png') as f:
        f.write(body)
        f.flush()
        read = run('zbarimg', '--raw', '-q', f.name).stdout
    assert read == 'https://autoconfig.example.org/profile.mobileconfig' + query + '\n', read
    assert get('https://autoconfig.example.org/profile.mobileconfig.qrcode.png?addresses=ann@example.org&name=' + 'x' * 3000)[0] == 400


@test
def pacc_is_published():
    status, content_type, body = get('https://ua-auto-config.example.org/.well-known/user-agent-configuration.json')
    if os.geteuid():
        assert status == 404  # no service is at its usual port
        return
    assert (status, content_type) == (200, 'application/json')
    doc = json.loads(body)
    assert doc['protocols'] == {'imap': {'host': 'mail.example.org'}, 'smtp': {'host': 'mail.example.org'}}
    assert doc['authentication'] == {'password': True} and doc['info']['provider']['name'] == 'example.org'
    # Its digest is in the DNS records that are to be published.
    _, out, err = web().command('config', 'dnsrecords', 'example.org')
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert re.search(r'^_ua-auto-config\.example\.org\.\s.*TXT "v=UAAC1; a=sha256; d=%s"' % re.escape(digest), out, re.M), out + err
    assert re.search(r'^ua-auto-config\.example\.org\.\s.*CNAME mail\.example\.org\.', out, re.M), out


@test
def policies_of_mta_sts_are_served():
    status, content_type, body = get('https://mta-sts.example.org/.well-known/mta-sts.txt')
    assert (status, content_type) == (200, 'text/plain')
    assert body.decode().split() == ['version:', 'STSv1', 'mode:', 'enforce', 'mx:', 'mail.example.org', 'mx:', '*.mx.example.org',
                                     'max_age:', '86400'], body
    head = curl('-I', 'https://mta-sts.example.org/.well-known/mta-sts.txt').stdout.decode()
    assert 'cache-control: no-cache, max-age=0' in head.lower(), head
    for url in ('https://mta-sts.rest.example', 'https://mta-sts.other.example', 'https://example.org'):
        assert get(url + '/.well-known/mta-sts.txt')[0] == 404, url


@test
def what_domains_conf_says_now_is_served():
    """A change is in effect with the next connection; also one that its time does not tell, as within a tick of the clock."""
    s = web()
    start = len(s.log_text())
    path = os.path.join(s.dir, 'domains.conf')
    text, before = open(path).read(), os.stat(path)
    with open(path + '.new', 'w') as f:
        f.write(text.replace('Mode: enforce', 'Mode: testing'))
    os.utime(f.name, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.rename(f.name, path)
    s.wait_log('domains config reloaded', start)
    assert b'mode: testing' in get('https://mta-sts.example.org/.well-known/mta-sts.txt')[2]


@test
def a_domain_that_comes_while_the_first_template_begins_is_served():
    """The template that began with the old configuration does not send away the one that began after it: none was left."""
    s = start()
    try:
        monitor = s.process.pid
        os.kill(monitor, signal.SIGSTOP)
        try:
            first = socket.create_connection((s.ip, HTTPS), timeout=WAIT)  # a template is started for it
            deadline = time.monotonic() + WAIT
            while not re.search(r'^u_seq +ESTAB +[1-9].*pid=%d,' % monitor, run('ss', '-xpH').stdout, re.M):
                assert time.monotonic() < deadline, 'front has not told of it'
                time.sleep(0.1)
            p = subprocess.Popen([s.mox, '-config', os.path.join(s.dir, 'mox.conf'), 'config', 'domain', 'add', 'new.example', 'ann'],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=s.env)
        finally:
            os.kill(monitor, signal.SIGCONT)
        out = p.communicate(timeout=WAIT)[0]
        assert p.returncode == 0, out
        assert run('curl', '-sSk', '-o', '/dev/null', '-w', '%{http_code}', '--connect-to', '::%s:%d' % (s.ip, HTTPS),
                   'https://autoconfig.new.example/mail/config-v1.1.xml').stdout == '200'
        first.close()
    finally:
        s.close()


@test
def the_server_ends_well():
    while _server:
        _server.pop().close()


main('autoconfig')
