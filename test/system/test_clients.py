"""The programs that people read and send mail with, against a running server."""
import email
import email.policy
import imaplib
import mailbox
import smtplib

from harness import *

shared = None
MAIN = 'mox@localhost'


def server():
    global shared
    if not shared:
        shared = Server().start()
    return shared


def ok(response):
    assert response[0] == 'OK', response
    return response[1]


def message(ident, subject=None, body='text of the message', sender='ann@example.org'):
    return ('From: Ann <%s>\r\nTo: <mox@localhost>\r\nSubject: %s\r\n'
            'Date: Tue, 01 Sep 2026 10:00:00 +0200\r\nMessage-Id: <%s@example.org>\r\n\r\n%s\r\n'
            % (sender, subject or 'message ' + ident, ident, body)).encode()


@contextlib.contextmanager
def scratch():
    with tempfile.TemporaryDirectory(prefix='mox-client-') as d:
        yield d


def write_file(path, text):
    with open(path, 'w') as f:
        f.write(text)
    os.chmod(path, 0o600)
    return path


def certified():
    """A server whose certificate names its address, for the clients that insist; and the file with it."""
    s = Server().start()
    s.stop()
    crt, key = (os.path.join(s.dir, 'localhost' + end) for end in ('.crt', '.key'))
    run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
        '-subj', '/CN=' + s.ip, '-addext', 'subjectAltName=IP:%s,DNS:%s' % (s.ip, s.ip), '-keyout', key, '-out', crt)
    s.start()
    return contextlib.closing(s), crt


def append_many(s, name, idents, flags=lambda i: ''):
    """Messages in one mailbox, all commands sent at once."""
    w = s.connect(IMAP)
    w.line()
    w.imap_cmd('a LOGIN %s %s' % (LOGIN, PASSWORD))
    out = b''
    for i, ident in enumerate(idents):
        m = message(ident)
        out += b'm%d APPEND %s (%s) {%d+}\r\n' % (i, name.encode(), flags(i).encode(), len(m)) + m + b'\r\n'
        if len(out) > 16384 or i == len(idents) - 1:
            w.write(out)
            out = b''
            w.imap_until('m%d' % i)
    w.imap_cmd('z LOGOUT')
    w.close()


def server_state(s, names=None):
    """mailbox -> {message id: flags} as a fresh connection sees it."""
    c = s.imap()
    state = {}
    for l in ok(c.list()):
        name = l.decode().rsplit(' "/" ', 1)[1].strip('"')
        if names is not None and name not in names:
            continue
        n = int(ok(c.select(name, readonly=True))[0])
        state[name] = rows = {}
        parts = ok(c.fetch('1:*', '(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])')) if n else []
        # imaplib gives (what stands before the literal, the literal), and then the rest of the line.
        for i, part in enumerate(parts):
            if not isinstance(part, tuple):
                continue
            ident = re.search(rb'<([^@>]+)@', part[1]).group(1).decode()
            assert ident not in rows, 'twice: ' + ident
            flags = re.search(rb'FLAGS \(([^)]*)\)', part[0] + parts[i + 1]).group(1).decode()
            rows[ident] = frozenset(flags.split()) - {'\\Recent'}
        assert len(rows) == n, (name, n, len(rows))
    c.logout()
    return state


def wait_for(what, why):
    """Until what() is true; it looks again and again, since nothing tells us."""
    deadline = time.monotonic() + WAIT
    while True:
        result = what()
        if result:
            return result
        assert time.monotonic() < deadline, why() if callable(why) else why
        time.sleep(0.05)


def wait_message(s, ident, name='Inbox'):
    wait_for(lambda: ident in server_state(s, {name})[name], 'no message %s in %s' % (ident, name))


# --- sending ------------------------------------------------------------------------------------------


def auth_mechanisms(s):
    """What submission announces over TLS."""
    c = smtplib.SMTP_SSL(s.ip, SUBMISSIONS, timeout=WAIT, context=insecure_context())
    c.ehlo('client.example')
    offered = c.esmtp_features['auth'].split()
    c.quit()
    return offered


