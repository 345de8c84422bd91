/* SPDX-License-Identifier: Apache-2.0 */
/* Whether what calls itself a Lun's disk is it. Names of disks change with the order in which they come, a storage can
 * offer another LUN under a number, and two LUNs can carry one WWID; a guest that is given the wrong one of them
 * destroys it. So whatever is not plainly the one disk that it was is refused, with a sentence. */
#include <stdarg.h>

#include "stord/image-internal.h"
#include "stord/lun.h"

static void refuse(struct lun_seen *seen, int code, const char *fmt, ...) printf_like(3, 4);
static void refuse(struct lun_seen *seen, int code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(seen->text, sizeof(seen->text), fmt, args);
	va_end(args);
	seen->code = code;
}

/* The first complaint is the one that is shown. */
static void complain(struct lun_seen *seen, const char *fmt, ...) printf_like(2, 3);
static void complain(struct lun_seen *seen, const char *fmt, ...)
{
	va_list args;
	if (seen->health[0])
		return;
	va_start(args, fmt);
	vsnprintf(seen->health, sizeof(seen->health), fmt, args);
	va_end(args);
}

struct lun_record *lun_record_find(const struct lun_host *host, const char *name)
{
	for (size_t i = 0; i < host->n_records; i++)
		if (streq(host->records[i].name, name))
			return &host->records[i];
	return NULL;
}

const char *lun_path_name(const struct scsi_disk *disk)
{
	return disk->portal[0] ? disk->portal : disk->address[0] ? disk->address : disk->name;
}

/* The disks of one WWID: those that a map stands on, and others. */
enum { MEMBERS_MAX = 64 };
struct members {
	const struct scsi_disk *map;
	const struct scsi_disk *disks[MEMBERS_MAX]; /* of the map first */
	size_t n, n_paths;                          /* how many of them are the map's */
};

static const struct scsi_disk *find_map(const struct lun_host *host, const char *wwid)
{
	for (size_t i = 0; i < host->n_disks; i++)
		if (host->disks[i].map[0] && streq(host->disks[i].wwid, wwid))
			return &host->disks[i];
	return NULL;
}

static struct members gather(const struct lun_host *host, const char *wwid)
{
	struct members found = {.map = find_map(host, wwid)};
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < host->n_disks && found.n < MEMBERS_MAX; i++) {
			const struct scsi_disk *disk = &host->disks[i];
			bool path = found.map && streq(disk->holder, found.map->name);
			if (disk->map[0] || path != (pass == 0) || !streq(disk->wwid, wwid))
				continue;
			found.disks[found.n++] = disk;
			found.n_paths += path;
		}
	return found;
}

/* What the storage offers under the number; NULL after a refusal. */
static const char *wwid_there(const struct lun_host *host, const struct lun_state *state, struct lun_seen *seen)
{
	const struct scsi_disk *first = NULL;
	for (size_t i = 0; i < host->n_disks; i++) {
		const struct scsi_disk *disk = &host->disks[i];
		if (disk->lun != state->number || !disk->address[0] || !streq(disk->target, state->target))
			continue;
		if (!disk->wwid[0]) {
			refuse(seen, ENOTUNIQ,
			       "LUN %llu of %s (%s) says no WWID of itself, so that nobody can know it again; name it "
			       "by the pool of another kind, or give it one on the storage",
			       (unsigned long long)state->number, state->target, disk->name);
			return NULL;
		}
		if (first && !streq(first->wwid, disk->wwid)) {
			refuse(seen, ENOTUNIQ,
			       "LUN %llu of %s is one disk by way of %s (WWID %s) and another by way of %s (WWID %s); "
			       "let all portals of the target offer the same",
			       (unsigned long long)state->number, state->target, lun_path_name(first), first->wwid,
			       lun_path_name(disk), disk->wwid);
			return NULL;
		}
		first = first ? first : disk;
	}
	return first ? first->wwid : "";
}

/* The disk that the name means: of the manifest, of the storage, or of the record while the storage is away. */
static const char *wwid_of(const struct lun_host *host, const char *name, const struct lun_state *state,
			   struct lun_seen *seen)
{
	const struct lun_record *record = lun_record_find(host, name);
	const char *there = state->wwid ? state->wwid : wwid_there(host, state, seen);
	if (!there)
		return NULL;
	if (!*there && record)
		return record->wwid;
	if (!*there) {
		refuse(seen, ENODEV,
		       "%s shows no LUN %llu to this host; check with weft lun list what it shows, and on the storage "
		       "what this host may see",
		       state->target, (unsigned long long)state->number);
		return NULL;
	}
	if (record && !streq(record->wwid, there)) {
		refuse(seen, EMEDIUMTYPE,
		       "it is bound to the disk with WWID %s, and what is found in its place has WWID %s: bring the "
		       "right "
		       "one back, or, if the other is meant from now on, delete the Lun and apply it again",
		       record->wwid, there);
		return NULL;
	}
	return there;
}

