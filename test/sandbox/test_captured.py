"""
Captured processes: a running role is stopped with ptrace and made to do what its attacker would want. As
root only, since the roles are not dumpable and nobody else can look into them; on x86-64 only, whose
registers and call numbers are used.
"""
import ctypes
import errno
import os
import smtplib
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
from harness import *
from outside import Internet, Sink, Zone, ip, submit as submit_outside, why_not
from serving import serving, started_on_demand

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
SINGLESTEP, GETREGS, SETREGS, ATTACH, DETACH = 9, 12, 13, 16, 17
ALL_TASKS = 0x40000000  # __WALL

CALLS = {'open': 2, 'close': 3, 'socketpair': 53, 'poll': 7, 'sendmsg': 46, 'recvmsg': 47, 'clone': 56, 'execve': 59, 'kill': 62,
         'socket': 41, 'connect': 42, 'bind': 49, 'listen': 50, 'chmod': 90, 'chown': 92, 'truncate': 76, 'unlink': 87,
         'rename': 82, 'memfd_create': 319, 'openat2': 437, 'write': 1, 'fcntl': 72, 'symlink': 88, 'link': 86, 'setuid': 105, 'mount': 165, 'mprotect': 10}


class Regs(ctypes.Structure):
    _fields_ = [(n, ctypes.c_ulonglong) for n in
                ('r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base '
                 'gs_base ds es fs gs').split()]


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), 'ptrace %d' % request)


class Captive:
    """A process whose main thread does what it is told, within its sandbox."""

    def __init__(self, pid, is_attached=False):
        self.pid = pid
        if not is_attached:
            ptrace(ATTACH, pid)
            os.waitpid(pid, ALL_TASKS)
        self.saved = Regs()
        ptrace(GETREGS, pid, ctypes.addressof(self.saved))
        self.mem = open('/proc/%d/mem' % pid, 'r+b', buffering=0)
        with open('/proc/%d/maps' % pid) as maps:
            line = [l for l in maps if ' r-xp ' in l and 'libc.so' in l][0]
        start, end = (int(x, 16) for x in line.split()[0].split('-'))
        self.mem.seek(start)
        self.instruction = start + self.mem.read(end - start).index(b'\x0f\x05')  # a "syscall"
        self.used = 0

    def put(self, data):
        """Bytes in the captive's memory, below its stack."""
        self.used += (len(data) + 15) & ~15
        at = ((self.saved.rsp - 100000) & ~15) - self.used
        self.mem.seek(at)
        self.mem.write(data)
        return at

    def get(self, at, n):
        self.mem.seek(at)
        return self.mem.read(n)

    def call(self, name, *args):
        """A system call: its result, or -errno; 'killed' when it ends the process."""
        values = [self.put(a.encode() + b'\0') if isinstance(a, str) else self.put(a) if isinstance(a, bytes) else a
                  for a in args]
        r = Regs.from_buffer_copy(self.saved)
        r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9 = [v & (2**64 - 1) for v in values + [0] * (6 - len(values))]
        r.rax, r.orig_rax, r.rip = CALLS[name], 2**64 - 1, self.instruction
        ptrace(SETREGS, self.pid, ctypes.addressof(r))
        ptrace(SINGLESTEP, self.pid)
        _, status = os.waitpid(self.pid, ALL_TASKS)
        self.used = 0
        if os.WIFSIGNALED(status):
            return 'killed'
        assert os.WIFSTOPPED(status), status
        try:
            ptrace(GETREGS, self.pid, ctypes.addressof(r))
        except ProcessLookupError:  # somebody who saw what it did has killed it meanwhile
            return 'killed'
        if os.WSTOPSIG(status) == signal.SIGSYS:
            return 'killed'
        return ctypes.c_longlong(r.rax).value

    def send(self, channel, body, fds=()):
        """One message between processes, with descriptors."""
        text = self.put(body)
        vector = self.put(struct.pack('QQ', text, len(body)))
        control, n = 0, 0
        if fds:
            data = struct.pack('%di' % len(fds), *fds)
            n = 16 + len(data)
            control = self.put(struct.pack('Qii', n, socket.SOL_SOCKET, socket.SCM_RIGHTS) + data + b'\0' * 8)
            n = 16 + (len(data) + 7 & ~7)
        return self.call('sendmsg', channel, struct.pack('QIIQQQQII', 0, 0, 0, vector, 1, control, n, 0, 0), 0x4000)

    def receive(self, channel):
        """(type, body) of the next message; None when the channel is closed."""
        ready = self.put(struct.pack('ihh', channel, 1, 0))
        assert self.call('poll', ready, 1, WAIT * 1000) == 1
        room = self.put(b'\0' * 4096)
        vector = self.put(struct.pack('QQ', room, 4096))
        control = self.put(b'\0' * 64)
        n = self.call('recvmsg', channel, struct.pack('QIIQQQQII', 0, 0, 0, vector, 1, control, 64, 0, 0), 0)
        assert n >= 0, n
        got = self.get(room, n)
        size, _, kind, fd = struct.unpack('Qiii', self.get(control, 20))
        self.fd = fd if size and kind == socket.SCM_RIGHTS else None  # of the last message
        return (got[0], got[1:]) if n else None

    def channel_to(self, monitor, service):
        """What a session is granted when it asks for a service."""
        assert self.send(monitor, message('grant', (1, service))) > 0
        assert self.receive(monitor) == (NUMBERS['granted'], message('granted', (4, 0), (8, 0), b'')[1:])
        assert self.fd is not None
        return self.fd

    def detach(self, *for_ever):
        """It goes on with what it was doing, or does what never ends."""
        self.mem.close()
        if for_ever:
            r, self.saved.rax, self.saved.rip = self.saved, CALLS[for_ever[0]], self.instruction
            r.orig_rax = 2**64 - 1
            r.rdi, r.rsi, r.rdx = [v & (2**64 - 1) for v in for_ever[1:]]
        ptrace(SETREGS, self.pid, ctypes.addressof(self.saved))
        ptrace(DETACH, self.pid)

    def release(self):
        self.mem.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, ALL_TASKS)
        except (OSError, ChildProcessError):
            pass


