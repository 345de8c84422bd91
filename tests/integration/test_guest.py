# SPDX-License-Identifier: Apache-2.0
"""Guests with a real QEMU and a boot sector for a system (tests/data/tiny-guest.S): orders, ends of all sorts, taps that are deleted
under them, changes that wait for a restart."""
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from harness import SOURCE, Host, wait_until

pytestmark = pytest.mark.needs("qemu-system-x86_64", "as", "ld")

NETWORK = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec: {mode: isolated, addresses: [10.211.0.1/24], dhcp: {range: 10.211.0.10-10.211.0.99}}
---"""
GUEST = """
apiVersion: weft/v1
kind: Guest
metadata: {name: web}
spec:
  memory: {size: 32MiB}
  disks: [{file: tiny.img}]
  interfaces: [lan]
"""
BOTH = NETWORK + GUEST


def add_image(host):
    files = host.root / "lib/files"
    files.mkdir(parents=True)
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", files / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", files / "tiny.o", "-o", files / "tiny.img"], check=True)
    os.truncate(files / "tiny.img", 1 << 20)
    (files / "tiny.img").chmod(0o600)


@pytest.fixture
def host(make_host):
    return make_host(before=add_image)


def detail(host, name="web"):
    return host.objects("guest", name)[0]["status"]["details"].get("qemu", {})


def pid_of(host):
    return host.process(r"qemu-system.*guest=web,")


def run_state(host):
    return detail(host).get("runState")


def console(host):
    return (host.root / "run/guests/web/console.log").read_text(errors="replace")


def boots(host):
    return console(host).count("BOOTED")


def type_in(host, letter):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(host.root / "run/guests/web/console.sock"))
        s.send(letter)
        time.sleep(0.5)


def up(host, text=BOTH):
    host.apply(text, "--wait=30s")
    wait_until(lambda: boots(host) > 0, 30, "the guest boots")
    return pid_of(host)


def tap_of(pid):
    """The links that this process's tun descriptors are attached to; "" for one that is attached to none."""
    found = []
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        found += re.findall(r"^iff:\t(.*)$", info.read_text(), re.M)
    return found


def test_it_runs_unprivileged_and_status_says_how(host):
    pid = up(host)
    status = Path(f"/proc/{pid}/status").read_text()
    uid = subprocess.run(["id", "-u", "weft-qemu"], capture_output=True, text=True).stdout.strip()
    assert re.search(rf"^Uid:\t{uid}\t{uid}\t{uid}\t{uid}$", status, re.M)
    assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^Seccomp:\t2$", status, re.M)
    seen = detail(host)
    assert seen["pid"] == pid and seen["runState"] == "running" and seen["accel"] in ("kvm", "tcg")
    assert seen["accel"] == "kvm" or "KVM cannot be used" in seen["accelReason"]
    argv = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"tiny.img" not in argv and b"web.0" not in argv
    assert tap_of(pid) == ["web.0"]
    assert host.links()["web.0"]["master"] == "lan"


@pytest.mark.lab
def test_a_killed_weftd_leaves_it_alone(host):
    pid = up(host)
    host.stop(signal.SIGKILL)
    assert Path(f"/proc/{pid}").exists()
    host.start()
    host.wait_ready("guest", "web")
    assert pid_of(host) == pid == detail(host)["pid"]


def test_orders(host):
    pid = up(host)
    host.weft("guest", "pause", "web")
    wait_until(lambda: run_state(host) == "paused")
    host.weft("guest", "resume", "web")
    wait_until(lambda: run_state(host) == "running")
    assert pid_of(host) == pid
    host.weft("guest", "restart", "web")
    wait_until(lambda: "qemu" in str(host.pids()) and pid_of(host) != pid and run_state(host) == "running")
    host.weft("guest", "stop", "web")
    wait_until(lambda: "qemu" not in str(host.pids()))
    assert "web.0" in host.links()
    assert host.objects("guest", "web")[0]["status"]["override"]["text"] == "stopped"
    host.weft("guest", "stop", "web")
    host.restart()
    time.sleep(0.5)
    assert "qemu" not in str(host.pids())
    host.weft("guest", "start", "web")
    wait_until(lambda: run_state(host) == "running")
    assert "override" not in host.objects("guest", "web")[0]["status"]
    host.weft("guest", "kill", "web")
    wait_until(lambda: "qemu" not in str(host.pids()), 3)


def test_powered_off_from_inside_it_stays_off_until_started(host):
    up(host)
    type_in(host, b"q")
    wait_until(lambda: run_state(host) == "off")
    assert host.condition("guest", "web")["message"] == "powered off by the guest"
    assert host.ready("guest", "web")
    wait_until(lambda: "qemu" not in str(host.pids()))
    host.restart()
    time.sleep(0.5)
    assert run_state(host) == "off" and "qemu" not in str(host.pids())
    host.weft("guest", "start", "web")
    wait_until(lambda: run_state(host) == "running")


def test_restart_always(host):
    pid = up(host, BOTH + "  restart: always\n")
    type_in(host, b"q")
    wait_until(lambda: detail(host).get("pid") not in (None, pid) and run_state(host) == "running")


@pytest.mark.parametrize("policy,back", [("on-failure", True), ("never", False)])
def test_a_killed_qemu(host, policy, back):
    pid = up(host, BOTH + f"  restart: {policy}\n")
    os.kill(pid, signal.SIGKILL)
    if back:
        wait_until(lambda: detail(host).get("pid") not in (None, pid) and run_state(host) == "running")
    else:
        wait_until(lambda: run_state(host) == "off")
        assert "crashed or was killed" in host.condition("guest", "web")["message"]


