#!/usr/bin/python3
"""The YAML of the suite as texts that the unit tests read: convert.py <directory of the suite>."""
import os
import sys
import yaml

# The suite expects no answer for a chain with a seal that says cv=fail; RFC 8617 5.2, step 2: it has
# failed.
OTHERWISE = dict.fromkeys(['cv_fail_i1_as_cv_fail', 'cv_fail_i2_as2_fail', 'cv_fail_i2_as1_fail'], 'fail')
here = os.path.dirname(os.path.abspath(__file__))


def lines(text):
    return '\n'.join(l.rstrip('\r') for l in (text or '').split('\n'))


def convert(name, to):
    tests, zone = [], {}
    with open(os.path.join(sys.argv[1], name)) as f:
        for document in yaml.safe_load_all(f):
            for owner, text in (document.get('txt-records') or {}).items():
                assert zone.setdefault(owner, text) == text, owner
            for test, t in document['tests'].items():
                cv = OTHERWISE.get(test) or str(t.get('cv') or '').strip().lower() or 'none'
                tests.append('=== %s %s\n%s' % (test, cv, lines(t['message'])))
                if 'privatekey' in document:
                    tests[-1] = '=== %s\n' % test + ''.join(
                        '--- %s\n%s\n' % (k, lines(str(t[k] or '')))
                        for k in ('t', 'sig-headers', 'srv-id', 'AS', 'AMS', 'AAR', 'message'))
                    key = document['privatekey'], document['domain'], document['sel']
                    with open(os.path.join(here, 'sign.key'), 'w') as k:
                        k.write(key[0])
    with open(os.path.join(here, to + '.txt'), 'w', newline='') as f:
        f.write('\n'.join(tests) + '\n')
    with open(os.path.join(here, to + '.zone'), 'w') as f:
        f.write(''.join('%s TXT %s\n' % (o, ' '.join(t.split())) for o, t in zone.items()))


convert('arc-draft-validation-tests.yml', 'validation')
convert('arc-draft-sign-tests.yml', 'sign')
