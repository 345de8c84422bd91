# SPDX-License-Identifier: Apache-2.0
"""What weftd makes of systemd's on a host that runs it: services for guests and helpers, mounts; what these outlive, and what of them comes
back. Driven from outside the lab's host, like test_service.py."""
import glob
import json
import os
import subprocess
from pathlib import Path

import pytest

import vm
from test_service import BUILD, check_made, fabric, lab, until  # noqa: F401
from workshop import SOURCE

GUEST = """
apiVersion: weft/v1
kind: Guest
metadata: {name: %s}
spec: {memory: {size: 32MiB}, disks: [{file: %s.img}], interfaces: [lan9], shutdownTimeout: 30s}
"""


@pytest.fixture
def guests(lab, tmp_path):  # noqa: F811
    """The lab with weftd running, and two guests that obey the power button."""
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", tmp_path / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", tmp_path / "tiny.o", "-o", tmp_path / "tiny.img"], check=True)
    os.truncate(tmp_path / "tiny.img", 1 << 20)
    (lab.share / "tiny.img").write_bytes((tmp_path / "tiny.img").read_bytes())
    (lab.share / "guests.yaml").write_text("---".join(GUEST % (name, name) for name in ("web", "db")))
    lab.agent.check("mkdir -p /var/lib/weft/files; for i in web db; do install -m 600 %s/tiny.img /var/lib/weft/files/$i.img; done; "
                    "cp %s/guests.yaml /etc/weft/; systemctl start weftd" % (vm.SHARE, vm.SHARE))
    check_made(lab)
    check_booted(lab)
    return lab


def check_booted(lab):  # noqa: F811
    until(lab, "weft get guests -o json >/dev/null && grep -q BOOTED /run/weft/guests/web/console.log && grep -q BOOTED /run/weft/guests/db/console.log", 120)


def show(lab, unit, *properties):  # noqa: F811
    out = lab.agent.check(f"systemctl show -p {','.join(properties)} '{unit}'")
    return dict(line.split("=", 1) for line in out.splitlines())


def everything(lab):  # noqa: F811
    """What must not change while weftd does."""
    return fabric(lab), lab.agent.check("pgrep -f [q]emu-system.*guest= | sort")


def test_of_systemd(lab):  # noqa: F811
    """The unit test of the requests to systemd, where there is one."""
    program, library = BUILD / "tests/test-unit", glob.glob("/usr/lib/*/libcmocka.so.0")[0]
    for name, path in {"test-unit": program, "libcmocka.so.0": library}.items():
        (lab.share / name).write_bytes(Path(path).read_bytes())
    print(lab.agent.check(f"cd /usr/local/libexec/weft; install -m 755 {vm.SHARE}/test-unit .; LD_LIBRARY_PATH={vm.SHARE} ./test-unit 2>&1", 120))


@pytest.mark.lab
def test_guests_and_helpers_are_units_that_outlive_weftd(guests):
    lab = guests  # noqa: F811
    pid = lab.agent.check("pgrep -f [q]emu-system.*guest=web,").strip()
    assert show(lab, "weft-guest-web", "MainPID", "Slice", "OOMPolicy", "Delegate", "KillMode", "ActiveState") == {
        "MainPID": pid, "Slice": "machine.slice", "OOMPolicy": "continue", "Delegate": "yes", "KillMode": "mixed", "ActiveState": "active"}
    assert show(lab, "weft-dnsmasq-lan9", "Slice", "MainPID") == {"Slice": "system.slice", "MainPID": lab.agent.check("pgrep -x dnsmasq").strip()}
    assert lab.agent.check(f"cat /proc/{pid}/cgroup").strip() == "0::/machine.slice/weft-guest-web.service"
    assert show(lab, "weftd", "KillMode")["KillMode"] == "mixed"
    main = show(lab, "weftd", "MainPID")["MainPID"]
    assert lab.agent.check("cat /sys/fs/cgroup/system.slice/weftd.service/cgroup.procs").split() == [main]
    if lab.agent.run("command -v machinectl")[0] == 0:
        assert {(m["machine"], m["class"], m["service"]) for m in json.loads(lab.agent.check("machinectl list -o json"))} == {
            ("weft-guest-web", "vm", "weft"), ("weft-guest-db", "vm", "weft")}
    before = everything(lab)
    lab.agent.check("systemctl restart weftd")
    assert everything(lab) == before, "a restart changes nothing"
    lab.agent.check("systemctl kill --signal=KILL --kill-whom=main weftd")
    until(lab, f"systemctl is-active weftd && [ $(systemctl show -P MainPID weftd) != {main} ]")
    assert everything(lab) == before, "a crash changes nothing"
    lab.agent.check("systemctl daemon-reexec", 60)
    assert everything(lab) == before, "nor does another systemd"
    lab.agent.check("systemctl stop weftd")
    assert lab.agent.check("pgrep -f [q]emu-system.*guest= | sort") == before[1], "guests outlive weftd"


