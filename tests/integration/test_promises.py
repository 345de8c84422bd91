# SPDX-License-Identifier: Apache-2.0
"""What hurts the users of other tools, and what is promised instead: one test a promise, named by its number, asserted under generous deadlines. Promises that
are at home with a subject have their tests there (test_firewall, test_network_dhcp, test_repair, ...); those about rivals are in test_rivals."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import SOURCE, wait_until

LAN = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec:
  mode: nat
  mtu: 1400
  addresses: [192.168.150.1/24, "fd42:150::1/64"]
  dhcp: {range: 192.168.150.100-192.168.150.199, lease: 1h}
  dns: {domain: lan.test}
  ipv6: {mode: slaac, nat: true}
  forwards: [{listen: "0.0.0.0:8080", proto: tcp, to: "192.168.150.10:80"}]
"""
BRIDGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br7}
spec: {ports: [tap7], addresses: [10.7.0.1/24], mtu: 1400}
---
apiVersion: weft/v1
kind: Tap
metadata: {name: tap7}
spec: {owner: weft-qemu, queues: 2}
"""
POOL = """
apiVersion: weft/v1
kind: Pool
metadata: {name: local}
spec: {type: dir, path: images}
"""
VOLUME = """
apiVersion: weft/v1
kind: Volume
metadata: {name: data}
spec: {pool: local, size: 8MiB, format: raw}
"""
GUEST = """
apiVersion: weft/v1
kind: Guest
metadata: {name: %s}
spec: {memory: {size: 32MiB}, disks: [{file: tiny.img, readOnly: true}],
       interfaces: [{network: lan, queues: %d}], shutdownTimeout: 1s}
"""
SENDER = """
import socket, sys, time
s = socket.create_server(("10.99.0.2", 7000))
print("ready", flush=True)
c = s.accept()[0]
while True:
    c.sendall(b"x" * 1000)
    time.sleep(0.01)
"""
RECEIVER = """
import socket, time
s = socket.create_connection(("10.99.0.2", 7000), timeout=5)
last = time.monotonic()
while s.recv(65536):
    now = time.monotonic()
    print(f"{now - last:.3f}", flush=True)
    last = now
"""
pytestmark = pytest.mark.needs("dnsmasq", "nft")


def all_of(*manifests):
    return "---".join(manifests)


def add_image(host):
    """A boot sector for a guest: tests/data/tiny-guest.S."""
    files = host.root / "lib/files"
    files.mkdir(parents=True)
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", files / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", files / "tiny.o", "-o", files / "tiny.img"], check=True)
    os.truncate(files / "tiny.img", 1 << 20)


def monitor(host, *objects):
    """A function that ends an `ip monitor` and gives what it saw; what happens before it has begun to listen is not awaited."""
    path = host.scratch / "monitor"
    process = host.popen("ip", "monitor", *objects, stdout=open(path, "w"))
    time.sleep(0.3)

    def end():
        process.terminate()
        process.wait()
        return path.read_text()
    return end


def indexes(host):
    return {name: link["ifindex"] for name, link in host.links().items()}


def test_promise_02_a_transfer_does_not_notice_an_edit(host, plug, outside):
    """A connection by NAT through edits of a DHCP host and of a forwarded port: no pause, and rules, links and dnsmasq of what was not edited are the same."""
    host.apply(LAN, "--wait=20s")
    client = plug("lan", "52:54:00:00:00:0a")
    client.run("ip", "addr", "add", "192.168.150.50/24", "dev", "eth0")
    client.run("ip", "route", "add", "default", "via", "192.168.150.1")
    server = subprocess.Popen(["ip", "netns", "exec", outside.ns, sys.executable, "-c", SENDER], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    receiver = subprocess.Popen(["ip", "netns", "exec", client.ns, sys.executable, "-c", RECEIVER], stdout=open(host.scratch / "gaps", "w"))
    try:
        wait_until(lambda: (host.scratch / "gaps").stat().st_size > 100, 10, "data comes")
        links, dnsmasq = indexes(host), host.process("^dnsmasq")
        seen = monitor(host, "link", "address", "route")
        more_host = LAN.replace("lease: 1h", 'lease: 1h, hosts: [{mac: "52:54:00:00:00:0b", ip: 192.168.150.77}]')
        for text in more_host, more_host.replace("8080", "8081"), LAN:
            host.apply(text, "--wait=20s")
        time.sleep(0.3)
        assert receiver.poll() is None
        receiver.kill()
        gaps = [float(line) for line in (host.scratch / "gaps").read_text().split()]
        print(f"longest pause {max(gaps):.3f} s of {len(gaps)}")
        assert max(gaps[1:]) < 1.0
        assert indexes(host) == links and host.process("^dnsmasq") == dnsmasq
        assert not re.search(r"Deleted|state DOWN", seen()), "nothing was taken away"
    finally:
        receiver.kill()
        server.kill()
        receiver.wait()
        server.wait()


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_promise_03_edits_in_place(make_host):
    """Whatever else is edited of a network: its bridge, its ports, a guest's tap and the guest are the same ones."""
    host = make_host(before=add_image)
    host.apply(all_of(LAN, BRIDGE, GUEST % ("web", 1)), "--wait=30s")
    links, pid = indexes(host), host.process("guest=web,")
    assert host.links()["web.0"]["master"] == "lan"
    seen = monitor(host, "link")
    edits = (LAN.replace("mode: nat", "mode: isolated").replace(", nat: true", "").replace("  forwards:", "  #"),
             LAN.replace("192.168.150.", "192.168.160."), LAN.replace("mode: slaac", "mode: dhcp"), LAN.replace("1h", "2h"),
             LAN.replace("lan.test", "other.test"))
    for text in edits:
        host.apply(all_of(text, BRIDGE.replace("[10.7.0.1/24]", "[10.7.0.2/24, 10.8.0.1/24]"), GUEST % ("web", 1)), "--wait=30s")
    assert indexes(host) == links and host.process("guest=web,") == pid
    assert host.links()["web.0"]["master"] == "lan" and host.links()["tap7"]["master"] == "br7"
    assert "Deleted" not in seen()


