/* SPDX-License-Identifier: Apache-2.0 */
/* Running lvm(8) and reading its reports, from within a child: blocking, as in image.h. Of the host's own configuration
 * what matters stays (filters, backups, locking); what a report looks like and what runs beside a command is ours to
 * say. */
#ifndef WEFT_STORD_LVM_H
#define WEFT_STORD_LVM_H

#include <jansson.h>

#include "core/value.h"

#define cleanup_json cleanup(json_decrefp) /* jansson's own, whose macro does not get along with ours */

/* A volume group, and where it is looked for. */
struct lvm {
	const char *group;
	const struct list
		*devices;    /* paths: lvm sees these alone; empty or NULL: what the host's lvm.conf lets it see */
	const char *as_host; /* a system ID that is let through besides this host's own; mostly NULL */
	bool shared;         /* hosts share it: lvmlockd keeps its locks (lvm-lockd.c) */
	unsigned host_id;    /* then: this host's number among them; 0: the one of lvmlocal.conf */
};

enum { LVM_ARGUMENTS_MAX = 640 };

/* Changes something: lvm CHANGE --devices ... --config ... ARGUMENTS. It ends by itself whatever becomes of us, since
 * what is killed between suspending and resuming a volume leaves it hanging. Returns 0, or an errno after it was said
 * what went wrong, beginning with `what` ("volume 'web' cannot be made"). */
int lvm_change(const struct lvm *lvm, const char *what, const char *const *arguments);
/* The same in two: lvm's exit status (or -errno) with what it wrote, freed by the caller; and, if that is no success,
 * what there is to say of it. */
int lvm_attempt(const struct lvm *lvm, const char *const *arguments, char **ret_errs);
int lvm_explain(int status, char *errs, const char *what);
/* As lvm_attempt(), but nothing is done, with success, if `kept` says so of `name` once it is this command's turn,
 * which may take a while. */
int lvm_attempt_unless(const struct lvm *lvm, bool (*kept)(const char *name), const char *name,
		       const char *const *arguments, char **ret_errs);
/* Asks: lvm lvs|vgs|pvs ... -o COLUMNS ARGUMENTS. `ret` are the rows, to be let go with json_decref(); names that are
 * not there have none. Sizes are bytes. The same results. */
int lvm_report(const struct lvm *lvm, const char *const *arguments, json_t **ret);

/* Of a row; "" and 0 for what it does not have. */
const char *lvm_text(const json_t *row, const char *column);
uint64_t lvm_bytes(const json_t *row, const char *column);
double lvm_percent(const json_t *row, const char *column);
/* A number for one of lvm's own identifiers, as it is the same for ever. */
uint64_t lvm_identity(const json_t *row, const char *column);
enum { LVM_UUID_MAX = 48 };
/* The same identifier of the volume whose device is at `place`, as the kernel knows it; false if there is none. */
bool lvm_uuid_of_device(const char *place, char ret[static LVM_UUID_MAX]);
/* The tag that begins so; "" if there is none. */
void lvm_tag(const json_t *row, const char *column, const char *beginning, char *ret, size_t size);

/* ---- lvm-renew.c: disks that have gone and come back ---- */

/* The volume whose device is at `place` is mapped to a disk that has gone from the kernel: it gives errors, also when
 * that is back, since it is another one then. */
bool lvm_is_orphaned(const char *place);
/* Leads all of a group that is, as thin pools are, to the disks that are there. 0, or an errno after a sentence. */
int lvm_renew_parts(const struct lvm *lvm);

/* ---- lvm-host.c: which host a volume group belongs to ---- */

/* This host's system ID. */
const char *lvm_system_id(void);
/* Asks lvm for it anew: the host's configuration may have changed since weftd was started last. */
void lvm_learn_system_id(void);
/* What a command on the group is told of this host, for --config. Freed by the caller. */
char *lvm_host_settings(const struct lvm *lvm);
/* What a person has to add to a command of lvm to work with groups of this host, after a space; empty where the host's
 * lvm knows its ID. Freed by the caller. */
