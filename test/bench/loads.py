"""
What is measured. Each row does one piece of work on one server, and returns a figure per column; the
servers take turns. The load generators are smtp-source of Postfix, load.c, and for IMAP commands with
long answers a socket read in large pieces.
"""
import os
import resource
import socket
import subprocess
import time

import measure
from peers import insecure

LOAD = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'build', 'bench-load')
MESSAGE = 10 * 1024
MANY, MOST = 20000, 100000


class Row:
    """key: what the command line calls it. columns: (what, unit, whether higher is better)."""

    def __init__(self, key, title, columns, run, needs=None, is_ours=False):
        self.key, self.title, self.columns, self.run, self.needs, self.is_ours = key, title, columns, run, needs, is_ours


class Imap:
    """One connection; a command's answer is read in large pieces and only its end looked at."""

    def __init__(self, server, tls=False, select=None):
        self.s = socket.create_connection((server.ip, server.imaps if tls else server.imap), timeout=300)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.s = insecure().wrap_socket(self.s)
        self.room = bytearray(1 << 20)
        self.read(b'* OK')
        self.run('LOGIN %s %s' % (server.login, server.password))
        if select:
            self.run('SELECT ' + select)

    def read(self, start):
        """Until what has come ends in a line that starts so: that line, and the last 64 KiB."""
        tail = b''
        while True:
            n = self.s.recv_into(self.room)
            if not n:
                raise SystemExit('connection ended')
            tail = (tail + self.room[max(0, n - 65536):n])[-65536:]
            if tail.endswith(b'\r\n'):
                last = tail[tail.rfind(b'\n', 0, -1) + 1:]
                if last.startswith(start):
                    return last, tail

    def run(self, command):
        """Runs a command that has to succeed: seconds, and the end of the answer."""
        began = time.perf_counter()
        self.s.sendall(b'x ' + command.encode() + b'\r\n')
        last, tail = self.read(b'x ')
        seconds = time.perf_counter() - began
        if not last.startswith(b'x OK'):
            raise SystemExit('%s: %r' % (command, last))
        return seconds, tail

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def status(server, mailbox='INBOX'):
    with Imap(server) as c:
        return int(c.run('STATUS %s (MESSAGES)' % mailbox)[1].split(b'MESSAGES ')[1].split(b')')[0])


