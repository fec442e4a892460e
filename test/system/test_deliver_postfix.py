"""Mail to a real Postfix, over a DNS of the test's own: what it takes, what it refuses, and what its log says of us."""
import socketserver

from outside import *
from postfix import *
from peers import wait_gone, wait_open

PATH = '/.well-known/mta-sts.txt'
WEB, GREY = 200, 201  # numbers of the web server's address, and of the policy service for greylisting
# What Postfix shows at the address of each domain: 'plain' nothing, 'own' a certificate that it signed itself, 'good',
# 'expired' and 'other' (for names of somebody else) one of the authority that is trusted, 'old' TLS 1.1 and nothing newer.
SHOWS = {
    'plain': 'plain', 'tls': 'own', 'right': 'own', 'wrong': 'own', 'expired': 'expired', 'other': 'other', 'old': 'old',
    'grey': 'plain', 'null': 'plain', 'four': 'plain', 'six': 'plain', 'picky': 'plain', 'must-old': 'old',
    'ee-expired': 'expired', 'ta': 'good', 'ta-other': 'other', 'ta-expired': 'expired', 'must-plain': 'plain',
    'enforce': 'good', 'enforce-own': 'own', 'enforce-expired': 'expired', 'enforce-other': 'other', 'enforce-plain': 'plain',
    'enforce-elsewhere': 'good', 'testing-own': 'own', 'testing-plain': 'plain', 'none-own': 'own', 'unfetched': 'own',
}
NUMBER = {name: i + 1 for i, name in enumerate(SHOWS)}  # of the address
MODES = {name: name.split('-')[0] for name in SHOWS if name.split('-')[0] in ('enforce', 'testing', 'none')}
SETTINGS = '''
myhostname = mx.postfix.example
inet_interfaces = 127.0.0.1
inet_protocols = all
smtpd_peername_lookup = no
tls_medium_cipherlist = DEFAULT:@SECLEVEL=0
'''


def mx(name):
    return 'mx.%s.example' % name


class Greylist(socketserver.ThreadingTCPServer):
    """A policy service for Postfix (its SMTPD_POLICY_README): whoever comes with something new is to come again."""
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 50

    def __init__(self):
        known = set()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                asked = {}
                for line in self.rfile:
                    name, _, value = line.decode().strip().partition('=')
                    if name:
                        asked[name] = value
                        continue
                    triplet = tuple(asked[k] for k in ('client_address', 'sender', 'recipient'))
                    is_welcome = triplet in known or asked['recipient'].startswith('many')
                    known.add(triplet)
                    self.wfile.write(b'action=%s\n\n' % (b'dunno' if is_welcome else b'defer 4.2.0 Greylisted, come back'))

        super().__init__((ip(GREY), 10023), Handler)
        threading.Thread(target=self.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Peer(Postfix):
    """With an address for every domain."""

    def __init__(self, ca):
        super().__init__([name + '.example' for name in SHOWS], '(bob|many[0-9]+)', SETTINGS)
        own = self.path('own.pem'), self.path('own.key')
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', own[1],
            '-out', own[0], '-days', '30', '-subj', '/CN=whoever')
        good = ca.certificate(*[mx(name) for name, shows in SHOWS.items() if shows == 'good'])
        with open(good[0], 'a') as f:
            f.write(open(ca.file).read())  # with the authority's own, as DANE-TA wants it (RFC 7672 3.1.2)
        expired = ca.certificate(*[mx(name) for name, shows in SHOWS.items() if shows == 'expired'], days=-1)
        with open(expired[0], 'a') as f:
            f.write(open(ca.file).read())
        other = ca.certificate('somebody.example')
        with open(other[0], 'a') as f:
            f.write(open(ca.file).read())
        self.certificates = {'own': own, 'good': good, 'expired': expired, 'other': other, 'old': own}
        self.services()

    def services(self, *more):
        super().services(*[self.service(name, ip(n)) for name, n in NUMBER.items()], *more)

    def service(self, name, address, *more):
        """A line of master.cf: a port that logs under the domain's name."""
        options = ['syslog_name=peer/' + name, 'smtpd_tls_security_level=' + ('none' if SHOWS[name] == 'plain' else 'may')]
        if SHOWS[name] != 'plain':
            options.append('smtpd_tls_chain_files=%s,%s' % self.certificates[SHOWS[name]][::-1])
        if SHOWS[name] == 'old':
            options.append('smtpd_tls_protocols=TLSv1.1')
        if name == 'grey':
            options.append('smtpd_recipient_restrictions=check_policy_service,inet:%s:10023' % ip(GREY))
        return '%s:25 inet n - n - - smtpd %s' % (address, ' '.join('-o ' + o for o in [*options, *more]))

    @contextlib.contextmanager
    def ipv6(self, service=None):
        """With port 25 of ::1, for this service or for nobody."""
        with ipv6_alone():
            if not service:
                yield
                return
            self.services(service)
            assert self.control('reload') == 0
            wait_banner('::1', 25)
            try:
                yield
            finally:
                self.services()
                self.control('reload')
                wait_gone('::1', 25)

    def connections(self, name, s, n=1):
        """What its log says at the end of our connections to the domain's address, of which there are n."""
        pattern = r'peer/%s/smtpd\[\d+\]: disconnect from .*\[(?:%s|::1)\].*$' % (name, re.escape(s.ip))
        deadline = time.monotonic() + WAIT
        while len(found := re.findall(pattern, self.log(), re.MULTILINE)) < n:
            assert time.monotonic() < deadline, (name, n, found, self.log()[-3000:])
            time.sleep(0.02)
        assert len(found) == n, found
        return found


