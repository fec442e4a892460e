"""Mail to other servers whose domains say how it must come: DANE, MTA-STS, REQUIRETLS, and TLS-Required: No."""
from outside import *
from https_server import Web

PATH = '/.well-known/mta-sts.txt'
WEB, TARPIT, HOSTS = 200, 201, {}  # numbers of the addresses of web servers; domain -> number of its mail server's
TRUSTED = 'TLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- %s\nListeners:\n'
WRONG = 'TLSA 3 1 1 ' + '00' * 32


def policy(mode, *mx, max_age=86400):
    return ('version: STSv1\r\nmode: %s\r\n%smax_age: %d\r\n' % (
        mode, ''.join('mx: %s\r\n' % m for m in mx), max_age)).encode()


class World:
    """The zones, one mox, a web server for policies; mail servers come and go with the tests."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='mox-outside-')
        os.chmod(self.dir, 0o755)
        self.ca = Authority(self.dir)
        # With the authority's own, as DANE-TA wants it (RFC 7672 3.1.2).
        self.good = self.with_authority(*self.ca.certificate('mx.d1.example', 'mx.d2.example', 'd9.example'))
        self.late = self.with_authority(*self.ca.certificate('mx.s2.example', 'mx.d2.example', days=-1))
        other = os.path.join(self.dir, 'other')
        os.mkdir(other, 0o755)
        self.stranger = Authority(other).certificate('mx.s2.example')  # of nobody's trust
        self.expired = self.ca.certificate('elsewhere.example', days=-1)
        self.zones = []
        ee, ta = tlsa(3, 1, 1, self.good[0]), tlsa(2, 0, 1, self.ca.file)
        self.domain('d1', '_25._tcp.mx ' + ee)
        self.domain('d2', '_25._tcp.mx ' + ta)
        self.domain('d3', '_25._tcp.mx ' + tlsa(3, 0, 2, self.expired[0]))
        self.domain('d4', '_25._tcp.mx ' + ta)  # and the certificate is for other names
        self.domain('d5', '_25._tcp.mx ' + WRONG)
        self.domain('d6', '_25._tcp.mx %s\n_25._tcp.mx %s' % (WRONG, ee))
        self.domain('d7', '_25._tcp.mx TLSA 0 0 1 ' + '00' * 32)
        self.domain('d8', '_25._tcp.mx CNAME tlsa\ntlsa ' + ee)
        self.domain('d9', '_25._tcp.mx ' + ta)  # the certificate is for the domain
        self.domain('d10', '_25._tcp.mx ' + WRONG, signed=False)
        self.domain('d11', '_25._tcp.mx CNAME elsewhere.broken.example.')
        self.zones.append(Zone('broken.example', 'www A 127.0.0.8\nelsewhere ' + WRONG, breaks='expired'))
        self.domain('d12', '@ MX 20 second\nsecond A %s\n_25._tcp.mx %s\n_25._tcp.second %s' % (ip(60), WRONG, ee))
        for n in range(1, 11):
            self.domain('s%d' % n, '_mta-sts TXT "v=STSv1; id=1;"\nmta-sts A ' + ip(WEB), signed=False)
        slow = ''.join('t%d MX 10 mx\n_mta-sts.t%d TXT "v=STSv1; id=1;"\nmta-sts.t%d A %s\n' % (n, n, n, ip(TARPIT)) for n in range(20))
        self.zones.append(Zone('slow.example', 'mx A %s\n%s' % (ip(TARPIT), slow)))
        self.domain('r1', '', signed=False)
        self.domain('r2', '')
        self.internet = Internet(self.zones)
        names = ['mta-sts.s%d.example' % n for n in range(1, 11) if n != 7]
        pages = {
            1: policy('enforce', 'mx.s1.example'), 2: policy('enforce', '*.s2.example'),
            3: policy('enforce', 'other.s3.example'), 4: policy('testing', 'other.s4.example'),
            5: policy('none'), 6: b'nonsense', 7: policy('enforce', 'mx.s7.example'),
            8: policy('enforce', 'mx.s8.example'), 9: policy('enforce', 'mx.s9.example'), 10: policy('enforce', 'mx.s10.example'),
        }
        chain = os.path.join(self.dir, 'web.pem')
        with open(chain, 'w') as f:
            for part in self.ca.certificate(*names):
                f.write(open(part).read())
        self.web = Web(ip(WEB), {None: chain}, {('mta-sts.s%d.example' % n, PATH): (200, {}, p) for n, p in pages.items()})

    def with_authority(self, certificate, key):
        chain = certificate + '.chain'
        with open(chain, 'w') as f:
            for part in (certificate, self.ca.file):
                f.write(open(part).read())
        return chain, key

    def domain(self, name, text, signed=True):
        HOSTS[name] = len(HOSTS) + 1
        self.zones.append(Zone(name + '.example', '@ MX 10 mx\nmx A %s\n%s\n' % (ip(HOSTS[name]), text), signed=signed))

    def sink(self, name, certificate=None, requiretls=False, **options):
        """The mail server of a domain."""
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        return Sink(HOSTS.get(name, name), tls=context,
                    extensions=EXTENSIONS + (('REQUIRETLS',) if requiretls else ()), **options)

    def __enter__(self):
        self.internet.start()
        env = dict(self.internet.env, MOX_SMTP_TIMEOUT_MS='60000', MOX_DIAL_PRIVATE='1', MOX_STS_TURN_MS='0')
        # Which authorities are trusted, for mail and for policies, the configuration says.
        self.serving = serving(env=env, conf=[('Listeners:\n', TRUSTED % self.ca.file)])
        self.s = self.serving.__enter__()
        return self

    def __exit__(self, *args):
        self.serving.__exit__(*args)
        self.web.__exit__()
        self.internet.close()
        shutil.rmtree(self.dir, ignore_errors=True)


out = in_world(World)


def comes(w, s, start, name, certificate, is_tls=True, to='bob', **options):
    """A message to that domain comes, so; the sink's connections."""
    requiretls = options.pop('requiretls', False)
    address = '%s@%s.example' % (to, name)
    with w.sink(name, certificate, requiretls) as sink:
        submit(s, address, **options)
        mail, _, _, got_tls = sink.wait()[0]
        assert got_tls == is_tls, (name, sink.connections)
        assert 'delivered' in outcome(s, address, start)
        assert ('REQUIRETLS' in mail) == ('REQUIRETLS' in options.get('options', ())), mail
        return sink.connections


