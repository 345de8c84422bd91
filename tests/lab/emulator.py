# SPDX-License-Identifier: Apache-2.0
"""The QEMU that the lab's hosts run in: the one of Debian's backports, which has igb (SR-IOV) and saves states faster, unpacked beside the
images, so that the machine keeps its own; where backports cannot be had, the machine's own, without SR-IOV."""
import ctypes
import hashlib
import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import workshop
from workshop import LabError

PACKAGE = "qemu-system-x86"
PROGRAM = "qemu-system-x86_64"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
FIRMWARE = ("usr/share/qemu", "usr/share/seabios")
KVM_PROBE_SECONDS = 5
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def unpack(out):
    """Package and libraries, unpacked and not installed. What it needs of the machine is the C library's loader of the same Debian release."""
    part = out.with_name(f"{out.name}.part{os.getpid()}")
    release, lines = workshop.debian_sources(backports=True)
    try:
        workshop.run_apart("mmdebstrap", "--mode=root", "--variant=extract", "--quiet", f'--aptopt=APT::Default-Release "{release}-backports"',
                        f"--include={PACKAGE}", release, part, *lines, timeout=600)
        for name in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var"):
            shutil.rmtree(part / name, ignore_errors=True)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def tree(say):
    """The directory with backports' QEMU, made if it is not there; None if it cannot be."""
    out = workshop.CACHE / f"lab-emulator-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}"
    with workshop.alone("emulator"):
        if not out.exists():
            try:
                unpack(out)
            except LabError as error:
                say(f"no SR-IOV in the lab: QEMU of Debian's backports cannot be had: {str(error).strip().splitlines()[-1][:200]}")
                return None
        os.utime(out)
    return out


class Emulator:
    """A QEMU as it is run: `argv` is the beginning of its command line, `environment` its own."""

    def __init__(self, say):
        root = tree(say)
        self.argv, self.environment = [PROGRAM], dict(os.environ)
        if root:
            self.argv = [str(root / "usr/bin" / PROGRAM), *(word for path in FIRMWARE for word in ("-L", str(root / path)))]
            self.environment["LD_LIBRARY_PATH"] = ":".join(str(root / path) for path in LIBRARIES)
        self.version = workshop.run(self.argv[0], "--version", env=self.environment).splitlines()[0]
        major = int(self.version.split("version ")[1].split(".")[0])
        self.has_igb, self.maps_memory = major >= 8, major >= 9
        self.accelerator = "kvm" if self.kvm_works() else "tcg"

    def start(self, arguments, **options):
        return subprocess.Popen([*self.argv, *arguments], stdin=subprocess.DEVNULL, env=self.environment, preexec_fn=die_with_parent, **options)

    def kvm_works(self):
        """Whether a firmware runs on it and says so, which a /dev/kvm that is there and makes virtual CPUs does not promise."""
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            return False
        arguments = ["-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "64", "-nodefaults", "-no-user-config", "-display", "none",
                     "-chardev", "stdio,id=said", "-device", "isa-debugcon,iobase=0x402,chardev=said"]
        said = b""
        with self.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as qemu:
            while b"SeaBIOS" not in said and select.select([qemu.stdout], [], [], KVM_PROBE_SECONDS)[0]:
                data = os.read(qemu.stdout.fileno(), 4096)
                if not data:
                    break
                said += data
            qemu.kill()
        return b"SeaBIOS" in said