def test_promise_04_what_must_be_made_anew_is_announced(host):
    """Number of queues of a tap: diff says disruptive, apply refuses, nothing has changed; allowed, only that link is another one."""
    host.apply(BRIDGE, "--wait=20s")
    before = indexes(host)
    path = host.scratch / "one.yaml"
    path.write_text(BRIDGE.replace("queues: 2", "queues: 1"))
    diff = host.weft("diff", "-f", path, "-o", "json", check=False)
    assert diff.status == 3 and [step["disruptive"] for step in diff.json()["plan"]] == [True], diff
    done = host.apply(path, check=False)
    assert done.status == 1 and "--allow-disruption" in done.err and "tap7" in done.out + done.err
    assert indexes(host) == before
    host.apply(path, "--allow-disruption", "--wait=20s")
    after = indexes(host)
    assert after["tap7"] != before["tap7"] and after["br7"] == before["br7"]
    assert host.links()["tap7"]["master"] == "br7" and not host.links()["tap7"]["linkinfo"]["info_data"]["multi_queue"]


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_promise_06_what_files_drop_is_pruned_dependants_first(make_host):
    host = make_host(before=add_image)
    host.apply(all_of(LAN, BRIDGE, POOL, VOLUME, GUEST % ("web", 1)), "--wait=30s")
    before = host.snapshot()
    seen = monitor(host, "link")
    host.apply(BRIDGE, "--prune", "--wait=30s")
    wait_until(lambda: set(host.links()) == {"lo", "br7", "tap7"}, 20, "their links are gone")
    gone = re.findall(r"^Deleted \d+: ([^:@]+).*\n", seen(), re.M)
    order = [name for i, name in enumerate(gone) if name in ("web.0", "lan") and name not in gone[i + 1:]]
    assert order == ["web.0", "lan"], gone
    assert host.pids() == {}, "QEMU and dnsmasq are gone"
    assert "WEFT" not in host.ruleset()
    assert {o["kind"] for o in host.objects()} == {"Bridge", "Tap"}
    assert host.snapshot()["links"]["br7"] == before["links"]["br7"]


