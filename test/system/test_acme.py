"""Certificates from an authority: pebble, and a server that has no certificate when it begins."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *
from lone_role import LoneRole, encode_record
from pebble import HTTP_PORT, Pebble, TLS_PORT
import concurrent.futures
import json
import re
import select
import subprocess
import threading

MOX_CONF = '''DataDir: data
User: nobody
LogLevel: debug
Hostname: mail.example.org
ACME:
	test:
		DirectoryURL: https://ca.example:14000/dir
		ContactEmail: postmaster@example.org
		IssuerDomainName: ca.example
		Port: %(tls)d
Listeners:
	public:
		IPs:
			- %(ip)s
		TLS:
			ACME: test
		SMTP:
			Enabled: true
			Port: 1025
		Submissions:
			Enabled: true
			Port: 1465
		IMAP:
			Enabled: true
			Port: 1143
		IMAPS:
			Enabled: true
			Port: 1993
			EnabledOnHTTPS: true
		MetricsHTTP:
			Enabled: true
			Port: 1810
		AccountHTTP:
			Enabled: true
			Port: %(http)d
		AccountHTTPS:
			Enabled: true
			Port: %(tls)d
Postmaster:
	Account: ann
	Mailbox: Postmaster
'''
DOMAINS_CONF = '''Domains:
	example.org:
		ClientSettingsDomain: imap.example.org
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
'''
GOT = 'certificate issued'


class Served(Server):
    def __init__(self, pebble, conf=(), ip=None):
        super().__init__(ip=ip or other_ip(), env=pebble.env)
        self.pebble = pebble
        text = MOX_CONF % {'ip': self.ip, 'tls': TLS_PORT, 'http': HTTP_PORT}
        for old, new in conf:
            assert old in text, old
            text = text.replace(old, new)
        for name, content in (('mox.conf', text), ('domains.conf', DOMAINS_CONF)):
            with open(os.path.join(self.dir, name), 'w') as f:
                f.write(content)
        os.chmod(self.dir, 0o711)

    def start(self):
        self.log = open(self.log_path, 'ab')
        start = os.path.getsize(self.log_path)
        self.process = subprocess.Popen([self.mox, '-config', os.path.join(self.dir, 'mox.conf'), 'serve'],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.env)
        self.wait_log('ready to serve', start)
        return self

    def file(self, *names):
        return os.path.join(self.dir, 'data', 'acme', *names)

    def seen(self, port, *more, name='mail.example.org', trust=None):
        """What a client that names this host sees: subject key type and issuer, or None for a handshake that fails."""
        r = subprocess.run(['openssl', 's_client', '-connect', '%s:%d' % (self.ip, port), '-tls1_3',
                            *(['-servername', name] if name else ['-noservername']), *more],
                           input='', capture_output=True, text=True, timeout=WAIT)
        if 'BEGIN CERTIFICATE' not in r.stdout:
            return None
        text = subprocess.run(['openssl', 'x509', '-noout', '-text'], input=r.stdout, capture_output=True, text=True,
                              check=True).stdout
        return ('rsa' if 'rsaEncryption' in text else 'ecdsa', 'Pebble' if 'Pebble' in text else 'own',
                re.search(r'DNS:(\S+)', text)[1], re.search(r'Serial Number:\s*(\S+)', text)[1])

    def wait_seen(self, want, *args, **kw):
        deadline = time.monotonic() + WAIT
        while True:
            got = self.seen(*args, **kw)
            if want(got):
                return got
            assert time.monotonic() < deadline, (got, self.log_text()[-3000:])
            time.sleep(0.3)  # an address has 300 connections a minute


# They wait for the authority most of the time: all run at once, and each test waits for its own.
pool = concurrent.futures.ThreadPoolExecutor(8)


def scenario(fn):
    future = []

    def wait():
        future[0].result()
    wait.__name__, wait.__doc__ = fn.__name__, fn.__doc__
    if len(sys.argv) < 2 or sys.argv[1] in fn.__name__:
        scenarios.append(lambda: future.append(pool.submit(fn)))
    return test(wait)


scenarios = []
STARTTLS = ('-starttls', 'smtp')
RSA_ONLY = ('-sigalgs', 'rsa_pss_rsae_sha256')


choosing = threading.Lock()


def other_ip():
    """An address of this scenario's own."""
    with choosing:
        return free_ip()


def is_pebbles(got):
    return got and got[1] == 'Pebble'


