"""What a server costs: processor time and memory of all its processes; and the table of results."""
import os
import statistics

TICK = os.sysconf('SC_CLK_TCK')


def tree(roots):
    """Process ids of processes and all below them."""
    children = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open('/proc/%s/stat' % pid) as f:
                children.setdefault(int(f.read().rsplit(')', 1)[1].split()[1]), []).append(int(pid))
        except OSError:
            pass  # it has ended
    out, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        out.append(pid)
        todo += children.get(pid, [])
    return out


def cpu_seconds(roots):
    """Of the living, and of their children that have ended and were waited for."""
    total = 0
    for pid in tree(roots):
        try:
            with open('/proc/%d/stat' % pid) as f:
                total += sum(int(x) for x in f.read().rsplit(')', 1)[1].split()[11:15])
        except OSError:
            pass
    return total / TICK


def pss_kib(roots):
    total = 0
    for pid in tree(roots):
        try:
            with open('/proc/%d/smaps_rollup' % pid) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
        except OSError:
            pass
    return total


def number(x):
    return '%.0f' % x if x >= 100 else '%.1f' % x if x >= 10 else '%.2f' % x


def spread(values):
    text = number(statistics.median(values))
    return text if len(values) == 1 else '%s (%s-%s)' % (text, number(min(values)), number(max(values)))


def verdict(ours, theirs, is_high_better):
    """Ahead: our worst beats the other's median. Behind: our median does not even do that."""
    theirs = statistics.median(theirs)
    beats = (lambda x: x > theirs) if is_high_better else (lambda x: x < theirs)
    if all(map(beats, ours)):
        return 'ahead'
    return 'even' if beats(statistics.median(ours)) else 'BEHIND'


def print_row(title, unit, is_high_better, ours, theirs):
    a, b = statistics.median(ours), statistics.median(theirs)
    ratio = (a / b if is_high_better else b / a) if a and b else 0
    print('%-62s %-22s %-22s %7.2f  %s' % (title + ', ' + unit, spread(ours), spread(theirs), ratio,
                                            verdict(ours, theirs, is_high_better)), flush=True)
