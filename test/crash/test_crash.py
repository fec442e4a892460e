"""
Kills while mail pours in. Every message answered with 250 or OK must be there exactly once and intact
afterwards, whatever role was killed at whatever moment, and verifydata must find nothing.
"""
import hashlib
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from harness import *

ROUNDS = int(os.environ.get('ROUNDS', '3'))
ROLES = ['mox: account mox', 'mox: session', 'mox: front', 'mox: auth', 'mox: queue', 'mox: keys', 'mox: dkim',
         'mox: session-template', 'mox: account-template', 'mox: admin',
         'mox: monitor']


class Load:
    """Clients that send and remember what was acknowledged."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.acknowledged = {}  # id -> digest of its body
        self.sent = 0
        self.moved = set()
        self.flagged = set()
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.repeat, args=(fn, n)) for fn in
                        (self.deliver, self.deliver, self.submit, self.append) for n in range(2)]
        self.threads.append(threading.Thread(target=self.repeat, args=(self.change, 0)))

    def new(self):
        with self.lock:
            self.sent += 1
            ident = 'id%06d' % self.sent
        body = ''.join('%s line %d\r\n' % (ident, i) for i in range(random.randint(1, 800)))
        return ident, body, 'From: <mox@localhost>\r\nSubject: %s\r\n\r\n%s' % (ident, body)

    def acknowledge(self, ident, body):
        with self.lock:
            self.acknowledged[ident] = hashlib.sha256(body.encode()).hexdigest()

    def repeat(self, fn, n):
        random.seed(n)
        while not self.stop.is_set():
            try:
                fn()
            except (OSError, AssertionError, imaplib.IMAP4.error, imaplib.IMAP4.abort, IndexError,
                    TypeError):
                time.sleep(0.01)  # the server is being killed: try again

    def smtp(self, port, login):
        w = self.server.connect(port)
        try:
            w.sock.settimeout(20)
            w.smtp_hello()
            if login:
                w.cmd('AUTH PLAIN AG1veEBsb2NhbGhvc3QAbW94bW94bW94', '235')
            for _ in range(10):
                ident, body, text = self.new()
                w.cmd('MAIL FROM:<mox@localhost>', '250')
                w.cmd('RCPT TO:<x@localhost>', '250')
                w.cmd('DATA', '354')
                w.write(text + '.\r\n')
                w.expect('250')
                self.acknowledge(ident, body)
        finally:
            w.close()

    def deliver(self):
        self.smtp(SMTP, False)

    def submit(self):
        self.smtp(SUBMISSION, True)

    def imap(self):
        c = imaplib.IMAP4(self.server.ip, IMAP, timeout=20)
        c.login(LOGIN, PASSWORD)
        return c

    def append(self):
        c = self.imap()
        for _ in range(10):
            ident, body, text = self.new()
            if c.append('INBOX', None, None, text.encode())[0] == 'OK':
                self.acknowledge(ident, body)
        c.logout()

    def change(self):
        """Moves and flags, each acknowledged one remembered by the message's id."""
        c = self.imap()
        c.select('INBOX')
        for _ in range(5):
            uids = c.uid('SEARCH', 'UNFLAGGED')[1][0].split()
            if not uids:
                break
            uid = random.choice(uids).decode()
            data = c.uid('FETCH', uid, '(BODY.PEEK[HEADER.FIELDS (SUBJECT)])')[1]
            header = [d[1] for d in data if isinstance(d, tuple)][0].decode()
            ident = header.split()[1]
            if random.random() < 0.5:
                if c.uid('STORE', uid, '+FLAGS', '(\\Flagged)')[0] == 'OK':
                    self.flagged.add(ident)
            elif c.uid('MOVE', uid, 'Archive')[0] == 'OK':
                self.moved.add(ident)
        c.logout()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def wait_acknowledged(load, n):
    deadline = time.monotonic() + WAIT
    while len(load.acknowledged) < n:
        assert time.monotonic() < deadline, 'nothing is accepted any more:\n' + load.server.log_text()[-3000:]
        time.sleep(0.01)


def kill_one(server, title):
    """Kills a process of that role, when there is one; the monitor takes all with it."""
    pids = set(server.pids(title))
    if title == 'mox: session':
        pids -= set(server.pids('mox: session-template'))
    # Sessions are short: some of those that were there have gone meanwhile, the latest is the likeliest to be there yet.
    for pid in sorted(pids, reverse=True) if title == 'mox: session' else random.sample(sorted(pids), len(pids)):
        try:
            os.kill(pid, signal.SIGKILL)
            break
        except ProcessLookupError:
            pass
    else:
        return 0
    if title == 'mox: monitor':
        server.process.wait(WAIT)
        restart(server)
    return 1


