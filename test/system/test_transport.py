"""Routes and transports: which mail goes which way, and what happens there; what is told about TLS on the way."""
import base64
import hmac

from metrics import scrape, value
from outside import *

TRANSPORTS = '''Transports:
	relay:
		Submissions:
			Host: relay.example
			Port: 4650
			Auth:
				Username: ann
				Password: secret
	cram:
		SMTP:
			Host: relay.example
			Port: 2500
			STARTTLSInsecureSkipVerify: true
			Auth:
				Username: ann
				Password: secret
				Mechanisms:
					- PLAIN
	clear:
		SMTP:
			Host: relay.example
			Port: 2500
			NoSTARTTLS: true
	strict:
		Submission:
			Host: relay.example
			Port: 2500
	never:
		Fail:
			SMTPCode: 550
			SMTPMessage: not from here
	later:
		Fail:
			SMTPCode: 451
	proxy:
		Socks:
			Address: %s:1080
			RemoteIPs:
				- 127.0.0.1
			RemoteHostname: proxy.example.org
	four:
		Direct:
			DisableIPv6: true
'''
ROUTES = [('cram.example', 'cram'), ('relay.example', 'relay'), ('clear.example', 'clear'), ('strict.example', 'strict'),
          ('.never.example', 'never'), ('later.example', 'later'), ('socks.example', 'proxy'), ('four.example', 'four')]


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-transport-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        self.internet = Internet([Zone('relay.example', '@ A %s\n' % ip(1)), Zone('socks.example', '@ MX 10 mx\nmx A %s\n' % ip(2)),
                                  Zone('four.example', '@ MX 10 mx\nmx A %s\nmx AAAA ::1\n' % ip(2))])

    def __enter__(self):
        self.internet.start()
        self.s = Serve(env=dict(self.internet.env, SSL_CERT_FILE=self.ca.file, MOX_SMTP_TIMEOUT_MS='60000'))
        self.s.start()
        self.s.stop()
        self.s.set_conf('\t\tSMTP:\n', '\t\tMetricsHTTP:\n\t\t\tEnabled: true\n\t\tSMTP:\n')
        with open(os.path.join(self.s.dir, 'mox.conf'), 'a') as f:
            f.write(TRANSPORTS % ip(5))
        with open(os.path.join(self.s.dir, 'domains.conf'), 'a') as f:
            f.write('Routes:\n' + ''.join('\t-\n\t\tToDomain:\n\t\t\t- %s\n\t\tTransport: %s\n' % r for r in ROUTES))
        self.s.start()
        code, _, err = self.s.command('setaccountpassword', 'ann', input='ann password\n')
        assert code == 0, err
        return self

    def __exit__(self, *_):
        self.s.close()
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)


out = in_world(World)


def login(mechanism, password='secret'):
    """AUTH as a server has it."""
    def hook(c, line):
        if not line.startswith('AUTH'):
            return False
        words = line.split()
        assert words[1] == mechanism, line
        if mechanism == 'PLAIN':
            ok = base64.b64decode(words[2]) == b'\0ann\0' + password.encode()
        else:
            challenge = b'<1.2@relay.example>'
            c.say('334 ' + base64.b64encode(challenge).decode())
            name, digest = base64.b64decode(c.f.readline()).decode().split()
            ok = name == 'ann' and digest == hmac.new(password.encode(), challenge, 'md5').hexdigest()
        c.say('235 2.7.0 welcome' if ok else '535 5.7.8 no')
        return True
    return hook


@out
def submissions_with_a_login(w, s, start):
    with Sink(1, port=4650, immediate=True, tls=w.ca.context('relay.example'), extensions=EXTENSIONS + ('AUTH PLAIN CRAM-MD5',),
              hook=login('CRAM-MD5')) as sink:
        submit(s, 'bob@relay.example')
        assert sink.wait()[0][1] == ['RCPT TO:<bob@relay.example>'] and sink.messages[0][3]
    with Sink(1, port=4650, immediate=True, tls=w.ca.context('relay.example'), extensions=EXTENSIONS + ('AUTH CRAM-MD5',),
              hook=login('CRAM-MD5', 'another')) as sink:
        submit(s, 'wrong@relay.example')
        line = outcome(s, 'wrong@relay.example', start)
        assert 'put off' in line and '5.7.8' in line or '4.7.8' in line, line
        assert not sink.messages
    with Sink(1, port=4650, immediate=True, tls=w.ca.context('relay.example'), extensions=EXTENSIONS + ('AUTH PLAIN',)) as sink:
        submit(s, 'plain@relay.example')  # which the transport does not name
        line = outcome(s, 'plain@relay.example', start)
        assert 'put off' in line and 'none of the mechanisms' in line, line
        assert not any(l.startswith('AUTH') for c in sink.connections for l in c)
    page, found = scrape(s, 8010)
    assert value(found, 'queue_delivery_duration_seconds_count', transport='relay', result='ok') >= 1, page


