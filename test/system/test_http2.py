"""HTTP/2: real clients, and one that speaks in frames of its own making."""
from h2_client import *
from serving import serving

HUFFMAN = {'huffman 640e01': 404, 'huffman 684fff': 429, 'huffman 680d07': 431, 'huffman 68017f': 400, 'huffman 640dbf': 405}


def ask_fresh(s, *args):
    c = Client(s)
    r = c.ask(1, *args)
    c.sock.close()
    return r


@test
def curl_and_nghttp_speak_it():
    s = server()
    url = 'https://%s:%d' % (s.ip, HTTPS)
    r = run('curl', '-sS', '-k', '--http2', '-w', '%{http_version} %{http_code}\n', '-o', '/dev/null', url + '/admin/', url + '/nothing')
    assert r.stdout == '2 200\n2 404\n' or r.stdout.startswith('2 200\n'), r.stdout
    r = run('curl', '-sS', '-k', '-I', url + '/admin/')
    assert r.stdout.startswith('HTTP/2 200') and 'x-frame-options: deny' in r.stdout, r.stdout
    r = run('curl', '-sS', '-k', '--http1.1', '-w', '%{http_version}\n', '-o', '/dev/null', url + '/admin/')
    assert r.stdout == '1.1\n', r.stdout
    r = run('nghttp', '-v', '-n', *[url + p for p in ('/admin/', '/account/', '/webmail/', '/nothing')])
    assert r.stdout.count(':status: 200') == 3 and r.stdout.count(':status: 404') == 1, r.stdout
    r = run('h2load', '-n', '500', '-c', '4', '-m', '32', url + '/admin/')
    assert '500 succeeded, 0 failed' in r.stdout, r.stdout
    assert 'proto=h2' in s.log_text()


@test
def bodies_that_nobody_reads_end_quietly():
    s = server()
    with tempfile.NamedTemporaryFile() as f:
        f.write(b'x' * 3000000)
        f.flush()
        r = run('curl', '-sS', '-k', '--http2', '-w', '%{http_code}', '-o', '/dev/null', '-T', f.name,
                'https://%s:%d/admin/' % (s.ip, HTTPS))
        assert r.stdout == '404', r.stdout
    c = Client(s)  # and the connection goes on
    c.frame(HEADERS, END_HEADERS, 1, head('/admin/', 'POST'))
    c.frame(DATA, 0, 1, b'x' * 10000)
    assert c.until(HEADERS)[2] == 1
    assert c.until(RST_STREAM)[3] == b'\0\0\0\0'  # NO_ERROR (RFC 9113 8.1)
    assert c.ask(3) == 200
    c.sock.close()


@test
def many_streams_at_once():
    """Every one is answered, but no more than 32 at a time are open."""
    s = server()
    c = Client(s, struct.pack('>HI', 4, 0))  # no window: nothing of a body may be sent, so that all stay open
    for i in range(40):
        c.frame(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, head())
    answered, refused = set(), set()
    while len(answered) + len(refused) < 40:
        kind, _, stream, p = c.until(HEADERS, RST_STREAM)
        (answered if kind == HEADERS else refused).add(stream)
    assert len(answered) == 32 and refused == set(range(65, 80, 2)), (answered, refused)
    for i in range(32):
        c.frame(WINDOW_UPDATE, 0, 2 * i + 1, struct.pack('>I', 60000))
    ended = set()
    while len(ended) < 32:
        kind, flags, stream, p = c.until(DATA)
        if flags & END_STREAM:
            ended.add(stream)
    c.sock.close()


@test
def heads_are_as_strict_as_with_http1():
    s = server()
    assert ask_fresh(s) == 200
    for args in (('/%00',), ('/%zz',), ('/', 'GET', 'a b'), ('/', 'GET', None), ('/', 'GET', 'localhost', ('host', 'other.example')),
                 ('/', 'GET', 'user@localhost')):
        assert ask_fresh(s, *args) in (400, 'reset 1'), args
    assert ask_fresh(s, '/admin/', 'GET', 'localhost', ('host', 'LOCALHOST')) == 200
    # What would be another request, or another body, on a connection of HTTP/1.1 behind us (RFC 9113 8.2, 8.3).
    for more in (('transfer-encoding', 'chunked'), ('connection', 'keep-alive'), ('Upper', 'x'), ('x', 'a\r\nb: c'), ('x', 'a\0b'),
                 ('x y', 'z'), (':path', '/again'), (':status', '200'), ('content-length', '5'), ('te', 'gzip')):
        assert ask_fresh(s, '/admin/', 'GET', 'localhost', more) in ('reset 1', 400), more
    for path in ('/ HTTP/1.1\r\nHost: x', 'admin', '', '/\x7f'):
        assert ask_fresh(s, path) in ('reset 1', 400), path
    assert '/again' not in s.log_text()


