"""HTTP/1.1: the pages of the server's own services, and what attackers try on the protocol."""
import ssl

from harness import *

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
    start = len(s.log_text())
    get(s, '/admin/?token=x', HTTP, '-A', 'a browser', '-e', 'http://elsewhere.example/')
    s.wait_log('m="http request"', start)
    line = [l for l in s.log_text(start).splitlines() if 'http request' in l][0]
    for word in ('handler=admin', 'method=get', 'url="/admin/?token=x"', 'statuscode=200', 'proto=http/1.1', 'tlsinfo=plain',
                 'useragent="a browser"', 'referer=http://elsewhere.example/', 'host=127.'):
        assert word in line, (word, line)


main('http')
