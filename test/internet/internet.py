"""
A DNS Internet on loopback for tests: root, top-level domains and zones, signed, with NSD; and
scripted servers for what no decent server does. See README.md.
"""
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

WAIT = 60
TXT, A, NS, CNAME, SOA = 16, 1, 2, 5, 6


def why_not():
    """Why there can be no test Internet here, or ''."""
    for program in ('nsd', 'ldns-keygen', 'ldns-signzone'):
        if not shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin'):
            return '%s is not installed (tools/install-deps)' % program
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind(('127.250.250.250', 53))
        except PermissionError:
            return 'port 53 needs root'
        except OSError:
            pass
    return ''


class Zone:
    """
    Records as in a zone file, relative to the name; SOA, NS and delegations are added. server: which
    process has it (root, tld, host), or the number of a scripted server (Internet.ip): then the zone
    is only delegated. breaks: 'signature' (data changed after signing), 'expired'. ds: digests for
    the parent, of keys that nobody has.
    """

    def __init__(self, name, text='', signed=True, server=None, breaks=None, nsec3=False, ns=None, ds=''):
        self.name = name.rstrip('.')
        self.text = text
        self.signed = signed
        self.server = server or ('root' if not self.name else 'tld' if '.' not in self.name else 'host')
        self.breaks = breaks
        self.nsec3 = nsec3
        self.ns = ns  # names of its servers, outside of it; default: one inside, with glue
        self.ds = ds
        self.serial = 1

    @property
    def dotted(self):
        return self.name + '.'


def long_text(n):
    """TXT data of n characters in strings of 255."""
    text = ''.join(chr(ord('a') + i % 26) for i in range(n))
    return ' '.join('"%s"' % text[i:i + 255] for i in range(0, n, 255))


STANDARD = [
    Zone(''), Zone('com'), Zone('org', nsec3=True), Zone('example'), Zone('arpa'), Zone('in-addr.arpa'),
    Zone('example.com', '''
@ MX 10 mx
@ MX 20 backup.example.org.
@ TXT "v=spf1 mx -all"
@ TXT "in two " "pieces"
mx A 127.0.0.2
mx AAAA ::1
four A 127.0.0.4
xn--bcher-kva A 127.0.0.10
_25._tcp.mx TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
_imap._tcp SRV 1 2 143 mx
www CNAME alias2
alias2 CNAME alias3.example.org.
to-insecure CNAME www.insecure.com.
to-bogus CNAME www.bogus.com.
loop1 CNAME loop2
loop2 CNAME loop1
nullmx MX 0 .
below.empty A 127.0.0.5
large TXT ''' + long_text(60000) + '''
odd PTR a\\.b\\010c.example.com.
''' + '\n'.join('c%d CNAME c%d' % (i, i + 1) for i in range(40)) + '\nc40 A 127.0.0.6\n'),
    Zone('example.org', 'alias3 A 127.0.0.3\nbackup A 127.0.0.2\n*.wild TXT "from a wildcard"', nsec3=True),
    Zone('insecure.com', '@ MX 10 www\nwww A 127.0.0.7', signed=False),
    Zone('bogus.com', '@ MX 10 www\nwww A 127.0.0.8\n@ TXT "v=spf1 ip4:127.0.0.8 -all"', breaks='signature'),
    Zone('expired.com', 'www A 127.0.0.9', breaks='expired'),
    Zone('lame.com', signed=False, server='lame'),
]