def load(*arguments):
    done = subprocess.run([LOAD, *map(str, arguments)], stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


# --- mail coming in ----------------------------------------------------------------------------------

def incoming(server, n, send):
    """Messages answered per second, messages in the mailbox per second, CPU seconds per 1,000."""
    before, cpu = status(server), measure.cpu_seconds(server.roots())
    began = time.monotonic()
    send()
    answered = time.monotonic() - began
    # Looking into a maildir costs Dovecot more than a delivery: first the queue has to be empty.
    while server.has_queued() or status(server) < before + n:
        time.sleep(0.01)
    visible = time.monotonic() - began
    time.sleep(0.3)  # processes that are ending still count
    return n / answered, n / visible, (measure.cpu_seconds(server.roots()) - cpu) * 1000 / n


def smtp_source(server, connections, n, size, is_kept):
    subprocess.run(['smtp-source', *(['-d'] if is_kept else []), '-s', str(connections), '-m', str(n), '-l', str(size),
                    '-f', 'sender@example.org', '-t', server.recipient, 'inet:%s:%d' % (server.ip, server.smtp)],
                   check=True, stdout=subprocess.DEVNULL)


def smtp_in(connections, is_kept):
    def run(server, scale):
        n = int((300 if connections == 1 else 1000) * scale)
        return incoming(server, n, lambda: smtp_source(server, connections, n, MESSAGE, is_kept))
    return run


def smtp_large(server, scale):
    """From load.c: smtp-source takes as long as the servers."""
    n, size = max(4, int(40 * scale)), 5 << 20
    answered, visible, cpu = incoming(server, n, lambda: load('smtp', server.ip, server.smtp, 4, n, size, server.recipient,
                                                              'keep'))
    return answered * 5, visible * 5, cpu / 5  # MiB/s; seconds per 1,000 MiB


def submission(is_kept):
    def run(server, scale):
        n = int(1000 * scale)
        return incoming(server, n, lambda: load(
            'smtp', server.ip, server.submissions, 10, n, MESSAGE, server.recipient, server.sender, server.login,
            server.password, *(['keep'] if is_kept else [])))
    return run


def logins(server, scale):
    n = int(400 * scale)
    cpu = measure.cpu_seconds(server.roots())
    rate = n / load('login', server.ip, server.imaps, 8, n, server.login, server.password)
    time.sleep(0.3)
    return rate, (measure.cpu_seconds(server.roots()) - cpu) * 1000 / n


def append(connections):
    def run(server, scale):
        n = int((300 if connections == 1 else 1000) * scale)
        cpu = measure.cpu_seconds(server.roots())
        rate = n / load('append', server.ip, server.imap, connections, n, MESSAGE, server.login, server.password, 'INBOX')
        return rate, (measure.cpu_seconds(server.roots()) - cpu) * 1000 / n
    return run


# --- large mailboxes ---------------------------------------------------------------------------------

def need_big(server, scale):
    """20,000 messages in a mailbox whose name is server.big; MOVE changes it."""
    if getattr(server, 'big', None):
        return
    server.big = 'Big'
    with Imap(server) as c:
        c.run('CREATE Big')
        c.run('CREATE Big2')
        c.run('CREATE BigCopy')
    server.fill('Big', 0, int(MANY * scale))
    with Imap(server, select='Big'):
        if status(server, 'Big') != int(MANY * scale):
            raise SystemExit('%s has not all of Big' % server.name)


def need_huge(server, scale):
    """100,000 messages, in which nothing changes: the 20,000 copied five times."""
    if getattr(server, 'huge', None):
        return
    need_big(server, scale)
    server.huge = 'Huge'
    with Imap(server, select=server.big) as c:
        c.run('CREATE Huge')
        for _ in range(MOST // MANY):
            c.run('COPY 1:* Huge')
    with Imap(server, select='Huge'):
        pass


def ms(seconds):
    return seconds * 1000


def fetch(items, tls=False, unit=ms, before=None):
    def run(server, scale):
        if before:
            before(server)
        with Imap(server, tls, server.big) as c:
            return unit(c.run('FETCH 1:* ' + items)[0]),
    return run


def select(name):
    """Of a mailbox that has been selected before, on a new connection."""
    def run(server, scale):
        with Imap(server, select=getattr(server, name)):
            pass
        with Imap(server) as c:
            return ms(c.run('SELECT ' + getattr(server, name))[0]),
    return run


def search(server, scale):
    """For a sender that one message in 500 has."""
    with Imap(server, select=server.big) as c:
        return ms(c.run('SEARCH FROM "person123@example.net"')[0]),


def store_all(server, scale):
    server.flag_sign = '-' if getattr(server, 'flag_sign', '-') == '+' else '+'
    with Imap(server, select=server.big) as c:
        return c.run('STORE 1:* %sFLAGS.SILENT (\\Flagged)' % server.flag_sign)[0],


def copy_all(server, scale):
    with Imap(server, select=server.big) as c:
        seconds = c.run('COPY 1:* BigCopy')[0]
        c.run('DELETE BigCopy')
        c.run('CREATE BigCopy')
    return seconds,


def move_all(server, scale):
    """There and, in the next run, back."""
    to = 'Big2' if server.big == 'Big' else 'Big'
    with Imap(server, select=server.big) as c:
        seconds = c.run('MOVE 1:* ' + to)[0]
    server.big = to
    return seconds,


# --- cost at rest ------------------------------------------------------------------------------------

def idle(server, scale):
    """KiB per TLS connection in IDLE once the server has done with it what it does, and how long until all know."""
    n = int(1000 * scale)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    # What the account itself takes is there before. Memory that was kept for connections of an earlier
    # repetition belongs to those of this one.
    with Imap(server, select='INBOX'):
        server.before_idle = getattr(server, 'before_idle', None) or measure.pss_kib(server.roots())
    p = subprocess.Popen([LOAD, 'idle', server.ip, str(server.imaps), str(server.imap), str(n), server.login,
                          server.password], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if p.stdout.readline() != 'ready\n':
            raise SystemExit('the idle connections of %s ended' % server.name)
        time.sleep(8)  # connections are parked, or hibernate, after five seconds
        held = measure.pss_kib(server.roots()) - server.before_idle
        p.stdin.write('go\n')
        p.stdin.flush()
        told = float(p.stdout.readline())
    finally:
        p.stdin.close()
        p.wait()
    time.sleep(2)
    return held / n, ms(told)


def start(server, scale):
    """A second instance, whose files are there: until all ports greet, and what it then takes at rest."""
    other = type(server)(server.ip[:-1] + '9', server.dir + '-2')
    if not os.path.exists(other.dir):
        other.prepare()
    seconds = other.start()
    time.sleep(3)
    memory = measure.pss_kib(other.roots()) / 1024
    other.stop()
    return ms(seconds), memory


def session(server, scale):
    """A session from accept to exit, as a client sees it that says QUIT; and its template's maps."""
    n = int(500 * scale)
    pid = [p for p in measure.tree(server.roots())
           if open('/proc/%d/cmdline' % p, 'rb').read().startswith(b'mox: session-template')][0]
    with open('/proc/%d/maps' % pid) as f:
        maps = len(f.readlines())
    cpu, began = measure.cpu_seconds(server.roots()), time.monotonic()
    for _ in range(n):
        with socket.create_connection((server.ip, server.smtp)) as s:
            s.recv(4096)
            s.sendall(b'QUIT\r\n')
            while s.recv(4096):
                pass
    wall = time.monotonic() - began
    time.sleep(0.3)
    return wall * 1000 / n, (measure.cpu_seconds(server.roots()) - cpu) * 1000 / n, maps


INCOMING = [('answered 250', '/s', True), ('visible in IMAP', '/s', True), ('CPU per 1,000', 's', False)]
RATE = [('', '/s', True), ('CPU per 1,000', 's', False)]
MS, SECONDS = [('', 'ms', False)], [('', 's', False)]
BOTH = 'ENVELOPE BODYSTRUCTURE'

ROWS = [
    Row('start', 'Start', [('every port greets', 'ms', False), ('memory at rest', 'MiB', False)], start),
    Row('session', 'SMTP session, fork to exit',
        [('', 'ms', False), ('CPU of all processes', 'ms', False), ('maps of the template', 'maps', False)], session,
        is_ours=True),
    *[Row('smtp%d%s' % (n, '_many' if kept else ''),
          'SMTP in, 10 KiB, %d connection%s, %s' % (n, 's' * (n > 1), 'many messages each' if kept else 'one message each'),
          INCOMING, smtp_in(n, kept)) for kept in (False, True) for n in (1, 10, 50)],
    Row('smtp_5mib', 'SMTP in, 5 MiB, 4 connections',
        [('answered 250', 'MiB/s', True), ('visible in IMAP', 'MiB/s', True), ('CPU per 1,000 MiB', 's', False)],
        smtp_large),
    Row('submit_new', 'Submission, TLS + AUTH, 10 KiB, 10 connections, one message each', INCOMING, submission(False)),
    Row('submit_many', 'Submission, TLS + AUTH, 10 KiB, 10 connections, many messages each', INCOMING, submission(True)),
    Row('login', 'IMAP logins over TLS, 8 at once', RATE, logins),
    Row('append1', 'APPEND, 10 KiB, 1 connection', RATE, append(1)),
    Row('append8', 'APPEND, 10 KiB, 8 connections', RATE, append(8)),
    Row('idle', '1,000 TLS connections in IDLE', [('each', 'KiB', False), ('one message seen by all', 'ms', False)], idle),
    Row('fetch_flags', '20,000 messages: FETCH (UID FLAGS)', MS, fetch('(UID FLAGS)'), need_big),
    Row('fetch_first', '20,000 messages: FETCH (%s), first' % BOTH, MS,
        fetch('(%s)' % BOTH, before=lambda s: s.forget_structure()), need_big),
    Row('fetch_again', '20,000 messages: FETCH (%s), again' % BOTH, MS, fetch('(%s)' % BOTH), need_big),
    Row('fetch_header', '20,000 messages: FETCH (BODY.PEEK[HEADER])', MS, fetch('(BODY.PEEK[HEADER])'), need_big),
    Row('fetch_bodies', '20,000 messages: FETCH (BODY.PEEK[]), plain', SECONDS,
        fetch('(BODY.PEEK[])', unit=float), need_big),
    Row('fetch_tls', '20,000 messages: FETCH (BODY.PEEK[]), TLS', SECONDS,
        fetch('(BODY.PEEK[])', tls=True, unit=float), need_big),
    Row('search', '20,000 messages: SEARCH FROM', MS, search, need_big),
    Row('store', '20,000 messages: STORE +FLAGS.SILENT or -FLAGS.SILENT', SECONDS, store_all, need_big),
    Row('copy', '20,000 messages: COPY', SECONDS, copy_all, need_big),
    Row('move', '20,000 messages: MOVE', SECONDS, move_all, need_big),
    Row('select20k', 'SELECT of 20,000 messages, unchanged', MS, select('big'), need_big),
    Row('select100k', 'SELECT of 100,000 messages, unchanged', MS, select('huge'), need_huge),
]