def restart(server):
    """Children die with their monitor, in their own time: until then the ports are taken."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            server.start()
            return
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def wait_queue_empty(server):
    deadline = time.monotonic() + 3 * WAIT
    while server.command('queue', 'list')[1] != 'messages:\n(none)\n':
        assert time.monotonic() < deadline, server.command('queue', 'list')[1]
        time.sleep(0.1)


def read_all(server):
    """id -> [(mailbox, flags, digest)] of everything in the account."""
    found = {}
    c = server.imap()
    for mailbox in ('INBOX', 'Archive'):
        n = int(c.select(mailbox)[1][0])
        for start in range(1, n + 1, 200):
            data = c.fetch('%d:%d' % (start, min(n, start + 199)), '(FLAGS BODY.PEEK[])')[1]
            for i in range(0, len(data), 2):
                raw = data[i][1].decode()
                flags = data[i + 1].decode()
                header, body = raw.split('\r\n\r\n', 1)
                ident = re.search(r'^Subject: (\S+)', header, re.M).group(1)
                found.setdefault(ident, []).append(
                    (mailbox, flags, hashlib.sha256(body.encode()).hexdigest()))
    c.logout()
    return found


def check(server, load, what):
    wait_queue_empty(server)
    found = read_all(server)
    for ident, digest in load.acknowledged.items():
        copies = found.get(ident, [])
        assert len(copies) == 1, '%s: %s is there %d times' % (what, ident, len(copies))
        assert copies[0][2] == digest, '%s: %s is not intact' % (what, ident)
    for ident, copies in found.items():
        assert len(copies) == 1, '%s: %s is there %d times' % (what, ident, len(copies))
    for ident in load.moved:
        assert found[ident][0][0] == 'Archive', ident
    for ident in load.flagged:
        assert '\\Flagged' in found[ident][0][1], ident
    code, out, err = server.command('verifydata')
    assert code == 0, out + err


@test
def kills():
    counts = dict.fromkeys(ROLES, 0)
    with running(args=['-loglevel', 'info']) as s:
        load = Load(s)
        with load:
            for round in range(ROUNDS):
                for title in ROLES:
                    wait_acknowledged(load, len(load.acknowledged) + 3)
                    deadline = time.monotonic() + WAIT
                    while not kill_one(s, title):
                        assert time.monotonic() < deadline, 'no ' + title
                    counts[title] += 1
            wait_acknowledged(load, len(load.acknowledged) + 3)
        check(s, load, 'after kills')
        s.stop()
        s.start()
        check(s, load, 'after a restart')
        print('kills: ' + ', '.join('%s %d' % (k[5:], v) for k, v in counts.items()) +
              '; %d messages acknowledged of %d sent, %d moved, %d flagged'
              % (len(load.acknowledged), load.sent, len(load.moved), len(load.flagged)))


@test
def full_disk():
    """A full disk is a temporary failure: nothing acknowledged is lost, and the server goes on."""
    if os.geteuid() != 0:
        return
    d = tempfile.mkdtemp(prefix='mox-full-')
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', d], capture_output=True).returncode:
        print('full_disk: cannot mount here, left out')
        return
    try:
        s = Server(dir=d, args=['-loglevel', 'error']).start()
        try:
            accepted, refused = 0, 0
            for i in range(80):
                w = s.connect(SMTP)
                w.smtp_hello()
                w.cmd('MAIL FROM:<a@example.org>', '250')
                w.cmd('RCPT TO:<b@example.com>', '250')
                w.cmd('DATA', '354')
                w.write('Subject: %d\r\n\r\n' % i + ''.join(os.urandom(36).hex() + '\r\n' for _ in range(3000)) + '.\r\n')
                r = w.reply()
                w.close()
                assert r[0] in '24', r
                accepted += r[0] == '2'
                refused += r[0] == '4'
                if refused > 3:
                    break
            assert accepted and refused, (accepted, refused)
            c = s.imap()
            assert int(c.select('INBOX')[1][0]) == accepted
            assert c.append('INBOX', None, None, os.urandom(2000000).hex().encode())[0] == 'NO'
            c.logout()
        finally:
            s.stop()
        run('mount', '-o', 'remount,size=60m', d)
        s.start()
        s.send()
        c = s.imap()
        assert int(c.select('INBOX')[1][0]) == accepted + 1
        c.logout()
        assert s.command('verifydata')[0] == 0
        s.close()
    finally:
        subprocess.run(['umount', '-l', d])


main('crash')