def message_numbers():
    text = open(os.path.join(ROOT, 'src', 'ipc', 'messages.h'), encoding='utf-8').read()
    table = text[text.index('#define IPC_MESSAGES(M)'):]
    return {name: i + 1 for i, name in enumerate(re.findall(r'\bM\((\w+), ', table))}


NUMBERS = message_numbers()


def message(name, *fields):
    """Bytes of a message: texts with their length, numbers as (width, value)."""
    out = bytes([NUMBERS[name]])
    for f in fields:
        out += struct.pack('<I', len(f)) + f if isinstance(f, bytes) else f[1].to_bytes(f[0], 'little')
    return out


def behind(pid):
    """What is behind its descriptors, which may be closed meanwhile."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for fd in os.listdir('/proc/%d/fd' % pid):
            with contextlib.suppress(FileNotFoundError):
                found[int(fd)] = os.readlink('/proc/%d/fd/%s' % (pid, fd))
    return found


def sockets(pid):
    """Its descriptors that are sockets, in order: for a session its stream, the monitor, front."""
    return [fd for fd, link in sorted(behind(pid).items()) if fd > 2 and link.startswith('socket:')]


def status(pid):
    with open('/proc/%d/status' % pid) as f:
        return dict(l.rstrip('\n').split(':', 1) for l in f)


def links(pid):
    return list(behind(pid).values())


def refused(result, what):
    assert result in (-errno.EPERM, -errno.EACCES, -errno.ENOSYS), (what, result)


def landlock_abi():
    return libc.syscall(444, 0, 0, 1)


def try_the_machine(c, server, has_files, has_dns=False, has_tcp=False):
    """What no role may do with the machine, whatever it serves."""
    port_25 = b'\2\0\0\x19\x7f\0\0\1' + b'\0' * 8
    if has_dns:  # internet sockets, but nobody can come to them, and TCP goes to port 53
        tcp = c.call('socket', socket.AF_INET, socket.SOCK_STREAM, 0)
        assert tcp >= 0, tcp
        refused(c.call('socket', socket.AF_INET, socket.SOCK_RAW, 1), 'raw socket')
        refused(c.call('listen', tcp, 1), 'listen')
        if landlock_abi() >= 4:
            refused(c.call('connect', tcp, port_25, 16), 'connect')
            refused(c.call('bind', tcp, port_25, 16), 'bind')
    elif has_tcp:  # connections for others, but nobody can come
        tcp = c.call('socket', socket.AF_INET, socket.SOCK_STREAM, 0)
        assert tcp >= 0, tcp
        refused(c.call('socket', socket.AF_INET, socket.SOCK_DGRAM, 0), 'UDP socket')
        refused(c.call('socket', socket.AF_INET, socket.SOCK_RAW, 1), 'raw socket')
        refused(c.call('listen', tcp, 1), 'listen')
        if landlock_abi() >= 4:
            refused(c.call('bind', tcp, port_25, 16), 'bind')
    else:
        refused(c.call('socket', socket.AF_INET, socket.SOCK_STREAM, 0), 'internet socket')
        refused(c.call('connect', 0, port_25, 16), 'connect')
        refused(c.call('bind', 0, port_25, 16), 'bind')
    refused(c.call('socket', socket.AF_UNIX, socket.SOCK_STREAM, 0), 'unix socket')
    refused(c.call('kill', server.process.pid, 0), 'signal')
    refused(c.call('chmod', server.dir, 0o777), 'chmod')
    refused(c.call('chown', server.dir, 0, 0), 'chown')
    refused(c.call('truncate', os.path.join(server.dir, 'mox.conf'), 0), 'truncate')
    refused(c.call('setuid', 0), 'setuid')
    refused(c.call('mount', 'x', '/', 'tmpfs', 0, 0), 'mount')
    refused(c.call('mprotect', c.saved.rsp & ~4095, 4096, 7), 'executable memory')
    for path in ('/etc/passwd', os.path.join(server.dir, 'localhost.key'), os.path.join(server.dir, 'domains.conf'),
                 '/proc/%d/mem' % server.process.pid, os.path.join(server.dir, 'data', 'ctl')):
        refused(c.call('open', path, 0, 0), path)
    refused(c.call('open', '/tmp/mox-captured', os.O_WRONLY | os.O_CREAT, 0o600), 'new file')
    if not has_files:
        refused(c.call('unlink', 'anything'), 'unlink')


def root_test(fn):
    def run_it():
        if os.geteuid() == 0 and os.uname().machine == 'x86_64':
            fn()
        else:
            print('%s: needs root on x86-64, left out' % fn.__name__)
    run_it.__name__ = fn.__name__
    return test(run_it)


@root_test
def a_captured_session_has_no_files_and_no_network():
    with running() as s:
        for port, title in ((SMTP, 'session smtp'), (IMAP, 'session imap'), (SUBMISSION, 'session submission')):
            w = s.connect(port)
            w.line()
            c = Captive(s.pids('mox: ' + title)[-1])
            try_the_machine(c, s, False)
            refused(c.call('clone', signal.SIGCHLD), 'fork')
            refused(c.call('open', '.', 0, 0), 'current directory')
            assert c.call('execve', '/bin/sh', 0, 0) == 'killed'
            c.release()


@root_test
def a_captured_session_cannot_open_an_account():
    """Without a password there is no mailbox: the monitor knows from auth who has logged in."""
    with running() as s:
        s.send('secret')
        w = s.connect(IMAP)
        w.line()
        c = Captive(s.pids('mox: session imap')[-1])
        stream, monitor = sockets(c.pid)[:2]
        assert c.send(monitor, message('hand_over', b'a', b''), [stream]) > 0
        kind, body = c.receive(monitor)
        assert kind == NUMBERS['granted'] and b'nobody has logged in' in body, body
        # A grant that auth did not give, and a service this protocol has no use for.
        assert c.send(monitor, message('deliver_open', (4, 1))) > 0
        assert b'no such grant' in c.receive(monitor)[1]
        for service in (2, 3, 4, 5, 6):  # queue, keys, resolve, admin, dkim
            assert c.send(monitor, message('grant', (1, service))) > 0
            assert b'may not use that service' in c.receive(monitor)[1]
        c.release()
        w = s.connect(SMTP)  # mail comes with questions for the DNS
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        monitor = sockets(c.pid)[1]
        assert c.send(monitor, message('grant', (1, 4))) > 0
        assert c.receive(monitor) == (NUMBERS['granted'], message('granted', (4, 0), (8, 0), b'')[1:])
        c.release()


@root_test
def a_captured_session_signs_as_its_own_listener_only():
    """A key per port, the first that of port 25: with the others it could stand in for the other services."""
    with running() as s:
        w = s.connect(SMTP)
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        keys = c.channel_to(sockets(c.pid)[1], 3)
        for key, is_ok in ((1, 1), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (255, 0)):
            assert c.send(keys, message('sign', (8, key), (4, key), (1, 1), (4, 0), b'd' * 32)) > 0
            kind, body = c.receive(keys)
            assert kind == NUMBERS['signed'] and body[:9] == struct.pack('<QB', key, is_ok), (key, body)
            assert (len(body) > 13) == bool(is_ok), body
        c.release()


@root_test
def a_captured_session_signs_for_its_own_account_only():
    """Mail of the domains that the user who is logged in may send from; nothing without a login, nothing for TLS."""
    with serving() as s:
        text = '\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\tsel:\n\t\t\t\t\tPrivateKeyFile: %s\n' \
               '\t\t\t\t\tCanonicalization:\n\t\t\t\t\t\tHeaderRelaxed: true\n\t\t\t\t\t\tBodyRelaxed: true\n' \
               '\t\t\tSign:\n\t\t\t\t- sel\n'
        for name in ('org.pem', 'rest.pem'):
            with open(os.path.join(s.dir, name), 'w') as f:
                f.write(run(MOX, 'dkim', 'gened25519').stdout)
        with open(os.path.join(s.dir, 'domains.conf')) as f:
            conf = f.read()
        before = os.path.getsize(s.log_path)
        with open(os.path.join(s.dir, 'domains.conf'), 'w') as f:
            f.write(conf.replace('\texample.org:\n', '\texample.org:\n' + text % 'org.pem')
                    .replace('\trest.example: nil\n', '\trest.example:\n' + text % 'rest.pem'))
        s.wait_log('m="domains config reloaded"', before)
        domain = lambda name: message('dkim_domain', (8, 1), name)
        digest = lambda key: message('dkim_sign', (8, 1), (4, key), b'd' * 32)
        for user, org, rest in (('bob', True, False), ('ann', True, True)):
            client = smtplib.SMTP_SSL(s.ip, SUBMISSIONS, timeout=WAIT, context=insecure_context())
            client.ehlo()
            c = Captive(s.pids('mox: session submission')[-1])
            monitor = sockets(c.pid)[1]
            assert c.send(monitor, message('grant', (1, 6))) > 0
            assert b'may not use that service' in c.receive(monitor)[1]
            c.detach()
            client.login(user + '@example.org', user + ' password')
            c = Captive(c.pid)
            dkim = c.channel_to(monitor, 6)
            for name, key, may in ((b'example.org', 1, org), (b'rest.example', 2, rest), (b'mail.example.org', 3, False)):
                assert c.send(dkim, domain(name)) > 0
                kind, body = c.receive(dkim)
                assert kind == NUMBERS['dkim_selector'] and (b'sel' in body) == may, (user, name, body)
                assert c.send(dkim, digest(key)) > 0
                kind, body = c.receive(dkim)
                assert kind == NUMBERS['dkim_signed'] and body[8] == may and (len(body) == 77) == may, (user, name, body)
            # Not a digest, and what is said to those who have the keys of TLS.
            assert c.send(dkim, message('dkim_sign', (8, 1), (4, 1), b'short')) > 0
            assert c.receive(dkim)[1][8] == 0
            assert c.send(dkim, message('sign', (8, 1), (4, 1), (1, 1), (4, 0), b'd' * 32)) > 0
            assert c.receive(dkim) is None
            c.release()
        w = s.connect(SMTP)
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        monitor = sockets(c.pid)[1]
        keys = c.channel_to(monitor, 3)
        assert c.send(keys, digest(1)) > 0
        assert c.receive(keys) is None
        assert c.send(monitor, message('grant', (1, 6))) > 0
        assert b'may not use that service' in c.receive(monitor)[1]
        c.release()


def submit(reverse_path, n, name=b''):
    return message('submit', reverse_path, (4, n), (1, 0), (1, 0), (1, 0), (1, 0), (8, 0), b'', (1, 0), b'', b'', (1, 0), b'', name)


def submit_rcpt(address, delivery_id=b'', relay=0):
    return message('submit_rcpt', address, delivery_id, (1, 0), b'', (4, 0), b'', b'', (4, relay))


@root_test
def a_captured_session_relays_nothing():
    """Port 25 may give to the queue what some recipients could not take; another server gets none of it."""
    with serving() as s:
        w = s.connect(SMTP)
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        queue = c.channel_to(sockets(c.pid)[1], 2)
        text = b'Subject: buy\r\n\r\nbuy\r\n'
        fd = c.call('memfd_create', 'spam', 2)
        assert fd >= 0 and c.call('write', fd, text, len(text)) == len(text)
        assert c.call('fcntl', fd, 1033, 15) == 0  # F_ADD_SEALS
        assert c.send(queue, submit(b'ann@example.org', 2)) > 0
        for to in (b'victim@far.example', b'bob@example.org'):
            assert c.send(queue, submit_rcpt(to)) > 0
        assert c.send(queue, message('submit_data', (8, len(text))), [fd]) > 0
        kind, body = c.receive(queue)
        assert kind == NUMBERS['verdict'] and body[:4] == struct.pack('<I', 250), body
        c.release()
        s.wait_log('m="delivered" pkg=queue to=bob@example.org')
        s.wait_log('m="delivery failed" pkg=queue to=victim@far.example why="it came from outside, and the recipient is '
                   'at another server"')
        assert s.command('queue', 'list')[1] == 'messages:\n(none)\n'
        # Nor can it take a delivery id of the queue's own, and so have another's message taken for a repetition.
        w = s.connect(SMTP, '127.0.0.2')  # the address of the other is paused
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        queue = c.channel_to(sockets(c.pid)[1], 2)
        assert c.send(queue, submit(b'', 1)) > 0
        assert c.send(queue, submit_rcpt(b'ann@example.org', b'q.1.1')) > 0
        assert c.receive(queue) is None
        c.release()
        # Nor what auth has not granted to be passed on.
        w = s.connect(SMTP, '127.0.0.3')
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        queue = c.channel_to(sockets(c.pid)[1], 2)
        assert c.send(queue, submit(b'', 1)) > 0
        assert c.send(queue, submit_rcpt(b'', b'', 1)) > 0
        assert c.receive(queue) is None
        c.release()
        # Nor a name: a report of this server's that came under it would be taken for one that is there already.
        w = s.connect(SMTP, '127.0.0.4')
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        queue = c.channel_to(sockets(c.pid)[1], 2)
        assert c.send(queue, submit(b'', 1, b'update.1.0.0')) > 0
        assert c.receive(queue) is None
        c.release()


@root_test
def a_captured_imap_session_delivers_nothing():
    """Recipients are the business of SMTP: mail that went round it would have been checked by nobody."""
    with running() as s:
        w = s.connect(IMAP)
        w.line()
        c = Captive(s.pids('mox: session imap')[-1])
        auth = c.channel_to(sockets(c.pid)[1], 1)
        assert c.send(auth, message('rcpt_check', (8, 1), b'', b'mox', b'localhost')) > 0
        assert c.receive(auth) is None
        c.release()


@root_test
def a_captured_session_that_never_reads_holds_nobody_up():
    """Neither the monitor nor auth waits for room, and neither is made to keep channels without end."""
    with running() as s:
        w = s.connect(SMTP)
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        monitor = sockets(c.pid)[1]
        auth = c.channel_to(monitor, 1)
        before = os.path.getsize(s.log_path)
        sent = 0
        # Each is answered: 700 answers are more than fits between two processes.
        while sent < 700 and c.send(auth, message('from_check', b'ann', b'example.org')) > 0:
            sent += 1
        s.wait_log('m="peer misbehaves, channel closed" err="cannot send to session: it does not read"', before)
        of_auth = len(os.listdir('/proc/%d/fd' % s.pids('mox: auth')[0]))
        for _ in range(700):
            if c.send(monitor, message('grant', (1, 1))) < 0:
                break
        s.wait_log('m="session misbehaves"', before)
        assert len(os.listdir('/proc/%d/fd' % s.pids('mox: auth')[0])) <= of_auth + 100
        s.imap().logout()
        c.release()


@root_test
def a_captured_session_cannot_speak_for_others():
    """What the table does not allow to a session ends its channel."""
    with running() as s:
        for name, fields in (('login_ok', ((8, 1), b'mox', b'mox@localhost')), ('attach', ()), ('peer', ()),
                             ('delivery_grant', ((8, 1), (4, 1), b'mox', b'Inbox', b'mox@localhost')), ('stop', ()),
                             ('child_ended', ((8, 1), (4, 0)))):
            start = len(s.log_text())
            w = s.connect(IMAP)
            w.line()
            pid = s.pids('mox: session imap')[-1]
            c = Captive(pid)
            monitor = sockets(pid)[1]
            assert c.send(monitor, message(name, *fields)) > 0
            assert c.receive(monitor) is None
            c.release()
            s.wait_log('session misbehaves', start)
            assert 'session may not send message %s' % name in s.log_text(start), name
        s.imap().logout()


@root_test
def a_captured_account_is_alone_with_its_mail():
    with running() as s:
        neighbour = os.path.join(s.dir, 'data', 'accounts', 'ann')
        os.mkdir(neighbour, 0o777)
        os.chmod(neighbour, 0o777)
        with open(os.path.join(neighbour, 'account.db'), 'w') as f:
            f.write('her mail')
        os.chmod(f.name, 0o666)
        held = s.imap()
        c = Captive(s.pids('mox: account mox')[0])
        assert c.call('open', 'account.db', os.O_RDWR, 0) >= 0  # its own
        for path in ('../ann/account.db', f.name, '../../auth/auth.db', '../../queue/queue.db', '..', '../ann'):
            refused(c.call('open', path, 0, 0), path)
        refused(c.call('open', '../ann/new', os.O_WRONLY | os.O_CREAT, 0o600), 'new file')
        refused(c.call('rename', 'account.db', '../ann/account.db'), 'rename')
        refused(c.call('link', '../ann/account.db', 'hers'), 'hard link')
        refused(c.call('symlink', '../ann/account.db', 'hers'), 'symbolic link')
        try_the_machine(c, s, True)
        refused(c.call('clone', signal.SIGCHLD), 'fork')
        assert c.call('execve', '/bin/sh', 0, 0) == 'killed'
        c.release()
        del held


def gone(pid):
    """Whether it has ended, though it never would."""
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] == 'Z'
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends while it is read
        return True


def wait_gone(pid):
    deadline = time.monotonic() + WAIT
    while not gone(pid):
        assert time.monotonic() < deadline, pid
        time.sleep(0.01)


@root_test
def who_leaves_the_monitor_is_ended():
    """A process that was taken over could stay without its channel, uncounted, and keep another from its place."""
    with running() as s:
        for title in ('queue', 'account-template', 'account mox'):
            s.imap()
            c = Captive(s.pids('mox: ' + title)[0])
            ends = [c.call('close', channel) for channel in sockets(c.pid)[:1]]
            if ends == [0]:  # and not killed at once
                with contextlib.suppress(ProcessLookupError):  # or soon after
                    c.detach('poll', 0, 0, -1)
            else:
                assert ends == ['killed'], ends
            wait_gone(c.pid)
            deadline = time.monotonic() + WAIT
            while True:  # another takes its place
                try:
                    s.send(title)
                    break
                except AssertionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)


@root_test
def a_captured_config_process_is_not_waited_for():
    """It reads domains.conf, which admin can have changed; whatever it does, it has said all, or time is up."""
    with running() as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        comments = '#' + 'x' * 100 + '\n'

        def children():
            with open('/proc/%d/task/%d/children' % (s.process.pid, s.process.pid)) as f:
                return set(map(int, f.read().split()))

        def is_caught(pid):
            """It goes on, a bit at a time, until it is in its sandbox; False when it was quicker."""
            while True:
                try:
                    ptrace(ATTACH, pid)
                    os.waitpid(pid, ALL_TASKS)
                    with open('/proc/%d/cmdline' % pid) as f:
                        is_config = 'config' in f.read()
                    if is_config and status(pid)['Seccomp'].strip() == '2':
                        return True
                    ptrace(DETACH, pid)
                    if not is_config and status(pid)['Seccomp'].strip() == '2':
                        return False
                except (OSError, KeyError):
                    return False

        known, pid, n = children(), None, 0
        while not pid or not is_caught(pid):
            n += 1
            with open(path, 'w') as f:
                f.write(comments * (100000 + n) + text)  # so that there is time to catch it
            new, pid, deadline = set(), None, time.monotonic() + 3  # or it was missed
            while not new and time.monotonic() < deadline:
                assert s.process.poll() is None
                new = children() - known
            if new:
                pid = new.pop()
                known.add(pid)
        c = Captive(pid, is_attached=True)
        sent = c.send(3, message('compiled_end', (1, 0), b'no more'))
        if sent != 'killed':  # at once
            assert sent > 0, sent
            c.detach('poll', 0, 0, -1)
        wait_gone(pid)
        s.wait_log('no more')
        with open(path, 'w') as f:
            f.write(text + '# good\n')
        s.wait_log('domains config reloaded')


@root_test
def a_client_that_does_not_read_holds_nobody_up():
    """front gives the monitor a connection that is full, when there is no room for another."""
    with running() as s:
        c = Captive(s.pids('mox: front')[0])
        pair = c.put(b'\0' * 8)
        assert c.call('socketpair', socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0, pair) == 0
        full = struct.unpack('ii', c.get(pair, 8))[0]
        while c.call('write', full, b'\0' * 60000, 60000) > 0:
            pass
        assert c.call('fcntl', full, 4, os.O_RDWR) == 0  # F_SETFL: whoever writes waits
        start = len(s.log_text())
        s.process.send_signal(signal.SIGTERM)
        s.wait_log('shutting down', start)
        assert c.send(3, message('conn_new', (8, 1 << 40), (4, 0), (1, 0), b'127.0.0.1:1', b'127.0.0.1:25', b'', b'', b'', b'', b'', b''),
                      (full,)) > 0
        s.process.wait(WAIT)
        assert 'no room for another session' in s.log_text(start), s.log_text(start)
        c.release()


@root_test
def a_captured_reader_of_databases_has_nothing_else():
    """The child of verifydata, backup and the like: nobody, without files, but for those of its database, by number."""
    with running() as s, contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data/queue/queue.db'))) as db:
        s.stop()
        db.execute('PRAGMA locking_mode = EXCLUSIVE')
        db.execute('BEGIN EXCLUSIVE')
        db.commit()  # and the lock stays: the child waits for it
        s.process = subprocess.Popen([s.mox, '-config', os.path.join(s.dir, 'mox.conf'), 'verifydata'],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=s.env)
        child = None
        while not child or not any('queue.db' in link for link in links(child)):
            assert s.process.poll() is None
            with open('/proc/%d/task/%d/children' % (s.process.pid, s.process.pid)) as f:
                child = next(iter(map(int, f.read().split())), None)
        c = Captive(child)
        st = status(child)
        assert st['Uid'].split() == ['65534'] * 4 and int(st['CapPrm'], 16) == 0 and not st['Groups'].strip(), st
        allowed = ('socket:', 'pipe:', '/dev/null', os.path.join(s.dir, 'data/queue/queue.db'))
        assert all(link.startswith(allowed) for link in links(child)), links(child)
        try_the_machine(c, s, False)
        refused(c.call('clone', signal.SIGCHLD), 'fork')
        refused(c.call('open', os.path.join(s.dir, 'data/queue/queue.db'), os.O_RDWR, 0), 'its database by a path')
        # What it can ask for: how, which database, which of its files.
        channel = sockets(child)[0]

        def ask(*request):
            assert c.call('sendmsg', channel, struct.pack('QIIQQQQII', 0, 0, 0, c.put(struct.pack(
                'QQ', c.put(bytes(request)), len(request))), 1, 0, 0, 0, 0), 0x4000) == len(request)
            room, control = c.put(b'\0' * 16), c.put(b'\0' * 64)
            assert c.call('recvmsg', channel, struct.pack('QIIQQQQII', 0, 0, 0, c.put(struct.pack('QQ', room, 16)), 1, control,
                                                          64, 0, 0), 0) == 1
            return c.get(room, 1)[0]

        for request, answer in (((1, 0, 0, 0), 0), ((5, 0, 0, 0), errno.EINVAL), ((1, 1, 0, 0), errno.EINVAL),
                                ((1, 0, 4, 0), errno.EINVAL), ((255, 255, 255, 255), errno.EINVAL), ((4, 0, 0, 0), errno.EACCES)):
            assert ask(*request) == answer, request
        assert os.path.exists(os.path.join(s.dir, 'data/queue/queue.db'))
        assert c.call('execve', '/bin/sh', 0, 0) == 'killed'
        c.release()
        out = s.process.communicate(timeout=WAIT)[0].decode()
        assert s.process.returncode == 1 and 'queue.db: the process that worked on the data ended' in out, out


@root_test
def a_captured_account_reports_about_its_own_domains_only():
    """It may have channels to admin and queue, and to nobody else; admin knows whose it is, and whose the domains are."""
    dmarc = '\t\tDMARC:\n\t\t\tLocalpart: reports\n\t\t\tAccount: %s\n\t\t\tMailbox: DMARC\n'
    with serving() as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('\texample.org:\n', '\texample.org:\n' + dmarc % 'ann').replace(
                '\trest.example: nil\n', '\trest.example:\n' + dmarc % 'bob'))
        s.wait_log('domains config reloaded')
        held = s.login('ann')
        c = Captive(s.pids('mox: account ann')[0])
        monitor = sockets(c.pid)[0]
        admin = c.channel_to(monitor, 5)

        def report(domain):
            texts = [b''] * 16
            texts[6] = domain
            body = b''.join(struct.pack('<I', len(t)) + t for t in texts) + struct.pack('<QQII', 1, 2, 0, 0)
            fd = c.call('memfd_create', 'x', 2)
            assert c.call('write', fd, body, len(body)) == len(body)
            assert c.send(admin, message('report_received', (1, 0), b'sender.example', b''), [fd]) > 0
            answer = c.receive(admin)[1]
            assert answer[0] == 1 and b'not sealed' in answer, answer
            assert c.call('fcntl', fd, 1033, 15) == 0  # all seals
            assert c.send(admin, message('report_received', (1, 0), b'sender.example', b''), [fd]) > 0
            return c.receive(admin)[1]

        assert report(b'example.org')[0] == 0
        for other in (b'rest.example', b'sender.example', b''):
            assert report(other)[0] == 1, other
        for wrong in ('dmarc_evaluation', 'queue_command', 'set_password'):
            assert c.send(admin, message(wrong)) > 0
            s.wait_log('peer misbehaves')
            assert c.receive(admin) is None
            admin = c.channel_to(monitor, 5)
        # To the queue it may say what came of messages of its own, and nothing else.
        for wrong in ('submit', 'submit_rcpt', 'queue_command', 'relay_grant'):
            queue = c.channel_to(monitor, 2)
            assert c.send(queue, message(wrong)) > 0
            assert c.receive(queue) is None, wrong
        sent = c.send(monitor, message('grant', (1, 3)))  # keys; it may be ended before it hears that it has said so
        assert sent == 'killed' or sent > 0, sent
        s.wait_log('account misbehaves')
        c.release()
        held.shutdown()
        assert 'domain "example.org"' in s.command('dmarc', 'listreports')[1]
        assert 'rest.example' not in s.command('dmarc', 'listreports')[1]


@root_test
def a_captured_session_invents_messages_of_its_own_client_only():
    """What it says of DMARC is checked, and where it came from admin knows without it."""
    record = b'v=DMARC1;p=none;rua=mailto:a@sender.example'
    with running() as s:
        w = s.connect(SMTP)
        w.expect('220')
        c = Captive(s.pids('mox: session smtp')[-1])
        monitor = sockets(c.pid)[1]

        def tell(admin, domain=b'sender.example', record=record, dkim=b'', overrides=b''):
            assert c.send(admin, message('dmarc_evaluation', domain, record, (1, 0), (1, 0), (1, 0), (1, 0), overrides,
                                         b'sender.example', b'', b'example.org', b'', (1, 0), b'none', dkim)) > 0

        admin = c.channel_to(monitor, 5)
        tell(admin)
        tell(admin, dkim=b'pass sender.example s1\n')
        for bad in ({'domain': b'a"b\r\nBcc: x'}, {'domain': b''}, {'record': b'v=DMARC2'}, {'record': b''},
                    {'dkim': b'pass <x> s\n'}, {'dkim': b'good sender.example s\n'}, {'overrides': b'<reason>'}):
            tell(admin, **bad)
            assert c.receive(admin) is None, bad
            admin = c.channel_to(monitor, 5)
        assert c.send(admin, message('report_received', (1, 0), b'x.example', b''), [0]) > 0
        assert c.receive(admin) is None
        c.release()
        code, out, err = s.command('dmarc', 'listreports')  # admin is well
        assert (code, out) == (0, ''), err

        def rows():
            with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data', 'admin', 'admin.db'))) as db:
                return db.execute('SELECT source_ip, dkim FROM evaluation ORDER BY dkim').fetchall()
        deadline = time.monotonic() + WAIT
        while len(rows()) < 2:
            assert time.monotonic() < deadline, rows()
            time.sleep(0.05)
        assert [ip for ip, _ in rows()] == ['127.0.0.1'] * 2, rows()


@root_test
def auth_never_had_the_passwords_of_transports():
    with serving() as s:
        s.stop()
        with open(os.path.join(s.dir, 'mox.conf'), 'a') as f:
            f.write('Transports:\n\trelay:\n\t\tSubmissions:\n\t\t\tHost: relay.example\n\t\t\tAuth:\n'
                    '\t\t\t\tUsername: us\n\t\t\t\tPassword: ' + 'relays-own-' + 'secret\n')
        s.start()
        pid = s.pids('mox: auth')[0]
        found = set()
        with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb') as mem:
            for line in maps:
                start, end = (int(x, 16) for x in line.split()[0].split('-'))
                if ' rw' in line:
                    mem.seek(start)
                    data = mem.read(end - start)
                    found |= {w for w in (b'relays-own-secret', b'bob@example.org') if w in data}
        assert found == {b'bob@example.org'}, found


def ends_at(pid, other):
    """Of a process's sockets, those whose other end another process has."""
    peer = {}
    for line in run('ss', '-xapn').stdout.splitlines():
        words = line.split()
        peer[words[5]] = words[7]
    held = {p: {link: fd for fd, link in behind(p).items() if fd > 2 and link.startswith('socket:')} for p in (pid, other)}
    return [fd for inode, fd in held[pid].items() if 'socket:[%s]' % peer.get(inode[8:-1]) in held[other]]


