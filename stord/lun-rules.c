/* SPDX-License-Identifier: Apache-2.0 */
/* What udev and multipathd are told of Luns. A rules file for each weftd, written anew from all records: unlike a rule
 * that looks names up elsewhere, it needs no other filesystem than /etc at boot, shows in `udevadm test` which line a
 * link came from, and can be read. udev itself then makes, moves and removes the links.
 *
 * Disks are known by what the kernel has cached of them (device/wwid), since scsi_id asks the disk, and a path that is
 * down just then would lose its name. */
#include "stord/lun.h"

enum { MAP_PRIORITY = 100 };

bool lun_wwid_is_plain(const char *wwid)
{
	return *wwid &&
	       strspn(wwid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:+=@-") == strlen(wwid);
}

static void put_map(FILE *out, const struct lun_record *record)
{
	fprintf(out, "ENV{DM_UUID}==\"mpath-%s\", SYMLINK+=\"weft/lun/%s\", OPTIONS+=\"link_priority=%d\"\n",
		record->wwid, record->name, MAP_PRIORITY);
}

/* A path of a map is not the disk, even where there is no map yet. */
static void put_disk(FILE *out, const struct lun_record *record, const char *match, const char *prefix,
		     const char *value)
{
	fprintf(out, "ENV{DM_MULTIPATH_DEVICE_PATH}!=\"1\", %s==\"%s%s\", SYMLINK+=\"weft/lun/%s\"\n", match, prefix,
		value, record->name);
}

static void put_disks(FILE *out, const struct lun_record *record)
{
	const char *wwid = record->wwid;
	if (strchr(wwid, '.') && !strchr("123", wwid[0])) {
		put_disk(out, record, "ATTR{wwid}", "", wwid); /* NVMe */
		return;
	}
	if (wwid[0] == '3' || wwid[0] == '2')
		put_disk(out, record, "ATTR{device/wwid}", wwid[0] == '3' ? "naa." : "eui.", wwid + 1);
	/* Where the kernel prefers another of a disk's names than scsi_id, or shows none. */
	put_disk(out, record, "ENV{DM_UUID}==\"\", ENV{ID_SERIAL}", "", wwid);
}

char *lun_udev_rules(const struct lun_record *records, size_t n)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort(); /* out of memory */
	fputs("# Written by weftd, from the Luns it was given; it is written anew whenever they change.\n"
	      "ACTION==\"remove\", GOTO=\"weft_lun_end\"\n"
	      "SUBSYSTEM!=\"block\", GOTO=\"weft_lun_end\"\n"
	      "ENV{DEVTYPE}!=\"disk\", GOTO=\"weft_lun_end\"\n",
	      out);
	for (size_t i = 0; i < n; i++) {
		if (records[i].use != LUN_DISK)
			put_map(out, &records[i]);
		if (records[i].use != LUN_MAP)
			put_disks(out, &records[i]);
	}
	fputs("LABEL=\"weft_lun_end\"\n", out);
	fclose(out);
	return text;
}

char *lun_multipath_rules(const struct lun_record *records, size_t n, const char *others, const char *key)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		abort(); /* out of memory */
	fputs("# Written by weftd, from the Luns it was given; it is written anew whenever they change.\n"
	      "# I/O waits for as long as no path is there, instead of failing.\n"
	      "multipaths {\n",
	      out);
	for (size_t i = 0; i < n; i++)
		if (records[i].map && !strstr(others, records[i].wwid))
			fprintf(out,
				"\tmultipath {\n\t\twwid \"%s\"\n\t\talias \"weft-%s\"\n\t\tno_path_retry queue\n"
				"\t\treservation_key 0x%s\n\t}\n",
				records[i].wwid, records[i].name, key);
	fputs("}\n", out);
	fclose(out);
	return text;
}
