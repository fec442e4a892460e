"""A Debian that has been started: its own kernel and systemd, in QEMU."""
import base64

from debian import *

AGENT = '''#!/bin/bash
# Lines are programs of the test, in base64; answers are their exit codes and output.
exec 3<> /dev/virtio-ports/test
echo "hello $(cat /proc/sys/kernel/random/boot_id)" >&3
while read -r -u 3 line; do
    out=$(bash -c "$(base64 -d <<< "$line")" 2>&1 < /dev/null 3>&- | base64 -w 0; exit ${PIPESTATUS[0]})
    echo "$? $out" >&3
done
'''
AGENT_UNIT = '''[Unit]
After=multi-user.target
[Service]
Environment=DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=/root
ExecStart=/usr/local/sbin/agent
[Install]
WantedBy=multi-user.target
'''
NETWORK = '''[Match]
Type=ether
[Network]
Address=10.0.2.15/24
'''
CPUS = {'amd64': ('qemu-system-x86_64', 'linux-image-cloud-amd64')}


def why_no_machine():
    arch = run('dpkg', '--print-architecture').stdout.strip()
    if arch not in CPUS:
        return 'no machine of the kind %s is known here' % arch
    if not shutil.which(CPUS[arch][0]):
        return '%s is not installed (tools/install-deps install)' % CPUS[arch][0]
    return ''


def accelerated():
    """Whether the CPU itself runs guests as they are; otherwise QEMU interprets them, which takes some times as long."""
    with open('/proc/cpuinfo') as f:
        has_flag = re.search(r'^flags\s.*\b(vmx|svm)\b', f.read(), re.M)
    return bool(has_flag) and os.access('/dev/kvm', os.R_OK | os.W_OK)


class Machine:
    """ports: those of it that are reached at the same ports of self.ip."""

    def __init__(self, debian, ports):
        self.debian, self.ports = debian, ports
        self.ip = free_ip()
        self.process, self.boot = None, None

    @staticmethod
    def prepare(debian):
        """What is needed to be one, besides what is tested."""
        arch = run('dpkg', '--print-architecture').stdout.strip()
        debian.do('apt-get', 'install', '-y', '-q', '--no-install-recommends', 'systemd-sysv', 'dbus', 'procps', CPUS[arch][1])
        debian.do('apt-get', 'clean')
        for path, text, mode in (('usr/local/sbin/agent', AGENT, 0o755), ('etc/systemd/system/agent.service', AGENT_UNIT, 0o644),
                                 ('etc/systemd/network/all.network', NETWORK, 0o644), ('etc/hostname', 'machine\n', 0o644),
                                 ('etc/resolv.conf', 'nameserver 127.0.0.1\n', 0o644), ('etc/apt/sources.list', '', 0o644)):
            with open(debian.path(path), 'w') as f:
                f.write(text)
            os.chmod(debian.path(path), mode)
        debian.do('systemctl', 'enable', '-q', 'agent', 'systemd-networkd', 'systemd-networkd-wait-online')
        debian.do('systemctl', 'mask', '-q', 'apt-daily.timer', 'apt-daily-upgrade.timer')
        os.unlink(debian.path('usr/sbin/policy-rc.d'))

    def __enter__(self):
        work = self.debian.work
        self.debian.unshare()
        run('mke2fs', '-q', '-t', 'ext4', '-d', self.debian.root, work + '/disk', '3G')
        self.console = work + '/console'
        arch = run('dpkg', '--print-architecture').stdout.strip()
        boot = {name.split('-')[0]: self.debian.path('boot/' + name) for name in os.listdir(self.debian.path('boot'))}
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(work + '/agent')
        listener.listen(1)
        listener.settimeout(WAIT)
        forwarded = ','.join('hostfwd=tcp:%s:%d-:%d' % (self.ip, p, p) for p in self.ports)
        say('started, with KVM' if accelerated() else 'started, with a CPU that QEMU interprets: this machine lets no other run')
        self.process = subprocess.Popen(
            [CPUS[arch][0], *(['-accel', 'kvm', '-cpu', 'host'] if accelerated() else ['-accel', 'tcg,thread=multi', '-cpu', 'max']),
             '-smp', '2', '-m', '1024', '-nodefaults', '-display', 'none', '-serial', 'file:' + self.console,
             '-kernel', boot['vmlinuz'], '-initrd', boot['initrd.img'], '-append', 'root=/dev/vda rw console=ttyS0 quiet',
             '-drive', 'file=%s/disk,format=raw,if=virtio,cache=unsafe' % work, '-device', 'virtio-rng-pci',
             '-device', 'virtio-serial', '-chardev', 'socket,id=agent,path=%s/agent' % work,
             '-device', 'virtserialport,chardev=agent,name=test',
             '-netdev', 'user,id=net,restrict=on,' + forwarded, '-device', 'virtio-net-pci,netdev=net'], stdin=subprocess.DEVNULL)
        try:
            self.sock, _ = listener.accept()
            listener.close()
            self.sock.settimeout(10 * WAIT)
            self.f = self.sock.makefile('rw')
            self.booted()
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, failure=None, *_):
        if failure:
            print(open(self.console, errors='replace').read()[-1000:])
            try:
                self.sock.settimeout(WAIT)
                print(self.do('journalctl -b -q -n 60 -o short-monotonic -u mox', code=None))
            except (OSError, ValueError, AttributeError) as e:
                print('the machine says no more: %s' % e)
        self.process.kill()
        self.process.wait(WAIT)

    def booted(self):
        """Until it has started, and not the same as before."""
        old = self.boot
        while not (line := self.f.readline()).startswith('hello ') or line == old:
            assert line, 'the machine has ended'
        self.boot = line

    def do(self, program, code=0):
        """A program for its shell; gives the output."""
        self.f.write(base64.b64encode(program.encode()).decode() + '\n')
        self.f.flush()
        answer, _, out = self.f.readline().partition(' ')
        out = base64.b64decode(out).decode('utf-8', 'replace')
        assert code is None or int(answer) == code, (program, answer, out[-3000:])
        return out

    def write(self, path, text):
        self.do("base64 -d <<< '%s' > '%s'" % (base64.b64encode(text.encode()).decode(), path))

    def reboot(self):
        self.do('systemctl --no-block reboot')
        self.booted()

    def power_off(self):
        self.do('systemctl --no-block poweroff')
        assert self.process.wait(2 * WAIT) == 0