@test
def msmtp_submits():
    s = server()
    offered = [m for m in auth_mechanisms(s) if m in ('PLAIN', 'LOGIN', 'CRAM-MD5', 'SCRAM-SHA-1', 'SCRAM-SHA-256')]
    assert 'PLAIN' in offered, offered
    with scratch() as d:
        for mechanism in offered:
            for port, starttls in ((SUBMISSION, 'on'), (SUBMISSIONS, 'off')):
                ident = 'msmtp-%s-%d' % (mechanism, port)
                conf = write_file(os.path.join(d, 'msmtprc'), (
                    'account a\nhost %s\nport %d\ntls on\ntls_starttls %s\ntls_certcheck off\nauth %s\n'
                    'user %s\npassword %s\nfrom %s\n' % (s.ip, port, starttls, mechanism.lower(), LOGIN, PASSWORD, MAIN)))
                run('msmtp', '-C', conf, '-a', 'a', MAIN, input=message(ident, sender=MAIN).decode())
                wait_message(s, ident)
        # What is wrong is refused, and msmtp says so.
        text = open(conf).read().replace(PASSWORD, 'wrong password')
        r = run('msmtp', '-C', write_file(conf, text), '-a', 'a', MAIN, input=message('x').decode(), ok=False)
        assert r.returncode and '535' in r.stderr, r.stderr


@test
def smtplib_submits():
    s = server()
    for method in ('auth_plain', 'auth_login', 'auth_cram_md5'):
        name = method[5:].upper().replace('_', '-')
        if name not in auth_mechanisms(s):
            continue
        c = smtplib.SMTP(s.ip, SUBMISSION, 'client.example', timeout=WAIT)
        c.starttls(context=insecure_context())
        c.ehlo()
        c.user, c.password = LOGIN, PASSWORD
        assert c.auth(name, getattr(c, method))[0] == 235
        m = email.message.EmailMessage()
        m['From'], m['To'], m['Subject'] = MAIN, MAIN, 'gr\u00fc\u00dfe'
        m['Message-Id'] = '<smtplib-%s@example.org>' % name
        m.set_content('\u00fcber alles\n.\n..\n')
        # localserve is pedantic: 8-bit data has to be announced.
        assert c.send_message(m, mail_options=['BODY=8BITMIME']) == {}
        c.quit()
        wait_message(s, 'smtplib-' + name)
    c = s.imap(tls=True)
    ok(c.select('Inbox'))
    n = ok(c.search(None, 'HEADER', 'MESSAGE-ID', '<smtplib-PLAIN@example.org>'))[0].split()[-1].decode()
    got = email.message_from_bytes(ok(c.fetch(n, '(RFC822)'))[0][1], policy=email.policy.default)
    assert got['Subject'] == 'gr\u00fc\u00dfe' and got.get_content().splitlines() == ['\u00fcber alles', '.', '..'], got
    c.logout()


@test
def curl_sends_and_reads():
    s = server()
    with scratch() as d:
        for ident, scheme, port in (('curl-1', 'smtp', SUBMISSION), ('curl-3', 'smtps', SUBMISSIONS)):
            m = write_file(os.path.join(d, 'm'), message(ident, body='from curl', sender=MAIN).decode())
            run('curl', '-sS', '-k', '--ssl-reqd', '%s://%s:%d/client.example' % (scheme, s.ip, port),
                '--user', '%s:%s' % (LOGIN, PASSWORD), '--mail-from', MAIN, '--mail-rcpt', MAIN, '--upload-file', m)
            wait_message(s, ident)
    url = 'imaps://%s:%d/' % (s.ip, IMAPS)
    user = ['--user', '%s:%s' % (LOGIN, PASSWORD)]
    assert 'Inbox' in run('curl', '-sS', '-k', url, *user).stdout
    found = run('curl', '-sS', '-k', url + 'Inbox?SUBJECT%20curl-1', *user, '--login-options', 'AUTH=PLAIN').stdout
    uid = re.search(r'\* SEARCH (\d+)', found).group(1)
    assert 'from curl' in run('curl', '-sS', '-k', url + 'Inbox;MAILINDEX=' + uid, *user).stdout
    got = run('curl', '-sS', '-k', url + 'Inbox', *user, '-X', 'STORE %s +Flags \\Flagged' % uid).stdout
    assert '\\Flagged' in got, got
    with scratch() as d:
        run('curl', '-sS', '-k', url + 'Drafts', *user, '-T', write_file(os.path.join(d, 'm'), message('curl-2').decode()))
    assert 'curl-2' in server_state(s)['Drafts']


