# SPDX-License-Identifier: Apache-2.0
"""This build of weft, its sources, and what its tests would otherwise fetch from elsewhere, as a file system on a disk that each restored host
gets: it is mounted, not copied."""
import os
import shutil
from pathlib import Path

import hardware
import image
import workshop
from workshop import SOURCE, LabError

BUILT = SOURCE / "build/dev"
BUILD = Path(os.environ.get("WEFT_BUILD") or (BUILT if (BUILT / "weftd").exists() else SOURCE / "build/release")).resolve()
# In the host:
MOUNT = "/srv"
INSIDE = f"{MOUNT}/weft"
INSIDE_BUILD = f"{INSIDE}/build/dev"


def programs():
    """What was built and is run: programs and plugins, without what only the build or the unit tests need."""
    for directory, names, files in os.walk(BUILD):
        names[:] = [name for name in names if name not in ("CMakeFiles", "tests", "docs")]
        for name in files:
            path = Path(directory) / name
            if name.endswith(".so") or (os.access(path, os.X_OK) and not path.suffix):
                yield path.relative_to(BUILD)


def make_disk(directory):
    """A disk image in an empty directory."""
    if not (BUILD / "weftd").exists():
        raise LabError(f"no weftd in {BUILD}: build it first (cmake --preset dev && cmake --build --preset dev), or set WEFT_BUILD")
    tree, disk = directory / "tree", directory / "build.img"
    inside = tree / "weft/build/dev"
    shutil.copytree(SOURCE, tree / "weft", symlinks=True, ignore=lambda path, names: {"build", ".git"} if Path(path) == SOURCE else ())
    for program in programs():
        (inside / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(BUILD / program, inside / program)
    guest = tree / "cache/weft" / f"guest-{image.digest_of('scripts/guest-image', 'scripts/guest-init')}"
    guest.parent.mkdir(parents=True)
    workshop.run(SOURCE / "scripts/guest-image", guest, timeout=600)
    workshop.run("chown", "-R", "0:0", tree)
    workshop.run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", "-d", tree, disk, hardware.DISK_SIZE)
    shutil.rmtree(tree)
    return disk


def mount(host):
    host.agent.check(f"set -e; mount -o noatime,noinit_itable {hardware.BUILD_DEVICE} {MOUNT}; ln -sfn {MOUNT}/cache/weft /var/cache/weft; "
                     f"{INSIDE}/scripts/setup --users >/dev/null")
