# SPDX-License-Identifier: Apache-2.0
"""Names of LUNs that last, on an iSCSI target with two portals and multipathd: what they lead to is read from the kernel's links, its sysfs, and the bytes
on the disks. weftd is a service of the host, as udev, multipathd and iscsid speak to no other network namespace."""
import contextlib
import json
import os
import subprocess

import pytest

import build
import vm
from test_service import until
from workshop import SOURCE

WEFT = f"{build.INSIDE_BUILD}/weft"
TARGET = "iqn.2003-01.org.linux-iscsi.san:sn.1"
PORTALS = ("192.0.2.60", "198.51.100.60")
LINK = "/dev/weft/lun"


def wwid(n):
    return f"36001405a000000{n}00004000800000000"


def lun(name, n, fields=""):
    return f'apiVersion: weft/v1\nkind: Lun\nmetadata: {{name: {name}}}\nspec: {{wwid: "{wwid(n)}"{fields}}}\n---\n'


def guest(name, disk, fields=""):
    return (f"apiVersion: weft/v1\nkind: Guest\nmetadata: {{name: {name}}}\n"
            f"spec: {{memory: {{size: 32MiB}}, disks: [{{lun: {disk}}}], rng: false, balloon: false, shutdownTimeout: 1s{fields}}}\n---\n")