@scenario
def a_server_without_certificates_gets_both_kinds():
    """tls-alpn-01 first; port 25 has a certificate of its own until then, others none."""
    pebble = Pebble(other_ip(), None)
    s = Served(pebble)
    pebble.target = s.ip
    with pebble:
        try:
            s.start()
            assert s.seen(1025, *STARTTLS)[1:3] in (('own', 'mail.example.org'), ('Pebble', 'mail.example.org'))
            s.wait_log_count(GOT, 2)
            ca = pebble.roots()
            for port, more in ((TLS_PORT, ()), (1993, ()), (1465, ()), (1025, STARTTLS)):
                got = s.wait_seen(is_pebbles, port, *more)
                assert got[0] == 'ecdsa' and got[2] == 'mail.example.org', (port, got)
                s.wait_seen(lambda got: got and got[:2] == ('rsa', 'Pebble'), port, *more, *RSA_ONLY)
            # Whoever trusts the authority is content, with the whole chain.
            with socket.create_connection((s.ip, 1993), timeout=WAIT) as c:
                ca.wrap_socket(c, server_hostname='mail.example.org').close()
            # Where the challenges were answered there is also IMAP, for those who ask for it.
            ca.set_alpn_protocols(['imap'])
            with socket.create_connection((s.ip, TLS_PORT), timeout=WAIT) as c:
                assert ca.wrap_socket(c, server_hostname='mail.example.org').recv(100).startswith(b'* OK ')
            # mox-web-http-api.md 6.3: who names nobody, or somebody else.
            assert s.seen(TLS_PORT, name=None) is None and s.seen(TLS_PORT, name='other.example') is None
            assert s.seen(1993, name=None)[2] == 'mail.example.org' and s.seen(1993, name='other.example') is None
            for name in (None, 'other.example'):
                assert s.seen(1025, *STARTTLS, name=name)[2] == 'mail.example.org', name
            log = s.log_text()
            assert 'registered at the authority' in log and 'tls-alpn-01' in log and 'http-01' not in log, log[-3000:]
            assert os.listdir(s.file('keycerts', 'test')) and os.path.exists(s.file('test.key'))
            assert sorted(os.listdir(s.file('keycerts', 'test'))) == ['mail.example.org', 'mail.example.org+rsa']
            # The first to end of those in use, for an alarm.
            shown = run('curl', '-s', 'http://%s:1810/metrics' % s.ip).stdout
            for role in ('front', 'session', 'web'):
                end = re.search(r'^mox_tls_certificate_expiry_seconds\{.*"%s"\} (\S+)' % role, shown, re.M)
                assert end and float(end[1]) > time.time(), (role, re.findall('.*certificate_expiry.*', shown))
            # A name that only a client asks for is requested then.
            assert s.seen(TLS_PORT, name='imap.example.org') is None
            assert s.wait_seen(is_pebbles, TLS_PORT, name='imap.example.org')[2] == 'imap.example.org'
            # Records that narrow it down to this account (RFC 8657), for whoever wants them.
            printed = s.command('config', 'dnsrecords', 'example.org')[1]
            for name in ('example.org.', 'mail.example.org.'):
                assert re.search(r'^;; %s +CAA 0 issue "ca.example; accounturi=https://ca.example:14000/my-account/\w+; '
                                 r'validationmethods=tls-alpn-01,http-01"$' % re.escape(name), printed, re.M), printed
            # A restart asks for nothing.
            before = s.seen(1993)
            s.stop()
            n = s.log_text().count(GOT)
            s.start()
            assert s.seen(1993) == before and s.seen(1025, *STARTTLS) == before
            assert s.log_text().count(GOT) == n
        finally:
            s.close()