/* One unit has one serial number, and one port of a target shows it once. */
static bool are_two(const struct scsi_disk *a, const struct scsi_disk *b)
{
	if (a->serial[0] && b->serial[0] && !streq(a->serial, b->serial))
		return true;
	size_t port = strcspn(a->address, ":") ? (size_t)(strrchr(a->address, ':') - a->address) + 1 : 0;
	return port && strncmp(a->address, b->address, port) == 0 && a->lun != b->lun;
}

static bool is_one(const struct members *found, struct lun_seen *seen)
{
	for (size_t i = 1; i < found->n; i++) {
		const struct scsi_disk *a = found->disks[0], *b = found->disks[i];
		if (!are_two(a, b))
			continue;
		refuse(seen, ENOTUNIQ,
		       "two disks say that they are WWID %s: %s (%s, LUN %llu, serial number '%s') and %s (%s, LUN "
		       "%llu, serial number '%s'); give each a WWID of its own on the storage%s",
		       a->wwid, a->name, lun_path_name(a), (unsigned long long)a->lun, a->serial, b->name,
		       lun_path_name(b), (unsigned long long)b->lun, b->serial,
		       found->map ? ", and until then use neither: the map mixes them" : "");
		return false;
	}
	return true;
}

/* What the link is to point at; NULL after a refusal. */
static const struct scsi_disk *choose(const struct lun_host *host, const struct members *found, int use,
				      struct lun_seen *seen)
{
	const char *wwid = seen->wwid;
	if (found->map && use != LUN_DISK)
		return found->map;
	if (found->map) {
		refuse(seen, EBUSY,
		       "the disk with WWID %s is held by the map '%s', and the Lun says multipath: false; say "
		       "multipath: true, or keep multipathd from it (blacklist in multipath.conf)",
		       wwid, found->map->map);
		return NULL;
	}
	if (!found->n) {
		refuse(seen, ENODEV,
		       "no disk with WWID %s is there; check the way to it (weft lun list shows what there is)", wwid);
		return NULL;
	}
	if (use == LUN_MAP) {
		seen->unmapped = true;
		refuse(seen, ENODEV, "multipathd has made no map of the disk with WWID %s (%s); %s", wwid,
		       found->disks[0]->name,
		       host->maps.fault ? multipathd_fault_text(host->maps.fault)
					: "see what it says: multipath -v3 -d");
		return NULL;
	}
	if (found->n == 1)
		return found->disks[0];
	refuse(seen, ENOTUNIQ,
	       "%zu disks have the WWID %s (%s by %s, %s by %s ...) and no map ties them together: if they are paths "
	       "to "
	       "one LUN, say multipath: true and let multipathd run; if not, give each a WWID of its own on the "
	       "storage",
	       found->n, wwid, found->disks[0]->name, lun_path_name(found->disks[0]), found->disks[1]->name,
	       lun_path_name(found->disks[1]));
	return NULL;
}

/* Never smaller than it was, nor than the manifest says; growing is fine. */
static bool has_its_size(const struct lun_record *record, const struct lun_state *state, const struct members *found,
			 struct lun_seen *seen)
{
	char has[32], had[32];
	uint64_t least = seen->size;
	for (size_t i = 0; i < found->n; i++)
		if (found->disks[i]->size && found->disks[i]->size < least)
			least = found->disks[i]->size;
	if (!least) { /* asked anew of what the storage has no more, the kernel takes it for empty */
		seen->dead = true;
		refuse(seen, ENOMEDIUM,
		       "the storage tells no size of it (%s): it is gone there, or not ready; bring it back there, "
		       "and it is used again",
		       seen->device);
		return false;
	}
	if (record && record->size > least) {
		refuse(seen, EMEDIUMTYPE,
		       "it has %s and had %s: it shrank, or is another disk; what was on its end is lost to whoever "
		       "uses "
		       "it. Make it as large again on the storage, or, if it is meant so, delete the Lun and apply it "
		       "again",
		       tool_size_text(least, has), tool_size_text(record->size, had));
		return false;
	}
	if (!(state->present & LUN_LEAST) || state->least <= least)
		return true;
	refuse(seen, EMEDIUMTYPE, "it has %s, less than the %s that its manifest says; is it the right disk?",
	       tool_size_text(least, has), tool_size_text(state->least, had));
	return false;
}

/* ---- paths ---- */

static const struct map_path *path_state(const struct lun_host *host, const char *disk)
{
	for (size_t i = 0; i < host->maps.n_paths; i++)
		if (streq(host->maps.paths[i].disk, disk))
			return &host->maps.paths[i];
	return NULL;
}