@test
def smtp_source_load():
    """Many connections and messages at once: each arrives, and arrives once."""
    with running() as s:
        run('smtp-source', '-s', '20', '-m', '400', '-l', '3000', '-N', '-f', 'a@example.org', '-t', 'load@example.com',
            'inet:%s:%d' % (s.ip, SMTP))
        run('smtp-source', '-d', '-s', '10', '-m', '200', '-l', '500', '-N', '-f', 'a@example.org', '-t', 'more@example.com',
            'inet:%s:%d' % (s.ip, SMTP))
        c = s.imap()
        assert ok(c.select('Inbox')) == [b'600']
        seen = set()
        for part in ok(c.fetch('1:*', '(BODY.PEEK[HEADER.FIELDS (DELIVERED-TO)])')):
            if isinstance(part, tuple):
                seen.add(part[1].strip())
        assert len(seen) == 600, sorted(seen)[:5]
        c.logout()


# --- reading ------------------------------------------------------------------------------------------


@test
def fetchmail_takes_and_removes():
    s = server()
    c = s.imap()
    c.create('taken')
    append_many(s, 'taken', ['fm%d' % i for i in range(20)])
    with scratch() as d:
        out = os.path.join(d, 'out')
        rc = write_file(os.path.join(d, 'rc'), (
            'poll %s protocol imap service %d\n user "%s" password "%s" folder taken ssl no sslcertck fetchall\n'
            ' mda "cat >> %s"\n' % (s.ip, IMAPS, LOGIN, PASSWORD, out)))
        os.makedirs(os.path.join(d, 'home'))
        r = subprocess.run(['fetchmail', '-f', rc, '--nosyslog', '--pidfile', os.path.join(d, 'pid'), '-v', '-v'],
                           capture_output=True, text=True, timeout=WAIT, env=dict(os.environ, HOME=d, FETCHMAILHOME=d))
        assert r.returncode == 0, r.stdout + r.stderr
        assert len(re.findall('^Message-Id: ', open(out).read(), re.M)) == 20
    assert server_state(s)['taken'] == {}
    c.logout()


MAILDIR_FLAGS = {'S': '\\Seen', 'R': '\\Answered', 'F': '\\Flagged', 'D': '\\Draft', 'T': '\\Deleted', 'P': '$Forwarded'}


def maildir_state(top, known='DFPRST'):
    """mailbox -> {message id: flags} of Maildirs below a directory."""
    state = {}
    for path, dirs, _ in os.walk(top):
        if 'cur' not in dirs:
            continue
        name = os.path.relpath(path, top)
        state[name] = rows = {}
        for m in mailbox.Maildir(path, create=False):
            ident = re.match(r'\s*<([^@>]+)@', m['Message-Id']).group(1)
            assert ident not in rows, 'twice: ' + ident
            rows[ident] = frozenset(MAILDIR_FLAGS[f] for f in m.get_flags() if f in known)
    return state


def maildir_add(path, ident, flags=''):
    box = mailbox.Maildir(path, create=True)
    m = mailbox.MaildirMessage(message(ident).replace(b'\r\n', b'\n'))
    m.set_subdir('cur')
    m.set_flags(flags)
    box.add(m)


def maildir_change(path, change):
    """change: message id -> new flags, or None to remove it."""
    box = mailbox.Maildir(path, create=False)
    for key, m in list(box.iteritems()):
        ident = re.match(r'\s*<([^@>]+)@', m['Message-Id']).group(1)
        if ident not in change:
            continue
        if change[ident] is None:
            box.remove(key)
        else:
            m.set_subdir('cur')
            m.set_flags(change[ident])
            box[key] = m