class San:
    """The host with the target, sessions, maps and weftd."""

    def __init__(self, host):
        self.agent = host.agent
        self.host = host

    def sh(self, command, seconds=60):
        return self.agent.check(command, seconds).strip()

    def start_weftd(self):
        self.sh(f"printf '[Service]\\nExecStart=%s\\n' {build.INSIDE_BUILD}/weftd >/run/systemd/system/weftd.service; systemctl daemon-reload; systemctl start weftd")
        until(self, f"{WEFT} history")

    def apply(self, text):
        (self.host.share / "luns.yaml").write_text(text)
        return self.agent.run(f"{WEFT} apply -f {vm.SHARE}/luns.yaml", 120)

    def have(self, text, *objects):
        """Applied, and these are Ready: "kind name"."""
        status, out = self.apply(text)
        assert status == 0, out
        for kind, name in (one.split() for one in objects):
            self.wait(name, "True", kind=kind, seconds=180)

    def condition(self, name, kind="lun", type="Ready"):
        """(status, message) of one"""
        status = json.loads(self.sh(f"{WEFT} get {kind} {name} -o json"))["status"]
        found = [c for c in status["conditions"] if c["type"] == type]
        return (found[0]["status"], found[0].get("message", "")) if found else ("none", "")

    def wait(self, name, status, part="", kind="lun", type="Ready", seconds=90):
        flag = f'any(.status.conditions[]; .type == "{type}" and .status == "{status}" and ((.message // "") | contains("{part}")))'
        try:
            return until(self, f"{WEFT} get {kind} {name} -o json | jq -e '{flag}'", seconds)
        except AssertionError:
            raise AssertionError(f"{kind} {name} is not {type} {status} '{part}': {self.sh(f'{WEFT} describe {kind} {name}')}") from None

    def wait_well(self, name, seconds=90):
        until(self, f"""{WEFT} get lun {name} -o json | jq -e 'any(.status.conditions[]; .type == "Ready" and .status == "True") and """
                    """all(.status.conditions[]; .type != "Degraded" or .status != "True")'""", seconds)

    def leads_to(self, name):
        """What the link is: the WWID as the kernel has it, and the word on its third sector."""
        device = self.sh(f"basename $(readlink -f {LINK}/{name})")
        found = self.sh(f"cat /sys/block/{device}/dm/uuid /sys/block/{device}/device/wwid 2>/dev/null || true")
        return found, self.sh(f"dd if={LINK}/{name} bs=512 skip=2 count=1 iflag=direct status=none | tr -d '\\0'")

    def write_word(self, path, word):
        self.sh(f"(echo -n {word}; head -c 512 /dev/zero) | head -c 512 | dd of={path} bs=512 seek=2 count=1 oflag=direct conv=fsync status=none")

    def logout(self):
        self.sh("vgchange -qq -an vg0; udevadm settle; multipath -F; iscsiadm -m node -u", 120)

    def login(self, *portals):
        for portal in portals:
            self.sh(f"iscsiadm -m node -T {TARGET} -p {portal} --login", 90)
        self.sh("udevadm settle", 60)

    def list(self, name):
        return next((lun for lun in json.loads(self.sh(f"{WEFT} lun list -o json 2>/dev/null")) if lun.get("name") == name), None)

    def add_lun(self, number, serial):
        """A file as another LUN of the target."""
        self.sh(f"set -e; core=/sys/kernel/config/target/core/fileio_0/{number}; tpg=/sys/kernel/config/target/iscsi/{TARGET}/tpgt_1; "
                f"truncate -s 1G /var/lab/luns/{number}; mkdir -p $core; echo fd_dev_name=/var/lab/luns/{number},fd_dev_size=1073741824 >$core/control; "
                f"echo {serial} >$core/wwn/vpd_unit_serial; echo 1 >$core/enable; mkdir -p $tpg/lun/lun_{number}; "
                f"ln -s $core $tpg/lun/lun_{number}/backstore; iscsiadm -m session --rescan; udevadm settle")

    def remove_lun(self, number):
        self.sh(f"set -e; tpg=/sys/kernel/config/target/iscsi/{TARGET}/tpgt_1; rm $tpg/lun/lun_{number}/backstore; rmdir $tpg/lun/lun_{number}; "
                f"for d in /sys/bus/scsi/devices/*:{number}; do echo 1 >$d/delete; done; udevadm settle")

    def resize_lun_3(self, size):
        self.sh(f"truncate -s {size} /var/lab/luns/3 && losetup -c /dev/loop77 && iscsiadm -m session --rescan && "
                "for d in /sys/bus/scsi/devices/*:3; do echo 1 >$d/rescan; done; udevadm settle")

    def drop(self, *portals):
        for portal in portals:
            self.sh(f"iptables -I INPUT -d {portal} -p tcp --dport 3260 -j DROP")

    def restore(self):
        self.sh("iptables -F INPUT")

    def multipathd(self, signal):
        self.sh(f"kill -{signal} $(pidof multipathd)")

    def size_in_guest(self, name):
        """What its QEMU says of its disk. weftd, which holds the monitor, is restarted for that."""
        self.sh("systemctl stop weftd")
        (self.host.share / "ask.py").write_text(
            "import json, socket\ns = socket.socket(socket.AF_UNIX)\n"
            f"s.connect('/run/weft/guests/{name}/qmp.sock')\nf = s.makefile('rw')\n"
            "for order in ('qmp_capabilities', 'query-block'):\n"
            "    f.write(json.dumps({'execute': order}))\n    f.flush()\n"
            "    while 'return' not in (answer := json.loads(f.readline())):\n        pass\n"
            "print(answer['return'][0]['inserted']['image']['virtual-size'])\n")
        size = int(self.sh(f"python3 {vm.SHARE}/ask.py"))
        self.start_weftd()
        return size

    def dots(self, name):
        """How far a guest has counted on its disk."""
        return int(self.sh(f"tr -dc . </run/weft/guests/{name}/console.log | wc -c"))

    def is_counting(self, name, seconds=90):
        before = self.dots(name)
        until(self, f"[ $(tr -dc . </run/weft/guests/{name}/console.log | wc -c) -gt {before + 1} ]", seconds)


def tiny(san, directory):
    """The guest of two sectors, as tiny.img in the share."""
    subprocess.run(["as", SOURCE / "tests/data/tiny-guest.S", "-o", directory / "tiny.o"], check=True)
    subprocess.run(["ld", "--oformat", "binary", "-Ttext", "0x7c00", directory / "tiny.o", "-o", directory / "tiny.img"], check=True)
    os.truncate(directory / "tiny.img", 1024)
    (san.host.share / "tiny.img").write_bytes((directory / "tiny.img").read_bytes())


@contextlib.contextmanager
def started(request, host, directory, before):
    """The host with the guest of two sectors and a weftd; `before` is done before that begins. What is there is printed when a test fails."""
    san = San(host)
    tiny(san, directory)
    san.sh("mkdir -p /etc/target/pr")  # without it LIO does what reservations ask, and says that it failed
    san.sh(before)
    san.start_weftd()
    failed = request.session.testsfailed
    yield san
    if request.session.testsfailed > failed:
        print(san.agent.run(f"{WEFT} get all; {WEFT} describe guest db; journalctl -u weftd -u multipathd --no-pager -n 60; multipath -ll", 60)[1])


