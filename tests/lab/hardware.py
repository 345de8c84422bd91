# SPDX-License-Identifier: Apache-2.0
"""The lab host's machine, as QEMU's arguments. Devices and their order belong to a saved state: a change of them makes new states."""
from pathlib import Path

MEMORY_MB = 3072
CPUS = 2
# The system's comes from the image; one has this build of weft with its sources; two are there for tests.
DISKS = ("system", "build", "data0", "data1")
DISK_SIZE = "2G"
BUILD_DEVICE = "/dev/disk/by-id/virtio-lab-build"
# On a machine that is busy an emulated TSC is measured wrong at boot, and time then runs several times too fast: the HPET tells its own rate.
# There, too, the first ticks of the timer come too late for the kernel's check of it, which then panics.
KERNEL_ARGUMENTS = ("console=ttyS0 quiet net.ifnames=1 mitigations=off audit=0 nowatchdog init_on_alloc=0 clocksource=hpet tsc=unstable "
                    "no_timer_check")
NOWHERE = "hubport,hubid=3"
IOMMU_ARGUMENTS = "intel_iommu=on iommu=pt"
# By these root/etc/systemd/network names them.
MAC = "52:54:00:4c:41:%02x"


def disk(name, file):
    return ["-drive", f"file={file},if=none,id={name},format=qcow2,cache=unsafe", "-device", f"virtio-blk-pci,drive={name},serial=lab-{name}"]


def nic(name, number, backend, driver="virtio-net-pci"):
    return ["-netdev", f"{backend},id={name}", "-device", f"{driver},netdev={name},mac={MAC % number},romfile="]


def nics(emulator, wire):
    """spare0 and spare1 are the ends of one wire, sriov0 and far0 of another; wire0 leads to another host, or nowhere."""
    return [*nic("spare0", 0, "hubport,hubid=1"), *nic("spare1", 1, "hubport,hubid=1"),
            *(nic("sriov0", 2, "hubport,hubid=2", "igb") if emulator.has_igb else []), *nic("far0", 3, "hubport,hubid=2"),
            *nic("wire0", 4, wire)]


def arguments(emulator, image, directory, wire=NOWHERE):
    """`image` has kernel and initramfs, `directory` disks, sockets and the share of this host; `wire` is the backend of wire0."""
    image, directory = Path(image), Path(directory)
    kvm = emulator.accelerator == "kvm"
    iommu = emulator.has_igb
    return ["-M", "q35" + (",kernel-irqchip=split" if kvm and iommu else ""), "-accel", "kvm" if kvm else "tcg,thread=multi",
            "-cpu", "host" if kvm else "max", "-m", str(MEMORY_MB), "-smp", str(CPUS), "-nodefaults", "-no-user-config", "-display", "none",
            "-kernel", str(image / "vmlinux"), "-initrd", str(image / "initrd"),
            "-append", KERNEL_ARGUMENTS + (f" {IOMMU_ARGUMENTS}" if iommu else ""),
            *(["-device", "intel-iommu,intremap=on,caching-mode=on"] if iommu else []),
            "-chardev", f"socket,id=console,path={directory}/console,server=on,wait=off,logfile={directory}/console.log",
            "-serial", "chardev:console", "-qmp", f"unix:{directory}/qmp,server=on,wait=off",
            *(word for name in DISKS for word in disk(name, directory / f"{name}.qcow2")),
            "-chardev", f"socket,id=agent,path={directory}/agent,server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=lab",
            "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng", "-device", "vmgenid,guid=auto",
            "-fsdev", f"local,id=share,path={directory}/share,security_model=none", "-device", "virtio-9p-pci,fsdev=share,mount_tag=share",
            *nics(emulator, wire),
            # Empty places into which disks and cards can be put while the host runs.
            *(word for n in (1, 2) for word in ("-device", f"pcie-root-port,id=place{n},chassis={n}"))]