def test_promise_07_what_others_made_stays(make_host):
    """Links, addresses, routes, rules, ports, neighbours, settings and processes of others, also where they sit on what is weft's: through edits, repairs and the end."""
    def others(host):
        host.run("ip", "link", "add", "br9", "type", "bridge")
        host.run("ip", "addr", "add", "10.9.0.1/24", "dev", "br9")
        host.run("ip", "link", "set", "br9", "up")
        host.run("ip", "tuntap", "add", "tap9", "mode", "tap")
        host.run("ip", "link", "set", "tap9", "master", "br9", "alias", "weft:0123456789abcdef:Tap/tap9")  # another weftd's
        host.run("ip", "route", "add", "10.10.0.0/16", "via", "10.9.0.2")
        host.run("ip", "rule", "add", "from", "10.9.0.0/24", "table", "77")
        host.run("iptables", "-N", "MINE")
        host.run("iptables", "-A", "FORWARD", "-s", "10.9.0.0/24", "-j", "MINE")
        host.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.0.0/24", "-j", "MASQUERADE")
        host.run("nft", "add table inet theirs; add chain inet theirs c; add rule inet theirs c counter")
        host.run("sysctl", "-qw", "net.ipv4.conf.br9.proxy_arp=1")

    host = make_host(before=others)
    host.apply(all_of(LAN, BRIDGE), "--wait=20s")
    host.run("ip", "link", "add", "port9", "type", "veth", "peer", "name", "peer9")
    host.run("ip", "link", "set", "port9", "master", "lan", "up")
    host.run("ip", "addr", "add", "10.77.0.1/24", "dev", "lan")
    host.run("ip", "route", "add", "10.78.0.0/24", "via", "192.168.150.9")
    host.run("ip", "neigh", "add", "192.168.150.9", "lladdr", "02:00:00:00:00:09", "dev", "lan", "nud", "permanent")
    host.run("iptables", "-I", "FORWARD", "-i", "lan", "-d", "10.66.0.0/16", "-j", "DROP")
    mine = [rule for rule in host.rules() if "WEFT" not in rule and ("MINE" in rule or "10.9.0.0" in rule or "10.66.0.0" in rule)]

    def check():
        assert host.links()["port9"]["master"] == "lan" and host.links()["tap9"]["master"] == "br9"
        assert "10.77.0.1/24" in host.addresses("lan") and "10.9.0.1/24" in host.addresses("br9")
        routes = host.run("ip", "route") + host.run("ip", "rule")
        assert "10.78.0.0/24 via 192.168.150.9" in routes and "10.10.0.0/16 via 10.9.0.2" in routes and "from 10.9.0.0/24 lookup 77" in routes
        assert "02:00:00:00:00:09 PERMANENT" in host.run("ip", "neigh")
        assert [rule for rule in host.rules() if rule in mine] == mine
        assert "table inet theirs" in host.ruleset()

    check()
    host.apply(all_of(LAN.replace("1400", "1450").replace("8080", "8081"), BRIDGE.replace("10.7.0.1", "10.7.0.2")), "--wait=20s")
    check()
    host.run("iptables", "-t", "nat", "-F", "WEFT-POST-lan")
    host.run("ip", "addr", "del", "10.7.0.2/24", "dev", "br7")
    wait_until(lambda: "10.7.0.2/24" in host.addresses("br7") and host.diff() == [])
    check()
    host.restart(signal.SIGKILL)
    host.wait_ready("network", "lan")
    check()
    host.run("iptables", "-D", "FORWARD", "-i", "lan", "-d", "10.66.0.0/16", "-j", "DROP")
    host.run("ip", "link", "del", "port9")
    host.run("ip", "addr", "del", "10.77.0.1/24", "dev", "lan")
    host.run("ip", "route", "del", "10.78.0.0/24")


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
@pytest.mark.parametrize("crash", [False, True], ids=["lives", "crashes"])
def test_promise_08_a_change_that_nobody_confirms_is_undone(make_host, crash):
    """Every kind reverts: links, their MTU and ports, addresses, rules, DHCP, volumes, guests; in weftd's life and if it is killed meanwhile. A guest that the
    change leaves out runs on: that cannot be taken back, and so waits for who confirms."""
    host = make_host(before=add_image)
    host.apply(all_of(LAN, BRIDGE, POOL, GUEST % ("web", 1), GUEST % ("left", 1)), "--wait=30s")
    host.wait_quiet()
    before, pids, links = host.snapshot(), host.pids(), indexes(host)
    assert len(pids) == 3, "dnsmasq and two guests"
    other = all_of(LAN.replace("1400", "1300").replace("192.168.150.", "192.168.160.").replace("fd42:150", "fd42:160"),
                   BRIDGE.replace("1400", "1300").replace("[10.7.0.1/24]", "[10.8.0.1/24]").replace("ports: [tap7], ", ""), POOL, VOLUME,
                   (GUEST % ("web", 1)).replace("32MiB", "48MiB"), (GUEST % ("new", 1)).replace("{file: tiny.img", "{volume: data}, {file: tiny.img"),
                   LAN.replace("lan", "lan2").replace("150", "170").replace("8080", "8082"))
    host.apply(other, "--prune", "--confirm", "60s" if crash else "8s")
    assert "10.8.0.1/24" in host.addresses("br7") and host.links()["lan"]["mtu"] == 1300 and "lan2" in host.links()
    assert "master" not in host.links()["tap7"]
    wait_until(lambda: host.process("guest=new,"), 20, "the new guest starts, before anybody confirms")
    assert pids.keys() - host.pids().keys() <= {host_pid for host_pid, line in pids.items() if line.startswith("dnsmasq")}, "guests run on"
    if crash:
        host.stop(signal.SIGKILL)
        host.start()
    host.check_as(before, 30)
    wait_until(lambda: host.diff() == [], 20)
    assert {pid for pid, line in host.pids().items() if "guest=" in line} == {pid for pid, line in pids.items() if "guest=" in line}
    assert {name: index for name, index in indexes(host).items() if name in links} == links
    assert {o["metadata"]["name"] for o in host.objects()} == {"lan", "br7", "tap7", "local", "web", "left"}
    assert all(host_is_ready(o) for o in host.objects())
    wait_until(lambda: not list((host.root / "lib/images").glob("data*")), 10, "the volume of the change is gone")


