"""Writes an upstream data directory, from what is known of its formats: bbolt's pages, bstore's records.

Made apart from the reader (src/mailfile/bolt.c, bstore.c): the two have only the format in common.
"""
import datetime
import json
import os
import struct

PAGE = 4096
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16


def fnv1a(data):
    h = 14695981039346656037
    for b in data:
        h = (h ^ b) * 1099511628211 & 0xffffffffffffffff
    return h


class Bolt:
    """A file of nested dicts: bytes to bytes, or to a dict that is a bucket."""

    def __init__(self, page_size=PAGE, transaction=7):
        self.page_size, self.transaction = page_size, transaction
        self.pages = {}  # id: bytes, with their overflow
        self.next = 4    # behind two meta pages, a freelist and a page that is free

    def put(self, flags, count, body):
        n = (16 + len(body) + self.page_size - 1) // self.page_size
        page = struct.pack('<QHHI', self.next, flags, count, n - 1) + body
        self.pages[self.next] = page.ljust(n * self.page_size, b'\0')
        self.next += n
        return self.next - n

    @staticmethod
    def leaf_body(items):
        heads, tail = b'', b''
        for i, (key, value, flags) in enumerate(items):
            heads += struct.pack('<IIII', flags, 16 * (len(items) - i) + len(tail), len(key), len(value))
            tail += key + value
        return heads + tail

    def tree(self, items):
        """Leaf pages of up to a few thousand bytes, and branch pages above them; the root's id."""
        groups, size = [[]], 0
        for item in items:
            n = 16 + len(item[0]) + len(item[1])
            if groups[-1] and size + n > self.page_size - 16:
                groups.append([])
                size = 0
            groups[-1].append(item)
            size += n
        level = [(g[0][0] if g else b'', self.put(LEAF, len(g), self.leaf_body(g))) for g in groups]
        while len(level) > 1:
            above = []
            for i in range(0, len(level), 40):
                part, heads, tail = level[i:i + 40], b'', b''
                for k, (key, page) in enumerate(part):
                    heads += struct.pack('<IIQ', 16 * (len(part) - k) + len(tail), len(key), page)
                    tail += key
                above.append((part[0][0], self.put(BRANCH, len(part), heads + tail)))
            level = above
        return level[0][1]

    def bucket(self, content):
        items = []
        for key in sorted(content):
            value = content[key]
            items.append((key, self.bucket(value), 1) if isinstance(value, dict) else (key, value, 0))
        small = self.leaf_body(items)
        if len(small) < self.page_size // 4 and not any(flags for _, _, flags in items):
            return struct.pack('<QQ', 0, 0) + struct.pack('<QHHI', 0, LEAF, len(items), 0) + small
        return struct.pack('<QQ', self.tree(items), 0)

    def write(self, content):
        items = [(k, self.bucket(v), 1) for k, v in sorted(content.items())]
        root = self.tree(items)
        out = bytearray(self.next * self.page_size)
        for n, page in self.pages.items():
            out[n * self.page_size:n * self.page_size + len(page)] = page
        for n in (0, 1):
            meta = struct.pack('<IIIIQQQQQ', 0xED0CDAED, 2, self.page_size, 0, root, 0, 2, self.next, self.transaction - n)
            page = struct.pack('<QHHI', n, META, 0, 0) + meta + struct.pack('<Q', fnv1a(meta))
            out[n * self.page_size:n * self.page_size + len(page)] = page
        freelist = struct.pack('<QHHI', 2, FREELIST, 1, 0) + struct.pack('<Q', 3)
        out[2 * self.page_size:2 * self.page_size + len(freelist)] = freelist
        return bytes(out)


# --- bstore ---

def uvarint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def varint(n):
    return uvarint(n << 1 if n >= 0 else ~(n << 1))


def counted(data):
    return uvarint(len(data)) + data


