"""A client of HTTP/2 that speaks in frames of the test's own making."""
import ssl
import struct

from harness import *

HTTPS = 1443
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
ENHANCE_YOUR_CALM = 11


def field(name, value):
    """Literal without indexing (RFC 7541 6.2.2), without Huffman; short texts only have one byte of length."""
    def text(s):
        s = s.encode('latin1') if isinstance(s, str) else s
        n = len(s)
        if n < 127:
            return bytes([n]) + s
        out, n = b'\x7f', n - 127
        while n >= 128:
            out, n = out + bytes([n % 128 + 128]), n // 128
        return out + bytes([n]) + s
    return b'\0' + text(name) + text(value)


def head(path='/admin/', method='GET', host='localhost', *more):
    return b''.join(field(n, v) for n, v in ((':method', method), (':scheme', 'https'), (':path', path),
                                             *(((':authority', host),) if host is not None else ()), *more))


class Client:
    def __init__(self, s, settings=b''):
        context = insecure_context()
        context.set_alpn_protocols(['h2'])
        self.sock = context.wrap_socket(socket.create_connection((s.ip, HTTPS), timeout=WAIT))
        assert self.sock.selected_alpn_protocol() == 'h2'
        self.buf = b''
        self.sock.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
        self.frame(SETTINGS, 0, 0, settings)

    def frame(self, kind, flags=0, stream=0, payload=b''):
        self.sock.sendall(struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload)

    def many(self, frames):
        """Frames in one go; what the server says meanwhile does not matter, nor that it stops listening."""
        try:
            self.sock.sendall(b''.join(struct.pack('>I', len(p))[1:] + bytes([k, f]) + struct.pack('>I', s) + p
                                       for k, f, s, p in frames))
        except OSError:
            pass

    def read(self):
        """Kind, flags, stream and payload of the next frame; None at the end."""
        while True:
            if len(self.buf) >= 9:
                n = int.from_bytes(self.buf[:3], 'big')
                if len(self.buf) >= 9 + n:
                    f = self.buf[3], self.buf[4], int.from_bytes(self.buf[5:9], 'big'), self.buf[9:9 + n]
                    self.buf = self.buf[9 + n:]
                    return f
            try:
                more = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not more:
                return None
            self.buf += more

    def until(self, *kinds):
        """The next frame of one of these kinds."""
        while True:
            f = self.read()
            assert f, 'the connection has ended, and no %s came' % (kinds,)
            if f[0] in kinds and not (f[0] == SETTINGS and f[1] & ACK):
                return f

    def status(self, stream):
        """Of the reply on a stream: from the static table, or a literal; an error code when it is reset."""
        while True:
            kind, flags, id, p = self.until(HEADERS, RST_STREAM, GOAWAY)
            if kind == GOAWAY:
                raise AssertionError('GOAWAY %d' % struct.unpack('>I', p[4:8])[0])
            if id != stream:
                continue
            if kind == RST_STREAM:
                return 'reset %d' % struct.unpack('>I', p)[0]
            p = p.lstrip(b'\x20\x3f\xe1\x1f') if p[0] >> 5 == 1 else p
            if p[0] & 0x80:
                return [200, 204, 206, 304, 400, 404, 500][(p[0] & 0x7f) - 8]
            n = p[1] & 0x7f
            text = p[2:2 + n]
            return int(text) if not p[1] & 0x80 else 'huffman ' + text.hex()

    def ask(self, stream, *args):
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, head(*args))
        return self.status(stream)

    def goaway(self):
        """The code that the connection ends with; what else comes does not matter."""
        while True:
            f = self.read()
            if not f:
                return None
            if f[0] == GOAWAY:
                return struct.unpack('>I', f[3][4:8])[0]
