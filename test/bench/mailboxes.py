"""
Full mailboxes, the same for both servers: a mixture of sizes and structures, about 19 kB on average,
each message different.
"""
import base64
import os
import random
import shutil
import socket
import threading
import time

WORDS = ('mail server message queue header folder letter account reply forward attachment meeting report '
         'invoice holiday project budget release review schedule question answer morning evening').split()


def text(r, n):
    lines, size = [], 0
    while size < n:
        lines.append(' '.join(r.choice(WORDS) for _ in range(10)))
        size += len(lines[-1]) + 2
    return '\r\n'.join(lines) + '\r\n'


# Bodies repeat, so that making them is not what takes time.
TEXTS = [text(random.Random(n), n) for n in (1500, 2500, 4000, 6000, 9000, 12000, 3000, 5000)]
PAPER = base64.encodebytes(random.Random(1).randbytes(90000)).decode().replace('\n', '\r\n')


def make(number):
    """Message number so and so, as bytes."""
    r = random.Random(number)
    plain = TEXTS[number % 8]
    head = ('Return-Path: <person%d@example.net>\r\n'
            'Received: from mail%d.example.net (mail%d.example.net [192.0.2.%d])\r\n'
            '\tby mx.example.org with ESMTPS id %x for <mox@example.org>;\r\n\tTue, 14 Jul 2026 10:%02d:%02d +0000\r\n'
            'From: Person %d <person%d@example.net>\r\nTo: Mox <mox@example.org>, list%d@example.org\r\n'
            'Subject: %s %d\r\nDate: Tue, 14 Jul 2026 %02d:%02d:%02d +0000\r\nMessage-ID: <%d.%x@example.net>\r\n'
            'User-Agent: bench/1\r\nMIME-Version: 1.0\r\n' %
            (number % 500, number % 7, number % 7, number % 250, number, number // 60 % 60, number % 60,
             number % 500, number % 500, number % 20, ' '.join(r.choice(WORDS) for _ in range(4)), number,
             number // 3600 % 24, number // 60 % 60, number % 60, number, r.getrandbits(64)))
    if number % 10 < 6:
        return (head + 'Content-Type: text/plain; charset=utf-8\r\n\r\nNumber %d\r\n' % number + plain).encode()
    parts = [('text/plain; charset=utf-8', '', plain),
             ('text/html; charset=utf-8', '', '<html><body><p>' + TEXTS[(number + 3) % 8] + '</p></body></html>\r\n')]
    if number % 10 == 9:
        parts.append(('application/pdf; name="paper%d.pdf"' % number,
                      'Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="paper.pdf"\r\n',
                      PAPER))
    edge = '=_edge_%d' % number
    out = head + 'Content-Type: multipart/%s; boundary="%s"\r\n\r\n' % ('mixed' if len(parts) == 3 else 'alternative', edge)
    for kind, more, body in parts:
        out += '--%s\r\nContent-Type: %s\r\n%s\r\n%s' % (edge, kind, more, body)
    return (out + '--%s--\r\n' % edge).encode()


def append(server, mailbox, first, n, connections=16):
    """Over several connections, each with a window of commands under way, so that commits are shared."""
    window = 8

    def work(part):
        s = socket.create_connection((server.ip, server.imap))
        f = s.makefile('rb')
        f.readline()
        s.sendall(b'l LOGIN %s %s\r\n' % (server.login.encode(), server.password.encode()))

        def answer(tag):
            while not (line := f.readline()).startswith(tag + b' '):
                if not line:
                    raise SystemExit('filling a mailbox: connection ended')
            if not line.startswith(tag + b' OK'):
                raise SystemExit('filling a mailbox: %r' % line)
        answer(b'l')
        waiting = 0
        for i in range(part, n, connections):
            m = make(first + i)
            s.sendall(b'a APPEND %s {%d+}\r\n%s\r\n' % (mailbox.encode(), len(m), m))
            waiting += 1
            if waiting == window:
                answer(b'a')
                waiting -= 1
        for _ in range(waiting):
            answer(b'a')
        s.close()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def write_maildir(directory, owner, first, n):
    for sub in ('cur', 'new', 'tmp'):
        os.makedirs(os.path.join(directory, sub), exist_ok=True)
        shutil.chown(os.path.join(directory, sub), owner, owner)
    shutil.chown(directory, owner, owner)
    open(os.path.join(directory, 'maildirfolder'), 'w').close()
    for i in range(first, first + n):
        # As Dovecot itself delivers: lines end in LF alone, and the name has both sizes.
        sent = make(i)
        m = sent.replace(b'\r\n', b'\n')
        name = '%d.M%06dP1.bench,S=%d,W=%d:2,' % (1784023200 + i, i % 1000000, len(m), len(sent))
        path = os.path.join(directory, 'cur', name)
        with open(path, 'wb') as f:
            f.write(m)
        shutil.chown(path, owner, owner)


def expunge(server, mailbox):
    with socket.create_connection((server.ip, server.imap)) as s, s.makefile('rb') as f:
        f.readline()
        for command in ('LOGIN %s %s' % (server.login, server.password), 'SELECT ' + mailbox,
                        'UID STORE 1:* +FLAGS.SILENT (\\Deleted)', 'EXPUNGE'):
            s.sendall(b'x %s\r\n' % command.encode())
            while not (line := f.readline()).startswith(b'x '):
                if not line:
                    raise SystemExit('emptying a mailbox: connection ended')
    time.sleep(2)  # what is gone is tidied up behind the answer
