/* SPDX-License-Identifier: Apache-2.0 */
/* Leases on LUNs: SCSI persistent reservations, which the disk itself keeps, also while no host is there. The key is
 * the instance of weft, so that all guests of a host share one registration; which they are stands in luns/leases/LUN
 * in the state directory. Only registered hosts can write; the type of the reservation says how:
 *
 *     Write Exclusive, Registrants Only    one host
 *     Write Exclusive, All Registrants     several (shared: true)
 *     Exclusive Access, All Registrants    several that only read
 *
 * The kernel registers every path of a map; paths that come later are multipathd's, which has the key in its drop-in.
 */
#include <fcntl.h>
#include <linux/pr.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>

#include "core/env.h"
#include "stord/lease.h"
#include "stord/lun.h"

enum {
	RESERVE_IN = 0x5e,
	READ_KEYS = 0,
	READ_RESERVATION = 1,
	READ_FULL_STATUS = 3,
	ANSWER_MAX = 8192,
	TIMEOUT_MS = 5000,
	TRIES = 5,
	HEADER = 8,
	DESCRIPTOR = 24,    /* of READ_FULL_STATUS, before the name of the initiator */
	ISCSI_PROTOCOL = 5, /* of that name */
	CHECK_CONDITION = 2,
	ILLEGAL_REQUEST = 5,
	UNIT_ATTENTION = 6,
};

/* What stands on the disk. */
struct reserved {
	uint64_t keys[LEASE_HOLDERS_MAX]; /* each once */
	size_t n;
	uint64_t holder; /* of the reservation; 0: there is none (or all registered hold it) */
	unsigned type;   /* as SCSI numbers it; 0: there is none */
};
/* A LUN that is being leased. */
struct leased {
	const struct lease_call *call;
	int fd;
	uint64_t own;
	bool unable; /* the disk has no reservations */
	struct reserved reserved;
};

static const struct {
	enum pr_type kernel;
	unsigned scsi;
} types[] = {
	[LEASE_ALONE] = {PR_WRITE_EXCLUSIVE_REG_ONLY, 5},
	[LEASE_SHARED] = {PR_WRITE_EXCLUSIVE_ALL_REGS, 7},
	[LEASE_READ] = {PR_EXCLUSIVE_ACCESS_ALL_REGS, 8},
};

static enum lease_mode mode_of(const struct reserved *reserved)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].scsi == reserved->type)
			return (enum lease_mode)i;
	return LEASE_ALONE;
}

/* ---- the disk ---- */

static uint64_t number_at(const uint8_t *at, size_t size)
{
	uint64_t number = 0;
	for (size_t i = 0; i < size; i++)
		number = number << 8 | at[i];
	return number;
}

/* PERSISTENT RESERVE IN. A disk says first of all what has happened since it was asked last (unit attention). */
static int ask(int fd, uint8_t action, uint8_t answer[static ANSWER_MAX])
{
	for (int i = 0; i < TRIES; i++) {
		uint8_t command[10] = {RESERVE_IN, action, [7] = ANSWER_MAX >> 8, [8] = ANSWER_MAX & 0xff};
		uint8_t sense[32] = {0};
		struct sg_io_hdr io = {
			.interface_id = 'S',
			.dxfer_direction = SG_DXFER_FROM_DEV,
			.cmd_len = sizeof(command),
			.cmdp = command,
			.mx_sb_len = sizeof(sense),
			.sbp = sense,
			.dxfer_len = ANSWER_MAX,
			.dxferp = answer,
			.timeout = TIMEOUT_MS,
		};
		memset(answer, 0, ANSWER_MAX);
		if (ioctl(fd, SG_IO, &io) < 0)
			return errno == ENOTTY || errno == EINVAL ? EOPNOTSUPP : errno;
		bool fixed = (sense[0] & 0x7e) == 0x70;
		unsigned key = io.sb_len_wr ? (fixed ? sense[2] : sense[1]) & 0xf : 0;
		if (io.status == 0 && io.host_status == 0)
			return 0;
		if (io.status == CHECK_CONDITION && key == ILLEGAL_REQUEST)
			return EOPNOTSUPP;
		if (io.status != CHECK_CONDITION || key != UNIT_ATTENTION)
			return EIO;
	}
	return EIO;
}

