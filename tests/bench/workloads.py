# SPDX-License-Identifier: Apache-2.0
"""Each workload twice: as manifests, and as the lines of `ip -batch` that make the same links with the same settings, and remove them."""

FIRST_VNI = 5001
HEAD = "apiVersion: weft/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {}\n"


def mac(i, high=0):
    return f"02:00:{high:02x}:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x}"


def manifests(objects):
    return "---\n".join(HEAD.format(*o) for o in objects)


class Workload:
    needs, aim_made, aim_gone = None, 1.0, 0.1

    def __init__(self, n):
        self.n = n


class Taps(Workload):
    """On one bridge."""
    name = "taps on a bridge"

    def objects(self):
        return [("Bridge", "br0", "{}")] + [("Tap", f"t{i}", "{bridge: br0}") for i in range(self.n)]

    def make(self):
        return (["link add br0 address 02:00:00:00:00:01 type bridge", "link set br0 alias weft:x up"]
                + [f"tuntap add dev t{i} mode tap user root vnet_hdr" for i in range(self.n)]
                + [f"link set t{i} alias weft:x address {mac(i, 1)} master br0 up" for i in range(self.n)])

    def remove(self):
        return [f"link del t{i}" for i in range(self.n)] + ["link del br0"]


class Bridges(Workload):
    name, aim_gone = "bridges", 0.5

    def objects(self):
        return [("Bridge", f"b{i}", "{}") for i in range(self.n)]

    def make(self):
        return [line for i in range(self.n)
                for line in (f"link add b{i} address {mac(i, 1)} type bridge", f"link set b{i} alias weft:x mtu 1500 up")]

    def remove(self):
        return [f"link del b{i}" for i in range(self.n)]


class Veths(Workload):
    name, needs = "veth pairs", "Veth"

    def objects(self):
        return [("Veth", f"v{i}", f"{{peer: {{name: p{i}}}}}") for i in range(self.n)]

    def make(self):
        return [line for i in range(self.n) for line in (
            f"link add v{i} address {mac(i, 1)} type veth peer name p{i} address {mac(i, 2)}",
            f"link set v{i} alias weft:x up", f"link set p{i} alias weft:x up")]

    def remove(self):
        return [f"link del v{i}" for i in range(self.n)]


class Vxlans(Workload):
    name, needs = "vxlans", "Vxlan"

    def objects(self):
        return [("Vxlan", f"x{i}", f"{{vni: {FIRST_VNI + i}, local: 127.0.0.1, mtu: 1450}}") for i in range(self.n)]

    def make(self):
        return [line for i in range(self.n) for line in (
            f"link add x{i} address {mac(i, 1)} type vxlan id {FIRST_VNI + i} local 127.0.0.1 dstport 4789 ttl 64",
            f"link set x{i} alias weft:x mtu 1450 up")]

    def remove(self):
        return [f"link del x{i}" for i in range(self.n)]


ALL = [Taps, Veths, Vxlans, Bridges]


class Fabric(Workload):
    """Each bridge over a link of its own: a vxlan, a tap where this weft knows no vxlans, or a VLAN of one link."""
    parent = "trunk"
    ports_made = {  # as `ip` makes one, and what else it then is set to
        "Vxlan": ("link add x{i} address {mac} type vxlan id {vni} local 127.0.0.1 dstport 4789 ttl 64", " mtu 1450"),
        "Tap": ("tuntap add dev x{i} mode tap user root vnet_hdr", " address {mac}"),
        "Vlan": ("link add x{i} link trunk type vlan id {vlan}", ""),
    }

    def __init__(self, n, ports="Vxlan"):
        super().__init__(n)
        self.ports = ports
        self.name = {"Vxlan": "bridges over vxlans", "Tap": "bridges over taps", "Vlan": "bridges over VLANs"}[ports]

    def before(self):
        """What has to be there, for both."""
        return [f"link add {self.parent} type dummy", f"link set {self.parent} up"] if self.ports == "Vlan" else []

    def port(self, i):
        return (self.ports, f"x{i}", {
            "Tap": f"{{bridge: b{i}}}",
            "Vxlan": f"{{vni: {FIRST_VNI + i}, local: 127.0.0.1, mtu: 1450, bridge: b{i}}}",
            "Vlan": f"{{link: {self.parent}, id: {i + 1}, bridge: b{i}}}",
        }[self.ports])

    def bridge(self, i, spec="{}"):
        return ("Bridge", f"b{i}", spec)

    def objects(self):
        return [o for i in range(self.n) for o in (self.bridge(i), self.port(i))]

    def make(self):
        new, rest = self.ports_made[self.ports]
        return [line.format(i=i, vni=FIRST_VNI + i, vlan=i + 1, mac=mac(i, 2)) for i in range(self.n) for line in (
            f"link add b{i} address {mac(i, 1)} type bridge", f"link set b{i} alias weft:x mtu 1500 up",
            new, "link set x{i} alias weft:x" + rest + " master b{i} up")]

    def remove(self):
        return [f"link del x{i}" for i in range(self.n)] + [f"link del b{i}" for i in range(self.n)]
