"""
Messages that users submitted and that wait in the queue, and then go to other servers, as fast as these take them:
smtp-sink of Postfix, one per domain. Both queue over TLS and AUTH, on hold, and sign with DKIM: mox with RSA and
Ed25519, Postfix with RSA by OpenDKIM, which counts as its own. Both are started again with the queue full, which shows
what it takes in memory. What is measured as draining begins with everything due. mox asks the test's DNS for the way,
DNSSEC, DANE and MTA-STS included, while Postfix is told the address.
"""
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import measure
import peers
from loads import LOAD, MESSAGE, Row

sys.path.insert(0, os.path.join(peers.ROOT, 'test', 'internet'))
from internet import Internet, Zone, why_not  # noqa: E402

CONNECTIONS, DOMAINS = 10, 10
messages = 5000  # in the queue
LONG_DRAIN, LONG_QUEUE = 50000, 100000  # of the rows that take minutes

MOX_CONF = '''DataDir: data
User: nobody
LogLevel: error
Hostname: mail.example.org
Listeners:
	public:
		IPs:
			- %s
		TLS:
			KeyCerts:
				-
					CertFile: cert.pem
					KeyFile: key.pem
		SMTP:
			Enabled: true
			Port: 1025
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
	Account: mox
	Mailbox: Postmaster
'''
DOMAINS_CONF = '''Domains:
	example.org:
		DKIM:
			Selectors:
				rsa:
					PrivateKeyFile: rsa.pem
				ed:
					PrivateKeyFile: ed25519.pem
			Sign:
				- rsa
				- ed
Accounts:
	mox:
		Domain: example.org
		MaxOutgoingMessagesPerDay: 10000000
		MaxFirstTimeRecipientsPerDay: 10000000
		Destinations:
			mox@example.org: nil
'''


def domain(i):
    return 'd%d.example' % i


