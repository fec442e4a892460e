"""
An IMAP client that believes nothing: it parses every response by the grammar, keeps a model of the
selected mailbox from what the server said and from nothing else, and raises Violation when the server
contradicts itself or the RFCs (9051, 3501, 7162).
"""
import collections
import re
import select
import socket
import ssl
import time
import zlib


class Violation(Exception):
    pass


ATOM = re.compile(rb'[^\x00-\x20(){%*"\\\]\x7f-\xff]+')
NUMBER = re.compile(rb'[0-9]+')
FLAG = re.compile(rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+|\\\*')
ITEM = re.compile(rb'[A-Z0-9.]+')
SECTION = re.compile(rb'\[[^\]\r\n]*\]')
NEVER = 10 ** 18


class Parser:
    """One response, its literals included."""

    def __init__(self, data):
        self.d, self.i = data, 0

    def fail(self, why):
        raise Violation('%s at %r' % (why, self.d[self.i:self.i + 60]))

    def at(self, what):
        return self.d.startswith(what, self.i)

    def skip(self, what):
        if self.at(what):
            self.i += len(what)
            return True
        return False

    def need(self, what):
        if not self.skip(what):
            self.fail('%r expected' % what)

    def match(self, regex, what):
        m = regex.match(self.d, self.i)
        if not m:
            self.fail('%s expected' % what)
        self.i = m.end()
        return m.group()

    def number(self, most=0xffffffff):
        n = int(self.match(NUMBER, 'number'))
        if n > most:
            self.fail('number too large')
        return n

    def quoted(self):
        self.need(b'"')
        out = bytearray()
        while True:
            if self.i >= len(self.d):
                self.fail('open quoted string')
            ch = self.d[self.i]
            self.i += 1
            if ch == 34:
                return bytes(out)
            if ch == 92:
                ch = self.d[self.i]
                self.i += 1
                if ch not in (34, 92):
                    self.fail('bad escape')
            elif ch in (0, 10, 13):
                self.fail('control in quoted string')
            out.append(ch)

    def literal(self):
        self.skip(b'~')
        self.need(b'{')
        n = self.number(NEVER)
        self.need(b'}\r\n')
        if self.i + n > len(self.d):
            self.fail('short literal')
        self.i += n
        return self.d[self.i - n:self.i]

    def value(self, depth=0):
        """A string, NIL as None, a list, or an atom as bytes."""
        if self.at(b'"'):
            return self.quoted()
        if self.at(b'{') or self.at(b'~{'):
            return self.literal()
        if self.at(b'('):
            if depth > 100:
                self.fail('lists too deep')
            return self.list(lambda: self.value(depth + 1))
        atom = self.match(FLAG, 'value')
        return None if atom == b'NIL' else atom

    def list(self, element):
        self.need(b'(')
        out = []
        while not self.skip(b')'):
            if out and not self.skip(b' ') and not self.at(b'('):  # bodies follow each other
                self.fail('space or ) expected')
            out.append(element())
        return out

    def flags(self):
        out = [f.decode().lower() for f in self.list(lambda: self.match(FLAG, 'flag'))]
        if len(set(out)) != len(out):
            self.fail('a flag twice')
        return frozenset(f for f in out if f != '\\recent')

    def uid_set(self):
        """Ascending or not, but no star and no zero."""
        out = []
        while True:
            a = b = self.number()
            if self.skip(b':'):
                b = self.number()
            if not a or not b:
                self.fail('zero in a set')
            out.extend(range(min(a, b), max(a, b) + 1))
            if not self.skip(b','):
                if len(set(out)) != len(out):
                    self.fail('a number twice in a set')
                return out

    def text(self):
        """resp-text: the code as a list of words, or None, and the text."""
        code = None
        if self.skip(b'['):
            end = self.d.find(b']', self.i)
            if end < 0:
                self.fail('open response code')
            code = self.d[self.i:end]
            self.i = end + 1
            if not self.skip(b' ') and not self.at(b'\r\n'):
                self.fail('space after the code expected')
        end = self.d.find(b'\r\n', self.i)
        text = self.d[self.i:end]
        self.i = end
        return code, text

    def end(self):
        self.need(b'\r\n')
        if self.i != len(self.d):
            self.fail('more after the end')

    def fetch_items(self):
        items = {}

        def one():
            name = self.match(ITEM, 'data item')
            if self.at(b'['):
                name += self.match(SECTION, 'section')
                if self.skip(b'<'):
                    name += b'<%d>' % self.number()
                    self.need(b'>')
            self.need(b' ')
            if name == b'FLAGS':
                value = self.flags()
            elif name == b'UID':
                value = self.number()
                if not value:
                    self.fail('UID 0')
            elif name == b'MODSEQ':
                self.need(b'(')
                value = self.number(2 ** 63 - 1)
                if not value:
                    self.fail('MODSEQ 0')
                self.need(b')')
            elif name == b'RFC822.SIZE':
                value = self.number(2 ** 63 - 1)
            else:
                value = self.value()
            if name in items:
                self.fail('%r twice' % name)
            items[name] = value
        self.list(one)
        if not items:
            self.fail('empty FETCH')
        return items


class Message:
    __slots__ = ('uid', 'flags', 'modseq')

    def __init__(self, uid=None, flags=None, modseq=None):
        self.uid, self.flags, self.modseq = uid, flags, modseq

    def __repr__(self):
        return '<%s %s %s>' % (self.uid, self.flags and sorted(self.flags), self.modseq)


class Box:
    """The selected mailbox."""

    def __init__(self, name):
        self.name = name
        self.uidvalidity = self.uidnext = None
        self.is_read_only = False
        self.messages = []
        self.first = None        # how many there were when it was selected
        self.highest = 0         # HIGHESTMODSEQ by the rules of RFC 7162 6
        self.fetched = []        # of a SELECT with QRESYNC, until its tagged reply
        self.known = None        # what the client brought to that
        self.earlier = set()

    def uids(self):
        return [m.uid for m in self.messages]

    def named(self, uid):
        for m in self.messages:
            if m.uid == uid:
                return m
        return None


class Command:
    def __init__(self, tag, verb, is_uid):
        self.tag, self.verb, self.is_uid = tag, verb, is_uid
        self.status = self.code = self.text = None
        self.search = None       # numbers, or a dictionary of ESEARCH
        self.is_fetch_of_modseq = False
        self.may_hear_earlier = False
        self.silent = None       # of a silent STORE: message -> what was heard meanwhile
        self.lines = []          # other untagged responses
        self.fetched = []        # (sequence number, items)
        self.box = None          # of a SELECT


class Client:
    def __init__(self, name, ip, port, tls=False):
        self.name = name
        self.history = collections.deque(maxlen=20000)
        self.sock = socket.create_connection((ip, port), timeout=120)
        if tls:
            c = ssl.create_default_context()
            c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
            self.sock = c.wrap_socket(self.sock)
        self.buf = b''
        self.inflate = self.deflate = None
        self.n_tags = 0
        self.box = None
        self.pending = []
        self.capabilities = set()
        self.enabled = set()
        self.has_condstore = False
        self.cache = {}          # mailbox -> (uidvalidity, highest, {uid: (flags, modseq)})
        self.status = {}         # mailbox -> highest seen of what only grows
        self.is_over = False
        self.code_highest = None
        self.seen_modseq = 0
        r = self.response()
        if not r.startswith(b'* OK '):
            raise Violation('greeting %r' % r)

    # --- bytes ---------------------------------------------------------------------------------------

    def note(self, way, data):
        text = data.rstrip(b'\r\n')
        if b'\n' in text:  # of a literal, what one recognises it by
            head, tail = text.split(b'\r\n', 1)
            text = head + b' ' + tail[:40].replace(b'\r\n', b'|') + b' ... ' + tail[-60:].replace(b'\r\n', b'|')
        self.history.append('%s %s' % (way, text[:600].decode('utf-8', 'backslashreplace')))

    def write(self, data):
        self.note('C:', data)
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def has_input(self, seconds=0):
        if b'\n' in self.buf:
            return True
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return bool(select.select([self.sock], [], [], seconds)[0])

    def more(self):
        try:
            data = self.sock.recv(65536)
        except (TimeoutError, socket.timeout):
            raise Violation('no answer in two minutes')
        if not data:
            raise Violation('the server ended the connection')
        self.buf += self.inflate.decompress(data) if self.inflate else data

    def response(self):
        """One response line with its literals."""
        at = 0
        while True:
            end = self.buf.find(b'\n', at)
            if end < 0:
                self.more()
                continue
            if end == 0 or self.buf[end - 1] != 13:
                raise Violation('bare LF: %r' % self.buf[:end + 1][-100:])
            m = re.search(rb'\{([0-9]+)\}\r\n$', self.buf[at:end + 1])
            if not m:
                break
            at = end + 1 + int(m.group(1))
            while len(self.buf) < at:
                self.more()
        line, self.buf = self.buf[:end + 1], self.buf[end + 1:]
        self.note('S:', line)
        return line

    # --- commands ------------------------------------------------------------------------------------

    def start(self, line, **facts):
        """Sends a command; finish() waits for its tagged reply."""
        self.hear_unasked()
        words = line.split(' ')
        is_uid = words[0] == 'UID'
        self.n_tags += 1
        c = Command(b'%s%d' % (b't', self.n_tags), words[1] if is_uid else words[0], is_uid)
        for k, v in facts.items():
            setattr(c, k, v)
        self.pending.append(c)
        self.write(c.tag + b' ' + line.encode() + b'\r\n')
        return c

    def hear_unasked(self):
        while self.has_input():
            self.handle(self.response())

    def finish(self, c, want=('OK',)):
        while c.status is None:
            self.handle(self.response())
        if c.status not in want:
            raise Violation('%s answered %s %s %s' % (c.verb, c.status, c.code, c.text))
        return c

    def run(self, line, want=('OK',), **facts):
        return self.finish(self.start(line, **facts), want)

    def login(self, user, password):
        c = self.run('LOGIN %s %s' % (user, password))
        self.run('CAPABILITY')
        return c

    def compress(self):
        self.run('COMPRESS DEFLATE')
        if self.buf:
            raise Violation('bytes after the reply to COMPRESS before anything was asked')
        self.inflate = zlib.decompressobj(-15)
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, -15)

    def enable(self, *what):
        self.run('ENABLE ' + ' '.join(what))
        for w in what:
            if w in ('CONDSTORE', 'QRESYNC') and w not in self.enabled:
                raise Violation('%s was not enabled: %s' % (w, self.enabled))

    def append(self, mailbox, messages, is_sync, want=('OK',)):
        """messages: (flags, bytes); more than one needs MULTIAPPEND."""
        self.hear_unasked()
        self.n_tags += 1
        c = Command(b't%d' % self.n_tags, 'APPEND', False)
        self.pending.append(c)
        data = c.tag + b' APPEND ' + mailbox.encode()
        for flags, body in messages:
            data += b' (%s) {%d%s}\r\n' % (' '.join(flags).encode(), len(body), b'' if is_sync else b'+')
            if is_sync:
                self.write(data)
                data = b''
                if not self.continuation(c):
                    return self.finish(c, want)
            data += body
        self.write(data + b'\r\n')
        return self.finish(c, want)

    def continuation(self, c):
        while True:
            r = self.response()
            if r.startswith(b'+ '):
                return True
            self.handle(r)
            if c.status:
                return False

    def idle_begin(self):
        c = self.start('IDLE')
        if not self.continuation(c):
            raise Violation('IDLE answered %s %s' % (c.status, c.text))
        return c

    def idle_hear(self, seconds):
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not self.has_input(left):
                return
            self.handle(self.response())

    def idle_end(self, c):
        self.write(b'DONE\r\n')
        self.finish(c)

    def select(self, name, verb='SELECT', params='', known=None, want=('OK',)):
        old = self.box
        self.remember()
        self.box = None
        box = Box(name)
        box.known = known
        c = self.start('%s %s%s' % (verb, name, params), box=box, may_hear_earlier=known is not None,
                       fetched_old=old)
        if 'CONDSTORE' in params or 'QRESYNC' in params:
            self.has_condstore = True
        return self.finish(c, want)

    def remember(self):
        """Keeps what QRESYNC needs to come back."""
        b = self.box
        if not b or 'QRESYNC' not in self.enabled or not b.uidvalidity or not b.highest:
            return
        self.cache[b.name] = (b.uidvalidity, b.highest,
                              {m.uid: (m.flags, m.modseq) for m in b.messages if m.uid})

    def unselected(self):
        self.remember()
        self.box = None

    def drop(self):
        """Goes away without a word."""
        self.remember()
        self.is_over = True
        self.sock.close()

    # --- responses -----------------------------------------------------------------------------------

    def handle(self, data):
        p = Parser(data)
        if p.skip(b'+ '):
            raise Violation('continuation that nobody asked for: %r' % data)
        if not p.skip(b'* '):
            return self.tagged(p)
        if p.d[p.i:p.i + 1].isdigit():
            n = p.number()
            p.need(b' ')
            what = p.match(ATOM, 'response')
            return self.numbered(n, what, p)
        what = p.match(ATOM, 'response').decode().upper()
        if what in ('OK', 'NO', 'BAD', 'BYE', 'PREAUTH'):
            p.need(b' ')
            code, text = p.text()
            p.end()
            if what == 'BYE':
                self.is_over = True
                if not self.pending or self.pending[0].verb != 'LOGOUT':
                    raise Violation('BYE: %r' % text)
            elif what == 'BAD':
                raise Violation('untagged BAD: %r' % text)
            elif code:
                self.untagged_code(code)
            return
        getattr(self, 'on_' + what.lower(), self.on_other)(p, what)

    def tagged(self, p):
        tag = p.match(ATOM, 'tag')
        c = next((c for c in self.pending if c.tag == tag), None)
        if not c:
            raise Violation('reply to a command that is not running: %r' % p.d[:100])
        p.need(b' ')
        c.status = p.match(ATOM, 'status').decode()
        p.need(b' ')
        c.code, c.text = p.text()
        p.end()
        if c.status not in ('OK', 'NO', 'BAD'):
            raise Violation('status %r' % c.status)
        self.pending.remove(c)
        word, _, rest = (c.code or b'').partition(b' ')
        if word == b'HIGHESTMODSEQ':
            self.code_highest = int(rest)
        if c.box:
            if c.status == 'OK':
                self.selected(c, word)
            else:
                self.box = None
        self.apply_silent(c, word, rest)
        self.note_highest()
        if c.status == 'OK' and c.verb in ('CLOSE', 'UNSELECT') and not c.is_uid:
            self.unselected()

    def note_highest(self):
        if self.box:
            if self.code_highest is not None:
                self.box.highest = self.code_highest
            else:
                self.box.highest = max(self.box.highest, self.seen_modseq)
        self.code_highest, self.seen_modseq = None, 0

    def selecting(self):
        return next((c for c in self.pending if c.box), None)

    def now_box(self):
        """Data of a mailbox: of the selected one, or of the one that is being selected."""
        c = self.selecting()
        if c and self.box is not c.box:
            if c.fetched_old and 'QRESYNC' in self.enabled:
                raise Violation('data of the new mailbox before [CLOSED]')
            self.box = c.box
        if not self.box:
            raise Violation('data of a mailbox while none is selected')
        return self.box

    def untagged_code(self, code):
        word, _, rest = code.partition(b' ')
        if word == b'CLOSED':
            c = self.selecting()
            if not c or not c.fetched_old:
                raise Violation('CLOSED, but nothing was')
            c.fetched_old = None
            self.box = c.box
        elif word == b'UIDVALIDITY':
            self.now_box().uidvalidity = int(rest)
        elif word == b'UIDNEXT':
            self.now_box().uidnext = int(rest)
        elif word == b'HIGHESTMODSEQ':
            self.now_box()
            self.code_highest = int(rest)
        elif word == b'COPYUID':
            for c in self.pending:
                if c.verb == 'MOVE':
                    c.moved = rest
        elif word == b'NOMODSEQ':
            raise Violation('NOMODSEQ')

    def selected(self, c, word):
        b = self.now_box()
        b.is_read_only = word == b'READ-ONLY'
        if word not in (b'READ-ONLY', b'READ-WRITE') or b.is_read_only != (c.verb == 'EXAMINE'):
            raise Violation('%s answered with [%s]' % (c.verb, word))
        if None in (b.uidvalidity, b.uidnext, b.first):
            raise Violation('SELECT without UIDVALIDITY, UIDNEXT or EXISTS')
        if self.has_condstore and self.code_highest is None and not b.highest:
            raise Violation('SELECT without HIGHESTMODSEQ')
        if b.known is not None:
            self.resynced(b)

    def resynced(self, b):
        """After SELECT (QRESYNC ...): what was known, less what vanished, with what is new."""
        uidvalidity, _, known = b.known
        if uidvalidity != b.uidvalidity:
            if b.earlier:
                raise Violation('VANISHED of another UIDVALIDITY')
            known = {}
            b.known = None
            return
        rows = {uid: Message(uid, *known[uid]) for uid in known if uid not in b.earlier}
        for seq, items in b.fetched:
            uid = items[b'UID']
            if uid in b.earlier:
                raise Violation('UID %d vanished and fetched' % uid)
            rows[uid] = Message(uid, items.get(b'FLAGS'), items.get(b'MODSEQ'))
        b.messages = [rows[uid] for uid in sorted(rows)]
        if len(b.messages) != b.first:
            raise Violation('after QRESYNC there are %d messages, and EXISTS says %d: known %s, vanished %s, fetched %s'
                            % (len(b.messages), b.first, sorted(known), sorted(b.earlier),
                               sorted(i[b'UID'] for _, i in b.fetched)))
        for seq, items in b.fetched:
            if b.messages[seq - 1].uid != items[b'UID']:
                raise Violation('UID %d is not number %d' % (items[b'UID'], seq))
        if rows and max(rows) >= b.uidnext:
            raise Violation('UIDNEXT %d, but there is %d' % (b.uidnext, max(rows)))
        b.known = None

    def may_expunge(self):
        if not self.pending:
            raise Violation('a message vanished while no command was running')
        for c in self.pending:
            if c.verb in ('FETCH', 'STORE', 'SEARCH') and not c.is_uid:
                raise Violation('a message vanished during %s' % c.verb)
            if c.box:
                raise Violation('a message vanished during SELECT')

    def numbered(self, n, what, p):
        if what == b'FETCH':
            p.need(b' ')
            items = p.fetch_items()
            p.end()
            return self.on_fetch(n, items)
        p.end()
        b = self.now_box()
        if what == b'EXISTS':
            if b.first is None:
                b.first = n
            if b.known is not None:
                if n != b.first:
                    raise Violation('EXISTS twice in SELECT')
                return
            if n < len(b.messages):
                raise Violation('EXISTS went from %d to %d' % (len(b.messages), n))
            b.messages += [Message() for _ in range(n - len(b.messages))]
        elif what == b'EXPUNGE':
            if 'QRESYNC' in self.enabled:
                raise Violation('EXPUNGE instead of VANISHED')
            self.may_expunge()
            if not 1 <= n <= len(b.messages):
                raise Violation('EXPUNGE %d of %d' % (n, len(b.messages)))
            self.remove(b, n - 1)
        elif what != b'RECENT':
            raise Violation('untagged %r' % what)

    def remove(self, b, at):
        if at < b.first:
            b.first -= 1
        del b.messages[at]

    def on_vanished(self, p, _):
        p.need(b' ')
        is_earlier = p.skip(b'(EARLIER) ')
        uids = p.uid_set()
        p.end()
        b = self.now_box()
        if 'QRESYNC' not in self.enabled:
            raise Violation('VANISHED, but QRESYNC is not enabled')
        if is_earlier:
            if not any(c.may_hear_earlier for c in self.pending):
                raise Violation('VANISHED (EARLIER) that nobody asked for')
            if b.known is not None:
                b.earlier |= set(uids)
            elif set(uids) & set(b.uids()):
                raise Violation('vanished earlier, but still there: %s' % (set(uids) & set(b.uids())))
            return
        self.may_expunge()
        for uid in uids:
            m = b.named(uid)
            if not m and b.messages and b.messages[-1].uid is None:
                m = b.messages[-1]  # one of those of which no uid was told
            if not m:
                raise Violation('VANISHED %d, which is not there' % uid)
            self.remove(b, b.messages.index(m))

    def on_fetch(self, n, items):
        b = self.now_box()
        for c in self.pending:
            if c.verb == 'FETCH':
                c.fetched.append((n, items))
        modseq = items.get(b'MODSEQ')
        if modseq:
            self.seen_modseq = max(self.seen_modseq, modseq)
        if b.known is not None:
            if b'UID' not in items or b'FLAGS' not in items or not modseq:
                raise Violation('FETCH in SELECT (QRESYNC) lacks something: %s' % items)
            if b.first is None or not 1 <= n <= b.first:
                raise Violation('FETCH %d of %s' % (n, b.first))
            b.fetched.append((n, items))
            return
        if not 1 <= n <= len(b.messages):
            raise Violation('FETCH %d of %d' % (n, len(b.messages)))
        m = b.messages[n - 1]
        if b'UID' in items:
            self.fetched_uid(b, n, m, items[b'UID'])
        elif 'QRESYNC' in self.enabled and b'FLAGS' in items and not self.runs('FETCH'):
            raise Violation('unasked FETCH without UID')  # RFC 7162 3.2.4
        silent = [c for c in self.pending if c.silent is not None and m in c.silent]
        for c in silent:
            c.silent[m].append((modseq, items.get(b'FLAGS')))
        if b'FLAGS' in items:
            self.fetched_flags(m, items[b'FLAGS'], modseq, silent)
        if modseq:
            if m.modseq and modseq < m.modseq:
                raise Violation('MODSEQ of %s went down to %d' % (m, modseq))
            m.modseq = modseq

    def runs(self, verb):
        return any(c.verb == verb for c in self.pending)

    def fetched_uid(self, b, n, m, uid):
        if m.uid is not None:
            if m.uid != uid:
                raise Violation('number %d was UID %d and is now %d' % (n, m.uid, uid))
            return
        before = max((x.uid for x in b.messages[:n - 1] if x.uid), default=0)
        after = min((x.uid for x in b.messages[n:] if x.uid), default=NEVER)
        if not before < uid < after:
            raise Violation('UID %d between %d and %d' % (uid, before, after))
        if n <= b.first and uid >= b.uidnext:
            raise Violation('UIDNEXT was %d, but UID %d was there' % (b.uidnext, uid))
        if n > b.first and uid < b.uidnext:
            raise Violation('UIDNEXT was %d, and then came %d' % (b.uidnext, uid))
        m.uid = uid

    def fetched_flags(self, m, flags, modseq, silent):
        if not modseq and self.has_condstore and not self.runs('FETCH'):
            raise Violation('unasked FETCH of flags without MODSEQ')  # RFC 7162 3.2
        if (modseq and modseq == m.modseq and m.flags is not None and m.flags != flags and not silent):
            raise Violation('%s has now %s with the same MODSEQ' % (m, sorted(flags)))
        m.flags = flags

    def apply_silent(self, c, word, rest):
        """A silent STORE that went well changes what it says, if nobody else did meanwhile."""
        if c.silent is None or c.status == 'BAD' or (c.status == 'NO' and word != b'EXPUNGEISSUED'):
            return
        failed = set()
        if word == b'MODIFIED':
            numbers = Parser(rest).uid_set()
            for x in numbers:
                if not c.is_uid and not 1 <= x <= len(self.box.messages):
                    raise Violation('MODIFIED %d of %d' % (x, len(self.box.messages)))
            failed = {self.box.named(x) if c.is_uid else self.box.messages[x - 1] for x in numbers}
        for m, heard in c.silent.items():
            if m in failed or m.flags is None:
                continue
            # It may be one of those that are gone: with CONDSTORE each of the others is told of.
            if not heard and (c.status == 'NO' or c.is_uid and self.has_condstore):
                m.flags = None
                continue
            last = next(((q, f) for q, f in reversed(heard) if f is not None), None)
            own = next((q for q, f in heard if f is None and q), None)
            if last is None or (last[0] and own and last[0] < own):
                m.flags = c.change(m.flags)
            elif c.change(m.flags) != m.flags and not (last[0] and own and last[0] >= own):
                m.flags = None  # before or after the change: the protocol does not say

    def on_capability(self, p, _):
        self.capabilities = set(p.d[p.i:].decode().split())
        if not {'IMAP4REV1', 'IMAP4REV2'} & {c.upper() for c in self.capabilities}:
            raise Violation('capabilities without IMAP4rev1 and IMAP4rev2')

    def on_enabled(self, p, _):
        self.enabled |= {w.upper() for w in p.d[p.i:].decode().split()}
        if 'QRESYNC' in self.enabled:
            self.enabled.add('CONDSTORE')  # RFC 7162 3.2.3
        if 'CONDSTORE' in self.enabled:
            self.has_condstore = True

    def on_search(self, p, _):
        c = self.search_command()
        out = []
        while p.skip(b' '):
            if p.skip(b'(MODSEQ '):
                p.number(2 ** 63 - 1)
                p.need(b')')
                break
            out.append(p.number())
        p.end()
        # The numbers may come in several lines (RFC 3501 7.2.5 does not say that there is one).
        c.search = (c.search or []) + out
        self.searched(c, c.search)

    def search_command(self):
        for c in self.pending:
            if c.verb == 'SEARCH':
                return c
        raise Violation('results of a search that is not running')

    def searched(self, c, numbers):
        b = self.now_box()
        if len(set(numbers)) != len(numbers):
            raise Violation('a result twice')
        if c.is_uid:
            strange = set(numbers) - set(b.uids())
            if strange and None not in b.uids():
                raise Violation('found uids that are not there: %s' % strange)
        elif any(not 1 <= n <= len(b.messages) for n in numbers):
            raise Violation('found numbers that are not there: %s of %d' % (numbers, len(b.messages)))

    def on_esearch(self, p, _):
        c = self.search_command()
        if p.skip(b' (TAG '):
            if p.quoted() != c.tag:
                raise Violation('ESEARCH of another tag')
            p.need(b')')
        if p.skip(b' UID') != c.is_uid:
            raise Violation('ESEARCH and UID do not agree')
        out = {}
        while p.skip(b' '):
            word = p.match(ATOM, 'result').decode()
            p.need(b' ')
            out[word] = p.uid_set() if word == 'ALL' else p.number(2 ** 63 - 1)
        p.end()
        if 'ALL' in out:
            self.searched(c, out['ALL'])
            if 'COUNT' in out and out['COUNT'] != len(out['ALL']):
                raise Violation('COUNT and ALL differ: %s' % out)
            if 'MIN' in out and out['MIN'] != min(out['ALL']) or 'MAX' in out and out['MAX'] != max(out['ALL']):
                raise Violation('MIN or MAX and ALL differ: %s' % out)
        c.search = out

    def on_status(self, p, _):
        p.need(b' ')
        name = p.value().decode()
        p.need(b' (')
        out = {}
        while not p.skip(b')'):
            if out:
                p.need(b' ')
            word = p.match(ATOM, 'item').decode()
            p.need(b' ')
            out[word] = p.number(2 ** 63 - 1)
        p.end()
        seen = self.status.setdefault(name.upper(), {})
        for word in ('UIDVALIDITY', 'UIDNEXT', 'HIGHESTMODSEQ'):
            if word in out:
                if out[word] < seen.get(word, 0):
                    raise Violation('%s of %s went from %d to %d' % (word, name, seen[word], out[word]))
                seen[word] = out[word]
        if out.get('UNSEEN', 0) > out.get('MESSAGES', NEVER):
            raise Violation('more unseen than there are: %s' % out)

    def on_flags(self, p, _):
        p.need(b' ')
        p.flags()
        p.end()
        self.now_box()

    def on_other(self, p, what):
        if what not in ('LIST', 'LSUB', 'NAMESPACE', 'ID', 'QUOTA', 'QUOTAROOT'):
            raise Violation('untagged %r' % p.d[:100])
        for c in self.pending:
            c.lines.append(p.d)
