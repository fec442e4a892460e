"""
`mox serve` with a configuration of its own: addresses, and limits with their replies, from which localserve exempts
programs on the own machine.
"""
import concurrent.futures
import pwd

from serving import *


def deliver(s, to, body='hello', code='250'):
    w = s.connect(SMTP)
    w.smtp_hello()
    w.cmd('MAIL FROM:<a@elsewhere.example>', '250')
    w.cmd('RCPT TO:<%s>' % to, '250')
    w.cmd('DATA', '354')
    w.write('Subject: x\r\n\r\n%s\r\n.\r\n' % body)
    r = w.reply()
    assert r.startswith(code), (r, code)
    w.close()
    return r


def count(c, mailbox='INBOX'):
    return int(c.select(mailbox)[1][0])


@test
def addresses_lead_to_their_accounts():
    with serving() as s:
        ann, bob = s.login('ann'), s.login('bob')
        deliver(s, 'ann+tag@EXAMPLE.org')
        assert (count(ann), count(bob)) == (1, 0)
        deliver(s, 'both@example.org')
        assert (count(ann), count(bob)) == (2, 1)
        deliver(s, 'whatever@rest.example')
        assert count(ann, 'Rest') == 1
        deliver(s, 'postmaster@mail.example.org')
        assert count(ann, 'Postmaster') == 1
        w = s.connect(SMTP)
        assert 'mail.example.org' in w.smtp_hello()
        w.cmd('MAIL FROM:<a@elsewhere.example>', '250')
        w.cmd('RCPT TO:<a@elsewhere.example>', '550 5.1.1')  # no relay for strangers
        w.cmd('RCPT TO:<ann%elsewhere.example@mail.example.org>', '550 5.1.1')
        assert 'bob has gone' in w.cmd('RCPT TO:<gone@example.org>', '550')
        w.close()
        w = s.connect(SUBMISSION)
        w.smtp_hello()
        w.cmd('MAIL FROM:<ann@example.org>', '530 5.7.0')
        w.close()
        code, out, err = s.command('verifydata')
        assert (code, out) == (0, '2 accounts checked, no problems\n'), (out, err)
        assert s.command('stop')[0] == 0


@test
def addresses_differ_as_their_domain_says():
    with serving() as s:
        path = os.path.join(s.dir, 'domains.conf')
        with open(path) as f:
            text = f.read()
        text = text.replace('\trest.example: nil\n', '''	rest.example: nil
	case.example:
		LocalpartCaseSensitive: true
		LocalpartCatchallSeparators:
			- +
			- --
''').replace('\t\t\tann@example.org: nil\n', '\t\t\tann@example.org: nil\n\t\t\tJo@case.example: nil\n').replace(
            '\t\t\tbob@example.org: nil\n', '\t\t\tbob@example.org: nil\n\t\t\tjo@case.example: nil\n')
        text = text.replace('\tbob:\n', '\tbob:\n\t\tIMAPCapabilitiesDisabled:\n\t\t\t- CONDSTORE\n\t\t\t- QRESYNC\n\t\t\t- IMAP4REV2\n')
        with open(path + '.new', 'w') as f:
            f.write(text)
        os.rename(path + '.new', path)
        s.wait_log('domains config reloaded')
        pool = concurrent.futures.ThreadPoolExecutor(2)  # who guesses addresses waits for the answer
        guesses = [pool.submit(deliver, s, to, code='550') for to in ('JO@case.example', 'jo-x@case.example')]
        for to in ('Jo@case.example', 'Jo+x@CASE.example', 'Jo--y+z@case.example', 'jo@case.example', 'jo--+@case.example'):
            deliver(s, to)
        ann, bob = s.login('ann'), s.login('bob')
        assert (count(ann), count(bob)) == (3, 2)
        # A mail program that does wrong with an extension does not hear of it, whoever else does.
        w = s.connect(IMAP)
        w.line()
        w.write('a LOGIN jo@case.example "bob password"\r\n')
        said = w.imap_until('a')[-1] + ' '
        w.write('b CAPABILITY\r\n')
        for line in (said, w.imap_until('b')[-2] + ' '):
            assert ' MOVE ' in line and ' IMAP4rev1 ' in line.replace('[CAPABILITY', ''), line
            assert not any(name in line for name in ('CONDSTORE', 'QRESYNC', 'IMAP4rev2')), line
        w.write('c ENABLE IMAP4rev2 UTF8=ACCEPT QRESYNC CONDSTORE\r\n')
        assert w.imap_until('c')[-2] == '* ENABLED UTF8=ACCEPT'
        w.write('d CAPABILITY\r\n')
        w.imap_until('d')
        w.close()
        assert {'CONDSTORE', 'QRESYNC', 'IMAP4REV2'} <= set(ann.capability()[1][0].decode().upper().split())
        for guess in guesses:
            guess.result()


