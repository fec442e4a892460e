"""The web server of domains.conf: static files, redirects, the reverse proxy and WebSocket."""
import atexit
import base64
import concurrent.futures
import gzip
import hashlib
import http.server
import json
import os
import socketserver
import threading
import zlib

from h2_client import *

sys.path.append('/usr/lib/python3/dist-packages')  # websockets

HTTP = 1080
WORKDIR = '''	-
		LogName: workdir
		Domain: localhost
		PathRegexp: ^/workdir/
		DontRedirectPlainHTTP: true
		WebStatic:
			StripPrefix: /workdir/
			Root: web
			ListFiles: true
'''


def handler(path, kind, domain='site.example', **more):
    """An entry of WebHandlers; kind: what is below it, indented by its own level."""
    lines = ['-', '\tDomain: ' + domain, '\tPathRegexp: ' + path]
    if more.pop('plain', True):
        lines.append('\tDontRedirectPlainHTTP: true')
    lines += ['\t%s: %s' % i for i in more.items()]
    lines += ['\t' + l for l in kind.split('\n')]
    return ''.join('\t%s\n' % l for l in lines)


_fresh = []  # a directory that no server has used, and its address: making keys takes longer than all else


def prepare(s):
    if not _fresh:
        dir = tempfile.mkdtemp(prefix='mox-fresh-')
        atexit.register(shutil.rmtree, dir, True)
        run(MOX, 'localserve', '-initonly', '-dir', dir, '-ip', s.ip)
        _fresh.extend((dir, s.ip))
    shutil.copytree(_fresh[0], s.dir, dirs_exist_ok=True)
    path = os.path.join(s.dir, 'mox.conf')
    text = open(path).read()
    open(path, 'w').write(text.replace(_fresh[1], s.ip))


@contextlib.contextmanager
def site(*handlers, more=(), trusted=None, **kw):
    """A server with these handlers, which trusts what this file has besides the system's authorities."""
    s = Server(**kw)
    prepare(s)
    if trusted:
        with open(os.path.join(s.dir, 'mox.conf'), 'a') as f:
            f.write('TLS:\n\tCA:\n\t\tAdditionalToSystem: true\n\t\tCertFiles:\n\t\t\t- %s\n' % trusted)
    path = os.path.join(s.dir, 'domains.conf')
    text = open(path).read()
    for old, new in [(WORKDIR, ''.join(handlers)), *more]:
        assert old in text, old
        text = text.replace(old, new)
    open(path, 'w').write(text)
    try:
        yield s.start()
    finally:
        s.close()


def curl(*args, ok=True):
    return run('curl', '-sS', '--max-time', str(WAIT), *args, ok=ok)


def get(s, path='/', *args, host='site.example', port=HTTP, https=False):
    """Status, fields in lower case, body as bytes."""
    url = '%s://%s:%d%s' % ('https' if https else 'http', s.ip, port, path)
    r = subprocess.run(['curl', '-sSik', '--path-as-is', '--max-time', str(WAIT), '-H', 'Host: ' + host, *args, url],
                       capture_output=True, timeout=WAIT)
    assert r.returncode == 0, (r.returncode, r.stderr, r.stdout[:500])
    head, body = r.stdout.split(b'\r\n\r\n', 1)
    while head.startswith(b'HTTP/1.1 100'):
        head, body = body.split(b'\r\n\r\n', 1)
    lines = head.decode('latin-1').split('\r\n')
    return int(lines[0].split()[1]), {l.split(':', 1)[0].lower(): l.split(':', 1)[1].strip() for l in lines[1:]}, body


def wire(s, text, port=HTTP):
    w = Wire(socket.create_connection((s.ip, port), timeout=WAIT))
    w.write(text)
    return w


def reply(w):
    """Status, fields and body of one reply on a connection that goes on."""
    line = w.line()
    if not line:
        return None
    fields = {}
    for l in iter(w.line, ''):
        name, value = l.split(':', 1)
        fields[name.lower()] = value.strip()
    if fields.get('transfer-encoding') == 'chunked':
        body = b''
        while True:
            n = int(w.line(), 16)
            body += w.f.read(n)
            w.line()
            if not n:
                break
    else:
        body = w.f.read(int(fields.get('content-length', 0)))
    return int(line.split()[1]), fields, body


@contextlib.contextmanager
def files(**contents):
    dir = tempfile.mkdtemp(prefix='mox-web-')
    os.chmod(dir, 0o755)
    try:
        for name, data in contents.items():
            put(dir, name, data)
        yield dir
    finally:
        shutil.rmtree(dir, ignore_errors=True)


