"""
README.md: its tour is run as it is printed, and must print what it says; its links lead somewhere.
"""
from docs import *

@test
def the_tour_prints_what_the_readme_says():
    home = tempfile.mkdtemp(prefix='mox-readme-')
    dir = os.path.join(home, '.config', 'mox-localserve')
    s = Server(dir=dir).start()
    shell = Shell(dict(os.environ, HOME=home, XDG_CONFIG_HOME=''))

    def here(text):
        # The same server, on this test's address, and this test's program.
        text = re.sub(r'localhost:(\d{4})', s.ip + r':\1', text)
        return text.replace('build/mox ', MOX + ' ').replace('/tmp/answer', os.path.join(home, 'answer'))

    try:
        follow(os.path.join(ROOT, 'README.md'), shell, here)
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
    for name in ['README.md', 'ARCHITECTURE.md', 'HACKING.md', 'SECURITY.md'] + ['doc/' + n for n in os.listdir(ROOT + '/doc') if n.endswith('.md')]:
        text = open(os.path.join(ROOT, name), encoding='utf-8').read()
        for path in re.findall(r'`((?:src|sql|test|tools|doc)/[\w./-]+)`', text):
            if not os.path.exists(os.path.join(ROOT, path)):
                missing.append((name, path))
    assert not missing, missing


main('readme')
