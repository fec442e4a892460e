"""import upstream: accounts of a data directory of upstream, written by Python and by the real bbolt."""
import base64
import fcntl
import hashlib
import random
import sqlite3

import upstream_writer as w
from harness import *

BOXES = {1: 'INBOX', 2: 'Sent', 3: 'Work', 4: '"Work/Caf&AOk-"', 5: 'Spam'}
NAMES = {'Seen': '\\Seen', 'Answered': '\\Answered', 'Flagged': '\\Flagged', 'Forwarded': '$Forwarded', 'Junk': '$Junk', 'Notjunk': '$NotJunk',
         'Deleted': '\\Deleted', 'Draft': '\\Draft', 'Phishing': '$Phishing', 'MDNSent': '$MDNSent'}


def expected(messages, files):
    """Per mailbox and UID: flags, time, bytes."""
    out = {box: {} for box in BOXES}
    for m in messages:
        if not m.get('Expunged'):
            flags = {NAMES[f] for f in w.FLAGS if m.get(f)} | set(m.get('Keywords', ()))
            out[m['MailboxID']][m['UID']] = (frozenset(flags), m['Received'], m['MsgPrefix'] + files[m['ID']])
    return out


def seen(c, box):
    typ, n = c.select(box, readonly=True)
    assert typ == 'OK', n
    out = {}
    if n == [b'0']:
        return out
    parts = c.uid('FETCH', '1:*', '(FLAGS INTERNALDATE BODY.PEEK[])')[1]
    for part, after in zip(parts, parts[1:]):
        if isinstance(part, tuple):
            flags = frozenset(f.decode() for f in imaplib.ParseFlags(part[0]) + imaplib.ParseFlags(after)) - {'\\Recent'}
            when = int(time.mktime(imaplib.Internaldate2tuple(part[0])))
            out[int(re.search(rb'UID (\d+)', part[0] + after)[1])] = (flags, when, part[1])
    return out


def check_taken(s, messages, files, mailboxes, subscriptions):
    c = s.imap()
    want = expected(messages, files)
    for m in mailboxes:
        box = BOXES[m['ID']]
        assert seen(c, box) == want[m['ID']], box
        status = c.status(box, '(UIDVALIDITY UIDNEXT)')[1][0]
        assert b'UIDVALIDITY %d' % m['UIDValidity'] in status and b'UIDNEXT %d' % m['UIDNext'] in status, status
    lsub = {l.decode().rsplit(' ', 1)[1].strip('"') for l in c.lsub()[1]}
    assert lsub == {'Gone', 'Inbox', 'Sent', 'Work/Caf&AOk-'}, lsub
    assert any(b'\\Sent' in l for l in c.list('""', 'Sent')[1])
    c.logout()


@test
def accounts_are_taken_over():
    for kind in ('python', 'bbolt'):
        with running() as s, tempfile.TemporaryDirectory() as d:
            mailboxes, messages, files, subscriptions = w.sample(300 if kind == 'python' else 120)
            if kind == 'python':
                index = w.Bolt().write(w.tables(mailboxes, messages, subscriptions, 950, 2000))
            else:
                index = open(os.path.join(ROOT, 'test', 'data', 'upstream', 'index.db'), 'rb').read()
            w.write(d, 'mox', index, files)
            before = {p: os.stat(os.path.join(r, p)).st_mtime_ns for r, _, fs in os.walk(d) for p in fs}
            code, out, err = s.command('import', 'upstream', d)
            assert code == 1 and 'the server is running' in err, err
            s.stop()
            with open(d + '/accounts/mox/index.db', 'rb') as f:
                fcntl.flock(f, fcntl.LOCK_EX)
                code, out, err = s.command('import', 'upstream', d)
                assert code == 1 and 'in use' in err, err
            n = sum(len(v) for v in expected(messages, files).values())
            code, out, err = s.command('import', 'upstream', d)
            assert code == 0 and err == 'mox: %d messages taken over\n' % n, (out, err)
            assert 'mox: Work/Caf\u00e9: %d\n' % len(expected(messages, files)[4]) in out, out
            code, out, err = s.command('import', 'upstream', d, 'mox')
            assert code == 0 and err == 'mox: 0 messages taken over, %d were there already\n' % n, (out, err)
            assert before == {p: os.stat(os.path.join(r, p)).st_mtime_ns for r, _, fs in os.walk(d) for p in fs}
            assert s.command('verifydata') == (0, '1 accounts checked, no problems\n', '')
            s.start()
            check_taken(s, messages, files, mailboxes, subscriptions)
            # It goes on from there: the next UID, and a modseq above all that clients have seen.
            s.send(body='new')
            c = s.imap()
            c.select('INBOX')
            assert c.uid('SEARCH', '%d:*' % mailboxes[0]['UIDNext'])[1] == [b'%d' % mailboxes[0]['UIDNext']]
            c._simple_command('FETCH', '*', '(MODSEQ)')
            assert int(re.search(rb'MODSEQ \((\d+)\)', b''.join(x for x in c.response('FETCH')[1] if isinstance(x, bytes)))[1]) > 950
            c.logout()
            s.stop()
            code, out, err = s.command('import', 'upstream', d)
            assert code == 0, err


