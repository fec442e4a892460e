"""COMPRESS=DEFLATE (RFC 4978) with zlib as the other end, and what hostile compressed bytes can do."""
import threading
import zlib

from harness import *
from imap_client import MEMORY_IS_NOT_REAL, Client

def squeeze(mode=zlib.Z_SYNC_FLUSH, level=6):
    c = zlib.compressobj(level, zlib.DEFLATED, -15)
    return lambda data: c.compress(data) + c.flush(mode)


class Compressed(Client):
    """A client that compresses after COMPRESS; self.out tells how."""

    def __init__(self, s, *args, mode=zlib.Z_SYNC_FLUSH, level=6, tls=False):
        super().__init__(s, *args)
        assert b'COMPRESS=DEFLATE' in b''.join(self.cmd('CAPABILITY'))
        self.cmd('COMPRESS DEFLATE')
        self.start(mode, level)

    def start(self, mode=zlib.Z_SYNC_FLUSH, level=6):
        self.out = squeeze(mode, level)
        self.back = zlib.decompressobj(-15)
        self.have = b''
        sock = self.w.sock
        wire, me = self.w, self

        class Reader:
            def more(self):
                data = sock.recv(65536)
                me.have += me.back.decompress(data)
                return bool(data)

            def readline(self):
                while b'\n' not in me.have:
                    if not self.more():
                        line, me.have = me.have, b''
                        return line
                line, me.have = me.have.split(b'\n', 1)
                return line + b'\n'

            def read(self, n=None):
                while n is None or len(me.have) < n:
                    try:
                        is_end = not self.more()
                    except ConnectionError:  # it left without reading all; what it said came first
                        is_end = True
                    if is_end:
                        n = len(me.have)
                data, me.have = me.have[:n], me.have[n:]
                return data

            def close(self):
                pass

        wire.f.close()
        wire.f = Reader()
        wire.write = lambda data: sock.sendall(me.out(data.encode() if isinstance(data, str) else data))


MESSAGE = b'Subject: pressed\r\n\r\n' + b'all the same words again\r\n' * 1000


@test
def everything_works_compressed():
    for mode, level in ((zlib.Z_SYNC_FLUSH, 6), (zlib.Z_FULL_FLUSH, 9), (zlib.Z_PARTIAL_FLUSH, 6), (zlib.Z_SYNC_FLUSH, 0)):
        c = Compressed(server(), 'pressed', mode=mode, level=level)
        c.append('pressed', MESSAGE)
        c.cmd('NOOP')
        assert c.one('BODY.PEEK[]') == MESSAGE
        assert b'[COMPRESSIONACTIVE]' in c.cmd('COMPRESS DEFLATE', 'NO')[-1]
        # Many commands at once, and one byte at a time.
        first = c.n + 1
        c.w.write(''.join('%d NOOP\r\n' % (first + i) for i in range(500)))
        for i in range(500):
            c.n += 1
            c.finish()
        c.n += 1
        for byte in c.out(b'%d FETCH 1 BODY.PEEK[]\r\n' % c.n):
            c.w.sock.sendall(bytes([byte]))
        assert MESSAGE in c.finish()[0]
        c.cmd('LOGOUT')
        assert c.w.f.read() == b''


@test
def arguments_of_compress():
    c = Client(server())
    c.cmd('COMPRESS', 'BAD')
    c.cmd('COMPRESS LZ4', 'NO')
    c.cmd('COMPRESS DEFLATE 9', 'BAD')
    w = server().connect(IMAP)
    w.line()
    w.imap_cmd('a COMPRESS DEFLATE', 'NO')


@test
def idle_compressed_hears_of_changes():
    """Longer than it takes to park a connection, which a compressed one is not."""
    with running() as s:
        c, d, e = Compressed(s, 'idle'), Client(s), Client(s)
        d.cmd('SELECT idle')
        e.cmd('SELECT idle')
        for x in (c, e):
            x.n += 1
            x.w.write('%d IDLE\r\n' % x.n)
            assert x.response().startswith(b'+')
        s.wait_log('connection parked')  # the plain one: so much time has passed
        time.sleep(0.5)
        d.append('idle', MESSAGE)
        assert c.response() == b'* 1 EXISTS' and b'FETCH' in c.response()
        # Bytes that hold nothing wake nobody.
        c.w.sock.sendall(b'\0\0\0\xff\xff' * 100)
        d.cmd('STORE 1 +FLAGS (\\Flagged)')
        assert b'\\Flagged' in c.response()
        c.w.write('DONE\r\n')
        c.finish()
        assert c.one('BODY.PEEK[]') == MESSAGE
        assert s.log_text().count('connection parked') == 1


