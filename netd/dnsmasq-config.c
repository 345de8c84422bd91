/* SPDX-License-Identifier: Apache-2.0 */
/* What dnsmasq is told: its configuration, its DNS records, and where these files lie. Pure text, for golden tests;
 * dnsmasq.h has the layout. */
#include <sys/stat.h>

#include "core/env.h"
#include "netd/dnsmasq.h"

static const struct field subnet_rows[] = {
	F_PREFIX("address", struct dnsmasq_subnet, address, .flags = FIELD_REQUIRED,
		 .doc = "The host's own address in the subnet."),
	F_RANGE("range", struct dnsmasq_subnet, range, .doc = "Given to clients that are not known."),
	F_BOOL("anyone", struct dnsmasq_subnet, anyone, .doc = "Gives addresses of the range to any client."),
	F_BOOL("dhcp", struct dnsmasq_subnet, dhcp, .doc = "Gives addresses."),
	F_BOOL("slaac", struct dnsmasq_subnet, slaac, .doc = "Clients make their own addresses."),
};
static const struct table subnet_table = TABLE("dnsmasq.subnets", struct dnsmasq_subnet, subnet_rows);

static const struct field dnsmasq_rows[] = {
	F_STRING("interface", struct dnsmasq_spec, interface, .doc = "Bridge it serves."),
	F_STRUCTS("subnets", struct dnsmasq_spec, subnets, subnet_table, .doc = "Subnets it gives addresses in."),
	F_DURATION("lease", struct dnsmasq_spec, lease_ms, .doc = "How long an address is lent."),
	F_U32("maxLeases", struct dnsmasq_spec, max_leases, .doc = "How many leases there can be."),
	F_BOOL("router", struct dnsmasq_spec, router, .doc = "Offers the host as the default gateway."),
	F_U32("mtu", struct dnsmasq_spec, mtu, .doc = "MTU told to DHCP clients."),
	F_STRING("domain", struct dnsmasq_spec, domain, .doc = "Domain of the network."),
	F_LIST("upstream", struct dnsmasq_spec, upstream, scalar_ip, .doc = "Servers that answer other names."),
	F_BOOL("hostResolver", struct dnsmasq_spec, host_resolver,
	       .doc = "Asks the servers of the host's resolv.conf."),
	F_STRUCTS("records", struct dnsmasq_spec, records, netd_dns_record_table, .doc = "Names answered here."),
	F_U32("pid", struct dnsmasq_spec, pid, .flags = FIELD_STATUS, .doc = "Process."),
};
const struct table netd_dnsmasq_table = TABLE("dnsmasq", struct dnsmasq_spec, dnsmasq_rows);

char *dnsmasq_path(const char *network, enum dnsmasq_file file)
{
	static const char *const names[] = {"/dnsmasq.conf", "/records",      "/hosts", "/leases",
					    "/pid",          "/process.json", "/log"};
	return xprintf("%s/networks/%s%s", file >= DNSMASQ_PID ? env.run_dir : env.state_dir, network, names[file]);
}

/* dnsmasq reads its files as another user, whatever our umask is. */
static int make_dir(const char *path)
{
	int r = mkdir_all(path, 0755);
	return r == 0 && chmod(path, 0755) < 0 ? -errno : r;
}

int dnsmasq_make_dirs(const char *network)
{
	cleanup_free char *hosts = dnsmasq_path(network, DNSMASQ_HOSTS);
	cleanup_free char *run = xprintf("%s/networks/%s", env.run_dir, network);
	cleanup_free char *state = xprintf("%s/networks/%s", env.state_dir, network);
	cleanup_free char *all_run = xprintf("%s/networks", env.run_dir),
			  *all_state = xprintf("%s/networks", env.state_dir);
	const char *const dirs[] = {all_run, run, all_state, state, hosts};
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r == 0; i++)
		r = make_dir(dirs[i]);
	return r;
}

void dnsmasq_remove_dirs(const char *network)
{
	cleanup_free char *hosts = dnsmasq_path(network, DNSMASQ_HOSTS);
	cleanup_free char *run = xprintf("%s/networks/%s", env.run_dir, network),
			  *state = xprintf("%s/networks/%s", env.state_dir, network);
	cleanup_free char *all_run = xprintf("%s/networks", env.run_dir),
			  *all_state = xprintf("%s/networks", env.state_dir);
	const char *const dirs[] = {hosts, run, state, all_run, all_state};
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		rmdir(dirs[i]);
}

static void put_range4(FILE *out, const struct dnsmasq_subnet *subnet, uint64_t lease_s)
{
	struct ip_prefix network = prefix_network(&subnet->address);
	struct ip mask = {.family = 4};
	char a[IP_TEXT], b[IP_TEXT];
	for (unsigned bit = 0; bit < subnet->address.len; bit++)
		mask.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	fprintf(out, "dhcp-range=%s,", ip_text(subnet->anyone ? &subnet->range.first : &network.ip, a));
	fprintf(out, "%s,%s,%llu\n", subnet->anyone ? ip_text(&subnet->range.last, a) : "static", ip_text(&mask, b),
		(unsigned long long)lease_s);
}