@test
def the_password_comes_over():
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        w.write(d, 'mox', w.Bolt().write(w.tables(*[w.sample(5)[i] for i in (0, 1, 3)], 950, 2000)), w.sample(5)[2])
        with contextlib.closing(sqlite3.connect(s.dir + '/data/auth/auth.db')) as db, db:
            db.execute('DELETE FROM credential')
            db.execute('DELETE FROM scram')
        code, out, err = s.command('import', 'upstream', d)
        assert code == 0 and 'mox: password taken over\n' in out, (out, err)
        s.start()
        c = s.imap(login=False)
        assert c.login(LOGIN, w.PASSWORD)[0] == 'OK'
        c.logout()
        # One that is there stays.
        s.stop()
        code, out, err = s.command('import', 'upstream', d)
        assert code == 0 and 'password' not in out, (out, err)
        shutil.rmtree(d + '/accounts')
        w.write(d, 'other', w.Bolt().write(w.tables(*[w.sample(5)[i] for i in (0, 1, 3)], 950, 2000, 'no hash')), w.sample(5)[2])
        code, out, err = s.command('import', 'upstream', d)
        assert code == 1 and 'none of bcrypt' in err and 'other: 5 messages taken over' in err, (out, err)


@test
def one_that_is_killed_is_repeated():
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(5000)
        mailboxes[3]['UIDNext'] = 10000
        w.write(d, 'mox', w.Bolt().write(w.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        for after in ('1000 of', '3000 of'):
            p = in_step(s.mox, '-config', s.dir + '/mox.conf', 'import', 'upstream', d, env=s.env)
            line = p.stderr.readline()
            while not line.startswith(after):
                assert line and 'is running' not in line, line
                line = p.stderr.readline()
            p.kill()  # its children die with it
            p.stderr.read()
            p.wait()
        n = sum(len(v) for v in expected(messages, files).values())
        code, out, err = s.command('import', 'upstream', d)
        there = int(re.search(r', (\d+) were there already', err)[1])
        assert code == 0 and there >= 3000 and 'mox: %d messages taken over' % (n - there) in err, err
        s.start()
        check_taken(s, messages, files, mailboxes, subscriptions)
        assert s.command('verifydata')[0] == 0


@test
def what_is_not_there_is_told():
    with running() as s, tempfile.TemporaryDirectory() as d:
        c = s.imap()
        c.logout()
        s.send(body='mail of our own')
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(20)
        w.write(d, 'mox', w.Bolt().write(w.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        code, out, err = s.command('import', 'upstream', d)
        assert code == 1 and 'Inbox' in err and 'has mail already' in err, err
        w.write(d, 'new', w.Bolt(page_size=16384).write(w.tables(mailboxes, messages, subscriptions, 950, 2000)), files)
        os.unlink(os.path.join(d, 'accounts', 'new', w.message_path(5)))
        with open(os.path.join(d, 'accounts', 'new', w.message_path(6)), 'ab') as f:
            f.write(b'more\r\n')
        code, out, err = s.command('import', 'upstream', d, 'new')
        assert code == 1 and 'message 5: its file cannot be read' in err and 'message 6: its file has another size' in err and ', 1 could not be\n' in err, err
        assert s.command('verifydata')[0] == 0
        code, out, err = s.command('import', 'upstream', d, 'none')
        assert code == 1 and 'none' in err, err
        assert s.command('import', 'upstream', d + '/none')[0] == 1


NOW = int(time.time())
DAY = 24 * 3600


def ip_domain(name='', ip=b''):
    return {'IP': ip, 'Domain': {'ASCII': name.encode('idna').decode() if name else '', 'Unicode': name}}


def queued(n, localpart, domain, body, **more):
    """A message in the queue, due in two days unless said otherwise."""
    return dict({'ID': n, 'Queued': NOW - 3600 + n, 'SenderAccount': 'mox', 'SenderLocalpart': 'mox', 'SenderDomain': ip_domain('localhost'), 'SenderDomainStr': 'localhost',
                 'RecipientLocalpart': localpart, 'RecipientDomain': ip_domain(domain), 'RecipientDomainStr': domain, 'NextAttempt': NOW + 2 * DAY,
                 'Size': len(body), 'MessageID': '<%d@up.example>' % n}, **more)


def write_all(d):
    """Every database that belongs to no account."""
    prefix = b'Received: by upstream\r\n'
    bodies = {n: b'Subject: queued %d\r\nFrom: <mox@localhost>\r\n\r\ntext\r\n' % n for n in range(1, 9)}
    result = {'Start': NOW - 3000, 'Duration': 2500000000, 'Code': 451, 'Secode': '4.3.0', 'Error': 'come again'}
    w.write_server(
        d, 'queue/index.db', {n: b for n, b in bodies.items() if n != 4},
        Msg=[queued(1, 'mox', 'localhost', prefix + bodies[1], NextAttempt=NOW - 60, MsgPrefix=prefix),
             queued(2, 'a', 'b\u00fccher.example', bodies[2], Attempts=2, MaxAttempts=5, LastAttempt=NOW - 3000, Results=[dict(result, Error='first'), result],
                    DialedIPs={'mx.example': [b'\x7f\0\0\1']}, RequireTLS=False, Extra={'a': 'b', 'c': ''}, DSNUTF8=b'x'),
             queued(3, 'held user', 'c.example', bodies[3], Hold=True, RequireTLS=True, FutureReleaseRequest='until;2027-01-01T00:00:00Z', Transport='relay',
                    FromID='abc', SenderLocalpart='mox+abc', SMTPUTF8=True, Has8bit=True),
             queued(4, 'x', 'c.example', bodies[4]), queued(5, 'x', 'c.example', bodies[5] + b'more'), queued(6, '', '', bodies[6]),
             queued(7, 'x', '', bodies[7], RecipientDomain=ip_domain(ip=b'\0' * 10 + b'\xff\xff\x7f\0\0\1'), SenderLocalpart='', SenderDomain=ip_domain(),
                    SenderDomainStr=''),
             queued(8, 'x', 'c.example', bodies[8], SenderAccount='other')],
        MsgRetired=[queued(20, 'gone', 'c.example', b'', Success=True, Attempts=1, Results=[dict(result, Success=True, Code=250, Secode='', Error='')],
                           LastActivity=NOW - 500, KeepUntil=NOW + DAY, RecipientAddress='gone@c.example'),
                    queued(21, 'old', 'c.example', b'', KeepUntil=NOW - DAY, LastActivity=NOW - 2 * DAY)],
        HoldRule=[{'ID': 1, 'Account': 'mox', 'RecipientDomainStr': 'b\u00fccher.example'}, {'ID': 2, 'SenderDomainStr': 'no domain', 'Account': ''}],
        Suppression=[{'ID': 1, 'Created': NOW - 5 * DAY, 'Account': 'mox', 'BaseAddress': 'nobody@c.example', 'OriginalAddress': 'no.body+x@c.example', 'Reason': 'gone'}],
        Hook=[{'ID': 1, 'URL': 'http://x.example'}])
    w.write_server(d, 'mtasts.db', PolicyRecord=[
        {'Domain': 'b\u00fccher.example', 'Inserted': NOW - DAY, 'ValidEnd': NOW + DAY, 'LastUpdate': NOW - DAY, 'LastUse': NOW - 50, 'RecordID': '123', 'Version': 'STSv1',
         'Mode': 'enforce', 'MX': [{'Domain': {'ASCII': 'mx.example', 'Unicode': ''}}, {'Wildcard': True, 'Domain': {'ASCII': 'more.example'}}], 'MaxAgeSeconds': 172800},
        {'Domain': 'failed.example', 'ValidEnd': NOW + 300, 'Backoff': True, 'Mode': 'none', 'MaxAgeSeconds': 300}])
    policy = {'Domain': 'localhost', 'ADKIM': 'r', 'Policy': 'reject', 'Percentage': 100}
    signature = {'Domain': 'localhost', 'Selector': 'sel', 'Result': 'pass'}
    record = {'Row': {'SourceIP': '192.0.2.1', 'Count': 7, 'PolicyEvaluated': {'Disposition': 'none', 'DKIM': 'pass', 'SPF': 'fail', 'Reasons': [
        {'Type': 'forwarded', 'Comment': 'so it is'}]}}, 'Identifiers': {'HeaderFrom': 'localhost'},
        'AuthResults': {'DKIM': [signature], 'SPF': [{'Domain': 'localhost', 'Scope': 'mfrom', 'Result': 'fail'}]}}
    dmarc = {'ID': 1, 'Domain': 'localhost', 'FromDomain': 'big.example', 'Version': '1.0', 'PolicyPublished': policy, 'Records': [record, record, {}], 'ReportMetadata': {
        'OrgName': 'Big', 'Email': 'dmarc@big.example', 'ReportID': 'r1', 'DateRange': {'Begin': NOW - 4 * DAY, 'End': NOW - 3 * DAY}, 'Errors': ['none']}}
    w.write_server(d, 'dmarcrpt.db', DomainFeedback=[dmarc, dict(dmarc, ID=2, ReportMetadata={'ReportID': 'old', 'DateRange': {'Begin': NOW - 901 * DAY, 'End': NOW - 900 * DAY}})])
    failure = {'ResultType': 'certificate-expired', 'SendingMTAIP': '192.0.2.1', 'ReceivingMXHostname': 'localhost', 'FailedSessionCount': 3}
    tls = {'Policy': {'Type': 'sts', 'String': ['version: STSv1', 'mode: enforce'], 'Domain': 'localhost', 'MXHost': ['localhost']},
           'Summary': {'TotalSuccessfulSessionCount': 30, 'TotalFailureSessionCount': 5}, 'FailureDetails': [failure]}
    w.write_server(d, 'tlsrpt.db', Record=[{'ID': 1, 'Domain': 'localhost', 'FromDomain': 'big.example', 'MailFrom': 'tls@big.example', 'Report': {
        'OrganizationName': 'Big', 'ReportID': 't1', 'ContactInfo': 'x', 'DateRange': {'Start': NOW - 2 * DAY, 'End': NOW - DAY}, 'Policies': [tls]}}])
    w.write_server(d, 'dmarceval.db', SuppressAddress=[{'ID': 1, 'ReportingAddress': 'no@d.example', 'Until': NOW + DAY, 'Comment': 'why'}], Evaluation=[
        {'ID': i, 'PolicyDomain': 'd.example', 'Evaluated': NOW - 3600, 'IntervalHours': 24, 'Addresses': ['mailto:r@d.example'], 'PolicyPublished': dict(policy, Domain='d.example'),
         'SourceIP': '192.0.2.9', 'Disposition': 'reject', 'AlignedSPFPass': True, 'EnvelopeTo': 'localhost', 'HeaderFrom': 'd.example', 'DKIMResults': [signature],
         'SPFResults': [{'Domain': 'd.example', 'Scope': 'mfrom', 'Result': 'pass'}], 'OverrideReasons': [{'Type': 'mailing_list'}]} for i in (1, 2)])
    w.write_server(d, 'tlsrptresult.db', TLSRPTSuppressAddress=[{'ID': 1, 'ReportingAddress': 'no@tls.example', 'Until': NOW + DAY}], TLSResult=[
        {'ID': 1, 'PolicyDomain': 'd.example', 'DayUTC': time.strftime('%Y%m%d', time.gmtime(NOW)), 'RecipientDomain': 'd.example', 'SendReport': True, 'Results': [tls]},
        {'ID': 2, 'PolicyDomain': 'told.example', 'DayUTC': time.strftime('%Y%m%d', time.gmtime(NOW)), 'RecipientDomain': 'd.example', 'SendReport': True,
         'SentToRecipientDomain': True, 'Results': [tls]}])


def client_certificate(d):
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=phone', '-keyout', d + '/key.pem', '-out', d + '/cert.der',
                    '-outform', 'DER', '-days', '30'], check=True, capture_output=True)
    public = subprocess.run(['openssl', 'x509', '-inform', 'DER', '-in', d + '/cert.der', '-pubkey', '-noout'], check=True, capture_output=True).stdout
    der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=public, check=True, capture_output=True).stdout
    with open(d + '/cert.der', 'rb') as f:
        return f.read(), base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b'=').decode()


