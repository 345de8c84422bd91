/* SPDX-License-Identifier: Apache-2.0 */
/* Links of weft's that somebody else has to do with as well: another program that manages one, a file that names one,
 * a DHCP client that runs on one. A link is weft's when it bears weft's mark, or is a port of one that does. */
#include <dirent.h>
#include <glob.h>
#include <limits.h>
#include <net/if.h>

#include "core/process-list.h"
#include "netd/doctor.h"

enum { FILE_MAX = 1 << 20, NAMED_AT_MOST = 4 };

struct our_links {
	char (*names)[IFNAMSIZ];
	size_t n, cap;
};

static bool has_mark(const char *link)
{
	cleanup_free char *alias = NULL, *path = xprintf("/sys/class/net/%s/ifalias", link);
	return file_read(path, 256, &alias, NULL) == 0 && str_starts(alias, "weft:");
}

static bool is_of_weft(const char *link)
{
	cleanup_free char *path = xprintf("/sys/class/net/%s/master", link);
	char master[PATH_MAX] = "";
	if (has_mark(link))
		return true;
	return readlink(path, master, sizeof(master) - 1) > 0 && has_mark(strrchr(master, '/') + 1);
}

static bool is_one_of(const struct our_links *links, const char *name)
{
	for (size_t i = 0; i < links->n; i++)
		if (streq(links->names[i], name))
			return true;
	return false;
}

static void read_links(struct our_links *links)
{
	DIR *dir = opendir("/sys/class/net");
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ || !is_of_weft(entry->d_name))
			continue;
		grow(links->names, links->n, links->cap);
		strcpy(links->names[links->n++], entry->d_name);
	}
	if (dir)
		closedir(dir);
}

/* Names that go into one sentence: the first few, and how many more. */
struct naming {
	char text[NAMED_AT_MOST * (IFNAMSIZ + 2) + 32];
	size_t n;
};

static void name_one(struct naming *naming, const char *link)
{
	size_t used = strlen(naming->text);
	if (naming->n++ < NAMED_AT_MOST)
		snprintf(naming->text + used, sizeof(naming->text) - used, "%s%s", used ? ", " : "", link);
}

static const char *named(struct naming *naming)
{
	size_t used = strlen(naming->text);
	if (naming->n > NAMED_AT_MOST)
		snprintf(naming->text + used, sizeof(naming->text) - used, " and %zu more", naming->n - NAMED_AT_MOST);
	return naming->text;
}

/* ---- programs that say which links they manage ---- */

static const struct asked {
	const char *name;
	const char *argv[8];
	const char *between; /* words of a line */
	size_t link, state;  /* which word is which */
	const char *left;    /* what a state begins with of a link that is left alone */
	const char *left_too;
	const char *remedy;
} asked[] = {
	{"NetworkManager",
	 {"nmcli", "-t", "-f", "DEVICE,STATE", "device"},
	 ":",
	 0,
	 1,
	 "unmanaged",
	 "connected (externally)",
	 "take them out of its connections, and copy integration/udev/80-weft.rules to /etc/udev/rules.d"},
	{"systemd-networkd",
	 {"networkctl", "list", "--all", "--no-legend", "--no-pager"},
	 " ",
	 1,
	 4,
	 "unmanaged",
	 "unmanaged",
	 "see networkctl status LINK for the file, and take it out there; ports of weft's bridges stand in none"},
};

/* The word'th word of a line, empty words left out. */
static char *word_at(char *line, const char *between, size_t word)
{
	char *save = NULL, *found = strtok_r(line, between, &save);
	while (found && word--)
		found = strtok_r(NULL, between, &save);
	return found;
}

