"""HTTP/1.1: the pages of the server's own services, and what attackers try on the protocol."""
import itertools
import select
import ssl

from serving import *

HTTP, HTTPS, METRICS = 1080, 1443, 1081


def curl(*args, ok=True):
    return run('curl', '-sS', '--max-time', str(WAIT), *args, ok=ok)


def get(s, path='/', port=HTTP, *args):
    """Status, fields in lower case, body."""
    r = curl('-i', '--path-as-is', *args, 'http://%s:%d%s' % (s.ip, port, path)).stdout
    head, body = r.split('\n\n', 1)
    lines = head.split('\n')
    return int(lines[0].split()[1]), {l.split(':', 1)[0].lower(): l.split(':', 1)[1].strip() for l in lines[1:]}, body


class Http(Wire):
    """A connection that says anything."""

    def reply(self):
        """Status, fields and body of one reply; None at the end of the connection."""
        line = self.line()
        if not line:
            return None
        assert line.startswith('HTTP/1.'), line
        fields = {}
        for l in iter(self.line, ''):
            name, value = l.split(':', 1)
            assert name.lower() not in fields, l
            fields[name.lower()] = value.strip()
        body = self.f.read(int(fields.get('content-length', 0)))
        return int(line.split()[1]), fields, body

    def expect_end(self):
        assert self.at_end()
        self.close()


def connect(s, port=HTTP):
    return Http(socket.create_connection((s.ip, port), timeout=WAIT))


_marks = itertools.count(1)


def logged(s, ask, below=''):
    """The line of the log about a request for a path that ask makes: it is written after the reply, and others may be late."""
    path = '%s/?mark=%d' % (below, next(_marks))
    ask(path)
    s.wait_log('url="%s"' % path)
    return [l for l in s.log_text().splitlines() if 'url="%s"' % path in l][0]


def say(s, text):
    """One message; the status of the reply, after which the connection must have ended."""
    w = connect(s)
    w.write(text)
    r = w.reply()
    assert r and r[1]['connection'] == 'close', r
    w.expect_end()
    return r[0]


@test
def each_service_has_a_page():
    s = server()
    for path, word in (('/account/', 'Account'), ('/admin/', 'Administration'), ('/webmail/', 'Webmail'),
                       ('/webapi/', 'HTTP API')):
        status, fields, body = get(s, path)
        assert status == 200 and '<h1>%s</h1>' % word in body, (path, status, body)
        assert fields['content-type'] == 'text/html; charset=utf-8'
        assert fields['x-frame-options'] == 'deny' and fields['x-content-type-options'] == 'nosniff'
        assert fields['content-security-policy'].startswith("default-src 'self'")
        assert fields['referrer-policy'] == 'same-origin'
        assert '<form' not in body and '<input' not in body  # nothing that looks like a login
        assert 'href="%s"' % path in get(s, '/')[2]
        status, fields, _ = get(s, path[:-1] + '?a=b')
        assert (status, fields['location']) == (303, path + '?a=b')
    r = subprocess.run(['curl', '-s', '-i', 'http://%s:%d/favicon.ico' % (s.ip, HTTP)], capture_output=True, timeout=WAIT)
    head, icon = r.stdout.split(b'\r\n\r\n', 1)
    assert b' 200 ' in head and b'image/x-icon' in head and icon[:4] == b'\0\0\1\0' and icon[22:26] == b'\x89PNG', r.stdout
    assert get(s, '/favicon.ico', METRICS)[0] == 404
    assert get(s, '/admin/x')[0] == 404
    assert get(s, '/nothing')[::2] == (404, '404 - not found\n')
    assert get(s, '/metrics', METRICS)[0] == 200
    assert 'metrics' in get(s, '/', METRICS)[2]
    assert get(s, '/other', METRICS)[0] == 404