def put(dir, name, data):
    path = os.path.join(dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    return path


def static(root, *more):
    return '\n'.join(['WebStatic:', '\tRoot: ' + root, *('\t' + l for l in more)])


@test
def files_of_a_site():
    with files() as dir:
        put(dir, 'index.html', '<h1>start</h1>')
        put(dir, 'a.txt', 'text of a\n' * 400)
        put(dir, 'sub/b.css', 'b {}')
        put(dir, 'noext', b'\x89PNG\r\n\x1a\n....')
        with site(handler('^/', static(dir, 'ResponseHeaders:', '\tX-Own: yes'))) as s:
            status, fields, body = get(s)
            assert (status, body) == (200, b'<h1>start</h1>'), (status, fields, body)
            assert fields['content-type'] == 'text/html; charset=utf-8' and fields['x-own'] == 'yes'
            assert fields['content-length'] == '14' and fields['accept-ranges'] == 'bytes'
            status, fields, body = get(s, '/a.txt')
            assert (status, body, fields['content-type']) == (200, b'text of a\n' * 400, 'text/plain; charset=utf-8')
            assert 'content-encoding' not in get(s, '/a.txt', '--compressed')[1]  # Compress is not set
            etag, date = fields['etag'], fields['last-modified']
            assert get(s, '/sub/b.css')[1]['content-type'] == 'text/css; charset=utf-8'
            assert get(s, '/noext')[1]['content-type'] == 'image/png'
            # What the client has.
            for field in ('If-None-Match: ' + etag, 'If-None-Match: "x", W/' + etag, 'If-Modified-Since: ' + date):
                status, fields, body = get(s, '/a.txt', '-H', field)
                assert (status, body, fields['etag']) == (304, b'', etag), (field, status, fields)
                assert 'content-length' not in fields
            assert get(s, '/a.txt', '-H', 'If-None-Match: "x"')[0] == 200
            assert get(s, '/a.txt', '-H', 'If-Match: "x"')[0] == 412
            assert get(s, '/a.txt', '-H', 'If-Unmodified-Since: Tue, 24 Nov 2020 08:16:53 GMT')[0] == 412
            # HEAD, directories, and what is not there.
            r = curl('-I', '-H', 'Host: site.example', 'http://%s:%d/a.txt' % (s.ip, HTTP)).stdout
            assert '200 OK' in r and 'Content-Length: 4000' in r
            status, fields, _ = get(s, '/sub?x=y')
            assert (status, fields['location']) == (307, '/sub/?x=y')
            assert get(s, '/sub/')[0] == 403 and get(s, '/a.txt/')[0] == 404 and get(s, '/nothing')[0] == 404
            assert get(s, '/' + 'n' * 300)[0] == 404
            assert get(s, '/a.txt', '-X', 'POST')[::2] == (405, b'405 - method not allowed\n')
            assert get(s, '/', host='other.example')[0] == 404
            assert get(s, '/a.txt', port=HTTPS, https=True)[2] == b'text of a\n' * 400

@test
def a_file_is_looked_up_each_time():
    """A connection keeps files open that it was sent: what they are now is what it gets."""
    with files(secret='the secret') as outer:
        root = os.path.join(outer, 'root')
        for i in range(40):
            put(root, 'n%d.txt' % i, 'number %d' % i)
        put(root, 'dir/index.html', 'the index')
        path = put(root, 'a.txt', 'one')
        with site(handler('^/other/', static(root, 'StripPrefix: /other/', 'ResponseHeaders:', '\tContent-Type: text/other')),
                  handler('^/', static(root))) as s:
            w = wire(s, '')

            def ask(name):
                w.write('GET /%s HTTP/1.1\r\nHost: site.example\r\n\r\n' % name)
                status, fields, body = reply(w)
                return status, body
            assert ask('a.txt') == ask('a.txt') == (200, b'one')
            os.rename(put(root, 'b.txt', 'two'), path)  # as long as the first
            assert ask('a.txt') == (200, b'two')
            with open(path, 'a') as f:
                f.write(' and more')
            assert ask('a.txt') == (200, b'two and more')
            os.unlink(path)
            assert ask('a.txt')[0] == 404
            os.symlink('n1.txt', path)
            assert ask('a.txt') == ask('a.txt') == (200, b'number 1')
            os.unlink(path)
            os.symlink('../secret', path)  # out of the root
            assert ask('a.txt')[0] == 404
            os.unlink(path)
            os.link(os.path.join(outer, 'secret'), path)
            assert ask('a.txt') == (200, b'the secret')
            os.unlink(path)
            os.symlink('../secret', path)  # the file that is open, by a way that leads out, has another name less
            assert ask('a.txt')[0] == 404
            for _ in range(2):
                for i in range(40):
                    assert ask('n%d.txt' % i) == (200, b'number %d' % i)
            pid = [p for p in s.pids('mox: web 127')][0]
            assert len(os.listdir('/proc/%d/fd' % pid)) < 35
            assert ask('dir/') == ask('dir/') == ask('dir/index.html') == (200, b'the index')
            os.rename(put(root, 'dir/new', 'another'), os.path.join(root, 'dir/index.html'))
            assert ask('dir/') == ask('dir/index.html') == (200, b'another')
            os.unlink(os.path.join(root, 'dir/index.html'))
            assert ask('dir/')[0] == 403 and ask('n3.txt/')[0] == 404
            # Each handler has its own.
            w.write('GET /n1.txt HTTP/1.1\r\nHost: site.example\r\n\r\nGET /other/n1.txt HTTP/1.1\r\nHost: site.example\r\n\r\n' * 2)
            assert [reply(w)[1]['content-type'] for _ in range(4)] == ['text/plain; charset=utf-8', 'text/other'] * 2
            w.close()


def fields_of(s, path):
    return get(s, path)[1]


@test
def parts_of_a_file():
    data = bytes(range(256)) * 4000  # 1,024,000
    with files(big=data) as dir:
        with site(handler('^/', static(dir))) as s:
            def part(range, *args):
                status, fields, body = get(s, '/big', '-H', 'Range: ' + range, *args)
                return status, fields.get('content-range'), body, fields
            assert part('bytes=0-99')[:3] == (206, 'bytes 0-99/1024000', data[:100])
            assert part('bytes=1023990-')[:3] == (206, 'bytes 1023990-1023999/1024000', data[-10:])
            assert part('bytes=-5')[:3] == (206, 'bytes 1023995-1023999/1024000', data[-5:])
            assert part('bytes=100000-900000')[2] == data[100000:900001]
            status, _, body, fields = part('bytes=5000000-')
            assert (status, fields['content-range']) == (416, 'bytes */1024000')
            etag = fields_of(s, '/big')['etag']
            assert part('bytes=0-9', '-H', 'If-Range: ' + etag)[0] == 206
            assert part('bytes=0-9', '-H', 'If-Range: "other"')[0] == 200
            # Several, as multipart.
            status, _, body, fields = part('bytes=0-9,100000-100099,-1')
            kind, boundary = fields['content-type'].split('; boundary=')
            assert (status, kind) == (206, 'multipart/byteranges')
            parts = body.split(b'\r\n--' + boundary.encode())
            assert parts[0] == b'' and parts[-1] == b'--\r\n' and len(parts) == 5
            assert [p.split(b'\r\n\r\n', 1)[1] for p in parts[1:-1]] == [data[:10], data[100000:100100], data[-1:]]
            assert b'Content-Range: bytes 100000-100099/1024000' in parts[2]
            assert int(fields['content-length']) == len(body)
            # Bombs: all of it, once.
            for bomb in ('0-,' * 1000 + '0-', ','.join('%d-' % i for i in range(0, 1000)), '0-1,' * 2 + '0-1',
                         ','.join('%d-%d' % (2 * i, 2 * i) for i in range(17))):
                status, _, body, fields = part('bytes=' + bomb)
                assert (status, len(body)) == (200, len(data)), bomb[:20]
            # HEAD has no ranges (RFC 9110 14.2).
            assert ' 200 ' in curl('-I', '-H', 'Host: site.example', '-H', 'Range: bytes=0-9',
                                   'http://%s:%d/big' % (s.ip, HTTP)).stdout
            assert get(s, '/big', port=HTTPS, https=True)[2] == data


@test
def nothing_above_the_root():
    """Traversal by dots, %2e, %00, double encoding, links that lead out; pipes and devices."""
    with files(secret='the secret') as outer:
        root = os.path.join(outer, 'root')
        put(root, 'sub/inside.txt', 'inside')
        put(root, 'unreadable', 'x')
        os.chmod(os.path.join(root, 'unreadable'), 0o600)
        for name, to in (('out', '../secret'), ('absolute', os.path.join(outer, 'secret')), ('up', '..'),
                         ('etc', '/etc'), ('proc', '/proc/self/root'), ('within', 'sub/inside.txt'),
                         ('around', '../root/sub/inside.txt'), ('loop', 'loop')):
            os.symlink(to, os.path.join(root, name))
        os.mkfifo(os.path.join(root, 'fifo'))
        os.chmod(os.path.join(root, 'fifo'), 0o644)
        if os.geteuid() == 0:
            os.mknod(os.path.join(root, 'null'), 0o20666, os.makedev(1, 3))
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(os.path.join(root, 'socket'))
        with site(handler('^/files/', static(root, 'StripPrefix: /files/', 'ListFiles: true')),
                  handler('^/', 'WebRedirect:\n\tBaseURL: https://elsewhere.example')) as s:
            for path in ('out', 'absolute', 'up/secret', 'etc/passwd', 'proc/etc/passwd', 'around', 'loop', 'fifo', 'socket',
                         'null', '%252e%252e/secret', '..%252fsecret', '..;/secret', '..%3b/secret', '..%5csecret', '..\\secret',
                         '.%5c..%5csecret', '%c0%ae%c0%ae/secret', '%uff0e%uff0e/secret'):
                status, _, body = get(s, '/files/' + path)
                assert status in (403, 404) or (status == 400 and '%u' in path), (path, status)
                assert b'secret' not in body, (path, body)
            for path in ('../secret', '.%2e/secret', '%2e%2e/secret', '..%2fsecret', '%2e%2e%2fsecret', 'sub/..%2f..%2fsecret'):
                # It is /secret, which is another handler's.
                status, fields, _ = get(s, '/files/' + path)
                assert (status, fields.get('location')) == (308, 'https://elsewhere.example/secret'), (path, status, fields)
            assert get(s, '/files/sub%00/inside.txt')[0] == 400 and get(s, '/files/inside%')[0] == 400
            # With the rights of the web process, whoever started the server.
            uid = os.stat('/proc/%d' % s.pids('mox: web-template')[0]).st_uid
            assert get(s, '/files/unreadable')[0] == (403 if uid else 200)
            assert get(s, '/files/within')[2] == b'inside'
            assert get(s, '/files/sub/./..//sub/inside.txt')[2] == b'inside'
            # Nor the server's own.
            path = os.path.join(s.dir, 'domains.conf')
            text, start = open(path).read(), len(s.log_text())
            rewrite(path, text.replace('Root: ' + root, 'Root: .'))
            s.wait_log("with this server's own files is not served", start)
            deadline = time.monotonic() + WAIT
            while get(s, '/files/within')[0] != 404:
                assert time.monotonic() < deadline
            assert get(s, '/files/mox.conf')[0] == 404
            rewrite(path, text)
            deadline = time.monotonic() + WAIT
            while get(s, '/files/within')[0] != 200:
                assert time.monotonic() < deadline
            listing = get(s, '/files/')[2].decode()
            assert 'within' in listing and 'sub/' in listing
            assert not any('>%s<' % n in listing for n in ('out', 'etc', 'fifo', 'null', 'socket', 'up')), listing
        listening.close()


@test
def listings_and_handlers_that_decline():
    with files() as dir:
        put(dir, 'one/<b>&".txt', 'x' * 2000000)
        put(dir, 'one/aaa/x', 'x')
        put(dir, 'two/only-here.txt', 'from two')
        os.makedirs(os.path.join(dir, 'one', 'empty'))
        with site(handler('^/', static(dir + '/one', 'ListFiles: true', 'ContinueNotFound: true',
                                       'ResponseHeaders:', '\tContent-Type: text/own')),
                  handler('^/', static(dir + '/two'))) as s:
            status, fields, body = get(s)
            page = body.decode()
            assert (status, fields['content-type']) == (200, 'text/html; charset=utf-8')
            assert '<a href="./%3Cb%3E%26%22.txt">&lt;b&gt;&amp;&quot;.txt</a>' in page and '<b>&".txt' not in page
            assert page.index('&lt;b') < page.index('aaa/') < page.index('empty/') and '>..<' not in page
            assert '>1.91<' in page and 'title="2000000 bytes"' in page
            assert 'No files.' in get(s, '/empty/')[2].decode() and '>..<' in get(s, '/empty/')[2].decode()
            assert get(s, '/%3Cb%3E%26%22.txt')[1]['content-type'] == 'text/own'
            assert get(s, '/only-here.txt')[2] == b'from two'
            assert get(s, '/nowhere')[0] == 404 and get(s, '/', '-X', 'POST')[0] == 405


@test
def a_listing_takes_no_more_memory_than_a_request_has():
    """10,000 names as long as can be, each a link, below a long path; and one more."""
    deep = '/'.join(['d' * 200] * 9)  # with its name, what is asked for is within the limit of a target
    with files() as dir:
        path = os.path.join(dir, deep)
        os.makedirs(path)
        put(dir, 'target', 'x')
        fd = os.open(path, os.O_DIRECTORY)
        up = '../' * 9 + 'target'
        for i in range(10000):
            os.symlink(up, '%05d' % i + '"' * 250, dir_fd=fd)
        with site(handler('^/', static(dir, 'ListFiles: true'), Compress='true')) as s:
            status, fields, body = get(s, '/%s/' % deep)
            assert status == 200 and body.count(b'<td><a href="./') == 10000 and body.endswith(b'</html>\n'), (status, len(body), body.count(b'<td><a href="./'), body[-100:])
            assert b'There are more' not in body
            os.symlink(up, 'another', dir_fd=fd)
            os.symlink('/nowhere', 'none', dir_fd=fd)
            status, fields, body = get(s, '/%s/' % deep, '--compressed')
            assert body.count(b'<td><a href="./') == 10000 and b'<p>There are more than the 10000 that are listed.' in body
            assert fields['content-encoding'] == 'gzip'
            assert get(s, '/%s/' % deep, '-I')[2] == b''
            assert 'crashed' not in s.log_text()
        os.close(fd)


@test
def compressed_for_those_who_take_it():
    text = b'a line that is there many times\n' * 2000
    with files(**{'a.txt': text, 'small.txt': b'small', 'b.png': text, 'c.html': b'<p>plain'}) as dir:
        put(dir, 'c.html.gz', gzip.compress(b'<p>packed beforehand'))
        put(dir, 'd.html', '<p>newer')
        old = put(dir, 'd.html.gz', gzip.compress(b'<p>older'))
        os.utime(old, (1, 1))
        with site(handler('^/', static(dir), Compress='true')) as s:
            def packed(path, accept='gzip', *args):
                status, fields, body = get(s, path, '-H', 'Accept-Encoding: ' + accept, *args)
                assert status in (200, 206), status
                is_packed = fields.get('content-encoding') == 'gzip'
                if fields.get('transfer-encoding') == 'chunked':
                    assert 'content-length' not in fields
                return is_packed, gzip.decompress(body) if is_packed else body, fields
            is_packed, body, fields = packed('/a.txt')
            assert is_packed and body == text and fields['vary'] == 'Accept-Encoding' and fields['etag'].startswith('W/')
            assert fields['transfer-encoding'] == 'chunked'
            assert get(s, '/a.txt', '-H', 'Accept-Encoding: gzip', '-H', 'If-None-Match: ' + fields['etag'])[0] == 304
            assert packed('/a.txt', 'deflate, gzip;q=0.1')[:2] == (True, text)
            for accept in ('identity', 'gzip;q=0', 'br', ''):
                assert packed('/a.txt', accept)[:2] == (False, text), accept
            # A cache that keeps what is not compressed is told that others get something else.
            assert packed('/a.txt', 'identity')[2]['vary'] == packed('/c.html', 'br')[2]['vary'] == 'Accept-Encoding'
            assert 'vary' not in packed('/b.png')[2]
            # RFC 9110 15.3.7, 15.4.5: a cache learns it from every answer.
            for args in (('-H', 'If-None-Match: *'), ('-H', 'Range: bytes=0-9'), ('-H', 'Range: bytes=0-1,5-9')):
                status, fields, _ = get(s, '/a.txt', '-H', 'Accept-Encoding: gzip', *args)
                assert status in (304, 206) and fields['vary'] == 'Accept-Encoding', (args, status, fields)
                status, fields, _ = get(s, '/b.png', '-H', 'Accept-Encoding: gzip', *args)
                assert status in (304, 206) and 'vary' not in fields, (args, status, fields)
            with open(os.path.join(dir, 'huge.txt'), 'wb') as f:
                f.truncate(11 << 20)
            assert not packed('/huge.txt')[0]  # nobody makes us work that long
            assert packed('/small.txt')[:2] == (False, b'small') and packed('/b.png')[:2] == (False, text)
            is_packed, body, fields = packed('/c.html')
            assert (is_packed, body) == (True, b'<p>packed beforehand') and 'content-length' in fields
            assert packed('/c.html', 'identity')[:2] == (False, b'<p>plain')
            assert packed('/d.html')[:2] == (False, b'<p>newer')
            assert packed('/a.txt', 'gzip', '-H', 'Range: bytes=0-9')[:2] == (False, text[:10])
            assert curl('--compressed', '-H', 'Host: site.example', 'http://%s:%d/a.txt' % (s.ip, HTTP)).stdout == text.decode()


@test
def redirects():
    go = 'WebRedirect:\n\tOrigPathRegexp: ^/go/((?s).*)$\n\tReplacePath: /new/$1\n\tStatusCode: 302'
    with site(handler('^/go', go), handler('^/away', 'WebRedirect:\n\tBaseURL: https://elsewhere.example:81/?x=y#f'),
              handler('^/same', 'WebRedirect:\n\tBaseURL: http://site.example:%d' % HTTP),
              handler('^/', 'WebRedirect:\n\tBaseURL: //third.example', plain=False),
              more=[('WebHandlers:', 'WebDomainRedirects:\n\told.example: new.example\nWebHandlers:')]) as s:
        def to(path, **kw):
            status, fields, _ = get(s, path, **kw)
            return status, fields.get('location')
        assert to('/go/a/b?c=d') == (302, '/new/a/b?c=d')
        assert to('/gone') == (404, None)
        assert to('/away/z?q') == (308, 'https://elsewhere.example:81/away/z?x=y&q#f')
        # Nothing becomes a host or a line.
        assert to('/go//evil.example') == (302, '/new/evil.example')
        assert to('/go/%2fevil.example%0d%0aX:%20y') == (302, '/new/evil.example%0D%0AX%3A%20y')
        # What would lead to itself is the next one's, and plain HTTP leads to https first.
        assert to('/same?x', host='site.example:%d' % HTTP) == (308, 'https://site.example/same?x')
        assert to('/any', port=HTTPS, https=True) == (308, '//third.example/any')
        assert to('/a/b?c', host='old.example') == (308, 'https://new.example/a/b?c')
        assert to('//x.example/..%2f', host='old.example') == (308, 'https://new.example/')
        assert to('/', host='new.example') == (404, None)
        w = wire(s, 'OPTIONS * HTTP/1.1\r\nHost: old.example\r\n\r\n')
        assert reply(w)[0] == 404
        w.close()


@test
def a_site_is_deployed_by_renaming():
    """Its directory is there at last, and then another takes its place; connections go on as they were."""
    with files() as dir:
        put(dir, 'one/index.html', 'the first')
        put(dir, 'two/index.html', 'the second')
        with site(handler('^/', static(dir + '/now'))) as s:
            def becomes(status, body):
                deadline = time.monotonic() + WAIT
                while get(s)[::2] != (status, body):
                    assert time.monotonic() < deadline, get(s)
                    time.sleep(0.05)
            assert get(s)[0] == 404
            os.rename(dir + '/one', dir + '/now')
            becomes(200, b'the first')
            w = wire(s, 'GET / HTTP/1.1\r\nHost: site.example\r\n\r\n')
            assert reply(w)[2] == b'the first'
            os.rename(dir + '/now', dir + '/old')
            os.rename(dir + '/two', dir + '/now')
            becomes(200, b'the second')
            w.write('GET / HTTP/1.1\r\nHost: site.example\r\n\r\n')
            assert reply(w)[2] == b'the first'
            w.close()


# --- the proxy ---------------------------------------------------------------------------------------

class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self):
        body = b''
        if self.headers.get('Transfer-Encoding') == 'chunked':
            while True:
                n = int(self.rfile.readline(), 16)
                body += self.rfile.read(n)
                self.rfile.readline()
                if not n:
                    break
        else:
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.server.connections.add(self.client_address)
        out = json.dumps({'line': self.requestline, 'fields': self.headers.items(), 'length': len(body),
                          'body': body[:100].decode('latin-1')}).encode()
        self.send_response(201 if self.command == 'PUT' else 200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(out)))
        self.send_header('X-Backend', 'yes')
        self.send_header('Connection', 'keep-alive, X-Hop')
        self.send_header('X-Hop', 'gone')
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(out)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 100


