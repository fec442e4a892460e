"""The DNS: mox dns lookup, and the resolve process with peers of our own, against a test Internet."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'internet'))
from harness import *
from lone_role import ROLES, TYPES, fields_of
from serving import ask_the_dns, serving
from internet import A, CNAME, NS, TXT, Internet, Question, Scripted, Zone, record, why_not, wire_name
import fcntl
import itertools
import select
import struct
import threading

COUNTED, SILENT, GATE, EVIL, STRIPPED, NXNS, VICTIM = range(10, 17)
MX, PTR = 15, 12
OK, NXDOMAIN, NODATA, TEMPORARY, BOGUS = range(5)
ZONES = [
    Zone('counted.com', signed=False, server=COUNTED),
    Zone('silent.com', signed=False, server=SILENT),
    Zone('gate.com', signed=False, server=GATE),
    Zone('evil.com', signed=False, server=EVIL),
    Zone('nxns.com', signed=False, server=NXNS),
    Zone('victim.com', signed=False, server=VICTIM),
    # Its parent says that it is signed, and its server has no signatures: a downgrade.
    Zone('stripped.com', signed=False, server=STRIPPED, ds='stripped.com. DS 12345 13 2 ' + '0a' * 32 + '\n'),
    Zone('many.com', '\n'.join('@ A 10.0.%d.%d' % (i // 250, i % 250) for i in range(2500))),
]

net = None  # the one of all tests


def lookup(*args, env=None):
    """Exit code and output of mox dns lookup."""
    r = subprocess.run([MOX, 'dns', 'lookup', *args], env=dict(os.environ, **dict(net.env, **(env or {}))),
                       capture_output=True, text=True, timeout=WAIT)
    return r.returncode, r.stdout + r.stderr


def shows(args, want):
    code, out = lookup(*args.split())
    assert (code, out) == (0, want), (args, code, out)


def fails(args, *words):
    code, out = lookup(*args.split())
    assert code == 1 and all(w in out for w in words), (args, code, out)
    return out


# --- the resolve process, spoken to as the monitor and sessions do ---------------------------------------


def text(s):
    return struct.pack('<I', len(s)) + s


def peer_message(**known):
    """As the monitor says who is at the other end of a channel; what is not known is 0 or empty."""
    pack = {'u8': 'B', 'u32': '<I', 'u64': '<Q'}
    return bytes([TYPES.index('peer')]) + b''.join(
        text(b'') if kind == 'str' else struct.pack(pack[kind], known.get(name, 0))
        for kind, name in fields_of('ipc_peer_FIELDS'))


class Peer:
    """One end of a channel, as an asker of resolve."""

    def __init__(self, sock):
        self.sock = sock
        self.n = 0

    def ask(self, name, qtype=A, request=None):
        if request is None:
            self.n += 1
            request = self.n
        self.sock.send(bytes([TYPES.index('resolve')]) + struct.pack('<QI', request, qtype) + text(name.encode('latin-1')))
        return request

    def hear(self, timeout=WAIT):
        """The next answer: a dict; None when the channel is closed."""
        self.sock.settimeout(timeout)
        try:
            m = self.sock.recv(200000)
        except ConnectionError:
            m = b''
        if not m:
            return None
        assert m[0] == TYPES.index('resolved'), m[:50]
        request, status, secure, ttl = struct.unpack('<QBBI', m[1:15])
        at, texts = 15, []
        while at < len(m):
            n, = struct.unpack('<I', m[at:at + 4])
            texts.append(m[at + 4:at + 4 + n])
            at += 4 + n
        records, rest = [], texts[1]
        while rest:
            n, = struct.unpack('>H', rest[:2])
            records.append(rest[2:2 + n])
            rest = rest[2 + n:]
        return {'request': request, 'status': status, 'secure': bool(secure), 'ttl': ttl,
                'name': texts[0].decode(), 'records': records, 'why': texts[2].decode()}

    def get(self, name, qtype=A):
        request = self.ask(name, qtype)
        a = self.hear()
        assert a and a['request'] == request, a
        return a


class Resolve:
    """A resolve process of the test's own."""

    def __init__(self, options='', **env):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.monitor = ours
        self.log = tempfile.TemporaryFile()
        own = dict(os.environ, **net.env)
        own['MOX_RESOLVER'] += ' ' + options
        own.update(env)
        self.process = subprocess.Popen([MOX, 'role', 'resolve'], env=own, stderr=self.log,
                                        preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=(3,))
        theirs.close()
        ours.settimeout(WAIT)
        ours.send(bytes([TYPES.index('go')]))
        assert ours.recv(1000)[:1] == bytes([TYPES.index('config_done')])
        ours.send(bytes([TYPES.index('log_level')]) + text(b'') + text(b'debug'))

    def peer(self, role='SESSION'):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        socket.send_fds(self.monitor, [peer_message(role=ROLES.index(role), conn=1)], [theirs.fileno()])
        theirs.close()
        return Peer(ours)

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode('utf-8', 'replace')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        alive = self.process.poll() is None
        self.process.kill()
        self.process.wait(WAIT)
        assert 'Sanitizer' not in self.log_text(), self.log_text()[-3000:]
        if alive is False and not getattr(self, 'may_end', False):
            raise AssertionError('resolve ended: ' + self.log_text()[-3000:])


