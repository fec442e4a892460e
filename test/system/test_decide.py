"""What the server decides about mail from outside, with a DNS of its own: each reason, seen by sender and user."""
from world import *


def text(subject, name=None, sender='ann@sender.example', to='ann@example.org', body='hello', more=''):
    name = name or subject.replace(' ', '-')
    return ('From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@test>\r\n%s\r\n'
            '%s\r\n' % (sender, to, subject, name, more, body))


@contextlib.contextmanager
def deciding(rules='', destination='nil', conf=()):
    """The server with rules for ann; destination: of her address."""
    with World() as world, serving(env=world.internet.env, conf=conf) as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            old = f.read()
        new = old.replace('\tann:\n\t\tDomain: example.org\n', '\tann:\n\t\tDomain: example.org\n\t\tRejectsMailbox: Rejects\n' + rules)
        new = new.replace('ann@example.org: nil', 'ann@example.org:' + (' nil' if destination == 'nil' else '\n' + destination))
        assert new != old
        with open(path, 'w') as f:
            f.write(new)
        s.wait_log('domains config reloaded')
        yield world, s


def eventually(what, *args):
    """Waits until what gives something: a reject is kept after the sender has its answer."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        got = what(*args)
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError('nothing came of %s %s' % (what.__name__, args))


def headers(s, mailbox, who='ann'):
    c = s.login(who)
    try:
        if c.select(mailbox)[0] != 'OK':
            return []
        n = c.search(None, 'ALL')[1][0].split()
        return [(c.fetch(i.decode(), '(FLAGS)')[1][0], c.fetch(i.decode(), '(BODY.PEEK[HEADER])')[1][0][1]) for i in n]
    finally:
        c.logout()


def reason_of(raw):
    m = re.search(rb'^X-Mox-Reason: ([^;\r\n]*)', raw, re.M)
    assert m, raw
    return m.group(1).decode().strip()


def mark(s, mailbox, flag, which='1:*'):
    c = s.login('ann')
    c.select(mailbox)
    c.store(which, '+FLAGS', flag)
    c.logout()


@test
@needs_dns
def strangers_and_those_who_are_known():
    """No bad signs; then what the user says of the message decides about the next one."""
    with deciding() as (world, s):
        send(s, world.signed(text('first')))
        flags, raw = headers(s, 'INBOX')[-1]
        assert reason_of(raw) == 'no-bad-signals' and raw.startswith(b'X-Mox-Reason: '), raw
        mark(s, 'INBOX', '$NotJunk')
        send(s, world.signed(text('second')))
        assert reason_of(headers(s, 'INBOX')[-1][1]) == 'msgfromfull'
        conf = os.path.join(s.dir, 'mox.conf')
        why = run(MOX, '-config', conf, 'message', 'why', 'ann', 'inbox', '2').stdout.splitlines()
        assert why[0].split() == 'reputation msgfromfull: good; 0 of 1 earlier messages were junk'.split(), why
        assert why[-1].split() == ['decision', 'accept:', 'msgfromfull'], why
        assert run(MOX, '-config', conf, 'message', 'why', 'ann', 'Inbox', '9', ok=False).returncode == 1
        # Somebody else of the domain, and somebody else without a signature.
        send(s, world.signed(text('third', sender='bob@sender.example')))
        assert reason_of(headers(s, 'INBOX')[-1][1]) == 'msgfromdomain'
        mark(s, 'INBOX', '$Junk')
        send(s, world.signed(text('fourth')), want='451')
        w = eventually(headers, s, 'Rejects')
        assert len(w) == 1 and reason_of(w[0][1]) == 'msgfromfull' and b'\\Seen' in w[0][0], w
        send(s, world.signed(text('fourth')), want='451')  # the same again: one copy
        # The user changes her mind: the message comes, and its copy goes.
        c = s.login('ann')
        c.select('INBOX')
        c.store('1:*', '-FLAGS', '$Junk')
        c.logout()
        mark(s, 'INBOX', '$NotJunk')
        send(s, world.signed(text('fourth')))
        assert not headers(s, 'Rejects')
        assert b'fourth' in headers(s, 'INBOX')[-1][1]


@test
@needs_dns
def policy_of_the_senders_domain():
    with deciding() as (world, s):
        send(s, text('forged'), source=OTHER, hello='liar.example', want='550')
        assert reason_of(eventually(headers, s, 'Rejects')[0][1]) == 'dmarc-policy'
        assert not headers(s, 'INBOX')


@test
@needs_dns
def networks_and_block_lists():
    dnsbl = ('\t\t\tFirstTimeSenderDelay: 0s\n', '\t\t\tFirstTimeSenderDelay: 0s\n\t\t\tDNSBLs:\n\t\t\t\t- bl.example\n')
    with deciding(conf=[dnsbl]) as (world, s):
        send(s, text('listed', sender='x@plain.example'), source=LISTED, hello='mx.plain.example', sender='x@plain.example',
             want='451')
        assert reason_of(eventually(headers, s, 'Rejects')[0][1]) == 'dns-blocklisted'
        # A network that sent junk twice.
        for i in range(2):
            send(s, text('ad %d' % i, sender='a%d@plain.example' % i), source=OTHER, hello='somebody.example', sender='')
        mark(s, 'INBOX', '$Junk')
        send(s, text('ad 3', sender='b@elsewhere.example'), source=OTHER, hello='somebody.example', sender='', want='451')
        assert any(reason_of(r) == 'ip1' for _, r in eventually(lambda: headers(s, 'Rejects')[1:]))


@test
@needs_dns
def rulesets():
    rulesets = ('\t\t\t\tRulesets:\n'
                '\t\t\t\t\t-\n\t\t\t\t\t\tHeadersRegexp:\n\t\t\t\t\t\t\t^list-id$: <chat\\.\n\t\t\t\t\t\tVerifiedDomain: sender.example\n'
                '\t\t\t\t\t\tListAllowDomain: sender.example\n\t\t\t\t\t\tMailbox: Lists/Chat\n'
                '\t\t\t\t\t-\n\t\t\t\t\t\tMsgFromRegexp: ^forged@\n\t\t\t\t\t\tAcceptRejectsToMailbox: Bad\n\t\t\t\t\t\tMailbox: Good\n')
    with deciding(destination=rulesets) as (world, s):
        send(s, world.signed(text('list', more='List-Id: <CHAT.sender.example>\r\n')))
        assert reason_of(headers(s, 'Lists/Chat')[0][1]) == 'list-allow'
        send(s, text('bad', sender='forged@sender.example'), source=OTHER, hello='x.example')
        flags, raw = headers(s, 'Bad')[0]
        assert reason_of(raw) == 'dmarc-policy' and b'\\Seen' in flags, (flags, raw)
        assert not headers(s, 'Rejects')


@test
@needs_dns
def introbox_and_rejects_are_left_by_moving():
    with deciding(rules='\t\tIntrobox: New\n') as (world, s):
        send(s, world.signed(text('stranger')))
        assert not headers(s, 'INBOX')
        c = s.login('ann')
        c.select('New')
        assert c.uid('MOVE', '1', 'INBOX')[0] == 'OK'
        c.logout()
        flags, _ = headers(s, 'INBOX')[0]
        assert b'$NotJunk' in flags, flags
        send(s, world.signed(text('known')))
        assert reason_of(headers(s, 'INBOX')[-1][1]) == 'msgfromfull'


@test
@needs_dns
def members_of_a_list_decide_together():
    """What one member takes all get; what none takes each keeps as a reject."""
    with deciding() as (world, s):
        send(s, world.signed(text('first')))
        mark(s, 'INBOX', '$Junk')
        send(s, world.signed(text('to ann')), want='451')
        send(s, world.signed(text('to both', to='both@example.org')), to='both@example.org')
        assert b'to both' in headers(s, 'INBOX')[-1][1]
        assert b'to both' in headers(s, 'INBOX', 'bob')[-1][1]
        # Recipients of their own: what ann refuses does not come to her by way of the queue.
        w = s.connect(SMTP, source=GOOD)
        w.expect('220')
        w.cmd('EHLO mx.sender.example', '250')
        w.cmd('MAIL FROM:<ann@sender.example>', '250')
        w.cmd('RCPT TO:<ann@example.org>', '250')
        w.cmd('RCPT TO:<bob@example.org>', '250')
        w.cmd('DATA', '354')
        w.write(world.signed(text('to each')) + '.\r\n')
        assert w.f.read(3) == b'250'
        w.f.close()
        w.sock.close()
        assert b'to each' in headers(s, 'INBOX', 'bob')[-1][1]
        assert any(b'to each' in raw for _, raw in eventually(lambda: headers(s, 'Rejects')[1:]))
        queued = run(MOX, '-config', os.path.join(s.dir, 'mox.conf'), 'queue', 'list').stdout
        assert 'ann@example.org' in queued and '451' in queued, queued
        assert not any(b'to each' in raw for _, raw in headers(s, 'INBOX'))


main('decide')
