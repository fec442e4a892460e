"""The running processes as the kernel sees them: filters, privileges, descriptors; as root and not."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
from harness import *
from serving import Serve, serving, started_on_demand

# What may be behind a descriptor, besides the standard three: per role, patterns of /proc/<pid>/fd.
ANY = [r'socket:', r'anon_inode:\[eventpoll\]', r'anon_inode:\[eventfd\]', r'anon_inode:\[signalfd\]',
       r'/memfd:.*', r'/dev/null']
ALLOWED = {
    'keys': ANY + [r'.*/data/acme'], 'dkim': ANY, 'front': ANY, 'session-template': ANY, 'session imap': ANY, 'session smtp': ANY,
    'spare session': ANY,
    'admin': ANY + [r'.*/data/admin(/admin\.db.*)?'], 'resolve': ANY + [r'pipe:.*'], 'dial': ANY, 'deliver-template': ANY,
    'web-template': ANY + [r'.*/web'], 'web 127': ANY + [r'.*/web'], 'spare web': ANY + [r'.*/web'],
    'auth': ANY + [r'.*/data/auth(/auth\.db.*)?'],
    'queue': ANY + [r'.*/data/queue(/queue\.db.*)?'],
    'account-template': ANY + [r'.*/data/accounts'],
    'account ': ANY + [r'.*/data/accounts/\w+(/account\.db.*)?'],
}
ON_DEMAND = ('resolve', 'dial', 'deliver-template', 'dkim')
OF_HTTP = ('web-template', 'web 127', 'spare web')  # with the first connection; that serve has no port for it
HTTP = 1080


def status(pid):
    with open('/proc/%d/status' % pid) as f:
        return dict(l.rstrip('\n').split(':\t', 1) for l in f if ':\t' in l)


def busy(s):
    """One of each: a session of SMTP and IMAP before login, and an account."""
    held = [s.connect(SMTP), s.connect(IMAP), s.login('ann') if isinstance(s, Serve) else s.imap()]
    held[0].expect('220')
    held[1].line()
    return held


def check_all(s, goes_out):
    held = busy(s)
    for role in ON_DEMAND + OF_HTTP:
        # Nobody is asked, and nothing is sent out; keys are looked at, if there are any.
        assert role == 'dkim' or not s.pids('mox: ' + role), role
    if not goes_out:
        held.append(s.connect(HTTP))
        held[-1].write('GET /admin/ HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert held[-1].line() == 'HTTP/1.1 200 OK'
        while len(s.pids('mox: spare web')) < 2:
            assert s.process.poll() is None
    for role in ON_DEMAND if goes_out else ():
        started_on_demand(s, role)
    for role in ALLOWED:
        pids = s.pids('mox: ' + role)
        if role in (OF_HTTP if goes_out else ON_DEMAND):
            continue
        if role == 'session-template':
            pids = pids[:1]
        assert any(os.path.exists('/proc/%d' % pid) for pid in pids), role
        for pid in pids:
            try:
                st = status(pid)
            except OSError:
                continue  # one that has just ended
            assert st['Seccomp'].strip() == '2', (role, st['Seccomp'])
            assert st['NoNewPrivs'].strip() == '1', role
            assert int(st['CapEff'], 16) == 0 and int(st['CapPrm'], 16) == 0, (role, st['CapEff'])
            if os.geteuid() == 0:  # the process is not dumpable: only root can look
                try:
                    fds = os.listdir('/proc/%d/fd' % pid)
                except OSError:
                    continue
                for fd in fds:
                    if int(fd) <= 2:
                        continue
                    try:
                        target = os.readlink('/proc/%d/fd/%s' % (pid, fd))
                    except OSError:
                        continue
                    assert any(re.fullmatch(p + ('.*' if p == 'socket:' else ''), target)
                               for p in ALLOWED[role]), (role, target)
    for c in held:
        c.close() if isinstance(c, Wire) else c.logout()


@test
def every_role_is_confined():
    with running() as s:
        check_all(s, False)
    with serving() as s:
        check_all(s, True)


@test
def every_role_is_confined_without_root():
    if os.geteuid() != 0:
        return
    # The program where nobody can read it, and a directory that is nobody's.
    d = tempfile.mkdtemp(prefix='mox-nobody-')
    program = os.path.join(d, 'mox')
    shutil.copy(MOX, program)
    os.chmod(d, 0o755)
    os.chmod(program, 0o755)
    own = os.path.join(d, 'own')
    os.mkdir(own)
    os.chown(own, 65534, 65534)
    wrapper = os.path.join(d, 'run')
    with open(wrapper, 'w') as f:
        f.write('#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups %s "$@"\n' % program)
    os.chmod(wrapper, 0o755)
    s = Server(dir=own, mox=wrapper)
    try:
        s.start()
        for pid in s.pids('mox: '):
            assert status(pid)['Uid'].split()[0] == '65534'
        check_all(s, False)
        s.send()
        assert s.imap().select('INBOX')[1] == [b'1']
    finally:
        s.close()
        shutil.rmtree(d, ignore_errors=True)


@test
def one_account_cannot_reach_anothers_directory():
    """Landlock of a running account process: its own directory, and nothing beside it."""
    with running() as s:
        s.imap()
        pid = s.pids('mox: account mox')[0]
        # Its root for files is a rule of the kernel; what we can see from outside is where it stands.
        assert os.readlink('/proc/%d/cwd' % pid).endswith('/data/accounts/mox')


main('roles')