def scripted(n, reply):
    return Scripted(net.ip(n), reply)


def address(q, ip='127.0.2.9', ttl=300):
    return q.answer([record(q.name, A, socket.inet_aton(ip), ttl)]) if q.type == A else q.answer()


# --- mox dns lookup ---------------------------------------------------------------------------------------


@test
def lookup_shows_records_of_every_type():
    shows('mx example.com', 'mx records (2, with dnssec):\n- mx.example.com., preference 10\n'
          '- backup.example.org., preference 20\n')
    shows('a mx.example.com', 'a records (1, with dnssec):\n- 127.0.0.2\n')
    shows('aaaa mx.example.com', 'aaaa records (1, with dnssec):\n- ::1\n')
    shows('ips mx.example.com', 'ips records (2, with dnssec):\n- 127.0.0.2\n- ::1\n')
    shows('ips four.example.com', 'ips records (1, with dnssec):\n- 127.0.0.4\n')
    shows('cname www.example.com', 'alias2.example.com. (with dnssec)\n')
    shows('ns example.com.', 'ns records (1, with dnssec):\n- ns.example.com.\n')
    shows('srv _imap._tcp.example.com', 'srv records (1, with dnssec):\n'
          '- host mx.example.com., port 143, priority 1, weight 2\n')
    shows('tlsa _25._tcp.mx.example.com', 'tlsa records (1, with dnssec):\n- usage "DANE-EE" (3), '
          'selector "SPKI" (1), matchtype "SHA2-256" (1), data ' + '0123456789abcdef' * 4 + '\n')
    shows('ptr 127.1.2.3', 'ptr records (1, with dnssec):\n- mx.example.com.\n')
    shows('mx nullmx.example.com', 'mx records (1, with dnssec):\n- ., preference 0\n')
    code, out = lookup('txt', 'example.com')
    assert code == 0 and sorted(out.splitlines()[1:]) == ['- in two pieces', '- v=spf1 mx -all'], out
    shows('txt x.wild.example.org', 'txt records (1, with dnssec):\n- from a wildcard\n')
    shows('a bücher.example.com', 'a records (1, with dnssec):\n- 127.0.0.10\n')


