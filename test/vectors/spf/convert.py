#!/usr/bin/env python3
"""
Makes cases.txt of the YAML files beside it, for test/vectors/spf_cases.c: blocks of lines

    suite <file>: <title>
    zone <a line of policy/dns_zone.h>
    case <name>
    ip <address>
    helo <name>
    mailfrom <address or nothing>
    helo-first            (mail-auth: when HELO does not pass, that is the result)
    want <result> ...     (any of them)
    explanation <text>    (or nothing: there is none)

in which zone lines belong to the suite and the others to the case before them. Needs python3-yaml, but only
when the files change.
"""
import ipaddress
import itertools
import os
import re

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ['openspf/rfc7208-tests.yml', 'openspf/rfc4408-tests.yml', 'mailauth/rfc7208-tests.yml'] + \
    ['mail-auth/%s.yml' % n for n in 'all a basic examples exists exp include ip macro mx ptr redirect'.split()]
TYPES = ['A', 'AAAA', 'MX', 'PTR', 'TXT']

# Where a file is not the verdict: (file, title or test) -> (results, why).
OTHERWISE = {
    ('mail-auth/all.yml', 'All test 1'):
        (['permerror'], 'ip: is no mechanism, and errors count wherever they are (RFC 7208 4.6)'),
    ('mail-auth/basic.yml', 'DNS Lookup Limits 1'):
        (['permerror'], 'ten names that do not exist: void lookups are limited (RFC 7208 4.6.4)'),
    ('mail-auth/exists.yml', 'Exists 2'):
        (['fail'], 'exists asks for A, whatever the client (RFC 7208 5.7; exists-ip6only of openspf)'),
    ('mail-auth/ip.yml', 'IPv6 match 4'):
        (['fail'], 'IPv4 clients do not match ip6 (RFC 7208 5; cidr6-ip4 of openspf)'),
    ('mail-auth/macro.yml', 'Macro expansion 2 2'):
        (['fail'], 'as Exists 2'),
}


def quoted(texts):
    out = ''
    for text in texts:
        raw = text.encode('latin-1')
        out += '"%s"' % ''.join('\\%03d' % b if b < 32 or b > 126 or b in b'"\\' else chr(b) for b in raw)
    return out


def owner(name):
    name = re.sub(r'\.$', '', str(name)).encode('latin-1')
    return ''.join(chr(b) if 33 <= b <= 126 and b != 92 else '\\%03d' % b for b in name)


def zone_lines(name, records):
    """One name of zonedata. A TXT of SPF entries, unless there is a TXT; TIMEOUT for all types not there."""
    values, has_timeout = [], False
    for r in records or []:
        if r == 'TIMEOUT':
            has_timeout = True
        else:
            values += list(r.items())
    types = {t for t, _ in values}
    for t, v in values:
        if t == 'SPF' and 'TXT' not in types:
            t = 'TXT'
        if t == 'SPF' or v == 'NONE':
            continue
        if v == 'TIMEOUT':
            yield '%s %s !timeout' % (owner(name), t)
        elif t == 'TXT':
            yield '%s TXT %s' % (owner(name), quoted(v if isinstance(v, list) else [str(v)]) or '""')
        elif t == 'MX':
            # An empty name in the suite is the root.
            yield '%s MX %d %s' % (owner(name), v[0], v[1] or '.')
        else:
            yield '%s %s %s' % (owner(name), t, v)
    if has_timeout:
        for t in TYPES:
            there = {k for k, v in values if v != 'NONE'}
            if t not in there and not (t == 'TXT' and 'SPF' in types and 'TXT' not in types):
                yield '%s %s !timeout' % (owner(name), t)


def case(name, ip, helo, mailfrom, wants, explanation, helo_first=False):
    yield 'case %s' % name
    yield 'ip %s' % ip
    yield 'helo %s' % helo
    yield 'mailfrom %s' % (mailfrom or '')
    if helo_first:
        yield 'helo-first'
    yield 'want %s' % ' '.join(wants)
    if explanation is not None:
        yield 'explanation %s' % explanation


