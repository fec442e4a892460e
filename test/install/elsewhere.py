"""Another host, of Debian's own programs: Postfix that signs and verifies with opendkim, and mail clients."""
from debian import *
from fresh import Zone
from https_server import Web
from postfix import Postfix

DANE_DOMAIN, STS_DOMAIN = 'far.example', 'sts.example'  # whose senders must verify its certificate, by one way or the other
HOST = 'mx.' + DANE_DOMAIN
SETTINGS = '''
myhostname = {host}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.1/32
smtp_bind_address = {ip}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {certificate}.key, {certificate}.crt
smtpd_tls_loglevel = 1
smtpd_milters = inet:{ip}:8891
smtp_dns_support_level = dnssec
smtp_tls_security_level = dane
smtp_tls_CAfile = {roots}
smtp_tls_loglevel = 1
transport_maps = regexp:{transport}
'''
UNBOUND = '''
server:
  interface: {ip}
  do-ip6: no
  do-daemonize: no
  do-not-query-localhost: no
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: "{dir}/unbound.pid"
  use-syslog: no
  logfile: "{dir}/unbound.log"
  access-control: 127.0.0.0/8 allow
  root-hints: "{dir}/hints"
  trust-anchor-file: "{anchor}"
  local-zone: "127.in-addr.arpa." nodefault
remote-control:
  control-enable: no
'''
FORWARD = '''
server:
  do-not-query-localhost: no
  trust-anchor-file: "{anchor}"
forward-zone:
  name: "."
  forward-addr: {ip}
'''
OPENDKIM = '''
Mode sv
Syslog no
Socket inet:8891@{ip}
Domain {domain}
Selector sel
KeyFile {dir}/dkim.pem
AuthservID {host}
AlwaysAddARHeader yes
RequireSafeKeys no
ResolverConfiguration {dir}/opendkim-unbound.conf
PidFile {dir}/opendkim.pid
'''


class Elsewhere:
    """
    Its programs ask a resolver of its own, which verifies what the test's DNS says: they have an /etc/resolv.conf that is
    theirs alone. authority: who made its certificates; roots: whom it trusts, from the time when it is started.
    """

    def __init__(self, internet, authority, roots):
        self.internet, self.roots = internet, roots
        self.dir = tempfile.mkdtemp(prefix='mox-elsewhere-')
        os.chmod(self.dir, 0o755)
        self.ip, self.web_ip, self.processes, self.web = free_ip(), free_ip(), [], None
        self.resolver = internet.ip(20)
        certificate = authority.issue([HOST, 'mx.' + STS_DOMAIN])[:-len('.pem')]
        self.web_certificate = authority.issue(['mta-sts.' + STS_DOMAIN])
        run('openssl', 'genrsa', '-out', self.path('dkim.pem'), '2048')
        key = ''.join(run('openssl', 'rsa', '-in', self.path('dkim.pem'), '-pubout').stdout.splitlines()[1:-1])
        tlsa = run(MOX, 'dane', 'makerecord', '3', '1', '1', certificate + '.crt').stdout.strip()
        for zone in (Zone(DANE_DOMAIN, '@ MX 10 mx\nmx A %s\n_25._tcp.mx TLSA %s\n@ TXT "v=spf1 mx -all"\n'
                          '_dmarc TXT "v=DMARC1; p=reject"\nsel._domainkey TXT "v=DKIM1; k=rsa; p=" "%s" "%s"\n' % (
                              self.ip, tlsa, key[:200], key[200:])),
                     Zone(STS_DOMAIN, '@ MX 10 mx\nmx A %s\nmta-sts A %s\n_mta-sts TXT "v=STSv1; id=1;"\n' % (
                         self.ip, self.web_ip), signed=False)):
            internet.zones[zone.name] = zone
        internet.zones['127.in-addr.arpa'].text += '%s PTR %s.\n' % ('.'.join(reversed(self.ip.split('.')[1:])), HOST)
        self.write('resolv.conf', 'nameserver %s\noptions trust-ad\n' % self.resolver)
        self.write('hints', '. NS ns.\nns. A %s\n' % internet.ips['root'])
        anchor = internet.env['MOX_TRUST_ANCHOR']
        self.write('unbound.conf', UNBOUND.format(ip=self.resolver, dir=self.dir, anchor=anchor))
        self.write('opendkim-unbound.conf', FORWARD.format(ip=self.resolver, anchor=anchor))
        self.write('opendkim.conf', OPENDKIM.format(ip=self.ip, domain=DANE_DOMAIN, host=HOST, dir=self.dir))
        # By DANE, as it does of itself; to this address as if there was no DANE: the certificate must be an authority's.
        self.write('transport', '/^postmaster@/ secure:\n')
        self.within = ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.path('resolv.conf')]
        self.postfix = Postfix([DANE_DOMAIN, STS_DOMAIN], 'bob', SETTINGS.format(
            ip=self.ip, host=HOST, certificate=certificate, roots=roots, transport=self.path('transport')), self.within)
        self.postfix.services('%s:25 inet n - n - - smtpd' % self.ip,
                              'secure unix - - n - - smtp -o syslog_name=secure -o smtp_tls_security_level=secure')

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)

    def start(self, *argv, ip, port):
        """A program that stays; until somebody listens there."""
        with open(self.path('out'), 'ab') as out:
            p = subprocess.Popen([*self.within, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.processes.append(p)
        deadline = time.monotonic() + WAIT
        while True:
            with socket.socket() as s:
                if s.connect_ex((ip, port)) == 0:
                    return
            assert p.poll() is None and time.monotonic() < deadline, open(self.path('out')).read()
            time.sleep(0.02)

    def __enter__(self):
        try:
            self.start('/usr/sbin/unbound', '-c', self.path('unbound.conf'), ip=self.resolver, port=53)
            self.start('/usr/sbin/opendkim', '-f', '-x', self.path('opendkim.conf'), ip=self.ip, port=8891)
            policy = 'version: STSv1\nmode: enforce\nmx: mx.%s\nmax_age: 86400\n' % STS_DOMAIN
            self.web = Web(self.web_ip, {None: self.web_certificate},
                           {('mta-sts.' + STS_DOMAIN, '/.well-known/mta-sts.txt'): (200, {}, policy.encode())})
            self.postfix.start(self.ip)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, failure=None, *_):
        if failure:
            print(self.postfix.log()[-5000:] + open(self.path('out')).read()[-2000:])
        self.postfix.close()
        if self.web:
            self.web.__exit__()
        for p in self.processes:
            p.terminate()
            p.wait(WAIT)
        shutil.rmtree(self.dir, ignore_errors=True)

    def do(self, *argv, input=None, ok=True):
        """A program of somebody here."""
        return run(*self.within, *argv, input=input, ok=ok)
