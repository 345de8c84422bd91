/* SPDX-License-Identifier: Apache-2.0 */
/* Maps that multipathd makes only when it is told to: with `find_multipaths strict`, which is what it does without a
 * configuration, it makes maps of the WWIDs in its file alone, and a drop-in that said otherwise would say it of every
 * disk of the host. So it is asked for the one map; it then remembers the WWID by itself, and the map comes back at
 * boot. What it remembers for a Lun it is made to forget with it. */
#include "core/env.h"
#include "stord/image.h"
#include "stord/lun.h"

enum { WAIT_US = 100 * 1000, FILE_MAX = 4 << 20 };

static bool is_remembered(const char *wwid)
{
	cleanup_free char *text = NULL, *line = xprintf("/%s/", wwid);
	return file_read("/etc/multipath/wwids", FILE_MAX, &text, NULL) == 0 && strstr(text, line);
}

static const struct scsi_disk *find_map(const struct lun_host *host, const char *wwid)
{
	for (size_t i = 0; i < host->n_disks; i++)
		if (host->disks[i].map[0] && streq(host->disks[i].wwid, wwid))
			return &host->disks[i];
	return NULL;
}

/* By the name of our drop-in, which multipathd may not have read yet, and by the WWID. What it answers tells little: it
 * may say "fail" of a map that it has made. False if it makes none in any case. */
static bool ask_for(const struct lun_record *record)
{
	cleanup_free char *by_name = xprintf("add map weft-%s", record->name), *answer = NULL;
	cleanup_free char *by_wwid = xprintf("add map %s", record->wwid), *second = NULL;
	if (multipathd_ask(by_name, &answer) != 0)
		return false;
	return str_starts(answer, "ok") ||
	       (multipathd_ask(by_wwid, &second) == 0 && !str_starts(second, "blacklisted"));
}

bool lun_map_make(struct lun_host *host, const char *name, uint64_t until_ms)
{
	const struct lun_record *known = lun_record_find(host, name);
	if (!known || host->maps.fault == ETIMEDOUT)
		return false;
	struct lun_record record = *known;
	record.made |= !is_remembered(record.wwid);
	if (lun_record_write(host, &record) != 0)
		return false;
	if (!ask_for(&record))
		return false;
	for (;;) {
		lun_host_done(host);
		lun_host_read(host);
		if (find_map(host, record.wwid))
			return true;
		if (now_ms() >= until_ms || host->maps.fault)
			return false;
		usleep(WAIT_US);
	}
}

/* multipath -w 3600805f30015987000000000768a0019 */
void lun_map_unmake(const struct lun_host *host, const struct lun_record *record)
{
	const struct scsi_disk *map = find_map(host, record->wwid);
	const char *const argv[] = {"multipath", "-w", record->wwid, NULL};
	if (!record->made)
		return;
	run_program(argv, NULL, NULL);
	if (map)
		map_flush(map->map); /* one that is used stays until it is not */
}