@contextlib.contextmanager
def http_server(kind=Echo):
    """A server of Python's on a port of its own; yields it with its address."""
    s = Threads(('127.0.0.1', 0), kind)
    s.connections = set()
    threading.Thread(target=s.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield s
    finally:
        s.shutdown()
        s.server_close()


@contextlib.contextmanager
def raw_server(serve):
    """Says whatever serve(connection) does, in a thread for each connection."""
    l = socket.create_server(('127.0.0.1', 0), backlog=50)

    def accept():
        while True:
            try:
                c, _ = l.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(c,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield l.getsockname()[1]
    finally:
        l.shutdown(socket.SHUT_RDWR)
        l.close()


def forward(port, path='', *more, host='127.0.0.1'):
    return '\n'.join(['WebForward:', '\tURL: http://%s:%d%s' % (host, port, path), *('\t' + l for l in more)])


def read_head(c):
    data = b''
    while b'\r\n\r\n' not in data:
        more = c.recv(10000)
        if not more:
            break
        data += more
    return data


@test
def requests_are_passed_on():
    with http_server() as backend:
        port = backend.server_address[1]
        with site(handler('^/api/', forward(port, '/base?k=v', 'StripPath: true', 'ResponseHeaders:', '\tX-Own: proxy')),
                  handler('^/', forward(port, host='localhost'))) as s:
            status, fields, body = get(s, '/api/x%2Fy?q=1', '-H', 'X-Forwarded-For: 1.2.3.4', '-H', 'Forwarded: for=1.2.3.4',
                                       '-H', 'x_forwarded_proto: https', '-H', 'Connection: X-Drop', '-H', 'X-Drop: 1',
                                       '-H', 'TE: trailers', '-H', 'Upgrade: h2c', '-H', 'Cookie: a=b')
            assert status == 200 and fields['x-own'] == 'proxy' and fields['x-backend'] == 'yes', (status, fields, body)
            assert 'x-hop' not in fields and 'python' in fields['server'].lower()
            got = json.loads(body)
            seen = {n.lower(): v for n, v in got['fields']}
            assert got['line'] == 'GET /base/x/y?k=v&q=1 HTTP/1.1', got['line']
            assert seen['host'] == 'site.example' and seen['cookie'] == 'a=b' and len(got['fields']) == len(seen)
            assert seen['x-forwarded-for'].startswith('127.') and seen['x-forwarded-host'] == 'site.example'
            assert seen['x-forwarded-proto'] == 'http'
            assert not set(seen) & {'x-drop', 'te', 'upgrade', 'connection', 'forwarded', 'x_forwarded_proto'}, seen
            # Bodies: of known length, chunked, large, none.
            got = json.loads(get(s, '/p', '-d', 'hello')[2])
            assert (got['line'], got['body']) == ('POST /p HTTP/1.1', 'hello')
            got = json.loads(get(s, '/p', '-d', 'hello', '-H', 'Transfer-Encoding: chunked')[2])
            seen = dict(got['fields'])
            assert got['body'] == 'hello' and seen['Transfer-Encoding'] == 'chunked' and 'Content-Length' not in seen
            with tempfile.NamedTemporaryFile() as f:
                f.write(b'x' * 3000000)
                f.flush()
                assert json.loads(get(s, '/p', '-T', f.name)[2])['length'] == 3000000  # with Expect: 100-continue
                assert get(s, '/p', '-T', f.name)[0] == 201
            assert ' 200 ' in curl('-I', '-H', 'Host: site.example', 'http://%s:%d/' % (s.ip, HTTP)).stdout
            got = json.loads(get(s, '/', '-X', 'DELETE', port=HTTPS, https=True)[2])
            assert dict(got['fields'])['X-Forwarded-Proto'] == 'https' and got['line'] == 'DELETE / HTTP/1.1'
            # Pieces of a cookie are one field again (RFC 9113 8.2.3).
            r = subprocess.run(['nghttp', '-H', ':authority: site.example', '-H', 'cookie: a=b', '-H', 'cookie: c=d',
                                'https://%s:%d/' % (s.ip, HTTPS)], capture_output=True, timeout=WAIT)
            assert [v for n, v in json.loads(r.stdout)['fields'] if n.lower() == 'cookie'] == ['a=b; c=d'], r
            # One connection of the client is one to the server behind.
            backend.connections.clear()
            w = wire(s, 'GET /1 HTTP/1.1\r\nHost: site.example\r\n\r\n' * 3)
            for _ in range(3):
                assert reply(w)[0] == 200
            w.close()
            assert len(backend.connections) == 1


@test
def smuggling_through_the_proxy():
    """What the server behind sees is one request with one length, whatever came."""
    with http_server() as backend:
        with site(handler('^/', forward(backend.server_address[1]))) as s:
            host = 'Host: site.example\r\n'
            inner = 'GET /smuggled HTTP/1.1\r\n' + host + '\r\n'
            for fields, body in (('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nX'),
                                 ('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n'),
                                 ('Transfer-Encoding:\tchunked, x\r\n', '0\r\n\r\n'), ('Content-Length: 0\r\nContent-Length: 9\r\n', ''),
                                 ('X: y\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), ('Transfer-Encoding : chunked\r\n', '0\r\n\r\n')):
                w = wire(s, 'POST / HTTP/1.1\r\n' + host + fields + '\r\n' + body + inner)
                assert reply(w)[0] in (400, 501) and w.at_end(), fields
                w.close()
            # Chunked with extensions and trailers: neither arrives; what follows is a request of its own.
            w = wire(s, 'POST /first HTTP/1.1\r\n' + host + 'Transfer-Encoding: chunked\r\nTransfer_Encoding: x\r\n\r\n'
                     '5;a="b"\r\nhello\r\n0\r\nContent-Length: 99\r\nX-Trailer: y\r\n\r\n' + inner)
            first, second = json.loads(reply(w)[2]), json.loads(reply(w)[2])
            names = [n for n, _ in first['fields']]
            assert (first['body'], second['line']) == ('hello', 'GET /smuggled HTTP/1.1')
            assert 'Content-Length' not in names and 'X-Trailer' not in names and 'Transfer_Encoding' not in names
            w.close()
            # Lines and hosts.
            assert json.loads(get(s, '/a%0d%0aX:%20y')[2])['line'] == 'GET /a%0d%0aX:%20y HTTP/1.1'
            assert json.loads(get(s, '/a/..%2f..%2fadmin')[2])['line'] == 'GET /admin HTTP/1.1'
            w = wire(s, 'GET http://site.example/abs HTTP/1.1\r\n' + host + '\r\n')
            got = json.loads(reply(w)[2])
            assert got['line'] == 'GET /abs HTTP/1.1' and dict(got['fields'])['Host'] == 'site.example'
            w.close()
            w = wire(s, 'GET http://other.example/ HTTP/1.1\r\n' + host + '\r\n')
            assert reply(w)[0] == 400
            w.close()


@test
def fields_of_the_connection_take_nothing_away():
    """What Connection names is dropped, but not what the request is made of, nor what the proxy says itself."""
    with http_server() as backend:
        with site(handler('^/', forward(backend.server_address[1]))) as s:
            for body in (('-d', 'hello'), ('-d', 'hello', '-H', 'Transfer-Encoding: chunked')):
                got = json.loads(get(s, '/p', *body, '-H', 'X-Secret: 1', '-H', 'Connection: Host, Content-Length, Transfer-Encoding, '
                                     'X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Secret, close')[2])
                seen = {n.lower(): v for n, v in got['fields']}
                assert (got['body'], seen['host'], seen['x-forwarded-host']) == ('hello', 'site.example', 'site.example'), got
                assert seen['x-forwarded-for'].startswith('127.') and seen['x-forwarded-proto'] == 'http' and 'x-secret' not in seen
                assert len(got['fields']) == len(seen), got


@test
def after_a_refused_upgrade_it_is_http():
    """What a client says behind it is a request like any other, and reaches the server behind as one."""
    heads = []

    def serve(c):
        while head := read_head(c):
            heads.append(head)
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        c.close()
    ask = ('GET /ws HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: %d\r\n'
           'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
    behind = 'GET /behind HTTP/1.1\r\nHost: site.example\r\nX-Forwarded-For: 1.2.3.4\r\nTransfer_Encoding: chunked\r\n\r\n'
    with raw_server(serve) as port:
        with site(handler('^/', forward(port))) as s:
            for version, n in ((777, 1), (13, 2)):  # refused by us, or by the server behind
                del heads[:]
                w = wire(s, ask % version + behind)
                assert reply(w)[0] == 400 and reply(w)[::2] == (200, b'ok')
                w.close()
                assert len(heads) == n and heads[-1].startswith(b'GET /behind HTTP/1.1\r\n'), heads
                assert b'1.2.3.4' not in heads[-1] and b'Encoding' not in heads[-1] and b'Upgrade' not in heads[-1]
            w = wire(s, behind.replace('Host:', 'Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nHost:'))
            assert reply(w)[0] == 200 and b'h2c' not in heads[-1] and b'HTTP2' not in heads[-1]
            w.close()


@test
def a_window_of_a_few_bytes_is_no_reading():
    """Who makes room for one byte at a time is left, as who makes none."""
    with files(big=bytes(1 << 20)) as dir, site(handler('^/', static(dir)), env={'MOX_HTTP_TIMEOUT_MS': '500'}) as s:
        n, deadline = 0, time.monotonic() + WAIT
        while not n:  # until we are quick enough to ask
            assert time.monotonic() < deadline
            with contextlib.suppress(OSError):
                c = Client(s, struct.pack('>HI', 4, 1))
                c.frame(HEADERS, END_STREAM | END_HEADERS, 1, head('/big', 'GET', 'site.example'))
                while (f := c.read()) and f[0] != GOAWAY:
                    if f[0] == DATA:
                        n += len(f[3])
                        c.many([(WINDOW_UPDATE, 0, 1, b'\0\0\0\1')])
                c.sock.close()
        assert n < 1 << 16, n


@test
def servers_behind_that_misbehave():
    answers = {
        b'/lengths': b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
        b'/both': b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        b'/lf': b'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello',
        b'/fold': b'HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 5\r\n\r\nhello',
        b'/coding': b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello',
        b'/nothing': b'',
        b'/smtp': b'220 mail.example ESMTP\r\n\r\n',
        b'/large': b'HTTP/1.1 200 OK\r\nX: ' + b'y' * 40000 + b'\r\n\r\n',
        b'/switch': b'HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n',
        b'/interim': b'HTTP/1.1 100 Continue\r\n\r\n' * 100,
    }
    good = {
        b'/until-close': (b'HTTP/1.0 200 OK\r\n\r\nuntil the end', b'until the end'),
        b'/chunked': (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nT: t\r\n\r\n', b'abcdefg'),
        b'/early': (b'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', b'ok'),
        b'/more': (b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil', b'ok'),
    }
    over = threading.Event()

    def serve(c):
        while True:
            head = read_head(c)
            path = head.split(b' ')[1] if head else b'/nothing'
            if path == b'/silent':
                over.wait(WAIT)
            if path == b'/short':
                c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello')
                break
            c.sendall(good[path][0] if path in good else answers.get(path, b''))
            if path not in (b'/chunked', b'/early', b'/more'):
                break
        c.close()
    with raw_server(serve) as port, raw_server(lambda c: c.close()) as closed:
        with site(handler('^/dead', forward(1)), handler('^/name', forward(80, host='not-there.example')),
                  handler('^/closed', forward(closed)), handler('^/', forward(port)),
                  env={'MOX_HTTP_TIMEOUT_MS': '3000'}) as s:
            for path in [p.decode() for p in answers] + ['/dead', '/name', '/closed']:
                status, fields, body = get(s, path)
                assert status == 502 and body.startswith(b'502 - bad gateway (id '), (path, status, body)
            status, _, body = get(s, '/silent')
            assert status == 504 and body.startswith(b'504 - gateway timeout (id '), (status, body)
            over.set()
            for path, (_, want) in good.items():
                assert get(s, path.decode())[::2] == (200, want), path
            # What a response has behind its end is nobody's answer.
            w = wire(s, 'GET /more HTTP/1.1\r\nHost: site.example\r\n\r\n' + 'GET /early HTTP/1.1\r\nHost: site.example\r\n\r\n')
            assert [reply(w)[2], reply(w)[2]] == [b'ok', b'ok']
            w.close()
            # And what ends before its end is no whole answer here either.
            r = curl('-H', 'Host: site.example', 'http://%s:%d/short' % (s.ip, HTTP), ok=False)
            assert r.returncode == 18 and r.stdout == 'hello', (r.returncode, r.stdout)


@test
def answers_come_as_they_are_made():
    """Each piece is there before the next is made; the server behind hears that the client has gone."""
    gone = threading.Event()
    go_on = threading.Semaphore(0)

    def serve(c):
        read_head(c)
        c.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')
        for i in range(3):
            c.sendall(b'data: %d\n\n' % i)
            go_on.acquire(timeout=WAIT)
        if c.recv(1) == b'':
            gone.set()
        c.close()
    with raw_server(serve) as port:
        with site(handler('^/', forward(port), Compress='true')) as s:
            w = wire(s, 'GET /events HTTP/1.1\r\nHost: site.example\r\n\r\n')
            assert '200' in w.line()
            while w.line():
                pass
            for i in range(3):
                n = int(w.line(), 16)
                assert w.f.read(n) == b'data: %d\n\n' % i
                w.line()
                go_on.release()
            w.close()
            assert gone.wait(WAIT)
            # Compressed too, each piece can be read by itself.
            w = wire(s, 'GET /events HTTP/1.1\r\nHost: site.example\r\nAccept-Encoding: gzip\r\n\r\n')
            fields = [w.line()] and list(iter(w.line, ''))
            assert 'Content-Encoding: gzip' in fields, fields
            d, text = zlib.decompressobj(31), b''
            for i in range(3):
                while text != b''.join(b'data: %d\n\n' % k for k in range(i + 1)):
                    n = int(w.line(), 16)
                    text += d.decompress(w.f.read(n))
                    w.line()
                go_on.release()
            w.close()


@test
def a_change_of_the_configuration_keeps_connections():
    with http_server() as backend, http_server() as other:
        port = backend.server_address[1]
        with site(handler('^/', forward(port))) as s:
            w = wire(s, 'GET /1 HTTP/1.1\r\nHost: site.example\r\n\r\n')
            assert reply(w)[0] == 200
            path = os.path.join(s.dir, 'domains.conf')
            text = open(path).read().replace(':%d' % port, ':%d' % other.server_address[1])
            start = len(s.log_text())
            rewrite(path, text)
            s.wait_log('domains config reloaded', start)
            deadline = time.monotonic() + WAIT
            while not other.connections:
                assert get(s)[0] in (200, 502) and time.monotonic() < deadline
            assert get(s)[0] == 200
            for n in (2, 3):
                w.write('GET /%d HTTP/1.1\r\nHost: site.example\r\n\r\n' % n)
                assert reply(w)[0] == 200  # on the connection that was there
            w.close()


@test
def websockets_through_the_proxy():
    import asyncio
    import websockets

    async def echo(ws, path=None):
        async for message in ws:
            await ws.send(message)

    async def run_backend(ready, stop):
        async with websockets.serve(echo, '127.0.0.1', 0, subprotocols=['chat'], max_size=None, ping_interval=None) as server:
            ready.append(server.sockets[0].getsockname()[1])
            while not stop.is_set():
                await asyncio.sleep(0.01)

    async def talk(s, **kw):
        where = dict(host=s.ip, port=HTTPS if kw.get('ssl') else HTTP)
        uri = '%s://site.example/ws/x?y=z' % ('wss' if kw.get('ssl') else 'ws')
        async with websockets.connect(uri, subprotocols=['chat'], max_size=None, open_timeout=WAIT, close_timeout=WAIT,
                                      ping_interval=None, **where, **kw) as ws:
            assert ws.subprotocol == 'chat'
            for message in ('hello', b'\x00\xff' * 500000, 'x' * 70000):
                await ws.send(message)
                assert await ws.recv() == message
            # Both at once, more than all buffers hold: neither side waits for the other.
            sending = asyncio.gather(*(ws.send(b'z' * 200000) for _ in range(20)))
            for _ in range(20):
                assert len(await ws.recv()) == 200000
            await sending
            await ws.ping()

    ready, stop = [], threading.Event()
    t = threading.Thread(target=lambda: asyncio.run(run_backend(ready, stop)), daemon=True)
    t.start()
    deadline = time.monotonic() + WAIT
    while not ready:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        with http_server() as other:
            with site(handler('^/ws/', forward(ready[0])), handler('^/', forward(other.server_address[1]))) as s:
                asyncio.run(talk(s))
                asyncio.run(talk(s, ssl=insecure_context(), server_hostname='site.example'))
                key = ('-H', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==')
                ask = ('-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket')
                version = ('-H', 'Sec-WebSocket-Version: 13')
                for args in (ask + version, ask + key + version + ('-X', 'POST'),
                             ('-H', 'Upgrade: websocket') + key + version,
                             ask + version + ('-H', 'Sec-WebSocket-Key: dGhl')):
                    assert get(s, '/ws/', *args)[0] == 400, args
                status, fields, _ = get(s, '/ws/', *ask, *key, '-H', 'Sec-WebSocket-Version: 8')
                assert (status, fields['sec-websocket-version']) == (400, '13')
                # A server that does not know it.
                status, _, body = get(s, '/', *ask, *key, *version)
                assert (status, body) == (400, b'400 - bad request - websocket not supported\n')
    finally:
        stop.set()
        t.join(WAIT)


@test
def over_http2():
    """The same by HTTP/2: streams of one connection, files and what comes from behind, whole and in small pieces."""
    data = bytes(range(256)) * 4000
    text = b'a line that is there many times\n' * 2000
    with files(big=data, **{'a.txt': text}) as dir, http_server() as backend:
        with site(handler('^/api/', forward(backend.server_address[1])), handler('^/', static(dir), Compress='true')) as s:
            to_us = ['--connect-to', '::%s:%d' % (s.ip, HTTPS), '--cacert', os.path.join(s.dir, 'localhost.crt'), '-k']
            base = 'https://site.example:%d' % HTTPS
            def h2(*args):
                r = subprocess.run(['curl', '-sS', '--http2', '--max-time', str(WAIT), *to_us, *args], capture_output=True)
                assert r.returncode == 0, r.stderr
                return r.stdout
            assert h2('-w', '%{http_version}', '-o', '/dev/null', base + '/big') == b'2'
            assert h2(base + '/big') == data and h2('--compressed', base + '/a.txt') == text
            assert h2('-H', 'Range: bytes=5-9', base + '/big') == data[5:10]
            got = json.loads(h2('-d', 'x' * 100000, '-H', 'Cookie: a=b', '-H', 'Cookie: c=d', base + '/api/x?y'))
            assert (got['line'], got['length']) == ('POST /api/x?y HTTP/1.1', 100000)
            fields = dict(got['fields'])
            assert fields['Host'] == 'site.example:%d' % HTTPS and fields['X-Forwarded-Proto'] == 'https'
            head = h2('-i', base + '/api/').split(b'\r\n\r\n')[0].lower().split(b'\r\n')
            assert sum(l.startswith(b'date:') for l in head) == 1, head
            # Side by side.
            out = h2('-Z', *[base + p for p in ('/big', '/api/1', '/big', '/api/2')])
            assert len(out) > 2 * len(data)


class Gate:
    """A server behind the proxy that tells of each request, and answers when it is let."""
    def __init__(self):
        self.came, self.open, self.gone = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, c):
        while read_head(c):
            self.came.release()
            if not self.open.acquire(timeout=WAIT):
                break
            try:
                c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
            except OSError:
                break
        c.close()
        self.gone.release()

    def wait(self, n=1):
        for _ in range(n):
            assert self.came.acquire(timeout=WAIT)


@test
def streams_that_wait_hold_up_no_others():
    """A server behind that does not answer, and bodies that do not come, are the business of their streams alone."""
    gate = Gate()
    with files(**{'a.txt': 'hello'}) as dir, raw_server(gate) as slow, http_server() as echo:
        with site(handler('^/slow', forward(slow)), handler('^/echo', forward(echo.server_address[1])),
                  handler('^/', static(dir))) as s:
            file = lambda n: c.ask(n, '/a.txt', 'GET', 'site.example')
            c = Client(s)
            c.frame(HEADERS, END_STREAM | END_HEADERS, 1, head('/slow', 'GET', 'site.example'))
            gate.wait()
            assert file(3) == 200
            c.frame(HEADERS, END_HEADERS, 5, head('/echo', 'POST', 'site.example'))
            c.frame(DATA, 0, 5, b'x' * 1000)
            c.frame(HEADERS, END_HEADERS, 7, head('/mail/config', 'POST', 'site.example'))
            assert file(9) == 200
            c.frame(DATA, END_STREAM, 5, b'y' * 1000)
            assert c.status(5) == 200 and file(11) == 200
            gate.open.release()
            assert c.status(1) == 200 and file(13) == 200
            # As many as may be open, with stream 7, and more than connections are made to at once.
            for i in range(31):
                c.frame(HEADERS, END_STREAM | END_HEADERS, 15 + 2 * i, head('/slow', 'GET', 'site.example'))
            gate.wait(31)
            assert file(79) == 'reset 7'
            c.frame(RST_STREAM, 0, 7, struct.pack('>I', 8))
            assert file(81) == 200
            for i in range(5):  # who takes a request back is waited for no more, nor is the server behind
                c.frame(RST_STREAM, 0, 15 + 2 * i, struct.pack('>I', 8))
            assert file(83) == 200 and 'the server behind the proxy fails' not in s.log_text()
            gate.open.release(31)  # those of the five that were taken back go nowhere
            left = {15 + 2 * i for i in range(5, 31)}
            while left:
                kind, flags, stream, p = c.until(DATA, RST_STREAM)
                assert kind == DATA, (stream, p)
                if flags & END_STREAM:
                    left.discard(stream)
            assert file(85) == 200
            c.sock.close()
            assert 'crashed' not in s.log_text()


@test
def waiting_for_a_server_behind_curl_and_h2load():
    gate = Gate()
    with files(**{'a.txt': 'hello'}) as dir, raw_server(gate) as slow:
        with site(handler('^/slow', forward(slow)), handler('^/', static(dir))) as s:
            base = 'https://site.example:%d' % HTTPS
            p = subprocess.Popen(['stdbuf', '-oL', 'curl', '-sSk', '--http2', '-Z', '--max-time', str(WAIT), '--connect-to', '::%s:%d' % (s.ip, HTTPS),
                                  '-w', '%{url} %{http_version} %{http_code} %{num_connects}\n', '-o', '/dev/null', base + '/slow',
                                  '-o', '/dev/null', base + '/a.txt'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            gate.wait()
            assert p.stdout.readline() == base + '/a.txt 2 200 0\n'
            gate.open.release()
            assert p.stdout.readline() == base + '/slow 2 200 1\n' and p.wait(WAIT) == 0
            # 200 requests on two connections, 16 at a time on each, all behind the gate until they have come.
            p = subprocess.Popen(['h2load', '-n', '200', '-c', '2', '-m', '16', '-H', ':authority: site.example',
                                  'https://%s:%d/slow' % (s.ip, HTTPS)], stdout=subprocess.PIPE, text=True)
            gate.wait(32)
            gate.open.release(200)
            out = p.communicate(timeout=WAIT)[0]
            assert '200 succeeded, 0 failed' in out and '200 2xx' in out, out


@test
def who_stalls_in_the_middle_is_left():
    """Of a response, of an upload, of a WebSocket: by every version of HTTP."""
    ended = threading.Semaphore(0)

    def serve(c):
        head = read_head(c)
        if b'Upgrade: websocket' in head:
            key = head.split(b'Sec-WebSocket-Key: ')[1].split(b'\r\n')[0]
            accept = base64.b64encode(hashlib.sha1(key + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
            c.sendall(b'HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ' + accept + b'\r\n\r\n')
        elif b'/body' in head:
            c.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello')
        while True:  # until it is left
            try:
                if not c.recv(10000):
                    break
            except OSError:
                break
        ended.release()
        c.close()
    with raw_server(serve) as port, files() as dir:
        with site(handler('^/file/', static(dir, 'StripPrefix: /file/')), handler('^/', forward(port)), env={'MOX_HTTP_TIMEOUT_MS': '3000'}) as s:
            def response():
                r = curl('-H', 'Host: site.example', 'http://%s:%d/body' % (s.ip, HTTP), ok=False)
                assert (r.returncode, r.stdout) == (18, 'hello'), r

            def response_by_http2():
                r = curl('--http2', '--connect-to', '::%s:%d' % (s.ip, HTTPS), '-k', 'https://site.example:%d/body' % HTTPS, ok=False)
                assert r.returncode in (18, 92) and r.stdout == 'hello', r

            def upload():
                w = wire(s, 'POST /up HTTP/1.1\r\nHost: site.example\r\nContent-Length: 100\r\n\r\nhello')
                assert reply(w) is None
                w.close()

            def upload_by_http2():
                c = Client(s)
                c.frame(HEADERS, END_HEADERS, 1, head('/up', 'POST', 'site.example'))
                c.frame(DATA, 0, 1, b'hello')
                assert c.status(1) == 'reset 2'
                c.sock.close()

            def websocket():
                w = wire(s, 'GET /ws HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
                            'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n')
                assert reply(w)[0] == 101 and reply(w) is None
                w.close()

            with open(os.path.join(dir, 'huge'), 'wb') as f:
                f.truncate(100 << 20)  # more than any socket holds
            unread = []
            for port in (HTTP, HTTPS):
                sock = socket.create_connection((s.ip, port), timeout=WAIT)
                if port == HTTPS:
                    sock = insecure_context().wrap_socket(sock)
                sock.sendall(b'GET /file/huge HTTP/1.1\r\nHost: site.example\r\n\r\n')
                unread.append(sock)
            # All at once, since each takes its time.
            with concurrent.futures.ThreadPoolExecutor(5) as pool:
                for stalled in [pool.submit(f) for f in (response, response_by_http2, upload, upload_by_http2, websocket)]:
                    stalled.result()
            for _ in range(5):
                assert ended.acquire(timeout=WAIT)
            s.wait_log_count('m="writing to the client" err="timeout"', 2)
            for sock in unread:
                sock.close()


@test
def a_server_behind_with_https():
    """Its certificate must be good for its name."""
    with files() as dir:
        for name in ('localhost', 'other.example'):
            run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                '-subj', '/CN=' + name, '-addext', 'subjectAltName=DNS:' + name, '-keyout', dir + '/%s.key' % name,
                '-out', dir + '/%s.crt' % name)
        trusted = dir + '/trusted'
        open(trusted, 'w').write(open(dir + '/localhost.crt').read() + open(dir + '/other.example.crt').read())
        with http_server() as good, http_server() as bad:
            for server, name in ((good, 'localhost'), (bad, 'other.example')):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(dir + '/%s.crt' % name, dir + '/%s.key' % name)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            to = lambda s: forward(s.server_address[1], host='localhost').replace('http:', 'https:')
            handlers = handler('^/good', to(good)), handler('^/bad', to(bad))
            with site(*handlers, trusted=trusted) as s:
                w = wire(s, 'GET /good/1 HTTP/1.1\r\nHost: site.example\r\n\r\n' * 2)
                assert [json.loads(reply(w)[2])['line'] for _ in range(2)] == ['GET /good/1 HTTP/1.1'] * 2
                w.close()
                assert get(s, '/bad')[0] == 502
                assert json.loads(get(s, '/good', '-d', 'x' * 100000)[2])['length'] == 100000
            with site(*handlers, env={'SSL_CERT_FILE': dir + '/other.example.crt'}) as s:
                assert get(s, '/good')[0] == 502


@test
def with_nginx_and_a_browser():
    """nginx behind the proxy, and Chromium in front of both kinds of site."""
    scripts = '<script src=own.js></script><script src=//behind.example/behind.js></script>'
    with files() as dir:
        put(dir, 'own/index.html', '<!doctype html><title>t</title><p id=a>the page</p>' + scripts)
        for name in ('own', 'behind'):
            put(dir, '%s/%s.js' % (name, name), "document.getElementById('a').textContent += ', script of %s';" % name)
        put(dir, 'behind/big', b'x' * 2000000)
        ip, port = free_ip(), 8080
        conf = put(dir, 'nginx.conf', 'daemon off; pid %s/pid; error_log %s/error; worker_processes 1; events {}\n'
                   'http { access_log off; types { text/html html; text/javascript js; } gzip on; server {\n'
                   '  listen %s:%d; root %s/behind; } }\n' % (dir, dir, ip, port, dir))
        nginx = subprocess.Popen(['/usr/sbin/nginx', '-c', conf, '-p', dir])
        try:
            with site(handler('^/', static(dir + '/own')), handler('^/', forward(port, host=ip), domain='behind.example')) as s:
                deadline = time.monotonic() + WAIT
                while get(s, '/behind.js', host='behind.example')[0] != 200:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                status, fields, body = get(s, '/big', host='behind.example')
                assert (status, len(body)) == (200, 2000000) and 'nginx' in fields['server']
                status, fields, body = get(s, '/big', '-H', 'Range: bytes=7-8', host='behind.example')
                assert (status, body, fields['content-range']) == (206, b'xx', 'bytes 7-8/2000000')
                assert get(s, '/nothing', host='behind.example')[0] == 404
                if shutil.which('chromium'):
                    r = run('chromium', '--headless', '--no-sandbox', '--disable-gpu', '--user-data-dir=' + dir + '/profile',
                            '--host-resolver-rules=MAP * %s:%d' % (s.ip, HTTP), '--dump-dom', 'http://site.example/')
                    assert '<p id="a">the page, script of own, script of behind</p>' in r.stdout, r.stdout
        finally:
            nginx.terminate()
            nginx.wait(WAIT)


@test
def services_of_ours_at_another_place():
    with site(handler('^/mail', 'WebInternal:\n\tBasePath: /mail/\n\tService: webmail')) as s:
        status, fields, body = get(s, '/mail/')
        assert status == 200 and b'<h1>Webmail</h1>' in body and fields['x-frame-options'] == 'deny'
        status, fields, _ = get(s, '/mail?x')
        assert (status, fields['location']) == (303, '/mail/?x')
        assert get(s, '/mail/x')[0] == 404 and get(s, '/mailing')[0] == 404 and get(s, '/webmail/')[0] == 404


@test
def with_the_rights_of_its_user():
    """`mox serve` started by root: what its user cannot read is not served; the proxy works as with localserve."""
    if os.geteuid():
        return
    from serving import Serve
    with files(**{'a.txt': 'for all', 'b.txt': 'for root'}) as dir, http_server() as backend:
        os.chmod(dir + '/b.txt', 0o600)
        s = Serve().start()
        try:
            s.stop()
            s.set_conf('\t\tIMAPS:\n', '\t\tWebserverHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: %d\n\t\tIMAPS:\n' % HTTP)
            with open(os.path.join(s.dir, 'domains.conf'), 'a') as f:
                f.write('WebHandlers:\n' + handler('^/api/', forward(backend.server_address[1])) + handler('^/', static(dir)))
            s.start()
            assert get(s, '/a.txt')[2] == b'for all'
            assert get(s, '/b.txt')[::2] == (403, b'403 - permission denied\n')
            assert json.loads(get(s, '/api/x')[2])['line'] == 'GET /api/x HTTP/1.1'
        finally:
            s.close()


main('web')
