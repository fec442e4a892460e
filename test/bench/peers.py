"""
The servers that are compared, each on a loopback address of its own, with everything in a directory
that goes away afterwards. Both sync to disk before they answer 250 or OK; filters, address checks
and logging to files are off for both.
"""
import glob
import os
import shutil
import socket
import ssl
import subprocess
import time

import mailboxes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOX = os.path.join(ROOT, 'build', 'mox')


def wait_banner(ip, port, tls=False):
    """Until the server greets on that port."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((ip, port), timeout=10) as s:
                with (insecure().wrap_socket(s) if tls else s) as s:
                    if s.recv(1):
                        return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit('no server at %s:%d' % (ip, port))
        time.sleep(0.002)


def wait_open(ip, port):
    """Until somebody listens on that port."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((ip, port), timeout=10).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit('no server at %s:%d' % (ip, port))
            time.sleep(0.01)


def wait_gone(ip, port):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection((ip, port), timeout=1).close()
        except OSError:
            return
        time.sleep(0.05)


def insecure():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


class Server:
    """What the loads need to know: where to connect and as whom."""
    password = 'moxmoxmox'

    def __init__(self, ip, directory):
        self.ip, self.dir = ip, directory

    def start(self):
        """Starts and waits until every port greets; the seconds that took."""
        began = time.monotonic()
        self.launch()
        for port, tls in ((self.smtp, False), (self.imap, False), (self.submissions, True), (self.imaps, True)):
            wait_banner(self.ip, port, tls)
        return time.monotonic() - began


