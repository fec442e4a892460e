"""Metrics in Prometheus' format: counted in every role, shown on MetricsHTTP, read by promtool."""
import json
import smtplib
import warnings

import outside
from https_server import Web
from metrics import METRICS, scrape, value
from outside import ip, Authority, Sink
from world import *

# What promtool would rather have otherwise: names of upstream's.
KNOWN = {'mox_connections_count', 'mox_iprev_lookup_total'}


def wait_for(s, *wanted, port=METRICS, value=None):
    """Until these lines are there, with this value or any but 0: what was counted before is shown at once, some is by a process that has yet to end."""
    deadline = time.monotonic() + WAIT
    while True:
        text, found = scrape(s, port)
        missing = [w for w in wanted if (found.get(w) != value if value else found.get(w) in (None, '0'))]
        if not missing:
            return text, found
        assert time.monotonic() < deadline, (missing, text)
        time.sleep(0.2)  # there is a limit for connections


def submit(s):
    c = smtplib.SMTP(s.ip, SUBMISSION, timeout=WAIT)
    c.starttls(context=insecure_context())
    c.login(LOGIN, PASSWORD)
    c.sendmail(LOGIN, [LOGIN], 'From: <%s>\r\nSubject: x\r\n\r\nhello\r\n' % LOGIN)
    c.quit()


@test
def every_role_counts():
    with running() as s:
        s.send(sender='a@sender.example', to=LOGIN)
        w = s.connect(SMTP)
        w.smtp_hello()
        w.cmd('NONSENSE', '500')
        w.cmd('QUIT', '221')
        w.close()
        # What is no TLS, an old version, a client that does not believe the certificate, and one that goes.
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers('ALL:@SECLEVEL=0')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        for context in (None, old, ssl.create_default_context(), 'gone'):
            w = s.connect(SMTP)
            w.smtp_hello()
            w.cmd('STARTTLS', '220')
            if context is None:
                w.sock.sendall(b'EHLO plain.example\r\nnot TLS at all\r\n')
            elif context != 'gone':
                try:
                    context.wrap_socket(w.sock.dup(), server_hostname='mail.example')
                    raise AssertionError('a handshake')
                except OSError:
                    pass
            w.close()
        submit(s)
        c = s.imap()
        c.select('Inbox')
        c.noop()
        assert c.create('Inbox')[0] == 'NO'
        c.logout()
        c = s.imap(login=False)
        try:
            c.login(LOGIN, 'wrong')
            raise AssertionError('logged in')
        except imaplib.IMAP4.error:
            pass
        c.logout()
        with contextlib.closing(s.connect(METRICS)):
            text, found = wait_for(s, 'mox_smtpserver_submission_total{result="ok"}',
                                   'mox_imap_command_duration_seconds_count{cmd="logout",result="ok"}',
                                   'mox_connections_count{protocol="http",listener="local"}',
                                   'mox_httpserver_response_duration_seconds_count{handler="metrics",proto="http",method="get",code="200"}',
                                   *('mox_smtpserver_delivery_starttls_errors_total{reason="%s"}' % reason for reason in
                                     ('nottls', 'unsupportedversions', 'alert-48-unknown-ca', 'eof')))
        assert value(found, 'smtpserver_delivery_starttls_errors_total') == value(found, 'smtpserver_delivery_starttls_total') == 4, text
        assert value(found, 'smtpserver_connection_total', kind='smtp') == 6, text
        assert value(found, 'smtpserver_connection_total', kind='submission') == 1, text
        assert value(found, 'smtpserver_command_duration_seconds_count', kind='smtp', cmd='mail', code='250') == 1, text
        assert value(found, 'smtpserver_command_duration_seconds_bucket', kind='smtp', cmd='rcpt', le='+Inf') == 1, text
        assert value(found, 'smtpserver_command_duration_seconds_count', cmd='(unknown)', code='500', ecode='5.1') == 1, text
        assert value(found, 'smtpserver_delivery_total', result='delivered') == 1, text
        assert value(found, 'imap_connection_total', service='imap') == 2, text
        assert value(found, 'imap_command_duration_seconds_count', cmd='select', result='ok') == 1, text
        assert value(found, 'imap_command_duration_seconds_count', cmd='create', result='usererror') == 1, text
        assert value(found, 'authentication_total', kind='imap', result='ok') == 1, text
        assert value(found, 'authentication_total', kind='imap', result='badpassword') == 1, text
        assert value(found, 'authentication_total', kind='submission', result='ok') == 1, text
        assert value(found, 'logging_level_info_total', role='auth') > 0, text
        assert value(found, 'role_processes', role='queue') == 1, text
        assert 1 << 20 < value(found, 'role_resident_memory_bytes', role='queue') < 1 << 30, text
        for role in ('front', 'session'):
            assert time.time() < value(found, 'tls_certificate_expiry_seconds', role=role) < time.time() + 4000 * 86400, text
        assert value(found, 'httpserver_response_duration_seconds_count', handler='metrics', proto='http', method='get',
                     code='200') >= 1, scrape(s)[0]
        assert [k for k in found if k.startswith('mox_build_info{version="')], text
        r = run('promtool', 'check', 'metrics', input=text, ok=False)
        complaints = [l for l in r.stderr.splitlines() if l.strip() and not l.split()[0] in KNOWN]
        assert r.returncode in (0, 3) and not complaints, (r.returncode, r.stderr)
        assert 'href="metrics"' in run('curl', '-sS', 'http://%s:%d/' % (s.ip, METRICS)).stdout


