# SPDX-License-Identifier: Apache-2.0
"""weft doctor, with a weftd and without one: what it says is what the machine shows to others, and no probe holds it up."""
import concurrent.futures
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from harness import BUILD, wait_until


def findings(host, **options):
    done = host.weft("doctor", "-o", "json", check=False, **options)
    answer = done.json()
    assert done.status == (1 if any(f["level"] == "bad" for f in answer["findings"]) else 0)
    return {(f["area"], f["name"]): f for f in answer["findings"]}, answer


@pytest.mark.lab
def test_it_says_what_the_machine_shows(host):
    found, answer = findings(host)
    assert answer["daemon"] is True
    flags = next((l for l in Path("/proc/cpuinfo").read_text().splitlines() if l.startswith("flags")), "")
    has_extension = bool({"vmx", "svm"} & set(flags.split()))
    assert (found["guests", "processor"]["level"] == "ok") == has_extension
    if not has_extension:
        assert found["guests", "/dev/kvm"]["level"] == "warn"
    assert (found["guests", "/dev/vhost-net"]["level"] == "ok") == os.path.exists("/dev/vhost-net")
    version = subprocess.run(["qemu-img", "--version"], capture_output=True, text=True).stdout
    assert found["storage", "qemu-img"]["text"].split()[-1] in version
    assert (found["storage", "LVM"]["level"] == "ok") == bool(shutil.which("lvm"))
    if shutil.which("lvm"):
        assert (found["storage", "thin_check"]["level"] == "ok") == bool(shutil.which("thin_check"))
        assert found["storage", "LVM system ID"]["text"]
    version = host.run("dnsmasq", "--version")
    assert found["network", "dnsmasq"]["text"].split()[-1] in version
    assert found["network", "/dev/net/tun"]["level"] == "ok"
    for f in found.values():
        assert f["text"] and f["level"] in ("ok", "warn", "bad")
        assert f["level"] == "ok" or f["remedy"], f


def test_it_looks_without_a_daemon_too_and_leaves_nothing(make_host):
    host = make_host(start=False)
    found, answer = findings(host)
    assert answer["daemon"] is False
    assert "does not run" in found["weftd", "weftd"]["text"] and found["weftd", "weftd"]["level"] == "bad"
    assert found["guests", "weft-launch"]["text"] == str(BUILD / "weft-launch")
    assert not (host.root / "run").exists() and not (host.root / "lib").exists()
    text = host.weft("doctor", check=False).out
    assert "weftd does not run" in text and "start it, as root" in text


def test_without_root_nothing_is_said_to_be_missing_that_cannot_be_seen(make_host):
    host = make_host(start=False)
    line = host.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BUILD / "weftd", "--doctor", "--root", host.root)
    found = {f["name"]: f for f in map(json.loads, line.splitlines())}
    assert found["module tun"]["level"] == "ok"
    assert found["/dev/net/tun"]["level"] == ("ok" if os.stat("/dev/net/tun").st_mode & 0o006 == 0o006 else "warn")


def test_settings_are_those_of_the_namespace(host):
    host.run("sysctl", "-w", "net.ipv4.conf.all.rp_filter=1")
    found, _ = findings(host)
    assert found["network", "net/ipv4/conf/all/rp_filter"]["level"] == "warn"
    host.run("sysctl", "-w", "net.ipv4.conf.all.rp_filter=0")
    found, _ = findings(host)
    assert found["network", "net/ipv4/conf/all/rp_filter"]["level"] == "ok"


