#!/usr/bin/env python3
"""Work that grows with its input grows no faster: build/mox-linear under callgrind, which counts instructions.

Each probe works on an input of n, 2n and 4n. What is linear takes twice the instructions for twice the input, or
less when a part of them is for all sizes the same; what is quadratic, towards four times. No time is measured.
"""
import os, re, subprocess, sys, tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AT_MOST = 2.3


def count():
    program = os.environ.get('MOX_LINEAR', TOP + '/build/mox-linear')
    with tempfile.TemporaryDirectory(prefix='mox-linear-') as d:
        os.mkdir(d + '/account')
        r = subprocess.run(['valgrind', '-q', '--tool=callgrind', f'--callgrind-out-file={d}/out', program],
                           cwd=d + '/account', capture_output=True, text=True)
        if r.returncode:
            sys.exit(f'FAIL linear run\n{r.stderr}{r.stdout}')
        counts = {}
        for name in os.listdir(d):
            if not name.startswith('out.'):
                continue
            text = open(f'{d}/{name}').read()
            trigger = re.search(r'^desc: Trigger: Client Request: (.*) (\d+)$', text, re.M)
            if trigger:
                total = re.search(r'^(?:totals|summary): (\d+)', text, re.M)
                counts.setdefault(trigger[1], {})[int(trigger[2])] = int(total[1])
        return counts


def main():
    counts = count()
    bad = 0
    for name, by_size in sorted(counts.items()):
        once, twice, four = (by_size.get(n, 0) for n in (1, 2, 4))
        is_ok = once > 0 and twice <= AT_MOST * once and four <= AT_MOST * twice
        bad += not is_ok
        print(f"{'PASS' if is_ok else 'FAIL'} linear {name}")
        print(f'     {once} instructions, then {twice / max(once, 1):.2f} and {four / max(twice, 1):.2f} times as many')
    if len(counts) < 30:
        print('FAIL linear only', len(counts), 'probes were counted')
        bad += 1
    sys.exit(bad != 0)


main()