@test
@needs_dns
def what_is_found_out_about_senders():
    conf = [('\t\t\tFirstTimeSenderDelay: 0s\n', '\t\t\tFirstTimeSenderDelay: 0s\n\t\t\tDNSBLs:\n\t\t\t\t- bl.example\n\t\tMetricsHTTP:\n\t\t\tEnabled: true\n')]
    with World() as world, serving(env=world.internet.env, conf=conf) as s:
        send(s, world.signed(MESSAGE % ('right', 'r1')))
        refused = []
        for source, sender in ((GOOD, 'ann@sender.example'), (LISTED, 'x@plain.example')):
            w = s.connect(SMTP, source=source)
            w.smtp_hello()
            w.cmd('MAIL FROM:<%s>' % sender, '250')
            w.cmd('RCPT TO:<nobody@example.org>', '250')
            w.cmd('DATA', '354')
            w.write('From: <%s>\r\n\r\nhello\r\n.\r\n' % sender)
            refused.append(w)  # it is refused a byte a second, which need not be waited for
        text, found = wait_for(s, 'mox_smtpserver_delivery_total{result="unknownuser",reason=""}', port=8010, value='2')
        for w in refused:
            w.close()
        assert value(found, 'spf_verify_duration_seconds_count', status='pass') == 2, text
        assert value(found, 'dkim_verify_duration_seconds_count', status='pass', algorithm='rsa-sha256') >= 1, text
        assert value(found, 'dmarc_verify_duration_seconds_count', status='pass') >= 1, text
        assert value(found, 'iprev_lookup_total_count', status='pass') == 2, text
        assert value(found, 'dnsbl_lookup_duration_seconds_count', status='pass') == 2, text
        assert value(found, 'dnsbl_lookup_duration_seconds_count', zone='bl.example', status='fail') == 1, text
        assert value(found, 'dns_lookup_duration_seconds_count', pkg='session', type='txt', result='ok') >= 1, text
        assert value(found, 'smtpserver_delivery_total', result='delivered', reason='no-bad-signals') == 1, text
        assert value(found, 'smtpserver_delivery_total', result='unknownuser') == 2, text


