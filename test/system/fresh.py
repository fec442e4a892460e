"""A new domain, set up with quickstart, in a DNS that has the records that it printed."""
from https_server import Authority
from serving import *

DOMAIN, HOST = 'fresh.example', 'mx.fresh.example'


def mox(*args, cwd=None, input=None, env=None, code=0):
    r = subprocess.run([MOX, *args], cwd=cwd, input=input, capture_output=True, text=True, timeout=WAIT,
                       env=dict(os.environ, **(env or {})))
    assert r.returncode == code, (args, r.returncode, r.stdout, r.stderr)
    return r


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


class Fresh:
    """
    A new domain, from quickstart on: the DNS has at first the address of the machine alone, then exactly the records that
    quickstart printed, and the server runs as it was set up, but for its certificate, which is of a test's authority.
    """

    setup = ('quickstart', '-skipdial', '-hostname', HOST, 'ann@' + DOMAIN, USER)

    def __init__(self, dir=None):
        self.dir = dir or tempfile.mkdtemp(prefix='mox-fresh-')
        if not dir:
            os.chmod(self.dir, 0o711)
        self.ip, self.inside = free_ip(), free_ip()
        self.authority = Authority()
        self.internet = Internet([self.zone('')], reverse={self.ip: HOST})
        self.env = dict(os.environ, **self.internet.env, MOX_DIAL_PRIVATE='1', SSL_CERT_FILE=self.authority.file)
        self.process = None

    def certificates(self, public):
        """The listener's section with certificates of the authority."""
        pem = self.authority.issue(names=[p + DOMAIN for p in ('mx.', 'mail.', 'mta-sts.', 'autoconfig.', 'ua-auto-config.')])
        return public.replace('\t\t\tACME: letsencrypt\n', '\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: %s\n'
                              '\t\t\t\t\tKeyFile: %s\n' % (pem, pem))

    def zone(self, records, **how):
        # Records of tools have absolute names; what test/internet adds is relative.
        return Zone(DOMAIN, 'mx A %s\n%s' % (self.ip, records), **how)

    def mox(self, *args, code=0):
        return mox(*args, cwd=self.dir, env=self.env, code=code).stdout

    def serve(self, log):
        return subprocess.Popen([MOX, 'serve'], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)

    def start(self):
        with open(self.log_path, 'ab') as log:
            begin = log.tell()
            self.process = self.serve(log)
        deadline = time.monotonic() + WAIT
        while 'ready to serve' not in read(self.log_path)[begin:]:
            assert self.process.poll() is None and time.monotonic() < deadline, read(self.log_path)[-3000:]
            time.sleep(0.02)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(WAIT)
        self.process = None

    def __enter__(self):
        self.internet.start()
        self.printed = self.mox(*self.setup)
        self.password = re.search('^Password of .*: (.{12})$', self.printed, re.M).group(1)
        start = self.printed.index('; DNS records of')
        # What follows, after an empty line, is how to start the server.
        self.records = self.printed[start:self.printed.index('    systemctl ')].rsplit('\n\n', 2)[0] + '\n'
        path = os.path.join(self.dir, 'config', 'mox.conf')
        conf = read(path)
        assert conf.count('- %s\n' % self.ip) == 1, conf
        self.conf = conf
        internal = conf.index('\tinternal:\n')
        inside = re.sub('(\t\t\t- .*\n)+', '\t\t\t- %s\n' % self.inside, conf[internal:], count=1)
        public = self.certificates(conf[:internal])
        with open(path, 'w') as f:
            f.write(public + inside)
        self.log_path = os.path.join(self.dir, 'log')
        self.start()
        self.internet.change(self.zone(self.records))
        return self

    def __exit__(self, *_):
        self.stop()
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.authority.dir, ignore_errors=True)

    def check(self, code):
        """What dnscheck finds: section -> lines."""
        out = self.mox('config', 'dnscheck', DOMAIN, code=code)
        found = {}
        for line in out.splitlines():
            if line.startswith('# '):
                section = found.setdefault(line[2:], [])
            elif line and line != 'DNS OK':
                section.append(line)
        assert bool(found) != (out == 'DNS OK\n'), out
        return found