static void put_range6(FILE *out, const struct dnsmasq_subnet *subnet, uint64_t lease_s)
{
	struct ip_prefix network = prefix_network(&subnet->address);
	char a[IP_TEXT];
	fprintf(out, "dhcp-range=%s,", ip_text(subnet->anyone ? &subnet->range.first : &network.ip, a));
	if (!subnet->dhcp)
		fprintf(out, "ra-stateless,ra-names");
	else
		fprintf(out, "%s%s", subnet->anyone ? ip_text(&subnet->range.last, a) : "static",
			subnet->slaac ? ",slaac,ra-names" : "");
	fprintf(out, ",%u,%llu\n", subnet->address.len, (unsigned long long)lease_s);
}

/* The server's own IPv6 addresses are told by name: left to itself, dnsmasq advertises a link-local one, which not
 * every resolver can use. */
static void put_servers6(FILE *out, const struct dnsmasq_spec *spec)
{
	const char *before = "dhcp-option=option6:dns-server,";
	char text[IP_TEXT];
	for (size_t i = 0; i < spec->subnets.n; i++) {
		const struct ip *ip = &list_at(&spec->subnets, struct dnsmasq_subnet, i).address.ip;
		if (ip->family != 6)
			continue;
		fprintf(out, "%s[%s]", before, ip_text(ip, text));
		before = ",";
	}
	if (*before == ',')
		fprintf(out, "\n");
}

static void put_subnets(FILE *out, const struct dnsmasq_spec *spec)
{
	uint64_t lease_s = spec->lease_ms / 1000;
	bool four = false, six = false;
	for (size_t i = 0; i < spec->subnets.n; i++) {
		const struct dnsmasq_subnet *subnet = &list_at(&spec->subnets, struct dnsmasq_subnet, i);
		if (subnet->address.ip.family == 4)
			put_range4(out, subnet, lease_s);
		else
			put_range6(out, subnet, lease_s);
		four |= subnet->address.ip.family == 4;
		six |= subnet->address.ip.family == 6;
	}
	if (six) {
		fprintf(out, "enable-ra\n");
		put_servers6(out, spec);
		if (*spec->domain)
			fprintf(out, "dhcp-option=option6:domain-search,%s\n", spec->domain);
		if (!spec->router)
			fprintf(out, "ra-param=%s,0,0\n", spec->interface);
	}
	if (four && !spec->router)
		fprintf(out, "dhcp-option=option:router\n");
	if (four && spec->mtu)
		fprintf(out, "dhcp-option=option:mtu,%u\n", spec->mtu);
	if (four || six)
		fprintf(out,
			"dhcp-authoritative\ndhcp-lease-max=%u\nquiet-dhcp\nquiet-dhcp6\nquiet-ra\n"
			"dhcp-name-match=set:wpad,wpad\ndhcp-ignore-names=tag:wpad\n", /* no guest becomes everybody's
											  proxy by its name */
			spec->max_leases);
}

static void put_dns(FILE *out, const struct dnsmasq_spec *spec)
{
	char text[IP_TEXT];
	fprintf(out, "no-hosts\ndomain-needed\ncache-size=1000\n");
	if (*spec->domain)
		fprintf(out, "domain=%s\nlocal=/%s/\n", spec->domain, spec->domain);
	fprintf(out, spec->host_resolver ? "resolv-file=/etc/resolv.conf\n" : "no-resolv\n");
	for (size_t i = 0; i < spec->upstream.n; i++)
		fprintf(out, "server=%s\n", ip_text(&list_at(&spec->upstream, struct ip, i), text));
}

char *dnsmasq_config(const char *network, const struct dnsmasq_spec *spec, const char *user)
{
	cleanup_free char *records = dnsmasq_path(network, DNSMASQ_RECORDS),
			  *hosts = dnsmasq_path(network, DNSMASQ_HOSTS);
	cleanup_free char *leases = dnsmasq_path(network, DNSMASQ_LEASES), *pid = dnsmasq_path(network, DNSMASQ_PID);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	fprintf(out, "# Written by weftd for Network %s; changes are lost.\n", network);
	fprintf(out, "interface=%s\nexcept-interface=lo\nbind-dynamic\nuser=%s\npid-file=%s\n", spec->interface, user,
		pid);
	put_dns(out, spec);
	fprintf(out, "addn-hosts=%s\n", records);
	fprintf(out, "dhcp-leasefile=%s\ndhcp-hostsfile=%s\n", leases, hosts);
	put_subnets(out, spec);
	fclose(out);
	return text;
}

/* Lines of /etc/hosts: "192.168.150.1 gw.lan.test gw". */
char *dnsmasq_records(const struct dnsmasq_spec *spec)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort();
	for (size_t i = 0; i < spec->records.n; i++) {
		const struct dns_record *record = &list_at(&spec->records, struct dns_record, i);
		for (size_t k = 0; k < record->ips.n; k++) {
			char ip[IP_TEXT];
			fputs(ip_text(&list_at(&record->ips, struct ip, k), ip), out);
			if (*spec->domain && !strchr(record->name, '.'))
				fprintf(out, " %s.%s", record->name, spec->domain);
			fprintf(out, " %s\n", record->name);
		}
	}
	fclose(out);
	return text;
}
