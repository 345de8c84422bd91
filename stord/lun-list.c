/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft lun list` shows: every disk and map of this host, named or not, and who uses it. A child looks whenever
 * block devices come, go or change, and when somebody asks; who asks is answered at once, with what was seen last. */
#include <dirent.h>
#include <jansson.h>
#include <libmount.h>
#include <sys/sysmacros.h>
#include <systemd/sd-device.h>

#include "core/child.h"
#include "core/engine.h"
#include "core/env.h"
#include "stord/lun.h"
#include "stord/stord.h"

enum { LOOK_MS = 10 * 1000, DEPTH_MAX = 5 };

/* ---- in the child ---- */

static void add_user(json_t *users, const char *what, const char *name)
{
	cleanup_free char *text = xprintf("%s %s", what, name);
	const json_t *known;
	size_t i;
	json_array_foreach(users, i, known) {
		if (streq(json_string_value(known), text))
			return;
	}
	json_array_append_new(users, json_string(text));
}

/* An attribute of one line. */
static char *read_line(const char *dir, const char *name)
{
	cleanup_free char *path = xprintf("%s/%s", dir, name);
	char *text = NULL;
	if (file_read(path, 4096, &text, NULL) < 0)
		return xstrdup("");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* "vg0" of "vg0-data--1": device mapper doubles what are hyphens of the names themselves. */
static char *group_of(const char *name)
{
	char *group = xstrdup(name), *to = group;
	for (const char *p = name; *p; p++) {
		if (*p == '-' && p[1] != '-')
			break;
		*to++ = *p;
		p += *p == '-';
	}
	*to = '\0';
	return group;
}

static void add_mounts(json_t *users, struct libmnt_table *mounts, const char *dir)
{
	cleanup_free char *number = read_line(dir, "dev");
	unsigned major, minor;
	if (!mounts || sscanf(number, "%u:%u", &major, &minor) != 2)
		return;
	struct libmnt_fs *fs = mnt_table_find_devno(mounts, makedev(major, minor), MNT_ITER_FORWARD);
	if (fs)
		add_user(users, "mount", mnt_fs_get_target(fs));
}

static void add_users(json_t *users, struct libmnt_table *mounts, const char *dir, int depth);

/* What stands on a disk: a volume group, or another device whose users count as the disk's. */
static void add_holders(json_t *users, struct libmnt_table *mounts, const char *dir, int depth)
{
	cleanup_free char *path = xprintf("%s/holders", dir);
	DIR *holders = opendir(path);
	const struct dirent *entry;
	while (holders && (entry = readdir(holders))) {
		if (entry->d_name[0] == '.')
			continue;
		cleanup_free char *holder = xprintf("/sys/block/%s", entry->d_name);
		cleanup_free char *uuid = read_line(holder, "dm/uuid"), *name = read_line(holder, "dm/name");
		cleanup_free char *group = group_of(name);
		if (str_starts(uuid, "LVM-"))
			add_user(users, "volume group", group);
		else if (!str_starts(uuid, "part"))
			add_user(users, "device", *name ? name : entry->d_name);
		add_users(users, mounts, holder, depth + 1);
	}
	if (holders)
		closedir(holders);
}

static void add_users(json_t *users, struct libmnt_table *mounts, const char *dir, int depth)
{
	if (depth > DEPTH_MAX)
		return;
	add_mounts(users, mounts, dir);
	add_holders(users, mounts, dir, depth);
	DIR *parts = depth ? NULL : opendir(dir);
	const struct dirent *entry;
	while (parts && (entry = readdir(parts))) {
		cleanup_free char *part = xprintf("%s/%s", dir, entry->d_name), *is = xprintf("%s/partition", part);
		if (entry->d_name[0] != '.' && access(is, F_OK) == 0)
			add_users(users, mounts, part, depth + 1);
	}
	if (parts)
		closedir(parts);
}

/* As udev found it: looking at the disk itself could take for ever. */
static char *content_of(const char *disk)
{
	sd_device *device = NULL;
	const char *type = NULL;
	if (sd_device_new_from_subsystem_sysname(&device, "block", disk) < 0)
		return NULL;
	if (sd_device_get_property_value(device, "ID_FS_TYPE", &type) < 0 &&
	    sd_device_get_property_value(device, "ID_PART_TABLE_TYPE", &type) < 0)
		type = NULL;
	char *copy = type ? xstrdup(type) : NULL;
	sd_device_unref(device);
	return copy;
}

static json_t *path_json(const struct lun_host *host, const struct scsi_disk *disk)
{
	const struct map_path *path = NULL;
	for (size_t i = 0; i < host->maps.n_paths && !path; i++)
		if (streq(host->maps.paths[i].disk, disk->name))
			path = &host->maps.paths[i];
	const char *fault = lun_path_fault(disk, path);
	json_t *json =
		json_pack("{s:s, s:o, s:s, s:s*, s:s*, s:s*, s:s*, s:s*}", "name", lun_path_name(disk), "device",
			  json_sprintf("/dev/%s", disk->name), "state", fault ? fault : "up", "address",
			  *disk->address ? disk->address : NULL, "target", *disk->target ? disk->target : NULL,
			  "session", *disk->session ? disk->session : NULL, "kernel", *disk->state ? disk->state : NULL,
			  "checker", path && *path->checker ? path->checker : NULL);
	return json;
}

static const struct lun_record *record_of(const struct lun_host *host, const char *wwid)
{
	for (size_t i = 0; *wwid && i < host->n_records; i++)
		if (streq(host->records[i].wwid, wwid))
			return &host->records[i];
	return NULL;
}

/* A disk, or a map with the first of its paths: what a person knows it by is on that. */
static json_t *disk_json(const struct lun_host *host, const struct scsi_disk *disk, struct libmnt_table *mounts)
{
	const struct scsi_disk *shown = disk;
	json_t *paths = json_array(), *users = json_array();
	for (size_t i = 0; i < host->n_disks; i++) {
		const struct scsi_disk *path = &host->disks[i];
		bool of_map = disk->map[0] && streq(path->holder, disk->name);
		if (of_map && shown == disk)
			shown = path;
		if (of_map || (path == disk && !disk->map[0]))
			json_array_append_new(paths, path_json(host, path));
	}
	const struct lun_record *record = record_of(host, disk->wwid);
	cleanup_free char *dir = xprintf("/sys/block/%s", disk->name), *content = content_of(disk->name);
	add_users(users, mounts, dir, 0);
	json_t *json = json_pack("{s:o, s:I, s:s, s:b, s:o, s:o}", "device", json_sprintf("/dev/%s", disk->name),
				 "size", (json_int_t)disk->size, "transport", shown->transport, "readOnly",
				 disk->read_only, "paths", paths, "users", users);
	const struct {
		const char *key, *text;
	} texts[] = {
		{"wwid", disk->wwid},      {"name", record ? record->name : ""},
		{"vendor", shown->vendor}, {"model", shown->model},
		{"serial", shown->serial}, {"map", disk->map},
		{"target", shown->target}, {"content", content ? content : ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (*texts[i].text)
			json_object_set_new(json, texts[i].key, json_string(texts[i].text));
	if (*shown->target)
		json_object_set_new(json, "lun", json_integer((json_int_t)shown->lun));
	for (size_t i = 0; disk->map[0] && i < host->maps.n_maps; i++)
		if (streq(host->maps.maps[i].map, disk->name)) {
			json_object_set_new(json, "policy", json_string(host->maps.maps[i].policy));
			json_object_set_new(json, "queueing", json_string(host->maps.maps[i].queueing));
		}
	return json;
}

static bool is_path_of_map(const struct lun_host *host, const struct scsi_disk *disk)
{
	for (size_t i = 0; i < host->n_disks; i++)
		if (host->disks[i].map[0] && streq(disk->holder, host->disks[i].name))
			return true;
	return false;
}

/* Names whose disk is not there are shown, too. */
static void add_absent(const struct lun_host *host, json_t *list)
{
	for (size_t i = 0; i < host->n_records; i++) {
		const struct lun_record *record = &host->records[i];
		bool there = false;
		for (size_t k = 0; k < host->n_disks && !there; k++)
			there = streq(host->disks[k].wwid, record->wwid);
		if (!there)
			json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:n, s:[], s:[]}", "wwid", record->wwid,
							      "name", record->name, "size", (json_int_t)record->size,
							      "device", "paths", "users"));
	}
}

static int do_list(void *ctx, int out_fd)
{
	struct lun_host host;
	struct libmnt_table *mounts = mnt_new_table_from_file("/proc/self/mountinfo");
	json_t *list = json_array();
	lun_host_read(&host);
	for (size_t i = 0; i < host.n_disks; i++)
		if (!is_path_of_map(&host, &host.disks[i]))
			json_array_append_new(list, disk_json(&host, &host.disks[i], mounts));
	add_absent(&host, list);
	json_t *answer = json_pack("{s:o, s:I}", "luns", list, "seen", (json_int_t)wall_ms());
	if (host.maps.fault)
		json_object_set_new(answer, "note", json_string(multipathd_fault_text(host.maps.fault)));
	int r = json_dumpfd(answer, out_fd, JSON_COMPACT);
	json_decref(answer);
	lun_host_done(&host);
	mnt_unref_table(mounts);
	return r < 0 ? EIO : 0;
}

/* ---- in the daemon ---- */

static json_t *known; /* what the last child said */
static struct child *looking;
static bool again; /* something has changed since it began to look */

static void on_listed(void *ctx, const struct child_result *result)
{
	looking = NULL;
	json_t *answer = result->status == 0 ? json_loadb(result->out, result->out_size, 0, NULL) : NULL;
	if (answer) {
		json_decref(known);
		known = answer;
	}
	if (again)
		lun_list_look();
}

void lun_list_look(void)
{
	again = looking != NULL;
	if (!looking && env.loop)
		looking = child_call(do_list, NULL, LOOK_MS, on_listed, NULL);
}

/* Whose resources need the Lun: "Guest/db". */
static void add_owners(struct engine *engine, const char *name, json_t *users)
{
	struct resource_view view;
	for (size_t i = 0; engine_view(engine, i, &view); i++) {
		const struct want *want = view.want;
		for (size_t k = 0; want && k < want->n_needs; k++) {
			const struct want *need = want->needs[k];
			if (need->class != &stord_lun_class || !streq(need->key, name))
				continue;
			for (size_t o = 0; o < want->n_owners; o++)
				add_user(users, want->owners[o]->kind->name, want->owners[o]->name);
		}
	}
}

json_t *stord_luns(struct engine *engine)
{
	json_t *answer = known ? json_deep_copy(known) : json_pack("{s:[]}", "luns"), *lun;
	size_t i;
	json_array_foreach(json_object_get(answer, "luns"), i, lun) {
		const char *name = json_string_value(json_object_get(lun, "name"));
		if (name && engine)
			add_owners(engine, name, json_object_get(lun, "users"));
	}
	lun_list_look();
	return answer;
}

/* Its child ends with the daemon. */
void lun_list_stop(void)
{
	json_decref(take_ptr(known));
	again = false;
}
