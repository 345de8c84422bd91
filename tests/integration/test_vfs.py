# SPDX-License-Identifier: Apache-2.0
"""The virtual functions of a NIC with SR-IOV: as many as its Ethernet says, kept so, and given back as they were. The NIC is the lab's, and so weftd
is in the host's own network namespace."""
import contextlib
import json
import subprocess
import threading
from pathlib import Path

import pytest

from harness import wait_until

pytestmark = [pytest.mark.lab_state("base"), pytest.mark.needs("/sys/class/net/sriov0/device/sriov_numvfs")]
DEVICE = Path("/sys/class/net/sriov0/device")
NIC = """
apiVersion: weft/v1
kind: Ethernet
metadata: {name: %s}
spec: {%s}
"""


def run(*argv, check=True):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def count():
    """By the functions themselves: the setting cannot be read while somebody writes to it."""
    return len(list(DEVICE.glob("virtfn*")))


def functions():
    """Which they are: another number, and others under the same addresses, have other inodes."""
    return {path.name: (path / "vendor").stat().st_ino for path in DEVICE.glob("virtfn*")}


def make(n):
    (DEVICE / "sriov_numvfs").write_text(str(n))


def link_of(function):
    return wait_until(lambda: next((DEVICE / function / "net").iterdir()).name, 60, f"a link of {function}")


@pytest.fixture(params=[False], ids=["plain"])
def probed(request):
    """Do the functions get drivers of this host?"""
    return request.param


def have_links():
    """Does a driver take the functions, and make links of them?"""
    run("modprobe", "igbvf", check=False)
    make(1)
    try:
        link_of("virtfn0")
    except AssertionError:
        return False
    finally:
        make(0)
    return True


@pytest.fixture
def host(make_host, probed):
    make(0)
    (DEVICE / "sriov_drivers_autoprobe").write_text("1" if probed else "0")
    if probed and not have_links():
        pytest.skip("no driver of this host makes links of virtual functions")
    host = make_host(own_network=False)
    yield host
    (DEVICE / "sriov_drivers_autoprobe").write_text("1")


with_links = pytest.mark.parametrize("probed", [True], indirect=True, ids=["with links"])


def test_promise_20_they_come_stay_and_go(host):
    done = host.apply(NIC % ("sriov0", "vfs: 2"), "--wait=120s")
    assert (count(), (DEVICE / "sriov_numvfs").read_text()) == (2, "2\n"), done
    assert len(json.loads(run("ip", "-j", "link", "show", "sriov0"))[0]["vfinfo_list"]) == 2
    make(0)
    # Sooner than by looking every minute: the kernel tells of it.
    wait_until(lambda: count() == 2, 40, "they are back")
    wait_until(lambda: any(e["type"] == "Repaired" and "count was 0 instead of 2" in json.dumps(e) for e in host.events()), 20, "an event says so")
    with contextlib.suppress(OSError):  # when weft was there first
        make(0)
        make(1)
    wait_until(lambda: count() == 2, 40, "they are two again")
    host.apply(NIC % ("sriov0", "up: true"), "--wait=120s")
    wait_until(lambda: count() == 0, 60, "as many as before weft")


def test_another_number_is_disruptive(host):
    host.apply(NIC % ("sriov0", "vfs: 2"), "--wait=120s")
    before = functions()
    three = host.scratch / "three.yaml"
    three.write_text(NIC % ("sriov0", "vfs: 3"))
    plan = host.weft("diff", "-f", three, "-o", "json", check=False)
    step, = [step for step in plan.json()["plan"] if step["resource"] == "vfs/sriov0"]
    assert plan.status == 3 and step["disruptive"] and "all virtual functions that sriov0 has go" in step["note"], plan
    refused = host.apply(three, check=False)
    assert refused.status == 1 and "--allow-disruption" in refused.err and functions() == before, refused
    host.apply(three, "--allow-disruption", "--wait=120s")
    wait_until(lambda: count() == 3, 60, "three of them")
    (DEVICE / "sriov_numvfs").read_text()  # waits for whoever still writes
    host.weft("delete", "ethernet", "sriov0")
    wait_until(lambda: count() == 0, 60, "as many as before weft")


@pytest.mark.lab_full
def test_what_was_there_is_taken_over_and_goes_back(host):
    make(2)
    before = functions()
    host.apply(NIC % ("sriov0", "vfs: 2, adopt: true"), "--wait=60s")
    assert functions() == before
    host.apply(NIC % ("sriov0", "vfs: 1, adopt: true"), "--allow-disruption", "--wait=120s")
    wait_until(lambda: count() == 1, 60)
    host.weft("delete", "ethernet", "sriov0")
    wait_until(lambda: count() == 2, 60, "as many as before weft")


@pytest.mark.lab_full
def test_a_restart_changes_nothing(host):
    host.apply(NIC % ("sriov0", "vfs: 2"), "--wait=120s")
    before = functions()
    host.restart()
    host.wait_ready("ethernet", "sriov0", 60)
    assert functions() == before and host.diff() == []


def held(host, why):
    """Neither another number nor its end, and nothing is touched."""
    before = functions()
    for change in (lambda: host.apply(NIC % ("sriov0", "vfs: 3"), "--allow-disruption", check=False),
                   lambda: host.weft("delete", "ethernet", "sriov0", check=False)):
        refused = change()
        assert refused.status == 1 and why in refused.err and "end that first" in refused.err, refused
        assert functions() == before
        wait_until(lambda: host.ready("ethernet", "sriov0"), 30, "all is as it was")


