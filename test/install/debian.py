"""A Debian in a directory of its own, made with debootstrap; its network is this machine's."""
import atexit
import hashlib

from harness import *

BUILD = os.environ.get('BUILD', os.path.join(ROOT, 'build'))
CALM = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive', 'LC_ALL': 'C'}
_started = time.monotonic()
_fresh = []


def say(text):
    """Progress, with the minutes and seconds since the start."""
    seconds = int(time.monotonic() - _started)
    print('# %d:%02d %s' % (seconds // 60, seconds % 60, text), flush=True)


def fresh_root():
    """What debootstrap makes, once for all tests; a directory that it has made already may be named: CHROOT=directory."""
    if os.environ.get('CHROOT'):
        return os.environ['CHROOT']
    if not _fresh:
        say('debootstrap')
        work = tempfile.mkdtemp(prefix='mox-debootstrap-')
        atexit.register(shutil.rmtree, work, ignore_errors=True)
        suite = run('sh', '-c', '. /etc/os-release; echo $VERSION_CODENAME').stdout.strip()
        log = os.path.join(work, 'log')
        with open(log, 'w') as f:
            r = subprocess.run(['debootstrap', '--variant=minbase', '--include=ca-certificates', suite, work + '/root'],
                               stdout=f, stderr=f)
        assert r.returncode == 0, open(log).read()[-3000:]
        _fresh.append(work + '/root')
    return _fresh[0]


def make_deb(directory, version=None):
    return run(os.path.join(ROOT, 'tools', 'make-deb'), BUILD, directory, *([version] if version else [])).stdout.strip()


class Debian:
    def __init__(self):
        self.work = tempfile.mkdtemp(prefix='mox-install-')
        os.chmod(self.work, 0o755)
        self.root = os.path.join(self.work, 'root')
        self.mounted = []

    def __enter__(self):
        run('cp', '-a', '--reflink=auto', fresh_root(), self.root)
        for path in ('/proc', '/dev'):
            self.share(path)
        with open(self.path('usr/sbin/policy-rc.d'), 'w') as f:
            f.write('#!/bin/sh\nexit 101\n')
        os.chmod(self.path('usr/sbin/policy-rc.d'), 0o755)
        shutil.copy('/etc/resolv.conf', self.path('etc/resolv.conf'))
        self.do('apt-get', 'update', '-q')
        return self

    def __exit__(self, *_):
        self.unshare()
        if not self.mounted:
            shutil.rmtree(self.work, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def share(self, path):
        """A directory of this machine is there under the same name."""
        os.makedirs(self.root + path, exist_ok=True)
        run('mount', '--bind', path, self.root + path)
        self.mounted.append(self.root + path)

    def unshare(self):
        """What cannot be unmounted stays in the list, and nothing is removed."""
        self.mounted = [path for path in reversed(self.mounted) if subprocess.run(['umount', path]).returncode]

    def argv(self, *argv, cwd='/'):
        return ['chroot', self.root, 'sh', '-c', 'cd "$0" && exec "$@"', cwd, *argv]

    def do(self, *argv, cwd='/', env={}, code=0):
        r = subprocess.run(self.argv(*argv, cwd=cwd), env=CALM | env, text=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        assert r.returncode == code, (argv, r.returncode, r.stdout[-3000:])
        return r.stdout

    def install(self, version=None):
        deb = make_deb(self.path('tmp'), version)
        return self.do('apt-get', 'install', '-y', '-q', '--no-install-recommends', '/tmp/' + os.path.basename(deb))

    def serve(self, log, env={}):
        """As the unit starts it."""
        return subprocess.Popen(self.argv('mox', 'serve', cwd='/var/lib/mox'), env=CALM | env, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log)

    def state(self):
        """Names and contents of the configuration."""
        found = {}
        for at, _, files in os.walk(self.path('var/lib/mox/config')):
            for f in files:
                with open(os.path.join(at, f), 'rb') as content:
                    found[os.path.join(at, f)] = hashlib.sha256(content.read()).hexdigest()
        return found