def tls_versions(s, *args):
    found = []
    for version in ('-tls1_2', '-tls1_3'):
        r = subprocess.run(['openssl', 's_client', '-connect', '%s:%d' % (s.ip, args[0]), version, *args[1:]],
                           input='', capture_output=True, text=True, timeout=WAIT)
        if 'Cipher is ' in r.stdout and 'Cipher is (NONE)' not in r.stdout:
            found.append(version)
    return found


@test
def tls_begins_with_the_version_configured():
    ports = ((SMTP, '-starttls', 'smtp'), (IMAP, '-starttls', 'imap'), (IMAPS,))
    with serving() as s:
        for args in ports:
            assert tls_versions(s, *args) == ['-tls1_2', '-tls1_3'], args
        s.stop()
        s.set_conf('\t\tTLS:\n', '\t\tTLS:\n\t\t\tMinVersion: TLSv1.3\n')
        s.start()
        for args in ports:
            assert tls_versions(s, *args) == ['-tls1_3'], args


def certificate_of(s, port):
    with socket.create_connection((s.ip, port), timeout=WAIT) as c:
        if port == 1025:
            w = Wire(c)
            w.smtp_hello()
            w.cmd('STARTTLS', '220')
        with insecure_context().wrap_socket(c) as tls:
            return tls.getpeercert(True)


@test
def certificates_are_used_when_their_files_change():
    with serving() as s:
        before = {port: certificate_of(s, port) for port in (1993, 1025)}
        held = insecure_context().wrap_socket(socket.create_connection((s.ip, 1993), timeout=WAIT))
        assert held.recv(4096).startswith(b'* OK')
        names = [os.path.join(s.dir, 'localhost.' + n) for n in ('crt', 'key')]
        with tempfile.TemporaryDirectory() as fresh:
            new = [os.path.join(fresh, n) for n in ('crt', 'key')]
            run('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=new', '-addext',
                'subjectAltName=DNS:mail.example.org', '-out', new[0], '-keyout', new[1])
            # A certificate whose key has not come yet is not used; with it, both are.
            shutil.copy(new[0], names[0])
            s.wait_log('cannot be used; the previous one stays in use')
            assert certificate_of(s, 1993) == before[1993]
            shutil.copy(new[1], names[1])
            with open(new[0]) as f:
                want = ssl.PEM_cert_to_DER_cert(f.read())
        for port in before:
            eventually(lambda: certificate_of(s, port) == want, port, pause=0.2)
        held.sendall(b'a NOOP\r\n')
        assert held.recv(4096).startswith(b'a OK')
        # keys that has to start again knows it as well.
        start = len(s.log_text())
        os.kill(s.pids('mox: keys')[0], signal.SIGKILL)
        s.wait_log('role started" pkg=mox role=keys', start)

        def certificate():
            with contextlib.suppress(OSError):
                return certificate_of(s, 1993)

        assert eventually(certificate, 'no handshake', pause=0.2) == want


