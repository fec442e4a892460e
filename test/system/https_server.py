"""A web server for tests: Python's own, with certificates of a test authority."""
import http.server
import os
import ssl
import subprocess
import tempfile
import threading


class Authority:
    """Issues certificates with openssl; `file` is what SSL_CERT_FILE names."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-authority-')
        self.file = os.path.join(self.dir, 'ca.pem')
        self.key = os.path.join(self.dir, 'ca.key')
        self.n = 0
        self._openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30',
                      '-subj', '/CN=Test authority', '-keyout', self.key, '-out', self.file)

    def _openssl(self, *args):
        subprocess.run(['openssl', *args], check=True, capture_output=True)

    def issue(self, names=(), subject='/O=test', begin=None, end=None):
        """A file with certificate and key: DNS-IDs; begin and end as YYYYMMDDHHMMSSZ."""
        self.n += 1
        base = os.path.join(self.dir, str(self.n))
        with open(base + '.cnf', 'w') as f:
            f.write('[ca]\ndefault_ca=c\n[c]\ndatabase=%s.db\nserial=%s.serial\nnew_certs_dir=%s\ndefault_md=sha256\n'
                    'policy=p\nunique_subject=no\n[p]\ncommonName=optional\norganizationName=optional\n[e]\n%s' % (
                        base, base, self.dir, 'subjectAltName=' + ','.join('DNS:' + n for n in names) if names else
                        'keyUsage=digitalSignature'))
        open(base + '.db', 'w').close()
        with open(base + '.serial', 'w') as f:
            f.write('%04x\n' % (self.n + 1))
        self._openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', subject,
                      '-keyout', base + '.key', '-out', base + '.csr')
        self._openssl('ca', '-batch', '-config', base + '.cnf', '-extensions', 'e', '-cert', self.file, '-keyfile',
                      self.key, '-in', base + '.csr', '-out', base + '.crt', '-notext',
                      *(['-startdate', begin, '-enddate', end] if begin else ['-days', '20']))
        with open(base + '.pem', 'w') as out:
            for part in ('.crt', '.key'):
                with open(base + part) as f:
                    out.write(f.read())
        return base + '.pem'


class Web:
    """Answers each path of each host with what `pages` has for it: (status, headers, body), or a function of the
    request's handler. Certificates by name of SNI, `certs`; that of None is for all others. `hits` are requests."""

    def __init__(self, ip, certs, pages, port=443):
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                host = self.headers.get('Host', '').split(':')[0]
                web.hits.append((host, self.path))
                page = web.pages.get((host, self.path), (404, {}, b'nothing here'))
                if callable(page):
                    return page(self)
                status, headers, body = page
                self.send_response(status)
                for name, value in {'Content-Type': 'text/plain', 'Content-Length': str(len(body)), **headers}.items():
                    if value is not None:
                        self.send_header(name, value)
                self.close_connection = True
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 50  # 5 by itself: a client more has its SYN dropped, and comes a second later

            def finish_request(self, sock, address):  # the handshake belongs to the connection's own thread
                sock.settimeout(20)
                try:
                    with web.context(None).wrap_socket(sock, server_side=True) as tls:
                        Handler(tls, address, self)
                except OSError as e:
                    web.failures.append(str(e))

            def handle_error(self, *_):
                pass

        self.certs, self.pages, self.hits, self.failures = dict(certs), dict(pages), [], []
        self.server = Server((ip, port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
        self.thread.start()

    def context(self, name):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(self.certs.get(name, self.certs.get(None)))
        if name is None:
            c.sni_callback = lambda s, sni, _: setattr(s, 'context', self.context(sni)) if sni in self.certs else None
        return c

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
