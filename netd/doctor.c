/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` says of the network: the kernel's parts, programs, which iptables, settings. Who else works on it
 * is in doctor-managers.c. */
#include "netd/doctor.h"

#include <fcntl.h>

#include "netd/firewall-backend.h"
#include "netd/netd.h"
#include "netd/nft-dump.h"

static bool tun_opens(void)
{
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	return fd >= 0 || errno == EACCES;
}

static bool nf_tables_answers(void)
{
	struct nft_chains chains = {0};
	int r = nft_dump_chains(FAMILY_IPV4, &chains);
	nft_chains_done(&chains);
	return r == 0 || r == -EPERM;
}

static bool bridge_nf_is_there(void)
{
	return access("/proc/sys/net/bridge", F_OK) == 0;
}

static const struct doctor_module modules[] = {
	{"bridge", "networks and bridges are made of it", FINDING_BAD, NULL},
	{"tun", "guests' ports are taps", FINDING_BAD, tun_opens},
	{"bonding", "without it, no Bond can be made", FINDING_WARN, NULL},
	{"nf_tables", "NAT and the protection of networks need it", FINDING_BAD, nf_tables_answers},
	{"br_netfilter", "without it, frames from guest to guest pass no firewall, which is as it should be",
	 FINDING_OK, bridge_nf_is_there},
};

static const struct doctor_program programs[] = {
	{"dnsmasq", "--version", "dnsmasq-base", "networks get their DHCP and DNS from it", FINDING_BAD},
	{"iptables", "--version", "iptables", "NAT and the protection of networks are made with it", FINDING_BAD},
	{"nft", "--version", "nftables", "weft cannot tell whether somebody's rules drop what its networks live on",
	 FINDING_WARN},
	{"dhcpcd", "--version", "dhcpcd-base", "links with dhcp4 or dhcp6 get their addresses by it", FINDING_WARN},
	{"ip", "-Version", "iproute2", "weft does not need it, but people do", FINDING_WARN},
};

static void look_at_tun(struct doctor *d)
{
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		doctor_find(d, FINDING_OK, "/dev/net/tun", NULL, "it opens");
	else if (errno == EACCES && geteuid() != 0)
		doctor_find(d, FINDING_WARN, "/dev/net/tun", "ask as root", "only root can see whether it works");
	else
		doctor_find(d, FINDING_BAD, "/dev/net/tun", "modprobe tun",
			    "open '/dev/net/tun': %s; no tap can be made", strerror(errno));
}

/* The programs that rules are put there with: of the host's iptables, IPv4 and IPv6. */
static void look_at_backend(struct doctor *d)
{
	enum backend backend = firewall_backend();
	for (int family = 0; family < N_FAMILIES; family++) {
		char name[40], path[PATH_MAX];
		firewall_program(family, "restore", name);
		if (!doctor_program(name, path))
			doctor_find(d, FINDING_BAD, name, "install it: apt install iptables",
				    "it is not installed; no rule can be made");
	}
	if (backend == BACKEND_NFT)
		doctor_find(d, FINDING_OK, "firewall", NULL, "iptables-nft holds this host's rules");
	else
		doctor_find(d, FINDING_WARN, "firewall",
			    "move the host's rules to iptables-nft (update-alternatives --set iptables "
			    "/usr/sbin/iptables-nft) and reboot",
			    "iptables-legacy holds this host's rules: it tells nobody of changes, so weft looks every "
			    "few seconds instead");
}

struct setting {
	const char *name;
	long long value; /* that is worth a word */
	const char *text, *remedy;
};
static const struct setting settings[] = {
	{"net/ipv6/conf/all/disable_ipv6", 1, "IPv6 is off on all links: networks with IPv6 addresses cannot be made",
	 "sysctl net.ipv6.conf.all.disable_ipv6=0, or leave IPv6 out of the manifests"},
	{"net/ipv6/conf/default/disable_ipv6", 1,
	 "IPv6 is off on new links: networks with IPv6 addresses cannot be made",
	 "sysctl net.ipv6.conf.default.disable_ipv6=0, or leave IPv6 out of the manifests"},
	{"net/bridge/bridge-nf-call-iptables", 1,
	 "frames from guest to guest pass the host's FORWARD rules; weft turns it off while it has networks",
	 "if something turns it on again (Docker and Kubernetes do), let its FORWARD rules accept the bridges of weft"},
	{"net/ipv4/conf/all/rp_filter", 1,
	 "strict reverse path filtering: packets that come by another way than theirs lead back are dropped",
	 "sysctl net.ipv4.conf.all.rp_filter=2 if guests are reached by several ways"},
};

static void look_at_settings(struct doctor *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const struct setting *setting = &settings[i];
		long long value = doctor_setting(setting->name);
		if (value < 0)
			continue;
		if (value == setting->value)
			doctor_find(d, FINDING_WARN, setting->name, setting->remedy, "%lld: %s", value, setting->text);
		else
			doctor_find(d, FINDING_OK, setting->name, NULL, "%lld", value);
	}
	long long forward = doctor_setting("net/ipv4/ip_forward");
	doctor_find(d, FINDING_OK, "net/ipv4/ip_forward", NULL, "%lld%s", forward,
		    forward ? "" : ": weft turns it on with the first network that needs it");
}

/* A full table drops the packets of new connections, which nobody suspects. */
static void look_at_connections(struct doctor *d)
{
	long long max = doctor_setting("net/netfilter/nf_conntrack_max"),
		  n = doctor_setting("net/netfilter/nf_conntrack_count");
	if (max <= 0 || n < 0)
		return;
	if (n * 10 >= max * 9)
		doctor_find(d, FINDING_BAD, "connections", "sysctl net.netfilter.nf_conntrack_max to twice as much",
			    "%lld of %lld tracked connections: new ones will be dropped", n, max);
	else
		doctor_find(d, FINDING_OK, "connections", NULL, "%lld of %lld that can be tracked", n, max);
}

void netd_doctor(struct doctor *d)
{
	d->area = "network";
	look_at_tun(d);
	doctor_modules(d, modules, ARRAY_SIZE(modules));
	doctor_programs(d, programs, ARRAY_SIZE(programs));
	look_at_backend(d);
	look_at_settings(d);
	look_at_connections(d);
	d->area = "other managers";
	netd_doctor_managers(d);
	netd_doctor_rivals(d);
}