@test
def lookup_tells_absence_from_failure():
    fails('a nothing.example.com', 'no such name (with dnssec)')
    fails('a nothing.example.org', 'no such name (with dnssec)')  # NSEC3
    fails('a nothing.insecure.com', 'no such name (without dnssec)')
    fails('mx four.example.com', 'no such record (with dnssec)')
    fails('a empty.example.com', 'no such record (with dnssec)')
    fails('ips nothing.example.com', 'no such name')
    fails('a no-such-tld', 'no such name (with dnssec)')
    fails('mx a..b', '"a..b" is no name in the DNS')
    fails('a ' + 'a' * 64 + '.example.com', 'is no name in the DNS')
    fails('a www.lame.com', 'temporary failure')
    fails('ptr example.com', 'not an IP address')
    assert lookup('a')[0] == 2 and lookup('hinfo', 'example.com')[0] == 2


@test
def lookup_with_and_without_dnssec():
    shows('a www.insecure.com', 'a records (1, without dnssec):\n- 127.0.0.7\n')
    shows('a www.example.com', 'a records (1, with dnssec):\n- 127.0.0.3\n')  # aliases, all signed
    shows('a to-insecure.example.com', 'a records (1, without dnssec):\n- 127.0.0.7\n')


@test
def bogus_is_a_failure_and_never_a_downgrade():
    for name in ('www.bogus.com', 'to-bogus.example.com', 'www.expired.com'):
        out = fails('a ' + name, 'bogus: ')
        assert '127.6.6.6' not in out
    with scripted(STRIPPED, address):
        assert '127.0.2.9' not in fails('a www.stripped.com', 'bogus: ')
    with Resolve() as r:
        a = r.peer().get('www.bogus.com')
        assert a['status'] == BOGUS and not a['secure'] and not a['records'] and a['why'], a


@test
def trust_anchor_none_validates_nothing():
    env = dict(net.env, MOX_TRUST_ANCHOR='none')
    with Resolve(**{'MOX_TRUST_ANCHOR': 'none'}) as r:
        a = r.peer().get('www.bogus.com')
        assert a['status'] == OK and not a['secure'] and a['records'] == [bytes([127, 6, 6, 6])], a
        a = r.peer().get('mx.example.com')
        assert a['status'] == OK and not a['secure'], a


@test
def wrong_trust_anchor_is_said():
    with tempfile.NamedTemporaryFile('w') as f:
        f.write('. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n')
        f.flush()
        os.chmod(f.name, 0o644)
        with Resolve(MOX_TRUST_ANCHOR=f.name) as r:
            p = r.peer()
            assert p.get('www.example.com')['status'] == BOGUS
            assert p.get('www.insecure.com')['status'] == BOGUS
            eventually(lambda: 'no trust anchor validates the root' in r.log_text(), r.log_text)
            assert p.get('four.example.com')['status'] == BOGUS
            assert r.log_text().count('no trust anchor validates the root') == 1, r.log_text()


@test
def settings_that_are_wrong_end_the_start():
    for env in ({'MOX_RESOLVER': 'example.com'}, {'MOX_TRUST_ANCHOR': '/nonexistent'}):
        r = subprocess.run([MOX, 'dns', 'lookup', 'a', 'mx.example.com'], env=dict(os.environ, **dict(net.env, **env)),
                           capture_output=True, text=True, timeout=WAIT)
        assert r.returncode == 1 and list(env.values())[0] in r.stderr, r


