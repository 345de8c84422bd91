/* SPDX-License-Identifier: Apache-2.0 */
/* Leases on logical volumes of a group that hosts share: the lock that lvmlockd keeps for as long as the volume is
 * active (lvm-lockd.c). Taking the lease puts the volume in use, alone or as one of many; giving it back takes it out
 * of use. Which guests of this host have it stands in lvm-leases in the state directory, before it is put in use. */
#include "core/env.h"
#include "stord/pool-lvm.h"

static const char local[] = "lvm-leases";
enum { CHANGE_MS = 120 * 1000 }; /* sanlock reads and writes its leases on the disk, several times over */

bool lvm_is_leased(const char *volume)
{
	cleanup_free char *path = xprintf("%s/%s/%s", env.state_dir, local, volume);
	return access(path, F_OK) == 0;
}

/* lvm lvchange -an vg0/web. udev may have it open for a moment yet, as it does whenever it was written to. */
int lvm_put_out_of_use(const struct lvm *lvm, const char *place)
{
	enum { ATTEMPTS = 10, PAUSE_US = 500 * 1000 };
	const char *name = place + strlen("/dev/"), *volume = strrchr(place, '/') + 1;
	cleanup_free char *what = xprintf("volume '%s' stays in use", volume);
	for (int attempt = 1; access(place, F_OK) == 0; attempt++) {
		cleanup_free char *errs = NULL;
		int status = lvm_attempt_unless(lvm, lvm_is_leased, volume,
						(const char *[]){"lvchange", "-an", name, NULL}, &errs);
		if (status == 0)
			break;
		if (attempt == ATTEMPTS || !strstr(errs, "in use"))
			return lvm_explain(status, errs, what);
		usleep(PAUSE_US);
	}
	return 0;
}

/* "vg0/web" */
static const char *full_name(const struct lease_call *call)
{
	return call->place + strlen("/dev/");
}

/* Its row; of a list of all volumes each group is asked about once. The process ends with the list. */
static const json_t *row_of(const struct lease_call *call, const struct lvm *lvm)
{
	static char *group;
	static json_t *rows;
	bool all = !call->self.guest[0];
	if (!all || !group || !streq(group, lvm->group)) {
		json_decref(rows);
		rows = NULL;
		free(group);
		group = xstrdup(lvm->group);
		lvm_report(lvm,
			   (const char *[]){"lvs", "-o", LVM_LOCK_COLUMNS, all ? lvm->group : full_name(call), NULL},
			   &rows);
	}
	size_t i;
	json_t *row;
	json_array_foreach(rows, i, row)
		if (streq(lvm_text(row, "lv_name"), strrchr(call->place, '/') + 1))
			return row;
	return NULL;
}

static enum lease_life life_of(const struct lvm_locker *locker)
{
	return streq(locker->state, "LIVE") ? LEASE_ALIVE : LEASE_UNKNOWN;
}

/* Which of their guests have it is known to the other hosts alone. */
static void list_others(const struct lease_call *call, const struct lvm *lvm, struct lease_seen *ret)
{
	struct lvm_locker lockers[LVM_LOCKERS_MAX];
	const json_t *row = row_of(call, lvm);
	size_t n = row ? lvm_lockers(lvm, row, lockers) : 0;
	for (size_t i = 0; i < n && ret->n < LEASE_HOLDERS_MAX; i++) {
		struct lease_holder *holder = &ret->holders[ret->n++];
		*holder = (struct lease_holder){
			.guest = "?",
			.mode = lockers[i].lock == LOCK_ALONE ? LEASE_ALONE : LEASE_SHARED,
			.life = life_of(&lockers[i]),
		};
		snprintf(holder->instance, sizeof(holder->instance), "host_id %u", lockers[i].host_id);
		snprintf(holder->host, sizeof(holder->host), "%s",
			 lockers[i].host[0] ? lockers[i].host : holder->instance);
	}
}

static int lock_look(const struct lease_call *call, struct lease_seen *ret)
{
	const struct lvm lvm = lvm_of(call->own);
	enum lvm_lock lock;
	bool last;
	int code = lvm_lock_of(&lvm, call->place, !call->self.guest[0], &lock);
	*ret = (struct lease_seen){0};
	if (!code && call->self.guest[0] && access(call->place, F_OK) < 0) /* since the host booted again */
		lease_local_drop(call, local, &last);
	if (!code && lock != LOCK_NONE)
		lease_local_list(call, local, ret);
	if (!code && lock != LOCK_ALONE && !call->self.guest[0])
		list_others(call, &lvm, ret);
	return code;
}

