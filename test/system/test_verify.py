"""What the server finds out about senders: SPF, DKIM, DMARC, reverse names and block lists, in a DNS of its own."""
from world import *


@test
@needs_dns
def what_was_found_out_is_written_down():
    with World() as world, serving(env=world.internet.env) as s:
        send(s, world.signed(MESSAGE % ('right', 'r1')))
        fields = newest(s)
        results = field(fields, 'Authentication-Results')
        assert results.startswith('mail.example.org;'), results
        for part in ('iprev=pass', 'policy.iprev=' + GOOD, 'dkim=pass', 'header.d=sender.example', 'header.s=sel', 'spf=pass',
                     'smtp.mailfrom=ann@sender.example', 'dmarc=pass', 'header.from=sender.example', 'with dnssec'):
            assert part in results, (part, results)
        assert field(fields, 'Received-SPF').startswith('pass '), fields
        assert [n for n, _ in fields][:5] == ['Delivered-To', 'Return-Path', 'Authentication-Results', 'Received-SPF',
                                              'Received'] or 'X-Mox-Reason' == fields[0][0], fields
        # From elsewhere, unsigned, under a reverse name that is not one's own.
        send(s, MESSAGE % ('wrong', 'w1'), source=OTHER, hello='somebody.example', want=('250', '550', '451'))
        s.wait_log('iprev=fail')
        log = [l for l in s.log_text().splitlines() if 'sender checked' in l][-1]
        assert 'spf=fail' in log and 'dmarc=fail' in log and 'iprev=fail' in log, log


@test
@needs_dns
def the_body_is_signed_too():
    with World() as world, serving(env=world.internet.env) as s:
        message = world.signed(MESSAGE % ('changed', 'c1'))
        send(s, message.replace('hello', 'hallo'))
        results = field(newest(s), 'Authentication-Results')
        assert 'dkim=fail' in results and 'spf=pass' in results and 'dmarc=pass' in results, results
        big = message.replace('Subject: changed', 'Subject: big').split('\r\n\r\n', 1)[1]
        text = world.signed(MESSAGE % ('big', 'b1') + 'line of text\r\n' * 60000)
        send(s, text)
        assert 'dkim=pass' in field(newest(s), 'Authentication-Results'), big


@test
@needs_dns
def lists_are_asked_when_they_are_healthy():
    conf = [('\t\t\tFirstTimeSenderDelay: 0s\n', '\t\t\tFirstTimeSenderDelay: 0s\n\t\t\tDNSBLs:\n\t\t\t\t- bl.example\n\t\t\t\t- dead.example\n')]
    with World() as world, serving(env=world.internet.env, conf=conf) as s:
        send(s, MESSAGE % ('x', 'l1'), source=LISTED, sender='x@plain.example', want=('250', '451', '550'))
        s.wait_log('listed=bl.example')
        assert 'list is not healthy' in s.log_text() and 'zone=dead.example' in s.log_text()
        send(s, world.signed(MESSAGE % ('x', 'l2')))
        log = [l for l in s.log_text().splitlines() if 'sender checked' in l][-1]
        assert 'listed=""' in log, log


@test
@needs_dns
def several_recipients_are_for_senders_that_are_known():
    with World() as world, serving(env=world.internet.env) as s:
        for source, code in ((GOOD, '250'), (OTHER, '452 4.5.3')):
            w = s.connect(SMTP, source=source)
            w.smtp_hello()
            w.cmd('MAIL FROM:<ann@sender.example>', '250')
            w.cmd('RCPT TO:<ann@example.org>', '250')
            w.cmd('RCPT TO:<bob@example.org>', code)
            w.close()


@test
@needs_dns
def a_name_after_helo_must_exist():
    with World() as world, serving(env=world.internet.env) as s:
        w = s.connect(SMTP)
        w.expect('220')
        w.cmd('HELO nothing.sender.example', '550 5.5.0')
        w.cmd('HELO mx.sender.example', '250')
        w.cmd('EHLO nothing.sender.example', '250')  # those who speak SMTP of this century may err
        w.close()


@test
@needs_dns
def fields_that_claim_to_be_ours_are_not_believed_by_us():
    """Injection through what a stranger says of himself."""
    with World() as world, serving(env=world.internet.env) as s:
        send(s, 'Authentication-Results: mail.example.org; dmarc=pass\r\n' + MESSAGE % ('claim', 'f1'), source=OTHER,
             hello='[IPv6:2001:db8::1]', sender='"a;dmarc=pass (b"@plain.example', want=('250', '550', '451'))
        log = [l for l in s.log_text().splitlines() if 'sender checked' in l][-1]
        assert 'dmarc=fail' in log, log