@test
def hosts_file_comes_first():
    with open(net.hosts, 'a') as f:
        f.write('127.9.9.9 mx.example.com own\n')
    shows('a mx.example.com', 'a records (1, without dnssec):\n- 127.9.9.9\n')
    fails('aaaa mx.example.com', 'no such record')
    shows('ptr 127.9.9.9', 'ptr records (1, without dnssec):\n- mx.example.com.\n')
    shows('a localhost', 'a records (1, without dnssec):\n- 127.0.0.1\n')
    shows('a own', 'a records (1, without dnssec):\n- 127.9.9.9\n')
    code, out = lookup('tlsa', '_25._tcp.mx.example.com')
    assert code == 0, out  # names below it, and other types, are the DNS's
    with open(net.hosts, 'w') as f:
        f.write('127.0.0.1 localhost\n')
    with Resolve(MOX_RESOLVER='none hosts:' + net.hosts) as r:  # needs no network
        assert r.peer().get('localhost')['records'] == [bytes([127, 0, 0, 1])]
        assert r.peer().get('mx.example.com')['status'] == TEMPORARY
    # A machine need not have one; one that cannot be read is told of.
    for path, is_told in (('/nonexistent', False), ('/', True)):
        with Resolve(MOX_RESOLVER='none hosts:' + path) as r:
            assert r.peer().get('localhost')['status'] in (0, TEMPORARY)
            assert ('done without' in r.log_text()) == is_told, r.log_text()


@test
def forwarders_are_asked_instead():
    with scripted(COUNTED, address) as s, \
            Resolve(MOX_RESOLVER=net.ip(COUNTED), MOX_TRUST_ANCHOR='none') as r:
        assert r.peer().get('anything.example')['records'] == [socket.inet_aton('127.0.2.9')]
        assert ('anything.example', A) in s.questions


# --- the process ------------------------------------------------------------------------------------------


@test
def silent_server_is_given_up():
    with scripted(SILENT, lambda q: None) as s, Resolve() as r:
        p = r.peer()
        assert p.get('mx.example.com')['status'] == OK
        p.ask('www.silent.com')
        s.wait(1)
        assert r.peer().get('mx.example.com')['status'] == OK  # nobody waits for another's question
        p.ask('mx.example.com')
        assert p.hear()['request'] == 3  # nor for the own one before it
    with scripted(SILENT, lambda q: None) as s, Resolve('deadline:300') as r:
        p = r.peer()
        a = p.get('www.silent.com')
        assert (a['status'], a['why'], a['records']) == (TEMPORARY, 'no answer in time', []), a
    with scripted(SILENT, lambda q: None):
        code, out = lookup('a', 'www.silent.com', env={'MOX_RESOLVER': net.env['MOX_RESOLVER'] + ' deadline:100'})
        assert code == 1 and 'no answer in time' in out, out


@test
def many_questions_at_once():
    """All are under way together: the server answers when the last one has come."""
    n, held, lock = 300, [], threading.Lock()
    seen = set()

    def reply(q):
        with lock:
            if q.type != A or not re.match(r'n\d+\.', q.name):
                return q.answer()
            seen.add(q.name)
        all_there.wait(WAIT) if len(seen) < n else all_there.set()
        return address(q)

    all_there = threading.Event()
    # One thread per question at the server: each holds its answer back.
    with ThreadedScripted(net.ip(GATE), reply), Resolve('deadline:15000') as r:
        r.peer().get('mx.example.com')
        peers = [r.peer() for _ in range(5)]
        for i in range(n):
            peers[i % 5].ask('n%d.gate.com' % i)
        for i in range(n):
            a = peers[i % 5].hear()
            assert a['status'] == OK, a
        assert len(seen) == n


class ThreadedScripted(Scripted):
    """Answers each question in a thread of its own."""

    def _one(self, packet, who):
        threading.Thread(target=super()._one, args=(packet, who), daemon=True).start()


@test
def answers_are_cached_for_all():
    """Each question that reaches the server has another answer; one may be asked again that is not answered quickly."""
    n, over, asked = itertools.count(1), threading.Event(), threading.Event()

    def numbered(q):
        if over.is_set():
            return None
        if q.name == 'two.counted.com':
            asked.set()
        return address(q, '127.0.3.%d' % next(n))

    with scripted(COUNTED, numbered), Resolve() as r:
        p, other = r.peer(), r.peer('QUEUE')
        for i in range(50):
            p.ask('one.counted.com')  # at once: one question goes out
        heard = [p.hear() for i in range(50)] + [other.get('ONE.counted.com')]
        assert {a['status'] for a in heard} == {OK} and len({tuple(a['records']) for a in heard}) == 1, heard
        p.ask('two.counted.com', request=0)  # prefetch: no answer to it
        a = p.get('three.counted.com')
        assert a['status'] == OK, a
        assert asked.wait(WAIT)
        over.set()
        for name in ('one', 'two', 'three'):
            assert p.get(name + '.counted.com')['status'] == OK, name


