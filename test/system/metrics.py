"""What a server shows on MetricsHTTP."""
import re

from harness import WAIT, run

METRICS = 1081


def scrape(s, port=METRICS):
    """Name with labels -> value."""
    r = run('curl', '-sS', '-i', '--max-time', str(WAIT), 'http://%s:%d/metrics' % (s.ip, port)).stdout
    head, text = r.split('\n\n', 1)
    assert 'text/plain; version=0.0.4' in head, head
    return text, dict(l.rsplit(' ', 1) for l in text.splitlines() if not l.startswith('#'))


def value(found, name, **labels):
    """Of all series of a name with these labels, together."""
    total = 0
    for key, v in found.items():
        m = re.match(r'(\w+)(?:\{(.*)\})?$', key)
        own = dict(re.findall(r'(\w+)="([^"]*)"', m.group(2) or ''))
        if m.group(1) == 'mox_' + name and all(own.get(k) == v for k, v in labels.items()):
            total += float(v)
    return total