static void look_at_manager(struct doctor *d, const struct our_links *links, const struct asked *manager)
{
	struct naming naming = {0};
	cleanup_free char *said = NULL;
	char *rest;
	if (doctor_run(manager->argv, &said) != 0 || !said)
		return; /* it does not run */
	rest = said;
	for (char *line; (line = strsep(&rest, "\n"));) {
		cleanup_free char *again = xstrdup(line);
		const char *link = word_at(line, manager->between, manager->link),
			   *state = word_at(again, manager->between, manager->state);
		if (link && state && is_one_of(links, link) && !str_starts(state, manager->left) &&
		    !str_starts(state, manager->left_too))
			name_one(&naming, link);
	}
	if (naming.n)
		doctor_find(d, FINDING_WARN, manager->name, manager->remedy,
			    "it manages links that are weft's: %s; each undoes what the other does", named(&naming));
}

/* ---- files of ifupdown ---- */

/* "iface eth0 inet dhcp", "auto eth0", and what bridges and bonds of its own take. */
static bool speaks_of_links(const char *word)
{
	static const char *const words[] = {"iface",        "auto",        "allow-hotplug", "bridge_ports",
					    "bridge-ports", "bond-slaves", "bond_slaves"};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(word, words[i]))
			return true;
	return false;
}

static void look_at_line(const struct our_links *links, char *line, struct naming *naming)
{
	char *save = NULL, *word = strtok_r(line, " \t", &save);
	bool iface = word && streq(word, "iface");
	if (!word || !speaks_of_links(word))
		return;
	while ((word = strtok_r(NULL, " \t", &save))) {
		if (is_one_of(links, word) && !strstr(naming->text, word))
			name_one(naming, word);
		if (iface)
			return; /* the others are how */
	}
}

static void look_at_interfaces(struct doctor *d, const struct our_links *links, const char *path)
{
	struct naming naming = {0};
	cleanup_free char *text = NULL;
	if (file_read(path, FILE_MAX, &text, NULL) < 0)
		return;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));)
		look_at_line(links, line, &naming);
	if (naming.n)
		doctor_find(d, FINDING_WARN, "ifupdown", "take these links out of the file; a manifest has them now",
			    "%s sets up links that are weft's, at the next boot or ifup: %s", path, named(&naming));
}

static void look_at_ifupdown(struct doctor *d, const struct our_links *links)
{
	char program[PATH_MAX];
	glob_t found = {0};
	if (!doctor_program("ifup", program))
		return;
	look_at_interfaces(d, links, "/etc/network/interfaces");
	if (glob("/etc/network/interfaces.d/*", 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			look_at_interfaces(d, links, found.gl_pathv[i]);
	globfree(&found);
}

/* ---- DHCP clients of others ---- */

struct look {
	struct doctor *doctor;
	const struct our_links *links;
};

/* The link that a DHCP client was begun for, the last word of its command line that is one. */
static bool look_at_process(void *ctx, const char *pid)
{
	static const char *const clients[] = {"dhclient", "udhcpc"};
	const struct look *look = ctx;
	char buf[PROCESS_NAME];
	const char *comm = process_name(pid, buf);
	cleanup_free char *line = NULL, *cmdline = xprintf("/proc/%s/cmdline", pid);
	size_t size = 0;
	if ((!streq(comm, clients[0]) && !streq(comm, clients[1])) || !doctor_shares_network(pid) ||
	    file_read(cmdline, 4096, &line, &size) < 0)
		return false;
	for (const char *word = line; word < line + size; word += strlen(word) + 1)
		if (is_one_of(look->links, word))
			doctor_find(look->doctor, FINDING_WARN, comm,
				    "end it, and write dhcp4: true into the link's manifest if it is to ask",
				    "it runs (pid %s) and asks for an address on %s, which is weft's", pid, word);
	return false;
}

void netd_doctor_rivals(struct doctor *d)
{
	struct our_links links = {0};
	read_links(&links);
	for (size_t i = 0; links.n && i < ARRAY_SIZE(asked); i++)
		look_at_manager(d, &links, &asked[i]);
	if (links.n) {
		look_at_ifupdown(d, &links);
		process_each(look_at_process, &(struct look){d, &links});
	}
	free(links.names);
}
