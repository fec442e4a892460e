"""
dkimpy (Debian's python3-dkim) as another opinion. Standard input is a list in JSON of
  {"do": "sign", "message", "selector", "domain", "key", "canonical": [header, body], "algorithm"}: the field
  {"do": "verify", "message", "records": {name: text}}: whether each signature is good, from the top
  {"do": "arc", "message", "records": {name: text}}: what the ARC chain is worth, and why
with messages and keys in base64; standard output is the list of the answers.
"""
import base64
import json
import sys

import dkim


def sign(q):
    field = dkim.sign(base64.b64decode(q['message']), q['selector'].encode(), q['domain'].encode(),
                      base64.b64decode(q['key']), canonicalize=tuple(c.encode() for c in q['canonical']),
                      signature_algorithm=q['algorithm'].encode())
    return base64.b64encode(field).decode()


def verify(q):
    d = dkim.DKIM(base64.b64decode(q['message']))
    n = sum(name.lower() == b'dkim-signature' for name, _ in d.headers)
    answer = lambda name, timeout=5: q['records'].get(name.decode().rstrip('.'), '').encode()
    return [d.verify(i, dnsfunc=answer) for i in range(n)]


def arc(q):
    answer = lambda name, timeout=5: q['records'].get(name.decode().rstrip('.'), '').encode()
    cv, _, comment = dkim.arc_verify(base64.b64decode(q['message']), dnsfunc=answer)
    return [(cv or b'none').decode(), comment]


json.dump([{'sign': sign, 'verify': verify, 'arc': arc}[q['do']](q) for q in json.load(sys.stdin)], sys.stdout)