@pytest.mark.lab_full
def test_a_weftd_that_hangs_is_killed_by_the_watchdog(guests):
    lab = guests  # noqa: F811
    lab.agent.check("mkdir -p /run/systemd/system/weftd.service.d; printf '[Service]\\nWatchdogSec=4\\n' >/run/systemd/system/weftd.service.d/w.conf; "
                    "systemctl daemon-reload; systemctl restart weftd")
    before, main = everything(lab), show(lab, "weftd", "MainPID")["MainPID"]
    lab.agent.check(f"kill -STOP {main}")
    until(lab, "[ $(systemctl show -P NRestarts weftd) = 1 ] && systemctl is-active weftd", 60)
    assert show(lab, "weftd", "MainPID")["MainPID"] != main
    assert "watchdog" in lab.agent.check("journalctl -b -u weftd --no-pager -o cat").lower()
    assert everything(lab) == before


def test_what_ends_is_forgotten_and_may_start_again(guests):
    lab = guests  # noqa: F811
    pid = lab.agent.check("pgrep -f [q]emu-system.*guest=web,").strip()
    for _ in range(2):
        lab.agent.check("kill -KILL $(pgrep -f [q]emu-system.*guest=web,); kill -KILL $(pgrep -x dnsmasq)")
        until(lab, f"pgrep -x dnsmasq && pgrep -f [q]emu-system.*guest=web, | grep -vx {pid} && weft diff")
        pid = lab.agent.check("pgrep -f [q]emu-system.*guest=web,").strip()
    assert show(lab, "weft-guest-web", "MainPID", "ActiveState") == {"MainPID": pid, "ActiveState": "active"}
    lab.agent.check("weft guest kill web")
    until(lab, "! pgrep -f [q]emu-system.*guest=web,")
    until(lab, "! systemctl list-units --all --no-legend 'weft-guest-web*' | grep .")
    assert lab.agent.check("systemctl --failed --no-legend") == ""
    lab.agent.check("weft guest start web")
    until(lab, "systemctl is-active weft-guest-web")


def test_a_bus_that_hangs_is_said_and_waited_for(guests):
    lab = guests  # noqa: F811
    before = everything(lab)
    lab.agent.check("kill -STOP $(systemctl show -P MainPID dbus)")
    try:
        lab.agent.check("kill -KILL $(pgrep -x dnsmasq)")
        until(lab, "timeout 5 weft describe network lan9 | grep -i 'D-Bus'", 90)
        lab.agent.check("timeout 5 weft get guests")
    finally:
        lab.agent.check("kill -CONT $(systemctl show -P MainPID dbus || pgrep -x dbus-daemon)")
    until(lab, "pgrep -x dnsmasq && weft diff", 120)
    assert everything(lab)[1] == before[1]


