# SPDX-License-Identifier: Apache-2.0
"""examples/quickstart.yaml, with a real Linux guest: what it promises, one test a promise. The guest is booted once; the tests share its host and leave it as they
found it, and the last one deletes everything."""
import hashlib
import re
import signal
import subprocess
import time

import pytest

import machine
from harness import EXAMPLES, wait_until

QUICKSTART = EXAMPLES / "quickstart.yaml"
pytestmark = pytest.mark.needs("qemu-system-x86_64", "dnsmasq", "udhcpc", "dig", "rdisc6", "curl", "nft", "busybox")


@pytest.fixture(scope="module")
def booted(make_shared_host, linux_image):
    def add_files(host):
        (host.root / "lib").mkdir()
        (host.root / "lib/files").symlink_to(linux_image)

    host = make_shared_host(before=add_files)
    host.apply(QUICKSTART, "--wait=60s")
    wait_until(lambda: "guest: ready" in host.console_log("web"), 120, "the guest is up")
    return host


@pytest.fixture
def host(booted):
    """The host with the guest running, as every test here finds it and leaves it, but the one that deletes."""
    yield booted
    if booted.daemon and not booted.objects():
        return
    assert booted.daemon, "the test has ended with weftd running"
    for kind, name in (("network", "lan"), ("guest", "web")):
        booted.wait_ready(kind, name)
    wait_until(lambda: booted.diff() == [], what="diff is empty")


def guest_answers(host):
    return "hello from web, 192.168.150.10/24" in host.run("curl", "-s", "-m3", "http://192.168.150.10/", check=False)


def test_contract_quickstart_links(host):
    links = host.links()
    assert links["lan"]["linkinfo"]["info_kind"] == "bridge" and "UP" in links["lan"]["flags"]
    assert links["web.0"]["master"] == "lan" and links["web.0"]["linkinfo"]["info_kind"] == "tun"
    assert re.fullmatch(r"weft:[0-9a-f]{16}:Network/lan", links["lan"]["ifalias"])
    assert re.fullmatch(r"weft:[0-9a-f]{16}:Guest/web", links["web.0"]["ifalias"])
    assert host.addresses("lan") == {"192.168.150.1/24", "fd42:150::1/64"}


def test_contract_quickstart_nat_in_own_chains(host):
    rules = host.rules("iptables-save", "-t", "nat")
    assert [r for r in rules if "MASQUERADE" in r and "-s 192.168.150.0/24 ! -o lan" in r and r.startswith("-A WEFT-")]
    jumps = [r for r in rules if r.startswith("-A ") and not r.startswith("-A WEFT-")]
    assert jumps and all("weft:" in r and "-j WEFT-" in r for r in jumps)
    assert [r for r in host.rules("ip6tables-save", "-t", "nat") if "MASQUERADE" in r and "-s fd42:150::/64 ! -o lan" in r]


def test_contract_quickstart_guest_on_the_network(host):
    def says(command, text):
        """An emulated guest on a busy machine may miss a first answer."""
        wait_until(lambda: text in host.console("web", command), what=f"the guest's {command} says {text}")

    says("ip -4 addr show dev eth0", "192.168.150.10/24")
    says("nslookup gw.lan.test", "Address: 192.168.150.1\n")
    says("ping -c1 -W3 192.168.150.1", " 0% packet loss")
    says("ip -6 addr show dev eth0 scope global", "fd42:150:")
    says("ping -c1 -W3 fd42:150::1", " 0% packet loss")


def test_contract_quickstart_lease_list(host):
    leases = host.weft("lease", "list", "-o", "json").json()
    mac = re.search(r"mac=([0-9a-f:]{17})", host.pids()[host.process("guest=web,")]).group(1)
    assert [(lease["network"], lease["ip"], lease["mac"], lease["guest"]) for lease in leases if lease.get("ip") == "192.168.150.10"] == [
        ("lan", "192.168.150.10", mac, "web")]
    assert "192.168.150.10" in host.weft("lease", "list").out


def test_contract_quickstart_forwarded_port(host):
    with machine.outside(host) as outside, machine.machines(host) as plug:
        neighbour = plug("lan")
        assert neighbour.lease()["router"] == "192.168.150.1"
        for url in ("http://127.0.0.1:8080/", "http://192.168.150.1:8080/", "http://10.99.0.1:8080/", "http://192.168.150.10/"):
            assert "hello from web" in host.run("curl", "-s", "-m3", url, check=False), f"from the host: {url}"
        assert "hello from web" in outside.get("http://10.99.0.1:8080/")
        assert "hello from web" in neighbour.get("http://192.168.150.1:8080/")
        assert "hello from web" in neighbour.get("http://10.99.0.1:8080/")
        assert "hello from web" in host.console("web", r"printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 192.168.150.1 8080"), "the guest calls itself"
        assert outside.get("http://192.168.150.10/") == "", "behind NAT"


def test_contract_quickstart_internet_by_nat(host):
    with machine.outside(host) as outside:
        outside.run("ip", "route", "del", "default")
        outside.run("ip", "-6", "route", "del", "default")
        for own, seen in (("10.99.0.2", "10.99.0.1"), ("fd99::2", "fd99::1")):
            outside.serve(own, 7000)
            assert seen in host.console("web", f"nc -w 3 {own} 7000 </dev/null")