char *lvm_by_hand(void);

#define LVM_OWNER_COLUMNS "vg_systemid,vg_tags,vg_lock_type"
struct lvm_owner {
	bool exists;         /* the group */
	char system_id[132]; /* empty: it is nobody's, and everybody's */
	char host[132];      /* the name of that host, or its system ID where the name is not known */
	char lock_type[32];  /* hosts share it by lvmlockd: "sanlock", "dlm"; empty: they do not */
	char mark[200];      /* of weft; empty: the group was not made by any */
	bool foreign;        /* it belongs to another host */
};
/* Out of a row with LVM_OWNER_COLUMNS; NULL: there is no such group. */
void lvm_owner_of(const json_t *row, struct lvm_owner *ret);
int lvm_look_owner(const struct lvm *lvm, struct lvm_owner *ret);
/* Why a group is not to be used here, freed by the caller; NULL: it may be. */
char *lvm_refusal(const struct lvm *lvm, const struct lvm_owner *owner);
/* Says so, and returns an errno. */
int lvm_refuse(const struct lvm *lvm, const struct lvm_owner *owner);
/* Makes a group that a weft has made, and that belongs to nobody, this host's. */
int lvm_claim(const struct lvm *lvm, const struct lvm_owner *owner);
/* Takes it from a host that is dead. */
int lvm_take_over(const struct lvm *lvm, const struct lvm_owner *owner);
/* The reverse of lvm_claim(), so that another host may have it. */
int lvm_give_up(const struct lvm *lvm, const struct lvm_owner *owner);
/* "weft-host:alpha", a tag that tells people which host a system ID stands for. Freed by the caller. */
char *lvm_host_tag(void);

/* ---- lvm-lockd.c: groups that hosts share ---- */

/* Why the group's locks are not kept on this host, and with them nothing of it is to be used; NULL: they are. Freed by
 * the caller. */
char *lvm_locks_missing(const struct lvm *lvm);
/* Whether they can be: lvmlockd and sanlock run, and this host has a number. 0, or an errno after a sentence. */
int lvm_locks_check(const struct lvm *lvm);
/* Starts them if they are not; waits. */
int lvm_locks_start(const struct lvm *lvm);
/* The reverse, once nothing of the group is active here. */
int lvm_locks_stop(const struct lvm *lvm);
/* Does a watchdog reset this host when it can no longer renew its locks? */
bool lvm_has_watchdog(void);

enum lvm_lock { LOCK_NONE, LOCK_SHARED, LOCK_ALONE };
/* How this host has the volume whose device is at `place` locked, which it has for as long as that is there. An errno
 * after a sentence where lvmlockd does not tell. `listed`: others are asked after in the same child, for all of which
 * it is asked once. */
int lvm_lock_of(const struct lvm *lvm, const char *place, bool listed, enum lvm_lock *ret);

/* Other hosts that have a volume locked, and are not known to be dead. */
struct lvm_locker {
	unsigned host_id;
	unsigned long long generation; /* which time it is that this host has started the locks */
	char host[68];                 /* its name, as sanlock has it; empty: not known */
	enum lvm_lock lock;
	char state[16]; /* "LIVE", "FAIL", "UNKNOWN" as sanlock has it; empty: not known */
	bool gone;      /* not of those that are returned */
};
enum { LVM_LOCKERS_MAX = 64 };
#define LVM_LOCK_COLUMNS "lv_name,lv_uuid,lv_lockargs,vg_lock_args"
/* Of a row with LVM_LOCK_COLUMNS. Returns how many; 0 also where that cannot be read. */
size_t lvm_lockers(const struct lvm *lvm, const json_t *row, struct lvm_locker ret[static LVM_LOCKERS_MAX]);

#endif