def same(a, b):
    for name in sorted(set(a) | set(b)):
        x, y = a.get(name), b.get(name)
        assert x is not None and y is not None, 'only on one side: %s' % name
        assert x == y, '%s: %s' % (name, {k: (x.get(k), y.get(k)) for k in set(x) | set(y) if x.get(k) != y.get(k)})


def two_way(s, sync, local, mailbox_of=lambda name: name):
    """
    What every program that keeps a copy has to do: sync() brings local (a directory of Maildirs) and the
    server together, whatever changed on either side since.
    """
    def agree():
        here = maildir_state(local)
        # A Maildir has no letter for what the server learns from moves.
        there = {mailbox_of(n): {ident: flags - {'$Junk', '$NotJunk'} for ident, flags in rows.items()}
                 for n, rows in server_state(s).items()}
        same(here, there)
        return there

    c = s.imap()
    c.create('work/deep')
    append_many(s, 'Inbox', ['in%d' % i for i in range(300)], lambda i: ('', '\\Seen', '\\Seen \\Answered', '\\Flagged')[i % 4])
    append_many(s, 'work/deep', ['deep%d' % i for i in range(40)])
    sync()
    first = agree()
    assert len(first[mailbox_of('Inbox')]) == 300 and len(first['work/deep']) == 40
    # What was added here.
    inbox = os.path.join(local, mailbox_of('Inbox'))
    for i in range(100):
        maildir_add(inbox, 'here%d' % i, 'S' if i % 2 else '')
    sync()
    assert len(agree()[mailbox_of('Inbox')]) == 400
    # A second client and changes here, to other messages.
    ok(c.select('Inbox'))
    ok(c.uid('STORE', '1:20', '+FLAGS', '(\\Flagged \\Seen)'))
    ok(c.uid('STORE', '21:30', 'FLAGS', '()'))
    ok(c.uid('STORE', '31:60', '+FLAGS', '(\\Deleted)'))
    ok(c.expunge())
    ok(c._simple_command('UID', 'MOVE', '61:70', 'Archive'))
    ok(c.copy('1:5', 'work/deep'))
    append_many(s, 'work/deep', ['late%d' % i for i in range(5)])
    change = {'in%d' % i: 'FRS' for i in range(100, 120)}
    change.update({'in%d' % i: None for i in range(120, 140)})
    change.update({'here%d' % i: '' for i in range(1, 20, 2)})
    maildir_change(inbox, change)
    sync()
    after = agree()
    rows = after[mailbox_of('Inbox')]
    assert len(rows) == 400 - 30 - 10 - 20, len(rows)
    assert len(after['Archive']) == 10 and len(after['work/deep']) == 50
    assert rows['in0'] >= {'\\Flagged', '\\Seen'} and rows['in20'] == frozenset()
    assert rows['in110'] == {'\\Seen', '\\Flagged', '\\Answered'} and rows['here1'] == frozenset()
    assert 'in35' not in rows and 'in130' not in rows and 'in65' in after['Archive']
    # Nothing left to do changes nothing.
    sync()
    same(agree(), after)
    c.logout()


@test
def mbsync_two_way():
    closing, crt = certified()
    with closing as s, scratch() as d:
        local = os.path.join(d, 'mail')
        os.makedirs(local)
        rc = write_file(os.path.join(d, 'rc'), (
            'IMAPAccount a\nHost %s\nPort %d\nUser %s\nPass %s\nSSLType IMAPS\nCertificateFile %s\n\n'
            'IMAPStore far\nAccount a\n\nMaildirStore near\nSubFolders Verbatim\nPath %s/\nInbox %s/INBOX\n\n'
            'Channel c\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n'
            % (s.ip, IMAPS, LOGIN, PASSWORD, crt, local, local)))
        two_way(s, lambda: run('mbsync', '-c', rc, '-a'), local, lambda n: 'INBOX' if n == 'Inbox' else n)