@root_test
def a_role_is_started_by_who_writes_to_it():
    """admin has a channel to resolve before there is one: what it asks waits for whom it starts."""
    with running() as s:
        s.submit()  # dkim has begun, and is not among those that have only been promised
        for _ in range(2):
            deadline = time.monotonic() + WAIT
            admin = s.pids('mox: admin')[0]
            while len(ends_at(admin, s.process.pid)) != 2:
                assert time.monotonic() < deadline, ends_at(admin, s.process.pid)
                time.sleep(0.05)
            assert not s.pids('mox: resolve')
            c = Captive(admin)
            promised = [fd for fd in ends_at(admin, s.process.pid) if fd != 3]
            assert c.send(promised[0], message('resolve', (8, 7), (4, 1), b'localhost')) > 0
            kind, body = c.receive(promised[0])
            assert kind == NUMBERS['resolved'] and body.startswith(struct.pack('<Q', 7)), body
            c.detach()
            # When it has ended there is a promise again.
            start = len(s.log_text())
            os.kill(s.pids('mox: resolve')[0], signal.SIGKILL)
            s.wait_log('role ended unexpectedly', start)


@root_test
def a_captured_admin_signs_with_keys_of_dkim_only():
    """It may say what domains.conf is to be, but not have mail signed with the keys of TLS, or move other files."""
    with running() as s:
        keys = os.path.join(s.dir, 'hostkeys')
        for path in (keys, os.path.join(s.dir, 'dkim')):
            os.mkdir(path)
        for path in ('hostkeys/host.pem', 'data/host.pem', 'dkim/spare.pem', 'own.pem'):
            with open(os.path.join(s.dir, path), 'w') as f:
                f.write(run(MOX, 'dkim', 'genrsa').stdout)
        path = os.path.join(s.dir, 'domains.conf')
        used = 'dkim.localserve.privatekey.pkcs8.pem'

        def ask(key, old_keys=b'', new_keys=b''):
            """Puts the name of another key into the file, and says what the monitor says to that."""
            c = Captive(s.pids('mox: admin')[0])
            assert c.send(3, message('domains_read', (8, 7))) > 0
            kind, body = c.receive(3)
            assert kind == NUMBERS['domains_text'], kind
            version = struct.unpack('<QQ', body[:16])[1]
            with open(path) as f:
                text = f.read().replace(used, key).encode()
            fd = c.call('memfd_create', 'domains', 0)
            assert c.call('write', fd, text, len(text)) == len(text)
            assert c.send(3, message('domains_write', (8, 8), (8, version), b'', b'', new_keys, old_keys), [fd]) > 0
            while True:  # its part of a configuration that is in use comes first
                kind, body = c.receive(3)
                if kind == NUMBERS['domains_written']:
                    break
                assert kind == NUMBERS['config'], kind
                if c.fd is not None:
                    number = struct.unpack('<Q', body[:8])[0]
                    assert c.send(3, message('config_done', (8, number))) > 0
            c.detach()
            return body[8] == 1, body[13:].decode()

        with open(path) as f:
            before = f.read()
        for key in ('hostkeys/host.pem', 'data/host.pem', 'own.pem', 'dkim/../hostkeys/host.pem', 'dkim/sub/host.pem',
                    './hostkeys/host.pem'):
            is_ok, why = ask(key)
            assert not is_ok and ('keys of the directory dkim only' in why or 'relative path without ..' in why), (key, why)
            with open(path) as f:
                assert f.read() == before, key
        # Nor has it root make keys for ever, or some before a name that is none.
        had = os.listdir(os.path.join(s.dir, 'dkim'))
        for names, answer in (([b'dkim/new%d.rsa.pem' % i for i in range(9)], 'too many keys'),
                              ([b'dkim/new.rsa.pem', b'own2.pem'], 'no name for a key')):
            is_ok, why = ask(used, new_keys=b'\n'.join(names) + b'\n')
            assert not is_ok and answer in why, (names, why)
            assert os.listdir(os.path.join(s.dir, 'dkim')) == had, names
        # Nor does it move what is no key of DKIM, or what something signs with.
        assert ask('dkim/spare.pem', b'hostkeys/host.pem\n../x\nmox.conf\ndkim/spare.pem\ndkim/../own.pem\n') == (True, '')
        for name in ('hostkeys/host.pem', 'mox.conf', 'own.pem', 'dkim/spare.pem', used):
            assert os.path.exists(os.path.join(s.dir, name)), name
        assert not os.path.exists(os.path.join(s.dir, 'dkim', 'old'))
        # Who writes the file himself signs with what he likes, and commands leave that be.
        start = len(s.log_text())
        with open(path) as f:
            text = f.read().replace('dkim/spare.pem', 'own.pem')
        with open(path, 'w') as f:
            f.write(text)
        s.wait_log('domains config reloaded', start)
        assert s.command('config', 'account', 'add', 'ann', 'ann@localhost')[0] == 0


