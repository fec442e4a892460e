"""doc/*.md: their console blocks are run as they are printed."""
import sqlite3

from docs import *
from serving import *

DOC = os.path.join(ROOT, 'doc')


@contextlib.contextmanager
def shell_in(directory, **env):
    """A shell that finds this test's program as mox."""
    bin = os.path.join(directory, 'bin')
    os.makedirs(bin)
    os.symlink(MOX, os.path.join(bin, 'mox'))
    s = Shell(dict(os.environ, PATH=bin + ':' + os.environ['PATH'], **env), cwd=directory)
    try:
        yield s
    finally:
        s.close()


@contextlib.contextmanager
def directory():
    d = tempfile.mkdtemp(prefix='mox-docs-')
    os.chmod(d, 0o711)
    try:
        yield d
    finally:
        shutil.rmtree(d, ignore_errors=True)


@test
def installing():
    with directory() as d, shell_in(d, MOX_RESOLVER='127.0.0.9') as shell:
        # Not as long as it may take here, where there is no network, and not as a user that is not there.
        follow(os.path.join(DOC, 'install.md'), shell, lambda text: text.replace(
            'mox quickstart you@example.org', 'mox quickstart -skipdial -hostname mail.example.org you@example.org ' + USER))


@test
def operation():
    with directory() as d:
        s = Serve(dir=os.path.join(d, 'config')).start()
        try:
            s.stop()
            s.set_conf('DataDir: data', 'DataDir: ../data')
            s.start()
            assert s.command('setaccountpassword', 'ann', input='ann password\n')[0] == 0
            c = s.login('ann')
            c.append('INBOX', None, None, b'Subject: kept\r\n\r\nhello\r\n')
            c.logout()
            with shell_in(d) as shell:
                follow(os.path.join(DOC, 'operation.md'), shell, lambda text: text.replace('/home/mox', d))
            drill = os.path.join(d, 'drill', 'data', 'accounts', 'ann', 'account.db')
            with contextlib.closing(sqlite3.connect(drill)) as db:
                assert db.execute("SELECT count(*) FROM email").fetchone() == (1,)
        finally:
            s.close()


main('docs')
