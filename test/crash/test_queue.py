"""
Kills of queue and of those that send for it (deliver, its template, dial, resolve), while users submit and other servers take mail. What was acknowledged
arrives: at another server once, but for what was under way when its connection died (RFC 5321 4.5.4.2 leaves that);
at an account of ours, and as a report to the sender, exactly once.
"""
import os
import random
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
from outside import *

ROUNDS = int(os.environ.get('ROUNDS', '1'))
TITLES = ['mox: queue', 'mox: deliver ', 'mox: dial', 'mox: queue', 'mox: deliver-template', 'mox: resolve']
KILLS = 2 * len(TITLES)
BETWEEN = 15  # messages that go out between two kills


class Users:
    """They submit as fast as they can, each message to somebody outside and to bob, and want to hear of it."""

    def __init__(self, s):
        self.s, self.stop = s, threading.Event()
        self.lock, self.sent, self.acknowledged = threading.Lock(), 0, set()
        self.threads = [threading.Thread(target=self.repeat) for _ in range(2)]

    def repeat(self):
        while not self.stop.is_set():
            try:
                self.session()
            except (OSError, smtplib.SMTPException):
                time.sleep(0.02)  # what was killed is starting again

    def session(self):
        c = smtplib.SMTP_SSL(self.s.ip, SUBMISSIONS, context=insecure_context(), timeout=20)
        try:
            c.login('ann@example.org', 'ann password')
            for _ in range(20):
                if self.stop.is_set():
                    break
                with self.lock:
                    self.sent += 1
                    ident = 'id%06d' % self.sent
                text = ('From: <ann@example.org>\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n\r\n%s\r\n'
                        % (ident, ident, 'x' * 60 + '\r\n'))
                c.sendmail('ann@example.org', ['out@one.example', 'bob+x@example.org'], text, [], ['NOTIFY=SUCCESS'])
                self.acknowledged.add(ident)
        finally:
            c.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


class Slow(Sink):
    """It takes its time, so that there are many for it and several connections; each is told of one by one."""

    def reply(self, verb, usual):
        if verb == 'END':
            time.sleep(0.02)
        return super().reply(verb, usual)


def kill(s, title, killed):
    """How many connections die of it: of each the message that was being ended may come again, and no other."""
    def is_hit():
        nonlocal connections
        connections = len(s.pids('mox: deliver '))
        pids = s.pids(title)
        with contextlib.suppress(ProcessLookupError):
            if pids:
                os.kill(random.choice(pids), signal.SIGKILL)
                return True

    connections = 0
    eventually(is_hit, 'no ' + title)
    killed[title] += 1
    return {'mox: deliver ': 1, 'mox: dial': 0, 'mox: resolve': 0}.get(title, connections)


def drain(s):
    """Everything is tried at once, again and again: what a kill put off would wait for minutes."""
    deadline = time.monotonic() + 6 * WAIT
    while True:
        code, out, _ = s.command('queue', 'list', '-n', '5')
        if code == 0 and out == 'messages:\n(none)\n':
            return
        assert time.monotonic() < deadline, out
        s.command('queue', 'schedule', '-nextattempt', '>5s', '-now', '0s')
        time.sleep(0.2)


def subjects(c, field, mailbox='INBOX'):
    """id -> how many messages of a mailbox name it in that field."""
    found = {}
    n = int(c.select(mailbox)[1][0])
    for part in c.fetch('1:%d' % n, '(BODY.PEEK[HEADER.FIELDS (%s)])' % field)[1] if n else []:
        if isinstance(part, tuple):
            for ident in re.findall(rb'id\d{6}', part[1]):
                found[ident.decode()] = found.get(ident.decode(), 0) + 1
    return found


def once(acknowledged, found, what):
    missing = [i for i in acknowledged if i not in found]
    twice = [i for i, n in found.items() if n > 1]
    assert not missing and not twice, (what, 'lost', missing[:5], len(missing), 'twice', twice[:5], len(twice))


@test
def what_was_acknowledged_arrives_once():
    if why_not():
        print('SKIP what_was_acknowledged_arrives_once: %s' % why_not())
        return
    random.seed(1)
    with Internet([Zone('one.example', '@ MX 10 mx\nmx A %s\n' % ip(1))]) as internet:
        with serving(env=internet.env, conf=[]) as s, Slow(1) as sink:
            s.stop()
            path = os.path.join(s.dir, 'domains.conf')
            text = open(path).read().replace('\t\tQuotaMessageSize: 20000\n', '')
            with open(path, 'w') as f:
                f.write(text.replace('\tann:\n', '\tann:\n\t\tMaxOutgoingMessagesPerDay: 1000000\n'))
            s.start()
            died, killed = [], dict.fromkeys(TITLES, 0)
            with Users(s) as users:
                for i in range(ROUNDS * KILLS):
                    sink.wait(len(sink.messages) + BETWEEN)
                    died.append(kill(s, TITLES[i % len(TITLES)], killed))
            drain(s)
            outside = {}
            for _, _, data, _ in list(sink.messages):
                ident = re.search(rb'Subject: (id\d{6})', data).group(1).decode()
                outside[ident] = outside.get(ident, 0) + 1
            lost = [i for i in users.acknowledged if i not in outside]
            twice = sum(n - 1 for n in outside.values())
            print('%d acknowledged, %d kills, of connections %s; %d sent twice'
                  % (len(users.acknowledged), len(died), ' '.join(map(str, died)), twice))
            assert not lost, (len(lost), lost[:5])
            assert twice <= sum(died), (twice, died)
            assert max(died) > 1 and all(killed.values()), (died, killed)
            once(users.acknowledged, subjects(s.login('bob'), 'SUBJECT'), 'bob')
            reports = subjects(s.login('ann'), 'REFERENCES')
            # One of each recipient: bob has it, and the other server does not report.
            assert all(reports.get(i) == 2 for i in users.acknowledged), [
                (i, reports.get(i)) for i in users.acknowledged if reports.get(i) != 2][:5]
            assert s.command('verifydata')[0] == 0


main('queue-crash')
