#!/usr/bin/env python3
"""Imports many small messages, a million unless told otherwise, and prints rate and peak memory.

    test/load/import_million.py [messages [mbox|tgz|maildir]]

Not part of `make test`: `make bench-import`.
"""
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
from harness import *


def message(i):
    return (b'From: Writer %d <writer%d@list.example>\nTo: list@list.example\nSubject: topic %d\nMessage-ID: <%d@list.example>\n'
            b'In-Reply-To: <%d@list.example>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\n' % (i % 997, i % 997, i // 8, i, i - i % 8)
            + b'A short text about topic %d, the answer number %d.\nWith regards, writer %d.\n' % (i // 8, i % 8, i % 997))


def make(path, kind, n):
    if kind == 'mbox':
        with open(path, 'wb') as f:
            for i in range(n):
                f.write(b'From w@list.example Mon Jan  2 15:04:05 2006\n' + message(i) + b'\n')
    elif kind == 'tgz':
        with tarfile.open(path, 'w:gz', compresslevel=1) as t:
            for i in range(n):
                info = tarfile.TarInfo('Many/cur/%d.%d.x:2,S' % (1000000000 + i, i))
                info.size = len(message(i))
                t.addfile(info, io.BytesIO(message(i)))
    else:
        for d in ('new', 'cur', 'tmp'):
            os.makedirs(os.path.join(path, d))
        for i in range(n):
            with open('%s/cur/%d.%d.x:2,S' % (path, 1000000000 + i, i), 'wb') as f:
                f.write(message(i))


def peak_mib(pid):
    """Its own memory, now, and all that was ever mapped in at once, of which most is the database."""
    try:
        with open('/proc/%d/status' % pid) as f:
            text = f.read()
            return [int(re.search(name + r':\s+(\d+)', text)[1]) / 1024 for name in ('RssAnon', 'VmHWM')]
    except (OSError, TypeError):
        return [0, 0]


def most(*peaks):
    return [max(p) for p in zip(*peaks)]


def cpu_seconds(pid):
    with open('/proc/%d/stat' % pid) as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000
    kind = sys.argv[2] if len(sys.argv) > 2 else 'mbox'
    with running() as s, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'mail.tgz' if kind == 'tgz' else 'mail')
        make(path, kind, n)
        s.imap().logout()
        args = ['archive', 'mox', path] if kind == 'tgz' else [kind, 'mox', 'Many', path]
        start = time.monotonic()
        p = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'import', *args], env=s.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        command = account = [0, 0]
        last = ''
        for line in p.stderr:
            last = line
            if line.endswith('0000...\n') or 'of' in line:
                command = most(command, peak_mib(p.pid))
                account = most(account, *[peak_mib(pid) for pid in s.pids('mox: account mox')])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = p.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert code == 0 and last == '%d imported\n' % n, last
        took = time.monotonic() - start
        account = most(account, *[peak_mib(pid) for pid in s.pids('mox: account mox')])
        cpu = [after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, sum(cpu_seconds(pid) for pid in s.pids('mox: account mox'))]
        c = s.imap()
        assert b'MESSAGES %d ' % n in c.status('Many', '(MESSAGES UNSEEN)')[1][0]
        size = os.path.getsize(s.dir + '/data/accounts/mox/account.db')
        print('%d messages of %d bytes from a %s: %.0f s, %.0f messages/s; peak memory (with mapped files): command %.0f (%.0f) MiB, account %.0f (%.0f) MiB; account.db %.0f MiB; processor time: command %.1f s, account %.1f s'
              % (n, len(message(n // 2)), kind, took, n / took, *command, *account, size / 2 ** 20, *cpu))


if __name__ == '__main__':
    main()