NO_FIELD = 'authentication-results : MAIL.example.org;\r\n\tspf=pass\r\n'  # for us, but for others
CLAIMS = ('Authentication-Results: mail.example.org; dmarc=pass\r\n'
          'Authentication-Results:\r\n (x) "mail.example.org" 1; none\r\n'
          'Authentication-Results: elsewhere.example 2; dkim=pass\r\n'
          'Received-SPF: pass (true) client-ip=127.66.0.2;\r\n\treceiver=mail.example.org; identity=mailfrom\r\n'
          'X-Mox-Reason: msgfromfull\r\n')
OTHERS = ('Authentication-Results: mx.elsewhere.example; spf=pass smtp.mailfrom=mail.example.org\r\n'
          'Received-SPF: pass (true) receiver=mx.elsewhere.example;\r\n')


@test
@needs_dns
def what_is_said_in_our_name_is_removed():
    """RFC 8601 5: what others say stays, and so does every other byte."""
    with World() as world, serving(env=world.internet.env) as s:
        body = 'Authentication-Results: mail.example.org; in the body\r\n' + 'line of text\r\n' * 30000
        header, _, start = (MESSAGE % ('claims', 'f2')).partition('\r\n\r\n')
        whole = world.signed(OTHERS + CLAIMS + header + '\r\n' + CLAIMS + '\r\n' + start + body)
        send(s, NO_FIELD + whole)
        c = s.login('ann')
        c.select('INBOX')
        raw = c.fetch('1', '(BODY.PEEK[])')[1][0][1].decode()
        signature = whole.partition('Authentication-Results')[0]
        assert raw.endswith('\r\n' + signature + OTHERS + header + '\r\n\r\n' + start + body), raw[:3000]
        fields = fields_of(raw.partition('\r\n\r\n')[0])
        assert len([n for n, _ in fields if n.lower() == 'authentication-results']) == 2, fields
        results = field(fields, 'Authentication-Results')
        assert results.startswith('mail.example.org;') and 'dkim=pass' in results, results  # as it was signed
        assert [v for n, v in fields if n == 'X-Mox-Reason'] == [fields[0][1]] and 'msgfromfull' not in fields[0][1], fields
        assert len([n for n, _ in fields if n == 'Received-SPF']) == 2, fields
        # All there is; and a message without a body, whose last line is such a field.
        for message in ('X-Mox-Reason: x\r\n\r\nbody\r\n', 'Subject: x\r\nX-Mox-Reason: x\r\n'):
            send(s, message, sender='')
            assert len([n for n, _ in newest(s) if n == 'X-Mox-Reason']) == 1
        # From our own user to our own user it is no better.
        w = s.connect(SUBMISSIONS)
        w = Wire(insecure_context().wrap_socket(w.sock))
        w.smtp_hello()
        w.cmd('AUTH PLAIN ' + base64.b64encode(b'\0bob@example.org\0bob password').decode(), '235')
        w.cmd('MAIL FROM:<bob@example.org>', '250')
        w.cmd('RCPT TO:<ann@example.org>', '250')
        w.cmd('DATA', '354')
        w.write(NO_FIELD + CLAIMS + 'From: <bob@example.org>\r\nSubject: from bob\r\n\r\nhello\r\n.\r\n')
        w.expect('250')
        w.close()
        s.wait_log('uid=4')
        fields = newest(s)
        assert field(fields, 'Subject') == 'from bob'
        assert [v for n, v in fields if n == 'Authentication-Results'] == ['mail.example.org; auth=pass smtp.mailfrom=bob@example.org'], fields
        assert not [n for n, _ in fields if n in ('X-Mox-Reason', 'Received-SPF')], fields
        c.logout()


@test
@needs_dns
def a_header_is_looked_at_to_its_end():
    """What we did not see of it, others would."""
    with World() as world, serving(env=world.internet.env) as s:
        long = ''.join('X-Filler-%d: %s\r\n' % (i, 'x' * 900) for i in range(400))
        how = dict(source=OTHER, sender='')
        send(s, long + MESSAGE % ('forged', 'h1'), want='550', **how)
        send(s, long + CLAIMS + MESSAGE % ('long', 'h2'))
        fields = newest(s)
        assert len([n for n, _ in fields if n.lower() == 'authentication-results']) == 1 and field(fields, 'Subject') == 'long'
        assert Attempt(s, long + long + MESSAGE % ('longer', 'h3')).wait().startswith('552 5.3.4')
        # As many claims and addresses as there is room for.
        many = 'X-Mox-Reason:\r\n' * 34000
        send(s, many + 'Subject: many\r\n\r\n', sender='')
        assert field(newest(s), 'Subject') == 'many'
        send(s, 'From: %s\r\nSubject: all\r\n\r\n' % ',\r\n '.join(['a@x.example'] * 30000), sender='')
        assert field(newest(s), 'Subject') == 'all'


