"""`mox serve` for tests: two accounts, a list, a domain that takes everything."""
import functools
import os
import smtplib
import sys

from harness import *

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'internet'))
from internet import Internet, Zone, why_not

USER = 'nobody'
MOX_CONF = '''DataDir: data
User: nobody
LogLevel: debug
Hostname: mail.example.org
Listeners:
	public:
		IPs:
			- %s
		TLS:
			KeyCerts:
				-
					CertFile: localhost.crt
					KeyFile: localhost.key
		SMTP:
			Enabled: true
			Port: 1025
			FirstTimeSenderDelay: 0s
		Submission:
			Enabled: true
			Port: 1587
		Submissions:
			Enabled: true
			Port: 1465
		IMAP:
			Enabled: true
			Port: 1143
			NoRequireSTARTTLS: true
		IMAPS:
			Enabled: true
			Port: 1993
Postmaster:
	Account: ann
	Mailbox: Postmaster
'''
DOMAINS_CONF = '''Domains:
	example.org:
		LocalpartCatchallSeparator: +
		Aliases:
			both:
				Addresses:
					- ann@example.org
					- bob@example.org
				PostPublic: true
			team:
				Addresses:
					- ann@example.org
					- bob@example.org
	rest.example: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			@rest.example:
				Mailbox: Rest
	bob:
		Domain: example.org
		QuotaMessageSize: 20000
		Destinations:
			bob@example.org: nil
			gone@example.org:
				SMTPError: 550 bob has gone
'''


class Serve(Server):
    """`mox serve`, with certificates that localserve made."""

    def start(self, *args, expect_failure=False):
        if not os.path.exists(os.path.join(self.dir, 'localhost.key')):
            super().start()
            self.stop()
            with open(os.path.join(self.dir, 'mox.conf'), 'w') as f:
                f.write(MOX_CONF % self.ip)
            with open(os.path.join(self.dir, 'domains.conf'), 'w') as f:
                f.write(DOMAINS_CONF)
            os.chmod(self.dir, 0o711)  # SQLite looks at the whole path to its file
        self.log = open(self.log_path, 'ab')
        start = os.path.getsize(self.log_path)
        self.process = subprocess.Popen([self.mox, '-config', os.path.join(self.dir, 'mox.conf'), 'serve', *args],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.env)
        self.wait_log('ready to serve', start, expect_failure)
        return self

    def set_conf(self, old, new):
        path = os.path.join(self.dir, 'mox.conf')
        with open(path) as f:
            text = f.read()
        assert old in text, old
        with open(path, 'w') as f:
            f.write(text.replace(old, new))

    def login(self, name):
        c = imaplib.IMAP4(self.ip, IMAP, timeout=WAIT)
        c.login(name + '@example.org', name + ' password')
        return c

    def connect(self, port, source='127.0.0.1'):
        return Wire(socket.create_connection((self.ip, port), timeout=WAIT, source_address=(source, 0)))


@contextlib.contextmanager
def serving_the_trusting():
    """With a DNS in which elsewhere.example lets everybody send in its name: several recipients then have a message."""
    with Internet([Zone('elsewhere.example', '@ TXT "v=spf1 +all"')]) as internet:
        with serving(env=internet.env) as s:
            yield s


def ask_the_dns(s):
    """Mail from elsewhere comes with questions; the first starts the process that asks them."""
    w = s.connect(1025)
    w.smtp_hello()
    for line, code in (('MAIL FROM:<a@elsewhere.example>', '250'), ('RCPT TO:<ann@example.org>', '250'), ('DATA', '354')):
        w.cmd(line, code)
    w.write('Subject: x\r\n\r\nhello\r\n.\r\n')
    w.reply()
    w.close()


def send_elsewhere(s):
    """The first mail to another server starts the processes that send it."""
    with smtplib.SMTP_SSL(s.ip, 1465, context=insecure_context(), timeout=WAIT) as c:
        c.login('ann@example.org', 'ann password')
        c.sendmail('ann@example.org', ['victim@far.example'], 'From: ann@example.org\r\nSubject: x\r\n\r\nhello\r\n')


def started_on_demand(s, role):
    """The processes of a role that is started when there is something for it to do: once they are confined."""
    (ask_the_dns if role == 'resolve' else send_elsewhere)(s)
    deadline = time.monotonic() + WAIT
    while True:
        pids = s.pids('mox: ' + role)
        if pids and 'Seccomp:\t2\n' in open('/proc/%d/status' % pids[0]).read():
            return pids
        assert time.monotonic() < deadline, role
        time.sleep(0.05)


def needs_dns(fn):
    """A test that cannot be where there can be no DNS server of our own."""
    @functools.wraps(fn)
    def wrapped():
        if why_not():
            print('SKIP %s: %s' % (fn.__name__, why_not()))
        else:
            fn()
    return wrapped


@contextlib.contextmanager
def serving(env=None, conf=()):
    """conf: what is replaced in mox.conf."""
    s = Serve(env=env).start()
    try:
        if conf:
            s.stop()
            for old, new in conf:
                s.set_conf(old, new)
            s.start()
        for name in ('ann', 'bob'):
            code, _, err = s.command('setaccountpassword', name, input=name + ' password\n')
            assert code == 0, err
        yield s
    finally:
        s.close()