@pytest.fixture
def san(request, restored, tmp_path):
    names = "sed -i '/^multipaths/,$d' /etc/multipath.conf; multipathd reconfigure"  # of ours, not of the state's
    before = "cp /etc/multipath.conf /tmp/multipath.conf.before; ls /etc/udev/rules.d /etc/multipath >/tmp/before"
    with started(request, restored("storage"), tmp_path, f"{names}; {before}") as san:
        yield san


def assert_host_as_before(san):
    san.sh(f"{WEFT} delete --now --wait=60s $({WEFT} get all -o json | jq -r '.[] | .kind + \"/\" + .metadata.name')", 120)
    assert san.sh("[ -e /dev/weft ] || ls /var/lib/weft/luns") == ""
    san.sh("rmdir /etc/multipath/conf.d 2>/dev/null; ls /etc/udev/rules.d /etc/multipath | diff /tmp/before -")
    san.sh("cmp /etc/multipath.conf /tmp/multipath.conf.before")


@pytest.mark.lab
def test_promise_16_names_keep_to_their_disks(san):
    """After logout, and login in another order, without weftd; and whatever is not plainly the same disk starts no guest."""
    san.have(lun("data", 0) + lun("grows", 3), "lun data", "lun grows")
    for n, name in ((0, "data"), (3, "grows")):
        san.write_word(f"{LINK}/{name}", f"word-{n}")
    before = {name: san.leads_to(name) for name in ("data", "grows")}
    assert before["data"] == (f"mpath-{wwid(0)}", "word-0") and before["grows"] == (f"mpath-{wwid(3)}", "word-3")
    assert "weft-data" in san.sh("ls /dev/mapper")

    san.sh("systemctl stop weftd")
    devices = san.sh(f"readlink -f {LINK}/*; ls -l /sys/block | grep -o 'host.*sd.'")
    san.logout()
    assert san.sh(f"ls {LINK} 2>/dev/null || true") == ""
    san.sh("modprobe scsi_debug dev_size_mb=8 num_tgts=3 add_host=1; udevadm settle")  # takes the first letters
    san.login(*reversed(PORTALS))
    until(san, f"[ -e {LINK}/data ] && [ -e {LINK}/grows ]")
    assert {name: san.leads_to(name) for name in before} == before, "the same disks, without weftd"
    assert san.sh(f"readlink -f {LINK}/*; ls -l /sys/block | grep -o 'host.*sd.'") != devices, "under other names of the kernel"
    san.start_weftd()
    san.wait_well("data")
    assert san.agent.run(f"{WEFT} diff")[0] == 0

    # Two LUNs that say one WWID: it is made of the first 25 digits of the serial number.
    san.add_lun(7, "a0000000-0000-4000-8000-000000000777")
    san.wait("data", "False", f"two disks say that they are WWID {wwid(0)}")
    san.apply(guest("db", "data"))
    san.wait("db", "False", "waits for lun/data", kind="guest")
    assert san.agent.run("pgrep -f [q]emu-system")[0] == 1, "no guest starts on either"
    san.remove_lun(7)
    san.wait("db", "True", kind="guest")

    # Another disk under the name.
    status, out = san.apply(lun("data", 1))
    assert status == 2 and f"is bound to the disk with WWID {wwid(0)}" in out
    assert_host_as_before(san)


