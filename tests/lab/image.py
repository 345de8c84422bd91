# SPDX-License-Identifier: Apache-2.0
"""The lab's disk, kernel and initramfs, made of Debian's packages. What was made of one recipe is kept under its hash outside the build tree;
where packages come from is what apt of this machine says, and stands in no file of ours."""
import contextlib
import fcntl
import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "weft"
DISK_SIZE = "16G"
FORGET_DAYS = 14
INITRD_MODULES = ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic", "virtio_console")
# Nothing of a host that lives for minutes needs them, and they would wake up in the middle of a test.
NOT_STARTED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
               "fstrim.timer", "man-db.timer", "firewalld.service", "systemd-pstore.service", "rsyslog.service", "cron.service",
               "getty@tty1.service")
KERNEL_MAGIC = b"\xfd7zXZ\0"


class LabError(Exception):
    """Something that a person has to know about; its text is all there is to say."""


def run(*argv, timeout=120, **options):
    argv = [str(argument) for argument in argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode:
        raise LabError(f"{' '.join(argv)[:300]}: status {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


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


def debian_sources():
    """Of what this machine's apt knows, what is Debian's of this machine's release: (release, lines of sources.list)."""
    release = run("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
    listed = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)", "Created-By: Packages")
    lines = set()
    for line in listed.splitlines():
        origin, suite, uri, component = line.split("|")
        if origin == "Debian" and suite in (release, f"{release}-updates", f"{release}-security"):
            lines.add(f"deb {uri} {suite} {component}")
    if not any(f" {release} " in line for line in lines):
        raise LabError(f"apt on this machine has no packages of Debian {release}: run 'apt-get update', or see /etc/apt/sources.list.d")
    return release, sorted(lines)


def make_root(root):
    """A directory with Debian in it, set up for the lab."""
    release, lines = debian_sources()
    units = " ".join(NOT_STARTED)
    hooks = [f'cp -r "{HERE}/root/." "$1/"',
             'chmod 755 "$1/usr/local/sbin/lab-agent"',
             'chroot "$1" passwd -q -d root',
             'echo lab >"$1/etc/hostname"',
             'printf "127.0.0.1 localhost lab\\n::1 localhost\\n" >"$1/etc/hosts"',
             'rm -f "$1/etc/resolv.conf" "$1/etc/machine-id" && touch "$1/etc/machine-id"',
             'systemctl --root="$1" enable lab-agent.service',
             f'for unit in {units}; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done']
    # In namespaces of its own: whatever ends it, nothing of it runs on and none of this machine's file systems stays mounted in the
    # directory, which is removed afterwards.
    run("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap", "--mode=root", "--variant=apt", f"--include={','.join(packages())}",
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
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
            run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-d", root, part / "root.img", DISK_SIZE,
                timeout=600)
            part.rename(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def alone():
    """One maker at a time: who comes second finds what the first has made."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lab.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget_old():
    """Nobody has used them for weeks, or their maker was killed."""
    for path in CACHE.glob("lab-*"):
        if path.stat().st_mtime < time.time() - FORGET_DAYS * 86400:
            shutil.rmtree(path, ignore_errors=True)


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