def overrun(host, n):
    """Lets weftd sleep through more link events than its socket holds; the kernel counts what it had to drop."""
    host.daemon.send_signal(signal.SIGSTOP)
    batch = "".join(f"link set noise alias {i:0200d}\n" for i in range(n))
    host.run("ip", "-batch", "-", input=batch)


def dropped(host):
    """Messages that netlink sockets in the namespace have lost: protocol 0 is rtnetlink."""
    lines = Path(f"/proc/{host.daemon.pid}/net/netlink").read_text().splitlines()[1:]
    return sum(int(fields[8]) for fields in map(str.split, lines) if fields[1] == "0")


def test_promise_10_lost_events_mean_a_fresh_dump(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "noise", "up", "type", "bridge"))
    host.apply(all_of(LAN, BRIDGE), "--wait=20s")
    before = dropped(host)
    overrun(host, 20000)
    assert dropped(host) > before, "the socket was overrun"
    host.run("ip", "link", "del", "br7")
    host.run("ip", "addr", "flush", "dev", "lan")
    host.rename("tap7", "away")
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    host.daemon.send_signal(signal.SIGCONT)
    wait_until(lambda: host.links()["tap7"]["master"] == "br7" and "192.168.150.1/24" in host.addresses("lan"), 20, "all is repaired")
    wait_until(lambda: host.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1", 10)
    wait_until(lambda: host.ready("network", "lan") and host.ready("bridge", "br7") and host.diff() == [], 20)
    host.run("ip", "link", "set", "noise", "alias", "")


def test_promise_11_foreign_events_cost_next_to_nothing(make_host):
    """100,000 neighbours and routes of others come and go."""
    def noise(host):
        host.run("ip", "link", "add", "noise", "type", "bridge")
        host.run("ip", "link", "set", "noise", "up")
        host.run("ip", "addr", "add", "10.64.0.1/10", "dev", "noise")

    host = make_host(before=noise)
    host.apply(all_of(LAN, BRIDGE), "--wait=20s")
    # The kernel keeps some thousand neighbours at most: the same ones change.
    neighbours = "".join(f"neigh replace 10.64.{i // 250 % 2}.{2 + i % 250} lladdr 02:00:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x} dev noise\n"
                         for i in range(50000))
    routes = "".join(f"route {verb} 172.16.{i >> 8 & 255}.{i & 255}/32 dev noise\n" for i in range(25000) for verb in ("add", "del"))
    used = host.cpu_seconds(host.weftd_pid())
    for batch in neighbours, routes:
        host.run("ip", "-batch", "-", input=batch, timeout=100)
    time.sleep(0.5)
    used = host.cpu_seconds(host.weftd_pid()) - used
    print(f"weftd used {used:.2f} s for 100,000 events")
    assert used < 1
    assert host.diff() == []


@pytest.mark.needs("qemu-img")
def test_promise_13_a_pool_that_is_away_says_so(host):
    host.apply(all_of(POOL, VOLUME), "--wait=20s")
    images, away = host.root / "lib/images", host.root / "lib/away"
    images.rename(away)
    said = wait_until(lambda: (c := host.condition("pool", "local")).get("status") == "False" and c, 30, "the pool is not Ready")
    assert f"there is no directory '{images}'" in said["message"], said
    assert re.match(r"\d{4}-\d\d-\d\dT", said["since"]), said
    assert not images.exists(), "no empty directory hides the loss"
    wait_until(lambda: host.condition("volume", "data").get("status") == "False", 30, "nor is its volume")
    away.rename(images)
    host.wait_ready("pool", "local", 40)
    host.wait_ready("volume", "data", 40)


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
@pytest.mark.no_laws  # they are checked here, with less waiting
def test_promise_23_a_restart_with_many_guests(make_host):
    """All of them run, if the machine has the memory for it; else those that do not are defined all the same, and have their taps."""
    host = make_host(before=add_image)
    n = 100
    available_mib = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) // 1024
    n_running = n if available_mib > n * 50 else 8
    guests = [GUEST % (f"g{i}", 1) if i < n_running else (GUEST % (f"g{i}", 1)).replace("spec: {", "spec: {state: stopped, ") for i in range(n)]
    begun = time.monotonic()
    host.apply(all_of(LAN, *guests), "--wait=100s")
    print(f"applied after {time.monotonic() - begun:.2f} s, {n_running} run")
    host.wait_quiet(16)  # a bridge tells of a port once more when its forward delay of 15 s has passed, with or without STP
    before, pids = (indexes(host), host.addresses(), host.ruleset()), host.pids()
    assert len([name for name in before[0] if name.startswith("g")]) == n and len(pids) == n_running + 1
    for how in signal.SIGTERM, signal.SIGKILL:
        saw = monitor(host, "link", "address", "route")
        host.stop(how)
        begun = time.monotonic()
        host.start()
        wait_until(lambda: all(host_is_ready(o) for o in host.objects()), 20, "all are Ready")
        print(f"Ready after {time.monotonic() - begun:.2f} s")
        assert host.pids() == pids and saw() == ""
        assert (indexes(host), host.addresses(), host.ruleset()) == before
    assert host.diff() == []
    host.delete_all()
    host.check_as_before()


