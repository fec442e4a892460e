"""Connections that `dial` opens, and what `fetch` gets over them."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *
from https_server import Authority, Web
from lone_role import LoneRole, ROLES, channel, encode_record
import fcntl
import re
import select
import socket
import struct
import threading

CONNECTED, REFUSED, UNREACHABLE, TIMED_OUT, DENIED, FAILED = range(1, 7)
GET, HEAD, POST = range(1, 4)
ANSWER, NO_HOST, WEB_FAILED, WEB_UNTRUSTED, WEB_TOO_LARGE = range(1, 6)
POLICY, NONE, NOT_FETCHED, UNTRUSTED, INVALID = range(1, 6)
HOST = '127.77.%d.%d' % (os.getpid() // 250 % 250, os.getpid() % 250 + 1)  # an address of this run


def dial(p, address=HOST, port=443, request=7, timeout_ms=10000):
    octets = socket.inet_pton(socket.AF_INET6 if ':' in address else socket.AF_INET, address)
    p.send('dial', request=request, address=octets, port=port, timeout_ms=timeout_ms)


def answer(p, request=7):
    name, m, fds = p.hear()
    assert name == 'dialed' and m['request'] == request, (name, m)
    assert (m['outcome'] == CONNECTED) == (len(fds) == 1), (m, fds)
    return m, socket.socket(fileno=fds[0]) if fds else None


@test
def dial_connects_and_gives_the_socket_away():
    if os.geteuid():
        return print('port 443 is for root, left out')
    with socket.create_server((HOST, 443)) as server, LoneRole('dial', MOX_DIAL_PRIVATE='1') as d:
        p = d.peer('FETCH')
        dial(p)
        m, s = answer(p)
        assert m['outcome'] == CONNECTED and not os.get_blocking(s.fileno()), m
        other, _ = server.accept()
        other.sendall(b'hello')
        s.setblocking(True)
        assert s.recv(10) == b'hello'
        # dial keeps no end of it: when ours is closed, the other side hears so.
        s.close()
        other.settimeout(WAIT)
        assert other.recv(10) == b''


@test
def dial_says_why_there_is_no_connection():
    with LoneRole('dial', MOX_DIAL_PRIVATE='1') as d:
        p = d.peer('FETCH')
        dial(p)
        m, _ = answer(p)
        assert m['outcome'] == REFUSED and b'refused' in m['why'], m


@test
def dial_ends_what_takes_too_long_and_forgets_who_left():
    if os.geteuid():
        return print('port 443 is for root, left out')
    with socket.socket() as full, LoneRole('dial', MOX_DIAL_PRIVATE='1') as d:
        full.bind((HOST, 443))
        full.listen(0)
        kept = [socket.socket() for _ in range(4)]  # whoever comes next, waits
        for s in kept:
            s.setblocking(False)
            s.connect_ex((HOST, 443))
        p, gone = d.peer('FETCH'), d.peer('FETCH')
        dial(gone, timeout_ms=30000)
        dial(p, timeout_ms=100)
        gone.close()
        m, _ = answer(p)
        assert m['outcome'] == TIMED_OUT, m
        # No more than eight at once for one asker.
        for i in range(9):
            dial(p, request=i, timeout_ms=1000)
        heard = [p.hear()[1] for _ in range(9)]
        assert [m['outcome'] for m in heard].count(FAILED) == 1, heard
        assert [m['outcome'] for m in heard].count(TIMED_OUT) == 8, heard
        for s in kept:
            s.close()


@test
def fetch_reaches_public_addresses_and_https_only():
    private = ['127.0.0.1', '10.1.2.3', '192.168.1.1', '172.31.0.1', '169.254.169.254', '100.64.0.1', '0.0.0.0',
               '224.0.0.1', '255.255.255.255', '::1', '::', 'fe80::1', 'fd00::1', '::ffff:127.0.0.1',
               '::ffff:10.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', 'ff02::1']
    with LoneRole('dial') as d:
        p = d.peer('FETCH')
        for a in private:
            dial(p, a)
            assert answer(p)[0]['outcome'] == DENIED, a
        for port in (25, 80, 444, 8443):
            dial(p, '1.1.1.1', port)
            assert answer(p)[0]['outcome'] == DENIED, port
    with LoneRole('dial', MOX_DIAL_PRIVATE='1') as d:
        p = d.peer('FETCH')
        dial(p, port=25)
        assert answer(p)[0]['outcome'] == DENIED


@test
def acme_reaches_servers_for_updates_of_the_dns_only():
    """None is configured here; that one is reached, `acme` dns_01_by_updates_of_the_dns shows."""
    with LoneRole('dial', MOX_DIAL_PRIVATE='1') as d:
        p = d.peer('ACME')
        for address, port in ((HOST, 53), (HOST, 443), ('1.1.1.1', 53), ('1.1.1.1', 443), ('1.1.1.1', 25)):
            dial(p, address, port)
            assert answer(p)[0]['outcome'] == DENIED, (address, port)


@test
def dial_looks_for_a_few_servers_at_once_for_one_asker():
    """Names that the DNS does not answer for count as connections do; another asker has as many of its own."""
    memory = os.memfd_create('config', os.MFD_ALLOW_SEALING)
    os.write(memory, encode_record('web_target', host='behind.example', port=8080))
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, 15)
    with LoneRole('dial', [('config', [memory], {'number': 1})]) as d:
        resolve, one, other = d.peer('RESOLVE'), d.peer('WEB', 1), d.peer('WEB', 2)

        def ask(p, n, start=0, **more):
            for i in range(start, start + n):
                p.send('dial_site', request=i, host='behind.example', port=8080, timeout_ms=60000, **more)

        def asked(n):
            return [resolve.hear()[1] for _ in range(2 * n)]  # for both families

        ask(one, 9)
        name, m, _ = one.hear()
        assert (name, m['request'], m['outcome']) == ('dialed', 8, FAILED) and b'too many' in m['why'], m
        first = asked(8)
        ask(other, 1)
        second = asked(1)
        assert {m['name'] for m in first + second} == {b'behind.example'}
        # With an answer, be it that there is none, there is room again.
        for q in first[:2]:
            resolve.send('resolved', request=q['request'], status=1)  # NXDOMAIN
        name, m, _ = one.hear()
        assert (name, m['request'], b'no address' in m['why']) == ('dialed', 0, True), m
        ask(one, 2, 20)
        name, m, _ = one.hear()
        assert (name, m['request'], m['outcome']) == ('dialed', 21, FAILED), m
        asked(1)
        # Who has left has none any more.
        one.close()
        again = d.peer('WEB', 3)
        ask(again, 8)
        asked(8)


@test
def dial_takes_no_nonsense():
    for values in ({'address': b''}, {'address': b'12345'}, {'port': 70000}):
        with LoneRole('dial') as d:
            p = d.peer('FETCH')
            p.send('dial', **dict({'address': b'\x7f\0\0\1', 'port': 443, 'timeout_ms': 1}, **values))
            assert p.hear() is None, values


# --- fetch, with peers of our own: queue, resolve and dial --------------------------------------------------

NAME = 'mta-sts.example.com'
PATH = '/.well-known/mta-sts.txt'
GOOD = b'version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmx: *.example.net\r\nmax_age: 86400\r\n'
authority = Authority()


class Fetch(LoneRole):
    def __init__(self, **env):
        super().__init__('fetch-template', **{'SSL_CERT_FILE': authority.file, **env})
        self.n = 0

    def start(self, asker='QUEUE'):
        """A child: its channels to its asker, resolve and dial."""
        self.n += 1
        ends = [channel() for _ in range(3)]
        self.monitor.send('fetch_start', [theirs.fileno() for _, theirs in ends], conn=self.n, asker=ROLES.index(asker))
        for _, theirs in ends:
            theirs.close()
        return [ours for ours, _ in ends]

    def get(self, domain='example.com', address=HOST, dials=(HOST,), known_id=None, record=None):
        """What it answers, with this one address of the host; dials are those that can be connected to. With
        known_id: whether another policy is to be had, with this TXT record (status, text)."""
        queue, resolve, dialer = self.start()
        queue.send('sts_fetch', domain=domain, is_refresh=known_id is not None, known_id=known_id or '')
        if record:
            name, m, _ = resolve.hear()
            assert m['name'] == b'_mta-sts.' + domain.encode() and m['type'] == 16, m
            status, text = record
            rdata = bytes([len(text)]) + text
            resolve.send('resolved', request=m['request'], status=status, name=m['name'],
                         records=struct.pack('>H', len(rdata)) + rdata if not status else b'', why='so')
            if not known_id or status or b'id=%s;' % known_id.encode() in text or b'v=STSv1' not in text:
                name, m, _ = queue.hear()
                assert name == 'sts_fetched' and queue.hear() is None, name
                return m
        self.connect(resolve, dialer, 'mta-sts.' + domain, 443, address, dials)
        name, m, _ = queue.hear()
        assert name == 'sts_fetched', name
        assert queue.hear() is None  # it has ended
        return m

    def connect(self, resolve, dialer, host, port, address, dials):
        for _ in range(3):
            name, m, _ = resolve.hear()
            assert name == 'resolve' and m['name'] == host.encode(), m
            if m['request']:
                is_a = m['type'] == 1 and address
                resolve.send('resolved', request=m['request'], status=0 if is_a else 2, name=m['name'],
                             records=b'\0\4' + socket.inet_aton(address) if is_a else b'')
        if not address:
            return
        name, m, _ = dialer.hear()
        assert name == 'dial' and m['port'] == port and m['address'] == socket.inet_aton(address), m
        if address in dials:
            with socket.socket() as s:  # connected as dial does it, without waiting in the call
                s.setblocking(False)
                s.connect_ex((address, port))
                select.select([], [s], [], WAIT)
                dialer.send('dialed', [s.fileno()], request=m['request'], outcome=CONNECTED)
        else:
            dialer.send('dialed', request=m['request'], outcome=REFUSED, why='connecting: refused')

    def ask(self, url, method=GET, body=None, fields='', max_body=65536, asker='ADMIN', dials=(HOST,)):
        """What it answers to a request of any kind."""
        ours, resolve, dialer = self.start(asker)
        at = re.match(r'https://([a-z.]+)(?::(\d+))?', url)
        given = []
        if body is not None:
            given = [os.memfd_create('body')]
            os.write(given[0], body)
        ours.send('web_fetch', given, method=method, url=url, fields=fields, max_body=max_body, timeout_ms=20000)
        for fd in given:
            os.close(fd)
        if at:
            self.connect(resolve, dialer, at[1], int(at[2] or 443), HOST, dials)
        heard = ours.hear()
        assert not heard or (heard[0] == 'web_fetched' and ours.hear() is None), heard
        return heard and heard[1]


def served(pages=None, certs=None):
    page = {(NAME, PATH): (200, {}, GOOD)}
    return Web(HOST, certs or {None: authority.issue([NAME])}, page if pages is None else pages)


def needs_443(fn):
    def run_it():
        if os.geteuid():
            return print('%s: port 443 is for root, left out' % fn.__name__)
        fn()
    run_it.__name__ = fn.__name__
    return test(run_it)


@needs_443
def a_policy_is_fetched_and_parsed():
    with served() as web, Fetch() as f:
        m = f.get()
        assert m['outcome'] == POLICY and m['mode'] == 2 and m['max_age'] == 86400, m
        assert m['mx'] == b'mx.example.com *.example.net' and not m['why'], m
        assert web.hits == [(NAME, PATH)], web.hits


@needs_443
def what_is_no_policy_says_why():
    pages = {
        'ok': ((200, {'Content-Type': 'TEXT/plain; charset=utf-8; x=y'}, GOOD), POLICY, b''),
        'chunked': ((200, {'Content-Length': None}, GOOD), POLICY, b''),
        'missing': ((404, {}, b''), NONE, b'404'),
        'broken': ((500, {}, GOOD), NOT_FETCHED, b'500'),
        'created': ((201, {}, GOOD), NOT_FETCHED, b'201'),
        'moved': ((301, {'Location': 'https://%s%s' % (HOST, PATH)}, GOOD), NOT_FETCHED, b'301'),
        'html': ((200, {'Content-Type': 'text/html'}, GOOD), INVALID, b'text/plain'),
        'typeless': ((200, {'Content-Type': None}, GOOD), INVALID, b'text/plain'),
        'nonsense': ((200, {}, b'<html>'), INVALID, b'name: value'),
        'large': ((200, {}, GOOD + b'x: ' + b'y' * 65536), INVALID, b''),
        'endless': ((200, {'Content-Length': None}, GOOD + b'x: ' + b'y' * 200000), INVALID, b''),
        'short': ((200, {'Content-Length': str(len(GOOD) + 10)}, GOOD), NOT_FETCHED, b''),
        'bomb': ((200, {'Content-Encoding': 'gzip'}, b'\x1f\x8b' + b'x' * 100), INVALID, b''),
    }
    names = ['mta-sts.%s.example' % n for n in pages]
    web = Web(HOST, {None: authority.issue(names)},
              {('mta-sts.%s.example' % n, PATH): page for n, (page, _, _) in pages.items()})
    with web, Fetch() as f:
        for n, (_, outcome, why) in pages.items():
            m = f.get(n + '.example')
            assert m['outcome'] == outcome and why in m['why'] and bool(m['why']) == (outcome != POLICY), (n, m)
            assert bool(m['mx']) == (outcome == POLICY), (n, m)
        assert len(web.hits) == len(pages), web.hits  # a redirect is not followed


@needs_443
def a_certificate_must_be_trusted_current_and_for_the_name():
    other = Authority()
    certs = {
        'wildcard': (authority.issue(['*.wildcard.example']), POLICY),
        'twice.wild': (authority.issue(['*.wild.example']), UNTRUSTED),
        'partial': (authority.issue(['mta-*.partial.example']), UNTRUSTED),
        'other': (authority.issue(['mta-sts.example.com']), UNTRUSTED),
        'common': (authority.issue([], '/CN=mta-sts.common.example'), UNTRUSTED),
        'expired': (authority.issue(['mta-sts.expired.example'], begin='20200101000000Z', end='20200201000000Z'),
                    UNTRUSTED),
        'future': (authority.issue(['mta-sts.future.example'], begin='20900101000000Z', end='20910101000000Z'),
                   UNTRUSTED),
        'unknown': (other.issue(['mta-sts.unknown.example']), UNTRUSTED),
    }
    web = Web(HOST, {**{'mta-sts.%s.example' % n: c for n, (c, _) in certs.items()},
                     None: authority.issue(['nobody.example'])},
              {('mta-sts.%s.example' % n, PATH): (200, {}, GOOD) for n in certs})
    with web, Fetch() as f:
        for n, (_, outcome) in certs.items():
            m = f.get(n + '.example')
            assert m['outcome'] == outcome, (n, m)
        assert [h for h, _ in web.hits] == ['mta-sts.wildcard.example'], web.hits


@needs_443
def a_policy_that_is_kept_is_fetched_again_when_its_record_changed():
    with served() as web, Fetch() as f:
        unchanged, gone = 6, 7
        m = f.get(known_id='a', record=(0, b'v=STSv1; id=a;'))
        assert m['outcome'] == unchanged and m['id'] == b'a', m
        assert f.get(known_id='a', record=(1, b''))['outcome'] == gone
        assert f.get(known_id='a', record=(0, b'something else'))['outcome'] == gone
        assert f.get(known_id='a', record=(3, b''))['outcome'] == NOT_FETCHED
        assert not web.hits, web.hits
        m = f.get(known_id='a', record=(0, b'v=STSv1; id=b;'))
        assert m['outcome'] == POLICY and m['id'] == b'b' and web.hits == [(NAME, PATH)], m


@test
def no_host_is_no_policy_and_no_connection_is_a_failure():
    with Fetch() as f:
        assert f.get(address=None)['outcome'] == NONE
        m = f.get(dials=())
        assert m['outcome'] == NOT_FETCHED and b'refused' in m['why'], m


@needs_443
def a_fetch_that_nobody_waits_for_ends():
    """Its place is another's: it ends before one that began earlier and is waited for, on the same server that says nothing."""
    with socket.create_server((HOST, 443)) as server, Fetch() as f:
        askers, held = [], []
        for n in (1, 2):
            queue, resolve, dialer = f.start()
            askers.append(queue)
            queue.send('sts_fetch', domain='example.com', known_id='')
            f.connect(resolve, dialer, NAME, 443, HOST, (HOST,))
            held.append(server.accept()[0])
            assert held[-1].recv(1) == b'\x16'  # it has begun the handshake
        askers[1].close()
        ended = []
        while not ended:
            name, m, _ = f.monitor.hear()
            ended += [m['conn']] if name == 'child_ended' else []
        assert ended == [2], ended
        for c in held:
            c.close()
        assert askers[0].hear()[1]['outcome'] == NOT_FETCHED


