"""
Several IMAP clients issue random commands at once on shared mailboxes, while mail arrives over SMTP.
Each keeps a model of the mailbox from what it was told; in the end all models, and all that was kept for
QRESYNC, agree with a fresh SELECT.

usage: check_clients.py [--parked] [seed [seeds]]: so many seeds (5), from this one on (1). --parked has
all clients park themselves between two rounds, which takes longer. With CHECKER_LOG=path the whole
conversation of a client that failed goes to path.seed.
"""
import os
import random
import sys
import threading
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'system'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import *
from strict import Client, Violation

CLIENTS, STEPS, MOST_MESSAGES = 6, 60, 60
FLAGS = ['\\Seen', '\\Flagged', '\\Answered', '\\Draft', '\\Deleted', '$Work', 'later', '$Junk']


class World:
    """What all clients of a seed share: the mailboxes, and what is known of the messages in them."""

    def __init__(self, server, seed, before=None):
        self.server, self.seed = server, seed
        self.boxes = ['s%da' % seed, 's%db' % seed, 'INBOX']
        self.lock = threading.Lock()
        # INBOX is the same for all seeds of a server.
        self.content = before.content if before else {}  # (mailbox, uidvalidity, uid) -> id of the message
        self.doomed = before.doomed if before else set()  # such keys that were marked as deleted or moved
        self.copies = []      # (from, to) of such keys
        self.n_ids = 0
        self.accepted = {}    # id -> mailbox of messages that the server took
        self.failure = None

    def new_message(self, rng):
        with self.lock:
            self.n_ids += 1
            ident = 's%dn%d' % (self.seed, self.n_ids)
        return ident, (('Subject: %s\r\nFrom: <a@example.org>\r\nMessage-Id: <%s@example.org>\r\n\r\n'
                        % (ident, ident)).encode() + b'line\r\n' * rng.randrange(200))

    def is_content(self, key, ident):
        with self.lock:
            was = self.content.setdefault(key, ident)
        if was != ident:
            raise Violation('%s is %s, and was %s' % (key, ident, was))

    def dooms(self, box, uids):
        with self.lock:
            self.doomed |= {(box.name, box.uidvalidity, uid) for uid in uids}

    def is_copied(self, box, to, uidvalidity, pairs, is_move):
        for source, target in pairs:
            with self.lock:
                a, b = (box.name, box.uidvalidity, source), (to, uidvalidity, target)
                ident = self.content.get(a)
                self.copies.append((a, b))
                if is_move:
                    self.doomed.add(a)
            if ident:
                self.is_content(b, ident)


    def doom_copies(self):
        """A copy of what is marked as deleted is so too."""
        n = -1
        while n != len(self.doomed):
            n = len(self.doomed)
            self.doomed |= {b for a, b in self.copies if a in self.doomed}


def uid_text(uids):
    """As a set, in pieces as they are."""
    return ','.join(str(u) for u in sorted(uids)) if uids else '4294967294'