@test
def settings_that_do_nothing_are_named():
    with serving() as s:
        assert 'does nothing' not in s.log_text() and s.command('config', 'test')[1:] == ('config OK\n', '')
        s.stop()
        s.set_conf('\t\tSMTP:\n', '\t\tPprofHTTP:\n\t\t\tEnabled: true\n\t\tSMTP:\n')
        s.set_conf('\tpublic:\n', '\t%s:\n' % (300 * 'p'))  # a listener's name may be as long as one likes
        start = len(s.log_text())
        s.start()
        assert re.search(r'a setting that does nothing".*mox\.conf:\d+: PprofHTTP has no effect', s.log_text(start))
        code, out, err = s.command('config', 'test')
        assert (code, out) == (0, 'config OK\n') and re.search(r'mox\.conf:\d+: PprofHTTP has no effect: ', err), err


@test
def mail_for_elsewhere_waits_with_a_reason():
    with serving() as s:
        t = Wire(insecure_context().wrap_socket(socket.create_connection((s.ip, SUBMISSIONS), timeout=WAIT)))
        t.smtp_hello()
        t.cmd('AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBhbm4gcGFzc3dvcmQ=', '235')
        t.cmd('MAIL FROM:<bob@example.org>', '550 5.7.1')
        t.cmd('MAIL FROM:<ann@example.org>', '250')
        t.cmd('RCPT TO:<a@elsewhere.example>', '250')
        t.cmd('RCPT TO:<bob@example.org>', '250')
        t.cmd('RCPT TO:<nobody@example.org>', '550 5.1.1')
        t.cmd('DATA', '354')
        t.write('From: <ann@example.org>\r\nSubject: x\r\n\r\nx\r\n.\r\n')
        t.expect('250')
        t.close()
        s.wait_log('delivery put off')
        s.wait_log('m="delivered" pkg=queue')
        out = s.command('queue', 'list')[1]
        lines = out.splitlines()
        assert lines[0] == 'messages:' and len(lines) == 2, out
        assert ' from:<ann@example.org> to:<a@elsewhere.example> ' in lines[1] and 'error ""' not in lines[1], out
        assert count(s.login('bob')) == 1


@test
def a_full_mailbox_is_said():
    with serving() as s:
        c = s.login('bob')
        deliver(s, 'bob@example.org', '\r\n'.join(['x' * 70] * 200))
        r = deliver(s, 'bob@example.org', '\r\n'.join(['x' * 70] * 200), '452 4.2.2')
        assert 'full' in r, r
        assert b'OVERQUOTA' in c.append('INBOX', None, None, b'Subject: y\r\n\r\n' + b'y\r\n' * 5000)[1][0]
        assert count(c) == 1
        c.store('1', '+FLAGS', '(\\Deleted)')
        c.expunge()
        deliver(s, 'bob@example.org', '\r\n'.join(['x' * 70] * 200))
        # A list has it when one of its members does (mox-smtp-delivery.md 1.12).
        deliver(s, 'both@example.org', '\r\n'.join(['x' * 70] * 200))
        assert count(s.login('ann')) == 1


def is_unread(by, of):
    """Whether something that a process has sent to another waits to be read."""
    ends = {}
    for line in run('ss', '-xpH').stdout.splitlines():
        words = line.split(None, 8)  # kind, state, what waits to be read, ..., own number, *, the other end's; whose it is
        ends[words[5]] = int(words[2]), words[7], words[-1]
    return any(waits and 'pid=%d,' % by in who and 'pid=%d,' % of in ends.get(other, (0, '', ''))[2] for waits, other, who in ends.values())


def end_slowly(s, account):
    """The process of an account, stopped when it was told to end, which it has not."""
    pid, monitor = s.pids('mox: account ' + account)[0], s.process.pid
    os.kill(monitor, signal.SIGSTOP)
    try:
        # Until it has asked whether it may go: that waits for the monitor.
        eventually(lambda: is_unread(monitor, pid), 'it has not asked', pause=0.1)
        os.kill(pid, signal.SIGSTOP)
    finally:
        os.kill(monitor, signal.SIGCONT)
    return pid


