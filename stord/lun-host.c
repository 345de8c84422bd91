/* SPDX-License-Identifier: Apache-2.0 */
/* What Luns leave on the host: records in the state directory, rules for udev, a drop-in for multipathd, links. All of
 * it is this weftd's own: files of others beside them are read, never written. In children; one at a time writes. */
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

#include "core/env.h"
#include "stord/image.h"
#include "stord/lun.h"

enum { FILE_MAX = 4 << 20, WAIT_US = 20 * 1000 };

const char *const lun_uses[3] = {"either", "disk", "map"};

/* ---- records ---- */

static char *record_path(const char *name)
{
	return xprintf("%s/luns/%s.json", env.state_dir, name);
}

bool lun_record_read(const char *name, struct lun_record *ret)
{
	cleanup_free char *path = record_path(name);
	json_t *json = json_load_file(path, 0, NULL);
	const char *wwid = NULL, *paths = "", *use = "either";
	json_int_t size = 0;
	int map = 0, made = 0;
	bool read = json_unpack(json, "{s:s, s?I, s?s, s?b, s?b, s?s}", "wwid", &wwid, "size", &size, "use", &use,
				"map", &map, "made", &made, "paths", &paths) == 0;
	*ret = (struct lun_record){.size = size > 0 ? (uint64_t)size : 0, .map = map, .made = made};
	if (read) {
		snprintf(ret->name, sizeof(ret->name), "%s", name);
		snprintf(ret->wwid, sizeof(ret->wwid), "%s", wwid);
		snprintf(ret->paths, sizeof(ret->paths), "%s", paths);
	}
	for (int i = 0; i < (int)ARRAY_SIZE(lun_uses); i++)
		if (streq(use, lun_uses[i]))
			ret->use = i;
	json_decref(json);
	return read;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct lun_record *)a)->name, ((const struct lun_record *)b)->name);
}

static void read_records(struct lun_host *host)
{
	cleanup_free char *path = xprintf("%s/luns", env.state_dir);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		const char *end = strstr(entry->d_name, ".json");
		if (!end || end[strlen(".json")])
			continue;
		cleanup_free char *name = xstrndup(entry->d_name, (size_t)(end - entry->d_name));
		grow(host->records, host->n_records, host->cap_records);
		host->n_records += lun_record_read(name, &host->records[host->n_records]);
	}
	if (dir)
		closedir(dir);
	if (host->n_records)
		qsort(host->records, host->n_records, sizeof(*host->records), by_name);
}

void lun_host_read(struct lun_host *ret)
{
	*ret = (struct lun_host){0};
	scsi_disks("/sys", &ret->disks, &ret->n_disks); /* without sysfs there are none */
	map_states_read(ret->disks, ret->n_disks, &ret->maps);
	read_records(ret);
}

void lun_host_done(struct lun_host *host)
{
	free(host->disks);
	free(host->records);
	map_states_done(&host->maps);
	*host = (struct lun_host){0};
}

static int write_file(const struct lun_record *record)
{
	cleanup_free char *path = record_path(record->name), *dir = xprintf("%s/luns", env.state_dir);
	json_t *json = json_pack("{s:s, s:I, s:s, s:b, s:b, s:s}", "wwid", record->wwid, "size",
				 (json_int_t)record->size, "use", lun_uses[record->use], "map", (int)record->map,
				 "made", (int)record->made, "paths", record->paths);
	cleanup_free char *text = json_dumps(json, JSON_INDENT(2));
	json_decref(json);
	int r = text ? mkdir_all(dir, 0700) : -ENOMEM;
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0600);
	return r < 0 ? say(-r, "'%s' cannot be written: %s", path, strerror(-r)) : 0;
}

void lun_record_drop(struct lun_host *host, const char *name)
{
	struct lun_record *known = lun_record_find(host, name);
	if (!known)
		return;
	memmove(known, known + 1, (size_t)(host->records + host->n_records - known - 1) * sizeof(*known));
	host->n_records--;
}

int lun_record_remove(const char *name)
{
	cleanup_free char *path = record_path(name);
	return unlink(path) < 0 && errno != ENOENT ? errno : 0;
}

int lun_record_write(struct lun_host *host, const struct lun_record *record)
{
	struct lun_record *known = lun_record_find(host, record->name);
	if (known && memcmp(known, record, sizeof(*known)) == 0)
		return 0;
	int code = write_file(record);
	if (code)
		return code;
	if (!known) {
		grow(host->records, host->n_records, host->cap_records);
		known = &host->records[host->n_records++];
	}
	*known = *record;
	qsort(host->records, host->n_records, sizeof(*host->records), by_name);
	return 0;
}

/* ---- rules ---- */

/* Of the system's weftd in /etc, as links have to be there at boot; of any other for as long as the host is up. */
static char *udev_path(void)
{
	return *env.root ? xprintf("/run/udev/rules.d/72-weft-%s.rules", env.instance)
			 : xstrdup("/etc/udev/rules.d/72-weft.rules");
}

static char *multipath_path(void)
{
	return *env.root ? xprintf("/etc/multipath/conf.d/weft-%s.conf", env.instance)
			 : xstrdup("/etc/multipath/conf.d/weft.conf");
}

static bool has_udev(void)
{
	return access("/run/udev/control", F_OK) == 0;
}

static void add_file(FILE *out, const char *path)
{
	cleanup_free char *text = NULL;
	if (file_read(path, FILE_MAX, &text, NULL) == 0)
		fputs(text, out);
}