@test
def tls_ends_where_the_request_is_read():
    s = server()
    base = 'https://localhost:%d' % HTTPS
    to_us = ['--connect-to', '::%s:' % s.ip, '--cacert', os.path.join(s.dir, 'localhost.crt')]
    for version in ('--tlsv1.2', '--tlsv1.3'):
        assert 'Administration' in curl(version, *to_us, base + '/admin/').stdout
    assert curl('--tls-max', '1.1', *to_us, base, ok=False).returncode == 35
    context = insecure_context()
    for offered, agreed in ((['http/1.1'], 'http/1.1'), ([], None), (['x', 'http/1.1'], 'http/1.1')):
        if offered:
            context.set_alpn_protocols(offered)
        with context.wrap_socket(socket.create_connection((s.ip, HTTPS), timeout=WAIT)) as c:
            assert c.selected_alpn_protocol() == agreed or not offered, (offered, c.selected_alpn_protocol())
    context.set_alpn_protocols(['smtp'])  # who means another protocol is told so (ALPACA)
    try:
        context.wrap_socket(socket.create_connection((s.ip, HTTPS), timeout=WAIT))
        raise AssertionError('spoke smtp with us')
    except ssl.SSLError as e:
        assert 'no application protocol' in str(e).lower().replace('_', ' '), e
    r = curl('-i', 'http://%s:%d/' % (s.ip, HTTPS), ok=False)  # plain HTTP there
    assert r.returncode in (1, 52, 56), (r.returncode, r.stdout)
    w = connect(s)  # and TLS on the plain port
    w.write(b'\x16\x03\x01\x02\x00\x01')
    assert w.reply()[0] == 400
    w.expect_end()


@test
def connections_are_kept():
    s = server()
    url = 'http://%s:%d' % (s.ip, HTTP)
    r = curl('-v', url + '/admin/', url + '/account/', url + '/nothing')
    assert r.stderr.count('Connected to') == 1 and r.stderr.count('Re-using existing connection') == 2, r.stderr
    w = connect(s)  # one after the other without waiting
    w.write('GET /admin/ HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /account/ HTTP/1.1\r\nHost: localhost\r\n\r\n'
            'GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n')
    assert w.reply()[0] == 200
    line = w.line()
    assert line == 'HTTP/1.1 200 OK'
    fields = list(iter(w.line, ''))
    assert any(l.startswith('Content-Length: ') and l != 'Content-Length: 0' for l in fields)
    assert w.reply()[0] == 404
    w.expect_end()
    w = connect(s)  # of many none is lost, however large their replies are together
    w.write('GET /admin/ HTTP/1.1\r\nHost: localhost\r\n\r\n' * 400)
    for _ in range(400):
        assert w.reply()[0] == 200
    w.close()
    w = connect(s)  # HTTP/1.0
    w.write('GET /admin/ HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n')
    assert w.reply()[1]['connection'] == 'keep-alive'
    w.write('GET /admin/ HTTP/1.0\r\nHost: localhost\r\n\r\n')
    assert w.reply()[0] == 200
    w.expect_end()


@test
def a_host_that_is_not_ours_has_no_services():
    s = server()
    for host, status in (('localhost', 200), ('LOCALHOST:1234', 200), (s.ip, 200), ('[::1]', 200), ('other.example', 404),
                         ('', 404), ('localhost.other.example', 404)):
        assert get(s, '/admin/', HTTP, '-H', 'Host: ' + host if host else 'Host;')[0] == status, host


@test
def methods():
    s = server()
    status, fields, _ = get(s, '/admin/', HTTP, '-X', 'DELETE')
    assert (status, fields['allow']) == (405, 'GET, HEAD')
    assert get(s, '/admin/', HTTP, '-X', 'get')[0] == 405  # methods are case-sensitive
    assert get(s, '/admin/', HTTP, '-X', 'CONNECT')[0] == 501
    assert get(s, '/admin/', HTTP, '-I')[0] == 200


H = 'Host: localhost\r\n'


@test
def what_two_could_read_in_two_ways_is_refused():
    """Request smuggling: both kinds of length, several of one, obfuscated ones, lines that end in LF."""
    s = server()
    smuggled = '0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n'
    for fields, status in (('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', 400),
                           ('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', 400),
                           ('Content-Length: 5\r\nContent-Length: 5\r\n', 400),
                           ('Content-Length: 5\r\nContent-Length: 6\r\n', 400),
                           ('Content-Length: 5, 6\r\n', 400), ('Content-Length: +5\r\n', 400),
                           ('Content-Length: 5 5\r\n', 400), ('Content-Length: 0x5\r\n', 400),
                           ('Content-Length : 5\r\n', 400), ('Content-Length:\x0b5\r\n', 400),
                           ('Transfer-Encoding: xchunked\r\n', 501), ('Transfer-Encoding : chunked\r\n', 400),
                           ('Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n', 400),
                           ('Transfer-Encoding:\x0bchunked\r\n', 400), ('Transfer-Encoding: chunked, identity\r\n', 501),
                           ('X: y\r\n Transfer-Encoding: chunked\r\n', 400), ('X: y\nTransfer-Encoding: chunked\r\n', 400),
                           ('X: y\rTransfer-Encoding: chunked\r\n', 400), ('Transfer-Encoding: identity\r\n', 501),
                           ('Transfer-Encoding: \r\n chunked\r\n', 400), ('\x00Transfer-Encoding: chunked\r\n', 400)):
        got = say(s, 'POST /admin/ HTTP/1.1\r\n' + H + fields + '\r\n' + smuggled)
        assert got == status, (fields, got)
    assert '/smuggled' not in s.log_text()


