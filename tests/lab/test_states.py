# SPDX-License-Identifier: Apache-2.0
"""What the lab promises to tests is there, alive after being restored: its saved states, its machine, and the managers that are off until
somebody wants them."""
import pytest

LUNS = range(4)
# And by what it is seen that they work.
MANAGERS = {
    "openvswitch-switch": "ovs-vsctl add-br probe && ovs-dpctl show | grep -q system@ovs-system && ovs-vsctl del-br probe",
    "NetworkManager": "nmcli -g RUNNING general | grep -q running",
    "systemd-networkd": "networkctl list --no-pager | grep -q spare0",
    "firewalld": "firewall-cmd --state",
    "libvirtd": "virsh -c qemu:///system list && [ -d /etc/libvirt/hooks ]",
    "lvmlockd": "lvmlockctl --info",
}


@pytest.mark.lab
def test_storage(restored):
    host = restored("storage")
    check = host.agent.check
    for n in LUNS:
        assert check(f"multipathd show paths raw format '%m %t' | grep -c '^lun{n} active'").strip() == "2", f"two paths of lun{n}"
    check("lvcreate -qq -y -L 64M -n probe vg0 && dd if=/dev/zero of=/dev/vg0/probe bs=1M count=8 oflag=direct && lvremove -qq -y vg0/probe")
    check("lvcreate -qq -y -V 256M -T vg0/thin -n thin1 && dd if=/dev/zero of=/dev/vg0/thin1 bs=1M count=8 oflag=direct")
    check("echo word >/mnt/images/probe && grep -q word /exports/images/probe && findmnt -t nfs4 /mnt/images")
    # The last LUN grows, as the others' files cannot.
    check("truncate -s 1500M /var/lab/luns/3 && losetup -c /dev/loop77 && iscsiadm -m session --rescan && udevadm settle && multipathd resize map lun3")
    assert check("blockdev --getsize64 /dev/mapper/lun3").strip() == str(1500 << 20)


def test_ceph(restored):
    host = restored("ceph")
    host.agent.check("rbd --id weft create vms/probe --size 64M && dev=$(rbd --id weft map vms/probe) && "
                     "dd if=/dev/zero of=$dev bs=1M count=8 oflag=direct && rbd --id weft unmap $dev", 120)
    host.agent.check("qemu-img info rbd:vms/probe:id=weft:conf=/etc/ceph/ceph.conf")


@pytest.mark.lab
def test_machine(restored, kit):
    host = restored()
    check = host.agent.check
    for disk in ("data0", "data1"):
        check(f"dd if=/dev/zero of=/dev/disk/by-id/virtio-lab-{disk} bs=1M count=1 oflag=direct")
    for near, far in [("spare0", "spare1"), *([("sriov0", "far0")] if kit.qemu.has_igb else [])]:
        check(f"set -e; ip netns add far; ip link set {far} netns far; ip addr add 10.8.0.1/24 dev {near}; ip link set {near} up; "
              f"ip -n far addr add 10.8.0.2/24 dev {far}; ip -n far link set {far} up; ping -c 2 -W 20 10.8.0.2; "
              f"ip addr flush dev {near}; ip netns del far; sleep 1")
    # A card and a disk that come while it runs.
    host.qmp.run("blockdev-add", **{"driver": "null-co", "node-name": "new", "size": 1 << 20, "read-zeroes": True})
    host.qmp.run("device_add", driver="virtio-blk-pci", bus="place1", drive="new", serial="new")
    check("for i in $(seq 100); do [ -b /dev/disk/by-id/virtio-new ] && break; sleep 0.2; done; [ -b /dev/disk/by-id/virtio-new ]")


@pytest.mark.lab
def test_virtual_functions(restored, kit):
    if not kit.qemu.has_igb:
        pytest.skip(f"no igb in {kit.qemu.version}")
    check = restored().agent.check
    check("echo 0 >/sys/class/net/sriov0/device/sriov_drivers_autoprobe; echo 3 >/sys/class/net/sriov0/device/sriov_numvfs", 120)
    assert check("ls -d /sys/class/net/sriov0/device/virtfn* | wc -l").strip() == "3"
    check("ip link set sriov0 vf 0 mac 52:54:00:00:00:77 vlan 7")
    groups = check("for vf in /sys/class/net/sriov0/device/virtfn*; do readlink $vf/iommu_group; done").split()
    assert len(set(groups)) == 3, "each has an IOMMU group of its own"
    check("modprobe vfio-pci; vf=$(basename $(readlink /sys/class/net/sriov0/device/virtfn1)); "
          "echo vfio-pci >/sys/bus/pci/devices/$vf/driver_override; echo $vf >/sys/bus/pci/drivers_probe; ls /dev/vfio/[0-9]*")


@pytest.fixture(scope="module")
def shared(kit, disks, tmp_path_factory):
    host = kit.restore(tmp_path_factory.mktemp("h") / "h", disks=disks)
    yield host
    host.close()


@pytest.mark.parametrize("unit", MANAGERS)
def test_a_manager_is_off_and_can_be_started(shared, unit):
    assert shared.agent.run(f"systemctl is-active {unit}")[0] != 0
    shared.agent.check(f"systemctl start {unit} && {{ {MANAGERS[unit]}; }}; status=$?; systemctl stop {unit}; exit $status", 240)
