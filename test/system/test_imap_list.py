"""IMAP commands about mailboxes: names, LIST in all forms, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE."""
from harness import *
from imap_client import append, session

def answers(w, command, verb='LIST'):
    return [l[len(verb) + 3:] for l in w.imap_cmd('x ' + command) if l.startswith('* %s ' % verb)]


@test
def list_extended():
    with running() as s:
        w = session(s)
        # RFC 5258 5: the mailboxes of its examples.
        for name in ('Fruit', 'Fruit/Apple', 'Fruit/Banana', 'Tofu', 'Vegetable', 'Vegetable/Broccoli',
                     'Vegetable/Corn', 'Foo', 'Foo/Bar', 'Foo/Baz', 'Moo'):
            w.write('a CREATE %s\r\n' % name)
            w.imap_until('a')
        for name in ('Archive', 'Drafts', 'Junk', 'Sent', 'Trash', 'Fruit', 'Fruit/Apple', 'Tofu', 'Vegetable',
                     'Vegetable/Corn', 'Foo', 'Foo/Bar', 'Moo'):
            w.imap_cmd('a UNSUBSCRIBE ' + name)
        w.imap_cmd('a SUBSCRIBE Fruit/Peach')
        w.imap_cmd('a SUBSCRIBE Lost/Deep/Er')
        assert answers(w, 'LIST (SUBSCRIBED) "" "*"') == [
            '(\\Subscribed \\HasNoChildren) "/" Foo/Baz', '(\\Subscribed \\HasNoChildren) "/" Fruit/Banana',
            '(\\NonExistent \\Subscribed) "/" Fruit/Peach', '(\\Subscribed \\HasNoChildren) "/" Inbox',
            '(\\NonExistent \\Subscribed) "/" Lost/Deep/Er',
            '(\\Subscribed \\HasNoChildren) "/" Vegetable/Broccoli']
        # Children that match the pattern are in the answer themselves; "%" hides them, parents stand for them.
        assert answers(w, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "*"') == [
            l for l in answers(w, 'LIST (SUBSCRIBED) "" "*"')]
        assert answers(w, 'LIST (RECURSIVEMATCH SUBSCRIBED) "" "%"') == [
            '(\\HasChildren) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))',
            '(\\HasChildren) "/" Fruit ("CHILDINFO" ("SUBSCRIBED"))',
            '(\\Subscribed \\HasNoChildren) "/" Inbox', '(\\NonExistent) "/" Lost ("CHILDINFO" ("SUBSCRIBED"))',
            '(\\HasChildren) "/" Vegetable ("CHILDINFO" ("SUBSCRIBED"))']
        assert answers(w, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "Foo"') == [
            '(\\HasChildren) "/" Foo ("CHILDINFO" ("SUBSCRIBED"))']
        assert answers(w, 'LIST (SUBSCRIBED REMOTE) "" "Fr*"') == answers(w, 'LIST (SUBSCRIBED) "" "Fr*"')
        # Return options name no other mailboxes.
        assert answers(w, 'LIST "" "F%" RETURN (SUBSCRIBED CHILDREN)') == [
            '(\\HasChildren) "/" Foo', '(\\HasChildren) "/" Fruit']
        assert answers(w, 'LIST "" ("Foo/%" "Vegetable/%" "Foo/Ba*") RETURN (SUBSCRIBED)') == [
            '(\\HasNoChildren) "/" Foo/Bar', '(\\Subscribed \\HasNoChildren) "/" Foo/Baz',
            '(\\Subscribed \\HasNoChildren) "/" Vegetable/Broccoli', '(\\HasNoChildren) "/" Vegetable/Corn']
        for bad in ('(RECURSIVEMATCH) "" *', '(REMOTE RECURSIVEMATCH) "" *', '(FOO) "" *', '"" * RETURN (FOO)',
                    '"" * RETURN', '"" ()', '"" * FOO', '"" * RETURN (STATUS)', '"" * RETURN (STATUS ())',
                    '"" * RETURN (STATUS (FOO))', '(SUBSCRIBED', '() "" * x'):
            w.imap_cmd('b LIST ' + bad, 'BAD')
        assert len(answers(w, 'LIST () "" * RETURN ()')) == len(answers(w, 'LIST "" *'))
        assert len(answers(w, 'LIST (SUBSCRIBED SUBSCRIBED) "" *')) == 6
        # The separator; with extended syntax an empty pattern is a pattern.
        assert answers(w, 'LIST "" ""') == ['() "/" ""']
        assert answers(w, 'LIST "foo" ""') == ['() "/" ""']
        assert answers(w, 'LIST "" ("")') == []
        # Special use, alone and with parents.
        assert answers(w, 'LIST (SPECIAL-USE) "" *') == [
            '(\\HasNoChildren \\Archive) "/" Archive', '(\\HasNoChildren \\Drafts) "/" Drafts',
            '(\\HasNoChildren \\Junk) "/" Junk', '(\\HasNoChildren \\Sent) "/" Sent',
            '(\\HasNoChildren \\Trash) "/" Trash']
        w.imap_cmd('c CREATE Moo/Out (USE (\\Sent))')
        assert answers(w, 'LIST (SPECIAL-USE RECURSIVEMATCH) "" M%') == [
            '(\\HasChildren) "/" Moo ("CHILDINFO" ("SPECIAL-USE"))']
        assert '(\\HasNoChildren) "/" Sent' in answers(w, 'LIST "" Sent')  # it has moved
        assert answers(w, 'LIST (SUBSCRIBED SPECIAL-USE) "" * RETURN (SPECIAL-USE)') == [
            '(\\Subscribed \\HasNoChildren \\Sent) "/" Moo/Out']
        # LSUB: a parent stands for what "%" hides.
        assert answers(w, 'LSUB "" %', 'LSUB') == [
            '(\\NoSelect) "/" Foo', '(\\NoSelect) "/" Fruit', '() "/" Inbox', '(\\NoSelect) "/" Lost',
            '(\\NoSelect) "/" Moo', '(\\NoSelect) "/" Vegetable']
        assert answers(w, 'LSUB "" L*', 'LSUB') == ['() "/" Lost/Deep/Er']
        w.imap_cmd('d LSUB (SUBSCRIBED) "" *', 'BAD')
        # Reference and pattern are a path.
        assert answers(w, 'LIST Foo %') == answers(w, 'LIST "" Foo/%') == answers(w, 'LIST Foo/ %')
        assert answers(w, 'LIST "" /%') == [] and answers(w, 'LIST / %') == []
        assert answers(w, 'LIST "" iNBoX') == ['(\\HasNoChildren) "/" Inbox']
        assert w.imap_cmd('e NAMESPACE')[0] == '* NAMESPACE (("" "/")) NIL NIL'


