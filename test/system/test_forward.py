"""
Messages passed on to other servers: lists with members there, from outside and from users; the sender's address
rewritten, and decoded again for what comes back; circles.
"""
from outside import *
from signing import *

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
KEY = Key('sel', 'rsa', 'elsewhere.example')
OWN = Key('own', 'rsa', 'example.org')
DKIM = '''		DKIM:
			Selectors:
				own:
					Canonicalization:
						HeaderRelaxed: true
						BodyRelaxed: true
					PrivateKeyFile: own.pem
			Sign:
				- own
'''
RECORDS = {k.name: k.record for k in (KEY, OWN)}
MX = '@ MX 10 mx\nmx A %s\n'


@contextlib.contextmanager
def forwarding():
    zones = [Zone('elsewhere.example', '@ TXT "v=spf1 +all"\n' + MX % ip(1) + KEY.zone_line()),
             Zone('example.org', OWN.zone_line()),
             Zone('far.example', MX % ip(2)), Zone('other.example', MX % ip(3)),
             Zone('victim.example', MX % ip(1)),
             Zone('strict.example', '@ TXT "v=spf1 -all"\n_dmarc TXT "v=DMARC1; p=reject"\n')]
    with Internet(zones) as internet:
        s = Serve(env=internet.env).start()
        try:
            s.stop()
            path = os.path.join(s.dir, 'domains.conf')
            with open(path) as f:
                text = f.read()
            with open(path, 'w') as f:
                f.write(text.replace('\t\t\tteam:\n', LISTS + '\t\t\tteam:\n')
                        .replace('\texample.org:\n', '\texample.org:\n' + DKIM))
            with open(os.path.join(s.dir, 'own.pem'), 'w') as f:
                f.write(OWN.pem)
            assert s.command('config', 'test')[1] == 'config OK\n', s.command('config', 'test')
            s.start()
            for name in ('ann', 'bob'):
                assert s.command('setaccountpassword', name, input=name + ' password\n')[0] == 0
            yield s
        finally:
            s.close()


def incoming(s, sender, to, message, code='250', source='127.0.0.1'):
    w = s.connect(SMTP, source)
    w.expect('220')
    w.cmd('EHLO mx.elsewhere.example', '250')
    w.cmd('MAIL FROM:<%s>' % sender, '250')
    w.cmd('RCPT TO:<%s>' % to, '250')
    w.cmd('DATA', '354')
    w.write(message + b'.\r\n')
    reply = w.expect(code)
    w.close()
    return reply


def text(sender, subject='x', more=''):
    return ('From: <%s>\r\nSubject: %s\r\n%s\r\nhi\r\n' % (sender, subject, more)).encode()


def signed(message):
    field, = judge([{'do': 'sign', 'message': b64(message), 'selector': 'sel', 'domain': 'elsewhere.example',
                     'key': b64(KEY.for_dkimpy()), 'canonical': ['relaxed', 'simple'], 'algorithm': 'rsa-sha256'}])
    return base64.b64decode(field) + message


def inbox(s, name, n):
    c = s.login(name)
    deadline = time.monotonic() + WAIT
    while int(c.select('Inbox')[1][0]) < n:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    got = [c.fetch(str(i + 1), '(BODY.PEEK[])')[1][0][1] for i in range(int(c.select('Inbox')[1][0]))]
    c.logout()
    return got


@test
@needs_dns
def what_goes_out_comes_back():
    with forwarding() as s, Sink(2) as far, Sink(1) as elsewhere:
        incoming(s, 'Al+x@elsewhere.example', 'away@example.org', signed(text('al@elsewhere.example')))
        mail, rcpts, data, _ = far.wait()[0]
        path = re.match(r'MAIL FROM:<(SRS0=\w{8}=\w\w=elsewhere\.example=Al\+x@example\.org)>', mail).group(1)
        assert rcpts == ['RCPT TO:<Far@far.example>'], rcpts
        assert data.count(b'Delivered-To: away@example.org\r\n') == 1 and b'dmarc=' in data and b'spf=pass' in data, data
        assert judge([{'do': 'verify', 'message': b64(data), 'records': RECORDS}]) == [[True]], data
        # Sealed: what was found, in the name of the list's domain. It comes round to another list, and is sealed again.
        seal = lambda m: judge([{'do': 'arc', 'message': b64(m), 'records': RECORDS}])[0]
        assert data.count(b'ARC-Seal:') == 1 and seal(data)[0] == 'pass', (seal(data), data)
        assert re.search(rb'ARC-Authentication-Results: i=1; mail\.example\.org;(.*\r\n\s)*.*spf=pass', data), data
        assert seal(data.replace(b'\r\n\r\nhi', b'\r\n\r\nho'))[0] != 'pass'
        with Sink(3):
            incoming(s, 'other@elsewhere.example', 'others@example.org', data)
            again = far.wait(2)[1][2]
        assert again.count(b'ARC-Seal:') == 2 and b'cv=pass' in again and seal(again)[0] == 'pass', (seal(again), again)
        own, = inbox(s, 'ann', 1)
        assert b'Return-Path: <Al+x@elsewhere.example>' in own, own
        # A report comes back, whatever has become of upper case; and nothing else does.
        incoming(s, '', path.lower(), text('mailer@far.example', 'failed'))
        mail, rcpts, data, _ = elsewhere.wait()[0]
        assert mail.startswith('MAIL FROM:<>') and rcpts == ['RCPT TO:<al+x@elsewhere.example>'], (mail, rcpts)
        assert b'Subject: failed' in data
        w = s.connect(SMTP)
        w.expect('220')
        w.cmd('EHLO mx.elsewhere.example', '250')
        w.cmd('MAIL FROM:<spam@elsewhere.example>', '250')
        w.cmd('RCPT TO:<%s>' % path, '550 5.7.1')
        w.close()
        for forged in (path.replace('=elsewhere', '=other'), 'SRS0=aaaaaaaa=aa=elsewhere.example=al@example.org',
                       path.replace('Al', 'Bo')):
            incoming(s, '', forged, text('mailer@far.example'), '550 5.1.1')
        assert len(elsewhere.messages) == 1
        # Of a chain that is broken the seal says so, and the message goes on (RFC 8617 5.1.2).
        incoming(s, 'other@elsewhere.example', 'away@example.org', signed(text('al@elsewhere.example', more='ARC-Seal: x\r\n')))
        data = far.wait(3)[2][2]
        assert data.count(b'ARC-Seal:') == 2 and b'cv=fail' in data, data