@test
def bodies_that_lie_end_the_connection():
    """What the body says of its end is believed, or nothing is; the page has answered without reading it."""
    s = server()
    for body in ('5\nhello\r\n0\r\n\r\n', '5\r\nhello!!\r\n0\r\n\r\n', 'x\r\n', '5;' + 'a' * 300 + '\r\nhello\r\n0\r\n\r\n',
                 'fffffffffffffffff\r\n'):
        w = connect(s)
        w.write('POST /admin/ HTTP/1.1\r\n' + H + 'Transfer-Encoding: chunked\r\n\r\n' + body +
                'GET /smuggled HTTP/1.1\r\n' + H + '\r\n')
        r = w.reply()
        assert r[0] == 405 and r[1]['connection'] == 'close', r
        w.expect_end()
    assert '/smuggled' not in s.log_text()


@test
def one_host_and_no_other():
    s = server()
    for text, status in (('GET / HTTP/1.1\r\n\r\n', 400), ('GET / HTTP/1.1\r\n' + H + H + '\r\n', 400),
                         ('GET / HTTP/1.1\r\n' + H + 'Host: other.example\r\n\r\n', 400),
                         ('GET http://other.example/admin/ HTTP/1.1\r\n' + H + '\r\n', 400),
                         ('GET / HTTP/1.1\r\nHost: localhost@other.example\r\n\r\n', 400),
                         ('GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n', 400),
                         ('GET / HTTP/1.1\r\nHost: local host\r\n\r\n', 400),
                         ('GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n', 400)):
        assert say(s, text) == status, text
    w = connect(s)
    w.write('GET http://LocalHost/admin/ HTTP/1.1\r\n' + H + '\r\n')
    assert w.reply()[0] == 200
    w.close()


@test
def paths_lead_nowhere_else():
    """Traversal, %00, double encoding: a path is decoded once, then made clean."""
    s = server()
    for path, status in (('/x/../admin/', 200), ('/admin/../../../etc/passwd', 404), ('/%2e%2e/%2e%2e/etc/passwd', 404),
                         ('/..%2f..%2fadmin/', 200), ('//admin//', 200), ('/admin/%2e', 200), ('/%61dmin/', 200),
                         ('/%2561dmin/', 404), ('/admin/%00', 400), ('/admin%00/', 400), ('/%', 400), ('/%zz', 400),
                         ('/admin\\', 404)):
        assert get(s, path)[0] == status, path


@test
def requests_are_no_larger_than_that():
    s = server()
    assert say(s, 'GET /' + 'a' * 9000 + ' HTTP/1.1\r\n' + H + '\r\n') == 414
    assert say(s, 'GET / HTTP/1.1\r\n' + H + 'X: y\r\n' * 100 + '\r\n') == 431
    assert say(s, 'GET / HTTP/1.1\r\n' + H + 'X: ' + 'y' * 33000 + '\r\n\r\n') == 431
    assert say(s, 'GET / HTTP/2.0\r\n' + H + '\r\n') == 505
    assert say(s, 'HELO localhost\r\n\r\n') == 400
    assert say(s, 'POST / HTTP/1.1\r\n' + H + 'Expect: something\r\n\r\n') == 417


@test
def every_request_is_in_the_log():
    s = server()
    line = logged(s, lambda path: get(s, path, HTTP, '-A', 'a browser', '-e', 'http://elsewhere.example/'), '/admin')
    for word in ('m="http request"', 'handler=admin', 'method=get', 'statuscode=200', 'proto=http/1.1', 'tlsinfo=plain',
                 'useragent="a browser"', 'referer=http://elsewhere.example/', 'host=127.'):
        assert word in line, (word, line)