@test
def status_and_list_status():
    w = session()
    for box in ('st', 'st/b'):
        w.imap_cmd('a CREATE ' + box)
    append(w, 'st', 2)
    append(w, 'st', 1, '\\Seen \\Deleted')
    line = w.imap_cmd('b STATUS st (messages UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE RECENT HIGHESTMODSEQ)')[0]
    assert re.fullmatch(r'\* STATUS st \(MESSAGES 3 UIDNEXT 4 UIDVALIDITY \d+ UNSEEN 2 DELETED 1 SIZE 135 RECENT 0 '
                        r'HIGHESTMODSEQ \d+\)', line), line
    lines = [l for l in w.imap_cmd('c LIST "" st* RETURN (STATUS (MESSAGES SIZE) SUBSCRIBED)') if l[0] == '*']
    assert lines == ['* LIST (\\Subscribed \\HasChildren) "/" st', '* STATUS st (MESSAGES 3 SIZE 135)',
                     '* LIST (\\Subscribed \\HasNoChildren) "/" st/b', '* STATUS st/b (MESSAGES 0 SIZE 0)'], lines
    # Neither for what does not exist nor for a parent that only stands for others (RFC 5819 2).
    w.imap_cmd('d SUBSCRIBE st/ghost')
    w.imap_cmd('d UNSUBSCRIBE st')
    lines = w.imap_cmd('e LIST (SUBSCRIBED RECURSIVEMATCH) "" (st st/ghost) RETURN (STATUS (MESSAGES))')
    assert not [l for l in lines if 'STATUS' in l], lines
    w.imap_cmd('f UNSUBSCRIBE st/ghost')
    for bad in ('st', 'st ()', 'st (FOO)', 'st MESSAGES', 'st (MESSAGES) x', '(MESSAGES)'):
        w.imap_cmd('g STATUS ' + bad, 'BAD')
    assert '[NONEXISTENT]' in w.imap_cmd('h STATUS nothing (MESSAGES)', 'NO')[-1]
    # The selected one, too; and it stays selected.
    w.imap_cmd('i SELECT st')
    w.imap_cmd('j STATUS st (MESSAGES)')
    w.imap_cmd('k FETCH 1 FLAGS')
    w.imap_cmd('l CLOSE')  # removes what is marked \Deleted
    assert w.imap_cmd('m STATUS st (MESSAGES DELETED)')[0] == '* STATUS st (MESSAGES 2 DELETED 0)'
    for box in ('st/b', 'st'):
        w.imap_cmd('n DELETE ' + box)