@test
def offlineimap_two_way():
    closing, crt = certified()
    with closing as s, scratch() as d:
        local = os.path.join(d, 'mail')
        rc = write_file(os.path.join(d, 'rc'), (
            '[general]\naccounts = a\nmetadata = %s/meta\nui = quiet\n[Account a]\nlocalrepository = near\n'
            'remoterepository = far\n[Repository near]\ntype = Maildir\nlocalfolders = %s\nsep = /\n'
            '[Repository far]\ntype = IMAP\nremotehost = %s\nremoteport = %d\nremoteuser = %s\nremotepass = %s\n'
            'ssl = yes\nsslcacertfile = %s\nmaxconnections = 2\nauth_mechanisms = PLAIN\n'
            % (d, local, s.ip, IMAPS, LOGIN, PASSWORD, crt)))
        two_way(s, lambda: run('offlineimap', '-c', rc, '-o'), local)


# --- in a terminal ------------------------------------------------------------------------------------


class Terminal:
    """A program in a terminal of its own: keys in, the screen out."""

    def __init__(self, d, *argv):
        self.socket = os.path.join(d, 'tmux')
        self.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '120', '-y', '40', *argv)

    def tmux(self, *args):
        return run('tmux', '-S', self.socket, *args).stdout

    def screen(self):
        return self.tmux('capture-pane', '-p')

    def wait(self, text):
        wait_for(lambda: text in self.screen(), lambda: 'no %r on the screen:\n%s' % (text, self.screen()))

    def keys(self, *keys):
        self.tmux('send-keys', *keys)

    def wait_end(self):
        """Until the program has ended by itself."""
        wait_for(lambda: subprocess.run(['tmux', '-S', self.socket, 'has-session'], capture_output=True).returncode, 'it does not end')

    def close(self):
        subprocess.run(['tmux', '-S', self.socket, 'kill-server'], capture_output=True)


@test
def mutt_in_a_terminal():
    closing, crt = certified()
    with closing as s, scratch() as d:
        append_many(s, 'Inbox', ['mutt%d' % i for i in range(1, 6)])
        rc = write_file(os.path.join(d, 'muttrc'), (
            'set folder="imaps://%s:%d/"\nset spoolfile=+INBOX\nset imap_user="%s"\nset imap_pass="%s"\n'
            'set ssl_force_tls=yes\nset certificate_file=%s\nset timeout=1\nset mail_check=1\nset sort=mailbox-order\nset delete=yes\n'
            'set quit=yes\nset move=no\nset imap_condstore=yes\nset imap_qresync=yes\n'
            'set header_cache=%s/cache\n'
            % (s.ip, IMAPS, LOGIN, PASSWORD, crt, d)))
        t = Terminal(d, 'env', 'HOME=' + d, 'TERM=screen', 'mutt', '-n', '-F', rc)
        try:
            t.wait('message mutt5')
            t.keys('2', 'Enter')
            t.wait('message mutt2')
            t.keys('Enter')
            t.wait('text of the message')
            t.keys('i')
            t.keys('F')  # flags what was read
            t.keys('3', 'Enter', 'd')
            t.keys('$')
            t.wait('Msgs:4')
            wait_for(lambda: 'mutt3' not in server_state(s)['Inbox'], 'not expunged')
            assert server_state(s)['Inbox']['mutt2'] == {'\\Seen', '\\Flagged'}, server_state(s)['Inbox']
            # What another client does is seen, and a new message comes by itself.
            c = s.imap()
            ok(c.select('Inbox'))
            ok(c.store('1', '+FLAGS', '(\\Deleted)'))
            ok(c.expunge())
            ok(c.append('Inbox', None, None, message('mutt9')))
            t.wait('message mutt9')
            wait_for(lambda: 'message mutt1' not in t.screen(), t.screen)
            t.keys('q')
            c.logout()
            t.wait_end()
            # With its cache it comes back by QRESYNC.
            t.close()
            c = s.imap()
            ok(c.select('Inbox'))
            ok(c.store('1', 'FLAGS', '(\\Answered)'))
            ok(c.append('Inbox', None, None, message('mutt10')))
            c.logout()
            t = Terminal(d, 'env', 'HOME=' + d, 'TERM=screen', 'mutt', '-n', '-F', rc)
            t.wait('message mutt10')
            t.wait('Msgs:5')  # below it, and written after it
            assert 'message mutt3' not in t.screen(), t.screen()
        finally:
            t.close()


# --- with windows -------------------------------------------------------------------------------------


