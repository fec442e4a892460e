"""Keys of DKIM for tests, messages that are hard to agree about, and dkimpy's opinion."""
import base64
import json

from harness import *


def judge(questions):
    r = subprocess.run(['/usr/bin/python3', os.path.join(ROOT, 'test', 'system', 'dkim_judge.py')],
                       input=json.dumps(questions).encode(), capture_output=True, timeout=WAIT)
    assert r.returncode == 0, r.stderr.decode()
    return json.loads(r.stdout)


def b64(b):
    return base64.b64encode(b).decode()


class Key:
    def __init__(self, selector, kind, domain):
        self.selector = selector
        self.kind = kind
        self.pem = run(MOX, 'dkim', 'gen' + kind).stdout
        self.record = run(MOX, 'dkim', 'txt', input=self.pem).stdout.strip().split(' TXT ', 1)[1]
        self.name = '%s._domainkey.%s' % (selector, domain)

    def zone_line(self):
        return '%s._domainkey TXT %s\n' % (self.selector, ' '.join(
            '"%s"' % self.record[i:i + 255] for i in range(0, len(self.record), 255)))

    def for_dkimpy(self):
        """dkimpy's ed25519 keys are the seed alone, the last 32 octets of PKCS8."""
        if self.kind == 'rsa':
            return self.pem.encode()
        der = base64.b64decode(''.join(l for l in self.pem.split('\n') if '-' not in l))
        return base64.b64encode(der[-32:])

    @property
    def algorithm(self):
        return 'rsa-sha256' if self.kind == 'rsa' else 'ed25519-sha256'


def odd_message(random, sender):
    """Blanks, folds and empty lines wherever they may be."""
    def text(n):
        return ''.join(random.choice(['a', 'B', ' ', '  ', '\t', ' \t', ';', '=', '\xfc', ':']) for _ in range(random.randrange(n)))

    def value():
        return '\r\n'.join([text(9)] + [random.choice(' \t') + text(9) + 'x' for _ in range(random.randrange(3))])
    names = ['Subject', 'to', 'CC', 'X-Other', 'Reply-To', 'Comments']
    random.shuffle(names)
    header = 'From:%s %s\r\n' % (random.choice(['', ' ', '\r\n', '\t \r\n\t']), sender)
    header += ''.join('%s:%s\r\n' % (n, value()) for n in names if n == 'Subject' or random.random() < 0.6)
    body = ''.join(random.choice([text(20), text(5) + '\rx', '', '', ' ', '\t\t']) + '\r\n' for _ in range(random.randrange(8)))
    return (header + '\r\n' + body).encode('latin-1')
