/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs, in the order in which help lists them. */
#include "cli/cli.h"

extern const struct verb verb_apply, verb_complete, verb_completion, verb_confirm, verb_delete, verb_describe,
	verb_diff, verb_doctor, verb_events, verb_explain, verb_get, verb_history, verb_lease_break, verb_lease_list,
	verb_lun_list, verb_rollback, verb_status, verb_topology;
extern const struct verb verb_guest_console, verb_guest_kill, verb_guest_pause, verb_guest_restart, verb_guest_resume,
	verb_guest_start, verb_guest_stop, verb_host_down, verb_host_up, verb_import_host, verb_volume_snapshot;

/* clang-format off */
const struct verb *const verbs[] = {
	&verb_apply,
	&verb_confirm,
	&verb_rollback,
	&verb_history,
	&verb_diff,
	&verb_delete,
	&verb_get,
	&verb_describe,
	&verb_explain,
	&verb_events,
	&verb_topology,
	&verb_lease_list,
	&verb_lease_break,
	&verb_lun_list,
	&verb_guest_console,
	&verb_guest_start,
	&verb_guest_stop,
	&verb_guest_restart,
	&verb_guest_kill,
	&verb_guest_pause,
	&verb_guest_resume,
	&verb_volume_snapshot,
	&verb_host_down,
	&verb_host_up,
	&verb_import_host,
	&verb_status,
	&verb_doctor,
	&verb_completion,
	&verb_complete,
	NULL,
};
/* clang-format on */
