"""One role on its own, spoken to as the monitor and its peers do: messages by their definitions in src/ipc."""
import functools
import glob
import os
import re
import socket
import struct
import subprocess
import tempfile

from harness import MOX, ROOT, WAIT

PACK = {'u8': '<B', 'u32': '<I', 'u64': '<Q'}


@functools.cache
def text_of(headers):
    text = ''
    for path in sorted(glob.glob(os.path.join(ROOT, 'src', 'ipc', headers))):
        with open(path) as f:
            text += f.read()
    return text


def names_in(header, pattern):
    return re.findall(pattern, text_of(header), re.M)


ROLES = names_in('role.h', r'^    ROLE_(\w+),$')
TYPES = ['none'] + names_in('messages.h', r'^    M\((\w+),')


RECORDS = ['none'] + names_in('compiled.h', r'^    M\((\w+)\)')


def fields_of(macro, headers='messages/*.h'):
    """(type, name) of each field of a definition, which may use other lists of fields."""
    body = re.search(r'#define %s\(F\)((?:.*\\\n)*.*\n)' % macro, text_of(headers)).group(1)
    for kind, name, other in re.findall(r'\bF\((\w+), (\w+),|\b(\w+)\(F\)', body):
        yield from fields_of(other, headers) if other else [(kind, name)]


def encode(message, **values):
    """Its bytes; what is not said is 0 or empty."""
    return bytes([TYPES.index(message)]) + encode_fields(message, 'messages/*.h', values)


def encode_record(record, **values):
    """The same of a record of the compiled configuration."""
    body = encode_fields(record, 'compiled.h', values)
    return struct.pack('<BI', RECORDS.index(record), len(body)) + body


def encode_fields(message, headers, values):
    out = b''
    for kind, name in fields_of('ipc_%s_FIELDS' % message, headers):
        if kind == 'str':
            value = values.get(name, b'')
            value = value.encode() if isinstance(value, str) else value
            out += struct.pack('<I', len(value)) + value
        else:
            out += struct.pack(PACK[kind], values.get(name, 0))
    return out


def decode(data):
    """Its name and its fields; texts are bytes."""
    name, at, out = TYPES[data[0]], 1, {}
    for kind, field in fields_of('ipc_%s_FIELDS' % name):
        if kind == 'str':
            n, = struct.unpack_from('<I', data, at)
            out[field] = data[at + 4:at + 4 + n]
            at += 4 + n
        else:
            out[field], = struct.unpack_from(PACK[kind], data, at)
            at += struct.calcsize(PACK[kind])
    assert at == len(data), (name, data)
    return name, out


class Peer:
    """Our end of a channel."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(WAIT)

    def send(self, message, fds=(), **values):
        socket.send_fds(self.sock, [encode(message, **values)], fds)

    def hear(self, timeout=WAIT):
        """(name, fields, descriptors); None when the channel is closed."""
        self.sock.settimeout(timeout)
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 200000, 4)
        except ConnectionError:
            return None
        return (*decode(data), fds) if data else None

    def close(self):
        self.sock.close()


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class LoneRole:
    """given: messages before it begins, each a name, descriptors and fields."""

    def __init__(self, role, given=(), **env):
        ours, theirs = pair()
        self.role, self.monitor, self.log = role, Peer(ours), tempfile.TemporaryFile()
        self.process = subprocess.Popen([MOX, 'role', role], env=dict(os.environ, **env), stderr=self.log,
                                        preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=(3,))
        theirs.close()
        for message, fds, values in given:
            self.monitor.send(message, fds, **values)
        self.monitor.send('go')
        heard = self.monitor.hear()
        assert heard and heard[0] == 'config_done', (heard, self.log_text())

    def peer(self, role, conn=1):
        ours, theirs = pair()
        self.monitor.send('peer', [theirs.fileno()], role=ROLES.index(role), conn=conn)
        theirs.close()
        return Peer(ours)

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode('utf-8', 'replace')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        is_alive = self.process.poll() is None
        self.process.kill()
        self.process.wait(WAIT)
        assert 'Sanitizer' not in self.log_text(), self.log_text()[-3000:]
        assert is_alive, self.role + ' ended: ' + self.log_text()[-3000:]


def channel():
    """A channel's two ends: ours, and a descriptor to give away."""
    ours, theirs = pair()
    return Peer(ours), theirs