def waits(w, s, start, name, certificate, *words, how='put off', to='bob', **options):
    """It does not come, nothing of it was said to the server, and the log says this."""
    requiretls = options.pop('requiretls', False)
    address = '%s@%s.example' % (to, name)
    with w.sink(name, certificate, requiretls) as sink:
        submit(s, address, **options)
        line = outcome(s, address, start)
        assert how in line and all(word in line for word in words), line
        assert not sink.messages and not any(l.startswith('MAIL') for c in sink.connections for l in c), sink.connections
        return sink.connections


# --- DANE (RFC 7672) -----------------------------------------------------------------------------------------------


@out
def dane_right(w, s, start):
    comes(w, s, start, 'd1', w.good)   # the key
    comes(w, s, start, 'd2', w.good)   # an authority, and the server's name
    comes(w, s, start, 'd3', w.expired)  # DANE-EE: neither dates nor names count
    comes(w, s, start, 'd6', w.good)   # one of two is enough
    comes(w, s, start, 'd8', w.good)   # records by way of a CNAME
    comes(w, s, start, 'd9', w.good)   # an authority, and the domain's name


@out
def dane_wrong_is_put_off(w, s, start):
    for name, certificate, word in (('d5', w.good, 'TLSA'), ('d4', w.good, 'TLSA'), ('d1', w.expired, 'TLSA'), ('d2', w.late, 'TLSA'),
                                    ('d1', None, 'STARTTLS')):
        to = 'wrong-%s-%d' % (name, bool(certificate))
        connections = waits(w, s, start, name, certificate, word, '4.7.', to=to)
        assert len(connections) == 1, connections  # and not once more in plain text
    with w.sink('d1', w.good, says={'STARTTLS': '454 4.7.0 not now'}) as sink:
        submit(s, 'downgrade@d1.example')
        assert 'put off' in outcome(s, 'downgrade@d1.example', start)
        assert len(sink.connections) == 1 and not sink.messages, sink.connections


@out
def dane_wrong_at_the_first_host_goes_to_the_second(w, s, start):
    with w.sink('d12', w.good) as first, Sink(60, tls=context_of(w.good)) as second:
        submit(s, 'bob@d12.example')
        assert second.wait()[0][3] and not first.messages
        assert 'second.d12.example' in outcome(s, 'bob@d12.example', start)


def context_of(certificate):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(*certificate)
    return c


@out
def dane_unusable_records_want_tls_of_any_kind(w, s, start):
    comes(w, s, start, 'd7', w.expired)
    waits(w, s, start, 'd7', None, 'STARTTLS', to='plain')


@out
def dane_needs_dnssec_and_an_answer(w, s, start):
    comes(w, s, start, 'd10', None, is_tls=False)  # anybody could have written that record
    connections = waits(w, s, start, 'd11', w.good, 'not known how', '4.7.5')
    assert not connections, connections


