"""The verbs about TLS of other servers: mox dane, mtasts lookup, smtp dial. OpenSSL judges the records."""
from outside import *
from https_server import Web

PATH = '/.well-known/mta-sts.txt'
net = ca = None


def setup():
    """The zones, with records for certificates made beforehand."""
    global net, ca, good, other
    ca = Authority(tempfile.mkdtemp(prefix='mox-dane-'))
    leaf, key = ca.certificate('mx.one.example')
    good, other = (leaf, key), ca.certificate('mx.one.example')
    record = tlsa('dane-ee', 'spki', 'sha2-256', leaf)
    pkix = 'TLSA %s' % tlsa('pkix-ta', 'cert', 'sha2-256', ca.file), 'TLSA %s' % tlsa('pkix-ee', 'spki', 'sha2-256', leaf)
    sts = '_mta-sts TXT "v=STSv1; id=77;"\nmta-sts A %s\n' % ip(9)
    net = Internet([
        Zone('one.example', '@ MX 10 mx\nmx A %s\n_25._tcp.mx TLSA %s\n_465._tcp.mx TLSA %s\n'
             '_466._tcp.mx %s\n_467._tcp.mx %s\n_468._tcp.mx TLSA 0 0 1 %s\n_468._tcp.mx TLSA %s\n%s' % (
                 ip(1), record, record, *pkix, '00' * 32, record, sts)),
        Zone('two.example', '@ MX 10 dead\n@ MX 20 wrong\n@ MX 30 mx.one.example.\ndead A %s\n_25._tcp.dead TLSA %s\n'
             'wrong A %s\n_25._tcp.wrong TLSA 3 1 1 %s\n' % (ip(7), record, ip(1), '00' * 32)),
        Zone('three.example', '@ MX 10 mx\nmx A %s\n' % ip(1)),
        Zone('four.example', '@ MX 10 mx\nmx A %s\n_25._tcp.mx TLSA %s\n' % (ip(1), record), signed=False),
    ])
    net.start()


def verb(*args, stdin='QUIT\r\n', **env):
    r = subprocess.run([MOX, *args], input=stdin.encode(), env=dict(os.environ, **{**net.env, 'SSL_CERT_FILE': ca.file, **env}),
                       capture_output=True, timeout=WAIT)
    return r.returncode, r.stdout.decode('latin-1'), r.stderr.decode('latin-1')


def context(pair):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(*pair)
    return c


def tlsa(usage, selector, matching, file):
    r = run(MOX, 'dane', 'makerecord', usage, selector, matching, file)
    return r.stdout.strip()


def needs_net(fn):
    @functools.wraps(fn)
    def wrapped():
        if why_not():
            return print('SKIP %s: %s' % (fn.__name__, why_not()))
        if not net:
            setup()
        fn()
    return test(wrapped)


@needs_net
def records_are_what_openssl_takes():
    chain = good[0] + '.chain'
    with open(chain, 'w') as f:
        f.write(open(good[0]).read() + open(ca.file).read())
    with Sink(1, tls=context((chain, good[1]))):
        for usage, file in (('dane-ee', good[0]), ('3', good[0]), ('dane-ta', ca.file)):
            for selector in ('cert', '1'):
                for matching in ('full', 'sha2-256', '2'):
                    record = tlsa(usage, selector, matching, file)
                    args = ['openssl', 's_client', '-connect', ip(1) + ':25', '-starttls', 'smtp', '-dane_tlsa_domain',
                            'mx.one.example', '-dane_ee_no_namechecks', '-verify_return_error', '-dane_tlsa_rrdata', record]
                    r = subprocess.run(args, input=b'QUIT\r\n', capture_output=True, timeout=WAIT)
                    assert r.returncode == 0 and b'Verification: OK' in r.stdout, (record, r.stdout[-2000:], r.stderr)
                    if matching == 'full':  # of a whole one, OpenSSL compares the key
                        continue
                    bad = args[:-1] + [record[:-1] + ('0' if record[-1] != '0' else '1')]
                    r = subprocess.run(bad, input=b'QUIT\r\n', capture_output=True, timeout=WAIT)
                    assert b'Verification: OK' not in r.stdout, (record, r.stdout[-2000:])
    # Of a key the same record is made as of its certificate.
    with open(good[1]) as f:
        r = subprocess.run([MOX, 'dane', 'makerecord', '3', '1', '1'], stdin=f, capture_output=True, text=True)
    assert r.stdout.strip() == tlsa('dane-ee', 'spki', 'sha2-256', good[0]), r
    for args in (('4', '1', '1'), ('3', '2', '1'), ('3', '1', 'sha256'), ('3', '0', '1')):
        code, out, err = verb('dane', 'makerecord', *args, good[1])
        assert code == 1 and err.startswith('mox: ') and not out, (args, out, err)