class Mox(peers.Mox):
    """`mox serve` with a DNS of its own: localserve sends nothing to others."""
    login = recipient = sender = 'mox@example.org'

    def prepare(self):
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o711)
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                        '-keyout', 'key.pem', '-out', 'cert.pem', '-days', '30', '-subj', '/CN=mail.example.org'],
                       cwd=self.dir, check=True, capture_output=True)
        for kind in ('rsa', 'ed25519'):
            with open(os.path.join(self.dir, kind + '.pem'), 'wb') as f:
                os.fchmod(f.fileno(), 0o600)
                subprocess.run([peers.MOX, 'dkim', 'gen' + kind], stdout=f, check=True)
        with open(os.path.join(self.dir, 'mox.conf'), 'w') as f:
            f.write(MOX_CONF % self.ip)
        with open(os.path.join(self.dir, 'domains.conf'), 'w') as f:
            f.write(DOMAINS_CONF)
        self.internet = Internet([Zone(domain(i), '@ MX 10 mx\nmx A %s\n' % sink_ip(self, i)) for i in range(DOMAINS)]).start()
        self.start()
        self.command('setaccountpassword', 'mox', input=self.password + '\n')
        self.command('queue', 'holdrules', 'add')
        self.stop()

    def launch(self):
        with open(os.path.join(self.dir, 'log'), 'ab') as log:
            self.process = subprocess.Popen([peers.MOX, '-config', os.path.join(self.dir, 'mox.conf'), 'serve'],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=dict(os.environ, **self.internet.env))

    def close(self):
        self.internet.close()

    def command(self, *arguments, input=None):
        return subprocess.run([peers.MOX, '-config', os.path.join(self.dir, 'mox.conf'), *arguments], input=input,
                              check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    def release(self):
        """Off hold, and not yet due."""
        self.command('queue', 'schedule', '-now', '24h')
        self.command('queue', 'holdrules', 'remove', self.command('queue', 'holdrules', 'list').split('id ')[1].split(':')[0])
        self.command('queue', 'unhold')

    def flush(self):
        self.command('queue', 'schedule', '-now', '0s')

    def has_queued(self):
        return self.command('queue', 'list', '-n', '1') != 'messages:\n(none)\n'


OPENDKIM_CONF = '''Mode s
Domain example.org
Selector rsa
KeyFile {dir}/rsa.pem
Canonicalization relaxed/relaxed
InternalHosts 127.0.0.0/8
Socket local:{dir}/queue/private/opendkim
PidFile {dir}/opendkim.pid
UMask 000
UserID postfix
RequireSafeKeys no
'''


class Postfix(peers.Peers):
    """It asks Dovecot for passwords, as before, and OpenDKIM for signatures."""
    name = 'Postfix + Dovecot'

    def write(self, name, text):
        if name == 'main.cf':
            text = text.replace('smtpd_recipient_restrictions =', 'smtpd_recipient_restrictions = check_client_access static:HOLD,')
            text += 'smtp_dns_support_level = disabled\ntransport_maps = regexp:%s/transport\n' % self.dir
            text += 'smtpd_milters = unix:private/opendkim\nmilter_default_action = tempfail\n'
        super().write(name, text)

    def prepare(self):
        os.makedirs(self.dir)
        # Not below the configuration, where each start runs a program for every file that is not root's.
        os.makedirs(self.dir + '.queue')
        os.symlink(self.dir + '.queue', os.path.join(self.dir, 'queue'))
        self.write('opendkim.conf', OPENDKIM_CONF.format(dir=self.dir))
        with open(os.path.join(self.dir, 'rsa.pem'), 'w') as f:
            subprocess.run(['openssl', 'genrsa', '-traditional', '2048'], stdout=f, check=True, stderr=subprocess.DEVNULL)
        shutil.chown(f.name, 'postfix')
        shutil.chown(self.dir, 'postfix')  # of its own pid file
        self.write('transport', ''.join('/@%s$/ smtp:[%s]:25\n' % (domain(i).replace('.', '\\.'), sink_ip(self, i))
                                        for i in range(DOMAINS)))
        super().prepare()

    def close(self):
        shutil.rmtree(self.dir + '.queue', ignore_errors=True)

    def launch(self):
        subprocess.run([shutil.which('opendkim', path=os.environ.get('PATH', '') + ':/usr/sbin'), '-x',
                        os.path.join(self.dir, 'opendkim.conf')], check=True)
        super().launch()

    def signer(self):
        with open(os.path.join(self.dir, 'opendkim.pid')) as f:
            return int(f.read())

    def roots(self):
        return super().roots() + [self.signer()]

    def stop(self):
        super().stop()
        try:
            os.kill(self.signer(), signal.SIGTERM)
            while os.path.exists('/proc/%d' % self.signer()):
                time.sleep(0.02)
        except (OSError, ValueError):
            pass  # it has gone, and its file with it

    def control(self, *command):
        subprocess.run([command[0], '-c', self.dir, *command[1:]], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=dict(os.environ, MAIL_CONFIG=self.dir))

    def release(self):
        self.control('postsuper', '-H', 'ALL')

    def flush(self):
        self.control('postqueue', '-f')

    def has_queued(self):
        return any(files for sub in ('maildrop', 'incoming', 'active', 'deferred', 'hold')
                   for _, _, files in os.walk(os.path.join(self.dir, 'queue', sub)))


def sink_ip(server, i):
    return server.ip.rpartition('.')[0] + '.%d' % (100 + i)


class Sinks:
    """One for each domain; they count."""

    def __init__(self, server, domains):
        self.files, self.processes = [], []
        for i in range(domains):
            self.files.append(os.path.join(server.dir, 'sink%d' % i))
            with open(self.files[-1], 'wb') as f:
                self.processes.append(subprocess.Popen(
                    ['smtp-sink', '-c', '-u', 'nobody', 'inet:%s:25' % sink_ip(server, i), '1000'], stdin=subprocess.DEVNULL,
                    stdout=f, stderr=subprocess.STDOUT))
        for i in range(domains):
            peers.wait_banner(sink_ip(server, i), 25)

    def count(self):
        """Messages that have come."""
        total = 0
        for path in self.files:
            with open(path, 'rb') as f:
                f.seek(max(0, os.path.getsize(path) - 200))
                total += max([int(p.split()[0]) for p in f.read().split(b'mesg=')[1:] if b'\r' in p] or [0])
        return total

    def close(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait()


def commands_cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def submit(server, n, domains):
    """The seconds until all are answered."""
    began = time.monotonic()
    loads = [subprocess.Popen([LOAD, 'smtp', server.ip, str(server.submissions), str(CONNECTIONS // domains),
                               str(n // domains), str(MESSAGE), 'someone@' + domain(i), server.sender, server.login,
                               server.password, 'keep'], stdout=subprocess.DEVNULL) for i in range(domains)]
    if any([p.wait() for p in loads]):
        raise SystemExit('%s does not take everything' % server.name)
    return time.monotonic() - began


def on_new(work):
    """A row's work, on a server of its own."""
    def run(of, scale):
        if why_not():
            raise SystemExit(why_not())
        server = (Mox if of.name == 'mox' else Postfix)(of.ip[:-1] + '8', of.dir + '-drain')
        try:
            server.prepare()
            server.start()
            try:
                return work(server, scale)
            finally:
                server.stop()
        finally:
            server.close()
            shutil.rmtree(server.dir, ignore_errors=True)
    return run


def fill(server, n, domains):
    """Submits: the rate, CPU per 1,000, and MiB after a new start with all of them queued."""
    cpu = measure.cpu_seconds(server.roots())
    submitted = submit(server, n, domains)
    time.sleep(0.3)  # processes that are ending still count
    cpu = measure.cpu_seconds(server.roots()) - cpu
    server.stop()
    server.start()
    time.sleep(3)
    return n / submitted, cpu * 1000 / n, measure.pss_kib(server.roots()) / 1024


def drain(domains, wanted):
    def work(server, scale):
        n = max(domains, int(wanted() * scale)) // domains * domains
        return fill(server, n, domains) + empty(server, n, domains)
    return on_new(work)


def empty(server, n, domains):
    """Sends all: the rate, CPU per 1,000, and the most MiB meanwhile."""
    most = 0
    server.release()
    sinks = Sinks(server, domains)
    try:
        os.sync()
        if sinks.count():
            raise SystemExit('%s does not hold what it is told to' % server.name)
        cpu, own, began = measure.cpu_seconds(server.roots()), commands_cpu(), time.monotonic()
        server.flush()
        own = commands_cpu() - own
        looked = began
        while sinks.count() < n:
            now = time.monotonic()
            if now - began > 1200:
                raise SystemExit('%s has sent %d of %d' % (server.name, sinks.count(), n))
            if now - looked >= 0.5:
                most, looked = max(most, measure.pss_kib(server.roots())), now
            time.sleep(0.02)
        drained = time.monotonic() - began
        while server.has_queued():
            time.sleep(0.1)
        time.sleep(0.3)
        cpu = measure.cpu_seconds(server.roots()) - cpu + own
        if sinks.count() != n:
            raise SystemExit('%s has sent %d for %d' % (server.name, sinks.count(), n))
    finally:
        sinks.close()
    return n / drained, cpu * 1000 / n, most / 1024


def hold(server, scale):
    return fill(server, int(LONG_QUEUE * scale), 1)


FILLED = [('submitted', '/s', True), ('CPU per 1,000', 's', False), ('memory with all queued', 'MiB', False)]
EMPTIED = [('drained', '/s', True), ('CPU per 1,000 drained', 's', False), ('most memory meanwhile', 'MiB', False)]
TO = ((1, 'one server'), (DOMAINS, '%d servers' % DOMAINS))
ROWS = [Row('drain%d' % n, 'Queue of signed 10 KiB messages to %s' % what, FILLED + EMPTIED, drain(n, lambda: messages)) for n, what in TO]
LONG_ROWS = [Row('long_drain%d' % n, 'Queue of %d signed messages to %s' % (LONG_DRAIN, what), FILLED + EMPTIED,
                 drain(n, lambda: LONG_DRAIN)) for n, what in TO]
LONG_ROWS.append(Row('long_queue', 'Queue of %d signed messages' % LONG_QUEUE, FILLED, on_new(hold)))
