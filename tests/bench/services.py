# SPDX-License-Identifier: Apache-2.0
"""Where the services run that a benchmark compares: on the host itself, by its systemd; or apart, in namespaces of their own, where /usr, /etc and
/var are the host's with a layer of our own above (into which packages that are missing are installed), and /sys cannot be written, by which systemd-networkd
and NetworkManager know that no udev speaks of their links."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

DROP_IN = "[Service]\nTimeoutSec=infinity\nWatchdogSec=0\n"  # an emulated host takes longer than anybody thought of
STAGE = "WEFT_BENCH_STAGE"
PACKAGES = ["network-manager", "systemd", "dbus", "iproute2", "util-linux"]
NETWORKD_CAPS = "+net_admin,+net_bind_service,+net_broadcast,+net_raw"


class Host:
    """The host's own network: udev looks at every link as it comes."""

    def settle(self, patience):
        subprocess.run(["udevadm", "settle", f"--timeout={patience}"], check=True)

    def start(self, unit):
        drop_in = Path(f"/run/systemd/system/{unit}.service.d/bench.conf")
        if not drop_in.exists():
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            drop_in.write_text(DROP_IN)
            subprocess.run(["systemctl", "daemon-reload"], check=True)
        subprocess.run(["systemctl", "start", unit], check=True)

    def start_program(self, unit, argv):
        subprocess.run(["systemd-run", "-q", f"--unit={unit}", *argv], check=True)

    def stop(self, unit):
        sockets = [f"{unit}.socket"] if unit == "systemd-networkd" else []
        subprocess.run(["systemctl", "stop", *sockets, unit], check=True)

    def cpu(self, unit):
        """Seconds of CPU of a service, of all its processes."""
        shown = subprocess.run(["systemctl", "show", "-P", "CPUUsageNSec", unit], capture_output=True, text=True, check=True).stdout.strip()
        return int(shown) / 1e9 if shown.isdigit() else 0


class Apart:
    """Namespaces of our own, in which this process is by enter_apart()."""
    programs = {
        "systemd-networkd": ["setpriv", "--reuid=systemd-network", "--regid=systemd-network", "--clear-groups", f"--inh-caps={NETWORKD_CAPS}",
                             f"--ambient-caps={NETWORKD_CAPS}", "/lib/systemd/systemd-networkd"],
        "NetworkManager": ["NetworkManager", "--no-daemon"],
    }

    def __init__(self):
        self.running = {}
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        Path("/run/dbus").mkdir()
        subprocess.run(["dbus-daemon", "--system", "--fork", "--nopidfile"], check=True)
        for state in "", "links", "leases", "lldp":
            path = Path("/run/systemd/netif", state)
            path.mkdir(parents=True, exist_ok=True)
            shutil.chown(path, "systemd-network", "systemd-network")

    def settle(self, patience):
        pass

    def start(self, unit):
        self.start_program(unit, self.programs[unit])
        name = {"systemd-networkd": "org.freedesktop.network1", "NetworkManager": "org.freedesktop.NetworkManager"}[unit]
        ask = ["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "NameHasOwner", "s", name]
        while "true" not in subprocess.run(ask, capture_output=True, text=True).stdout:
            if self.running[unit].poll() is not None:
                sys.exit(f"{unit} has ended: {Path('/run', unit + '.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def start_program(self, unit, argv):
        with open(f"/run/{unit}.log", "w") as log:
            self.running[unit] = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, unit):
        process = self.running.pop(unit)
        process.send_signal(signal.SIGTERM)
        process.wait()

    def cpu(self, unit):
        """Those of processes that it started count once they have ended."""
        fields = Path(f"/proc/{self.running[unit].pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(n) for n in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def layer():
    """The host's files with a layer of our own; in a mount namespace, still in the host's network, where packages come from."""
    above = "/mnt"
    mount("-t", "tmpfs", "bench", above)
    for name in "usr", "etc", "var":
        for part in "up", "work":
            Path(above, part, name).mkdir(parents=True)
        mount("-t", "overlay", "-o", f"lowerdir=/{name},upperdir={above}/up/{name},workdir={above}/work/{name}", "bench", f"/{name}")
    mount("-t", "tmpfs", "bench", "/run")
    Path("/run/lock").mkdir()
    policy = Path("/usr/sbin/policy-rc.d")
    policy.write_text("#!/bin/sh\nexit 101\n")  # nothing that is installed is started
    policy.chmod(0o755)
    if not shutil.which("NetworkManager"):
        subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", *PACKAGES], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def enter_apart():
    """Runs this program anew in namespaces of its own, in two steps; returns in the last."""
    stage = os.environ.get(STAGE)
    if not stage:
        os.environ[STAGE] = "layer"
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv])
    if stage == "layer":
        layer()
        os.environ[STAGE] = "network"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    mount("-t", "sysfs", "-o", "ro", "bench", "/sys")
