# SPDX-License-Identifier: Apache-2.0
"""weftd as the service it is: installed by cmake, started by systemd as the host boots, with the files of /etc/weft. Runs outside the lab's host,
which it boots again; `lab run` calls it."""
import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

import states
import vm
from workshop import SOURCE

BUILD = Path(os.environ.get("WEFT_BUILD", SOURCE / "build/dev"))
MANIFESTS = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br9}
spec: {addresses: [10.9.0.1/24], ports: [tap9]}
---
apiVersion: weft/v1
kind: Tap
metadata: {name: tap9}
spec: {owner: weft-qemu}
---
apiVersion: weft/v1
kind: Network
metadata: {name: lan9}
spec: {mode: nat, addresses: [192.168.99.1/24], dhcp: {range: 192.168.99.100-192.168.99.199}}
"""


@contextlib.contextmanager
def installed(directory, state="base"):
    """A restored host with this build installed in it, and /etc/weft/lab.yaml."""
    host = states.Kit(print).restore(directory, state)
    try:
        tree = host.share / "installed"
        done = subprocess.run(["cmake", "--install", BUILD], env={**os.environ, "DESTDIR": str(tree)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (host.share / "setup").write_bytes((SOURCE / "scripts/setup").read_bytes())
        (host.share / "lab.yaml").write_text(MANIFESTS)
        host.agent.check(f"set -e; cp -r {vm.SHARE}/installed/. /; mkdir -p /etc/weft /tmp/s; cp {vm.SHARE}/lab.yaml /etc/weft/; "
                         f"cp {vm.SHARE}/setup /tmp/s/; bash /tmp/s/setup --users; systemctl daemon-reload; systemctl enable weftd", 120)
        yield host
    except BaseException:
        print(host.last_words())
        raise
    finally:
        if host.process.poll() is None:
            print(host.agent.run("systemctl status weftd --no-pager -n 60; ip -br addr; systemctl --failed", 20)[1])
        host.close()


@pytest.fixture
def lab(tmp_path):
    with installed(tmp_path / "h") as host:
        yield host


def until(lab, command, seconds=60):
    """The output of a command that has to succeed in the end."""
    deadline = time.monotonic() + seconds
    while True:
        status, out = lab.agent.run(command)
        if status == 0:
            return out
        assert time.monotonic() < deadline, f"{command}: {out}"
        time.sleep(0.5)


def fabric(lab):
    """What must not change while weftd does: links with their numbers, and processes."""
    until(lab, "weft diff")
    links = {link["ifname"]: link["ifindex"] for link in json.loads(lab.agent.check("ip -j link"))}
    return links, lab.agent.check("pgrep -x dnsmasq")


def check_made(lab):
    until(lab, "ip -4 -br addr show br9 | grep -q 10.9.0.1/24 && ip -4 -br addr show lan9 | grep -q 192.168.99.1/24")
    until(lab, "ip link show tap9 | grep -q 'master br9' && pgrep -x dnsmasq")


@pytest.mark.lab
def test_service_boots_restarts_and_outlives_crashes(lab):
    lab.agent.check("systemctl start weftd")
    check_made(lab)
    lab.reboot()
    shown = dict(line.split("=") for line in lab.agent.check("systemctl show -p ActiveState,Type,WatchdogUSec,NRestarts weftd").splitlines())
    assert shown == {"ActiveState": "active", "Type": "notify", "WatchdogUSec": "30s", "NRestarts": "0"}
    check_made(lab)
    before, pid = fabric(lab), lab.agent.check("systemctl show -P MainPID weftd")
    lab.agent.check("systemctl restart weftd")
    assert fabric(lab) == before, "a restart changes nothing"
    lab.agent.check("systemctl kill --signal=KILL --kill-whom=main weftd")
    until(lab, f"systemctl is-active weftd && [ $(systemctl show -P MainPID weftd) != {pid.strip()} ]")
    assert fabric(lab) == before, "a crash changes nothing"
    lab.agent.check("systemctl stop weftd")
    assert lab.agent.check("pgrep -x dnsmasq") == before[1], "what weftd started outlives it"


# The host's own configuration of a NIC, from its boot on.
NIC = """
[Unit]
DefaultDependencies=no
After=systemd-udev-settle.service
Wants=systemd-udev-settle.service
Before=weftd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "ip link set spare0 up; ip link set spare1 up; ip addr add 192.0.2.10/24 dev spare0; ip route add 203.0.113.0/24 via 192.0.2.1 dev spare0"
[Install]
WantedBy=multi-user.target
"""
CHANGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br1}
spec: {ports: [spare0], takeover: spare0, addresses: [10.1.0.1/24]}
---
apiVersion: weft/v1
kind: Bridge
metadata: {name: br2}
spec: {addresses: [10.2.0.1/24]}
"""