@root_test
def a_captured_deliver_has_its_own_messages_alone():
    """It speaks for the one destination it was given, about what it was given; it changes no message, and opens only mail ports."""
    if why_not():
        print('SKIP a_captured_deliver_has_its_own_messages_alone: %s' % why_not())
        return
    tls_result = lambda domain, policy=None, n=1: message('tls_result', policy or domain, (1, 0), domain, (1, 0), b'', b'', (4, n), (4, 0),
                                                          *[b''] * 7)
    result = lambda entry, status=b'': message('deliver_result', (8, entry), (1, 3), (4, 550), status, b'', b'', b'', (1, 0), (1, 0))
    with Internet([Zone('one.example', '@ MX 10 mx\nmx A %s\n' % ip(1))]) as internet, serving(env=internet.env) as s, \
            Sink(1, stalls='DATA') as sink:
        others = [('a result for what it was not given', result(1 << 40)),
                  ('a status that is none', b'5.1.1\r\nX:'),
                  ('the end of what it was not given', message('deliver_end', (8, 1 << 40), b'', (1, 0))),
                  ('a question about another domain', message('sts_ask', b'example.org', (1, 0), b'')),
                  ('a TLS result of another destination', tls_result(b'example.org')),
                  ('a TLS result of another destination', tls_result(b'one.example', b'example.org')),
                  ('a TLS result of more than one connection', tls_result(b'one.example', n=1000)),
                  ('deliver may not send message queue_command', message('queue_command')),
                  ('deliver may not send message deliver_new', message('deliver_new', (8, 1)))]
        for i, (why, body) in enumerate(others):
            submit_outside(s, 'r%d@one.example' % i)
            sink.wait_line('DATA', i + 1)
            start = len(s.log_text())
            pid = s.pids('mox: deliver one')[-1]
            c = Captive(pid)
            queue, = ends_at(pid, s.pids('mox: queue')[0])
            if why == 'a status that is none':
                with contextlib.closing(sqlite3.connect(os.path.join(s.dir, 'data/queue/queue.db'), timeout=WAIT)) as db:
                    (entry,), = db.execute('SELECT id FROM entry WHERE recipient = ?', ('r%d@one.example' % i,)).fetchall()
                body = result(entry, body)
            if i == 0:
                try_the_machine(c, s, False)
                refused(c.call('clone', signal.SIGCHLD), 'fork')
                files = [int(fd) for fd in os.listdir('/proc/%d/fd' % pid)
                         if os.readlink('/proc/%d/fd/%s' % (pid, fd)).startswith('/memfd:message')]
                assert len(files) == 1, files
                refused(c.call('write', files[0], b'x', 1), 'changing a message')
                dial, = ends_at(pid, s.pids('mox: dial')[0])
                for port, outcome in ((25, 1), (22, 5), (IMAP, 5), (80, 5)):
                    to = socket.inet_aton(ip(1) if port == 25 else s.ip)
                    assert c.send(dial, message('dial', (8, port), to, (4, port), (4, 1000))) > 0
                    kind, answer = c.receive(dial)
                    assert kind == NUMBERS['dialed'] and answer[:9] == struct.pack('<QB', port, outcome), (port, answer)
                # What was told of its own destination is taken, as it has to be.
                assert c.send(queue, tls_result(b'one.example')) > 0
            assert c.send(queue, body) > 0
            assert c.receive(queue) is None, why
            assert c.call('execve', '/bin/sh', 0, 0) == 'killed'
            c.release()
            s.wait_log('deliver ended', start)
            assert why in s.log_text(start), (why, s.log_text(start)[-2000:])
        code, out, _ = s.command('queue', 'list')
        assert code == 0 and out.count('@one.example') == len(others), out


