"""Documents whose console blocks are run as they are printed."""
import re

from harness import *


def steps_of(path):
    """(command, lines that it prints) of the fenced console blocks, in order."""
    steps = []
    with open(path, encoding='utf-8') as f:
        text = f.read()
    for block in re.findall(r'^```console\n(.*?)^```$', text, re.M | re.S):
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

    def __init__(self, env, cwd=ROOT):
        self.p = subprocess.Popen(['bash'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, env=env, cwd=cwd)

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


def follow(path, shell, here=lambda text: text):
    """Runs the document; `here` puts this test's names in the place of the document's."""
    steps = steps_of(path)
    assert steps, path
    for command, lines in steps:
        want, deadline = pattern([here(l) for l in lines]), time.monotonic() + WAIT
        while True:  # what the queue delivers comes a moment later
            got = shell.run(here(command))
            if want.fullmatch(got):
                break
            assert time.monotonic() < deadline, 'command: %s\nprints:\n%s\n%s:\n%s' % (
                command, got, os.path.basename(path), '\n'.join(lines))
            time.sleep(0.1)
