/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the two iptables holds the host's rules; see firewall-backend.h. */
#include <libgen.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h> /* the kernel's headers give way to it only when it comes first */
#include <sys/socket.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include "core/env.h"
#include "netd/firewall-backend.h"
#include "netd/nft-dump.h"

const char *const backend_names[N_BACKENDS] = {"nft", "legacy"};

static int decided = -1;

/* Entries of a legacy table beyond its built-in chains' policies. Asking for a table makes it, so only those are asked
 * for that are there. */
static bool legacy_table_has_rules(enum family family, const char *table)
{
	cleanup_close int fd = socket(family == FAMILY_IPV4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0)
		return false;
	unsigned hooks, entries;
	if (family == FAMILY_IPV4) {
		struct ipt_getinfo info = {0};
		socklen_t size = sizeof(info);
		snprintf(info.name, sizeof(info.name), "%s", table);
		if (getsockopt(fd, IPPROTO_IP, IPT_SO_GET_INFO, &info, &size) < 0)
			return false;
		hooks = info.valid_hooks;
		entries = info.num_entries;
	} else {
		struct ip6t_getinfo info = {0};
		socklen_t size = sizeof(info);
		snprintf(info.name, sizeof(info.name), "%s", table);
		if (getsockopt(fd, IPPROTO_IPV6, IP6T_SO_GET_INFO, &info, &size) < 0)
			return false;
		hooks = info.valid_hooks;
		entries = info.num_entries;
	}
	/* One entry is a hook's policy, and one more ends the table. */
	return entries > (unsigned)__builtin_popcount(hooks) + 1;
}

static bool legacy_has_rules(void)
{
	static const char *const files[N_FAMILIES] = {"/proc/self/net/ip_tables_names",
						      "/proc/self/net/ip6_tables_names"};
	for (int family = 0; family < N_FAMILIES; family++) {
		cleanup_free char *names = NULL;
		if (file_read(files[family], 4096, &names, NULL) < 0)
			continue;
		char *rest = names, *name;
		while ((name = strsep(&rest, "\n")))
			if (*name && legacy_table_has_rules(family, name))
				return true;
	}
	return false;
}

/* An iptables-nft rule of anybody's? */
static bool nft_has_rules(void)
{
	for (int family = 0; family < N_FAMILIES; family++)
		if (nft_dump_counts_rules(family))
			return true;
	return false;
}

static const char *path_of(const char *program, char buf[static PATH_MAX])
{
	static const char *const dirs[] = {"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"};
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/%s", dirs[i], program);
		if (realpath(path, buf))
			return buf;
	}
	return NULL;
}

/* What plain `iptables` is on this host: what people look with. */
static enum backend usual_backend(void)
{
	char path[PATH_MAX];
	if (path_of("iptables", path))
		return strstr(basename(path), "legacy") ? BACKEND_LEGACY : BACKEND_NFT;
	return path_of("iptables-nft", path) ? BACKEND_NFT : BACKEND_LEGACY;
}

static enum backend decide(void)
{
	bool legacy = legacy_has_rules(), nft = nft_has_rules();
	enum backend backend = legacy == nft ? usual_backend() : legacy ? BACKEND_LEGACY : BACKEND_NFT;
	char path[PATH_MAX], program[40];
	snprintf(program, sizeof(program), "iptables-%s", backend_names[backend]);
	/* Distributions with one iptables only may not have the long names; it then is the usual one. */
	return path_of(program, path) ? backend : usual_backend();
}

static char *kept_path(void)
{
	return env.run_dir ? xprintf("%s/iptables", env.run_dir) : NULL;
}

/* What a weftd before this one has used since the host came up. */
static int kept_backend(void)
{
	cleanup_free char *path = kept_path(), *text = NULL;
	if (!path || file_read(path, 64, &text, NULL) < 0)
		return -1;
	text[strcspn(text, "\n")] = '\0';
	for (int i = 0; i < N_BACKENDS; i++)
		if (streq(text, backend_names[i]))
			return i;
	return -1;
}

enum backend firewall_backend(void)
{
	if (decided < 0)
		decided = kept_backend();
	if (decided < 0)
		decided = decide();
	return decided;
}

void firewall_backend_keep(void)
{
	cleanup_free char *path = kept_path(), *text = xprintf("%s\n", backend_names[firewall_backend()]);
	/* Should it be lost, the rules themselves tell the next weftd which it was. */
	if (path && kept_backend() != (int)firewall_backend())
		file_write_atomic(path, text, strlen(text), 0644);
}

void firewall_backend_set(int backend)
{
	decided = backend;
}

const char *firewall_program(enum family family, const char *verb, char buf[static 40])
{
	const char *base = family == FAMILY_IPV4 ? "iptables" : "ip6tables";
	char path[PATH_MAX];
	snprintf(buf, 40, "%s-%s-%s", base, backend_names[firewall_backend()], verb);
	if (!path_of(buf, path))
		snprintf(buf, 40, "%s-%s", base, verb);
	return buf;
}
