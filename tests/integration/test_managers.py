# SPDX-License-Identifier: Apache-2.0
"""The managers of a real host beside weft: NetworkManager, systemd-networkd and ifupdown leave weft's links alone with what weft ships
for them, and lose nothing of theirs to weft. They work on the host's own namespace, so each test has weftd there."""
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness import BUILD, SOURCE, wait_until

pytestmark = pytest.mark.lab_state("base")
OURS = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br7}
spec: {addresses: [10.70.0.1/24], ports: [v7]}
---
apiVersion: weft/v1
kind: Veth
metadata: {name: v7}
spec: {peer: {name: v7x, addresses: [10.71.0.1/24]}}
---
apiVersion: weft/v1
kind: Dummy
metadata: {name: dum7}
spec: {addresses: [192.0.2.7/32]}
"""
LINKS = ["br7", "v7", "v7x", "dum7"]
DROP_INS = {"udev/80-weft.rules": "/etc/udev/rules.d", "networkd/05-weft.network": "/etc/systemd/network",
            "ifupdown/weft": "/etc/network/if-pre-up.d"}


def run(*argv, check=True):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Weft:
    def __init__(self, root):
        self.root = root
        self.log = open(root / "log", "w")
        self.daemon = subprocess.Popen([BUILD / "weftd", "--root", root], stdout=self.log, stderr=self.log)
        wait_until(lambda: "REV" in run(BUILD / "weft", *self.socket(), "history", check=False) or run(BUILD / "weft", *self.socket(), "status"), timeout=60)

    def socket(self):
        return ["--socket", self.root / "run/weft.sock"]

    def weft(self, *args, check=True):
        return run(BUILD / "weft", *self.socket(), *args, check=check)

    def apply(self):
        (self.root / "ours.yaml").write_text(OURS)
        self.weft("apply", "-f", self.root / "ours.yaml", "--wait=60s")

    def repairs(self):
        return [e for e in map(json.loads, self.weft("events", "-o", "json").splitlines()) if e["type"] in ("Repaired", "Contested")]

    def close(self):
        self.weft("delete", "-f", self.root / "ours.yaml", check=False)
        self.daemon.terminate()
        self.daemon.wait(30)


@pytest.fixture
def weft(tmp_path):
    for source, directory in DROP_INS.items():
        Path(directory).mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCE / "integration" / source, directory)
    run("udevadm", "control", "--reload")
    daemon = Weft(tmp_path)
    yield daemon
    daemon.close()


def addresses(name):
    found = json.loads(run("ip", "-j", "addr", "show", "dev", name))[0]
    return {f"{a['local']}/{a['prefixlen']}" for a in found["addr_info"] if a["scope"] != "link"}


def ours():
    return {name: addresses(name) for name in LINKS}


WANTED = {"br7": {"10.70.0.1/24"}, "v7": set(), "v7x": {"10.71.0.1/24"}, "dum7": {"192.0.2.7/32"}}


def settle():
    """Time in which a manager would have done it; what must not happen cannot be waited for."""
    run("udevadm", "settle")
    time.sleep(8)


def all_left_alone(states):
    managed = {name: states.get(name) for name in LINKS if states.get(name) != "unmanaged"}
    assert not managed, managed
    return True


def test_networkmanager(weft):
    run("systemctl", "start", "NetworkManager")
    run("nmcli", "connection", "add", "type", "bridge", "con-name", "theirs", "ifname", "nmbr0", "ipv4.method", "manual", "ipv4.addresses",
        "10.55.0.1/24", "ipv6.method", "disabled", "bridge.stp", "no")
    wait_until(lambda: addresses("nmbr0") == {"10.55.0.1/24"}, timeout=60)
    weft.apply()

    def states():
        return dict(line.split(":", 1) for line in run("nmcli", "-t", "-f", "DEVICE,STATE", "device").splitlines())
    wait_until(lambda: all_left_alone(states()), timeout=60)
    wait_until(lambda: states()["nmbr0"] == "connected", timeout=60)
    run("systemctl", "restart", "NetworkManager")
    settle()
    wait_until(lambda: states().get("nmbr0") == "connected", timeout=60)
    assert all_left_alone(states())
    assert ours() == WANTED and addresses("nmbr0") == {"10.55.0.1/24"} and weft.repairs() == []
    findings = json.loads(weft.weft("doctor", "-o", "json", check=False))["findings"]
    assert next(f for f in findings if f["name"] == "NetworkManager")["level"] == "ok"
    weft.weft("delete", "-f", weft.root / "ours.yaml", "--wait=60s")
    assert states()["nmbr0"] == "connected" and addresses("nmbr0") == {"10.55.0.1/24"}
    run("nmcli", "connection", "delete", "theirs")
    run("systemctl", "stop", "NetworkManager")


def test_systemd_networkd(weft):
    greedy = Path("/run/systemd/network/50-greedy.network")
    greedy.parent.mkdir(parents=True, exist_ok=True)
    greedy.write_text("[Match]\nName=br7 v7 v7x dum7 theirs0\n\n[Network]\nConfigureWithoutCarrier=yes\nAddress=10.66.0.1/24\nLinkLocalAddressing=no\n")
    run("ip", "link", "add", "theirs0", "type", "dummy")
    run("systemctl", "restart", "systemd-networkd")
    wait_until(lambda: addresses("theirs0") == {"10.66.0.1/24"}, timeout=60)
    weft.apply()

    def states():
        return {l.split()[1]: l.split()[-1] for l in run("networkctl", "--no-legend", "--no-pager", "list").splitlines() if l.strip()}
    wait_until(lambda: all_left_alone(states()), timeout=60)
    run("systemctl", "restart", "systemd-networkd")
    settle()
    assert all_left_alone(states())
    assert ours() == WANTED and addresses("theirs0") == {"10.66.0.1/24"} and weft.repairs() == []
    findings = json.loads(weft.weft("doctor", "-o", "json", check=False))["findings"]
    assert next(f for f in findings if f["name"] == "systemd-networkd")["level"] == "ok"
    greedy.unlink()
    run("systemctl", "stop", "systemd-networkd.socket", "systemd-networkd")
    run("ip", "link", "del", "theirs0")


def test_ifupdown(weft):
    interfaces = weft.root / "interfaces"
    interfaces.write_text("".join(f"iface {name} inet static\n    address 10.77.0.1/24\n" for name in ("br7", "theirs0")))
    weft.apply()
    run("ip", "link", "add", "theirs0", "type", "dummy")
    said = run("ifup", "-i", interfaces, "br7", check=False)
    assert "br7 is a link of weft's" in said
    assert ours() == WANTED and weft.repairs() == []
    run("ifup", "-i", interfaces, "theirs0")
    assert addresses("theirs0") == {"10.77.0.1/24"}
    run("ifdown", "-i", interfaces, "theirs0", check=False)
    run("ip", "link", "del", "theirs0")