static int refuse(const struct lease_call *call, const struct lvm *lvm)
{
	struct lease_seen *seen = xcalloc(1, sizeof(*seen)); /* goes with the child */
	list_others(call, lvm, seen);
	if (!seen->n)
		return say(EBUSY,
			   "volume '%s' is in use on another host, whose name cannot be told: stop its guest there",
			   call->volume);
	return say(EBUSY,
		   "volume '%s' is in use on host '%s' (%s)%s: stop its guest there; should that host be dead, sanlock "
		   "lets go of the volume by itself, some minutes after that host was last heard of",
		   call->volume, seen->holders[0].host, seen->holders[0].instance,
		   seen->holders[0].mode == LEASE_ALONE ? "" : ", as one of many");
}

/* Each host that writes beneath a snapshot would keep the old blocks where no other one knows of them. Asked while the
 * lock is held, which nobody can make a snapshot beside. */
static int check_sharable(const struct lease_call *call, const struct lvm *lvm)
{
	cleanup_json json_t *rows = NULL;
	cleanup_free char *of_it = xprintf("origin=\"%s\"", strrchr(call->place, '/') + 1);
	if (call->self.mode != LEASE_SHARED)
		return 0;
	int code = lvm_report(lvm, (const char *[]){"lvs", "-o", "lv_name", "-S", of_it, lvm->group, NULL}, &rows);
	if (!code && json_array_size(rows))
		code = say(EBUSY,
			   "volume '%s' has snapshots, which a logical volume that several hosts write to cannot keep: "
			   "delete them first (`weft volume snapshot list %s`)",
			   call->volume, call->volume);
	return code;
}

/* After a refusal, which is the sentence to be read. What was done to the volume meanwhile may have left it in use for
 * the guest. */
static void let_go(const struct lease_call *call, const struct lvm *lvm)
{
	cleanup_free char *errs = NULL;
	const char *argv[] = {"lvchange", "-an", full_name(call), NULL};
	bool last;
	if (lease_local_drop(call, local, &last) == 0 && access(call->place, F_OK) == 0)
		lvm_attempt_unless(lvm, lvm_is_leased, strrchr(call->place, '/') + 1, argv, &errs);
}

/* lvm lvchange -aey vg0/web, or -asy for many */
static int lock_take(const struct lease_call *call, struct lease_seen *ret)
{
	const struct lvm lvm = lvm_of(call->own);
	const char *how = call->self.mode == LEASE_ALONE ? "-aey" : "-asy";
	cleanup_free char *errs = NULL, *what = xprintf("volume '%s' cannot be put in use", call->volume);
	int code = lease_local_write(call, local);
	if (code)
		return code;
	int status = lvm_attempt(&lvm, (const char *[]){"lvchange", how, "-K", full_name(call), NULL}, &errs);
	if (status == 0)
		code = check_sharable(call, &lvm);
	else
		code = strstr(errs, "locked by other host") ? refuse(call, &lvm) : lvm_explain(status, errs, what);
	if (code)
		let_go(call, &lvm);
	return code ? code : lock_look(call, ret);
}

static int lock_release(const struct lease_call *call, struct lease_seen *ret)
{
	const struct lvm lvm = lvm_of(call->own);
	bool last;
	int code = lease_local_drop(call, local, &last);
	if (!code && last)
		code = lvm_put_out_of_use(&lvm, call->place);
	*ret = (struct lease_seen){0};
	return code;
}

/* Nobody has to say that a host is dead: sanlock knows. */
static int lock_break_off(const struct lease_call *call, struct lease_seen *ret)
{
	int code = lock_look(call, ret);
	if (code || !ret->n)
		return code;
	if (streq(ret->holders[0].instance, call->self.instance))
		return say(EBUSY, "guest '%s' of this host has volume '%s': stop it", ret->holders[0].guest,
			   call->volume);
	return say(
		EBUSY,
		"volume '%s' is in use on host '%s' (%s), and there is no lease for a person to break: sanlock, which "
		"keeps its lock, lets go of it by itself when that host is dead, which takes some minutes after its "
		"last sign of life, until its own watchdog must have reset it. Stop the guest there, or switch that "
		"host off and wait: a guest here that waits for the volume is then started",
		call->volume, ret->holders[0].host, ret->holders[0].instance);
}

const struct lease_means lease_by_lvmlockd = {
	.name = "lvmlockd",
	.doc = "the lock that lvmlockd keeps with sanlock in the volume group",
	.table = &lvm_volume_table,
	.look = lock_look,
	.take = lock_take,
	.release = lock_release,
	.break_off = lock_break_off,
	.change_ms = CHANGE_MS,
};