@test
def slow_clients_are_left():
    """Half a head, nothing after a reply, a body that trickles: each has its time, here a short one."""
    with running(env={'MOX_HTTP_TIMEOUT_MS': '300'}) as s:
        def answered(text):
            """Its status, when we were quick enough to say it: else once more."""
            deadline = time.monotonic() + WAIT
            while True:
                w = connect(s)
                try:
                    w.write(text)
                    reply = w.reply()
                except ConnectionError:
                    reply = None
                w.expect_end()
                if reply:
                    return reply[0]
                assert time.monotonic() < deadline

        assert answered('GET /admin/ HTTP/1.1\r\nHost: loc') == 408
        connect(s).expect_end()  # nothing at all
        assert answered('GET /admin/ HTTP/1.1\r\n' + H + '\r\n') == 200


def forwarding():
    return serving(conf=[('\t\tSMTP:\n', '\t\tAccountHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: 1080\n\t\t\tForwarded: true\n'
                          '\t\tAutoconfigHTTPS:\n\t\t\tEnabled: true\n\t\t\tPort: 1081\n\t\t\tNonTLS: true\n\t\tSMTP:\n')])


@test
def bodies_are_read_as_they_come():
    with forwarding() as s:
        document = '<Autodiscover><Request><EMailAddress>ann@example.org</EMailAddress></Request></Autodiscover>'
        line = 'POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: example.org\r\n'
        w = connect(s, 1081)
        w.write(line + 'Expect: 100-continue\r\nContent-Length: %d\r\n\r\n' % len(document))
        assert w.line() == 'HTTP/1.1 100 Continue' and w.line() == ''
        w.write(document)
        assert w.reply()[0] == 200
        w.write(line + 'Transfer-Encoding: chunked\r\n\r\n')  # on the same connection, byte by byte
        for c in document:
            w.write('1\r\n%s\r\n' % c)
        w.write('0\r\nX-Trailer: y\r\n\r\n')
        assert w.reply()[0] == 200
        for text in ('5\nhello\r\n0\r\n\r\n', '5\r\nhello!\r\n0\r\n\r\n', 'x\r\n', '5;\nx\r\nhello\r\n0\r\n\r\n', '1;' + 'a' * 300,
                     '0\r\n' + 'a: b\r\n' * 2000, ('1;' + 'a' * 200 + '\r\nx\r\n') * 300):
            w = connect(s, 1081)
            try:
                w.write(line + 'Transfer-Encoding: chunked\r\n\r\n' + text)
            except OSError:
                pass  # it has heard enough
            r = w.reply()
            assert r[0] in (400, 413) and r[1]['connection'] == 'close', (text[:40], r)
            w.close()
        w = connect(s, 1081)
        w.write(line + 'Content-Length: 70000\r\n\r\n')  # no need to read it
        assert w.reply()[0] == 413
        w.close()


@test
def a_body_that_trickles_is_given_up():
    with forwarding() as s:
        s.stop()
        s.env['MOX_HTTP_TIMEOUT_MS'] = '300'
        s.start()
        w = connect(s, 1081)
        w.write('POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5000\r\n\r\n')
        begun = time.monotonic()
        try:
            while time.monotonic() < begun + WAIT:
                w.write('x')
                time.sleep(0.02)
                if select.select([w.sock], [], [], 0)[0]:
                    break
        except OSError:
            pass
        try:
            assert not w.line().startswith('HTTP/1.1 200')  # 503, or nothing
        except ConnectionError:
            pass  # it has waited for our end no longer
        w.close()


@test
def clients_behind_a_proxy():
    """X-Forwarded-For is believed on a port where the configuration says so, and nowhere else."""
    with forwarding() as s:
        for port, want in ((1080, '192.0.2.7'), (1081, '192.0.2.7'), (None, '127.0.0.1')):
            target = (s if port else server(), port or HTTP)
            line = logged(target[0], lambda path: get(target[0], path, target[1], '-H', 'X-Forwarded-For: 192.0.2.7, 10.0.0.1'))
            # Forwarded is a matter of the port, and 1081 has it not.
            assert 'clientip=%s ' % (want if port != 1081 else '127.0.0.1') in line, (port, line)
            assert 'remoteaddr=127.0.0.1' in line, line
        assert 'clientip=127.0.0.1' in logged(s, lambda path: get(s, path, 1080, '-H', 'X-Forwarded-For: nonsense"; x'))


def ask_often(s, n, address):
    """Statuses of n requests on one connection, by how often they came."""
    w = connect(s, 1080)
    found = {}
    text = 'HEAD / HTTP/1.1\r\nHost: mail.example.org\r\nX-Forwarded-For: %s\r\n\r\n' % address
    for at in range(0, n, 50):
        w.write(text * 50)
        for _ in range(50):
            line = w.line()
            found[line.split()[1]] = found.get(line.split()[1], 0) + 1
            for _ in iter(w.line, ''):
                pass
    w.close()
    return found