def test_one_that_a_process_has_by_vfio_stays(host):
    run("modprobe", "vfio-pci")
    host.apply(NIC % ("sriov0", "vfs: 2"), "--wait=120s")
    function = (DEVICE / "virtfn1").resolve()
    (function / "driver_override").write_text("vfio-pci")
    Path("/sys/bus/pci/drivers_probe").write_text(function.name)
    group = f"/dev/vfio/{(function / 'iommu_group').resolve().name}"
    with open(group, "r+b", buffering=0) as file:
        holder = subprocess.Popen(["sleep", "1000"], stdin=file)
    try:
        wait_until(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n", 20)
        held(host, f"virtual function 1 ({function.name}) is in use: process {holder.pid} (sleep) has {group} open")
    finally:
        holder.kill()
        holder.wait()
    host.apply(NIC % ("sriov0", "vfs: 3"), "--allow-disruption", "--wait=120s")
    wait_until(lambda: count() == 3, 60, "nobody uses it any more")


@with_links
def test_one_whose_link_is_used_stays(host):
    host.apply(NIC % ("sriov0", "vfs: 2"), "--wait=120s")
    link = link_of("virtfn0")
    run("udevadm", "settle")
    link = link_of("virtfn0")
    run("ip", "link", "add", "link", link, "name", "on9", "type", "macvlan")  # no bridge: it takes no port without a MAC, as these are here
    try:
        held(host, f"link 'on9' stands on its link '{link}', or has it as a port")
    finally:
        run("ip", "link", "del", "on9")
    run("ip", "netns", "add", "vf-user")
    try:
        run("ip", "link", "set", link, "netns", "vf-user")
        held(host, "its link is in another network namespace")
        run("ip", "-n", "vf-user", "link", "set", link, "netns", "1")
    finally:
        run("ip", "netns", "del", "vf-user")
    wait_until(lambda: link_of("virtfn0"), 60, "it is back")
    host.apply(NIC % ("sriov0", "vfs: 1"), "--allow-disruption", "--wait=120s")
    wait_until(lambda: count() == 1, 60)


@pytest.mark.lab_full
@with_links
def test_the_link_of_one_can_be_in_the_same_manifest(host):
    make(1)
    name = link_of("virtfn0")
    run("udevadm", "settle")
    name = link_of("virtfn0")
    make(0)
    host.apply(NIC % (name, "mtu: 1400") + "---" + NIC % ("sriov0", "vfs: 1"), "--wait=120s")
    assert link_of("virtfn0") == name and json.loads(run("ip", "-j", "link", "show", name))[0]["mtu"] == 1400


@pytest.fixture
def named():
    """The link of the only function is called vf7, and has a MAC from the first: without one no bridge takes it."""
    file = Path("/run/systemd/network/10-vf7.link")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("[Match]\nDriver=igbvf\n\n[Link]\nName=vf7\nMACAddress=52:54:00:00:00:77\n")
    run("udevadm", "control", "--reload")
    yield "vf7"
    file.unlink()
    run("udevadm", "control", "--reload")


def link_at(name):
    return json.loads(run("ip", "-j", "link", "show", "dev", name))[0]


PORT_OF = """
apiVersion: weft/v1
kind: %s
metadata: {name: up7}
spec: {%s}
---
"""


@with_links
@pytest.mark.parametrize("kind, spec", [
    ("Bridge", "ports: [vf7], defaultPvid: 0"),  # QEMU's functions take no VLANs
    pytest.param("Bond", "mode: active-backup, ports: [vf7]", marks=pytest.mark.lab_full),
    pytest.param("Vrf", "table: 77, links: [vf7]", marks=pytest.mark.lab_full),
    pytest.param("Macvlan", "link: vf7", marks=pytest.mark.lab_full),
])
def test_what_names_the_link_of_one_waits_for_it(host, named, kind, spec):
    """In the same apply, and whoever is lowered first; and both go at once, though the function is in use until then."""
    done = host.apply(PORT_OF % (kind, spec) + NIC % ("sriov0", "vfs: 1"), "--wait=120s")
    used = link_at("up7").get("link") == "vf7" if kind == "Macvlan" else link_at("vf7").get("master") == "up7"
    assert used and count() == 1, done
    file = host.scratch / "manifest.yaml"
    host.weft("delete", "-f", file, "--wait=120s")
    wait_until(lambda: count() == 0, 60, "as many as before weft")
    assert not Path("/sys/class/net/up7").exists()


@pytest.mark.lab_full
@with_links
def test_all_of_them_while_weftd_answers(host):
    answers, done = 0, []
    apply = threading.Thread(target=lambda: done.append(host.apply(NIC % ("sriov0", "vfs: 7"), "--wait=300s", check=False)))
    apply.start()
    while apply.is_alive():
        host.ask("/v1/history")
        answers += 0 < count() < 7
    apply.join()
    assert done[0].status == 0 and count() == 7, done
    assert answers, "while the functions came one by one"
    # By then udev has given their links names.
    names = {next((DEVICE / f"virtfn{i}/net").iterdir()).name for i in range(7)}
    assert len(names) == 7 and not any(name.startswith("eth") for name in names), names


@pytest.mark.parametrize("nic, vfs, why", [("sriov0", 8, "sriov0 can have 7 virtual functions at most"), ("spare0", 1, "spare0 is no NIC with SR-IOV"),
                                           ("nic9", 1, "nic9 does not exist")])
def test_what_cannot_be_had_is_refused(host, nic, vfs, why):
    refused = host.apply(NIC % (nic, f"vfs: {vfs}"), check=False)
    assert refused.status in (1, 2) and why in refused.err and count() == 0, refused


def test_import_says_them(host):
    make(3)
    documents = host.weft("import", "host", "-o", "json")
    nics = {o["metadata"]["name"]: o["spec"] for o in documents.json()["objects"]}
    assert nics["sriov0"]["vfs"] == 3 and "vfs" not in nics.get("spare0", {}), documents
    make(0)
