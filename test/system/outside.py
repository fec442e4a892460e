"""Other people's mail servers, for the suites about mail that leaves: well behaved and not at all."""
import atexit
import fcntl
import itertools
import smtplib
import sqlite3
import threading

from serving import *

# Addresses of this run, one per server; port 25 as in life.
BASE = next(base for seed in itertools.count(os.getpid()) if is_reserved(base := '127.%d.%d.' % (150 + seed % 40, seed // 40 % 250)))
EXTENSIONS = ('PIPELINING', 'SIZE 1000000', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES')


def ip(n):
    return BASE + str(n)


@contextlib.contextmanager
def ipv6_alone():
    """There is one IPv6 address on loopback, whose port 25 other suites and other runs want as well."""
    with open('/tmp/mox-test-ipv6-port-25', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def in_world(World, program=None):
    """
    A decorator for the tests of one world, which the first of them makes: test(world, server, where its log is). They are
    passed over without the test Internet, or without a program that they need.
    """
    def out(fn):
        @functools.wraps(fn)
        def wrapped():
            why = why_not() or (program and not shutil.which(program) and program + ' is not installed')
            if why:
                print('SKIP %s: %s' % (fn.__name__, why))
                return
            if not out.world:
                out.world = World().__enter__()
            fn(out.world, out.world.s, len(out.world.s.log_text()))
        return test(wrapped)
    out.world = None
    return out


def last(out):
    """The last test: the world ends, and its servers must have nothing more to say."""
    def end():
        if out.world:
            world, out.world = out.world, None
            world.__exit__(None, None, None)

    test(end)
    atexit.register(end)  # also when only some tests are run


class Sink:
    """
    A server that keeps what it gets. says: reply by verb, or a list of them, one after the other, of which the last
    stays; END is what it says at the end of the message. stalls: the verb after which it says nothing more. hook:
    called with (connection, line) before anything else, and answers the line if it returns True.
    """

    def __init__(self, n, extensions=EXTENSIONS, tls=None, says=None, stalls=None, hook=None, address=None, port=25,
                 immediate=False, greeting='220 sink.example ESMTP', plain_extensions=None):
        self.ip = address or ip(n)
        self.extensions, self.tls, self.stalls, self.hook = list(extensions), tls, stalls, hook
        self.says = {k: list(v) if isinstance(v, list) else [v] for k, v in (says or {}).items()}
        self.greeting, self.immediate, self.plain_extensions = greeting, immediate, plain_extensions
        self.messages, self.connections = [], []  # (mail, [rcpt], data, is_tls); lists of lines
        self.peers = []
        self.changed = threading.Condition()
        family = socket.AF_INET6 if ':' in self.ip else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.ip, port))
        self.listener.listen(50)
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                c, peer = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer[0])
            self.open.append(c)
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def reply(self, verb, usual):
        said = self.says.get(verb)
        if not said:
            return usual
        return said.pop(0) if len(said) > 1 else said[0]

    def _serve(self, c):
        lines = []
        with self.changed:
            self.connections.append(lines)
            self.changed.notify_all()
        try:
            Connection(self, c, lines).run()
        except (OSError, ssl.SSLError, ValueError) as e:
            lines.append('! %s' % e)
        finally:
            with self.changed:
                self.changed.notify_all()
            try:
                c.close()
            except OSError:
                pass

    def take(self, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def wait(self, n=1):
        """The first n messages."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= n, WAIT), (self.messages, self.connections)
            return list(self.messages)

    def wait_line(self, start, n=1):
        """Until lines that begin so have come n times."""
        with self.changed:
            assert self.changed.wait_for(lambda: sum(l.upper().startswith(start) for c in self.connections for l in c) >= n,
                                         WAIT), self.connections

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # also wakes the thread that waits for clients
        self.listener.close()
        for c in self.open:
            try:
                c.shutdown(socket.SHUT_RDWR)  # else who reads from it in another thread keeps it open
                c.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Connection:
    def __init__(self, sink, sock, lines):
        self.sink, self.sock, self.lines, self.is_tls = sink, sock, lines, False
        self.files()

    def files(self):
        self.f = self.sock.makefile('rb')

    def say(self, text):
        self.sock.sendall(text.encode('utf-8') + b'\r\n' if isinstance(text, str) else text)

    def start_tls(self):
        # What came ahead of TLS stays unread, as with a real server.
        self.sock = self.sink.tls.wrap_socket(self.sock, server_side=True)
        self.is_tls = True
        self.files()

    def end(self, text, message):
        with self.sink.changed:  # who has waited for it may close the server, and then the client has been told
            if text.startswith('2'):
                self.sink.take(message)
            self.say(text)

    def stall(self):
        while self.sock.recv(4096):  # until the other side has had enough
            pass
        raise OSError('the client left')

    def run(self):
        s = self.sink
        if s.immediate:
            self.start_tls()
        if s.stalls == 'connect':
            self.stall()
        self.say(s.reply('greeting', s.greeting))
        mail, rcpts = None, []
        while True:
            raw = self.f.readline()
            if not raw:
                self.lines.append('$')
                return
            line = raw.decode('utf-8', 'replace').rstrip('\r\n')
            with s.changed:
                self.lines.append(line)
                s.changed.notify_all()
            verb = line.split(' ')[0].split(':')[0].upper()
            if s.stalls == verb:
                self.stall()
            if s.hook and s.hook(self, line):
                continue
            if verb == 'EHLO':
                offered = list(s.extensions if self.is_tls or s.plain_extensions is None else s.plain_extensions)
                if s.tls and not self.is_tls:
                    offered.append('STARTTLS')
                lines = ['sink.example'] + offered
                self.say(s.reply('EHLO', '\r\n'.join('250%s%s' % ('-' if i < len(lines) - 1 else ' ', l)
                                                     for i, l in enumerate(lines))))
            elif verb == 'STARTTLS':
                text = s.reply('STARTTLS', '220 go')
                self.say(text)
                if text.startswith('220'):
                    self.start_tls()
            elif verb == 'MAIL':
                text = s.reply('MAIL', '250 2.1.0 ok')
                if text.startswith('2'):
                    mail, rcpts = line, []
                self.say(text)
            elif verb == 'RCPT':
                text = '503 5.5.1 MAIL first' if not mail else s.reply(line.split('<')[1].split('>')[0], None) or s.reply('RCPT', '250 2.1.5 ok')
                if text.startswith('2'):
                    rcpts.append(line)
                self.say(text)
            elif verb == 'DATA':
                text = s.reply('DATA', '354 go' if rcpts else '554 5.5.1 no recipients')
                self.say(text)
                if not text.startswith('354'):
                    continue
                data = b''
                while not data.endswith(b'\r\n.\r\n') and data != b'.\r\n':
                    piece = self.f.readline()
                    if not piece:
                        self.lines.append('$ in DATA')
                        return
                    data += piece
                if s.stalls == 'END':
                    self.stall()
                text = s.reply('END', '250 2.0.0 taken')
                self.end(text, (mail, list(rcpts), data[:-3], self.is_tls))
                mail, rcpts = None, []
            elif verb == 'BDAT':
                n = int(line.split()[1])
                data = self.f.read(n)
                text = s.reply('END', '250 2.0.0 taken' if rcpts else '554 5.5.1 no recipients')
                self.end(text, (mail, list(rcpts), data, self.is_tls))
            elif verb in ('RSET', 'NOOP', 'HELO', 'AUTH'):
                self.say(s.reply(verb, '250 ok'))
                mail, rcpts = None, []
            elif verb == 'QUIT':
                self.say(s.reply('QUIT', '221 bye'))
                return
            else:
                self.say('500 5.5.2 what?')


class Authority:
    """A certificate authority of the test, which the server trusts through SSL_CERT_FILE."""

    def __init__(self, dir):
        self.dir = dir
        self.file = os.path.join(dir, 'ca.pem')
        self.n = 0
        run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
            os.path.join(dir, 'ca.key'), '-out', self.file, '-days', '30', '-subj', '/CN=Test CA')
        os.chmod(self.file, 0o644)

    def certificate(self, *names, days=30):
        """Paths of a certificate for these names and its key; days below 0: it has expired."""
        self.n += 1
        path = os.path.join(self.dir, 'c%d' % self.n)
        with open(path + '.ext', 'w') as f:
            f.write('subjectAltName=%s\n' % ','.join('DNS:' + n for n in names))
        run('openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path + '.key',
            '-out', path + '.csr', '-subj', '/CN=' + names[0])
        dates = ['-days', str(days)]
        if days < 0:
            # x509 -req knows no dates in the past; ca does.
            open(path + '.db', 'w').close()
            open(path + '.db.attr', 'w').write('unique_subject = no\n')
            with open(path + '.conf', 'w') as f:
                f.write('[ca]\ndefault_ca=d\n[d]\ndatabase=%s.db\nnew_certs_dir=%s\nserial=%s.serial\ndefault_md=sha256\n'
                        'policy=p\ncopy_extensions=none\n[p]\ncommonName=supplied\n' % (path, self.dir, path))
            open(path + '.serial', 'w').write('1000\n')
            run('openssl', 'ca', '-batch', '-config', path + '.conf', '-cert', self.file, '-keyfile',
                os.path.join(self.dir, 'ca.key'), '-in', path + '.csr', '-out', path + '.pem', '-extfile', path + '.ext',
                '-startdate', '200101000000Z', '-enddate', '200201000000Z', '-notext')
        else:
            run('openssl', 'x509', '-req', '-in', path + '.csr', '-CA', self.file, '-CAkey',
                os.path.join(self.dir, 'ca.key'), '-CAcreateserial', '-out', path + '.pem', '-extfile', path + '.ext', *dates)
        return path + '.pem', path + '.key'

    def context(self, *names, days=30):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*self.certificate(*names, days=days))
        return c


def submit(s, to, body='hello', sender='ann@example.org', subject='test', options=(), headers='', rcpt_options=(), user='ann'):
    """One message of a user's."""
    to = [to] if isinstance(to, str) else to
    c = smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT)
    c.login(user + '@example.org', user + ' password')
    message = ('From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\n%s\r\n%s\r\n' % (sender, to[0], subject, headers, body))
    c.sendmail(sender, to, message.encode('utf-8'), mail_options=options, rcpt_options=rcpt_options)
    c.quit()


def queue_command(s, *args):
    code, text, err = s.command('queue', *args)
    assert code == 0, err
    return text


def fill(s, addresses, user='ann'):
    """A message to each, which may be several addresses, that waits until release."""
    queue_command(s, 'holdrules', 'add', '-account', user)
    c = smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT)
    c.login(user + '@example.org', user + ' password')
    for to in addresses:
        c.sendmail('%s@example.org' % user, to, 'From: <%s@example.org>\r\nSubject: %s\r\n\r\nhello\r\n' % (user, to))
    c.quit()
    queue_command(s, 'holdrules', 'remove', queue_command(s, 'holdrules', 'list').split('id ')[1].split(':')[0])


def release(s):
    queue_command(s, 'unhold')


def outcome(s, to, start=0, n=1):
    """What the log says of the n-th attempt for that recipient: its word, and the fields."""
    pattern = re.compile(r'(delivered|delivery failed|delivery put off).*?to=.?.?%s[ "]' % re.escape(to))
    deadline = time.monotonic() + WAIT
    while True:
        found = [l for l in s.log_text(start).splitlines() if pattern.search(l)]
        if len(found) >= n:
            return found[n - 1]
        assert time.monotonic() < deadline, s.log_text(start)[-4000:]
        time.sleep(0.02)


def waits_for(s, to):
    """Seconds between the last attempt for this recipient, or its submission, and the next."""
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data/queue/queue.db'), uri=True, timeout=WAIT)
    (seconds,), = db.execute('SELECT next_attempt_unix - coalesce(last_attempt_unix, queued_unix) FROM entry '
                             'JOIN message ON message.id = message WHERE recipient = ?', (to,)).fetchall()
    db.close()
    return seconds


def due_now(s, to):
    """Makes what waits for this recipient due in a second; returns recipients and the seconds that they wait."""
    db = sqlite3.connect(os.path.join(s.dir, 'data/queue/queue.db'), timeout=WAIT)
    deadline = time.monotonic() + WAIT
    # What the log says of an attempt is noted a moment later.
    while db.execute("SELECT 1 FROM entry WHERE recipient = ? AND last_error = 'delivering...'", (to,)).fetchone():
        assert time.monotonic() < deadline, to
        time.sleep(0.02)
    now = time.time()
    entries = db.execute('SELECT recipient, next_attempt_unix - last_attempt_unix FROM entry WHERE next_attempt_unix > ? '
                         'AND recipient = ?', (now, to)).fetchall()
    db.execute('UPDATE entry SET next_attempt_unix = ? WHERE recipient = ?', (int(now) + 1, to))  # the queue looks from where it was
    db.commit()
    db.close()
    return entries


def tlsa(usage, selector, matching, file):
    r = run(MOX, 'dane', 'makerecord', str(usage), str(selector), str(matching), file)
    return 'TLSA ' + r.stdout.strip()


NONE, TLSA, STS = range(3)  # policy types of results


def results(s, domain):
    """What is told of TLS (RFC 8460 4.3) for a policy domain: {(policy type, result type or None, reason)}; policies and hosts."""
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(s.dir, 'data/admin/admin.db'), uri=True, timeout=WAIT)
    rows = db.execute('SELECT policy_type, successes, result_type, reason_code, policy_strings, mx_hosts FROM tls_result '
                      'LEFT JOIN tls_failure ON result = id WHERE policy_domain = ?', (domain,)).fetchall()
    db.close()
    found = {(r[0], r[2], r[3]) for r in rows if r[2]} | {(r[0], None, None) for r in rows if r[1]}
    return found, {(r[4], r[5]) for r in rows}