const char *lun_path_fault(const struct scsi_disk *disk, const struct map_path *path)
{
	if (disk->state[0] && !streq(disk->state, "running") && !streq(disk->state, "live"))
		return disk->state;
	if (path && path->failed)
		return "failed";
	bool bad = path && (streq(path->checker, "faulty") || streq(path->checker, "down"));
	return bad ? path->checker : NULL;
}

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static void add_word(char list[static LUN_PATHS_MAX], const char *word)
{
	size_t len = strlen(list);
	if (len + strlen(word) + 2 <= LUN_PATHS_MAX)
		snprintf(list + len, LUN_PATHS_MAX - len, "%s%s", len ? " " : "", word);
}

/* Those that were there and are not: a path whose disk has gone leaves nothing else behind. */
static void miss_paths(const struct lun_record *record, struct lun_seen *seen)
{
	cleanup_free char *known = xstrdup(record ? record->paths : "");
	char *rest;
	for (char *name = strtok_r(known, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		if (!has_word(seen->paths, name))
			complain(seen,
				 "path %s is gone; I/O goes on over the other paths. It comes back with its session or "
				 "cable; if it is not meant to, delete the Lun and apply it again",
				 name);
}

static void judge_paths(const struct lun_host *host, const struct lun_record *record, const struct members *found,
			struct lun_seen *seen)
{
	size_t n_down = 0;
	for (size_t i = 0; i < found->n_paths; i++)
		n_down += lun_path_fault(found->disks[i], path_state(host, found->disks[i]->name)) != NULL;
	for (size_t i = 0; i < found->n_paths; i++) {
		const struct scsi_disk *disk = found->disks[i];
		const char *fault = lun_path_fault(disk, path_state(host, disk->name));
		add_word(seen->paths, lun_path_name(disk));
		if (fault && n_down < found->n_paths)
			complain(seen, "path %s (%s) is down: %s; I/O goes on over the other paths",
				 lun_path_name(disk), disk->name, fault);
		else if (fault)
			complain(seen,
				 "all paths are down (%s, %s: %s); I/O waits for one to come back. Check portals, "
				 "cables and the storage",
				 lun_path_name(disk), disk->name, fault);
	}
	seen->dead = n_down == found->n_paths;
	if (!found->n_paths)
		complain(seen, "its map '%s' has no path at all; I/O waits for one to come back", found->map->map);
	miss_paths(record, seen);
	if (found->n > found->n_paths)
		complain(seen, "%s has the same WWID and is no path of the map '%s'; see multipathd show paths",
			 found->disks[found->n_paths]->name, found->map->map);
	if (found->n_paths == 1)
		complain(seen, "its map '%s' has one path only (%s): if that goes, I/O waits", found->map->map,
			 lun_path_name(found->disks[0]));
	if (host->maps.fault)
		complain(seen, "%s; until then no path that fails comes back", multipathd_fault_text(host->maps.fault));
}

static bool is_grown(const struct members *found)
{
	uint64_t least = UINT64_MAX;
	for (size_t i = 0; i < found->n_paths; i++)
		if (found->disks[i]->size < least)
			least = found->disks[i]->size;
	return !found->map || !found->n_paths || found->map->size >= least;
}

/* Two Luns that reach one disk by different ways are found out only when it is there. */
static bool is_nobodys(const struct lun_host *host, const char *name, struct lun_seen *seen)
{
	for (size_t i = 0; i < host->n_records; i++) {
		const struct lun_record *record = &host->records[i];
		if (streq(record->name, name) || !streq(record->wwid, seen->wwid))
			continue;
		refuse(seen, EEXIST, "the disk with WWID %s is Lun '%s' already; delete one of the two", seen->wwid,
		       record->name);
		return false;
	}
	return true;
}

void lun_judge(const struct lun_host *host, const char *name, const struct lun_state *state, struct lun_seen *ret)
{
	const struct lun_record *record = lun_record_find(host, name);
	*ret = (struct lun_seen){.grown = true};
	const char *wwid = wwid_of(host, name, state, ret);
	if (!wwid)
		return;
	snprintf(ret->wwid, sizeof(ret->wwid), "%s", wwid);
	struct members found = gather(host, wwid);
	if (!is_nobodys(host, name, ret) || !is_one(&found, ret))
		return;
	const struct scsi_disk *device = choose(host, &found, state->use, ret);
	if (!device)
		return;
	strcpy(ret->device, device->name);
	ret->size = device->size;
	ret->incarnation = device->sequence;
	ret->map = device == found.map;
	if (!has_its_size(record, state, &found, ret))
		return;
	if (ret->map) {
		judge_paths(host, record, &found, ret);
		ret->grown = is_grown(&found);
	} else {
		add_word(ret->paths, lun_path_name(device));
		const char *fault = lun_path_fault(device, NULL);
		ret->dead = fault;
		if (fault)
			complain(ret, "%s (%s) is down: %s, and there is no other path", lun_path_name(device),
				 device->name, fault);
	}
}