def test_other_managers_in_this_namespace(host, tmp_path):
    """Programs are known by their names; one in another namespace is none of this host's."""
    for name in ("dockerd", "NetworkManager"):
        shutil.copy("/bin/sleep", tmp_path / name)
    found, _ = findings(host)
    assert ("other managers", "Docker") not in found
    elsewhere = subprocess.Popen([tmp_path / "NetworkManager", "60"])
    try:
        host.popen(tmp_path / "dockerd", "60")
        found = wait_until(lambda: next((f for f in [findings(host)[0]] if ("other managers", "Docker") in f), None))
        assert found["other managers", "Docker"]["level"] == "warn"
        assert "DOCKER-USER" in found["other managers", "Docker"]["remedy"]
        if os.readlink("/proc/self/ns/net") != os.readlink(f"/proc/{host.daemon.pid}/ns/net"):
            assert ("other managers", "NetworkManager") not in found
    finally:
        elsewhere.kill()
        elsewhere.wait()


def test_a_program_that_hangs_costs_itself_alone(make_host, tmp_path, monkeypatch):
    host = make_host(start=False)
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "qemu-img").write_text("#!/bin/sh\nexec sleep 1000\n")
    (fake / "dnsmasq").write_text("#!/nowhere\n")
    for program in fake.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    begun = time.monotonic()
    found, _ = findings(host)
    assert time.monotonic() - begun < 15
    assert found["storage", "qemu-img"]["level"] == "bad" and "no answer" in found["storage", "qemu-img"]["text"]
    assert found["network", "dnsmasq"]["level"] == "bad"
    assert ("storage", "state directory") in found


def test_many_at_once(host):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: findings(host)[0], range(16)))
    assert all(("network", "firewall") in found for found in answers)
    assert host.weft("status").status == 0


def test_plugins_that_did_not_load(make_host, tmp_path):
    """A weftd beside a damaged plugin says so, and what to do."""
    beside = tmp_path / "bin"
    (beside / "plugins").mkdir(parents=True)
    for name in ("weft", "weftd", "weft-launch"):
        shutil.copy(BUILD / name, beside / name)
    (beside / "plugins/broken.so").write_text("this is no shared object")
    host = make_host(start=False)
    daemon = host.popen(beside / "weftd", "--root", host.root)
    try:
        wait_until(lambda: host.weft("history", check=False).status == 0)
        found, _ = findings(host)
        assert found["weftd", "plugin broken"]["level"] == "bad"
        assert "broken.so" in found["weftd", "plugin broken"]["text"]
        assert json.dumps(found["weftd", "plugin broken"]).count("restart weftd") == 1
    finally:
        daemon.terminate()
        assert daemon.wait(timeout=30) == 0


CLIENT = """
import ctypes, time
ctypes.CDLL(None).prctl(15, b"dhclient", 0, 0, 0)
print("ready", flush=True)
time.sleep(600)
"""


def test_it_names_links_of_ours_that_others_have_to_do_with(host, tmp_path):
    """A process by the name of a DHCP client; no such client is installed here, and what it would do is not asked for."""
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    host.before = host.snapshot()
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br0}\nspec: {ports: [eth0]}\n", "--wait=10s")
    assert not any(name == "dhclient" for _, name in findings(host)[0])
    client = host.popen("python3", "-c", CLIENT, "-4", "eth0", stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"ready\n"
    found = findings(host)[0]["other managers", "dhclient"]
    assert found["level"] == "warn" and "eth0, which is weft's" in found["text"] and str(client.pid) in found["text"]
    client.kill()
    client.wait()


@pytest.mark.lab_state("base", shared=True)
@pytest.mark.needs("/etc/network", "ifup")
def test_it_names_files_that_set_up_links_of_ours(host):
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    host.before = host.snapshot()
    host.apply("apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: br0}\nspec: {ports: [eth0]}\n", "--wait=10s")
    file = Path("/etc/network/interfaces.d/weft-test")
    file.write_text("# iface br0\nauto eth9\niface eth0 inet dhcp\niface br7 inet manual\n  bridge_ports eth0 eth1\n")
    try:
        found = findings(host)[0]["other managers", "ifupdown"]
    finally:
        file.unlink()
    assert found["level"] == "warn" and found["text"].endswith(f"{file} sets up links that are weft's, at the next boot or ifup: eth0")
    assert ("other managers", "ifupdown") not in findings(host)[0]
