/* SPDX-License-Identifier: Apache-2.0 */
/* What `weft doctor` says of iSCSI: the programs, the daemon, and the name by which targets know this host. */
#include "core/doctor.h"
#include "stord/iscsi.h"
#include "stord/stord.h"

static const char name_file[] = "/etc/iscsi/initiatorname.iscsi";
static const char socket_name[] = "@ISCSIADM_ABSTRACT_NAMESPACE";

/* Listened at by iscsid, or for it by systemd. */
static bool daemon_listens(void)
{
	cleanup_free char *text = NULL;
	return file_read("/proc/net/unix", 16 << 20, &text, NULL) == 0 && strstr(text, socket_name);
}

/* How many lines "InitiatorName=iqn..." there are; the last one is what iscsid takes, and goes to `ret`. */
static unsigned read_names(char *text, const char **ret)
{
	unsigned n = 0;
	for (char *line; (line = strsep(&text, "\n"));) {
		line += strspn(line, " \t");
		if (!str_starts(line, "InitiatorName="))
			continue;
		*ret = line + strlen("InitiatorName=");
		n++;
	}
	return n;
}

static void look_at_name(struct doctor *d)
{
	cleanup_free char *text = NULL;
	const char *name = "";
	const char *value = NULL;
	struct err err = {0};
	cleanup_arena struct arena *arena = arena_new();
	int r = file_read(name_file, 64 << 10, &text, NULL);
	bool later = r == 0 && strstr(text, "GenerateName=yes");
	unsigned n = r == 0 ? read_names(text, &name) : 0;
	if (r == -EACCES) {
		doctor_find(d, FINDING_WARN, "initiator name", "ask as root", "%s cannot be read", name_file);
	} else if (later) {
		doctor_find(d, FINDING_OK, "initiator name", NULL, "is made when iscsid starts for the first time");
	} else if (n == 0) {
		doctor_find(d, FINDING_WARN, "initiator name",
			    "write InitiatorName= with what /usr/sbin/iscsi-iname prints into it, or give Pools an "
			    "`initiator`",
			    "%s names none, and no target lets a host without a name in", name_file);
	} else if (n > 1) {
		doctor_find(d, FINDING_WARN, "initiator name", "leave one of them", "%s has %u names", name_file, n);
	} else if (scalar_iscsi_name.parse(NULL, name, arena, &value, &err) < 0) {
		doctor_find(d, FINDING_WARN, "initiator name", "write what /usr/sbin/iscsi-iname prints into it",
			    "'%s' in %s is no name of iSCSI", name, name_file);
	} else if (!strchr(name, ':') || strchr(name, ':')[1] == '\0') {
		doctor_find(d, FINDING_WARN, "initiator name", "write what /usr/sbin/iscsi-iname prints into it",
			    "'%s' has nothing of this host in it: two hosts with one name take each other's sessions",
			    name);
	} else {
		doctor_find(d, FINDING_OK, "initiator name", NULL, "%s", name);
	}
}

void stord_doctor_iscsi(struct doctor *d)
{
	char path[PATH_MAX];
	if (!doctor_program("iscsiadm", path)) {
		doctor_find(d, FINDING_WARN, "iscsiadm", "install open-iscsi",
			    "is missing; Pools of type iscsi need it");
		return;
	}
	doctor_find(d, FINDING_OK, "iscsiadm", NULL, "%s", path);
	if (daemon_listens())
		doctor_find(d, FINDING_OK, "iscsid", NULL, "runs, or is started when it is asked for");
	else
		doctor_find(d, FINDING_WARN, "iscsid", "systemctl enable --now iscsid.socket",
			    "does not run, and nothing starts it: Pools of type iscsi cannot log in");
	look_at_name(d);
}
