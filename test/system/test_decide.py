"""
What the server decides about mail from outside, with a DNS of its own: each reason of mox-smtp-delivery.md 2.1 and 2.2, as the
sender and the user see it. All tests share a server; each has accounts of its own, for what one has seen is nothing to the other.
"""
import sqlite3

import harness
from metrics import scrape, value
from world import *

LISTS = '''					-
						HeadersRegexp:
							^list-id$: <chat\\.
						VerifiedDomain: sender.example
						ListAllowDomain: sender.example
						Mailbox: Lists/Chat
					-
						MsgFromRegexp: ^forged@
						AcceptRejectsToMailbox: Bad
						Mailbox: Good
'''
FORWARDS = '''					-
						SMTPMailFromRegexp: ^owner@proved\\.plain\\.example$
						VerifiedDomain: proved.plain.example
						IsForward: true
						Mailbox: Forwarded
'''
FILTER = '''		JunkFilter:
			Threshold: 0.8
			Params:
				Onegrams: true
				MaxPower: 0.01
				TopWords: 10
				IgnoreWords: 0.1
				RareWords: 2
'''
TOKENS = '\t\tSubjectPass:\n\t\t\tPeriod: 12h\n'
# What accounts have besides a mailbox for rejects, and their addresses.
ACCOUNTS = {
    'ann': ('', 'nil'), 'bob': ('', 'nil'), 'new': ('\t\tIntrobox: New\n', 'nil'), 'carl': ('', 'nil'), 'dora': ('', 'nil'),
    'lists': ('', '\n\t\t\t\tRulesets:\n' + LISTS), 'forwards': ('', '\n\t\t\t\tRulesets:\n' + FORWARDS),
    'strict': ('', '\n\t\t\t\tMessageAuthRequiredSMTPError: prove who you are\n'),
    'domains': ('', 'nil'), 'orgs': ('', 'nil'), 'writes': ('', 'nil'), 'signs': ('', 'nil'), 'sends': ('', 'nil'), 'nets': ('', 'nil'),
    'near': ('', 'nil'), 'names': ('', 'nil'), 'rate': ('', 'nil'), 'content': (FILTER, 'nil'), 'tokens': (TOKENS, 'nil'),
    'calm': ('\t\tNoFirstTimeSenderDelay: true\n', 'nil'), 'broken': (TOKENS + FILTER, 'nil'), 'arc': ('', 'nil'),
}
DOMAINS = '''Domains:
	example.org:
		Aliases:
			both:
				Addresses:
					- carl@example.org
					- dora@example.org
				PostPublic: true
Accounts:
''' + ''.join('''	%s:
		Domain: example.org
		RejectsMailbox: Rejects
%s		Destinations:
			%s@example.org: %s
''' % (name, rules, name, destination) for name, (rules, destination) in ACCOUNTS.items())
DELAY_S = 2
PATIENT = '''	patient:
		IPs:
			- %%s
		SMTP:
			Enabled: true
			Port: 1025
			NoSTARTTLS: true
			FirstTimeSenderDelay: %ds
	endless:
		IPs:
			- %%s
		SMTP:
			Enabled: true
			Port: 1025
			NoSTARTTLS: true
			FirstTimeSenderDelay: 1h
Postmaster:
''' % DELAY_S