# Each says to some reader that it is of sender.example, which wants such a message refused.
FORGED = [
    'From: <ann@sender.example>',
    'fRoM:\r\n\t<ann@SENDER.Example>',
    'From: <ann@sender.example>\r\nFrom: <x@plain.example>',
    'From: <x@plain.example>\r\nFrom: <ann@sender.example>',
    'From: <x@plain.example>, <ann@sender.example>',
    'From: friends: <x@plain.example>, <ann@sender.example>;',
    'From : <ann@sender.example>\r\nFrom: <x@plain.example>',
    'From: ann (of) @ sender . example',
    'From: <@relay.example:ann@sender.example>',
    'From: "ann"@sender.example',
    'From: <ann@sender.example.>',
    'From: <ann@below.sender.example>',
    'From: ' + 'x' * 5000 + ' <ann@sender.example>',
    'From: =?utf-8?q?=41nn?= <ann@sender.example>',
    'From: <ann@sender.example>\r\nSender: <x@plain.example>\r\nDate: x\r\nDate: y',
]
# And these do not.
HARMLESS = [
    'From: =?utf-8?q?ann=40sender.example?= <x@plain.example>',
    'From: "ann@sender.example" (ann@sender.example) <x@plain.example>',
    'From: <x@plain.example>\r\nSender: <ann@sender.example>\r\nSender: <ann@sender.example>',
    'From: <x@plain.example>, <y@other.example>',
    'Reply-To: <ann@sender.example>',
]


@test
@needs_dns
def a_message_has_one_author():
    """Whatever a header makes of it: RFC 7489 6.6.1, and all the ways in which readers differ."""
    with World() as world, serving(env=world.internet.env) as s:
        how = dict(source=OTHER, sender='')
        attempts = [Attempt(s, f + '\r\nSubject: %d\r\n\r\nhello\r\n' % i, **how) for i, f in enumerate(FORGED)]
        # What was signed by its author, and sent again under another name: the signature signs From twice.
        again = world.signed(MESSAGE % ('again', 'r1'))
        attempts.append(Attempt(s, 'From: <x@plain.example>\r\n' + again, **how))
        attempts.append(Attempt(s, 'Subject: another\r\n' + again, **how))
        end = time.monotonic() + WAIT
        while s.log_text().count('reason=dmarc-policy') < len(attempts):
            assert time.monotonic() < end and not [a.message for a in attempts if a.reply.startswith('250')], s.log_text()[-3000:]
            time.sleep(0.05)
        send(s, again, **how)  # as it was, it is still his
        for i, f in enumerate(HARMLESS):
            send(s, f + '\r\nSubject: %d\r\n\r\nhello\r\n' % i, **how)
        assert 'dmarc=none' in field(newest(s), 'Authentication-Results')
        many = 'From: ' + ', '.join('<a@a%d.example>' % i for i in range(6)) + '\r\n\r\n'
        assert Attempt(s, many, **how).wait().startswith('550 5.6.0')


@test
@needs_dns
def who_passed_a_message_on():
    """ARC: a forwarder's seal, and the next one's on it; and what was changed after them."""
    with World() as world, serving(env=world.internet.env) as s:
        m = 'Authentication-Results: mx.signer.example; dkim=pass header.d=sender.example\r\n' + world.signed(MESSAGE % ('sealed', 'a1'))
        once = world.signed(m, 'signer.example', seals_for='mx.signer.example')
        send(s, once, sender='')
        results = field(newest(s), 'Authentication-Results')
        assert 'arc=pass smtp.remote-ip=' + GOOD in results and 'dmarc=pass' in results, results
        twice = world.signed('Authentication-Results: mx.sub.example; arc=pass\r\n' + once, 'sub.sender.example', seals_for='mx.sub.example')
        send(s, twice, sender='')
        assert 'arc=pass' in field(newest(s), 'Authentication-Results')
        conf = os.path.join(s.dir, 'mox.conf')
        why = run(MOX, '-config', conf, 'message', 'why', 'ann', 'Inbox', '2').stdout.splitlines()
        assert why[0].split() == 'arc pass: passed on 2 times, last by sub.sender.example'.split(), why
        send(s, twice.replace('hello', 'hallo'), sender='ann@sender.example')
        results = field(newest(s), 'Authentication-Results')
        assert 'arc=fail' in results and 'the hash of the body does not fit' in results, results
        why = run(MOX, '-config', conf, 'message', 'why', 'ann', 'Inbox', '3').stdout.splitlines()
        assert why[0].split() == 'arc fail: a chain of 2'.split(), why
        # As upstream: a chain alone, by whomever, makes no message of a domain that refuses it welcome.
        changed = once.replace('hello', 'hallo')
        sealed = world.signed('Authentication-Results: mx.sub.example; arc=fail\r\n' + changed, 'sub.sender.example', seals_for='mx.sub.example')
        send(s, sealed.replace('Subject: sealed', 'Subject: [list] sealed'), source=OTHER, sender='', want='550')


main('verify')
