"""IMAP as it is on the wire, for tests that look at every byte."""
import os
import re

from harness import IMAP, LOGIN, PASSWORD, server

# Under the address sanitizer what was freed is kept for a while.
MEMORY_IS_NOT_REAL = 'ASAN_OPTIONS' in os.environ


def session(s=None, enable=''):
    """A connection that has logged in, to the shared server or another."""
    w = (s or server()).connect(IMAP)
    w.line()
    w.imap_cmd('l LOGIN %s %s' % (LOGIN, PASSWORD))
    if enable:
        w.imap_cmd('l ENABLE ' + enable)
    return w


def append(w, box, n=1, flags=''):
    """Small messages, each with a number in its fields and its text."""
    for i in range(n):
        body = 'From: a%d@example.org\r\nSubject: s%d\r\n\r\nbody %d\r\n' % (i, i, i)
        w.write('p APPEND %s %s{%d+}\r\n%s\r\n' % (box, flags and '(%s) ' % flags, len(body), body))
        assert w.imap_until('p')[-1].startswith('p OK')


class Client:
    """IMAP as it is on the wire, with literals taken apart: a FETCH response as nested Python lists."""

    def __init__(self, s, mailbox=None, messages=()):
        self.w = s.connect(IMAP)
        self.w.line()
        self.n = 0
        self.cmd('LOGIN %s %s' % (LOGIN, PASSWORD))
        if mailbox:
            self.cmd('DELETE ' + mailbox, None)
            self.cmd('CREATE ' + mailbox)
            for m in messages:
                self.append(mailbox, m)
            self.cmd('SELECT ' + mailbox)

    def append(self, mailbox, message, flags='', want='OK'):
        self.n += 1
        self.w.write(b'%d APPEND %s %s{%d+}\r\n' % (self.n, mailbox.encode(), flags.encode(), len(message)) +
                     message + b'\r\n')
        return self.finish(want)

    def response(self):
        """One response: text with its literals in place, as bytes."""
        out = b''
        while True:
            line = self.w.f.readline()
            if not line:
                raise AssertionError('connection ended after %r' % out)
            out += line
            m = re.search(rb'\{(\d+)\}\r\n$', line)
            if not m:
                return out[:-2]
            out += self.w.f.read(int(m.group(1)))

    def finish(self, want='OK'):
        lines = []
        tag = b'%d ' % self.n
        while not lines or not lines[-1].startswith(tag):
            lines.append(self.response())
        assert want is None or lines[-1].split()[1] == want.encode(), lines[-3:]
        return lines

    def cmd(self, line, want='OK'):
        self.n += 1
        self.w.write(b'%d ' % self.n + (line.encode() if isinstance(line, str) else line) + b'\r\n')
        return self.finish(want)

    def fetch(self, what, number=1, want='OK', uid=False):
        """The items of one message as a dictionary."""
        lines = self.cmd('%sFETCH %d (%s)' % ('UID ' if uid else '', number, what), want)
        for l in lines[:-1]:
            m = re.match(rb'\* %d FETCH ' % number, l)
            if m:
                items = parse(l[m.end():])[0]
                return dict(zip(items[::2], items[1::2]))
        return {}

    def one(self, what, number=1):
        f = self.fetch(what, number)
        f.pop('UID')
        f.pop('FLAGS', None)
        assert len(f) == 1, f
        return list(f.values())[0]


def parse(text):
    """Lists, strings (bytes), atoms (str), NIL (None), in order."""
    at, stack = 0, [[]]
    while at < len(text):
        c = text[at:at + 1]
        if c == b' ':
            at += 1
        elif c == b'(':
            stack.append([])
            at += 1
        elif c == b')':
            done = stack.pop()
            stack[-1].append(done)
            at += 1
        elif c == b'"':
            m = re.compile(rb'"((?:[^"\\\r\n]|\\["\\])*)"').match(text, at)
            assert m, text[at:at + 50]
            stack[-1].append(re.sub(rb'\\(.)', rb'\1', m.group(1)))
            at = m.end()
        else:
            m = re.compile(rb'~?\{(\d+)\}\r\n').match(text, at)
            if m:
                n = int(m.group(1))
                stack[-1].append(text[m.end():m.end() + n])
                assert len(stack[-1][-1]) == n
                at = m.end() + n
            else:
                # An atom; "BODY[HEADER.FIELDS (X)]<0>" is one with its brackets.
                m = re.compile(rb'[^ ()"\[]+(\[[^\]]*\](<\d+>)?)?').match(text, at)
                assert m, text[at:at + 50]
                atom = m.group(0).decode()
                stack[-1].append(None if atom == 'NIL' else atom)
                at = m.end()
    assert len(stack) == 1, 'parentheses'
    return stack[0]