@test
def create_delete_rename():
    w = session()
    w.imap_cmd('a CREATE a/b/c/')
    assert '[ALREADYEXISTS]' in w.imap_cmd('b CREATE a/b', 'NO')[-1]
    w.imap_cmd('c CREATE INBOX', 'NO')
    assert '[HASCHILDREN]' in w.imap_cmd('d DELETE a', 'NO')[-1]
    w.imap_cmd('e DELETE inbox', 'NO')
    assert '[NONEXISTENT]' in w.imap_cmd('f DELETE nothing', 'NO')[-1]
    for use, code in (('(USE (\\All))', 'NO'), ('(USE (\\Sent \\Trash))', 'NO'), ('(FOO)', 'BAD'), ('(USE \\Sent)', 'BAD'),
                      ('USE (\\Sent)', 'BAD'), ('(USE (\\Sent)) x', 'BAD')):
        last = w.imap_cmd('g CREATE use ' + use, code)[-1]
        assert code == 'BAD' or '[USEATTR]' in last
    w.imap_cmd('g STATUS use (MESSAGES)', 'NO')
    # A deleted name that comes back is another mailbox.
    append(w, 'a/b/c', 3)
    one = w.imap_cmd('h STATUS a/b/c (UIDVALIDITY)')[0]
    w.imap_cmd('i DELETE a/b/c')
    w.imap_cmd('j CREATE a/b/c')
    assert w.imap_cmd('k STATUS a/b/c (UIDVALIDITY MESSAGES)')[0] != one
    # Children move along, with their messages and uidvalidity; parents of the new name are made.
    append(w, 'a/b/c', 2)
    one = w.imap_cmd('l STATUS a/b/c (MESSAGES UIDVALIDITY UIDNEXT)')[0].split(' ', 3)[3]
    w.imap_cmd('m RENAME a/b new/parent/b')
    assert w.imap_cmd('n STATUS new/parent/b/c (MESSAGES UIDVALIDITY UIDNEXT)')[0].split(' ', 3)[3] == one
    assert [l.split()[-1] for l in answers(w, 'LIST "" new*')] == ['new', 'new/parent', 'new/parent/b', 'new/parent/b/c']
    # Subscriptions stay with the old names; parents that were made are not subscribed.
    assert [l.split()[-1] for l in answers(w, 'LIST (SUBSCRIBED) "" (new* a*)')] == ['a', 'a/b', 'a/b/c']
    assert '[ALREADYEXISTS]' in w.imap_cmd('o RENAME new a', 'NO')[-1]
    assert '[NONEXISTENT]' in w.imap_cmd('p RENAME nothing x', 'NO')[-1]
    w.imap_cmd('q RENAME new new/below', 'NO')
    w.imap_cmd('r RENAME new Inbox', 'NO')
    w.imap_cmd('s RENAME new', 'BAD')
    # From Inbox only the messages go; its children stay.
    w.imap_cmd('t CREATE Inbox/child')
    append(w, 'Inbox', 3)
    n = int(re.search(r'MESSAGES (\d+)', w.imap_cmd('u STATUS Inbox (MESSAGES)')[0]).group(1))
    w.imap_cmd('v RENAME INBOX moved/away')
    assert '(MESSAGES 0)' in w.imap_cmd('w STATUS inbox (MESSAGES)')[0]
    assert '(MESSAGES %d)' % n in w.imap_cmd('x STATUS moved/away (MESSAGES)')[0]
    assert answers(w, 'LIST "" inbox/%') == ['(\\HasNoChildren) "/" Inbox/child']
    # Selected by two: the other one sees it emptied.
    for name in ('Inbox/child', 'new/parent/b/c', 'new/parent/b', 'new/parent', 'new', 'moved/away', 'moved', 'a'):
        w.imap_cmd('y DELETE ' + name)


