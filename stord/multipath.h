/* SPDX-License-Identifier: Apache-2.0 */
/* What multipathd and the kernel know of maps. The kernel says which paths of a map it uses, and always answers;
 * multipathd says what its checkers found, and is given a deadline. Blocking, for children. */
#ifndef WEFT_STORD_MULTIPATH_H
#define WEFT_STORD_MULTIPATH_H

#include "stord/scsi.h"

/* One path of a map. */
struct map_path {
	char map[32], disk[32]; /* kernel's names: "dm-3", "sda" */
	bool failed;            /* the kernel does not send anything that way */
	char checker[24];       /* what multipathd found last: "ready", "faulty", "ghost"; empty: not known */
};
/* How multipathd uses them. */
struct map_policy {
	char map[32];
	char policy[64];   /* "service-time 0" */
	char queueing[32]; /* what I/O does without a path: "on": it waits, "12 chk": for so long, "off": it fails */
};
struct map_states {
	struct map_policy *maps;
	size_t n_maps, cap_maps;
	struct map_path *paths;
	size_t n_paths, cap_paths;
	int fault; /* why multipathd could not be asked: ECONNREFUSED (it does not run), ETIMEDOUT (it hangs); 0 */
};
/* Of every map among the disks. multipathd is asked only if there is one. */
void map_states_read(const struct scsi_disk *disks, size_t n, struct map_states *ret);
void map_states_done(struct map_states *states);

/* Sends multipathd a command and takes its answer (freed by the caller), in under two seconds. 0 or a positive errno.
 */
int multipathd_ask(const char *command, char **ret);
/* Takes a map away that nobody uses. 0, or a positive errno: EBUSY: it is used. */
int map_flush(const char *map);
/* What fault of multipathd means, as the rest of a sentence: "multipathd does not answer". */
const char *multipathd_fault_text(int fault);

/* Parts of the above that are pure. */

/* The kernel's status of a map ("2 0 1 0 1 1 A 0 1 2 8:0 A 0 0 1"): whether it uses the path MAJOR:MINOR. */
enum path_use { PATH_UNKNOWN, PATH_USED, PATH_FAILED };
enum path_use map_status_of(const char *status, unsigned major, unsigned minor);
/* Takes over what multipathd's "show maps json" says of checkers and policies. False if it is not that. */
bool map_states_take(struct map_states *states, const char *json);

#endif
