"""Metrics in Prometheus' format: counted in every role, shown on MetricsHTTP, read by promtool."""
import json
import smtplib

from world import *

METRICS = 1081
# What promtool would rather have otherwise: names of upstream's.
KNOWN = {'mox_connections_count', 'mox_iprev_lookup_total'}


def scrape(s, port=METRICS):
    """Name with labels -> value."""
    r = run('curl', '-sS', '-i', '--max-time', str(WAIT), 'http://%s:%d/metrics' % (s.ip, port)).stdout
    head, text = r.split('\n\n', 1)
    assert 'text/plain; version=0.0.4' in head, head
    return text, dict(l.rsplit(' ', 1) for l in text.splitlines() if not l.startswith('#'))


def wait_for(s, *wanted):
    """Until these lines are there: what was counted before is shown at once, some is by a process that has yet to end."""
    deadline = time.monotonic() + WAIT
    while True:
        text, found = scrape(s)
        missing = [w for w in wanted if '%s %s' % (w, found.get(w)) not in text or found.get(w) == '0']
        if not missing:
            return text, found
        assert time.monotonic() < deadline, (missing, text)


def value(found, name, **labels):
    """Of all series of a name with these labels, together."""
    total = 0
    for key, v in found.items():
        m = re.match(r'(\w+)(?:\{(.*)\})?$', key)
        own = dict(re.findall(r'(\w+)="([^"]*)"', m.group(2) or ''))
        if m.group(1) == 'mox_' + name and all(own.get(k) == v for k, v in labels.items()):
            total += float(v)
    return total


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
        text, found = wait_for(s, 'mox_smtpserver_submission_total{result="ok"}',
                               'mox_imap_command_duration_seconds_count{cmd="logout",result="ok"}',
                               'mox_connections_count{protocol="http"}')
        assert value(found, 'smtpserver_connection_total', kind='smtp') == 2, text
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
    conf = [('\t\t\tFirstTimeSenderDelay: 0s\n', '\t\t\tFirstTimeSenderDelay: 0s\n\t\tMetricsHTTP:\n\t\t\tEnabled: true\n')]
    with World() as world, serving(env=world.internet.env, conf=conf) as s:
        send(s, world.signed(MESSAGE % ('right', 'r1')))
        w = s.connect(SMTP, source=GOOD)
        w.smtp_hello()
        w.cmd('MAIL FROM:<ann@sender.example>', '250')
        w.cmd('RCPT TO:<nobody@example.org>', '250')
        w.cmd('DATA', '354')
        w.write('From: <ann@sender.example>\r\n\r\nhello\r\n.\r\n')
        w.expect('550')
        w.close()
        text, found = scrape(s, 8010)
        assert value(found, 'spf_verify_duration_seconds_count', status='pass') == 2, text
        assert value(found, 'dkim_verify_duration_seconds_count', status='pass', algorithm='rsa-sha256') >= 1, text
        assert value(found, 'dmarc_verify_duration_seconds_count', status='pass') >= 1, text
        assert value(found, 'iprev_lookup_total_count', status='pass') == 2, text
        assert value(found, 'dns_lookup_duration_seconds_count', pkg='session', type='txt', result='ok') >= 1, text
        assert value(found, 'smtpserver_delivery_total', result='delivered', reason='no-bad-signals') == 1, text
        assert value(found, 'smtpserver_delivery_total', result='unknownuser') == 1, text


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
            os.kill(pid, signal.SIGSEGV)
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
