"""
What the system tests share: a running server on an address of its own, the clients' commands, and a
runner that prints one line per test.
"""
import contextlib
import fcntl
import imaplib
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOX = os.environ.get('MOX', os.path.join(ROOT, 'build', 'mox'))
SMTP, SUBMISSION, SUBMISSIONS, IMAP, IMAPS = 1025, 1587, 1465, 1143, 1993
LOGIN, PASSWORD = 'mox@localhost', 'moxmoxmox'
# No question of a test leaves the machine: nobody is asked, unless the test has an Internet of its own.
os.environ.setdefault('MOX_RESOLVER', 'none')
os.environ.setdefault('MOX_DOWN_MS', '0')  # servers that were not there a moment ago are tried again
WAIT = 120  # seconds after which an event that must come is given up; never part of a result

_next_ip = [os.getpid() % 200]
_reserved = []


def is_reserved(name):
    """Keeps a name from other test runs until this one ends; False when one of them has it."""
    s = socket.socket(socket.AF_UNIX)
    try:
        s.bind('\0mox-test-' + name)
    except OSError:
        s.close()
        return False
    _reserved.append(s)
    return True


def free_ip():
    """An address of 127/8 that is this run's alone, so that tests can run side by side."""
    while True:
        _next_ip[0] += 1
        ip = '127.%d.%d.%d' % (1 + os.getpid() % 250, (_next_ip[0] >> 8) & 255, 1 + _next_ip[0] % 250)
        # Another run's server may be between its end and its next start: that nobody listens does not say enough.
        if not is_reserved(ip):
            continue
        with socket.socket() as s:
            try:
                s.bind((ip, SMTP))
            except OSError:
                continue
        return ip


def eventually(look, why='it does not happen', pause=0.02):
    """
    What look returns, once it is something; for what no other event tells of. why: a text, or what makes one. pause: longer
    for what looks by making a connection, of which one address may make 300 a minute.
    """
    deadline = time.monotonic() + WAIT
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, why() if callable(why) else why
        time.sleep(pause)


_open = []  # servers that are not closed yet


def descendants(pid):
    """A process, its children, theirs and so on: process -> when it began, in clock ticks."""
    children, begun, found = {}, {}, {}
    for p in map(int, filter(str.isdigit, os.listdir('/proc'))):
        try:
            with open('/proc/%d/stat' % p) as f:
                fields = f.read().rsplit(')', 1)[1].split()
        except OSError:
            continue  # it has just ended
        children.setdefault(int(fields[1]), []).append(p)
        begun[p] = int(fields[19])
    todo = [pid]
    while todo:
        p = todo.pop()
        found[p] = begun.get(p, 0)
        todo += children.get(p, [])
    return found


def threads_of(pids):
    """The state and the number of waits of each of their threads."""
    found = {}
    for pid in pids:
        for t in os.listdir('/proc/%d/task' % pid):
            with contextlib.suppress(OSError), open('/proc/%d/task/%s/status' % (pid, t)) as f:
                status = f.read()
                found[t] = re.search(r'^State:\t(.)', status, re.M)[1], re.search(r'^voluntary_ctxt_switches:\t(\d+)', status, re.M)[1]
    return found


def wait_idle(pids):
    """Until these processes have done all that anybody has asked of them: no thread runs, nor did one between two looks."""
    def are_idle():
        now = threads_of(pids)
        time.sleep(0.01)
        return all(state == 'S' for state, _ in now.values()) and threads_of(pids) == now

    eventually(are_idle, lambda: threads_of(pids))