def host_is_ready(o):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in o["status"]["conditions"])


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_promise_24_the_mtu_is_the_same_from_end_to_end(make_host):
    """Of the bridge, the guest's tap, and what the guest's card tells it; what DHCP tells is in test_network_dhcp. What cannot fit is refused."""
    host = make_host(before=add_image)
    host.apply(all_of(LAN, BRIDGE, GUEST % ("web", 1)), "--wait=30s")
    assert {host.links()[name]["mtu"] for name in ("lan", "web.0", "br7", "tap7")} == {1400}
    card = re.search(r"virtio-net-pci,\S*", host.pids()[host.process("guest=web,")])[0]
    assert "host_mtu=1400" in card
    host.apply(all_of(LAN.replace("1400", "1350"), BRIDGE.replace("1400", "1350")), "--wait=30s")
    assert {host.links()[name]["mtu"] for name in ("lan", "web.0", "br7", "tap7")} == {1350}
    wait_until(lambda: host.condition("guest", "web", "RestartNeeded").get("status") == "True", 10, "the guest's card still says 1400")
    for text, word in ((BRIDGE.replace("queues: 2", "queues: 2, mtu: 1500"), "mtu is to be 1500 here, 1400 by Bridge 'br7'"),
                       (LAN.replace("1400", "1200"), "IPv6 needs an MTU of at least 1280"), (BRIDGE.replace("1400", "70000"), "from 68 to 65535")):
        done = host.apply(text, check=False)
        assert done.status == 2 and word in done.err and "manifest.yaml:" in done.err, done
    assert {host.links()[name]["mtu"] for name in ("lan", "web.0", "br7", "tap7")} == {1350}