def bits(flags):
    out = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        if flag:
            out[i // 8] |= 128 >> i % 8
    return bytes(out)


def go_time(unix):
    return b'\1' + struct.pack('>qiH', unix + 62135596800, 123456789, 0xffff)


def is_set(kind, v):
    """Zero values are not stored; what a pointer points to is, be it zero."""
    if kind[0] == 'struct':
        return bool(v) and any(is_set(k, v.get(name)) for name, k in kind[1])
    return bool(v) or (kind == 'boolptr' and v is not None)


def pack(kind, v):
    if kind[0] == 'struct':
        fields = [(k, v.get(name)) for name, k in kind[1]]
        return bits([is_set(*f) for f in fields]) + b''.join(pack(*f) for f in fields if is_set(*f))
    if kind[0] == 'list':
        return uvarint(len(v)) + bits([is_set(kind[1], x) for x in v]) + b''.join(pack(kind[1], x) for x in v if is_set(kind[1], x))
    if kind[0] == 'map':
        return uvarint(len(v)) + bits([is_set(kind[2], x) for x in v.values()]) + b''.join(
            pack(kind[1], k) + (pack(kind[2], x) if is_set(kind[2], x) else b'') for k, x in v.items())
    if kind == 'string':
        return counted(v.encode())
    if kind == 'bytes':
        return counted(v)
    if kind == 'bool':
        return b''
    if kind == 'boolptr':
        return b'\1' if v else b'\0'
    if kind.startswith('uint'):
        return uvarint(v)
    if kind.startswith('int'):
        return varint(v)
    if kind in ('time', 'timeptr'):
        return counted(go_time(v))
    if kind == 'strings':
        return uvarint(len(v)) + bits([bool(x) for x in v]) + b''.join(pack('string', x) for x in v if x)
    if kind == 'flagmap':  # a map of strings to nothing, and a struct, that only have to be passed over
        return uvarint(len(v)) + bits([False] * len(v)) + b''.join(pack('string', k) for k in v)
    if kind == 'pair':
        return bits([bool(x) for x in v]) + b''.join(pack('int64', x) for x in v if x)
    raise ValueError(kind)


def json_type(kind, numbers):
    names = ['bytes', 'bool', 'int', 'int8', 'int16', 'int32', 'int64', 'uint', 'uint8', 'uint16', 'uint32', 'uint64', 'float32', 'float64',
             'map', 'slice', 'string', 'time', 'binarymarshal', 'struct', 'array']

    def named(k):
        return names.index(k) + 1 if numbers else k

    if kind[0] == 'struct':
        return {'Kind': named('struct'), 'FieldsTypeSeq': kind[2], 'Fields': [{'Name': n, 'Type': json_type(k, numbers)} for n, k in kind[1]]}
    if kind[0] == 'list':
        return {'Kind': named('slice'), 'List': json_type(kind[1], numbers)}
    if kind[0] == 'map':
        return {'Kind': named('map'), 'MapKey': json_type(kind[1], numbers), 'MapValue': json_type(kind[2], numbers)}
    if kind == 'timeptr':
        return {'Ptr': True, 'Kind': named('time')}
    if kind == 'strings':
        return {'Kind': named('slice'), 'List': {'Kind': named('string')}}
    if kind == 'boolptr':
        return {'Ptr': True, 'Kind': named('bool')}
    if kind == 'flagmap':
        return {'Kind': named('map'), 'MapKey': {'Kind': named('string')}, 'MapValue': {'Kind': named('struct')}}
    if kind == 'pair':
        return {'Kind': named('struct'), 'FieldsTypeSeq': 2, 'Fields': [{'Name': n, 'Type': {'Kind': named('int64')}} for n in 'AB']}
    return {'Kind': named(kind)}


def key_of(kind, v):
    if kind == 'string':
        return v.encode()
    if kind == 'bytes':
        return v
    width = {'int': 4, 'int64': 8, 'uint32': 4, 'int32': 4, 'uint8': 1}[kind]
    return (v + (1 << 8 * width - 1) if kind[0] == 'i' else v).to_bytes(width, 'big')


def table(versions, records):
    """versions: lists of (name, kind), the first is the key; records: (index of version, dict)."""
    types, rows = {}, {}
    for i, fields in enumerate(versions):
        numbers = i == 0  # as the first version of the format had it
        types[(i + 1).to_bytes(4, 'big')] = json.dumps({
            'Version': i + 1, 'OndiskVersion': 1 if numbers else 2, 'ReferencedBy': {},
            'Fields': [{'Name': name, 'Type': json_type(kind, numbers)} for name, kind in fields]}).encode()
    for i, record in records:
        fields = versions[i]
        present = [(kind, record[name]) if is_set(kind, record.get(name)) else None for name, kind in fields[1:]]
        rows[key_of(fields[0][1], record[fields[0][0]])] = (
            uvarint(i + 1) + bits([p is not None for p in present]) + b''.join(pack(*p) for p in present if p))
    return {b'records': rows, b'types': types, b'index.Some': {b'\0' * 8: b''}}


DOMAIN = ('struct', [('ASCII', 'string'), ('Unicode', 'string')], 3)
IPDOMAIN = ('struct', [('IP', 'bytes'), ('Domain', DOMAIN)], 2)
RESULT = ('struct', [('Start', 'time'), ('Duration', 'int64'), ('Success', 'bool'), ('Code', 'int'), ('Secode', 'string'), ('Error', 'string')], 4)
REASON = ('struct', [('Type', 'string'), ('Comment', 'string')], 11)
DKIM = ('struct', [(n, 'string') for n in ('Domain', 'Selector', 'Result', 'HumanResult')], 12)
SPF = ('struct', [(n, 'string') for n in ('Domain', 'Scope', 'Result')], 13)
POLICY = ('struct', [(n, 'string') for n in ('Domain', 'ADKIM', 'ASPF', 'Policy', 'SubdomainPolicy')] + [('Percentage', 'int'), ('ReportingOptions', 'string')], 14)
FAILURE = ('struct', [(n, 'string') for n in ('ResultType', 'SendingMTAIP', 'ReceivingMXHostname', 'ReceivingMXHelo', 'ReceivingIP')] + [
    ('FailedSessionCount', 'int64'), ('AdditionalInformation', 'string'), ('FailureReasonCode', 'string')], 21)
TLS_RESULT = ('struct', [('Policy', ('struct', [('Type', 'string'), ('String', 'strings'), ('Domain', 'string'), ('MXHost', 'strings')], 22)),
                         ('Summary', ('struct', [('TotalSuccessfulSessionCount', 'int64'), ('TotalFailureSessionCount', 'int64')], 23)),
                         ('FailureDetails', ('list', FAILURE))], 24)
SENT = [('BaseID', 'int64'), ('Queued', 'time'), ('SenderAccount', 'string'), ('SenderLocalpart', 'string')]
TO = [('SenderDomainStr', 'string'), ('FromID', 'string'), ('RecipientLocalpart', 'string'), ('RecipientDomain', IPDOMAIN), ('RecipientDomainStr', 'string'),
      ('Attempts', 'int'), ('MaxAttempts', 'int'), ('DialedIPs', ('map', 'string', ('list', 'bytes'))), ('LastAttempt', 'timeptr'), ('Results', ('list', RESULT)),
      ('Has8bit', 'bool'), ('SMTPUTF8', 'bool'), ('IsDMARCReport', 'bool'), ('IsTLSReport', 'bool'), ('Size', 'int64'), ('MessageID', 'string'),
      ('Subject', 'string'), ('Transport', 'string'), ('RequireTLS', 'boolptr'), ('FutureReleaseRequest', 'string'), ('Extra', ('map', 'string', 'string'))]
# The first fields of each are the keys. By the file below the data directory.
SERVER = {
    'queue/index.db': {
        'Msg': [('ID', 'int64')] + SENT + [('SenderDomain', IPDOMAIN), ('Hold', 'bool'), ('NextAttempt', 'time'), ('MsgPrefix', 'bytes'), ('DSNUTF8', 'bytes')] + TO,
        'MsgRetired': [('ID', 'int64')] + SENT + TO + [('LastActivity', 'time'), ('RecipientAddress', 'string'), ('Success', 'bool'), ('KeepUntil', 'time')],
        'HoldRule': [('ID', 'int64'), ('Account', 'string'), ('SenderDomain', DOMAIN), ('RecipientDomain', DOMAIN), ('SenderDomainStr', 'string'),
                     ('RecipientDomainStr', 'string')],
        'Suppression': [('ID', 'int64'), ('Created', 'time'), ('Account', 'string'), ('BaseAddress', 'string'), ('OriginalAddress', 'string'), ('Manual', 'bool'),
                        ('Reason', 'string')],
        'Hook': [('ID', 'int64'), ('URL', 'string')],
    },
    'mtasts.db': {'PolicyRecord': [('Domain', 'string')] + [(n, 'time') for n in ('Inserted', 'ValidEnd', 'LastUpdate', 'LastUse')] + [
        ('Backoff', 'bool'), ('RecordID', 'string'), ('Version', 'string'), ('Mode', 'string'),
        ('MX', ('list', ('struct', [('Wildcard', 'bool'), ('Domain', DOMAIN)], 2))), ('MaxAgeSeconds', 'int'), ('PolicyText', 'string')]},
    'dmarcrpt.db': {'DomainFeedback': [('ID', 'int64'), ('Domain', 'string'), ('FromDomain', 'string'), ('Version', 'string'), ('ReportMetadata', ('struct', [
        ('OrgName', 'string'), ('Email', 'string'), ('ExtraContactInfo', 'string'), ('ReportID', 'string'),
        ('DateRange', ('struct', [('Begin', 'int64'), ('End', 'int64')], 15)), ('Errors', 'strings')], 16)), ('PolicyPublished', POLICY), ('Records', ('list', ('struct', [
            ('Row', ('struct', [('SourceIP', 'string'), ('Count', 'int'), ('PolicyEvaluated', ('struct', [
                ('Disposition', 'string'), ('DKIM', 'string'), ('SPF', 'string'), ('Reasons', ('list', REASON))], 17))], 18)),
            ('Identifiers', ('struct', [(n, 'string') for n in ('EnvelopeTo', 'EnvelopeFrom', 'HeaderFrom')], 19)),
            ('AuthResults', ('struct', [('DKIM', ('list', DKIM)), ('SPF', ('list', SPF))], 20))], 25)))]},
    'tlsrpt.db': {'Record': [('ID', 'int64'), ('Domain', 'string'), ('FromDomain', 'string'), ('MailFrom', 'string'), ('HostReport', 'bool'), ('Report', ('struct', [
        ('OrganizationName', 'string'), ('DateRange', ('struct', [('Start', 'time'), ('End', 'time')], 26)), ('ContactInfo', 'string'), ('ReportID', 'string'),
        ('Policies', ('list', TLS_RESULT))], 27))]},
    'dmarceval.db': {
        'Evaluation': [('ID', 'int64'), ('PolicyDomain', 'string'), ('Evaluated', 'time'), ('Optional', 'bool'), ('IntervalHours', 'int'), ('Addresses', 'strings'),
                       ('PolicyPublished', POLICY), ('SourceIP', 'string'), ('Disposition', 'string'), ('AlignedDKIMPass', 'bool'), ('AlignedSPFPass', 'bool'),
                       ('OverrideReasons', ('list', REASON)), ('EnvelopeTo', 'string'), ('EnvelopeFrom', 'string'), ('HeaderFrom', 'string'),
                       ('DKIMResults', ('list', DKIM)), ('SPFResults', ('list', SPF))],
        'SuppressAddress': [('ID', 'int64'), ('Inserted', 'time'), ('ReportingAddress', 'string'), ('Until', 'time'), ('Comment', 'string')]},
    'tlsrptresult.db': {
        'TLSResult': [('ID', 'int64'), ('PolicyDomain', 'string'), ('DayUTC', 'string'), ('RecipientDomain', 'string'), ('Created', 'time'), ('Updated', 'time'),
                      ('IsHost', 'bool'), ('SendReport', 'bool'), ('SentToRecipientDomain', 'bool'), ('RecipientDomainReportingAddresses', 'strings'),
                      ('SentToPolicyDomain', 'bool'), ('Results', ('list', TLS_RESULT))],
        'TLSRPTSuppressAddress': [('ID', 'int64'), ('Inserted', 'time'), ('ReportingAddress', 'string'), ('Until', 'time'), ('Comment', 'string')]},
    'auth.db': {
        'TLSPublicKey': [('Fingerprint', 'string'), ('Created', 'time'), ('Type', 'string'), ('Name', 'string'), ('NoIMAPPreauth', 'bool'), ('CertDER', 'bytes'),
                         ('Account', 'string'), ('LoginAddress', 'string')],
        'LoginAttempt': [('Key', 'bytes'), ('Last', 'time'), ('First', 'time'), ('Count', 'int64'), ('AccountName', 'string')] + [
            (n, 'string') for n in ('LoginAddress', 'RemoteIP', 'LocalIP', 'TLS', 'TLSPubKeyFingerprint', 'Protocol', 'UserAgent', 'AuthMech', 'Result')]},
}
ACCOUNT = {
    'Recipient': [('ID', 'int64'), ('MessageID', 'int64'), ('Localpart', 'string'), ('Domain', 'string'), ('OrgDomain', 'string'), ('Sent', 'time')],
    'Outgoing': [('ID', 'int64'), ('Recipient', 'string'), ('Submitted', 'time')],
    'Subjectpass': [('Email', 'string'), ('Key', 'string')],
    'Annotation': [('ID', 'int64'), ('MailboxID', 'int64'), ('Key', 'string'), ('IsString', 'bool'), ('Value', 'bytes'), ('Expunged', 'bool')],
    'Settings': [('ID', 'uint8'), ('Signature', 'string'), ('ShowAddressSecurity', 'bool')],
}


def more_tables(more):
    return {name.encode(): table([ACCOUNT[name]], [(0, r) for r in records]) for name, records in more.items()}


def write_server(dir, name, files=None, **records):
    """A database that belongs to no account, with the files of messages beside it."""
    path = os.path.join(dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(Bolt().write({kind.encode(): table([fields], [(0, r) for r in records.get(kind, ())]) for kind, fields in SERVER[name].items()}))
    for n, body in (files or {}).items():
        path = os.path.join(dir, 'queue', message_path(n))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(body)


PASSWORD, PASSWORD_HASH = 'upstream password', '$2a$10$abcdefghijklmnopqrstuuitd2M25RJn.ugfVWRNoCV0ICYvjMUwa'
FLAGS = ['Seen', 'Answered', 'Flagged', 'Forwarded', 'Junk', 'Notjunk', 'Deleted', 'Draft', 'Phishing', 'MDNSent']
MAILBOX = [('ID', 'int64'), ('Name', 'string'), ('UIDValidity', 'uint32'), ('UIDNext', 'uint32'), ('Archive', 'bool'), ('Draft', 'bool'),
           ('Junk', 'bool'), ('Sent', 'bool'), ('Trash', 'bool'), ('Keywords', 'strings'), ('HaveCounts', 'bool'), ('Total', 'int64'), ('Size', 'int64')]
MESSAGE = [('ID', 'int64'), ('UID', 'uint32'), ('MailboxID', 'int64'), ('ModSeq', 'int64'), ('CreateSeq', 'int64'), ('Expunged', 'bool'),
           ('IsReject', 'bool'), ('Received', 'time'), ('RemoteIP', 'string'), ('EHLODomain', 'string'), ('MailFrom', 'string'),
           ('EHLOValidation', 'uint8'), ('DKIMDomains', 'strings'), ('MessageHash', 'bytes')] + [(f, 'bool') for f in FLAGS] + [
           ('Keywords', 'strings'), ('Size', 'int64'), ('TrainedJunk', 'boolptr'), ('MsgPrefix', 'bytes'), ('ParsedBuf', 'bytes')]
# A later version: fields came, and one went.
MESSAGE2 = MESSAGE[:5] + [('Odd', 'flagmap'), ('Pair', 'pair')] + [f for f in MESSAGE[5:] if f[0] != 'IsReject'] + [('Preview', 'string')]


# How a message came: fields of the last version.
MESSAGE3 = MESSAGE + [(n, 'bool') for n in ('EHLOValidated', 'MailFromValidated', 'MsgFromValidated', 'IsForward')] + [
    (n, 'string') for n in ('MailFromLocalpart', 'MailFromDomain', 'MsgFromLocalpart', 'MsgFromDomain', 'MsgFromOrgDomain')] + [
    ('MailboxOrigID', 'int64'), ('MailboxDestinedID', 'int64')]


def message_path(n):
    digits = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_'
    v, name = n >> 13, ''
    while not name or v:
        name += digits[v & 63]
        v >>= 6
    return os.path.join('msg', name, str(n))


def tables(mailboxes, messages, subscriptions, last_modseq, next_uidvalidity, password_hash=PASSWORD_HASH, **more):
    """messages: dicts of fields; those with 'Pair' are of the second version, with 'MailboxOrigID' of the third."""
    return {
        **more_tables(more),
        b'Mailbox': table([MAILBOX], [(0, m) for m in mailboxes]),
        b'Message': table([MESSAGE, MESSAGE2, MESSAGE3], [(1 if 'Pair' in m else 2 if 'MailboxOrigID' in m else 0, m) for m in messages]),
        b'Subscription': table([[('Name', 'string')]], [(0, {'Name': s}) for s in subscriptions]),
        b'NextUIDValidity': table([[('ID', 'int'), ('Next', 'uint32')]], [(0, {'ID': 1, 'Next': next_uidvalidity})]),
        b'SyncState': table([[('ID', 'int'), ('LastModSeq', 'int64'), ('HighestDeletedModSeq', 'int64')]],
                            [(0, {'ID': 1, 'LastModSeq': last_modseq, 'HighestDeletedModSeq': -1})]),
        b'Password': table([[('Hash', 'string')]], [(0, {'Hash': password_hash})]),
    }


def sample(n=300):
    """Mailboxes, messages with the bytes of their files, subscriptions: what the tests know of."""
    mailboxes = [{'ID': 1, 'Name': 'Inbox', 'UIDValidity': 1000, 'UIDNext': n + 50}, {'ID': 2, 'Name': 'Sent', 'UIDValidity': 1001, 'UIDNext': 7, 'Sent': True},
                 {'ID': 3, 'Name': 'Work', 'UIDValidity': 1002, 'UIDNext': 1}, {'ID': 4, 'Name': 'Work/Caf\u00e9', 'UIDValidity': 900, 'UIDNext': 5000,
                                                                                'Keywords': ['later', 'urgent']},
                 {'ID': 5, 'Name': 'Spam', 'UIDValidity': 1003, 'UIDNext': 9, 'Junk': True}]
    messages, files = [], {}
    day = int(datetime.datetime(2023, 5, 1, tzinfo=datetime.timezone.utc).timestamp())
    for i in range(1, n + 1):
        body = b'Subject: number %d\r\nFrom: a@b.example\r\nMessage-Id: <%d@up.example>\r\n\r\ntext %d\r\n' % (i, i, i)
        prefix = b'' if i % 3 else b'Received: by upstream; number %d\r\n' % i * (1 if i != 30 else 400)
        m = {'ID': i if i < n else 600000 + i, 'UID': i, 'MailboxID': 1, 'ModSeq': i, 'CreateSeq': i, 'Received': day + i, 'Size': len(prefix) + len(body),
             'MsgPrefix': prefix, 'MailFrom': 'a@b.example', 'ParsedBuf': b'{"x":1}' * (i % 50), 'DKIMDomains': ['b.example', 'x.example']}
        if i % 2 == 0:
            m['Seen'] = True
        if i % 5 == 0:
            m.update(Flagged=True, Keywords=['later', 'urgent'], TrainedJunk=False)
        if i % 7 == 0:
            m.update(Pair=(1, -5), Odd=['a', 'b'], Preview='text')
        if i % 11 == 0:
            m['MailboxID'], m['UID'] = 4, 4000 + i
        if i == 12:
            m['MailboxID'], m['UID'], m['Seen'] = 2, 6, True
        if i == 13:
            m['MailboxID'], m['UID'], m['Junk'] = 5, 8, True
        if i % 17 == 0:
            m = {'ID': m['ID'], 'UID': m['UID'], 'MailboxID': m['MailboxID'], 'ModSeq': 900, 'CreateSeq': i, 'Expunged': True}
        else:
            files[m['ID']] = body
        messages.append(m)
    # Moved back and forth: the highest id has the lowest number.
    messages[0]['UID'], messages[n - 2]['UID'] = n + 10, 1
    return mailboxes, messages, files, ['Inbox', 'Sent', 'Work/Caf\u00e9', 'Gone']


def write(dir, account, index, files):
    """An account below a data directory."""
    own = os.path.join(dir, 'accounts', account)
    os.makedirs(own)
    with open(own + '/index.db', 'wb') as f:
        f.write(index)
    for n, body in files.items():
        path = os.path.join(own, message_path(n))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(body)
