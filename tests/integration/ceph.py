# SPDX-License-Identifier: Apache-2.0
"""A Ceph cluster of one monitor and one OSD that keeps its data in memory, in a network namespace of its own; hosts of tests are plugged into its bridge. Up in
about ten seconds. `ceph`, `rbd` and `rados` are asked there as the cluster's administrator."""
import json
import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

from harness import wait_until

ADDRESS = "10.99.0.1"
CONF = """[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:{address}:3300,v1:{address}:6789]
public_addr = {address}
keyring = {dir}/admin.keyring
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_crit = 1
mon_data_avail_warn = 2
run_dir = {dir}/run
admin_socket = {dir}/run/$cluster-$name-$pid.asok
pid_file = {dir}/run/$name.pid
log_file = {dir}/log/$name.log
mon_cluster_log_file = {dir}/log/cluster.log
crash_dir = {dir}/crash
mon_data = {dir}/mon.a
osd_data = {dir}/osd.0
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_client_watch_timeout = 5
[osd]
keyring = {dir}/osd.0/keyring
[mon]
keyring = {dir}/mon.a/keyring
"""


class Cluster:
    def __init__(self, directory):
        self.dir = Path(directory)
        self.ns = f"wceph{os.getpid()}"
        self.daemons, self.n_hosts = {}, 0
        for name in ("run", "log", "crash", "mon.a", "osd.0"):
            (self.dir / name).mkdir(parents=True)
        subprocess.run(["ip", "netns", "add", self.ns], check=True)
        try:
            self.run("sh", "-ec", f"ip link set lo up; ip link add wire type bridge; ip addr add {ADDRESS}/24 dev wire; ip link set wire up")
            self.make()
        except BaseException:
            self.close()
            raise

    def run(self, *argv, check=True, timeout=60, input=None):
        environment = {**os.environ, "CEPH_CONF": str(self.dir / "ceph.conf"), "CEPH_ARGS": ""}
        done = subprocess.run(["ip", "netns", "exec", self.ns, *map(str, argv)], capture_output=True, text=True, timeout=timeout, input=input, env=environment)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def rbd(self, *argv, **options):
        return self.run("rbd", *argv, **options)

    def json(self, *argv):
        return json.loads(self.run(*argv, "--format", "json"))

    def images(self, pool="vms"):
        return json.loads(self.rbd("ls", pool, "--format", "json"))

    def export(self, image, pool="vms"):
        """Its bytes."""
        path = self.dir / "exported"
        path.unlink(missing_ok=True)
        self.rbd("export", "--no-progress", f"{pool}/{image}", path)
        return path.read_bytes()

    def make(self):
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        self.fsid = fsid
        conf, admin, keyring = (self.dir / name for name in ("ceph.conf", "admin.keyring", "mon.keyring"))
        conf.write_text(CONF.format(fsid=fsid, address=ADDRESS, dir=self.dir))
        self.run("ceph-authtool", "--create-keyring", admin, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *",
                 "--cap", "mgr", "allow *")
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self.run("ceph-authtool", keyring, "--import-keyring", admin)
        self.run("monmaptool", "--create", "--addv", "a", f"[v2:{ADDRESS}:3300,v1:{ADDRESS}:6789]", "--fsid", fsid, self.dir / "monmap")
        self.run("ceph-mon", "-c", conf, "--mkfs", "-i", "a", "--monmap", self.dir / "monmap", "--keyring", keyring)
        shutil.copy(keyring, self.dir / "mon.a/keyring")
        self.start("mon")
        self.run("ceph", "auth", "get-or-create", "osd.0", "mon", "allow profile osd", "osd", "allow *", "-o", self.dir / "osd.0/keyring")
        self.run("ceph", "osd", "new", osd)
        self.run("ceph-osd", "-c", conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default")
        self.start("osd")
        wait_until(lambda: "1 up" in self.run("ceph", "osd", "stat"), 60, "the OSD is up")
        self.make_pool("vms")

    def make_pool(self, name):
        self.run("ceph", "osd", "pool", "create", name, "8")
        self.rbd("pool", "init", name)

    def make_user(self, name, pool="vms"):
        """Its keyring, as a secret has to be; the key is its last word."""
        path = self.dir / f"{name}.keyring"
        self.run("ceph", "auth", "get-or-create", f"client.{name}", "mon", "profile rbd", "osd", f"profile rbd pool={pool}", "-o", path)
        path.chmod(0o600)
        return path

    def spawn(self, name, *program):
        with open(self.dir / "log/output", "ab") as log:
            self.daemons[name] = subprocess.Popen(["ip", "netns", "exec", self.ns, *map(str, program)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start(self, name):
        """The monitor or the OSD: "mon", "osd"."""
        self.spawn(name, f"ceph-{name}", "-f", "-c", self.dir / "ceph.conf", "-i", "a" if name == "mon" else "0")

    def start_manager(self):
        data = self.dir / "mgr.x"
        data.mkdir()
        self.run("ceph", "auth", "get-or-create", "mgr.x", "mon", "allow profile mgr", "osd", "allow *", "mds", "allow *", "-o", data / "keyring")
        self.spawn("mgr", "ceph-mgr", "-f", "-c", self.dir / "ceph.conf", "-i", "x", "--mgr-data", data, "--keyring", data / "keyring")

    def limit_writes(self, milliseconds):
        """Each write takes that long; 0: as long as it takes."""
        self.run("ceph", "tell", "osd.0", "config", "set", "osd_debug_inject_dispatch_delay_probability", "1" if milliseconds else "0")
        self.run("ceph", "tell", "osd.0", "config", "set", "osd_debug_inject_dispatch_delay_duration", str(milliseconds / 1000))

    def fill(self, full):
        """What is there is taken for full, as it is when little is left of the disks; or no longer."""
        ratios = {"nearfull": 0.001, "backfillfull": 0.0011, "full": 0.0012} if full else {"full": 0.95, "backfillfull": 0.9, "nearfull": 0.85}
        for name, ratio in ratios.items():
            self.run("ceph", "osd", f"set-{name}-ratio", str(ratio))
        wait_until(lambda: any("full" in p["flags_names"].split(",") for p in self.json("ceph", "osd", "dump")["pools"]) == full, 60, "the OSD has seen that")

    def pause(self, name):
        """It keeps its connections and says nothing."""
        self.daemons[name].send_signal(signal.SIGSTOP)

    def go_on(self, name):
        self.daemons[name].send_signal(signal.SIGCONT)

    def stop(self, name, how=signal.SIGKILL):
        self.daemons[name].send_signal(how)
        self.daemons.pop(name).wait(timeout=30)

    def plug_in(self, host):
        """A wire from a host of a test to the cluster's bridge."""
        self.n_hosts += 1
        outer = f"h{self.n_hosts}"
        host.run("ip", "link", "add", "ceph0", "type", "veth", "peer", "name", outer, "netns", self.ns)
        host.run("ip", "addr", "add", f"10.99.0.{10 + self.n_hosts}/24", "dev", "ceph0")
        host.run("ip", "link", "set", "ceph0", "up")
        self.run("ip", "link", "set", outer, "master", "wire", "up")

    def drop(self):
        """What comes from hosts is lost; what is told here goes on."""
        self.run("iptables", "-I", "INPUT", "!", "-s", ADDRESS, "-j", "DROP")

    def let_through(self):
        self.run("iptables", "-F", "INPUT")

    def show(self):
        """What its daemons said last, for whoever reads why a test failed."""
        for log in sorted((self.dir / "log").iterdir()):
            print(f"---- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-60:]))
        print({name: daemon.poll() for name, daemon in self.daemons.items()})

    def close(self):
        for name in list(self.daemons):
            self.stop(name)
        subprocess.run(["ip", "netns", "del", self.ns])