@test
def heads_have_a_size():
    s = server()
    c = Client(s)
    c.frame(HEADERS, END_STREAM | END_HEADERS, 1, head('/admin/', 'GET', 'localhost', *[('x%d' % i, 'y') for i in range(120)]))
    status = c.status(1)
    assert HUFFMAN.get(status, status) == 431, status
    assert c.ask(3) == 200
    # A head that a few bytes say again and again (HPACK): the connection ends.
    big = b'\x40' + field('x', 'y' * 3500)[1:]  # into the dynamic table
    c.many([(HEADERS, END_STREAM | END_HEADERS, 5, head() + big + b'\xbe' * 12000)])
    assert c.goaway() == ENHANCE_YOUR_CALM
    c.sock.close()


@test
def pieces_of_cookies_take_no_more_than_they_say():
    """HPACK: pieces that are a byte each, on requests that stay open."""
    s = server()
    c = Client(s)
    crumbs = b'\x40' + field('cookie', 'x' * 38)[1:] + b'\xbe' * 415
    again = b'\xbe' * 415
    c.many([(HEADERS, END_HEADERS, 1 + 2 * i, head('/nothing') + (again if i else crumbs)) for i in range(30)])
    assert c.status(59) == 404
    peak = 0
    for pid in s.pids('mox: web 127'):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open('/proc/%d/status' % pid) as f:  # of one before
            peak = max([peak] + [int(l.split()[1]) for l in f if l.startswith('VmHWM')])
    c.sock.close()
    assert 0 < peak < 64 * 1024, peak


@test
def rapid_reset_ends_the_connection():
    """CVE-2023-44487: requests that are taken back as soon as they are made."""
    s = server()
    c = Client(s)
    for i in range(60):  # a browser that changes its mind is no attacker
        c.many([(HEADERS, END_STREAM | END_HEADERS, 2 * i + 1, head()), (RST_STREAM, 0, 2 * i + 1, struct.pack('>I', 8))])
    assert c.ask(1001) == 200
    start = len(s.log_text())
    c.many([f for i in range(1000) for f in ((HEADERS, END_STREAM | END_HEADERS, 1003 + 2 * i, head()),
                                             (RST_STREAM, 0, 1003 + 2 * i, struct.pack('>I', 8)))])
    assert c.goaway() == ENHANCE_YOUR_CALM
    assert s.log_text(start).count('m="http request"') < 300  # most of them cost no more than their bytes
    c.sock.close()


@test
def made_to_reset_ends_the_connection():
    """CVE-2025-8671: each request is followed by something that makes the server reset it, so that another may come."""
    s = server()
    for mistake in ((WINDOW_UPDATE, 0, b'\0\0\0\0'), (DATA, 0, b'x'), (HEADERS, END_HEADERS, head())):
        start = len(s.log_text())
        c = Client(s, struct.pack('>HI', 4, 0))
        c.many([f for i in range(1000) for f in ((HEADERS, END_STREAM | END_HEADERS, 1 + 2 * i, head()),
                                                 (mistake[0], mistake[1], 1 + 2 * i, mistake[2]))])
        code = c.goaway()
        assert code in (ENHANCE_YOUR_CALM, 1, 5, None), (mistake, code)  # 1, 5: nghttp2 ends it at the first
        assert s.log_text(start).count('m="http request"') < 300
        c.sock.close()


@test
def refused_heads_are_counted_as_requests():
    """A thousand requests a minute: of twice as many, whose heads are none, some at least are too many."""
    conf = [('\t\tSMTP:\n', '\t\tAccountHTTPS:\n\t\t\tEnabled: true\n\t\t\tPort: %d\n\t\tSMTP:\n' % HTTPS)]
    with serving(conf=conf) as s:
        c = Client(s, struct.pack('>HI', 1, 0))  # no dynamic table
        statuses, n = set(), 0
        while n < 2100 and 429 not in statuses:
            for i in range(30):
                c.frame(HEADERS, END_STREAM | END_HEADERS, 2 * (n + i) + 1, head('/%zz'))
            statuses |= {HUFFMAN.get(r, r) for r in [c.status(2 * (n + i) + 1) for i in range(30)]}
            n += 30
        assert 400 in statuses and 429 in statuses, (statuses, n)
        c.sock.close()


