# SPDX-License-Identifier: Apache-2.0
"""What the makers of the lab's parts share: commands, the place where what was made is kept outside the build tree, and where packages come
from, which is what apt of this machine says and stands in no file of ours."""
import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "/var/cache")) / "weft"
FORGET_DAYS = 14


class LabError(Exception):
    """Something that a person has to know about; its text is all there is to say."""


def run(*argv, timeout=120, **options):
    argv = [str(argument) for argument in argv]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, **options)
    if done.returncode:
        raise LabError(f"{' '.join(argv)[:300]}: status {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def run_apart(*argv, **options):
    """In namespaces of its own: whatever ends it, nothing of it runs on and none of this machine's file systems stays mounted in its
    directory."""
    try:
        return run("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *argv, **options)
    except LabError as error:
        if "apt-get update" not in str(error):
            raise
        # What mmdebstrap says of a machine without a network does not say it.
        hosts = sorted({str(word).split("//")[1].split("/")[0] for word in argv if str(word).startswith("deb ")})
        raise LabError(f"Debian packages cannot be fetched from {', '.join(hosts)}, and what they are for is not in {CACHE} from before: "
                       "is there a network?") from None


def debian_sources(backports=False):
    """Of what this machine's apt knows, what is Debian's of this machine's release: (release, lines of sources.list)."""
    release = run("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
    lines = known_sources(release)
    if not lines:
        run("apt-get", "update", "-qq", timeout=300)
        lines = known_sources(release)
    if not any(f" {release} " in line for line in lines):
        raise LabError(f"apt on this machine has no packages of Debian {release}: see /etc/apt/sources.list.d")
    main = [line for line in lines if f" {release} " in line]
    return release, sorted(lines | {line.replace(f" {release} ", f" {release}-backports ") for line in main if backports})


def known_sources(release):
    listed = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(RELEASE)|$(REPO_URI)|$(COMPONENT)", "Created-By: Packages")
    found = (line.split("|") for line in listed.splitlines())
    return {f"deb {uri} {suite} {component}" for origin, suite, uri, component in found
            if origin == "Debian" and suite in (release, f"{release}-updates", f"{release}-security")}


@contextlib.contextmanager
def alone(what="lab", directory=CACHE):
    """One maker at a time: who comes second finds what the first has made."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / f"{what}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget_old():
    """Nobody has used them for weeks, or their maker was killed."""
    for path in (*CACHE.glob("lab-*"), *CACHE.glob("lab-*/state-*")):
        if path.stat().st_mtime < time.time() - FORGET_DAYS * 86400:
            shutil.rmtree(path, ignore_errors=True)