def cpu_seconds(*pids):
    """What these processes have computed so far, whatever else the machine has to do."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)  # CPUCLOCK_SCHED of all its threads


class Server:
    """A localserve instance in a directory of its own."""

    def __init__(self, dir=None, ip=None, env=None, args=(), domains=None, mox=MOX):
        self.dir = dir or tempfile.mkdtemp(prefix='mox-test-')
        self.own_dir = dir is None
        self.ip = ip or free_ip()
        self.env = dict(os.environ, **(env or {}))
        self.args = list(args)
        self.log_path = os.path.join(self.dir, 'log')
        self.process = None
        self.began = 0  # where the log of the present test begins
        self.mox = mox
        _open.append(self)
        if domains:
            self.domains = domains

    def start(self, expect_failure=False):
        os.makedirs(self.dir, exist_ok=True)
        self.log = open(self.log_path, 'ab')
        start = os.path.getsize(self.log_path)
        self.process = subprocess.Popen(
            [self.mox, *self.args, 'localserve', '-dir', self.dir, '-ip', self.ip],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.env)
        self.wait_log('ready to serve', start, expect_failure)
        return self

    def log_text(self, start=0):
        """Its whole lines: of one that is being written, a reader may see the beginning."""
        with open(self.log_path, 'rb') as f:
            f.seek(start)
            text = f.read().decode('utf-8', 'replace')
        return text[:text.rfind('\n') + 1]

    def wait_log(self, text, start=0, may_end=False):
        deadline = time.monotonic() + WAIT
        while True:
            has_ended = self.process.poll() is not None  # first: its last words come before
            if text in self.log_text(start) or has_ended and may_end:
                return
            assert not has_ended, 'server ended, without "%s":\n%s' % (text, self.log_text(start)[-3000:])
            assert time.monotonic() < deadline, 'no "%s" in the log:\n%s' % (text, self.log_text(start)[-3000:])
            time.sleep(0.02)

    def wait_log_count(self, text, n):
        deadline = time.monotonic() + WAIT
        while self.log_text().count(text) < n:
            assert time.monotonic() < deadline, 'not %d times "%s" in the log:\n%s' % (n, text, self.log_text()[-3000:])
            time.sleep(0.02)

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(WAIT)
        code = self.process.returncode if self.process else None
        self.process = None
        return code

    def show_end(self):
        """For who reads of a failure: what the server said last of the test that failed."""
        if os.path.exists(self.log_path):
            print('--- %s, to its end:\n%s---' % (self.log_path, self.log_text(self.began)[-3000:]), flush=True)

    def close(self):
        if sys.exc_info()[0]:
            self.show_end()
        if self in _open:
            _open.remove(self)
        self.stop(signal.SIGKILL)
        log = self.log_text() if os.path.exists(self.log_path) else ''
        bad = [l for l in log.splitlines()
               if 'Sanitizer' in l or 'runtime error' in l or 'data race' in l]
        if self.own_dir and not bad:
            shutil.rmtree(self.dir, ignore_errors=True)
        if bad:
            raise AssertionError('sanitizer:\n' + '\n'.join(bad) + '\n' + log[log.find(bad[0]):][:6000])

    def command(self, *args, input=None):
        """A command of the program on this server's configuration: exit code, output, errors."""
        r = subprocess.run([self.mox, '-config', os.path.join(self.dir, 'mox.conf'), *args],
                           input=input, capture_output=True, text=True, env=self.env, timeout=WAIT)
        return r.returncode, r.stdout, r.stderr

    def pids(self, title):
        """Processes of this server whose title begins so, the oldest first; numbers are used again."""
        found = []
        begun = descendants(self.process.pid)
        for pid in begun:
            try:
                with open('/proc/%d/cmdline' % pid, 'rb') as f:
                    name = f.read().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
            except OSError:
                continue
            if name.startswith(title):
                found.append(pid)
        return sorted(found, key=lambda pid: (begun[pid], pid))

    # Clients.

    def imap(self, tls=False, login=True):
        if tls:
            c = imaplib.IMAP4_SSL(self.ip, IMAPS, ssl_context=insecure_context(), timeout=WAIT)
        else:
            c = imaplib.IMAP4(self.ip, IMAP, timeout=WAIT)
        if login:
            c.login(LOGIN, PASSWORD)
        return c

    def connect(self, port):
        s = socket.create_connection((self.ip, port), timeout=WAIT)
        return Wire(s)

    def send(self, body='hello', sender='a@example.org', to='anyone@example.com', subject='test'):
        """One message over SMTP; fails unless it was accepted."""
        w = self.connect(SMTP)
        w.smtp_hello()
        w.cmd('MAIL FROM:<%s>' % sender, '250')
        w.cmd('RCPT TO:<%s>' % to, '250')
        w.cmd('DATA', '354')
        w.write('Subject: %s\r\nFrom: <%s>\r\n\r\n%s\r\n.\r\n' % (subject, sender, body))
        w.expect('250')
        w.cmd('QUIT', '221')
        w.close()

    def submit(self, subject='test'):
        """A message of the user's to himself, which is signed."""
        with smtplib.SMTP_SSL(self.ip, SUBMISSIONS, timeout=WAIT, context=insecure_context()) as c:
            c.login(LOGIN, PASSWORD)
            c.sendmail(LOGIN, [LOGIN], 'From: <%s>\r\nSubject: %s\r\n\r\nhello\r\n' % (LOGIN, subject))