def suite(path, doc):
    yield 'suite %s: %s' % (path, doc['description'])
    for name, records in doc['zonedata'].items():
        for line in zone_lines(name, records):
            yield 'zone ' + line
    for name, t in doc['tests'].items():
        wants = t['result'] if isinstance(t['result'], list) else [t['result']]
        wants = OTHERWISE.get((path, name), [wants])[0]
        explanation = t.get('explanation')
        if explanation == 'DEFAULT':
            explanation = ''
        yield from case(name, t['host'], t['helo'], t['mailfrom'], wants, explanation)


def records_of(kind, text, hosts):
    """The lines of one record of mail-auth, by owner and type."""
    name, _, rest = text.partition(' ')
    values = [v.strip() for v in rest.split(',')]
    if len(name) > 253 or max(map(len, name.split('.'))) > 63:
        return  # no zone has it
    if kind in ('spf', 'exp'):
        yield '%s TXT %s' % (owner(name), quoted([rest]))
    elif kind == 'ptr':
        for v in values:
            yield '%s PTR %s' % (ipaddress.ip_address(name).reverse_pointer, v)
    elif kind == 'mx':
        for v in values:
            host = 'mx%d.hosts.invalid' % next(hosts)
            yield '%s MX 10 %s' % (owner(name), host)
            yield '%s %s %s' % (host, 'AAAA' if ':' in v else 'A', v)
    else:
        for v in values:
            yield '%s %s %s' % (owner(name), kind.upper(), v)


def scenario(path, text):
    """
    A document of mail-auth is YAML in looks only: keys repeat. Each line sets something, and expect is a test
    with what is set then; among the tests, a and ptr add a record and spf replaces one.
    """
    title = re.search(r'^name: *(.*?) *$', text, re.M).group(1)
    records, _, tests = text.partition('\nrecords:')[2].partition('\ntests:')
    fields = r'^ +(?:- )?(\w+): *(.*?) *$'
    base, hosts, n = [], itertools.count(1), 0
    for kind, value in re.findall(fields, records, re.M):
        base += records_of(kind, value, hosts)
    # The domain _dns_error of these scenarios never answers.
    base += ['_dns_error.test.org * !timeout', '_dns_error.org * !timeout']
    own, state, is_new = {}, {}, True
    for key, value in re.findall(fields, re.sub(r'^ *#.*$', '', tests, flags=re.M), re.M):
        if key in ('spf', 'a', 'ptr'):
            own[key, value.partition(' ')[0]] = value
            is_new = True
        elif key == 'expect':
            if is_new:
                yield 'suite %s: %s' % (path, title)
                replaced = tuple(owner(name) + ' TXT ' for kind, name in own if kind == 'spf')
                lines = [r for r in base if not replaced or not r.startswith(replaced)]
                for (kind, _), record in own.items():
                    lines += records_of(kind, record, hosts)
                yield from ('zone ' + line for line in lines)
                is_new = False
            n += 1
            result, _, explanation = value.partition(' ')
            name = '%s %d' % (title, n)
            yield from case(name, state['ip'], state['domain'], state['sender'],
                            OTHERWISE.get((path, name), [[result]])[0], explanation or None, True)
        else:
            state[key] = value


def main():
    lines = []
    for path in FILES:
        with open(os.path.join(HERE, path), encoding='utf-8') as f:
            text = f.read()
        for part in re.split(r'^---\s*$', text, flags=re.M):
            if path.startswith('mail-auth/'):
                lines += scenario(path, part) if '\ntests:' in part else []
            elif yaml.safe_load(part):
                lines += suite(path, yaml.safe_load(part))
    with open(os.path.join(HERE, 'cases.txt'), 'w', encoding='utf-8') as f:
        f.write('# Made by convert.py. Do not edit.\n' + '\n'.join(lines) + '\n')


main()
