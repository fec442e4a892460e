"""An authority for tests: pebble, with a DNS in which every name is one address."""
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request

from harness import WAIT
from https_server import Authority

HTTP_PORT, TLS_PORT = 1080, 1443
DIRECTORY = 14000


class Pebble:
    """At https://ca.example:14000/dir on `ip`; whom it is asked about is at `target`. Started again it knows nothing of
    before."""

    def __init__(self, ip, target, settings={}, **config):
        self.ip, self.target, self.settings, self.config = ip, target, settings, config
        self.dir = tempfile.mkdtemp(prefix='mox-pebble-')
        os.chmod(self.dir, 0o755)
        self.authority = Authority()
        both = self.authority.issue(['ca.example'])
        for name, mark in (('cert', 'CERTIFICATE'), ('key', 'PRIVATE KEY')):
            shutil.copy(both, os.path.join(self.dir, name))
        self.dns = ip + ':8053'  # that the authority asks
        self.processes = []
        self.log_path = os.path.join(self.dir, 'log')
        os.chmod(self.authority.dir, 0o755)  # fetch is nobody
        self.hosts = os.path.join(self.dir, 'hosts')
        with open(self.hosts, 'w') as f:
            f.write('%s ca.example\n' % ip)
        self.env = {'MOX_RESOLVER': 'root:%s hosts:%s' % (ip, self.hosts), 'MOX_DIAL_PRIVATE': '1',
                    'SSL_CERT_FILE': self.authority.file}

    def _run(self, argv, env, port):
        log = open(self.log_path, 'ab')
        p = subprocess.Popen(argv, stdout=log, stderr=log, env=dict(os.environ, **env))
        self.processes.append(p)
        deadline = time.monotonic() + WAIT
        while True:
            with socket.socket() as s:
                if s.connect_ex((self.ip, port)) == 0:
                    return
            assert p.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def start(self, **env):
        config = {'listenAddress': '%s:%d' % (self.ip, DIRECTORY), 'managementListenAddress': '%s:15000' % self.ip,
                  'certificate': os.path.join(self.dir, 'cert'), 'privateKey': os.path.join(self.dir, 'key'),
                  'httpPort': HTTP_PORT, 'tlsPort': TLS_PORT, **self.config}
        with open(os.path.join(self.dir, 'config.json'), 'w') as f:
            json.dump({'pebble': config}, f)
        self._run(['pebble-challtestsrv', '-management', self.ip + ':8055', '-dns01', self.ip + ':8053', '-http01', '',
                   '-https01', '', '-tlsalpn01', '', '-defaultIPv4', self.target, '-defaultIPv6', ''], {}, 8055)
        self._run(['pebble', '-strict', '-config', os.path.join(self.dir, 'config.json'), '-dnsserver', self.dns],
                  {'PEBBLE_VA_NOSLEEP': '1', 'PEBBLE_WFE_NONCEREJECT': '0', **self.settings, **env}, DIRECTORY)
        return self

    def stop(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(WAIT)
        self.processes = []

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def roots(self):
        """A context that believes what this authority has issued since it started."""
        c = ssl.create_default_context(cafile=self.authority.file)
        c.check_hostname = False
        with urllib.request.urlopen('https://%s:15000/roots/0' % self.ip, context=c, timeout=WAIT) as r:
            root = r.read().decode()
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.load_verify_locations(cadata=root)
        return trusting

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.rmtree(self.authority.dir, ignore_errors=True)