class Internet:
    def __init__(self, zones=(), reverse=None, options=''):
        self.dir = tempfile.mkdtemp(prefix='mox-internet-')
        os.chmod(self.dir, 0o755)  # resolve is nobody
        self.zones = {z.name: z for z in STANDARD}
        self.zones.update({z.name: z for z in zones})
        text = ''.join('%s PTR %s.\n' % ('.'.join(reversed(ip.split('.')[1:])), name)
                       for ip, name in (reverse or {}).items())
        self.zones.setdefault('127.in-addr.arpa', Zone('127.in-addr.arpa', text))
        self.base = self._free_base()
        self.ips = {'root': self.base + '1', 'tld': self.base + '2', 'host': self.base + '3',
                    'lame': self.base + '3'}
        self.processes = []
        self.keys = {}  # names of files
        self.hosts = os.path.join(self.dir, 'hosts')
        self.more_hosts = []  # (address, name)
        self.env = {'MOX_RESOLVER': 'root:%s hosts:%s %s' % (self.ips['root'], self.hosts, options),
                    'MOX_TRUST_ANCHOR': os.path.join(self.dir, 'anchor')}

    def _free_base(self):
        """Three addresses 127.x.y.1 to .3 that are of no other Internet, from here on until it is closed."""
        seed = os.getpid()
        while True:
            base = '127.%d.%d.' % (100 + seed % 100, seed // 100 % 250)
            seed += 1
            self.claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.claim.bind((base + '254', 53))
                return base
            except OSError:
                self.claim.close()

    def ip(self, n):
        """An address of this Internet for a scripted server: n from 10 on."""
        return self.base + str(n)

    def _address(self, z):
        return self.ips[z.server] if z.server in self.ips else self.ip(z.server)

    def _parent(self, z):
        name = z.name
        while name:
            name = name.partition('.')[2]
            if name in self.zones:
                return self.zones[name]
        return None

    def _delegation(self, z):
        """The records for a zone in its parent: servers, their addresses, the digest of its key."""
        if z.ns:
            return ''.join('%s NS %s.\n' % (z.dotted, n) for n in z.ns) + z.ds
        return '%s NS ns.%s\nns.%s A %s\n' % (z.dotted, z.dotted, z.dotted, self._address(z)) + z.ds

    def _write(self, z):
        """The zone file, signed. Children come first: their digests belong into it."""
        own = os.path.join(self.dir, z.name or 'root')
        dot = '.' if not z.name else '.' + z.dotted
        text = '$ORIGIN %s\n$TTL 3600\n@ SOA ns%s postmaster%s %d 3600 600 86400 60\n' % (z.dotted, dot, dot, z.serial)
        text += '@ NS ns%s\nns%s A %s\n' % (dot, dot, self._address(z))
        text += '$ORIGIN %s\n%s\n' % (z.dotted, z.text)
        for child in self.zones.values():
            if child.name and self._parent(child) is z:
                text += self._delegation(child)
        with open(own, 'w') as f:
            f.write(text)
        if not z.signed:
            return
        key = self.keys.setdefault(z.name, '') or self._run('ldns-keygen', '-a', 'ECDSAP256SHA256', '-k', z.dotted)
        self.keys[z.name] = key
        expired = ['-i', '20200101000000', '-e', '20200201000000'] if z.breaks == 'expired' else []
        self._run('ldns-signzone', *(['-n', '-s', 'ab', '-t', '1'] if z.nsec3 else []), *expired,
                  '-f', own + '.signed', own, key)
        with open(os.path.join(self.dir, key + '.ds')) as f:
            z.ds = f.read()
        os.replace(own + '.signed', own)
        if z.breaks == 'signature':
            with open(own) as f:
                text = f.read()
            with open(own, 'w') as f:
                f.write(re.sub(r'(\tA\t)127\.0\.0\.8', r'\g<1>127.6.6.6', text))
        if not z.name:
            shutil.copy(os.path.join(self.dir, key + '.key'), self.env['MOX_TRUST_ANCHOR'])

    def change(self, z):
        """Another version of a zone that is served already, with the same key."""
        z.serial = self.zones[z.name].serial + 1
        self.zones[z.name] = z
        self._write(z)
        # Started anew: one that is told to read again can pass over it, or be answered for by one that has not yet.
        at = ('root', 'tld', 'host').index(z.server)
        os.killpg(self.processes[at].pid, signal.SIGKILL)
        self.processes[at].wait(WAIT)
        self._wait_free(self.ips[z.server])
        self.processes[at] = self._serve(z.server)
        self._wait(z.server, query(z.name, SOA), lambda answer: struct.pack('>I', z.serial) in answer)

    def _wait_free(self, address):
        """Until all of the processes that had it have ended."""
        end = time.monotonic() + WAIT
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            while True:
                with socket.socket(socket.AF_INET, kind) as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
                    try:
                        s.bind((address, 53))
                        if kind == socket.SOCK_STREAM:
                            s.listen()
                        break
                    except OSError:
                        assert time.monotonic() < end, address
                time.sleep(0.01)

    def _run(self, *argv):
        r = subprocess.run(argv, cwd=self.dir, capture_output=True, text=True, timeout=WAIT)
        assert r.returncode == 0, (argv, r.stdout, r.stderr)
        return r.stdout.strip()

    def _serve(self, server):
        conf = os.path.join(self.dir, server + '.conf')
        with open(conf, 'w') as f:
            f.write('''server:
  ip-address: %s
  port: 53
  username: ""
  chroot: ""
  database: ""
  server-count: 1
  rrl-ratelimit: 0
  pidfile: "%s/%s.pid"
  zonesdir: "%s"
  xfrdfile: "%s/%s.xfrd"
  zonelistfile: "%s/%s.list"
  logfile: "%s/%s.log"
remote-control:
  control-enable: no
''' % (self.ips[server], self.dir, server, self.dir, self.dir, server, self.dir, server, self.dir, server))
            for z in self.zones.values():
                if z.server == server:
                    f.write('zone:\n  name: "%s"\n  zonefile: "%s"\n' % (z.dotted, z.name or 'root'))
        path = os.environ.get('PATH', '') + ':/usr/sbin'
        return subprocess.Popen([shutil.which('nsd', path=path), '-d', '-c', conf], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)

    def _wait(self, server, question=None, is_new=lambda answer: True):
        question = question or query('.' if server == 'root' else 'com.' if server == 'tld' else 'example.com.', SOA)
        end = time.monotonic() + WAIT
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((self.ips[server], 53))
            s.settimeout(0.1)
            while time.monotonic() < end:
                try:
                    s.send(question)
                    answer = s.recv(65535)
                    if answer[3] & 15 == 0 and is_new(answer):
                        return
                except OSError:
                    pass
                time.sleep(0.02)
        with open(os.path.join(self.dir, server + '.log')) as f:
            raise AssertionError('nsd does not answer: ' + f.read()[-2000:])

    def start(self):
        open(self.hosts, 'w').write('127.0.0.1 localhost\n' + ''.join('%s %s\n' % h for h in self.more_hosts))
        for z in sorted(self.zones.values(), key=lambda z: -(z.name.count('.') + bool(z.name))):
            if z.server in ('root', 'tld', 'host'):
                self._write(z)
        for server in ('root', 'tld', 'host'):
            self.processes.append(self._serve(server))
        for server in ('root', 'tld', 'host'):
            self._wait(server)
        return self

    def close(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(WAIT)
        self.claim.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


# --- bytes, for scripted servers ---------------------------------------------------------------------


def wire_name(name):
    return b''.join(bytes([len(l)]) + l.encode() for l in name.strip('.').split('.') if l) + b'\0'


def query(name, qtype, id=1):
    return struct.pack('>HHHHHH', id, 0, 1, 0, 0, 0) + wire_name(name) + struct.pack('>HH', qtype, 1)


def record(name, rtype, rdata, ttl=300):
    return wire_name(name) + struct.pack('>HHIH', rtype, 1, ttl, len(rdata)) + rdata


class Question:
    """A question that a scripted server got, and the answers it can make of it."""

    def __init__(self, packet):
        self.id, = struct.unpack('>H', packet[:2])
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode('latin-1'))
            at += 1 + packet[at]
        self.name = '.'.join(labels).lower()
        self.type, = struct.unpack('>H', packet[at + 1:at + 3])
        self.raw = packet[12:at + 5]

    def answer(self, answers=(), authority=(), additional=(), rcode=0, aa=True):
        flags = 0x8000 | (0x0400 if aa else 0) | rcode
        return struct.pack('>HHHHHH', self.id, flags, 1, len(answers), len(authority), len(additional)) + \
            self.raw + b''.join(answers) + b''.join(authority) + b''.join(additional)


class Scripted:
    """
    A server on port 53 of ip, UDP and TCP; reply(Question) gives the bytes to send, or None for
    silence. What it says of its own name, ns.<zone>, is always right: resolvers ask for that too.
    questions: what was asked, (name, type), in order.
    """

    def __init__(self, ip, reply):
        self.ip = ip
        self.reply = reply
        self.questions = []
        self.changed = threading.Condition()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # for hundreds of questions at once
        self.udp.bind((ip, 53))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((ip, 53))
        self.tcp.listen(64)
        self.threads = [threading.Thread(target=loop, daemon=True) for loop in (self._udp, self._tcp)]
        for t in self.threads:
            t.start()

    def _answer(self, packet):
        q = Question(packet)
        with self.changed:
            self.questions.append((q.name, q.type))
            self.changed.notify_all()
        answer = self.reply(q)
        if answer is not None and q.name.startswith('ns.'):
            own = [record(q.name, A, socket.inet_aton(self.ip))] if q.type == A else []
            return q.answer(own)
        return answer

    def _udp(self):
        while True:
            packet, who = self.udp.recvfrom(65535)
            if not packet:  # shut down
                return
            self._one(packet, who)

    def _one(self, packet, who):
        answer = self._answer(packet)
        if answer:
            try:
                self.udp.sendto(answer, who)
            except OSError:  # shut down meanwhile
                pass

    def _tcp(self):
        while True:
            try:
                c, _ = self.tcp.accept()
            except OSError:  # shut down
                return
            with c:
                try:
                    c.settimeout(5)
                    packet = c.recv(65537)
                    answer = self._answer(packet[2:])
                    if answer:
                        c.sendall(struct.pack('>H', len(answer)) + answer)
                except (OSError, IndexError, struct.error):
                    pass

    def wait(self, n):
        """Until n questions have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.questions) >= n, WAIT), self.questions

    def close(self):
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # what was never connected complains, and is shut down all the same
        for t in self.threads:
            t.join(WAIT)
        self.udp.close()
        self.tcp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