class Walker:
    """One client and its random walk."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.rng = random.Random('%d-%d' % (world.seed, number))
        self.name = 'client %d' % number
        self.kept = {}
        self.c = None

    # --- connecting ----------------------------------------------------------------------------------

    def connect(self):
        rng, old = self.rng, self.c
        is_tls = rng.random() < 0.3
        self.c = c = Client(self.name, self.world.server.ip, IMAPS if is_tls else IMAP, is_tls)
        if old:
            c.history.extendleft(reversed(old.history))
            c.cache, c.status = old.cache, old.status
        c.login(LOGIN, PASSWORD)
        if 'COMPRESS=DEFLATE' in c.capabilities and rng.random() < 0.3:
            c.compress()
        if 'IMAP4rev2' in c.capabilities and rng.random() < 0.3:
            c.enable('IMAP4rev2')
        kind = self.number % 3
        if kind == 1 and 'CONDSTORE' in c.capabilities:
            c.enable('CONDSTORE')
        if kind == 2 and 'QRESYNC' in c.capabilities:
            c.enable('QRESYNC')
        self.select()

    def select(self):
        c, rng = self.c, self.rng
        name = rng.choice(self.world.boxes)
        verb = 'EXAMINE' if rng.random() < 0.1 else 'SELECT'
        params, known = '', None
        c.remember()
        if 'QRESYNC' in c.enabled and name in c.cache and rng.random() < 0.8:
            known = c.cache[name]
            params, known = self.qresync(known)
        elif 'CONDSTORE' in c.capabilities and rng.random() < 0.2:
            params = ' (CONDSTORE)'
        c.select(name, verb, params, known)
        if known is None:
            self.fetch_all()

    def qresync(self, cached):
        uidvalidity, highest, rows = cached
        more, uids = '', sorted(rows)
        if uids and self.rng.random() < 0.5:
            more = ' 1:%d' % (uids[-1] + 1000)
            if self.rng.random() < 0.5:
                # Some of what it believes of sequence numbers (RFC 7162 3.2.5.2).
                at = sorted(self.rng.sample(range(len(uids)), min(len(uids), 3)))
                more += ' (%s %s)' % (','.join(str(i + 1) for i in at), ','.join(str(uids[i]) for i in at))
        return ' (QRESYNC (%d %d%s))' % (uidvalidity, highest, more), cached

    def fetch_all(self):
        c = self.c
        if c.box and c.box.messages:
            c.run('FETCH 1:* (UID FLAGS%s)' % (' MODSEQ' if c.has_condstore else ''))

    # --- what there is to do -------------------------------------------------------------------------

    def some(self):
        """A few messages: sequence numbers."""
        n = len(self.c.box.messages)
        if not n:
            return []
        if self.rng.random() < 0.3:
            a, b = self.rng.randint(1, n), self.rng.randint(1, n)
            return list(range(min(a, b), max(a, b) + 1))
        return sorted(self.rng.sample(range(1, n + 1), min(n, self.rng.choice((1, 1, 2, 3, 8)))))

    def chosen(self):
        """A set, whether it is of uids, and the messages it names."""
        c, rng = self.c, self.rng
        c.hear_unasked()
        numbers = self.some()
        messages = [c.box.messages[n - 1] for n in numbers]
        # Numbers could change while a command that may expunge is running (RFC 9051 5.5).
        if not numbers or ((rng.random() < 0.6 or c.pending) and all(m.uid for m in messages)):
            uids = {m.uid for m in messages}
            if rng.random() < 0.2:
                uids |= {rng.randint(1, 300)}
                messages += [m for m in c.box.messages if m.uid in uids and m not in messages]
            return uid_text(uids), True, messages
        return uid_text(numbers), False, messages

    def store(self, is_started=False):
        c, rng = self.c, self.rng
        text, is_uid, messages = self.chosen()
        op = rng.choice(('+', '-', ''))
        flags = rng.sample(FLAGS, rng.choice((1, 1, 2)))
        lower = frozenset(f.lower() for f in flags)
        change = {'+': lambda f: f | lower, '-': lambda f: f - lower, '': lambda f: lower}[op]
        unchanged, silent = '', None
        if 'CONDSTORE' in c.capabilities and rng.random() < 0.3:
            seqs = [m.modseq for m in messages if m.modseq] or [1]
            unchanged = ' (UNCHANGEDSINCE %d)' % (rng.choice(seqs) if rng.random() < 0.5 else max(seqs))
        facts = {'change': change}
        if rng.random() < 0.5:
            silent = '.SILENT'
            facts['silent'] = {m: [] for m in messages}
        if op != '-' and '\\deleted' in lower:
            self.world.dooms(c.box, [m.uid for m in messages])
        line = '%sSTORE %s%s %sFLAGS%s (%s)' % ('UID ' if is_uid else '', text, unchanged, op,
                                               silent or '', ' '.join(flags))
        cmd = c.start(line, **facts)
        if is_started:
            return cmd
        c.finish(cmd, ('OK', 'NO'))
        # RFC 5530: some of the messages may have been expunged meanwhile.
        gone = cmd.status == 'NO' and cmd.code and cmd.code.startswith((b'EXPUNGEISSUED', b'MODIFIED'))
        if not gone and c.box.is_read_only != (cmd.status == 'NO'):
            raise Violation('STORE answered %s [%s] %s' % (cmd.status, cmd.code, cmd.text))
        c.has_condstore |= bool(unchanged) and cmd.status == 'OK'

    def fetch(self, is_started=False):
        c, rng = self.c, self.rng
        text, is_uid, messages = self.chosen()
        # A body would set \Seen; PEEK does not.
        what = rng.choice(('FLAGS', '(UID FLAGS)', '(FLAGS INTERNALDATE RFC822.SIZE)', '(ENVELOPE UID)',
                           '(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])', '(UID BODY.PEEK[])',
                           '(BODYSTRUCTURE UID)', 'BODY[TEXT]', '(UID MODSEQ FLAGS)'))
        if 'MODSEQ' in what and 'CONDSTORE' not in c.capabilities:
            what = 'FLAGS'
        if what == 'BODY[TEXT]' and c.box.is_read_only:
            what = 'FLAGS'
        changed, earlier = '', False
        if 'CONDSTORE' in c.capabilities and what != 'BODY[TEXT]' and rng.random() < 0.2:
            changed = ' (CHANGEDSINCE %d)' % max(1, c.box.highest - rng.randrange(20))
            if is_uid and 'QRESYNC' in c.enabled and rng.random() < 0.5:
                earlier = True
                changed = changed[:-1] + ' VANISHED)'
        cmd = c.start('%sFETCH %s %s%s' % ('UID ' if is_uid else '', text, what, changed),
                      may_hear_earlier=earlier)
        if is_started:
            return cmd
        box = c.box
        c.finish(cmd)
        c.has_condstore |= bool(changed) or 'MODSEQ' in what
        self.fetched(box, cmd)

    def fetched(self, box, cmd):
        for _, items in cmd.fetched:
            header = items.get(b'BODY[HEADER.FIELDS (SUBJECT)]') or items.get(b'BODY[]')
            m = header and re.match(rb'Subject: (\S+)\r\n', header)
            envelope = items.get(b'ENVELOPE')
            ident = m.group(1) if m else envelope[1] if envelope else None
            if ident and items.get(b'UID'):
                self.world.is_content((box.name, box.uidvalidity, items[b'UID']), ident.decode())

    def search(self):
        c, rng = self.c, self.rng
        is_uid = rng.random() < 0.5
        key = rng.choice(('ALL', 'UNSEEN', 'DELETED', 'KEYWORD $Work', 'NOT FLAGGED', '1:*', 'UID 1:*',
                          'SUBJECT s', 'OR SEEN DELETED', 'LARGER 500'))
        if key == '1:*' and not c.box.messages:
            key = 'ALL'
        if 'CONDSTORE' in c.capabilities and rng.random() < 0.1:
            key += ' MODSEQ %d' % max(1, c.box.highest - 5)
        how = rng.choice(('', '', 'RETURN (ALL) ', 'RETURN (MIN MAX COUNT ALL) ', 'RETURN (SAVE) ', 'RETURN (COUNT) '))
        before = [m.uid for m in c.box.messages] if is_uid else None
        cmd = c.run('%sSEARCH %s%s' % ('UID ' if is_uid else '', how, key))
        c.has_condstore |= 'MODSEQ' in key
        if key == 'ALL' and not how and isinstance(cmd.search, list) and before and None not in before:
            lost = set(before) & set(c.box.uids()) - set(cmd.search)
            if lost:
                raise Violation('SEARCH ALL did not find %s' % lost)
        if 'SAVE' in how and rng.random() < 0.7:
            c.run('%sFETCH $ (UID FLAGS)' % ('UID ' if is_uid else ''))

    def copy(self):
        c, rng = self.c, self.rng
        text, is_uid, messages = self.chosen()
        to = rng.choice([b for b in self.world.boxes if b != c.box.name])
        is_move = rng.random() < 0.5 and not c.box.is_read_only
        verb = 'MOVE' if is_move else 'COPY'
        if not is_move and len(self.c.box.messages) > MOST_MESSAGES:
            return self.expunge()
        box = c.box
        if is_move:
            self.world.dooms(box, [m.uid for m in messages])
        cmd = c.run('%s%s %s %s' % ('UID ' if is_uid else '', verb, text, to), ('OK', 'NO'))
        rest = getattr(cmd, 'moved', None)
        if cmd.code and cmd.code.startswith(b'COPYUID '):
            rest = cmd.code[8:]
        if cmd.status != 'OK':
            return
        if not rest:
            if messages and not is_uid:
                raise Violation('%s without COPYUID' % verb)
            return
        uidvalidity, source, target = rest.split(b' ')
        source, target = (ordered_set(x) for x in (source, target))
        if len(source) != len(target):
            raise Violation('COPYUID %r' % rest)
        self.world.is_copied(box, to, int(uidvalidity), zip(source, target), is_move)

    def expunge(self):
        c, rng = self.c, self.rng
        if c.box.is_read_only:
            return self.noop()
        uids = [m.uid for m in c.box.messages if m.uid]
        if rng.random() < 0.4 and uids:
            c.run('UID EXPUNGE %s' % uid_text(set(rng.sample(uids, rng.randint(1, len(uids))))))
        else:
            c.run('EXPUNGE')

    def append(self):
        c, rng, world = self.c, self.rng, self.world
        to = rng.choice(world.boxes)
        new = [world.new_message(rng)]
        if 'MULTIAPPEND' in c.capabilities and rng.random() < 0.4:
            new += [world.new_message(rng) for _ in range(rng.randint(1, 4))]
        flags = [rng.sample(FLAGS, rng.choice((0, 0, 1, 2))) for _ in new]
        if c.box and len(c.box.messages) > MOST_MESSAGES:
            return self.copy()
        cmd = c.append(to, [(f, body) for f, (_, body) in zip(flags, new)], rng.random() < 0.5)
        word, uidvalidity, uids = cmd.code.split(b' ')
        uids = ordered_set(uids)
        if word != b'APPENDUID' or len(uids) != len(new):
            raise Violation('APPEND of %d answered [%s]' % (len(new), cmd.code))
        for (ident, _), f, uid in zip(new, flags, uids):
            key = (to, int(uidvalidity), uid)
            with world.lock:
                world.accepted[ident] = to
                if '\\Deleted' in f:
                    world.doomed.add(key)
            world.is_content(key, ident)

    def deliver(self):
        ident, _ = self.world.new_message(self.rng)
        self.world.server.send(subject=ident, to='mox@localhost')
        with self.world.lock:
            self.world.accepted[ident] = 'INBOX'

    def noop(self):
        self.c.run(self.rng.choice(('NOOP', 'NOOP', 'CHECK')))

    def idle(self):
        c = self.c
        cmd = c.idle_begin()
        c.idle_hear(self.rng.random() * 0.2)
        c.idle_end(cmd)

    def status(self):
        c = self.c
        others = [b for b in self.world.boxes if b != c.box.name]
        items = ['MESSAGES', 'UIDNEXT', 'UIDVALIDITY', 'UNSEEN', 'SIZE']
        if c.has_condstore:
            items.append('HIGHESTMODSEQ')
        c.run('STATUS %s (%s)' % (self.rng.choice(others), ' '.join(items)))

    def reselect(self):
        c, rng = self.c, self.rng
        way = rng.random()
        if way < 0.2:
            c.run('CLOSE')
        elif way < 0.4:
            c.run('UNSELECT')
        self.select()

    def reconnect(self):
        c, rng = self.c, self.rng
        if rng.random() < 0.5:
            # In the middle of something; what it did is told to the next connection.
            for _ in range(rng.randint(1, 3)):
                c.hear_unasked()
                if c.pending and not all(m.uid for m in c.box.messages):
                    break
                if not c.box.is_read_only and rng.random() < 0.5:
                    self.store(is_started=True)
                else:
                    self.fetch(is_started=True)
            if rng.random() < 0.5:
                c.handle(c.response())
            c.drop()
        else:
            c.remember()
            c.run('LOGOUT')
            c.drop()
        self.connect()

    def pipelined(self):
        """Commands with uids may be sent at once (RFC 9051 5.5)."""
        c, rng = self.c, self.rng
        uids = [m.uid for m in c.box.messages if m.uid]
        if c.box.is_read_only or not uids:
            return
        cmds = []
        for _ in range(rng.randint(2, 4)):
            text = uid_text(set(rng.sample(uids, rng.randint(1, min(4, len(uids))))))
            line = rng.choice(('UID FETCH %s (FLAGS)' % text, 'UID STORE %s +FLAGS (later)' % text,
                               'UID STORE %s -FLAGS (later)' % text, 'NOOP', 'UID SEARCH ALL'))
            cmds.append(c.start(line))
        for cmd in cmds:
            c.finish(cmd)

    # --- the walk ------------------------------------------------------------------------------------

    def step(self):
        action = self.rng.choices(
            (self.store, self.fetch, self.search, self.copy, self.expunge, self.append, self.deliver,
             self.noop, self.idle, self.status, self.reselect, self.reconnect, self.pipelined),
            (24, 14, 8, 8, 8, 12, 4, 6, 4, 3, 6, 3, 5))[0]
        action()

    def guard(self, fn):
        """Runs fn and keeps the first failure of the world, with what this client said and heard."""
        try:
            fn()
        except Exception as e:
            with self.world.lock:
                if not self.world.failure:
                    lines = list(self.c.history)[-60:] if self.c else []
                    if self.c and os.environ.get('CHECKER_LOG'):  # all that it said and heard
                        with open('%s.%d' % (os.environ['CHECKER_LOG'], self.world.seed), 'w') as f:
                            f.write('\n'.join(self.c.history))
                    model = self.c and self.c.box and self.c.box.messages
                    self.world.failure = '%s (enabled %s): %s\n%s\nmodel %s\n%s' % (
                        self.name, self.c and sorted(self.c.enabled), e, '\n'.join(lines), model,
                        '' if isinstance(e, Violation) else traceback.format_exc())

    def walk(self, steps):
        def go():
            if not self.c:
                self.connect()
            for _ in range(steps):
                if self.world.failure:
                    return
                self.step()
        self.guard(go)


def ordered_set(text):
    """Of a uid-set in the order in which it is written."""
    out = []
    for part in text.split(b','):
        a, _, b = part.partition(b':')
        out += range(int(a), int(b or a) + 1)
    return out


def at_once(walkers, fn):
    threads = [threading.Thread(target=fn, args=(w,)) for w in walkers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# --- the end of a seed --------------------------------------------------------------------------------

def fresh_look(world, number, modseq):
    """Every mailbox as a new client sees it: name -> (uidvalidity, {uid: Message})."""
    w = Walker(world, number)
    w.c = c = Client('fresh client', world.server.ip, IMAP)
    out = {}

    def look():
        c.login(LOGIN, PASSWORD)
        for name in world.boxes:
            c.select(name, 'EXAMINE', ' (CONDSTORE)' if modseq else '')
            if c.box.messages:
                cmd = c.run('UID FETCH 1:* (UID FLAGS%s BODY.PEEK[HEADER.FIELDS (SUBJECT)])' % (' MODSEQ' if modseq else ''))
                if len(cmd.fetched) != len(c.box.messages):
                    raise Violation('%d of %d fetched' % (len(cmd.fetched), len(c.box.messages)))
                w.fetched(c.box, cmd)
            if modseq and any(m.modseq > c.box.highest for m in c.box.messages):
                raise Violation('a MODSEQ above HIGHESTMODSEQ')
            out[name] = (c.box.uidvalidity, {m.uid: m for m in c.box.messages})
            w.c.run('NOOP')
        c.run('LOGOUT')
    w.guard(look)
    return out


def differs(messages, truth, has_modseq):
    """What a model has wrong, or ''."""
    wrong = []
    uids = [m.uid for m in messages]
    want = sorted(truth)
    if len(uids) != len(want):
        wrong.append('has %d messages, there are %d: too many %s, missing %s' % (
            len(uids), len(want), set(uids) - set(want), set(want) - set(uids)))
    else:
        for m, uid in zip(messages, want):
            t = truth[uid]
            if m.uid not in (None, uid):
                wrong.append('UID %s is %d' % (m.uid, uid))
            elif m.flags not in (None, t.flags):
                wrong.append('flags of %s are %s (%s)' % (m, sorted(t.flags), t.modseq))
            elif has_modseq and m.modseq not in (None, t.modseq):
                wrong.append('MODSEQ of %s is %s' % (m, t.modseq))
    return '; '.join(wrong)


def compare(world, walkers):
    counts = {'messages': 0, 'unknown': 0, 'resumed': 0}
    plain = fresh_look(world, 1000, False)
    if world.failure:
        return counts
    truth = fresh_look(world, 1001, True)
    if world.failure:
        return counts

    def check(w):
        c = w.c
        c.run('NOOP')
        _, rows = truth[c.box.name]
        counts['messages'] += len(rows)
        counts['unknown'] += sum(m.flags is None for m in c.box.messages)
        wrong = differs(c.box.messages, rows, c.has_condstore)
        wrong = wrong or differs(c.box.messages, plain[c.box.name][1], False)
        if wrong:
            raise Violation('in the end %s: %s' % (c.box.name, wrong))
        for key, has in (('ALL', lambda f: True), ('UNSEEN', lambda f: '\\seen' not in f),
                         ('DELETED', lambda f: '\\deleted' in f), ('KEYWORD later', lambda f: 'later' in f)):
            found = c.run('UID SEARCH ' + key).search
            if isinstance(found, dict):
                found = found.get('ALL', [])
            want = {uid for uid, m in rows.items() if has(m.flags)}
            if set(found) != want:
                raise Violation('UID SEARCH %s: %s, not %s' % (key, found, sorted(want)))
        # What it kept of other mailboxes is brought up to date by QRESYNC.
        c.remember()
        for name in sorted(c.cache) if 'QRESYNC' in c.enabled else ():
            params, known = w.qresync(c.cache[name])
            c.select(name, 'SELECT', params, known)
            counts['resumed'] += 1
            wrong = differs(c.box.messages, truth[name][1], True)
            if wrong:
                raise Violation('after QRESYNC %s: %s' % (name, wrong))

    for w in walkers:
        w.guard(lambda: check(w))
    Walker.guard(walkers[0], lambda: nothing_lost(world, truth))
    return counts


def nothing_lost(world, truth):
    """What was accepted is there, unless somebody may have removed it."""
    present = {(name, uidvalidity, uid) for name, (uidvalidity, rows) in truth.items() for uid in rows}
    ids = {world.content.get(k) for k in present}
    world.doom_copies()
    explained = {world.content.get(k) for k in world.doomed}
    unexplained = len([k for k in world.doomed if k not in world.content])
    missing = [i for i in world.accepted if i not in ids and i not in explained]
    if len(missing) > unexplained:
        raise Violation('accepted and gone: %s' % missing)
    lost = [k for k in world.content if k[0] in world.boxes and k not in present and k not in world.doomed]
    if lost:
        raise Violation('not deleted and gone: %s' % sorted(lost))


def run_seed(world, is_parked):
    server, seed = world.server, world.seed
    w = Client('setup', server.ip, IMAP)
    w.login(LOGIN, PASSWORD)
    rng = random.Random(seed)
    for name in world.boxes[:2]:
        w.run('CREATE ' + name)
        for _ in range(12):
            ident, body = world.new_message(rng)
            uid = int(w.append(name, [((), body)], False).code.split()[2])
            world.accepted[ident] = name
    w.run('LOGOUT')
    walkers = [Walker(world, i) for i in range(CLIENTS)]
    at_once(walkers, lambda x: x.walk(STEPS))
    if is_parked and not world.failure:
        parked_round(world, walkers)
    counts = {}
    # Commands of connections that were dropped are done whenever their turn comes.
    wait_idle(server.pids('mox: front') + server.pids('mox: account mox'))
    if not world.failure:
        counts = compare(world, walkers)
    for w in walkers:
        if w.c:
            w.c.sock.close()
    return world.failure, counts


def parked_round(world, walkers):
    """All idle until they are parked; then one goes on, the parked ones hear of it, and come back."""
    server = world.server
    before = server.log_text().count('connection parked')
    idles = {}
    for w in walkers:
        w.guard(lambda: idles.update({w: w.c.idle_begin()}))
    deadline = time.monotonic() + WAIT
    # A compressed connection stays: nobody else could go on with its dictionary.
    n = sum(not w.c.deflate for w in walkers)
    while server.log_text().count('connection parked') < before + n:
        if time.monotonic() > deadline:
            world.failure = 'the clients are not parked'
            return
        for w in walkers:
            w.guard(lambda: w.c.idle_hear(0.05))
    other = Walker(world, 7)
    other.walk(STEPS)
    # A parked one comes back while the other goes on.
    threads = [threading.Thread(target=other.walk, args=(STEPS,))]
    threads[0].start()

    def back(w):
        w.guard(lambda: w.c.idle_end(idles[w]))
        w.walk(STEPS // 4)
    at_once(walkers, back)
    threads[0].join()
    if not world.failure:
        walkers.append(other)


def checker(seeds, is_parked=False):
    failed = 0
    with running() as server:
        world = None
        for seed in seeds:
            world = World(server, seed, world)
            name = 'seed_%d%s' % (seed, '_parked' if is_parked else '')
            failure, counts = run_seed(world, is_parked)
            if failure:
                failed += 1
                print('FAIL checker %s' % name, flush=True)
                print('seed %d: %s' % (seed, failure), flush=True)
            else:
                print('PASS checker %s' % name, flush=True)
                print('seed %d: %s' % (seed, counts), flush=True)
    return failed


if __name__ == '__main__':
    args = [a for a in sys.argv[1:] if a != '--parked']
    first = int(args[0]) if args else 1
    count = int(args[1]) if len(args) > 1 else 5
    sys.exit(1 if checker(range(first, first + count), '--parked' in sys.argv) else 0)