@test
def one_asker_cannot_have_too_many():
    with scripted(SILENT, lambda q: None) as s, Resolve() as r:
        p = r.peer()
        for i in range(101):
            p.ask('n%d.silent.com' % i)
        a = p.hear()
        assert (a['request'], a['status'], a['why']) == (101, TEMPORARY, 'too many questions at once'), a
        assert r.peer().get('mx.example.com')['status'] == OK  # others go on


@test
def asker_that_does_not_read_is_left():
    with Resolve() as r:
        other, p = r.peer(), r.peer()
        assert other.get('large.example.com', TXT)['status'] == OK
        try:
            for i in range(20):
                p.ask('large.example.com', TXT)
        except BrokenPipeError:
            pass
        end = select.poll()
        end.register(p.sock, select.POLLHUP)
        assert end.poll(WAIT * 1000), 'still connected'
        assert other.get('mx.example.com')['status'] == OK
        assert 'err="it does not read"' in r.log_text(), r.log_text()  # and is not waited for


@test
def malformed_questions_end_the_channel_alone():
    with Resolve() as r:
        other = r.peer()
        type_byte = bytes([TYPES.index('resolve')])
        good = struct.pack('<QI', 1, A) + text(b'mx.example.com')
        for bad in (type_byte, type_byte + good + b'x', type_byte + good[:-1], b'\xff' + good,
                    bytes([TYPES.index('resolved')]) + good, type_byte + struct.pack('<QI', 1, 255) + text(b'a'),
                    type_byte + struct.pack('<QI', 1, 70000) + text(b'a'),
                    type_byte + struct.pack('<QI', 1, A) + text(b'a..b'),
                    type_byte + struct.pack('<QI', 1, A) + text(b'a' * 254)):
            p = r.peer()
            p.sock.send(bad)
            assert p.hear() is None, bad
        assert other.get('mx.example.com')['status'] == OK


@test
def names_of_any_bytes_are_asked_as_they_are():
    with scripted(COUNTED, address) as s, Resolve() as r:
        for name in ('a\\b.counted.com', 'a b\n.counted.com', '\\046.counted.com', '*.counted.com'):
            a = r.peer().get(name)
            assert a['status'] == OK, (a, s.questions)
            assert (name, A) in s.questions, s.questions


@test
def large_answers():
    with Resolve() as r:
        a = r.peer().get('large.example.com', TXT)
        assert a['status'] == OK and len(a['records']) == 1 and len(a['records'][0]) > 60000
        a = r.peer().get('many.com')
        assert a['status'] == TEMPORARY and a['why'] == 'the answer is too large' and not a['records'], a
    code, out = lookup('txt', 'large.example.com')
    assert code == 0 and len(out) > 60000
    fails('a many.com', 'too large')


@test
def odd_names_in_answers_are_escaped():
    with Resolve() as r:
        a = r.peer().get('odd.example.com', PTR)
        assert a['records'] == [b'\x05a.b\x0ac' + wire_name('example.com')], a
    with scripted(EVIL, lambda q: q.answer([record(q.name, MX, b'\0\1\x05a.b\x1bc\0')] if q.type == MX else [])):
        shows('mx evil.com', 'mx records (1, without dnssec):\n- a\\046b\\027c., preference 1\n')
    with scripted(EVIL, lambda q: q.answer([record(q.name, TXT, b'\x04\x1b[2J')] if q.type == TXT else [])):
        shows('txt evil.com', 'txt records (1, without dnssec):\n- \\027[2J\n')