@test
def bytes_behind_the_command_are_compressed_ones():
    c = Client(server())
    press = squeeze()
    c.w.write(b'x COMPRESS DEFLATE\r\n' + press(b'y NOOP\r\n'))
    assert c.w.f.readline().startswith(b'x OK')
    back = zlib.decompressobj(-15)
    got = b''
    while b'y OK' not in got:
        got += back.decompress(c.w.f.read1(1000))
    # Plain ones that somebody put there are no commands.
    c = Client(server())
    c.w.write(b'x COMPRESS DEFLATE\r\ny CREATE injected\r\nz NOOP\r\n')
    assert c.w.f.readline().startswith(b'x OK')
    rest = c.w.rest()
    assert b'y OK' not in zlib.decompressobj(-15).decompress(rest), rest
    assert b'injected' not in b''.join(Client(server()).cmd('LIST "" *'))


def peak_kib(s):
    (pid,) = s.pids('mox: account mox')
    with open('/proc/%d/status' % pid) as f:
        return [int(l.split()[1]) for l in f if l.startswith('VmHWM')][0]


@test
def bombs_do_not_go_off():
    with running() as s:
        keep = Client(s, 'bombs')
        Compressed(s).cmd('NOOP')
        before = peak_kib(s)
        big = b'\0' * (64 << 20)
        for start in (b'1 ', b'1 SEARCH SUBJECT "', b'1 SEARCH SUBJECT {100000+}\r\n', b'1 LOGIN {99999999+}\r\n',
                      b'1 SEARCH ' + b'(' * 10000):
            c = Compressed(s, level=9)
            try:
                c.w.sock.sendall(c.out(start + big))
            except ConnectionError:
                pass  # it ended before all was sent
            got = c.w.f.read()
            assert b'BYE' in got or b'BAD' in got, got
        # Endless commands from few bytes cost what they cost, in no memory.
        c = Compressed(s, level=9)
        answers = threading.Thread(target=c.w.f.read, daemon=True)
        answers.start()
        c.w.sock.sendall(c.out(b'a NOOP\r\n' * 50000 + b'b LOGOUT\r\n'))
        answers.join(WAIT)
        assert not answers.is_alive()
        # A message of zeros is a message: its size counts, not what it was on the wire.
        c = Compressed(s, level=9)
        c.n += 1
        c.w.sock.sendall(c.out(b'%d APPEND bombs {%d+}\r\n' % (c.n, len(big)) + big + b'\r\n'))
        c.finish()
        assert MEMORY_IS_NOT_REAL or peak_kib(s) - before < 32 * 1024, (before, peak_kib(s))
        keep.cmd('NOOP')


@test
def broken_streams_end_the_connection():
    for data in (b'\xff' * 100, b'\x07\x00', squeeze(zlib.Z_FINISH)(b'')):
        c = Compressed(server())
        c.w.sock.sendall(data)
        assert c.w.f.read() in (b'', b'* BYE inactive\r\n')
    # A stream that ends after a command: it is answered, and then the connection ends.
    c = Compressed(server())
    c.w.sock.sendall(squeeze(zlib.Z_FINISH)(b'q NOOP\r\n'))
    assert b'q OK' in c.w.f.read()


@test
def idle_connections_take_little():
    with running() as s:
        def rss():
            (pid,) = s.pids('mox: account mox')
            with open('/proc/%d/status' % pid) as f:
                return [int(l.split()[1]) for l in f if l.startswith('RssAnon')][0]

        def forty(make):
            before, conns = rss(), [make() for _ in range(40)]
            for c in conns:
                c.cmd('NOOP')
            return conns, (rss() - before) / 40
        first = Client(s, 'many')
        plain = forty(lambda: Client(s))
        pressed = forty(lambda: Compressed(s))
        assert MEMORY_IS_NOT_REAL or pressed[1] - plain[1] < 150, (plain[1], pressed[1])
        first.cmd('NOOP')


main('imap-compress')
