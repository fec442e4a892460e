"""Mail to a real Postfix, over a DNS of the test's own: what it takes, what it refuses, and what its log says of us."""

from outside import *

sys.path.insert(0, os.path.join(ROOT, 'test', 'bench'))
from peers import postfix_services, wait_banner

PLAIN, TLS, RIGHT, WRONG = 'plain.example', 'tls.example', 'right.example', 'wrong.example'
HOSTS = {PLAIN: 1, TLS: 2, RIGHT: 3, WRONG: 4}
MAIN_CF = '''
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
multi_instance_enable = yes
multi_instance_name = postfix-{instance}
myhostname = mx.postfix.example
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
mydestination =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = regexp:{dir}/users
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_chain_files = {dir}/key.pem, {dir}/cert.pem
smtpd_tls_received_header = yes
'''


class Postfix:
    """One, on an address per domain: the first without TLS, the others with a certificate that it signed itself."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-postfix-')
        os.chmod(self.dir, 0o755)
        for sub, owner in (('queue/private', 'postfix'), ('data', 'postfix'), ('mail', 'nobody')):
            os.makedirs(self.path(sub))
            shutil.chown(self.path(sub), owner)
        self.certificate = self.path('cert.pem')
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
            self.path('key.pem'), '-out', self.certificate, '-days', '30', '-subj', '/CN=whoever')
        self.write('main.cf', MAIN_CF.format(dir=self.dir, instance=os.path.basename(self.dir), domains=', '.join(HOSTS)))
        self.write('master.cf', ''.join(
            '%s:25 inet n - n - - smtpd -o smtpd_tls_security_level=%s\n' % (ip(n), 'none' if domain == PLAIN else 'may')
            for domain, n in HOSTS.items()) + '\n'.join(postfix_services()) + '\n')
        self.write('dynamicmaps.cf', '')
        self.write('users', '/^(bob|many[0-9]+)@/ all/\n')

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)

    def control(self, word):
        # Its daemons keep what they are given as output: a pipe would never end.
        with open(self.path('out'), 'ab') as out:
            return subprocess.run(['postfix', '-c', self.dir, word], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                  env=dict(os.environ, MAIL_CONFIG=self.dir), timeout=WAIT).returncode

    def start(self):
        assert self.control('start') == 0, open(self.path('out')).read() + self.log()
        for n in HOSTS.values():
            wait_banner(ip(n), 25)

    def close(self):
        self.control('stop')
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, start=0):
        if not os.path.exists(self.path('log')):
            return ''
        with open(self.path('log')) as f:
            return f.read()[start:]

    def wait_log(self, pattern, start=0):
        deadline = time.monotonic() + WAIT
        while not (found := re.search(pattern, self.log(start), re.MULTILINE)):
            assert time.monotonic() < deadline, (pattern, self.log(start)[-3000:])
            time.sleep(0.02)
        return found

    def mail(self, subject):
        """The messages in its mailbox that have this subject, once there is one."""
        deadline = time.monotonic() + WAIT
        new = self.path('mail/all/new')
        while True:
            texts = [open(os.path.join(new, name)).read() for name in (os.listdir(new) if os.path.isdir(new) else [])]
            found = [t for t in texts if '\nSubject: %s\n' % subject in t]
            if found:
                return found
            assert time.monotonic() < deadline, (subject, texts, self.log()[-3000:])
            time.sleep(0.02)


class World:
    def __init__(self):
        self.postfix = Postfix()
        records = {RIGHT: tlsa(3, 1, 1, self.postfix.certificate), WRONG: 'TLSA 3 1 1 ' + '00' * 32}
        self.internet = Internet([
            Zone(domain, '@ MX 10 mx\nmx A %s\n%s' % (ip(n), '_25._tcp.mx %s\n' % records[domain] if domain in records else ''))
            for domain, n in HOSTS.items()])

    def __enter__(self):
        self.postfix.start()
        self.internet.start()
        self.serving = serving(env=dict(self.internet.env, MOX_SMTP_TIMEOUT_MS='20000'))
        self.s = self.serving.__enter__()
        return self

    def __exit__(self, *args):
        self.serving.__exit__(*args)
        self.internet.close()
        self.postfix.close()


out = in_world(World, 'postfix')


def comes(s, postfix, start, domain, is_tls):
    """A message to bob at that domain is in Postfix's mailbox, once; and how it came, as its Received field says."""
    submit(s, 'bob@' + domain, subject=domain, body='.dot\r\n..\r\nend')
    text, = postfix.mail(domain)
    received = ' '.join(text.split('Received: ')[1].split())
    assert ('using TLSv1.3' in received) == is_tls and ('with ESMTPS ' if is_tls else 'with ESMTP ') in received, text
    assert 'Return-Path: <ann@example.org>\n' in text and text.rstrip().endswith('\n.dot\n..\nend'), text
    assert 'delivered' in outcome(s, 'bob@' + domain, start)