@root_test
def a_captured_queue_leaves_fetches_to_others():
    """However many web servers it wants to ask, and however long they last: admin and acme have places of their own."""
    with serving() as s:
        for role in ('resolve', 'dial'):
            started_on_demand(s, role)

        def ask(c, n):
            """Whether the monitor gives it a fetch for its n-th request."""
            assert c.send(3, message('fetch_new', (8, n))) > 0
            kind = None
            while kind != NUMBERS['fetch_made']:
                kind, body = c.receive(3)
            assert body[:8] == struct.pack('<Q', n) and (c.fd is not None) != (b'no room' in body), body
            return c.fd is not None
        for role, share in (('queue', 40), ('admin', 10)):
            c = Captive(s.pids('mox: ' + role)[0])
            if role == 'queue':
                assert ask(c, 1)
                share -= 1
                deadline = time.monotonic() + WAIT
                while not s.pids('mox: fetch-template'):
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                os.kill(s.pids('mox: fetch-template')[0], signal.SIGSTOP)  # so that no fetch's end is told
            assert [ask(c, 1000 + n) for n in range(share + 2)] == [True] * share + [False] * 2, role
            c.release()


@root_test
def captured_services_are_confined_to_their_directories():
    own = {'auth': 'auth/auth.db', 'queue': 'queue/queue.db', 'admin': 'admin/admin.db',
           'account-template': 'accounts/ann/account.db', 'keys': 'acme/state'}
    with serving() as s:
        s.login('ann').logout()
        for role in ('resolve', 'dial', 'deliver-template', 'dkim', 'keys', 'front', 'admin', 'auth', 'queue', 'session-template',
                     'account-template'):
            if role in ('resolve', 'dial', 'deliver-template', 'dkim'):
                started_on_demand(s, role)
            start = len(s.log_text())
            c = Captive(s.pids('mox: ' + role)[0])
            for path in own.values():
                result = c.call('open', os.path.join(s.dir, 'data', path), 0, 0)
                if path == own.get(role):
                    assert result >= 0, (role, path, result)
                else:
                    refused(result, (role, path))
            try_the_machine(c, s, role in own, role == 'resolve', role == 'dial')
            assert c.call('execve', '/bin/sh', 0, 0) == 'killed', role
            c.release()
            s.wait_log('role ended unexpectedly', start)