/* What multipathd is configured with beside our own file. */
static char *multipath_of_others(const char *own)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort(); /* out of memory */
	add_file(out, "/etc/multipath.conf");
	DIR *dir = opendir("/etc/multipath/conf.d");
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		cleanup_free char *path = xprintf("/etc/multipath/conf.d/%s", entry->d_name);
		if (entry->d_name[0] != '.' && !streq(path, own))
			add_file(out, path);
	}
	if (dir)
		closedir(dir);
	fclose(out);
	return text;
}

/* Writes a file of ours, or removes it when there is nothing to say. 1: it has changed; 0: not; else -errno. */
static int put_file(const char *path, const char *text)
{
	cleanup_free char *there = NULL, *dir = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int r = file_read(path, FILE_MAX, &there, NULL);
	if (r < 0 && r != -ENOENT)
		return r;
	if (streq(there, text))
		return 0;
	if (!text)
		return unlink(path) < 0 ? -errno : 1;
	r = mkdir_all(dir, 0755);
	if (r == 0)
		r = file_write_atomic(path, text, strlen(text), 0644);
	return r < 0 ? r : 1;
}

void lun_tell_udev(const struct lun_host *host, char ret[static LUN_SENTENCE_MAX])
{
	cleanup_free char *path = udev_path();
	cleanup_free char *text = host->n_records ? lun_udev_rules(host->records, host->n_records) : NULL;
	int r = has_udev() ? put_file(path, text) : 0;
	/* udevadm control --reload */
	const char *const argv[] = {"udevadm", "control", "--reload", "--timeout=5", NULL};
	*ret = '\0';
	if (r < 0)
		snprintf(ret, LUN_SENTENCE_MAX, "'%s' cannot be written: %s", path, strerror(-r));
	else if (r && run_program(argv, NULL, NULL) != 0)
		snprintf(ret, LUN_SENTENCE_MAX, "udev does not read its rules; see systemctl status systemd-udevd");
}

void lun_tell_multipathd(const struct lun_host *host, char ret[static LUN_SENTENCE_MAX])
{
	cleanup_free char *path = multipath_path(), *others = multipath_of_others(path), *answer = NULL;
	cleanup_free char *text = lun_multipath_rules(host->records, host->n_records, others, env.instance);
	int r = put_file(path, strstr(text, "\twwid") ? text : NULL);
	int fault = r > 0 ? multipathd_ask("reconfigure", &answer) : 0;
	*ret = '\0';
	if (r < 0)
		snprintf(ret, LUN_SENTENCE_MAX, "'%s' cannot be written: %s", path, strerror(-r));
	else if (fault && fault != ECONNREFUSED) /* what does not run reads it when it starts */
		snprintf(ret, LUN_SENTENCE_MAX, "%s", multipathd_fault_text(fault));
}

/* ---- links ---- */

/* The kernel's name of what the link leads to; false if there is no link. */
static bool read_link(const char *name, char ret[static 64])
{
	cleanup_free char *path = xprintf(LUN_LINKS "/%s", name);
	char target[256];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	const char *slash = strrchr(target, '/');
	snprintf(ret, 64, "%.63s", slash ? slash + 1 : target);
	return true;
}

void lun_ask_udev(const char *name, const char *device)
{
	char there[64];
	if (!device && !read_link(name, there))
		return;
	cleanup_free char *path = xprintf("/sys/block/%s/uevent", device ? device : there);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "change", 6) < 0)
		return; /* it has just gone; there will be an event for that */
}

static bool rules_name(const char *name)
{
	if (!has_udev())
		return true;
	cleanup_free char *path = udev_path(), *text = NULL, *link = xprintf("\"weft/lun/%s\"", name);
	return file_read(path, FILE_MAX, &text, NULL) == 0 && strstr(text, link);
}

bool lun_is_linked(const char *name, const char *device)
{
	char there[64];
	return read_link(name, there) && streq(there, device) && rules_name(name);
}

static bool dir_names(const char *dir_path, const char *own, const char *link)
{
	DIR *dir = opendir(dir_path);
	const struct dirent *entry;
	bool named = false;
	while (dir && !named && (entry = readdir(dir))) {
		cleanup_free char *path = xprintf("%s/%s", dir_path, entry->d_name), *text = NULL;
		if (str_starts(entry->d_name, "72-weft") && !streq(path, own) &&
		    file_read(path, FILE_MAX, &text, NULL) == 0)
			named = strstr(text, link);
	}
	if (dir)
		closedir(dir);
	return named;
}

bool lun_name_is_taken(const struct lun_host *host, const char *name)
{
	cleanup_free char *own = udev_path(), *link = xprintf("\"weft/lun/%s\"", name);
	char there[64];
	if (lun_record_find(host, name))
		return false;
	if (!has_udev())
		return read_link(name, there);
	return dir_names("/etc/udev/rules.d", own, link) || dir_names("/run/udev/rules.d", own, link);
}

static void link_by_hand(const char *name, const char *device)
{
	cleanup_free char *path = xprintf(LUN_LINKS "/%s", name), *new = xprintf(LUN_LINKS "/.%s.new", name);
	cleanup_free char *target = device ? xprintf("../../%s", device) : NULL;
	if (!device) {
		unlink(path);
		rmdir(LUN_LINKS);
		rmdir("/dev/weft");
		return;
	}
	unlink(new);
	if (mkdir_all(LUN_LINKS, 0755) == 0 && symlink(target, new) == 0)
		rename(new, path);
}

bool lun_wait_linked(const char *name, const char *device, uint64_t until_ms)
{
	char there[64];
	if (!has_udev())
		link_by_hand(name, device);
	for (;;) {
		bool linked = read_link(name, there);
		if (device ? linked && streq(there, device) : !linked)
			return true;
		if (now_ms() >= until_ms)
			return false;
		usleep(WAIT_US);
	}
}
