"""
Messages passed on to other servers: lists with members there, from outside and from users; the sender's address
rewritten and decoded again; circles.
"""
import sys

from harness import *
from serving import *

LISTS = '''			away:
				Addresses:
					- Far@far.example
					- ann@example.org
				PostPublic: true
			others:
				Addresses:
					- one@far.example
					- two@other.example
				PostPublic: true
			closed:
				Addresses:
					- one@far.example
'''


@contextlib.contextmanager
def forwarding():
    with Internet([Zone('elsewhere.example', '@ TXT "v=spf1 +all"'),
                   Zone('strict.example', '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"')]) as internet:
        s = Serve(env=dict(internet.env)).start()
        try:
            s.stop()
            path = os.path.join(s.dir, 'domains.conf')
            with open(path) as f:
                text = f.read()
            with open(path, 'w') as f:
                f.write(text.replace('\t\t\tteam:\n', LISTS + '\t\t\tteam:\n'))
            assert s.command('config', 'test')[1] == 'config OK\n', s.command('config', 'test')
            s.start()
            for name in ('ann', 'bob'):
                assert s.command('setaccountpassword', name, input=name + ' password\n')[0] == 0
            yield s
        finally:
            s.close()


def incoming(s, sender, to, text='Subject: x\r\n\r\nhi\r\n', code='250'):
    w = s.connect(SMTP)
    w.expect('220')
    w.cmd('EHLO elsewhere.example', '250')
    w.cmd('MAIL FROM:<%s>' % sender, '250')
    for r in [to] if isinstance(to, str) else to:
        got = w.cmd('RCPT TO:<%s>' % r, code if code == '550 5.7.1' else '250')
    if code == '550 5.7.1':
        w.close()
        return
    w.cmd('DATA', '354')
    w.write(('From: <%s>\r\n' % (sender or 'postmaster@far.example') + text + '.\r\n').encode())
    reply = w.reply()
    w.close()
    assert reply[-1].startswith(code) if isinstance(reply, list) else reply.startswith(code), reply


def queued(s, n):
    """[(sender, recipient)] of the queue, when there are n."""
    deadline = time.monotonic() + WAIT
    while True:
        out = s.command('queue', 'list')[1]
        found = re.findall(r'from:?\s*(\S+)\s+to:?\s*(\S+)', out)
        rows = [l for l in out.splitlines() if '@' in l]
        if len(rows) >= n:
            return rows
        assert time.monotonic() < deadline, out
        time.sleep(0.05)


@test
@needs_dns
def lists_with_members_elsewhere():
    with forwarding() as s:
        incoming(s, 'Al+x@elsewhere.example', 'away@example.org')
        print(queued(s, 1), file=sys.stderr)
        c = s.login('ann')
        c.select('Inbox')
        print(c.search(None, 'ALL'), file=sys.stderr)


main('forward')