# --- MTA-STS (RFC 8461) --------------------------------------------------------------------------------------------


@out
def sts_enforced(w, s, start):
    good = w.ca.certificate('mx.s1.example', '*.s2.example')
    comes(w, s, start, 's1', good)
    comes(w, s, start, 's2', good)
    assert w.web.hits.count(('mta-sts.s1.example', PATH)) == 1, w.web.hits
    waits(w, s, start, 's1', w.good, 'not trusted', '4.7.5', to='name')
    waits(w, s, start, 's1', w.expired, 'not trusted', to='expired')
    waits(w, s, start, 's2', w.stranger, 'not trusted', to='stranger')
    waits(w, s, start, 's2', w.late, 'not trusted', to='late')
    waits(w, s, start, 's1', None, 'STARTTLS', to='plain')
    connections = waits(w, s, start, 's3', good, 'MTA-STS policy', '4.7.5')
    assert not connections, connections
    # It is known by now, and fetched no more.
    assert w.web.hits.count(('mta-sts.s1.example', PATH)) == 1, w.web.hits


@out
def sts_testing_and_none_stop_nothing(w, s, start):
    comes(w, s, start, 's4', w.expired)
    comes(w, s, start, 's4', None, is_tls=False, to='plain')
    comes(w, s, start, 's5', None, is_tls=False)


@out
def sts_that_cannot_be_fetched_is_none(w, s, start):
    comes(w, s, start, 's6', None, is_tls=False)  # nonsense
    s.wait_log('sts-policy-invalid', start)
    comes(w, s, start, 's7', None, is_tls=False)  # the web server's certificate is for other names
    s.wait_log('sts-webpki-invalid', start)
    # RFC 8461 3.3: not asked again at once.
    hits = len(w.web.hits)
    comes(w, s, start, 's6', None, is_tls=False, to='again')
    assert len(w.web.hits) == hits, w.web.hits


@out
def sts_outlives_its_server_and_a_restart(w, s, start):
    good = w.ca.certificate('mx.s8.example')
    comes(w, s, start, 's8', good)
    page = w.web.pages.pop(('mta-sts.s8.example', PATH))
    try:
        s.stop()
        s.start()
        start = len(s.log_text())
        waits(w, s, start, 's8', w.expired, 'not trusted', to='later')
        # A new version is announced, as if: it is not to be had, and the old one holds.
        change(s, "UPDATE sts SET record_id = 'old' WHERE domain = 's8.example'")
        start = len(s.log_text())
        waits(w, s, start, 's8', w.expired, 'not trusted', to='newer')
        for words in ('has_older=1', 'sts-policy-fetch-error'):
            s.wait_log(words, start)
        # What has expired holds no more.
        change(s, "UPDATE sts SET valid_until_unix = 5 WHERE domain = 's8.example'")
        comes(w, s, start, 's8', w.expired, to='latest')
    finally:
        w.web.pages[('mta-sts.s8.example', PATH)] = page


@out
def sts_of_tarpits_keeps_nobody_else_waiting(w, s, start):
    """As many policies as are fetched at once never come; the one after those does, and mail is held to it."""
    with socket.create_server((ip(TARPIT), 443), backlog=50) as tarpit:
        tarpit.settimeout(WAIT)
        fill(s, ['bob@t%d.slow.example' % n for n in range(20)])
        release(s)
        held = [tarpit.accept()[0] for _ in range(20)]
        comes(w, s, start, 's10', w.ca.certificate('mx.s10.example'))
        s.wait_log('a policy takes long, and others wait', start)
        waits(w, s, start, 's10', w.good, 'not trusted', to='name')
        # Who gave way waits for mail's next turn, and is not taken to have no policy.
        s.wait_log('slow.example has an MTA-STS policy', start)
        for c in held:
            c.close()


def change(s, sql):
    db = sqlite3.connect(os.path.join(s.dir, 'data/queue/queue.db'), timeout=WAIT)
    db.execute(sql)
    db.commit()
    db.close()


@out
def sts_is_refreshed(w, s, start):
    comes(w, s, start, 's9', w.ca.certificate('mx.s9.example'))
    hits = w.web.hits.count(('mta-sts.s9.example', PATH))
    w.web.pages[('mta-sts.s9.example', PATH)] = (200, {}, policy('enforce', 'mx.s9.example', max_age=604800))
    s.stop()
    change(s, "UPDATE sts SET checked_unix = 5, record_id = 'old' WHERE domain = 's9.example'")
    s.start()
    deadline = time.monotonic() + WAIT
    while w.web.hits.count(('mta-sts.s9.example', PATH)) == hits or known(s, 's9.example') != ('1', 604800):
        assert time.monotonic() < deadline, (w.web.hits, known(s, 's9.example'), s.log_text(start)[-3000:])
        time.sleep(0.05)