@test
@needs_dns
def a_failure_is_told_to_who_sent_it():
    with forwarding() as s, Sink(2, says={'RCPT': '550 5.1.1 nobody'}) as far, Sink(3) as other, Sink(1) as elsewhere:
        incoming(s, 'al@elsewhere.example', 'others@example.org', text('al@elsewhere.example', 'lost'))
        assert other.wait()[0][1] == ['RCPT TO:<two@other.example>']
        mail, rcpts, data, _ = elsewhere.wait()[0]
        assert mail.startswith('MAIL FROM:<>') and rcpts == ['RCPT TO:<al@elsewhere.example>'], (mail, rcpts)
        assert b'one@far.example' in data and b'5.1.1' in data, data
        assert judge([{'do': 'verify', 'message': b64(data), 'records': RECORDS}]) == [[True]], data
        far.wait_line('RCPT TO:<ONE@FAR.EXAMPLE>')
        # Nobody has proved that this one sent it: whoever is behind that address hears nothing.
        incoming(s, 'al@victim.example', 'others@example.org', text('al@victim.example', 'in your name'))
        s.wait_log('a message is gone and its sender not told')
        assert other.wait(2)[1][1] == ['RCPT TO:<two@other.example>']
        assert len(elsewhere.messages) == 1 and 'victim.example' not in s.command('queue', 'list')[1], elsewhere.messages
        # Nor does anybody of a report that cannot be delivered (RFC 5321 4.5.5).
        start = len(s.log_text())
        elsewhere.says['RCPT'] = ['550 5.1.1 no such sender']
        incoming(s, 'al@elsewhere.example', 'others@example.org', text('al@elsewhere.example', 'lost again'))
        s.wait_log('a message is gone and its sender not told', start)
        deadline = time.monotonic() + WAIT
        while '(none)' not in (waiting := s.command('queue', 'list')[1]):
            assert time.monotonic() < deadline, waiting
            time.sleep(0.05)


@test
@needs_dns
def users_write_to_members_elsewhere():
    with forwarding() as s, Sink(2) as far, Sink(3) as other:
        submit(s, ['others@example.org'], subject='to the others')
        for sink, to in ((far, 'one@far.example'), (other, 'two@other.example')):
            mail, rcpts, data, _ = sink.wait()[0]
            assert mail.startswith('MAIL FROM:<ann@example.org>') and rcpts == ['RCPT TO:<%s>' % to], (mail, rcpts)
        submit(s, ['away@example.org'], subject='away')
        assert far.wait(2)[1][1] == ['RCPT TO:<Far@far.example>']
        assert b'Subject: away' in inbox(s, 'ann', 1)[0]
        # What the sender asks to be told goes along, but success once only (RFC 3461 5.2.7.3).
        for sink in (far, other):
            sink.extensions.append('DSN')
        asked = 'NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;list@example.org'
        submit(s, ['others@example.org'], rcpt_options=asked)
        assert far.wait(3)[2][1] == ['RCPT TO:<one@far.example> ' + ' '.join(asked)]
        assert other.wait(2)[1][1] == ['RCPT TO:<two@other.example> NOTIFY=FAILURE ' + asked[1]]
        submit(s, ['away@example.org'], rcpt_options=['NOTIFY=SUCCESS'])
        assert far.wait(4)[3][1] == ['RCPT TO:<Far@far.example> NOTIFY=NEVER']
        assert b'Action: expanded' in inbox(s, 'ann', 3)[2] + inbox(s, 'ann', 3)[1]
        # For members only; one of them is at another server.
        incoming(s, 'al@elsewhere.example', 'closed@example.org', text('al@elsewhere.example'), '550 5.7.2')
        incoming(s, 'al@elsewhere.example', 'closed@example.org', text('One@FAR.example'))
        assert far.wait(5)[4][1] == ['RCPT TO:<one@far.example>']


@test
@needs_dns
def circles_and_what_would_be_held_against_us():
    with forwarding() as s, Sink(2) as far:
        sender = 'al@elsewhere.example'
        incoming(s, sender, 'others@example.org', text(sender, more='Delivered-To: Others@Example.org\r\n'), '550 5.4.6')
        incoming(s, sender, 'away@example.org', text(sender, more='Delivered-To: away@example.org\r\n'), '250')
        assert len(inbox(s, 'ann', 1)) == 1  # the member here is none of the circle's business
        incoming(s, sender, 'others@example.org', text(sender, more='Received: x\r\n' * 101), '550 5.4.6')
        incoming(s, 'x@strict.example', 'others@example.org', text('x@strict.example'), '550 5.7.1')
        # What came of it: nothing has left.
        assert not far.messages and 'far.example' not in s.command('queue', 'list')[1]


main('forward')