def rows(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def wait_for(is_so):
    deadline = time.monotonic() + WAIT
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@test
def what_belongs_to_no_account():
    """The queue, reports, policies, keys: once, whatever is done between; and the queue goes on where it was."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        w.write(d, 'mox', w.Bolt().write(w.tables(*[w.sample(5)[i] for i in (0, 1, 3)], 950, 2000)), w.sample(5)[2])
        write_all(d)
        cert, fingerprint = client_certificate(d)
        key = {'Fingerprint': fingerprint, 'Created': NOW - DAY, 'Type': 'ecdsa-p256', 'Name': 'my phone', 'CertDER': cert, 'Account': 'mox', 'LoginAddress': LOGIN}
        w.write_server(d, 'auth.db', TLSPublicKey=[key, dict(key, Fingerprint='A' * 43, Name='\x1b[2J')], LoginAttempt=[
            {'Key': b'1', 'Last': NOW - 100, 'First': NOW - DAY, 'Count': 17, 'AccountName': 'mox', 'LoginAddress': LOGIN, 'RemoteIP': '192.0.2.1', 'Protocol': 'imap',
             'AuthMech': 'plain', 'Result': 'badcreds'}, {'Key': b'2', 'Last': NOW - 100 * DAY, 'Count': 1, 'AccountName': 'mox', 'Result': 'ok'}])
        before = {os.path.join(r, p): os.stat(os.path.join(r, p)).st_mtime_ns for r, _, fs in os.walk(d) for p in fs}
        # With an account named: what is that account's.
        code, out, err = s.command('import', 'upstream', d, 'mox')
        assert code == 1 and 'messages in the queue: 4 taken over, 3 were not\n' in out and 'report' not in out, (out, err)
        for what in ('4 in the queue: its file cannot be read', '5 in the queue: its file has another size', '6 in the queue: its recipient'):
            assert 'message ' + what in err, err
        assert 'messages that were in the queue: 1 taken over\n' in out and 'rules for holding: 1 taken over\n' in out, out
        assert 'addresses that are not written to: 1 taken over\n' in out and 'keys of clients: 1 taken over, 1 were not\n' in out, out
        assert 'key "\\027[2J" of account mox: it is not that of its certificate' in err, err
        # With all: the rest. What was there is told, and there once.
        code, out, err = s.command('import', 'upstream', d)
        assert code == 1 and 'messages in the queue: 1 taken over, 4 were there already, 3 were not\n' in out, (out, err)
        for what in ('MTA-STS policies of other domains', 'DMARC reports', 'TLS reports'):
            assert what + ': 1 taken over\n' in out, (what, out)
        assert 'messages for DMARC reports to others: 2 taken over\n' in out and 'results for TLS reports to others: 2 taken over\n' in out, out
        assert '1 calls of web servers are not taken over' in out, out
        out = s.command('import', 'upstream', d)[1]
        assert 'others' not in out.replace('of other', '') and '5 were there already' in out, out
        assert 'DMARC reports: 0 taken over, 1 were there already\n' in out, out
        assert 'gathered for DMARC reports: there is some here' in out and 'gathered for TLS reports: there is some here' in out, out
        # As when it was interrupted between the two.
        with contextlib.closing(sqlite3.connect(s.dir + '/data/admin/admin.db')) as db:
            db.executescript('DELETE FROM tls_failure; DELETE FROM tls_result')
        out = s.command('import', 'upstream', d)[1]
        assert 'results for TLS reports to others: 2 taken over\n' in out and 'gathered for DMARC reports: there is some here' in out, out
        assert before == {p: os.stat(p).st_mtime_ns for p in before}
        assert s.command('verifydata')[0] == 0

        queue = s.dir + '/data/queue/queue.db'
        assert rows(queue, 'SELECT recipient, domain, attempts, max_attempts, is_held, e.require_tls, transport, last_error, reverse_path, future_release, is_smtputf8, origin, '
                           'keep_retired_s, has_own_path FROM entry e JOIN message m ON m.id = e.message WHERE account = \'mox\' ORDER BY e.id') == [
            ('mox@localhost', 'localhost', 0, 0, 0, 0, '', '', 'mox@localhost', '', 0, 0, 259200, 0),
            ('a@xn--bcher-kva.example', 'xn--bcher-kva.example', 2, 5, 0, 2, '', 'come again', 'mox@localhost', '', 0, 0, 259200, 0),
            ('"held user"@c.example', 'c.example', 0, 0, 1, 1, 'relay', '', 'mox+abc@localhost', 'until;2027-01-01T00:00:00Z', 1, 0, 259200, 1),
            ('x@[127.0.0.1]', '[127.0.0.1]', 0, 0, 0, 0, '', '', '', '', 0, 2, 259200, 0)]
        assert [r[0] for r in rows(queue, 'SELECT text FROM result WHERE entry IN (SELECT id FROM entry) ORDER BY id')] == ['first', 'come again']
        assert rows(queue, 'SELECT mx, mode, valid_until_unix FROM sts') == [('mx.example *.more.example', 2, NOW + DAY)]
        admin = s.dir + '/data/admin/admin.db'
        assert rows(admin, 'SELECT domain, from_domain, received_unix, report_id, p, pct, n_rows FROM dmarc_report') == [
            ('localhost', 'big.example', NOW - 3 * DAY, 'r1', 'reject', '100', 3)]
        assert rows(admin, 'SELECT source_ip, count, reasons, dkim_results FROM dmarc_row')[1] == (
            '192.0.2.1', 7, '[{"type":"forwarded","comment":"so it is"}]', '[{"domain":"localhost","selector":"sel","result":"pass"}]')
        assert rows(admin, 'SELECT policy_strings, successes, failures FROM tls_row') == [('["version: STSv1","mode: enforce"]', 30, 5)]
        assert rows(admin, 'SELECT policy_domain, record, messages, dkim, overrides FROM evaluation') == [
            ('d.example', 'v=DMARC1;p=reject;adkim=r;rua=mailto:r@d.example', 2, 'pass localhost sel\n', 'mailing_list')]
        assert rows(admin, 'SELECT policy_domain, successes, failures FROM tls_result') == [('d.example', 30, 5)]
        assert rows(admin, 'SELECT result_type, sessions FROM tls_failure ORDER BY 1') == [('certificate-expired', 3), ('validation-failure', 2)]
        assert rows(admin, 'SELECT is_tls, address FROM suppressed ORDER BY 1') == [(0, 'no@d.example'), (1, 'no@tls.example')]
        assert rows(s.dir + '/data/auth/auth.db', "SELECT last_unix, first_unix, count FROM login_attempt WHERE result = 'badcreds'") == [(NOW - 100, NOW - DAY, 17)]

        s.start()
        # What is due is delivered, with its prefix; the rest waits.
        c = s.imap()
        wait_for(lambda: c.select('INBOX')[0] == 'OK' and c.search(None, 'SUBJECT', '"queued 1"')[1] != [b''])
        n = c.search(None, 'SUBJECT', '"queued 1"')[1][0]
        assert b'Received: by upstream\r\n' in c.fetch(n, '(BODY.PEEK[])')[1][0][1]
        c.logout()
        out = s.command('queue', 'list')[1]
        assert 'held user' in out and 'xn--bcher-kva' in out and 'come again' in out, out
        out = s.command('queue', 'retired', 'list')[1]
        assert 'gone@c.example' in out and 'old@c.example' not in out, out
        assert 'no.body+x@c.example' in s.command('queue', 'suppress', 'list')[1]
        out = s.command('queue', 'holdrules', 'list')[1]
        assert 'xn--bcher-kva.example' in out and out.count('id ') == 1, out
        out = s.command('config', 'tlspubkey', 'list')[1]
        assert fingerprint in out and 'my phone' in out, out
        s.stop()
        # What was delivered meanwhile is not taken again.
        assert 'messages in the queue: 5 were there already' in s.command('import', 'upstream', d)[1].replace('0 taken over, ', '')


@test
def how_mail_came_counts():
    """Senders keep their reputation, by the mailbox that their mail was delivered to; the junk filter learns from the flags."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(10)
        came = {'RemoteIP': '192.0.2.77', 'MailFromLocalpart': 'bounce', 'MailFromDomain': 'b\u00fccher.example', 'MailFromValidated': True, 'MsgFromLocalpart': 'ann',
                'MsgFromDomain': 'mail.b.example', 'MsgFromOrgDomain': 'b.example', 'MsgFromValidated': True, 'EHLODomain': 'mx.b.example', 'EHLOValidated': False}
        by_uid = {m['UID']: m for m in messages}
        by_uid[2].update(came, MailboxOrigID=1, Notjunk=True)
        by_uid[3].update(came, MailboxOrigID=4, Junk=True)    # another mailbox than it lies in
        by_uid[4].update(came, MailboxOrigID=99, Junk=True)   # one that is gone
        by_uid[6].update(came, MailboxOrigID=1, MsgFromValidated=False)
        del by_uid[6]['Seen']
        w.write(d, 'mox', w.Bolt().write(w.tables(
            mailboxes, messages, subscriptions, 950, 2000, Recipient=[
                {'ID': 1, 'MessageID': 1, 'Localpart': 'friend', 'Domain': 'far.example', 'Sent': NOW - 50},
                {'ID': 2, 'MessageID': 2, 'Localpart': '"a friend"', 'Domain': 'b\u00fccher.example', 'Sent': NOW - 60}],
            Outgoing=[{'ID': i, 'Recipient': 'x@b\u00fccher.example', 'Submitted': NOW - 1000 + i} for i in (1, 2)],
            Subjectpass=[{'Email': LOGIN, 'Key': 'abcdefghijklmnop'}, {'Email': 'x@localhost', 'Key': 'short'}],
            Annotation=[{'ID': 1, 'MailboxID': 1, 'Key': '/private/comment', 'Value': b'x'}, {'ID': 2, 'Key': '/private/x', 'Expunged': True}],
            Settings=[{'ID': 1, 'Signature': 'me', 'ShowAddressSecurity': True}])), files)
        code, out, err = s.command('import', 'upstream', d)
        assert code == 0 and 'mox: 1 annotations are not taken over' in out and 'mox: the settings of the webmail' in out, (out, err)
        path = s.dir + '/data/accounts/mox/account.db'
        signs = rows(path, 'SELECT m.name, kind, value, is_junk, who FROM sign s JOIN mailbox m ON m.id = s.mailbox ORDER BY m.name, kind, value')
        kinds = [(1, 'ann@mail.b.example', ''), (3, 'mail.b.example', 'ann'), (5, 'b.example', 'ann'), (7, 'b.example', ''), (7, 'x.example', ''),
                 (8, 'bounce@xn--bcher-kva.example', ''), (9, 'xn--bcher-kva.example', '')]
        ips = [(kind, value, '') for _, kind, value, _, _ in signs[:len(kinds) + 3] if kind > 10]
        assert [k for k, _, _ in ips] == [11, 12, 13] and '192.0.2.77' in ips[0][1], ips
        assert signs == [(name, kind, value, junk, who) for name, junk in (('Inbox', 0), ('Work/Caf\u00e9', 1)) for kind, value, who in kinds + ips], signs
        assert rows(path, "SELECT domain, localpart, sent_unix FROM correspondent WHERE localpart LIKE '%friend' ORDER BY 2") == [
            ('example.xn--bcher-kva.', 'a friend', NOW - 60), ('example.far.', 'friend', NOW - 50)]
        assert rows(s.dir + '/data/queue/queue.db', 'SELECT account, recipient, first_unix FROM correspondent') == [
            ('mox', 'x@xn--bcher-kva.example', NOW - 999)]
        assert rows(path, 'SELECT address, key FROM subjectpass') == [(LOGIN, 'abcdefghijklmnop')]
        assert s.command('verifydata') == (0, '1 accounts checked, no problems\n', '')
        s.start()
        s.imap().logout()
        wait_for(lambda: rows(path, 'SELECT ham, spam FROM junk_state') == [(1, 2)])


@test
def damaged_databases():
    """Cut off, or with bytes changed: an error, or what is left, and never a crash."""
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        mailboxes, messages, files, subscriptions = w.sample(60)
        good = w.Bolt(page_size=1024).write(w.tables(mailboxes, messages, subscriptions, 950, 2000))
        w.write(d, 'x', good, {})
        rng = random.Random(5)
        refused = 0
        for i in range(40):
            bad = bytearray(good)
            if i % 4 == 0:
                del bad[rng.randrange(len(bad)):]
            else:
                for _ in range(1 + i % 5):
                    bad[rng.randrange(2048, len(bad))] ^= 1 << rng.randrange(8)
            with open(d + '/accounts/x/index.db', 'wb') as f:
                f.write(bad)
            shutil.rmtree(s.dir + '/data/accounts/x', ignore_errors=True)
            code, out, err = s.command('import', 'upstream', d, 'x')
            assert code == 1 and 'ended with' not in err and 'Sanitizer' not in err, (i, err[-2000:])
            refused += 'could not be' not in err
        assert refused > 15, refused
        # One of the two meta pages may be broken.
        for at in (100, 1024 + 100):
            bad = bytearray(good)
            bad[at - 60] ^= 255
            with open(d + '/accounts/x/index.db', 'wb') as f:
                f.write(bad)
            shutil.rmtree(s.dir + '/data/accounts/x', ignore_errors=True)
            assert ' could not be' in s.command('import', 'upstream', d, 'x')[2]


@test
def damaged_databases_of_the_server():
    with running() as s, tempfile.TemporaryDirectory() as d:
        s.stop()
        rng = random.Random(7)
        write_all(d)
        os.makedirs(d + '/accounts')
        good = {name: open(os.path.join(d, name), 'rb').read() for name in w.SERVER if name != 'auth.db'}
        refused = 0
        for i in range(12):
            for name, whole in good.items():
                bad = bytearray(whole)
                if i % 4 == 0:
                    del bad[rng.randrange(len(bad)):]
                else:
                    for _ in range(3):
                        bad[rng.randrange(8192, len(bad))] ^= 1 << rng.randrange(8)
                with open(os.path.join(d, name), 'wb') as f:
                    f.write(bad)
            code, out, err = s.command('import', 'upstream', d)
            assert code in (0, 1) and 'ended with' not in err and 'Sanitizer' not in err, (i, err[-2000:])
            refused += sum(l.startswith('mox: ') for l in err.splitlines())
        assert refused > 20, refused
        assert s.command('verifydata')[0] == 0
        s.start()


@test
def its_configuration_opens_unchanged():
    """Two files with every field that upstream knows (test/data/upstream/config), and older spellings."""
    with tempfile.TemporaryDirectory() as d:
        shutil.copytree(os.path.join(ROOT, 'test', 'data', 'upstream', 'config'), d + '/config')
        os.makedirs(d + '/data')
        for name in ('dkim', 'hostkeys'):
            os.mkdir(d + '/config/' + name)
        ec = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']
        for name, kind in (('key.pem', ec), ('hostkeys/ec.pem', ec), ('dkim/b.pem', ['-algorithm', 'ed25519']),
                           ('hostkeys/rsa.pem', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'])):
            run('openssl', 'genpkey', *kind, '-out', d + '/config/' + name)
        shutil.copy(d + '/config/hostkeys/rsa.pem', d + '/config/dkim/a.pem')
        run('openssl', 'req', '-x509', '-key', d + '/config/key.pem', '-subj', '/CN=x', '-out', d + '/config/cert.pem', '-days', '30')
        shutil.copy(d + '/config/cert.pem', d + '/config/ca.pem')
        for name, text in (('adminpasswd', 'x\n'), ('eab.key', 'c2VjcmV0\n')):
            with open(d + '/config/' + name, 'w') as f:
                f.write(text)
        def tested():
            r = subprocess.run([MOX, '-config', d + '/config/mox.conf', 'config', 'test'], capture_output=True, text=True, timeout=WAIT)
            return r.returncode, r.stdout, r.stderr

        path = d + '/config/mox.conf'
        text = open(path).read()
        code, out, err = tested()
        assert 'there is no user "mox"' in err or code == 0  # it is wanted
        text = text.replace('User: mox\n', 'User: nobody\n')
        with open(path, 'w') as f:
            f.write(text)
        code, out, err = tested()
        assert (code, out) == (0, 'config OK\n'), err
        # What does nothing here is said, and nothing else.
        assert sorted(re.findall(r'\.conf:\d+: (\w+) has no effect: ', err)) == ['IncomingWebhook', 'OutgoingWebhook', 'PprofHTTP'], err
        assert err.count('\n') == 3, err
        old = re.sub(r'InitialMailboxes:\n(?:\t.*\n)+', 'DefaultMailboxes:\n\t- Sent\n\t- Lists\n', text)
        assert old != text
        for changed, code in ((old, 0), (text.replace('NoRequireTLS', 'NoRequireTls'), 1)):
            with open(path, 'w') as f:
                f.write(changed)
            assert tested()[0] == code, tested()


main('upstream')
