# SPDX-License-Identifier: Apache-2.0
"""Two hosts on one wire: nothing of one is taken for the other, and they reach each other."""
import pytest

WHO = ("hostname", "cat /etc/machine-id", "cat /etc/iscsi/initiatorname.iscsi", "cat /sys/class/net/wire0/address", "cat /sys/class/net/spare0/address",
       "cat /proc/sys/kernel/random/uuid")
SERVERS = ("192.0.2.0/24", "198.51.100.0/24")  # states/servers.sh
TARGET = "iqn.2003-01.org.linux-iscsi.san:sn.1"


@pytest.mark.lab
def test_two_hosts_differ_and_reach_each_other(pair):
    a, b = pair
    for command in WHO:
        assert a.agent.check(command) != b.agent.check(command), command
    for host, addresses in ((a, ("10.66.0.2", "fd66::2")), (b, ("10.66.0.1", "fd66::1", "lab-a"))):
        for address in addresses:
            host.agent.check(f"ping -n -c 3 -i 0.2 -W 10 {address}")


@pytest.mark.pair_state("servers")
def test_a_target_of_one_serves_the_other(pair):
    a, b = pair
    for network in SERVERS:
        b.agent.check(f"ip route add {network} via 10.66.0.1")
    b.agent.check("cd /srv/weft/tests/lab/states; set -e; . ./lib.sh; initiator", 120)
    disk = b.agent.check(f"readlink -f /dev/disk/by-path/ip-192.0.2.60:3260-iscsi-{TARGET}-lun-1").strip()
    b.agent.check(f"echo written by b | dd of={disk} bs=512 conv=sync oflag=direct")
    assert a.agent.check("head -c 12 /var/lab/luns/1") == "written by b"