@pytest.mark.lab_full
def test_hung_multipathd(san):
    """What is known is answered at once, and said to be old; what comes back needs no hand."""
    san.have(lun("data", 0), "lun data")
    seen = until(san, f"{WEFT} lun list -o json | jq -ce '.[] | select(.name == \"data\" and (.paths | length) == 2 and .policy != null)'")
    seen = json.loads(seen)
    assert (seen["wwid"], seen["size"], seen["transport"], seen["vendor"], seen["map"]) == (wwid(0), 1 << 30, "iscsi", "LIO-ORG", "weft-data")
    assert {path["name"] for path in seen["paths"]} == {f"{portal}:3260" for portal in PORTALS} and {path["state"] for path in seen["paths"]} == {"up"}
    group = json.loads(san.sh(f"{WEFT} lun list -o json | jq -c '[.[] | select(.users | index(\"volume group vg0\"))]'"))
    assert [lun["wwid"] for lun in group] == [wwid(2)]
    san.multipathd("STOP")
    try:
        for command in ("lun list", "get luns", "status", "get all"):
            san.sh(f"{WEFT} {command}", 10)
        san.sh("udevadm trigger /dev/disk/by-id/dm-uuid-mpath-" + wwid(0))
        san.wait("data", "True", "multipathd does not answer", type="Degraded")
        until(san, f"{WEFT} lun list 2>&1 | grep -q 'multipathd does not answer'")
        assert san.list("data")["wwid"] == wwid(0), "what is there is the kernel's to say"
    finally:
        san.multipathd("CONT")
    san.wait_well("data")
    assert_host_as_before(san)


@pytest.mark.lab_full
def test_promise_16_a_disk_that_shrank(san):
    """It may grow, and a running guest hears of it; from then on it must not be smaller."""
    san.have(lun("grows", 3, ", multipath: true") + guest("db", "grows"), "lun grows", "guest db")
    san.resize_lun_3("1500M")
    until(san, f"[ $(blockdev --getsize64 {LINK}/grows) = {1500 << 20} ]", 90)
    san.wait_well("grows")
    until(san, "jq -e '.size == 1572864000' /var/lib/weft/luns/grows.json")
    assert san.size_in_guest("db") == 1500 << 20
    san.sh(f"{WEFT} delete --now --wait=60s guest/db")
    san.resize_lun_3("1100M")
    san.wait("grows", "False", "it shrank")
    san.apply(guest("db", "grows"))
    san.wait("db", "False", "waits for lun/grows", kind="guest")
    assert san.agent.run("pgrep -f [q]emu-system")[0] == 1, "no guest starts on it"
    san.resize_lun_3("1500M")
    san.wait("db", "True", kind="guest")
    san.sh("pgrep -f [q]emu-system")
    assert_host_as_before(san)


@pytest.mark.lab_full
def test_paths_that_die_and_come_back(san):
    """A guest counts on a LUN all the while: one path away, both away, a path's disk deleted under it."""
    san.have(lun("data", 0) + "apiVersion: weft/v1\nkind: Pool\nmetadata: {name: fabric}\nspec: {type: multipath}\n", "lun data", "pool fabric")
    san.sh(f"dd if={vm.SHARE}/tiny.img of={LINK}/data bs=512 count=2 oflag=direct conv=fsync status=none")
    san.have(guest("db", "data"), "guest db")
    qemu = san.sh("pgrep -f [q]emu-system")
    san.is_counting("db")

    san.drop(PORTALS[1])
    san.wait("data", "True", f"path {PORTALS[1]}:3260", type="Degraded")
    san.wait("fabric", "True", f"path {PORTALS[1]}:3260", kind="pool", type="Degraded")
    san.is_counting("db")
    san.drop(PORTALS[0])
    san.wait("data", "True", "all paths are down", type="Degraded")
    san.restore()
    san.wait_well("data", 120)
    san.is_counting("db", 120)

    disk = san.list("data")["paths"][0]
    san.sh(f"echo 1 >/sys/block/{os.path.basename(disk['device'])}/device/delete")
    san.wait("data", "True", f"path {disk['name']} is gone", type="Degraded")
    san.is_counting("db")
    san.sh("iscsiadm -m session --rescan; udevadm settle")
    san.wait_well("data")
    assert san.sh("pgrep -f [q]emu-system") == qemu, "the same QEMU all the while"
    assert "E" not in san.sh("cat /run/weft/guests/db/console.log").replace("BOOTED", ""), "and no error in it"
    assert_host_as_before(san)