def test_contract_quickstart_weftd_killed(host):
    pid, seen = host.process("guest=web,"), host.snapshot()
    host.stop(signal.SIGKILL)
    assert guest_answers(host)
    monitor = host.popen("ip", "monitor", "link", "address", "route", stdout=open(host.scratch / "monitor", "w"))
    rules = host.popen("nft", "monitor", stdout=open(host.scratch / "nft-monitor", "w"))
    host.start()
    host.wait_ready("guest", "web")
    host.wait_ready("network", "lan")
    wait_until(lambda: host.diff() == [], what="diff is empty")
    for process in monitor, rules:
        process.terminate()
        process.wait()
    assert host.process("guest=web,") == pid == host.objects("guest", "web")[0]["status"]["details"]["qemu"]["pid"]
    assert (host.scratch / "monitor").read_text() == "" and (host.scratch / "nft-monitor").read_text() == ""
    host.check_as(seen, 2)
    assert guest_answers(host)


def test_contract_quickstart_bridge_deleted(host):
    pid = host.process("guest=web,")
    before = len(host.events())
    host.run("ip", "link", "del", "lan")
    wait_until(lambda: host.links()["web.0"]["master"] == "lan" and host.addresses("lan") == {"192.168.150.1/24", "fd42:150::1/64"}, 10,
               "the bridge is back with its taps and addresses")
    wait_until(lambda: guest_answers(host), 10, "the guest answers")
    assert host.process("guest=web,") == pid
    assert [e for e in host.events()[before:] if e["type"] == "Repaired" and e.get("resource") == "link/lan"]
    with machine.machines(host) as plug:
        neighbour = plug("lan")
        assert neighbour.lease()["ip"].startswith("192.168.150.1"), "DHCP works again"
        assert neighbour.resolve("gw.lan.test", "192.168.150.1") == ["192.168.150.1"]
        assert "hello from web" in neighbour.get("http://192.168.150.1:8080/"), "rules are there"


def test_contract_quickstart_tap_deleted(host):
    pid = host.process("guest=web,")
    host.run("ip", "link", "del", "web.0")
    wait_until(lambda: host.links()["web.0"]["master"] == "lan", 10, "the tap is back")
    wait_until(lambda: guest_answers(host), 60, "the guest answers")
    assert host.process("guest=web,") == pid
    used = host.cpu_seconds(pid)
    time.sleep(1)
    assert host.cpu_seconds(pid) - used < 0.5, "QEMU spins"


def test_contract_quickstart_whatever_the_policy(host):
    """Set after weft's rules here; before them in test_contract_quickstart_policy_set_before."""
    with machine.machines(host) as plug:
        client = plug("lan")
        try:
            for table in "iptables", "ip6tables":
                for chain in "INPUT", "FORWARD", "OUTPUT":
                    host.run(table, "-P", chain, "DROP")
            check_served(client)
        finally:
            for table in "iptables", "ip6tables":
                for chain in "INPUT", "FORWARD", "OUTPUT":
                    host.run(table, "-P", chain, "ACCEPT")


def check_served(client):
    lease = client.lease()
    assert lease["router"] == lease["dns"] == "192.168.150.1" and lease["domain"] == "lan.test"
    assert client.resolve("gw.lan.test", "192.168.150.1") == ["192.168.150.1"]
    advertised = client.run("rdisc6", "-1", "eth0")
    assert re.search(r"Prefix +: fd42:150::/64", advertised) and "Recursive DNS server" in advertised
    wait_until(lambda: "fd42:150:" in client.run("ip", "-6", "addr", "show", "dev", "eth0", "scope", "global"), what="an address by router advertisement")
    assert client.resolve("gw.lan.test", "fd42:150::1") == ["192.168.150.1"], "which takes neighbour discovery"


def test_contract_quickstart_foreign_drop(host):
    """A drop in somebody else's table cannot be undone by ours; it is named."""
    for hook in "input", "forward":
        host.run("nft", "add", "table", "inet", "strict")
        host.run("nft", f"add chain inet strict guard {{ type filter hook {hook} priority 10; policy drop; }}")
        said = wait_until(lambda: host.condition("network", "lan", "Degraded"), what="Degraded")
        assert said["status"] == "True" and "strict" in said["message"] and "guard" in said["message"]
        host.run("nft", "delete", "table", "inet", "strict")
        wait_until(lambda: host.condition("network", "lan", "Degraded").get("status") != "True", what="no longer Degraded")


def test_contract_quickstart_deleted(host):
    image = host.root / "lib/images/web-data.qcow2"
    host.console("web", "echo precious >/dev/vda; sync")
    host.weft("delete", "-f", QUICKSTART, "--wait=60s")
    host.check_as_before()
    assert host.objects() == []
    raw = subprocess.run(["qemu-img", "convert", "-O", "raw", image, host.scratch / "raw"], capture_output=True, text=True)
    assert raw.returncode == 0, raw.stderr
    assert (host.scratch / "raw").read_bytes().startswith(b"precious\n")
    content = hashlib.sha256(image.read_bytes()).digest()
    host.apply(QUICKSTART, "--wait=60s")
    host.weft("delete", "-f", QUICKSTART, "--now", "--wait=60s")
    host.check_as_before()
    assert hashlib.sha256(image.read_bytes()).digest() == content


def test_contract_quickstart_policy_set_before(make_host):
    def be_strict(host):
        for table in "iptables", "ip6tables":
            for chain in "INPUT", "FORWARD", "OUTPUT":
                host.run(table, "-P", chain, "DROP")

    host = make_host(before=be_strict)
    host.apply(QUICKSTART.read_text().split("---")[0], "--wait=20s")
    with machine.machines(host) as plug:
        check_served(plug("lan"))
