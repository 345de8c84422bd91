# SPDX-License-Identifier: Apache-2.0
"""A guest on a LUN of a Pool with two portals, all of it weft's: sessions, map and name. multipathd is as Debian leaves it, which makes no map by itself."""
import time

import pytest

import build
import vm
from test_luns import PORTALS, TARGET, guest, started, wwid
from test_service import until

WEFT = f"{build.INSIDE_BUILD}/weft"
POOL = f"""apiVersion: weft/v1
kind: Pool
metadata: {{name: san}}
spec: {{type: iscsi, portals: [{", ".join(PORTALS)}], target: {TARGET}, chap: {{user: host1, password: {{file: /etc/chap}}}}}}
---
apiVersion: weft/v1
kind: Lun
metadata: {{name: data}}
spec: {{pool: san, lun: 0}}
---
apiVersion: weft/v1
kind: Lun
metadata: {{name: fails}}
spec: {{pool: san, lun: 1}}
---
"""
# Paths are looked at sooner than by default. LUN 1 is somebody's own, who wants errors instead of waiting.
STRICT = f"""defaults {{
	find_multipaths strict
	polling_interval 2
	max_polling_interval 2
}}
multipaths {{
	multipath {{
		wwid {wwid(1)}
		alias own
		no_path_retry fail
	}}
}}
"""


@pytest.fixture
def san(request, restored, tmp_path):
    host = restored("servers")
    (host.share / "multipath.conf").write_text(STRICT)
    before = (f"set -e; cp {vm.SHARE}/multipath.conf /etc; umask 077; echo lab-secret-of-host1 >/etc/chap; "
              "modprobe -a dm_multipath dm_round_robin; systemctl start multipathd; multipathd show config >/dev/null; "
              "grep -v '^#' /etc/multipath/wwids >/tmp/wwids.before || true")
    with started(request, host, tmp_path, before) as san:
        yield san


def events(san, type):
    return int(san.sh(f"{WEFT} events -o json | jq -c 'if type == \"array\" then .[] else . end | select(.type == \"{type}\")' | wc -l"))


def stands_still(san, name):
    """It has not counted on for a while."""
    until(san, f"n() {{ tr -dc . </run/weft/guests/{name}/console.log | wc -c; }}; before=$(n); sleep 4; [ $(n) = $before ]", 60)


@pytest.mark.lab_full
def test_promise_15_both_paths_of_a_lun(san):
    """One away: nobody notices. Both: the guest whose I/O waits sees nothing of it; the one that is told of errors stands, and goes on by itself."""
    guests = {"db": "data", "web": "fails"}
    san.have(POOL, "pool san", "lun data", "lun fails")
    assert "find_multipaths" not in san.sh("cat /etc/multipath/conf.d/weft.conf")
    assert san.sh("dmsetup ls --target multipath | cut -f1 | sort").split() == ["own", "weft-data"], "and no map of the others"
    until(san, "[ $(multipathd show paths raw format '%d %m' | grep -cE 'weft-data|own') = 4 ]")
    for name, lun in guests.items():
        san.sh(f"dd if={vm.SHARE}/tiny.img of=/dev/weft/lun/{lun} bs=512 count=2 oflag=direct conv=fsync status=none")
    san.have("".join(guest(name, lun) for name, lun in guests.items()), *(f"guest {name}" for name in guests))
    qemus = san.sh("pgrep -f [q]emu-system")
    for name, lun in guests.items():
        san.is_counting(name)
        san.wait_well(lun)

    san.drop(PORTALS[1])
    for kind, name in (("lun", "data"), ("lun", "fails"), ("pool", "san")):
        san.wait(name, "True", f"{PORTALS[1]}:3260", kind=kind, type="Degraded")
    assert PORTALS[0] not in san.condition("data", type="Degraded")[1]
    for name in guests:
        san.is_counting(name)
    assert events(san, "GuestStands") == 0

    san.drop(PORTALS[0])
    san.wait("data", "True", "all paths are down", type="Degraded")
    san.wait("san", "True", "none of its portals answers", kind="pool", type="Degraded")
    san.wait("web", "True", "goes on by itself", kind="guest", type="Degraded", seconds=120)
    stands_still(san, "db")
    for command in ("status", "get all", "lun list", "describe guest db", "describe guest web"):
        san.sh(f"{WEFT} {command}", 10)
    time.sleep(25)  # longer than any look at a disk is given
    for name in guests:
        assert san.condition(name, kind="guest")[0] == "True", san.sh(f"{WEFT} describe guest {name}")
    assert events(san, "GuestStands") == 1 and events(san, "GuestResumed") == 0

    san.restore()
    for name in guests:
        san.is_counting(name, 120)
    until(san, f"[ $({WEFT} events -o json | grep -c GuestResumed) = 1 ]")
    for name, lun in guests.items():
        san.wait_well(lun, 120)
        san.wait(name, "True", kind="guest")
        assert "E" not in san.sh(f"cat /run/weft/guests/{name}/console.log").replace("BOOTED", "").replace("BYE", ""), "no error reached it"
    assert san.sh("pgrep -f [q]emu-system") == qemus, "the same QEMUs all the while"

    san.sh(f"{WEFT} delete --now --wait=120s guest/db guest/web lun/data lun/fails pool/san", 150)
    until(san, "[ -z \"$(dmsetup ls --target multipath | grep -v 'No devices')\" ] && ! ls -d /sys/class/iscsi_session/session*")
    san.sh("rmdir /etc/multipath/conf.d 2>/dev/null; grep -v '^#' /etc/multipath/wwids | diff /tmp/wwids.before -")
    san.sh(f"cmp /etc/multipath.conf {vm.SHARE}/multipath.conf")