@pytest.mark.lab_full
def test_a_lun_is_reserved_for_its_guests_host(san):
    """On the disk itself: an initiator that is not this host's cannot write; another host's reservation keeps the guest off until a person breaks it."""
    status = "sg_persist --in --read-full-status /dev/disk/by-id/dm-uuid-mpath-" + wwid(0)
    san.have(lun("data", 0) + guest("db", "data"), "lun data", "guest db")
    key = "0x" + json.loads(san.sh(f"{WEFT} lease list -o json"))[0]["instance"].lstrip("0")
    seen = san.sh(status)
    assert seen.count(f"Key={key}") == 2 and "Write Exclusive, registrants only" in seen, "both paths are registered"
    san.multipathd("STOP")  # it would make the session another path of the map, and register it
    try:
        record = f"iscsiadm -m node -T {TARGET} -p {PORTALS[0]} -I other"
        san.sh("iscsiadm -m iface -I other -o new; iscsiadm -m iface -I other -o update -n iface.initiatorname -v iqn.1993-08.org.debian:01:other")
        san.sh(f"{record} -o new; for i in authmethod=CHAP username=host1 password=lab-secret-of-host1; do "
               f"{record} -o update -n node.session.auth.${{i%=*}} -v ${{i#*=}}; done; {record} --login", 120)
        disk = until(san, f"for d in /sys/block/sd*; do grep -q {wwid(0)[1:]} $d/device/wwid && [ -z \"$(ls $d/holders)\" ] && basename $d && exit 0; done; "
                          "exit 1").strip()
        assert san.agent.run(f"dd if=/dev/zero of=/dev/{disk} bs=512 seek=100 count=1 oflag=direct")[0] == 1
        san.sh(f"dd if=/dev/{disk} of=/dev/null bs=512 seek=100 count=1 iflag=direct")
        san.sh(f"{WEFT} delete --now --wait=60s guest/db", 90)
        until(san, f"{status} | grep -q 'No full status descriptors'")

        san.agent.run(f"for i in 1 2 3; do sg_persist --out --register-ignore --param-sark=0x777 /dev/{disk}; done; "
                      f"sg_persist --out --reserve --param-rk=0x777 --prout-type=5 /dev/{disk}")
        assert "Key=0x777" in san.sh(status)
        (other,) = [lease for lease in json.loads(san.sh(f"{WEFT} lease list -o json")) if lease["instance"] == "0000000000000777"]
        assert (other["host"], other["guest"], other["since"]) == ("iqn.1993-08.org.debian:01:other", None, None), "what is known, and nothing else"
        assert "1970" not in san.sh(f"{WEFT} lease list")
        san.apply(guest("db", "data"))
        san.wait("db", "False", "reserved by another host (key 0000000000000777)", kind="guest")
        assert san.agent.run("pgrep -f [q]emu-system")[0] == 1
        san.sh(f"{WEFT} lease break --yes data")
        san.wait("db", "True", kind="guest")
        seen = san.sh(status)
        assert "0x777" not in seen and f"Key={key}" in seen
        assert san.agent.run(f"dd if=/dev/zero of=/dev/{disk} bs=512 seek=100 count=1 oflag=direct")[0] == 1
        san.sh(f"{record} -u")
    finally:
        san.multipathd("CONT")
    assert_host_as_before(san)
    assert "No full status descriptors" in san.sh(status), "and nothing of it stays on the disk"


@pytest.mark.lab_full
def test_names_after_a_reboot(san):
    """Also while weftd does not run."""
    san.have(lun("data", 0) + lun("grows", 3), "lun data", "lun grows")
    san.write_word(f"{LINK}/data", "word-0")
    san.sh("systemctl stop weftd; umount -l /mnt/images; systemctl stop nfs-server")
    san.logout()
    san.host.reboot()
    (san.host.share / "after").mkdir()
    for script in (SOURCE / "tests/lab/states").iterdir():
        (san.host.share / "after" / script.name).write_bytes(script.read_bytes())
    san.sh(f"cd {vm.SHARE}/after && bash -e -c '. ./servers.sh; systemctl start multipathd iscsid; iscsiadm -m node -T $TARGET --login'", 240)
    until(san, f"[ -e {LINK}/data ] && [ -e {LINK}/grows ]", 240)
    assert san.leads_to("data") == (f"mpath-{wwid(0)}", "word-0")
    assert san.leads_to("grows")[0] == f"mpath-{wwid(3)}"