@test
def names_that_must_not_be():
    w = session()
    long = 'n' * 501
    for name in ('..', '.', 'a/../b', 'a//b', '/', '"/a"', '""', '#x', 'a/.', long, 'x/' * 300 + 'x', '"a\x7fb"',
                 '"a\x01b"', '&AAA-', '&AIA-', '&ICg-', '"' + 'x' * 255 + '/' + 'y' * 255 + '"'):
        last = w.imap_cmd('a CREATE ' + name, 'NO')[-1]
        assert '[CANNOT]' in last or name == '/', (name, last)
        assert w.imap_cmd('b SELECT ' + name, 'NO')[-1].startswith('b NO [NONEXISTENT]')
        w.imap_cmd('c STATUS %s (MESSAGES)' % name, 'NO')
        w.imap_cmd('d DELETE ' + name, 'NO')
        w.imap_cmd('e RENAME Sent ' + name, 'NO')
        w.imap_cmd('f SUBSCRIBE ' + name, 'NO')
    # A NUL cannot even be said; nor bytes that are no UTF-8.
    for name in (b'{3+}\r\na\0b', b'"a\0b"', b'{2+}\r\n\xff\xfe', b'{1+}\r\n\xc3'):
        w.write(b'g CREATE ' + name + b'\r\n')
        assert w.imap_until('g')[-1].split()[1] in ('BAD', 'NO')
    # Not in normal form.
    w.write(b'h CREATE {3+}\r\ne\xcc\x81\r\n')
    assert w.imap_until('h')[-1].startswith('h NO')
    # As long as may be, and no directory of that name is made anywhere.
    w.imap_cmd('i CREATE ' + 'm' * 500)
    w.imap_cmd('j DELETE ' + 'm' * 500)


@test
def encodings_of_names():
    w, v = session(), session(enable='UTF8=ACCEPT')
    w.imap_cmd('a CREATE Gr&APwA3w-e')  # Gr\u00fc\u00dfe
    assert answers(w, 'LIST "" Gr*') == ['(\\HasNoChildren) "/" Gr&APwA3w-e']
    # News of mailboxes wait while mailboxes are listed.
    assert answers(v, 'LIST "" "Gr%"') == ['(\\HasNoChildren) "/" "Gr\u00fc\u00dfe"']
    assert answers(v, 'NOOP') == ['(\\Subscribed) "/" "Gr\u00fc\u00dfe"']
    assert answers(v, 'LIST "" "Gr\u00fc*"') == ['(\\HasNoChildren) "/" "Gr\u00fc\u00dfe"']
    assert '"Gr\u00fc\u00dfe"' in v.imap_cmd('b STATUS "Gr\u00fc\u00dfe" (MESSAGES)')[0]
    assert '* LIST () "/" "Gr\u00fc\u00dfe"' in v.imap_cmd('c SELECT "Gr\u00fc\u00dfe"')
    # With UTF-8 enabled "&" is a letter like any other.
    v.imap_cmd('d SELECT "Gr&APwA3w-e"', 'NO')
    v.imap_cmd('e CREATE "a&b"')
    assert answers(w, 'LIST "" a*b') == ['(\\HasNoChildren) "/" a&-b']
    w.imap_cmd('f DELETE a&-b')
    # Malformed: not closed, not canonical, half a surrogate, base64 of ASCII. Taken as it stands or refused, never
    # as another name.
    for bad in ('a&', 'a&A', 'a&AGE-', 'a&2D3-', 'a&AOQ', 'a&AOQA-', '&!-', '&AOQ-&AOQ-x&'):
        w.write('g CREATE %s\r\n' % bad)
        if w.imap_until('g')[-1].startswith('g OK'):
            got = answers(w, 'LIST "" *')
            w.imap_cmd('h DELETE ' + bad)
            assert got != answers(w, 'LIST "" *')
    w.imap_cmd('i DELETE Gr&APwA3w-e')
    # With a quote and a backslash.
    v.imap_cmd('j CREATE "q\\"b\\\\s"')
    assert answers(v, 'LIST "" "q*"') == ['(\\HasNoChildren) "/" "q\\"b\\\\s"']
    v.imap_cmd('k DELETE "q\\"b\\\\s"')


