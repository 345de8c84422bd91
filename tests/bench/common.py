# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: fresh network namespaces, a weftd in one, costs of both sides, and tables of ratios. A cost is wall time and
CPU time, of the program and what it started; the kernel's own threads count for neither side."""
import ctypes
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUILD = Path(os.environ.get("WEFT_BUILD", Path(__file__).resolve().parents[2] / "build/release"))
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
count = iter(range(100000))


class Cost:
    def __init__(self, wall, cpu):
        self.wall, self.cpu = wall, cpu


def enter(name):
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def measure(argv, namespace=None, text=None):
    """Runs a program to its end; its wall and CPU time."""
    with tempfile.TemporaryFile("w+") as stdin:
        stdin.write(text or "")
        stdin.seek(0)
        start = time.monotonic()
        child = subprocess.Popen([str(a) for a in argv], stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 preexec_fn=(lambda: enter(namespace)) if namespace else None)
        words = child.stderr.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(str(a) for a in argv[:4])}: {words}")
    return Cost(wall, usage.ru_utime + usage.ru_stime)


def teardowns():
    """How many of the kernel's workers are taking network namespaces apart; they hold the lock that links need."""
    n = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = stat.read_text().split(" (", 1)
        except OSError:
            continue
        name, rest = rest.rsplit(") ", 1)
        n += name.startswith("kworker") and name.endswith("netns") and rest[0] != "I"
    return n


def wait_for_teardowns(longest=120):
    end, quiet = time.monotonic() + longest, 0
    while quiet < 5 and time.monotonic() < end:
        quiet = 0 if teardowns() else quiet + 1
        time.sleep(0.05)


class Namespace:
    """A fresh one, entered after the teardown of all others has ended."""

    def __enter__(self):
        wait_for_teardowns()
        self.name = f"weft-bench-{os.getpid()}-{next(count)}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=True)

    def batch(self, lines):
        return measure(["ip", "-batch", "-"], self.name, "\n".join(lines) + "\n")


class Weft:
    def __init__(self, namespace=None):
        """Without one: in the host's own network, where udev and what else the host has speak to it."""
        self.dir = tempfile.TemporaryDirectory(prefix="weft-bench-")
        self.root, self.namespace = Path(self.dir.name), namespace
        self.root.chmod(0o755)
        self.start()

    def start(self):
        """Returns the wall time until it answers."""
        begin = time.monotonic()
        log = open(self.root / "log", "a")
        self.daemon = subprocess.Popen([BUILD / "weftd", "--root", self.root], stdout=log, stderr=log,
                                       preexec_fn=(lambda: enter(self.namespace.name)) if self.namespace else None)
        while subprocess.run([*self.cli(), "status"], capture_output=True).returncode:
            if self.daemon.poll() is not None:
                sys.exit((self.root / "log").read_text())
            time.sleep(0.01)
        return time.monotonic() - begin

    def cli(self):
        return [BUILD / "weft", "--socket", self.root / "run/weft.sock"]

    def run(self, *argv):
        before = self.cpu()
        cost = measure([*self.cli(), *argv])
        return Cost(cost.wall, cost.cpu + self.cpu() - before)

    def knows(self, kind):
        return subprocess.run([*self.cli(), "explain", kind], capture_output=True).returncode == 0

    def tasks(self):
        return Path(f"/proc/{self.daemon.pid}/task").iterdir()

    def cpu(self):
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self.tasks()) / 1e9

    def wakeups(self):
        total = 0
        for task in self.tasks():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total

    def settle(self, pause=2):
        """The kernel goes on telling of carriers for a while, some 100 links a second."""
        quiet = 0
        while quiet < pause:
            before = self.wakeups()
            time.sleep(1)
            quiet = quiet + 1 if self.wakeups() - before < 5 else 0

    def resident_mib(self):
        for line in Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.dir.cleanup()


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p))]


class Table:
    """Rows of name, aim and values, one a round; printed with minimum, median and maximum."""

    def __init__(self):
        self.rows = {}

    def add(self, name, value, aim=""):
        self.rows.setdefault(name, (aim, []))[1].append(value)

    def compare(self, name, ours, theirs, aim=""):
        self.add(f"{name}, wall", ours.wall / theirs.wall, aim)
        self.add(f"{name}, CPU", ours.cpu / theirs.cpu)
        load = os.getloadavg()[0]
        print(f"{name}: {ours.wall:.2f} s ({ours.cpu:.2f} CPU) against {theirs.wall:.2f} s ({theirs.cpu:.2f} CPU), load {load:.1f}", flush=True)

    def show(self):
        print(f"\n{'':62}{'aim':>9}{'min':>9}{'median':>9}{'max':>9}{'rounds':>8}")
        for name, (aim, values) in self.rows.items():
            numbers = "".join(f"{n:9.2f}" for n in (min(values), statistics.median(values), max(values)))
            print(f"{name:62}{aim:>9}{numbers}{len(values):8}")


def step_forward():
    """Both sides before whatever else this machine does: the scheduler divides it among sessions first."""
    try:
        os.setsid()
        Path("/proc/self/autogroup").write_text("-12")
    except OSError:  # a session's leader already, or a kernel that does not divide
        os.nice(-10)


def say_where(preferred=True):
    if preferred:
        step_forward()
    processors = os.sysconf("SC_NPROCESSORS_ONLN")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print(f"kernel {os.uname().release}, {processors} processors, load {os.getloadavg()[0]:.1f} before", flush=True)