class Nginx:
    """The policies of MTA-STS (RFC 8461 3.3); a directory per domain, and what it was asked."""

    def __init__(self, ca):
        self.dir = tempfile.mkdtemp(prefix='mox-nginx-')
        os.chmod(self.dir, 0o755)
        certificate = ca.certificate(*['mta-sts.%s.example' % name for name in [*MODES, 'unfetched']])
        for name, mode in MODES.items():
            path = self.dir + '/www/mta-sts.%s.example/.well-known' % name
            os.makedirs(path)
            with open(path + '/mta-sts.txt', 'w') as f:
                hosts = '' if mode == 'none' else 'mx: %s\n' % ('mx.elsewhere.example' if 'elsewhere' in name else mx(name))
                f.write('version: STSv1\nmode: %s\n%smax_age: 86400\n' % (mode, hosts))
        with open(self.dir + '/conf', 'w') as f:
            f.write('daemon off;\nmaster_process off;\npid %s/pid;\nevents {}\nhttp {\naccess_log %s/access;\n%s'
                    'types { text/plain txt; }\nserver {\nlisten %s:443 ssl;\nssl_certificate %s;\nssl_certificate_key %s;\n'
                    'root %s/www/$host;\n}\n}\n' % (
                        self.dir, self.dir,
                        ''.join('%s_temp_path %s/temp;\n' % (kind, self.dir)
                                for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')),
                        ip(WEB), *certificate, self.dir))
        self.process = subprocess.Popen(['nginx', '-p', self.dir, '-e', self.dir + '/errors', '-c', self.dir + '/conf'],
                                        stdin=subprocess.DEVNULL)
        wait_open(ip(WEB), 443)

    def close(self):
        self.process.terminate()
        self.process.wait(WAIT)
        shutil.rmtree(self.dir, ignore_errors=True)


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-outside-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        self.postfix = Peer(self.ca)
        certificates = self.postfix.certificates
        ta = tlsa(2, 0, 1, self.ca.file)
        records = {'right': tlsa(3, 1, 1, certificates['own'][0]), 'wrong': 'TLSA 3 1 1 ' + '00' * 32,
                   'ee-expired': tlsa(3, 1, 1, certificates['expired'][0]), 'ta': ta, 'ta-other': ta, 'ta-expired': ta,
                   'must-plain': ta, 'must-old': tlsa(3, 1, 1, certificates['old'][0])}
        zones = []
        for name, n in NUMBER.items():
            text = '@ MX 10 mx\nmx A %s\n' % ip(n)
            if name == 'null':
                text = '@ MX 0 .\n@ A %s\n' % ip(n)
            elif name == 'four':
                text += 'mx AAAA ::1\n'  # where nobody is
            elif name in ('six', 'picky'):
                text = '@ MX 10 mx\nmx A %s\nmx AAAA ::1\n' % ip(n if name == 'picky' else 250)
            if name in records:
                text += '_25._tcp.mx %s\n' % records[name]
            if name in MODES or name == 'unfetched':
                text += '_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A %s\n' % ip(WEB)
            zones.append(Zone(name + '.example', text, signed=name in records))
        self.internet = Internet(zones)

    def __enter__(self):
        self.grey = Greylist()
        self.web = Nginx(self.ca)
        self.postfix.start(ip(NUMBER['plain']))
        self.internet.start()
        self.serving = serving(env=dict(self.internet.env, SSL_CERT_FILE=self.ca.file, MOX_SMTP_TIMEOUT_MS='20000',
                                        MOX_DIAL_PRIVATE='1'))
        self.s = self.serving.__enter__()
        return self

    def __exit__(self, *args):
        self.serving.__exit__(*args)
        self.internet.close()
        self.postfix.close()
        self.web.close()
        self.grey.close()
        shutil.rmtree(self.dir, ignore_errors=True)


out = in_world(World, 'nginx' if shutil.which('postfix') else 'postfix')


def comes(w, s, start, name, is_tls, to='bob'):
    """A message to that domain is in Postfix's mailbox, once; and how it came, as its Received field says."""
    address = '%s@%s.example' % (to, name)
    submit(s, address, subject=address, body='.dot\r\n..\r\nend')
    text, = w.postfix.mail(address)
    received = ' '.join(text.split('Received: ')[1].split())
    assert ('using TLSv1.3' in received) == is_tls and ('with ESMTPS ' if is_tls else 'with ESMTP ') in received, text
    assert 'Return-Path: <ann@example.org>\n' in text and text.rstrip().endswith('\n.dot\n..\nend'), text
    assert 'delivered' in outcome(s, address, start)
    return text


def waits(w, s, start, name, *words, connections=1, to='bob', **options):
    """A message to that domain is put off for the first of the waits, with those words, and Postfix has seen nothing of it."""
    address = '%s@%s.example' % (to, name)
    submit(s, address, **options)
    line = outcome(s, address, start)
    assert 'put off' in line and all(word in line for word in words), line
    assert 445 <= waits_for(s, address) <= 455, waits_for(s, address)  # mox-smtp-delivery.md 3.1
    # It left after the greeting, after STARTTLS or with TLS; and did not come once more in plain text.
    for end in w.postfix.connections(name, s, connections):
        assert 'mail=' not in end and 'ehlo=' in end, end


def fails(w, s, start, name, status, *words, to='bob', **options):
    """A message to that domain comes back."""
    address = '%s@%s.example' % (to, name)
    submit(s, address, **options)
    line = outcome(s, address, start)
    assert 'delivery failed' in line and status in line and all(word in line for word in words), line
    report = report_about(s, address)
    for line in ('Action: failed', 'Status: ' + status, *words):
        assert line in report, (line, report)
    return report


def report_about(s, address):
    """The newest report in ann's mailbox about that recipient, unfolded."""
    c = s.login('ann')
    deadline = time.monotonic() + WAIT
    while True:
        for i in range(int(c.select('INBOX')[1][0]), 0, -1):
            report = re.sub(r'\r\n[ \t]+', ' ', c.fetch(str(i), '(BODY.PEEK[])')[1][0][1].decode())
            if 'Final-Recipient: rfc822;%s\r\n' % address in report:
                c.logout()
                return report
        assert time.monotonic() < deadline, (address, s.log_text()[-3000:])
        time.sleep(0.05)


def counted(s, want):
    """Results for these domains: all of each. They are noted some time after they are told."""
    deadline = time.monotonic() + WAIT
    for policy_domain, rows in want.items():
        while results(s, policy_domain)[0] != set(rows):
            assert time.monotonic() < deadline, (policy_domain, rows, results(s, policy_domain))
            time.sleep(0.05)


@out
def what_it_shows_does_not_matter_where_nothing_was_promised(w, s, start):
    comes(w, s, start, 'plain', is_tls=False)
    for name in ('tls', 'expired', 'other'):
        comes(w, s, start, name, is_tls=True)
    comes(w, s, start, 'old', is_tls=False)  # there is no TLS that both speak: once more, without
    first, second = w.postfix.connections('old', s, 2)
    assert 'starttls=0/1' in first and 'mail=' not in first and 'starttls' not in second, (first, second)
    counted(s, {'plain.example': [(NONE, 'starttls-not-supported', '')],
                'old.example': [(NONE, 'validation-failure', 'tls-remote-alert-70-protocol-version')]})
    for name in ('tls', 'expired', 'other'):
        counted(s, {name + '.example': [(NONE, None, None)], mx(name): [(NONE, None, None)]})


@out
def dane(w, s, start):
    want = {}
    for name in ('right', 'ee-expired', 'ta'):
        comes(w, s, start, name, is_tls=True)
        want[mx(name)] = [(TLSA, None, None)]
    for name, why, *row in (('wrong', 'TLSA', 'validation-failure', 'dane-no-match'),
                            ('ta-other', 'TLSA', 'certificate-host-mismatch', ''),
                            ('ta-expired', 'TLSA', 'certificate-expired', ''),
                            ('must-plain', 'STARTTLS', 'starttls-not-supported', ''),
                            ('must-old', 'STARTTLS', 'validation-failure', 'tls-remote-alert-70-protocol-version')):
        waits(w, s, start, name, why, '4.7.')
        want[mx(name)] = [(TLSA, *row)]
    counted(s, want)


@out
def mta_sts(w, s, start):
    comes(w, s, start, 'enforce', is_tls=True)
    want = {'enforce.example': [(STS, None, None)]}
    for name, why, *row in (('enforce-own', 'not trusted', 'certificate-not-trusted', 'self-signed-certificate'),
                            ('enforce-expired', 'not trusted', 'certificate-expired', ''),
                            ('enforce-other', 'not trusted', 'certificate-host-mismatch', ''),
                            ('enforce-plain', 'STARTTLS', 'starttls-not-supported', '')):
        waits(w, s, start, name, why, '4.7.')
        want[name + '.example'] = [(STS, *row)]
    waits(w, s, start, 'enforce-elsewhere', 'MTA-STS policy', '4.7.5', connections=0)
    # Nothing is stopped by these, but what would have been is told.
    comes(w, s, start, 'testing-own', is_tls=True)
    comes(w, s, start, 'testing-plain', is_tls=False)
    comes(w, s, start, 'none-own', is_tls=True)
    comes(w, s, start, 'unfetched', is_tls=True)
    counted(s, want | {
        'enforce-elsewhere.example': [(STS, 'validation-failure', 'mtasts-policy-mx-mismatch')],
        'testing-own.example': [(STS, 'certificate-not-trusted', 'self-signed-certificate')],
        'testing-plain.example': [(STS, 'starttls-not-supported', '')],
        'none-own.example': [(NONE, None, None)],
        'unfetched.example': [(NONE, None, None), (STS, 'sts-policy-fetch-error', 'http-status-404')],
    })
    # Each was fetched once.
    asked = open(w.web.dir + '/access').read()
    assert asked.count(PATH) == len(MODES) + 1, asked


@out
def results_name_both_ends(w, s, start):
    """RFC 8460 4.4: sending-mta-ip, receiving-ip, receiving-mx-hostname and -helo."""
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data/admin/admin.db'), uri=True, timeout=WAIT)
    rows = db.execute('SELECT sending_ip, receiving_ip, mx_host, mx_helo FROM tls_failure JOIN tls_result ON result = id '
                      "WHERE policy_domain = 'enforce-expired.example'").fetchall()
    db.close()
    assert rows == [(s.ip, ip(NUMBER['enforce-expired']), mx('enforce-expired'), 'mx.postfix.example')], rows


@out
def requiretls_where_it_is_not_offered(w, s, start):
    # Postfix 3.7 does not know it: to no such server, whatever it proves, and the sender hears so at once.
    fails(w, s, start, 'ta', '5.7.30', 'REQUIRETLS', to='many1', options=('REQUIRETLS',))
    assert 'mail=' not in w.postfix.connections('ta', s, 2)[1]
    # Nobody says which server is the right one.
    fails(w, s, start, 'tls', '5.7.30', 'REQUIRETLS', to='many1', options=('REQUIRETLS',))
    w.postfix.connections('tls', s, 1)


@out
def greylisting(w, s, start):
    """Who is new is to come again, and does; who is known meanwhile does not wait."""
    to = ['bob@grey.example', 'many1@grey.example']
    submit(s, to, subject='grey')
    line = outcome(s, to[0], start)
    assert 'put off' in line and 'Greylisted' in line and '4.2.0' in line, line
    assert 'delivered' in outcome(s, to[1], start)
    assert 445 <= due_now(s, to[0])[0][1] <= 455
    assert 'delivered' in outcome(s, to[0], start, 2)
    assert len(w.postfix.mail('grey', 2)) == 2


@out
def null_mx(w, s, start):
    report = fails(w, s, start, 'null', '5.1.10')
    assert 'Diagnostic-Code: smtp; 556 ' in report and 'Remote-MTA' not in report, report
    w.postfix.connections('null', s, 0)
    assert not results(s, 'null.example')[0]


@out
def one_family_does_not_work(w, s, start):
    with w.postfix.ipv6():
        comes(w, s, start, 'four', is_tls=False)   # nobody at its IPv6 address
    with w.postfix.ipv6(w.postfix.service('six', '[::1]')):
        comes(w, s, start, 'six', is_tls=False)    # nobody at its IPv4 address
        w.postfix.wait_log(r'peer/six/smtpd.*: connect from .*\[::1\]')
    # A policy against the one address may not hold for the other (mox-smtp-delivery.md 3.3).
    with w.postfix.ipv6(w.postfix.service('picky', '[::1]', 'smtpd_client_restrictions=reject')):
        submit(s, 'bob@picky.example', subject='picky')
        line = outcome(s, 'bob@picky.example', start)
        assert 'put off' in line and '5.7.1' in line, line
        assert due_now(s, 'bob@picky.example')
        assert 'delivered' in outcome(s, 'bob@picky.example', start, 2)
        assert '[%s]' % s.ip in w.postfix.mail('picky')[0].split('Received: ')[1]


@out
def a_recipient_it_does_not_know(w, s, start):
    to = ['nobody@tls.example', 'bob@tls.example']
    submit(s, to, subject='two recipients')
    line = outcome(s, to[0], start)
    assert 'delivery failed' in line and '5.1.1' in line, line
    assert 'delivered' in outcome(s, to[1], start)
    assert len(w.postfix.mail('two recipients')) == 1
    report = report_about(s, to[0])
    for line in ('Action: failed', 'Status: 5.1.1', 'Remote-MTA: dns; mx.tls.example', 'User unknown in virtual mailbox table'):
        assert line in report, (line, report)
    assert 'Final-Recipient: rfc822;bob@' not in report, report


@out
def thirty_messages_over_few_connections(w, s, start):
    postfix = w.postfix
    before = len(postfix.log())
    assert s.command('queue', 'holdrules', 'add', '-recipientdom', 'tls.example')[0] == 0
    with smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT) as c:
        c.login('ann@example.org', 'ann password')
        for i in range(30):
            c.sendmail('ann@example.org', ['many%d@tls.example' % i], 'From: <ann@example.org>\r\nSubject: many\r\n\r\nx\r\n')
    assert s.command('queue', 'holdrules', 'remove', '1')[0] == 0
    code, _, err = s.command('queue', 'unhold')
    assert code == 0, err
    for i in range(30):
        assert 'delivered' in outcome(s, 'many%d@tls.example' % i, start)
        postfix.wait_log(r'to=<many%d@tls\.example>.*status=sent' % i, before)
    assert len(postfix.mail('many', 30)) == 30
    connections = len(re.findall(r': connect from .*\[%s\]' % re.escape(s.ip), postfix.log(before)))
    print('# 30 messages over %d connections' % connections)
    assert connections <= 5, postfix.log(before)


last(out)


main('deliver-postfix')
