# SPDX-License-Identifier: Apache-2.0
"""The set `system`: what stands in /etc/weft is kept whatever happens to its files, until they are whole again or gone."""
import signal

from harness import BUILD, wait_until

NETWORK = """
apiVersion: weft/v1
kind: Network
metadata: {name: lan}
spec: {mode: isolated, addresses: [10.9.0.1/24], dhcp: {range: %s}}
"""
BRIDGE = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: %s}
spec: {}
"""
GOOD, BAD = "10.9.0.10-10.9.0.20", "10.8.0.10-10.8.0.20"


def reload(host):
    """Tells weftd to read its files, and waits until it has."""
    host.daemon.send_signal(signal.SIGHUP)


def write(host, text, name="lan.yaml"):
    etc = host.root / "etc"
    etc.mkdir(exist_ok=True)
    (etc / name).write_text(text)


def end(host):
    (host.root / "etc/lan.yaml").unlink(missing_ok=True)
    reload(host)
    wait_until(lambda: "lan" not in host.links(), 20, "the files' objects go with them")


def test_what_a_refused_file_had_made_stays(host):
    write(host, NETWORK % GOOD)
    reload(host)
    host.wait_ready("network", "lan")
    index = host.links()["lan"]["ifindex"]
    write(host, NETWORK % BAD)
    reload(host)
    wait_until(lambda: host.condition("network", "lan")["reason"] == "Refused", 10, "the manifest is refused")
    assert host.links()["lan"]["ifindex"] == index
    host.restart()
    wait_until(lambda: host.condition("network", "lan")["reason"] == "Refused", 10, "it is refused still")
    assert host.links()["lan"]["ifindex"] == index
    # Nobody else is held up by it.
    host.apply(BRIDGE % "br2", "--wait=20s")
    assert "br2" in host.links() and host.links()["lan"]["ifindex"] == index
    host.weft("delete", "bridge", "br2", "--wait=20s")
    assert host.links()["lan"]["ifindex"] == index
    write(host, NETWORK % GOOD)
    reload(host)
    host.wait_ready("network", "lan")
    assert host.links()["lan"]["ifindex"] == index
    end(host)


def test_a_directory_that_cannot_be_read_takes_nothing_away(host):
    write(host, NETWORK % GOOD)
    reload(host)
    host.wait_ready("network", "lan")
    index = host.links()["lan"]["ifindex"]
    (host.root / "etc").rename(host.root / "away")
    (host.root / "etc").write_text("no directory")
    reload(host)
    wait_until(lambda: "etc cannot be read" in host.weft("events").out, 10, "an event says so")
    assert host.links()["lan"]["ifindex"] == index
    (host.root / "etc").unlink()
    (host.root / "away").rename(host.root / "etc")
    end(host)


def test_rollback_after_a_deletion_brings_back_what_was_deleted(host):
    host.apply(BRIDGE % "br1", "--wait=20s")
    host.weft("delete", "bridge", "br1", "--wait=20s")
    host.apply(BRIDGE % "br2", "--wait=20s")
    host.weft("rollback")
    wait_until(lambda: "br2" not in host.links(), 10, "the apply is taken back")
    assert "br1" not in host.links()  # it had been deleted before


def add_silent_neighbour(host):
    host.run("ip", "link", "add", "v0", "type", "veth", "peer", "v1")
    host.run("ip", "addr", "add", "192.0.2.2/24", "dev", "v0")
    for link in "v0", "v1":
        host.run("ip", "link", "set", link, "up")


def test_rollback_while_it_is_verified_cancels_it(make_host):
    host = make_host(before=add_silent_neighbour)
    host.apply(BRIDGE % "br1", "--wait=20s")
    manifest = host.scratch / "br2.yaml"
    manifest.write_text(BRIDGE % "br2")
    apply = host.popen(BUILD / "weft", "--socket", host.root / "run/weft.sock", "apply", "-f", manifest, "--verify=192.0.2.1")
    wait_until(lambda: "br2" in host.links(), 10, "br2 is there, and 192.0.2.1 is asked")
    host.weft("rollback")
    assert apply.wait(timeout=30) == 1
    wait_until(lambda: "br2" not in host.links(), 10, "the apply is taken back")
    assert "br1" in host.links()


def test_diff_during_a_confirm_does_not_hang(host):
    host.apply(BRIDGE % "br1", "--confirm=60s")
    done = host.weft("diff", check=False, timeout=10)
    assert done.status == 1 and "waits to be confirmed" in done.err
    host.weft("confirm")
