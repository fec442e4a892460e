"""The junk filter: what it learns from flags and moves over IMAP, and the junk commands."""
import select
import sqlite3

from harness import *
from imap_client import append, session


def learnt(s):
    """Ham and spam messages learnt, bytes of words, and messages that are due."""
    db = sqlite3.connect('file:%s/data/accounts/mox/account.db?mode=ro' % s.dir, uri=True, timeout=WAIT)
    try:
        return db.execute('SELECT ham, spam, (SELECT total(length(words)) FROM junk_page), (SELECT count(*) FROM junk_due) '
                          'FROM junk_state').fetchone()
    finally:
        db.close()


def wait_learnt(s, ham, spam):
    deadline = time.monotonic() + WAIT
    while True:
        now = learnt(s)
        if now[:2] == (ham, spam) and now[3] == 0:
            return now
        assert time.monotonic() < deadline, now
        time.sleep(0.02)


def flags_of(w, box):
    w.imap_cmd('x SELECT %s' % box)
    return [l for l in w.imap_cmd('y FETCH 1:* FLAGS') if l.startswith('* ')]


@test
def flags_are_learnt_and_undone():
    with running() as s:
        w = session(s)
        append(w, 'Inbox', 3)
        assert learnt(s) == (0, 0, 0, 0)
        w.imap_cmd('a SELECT Inbox')
        w.imap_cmd('b STORE 1 +FLAGS ($Junk)')
        w.imap_cmd('c STORE 2:3 +FLAGS ($NotJunk)')
        assert wait_learnt(s, 2, 1)[2] > 5
        w.imap_cmd('d STORE 1 FLAGS ($NotJunk)')
        wait_learnt(s, 3, 0)
        w.imap_cmd('e STORE 2 +FLAGS ($Junk)')  # both say nothing
        wait_learnt(s, 2, 0)
        w.imap_cmd('f STORE 1:* FLAGS (\\Deleted)')
        assert wait_learnt(s, 0, 0)[2] == 0
        w.imap_cmd('g STORE 1:* FLAGS ($Junk \\Deleted)')
        wait_learnt(s, 0, 3)
        w.imap_cmd('h EXPUNGE')
        assert wait_learnt(s, 0, 0)[2] == 0


@test
def mailboxes_set_flags():
    with running() as s:
        w = session(s)
        append(w, 'Inbox', 4)
        w.imap_cmd('a SELECT Inbox')
        w.imap_cmd('b COPY 1 Junk')      # special use
        w.imap_cmd('c CREATE Spammy')
        w.imap_cmd('d MOVE 2 Spammy')    # the pattern for junk, in lower case
        w.imap_cmd('e CREATE Fruit')
        w.imap_cmd('f COPY 1 Fruit')     # named by no pattern
        w.imap_cmd('g COPY 1 Archive')   # the pattern for what is not junk
        for box, flags in (('Junk', '($Junk)'), ('Spammy', '($Junk)'), ('Fruit', '()'), ('Archive', '($NotJunk)')):
            lines = flags_of(w, box)
            assert len(lines) == 1 and 'FLAGS ' + flags in lines[0], (box, lines)
        # The first email has a copy that says junk and one that says the contrary: that teaches nothing.
        wait_learnt(s, 0, 1)


@test
def a_store_of_many_is_learnt_afterwards():
    with running() as s:
        w = session(s)
        append(w, 'Inbox', 1000)
        w.imap_cmd('a SELECT Inbox')
        w.imap_cmd('b STORE 1:* +FLAGS.SILENT ($Junk)')
        s.stop()  # whatever is not learnt by now is due
        ham, spam, _, due = learnt(s)
        assert ham == 0 and spam + due == 1000, (spam, due)
        s.start()
        w = session(s)
        w.imap_cmd('a NOOP')
        wait_learnt(s, 0, 1000)
        run(MOX, 'verifydata', os.path.join(s.dir, 'data'))


@test
def other_settings_learn_again():
    change = [('JunkFilter:\n', 'JunkFilter:\n\t\t\tMethod: words\n')]
    with running() as s:
        w = session(s)
        append(w, 'Inbox', 5)
        w.imap_cmd('a SELECT Inbox')
        w.imap_cmd('b STORE 1:* +FLAGS.SILENT ($Junk)')
        before = wait_learnt(s, 0, 5)
        s.stop()
        path = os.path.join(s.dir, 'domains.conf')
        text = open(path).read()
        for old, new in change:
            assert old in text
            text = text.replace(old, new)
        open(path, 'w').write(text)
        s.start()
        session(s).imap_cmd('a NOOP')
        assert 0 < wait_learnt(s, 0, 5)[2] < before[2]


@test
def retrain():
    with running() as s:
        w = session(s)
        append(w, 'Inbox', 5)
        w.imap_cmd('a SELECT Inbox')
        w.imap_cmd('b STORE 1:* +FLAGS.SILENT ($Junk)')
        words = wait_learnt(s, 0, 5)[2]
        # Damage that only learning anew repairs.
        db = sqlite3.connect('%s/data/accounts/mox/account.db' % s.dir, timeout=WAIT)
        with db:
            db.execute('DELETE FROM junk_page')
        db.close()
        code, _, errors = s.command('retrain', 'mox')
        assert code == 0, errors
        # As many words under another key: how they lie in a page differs a little.
        assert abs(wait_learnt(s, 0, 5)[2] - words) < words / 10
        code, _, errors = s.command('retrain', 'nobody')
        assert code == 1 and 'no such account' in errors, errors