def test_a_deaf_guest_is_switched_off_in_time(host):
    up(host, BOTH + "  shutdownTimeout: 2s\n")
    type_in(host, b"c")
    begun = time.monotonic()
    host.weft("guest", "stop", "web")
    wait_until(lambda: "qemu" not in str(host.pids()), 15)
    assert time.monotonic() - begun > 1.5
    assert any("did not shut down in 2 s" in e["text"] for e in host.events())


def test_delete_now_does_not_ask(host):
    up(host)
    type_in(host, b"c")
    begun = time.monotonic()
    host.weft("delete", "--now", "--wait=30s", "Guest/web")
    assert time.monotonic() - begun < 10
    assert "qemu" not in str(host.pids())
    wait_until(lambda: "web.0" not in host.links())


def test_delete_now_hurries_a_stop_in_progress(host):
    up(host)
    type_in(host, b"c")
    host.weft("guest", "stop", "web")
    host.weft("delete", "--now", "--wait=10s", "Guest/web")
    assert "qemu" not in str(host.pids())


def test_a_start_during_a_stop(host):
    """The guest was asked to shut down and does so after it is wanted again: that is no decision of its own."""
    pid = up(host)
    os.kill(pid, signal.SIGSTOP)
    host.weft("guest", "stop", "web")
    wait_until(lambda: [r["state"] for r in host.ask("/v1/resources") if r["id"] == "qemu/web"] == ["Busy"], 30, "it is told to")
    host.weft("guest", "start", "web")
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: detail(host).get("pid") not in (None, pid) and run_state(host) == "running", 30)


def test_a_deleted_tap_is_attached_again(host):
    pid = up(host)
    for _ in range(2):
        before = host.links()["web.0"]["ifindex"]
        host.run("ip", "link", "del", "web.0")
        wait_until(lambda: host.links()["web.0"]["ifindex"] != before and tap_of(pid) == ["web.0"], 10)
        assert host.links()["web.0"]["master"] == "lan"
    host.run("ip", "link", "del", "lan")
    wait_until(lambda: host.links()["web.0"]["master"] == "lan" and host.diff() == [])
    assert tap_of(pid) == ["web.0"] and pid_of(host) == pid


def test_what_cannot_change_waits_for_a_restart(host):
    pid = up(host)
    host.apply(BOTH.replace("32MiB", "48MiB").replace("[lan]", "[]"), "--wait=10s")
    assert pid_of(host) == pid
    assert host.condition("guest", "web", "RestartNeeded")["status"] == "True"
    assert tap_of(pid) == ["web.0"]  # still in use
    host.weft("guest", "restart", "web")
    wait_until(lambda: host.ready("guest", "web") and detail(host).get("pid") not in (None, pid))
    wait_until(lambda: "web.0" not in host.links())
    assert not host.condition("guest", "web", "RestartNeeded")


def test_a_shutdown_in_progress_holds_up_nobody(host):
    up(host, BOTH + "  shutdownTimeout: 20s\n")
    type_in(host, b"c")
    host.weft("guest", "stop", "web")
    begun = time.monotonic()
    host.apply(BOTH.replace("10.211.0.99", "10.211.0.98") + "  shutdownTimeout: 20s\n", "--wait=1s", check=False)
    assert time.monotonic() - begun < 5
    assert "10.211.0.98" in str(host.objects("network", "lan")[0]["spec"])
    host.weft("guest", "kill", "web")


def test_an_image_that_is_not_there_is_said_so(host):
    done = host.apply(BOTH.replace("tiny.img", "absent.img"), "--wait=2s", check=False)
    assert done.status == 3
    assert "absent.img" in host.condition("guest", "web")["message"]
    (host.root / "lib/files/tiny.img").rename(host.root / "lib/files/absent.img")
    host.wait_ready("guest", "web", 40)


def test_a_guest_that_talks_keeps_weftd_from_nothing(host):
    up(host)
    for _ in range(3):
        pid = host.process("dnsmasq")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "dnsmasq" in str(host.pids()) and host.process("dnsmasq") != pid and host.diff() == [], 30, "dnsmasq is back")
    assert "did not begin to serve" not in host.weft("events").out
    spent = sum(map(int, Path(f"/proc/{host.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    time.sleep(3)
    more = sum(map(int, Path(f"/proc/{host.daemon.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) - spent
    assert more < os.sysconf("SC_CLK_TCK"), "it waits, and does not look again and again"


def test_a_host_that_goes_down_asks_its_guests_first(host):
    pid = up(host)
    done = host.weft("host", "down")
    assert "all guests have shut down" in done.out
    assert pid not in host.pids() and "qemu" not in str(host.pids())
    assert host.diff() == [], "nothing else is wanted of it"
    assert run_state(host) == "off" and "host goes down" in json.dumps(host.objects("guest", "web")[0])
    host.apply(BOTH.replace("32MiB", "48MiB"))
    time.sleep(1)
    assert "qemu" not in str(host.pids()), "no apply starts it"
    assert "GuestKilled" not in host.weft("events", "-o", "json").out, "it has heard the power button"
    host.weft("host", "up")
    wait_until(lambda: boots(host) > 0, 30, "it is started again")
    host.weft("host", "down")
    host.restart()
    wait_until(lambda: boots(host) > 0, 30, "a weftd that is started anew starts it")