class Deciding(Serve):
    """The server of this suite, in a world of its own. patient: where strangers wait; endless: until they go."""

    def __init__(self):
        self.world = World().__enter__()
        super().__init__(env=self.world.internet.env)
        self.clients = {}
        super().start()
        self.stop()
        self.patient, self.endless = free_ip(), free_ip()
        self.set_conf('\t\t\tFirstTimeSenderDelay: 0s\n', '\t\t\tFirstTimeSenderDelay: 0s\n\t\t\tDNSBLs:\n\t\t\t\t- bl.example\n'
                      '\t\tMetricsHTTP:\n\t\t\tEnabled: true\n')
        self.set_conf('Postmaster:\n', PATIENT % (self.patient, self.endless))
        with open(os.path.join(self.dir, 'domains.conf'), 'w') as f:
            f.write(DOMAINS)
        self.start()

    def imap_of(self, who):
        """The one connection of a user, with a password that she gets the first time."""
        if who not in self.clients:
            code, _, err = self.command('setaccountpassword', who, input=who + ' password\n')
            assert code == 0, err
            self.clients[who] = self.login(who)
        return self.clients[who]

    def messages(self, who, mailbox='INBOX'):
        """Flags and header of each message, oldest first."""
        c = self.imap_of(who)
        ok, n = c.select(mailbox)
        if ok != 'OK' or n == [b'0']:
            return []
        data = c.fetch('1:*', '(FLAGS BODY.PEEK[HEADER])')[1]
        return [(d[0] + data[i + 1], d[1]) for i, d in enumerate(data) if isinstance(d, tuple)]

    def mark(self, who, flag, mailbox='INBOX', op='+FLAGS', which='1:*'):
        c = self.imap_of(who)
        c.select(mailbox)
        assert c.store(which, op, flag)[0] == 'OK'

    def why(self, who, mailbox, uid):
        return run(MOX, '-config', os.path.join(self.dir, 'mox.conf'), 'message', 'why', who, mailbox, str(uid)).stdout.splitlines()

    def damage(self, who, statement):
        """While the account runs: it has the file open."""
        self.imap_of(who).noop()
        db = sqlite3.connect('%s/data/accounts/%s/account.db' % (self.dir, who), timeout=WAIT)
        db.execute(statement)
        db.commit()
        db.close()

    def close(self):
        try:
            super().close()
        finally:
            self.world.__exit__()


def shared():
    if not harness._shared:
        harness._shared.append(Deciding())
    return harness._shared[0]


_names = iter(range(1, 1000000))


def text(subject, sender='ann@sender.example', to='ann@example.org', body='hello', more=''):
    return ('From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@test>\r\n%s\r\n'
            '%s\r\n' % (sender, to, subject, next(_names), more, body))


def signed(*args, domain='sender.example', **kw):
    return shared().world.signed(text(*args, **kw), domain)