def known(s, domain):
    db = sqlite3.connect(os.path.join(s.dir, 'data/queue/queue.db'), timeout=WAIT)
    row = db.execute('SELECT record_id, max_age FROM sts WHERE domain = ?', (domain,)).fetchone()
    db.close()
    return row


# --- RFC 8689 --------------------------------------------------------------------------------------------------------


@out
def requiretls(w, s, start):
    options = ('REQUIRETLS',)
    comes(w, s, start, 'd1', w.good, to='required', requiretls=True, options=options)  # DANE
    good = w.ca.certificate('mx.s1.example', 'mx.r2.example')
    comes(w, s, start, 's1', good, to='required', requiretls=True, options=options)    # MTA-STS
    comes(w, s, start, 'r2', good, to='required', requiretls=True, options=options)    # MX records that are signed
    waits(w, s, start, 'd1', w.good, '5.7.30', how='failed', to='unoffered', options=options)
    waits(w, s, start, 'r1', good, '5.7.30', how='failed', to='unproved', requiretls=True, options=options)
    waits(w, s, start, 'r2', w.good, 'not trusted', to='mismatch', requiretls=True, options=options)


@out
def tls_required_no(w, s, start):
    headers = 'TLS-Required: No\r\n'
    comes(w, s, start, 'd5', w.good, to='no', headers=headers)
    comes(w, s, start, 'd1', None, is_tls=False, to='no', headers=headers)
    comes(w, s, start, 's3', None, is_tls=False, to='no', headers=headers)
    comes(w, s, start, 'd11', w.good, to='no', headers=headers)


# --- what is told of it (RFC 8460 4.3) ------------------------------------------------------------------------------


@out
def results_are_counted(w, s, start):
    """Of all that went before."""
    none, dane, sts = range(3)
    want = {
        'mx.d1.example': {(dane, None, None), (dane, 'validation-failure', 'dane-no-match'),
                          (dane, 'starttls-not-supported', '')},
        'mx.d7.example': {(dane, 'tlsa-invalid', 'all-unusable-records+ignored')},
        'mx.d2.example': {(dane, None, None), (dane, 'certificate-expired', '')}, 'd5.example': {(none, None, None)},
        'mx.d4.example': {(dane, 'certificate-host-mismatch', '')},
        'mx.d5.example': {(dane, 'validation-failure', 'dane-no-match')},
        'mx.d11.example': {(dane, 'dnssec-invalid', 'extended-dns-error-6-dnssec-bogus')},
        'd1.example': {(none, 'starttls-not-supported', 'smtp-starttls-reply-code-454')},
        'mx.s5.example': {(none, 'starttls-not-supported', '')}, 
        's2.example': {(sts, None, None), (sts, 'certificate-expired', ''),
                       (sts, 'certificate-not-trusted', 'unable-to-get-local-issuer-certificate')},
        's1.example': {(sts, None, None), (sts, 'certificate-host-mismatch', ''), (sts, 'starttls-not-supported', '')},
        's3.example': {(sts, 'validation-failure', 'mtasts-policy-mx-mismatch')},
        's4.example': {(sts, 'validation-failure', 'mtasts-policy-mx-mismatch')},
        's6.example': {(sts, 'sts-policy-invalid', 'a-line-that-is-not-name-value'), (sts, 'sts-policy-invalid', 'back-off-after-recent-fetch-error')},
        's7.example': {(sts, 'sts-webpki-invalid', 'ssl-certificate-problem-hostname-mismatch')},
        's8.example': {(sts, None, None), (sts, 'sts-policy-fetch-error', 'http-status-404+fallback-to-cached-policy')},
    }
    for domain, rows in want.items():
        deadline = time.monotonic() + WAIT
        while not rows <= results(s, domain)[0]:
            assert time.monotonic() < deadline, (domain, rows - results(s, domain)[0], results(s, domain))
            time.sleep(0.05)
    lines = 'version: STSv1\nmode: enforce\nmx: mx.s1.example\nmax_age: 86400'
    assert (lines, 'mx.s1.example') in results(s, 's1.example')[1], results(s, 's1.example')
    assert ('3 1 1 ' + '00' * 32, '') in results(s, 'mx.d5.example')[1], results(s, 'mx.d5.example')


last(out)


main('deliver-tls')