@test
def loops_and_long_chains_of_aliases_end():
    with Resolve() as r:
        for name in ('loop1.example.com', 'c0.example.com'):
            assert r.peer().get(name)['status'] == TEMPORARY, name
        assert r.peer().get('c35.example.com')['status'] == OK
        assert r.peer().get('mx.example.com')['status'] == OK


@test
def poisoned_additional_records_are_not_believed():
    """Answers that bring records of others' names along, in every section."""
    lie = record('www.insecure.com', A, socket.inet_aton('127.6.6.6'), 86400)
    ns = record('insecure.com', NS, wire_name('ns.evil.com'), 86400)
    with scripted(EVIL, lambda q: q.answer([record(q.name, A, socket.inet_aton('127.0.2.9')), lie],
                                           [ns], [lie])), Resolve() as r:
        assert r.peer().get('www.evil.com')['records'] == [socket.inet_aton('127.0.2.9')]
        assert r.peer().get('www.insecure.com')['records'] == [socket.inet_aton('127.0.0.7')]
    # An alias to a name whose data come along unasked: they are fetched from their own servers.
    with scripted(EVIL, lambda q: q.answer([record(q.name, CNAME, wire_name('www.insecure.com')), lie])), \
            Resolve() as r:
        a = r.peer().get('alias.evil.com')
        assert (a['records'], a['name']) == ([socket.inet_aton('127.0.0.7')], 'www.insecure.com'), a


@test
def malformed_answers_do_no_harm():
    """Compression pointers to themselves and forwards, lengths past the end, counts that lie, nothing at all."""
    head = lambda q, n: struct.pack('>HHHHHH', q.id, 0x8400, 1, n, 0, 0) + q.raw
    bodies = [
        lambda q: head(q, 1) + struct.pack('>H', 0xc000 | 12 + len(q.raw)) + struct.pack('>HHIH', A, 1, 9, 4) + b'abcd',
        lambda q: head(q, 1) + b'\xff\xff' + struct.pack('>HHIH', A, 1, 9, 4) + b'abcd',
        lambda q: head(q, 1) + b'\xc0\x0c' + struct.pack('>HHIH', A, 1, 9, 4000) + b'abcd',
        lambda q: head(q, 1) + b'\xc0\x0c' + struct.pack('>HHIH', A, 1, 9, 0),
        lambda q: head(q, 65535) + b'\xc0\x0c' + struct.pack('>HHIH', A, 1, 9, 4) + b'abcd',
        lambda q: head(q, 1) + b'\xc0\x0c' + struct.pack('>HHIH', CNAME, 1, 9, 2) + struct.pack('>H', 0xc000 | 12 + len(q.raw) + 12),
        lambda q: struct.pack('>H', q.id) + b'\x84',
        lambda q: struct.pack('>H', q.id),
    ]
    with Resolve('deadline:2000') as r:
        r.peer().get('mx.example.com')
        for i, body in enumerate(bodies):
            with scripted(EVIL, body):
                a = r.peer().get('m%d.evil.com' % i)
                assert a['status'] in (TEMPORARY, NODATA) and not a['records'], (i, a)
        eventually(lambda: r.peer().get('www.example.com')['status'] == OK)  # within its short deadline
    # libunbound does not look into the strings of a TXT record: whoever asked does.
    with scripted(EVIL, lambda q: q.answer([record(q.name, TXT, b'\xffshort')] if q.type == TXT else [])):
        fails('txt evil.com', 'temporary failure: malformed TXT record')


@test
def referrals_to_many_servers_are_not_all_followed():
    """NXNSAttack: one question makes few questions to the victim, and ends."""
    def refer(q):
        return q.answer((), [record('sub.nxns.com', NS, wire_name('n%d.victim.com' % i)) for i in range(60)], aa=False)
    with scripted(NXNS, refer), scripted(VICTIM, lambda q: q.answer(rcode=3)) as victim, Resolve() as r:
        a = r.peer().get('a.sub.nxns.com')
        assert a['status'] == TEMPORARY, a
        print('# %d questions to the victim' % len(victim.questions))
        assert len(victim.questions) <= 60, len(victim.questions)