@needs_net
def dial_verifies_with_tlsa_records():
    with Sink(1, tls=context(good), port=465, immediate=True) as sink:
        code, out, err = verb('dane', 'dial', 'mx.one.example:465', stdin='NOOP\r\nQUIT\r\n')
        assert code == 0 and out.startswith('220 sink.example') and '221 bye' in out, (out, err)
        assert 'TLS1.3' in err and '1 TLSA records of mx.one.example' in err, err
        code, out, err = verb('dane', 'dial', '-usages', 'dane-ta', 'mx.one.example:465')
        assert code == 1 and 'usage' in err, err
    with Sink(1, tls=context(other), port=465, immediate=True) as sink:
        code, out, err = verb('dane', 'dial', '-usages=dane-ee', 'mx.one.example:465')
        assert code == 1 and 'DANE' in err and not out, (out, err)
    for host, why in (('mx.one.example:469', 'no TLSA'), ('mx.four.example:25', 'no TLSA'), ('nowhere.example:25', 'nowhere'),
                      ('mx.one.example', 'port')):
        code, out, err = verb('dane', 'dial', host)
        assert code == 1 and why in err, (host, err)


@needs_net
def dial_knows_usages_of_pkix():
    """RFC 6698 2.1.1: the record says which certificate, and a public authority must have issued it."""
    for port, usage in ((466, 'pkix-ta'), (467, 'pkix-ee')):
        with Sink(1, tls=context(good), immediate=True, port=port):
            for flags in ([], ['-usages', usage]):
                code, out, err = verb('dane', 'dial', *flags, 'mx.one.example:%d' % port)
                assert code == 0 and 'verified with one of 1 TLSA' in err, (out, err)
            code, out, err = verb('dane', 'dial', '-usages=dane-ee,dane-ta', 'mx.one.example:%d' % port)
            assert code == 1 and 'no TLSA record with such a usage' in err, err
            # Of an authority that is not known here.
            code, out, err = verb('dane', 'dial', 'mx.one.example:%d' % port, SSL_CERT_FILE='/etc/ssl/certs/ca-certificates.crt')
            assert code == 1 and not out, (out, err)
        with Sink(1, tls=context(other), immediate=True, port=port):  # of the same authority, with another key
            code, out, err = verb('dane', 'dial', 'mx.one.example:%d' % port)
            assert (code == 0) == (usage == 'pkix-ta'), (usage, err)
    with Sink(1, tls=context(good), immediate=True, port=468):  # one of two is enough
        assert verb('dane', 'dial', 'mx.one.example:468')[0] == 0
        code, out, err = verb('dane', 'dial', '-usages', '0', 'mx.one.example:468')
        assert code == 1 and not out, (out, err)


@needs_net
def dialmx_goes_where_mail_would():
    with Sink(1, tls=context(good)) as sink:
        code, out, err = verb('dane', 'dialmx', '-ehlohostname', 'us.example', 'one.example', stdin='NOOP\r\nQUIT\r\n')
        assert code == 0 and '250 ok' in out and '221 bye' in out, (out, err)
        assert sink.connections[0].count('EHLO us.example') == 2 and 'STARTTLS' in sink.connections[0], sink.connections
        assert '1 hosts of one.example, with dnssec' in err, err
        # One that is dead, one whose records are wrong, and the third.
        code, out, err = verb('dane', 'dialmx', 'two.example')
        assert code == 0 and '221 bye' in out, (out, err)
        assert 'dead.two.example: connecting' in err and 'wrong.two.example: DANE' in err, err
        assert 'connected to mx.one.example' in err, err
        code, out, err = verb('dane', 'dialmx', 'two.example', 'wrong.two.example')
        assert code == 1 and 'no session with that host' in err and not out, (out, err)
        for domain in ('three.example', 'four.example'):
            code, out, err = verb('dane', 'dialmx', domain)
            assert code == 1 and 'no TLSA records that DNSSEC proves' in err, err
    with Sink(1) as sink:
        code, out, err = verb('dane', 'dialmx', 'one.example')
        assert code == 1 and 'STARTTLS' in err, err