class Others:
    """Domains that want TLS in several ways, their web server, and mox with an authority that nobody reaches."""
    ZONES = (('d1', '_25._tcp.mx %(right)s', True), ('d2', '_25._tcp.mx TLSA 3 1 1 ' + '00' * 32, True),
             ('d3', '_25._tcp.mx TLSA 0 0 1 ' + '00' * 32, True), ('plain', '', False),
             ('sts', '_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A ' + ip(50), False),
             ('badsts', '_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A ' + ip(50), False))

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-others-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        self.good = self.ca.certificate('mx.d1.example', 'mx.sts.example')
        right = outside.tlsa(3, 1, 1, self.good[0])
        self.hosts = {name: i + 1 for i, (name, _, _) in enumerate(self.ZONES)}
        self.internet = Internet([Zone(name + '.example', '@ MX 10 mx\nmx A %s\n%s\n' % (
            ip(self.hosts[name]), text % {'right': right} if '%(' in text else text), signed=signed)
            for name, text, signed in self.ZONES])
        chain = os.path.join(self.dir, 'web.pem')
        with open(chain, 'w') as f:
            for part in self.ca.certificate('mta-sts.sts.example', 'mta-sts.badsts.example'):
                f.write(open(part).read())
        policy = b'version: STSv1\r\nmode: enforce\r\nmx: mx.sts.example\r\nmax_age: 86400\r\n'
        self.web = Web(ip(50), {None: chain}, {('mta-sts.sts.example', '/.well-known/mta-sts.txt'): (200, {}, policy)})

    def __enter__(self):
        self.internet.start()
        env = dict(self.internet.env, SSL_CERT_FILE=self.ca.file, MOX_DIAL_PRIVATE='1')
        self.acme_ip = ip(60)
        conf = [('Hostname: mail.example.org\n', 'Hostname: mail.example.org\nACME:\n\ttest:\n\t\tDirectoryURL: '
                 'https://ca.nowhere.example:14000/dir\n\t\tContactEmail: ann@example.org\n\t\tPort: 1443\n'),
                ('\t\tSMTP:\n', '\t\tMetricsHTTP:\n\t\t\tEnabled: true\n\t\tAutoconfigHTTPS:\n\t\t\tEnabled: true\n'
                 '\t\t\tPort: 1080\n\t\t\tNonTLS: true\n\t\tSMTP:\n'),
                ('Postmaster:\n', '\tacme:\n\t\tIPs:\n\t\t\t- %s\n\t\tHostname: acme.example.org\n\t\tTLS:\n\t\t\tACME: test\n'
                 '\t\tAccountHTTPS:\n\t\t\tEnabled: true\n\t\t\tPort: 1443\nPostmaster:\n' % self.acme_ip)]
        self.serving = serving(env=env, conf=conf)
        self.s = self.serving.__enter__()
        return self

    def __exit__(self, *args):
        self.serving.__exit__(*args)
        self.web.__exit__()
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def sink(self, name, has_tls=False, **options):
        context = None
        if has_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.good)
        return Sink(self.hosts[name], tls=context, **options)

    def goes(self, name, word, has_tls=False, **options):
        start = len(self.s.log_text())
        with self.sink(name, has_tls) as sink:
            outside.submit(self.s, 'bob@%s.example' % name, **options)
            line = outside.outcome(self.s, 'bob@%s.example' % name, start)
            assert word in line, line
            return sink