static bool has_key(const struct reserved *reserved, uint64_t key)
{
	for (size_t i = 0; i < reserved->n; i++)
		if (reserved->keys[i] == key)
			return true;
	return false;
}

static int read_reserved(struct leased *l)
{
	uint8_t *answer = xcalloc(ANSWER_MAX, 1); /* freed with the child */
	struct reserved *ret = &l->reserved;
	*ret = (struct reserved){0};
	int code = ask(l->fd, READ_KEYS, answer);
	size_t size = number_at(answer + 4, 4);
	for (size_t at = HEADER; !code && at + 8 <= HEADER + size && at + 8 <= ANSWER_MAX; at += 8) {
		uint64_t key = number_at(answer + at, 8);
		if (!has_key(ret, key) && ret->n < LEASE_HOLDERS_MAX)
			ret->keys[ret->n++] = key;
	}
	if (!code)
		code = ask(l->fd, READ_RESERVATION, answer);
	if (!code && number_at(answer + 4, 4) >= 16) {
		ret->holder = number_at(answer + HEADER, 8);
		ret->type = answer[HEADER + 13] & 0xf;
	}
	free(answer);
	if (code == EOPNOTSUPP)
		l->unable = true;
	else if (code)
		return say(code, "the reservations of LUN '%s' cannot be read: %s", l->call->volume, strerror(code));
	return 0;
}

static int failed(const struct leased *l, const char *doing, int r)
{
	/* Positive results are statuses of SCSI. */
	return say(r < 0 ? errno : EBUSY, "LUN '%s': %s: %s", l->call->volume, doing,
		   r < 0 ? strerror(errno) : "the disk refuses it");
}

/* One of the kernel's own; each path may have to say first what has happened since. */
static int order(int fd, unsigned long request, void *what)
{
	int r = CHECK_CONDITION;
	for (int i = 0; i < TRIES && r == CHECK_CONDITION; i++)
		r = ioctl(fd, request, what);
	return r;
}

static int change_key(const struct leased *l, uint64_t key)
{
	struct pr_registration registration = {.new_key = key, .flags = PR_FL_IGNORE_KEY};
	int r = order(l->fd, IOC_PR_REGISTER, &registration);
	return r ? failed(l, key ? "registering this host" : "giving up its registration", r) : 0;
}