@test
def a_captured_web_process_reaches_configured_servers_only():
    forward = ('WebHandlers:\n', 'WebHandlers:\n\t-\n\t\tDomain: site.example\n\t\tPathRegexp: ^/\n\t\tWebForward:\n'
               '\t\t\tURL: http://localhost:%d/\n')
    with socket.create_server(('127.0.0.1', 0)) as behind, socket.create_server(('127.0.0.1', 0)) as other:
        port, wrong = behind.getsockname()[1], other.getsockname()[1]
        with configured(domains=[(forward[0], forward[1] % port)]) as s:
            client = socket.create_connection((s.ip, 1080), timeout=WAIT)
            client.sendall(b'GET /')
            deadline = time.monotonic() + WAIT
            while not s.pids('mox: web 127'):
                assert time.monotonic() < deadline
            c = Captive(s.pids('mox: web 127')[-1])
            monitor = sockets(c.pid)[1]
            for service in (1, 2, 4, 5, 6):  # auth, queue, resolve, admin, dkim
                assert c.send(monitor, message('grant', (1, service))) > 0
                assert b'may not use that service' in c.receive(monitor)[1], service
            dial = c.channel_to(monitor, 8)
            ask = lambda host, port: message('dial_site', (8, 1), host, (4, port), (4, 5000))
            for host, to in ((b'localhost', wrong), (b'127.0.0.1', port), (b'127.0.0.1', wrong), (b'127.0.0.1', 25),
                             (b'mail.example.org', port), (b'', port)):
                assert c.send(dial, ask(host, to)) > 0
                kind, body = c.receive(dial)
                assert (kind, body[8], c.fd) == (NUMBERS['dialed'], 5, None), (host, to, body)
            assert c.send(dial, ask(b'localhost', port)) > 0
            kind, body = c.receive(dial)
            assert (kind, body[8]) == (NUMBERS['dialed'], 1) and c.fd is not None, body
            behind.accept()[0].close()
            # What others say to dial is not for it.
            assert c.send(dial, message('dial', (8, 1), b'\x7f\0\0\1', (4, wrong), (4, 5000))) > 0
            assert c.receive(dial) is None
            # Files: none but those of sites, and none to write.
            refused(c.call('open', '/etc/passwd', 0, 0), 'open')
            refused(c.call('openat2', 2**64 - 100, '/etc/passwd', struct.pack('QQQ', 0, 0, 0), 24), 'openat2')
            refused(c.call('openat2', 2**64 - 100, os.path.join(s.dir, 'web', 'new'), struct.pack('QQQ', 0o101, 0o600, 0), 24),
                    'a new file')
            refused(c.call('openat2', 2**64 - 100, os.path.join(s.dir, 'mox.conf'), struct.pack('QQQ', 0, 0, 0), 24), 'mox.conf')
            try_the_machine(c, s, False)
            c.release()
            client.close()


main('captured')