@needs_443
def a_server_that_speaks_no_tls_or_breaks_off():
    replies = [b'220 not TLS\r\n', b'', b'\x15\x03\x01\0\2\2\x28', b'\x16\x03\x03\xff\xff' + b'x' * 70000]
    with socket.create_server((HOST, 443)) as server, Fetch() as f:
        def serve():
            for r in replies:
                c, _ = server.accept()
                c.recv(10000)
                c.sendall(r)
                c.close()
        threading.Thread(target=serve, daemon=True).start()
        for r in replies:
            assert f.get()['outcome'] == NOT_FETCHED, r


@needs_443
def any_request_is_made_for_others():
    seen = []

    def echo(handler):
        body = handler.rfile.read(int(handler.headers.get('Content-Length', 0)))
        seen.append((handler.command, handler.path, dict(handler.headers), body))
        handler.send_response(201)
        for name, value in (('Replay-Nonce', 'n1'), ('Location', 'https://web.example/acct/1'), ('Retry-After', '7'),
                            ('Link', '<https://a/>;rel="index"'), ('Link', '<https://b/>;rel="up"'),
                            ('X-Other', 'y'), ('Content-Type', 'application/json'), ('Content-Length', '2')):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b'{}')

    hosts = {None: authority.issue(['web.example'])}
    pages = {('web.example', path): echo for path in ('/post?x=1', '/')}
    pages.update({('web.example', '/large'): (200, {}, b'x' * 70000),
                  ('web.example', '/moved'): (302, {'Location': 'https://elsewhere.example/'}, b'')})
    with Web(HOST, hosts, pages) as web, Web(HOST, hosts, pages, 4443), Fetch() as f:
        m = f.ask('https://web.example/post?x=1', POST, b'{"a":1}', 'Content-Type: application/jose+json\nX-One: 1')
        assert m['outcome'] == ANSWER and m['code'] == 201 and m['body'] == b'{}', m
        assert m['replay_nonce'] == b'n1' and m['location'] == b'https://web.example/acct/1', m
        assert m['retry_after'] == b'7' and m['content_type'] == b'application/json', m
        assert m['links'] == b'<https://a/>;rel="index"\n<https://b/>;rel="up"', m
        method, path, fields, body = seen.pop()
        assert method == 'POST' and path == '/post?x=1' and body == b'{"a":1}', (method, path, body)
        assert fields['Content-Type'] == 'application/jose+json' and fields['X-One'] == '1', fields
        assert fields['Host'] == 'web.example' and 'Expect' not in fields and 'Cookie' not in fields, fields
        # A megabyte goes out; at another port, the Host field says so.
        m = f.ask('https://web.example:4443/', POST, b'x' * 1000000)
        assert m['outcome'] == ANSWER and len(seen[-1][3]) == 1000000 and seen[-1][2]['Host'] == 'web.example:4443', m
        m = f.ask('https://web.example/moved')
        assert m['code'] == 302 and m['location'] == b'https://elsewhere.example/', m
        assert f.ask('https://web.example/large')['outcome'] == WEB_TOO_LARGE
        assert f.ask('https://web.example/moved', dials=())['outcome'] == WEB_FAILED
        web.certs[None] = Authority().issue(['web.example'])
        assert f.ask('https://web.example/moved')['outcome'] == WEB_UNTRUSTED


