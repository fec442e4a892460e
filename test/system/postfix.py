"""Debian's Postfix, in a directory of its own."""
import os
import sys

from harness import *

sys.path.insert(0, os.path.join(ROOT, 'test', 'bench'))
from peers import postfix_services, wait_banner

MAIN_CF = '''
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
multi_instance_enable = yes
multi_instance_name = postfix-{instance}
mydestination =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = regexp:{dir}/users
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_received_header = yes
'''


class Postfix:
    """
    domains: those whose mail it takes, into one mailbox; users: a regular expression of local parts; settings: more of
    main.cf. Without a service of its own on any port: whoever makes one says so in master.cf (services). within: a command
    that runs what follows it.
    """

    def __init__(self, domains, users, settings, within=()):
        self.dir = tempfile.mkdtemp(prefix='mox-postfix-')
        self.within = list(within)
        os.chmod(self.dir, 0o755)
        for sub, owner in (('queue/private', 'postfix'), ('data', 'postfix'), ('mail', 'nobody')):
            os.makedirs(self.path(sub))
            shutil.chown(self.path(sub), owner)
        self.write('main.cf', MAIN_CF.format(dir=self.dir, instance=os.path.basename(self.dir), domains=', '.join(domains)) +
                   settings)
        self.write('dynamicmaps.cf', '')
        self.write('users', '/^%s@/ all/\n' % users)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w') as f:
            f.write(text)

    def services(self, *lines):
        self.write('master.cf', '\n'.join([*lines, *postfix_services()]) + '\n')

    def control(self, word):
        # Its daemons keep what they are given as output: a pipe would never end.
        with open(self.path('out'), 'ab') as out:
            return subprocess.run([*self.within, 'postfix', '-c', self.dir, word], stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=out, env=dict(os.environ, MAIL_CONFIG=self.dir), timeout=WAIT).returncode

    def start(self, ip):
        """Until it greets at port 25 of this address."""
        assert self.control('start') == 0, open(self.path('out')).read() + self.log()
        wait_banner(ip, 25)

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

    def mail(self, subject, n=1):
        """The messages in its mailbox that have this subject, once there are n."""
        deadline = time.monotonic() + WAIT
        new = self.path('mail/all/new')
        while True:
            texts = [open(os.path.join(new, name)).read() for name in (os.listdir(new) if os.path.isdir(new) else [])]
            found = [t for t in texts if '\nSubject: %s\n' % subject in t]
            if len(found) >= n:
                return found
            assert time.monotonic() < deadline, (subject, texts, self.log()[-3000:])
            time.sleep(0.02)