@test
def who_comes_while_an_account_ends_is_served():
    """It was told to end, and takes its time for it: another process of the account takes what comes."""
    with serving() as s:
        deliver(s, 'ann@example.org')
        account = end_slowly(s, 'ann')
        try:
            deliver(s, 'ann@example.org')
            c = s.login('ann')
            assert count(c) == 2 and len(s.pids('mox: account ann')) == 2
        finally:
            os.kill(account, signal.SIGCONT)
        deadline = time.monotonic() + WAIT
        while os.path.exists('/proc/%d' % account):
            assert time.monotonic() < deadline, 'it does not end'
            time.sleep(0.05)
        assert count(c) == 2
        c.logout()


@test
def what_comes_for_an_account_of_a_removed_ones_name_is_not_removed():
    """Its process ends, and what it had is erased then: until that is done, nobody gets anything to keep there."""
    with serving() as s:
        def config(*args):
            code, _, err = s.command('config', 'account', *args)
            assert code == 0, err

        config('add', 'carol', 'carol@example.org')
        deliver(s, 'carol@example.org')
        account = end_slowly(s, 'carol')
        try:
            config('rm', 'carol')
            before = os.path.getsize(s.log_path)
            with open(os.path.join(s.dir, 'domains.conf'), 'a') as f:  # the command would not
                f.write('\tcarol:\n\t\tDomain: example.org\n\t\tDestinations:\n\t\t\tcarol@example.org: nil\n')
            s.wait_log('domains config reloaded', before)
            deliver(s, 'carol@example.org', code='451')
        finally:
            os.kill(account, signal.SIGCONT)
        s.wait_log('account and its mail removed')
        deliver(s, 'carol@example.org')
        assert len(s.pids('mox: account carol')) == 1


@test
def an_account_outlives_the_admin_that_waits_for_its_work():
    """What it says of its work when admin has just ended is for nobody, and no fault of its own."""
    with serving(env={'MOX_PROGRESS_MS': '0'}) as s:
        deliver(s, 'ann@example.org')
        ann = s.login('ann')
        account, monitor = s.pids('mox: account ann')[0], s.process.pid
        os.kill(account, signal.SIGSTOP)
        command = subprocess.Popen([s.mox, '-config', s.dir + '/mox.conf', 'reparse', 'ann'], stderr=subprocess.PIPE, env=s.env)
        eventually(lambda: is_unread(account, monitor), 'it was told nothing', pause=0.1)
        os.kill(monitor, signal.SIGSTOP)
        try:
            os.kill(account, signal.SIGCONT)
            eventually(lambda: is_unread(monitor, account), 'it has said nothing', pause=0.1)
            os.kill(s.pids('mox: admin')[0], signal.SIGKILL)
            command.communicate(timeout=WAIT)
        finally:
            os.kill(monitor, signal.SIGCONT)
        s.wait_log('role=admin how="signal 9')
        assert command.returncode == 1 and count(ann) == 1 and 'misbehaves' not in s.log_text()


@test
def connections_at_once_are_limited_by_address():
    with serving() as s:
        held = []
        for _ in range(30):
            w = s.connect(IMAP)
            assert w.line().startswith('* OK')
            held.append(w)
        w = s.connect(IMAP)
        assert w.line() == '* BYE too many open connections from your ip or network' and w.at_end()
        w = s.connect(SMTP)
        assert w.line() == '421 4.7.0 too many open connections from your ip or network' and w.at_end()
        w = s.connect(SMTP, source='127.77.0.1')  # another network
        w.expect('220')
        held.pop().imap_cmd('a LOGOUT')
        eventually(lambda: s.connect(IMAP).line().startswith('* OK'), pause=0.2)