class Wire:
    """A connection as bytes, for saying what no client would."""

    def __init__(self, sock):
        self.sock = sock
        self.f = sock.makefile('rb')

    def write(self, data):
        self.sock.sendall(data.encode('utf-8') if isinstance(data, str) else data)

    def line(self):
        return self.f.readline().decode('utf-8', 'replace').rstrip('\r\n')

    def reply(self):
        """An SMTP reply with all its lines; '' at the end of the connection."""
        lines = []
        while True:
            l = self.line()
            if not l:
                break
            lines.append(l)
            if len(l) < 4 or l[3] != '-':
                break
        return '\n'.join(lines)

    def expect(self, code):
        r = self.reply()
        assert r.startswith(code), 'wanted %s, got %r' % (code, r)
        return r

    def cmd(self, line, code):
        self.write(line + '\r\n')
        return self.expect(code)

    def smtp_hello(self):
        self.expect('220')
        return self.cmd('EHLO client.example', '250')

    def imap_until(self, tag):
        """All lines up to the tagged reply."""
        lines = []
        while True:
            l = self.line()
            if not l:
                raise AssertionError('connection ended after %r' % lines)
            lines.append(l)
            if l.startswith(tag + ' '):
                return lines

    def imap_cmd(self, line, want='OK'):
        self.write(line + '\r\n')
        lines = self.imap_until(line.split()[0])
        assert lines[-1].split()[1] == want, lines
        return lines

    def rest(self):
        """All to the end, also when the server left without having read all that we said: what it said came first."""
        got = b''
        try:
            while data := self.f.read1(65536):
                got += data
        except (ConnectionError, ssl.SSLError):
            pass
        return got

    def at_end(self):
        """Whether the server has closed the connection."""
        try:
            return self.f.read(1) == b''
        except (ConnectionError, ssl.SSLError):
            return True

    def close(self):
        self.f.close()
        self.sock.close()


def insecure_context():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


def wait_parked(s, n):
    """Until n connections are parked: their account has no thread for them."""
    deadline = time.monotonic() + WAIT
    while s.log_text().count('connection parked') < n:
        assert time.monotonic() < deadline, 'not parked'
        time.sleep(0.05)


def in_step(*argv, stdout=subprocess.DEVNULL, env=None):
    """A program that waits, one line ahead, until somebody reads what it says on standard error: where it is killed is no accident."""
    said, say = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)  # each line is a packet
    fcntl.fcntl(say, fcntl.F_SETPIPE_SZ, 4096)  # there is room for one
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=say, text=True, env=env)
    os.close(say)
    p.stderr = open(said)
    return p


def rewrite(path, text):
    """Another file in its place at once: who looks at it meanwhile finds the one or the other."""
    with open(path + '.tmp', 'w') as f:
        f.write(text)
    shutil.copymode(path, path + '.tmp')
    os.rename(path + '.tmp', path)


def run(*argv, input=None, ok=True, env=None):
    r = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=WAIT, env=env)
    if ok:
        assert r.returncode == 0, '%s: %d\n%s\n%s' % (argv, r.returncode, r.stdout, r.stderr)
    return r


@contextlib.contextmanager
def running(**kw):
    s = Server(**kw).start()
    try:
        yield s
    finally:
        s.close()


@contextlib.contextmanager
def configured(main=(), domains=(), **kw):
    """A server whose files were changed: pairs of what is there and what comes instead."""
    with running(**kw) as s:
        s.stop()
        for name, pairs in (('mox.conf', main), ('domains.conf', domains)):
            path = os.path.join(s.dir, name)
            text = open(path).read()
            for old, new in pairs:
                assert old in text, (name, old)
                text = text.replace(old, new)
            open(path, 'w').write(text)
        yield s.start()


_shared = []


def server():
    """One server for the tests of a suite that leave nothing behind; it ends with the suite."""
    if not _shared:
        _shared.append(Server().start())
    return _shared[0]


_tests = []


def test(fn):
    _tests.append(fn)
    return fn


def main(suite):
    """Runs the tests of the calling module, or those whose name contains the argument."""
    passed = failed = 0
    wanted = sys.argv[1] if len(sys.argv) > 1 else ''
    def attempt(fn):
        for s in _open:
            s.began = os.path.getsize(s.log_path) if os.path.exists(s.log_path) else 0
        try:
            fn()
        except Exception:
            print('FAIL %s %s' % (suite, fn.__name__), flush=True)
            traceback.print_exc()
            for s in _open:
                s.show_end()
            return False
        return True

    def shared_server_ends_well():
        _shared.pop().close()

    for fn in _tests:
        if wanted not in fn.__name__:
            continue
        if attempt(fn):
            passed += 1
            print('PASS %s %s' % (suite, fn.__name__), flush=True)
        else:
            failed += 1
    if _shared:
        failed += not attempt(shared_server_ends_well)
    print('%s: %d passed, %d failed' % (suite, passed, failed), flush=True)
    sys.exit(1 if failed else 0)
