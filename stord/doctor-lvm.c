/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` says of LVM: its tools, what of device-mapper the kernel has, and by which system ID volume groups
 * are this host's. */
#include "core/doctor.h"
#include "core/env.h"
#include "stord/stord.h"

static const struct doctor_module modules[] = {
	{"dm_mod", "Pools of type lvm stand on it", FINDING_WARN, NULL},
	{"dm_thin_pool", "thin volumes of Pools of type lvm are its", FINDING_WARN, NULL},
	{"dm_snapshot", "snapshots of ordinary volumes of Pools of type lvm are its", FINDING_WARN, NULL},
};

/* lvm systemid
 *   system ID: alpha */
static void look_at_system_id(struct doctor *d)
{
	static const char *const argv[] = {"lvm", "systemid", NULL};
	static const char before[] = "system ID: ";
	cleanup_free char *said = NULL;
	char *id = doctor_run(argv, &said) == 0 && said ? strstr(said, before) : NULL;
	id = id ? id + strlen(before) : NULL;
	if (id)
		id[strcspn(id, "\n")] = '\0';
	if (id && *id)
		doctor_find(d, FINDING_OK, "LVM system ID", NULL, "%s: volume groups that weft makes are this host's",
			    id);
	else
		doctor_find(d, FINDING_OK, "LVM system ID", NULL,
			    "none in lvm.conf, so volume groups that weft makes get its own, and lvm by hand wants "
			    "--config 'global/system_id_source=lvmlocal local/system_id=weft-%s' with them",
			    env.instance[0] ? env.instance : "INSTANCE");
}

void stord_doctor_lvm(struct doctor *d)
{
	char path[PATH_MAX];
	if (!doctor_program("lvm", path)) {
		doctor_find(d, FINDING_WARN, "LVM", "apt install lvm2, if there are to be any",
			    "lvm is not installed: no Pools of type lvm");
		return;
	}
	doctor_find(d, FINDING_OK, "LVM", NULL, "%s", path);
	if (doctor_program("thin_check", path))
		doctor_find(d, FINDING_OK, "thin_check", NULL, "%s", path);
	else
		doctor_find(d, FINDING_WARN, "thin_check", "apt install thin-provisioning-tools",
			    "is not installed: Pools of type lvm with a thinPool cannot be put in use");
	doctor_modules(d, modules, ARRAY_SIZE(modules));
	look_at_system_id(d);
}