@needs_443
def a_head_has_no_body():
    def head(handler):
        handler.send_response(200)
        handler.send_header('Replay-Nonce', 'n2')
        handler.send_header('Content-Length', '5')
        handler.end_headers()

    web = Web(HOST, {None: authority.issue(['web.example'])}, {('web.example', '/nonce'): head})
    with web, Fetch() as f:
        m = f.ask('https://web.example/nonce', HEAD)
        assert m['outcome'] == ANSWER and m['replay_nonce'] == b'n2' and m['body'] == b'', m


@test
def what_is_no_request_is_not_made():
    with Fetch() as f:
        for url, fields in (('http://web.example/', ''), ('https://127.0.0.1/', ''), ('https://a@b.example/', ''),
                            ('https://web.example/\r\nX: y', ''), ('file:///etc/passwd', '')):
            ours, resolve, _ = f.start('ADMIN')
            ours.send('web_fetch', method=GET, url=url, fields=fields, max_body=10, timeout_ms=20000)
            assert ours.hear() is None and resolve.hear() is None, url
        for fields in ('No field', 'X: a\rb', ': x', 'A b: c', 'X: y\n\nZ: z'):
            ours, resolve, _ = f.start('ADMIN')
            ours.send('web_fetch', method=GET, url='https://web.example/', fields=fields, max_body=10, timeout_ms=20000)
            assert ours.hear() is None and resolve.hear() is None, fields


@needs_443
def our_own_policies_are_understood():
    """What this server publishes of a domain, fetched as others do."""
    from serving import Serve
    s = Serve().start()
    try:
        s.stop()
        shutil.copy(authority.issue(['mta-sts.example.org']), os.path.join(s.dir, 'site.pem'))
        for name in ('CertFile: localhost.crt', 'KeyFile: localhost.key'):
            s.set_conf(name, name.split()[0] + ' site.pem')
        s.set_conf('\t\tSMTP:\n', '\t\tMTASTSHTTPS:\n\t\t\tEnabled: true\n\t\tSMTP:\n')
        path = os.path.join(s.dir, 'domains.conf')
        text = open(path).read().replace('\texample.org:\n', '\texample.org:\n\t\tMTASTS:\n\t\t\tPolicyID: 1\n\t\t\tMode: testing\n'
                                         '\t\t\tMaxAge: 48h\n', 1)
        open(path, 'w').write(text)
        s.start()
        with Fetch() as f:
            m = f.get('example.org', s.ip, (s.ip,))
        assert (m['outcome'], m['mode'], m['max_age'], m['mx']) == (POLICY, 1, 172800, b'mail.example.org'), m
    finally:
        s.close()


main('fetch')