@needs_net
def smtp_dial_by_hand():
    with Sink(1, tls=context(good)) as sink:
        code, out, err = verb('smtp', 'dial', 'mx.three.example', stdin='NOOP\r\nQUIT\r\n')
        assert code == 0 and '221 bye' in out and 'certificate not verified' in err, (out, err)
        assert sink.connections[0][0] == 'EHLO localhost', sink.connections
        code, out, err = verb('smtp', 'dial', '-tlsverify', ip(1) + ':25')
        assert code == 1 and not out, (out, err)
        code, out, err = verb('smtp', 'dial', '-tlsverify', '-remotehostname=mx.one.example', ip(1))
        assert code == 0 and 'certificate verified' in err, err
        code, out, err = verb('smtp', 'dial', '-notls', ip(1))
        assert code == 0 and 'without TLS' in err, err
    with Sink(1) as sink:
        code, out, err = verb('smtp', 'dial', ip(1))
        assert code == 0 and 'without TLS' in err, err
        code, out, err = verb('smtp', 'dial', '-forcetls', ip(1))
        assert code == 1 and 'STARTTLS' in err, err
    old = context(good)
    old.set_ciphers('DEFAULT@SECLEVEL=0')
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Sink(1, tls=old):
        assert verb('smtp', 'dial', ip(1))[0] == 1
        assert verb('smtp', 'dial', '-tlsversionmin=tls1.1', ip(1))[0] == 0
    with Sink(1, tls=context(good)):
        for flags, word in ((['-tlsversionmax', 'tls1.2'], 'TLS1.2'),
                            (['-tlsciphersuites', 'TLS_CHACHA20_POLY1305_SHA256'], 'TLS_CHACHA20_POLY1305_SHA256'),
                            (['-tlsversionmax=tls1.2', '-tlsciphersuites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
                             'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'),
                            (['-tlscurves', 'CurveP384,X25519'], 'TLS1.3'),
                            (['-tlsnodynamicrecordsizing', '-tlsnosessiontickets', '-tlsrenegotiation', 'once'], 'TLS1.3'),
                            (['-tlsverify', '-tlscerts', ca.file, '-remotehostname', 'mx.one.example'], 'certificate verified')):
            code, out, err = verb('smtp', 'dial', *flags, ip(1), SSL_CERT_FILE='/etc/ssl/certs/ca-certificates.crt')
            assert code == 0 and word in err, (flags, err)
        for flags in (['-tlsversionmin', 'tls2'], ['-tlscurves', 'round'], ['-tlsciphersuites', 'TLS_AES_NONE'],
                      ['-tlsrenegotiation', 'often'], ['-tlscerts', '/nowhere']):
            code, out, err = verb('smtp', 'dial', *flags, ip(1))
            assert code == 1 and err and not out, (flags, out, err)
    with Sink(1, tls=context(good), says={'STARTTLS': '220 go\r\n250 injected'}):
        code, out, err = verb('smtp', 'dial', ip(1))
        assert code == 1 and 'plain bytes' in err and not out, (out, err)
    code, out, err = verb('smtp', 'dial', ip(1))
    assert code == 1 and 'refused' in err, err


@needs_net
def mtasts_lookup_shows_record_and_policy():
    text = b'version: STSv1\r\nmode: enforce\r\nmx: mx.one.example\r\nmax_age: 86400\r\n'
    chain = os.path.join(ca.dir, 'web.pem')
    with open(chain, 'w') as f:
        for part in ca.certificate('mta-sts.one.example'):
            f.write(open(part).read())
    page = ('mta-sts.one.example', PATH)
    with Web(ip(9), {None: chain}, {page: (200, {}, text)}) as web:
        code, out, err = verb('mtasts', 'lookup', 'one.example')
        assert code == 0, err
        assert out == ('DNS TXT record _mta-sts.one.example (with dnssec): v=STSv1; id=77;\n\n'
                       'policy at https://mta-sts.one.example/.well-known/mta-sts.txt:\n' +
                       text.decode().replace('\r', '')), out
        web.pages[page] = (200, {}, b'\x1b[31mnonsense')
        code, out, err = verb('mtasts', 'lookup', 'one.example')
        assert code == 1 and 'name: value' in err and '\x1b' not in out + err, (out, err)
        del web.pages[page]
        code, out, err = verb('mtasts', 'lookup', 'one.example')
        assert code == 1 and '404' in err, err
        code, out, err = verb('mtasts', 'lookup', 'one.example', SSL_CERT_FILE='/etc/ssl/certs/ca-certificates.crt')
        assert code == 1 and 'certificate' in err, err
    code, out, err = verb('mtasts', 'lookup', 'three.example')
    assert code == 1 and '0 MTA-STS records' in err, err


@needs_net
def end():
    net.close()
    shutil.rmtree(ca.dir, ignore_errors=True)


main('dane')