def eventually(what, *args):
    """Waits until what gives something: a reject is kept after the sender has its answer."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        got = what(*args)
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError('nothing came of %s %s' % (what.__name__, args))


def reason_of(raw):
    m = re.match(rb'X-Mox-Reason: ([^;\r\n]*)', raw)
    assert m, raw
    return m.group(1).decode().strip()


def subject_of(raw):
    return re.search(rb'^Subject: ([^\r]*)', raw, re.M).group(1).decode()


def accepted(who, reason, message, mailbox='INBOX', **how):
    """Sent to who, taken for this reason, which is recorded; what is recorded."""
    s = shared()
    send(s, message, to=who + '@example.org', **how)
    flags, raw = s.messages(who, mailbox)[-1]
    assert subject_of(raw) == subject_of(message.encode()) and reason_of(raw) == reason, (reason, raw)
    why = s.why(who, mailbox, re.search(rb'^(\d+)', flags).group(1).decode())
    assert why[-1].split() == ['decision', 'accept:', reason], why
    return why


_refusals = []  # those that are on their way: what they must say


def refused(who, reason, reply, message, is_slow=True, is_kept=True, **how):
    """
    The same for what is refused, and kept in Rejects. The words come slowly: the last test of the suite
    hears them. reply: how they begin; None: there is no time for them.
    """
    s = shared()
    attempt = Attempt(s, message, to=who + '@example.org', **how)
    if reply:
        _refusals.append((attempt, reason, reply, is_slow))
    if not is_kept:
        return None
    subject = subject_of(message.encode())

    def kept():
        assert attempt.error is None, attempt.error
        assert not attempt.reply.startswith('250'), (reason, s.messages(who)[-1])
        return [(uid, m) for uid, m in enumerate(s.messages(who, 'Rejects'), 1) if subject_of(m[1]) == subject]

    (uid, (flags, raw)), = eventually(kept)
    assert reason_of(raw) == reason and b'\\Seen' in flags, (reason, flags, raw)
    why = s.why(who, 'Rejects', uid)
    assert why[-1].split() == ['decision', 'refuse:', reason], why
    return why


_later = []


def has_line(why, *words):
    """Whether a line of the record begins so."""
    return any(l.split()[:len(words)] == list(words) for l in why)


@test
@needs_dns
def block_lists_and_the_way_past_them():
    refused('bob', 'dns-blocklisted', '451 4.3.0', text('listed', sender='x@plain.example'), source=LISTED, sender='')
    # Who is proved, and of whom nobody knows anything, is told a token; with it the message comes.
    s, how = shared(), dict(source=LISTED, sender='')
    attempt = Attempt(s, signed('challenged'), to='tokens@example.org', is_whole=True, **how)
    refused('tokens', 'dns-blocklisted', '451 4.3.0', text('not proved', sender='x@plain.example'), **how)
    refused('tokens', 'give-subjectpass', '550 5.7.1', signed('made up (pass:AAAAAAAAAAAAAAAAAAAAAA)', sender='y@sender.example'), **how)

    def answer():
        reply = attempt.wait()
        token = re.match(r'550 5\.7\.1 .*(\(pass:[A-Za-z0-9_-]{22}\))', reply)
        assert token and attempt.seconds > 20, (reply, attempt.seconds)
        (_, raw), = [m for m in s.messages('tokens', 'Rejects') if subject_of(m[1]) == 'challenged']
        assert reason_of(raw) == 'give-subjectpass'
        why = accepted('tokens', 'subjectpass', signed('challenged ' + token.group(1)), **how)
        assert has_line(why, 'subjectpass', 'valid'), why
        refused('tokens', 'give-subjectpass', None, signed('not his ' + token.group(1), sender='other@sender.example'), **how)
        page, found = scrape(s, 8010)
        assert value(found, 'subjectpass_generate_total') >= 1, page
        assert value(found, 'subjectpass_verify_total', result='ok') == 1, page
        assert value(found, 'subjectpass_verify_total', result='fail') >= 1, page

    _later.append(answer)


@test
@needs_dns
def strangers_and_those_who_are_known():
    """No bad signs; then what the user says of the message decides about the next one."""
    s = shared()
    accepted('ann', 'no-bad-signals', signed('first'))
    s.mark('ann', '$NotJunk')
    why = accepted('ann', 'msgfromfull', signed('second'))
    assert why[0].split() == 'reputation msgfromfull: good; 0 of 1 earlier messages were junk'.split(), why
    conf = os.path.join(s.dir, 'mox.conf')
    assert run(MOX, '-config', conf, 'message', 'why', 'ann', 'Inbox', '9', ok=False).returncode == 1
    # Somebody else of the domain.
    accepted('ann', 'msgfromdomain', signed('third', sender='bob@sender.example'))
    s.mark('ann', '$Junk')
    again = signed('fourth')
    refused('ann', 'msgfromfull', '451 4.3.0', again)
    refused('ann', 'msgfromfull', '451 4.3.0', again)  # the same again: one copy
    # The user changes her mind: the message comes, and its copy goes.
    s.mark('ann', '$Junk', op='-FLAGS')
    s.mark('ann', '$NotJunk')
    accepted('ann', 'msgfromfull', again)
    assert not s.messages('ann', 'Rejects')


@test
@needs_dns
def who_was_proved_before_and_is_not_now():
    s = shared()
    accepted('near', 'no-bad-signals', signed('proved', sender='x@signer.example', domain='signer.example'))
    s.mark('near', '$Junk')
    refused('near', 'msgfromfull', '451 4.3.0', text('unproved', sender='x@signer.example'), source=OTHER, sender='')
    s.mark('near', '$Junk', op='-FLAGS')
    s.mark('near', '$NotJunk')
    why = accepted('near', 'no-bad-signals', text('not conclusive', sender='x@signer.example'), source=OTHER, sender='')
    assert has_line(why, 'reputation', 'msgfromfull:', 'junk,', 'not', 'conclusive;'), why


@test
@needs_dns
def the_senders_domain():
    """Good when more than four in five are; junk when three people of it sent nothing else."""
    s = shared()
    for i in range(3):
        accepted('domains', 'no-bad-signals', signed('m%d' % i, sender='x%d@sender.example' % i))
    s.mark('domains', '$Junk')
    refused('domains', 'msgfromdomain', '451 4.3.0', signed('from another', sender='y@sender.example'))
    # A subdomain is of the same organisation.
    refused('domains', 'msgfromorgdomain', '451 4.3.0', signed('from below', sender='z@sub.sender.example', domain='sub.sender.example'))
    # Two people are not enough to say so.
    s.mark('domains', '$Junk', op='-FLAGS', which='1')
    why = accepted('domains', 'no-bad-signals', signed('undecided', sender='y@sender.example'))
    assert has_line(why, 'reputation', 'msgfromdomain:', 'junk,', 'not', 'conclusive;'), why
    accepted('orgs', 'no-bad-signals', signed('first', sender='x@sender.example'))
    s.mark('orgs', '$NotJunk')
    accepted('orgs', 'msgfromorgdomain', signed('from below', sender='z@sub.sender.example', domain='sub.sender.example'))


@test
@needs_dns
def those_to_whom_the_user_wrote():
    s = shared()
    c = s.imap_of('writes')
    sent = text('hello', sender='writes@example.org', to='friend@mail.written.example').encode()
    assert c.append('Sent', '(\\Seen)', None, sent)[0] == 'OK'
    # Each without a proof, and so that only this speaks for it.
    how = dict(source=OTHER, sender='x@soft.plain.example')
    accepted('writes', 'msgtofull', text('answer', sender='friend@mail.written.example'), **how)
    accepted('writes', 'msgtodomain', text('colleague', sender='other@mail.written.example'), **how)
    accepted('writes', 'msgtoorgdomain', text('from above', sender='other@written.example'), **how)
    refused('writes', 'spf-policy', '451 4.3.0', text('stranger', sender='other@unwritten.example'), **how)


@test
@needs_dns
def who_signs_and_who_sends():
    s = shared()
    # By signature: the domain in From is another's each time, and proves nothing.
    sign = lambda n: signed('m%d' % n, sender='x@a%d.example' % n, domain='signer.example')
    accepted('signs', 'no-bad-signals', sign(1), sender='')
    s.mark('signs', '$NotJunk')
    accepted('signs', 'dkimspf', sign(2), sender='')
    s.mark('signs', '$NotJunk', op='-FLAGS')
    s.mark('signs', '$Junk')
    refused('signs', 'dkimspf', '451 4.3.0', sign(3), sender='')
    # By SPF of MAIL FROM: the address, then its domain.
    proved = lambda n: text('m%d' % n, sender='x@b%d.example' % n)
    accepted('sends', 'no-bad-signals', proved(1), sender='one@proved.plain.example')
    s.mark('sends', '$NotJunk')
    accepted('sends', 'dkimspf', proved(2), sender='two@proved.plain.example')
    s.mark('sends', '$NotJunk', op='-FLAGS')
    s.mark('sends', '$Junk')
    refused('sends', 'dkimspf', '451 4.3.0', proved(3), sender='three@proved.plain.example')
    # SPF fails: of this nobody has seen anything.
    refused('sends', 'spf-policy', '451 4.3.0', proved(4), source=OTHER, sender='four@proved.plain.example')
    refused('sends', 'spf-policy', '451 4.3.0', proved(5), source=OTHER, sender='five@soft.plain.example')


@test
@needs_dns
def networks():
    """The address, 64 and 2048 addresses around it; each has to have sent more than the one before."""
    s = shared()
    ad = lambda n: text('m%d' % n, sender='x@c%d.example' % n)
    n = iter(range(1000))
    send_from = lambda ip, reason='no-bad-signals': accepted('nets', reason, ad(next(n)), source=ip, sender='')
    refuse = lambda ip, reason: refused('nets', reason, '451 4.3.0', ad(next(n)), source=ip, sender='')

    def judge(flag):
        s.mark('nets', '$Junk $NotJunk', op='-FLAGS')
        s.mark('nets', flag)

    for _ in range(2):
        send_from('127.66.16.1')
    judge('$Junk')
    refuse('127.66.16.1', 'ip1')
    judge('$NotJunk')
    send_from('127.66.16.1', 'ip1')
    for i in range(2, 5):
        send_from('127.66.16.%d' % i)
    judge('$Junk')
    refuse('127.66.16.9', 'ip2')
    judge('$NotJunk')
    send_from('127.66.16.9', 'ip2')
    for i in range(4):
        send_from('127.66.%d.77' % (17 + i))
    judge('$Junk')
    refuse('127.66.23.200', 'ip3')
    judge('$NotJunk')
    send_from('127.66.23.200', 'ip3')
    send_from('127.66.24.1')  # next to it, and in no network of these


@test
@needs_dns
def an_address_without_a_name_of_its_own():
    """One junk message is too little to refuse the next, but not when its name is not its own either."""
    s = shared()
    for source, name in ((OTHER, 'names'), (GOOD, 'carl')):
        accepted(name, 'no-bad-signals', text('first', sender='x@d1.example'), source=source, sender='')
        s.mark(name, '$Junk')
    refused('names', 'iprev', '451 4.3.0', text('second', sender='x@d2.example'), source=OTHER, sender='')
    accepted('carl', 'no-bad-signals', text('second', sender='x@d2.example'), source=GOOD, sender='')


@test
@needs_dns
def policy_of_the_senders_domain():
    s = shared()
    how = dict(source=OTHER, hello='liar.example')
    refused('bob', 'dmarc-policy', '550 5.7.26', text('forged'), **how)
    refused('bob', 'dmarc-policy', '550 5.7.26', text('to quarantine', sender='x@quarantine.plain.example'), **how)
    # Its owner tries it out on none of the messages.
    accepted('bob', 'no-bad-signals', text('not in the sample', sender='x@sampled.plain.example'), source=OTHER, sender='')
    # Who takes only mail that is proved.
    refused('strict', 'msg-auth-required', '550 5.7.26 prove who you are', text('unproved', sender='x@plain.example'), source=OTHER,
            sender='', is_whole=True)
    refused('strict', 'msg-auth-required', '451 4.7.26', text('nobody knows', sender='x@expired.com'), source=OTHER, sender='')
    accepted('strict', 'no-bad-signals', signed('proved', sender='x@signer.example', domain='signer.example'), sender='')


@test
@needs_dns
def content():
    s = shared()
    s.imap_of('content')
    w = s.connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN content@example.org "content password"')
    w.write('b APPEND INBOX')
    for i in range(210):
        for kind, flag in (('meeting agenda minutes report invoice', '$NotJunk'), ('casino jackpot lottery winner bonus', '$Junk')):
            m = text('m%d' % i, sender='x%d@learn.example' % i, to='content@example.org', body=kind)
            w.write(' (%s) {%d+}\r\n%s' % (flag, len(m), m))
    w.write('\r\n')
    assert w.imap_until('b')[-1].startswith('b OK')
    w.close()
    db = sqlite3.connect('file:%s/data/accounts/content/account.db?mode=ro' % s.dir, uri=True, timeout=WAIT)
    eventually(lambda: db.execute('SELECT ham, spam, (SELECT count(*) FROM junk_due) FROM junk_state').fetchone() == (210, 210, 0))
    db.close()
    junk = dict(sender='x@e.example', to='content@example.org', body='casino jackpot lottery winner bonus')
    good = dict(junk, body='meeting agenda minutes report invoice')
    how = dict(sender='', tls=True)
    why = refused('content', 'junk-content', '451 4.3.0', text('junk', **junk), **how)
    assert has_line(why, 'junk-filter', 'junk:'), why
    accepted('content', 'no-bad-signals', text('good', **good), sender='')
    # Less is enough without TLS, without a name of one's own, or to somebody who is not named in it.
    for subject, words, changed in (('no TLS', 'no TLS', dict(tls=False)), ('no name', 'suspicious reverse name', dict(source=OTHER)),
                                    ('to all', 'recipient is not in To or Cc', {})):
        m = text(subject, **dict(junk, to='all@example.org') if subject == 'to all' else junk)
        why = refused('content', 'junk-content-strict', '451 4.3.0', m, **dict(how, **changed))
        assert any('strict: ' + words in l for l in why), why


@test
@needs_dns
def too_much_from_one_network():
    """As if nearly all that it may send in a minute had come, and were of a minute that is still to come."""
    s = shared()
    now = int(time.time()) // 60
    s.damage('rate', 'INSERT INTO arrival (network, minute, messages, bytes) VALUES ' + ', '.join(
        "('%s/32', %d, %d, %d)" % (ip, now + WAIT // 60, n, size) for ip, n, size in ((GOOD, 496, 0), (OTHER, 0, (1000 << 20) - 5000))))
    for i in range(4):
        accepted('rate', 'no-bad-signals', text('one more', sender='x@f.example'), sender='')
    refused('rate', 'high-rate', '452 4.2.2', text('too many', sender='x@f.example'), sender='', is_kept=False)
    accepted('rate', 'no-bad-signals', text('not much', sender='x@g.example'), source=OTHER, sender='')
    refused('rate', 'high-rate', '452 4.2.2', text('too large', sender='x@g.example', body='line of text\r\n' * 400), source=OTHER,
            sender='', is_kept=False)
    eventually(lambda: s.log_text().count('account=rate reason=high-rate') == 2)
    assert not s.messages('rate', 'Rejects')
    accepted('rate', 'no-bad-signals', text('from elsewhere', sender='x@h.example'), source='127.66.32.1', sender='')


@test
@needs_dns
def rulesets():
    s = shared()
    accepted('lists', 'list-allow', signed('list', more='List-Id: <CHAT.sender.example>\r\n'), 'Lists/Chat')
    send(s, text('bad', sender='forged@sender.example'), source=OTHER, hello='x.example', to='lists@example.org')
    flags, raw = s.messages('lists', 'Bad')[0]
    assert reason_of(raw) == 'dmarc-policy' and b'\\Seen' in flags, (flags, raw)
    why = s.why('lists', 'Bad', 1)
    assert has_line(why, 'decision', 'accept', 'a', 'reject:', 'dmarc-policy'), why
    assert not s.messages('lists', 'Rejects')


@test
@needs_dns
def forwards():
    """What the forwarder proves is not the sender's, and what the sender did is not the forwarder's."""
    s = shared()
    how = dict(sender='owner@proved.plain.example')
    for i in range(2):  # whose policy would refuse them
        accepted('forwards', 'no-bad-signals', text('forwarded %d' % i), 'Forwarded', **how)
    s.mark('forwards', '$Junk', 'Forwarded')
    db = sqlite3.connect('file:%s/data/accounts/forwards/account.db?mode=ro' % s.dir, uri=True, timeout=WAIT)
    assert db.execute('SELECT count(*) FROM arrival').fetchone() == (0,)
    # From (not proved) alone counts, not the address of the forwarder, its domain or its network.
    assert {k for k, in db.execute('SELECT DISTINCT kind FROM sign')} == {2, 4, 6}
    db.close()
    accepted('forwards', 'no-bad-signals', text('another', sender='x@h.example'), 'Forwarded', **how)
    # Directly the policy counts.
    refused('forwards', 'dmarc-policy', '550 5.7.26', text('direct'), source=OTHER, sender='')


@test
@needs_dns
def introbox_and_rejects_are_left_by_moving():
    s = shared()
    accepted('new', 'no-bad-signals', signed('stranger'), 'New')
    assert not s.messages('new')
    c = s.imap_of('new')
    c.select('New')
    assert c.uid('MOVE', '1', 'INBOX')[0] == 'OK'
    flags, _ = s.messages('new')[0]
    assert b'$NotJunk' in flags, flags
    accepted('new', 'msgfromfull', signed('known'))
    # A reject that is moved to where it was meant to go speaks for the next one.
    refused('new', 'dns-blocklisted', '451 4.3.0', signed('refused', sender='x@signer.example', domain='signer.example'), source=LISTED,
            sender='')
    c.select('Rejects')
    assert c.uid('MOVE', '1', 'INBOX')[0] == 'OK'
    s.mark('new', '$NotJunk')
    assert b'\\Seen' not in s.messages('new')[-1][0]
    accepted('new', 'msgfromfull', signed('taken', sender='x@signer.example', domain='signer.example'), source=LISTED, sender='')


@test
@needs_dns
def strangers_are_kept_waiting():
    """And nobody else: those who are known, and those who write to one who does not want it."""
    s = shared()
    s_ip, s.ip = s.ip, s.patient
    try:
        first = Attempt(s, signed('stranger', to='writes@example.org'), to='writes@example.org')
        s.wait_log('a stranger waits')
        waits = lambda: s.log_text().count('a stranger waits')
        assert waits() == 1
        assert first.wait().startswith('250') and first.seconds >= DELAY_S, (first.reply, first.seconds)
        assert Attempt(s, signed('calm'), to='calm@example.org').wait().startswith('250') and waits() == 1
        # Who does not wait has sent nothing.
        s.ip = s.endless
        gone = s.connect(SMTP, source=GOOD)
        gone.expect('220')
        gone.cmd('EHLO mx.sender.example', '250')
        gone.cmd('MAIL FROM:<ann@sender.example>', '250')
        gone.cmd('RCPT TO:<dora@example.org>', '250')
        gone.cmd('DATA', '354')
        gone.write(signed('impatient', to='dora@example.org') + '.\r\n')
        eventually(lambda: waits() == 2)
        gone.close()
        s.wait_log('a stranger did not wait')
    finally:
        s.ip = s_ip
    assert not s.messages('dora') and not s.messages('dora', 'Rejects')
    s.mark('writes', '$NotJunk')
    s.ip = s.patient
    try:
        assert Attempt(s, signed('known', to='writes@example.org'), to='writes@example.org').wait().startswith('250') and waits() == 2
    finally:
        s.ip = s_ip


@test
@needs_dns
def members_of_a_list_decide_together():
    """What one member takes all get; what none takes each keeps as a reject."""
    s = shared()
    accepted('carl', 'no-bad-signals', signed('first'))
    s.mark('carl', '$Junk')
    refused('carl', 'msgfromfull', '451 4.3.0', signed('to carl'))
    send(s, signed('to both', to='both@example.org'), to='both@example.org')
    assert subject_of(s.messages('carl')[-1][1]) == 'to both'
    assert subject_of(s.messages('dora')[-1][1]) == 'to both'
    # Recipients of their own: what carl refuses does not come to him by way of the queue.
    w = s.connect(SMTP, source=GOOD)
    w.expect('220')
    w.cmd('EHLO mx.sender.example', '250')
    w.cmd('MAIL FROM:<ann@sender.example>', '250')
    w.cmd('RCPT TO:<carl@example.org>', '250')
    w.cmd('RCPT TO:<dora@example.org>', '250')
    w.cmd('DATA', '354')
    w.write(signed('to each') + '.\r\n')
    assert w.f.read(3) == b'250'
    w.f.close()
    w.sock.close()
    assert subject_of(s.messages('dora')[-1][1]) == 'to each'
    eventually(lambda: any(subject_of(raw) == 'to each' for _, raw in s.messages('carl', 'Rejects')))
    # His refusal, for the sender.
    eventually(lambda: 'from:<> to:<ann@sender.example>' in run(MOX, '-config', os.path.join(s.dir, 'mox.conf'), 'queue', 'list').stdout)
    assert not any(subject_of(raw) == 'to each' for _, raw in s.messages('carl'))


@test
@needs_dns
def what_cannot_be_asked_is_refused_for_now():
    """And at once: it is not the sender's fault. Each sees the first of the tables that is not there."""
    s = shared()
    how = dict(source=LISTED, sender='', is_slow=False)
    for table, reason in (('junk_page', 'junk-classify-error'), ('junk_state', 'junk-filter-error'), ('subjectpass', 'subjectpass-error'),
                          ('sign', 'reputation-error')):
        s.damage('broken', 'ALTER TABLE %s RENAME TO gone_%s' % (table, table))
        refused('broken', reason, '451 4.3.0', signed('without ' + table + ' (pass:AAAAAAAAAAAAAAAAAAAAAA)', to='broken@example.org'), **how)


@test
@needs_dns
def refusals_are_heard_slowly():
    """The replies of all the refusals above, a byte a second; and what waits for one."""
    for todo in _later:
        todo()
    assert len(_refusals) > 20 or len(sys.argv) > 1
    for attempt, reason, reply, is_slow in _refusals:
        got = attempt.wait()
        assert got.startswith(reply), (reason, got)
        assert attempt.came_at_once != is_slow or attempt.tls, (reason, attempt.seconds)
        assert not is_slow or attempt.seconds >= len('451 4.3.0') - 1, (reason, attempt.seconds)


main('decide')
