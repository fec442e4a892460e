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


main('verify')