/* multipathd registers paths that come later if it knows that its map is registered. */
static void tell_multipathd(const struct leased *l, bool registered)
{
	char target[256];
	ssize_t n = readlink(l->call->place, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	const char *name = strrchr(target, '/');
	if (!name || !str_starts(name, "/dm-"))
		return;
	cleanup_free char *command = xprintf("%s map %s", registered ? "setprstatus" : "unsetprstatus", name + 1);
	cleanup_free char *answer = NULL;
	multipathd_ask(command, &answer); /* without it, new paths stay unused until the lease is looked at */
}

static int open_leased(const struct lease_call *call, struct leased *l)
{
	*l = (struct leased){.call = call, .own = strtoull(call->self.instance, NULL, 16)};
	l->fd = open(call->place, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* closed with the child */
	if (l->fd < 0)
		return errno;
	return read_reserved(l);
}

/* "iqn.1993-08.org.debian:01:host2" in the name of an initiator, perhaps with its session; empty if it is another. */
static void initiator_of(const uint8_t *id, size_t size, char ret[static LEASE_TEXT_MAX])
{
	const char *name = (const char *)id + 4;
	bool whole = size > 4 && (id[0] & 0xf) == ISCSI_PROTOCOL && memchr(name, '\0', size - 4);
	snprintf(ret, LEASE_TEXT_MAX, "%.*s", whole ? (int)strcspn(name, ",") : 0, whole ? name : "");
}

/* Who has registered a key, as far as the disk tells. */
static void find_initiator(const uint8_t *answer, uint64_t key, char ret[static LEASE_TEXT_MAX])
{
	size_t end = HEADER + number_at(answer + 4, 4);
	ret[0] = '\0';
	for (size_t at = HEADER; !ret[0] && at + DESCRIPTOR <= end && at + DESCRIPTOR <= ANSWER_MAX;) {
		const uint8_t *descriptor = answer + at;
		size_t size = number_at(descriptor + 20, 4);
		at += DESCRIPTOR + size;
		if (number_at(descriptor, 8) == key && at <= ANSWER_MAX)
			initiator_of(descriptor + DESCRIPTOR, size, ret);
	}
}

/* ---- verbs ---- */

static const char local[] = "luns/leases";

/* They stand as the reservation says. */
static void add_locals(const struct leased *l, struct lease_seen *ret)
{
	lease_local_list(l->call, local, ret);
	for (size_t i = 0; i < ret->n; i++)
		ret->holders[i].mode = l->unable ? l->call->self.mode : mode_of(&l->reserved);
}

/* All that is known of another host are its key and, of iSCSI, the name that it logged in with. */
static void add_other(const struct leased *l, uint64_t key, const uint8_t *names, struct lease_seen *ret)
{
	struct lease_holder *holder = &ret->holders[ret->n++];
	*holder = (struct lease_holder){.mode = mode_of(&l->reserved), .guest = "?"};
	snprintf(holder->instance, sizeof(holder->instance), "%016llx", (unsigned long long)key);
	find_initiator(names, key, holder->host);
	if (!holder->host[0])
		snprintf(holder->host, sizeof(holder->host), "key %016llx", (unsigned long long)key);
}

static void describe(const struct leased *l, struct lease_seen *ret)
{
	uint8_t *names = xcalloc(ANSWER_MAX, 1);
	*ret = (struct lease_seen){0};
	if (l->unable)
		snprintf(ret->note, sizeof(ret->note),
			 "this disk has no persistent reservations: nothing keeps a guest of another host off it");
	/* A registration without a reservation keeps nobody off. */
	if (l->unable || (has_key(&l->reserved, l->own) && l->reserved.type))
		add_locals(l, ret);
	bool alone = l->reserved.n <= (has_key(&l->reserved, l->own) ? 1 : 0);
	if (!alone && ask(l->fd, READ_FULL_STATUS, names) != 0) /* not every disk can */
		memset(names, 0, ANSWER_MAX);
	for (size_t i = 0; i < l->reserved.n && ret->n < LEASE_HOLDERS_MAX; i++)
		if (l->reserved.keys[i] != l->own)
			add_other(l, l->reserved.keys[i], names, ret);
	free(names);
}

static int lun_look(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	int code = open_leased(call, &l);
	*ret = (struct lease_seen){0};
	if (code == ENOENT || code == ENXIO) /* the disk is away; whoever needs it waits for the Lun */
		return 0;
	if (!code)
		describe(&l, ret);
	return code == EIO ? ETIMEDOUT : code; /* no path works: nothing is known, and nothing has changed */
}

static int refuse_others(const struct leased *l)
{
	enum lease_mode mode = mode_of(&l->reserved), self = l->call->self.mode;
	for (size_t i = 0; i < l->reserved.n; i++)
		if (l->reserved.keys[i] != l->own && (mode != self || self == LEASE_ALONE))
			return say(
				EBUSY,
				"LUN '%s' is reserved by another host (key %016llx)%s: stop its guest there first; if "
				"that host is dead for good, `weft lease break %s`",
				l->call->volume, (unsigned long long)l->reserved.keys[i],
				mode == self ? "" : ", in another way than is asked for here", l->call->volume);
	return 0;
}

static int reserve(struct leased *l)
{
	const enum lease_mode mode = l->call->self.mode;
	struct pr_reservation reservation = {.key = l->own, .type = types[mode].kernel};
	if (l->reserved.type && l->reserved.type != types[mode].scsi) { /* only of our own; others were refused */
		struct pr_reservation before = {.key = l->own, .type = types[mode_of(&l->reserved)].kernel};
		order(l->fd, IOC_PR_RELEASE, &before);
	} else if (l->reserved.type) {
		return 0;
	}
	int r = order(l->fd, IOC_PR_RESERVE, &reservation);
	int code = read_reserved(l);
	if (!code && l->reserved.type != types[mode].scsi)
		code = r ? failed(l, "reserving it", r) : EBUSY;
	return code;
}

/* Two hosts may have come at once: who is not alone after registering gives way. */
static int take_disk(struct leased *l)
{
	int code = refuse_others(l);
	if (!code)
		code = change_key(l, l->own);
	if (code)
		return code;
	code = read_reserved(l);
	if (!code)
		code = refuse_others(l);
	if (!code)
		code = reserve(l);
	if (code)
		change_key(l, 0);
	else
		tell_multipathd(l, true);
	return code;
}

static int lun_take(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	int code = open_leased(call, &l);
	if (code == ENOENT || code == ENXIO)
		return say(code, "LUN '%s' is not there", call->volume);
	if (!code && !l.unable)
		code = take_disk(&l);
	if (!code)
		code = lease_local_write(call, local);
	if (!code)
		code = read_reserved(&l);
	if (!code)
		describe(&l, ret);
	return code;
}

/* With the last guest of this host. Registrations of sessions that are over go only with all others of the disk. */
static int leave_disk(struct leased *l)
{
	bool alone = l->reserved.n == 1;
	struct pr_clear clear = {.key = l->own};
	tell_multipathd(l, false);
	if (!has_key(&l->reserved, l->own))
		return 0;
	if (alone && order(l->fd, IOC_PR_CLEAR, &clear) == 0)
		return 0;
	return change_key(l, 0);
}

static int lun_release(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	bool last = false;
	int code = open_leased(call, &l), dropped = lease_local_drop(call, local, &last);
	*ret = (struct lease_seen){0};
	if (dropped)
		return dropped;
	if (code == ENOENT || code == ENXIO)
		return 0; /* out of reach */
	if (!code && last && !l.unable)
		code = leave_disk(&l);
	if (!code)
		code = read_reserved(&l);
	if (!code)
		describe(&l, ret);
	return code;
}

/* Whether another host lives cannot be seen from here. What it has on its way to the disk is ended, too. */
static int lun_break_off(const struct lease_call *call, struct lease_seen *ret)
{
	struct leased l;
	struct lease_seen before;
	int code = open_leased(call, &l);
	if (code)
		return code == ENOENT || code == ENXIO ? say(code, "LUN '%s' is not there", call->volume) : code;
	describe(&l, &before);
	if (before.n && streq(before.holders[0].instance, call->self.instance))
		return say(EBUSY, "guest '%s' of this host has LUN '%s': stop it", before.holders[0].guest,
			   call->volume);
	code = l.unable ? 0 : change_key(&l, l.own);
	if (!code)
		code = read_reserved(&l);
	for (size_t i = 0; !code && i < l.reserved.n; i++) {
		struct pr_preempt preempt = {
			.old_key = l.own, .new_key = l.reserved.keys[i], .type = types[mode_of(&l.reserved)].kernel};
		int r = l.reserved.keys[i] == l.own ? 0 : order(l.fd, IOC_PR_PREEMPT_ABORT, &preempt);
		code = r ? failed(&l, "ending the registration of the other host", r) : 0;
	}
	struct pr_clear clear = {.key = l.own};
	if (!code && !l.unable && order(l.fd, IOC_PR_CLEAR, &clear) != 0)
		code = change_key(&l, 0);
	*ret = before;
	return code;
}

const struct lease_means lease_by_reservation = {
	.name = "reservation",
	.doc = "a SCSI persistent reservation of the LUN",
	.look = lun_look,
	.take = lun_take,
	.release = lun_release,
	.break_off = lun_break_off,
};
