/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs that work on this host's network: do they run here, what they may do to links of weft's, and what
 * keeps them from it. A program counts that runs in this network namespace. */
#include <dirent.h>
#include <limits.h>

#include "core/process-list.h"
#include "netd/doctor.h"
#include "netd/link.h"

enum { FILE_MAX = 256 << 10 };

struct manager_row {
	const char *comm; /* as in /proc/PID/comm: at most 15 characters */
	const char *name;
	enum finding_level level;
	const char *text;
	const char *remedy;
	/* A directory and a word that one of its files has when somebody has seen to it; NULL if there is no such
	 * thing. */
	const char *directory, *word;
	/* What weft ships for it, below places[]: all of them are there when it was installed; NULL ends. */
	const char *drop_ins[2];
};

static const struct manager_row managers[] = {
	{"NetworkManager",
	 "NetworkManager",
	 FINDING_WARN,
	 "it runs, and may make connections of its own for links that appear",
	 "copy integration/udev/80-weft.rules to /etc/udev/rules.d, and run udevadm control --reload and udevadm "
	 "trigger "
	 "-s net: that tells it to leave links of weft's alone",
	 "/etc/NetworkManager/conf.d",
	 "unmanaged-devices",
	 {"udev/rules.d/80-weft.rules"}},
	{"systemd-network",
	 "systemd-networkd",
	 FINDING_WARN,
	 "it runs; a .network file of its own that matches a link of weft's takes away addresses and routes there",
	 "copy integration/udev/80-weft.rules to /etc/udev/rules.d and integration/networkd/05-weft.network to "
	 "/etc/systemd/network, and run udevadm control --reload, udevadm trigger -s net and networkctl reload",
	 "/etc/systemd/network",
	 "Unmanaged=yes",
	 {"udev/rules.d/80-weft.rules", "systemd/network/05-weft.network"}},
	{"firewalld",
	 "firewalld",
	 FINDING_WARN,
	 "it runs and has no zone 'weft'; weft puts its bridges into 'libvirt' or 'trusted' instead",
	 "copy integration/firewalld/weft.xml to /etc/firewalld/zones and run firewall-cmd --reload",
	 NULL,
	 NULL,
	 {"firewalld/zones/weft.xml"}},
	{"libvirtd", "libvirtd", FINDING_OK, "it runs; keep its networks and weft's on different subnets and names",
	 NULL, NULL, NULL},
	{"virtnetworkd", "libvirt (virtnetworkd)", FINDING_OK,
	 "it runs; keep its networks and weft's on different subnets and names", NULL, NULL, NULL},
	{"dockerd", "Docker", FINDING_WARN,
	 "it runs: it sets the policy of FORWARD to DROP and bridge-nf-call-iptables to 1; weft's own rules come "
	 "first, and undo the latter",
	 "if frames between guests are lost, accept the bridges of weft in Docker's chain: iptables -I DOCKER-USER -i "
	 "lan -o lan -j ACCEPT",
	 NULL, NULL},
	{"kubelet", "Kubernetes (kubelet)", FINDING_WARN,
	 "it runs, and needs bridge-nf-call-iptables, which weft turns off while it has networks",
	 "do not run both on one host", NULL, NULL},
	{"connmand", "ConnMan", FINDING_WARN, "it runs, and takes over links that appear",
	 "name your networks and guests in NetworkInterfaceBlacklist of /etc/connman/main.conf", NULL, NULL},
	{"dhcpcd", "dhcpcd", FINDING_WARN, "it runs; without a list it asks for an address on every link that appears",
	 "denyinterfaces with the names of your networks and guests in /etc/dhcpcd.conf", "/etc", "denyinterfaces"},
};

static bool mentions(const char *path, const char *word)
{
	cleanup_free char *text = NULL;
	return file_read(path, FILE_MAX, &text, NULL) == 0 && strstr(text, word);
}

/* Does a file of a directory speak of a word? */
static bool directory_mentions(const char *directory, const char *word)
{
	DIR *dir = opendir(directory);
	bool found = false;
	for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
		cleanup_free char *path = xprintf("%s/%s", directory, entry->d_name);
		if (entry->d_name[0] != '.' && entry->d_type == DT_REG)
			found = mentions(path, word);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool doctor_shares_network(const char *pid)
{
	char path[64], ours[64] = "", theirs[64] = "";
	snprintf(path, sizeof(path), "/proc/%.20s/ns/net", pid);
	if (readlink(path, theirs, sizeof(theirs) - 1) < 0 || readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) < 0)
		return true; /* not to be known without being root */
	return streq(ours, theirs);
}

/* A dhcpcd for one link, as weft's own are, leaves others alone; one for all says so in its title. */
static bool is_of_one_link(const char *pid, const char *comm)
{
	cleanup_free char *path = xprintf("/proc/%s/cmdline", pid);
	return streq(comm, "dhcpcd") && !mentions(path, "[manager]");
}

/* Which rows have a process; a bit each. */
static bool note_running(void *ctx, const char *pid)
{
	uint64_t *found = ctx;
	char buf[PROCESS_NAME];
	const char *comm = process_name(pid, buf);
	for (size_t i = 0; i < ARRAY_SIZE(managers); i++)
		if (streq(comm, managers[i].comm) && doctor_shares_network(pid) && !is_of_one_link(pid, comm))
			*found |= (uint64_t)1 << i;
	return false;
}

static bool is_seen_to(const struct manager_row *row)
{
	size_t n = 0;
	while (n < ARRAY_SIZE(row->drop_ins) && row->drop_ins[n] && netd_drop_in_installed(row->drop_ins[n]))
		n++;
	bool all = n > 0 && (n == ARRAY_SIZE(row->drop_ins) || !row->drop_ins[n]);
	return all || (row->directory && directory_mentions(row->directory, row->word));
}

void netd_doctor_managers(struct doctor *d)
{
	uint64_t found = 0;
	process_each(note_running, &found);
	for (size_t i = 0; i < ARRAY_SIZE(managers); i++) {
		const struct manager_row *row = &managers[i];
		if (!(found >> i & 1))
			continue;
		if (row->level != FINDING_OK && is_seen_to(row))
			doctor_find(d, FINDING_OK, row->name, NULL, "it runs, and is told what to leave alone");
		else
			doctor_find(d, row->level, row->name, row->remedy, "%s", row->text);
	}
	if (!found)
		doctor_find(d, FINDING_OK, "none", NULL, "nobody else is known to work on this host's network");
}
