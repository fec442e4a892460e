"""mox spf and mox dnsbl against a test Internet, and pyspf as another opinion about the same records."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'internet'))
from harness import *
from internet import Internet, Zone, why_not

IP, OTHER = '127.9.0.1', '127.9.9.9'

# Each is the record of a name of its own below judged.com.
RECORDS = [
    '-all', '+all', '~all', '?all', '', 'all', 'ip4:127.9.0.0/24 -all', 'ip4:127.9.0.1 ~all', '-ip4:127.9.0.2 ?all',
    'a:host.judged.com -all', 'a:host.judged.com/16 -all', 'a:two.judged.com//64 -all', 'mx:judged.com -all',
    'mx:judged.com/24 -all', 'ptr:judged.com -all', 'ptr:other.com -all', 'exists:%{i}.exists.judged.com -all',
    'exists:%{ir}.%{l}.%{v}.exists.judged.com -all', 'include:pass.judged.com -all', '-include:pass.judged.com +all',
    'include:fail.judged.com ~all', 'include:broken.judged.com -all', 'include:none.judged.com -all',
    'redirect=pass.judged.com', 'redirect=none.judged.com', 'redirect=%{d1r}.redirect.judged.com',
    'a:host.judged.com -all redirect=pass.judged.com', 'exp=why.judged.com -all', 'a/33 -all', 'a: -all', 'ip4:127.9.0 -all',
    'ip6:::/0 -all', 'foo=bar ip4:127.9.0.1 -all', 'foo:bar -all', 'all:x -all', '-all trailing',
    'a:n1.judged.com a:n2.judged.com ip4:127.9.0.1 -all', 'a:n1.judged.com a:n2.judged.com a:n3.judged.com +all',
    ' '.join(['a:two.judged.com'] * 10) + ' ip4:127.9.0.1 -all', ' '.join(['a:two.judged.com'] * 11) + ' +all',
    'include:loop.judged.com -all', 'a:alias.judged.com -all', 'a:%{d2}.judged.com -all', 'a:%{c}.judged.com -all',
    'exists:%{p}.p.judged.com -all', 'a:host.judged.com. -all', 'IP4:127.9.0.1 -ALL', 'exists:%{l1r-}.one.judged.com -all',
]

ZONES = [
    Zone('judged.com', '''
@ MX 10 host
host A 127.9.0.1
two A 127.9.0.2
alias CNAME host
pass TXT "v=spf1 ip4:127.9.0.1 -all"
fail TXT "v=spf1 -all"
broken TXT "v=spf1 oops"
loop TXT "v=spf1 include:loop.judged.com"
none TXT "nothing to do with it"
why TXT "%{i} is not ours"
127.9.0.1.exists A 127.0.0.2
1.0.9.127.user.in-addr.exists A 127.0.0.2
host.judged.com.p A 127.0.0.2
user.one A 127.0.0.2
''' + ''.join('r%d TXT "v=spf1 %s"\nr%d.redirect TXT "v=spf1 +all"\n' % (i, r, i) for i, r in enumerate(RECORDS))),
    Zone('sender.com', '''
@ TXT "unrelated"
@ TXT "v=spf1 include:_spf.sender.com" " ip4:127.9.1.0/24 -all exp=why.sender.com"
_spf TXT "v=spf1 mx:sender.com ~all"
@ MX 10 mx
mx A 127.9.0.1
why TXT "see https://sender.com/?ip=%{c}&from=%{S}"
twice TXT "v=spf1 +all"
twice TXT "v=spf1 -all"
slow TXT "v=spf1 a:www.bogus.com +all"
long TXT ''' + ' '.join('"%s"' % t for t in ['v=spf1'] + [' ip4:10.0.%d.0/24' % i for i in range(250)] + [' ip4:127.9.0.1 -all']) + '\n'),
    Zone('insecure-sender.com', '@ TXT "v=spf1 a -all"\n@ A 127.9.0.1', signed=False),
    Zone('list.com', '''
2.0.0.127.bl A 127.0.0.2
2.0.0.127.bl TXT "a test"
1.0.9.127.bl A 127.0.0.4
1.0.9.127.bl TXT "spam; see https://list.com/"
2.0.9.127.bl A 127.255.255.254
2.0.9.127.bl TXT "Error: open resolver"
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl A 127.0.0.3
2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.both A 127.0.0.2
2.0.0.127.both A 127.0.0.2
*.world A 127.0.0.2
*.parked A 203.0.113.1
'''),
]

net = None


def mox(*args):
    """Exit code and output."""
    r = subprocess.run([MOX, *args], env=dict(os.environ, **net.env), capture_output=True, text=True, timeout=WAIT)
    return r.returncode, r.stdout + r.stderr


def says(args, want):
    got = mox(*args.split())
    assert got == (0, want), (args, got)


def refuses(args, *words):
    code, out = mox(*args.split())
    assert code == 1 and all(w in out for w in words), (args, code, out)


@test
def check():
    says('spf check sender.com 127.9.0.1', 'status: pass (with dnssec)\nmechanism: include:_spf.sender.com\n')
    says('spf check sender.com 127.9.1.77', 'status: pass (with dnssec)\nmechanism: ip4:127.9.1.0/24\n')
    says('spf check sender.com ::ffff:127.9.0.1', 'status: pass (with dnssec)\nmechanism: include:_spf.sender.com\n')
    says('spf check sender.com 2001:db8::1',
         'explanation: see https://sender.com/?ip=2001:db8::1&from=user%40sender.com\n'
         'status: fail (with dnssec)\nmechanism: -all\n')
    says('spf check insecure-sender.com 127.9.0.1', 'status: pass (without dnssec)\nmechanism: a\n')
    says('spf check insecure-sender.com 127.9.0.2', 'status: fail (without dnssec)\nmechanism: -all\n')
    says('spf check nothing.sender.com 127.9.0.1', 'status: none (with dnssec)\n')
    says('spf check twice.sender.com 127.9.0.1',
         'error: record of twice.sender.com: more than one record\nstatus: permerror (with dnssec)\n')
    says('spf check long.sender.com 127.9.0.1', 'status: pass (with dnssec)\nmechanism: ip4:127.9.0.1\n')
    refuses('spf check sender.com nonsense', 'no IP address')
    refuses('spf check a..b 127.0.0.1', 'no domain')


@test
def bogus_is_a_temporary_error_and_no_downgrade():
    code, out = mox('spf', 'check', 'expired.com', '127.0.0.8')
    assert code == 0 and 'status: temperror (without dnssec)\n' in out, out
    code, out = mox('spf', 'check', 'slow.sender.com', '127.0.0.8')
    assert 'error: looking up A of www.bogus.com: ' in out and 'status: temperror' in out, out


@test
def lookup_and_parse():
    says('spf lookup sender.com', 'v=spf1 include:_spf.sender.com ip4:127.9.1.0/24 -all exp=why.sender.com\n(with dnssec)\n')
    refuses('spf lookup nothing.sender.com', 'nothing.sender.com has no SPF record (with dnssec)')
    refuses('spf lookup twice.sender.com', 'permerror: more than one record')
    refuses('spf lookup expired.com', 'temperror: ')
    assert mox('spf', 'parse', 'v=spf1 a mx -all') == (0, '')
    assert mox('spf', 'parse', 'v=spf1 a mx -al') == (1, 'mox: term "-al": unknown mechanism\n')


@test
def block_lists():
    says('dnsbl check bl.list.com 127.9.0.1', 'status: fail\nexplanation: "spam; see https://list.com/"\n')
    says('dnsbl check bl.list.com 127.9.0.3', 'status: pass\n')
    says('dnsbl check bl.list.com 2001:db8::1', 'status: fail\nexplanation: ""\n')
    says('dnsbl check bl.list.com 2001:db8::2', 'status: pass\n')
    says('dnsbl check bl.list.com 127.9.0.2',
         'status: temperror\nerror: bl.list.com answers 127.255.255.254, asked through a public resolver\n')
    says('dnsbl checkhealth both.list.com', 'healthy\nhealthy for IPv6\n')
    says('dnsbl checkhealth bl.list.com',
         'healthy\nnot for IPv6: the test address ::ffff:7f00:2 is not listed and must be\n')
    refuses('dnsbl checkhealth world.list.com', 'unhealthy: the test address 127.0.0.1 is listed and must not be')
    refuses('dnsbl checkhealth parked.list.com', 'unhealthy: ', 'answers 203.0.113.1')
    refuses('dnsbl checkhealth gone.list.com', 'unhealthy: the test address 127.0.0.2 is not listed')
    refuses('dnsbl checkhealth expired.com', 'unknown: asking expired.com: ')


def judge(lines):
    """pyspf belongs to the system's Python, which need not be the first in PATH."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'spf_judge.py')
    for python in ('python3', '/usr/bin/python3'):
        r = subprocess.run([python, script, net.ips['host']], input=lines, capture_output=True, text=True, timeout=4 * WAIT)
        if r.returncode == 0:
            return r.stdout.split()
    raise AssertionError(r.stderr)


@test
def pyspf_agrees():
    cases = [('r%d.judged.com' % i, OTHER if i % 5 == 4 else IP) for i in range(len(RECORDS))]
    theirs = judge(''.join('%s %s\n' % c for c in cases))
    assert len(theirs) == len(cases), theirs
    differ, seen = [], set()
    for record, case, want in zip(RECORDS, cases, theirs):
        out = mox('spf', 'check', *case)[1]
        ours = re.search(r'^status: (\w+)', out, re.M).group(1)
        seen.add(ours)
        if ours != want:
            differ.append((record, case[1], ours, want, out))
    assert not differ, differ
    assert seen == {'pass', 'fail', 'softfail', 'neutral', 'permerror'}, seen


reason = why_not()
if reason:
    print('SKIP spf: ' + reason)
    sys.exit(0)
with Internet(ZONES, reverse={IP: 'host.judged.com'}) as net:
    main('spf')