class Mox(Server):
    name = 'mox'
    smtp, submissions, imap, imaps = 1025, 1465, 1143, 1993
    login = recipient = sender = 'mox@localhost'

    def prepare(self):
        """The first start writes configuration and keys."""
        os.makedirs(self.dir)
        self.start()
        self.stop()

    def start(self):
        """Ports greet a little before all that is behind them is there, which the log tells."""
        log = os.path.join(self.dir, 'log')
        before = os.path.getsize(log) if os.path.exists(log) else 0
        seconds = super().start()
        deadline = time.monotonic() + 60
        while True:
            with open(log) as f:
                f.seek(before)
                if 'ready to serve' in f.read():
                    return seconds
            if time.monotonic() > deadline:
                raise SystemExit('mox is not ready')
            time.sleep(0.01)

    def launch(self):
        with open(os.path.join(self.dir, 'log'), 'ab') as log:
            self.process = subprocess.Popen(
                [MOX, '-loglevel', 'error', 'localserve', '-dir', os.path.join(self.dir, 'mox'), '-ip', self.ip],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def roots(self):
        return [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def fill(self, mailbox, first, n):
        mailboxes.append(self, mailbox, first, n)

    def empty_inbox(self):
        mailboxes.expunge(self, 'INBOX')

    def has_queued(self):
        """Whether messages may be on their way from the queue: one asks the mailbox."""
        return False

    def forget_structure(self):
        """ENVELOPE and BODYSTRUCTURE are made at delivery; there is no cache that could be cold."""


MAIN_CF = '''
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = /dev/null
maillog_file_prefixes = /dev
multi_instance_enable = yes
multi_instance_name = postfix-{instance}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
mynetworks = 127.0.0.0/8
mydestination =
virtual_mailbox_domains = example.org
virtual_transport = lmtp:unix:private/dovecot-lmtp
lmtp_destination_concurrency_limit = 20
lmtp_destination_recipient_limit = 1
smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 100
smtpd_tls_chain_files = {dir}/key.pem, {dir}/cert.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
'''

DOVECOT_CONF = '''
protocols = imap lmtp
base_dir = {dir}/run
state_dir = {dir}/state
listen = {ip}
log_path = {dir}/dovecot.log
mail_location = maildir:{dir}/mail
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
mail_fsync = always
disable_plaintext_auth = no
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
auth_mechanisms = plain login
auth_username_format = %n
passdb {{
  driver = passwd-file
  args = {dir}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={dir}/home
}}
service lmtp {{
  unix_listener {dir}/queue/private/dovecot-lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {dir}/queue/private/auth {{
    mode = 0666
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
default_client_limit = 8000
default_process_limit = 2000
service imap {{
  process_limit = 2000
}}
protocol imap {{
  mail_max_userip_connections = 5000
}}
namespace inbox {{
  inbox = yes
}}
'''

# What Dovecot's manual advises for many connections, at the price of separation.
DOVECOT_TUNED = '''
service imap-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 2000
}
service lmtp {
  process_min_avail = 4
}
service imap {
  unix_listener imap-master {
    user = $default_internal_user
  }
}
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0666
  }
}
imap_hibernate_timeout = 5s
'''


def postfix_services():
    """Lines of master.cf: Debian's services but for those of ports, without chroot."""
    lines = []
    with open('/usr/share/postfix/master.cf.dist') as f:
        for line in f:
            words = line.split()
            if len(words) >= 8 and not line.startswith(('#', ' ')) and words[1] != 'inet':
                words[4] = 'n'
                lines.append(' '.join(words))
    return lines


class Peers(Server):
    """Postfix takes mail and queues it, Dovecot (LMTP, maildir) stores it, serves IMAP and knows passwords."""
    name = 'Postfix + Dovecot'
    smtp, submissions, imap, imaps = 2025, 2465, 2143, 2993
    login, recipient, sender = 'mox', 'mox@example.org', 'mox@example.org'
    is_tuned = False

    def prepare(self):
        for sub in ('queue/private', 'data', 'mail', 'home'):
            os.makedirs(os.path.join(self.dir, sub))
        for owner, sub in (('postfix', 'data'), ('postfix', 'queue/private'), ('mail', 'mail'), ('mail', 'home')):
            shutil.chown(os.path.join(self.dir, sub), owner, owner)
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                        '-keyout', 'key.pem', '-out', 'cert.pem', '-days', '30', '-subj', '/CN=localhost'],
                       cwd=self.dir, check=True, capture_output=True)
        names = {'dir': self.dir, 'ip': self.ip, 'imap': self.imap, 'imaps': self.imaps,
                 'instance': os.path.basename(self.dir)}
        self.write('users', 'mox:{PLAIN}%s::::::\n' % self.password)
        self.write('dovecot.conf', DOVECOT_CONF.format(**names) + (DOVECOT_TUNED if self.is_tuned else ''))
        self.write('main.cf', MAIN_CF.format(**names))
        self.write('master.cf', self.master_cf())
        self.write('dynamicmaps.cf', '')
        self.start()
        self.stop()

    def write(self, name, text):
        with open(os.path.join(self.dir, name), 'w') as f:
            f.write(text)

    def master_cf(self):
        """Debian's services without chroot, since the queue directory is new, and our two ports."""
        lines = ['%s:%d inet n - n - - smtpd' % (self.ip, self.smtp),
                 '%s:%d inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes' %
                 (self.ip, self.submissions)]
        return '\n'.join(lines + postfix_services()) + '\n'

    def launch(self):
        subprocess.run(['dovecot', '-c', os.path.join(self.dir, 'dovecot.conf')], check=True)
        done = subprocess.run(['postfix', '-c', self.dir, 'start'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env=dict(os.environ, MAIL_CONFIG=self.dir))
        if done.returncode:
            raise SystemExit('postfix does not start: ' + done.stdout)

    def roots(self):
        found = []
        for name in ('run/master.pid', 'queue/pid/master.pid'):
            with open(os.path.join(self.dir, name)) as f:
                found.append(int(f.read()))
        return found

    def stop(self):
        subprocess.run(['postfix', '-c', self.dir, 'stop'], capture_output=True)
        subprocess.run(['doveadm', '-c', os.path.join(self.dir, 'dovecot.conf'), 'stop'], capture_output=True)
        wait_gone(self.ip, self.imap)
        wait_gone(self.ip, self.smtp)

    def fill(self, mailbox, first, n):
        mailboxes.write_maildir(os.path.join(self.dir, 'mail', '.' + mailbox), 'mail', first, n)

    def empty_inbox(self):
        """As new: a directory that has had thousands of files stays slow for Dovecot."""
        mail = os.path.join(self.dir, 'mail')
        for name in os.listdir(mail):
            path = os.path.join(mail, name)
            if name in ('cur', 'new', 'tmp'):
                shutil.rmtree(path)
            elif name.startswith('dovecot'):
                os.unlink(path)

    def has_queued(self):
        return any(os.listdir(os.path.join(self.dir, 'queue', sub)) for sub in ('maildrop', 'incoming', 'active'))

    def forget_structure(self):
        for name in glob.glob(os.path.join(self.dir, 'mail', '.Big*', 'dovecot.index.cache')):
            os.unlink(name)