@pytest.mark.lab
def test_a_reboot_asks_the_guests_and_brings_all_back(guests):
    """The witnesses of the host's last moments are its journal, and a service that nothing stops."""
    lab = guests  # noqa: F811
    lab.agent.check("mkdir -p /var/log/journal; journalctl --flush; "
                    "systemd-run -q --unit=witness -p DefaultDependencies=no sh -c 'exec tail -F /run/weft/guests/web/console.log >/var/tmp/heard'")
    assert show(lab, "weft-guests", "ActiveState")["ActiveState"] == "active", "weftd has brought it"
    lab.reboot()
    check_made(lab)
    check_booted(lab)
    until(lab, "weft diff", 120)
    assert lab.agent.check("systemctl --failed --no-legend") == ""
    assert "BYE" in lab.agent.check("cat /var/tmp/heard"), "the guest has heard the power button"
    last = lab.agent.check("journalctl -b -1 -o cat --no-pager").splitlines()
    # systemd may tell of the guest's end a moment after that of the service which has waited for it.
    for ends in "weft-guest-web.service: Deactivated", "Stopped weft-guests.service":
        order = [next(i for i, line in enumerate(last) if line.startswith(text)) for text in (
            "Stopping weft-guests.service", ends, "Stopping weftd.service",
            "Stopped weftd.service", "Stopping weft-dnsmasq-lan9.service", "Stopped target local-fs.target")]
        assert order == sorted(order), ends
    assert not [line for line in last if "did not shut down" in line]


def test_what_was_stopped_stays_off_over_a_reboot(guests):
    lab = guests  # noqa: F811
    lab.agent.check("weft guest stop db")
    until(lab, "! pgrep -f [q]emu-system.*guest=db,")
    lab.reboot()
    check_made(lab)
    until(lab, "grep -q BOOTED /run/weft/guests/web/console.log && weft diff", 120)
    assert lab.agent.run("pgrep -f [q]emu-system.*guest=db,")[0] == 1


def test_a_service_of_guests_that_is_stopped_by_hand(guests):
    lab = guests  # noqa: F811
    lab.agent.check("systemctl stop weft-guests", 120)
    assert lab.agent.run("pgrep -f [q]emu-system.*guest=")[0] == 1
    assert lab.agent.check("weft get guests -o json").count("host goes down") >= 2
    lab.agent.check("systemctl start weft-guests")
    check_booted(lab)
    before = everything(lab)
    lab.agent.check("systemctl restart weftd")
    assert everything(lab) == before, "and weftd's restart does not stop it"


def test_many_weftds_beside_each_other(lab):  # noqa: F811
    for name, number in (("one", 1), ("two", 2)):
        (lab.share / f"{name}.yaml").write_text("apiVersion: weft/v1\nkind: Network\nmetadata: {name: %s}\nspec: {mode: isolated, "
                                                "addresses: [10.8.%u.1/24], dhcp: {range: 10.8.%u.10-10.8.%u.20}}\n" % (name, *[number] * 3))
        lab.agent.check(f"mkdir /srv/{name}; cd /; setsid weftd --root /srv/{name} >/srv/{name}/log 2>&1 </dev/null &")
        until(lab, f"weft --socket /srv/{name}/run/weft.sock apply -f {vm.SHARE}/{name}.yaml --wait=30s")
    units = lab.agent.check("systemctl list-units --no-legend --plain 'weft-*-dnsmasq-*' | cut -d' ' -f1").split()
    assert sorted(units) == sorted(f"weft-{lab.agent.check(f'cat /srv/{name}/lib/instance').strip()}-dnsmasq-{name}.service" for name in ("one", "two"))
    # One in a network namespace of its own cannot have what it starts started by systemd, which stands in another.
    lab.agent.check("ip netns add three; cd /; mkdir /srv/three; setsid ip netns exec three weftd --root /srv/three >/srv/three/log 2>&1 </dev/null &")
    until(lab, f"weft --socket /srv/three/run/weft.sock apply -f {vm.SHARE}/one.yaml --wait=30s")
    pid = json.loads(lab.agent.check("cat /srv/three/run/networks/one/process.json"))["pid"]
    assert lab.agent.check(f"ip netns identify {pid}").strip() == "three"