@test
def connections_a_minute_are_limited_by_address():
    with serving() as s:
        refused, n = '', 0
        held = [s.connect(SMTP) for _ in range(30)]  # as many as there may be at once: the others are sent away, and are counted, too
        for w in held:
            w.expect('220')
        while n < 900 and 'rate' not in refused:  # a new minute may begin once or twice meanwhile
            w = s.connect(SMTP)
            refused = w.line()
            w.close()
            n += 1
        assert refused == '421 4.7.0 connection rate from your ip or network too high, slow down please' and n > 270, (n, refused)
        s.connect(SMTP, source='127.77.0.1').expect('220')


@test
def who_crashes_a_session_waits():
    with serving() as s:
        w = s.connect(SMTP, source='127.66.0.1')
        w.expect('220')
        old = s.pids('mox: session-template')
        os.kill(s.pids('mox: session smtp')[0], signal.SIGKILL)
        assert w.at_end()
        s.wait_log('address paused after a crash')
        w = s.connect(SMTP, source='127.66.0.1')
        assert w.line() == '421 4.7.0 a connection from you ended badly, try again later' and w.at_end()
        w = s.connect(SMTP, source='127.77.0.1')
        w.smtp_hello()
        # The template that lost it is replaced, goes on serving whom it has, and ends with the last of them.
        s.wait_log('template lost a child and is replaced')
        w.cmd('QUIT', '221')
        deadline = time.monotonic() + WAIT
        while set(s.pids('mox: session-template')) & set(old):
            assert time.monotonic() < deadline, 'the old template stays'
            time.sleep(0.05)
        s.connect(SMTP, source='127.77.0.1').smtp_hello()


def spares(s, is_enough):
    """The spare sessions, once there are as many as that."""
    deadline = time.monotonic() + WAIT
    while True:
        found = s.pids('mox: spare session')
        if is_enough(len(found)):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@test
def sessions_are_forked_before_they_are_wanted():
    with serving() as s:
        first = spares(s, lambda n: n == 2)
        # One child, one connection: who waited serves, and somebody else waits.
        template = s.pids('mox: session-template')[0]
        os.kill(template, signal.SIGSTOP)
        held = [s.connect(SMTP) for _ in range(20)]
        s.wait_log_count('m="new connection"', 20)
        os.kill(template, signal.SIGCONT)
        for w in held:
            w.expect('220')
        serving_now = s.pids('mox: session smtp')
        assert len(serving_now) == 20 and set(first) <= set(serving_now), (first, serving_now)
        # The more came at once, the more wait for the next, up to sixteen.
        many = spares(s, lambda n: 2 < n <= 16)
        assert not set(many) & set(serving_now)
        # One that ends before it was needed does no harm, and is not taken for a crashed session.
        for pid in many:
            with contextlib.suppress(ProcessLookupError):  # one too many ends by itself
                os.kill(pid, signal.SIGKILL)
        while set(s.pids('mox: spare session')) & set(many):
            time.sleep(0.05)
        s.connect(SMTP).smtp_hello()
        assert not set(spares(s, lambda n: n > 2)) & set(many)
        assert 'crashed' not in s.log_text() and 'template lost' not in s.log_text()
        # Those that wait would log as was said before they were forked.
        old = spares(s, lambda n: n > 2)
        assert s.command('loglevels', 'trace', 'smtpserver')[0] == 0
        deadline = time.monotonic() + WAIT
        while set(s.pids('mox: spare session')) & set(old):
            assert time.monotonic() < deadline, 'spare sessions of before'
            time.sleep(0.05)
        at = len(s.log_text())
        s.connect(SMTP).smtp_hello()
        s.wait_log('C:', at)
        # They end with their template.
        old, template = spares(s, lambda n: n > 2), s.pids('mox: session-template')
        os.kill(template[0], signal.SIGKILL)
        s.wait_log('role ended unexpectedly')
        eventually(lambda: not [pid for pid in old if os.path.exists('/proc/%d' % pid)], old)
        assert not set(spares(s, lambda n: n == 2)) & set(old)
        s.connect(SMTP).smtp_hello()
        for w in held:
            w.close()


