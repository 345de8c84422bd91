# SPDX-License-Identifier: Apache-2.0
"""Two hosts on one wire. Both go on from a saved state, so each gets a name, addresses and numbers of its own before anything can take
them for one: hostname, machine-id, MACs, and its names for iSCSI and NFS."""
import contextlib
import shutil
import tempfile
from pathlib import Path

NAMES = ("lab-a", "lab-b")
WIRE = "wire0"
# Run in the host.
IDENTITY = """set -e
hostnamectl set-hostname {name} 2>/dev/null || hostname {name}
printf '127.0.0.1 localhost {name}\\n::1 localhost\\n10.66.0.1 lab-a\\n10.66.0.2 lab-b\\n' >/etc/hosts
rm -f /etc/machine-id /var/lib/dbus/machine-id
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
for link in spare0 spare1 sriov0 far0 wire0; do
	[ -e /sys/class/net/$link ] || continue
	mac=$(cat /sys/class/net/$link/address)
	ip link set $link address ${{mac%:*:*}}:5{number}:${{mac##*:}}
done
echo "InitiatorName=iqn.2024-01.test.lab:{name}" >/etc/iscsi/initiatorname.iscsi
mkdir -p /etc/modprobe.d
echo "options nfs nfs4_unique_id={name}" >/etc/modprobe.d/nfs-name.conf
ip addr add 10.66.0.{number}/24 dev {wire}
ip addr add fd66::{number}/64 dev {wire} nodad
ip link set {wire} up
"""


@contextlib.contextmanager
def pair(kit, directory, disks=None, state="base"):
    """Both hosts, up: 10.66.0.1 and fd66::1 is the first, on wire0, and goes on from `state`; 10.66.0.2 and fd66::2 has booted only."""
    ends = Path(tempfile.mkdtemp(prefix="weft-wire-"))  # socket names are short
    hosts = []
    try:
        for number, name in enumerate(NAMES, 1):
            wire = f"dgram,local.type=unix,local.path={ends}/{number},remote.type=unix,remote.path={ends}/{3 - number}"
            hosts.append(kit.restore(Path(directory) / name, state if number == 1 else "base", disks=disks, wire=wire))
            hosts[-1].agent.check(IDENTITY.format(name=name, number=number, wire=WIRE))
        yield hosts
    finally:
        for host in hosts:
            host.close()
        shutil.rmtree(ends, ignore_errors=True)