@test
def silence_is_said_once():
    """Nobody answers at all: each question fails at its deadline, the log has one line, and one at the end of it."""
    with scripted(SILENT, lambda q: None), \
            Resolve(MOX_RESOLVER='root:%s deadline:100' % net.ip(SILENT)) as r:
        p = r.peer()
        for i in range(5):
            assert p.get('n%d.example.com' % i)['status'] == TEMPORARY
        lines = [l for l in r.log_text().splitlines() if 'no answer from the DNS' in l]
        assert len(lines) == 1 and 'l=warn' in lines[0], r.log_text()


@test
def crash_is_survived():
    """The server goes on and starts another resolve; a question in flight is answered as temporary."""
    with serving(env=net.env) as s:
        assert not s.pids('mox: resolve')  # nobody has asked
        ask_the_dns(s)
        first = s.pids('mox: resolve')
        assert len(first) == 1
        start = os.path.getsize(s.log_path)
        os.kill(first[0], signal.SIGKILL)
        s.wait_log('role ended unexpectedly', start)
        ask_the_dns(s)
        deadline = time.monotonic() + WAIT
        while not set(s.pids('mox: resolve')) - set(first):
            ask_the_dns(s)  # within a second it is not begun twice, and the mail is taken all the same
            assert time.monotonic() < deadline
            time.sleep(0.3)  # there is a limit for connections
    with scripted(SILENT, lambda q: None) as server:
        verb = subprocess.Popen([MOX, 'dns', 'lookup', 'a', 'www.silent.com'], env=dict(os.environ, **net.env),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        server.wait(1)
        with open('/proc/%d/task/%d/children' % (verb.pid, verb.pid)) as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        out, err = verb.communicate(timeout=WAIT)
        assert verb.returncode == 1 and 'temporary failure: resolve is not there' in err, err


@test
def machine_without_network_accepts_mail():
    """In a network of its own with nothing but loopback: no resolver set, nobody to reach."""
    if os.geteuid() != 0:
        return
    r = subprocess.run(['unshare', '-n', sys.executable, os.path.abspath(__file__), '--without-network'],
                       env={k: v for k, v in os.environ.items() if not k.startswith('MOX_RESOLVER')},
                       capture_output=True, text=True, timeout=4 * WAIT)
    assert r.returncode == 0, r.stdout + r.stderr


def without_network():
    os.environ.pop('MOX_RESOLVER', None)
    with socket.socket() as s:  # ip link set lo up
        fcntl.ioctl(s, 0x8914, struct.pack('16sH14s', b'lo', 0x41, b''))
    with running() as s:
        s.send()
        assert s.imap().select('INBOX')[1] == [b'1']
    r = subprocess.run([MOX, 'dns', 'lookup', 'a', 'example.com'], capture_output=True, text=True, timeout=WAIT)
    assert r.returncode == 1 and 'temporary failure: no ' in r.stderr, r
    r = subprocess.run([MOX, '-loglevel', 'warn', 'dns', 'lookup', 'a', 'example.com'], capture_output=True, text=True, timeout=WAIT)
    assert 'no answer from the DNS' in r.stderr, r
    r = subprocess.run([MOX, 'dns', 'lookup', 'a', 'localhost'], capture_output=True, text=True, timeout=WAIT)
    assert '127.0.0.1' in r.stdout, r


if sys.argv[1:] == ['--without-network']:
    without_network()
    sys.exit(0)
reason = why_not()
if reason:
    print('SKIP dns: ' + reason)
    sys.exit(0)
with Internet(ZONES, reverse={'127.1.2.3': 'mx.example.com'}) as net:
    main('dns')