@test
def requests_beyond_the_limit_end_the_connection():
    """Who goes on opening streams that are refused."""
    s = server()
    c = Client(s, struct.pack('>HI', 4, 0))
    c.many([(HEADERS, END_STREAM | END_HEADERS, 1 + 2 * i, head()) for i in range(1000)])
    assert c.goaway() == ENHANCE_YOUR_CALM
    c.sock.close()


@test
def floods_of_frames_end_the_connection():
    s = server()
    start = len(s.log_text())
    for frames in ([(HEADERS, END_STREAM, 1, head())] + [(CONTINUATION, 0, 1, field('x', 'y'))] * 5000,
                   [(PING, 0, 0, b'12345678')] * 2000, [(SETTINGS, 0, 0, b'')] * 2000,
                   [(PRIORITY, 0, 3, b'\0\0\0\0\1')] * 2000,
                   [(0x2a, 0, 0, b'unknown')] * 2000, [(HEADERS, END_STREAM | END_HEADERS, 1, head())] + [(0x2a, 0, 1, b'')] * 2000,
                   [(HEADERS, END_HEADERS, 1, head('/admin/', 'POST'))] + [(DATA, 0, 1, b'')] * 2000,
                   [(HEADERS, END_HEADERS, 1, head('/admin/', 'POST'))] + [(DATA, PADDED, 1, b'\x07' + bytes(7))] * 2000,
                   [(HEADERS, END_HEADERS, 1, head('/admin/', 'POST'))] + [(WINDOW_UPDATE, 0, 1, b'\0\0\0\1')] * 2000,
                   [(WINDOW_UPDATE, 0, 0, b'\0\0\0\1')] * 2000,
                   [(SETTINGS, 0, 0, struct.pack('>HI', 4, 65535 + i % 2)) for i in range(2000)]):
        c = Client(s)
        c.many(frames)
        code = c.goaway()
        assert code != 0, (frames[0], code)
        assert c.read() is None or True
        c.sock.close()
    assert 'crashed' not in s.log_text(start)
    c = Client(s)
    assert c.ask(1) == 200
    c.sock.close()


@test
def malformed_frames_end_the_connection():
    s = server()
    for frames in ([(DATA, 0, 0, b'x')], [(HEADERS, END_HEADERS, 2, head())], [(HEADERS, END_HEADERS, 1, b'\xff\xff\xff\xff\xff')],
                   [(RST_STREAM, 0, 7, b'\0\0\0\0')], [(WINDOW_UPDATE, 0, 0, b'\0\0\0\0')], [(SETTINGS, 0, 0, b'123')],
                   [(PUSH, END_HEADERS, 1, b'\0\0\0\2' + head())], [(CONTINUATION, END_HEADERS, 1, head())],
                   [(HEADERS, END_STREAM | END_HEADERS, 1, head()), (DATA, 0, 1, b'x')]):
        c = Client(s)
        c.many(frames)
        c.many([(PING, 0, 0, b'12345678')])
        while True:  # GOAWAY, or the stream alone is reset and the connection answers
            f = c.read()
            assert f, frames
            if f[0] in (GOAWAY, RST_STREAM):
                break
        c.sock.close()
    context = insecure_context()  # who agreed on h2 and speaks something else
    context.set_alpn_protocols(['h2'])
    with context.wrap_socket(socket.create_connection((s.ip, HTTPS), timeout=WAIT)) as sock:
        sock.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
        while sock.recv(4096):
            pass


@test
def who_does_not_read_is_left():
    with running(env={'MOX_HTTP_TIMEOUT_MS': '500'}) as s:
        def ended(*frames, settings=b''):
            """The code that it ends with, once we were quick enough to say this; and whether a reply came before."""
            deadline = time.monotonic() + WAIT
            while True:
                try:
                    c = Client(s, settings)
                    for frame in frames:
                        c.frame(*frame)
                    kinds = []
                    while f := c.read():
                        kinds.append(f[0])
                        if f[0] == GOAWAY:
                            assert c.goaway() is None
                            return struct.unpack('>I', f[3][4:8])[0], HEADERS in kinds
                except OSError:
                    pass
                assert time.monotonic() < deadline

        deadline = time.monotonic() + WAIT
        while not ended((HEADERS, END_STREAM | END_HEADERS, 1, head()), settings=struct.pack('>HI', 4, 0))[1]:
            assert time.monotonic() < deadline
        assert ended() == (0, False)  # nor is who says nothing, or half a request
        assert not ended((HEADERS, END_STREAM, 1, head()))[1]


@test
def a_stop_lets_answers_out():
    with running() as s:
        c = Client(s)
        assert c.ask(1) == 200
        s.process.send_signal(signal.SIGTERM)
        assert c.goaway() == 0
        c.sock.close()
        s.process.wait(WAIT)


main('http2')