@pytest.mark.lab_full
def test_promise_08_a_power_cut_while_a_change_waits_to_be_confirmed(lab):
    (lab.share / "nic.service").write_text(NIC)
    (lab.share / "change.yaml").write_text(CHANGE)
    lab.agent.check(f"cp {vm.SHARE}/nic.service /etc/systemd/system/; cp {vm.SHARE}/change.yaml /tmp/s/; systemctl daemon-reload; systemctl enable --now nic weftd; sync", 60)
    check_made(lab)
    until(lab, "weft diff")
    lab.agent.check("weft apply -f /tmp/s/change.yaml --confirm 600s --verify 10.1.0.1", 60)
    assert "192.0.2.10/24" in lab.agent.check("ip -4 -br addr show br1") and "192.0.2" not in lab.agent.check("ip -4 -br addr show spare0")
    lab.reboot(power_cut=True)
    check_made(lab)
    until(lab, "weft diff")
    assert "192.0.2.10/24" in until(lab, "ip -4 -br addr show spare0") and "203.0.113.0/24" in lab.agent.check("ip route show dev spare0")
    assert lab.agent.run("ip link show br1 || ip link show br2")[0], "what nobody confirmed is gone"
    assert "master" not in lab.agent.check("ip link show spare0")


SERVED = """
apiVersion: weft/v1
kind: Ethernet
metadata: {name: spare0}
spec: {dhcp4: true, dhcpMetric: 5000}
"""


@pytest.mark.lab_full
def test_a_dhcp_client_is_a_service_of_its_own(lab):
    (lab.share / "served.yaml").write_text(SERVED)
    lab.agent.check("ip netns add srv; ip link set spare1 netns srv; ip -n srv link set spare1 up; ip -n srv addr add 10.97.0.1/24 dev spare1; "
                    "systemd-run --unit server ip netns exec srv dnsmasq --keep-in-foreground --port=0 --conf-file=/dev/null --interface=spare1 --pid-file= "
                    "--dhcp-leasefile=/tmp/s/leases --user=root --dhcp-range=10.97.0.50,10.97.0.99,10m", 60)
    lab.agent.check(f"cp {vm.SHARE}/served.yaml /tmp/s/; systemctl start weftd; weft apply -f /tmp/s/served.yaml --wait=60s", 120)
    got = lab.agent.check("ip -4 -br addr show spare0")
    assert "10.97.0." in got and "metric 5000" in lab.agent.check("ip route show default dev spare0")
    pid = lab.agent.check("systemctl show -P MainPID weft-dhcp-client-spare0").strip()
    assert pid != "0"
    lab.agent.check("systemctl restart weftd")
    until(lab, "weft diff")
    assert lab.agent.check("systemctl show -P MainPID weft-dhcp-client-spare0").strip() == pid and lab.agent.check("ip -4 -br addr show spare0") == got
    lab.agent.check(f"kill -9 {pid}")
    until(lab, f"systemctl is-active weft-dhcp-client-spare0 && [ $(systemctl show -P MainPID weft-dhcp-client-spare0) != {pid} ]")
    assert lab.agent.check("ip -4 -br addr show spare0") == got
    lab.agent.check("weft delete ethernet spare0 --wait=60s", 90)
    assert "10.97.0." not in lab.agent.check("ip -4 -br addr show spare0") and lab.agent.run("pgrep -x dhcpcd")[0]
    until(lab, "[ ! -s /tmp/s/leases ] || ! grep -q 10.97 /tmp/s/leases")