def test_promise_25_a_bridge_keeps_its_mac(make_host):
    """With and without ports, of lower addresses too; made anew, by another weftd; and it is not that of the same bridge on another host."""
    host, other = make_host(), make_host()
    for h in host, other:
        h.apply(all_of(LAN, BRIDGE), "--wait=20s")
    macs = {name: host.links()[name]["address"] for name in ("lan", "br7")}
    assert len({*macs.values(), *(other.links()[name]["address"] for name in macs)}) == 4

    def same():
        return {name: host.links()[name]["address"] for name in macs} == macs

    host.run("ip", "link", "add", "low", "address", "00:00:00:00:00:01", "type", "veth", "peer", "name", "peer")
    host.run("ip", "link", "set", "low", "master", "lan", "up")
    assert same()
    host.run("ip", "link", "del", "low")
    assert same()
    host.run("ip", "link", "del", "lan")
    wait_until(lambda: "192.168.150.1/24" in host.addresses().get("lan", ()) and same(), 10, "it is back, and the same")
    host.run("ip", "link", "set", "br7", "address", "02:00:00:00:00:99")
    wait_until(same, 10)
    host.restart(signal.SIGKILL)
    assert same()
    host.delete_all()
    host.apply(all_of(LAN, BRIDGE), "--wait=20s")
    assert same()


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_promise_26_taps_have_the_queues_that_are_opened(make_host):
    def others(host):
        add_image(host)
        host.run("ip", "tuntap", "add", "tap7", "mode", "tap")

    host = make_host(before=others)
    host.apply(all_of(LAN, GUEST % ("many", 2), GUEST % ("one", 1)), "--wait=30s")
    for name, queues in (("many", 2), ("one", 1)):
        pid = host.process(f"guest={name},")
        open_ = [m for info in Path(f"/proc/{pid}/fdinfo").iterdir() for m in re.findall(r"^iff:\t(.*)$", info.read_text(), re.M)]
        assert open_ == [f"{name}.0"] * queues
        assert host.links()[f"{name}.0"]["linkinfo"]["info_data"]["multi_queue"] == (queues > 1)
    done = host.apply(BRIDGE.replace("queues: 2", "queues: 2, adopt: true"), "--allow-disruption", check=False)
    assert done.status == 1 and "it is not weft's; remove it" in done.err and "tap7" in done.err, done
    assert "br7" not in host.links() and not host.links()["tap7"]["linkinfo"]["info_data"]["multi_queue"]


@pytest.mark.needs("qemu-system-x86_64", "as", "ld")
def test_promise_27_one_network_that_fails_at_boot(make_host):
    """A foreign link has the name of one of the networks of etc/: all others start, and it does, with the guest that waits for it, when that link is gone."""
    host = make_host(start=False, before=add_image)
    host.run("ip", "link", "add", "bad", "type", "veth", "peer", "name", "peer")
    etc = host.root / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "bad.yaml").write_text(LAN.replace("name: lan", "name: bad").replace("150", "180").replace("8080", "8083"))
    (etc / "lan.yaml").write_text(LAN)
    (etc / "rest.yaml").write_text(all_of(BRIDGE, GUEST % ("good", 1), (GUEST % ("waits", 1)).replace("network: lan", "network: bad")))
    host.start()
    for kind, name in (("network", "lan"), ("bridge", "br7"), ("tap", "tap7"), ("guest", "good")):
        host.wait_ready(kind, name)
    assert host.process("guest=good,") and "guest=waits" not in str(host.pids())
    assert "bad" in host.condition("network", "bad")["message"], host.objects("network", "bad")
    assert not host.ready("guest", "waits")
    host.run("ip", "link", "del", "bad")
    host.wait_ready("network", "bad", 90)
    host.wait_ready("guest", "waits", 90)
    assert host.process("guest=waits,")
    for path in etc.iterdir():
        path.unlink()
    host.restart()
    wait_until(lambda: not host.objects(), 30, "what the files dropped is gone")