@test
def wildcards_do_not_explode():
    w = session()
    w.imap_cmd('a CREATE ' + 'a' * 400)
    assert len(answers(w, 'LIST "" %s' % ('*' * 8000))) == len(answers(w, 'LIST "" *'))

    def seconds(n):
        pattern, account = 'a*' * n + 'b', server().pids('mox: account mox')
        start = cpu_seconds(*account)
        for _ in range(20):
            assert answers(w, 'LIST "" ' + pattern) == []
        return cpu_seconds(*account) - start
    seconds(10)
    small, large = seconds(100), seconds(200)
    assert large < 6 * small + 0.5, (small, large)
    assert answers(w, 'LIST "" (%s)' % ' '.join(['*a*a*a*a*b'] * 900)) == []
    w.imap_cmd('b LIST "" (%s)' % ' '.join(['x'] * 1001), 'BAD')
    w.imap_cmd('c DELETE ' + 'a' * 400)


@test
def listing_is_linear():
    """Work per mailbox does not grow with their number."""
    def seconds(s, n):
        w = session(s)
        for i in range(n):
            w.write('a CREATE m%d/x\r\n' % i)
            w.imap_until('a')
        account = s.pids('mox: account mox')
        start = cpu_seconds(*account)
        for _ in range(5):
            assert len(answers(w, 'LIST (SUBSCRIBED RECURSIVEMATCH) "" "*"')) >= 2 * n
        return cpu_seconds(*account) - start
    with running() as s, running() as t:
        small, large = seconds(s, 150), seconds(t, 600)
        assert large < 4 * 3 * small + 0.5, (small, large)


@test
def id_and_capabilities():
    w = server().connect(IMAP)
    greeting = w.line()
    before = set(greeting[greeting.index('[') + 1:greeting.index(']')].split()[1:])
    assert before == set(w.imap_cmd('a CAPABILITY')[0].split()[2:])
    login = w.imap_cmd('b LOGIN %s %s' % (LOGIN, PASSWORD))[-1]
    after = set(login[login.index('[') + 1:login.index(']')].split()[1:])
    assert after == set(w.imap_cmd('c CAPABILITY')[0].split()[2:])
    # What is for the login alone goes with it; nothing else comes or goes.
    assert {c for c in before - after if not c.startswith('AUTH=')} <= {'STARTTLS', 'LOGINDISABLED', 'SASL-IR'}
    assert not after - before
    for name in ('IMAP4rev2', 'IMAP4rev1', 'QRESYNC', 'CONDSTORE', 'ENABLE', 'ESEARCH', 'SEARCHRES', 'LIST-EXTENDED',
                 'LIST-STATUS', 'MOVE', 'UIDPLUS', 'UNSELECT', 'SPECIAL-USE', 'CREATE-SPECIAL-USE', 'CHILDREN', 'ID',
                 'NAMESPACE', 'STATUS=SIZE', 'IDLE', 'LITERAL+', 'UTF8=ACCEPT'):
        assert name in after, name
    assert '"version"' in w.imap_cmd('d ID NIL')[0]
    w.imap_cmd('e ID ("name" "x" "os" NIL)')
    w.imap_cmd('f ID ()')
    for bad in ('', ' ("name")', ' ("a" "b" "A" "c")', ' (a b)', ' NIL x', ' ("a" "b"', ' (%s)' % ' '.join(
            '"n%d" "x"' % i for i in range(31)), ' ("%s" "x")' % ('n' * 31), ' ("x" "%s")' % ('v' * 1025)):
        w.imap_cmd('g ID' + bad, 'BAD')


main('imap_list')