@scenario
def renewals_binding_and_refused_nonces():
    """An authority that wants an account of its own, refuses nonces at random, and gives certificates that soon end; then
    it is gone."""
    pebble = Pebble(other_ip(), None, externalAccountBindingRequired=True, certificateValidityPeriod=9,
                    externalAccountMACKeys={'kid-1': 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'})
    s = Served(pebble, [('\t\tPort: %d\nListeners' % TLS_PORT, '\t\tPort: %d\n\t\tExternalAccountBinding:\n\t\t\tKeyID: '
                         'kid-1\n\t\t\tKeyFile: eab.txt\nListeners' % TLS_PORT)])
    pebble.target = s.ip
    with open(os.path.join(s.dir, 'eab.txt'), 'w') as f:
        f.write('zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n')
    try:
        pebble.start(PEBBLE_WFE_NONCEREJECT='10', PEBBLE_AUTHZREUSE='100')
        s.start()
        s.wait_log('kind=rsa not_after')
        s.wait_log('kind=ecdsa not_after')
        before = s.wait_seen(is_pebbles, 1993)
        key, n = keys_of(s), s.log_text().count(GOT)
        held = insecure_context().wrap_socket(socket.create_connection((s.ip, 1993), timeout=WAIT),
                                              server_hostname='mail.example.org')
        assert held.recv(4096).startswith(b'* OK')
        s.wait_log_count(GOT, n + 2)
        after = s.wait_seen(lambda got: got and got[3] != before[3], 1993)
        s.wait_seen(lambda got: got and got[3] != before[3] and got[1] == 'Pebble', 1025, *STARTTLS)
        assert after[:3] == before[:3] and keys_of(s) == key  # another certificate, the same keys
        held.sendall(b'a NOOP\r\n')  # whoever was connected, is
        got = held.recv(4096)
        assert got.startswith(b'a OK'), (got, s.log_text()[-5000:])
        # A directory that answers no more: what there is stays.
        pebble.stop()
        s.wait_log('no certificate from the authority')
        assert is_pebbles(s.seen(1993))
        line = [l for l in s.log_text().splitlines() if 'no certificate from the authority' in l][0]
        assert re.search(r'retry_in_s=(\d+)', line) and int(re.search(r'retry_in_s=(\d+)', line)[1]) >= 60, line
        assert 'failures=1' in line and 'host=mail.example.org' in line, line
    finally:
        pebble.__exit__()
        s.close()


def keys_of(s):
    """The private keys in its files."""
    out = []
    for name in ('mail.example.org', 'mail.example.org+rsa'):
        with open(s.file('keycerts', 'test', name)) as f:
            out.append(f.read().split('-----BEGIN CERTIFICATE')[0])
    return out


@scenario
def http_01_and_keys_of_the_host():
    """An authority that cannot reach the port of tls-alpn-01; and private keys that the DNS has records for."""
    pebble = Pebble(other_ip(), None, tlsPort=9)
    s = Served(pebble, [('\t\t\tACME: test\n', '\t\t\tACME: test\n\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- absent.pem\n'
                         '\t\t\t\t- ec.pem\n\t\t\t\t- rsa.pem\n')])
    pebble.target = s.ip
    want = {}
    for kind, more in (('ec', ('-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256')),
                       ('rsa', ('-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'))):
        path = os.path.join(s.dir, kind + '.pem')
        run('openssl', 'genpkey', *more, '-out', path)
        want[kind] = run('openssl', 'pkey', '-in', path, '-pubout').stdout
    with pebble:
        try:
            s.start()
            # RFC 7671: a certificate of our own is good for DANE, when it has the key of the records.
            assert public_key(s, 1025, *STARTTLS) == want['ec']
            s.wait_log_count(GOT, 2)
            s.wait_seen(is_pebbles, 1993)
            s.wait_seen(is_pebbles, 1993, *RSA_ONLY)
            assert public_key(s, 1993) == want['ec'] and public_key(s, 1993, *RSA_ONLY) == want['rsa']
            log = s.log_text()
            assert log.count('kind=http-01') >= 1 and log.count('kind=tls-alpn-01') >= 1 and 'private key not usable' in log, log[-3000:]
            # mox-web-http-api.md 6.2.
            for host, code in (('other.example', '403'), ('mail.example.org', '404')):
                got = run('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', 'Host: ' + host,
                          'http://%s:%d/.well-known/acme-challenge/abc' % (s.ip, HTTP_PORT)).stdout
                assert got == code, (host, got)
            # Nobody is given a certificate for a challenge that there is not.
            assert s.seen(TLS_PORT, '-alpn', 'acme-tls/1') is None
        finally:
            s.close()


def public_key(s, port, *more):
    shown = subprocess.run(['openssl', 's_client', '-connect', '%s:%d' % (s.ip, port), '-servername', 'mail.example.org',
                            *more], input='', capture_output=True, text=True, timeout=WAIT).stdout
    return run('openssl', 'x509', '-noout', '-pubkey', input=shown).stdout


@scenario
def dns_01_by_a_program_of_the_administrator():
    pebble = Pebble(other_ip(), '127.0.0.1', {'PEBBLE_AUTHZREUSE': '0'}, httpPort=9, tlsPort=9)  # there is no other way
    s = Served(pebble, [('\t\tPort: %d\nListeners' % TLS_PORT, '\t\tPort: %d\n\t\tDNSHook: ./hook\nListeners' % TLS_PORT)])
    with open(os.path.join(s.dir, 'hook'), 'w') as f:
        f.write("#!/bin/sh\n"
                "test $# = 3 && test $(id -un) = nobody || exit 3\n"
                "case $1 in set) body='\"value\": \"'$3'\", ' ;; clear) body= ;; *) exit 2 ;; esac\n"
                "echo hook $1 $2 >&2\n"
                "test $1 = set || sleep 3\n"  # longer than the next order takes: nothing is asked of it meanwhile
                "exec curl -sf -d '{'\"$body\"'\"host\": \"'$2'.\"}' http://%s:8055/$1-txt\n" % pebble.ip)
    os.chmod(os.path.join(s.dir, 'hook'), 0o755)
    with pebble:
        try:
            s.start()
            s.wait_log('kind=rsa not_after')
            s.wait_seen(is_pebbles, 1993)
            s.wait_log('hook clear _acme-challenge.mail.example.org')
            log = s.log_text()
            assert log.index('hook set _acme-challenge.mail.example.org') < log.index('hook clear'), log[-3000:]
            assert 'kind=dns-01' in log and 'tls-alpn-01' not in log, log[-3000:]
            assert 'no certificate from the authority' not in log, log[-3000:]
            # One that fails is said, and tried again later.
            with open(os.path.join(s.dir, 'hook'), 'w') as f:
                f.write('#!/bin/sh\nexit 9\n')
            assert s.seen(TLS_PORT, name='imap.example.org') is None
            s.wait_log('setting a record in the DNS: exit code 9')
        finally:
            s.close()


UPDATES = '''		DNSUpdate:
			Server: %s
			Port: 5301
			Zone: example.org
			KeyName: Acme-Key.example
			KeyFile: tsig.key
'''


@scenario
def dns_01_by_updates_of_the_dns():
    """The server (dnspython) verifies what is signed, and its answers are believed only when they are signed with the key."""
    import base64
    from dns_update import UpdateServer, dns
    secret = os.urandom(32)
    key, wrong = (dns.tsig.Key('acme-key.example.', s, 'hmac-sha256') for s in (secret, os.urandom(32)))
    pebble = Pebble(other_ip(), '127.0.0.1', {'PEBBLE_AUTHZREUSE': '0'}, httpPort=9, tlsPort=9)
    server = UpdateServer(other_ip(), 'example.org', key, '127.0.0.1', 5301)
    pebble.dns = '%s:5301' % server.ip
    pebble.env['MOX_RESOLVER'] = 'root:%s hosts:%s' % (server.ip, pebble.hosts)
    pebble.env['MOX_TRUST_ANCHOR'] = 'none'
    del pebble.env['SSL_CERT_FILE']  # which authorities are trusted, the configuration says
    s = Served(pebble, [('\t\tPort: %d\nListeners' % TLS_PORT, '\t\tPort: %d\n' % TLS_PORT + UPDATES % server.ip +
                         'TLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- %s\nListeners' % pebble.authority.file)])
    with open(os.path.join(s.dir, 'tsig.key'), 'w') as f:
        f.write(base64.b64encode(secret).decode() + '\n')
    with pebble:
        try:
            s.start()
            s.wait_log('kind=rsa not_after')
            s.wait_seen(is_pebbles, 1993)
            # Two, unless pebble lets the first authorization stand for the second: it does in one of a hundred with 0 too.
            n = s.log_text().count('m="challenge"')
            s.wait_log_count('does=clear', n)
            name = '_acme-challenge.mail.example.org.'
            assert n and server.updates == [(name, 'clear'), (name, 'set'), (name, 'clear')] * n, server.updates
            assert not any(server.records.values()), server.records
            log = s.log_text()
            assert log.count('the record can be seen') == n and 'kind=dns-01' in log and 'tls-alpn-01' not in log, log[-3000:]
            # An answer that somebody else has signed.
            server.signs = wrong
            start = len(log)
            assert s.seen(TLS_PORT, name='imap.example.org') is None
            s.wait_log("updating the DNS: the answer's signature is wrong", start)
        finally:
            s.close()
            server.close()


@scenario
def a_full_disk_under_the_certificates():
    """It is told, nothing is left half-written, mail goes on; with room certificates come."""
    pebble = Pebble(other_ip(), None)
    s = Served(pebble)
    pebble.target = s.ip
    disk = s.file()
    os.makedirs(disk)
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k,mode=700', 'tmpfs', disk], capture_output=True).returncode:
        print('# cannot mount here, left out')
        return
    try:
        with pebble:
            s.start()
            s.stop()
            for folder, _, names in os.walk(disk):
                for name in names:
                    os.unlink(os.path.join(folder, name))
            with open(disk + '/filler', 'wb', buffering=0) as f, contextlib.suppress(OSError):
                while True:
                    f.write(bytes(4096))
            start = len(s.log_text())
            s.start()
            s.wait_log('No space left', start)
            assert s.seen(1025, *STARTTLS)[1] == 'own'
            assert [n for _, _, names in os.walk(disk) for n in names] == ['filler']
            s.stop()
            os.unlink(disk + '/filler')
            start = len(s.log_text())
            s.start()
            s.wait_log(GOT, start)
            s.wait_seen(is_pebbles, 1025, *STARTTLS)
    finally:
        s.close()
        subprocess.run(['umount', '-l', disk])


@scenario
def attempts_that_failed_are_known_after_a_restart():
    pebble = Pebble(other_ip(), None)  # nobody is there
    s = Served(pebble)
    began = time.time()
    try:
        s.start()
        s.wait_log_count('no certificate from the authority', 2)
        with open(s.file('state', 'state.json')) as f:
            attempts = [a for a in json.load(f)['attempts'] if a['host'] == 'mail.example.org']
        assert len(attempts) == 2 and all(a['failures'] == 1 for a in attempts), attempts
        assert all(a['next_try'] >= int(began) + 60 for a in attempts), attempts
        s.stop()
        start = len(s.log_text())
        s.start()
        # Port 25 serves all the same, with a certificate of our own; others tell that there is none.
        assert s.seen(1025, *STARTTLS)[1] == 'own' and s.seen(1993) is None and s.seen(TLS_PORT) is None
        s.wait_log('no TLS, there is no certificate yet', start)  # no error: anybody can connect
        assert 'cannot start TLS' not in s.log_text(start)
        # Another name is tried, those that had failed are not yet.
        assert s.seen(TLS_PORT, name='imap.example.org') is None
        s.wait_log('host=imap.example.org', start)
        s.wait_log('no certificate from the authority', start)
        assert 'host=mail.example.org' not in s.log_text(start), s.log_text(start)[-3000:]
    finally:
        s.close()
        pebble.__exit__()


for begin in scenarios:
    begin()
@test
def signatures_go_on_while_a_key_is_made():
    """A key of RSA takes up to seconds: who shakes hands meanwhile is answered."""
    hosts = ['h%d.example' % i for i in range(12)]
    config = encode_record('listener', index=0, protocol=4, port=443, hostname='x.example') + \
        encode_record('acme_provider', name='test', directory_url='https://ca.example/dir', kinds=7) + \
        b''.join(encode_record('acme_host', provider='test', host=h) for h in hosts)
    dir = tempfile.mkdtemp(prefix='mox-keys-')
    key = os.path.join(dir, 'key')
    run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key)
    memory = os.memfd_create('config')
    os.write(memory, config)
    given = [('config', [memory, os.open(dir, os.O_DIRECTORY)], {'number': 1}), ('tls_file', [os.open(key, os.O_RDONLY)], {'key': 1})]
    try:
        with LoneRole('keys', given) as keys:
            acme, front = keys.peer('ACME'), keys.peer('FRONT', 2)

            def sign(n):
                front.send('sign', request=n, key=1, type=1, digest=b'd' * 32)
                name, m, _ = front.hear()
                assert (name, m['request'], m['is_ok']) == ('signed', n, 1), m
            sign(1)
            meanwhile, requests = 0, []
            for i, host in enumerate(hosts):  # until one took long enough: chance decides how long
                acme.send('acme_csr', request=i, provider='test', host=host, kind=2)
                meanwhile = 0
                while not select.select([acme.sock], [], [], 0)[0]:
                    meanwhile += 1
                    sign(1 + meanwhile)
                name, m, _ = acme.hear()
                assert (name, m['request'], m['is_ok']) == ('acme_made', i, 1) and len(m['bytes']) > 500, m
                requests.append(m['bytes'])
                if meanwhile > 2:  # the first may be answered before the key is begun, and the next one when it is made
                    break
            assert meanwhile > 2, meanwhile
            # What was made is there for the next request, and names of others are refused as before.
            acme.send('acme_csr', request=10, provider='test', host=hosts[0], kind=2)
            assert acme.hear()[1]['bytes'] == requests[0]
            acme.send('acme_csr', request=11, provider='test', host='other.example', kind=2)
            name, m, _ = acme.hear()
            assert (m['request'], m['is_ok'], m['why']) == (11, 0, b'not a name for this authority'), m
    finally:
        shutil.rmtree(dir)


main('acme')
