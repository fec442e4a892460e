"""doc/*.md: their console blocks are run as they are printed."""
import mailbox

import upstream_writer
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


@contextlib.contextmanager
def serving_in(d):
    """The server of these documents, in config and data of d."""
    s = Serve(dir=os.path.join(d, 'config')).start()
    try:
        s.stop()
        s.set_conf('DataDir: data', 'DataDir: ../data')
        s.start()
        assert s.command('setaccountpassword', 'ann', input='ann password\n')[0] == 0
        yield s
    finally:
        s.close()


@test
def installing():
    with directory() as d, shell_in(d, MOX_RESOLVER='127.0.0.9') as shell:
        # Not as long as it may take here, where there is no network, and not as a user that is not there.
        follow(os.path.join(DOC, 'install.md'), shell, lambda text: text.replace(
            'mox quickstart you@example.org', 'mox quickstart -skipdial -hostname mail.example.org you@example.org ' + USER))


@test
def operation():
    with directory() as d, serving_in(d), shell_in(d) as shell:
        follow(os.path.join(DOC, 'operation.md'), shell, lambda text: text.replace('/home/mox', d))


@test
def backup_and_restore():
    with directory() as d, serving_in(d) as s:
        c = s.login('ann')
        c.append('INBOX', None, None, b'Subject: kept\r\n\r\nhello\r\n')
        c.logout()
        with shell_in(d) as shell:
            follow(os.path.join(DOC, 'backup.md'), shell, lambda text: text.replace('/home/mox', d))


@test
def moving_in():
    with directory() as d, serving_in(d):
        box = mailbox.mbox(os.path.join(d, 'old.mbox'))
        for i in range(2):
            box.add('Subject: %d\n\nhi\n' % i)
        box.close()
        mailbox.Maildir(os.path.join(d, 'Maildir')).add('Subject: m\n\nhi\n')
        with open(os.path.join(d, 'readme.txt'), 'w') as f:
            f.write('no mail\n')
        mailboxes, messages, files, subscriptions = upstream_writer.sample(120)
        upstream_writer.write(os.path.join(d, 'upstream', 'data'), 'ann',
                              upstream_writer.Bolt().write(upstream_writer.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        now, body, data = int(time.time()), b'Subject: waits\r\n\r\nhi\r\n', os.path.join(d, 'upstream', 'data')
        far = {'IP': b'', 'Domain': {'ASCII': 'far.example'}}
        upstream_writer.write_server(
            data, 'queue/index.db', {1: body}, Suppression=[{'ID': 1, 'Created': now, 'Account': 'ann', 'BaseAddress': 'no@far.example', 'OriginalAddress': 'no@far.example'}],
            Msg=[{'ID': 1, 'Queued': now, 'SenderAccount': 'ann', 'SenderLocalpart': 'ann', 'SenderDomain': far, 'RecipientLocalpart': 'x', 'RecipientDomain': far,
                  'NextAttempt': now + 86400, 'Hold': True, 'Size': len(body)}])
        upstream_writer.write_server(data, 'dmarcrpt.db', DomainFeedback=[
            {'ID': 1, 'Domain': 'far.example', 'FromDomain': 'far.example', 'PolicyPublished': {'Domain': 'far.example', 'Policy': 'none'},
             'ReportMetadata': {'ReportID': '1', 'DateRange': {'Begin': now - 86400, 'End': now}}}])
        with shell_in(d) as shell:
            follow(os.path.join(DOC, 'import.md'), shell, lambda text: text.replace('/home/mox', d))


main('docs')