@out
def relays_are_verified_as_configured(w, s, start):
    with Sink(1, port=4650, immediate=True, tls=w.ca.context('other.example'), hook=login('CRAM-MD5'),
              extensions=EXTENSIONS + ('AUTH CRAM-MD5',)) as sink:
        submit(s, 'name@relay.example')
        line = outcome(s, 'name@relay.example', start)
        assert 'put off' in line and '4.7.5' in line, line
        assert not sink.messages and not any('AUTH' in l for c in sink.connections for l in c)
    with Sink(1, port=2500, tls=w.ca.context('other.example'), plain_extensions=(),
              extensions=EXTENSIONS + ('AUTH PLAIN',), hook=login('PLAIN')) as sink:
        submit(s, 'bob@cram.example')
        assert sink.wait()[0][3]
    with Sink(1, port=2500) as sink:
        submit(s, 'bob@strict.example')
        line = outcome(s, 'bob@strict.example', start)
        assert 'put off' in line and 'STARTTLS' in line, line
        submit(s, 'bob@clear.example')
        assert sink.wait()[0][1] == ['RCPT TO:<bob@clear.example>']
        # What must have TLS does not go without, and a report about it neither (RFC 8689 5).
        c = smtplib.SMTP_SSL(s.ip, SUBMISSIONS, context=insecure_context(), timeout=WAIT)
        c.login('ann@example.org', 'ann password')
        for sender, to, status in (('ann@example.org', 'must@clear.example', '5.7.30'), ('', 'report@clear.example', '5.7.10')):
            c.sendmail(sender, to, 'From: <ann@example.org>\r\n\r\nhello\r\n', mail_options=['REQUIRETLS'])
            line = outcome(s, to, start)
            assert 'failed' in line and status in line, line
        c.quit()
        assert len(sink.wait()) == 1, sink.connections


@out
def transports_that_fail(w, s, start):
    submit(s, 'bob@never.example')
    assert 'failed' in outcome(s, 'bob@never.example', start) and '5.7.0' in outcome(s, 'bob@never.example', start)
    submit(s, 'bob@under.never.example')
    assert 'not from here' in outcome(s, 'bob@under.never.example', start)
    submit(s, 'bob@later.example')
    assert 'put off' in outcome(s, 'bob@later.example', start)


@out
def direct_with_one_family(w, s, start):
    with Sink(2) as sink:
        submit(s, 'bob@four.example')
        sink.wait()
        assert 'AAAA' not in [l.split('type=')[1].split()[0] for l in s.log_text(start).splitlines()
                              if 'name=mx.four.example' in l and 'type=' in l]


@out
def by_way_of_a_proxy(w, s, start):
    """SOCKS5 as RFC 1928 has it, by a few lines of our own."""
    asked = []
    listener = socket.create_server((ip(5), 1080))

    def pump(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            assert c.recv(3) == b'\x05\x01\x00'
            c.sendall(b'\x05\x00')
            request = c.recv(10)
            to = (socket.inet_ntoa(request[4:8]), int.from_bytes(request[8:10], 'big'))
            asked.append(to)
            try:
                server = socket.create_connection(to)
            except OSError:
                c.sendall(b'\x05\x05\x00\x01' + b'\0' * 6)
                c.close()
                continue
            c.sendall(b'\x05\x00\x00\x01' + b'\0' * 6)
            threading.Thread(target=pump, args=(c, server), daemon=True).start()
            threading.Thread(target=pump, args=(server, c), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        with Sink(2) as sink:
            submit(s, 'bob@socks.example')
            sink.wait()
            assert asked == [(ip(2), 25)] and sink.connections[0][0] == 'EHLO proxy.example.org', (asked, sink.connections)
        submit(s, 'none@socks.example')
        line = outcome(s, 'none@socks.example', start)
        assert 'put off' in line and 'proxy' in line, line
    finally:
        listener.close()


@out
def routes_are_taken_over_while_it_runs(w, s, start):
    path = os.path.join(s.dir, 'domains.conf')
    with open(path) as f:
        text = f.read()
    rewrite(path, text + '\t-\n\t\tToDomain:\n\t\t\t- new.example\n\t\tTransport: never\n')
    s.wait_log('domains config reloaded', start)
    submit(s, 'bob@new.example')
    assert 'not from here' in outcome(s, 'bob@new.example', start)


last(out)


main('transport')
