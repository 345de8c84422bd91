# SPDX-License-Identifier: Apache-2.0
"""The lab's disk, kernel and initramfs, made of Debian's packages. What was made of one recipe is kept under its hash: this file, what it reads
beside it, and the lists of packages."""
import hashlib
import lzma
import os
import shutil
import tempfile
from pathlib import Path

from workshop import CACHE, HERE, SOURCE, LabError, alone, debian_sources, forget_old, run, run_apart

INITRD_MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "virtio_console")
DISK_SIZE = "16G"
KERNEL_MAGIC = b"\xfd7zXZ\0"


def packages():
    """Sorted names: the lab's own and those of the groups that a machine needs for running weft and its tests."""
    names = {line.strip() for line in (HERE / "packages").read_text().splitlines() if not line.startswith("#")}
    for line in (SOURCE / "scripts/packages").read_text().splitlines():
        group, name = (line.split() + ["", ""])[:2]
        if group in ("run", "demo", "test"):
            names.add(name)
    return sorted(names - {""})


def digest_of(*names):
    """What scripts/guest-image calls its cache by."""
    return hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in names)).hexdigest()[:16]


def parts():
    """Files that the image is made of or with, besides packages."""
    return sorted(path for path in [HERE / "image.py", HERE / "initrd-init", *(HERE / "root").rglob("*")] if path.is_file())


def recipe():
    digest = hashlib.sha256("\n".join(packages()).encode())
    for path in parts():
        digest.update(f"\n{path.relative_to(HERE)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def make_root(root):
    """A directory with Debian in it, set up for the lab."""
    release, lines = debian_sources()
    hooks = [f'cp -r "{HERE}/root/." "$1/"',
             'chmod 755 "$1/usr/local/sbin/"*',
             'chroot "$1" passwd -q -d root',
             'echo lab >"$1/etc/hostname"',
             'printf "127.0.0.1 localhost lab\\n::1 localhost\\n" >"$1/etc/hosts"',
             'rm -f "$1/etc/resolv.conf" "$1/etc/machine-id" && touch "$1/etc/machine-id"',
             'mkdir -p "$1/etc/libvirt/hooks"',
             'chroot "$1" systemctl --root=/ --quiet preset-all',
             'ln -sf /dev/null "$1/etc/systemd/system/getty@tty1.service"']
    run_apart("mmdebstrap", "--mode=root", "--variant=apt", "--quiet", f"--include={','.join(packages())}", "--dpkgopt=force-unsafe-io",
              *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "info", "locale")),
              *(f"--customize-hook={hook}" for hook in hooks), release, root, *lines,
              timeout=1500, env={**os.environ, "INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"})


def make_kernel(root, out):
    """The kernel without its compressed shell: QEMU starts it directly, which saves unpacking it in emulation."""
    packed = max((root / "boot").glob("vmlinuz-*")).read_bytes()
    start = packed.find(KERNEL_MAGIC)
    if start < 0:
        raise LabError("Debian's kernel is not packed with xz any more: tests/lab/image.py has to learn the new way")
    out.write_bytes(lzma.LZMADecompressor().decompress(packed[start:]))


def make_initrd(root, out, work):
    """busybox and the modules of the disk, in the order of their dependencies."""
    tree = work / "initrd"
    for name in ("bin", "dev", "proc", "sys", "new", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", tree / "bin/busybox")
    shutil.copy(HERE / "initrd-init", tree / "init")
    (tree / "init").chmod(0o755)
    version = max((root / "lib/modules").iterdir()).name
    order = {}
    for module in INITRD_MODULES:
        for line in run("modprobe", "-d", root, "-S", version, "--show-depends", module).splitlines():
            words = line.split()
            if words[0] == "insmod":
                order[Path(words[1])] = None
    for path in order:
        shutil.copy(path, tree / "modules")
    (tree / "modules/order").write_text("".join(f"{path.name}\n" for path in order))
    run("sh", "-c", f'cd "{tree}" && find . | LC_ALL=C sort | cpio --quiet -o -H newc --owner 0:0 >"{out}"')


def make(out):
    """All of it, in directory `out`, which must not be there."""
    part = out.with_name(f"{out.name}.part{os.getpid()}")
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="lab-work-") as name:
        work = Path(name)
        root = work / "root"
        try:
            part.mkdir()
            make_root(root)
            make_kernel(root, part / "vmlinux")
            make_initrd(root, part / "initrd", work)
            run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-d", root, part / "system.img",
                DISK_SIZE, timeout=600)
            part.rename(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def ensure(say):
    """The directory of the image for the recipe as it is now, made if it is not there."""
    out = CACHE / f"lab-{recipe()}"
    with alone():
        if not out.exists():
            say(f"building the image {out} out of Debian packages; this takes some minutes, once")
            forget_old()
            make(out)
        os.utime(out)
    return out
