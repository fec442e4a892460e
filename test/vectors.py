"""
Public test data: messages, many of them malformed, through `mox message parse`, and addresses through
SMTP. Where another library's structure of a well-formed message is there, ours must be the same.
"""
import email
import email.policy
import glob
import json
import sys
import xml.etree.ElementTree as xml

import os
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'system'))
from harness import *

VECTORS = os.path.join(ROOT, 'test', 'vectors')


def messages():
    for path in sorted(glob.glob(VECTORS + '/mime/**/*', recursive=True)):
        name = os.path.basename(path)
        if os.path.isfile(path) and not name.startswith(('LICENSE', 'README')) and \
                not name.endswith(('.json', '.xml', '.out', '.bin')) and '_decoded' not in name:
            yield path


def parse(path):
    r = subprocess.run([MOX, 'message', 'parse', path], capture_output=True, timeout=WAIT)
    assert r.returncode == 0, (path, r.stderr)
    return json.loads(r.stdout)


def check_places(part, start, end, path):
    """Offsets are in order, and each part lies inside its parent's body."""
    (h, b), (b2, e) = part['header'], part['body']
    assert start <= h <= b == b2 <= e <= end, (path, part)
    at = b
    for child in part.get('parts', []):
        check_places(child, at, e, path)
        at = child['body'][1]


@test
def every_message_has_a_consistent_structure():
    n = 0
    for path in messages():
        check_places(parse(path), 0, os.path.getsize(path), path)
        n += 1
    assert n > 300, n
    print('%d messages' % n)


def types(part):
    own = (part['type'] + '/' + part['subtype']) if part['type'] else 'text/plain'
    children = [types(p) for p in part.get('parts', [])]
    return [own, children]


def types_of_xml(node):
    """mime4j: <message><header/><multipart> or <body>."""
    kind = 'text/plain'
    for field in node.findall('header/field'):
        m = re.match(r'\s*content-type:\s*([^;\s]+/[^;\s]+)', (field.text or ''), re.I)
        if m:
            kind = m.group(1).lower()
            break
    children = [types_of_xml(p) for p in node.findall('multipart/body-part')]
    children += [types_of_xml(p) for p in node.findall('message')]
    return [kind, children]


def leaves(tree):
    kind, children = tree
    return sum((leaves(c) for c in children), []) if children else [kind]


# Where we decide otherwise, and why.
OTHERWISE = {
    'bad-newlines-multiple-parts-base64.msg': 'an embedded message in base64 is kept as one part',
    'base64encoded-rfc822message.msg': 'an embedded message in base64 is kept as one part',
    'missing-inner-start-boundary.msg': 'a multipart without any boundary line has no parts',
    'very-long-boundary.msg': 'boundaries have at most 200 bytes (RFC 2046 5.1.1 says 70)',
    'very-very-long-boundary.msg': 'boundaries have at most 200 bytes (RFC 2046 5.1.1 says 70)',
}


@test
def structures_agree_with_mime4j():
    agree, differ = 0, []
    for path in sorted(glob.glob(VECTORS + '/mime/mime4j/testmsgs/*.msg')):
        if not os.path.exists(path[:-4] + '.xml'):
            continue
        if leaves(types(parse(path))) == leaves(types_of_xml(xml.parse(path[:-4] + '.xml').getroot())):
            agree += 1
        else:
            differ.append(os.path.basename(path))
    print('%d agree, %d differ: %s' % (agree, len(differ), ' '.join(differ)))
    assert agree >= 15 and set(differ) == set(OTHERWISE), set(differ) ^ set(OTHERWISE)


def types_of_python(m):
    kind = m.get_content_type()
    if m.is_multipart():
        return [kind, [types_of_python(p) for p in m.get_payload()]]
    return [kind, []]


@test
def structures_agree_with_python():
    """For malformed input both are opinions; most must be the same all the same."""
    agree, differ = 0, []
    for path in messages():
        with open(path, 'rb') as f:
            theirs = leaves(types_of_python(email.message_from_bytes(f.read())))
        if leaves(types(parse(path))) == theirs:
            agree += 1
        else:
            differ.append(os.path.relpath(path, VECTORS))
    print('%d agree, %d differ: %s' % (agree, len(differ), ' '.join(differ)))
    assert agree > 4 * len(differ)


def lines_of(name):
    for line in open(os.path.join(VECTORS, 'address', name), encoding='utf-8'):
        line = re.sub(r'\s{2,}# .*', '', line.rstrip('\n'))
        if line and not line.startswith('#') and not line.lstrip().startswith('#'):
            yield line


@test
def valid_addresses():
    bad = []
    for line in lines_of('mailbox_valid.txt'):
        out = json.loads(run(MOX, 'message', 'parse', '-', input='From: %s\n\n' % line).stdout)
        if len(out['envelope'].get('from', [])) != 1:
            bad.append(line)
    assert not bad, bad


@test
def invalid_addresses_are_refused_by_smtp():
    with running() as s:
        w = s.connect(SMTP)
        w.smtp_hello()
        accepted = []
        for line in lines_of('mailbox_invalid.txt'):
            w.write(('MAIL FROM:<%s>\r\n' % line).encode())
            r = w.reply()
            if r.startswith('250'):
                accepted.append(line)
                w.cmd('RSET', '250')
            assert r, line
            if r.startswith('500 5.5.0'):  # longer than a line may be: the connection is over
                w = s.connect(SMTP)
                w.smtp_hello()
        # Whether an A-label means anything is for who looks the domain up.
        assert accepted == ['test@xn--example.com'], accepted
        for line in lines_of('mailbox_valid.txt'):
            if '<' in line or ' ' in line and not line.startswith('"'):
                continue
            w.write(('MAIL FROM:<%s>\r\n' % line).encode())
            r = w.reply()
            if not r.startswith('250'):
                print('refused: %s: %s' % (line, r))
            w.cmd('RSET', '250')


main('vectors')
