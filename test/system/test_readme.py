"""
README.md: its tour is run as it is printed, and must print what it says; its links lead somewhere.
"""
from harness import *

README = os.path.join(ROOT, 'README.md')


def tour():
    """(command, lines that it prints) of the fenced console blocks, in order."""
    steps = []
    for block in re.findall(r'^```console\n(.*?)^```$', open(README, encoding='utf-8').read(), re.M | re.S):
        for line in block.splitlines():
            if line.startswith('$ '):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def pattern(lines):
    """Lines with "..." for any text in a line, or, alone, for any lines."""
    out = ''
    for line in lines:
        if line == '...':
            out += r'(?:.*\n)*?'
        else:
            out += r'.*(?:\n.*)*?'.join(re.escape(p) for p in line.split('...')) + r'\n'
    return re.compile(out + r'\s*')


class Shell:
    """One bash, so that what a command exports counts for the next, as for the reader."""

    def __init__(self, env):
        self.p = subprocess.Popen(['bash'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, env=env, cwd=ROOT)

    def run(self, command):
        self.p.stdin.write('{ %s\n} < /dev/null; echo; echo end-of-command\n' % command)
        self.p.stdin.flush()
        lines = []
        for line in self.p.stdout:
            if line == 'end-of-command\n':
                break
            lines.append(line)
        return ''.join(lines).replace('\r', '')

    def close(self):
        self.p.stdin.close()
        self.p.wait(WAIT)


@test
def the_tour_prints_what_the_readme_says():
    home = tempfile.mkdtemp(prefix='mox-readme-')
    dir = os.path.join(home, '.config', 'mox-localserve')
    steps = tour()
    assert len(steps) >= 12, steps
    s = Server(dir=dir).start()
    shell = Shell(dict(os.environ, HOME=home, XDG_CONFIG_HOME=''))

    def here(text):
        # The same server, on this test's address, and this test's program.
        text = re.sub(r'localhost:(\d{4})', s.ip + r':\1', text)
        return text.replace('build/mox ', MOX + ' ').replace('/tmp/answer', os.path.join(home, 'answer'))

    try:
        for command, lines in steps:
            want, deadline = pattern([here(l) for l in lines]), time.monotonic() + WAIT
            while True:  # what the queue delivers comes a moment later
                got = shell.run(here(command))
                if want.fullmatch(got):
                    break
                assert time.monotonic() < deadline, 'command: %s\nprints:\n%s\nREADME:\n%s' % (
                    command, got, '\n'.join(lines))
                time.sleep(0.1)
        assert s.process.wait(WAIT) == 0
    finally:
        shell.close()
        s.close()
        shutil.rmtree(home, ignore_errors=True)


@test
def every_link_leads_somewhere():
    for folder, _, names in os.walk(ROOT):
        if '/build' in folder or '/.git' in folder or '/test/vectors' in folder:
            continue
        for name in names:
            if not name.endswith('.md'):
                continue
            path = os.path.join(folder, name)
            for link in re.findall(r'\]\(([^)#\s]+)[^)]*\)', open(path, encoding='utf-8').read()):
                assert '://' in link or os.path.exists(os.path.join(folder, link)), (path, link)


@test
def files_that_documents_name_are_there():
    """What stands in backquotes and looks like a file of the repository is one."""
    missing = []
    for name in ('README.md', 'ARCHITECTURE.md', 'HACKING.md', 'SECURITY.md', 'doc/store.md', 'doc/ipc.md'):
        text = open(os.path.join(ROOT, name), encoding='utf-8').read()
        for path in re.findall(r'`((?:src|sql|test|tools|doc)/[\w./-]+)`', text):
            if not os.path.exists(os.path.join(ROOT, path)):
                missing.append((name, path))
    assert not missing, missing


main('readme')
