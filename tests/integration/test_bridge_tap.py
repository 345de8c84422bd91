# SPDX-License-Identifier: Apache-2.0
"""Bridge and Tap, as shared with the kernel: what they become, in-place edits, drift, and rows that two objects give."""
import signal

import pytest

from harness import wait_until

BR7 = """
apiVersion: weft/v1
kind: Bridge
metadata: {name: br7}
spec: {ports: [{name: tap7}], addresses: [10.7.0.1/24], mtu: 1400, stp: {enabled: false}}
"""
TAP7 = """
apiVersion: weft/v1
kind: Tap
metadata: {name: tap7}
spec: {owner: weft-qemu, queues: 2, mtu: 1400, mac: "52:54:00:07:07:07"}
"""
BOTH = BR7 + "---" + TAP7


@pytest.mark.lab
def test_contract_basic_tap7(host):
    host.apply(BOTH, "--wait=20s")
    links = host.links()
    tap, bridge = links["tap7"], links["br7"]
    info = tap["linkinfo"]["info_data"]
    assert tap["master"] == "br7" and tap["mtu"] == 1400 and tap["address"] == "52:54:00:07:07:07"
    assert info["multi_queue"] and info["persist"] and info["user"] == "weft-qemu"
    assert bridge["linkinfo"]["info_kind"] == "bridge" and bridge["mtu"] == 1400
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
    assert host.addresses("br7") == {"10.7.0.1/24"}
    assert bridge["ifalias"].startswith("weft:") and tap["ifalias"].startswith("weft:")
    assert bridge["group"] == tap["group"] == "2003134068"  # that of udev/80-weft.rules


def test_an_edit_changes_only_what_changed(host):
    host.apply(BOTH, "--wait=20s")
    before = host.links()
    host.apply(BOTH.replace("1400", "1450").replace("10.7.0.1/24", "10.7.0.2/24"), "--wait=20s")
    after = host.links()
    assert after["br7"]["mtu"] == 1450 and after["tap7"]["mtu"] == 1450
    assert host.addresses("br7") == {"10.7.0.2/24"}
    assert [before[n]["ifindex"] for n in ("br7", "tap7")] == [after[n]["ifindex"] for n in ("br7", "tap7")]


def test_applying_the_same_again_makes_no_revision(host):
    host.apply(BOTH, "--wait=20s")
    first = host.weft("history", "-o", "json").json()
    host.apply(BOTH, "--wait=20s")
    assert host.weft("history", "-o", "json").json() == first


@pytest.mark.parametrize("blow", [
    ("ip", "link", "del", "br7"),
    ("ip", "link", "del", "tap7"),
    ("ip", "link", "set", "tap7", "nomaster"),
    ("ip", "link", "set", "br7", "mtu", "1300"),
    ("ip", "link", "set", "br7", "address", "02:00:00:00:00:99"),
    ("ip", "link", "set", "br7", "down"),
    ("ip", "addr", "flush", "dev", "br7"),
    ("ip", "link", "set", "br7", "type", "bridge", "stp_state", "1"),
    ("ip", "link", "set", "tap7", "alias", ""),
], ids=lambda blow: " ".join(blow[1:]))
def test_promise_05_drift_is_repaired(host, blow):
    host.apply(BOTH, "--wait=20s")
    mac = host.links()["br7"]["address"]
    host.run(*blow)

    def repaired():
        links = host.links()
        return (links["tap7"]["master"] == "br7" and links["br7"]["mtu"] == 1400 and links["br7"]["address"] == mac
                and "UP" in links["br7"]["flags"] and host.addresses("br7") == {"10.7.0.1/24"}
                and links["br7"]["linkinfo"]["info_data"]["stp_state"] == 0 and links["tap7"].get("ifalias"))
    wait_until(repaired, 10, "repaired")
    assert any(e["type"] == "Repaired" for e in host.events())


def test_both_ways_of_saying_port_agree(host):
    host.apply(BR7 + "---" + TAP7.replace("queues: 2,", "queues: 2, bridge: br7,"), "--wait=20s")
    assert host.links()["tap7"]["master"] == "br7"


def test_both_ways_of_saying_port_disagree(host):
    other = BR7.replace("br7", "br8").replace("ports: [{name: tap7}], ", "").replace("10.7.0.1", "10.8.0.1")
    done = host.apply(BOTH.replace("queues: 2,", "queues: 2, bridge: br8,") + "---" + other, check=False)
    assert done.status == 2
    assert "tap7" in done.err and "br8" in done.err and "br7" in done.err
    assert "br7" not in host.links()


def test_promise_07_a_foreign_link_is_never_touched(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "br7", "address", "02:00:00:00:00:07", "type", "bridge"))
    done = host.apply(BOTH, check=False)
    assert done.status == 1
    assert "br7" in done.err and "not weft's" in done.err
    assert host.links()["br7"]["address"] == "02:00:00:00:00:07" and "tap7" not in host.links()


def test_somebody_elses_link_as_a_port_is_given_back(make_host):
    host = make_host(before=lambda h: h.run("ip", "link", "add", "v0", "type", "veth", "peer", "v1"))
    index = host.links()["v0"]["ifindex"]
    host.apply(BR7.replace("tap7", "v0"), "--wait=20s")
    assert host.links()["v0"]["master"] == "br7"
    host.weft("delete", "bridge", "br7", "--wait=20s")
    link = host.links()["v0"]
    assert link["ifindex"] == index and "master" not in link


def test_a_new_weftd_after_sigkill_touches_nothing(host):
    host.apply(BOTH, "--wait=20s")
    host.wait_quiet()
    monitor = host.popen("ip", "monitor", "link", "address", stdout=open(host.scratch / "monitor", "w"))
    host.restart(signal.SIGKILL)
    host.wait_ready("bridge", "br7")
    monitor.terminate()
    monitor.wait()
    assert (host.scratch / "monitor").read_text() == ""