class Display:
    """An X server that shows nothing to anyone, and keys for the windows on it."""

    def __enter__(self):
        self.x = subprocess.Popen(['Xvfb', '-displayfd', '1', '-screen', '0', '1024x768x24', '-nolisten', 'tcp'],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.env = dict(os.environ, DISPLAY=':' + self.x.stdout.readline().decode().strip())
        return self

    def __exit__(self, *_):
        self.x.kill()
        self.x.wait()
        self.x.stdout.close()

    def xdotool(self, *args):
        return subprocess.run(['xdotool', *args], env=self.env, capture_output=True, text=True, timeout=WAIT).stdout

    def screenshot(self, path):
        """For people to look at; only where the program for it is installed."""
        if shutil.which('import'):
            subprocess.run(['import', '-window', 'root', path], env=self.env, timeout=WAIT)


@test
def claws_lists_shows_and_marks():
    """A graphical client, on a screen that nobody sees; SCREENSHOT=path keeps what it showed."""
    closing, _ = certified()
    with closing as s, scratch() as d, Display() as display:
        append_many(s, 'Inbox', ['claws'])
        config = os.path.join(d, 'config')
        os.makedirs(config)
        # Without an account and its folders it would begin with questions.
        write_file(os.path.join(config, 'accountrc'), (
            '[Account: 1]\naccount_name=test\nis_default=1\nname=Tester\naddress=%s\nprotocol=3\nreceive_server=%s\n'
            'smtp_server=%s\nuser_id=%s\nset_imapport=1\nimap_port=%d\nssl_imap=1\n'
            % (MAIN, s.ip, s.ip, LOGIN, IMAPS)))
        folders = ''.join('<folderitem type="%s" name="%s" path="%s" account_id="1"/>\n' % (kind, name, name)
                          for kind, name in (('inbox', 'INBOX'), ('outbox', 'Sent'), ('draft', 'Drafts'),
                                             ('queue', 'Queue'), ('trash', 'Trash')))
        write_file(os.path.join(config, 'folderlist.xml'), (
            '<?xml version="1.0" encoding="UTF-8"?>\n<folderlist>\n<folder type="imap" name="test" account_id="1">\n'
            '<folderitem name="test" path="" account_id="1">\n%s</folderitem>\n</folder>\n</folderlist>\n' % folders))
        write_file(os.path.join(config, 'clawsrc'), '[Common]\nunsafe_ssl_certs=1\nskip_ssl_cert_check=1\n')
        command = ['claws-mail', '--alternate-config-dir', config]
        env = dict(display.env, HOME=d)
        out = os.path.join(d, 'out')
        with open(out, 'wb') as f:
            client = subprocess.Popen(command + ['--debug'], stdout=f, stderr=f, env=env)

        def said():
            with open(out, 'rb') as f:
                return f.read().decode('utf-8', 'replace')

        def logged_in():
            for window in display.xdotool('search', '--onlyvisible', '--name', 'Input password').split():
                display.xdotool('windowfocus', '--sync', window, 'type', '--window', window, PASSWORD)
                display.xdotool('key', 'Return')
            return 'successful' in said()
        try:
            wait_for(logged_in, said)
            wait_for(lambda: display.xdotool('search', '--onlyvisible', '--name', 'test - Claws Mail').split(), said)

            def shown():
                run(*command, '--select', '#imap/test/INBOX/1', env=env)
                return 'IMAP> ' in said() and 'BODY.PEEK[]' in said() and 'textview_show_part' in said()
            wait_for(shown, said)
            # Looking at it marks it, and the server knows.
            wait_for(lambda: '\\Seen' in str(server_state(s)['Inbox'].get('claws')), said)
            display.screenshot(os.environ.get('SCREENSHOT', os.path.join(d, 'screenshot.png')))
            with open(os.path.join(config, 'imapcache', s.ip, LOGIN, 'INBOX', '1')) as f:
                assert f.read().replace('\r', '') == message('claws').decode().replace('\r', '')
            assert ' BAD ' not in ''.join(l for l in said().splitlines() if 'IMAP<' in l), said()
        finally:
            client.kill()
            client.wait()


try:
    main('clients')
finally:
    if shared:
        shared.close()