@test
def load_balancers_say_who_the_client_is():
    """The PROXY protocol, from configured peers only: they must speak it, before TLS, and nobody else may."""
    own = [('\t\tSMTP:\n', '\t\tProxyProtocolFrom:\n\t\t\t- 127.0.0.8/31\n\t\t\t- ::1\n\t\tAccountHTTP:\n\t\t\tEnabled: true\n'
            '\t\t\tPort: 1080\n\t\tAccountHTTPS:\n\t\t\tEnabled: true\n\t\t\tPort: 1443\n\t\tSMTP:\n')]
    two = (b'\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c' + socket.inet_aton('192.0.2.9') + socket.inet_aton('198.51.100.1') +
           b'\x04\xd2\0\x50')
    with serving(conf=own) as s:
        def request(path):
            return b'GET %s HTTP/1.1\r\nHost: mail.example.org\r\nConnection: close\r\n\r\n' % path.encode()

        def say_as(source, text, port=1080):
            w = Http(s.connect(port, source).sock)
            if isinstance(text, bytes):
                w.write(text)
                return w
            for b in text:
                w.write(b)
            return w

        for header, client in ((b'PROXY TCP4 192.0.2.9 198.51.100.1 1234 80\r\n', '192.0.2.9'), (two, '192.0.2.9'),
                               (b'PROXY UNKNOWN\r\n', '127.0.0.9'), (b'PROXY TCP6 2001:db8::9 2001:db8::1 1 2\r\n', '2001:db8::9')):
            for pieces in ((header,), (header[:3], header[3:20], header[20:])):
                def ask(path):
                    text = [*pieces, request(path)]
                    assert say_as('127.0.0.9', text if len(pieces) > 1 else b''.join(text)).reply()[0] == 200, header

                line = logged(s, ask)
                assert 'clientip=%s ' % client in line, (client, line)
        # Before TLS.
        w = s.connect(1443, '127.0.0.8')
        w.write(two)
        context = insecure_context()
        with context.wrap_socket(w.sock) as c:
            c.sendall(request('/'))
            assert c.recv(100).startswith(b'HTTP/1.1 200')
        # Those who must speak it and do not, or not right.
        for text in (request('/'), b'PROXY TCP4 192.0.2.9\r\n' + request('/'), b'PROXY TCP4 192.0.2.9 198.51.100.1 1234 80\n' + request('/'),
                     b'PROXY ' + b'x' * 200, two[:12] + b'\x21\x11\xff\xff' + b'x' * 100):
            assert say_as('127.0.0.8', text).at_end(), text
        # And those who may not.
        for text in (b'PROXY TCP4 192.0.2.9 198.51.100.1 1234 80\r\n', two):
            assert say_as('127.0.0.10', text + request('/not-through')).reply()[0] == 400, text
        assert '/not-through' not in s.log_text()


@test
def requests_are_counted_per_client():
    """A thousand a minute: of twice as many, some at least are too many, whenever the minute ends."""
    with forwarding() as s:
        found = ask_often(s, 2100, '192.0.2.7')
        assert found['200'] >= 1000 and found.get('429', 0) > 0, found
        assert ask_often(s, 50, '198.51.100.7') == {'200': 50}  # others are not in the way
        assert get(s, '/mail/config-v1.1.xml', 1081, '-H', 'Host: example.org')[0] == 200
        # What a connection was allowed and did not use is given back: many short ones cost no more than their requests.
        for _ in range(10):
            ask_often(s, 50, '203.0.113.7')
        assert ask_often(s, 50, '203.0.113.7') == {'200': 50}


@test
def a_process_that_dies_is_replaced():
    with running() as s:
        w = connect(s)
        w.write('GET /admin/ HTTP/1.1\r\n' + H + '\r\n')
        assert w.reply()[0] == 200
        pid, = s.pids('mox: web 127')
        os.kill(pid, signal.SIGKILL)
        w.expect_end()
        s.wait_log('web process crashed')
        assert get(s, '/admin/')[0] == 200
        for pid in s.pids('mox: web-template'):
            os.kill(pid, signal.SIGKILL)
        s.wait_log('role ended unexpectedly')
        deadline = time.monotonic() + WAIT  # another comes with a connection, at most one a second
        while curl('http://%s:%d/admin/' % (s.ip, HTTP), ok=False).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)


main('http')
