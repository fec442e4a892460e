"""
dkimpy (Debian's python3-dkim) signs. Each line of standard input is {"message", "key", "domain", "seals_for"} in JSON,
message and key in base64; the answer is a line with the message in base64 and its new fields before it: a signature,
or with seals_for, the host whose Authentication-Results the message has, a set of ARC.
"""
import base64
import json
import sys

import dkim

for line in sys.stdin:
    q = json.loads(line)
    message, key = base64.b64decode(q['message']), base64.b64decode(q['key'])
    if q['seals_for']:
        fields = b''.join(dkim.arc_sign(message, b'sel', q['domain'].encode(), key, q['seals_for'].encode()))
    else:
        fields = dkim.sign(message, b'sel', q['domain'].encode(), key, canonicalize=(b'relaxed', b'simple'))
    print(base64.b64encode(fields + message).decode(), flush=True)