def counted(s, policy_domain, row):
    deadline = time.monotonic() + WAIT
    while row not in results(s, policy_domain)[0]:
        assert time.monotonic() < deadline, (policy_domain, row, results(s, policy_domain))
        time.sleep(0.05)


@out
def plain(w, s, start):
    postfix = w.postfix
    comes(s, postfix, start, PLAIN, is_tls=False)
    counted(s, PLAIN, (0, 'starttls-not-supported', ''))


@out
def starttls_with_a_certificate_nobody_knows(w, s, start):
    postfix = w.postfix
    comes(s, postfix, start, TLS, is_tls=True)
    counted(s, TLS, (0, None, None))


@out
def dane_right(w, s, start):
    postfix = w.postfix
    comes(s, postfix, start, RIGHT, is_tls=True)
    counted(s, 'mx.right.example', (1, None, None))


@out
def dane_wrong_is_put_off(w, s, start):
    postfix = w.postfix
    before = len(postfix.log())
    submit(s, 'bob@' + WRONG, subject='never seen')
    line = outcome(s, 'bob@' + WRONG, start)
    assert 'put off' in line and 'TLSA' in line and '4.7.' in line, line
    counted(s, 'mx.wrong.example', (1, 'validation-failure', 'dane-no-match'))
    # It greeted, it began with TLS, and it left; and not once more in plain text.
    line = postfix.wait_log(r'disconnect from .*\[%s\].*$' % re.escape(s.ip), before).group(0)
    assert 'starttls=' in line and 'mail=' not in line, line
    assert len(re.findall(': connect from ', postfix.log(before))) == 1, postfix.log(before)


@out
def a_recipient_it_does_not_know(w, s, start):
    postfix = w.postfix
    submit(s, ['nobody@' + TLS, 'bob@' + TLS], subject='two recipients')
    line = outcome(s, 'nobody@' + TLS, start)
    assert 'delivery failed' in line and '5.1.1' in line, line
    assert 'delivered' in outcome(s, 'bob@' + TLS, start)
    assert len(postfix.mail('two recipients')) == 1
    c = s.login('ann')
    deadline = time.monotonic() + WAIT
    while c.select('INBOX')[1] == [b'0']:
        assert time.monotonic() < deadline, s.log_text(start)[-3000:]
        time.sleep(0.05)
    report = re.sub(r'\r\n[ \t]+', ' ', c.fetch('1', '(BODY.PEEK[])')[1][0][1].decode())
    c.logout()
    for line in ('Final-Recipient: rfc822;nobody@' + TLS, 'Action: failed', 'Status: 5.1.1', 'Remote-MTA: dns; mx.' + TLS,
                 'User unknown in virtual mailbox table'):
        assert line in report, (line, report)
    assert 'Final-Recipient: rfc822;bob@' not in report, report


@out
def thirty_messages_over_few_connections(w, s, start):
    postfix = w.postfix
    before = len(postfix.log())
    assert s.command('queue', 'holdrules', 'add', '-recipientdom', TLS)[0] == 0
    with smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT) as c:
        c.login('ann@example.org', 'ann password')
        for i in range(30):
            c.sendmail('ann@example.org', ['many%d@%s' % (i, TLS)], 'From: <ann@example.org>\r\nSubject: many\r\n\r\nx\r\n')
    assert s.command('queue', 'holdrules', 'remove', '1')[0] == 0
    code, _, err = s.command('queue', 'unhold')
    assert code == 0, err
    for i in range(30):
        assert 'delivered' in outcome(s, 'many%d@%s' % (i, TLS), start)
        postfix.wait_log(r'to=<many%d@%s>.*status=sent' % (i, TLS), before)
    assert len(postfix.mail('many')) == 30
    connections = len(re.findall(r': connect from .*\[%s\]' % re.escape(s.ip), postfix.log(before)))
    print('# 30 messages over %d connections' % connections)
    assert connections <= 5, postfix.log(before)


last(out)


main('deliver-postfix')