def identity(pid):
    """Its user, group and other groups; None when it has just ended."""
    with contextlib.suppress(OSError), open('/proc/%d/status' % pid) as f:
        return [l.split()[1:] for l in f if l.startswith(('Uid:', 'Gid:', 'Groups:'))]


@test
def started_by_root_it_serves_as_its_user():
    if os.geteuid() != 0:
        return
    with serving() as s:
        user = pwd.getpwnam(USER)
        # What a command of root left behind does not stand in the way.
        s.stop()
        os.chown(os.path.join(s.dir, 'data/auth/auth.db'), 0, 0)
        s.start()
        deliver(s, 'ann@example.org')
        assert count(s.login('ann')) == 1
        w = s.connect(SMTP)
        w.expect('220')
        roles = list(filter(None, (identity(p) for p in s.pids('mox: ') if p != s.process.pid)))
        assert len(roles) >= 8, roles
        for uid, gid, groups in roles:
            assert set(uid) == {str(user.pw_uid)} and set(gid) == {str(user.pw_gid)} and not groups, roles
        for d, _, files in os.walk(os.path.join(s.dir, 'data')):
            for f in files:
                with contextlib.suppress(FileNotFoundError):  # journals come and go
                    assert f in ('ctl', 'lock', 'receivedid.key') or os.stat(os.path.join(d, f)).st_uid == user.pw_uid, f
        w.close()
        s.stop()
        assert 'unexpectedly' not in s.log_text() and 'crashed' not in s.log_text()


@test
def a_user_that_cannot_be_is_named():
    if os.geteuid() != 0:
        return
    with serving() as s:
        s.stop()
        for user, text in (('nosuchuser', 'there is no user \\"nosuchuser\\"'), ('root', 'must not be root')):
            s.set_conf('User: ' + USER, 'User: ' + user)
            start = len(s.log_text())
            s.start(expect_failure=True)
            assert text in s.log_text(start), s.log_text(start)
            assert s.process.wait(WAIT) == 1
            s.set_conf('User: ' + user, 'User: ' + USER)


@test
def systemd_is_told_and_its_journal_knows_levels():
    with serving() as s:
        s.stop()
        log = os.stat(s.log_path)
        for address in (s.dir + '/notify', '\0mox-test-%d' % os.getpid()):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
                systemd.bind(address)
                systemd.settimeout(WAIT)
                s.env.update(NOTIFY_SOCKET=address.replace('\0', '@'), JOURNAL_STREAM='%d:%d' % (log.st_dev, log.st_ino))
                start = len(s.log_text())
                s.start()
                assert systemd.recv(100) == b'READY=1'
                s.stop()
                assert systemd.recv(100) == b'STOPPING=1'
            lines = s.log_text(start).splitlines()
            assert '<5>l=print m="ready to serve" pkg=mox' in lines, lines
            assert all(re.match(r'<[2-7]>l=', l) for l in lines), lines
            assert any(l.startswith('<7>l=debug ') for l in lines), lines
        # Another stream than the journal's, and nobody to tell.
        s.env.update(NOTIFY_SOCKET='', JOURNAL_STREAM='1:1')
        start = len(s.log_text())
        s.start()
        assert '<' not in s.log_text(start)
        s.stop()


@test
def without_landlock_it_asks_first():
    """In test builds, where the kernel's Landlock can be left out of account."""
    if os.environ.get('MOX_SANDBOX') != 'off':
        return
    s = Serve(env={'MOX_LANDLOCK_ABI': '0', 'MOX_SANDBOX': 'off'})
    try:
        s.start(expect_failure=True)
        assert 'no Landlock' in s.log_text() and '-without-landlock' in s.log_text(), s.log_text()
        assert s.process.wait(WAIT) == 1
        s.start('-without-landlock')
    finally:
        s.close()


main('serve')