@test
def retrain_hears_of_the_end_of_the_account():
    with running() as s:
        w = session(s)
        w.imap_cmd('a SELECT Inbox')
        account = s.pids('mox: account mox')[0]
        os.kill(account, signal.SIGSTOP)
        # One of two is told at once that the other waits; so that one has reached the account.
        asked = [subprocess.Popen([s.mox, '-config', os.path.join(s.dir, 'mox.conf'), 'retrain', 'mox'], stderr=subprocess.PIPE, text=True,
                                  env=s.env)
                 for _ in range(2)]
        told = select.select([p.stderr for p in asked], [], [], WAIT)[0]
        assert len(told) == 1
        first = next(p for p in asked if p.stderr is told[0])
        other = asked[1 - asked.index(first)]
        assert 'already' in first.stderr.read() and first.wait(WAIT) == 1
        os.kill(account, signal.SIGKILL)
        assert other.wait(WAIT) == 1
        assert 'process ended' in other.stderr.read()


def corpus(dir):
    for kind, text in (('ham', 'meeting at noon about the harvest %d'), ('spam', 'buy cheap pills %d now!!!')):
        os.makedirs(os.path.join(dir, kind))
        for i in range(120):
            with open(os.path.join(dir, kind, str(i)), 'w') as f:
                f.write('From x@y Mon Jan  1 00:00:00 2024\nSubject: %s\nDate: Mon, 1 Jan 2024 00:%02d:%02d +0000\n\n%s\n' % (
                    text % i, i // 60, i % 60, text % i))


@test
def junk_commands():
    with tempfile.TemporaryDirectory() as dir:
        corpus(dir)

        def junk(*argv, ok=True):
            return subprocess.run([MOX, 'junk', *argv], cwd=dir, capture_output=True, text=True, timeout=WAIT)

        r = junk('check', 'ham/1')
        assert r.returncode == 1 and 'filter.db' in r.stderr, r
        r = junk('train', 'ham', 'spam')
        assert r.returncode == 0 and 'ham 120, spam 120' in r.stderr, r
        r = junk('check', 'ham/1')
        assert re.fullmatch(r'0\.\d{6}\n', r.stdout) and float(r.stdout) < 0.1, r
        assert float(junk('check', 'spam/1').stdout) > 0.9
        r = junk('test', 'ham', 'spam')
        assert r.stdout == ('total ham, ok 120, bad 0\ntotal spam, ok 120, bad 0\nspecificity: 1.000000\n'
                            'sensitivity: 1.000000\naccuracy: 1.000000\n'), r
        for words in ((), ('-one-grams', '-two-grams=false', '-rare-words', '2')):
            r = junk('analyze', *words, '-train-ratio', '0.5', 'ham', 'spam')
            assert r.stdout.startswith('total ham, ok 60, bad 0\ntotal spam, ok 60, bad 0\n'), r
            assert junk('analyze', *words, '-train-ratio', '0.5', 'ham', 'spam').stdout == r.stdout
        r = junk('play', 'ham', 'spam')
        assert r.stdout.startswith('total ham, ok 120, bad 0\ntotal spam, ok 11'), r  # the first cannot be known
        r = junk('check', '-one-grams', 'ham/1')
        assert r.returncode == 1 and 'other settings' in r.stderr, r
        r = junk('train', '-dbpath', 'few.db', 'ham', 'spam')
        os.makedirs(os.path.join(dir, 'one'))
        os.rename(os.path.join(dir, 'ham/1'), os.path.join(dir, 'one/1'))
        junk('train', '-dbpath', 'one.db', 'one', 'one')
        assert junk('check', '-dbpath', 'one.db', 'one/1').stdout.endswith(', not significant\n')
        assert junk('test', '-max-power', '2', 'ham', 'spam').returncode == 2
        assert junk('test', 'ham').returncode == 2
        r = junk('train', '-bloompath', 'filter.bloom', 'ham', 'spam')
        assert r.returncode == 2 and 'no bloom filter' in r.stderr, r


@test
def quality():
    """On the corpus, far below what test/junk/quality measures: nothing has become much worse."""
    corpus = os.path.join(os.environ.get('MOX_SHARED', os.path.join(ROOT, '..', 'shared')), 'vectors', 'spam')
    if not os.path.isdir(corpus):
        return
    dirs = [os.path.join(corpus, kind) for kind in ('ham', 'spam')]
    for flags, ratio, rate, misses in (((), 0.8, 0.005, 0.02), ((), 0.2, 0.005, 0.03), (('-one-grams', '-two-grams=false', '-max-power', '0.01',
                                                                                         '-rare-words', '2'), 0.8, 0.01, 0.06)):
        out = run(MOX, 'junk', 'analyze', '-debug', '-train-ratio', str(ratio), *flags, *dirs).stdout
        scores = {kind: sorted(float(line.split()[1]) for line in out.split('\n') if line.startswith((kind + ' 0.', kind + ' 1.')))
                  for kind in ('ham', 'spam')}
        assert len(scores['ham']) >= 499 and len(scores['spam']) >= 99, out[-200:]
        threshold = scores['ham'][-1 - int(rate * len(scores['ham']))]
        missed = sum(s <= threshold for s in scores['spam']) / len(scores['spam'])
        assert missed <= misses, (flags, ratio, missed)
        assert sum(s > 0.95 for s in scores['ham']) <= 0.002 * len(scores['ham']), (flags, ratio)
        assert sum(s <= 0.95 for s in scores['spam']) <= 0.25 * len(scores['spam']), (flags, ratio)


main('junk')