@test
@needs_dns
def what_is_found_out_about_others():
    with Others() as w:
        s = w.s
        w.goes('d1', 'delivered', True)
        w.goes('d2', 'put off', True)
        w.goes('d3', 'delivered', True)
        w.goes('plain', 'delivered')
        w.goes('sts', 'delivered', True)
        w.goes('badsts', 'delivered', True)
        w.goes('d2', 'delivered', True, headers='TLS-Required: No\r\n')
        w.goes('plain', 'delivery failed', True, options=['REQUIRETLS'])
        text, found = scrape(s, 8010)
        ok = dict(result='ok', attempt='1', transport='')
        assert value(found, 'queue_delivery_duration_seconds_count', tlsmode='opportunistic', **ok) == 5, text
        assert value(found, 'queue_delivery_duration_seconds_count', tlsmode='skip', **ok) == 1, text
        assert value(found, 'queue_delivery_duration_seconds_count', result='temperror') == 1, text
        assert value(found, 'queue_delivery_duration_seconds_count', result='permerror') == 1, text
        assert value(found, 'queue_connection_total', result='ok') >= 7, text
        assert value(found, 'dkim_sign_total') == 0, text
        assert value(found, 'smtpserver_submission_total', result='ok') == 8, text
        assert value(found, 'queue_destinations_total') == 8, text
        assert value(found, 'queue_destinations_authentic_total') == 4, text
        assert value(found, 'queue_destination_dane_required_total') == 4, text
        assert value(found, 'queue_destination_dane_starttlsunverified_total') == 1, text
        assert value(found, 'queue_destination_dane_gathertlsa_errors_total') == 0, text
        assert value(found, 'dane_verify_total') == 2 and value(found, 'dane_verify_errors_total') == 1, text
        assert value(found, 'smtpclient_tlsrequiredno_ignored_total', ignored='daneverification') == 1, text
        assert value(found, 'queue_requiretls_unsupported_total', reason='nopolicy') == 1, text
        assert value(found, 'smtpclient_command_duration_seconds_count', cmd='starttls', code='220') == 6, text
        assert value(found, 'smtpclient_command_duration_seconds_count', cmd='.', code='250') == 6, text
        assert value(found, 'smtpclient_command_duration_seconds_count', cmd='.', secode='0.0') == 6, text
        assert value(found, 'smtpclient_command_duration_seconds_count', cmd='rcpt', code='250') == 6, text
        assert value(found, 'smtpclient_command_duration_seconds_count', cmd='greeting', code='220') >= 7, text
        assert value(found, 'mtasts_get_duration_seconds_count', result='ok') == 1, text
        assert value(found, 'mtasts_get_duration_seconds_count', result='fetcherror') == 1, text
        assert value(found, 'mtastsdb_get_total', result='fetch') == 2, text
        assert value(found, 'mtastsdb_get_total', result='nopolicy') >= 4, text
        assert value(found, 'httpclient_request_duration_seconds_count', pkg='queue', method='get', code='200', result='ok') == 1, text
        assert value(found, 'httpclient_request_duration_seconds_count', pkg='queue', method='get', code='404') == 1, text

        # A server that cannot do TLS after all.
        with w.sink('plain', True, says={'STARTTLS': '454 4.7.0 not now'}):
            start = len(s.log_text())
            outside.submit(s, 'bob@plain.example')
            assert 'delivered' in outside.outcome(s, 'bob@plain.example', start)
        wait_for(s, 'mox_queue_plaintext_fallback_total', port=8010)

        # On hold, and no longer.
        assert value(found, 'queue_hold') == 0, text
        outside.fill(s, ['bob@plain.example', 'tom@plain.example'])
        wait_for(s, 'mox_queue_hold', port=8010, value='3')  # with the one that waits
        outside.queue_command(s, 'drop', '-hold', 'true')
        wait_for(s, 'mox_queue_hold', port=8010, value='0')

        # Settings of mail programs.
        run('curl', '-sS', '--max-time', str(WAIT), '-H', 'Host: autoconfig.example.org',
            'http://%s:1080/mail/config-v1.1.xml?emailaddress=ann@example.org' % s.ip)
        run('curl', '-sS', '--max-time', str(WAIT), '-H', 'Host: autodiscover.example.org', '-d', '<x/>',
            'http://%s:1080/autodiscover/autodiscover.xml' % s.ip)
        wait_for(s, 'mox_autoconf_request_total', 'mox_autodiscover_request_total', port=8010)

        # Names in TLS, and an authority that is not there.
        for name in (['-noservername'], ['-servername', 'nobody.example']):
            r = subprocess.run(['openssl', 's_client', '-connect', w.acme_ip + ':1443', *name], input='', capture_output=True,
                               text=True, timeout=WAIT)
            assert 'unrecognized name' in r.stderr, r.stderr
        text, found = wait_for(s, 'mox_autotls_missing_servername_total', 'mox_autotls_unknown_servername_total',
                               'mox_autotls_cert_request_errors_total', port=8010)
        assert value(found, 'autotls_missing_servername_total') == 1, text
        assert value(found, 'autotls_unknown_servername_total') == 1, text
        assert value(found, 'autotls_certput_total') == 0, text
        r = run('promtool', 'check', 'metrics', input=text, ok=False)
        complaints = [l for l in r.stderr.splitlines() if l.strip() and not l.split()[0] in KNOWN]
        assert r.returncode in (0, 3) and not complaints, (r.returncode, r.stderr)


@test
@needs_dns
def own_addresses_in_block_lists():
    """Asked for at start and when the configuration changes; what is not asked any more is not shown."""
    conf = [('\t\tSMTP:\n', '\t\tNATIPs:\n\t\t\t- %s\n\t\t\t- %s\n\t\tMetricsHTTP:\n\t\t\tEnabled: true\n\t\tSMTP:\n' % (PUBLIC_LISTED, PUBLIC)),
            # A proxy with any address: those of the host's name are meant, which has none here.
            ('Postmaster:\n', 'Transports:\n\tproxy:\n\t\tSocks:\n\t\t\tAddress: 127.0.0.1:1080\n\t\t\tRemoteIPs:\n'
             '\t\t\t\t- 0.0.0.0\n\t\t\tRemoteHostname: mx.sender.example\nPostmaster:\n')]
    with World() as world, serving(env=world.internet.env, conf=conf) as s:
        assert value(scrape(s, 8010)[1], 'dnsbl_ips_success') == 0
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()

        def monitor(*zones):
            with open(path + '.new', 'w') as f:
                f.write(text + 'MonitorDNSBLs:\n' + ''.join('\t- %s\n' % z for z in zones))
            os.rename(path + '.new', path)

        series = lambda zone, ip: 'mox_dnsbl_ips_success{zone="%s",ip="%s"}' % (zone, ip)
        monitor('bl.example')
        wait_for(s, series('bl.example', PUBLIC), port=8010, value='1')
        wait_for(s, series('bl.example', PUBLIC_LISTED), port=8010, value='0')
        s.wait_log('an address of ours is in a block list')
        monitor('nothing.example')
        wait_for(s, series('nothing.example', PUBLIC), series('nothing.example', PUBLIC_LISTED), port=8010, value='1')
        # When the round has ended, what it did not ask about is gone.
        eventually(lambda: not [k for k in scrape(s, 8010)[1] if 'bl.example' in k and 'ips_success' in k], pause=0.3)
        r = run('promtool', 'check', 'metrics', input=scrape(s, 8010)[0], ok=False)
        assert r.returncode in (0, 3) and 'dnsbl_ips' not in r.stderr, r.stderr


@test
def counts_outlive_processes():
    with running() as s:
        for _ in range(2):
            c = s.imap()
            c.logout()
        before = value(wait_for(s, 'mox_imap_command_duration_seconds_count{cmd="logout",result="ok"}')[1],
                       'authentication_total', result='ok')
        assert before == 2
        start = len(s.log_text())
        for pid in s.pids('mox: auth'):
            os.kill(pid, signal.SIGABRT)
        s.wait_log('role ended unexpectedly', start)
        text, found = wait_for(s, 'mox_panic_total{pkg="auth"}')
        assert value(found, 'panic_total', pkg='auth') == 1 and value(found, 'panic_total') == 1, text
        assert value(found, 'authentication_total', result='ok') == 2, text
        deadline = time.monotonic() + WAIT
        while value(scrape(s)[1], 'authentication_total', result='ok') < 3:  # the new one goes on from there
            assert time.monotonic() < deadline
            try:
                s.imap().logout()
            except (OSError, imaplib.IMAP4.error):
                pass
        start = len(s.log_text())
        c = s.connect(SMTP)
        c.expect('220')
        for pid in s.pids('mox: session smtp'):
            os.kill(pid, signal.SIGKILL)
        s.wait_log('session crashed', start)
        assert value(wait_for(s, 'mox_panic_total{pkg="session"}')[1], 'smtpserver_connection_total') == 1
        c.close()
        sessions = 'mox_role_processes{role="session"}'
        c = s.connect(SMTP)
        c.expect('220')
        wait_for(s, sessions, value='1')
        for pid in s.pids('mox: session-template'):
            os.kill(pid, signal.SIGKILL)
        wait_for(s, sessions, value='0')  # its sessions have ended with it
        c.close()


@test
def rules_and_dashboard_fit():
    here = os.path.join(ROOT, 'doc', 'monitoring')
    r = run('promtool', 'check', 'rules', os.path.join(here, 'alerts.yml'))
    assert 'SUCCESS' in r.stdout, r.stdout + r.stderr
    with open(os.path.join(ROOT, 'src', 'ipc', 'metrics.h'), encoding='utf-8') as f:
        known = {'mox_' + m for m in re.findall(r'^    M\((\w+),', f.read(), re.M)}
    with open(os.path.join(here, 'grafana.json'), encoding='utf-8') as f:
        panels = json.load(f)['panels']
    asked = [t['expr'] for p in panels for t in p['targets']]
    with open(os.path.join(here, 'alerts.yml'), encoding='utf-8') as f:
        asked.append(f.read())
    for name in re.findall(r'\bmox_\w+', '\n'.join(asked)):
        assert re.sub(r'_(bucket|sum|count)$', '', name) in known or name in known, name
    assert len(panels) > 10 and all(t['expr'] for p in panels for t in p['targets'])


main('metrics')
