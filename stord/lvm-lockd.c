/* SPDX-License-Identifier: Apache-2.0 */
/* Volume groups that hosts share: lvmlockd(8) of each host keeps a group's locks with sanlock(8), which writes them
 * into a hidden volume of the group and each host's name and sign of life beside them. A host starts the locks of a
 * group before it uses it; a volume is then locked by whoever has it active. What is told of locks here is asked of
 * these programs each time. */
#include "stord/image.h"
#include "stord/lvm.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { SECTORS_SMALL = 512, LOCK_AREA_SMALL = 1 << 20, LOCK_AREA_LARGE = 8 << 20 };

static char *next_line(char **rest)
{
	return strsep(rest, "\n");
}

/* ---- lvmlockd of this host ---- */

/* lvmlockctl --info
 * VG vg0 lock_type=sanlock 7Pv0AX-...
 * LS sanlock lvm_vg0                              or ADD:lvm_vg0, REM:lvm_vg0 for as long as that takes
 * LK VG un ver 4
 * LK LV ex 0RaM3W-MJkt-2eyf-WgmD-FN5x-AijG-5y3dcu
 * The answer goes to a socket with a name, so only one can ask at a time, and others are told nothing. NULL, an errno
 * and a sentence where it does not answer: ENOENT if it does not run. */
static char *ask_lockd(int *ret_code, char **ret_fault)
{
	enum { ATTEMPTS = 60, PAUSE_US = 100 * 1000 };
	static const char *const argv[] = {"lvmlockctl", "--info", NULL};
	*ret_code = ENOENT;
	*ret_fault = NULL;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		cleanup_free char *out = NULL, *errs = NULL;
		int status = run_program(argv, &out, &errs);
		if (status == 0) {
			*ret_code = 0;
			return take_ptr(out);
		}
		if (status < 0 || status == 127)
			*ret_fault = xstrdup("the program 'lvmlockctl' is not there: install the packages lvm2-lockd "
					     "and sanlock on each host that shares it");
		else if (strstr(out, "connect") || strstr(errs, "connect"))
			*ret_fault = xstrdup("lvmlockd does not run: systemctl enable --now sanlock lvmlockd");
		if (*ret_fault)
			return NULL;
		usleep(PAUSE_US);
	}
	*ret_code = EBUSY;
	*ret_fault = xstrdup("lvmlockd does not answer, or somebody else asks it all the time: see lvmlockctl --info");
	return NULL;
}

/* The next line about the group, of what lvmlockd told; NULL at the end. `inside` begins as false. */
static char *line_of_group(const char *group, char **rest, bool *inside)
{
	cleanup_free char *head = xprintf("VG %s lock_type=", group);
	for (char *line; (line = next_line(rest));) {
		if (str_starts(line, "VG "))
			*inside = str_starts(line, head);
		else if (*inside)
			return line;
	}
	return NULL;
}

/* "lvm_vg0", "ADD:lvm_vg0"; empty if lvmlockd knows nothing of the group. */
static void lockspace_of(const char *group, const char *told, char ret[static 160])
{
	cleanup_free char *text = xstrdup(told);
	char *rest = text;
	bool inside = false;
	*ret = '\0';
	for (char *line; (line = line_of_group(group, &rest, &inside));)
		if (sscanf(line, "LS %*s %159s", ret) == 1)
			return;
}

char *lvm_locks_missing(const struct lvm *lvm)
{
	char space[160];
	int code;
	cleanup_free char *fault = NULL, *told = ask_lockd(&code, &fault);
	if (code)
		return xprintf("volume group '%s' is one that hosts share, and %s", lvm->group, fault);
	lockspace_of(lvm->group, told, space);
	if (str_starts(space, "ADD:"))
		return xprintf("the locks of volume group '%s' are being started: sanlock takes 20 seconds, and some "
			       "three minutes after this host has not stopped them in time",
			       lvm->group);
	if (str_starts(space, "lvm_"))
		return NULL;
	return xprintf("the locks of volume group '%s' are not started on this host", lvm->group);
}

/* lvm lvmconfig local/host_id
 * host_id=1 */
static unsigned configured_host_id(void)
{
	static const char *const argv[] = {"lvm", "lvmconfig", "local/host_id", NULL};
	cleanup_free char *out = NULL, *errs = NULL;
	unsigned id = 0;
	if (run_program(argv, &out, &errs) == 0)
		sscanf(out, "host_id=%u", &id);
	return id;
}

static char *ask_sanlock(void)
{
	static const char *const argv[] = {"sanlock", "client", "status", "-D", NULL};
	cleanup_free char *out = NULL, *errs = NULL;
	return run_program(argv, &out, &errs) == 0 ? take_ptr(out) : NULL;
}

bool lvm_has_watchdog(void)
{
	cleanup_free char *told = ask_sanlock();
	return !told || !strstr(told, "use_watchdog=0");
}

int lvm_locks_check(const struct lvm *lvm)
{
	int code;
	cleanup_free char *fault = NULL, *told = ask_lockd(&code, &fault), *sanlock = code ? NULL : ask_sanlock();
	if (code)
		return say(ENOLCK, "volume group '%s' is one that hosts share, and %s", lvm->group, fault);
	if (!sanlock)
		return say(ENOLCK,
			   "volume group '%s' is one that hosts share, and sanlock does not run, or its watchdog "
			   "daemon wdmd does not: systemctl enable --now wdmd sanlock (without a watchdog, sanlock "
			   "takes -w 0)",
			   lvm->group);
	if (!lvm->host_id && !configured_host_id())
		return say(ENOLCK,
			   "volume group '%s' is one that hosts share, and this host has no number among them: write "
			   "hostId into the Pool, 1 to 2000 and another one on each host, or local/host_id into "
			   "/etc/lvm/lvmlocal.conf",
			   lvm->group);
	return 0;
}

/* lvm vgchange --lock-start vg0 */
int lvm_locks_start(const struct lvm *lvm)
{
	cleanup_free char *missing = lvm_locks_missing(lvm);
	cleanup_free char *what = xprintf("the locks of volume group '%s' cannot be started", lvm->group);
	if (!missing)
		return 0;
	int code = lvm_locks_check(lvm);
	return code ? code : lvm_change(lvm, what, (const char *[]){"vgchange", "--lock-start", lvm->group, NULL});
}

int lvm_locks_stop(const struct lvm *lvm)
{
	char space[160];
	int code;
	cleanup_free char *fault = NULL, *told = ask_lockd(&code, &fault);
	cleanup_free char *what = xprintf("the locks of volume group '%s' stay started", lvm->group);
	if (code)
		return code == ENOENT ? 0 : say(code, "%s: %s", what, fault);
	lockspace_of(lvm->group, told, space);
	return *space ? lvm_change(lvm, what, (const char *[]){"vgchange", "--lock-stop", lvm->group, NULL}) : 0;
}

int lvm_lock_of(const struct lvm *lvm, const char *place, bool listed, enum lvm_lock *ret)
{
	static char *kept; /* goes with the child */
	char uuid[LVM_UUID_MAX], kind[8], of[LVM_UUID_MAX];
	cleanup_free char *fault = NULL, *told = NULL;
	*ret = LOCK_NONE;
	if (!lvm_uuid_of_device(place, uuid))
		return 0;
	int code = 0;
	told = listed && kept ? xstrdup(kept) : ask_lockd(&code, &fault);
	if (code)
		return say(ENOLCK, "nobody knows whether volume '%s' is this host's: %s", place, fault);
	if (listed && !kept)
		kept = xstrdup(told);
	char *rest = told;
	bool inside = false;
	for (char *line; (line = line_of_group(lvm->group, &rest, &inside));)
		if (sscanf(line, "LK LV %7s %47s", kind, of) == 2 && streq(of, uuid))
			*ret = streq(kind, "ex") ? LOCK_ALONE : streq(kind, "sh") ? LOCK_SHARED : LOCK_NONE;
	return 0;
}

/* ---- what sanlock has written into the group ---- */

/* The hidden volume with the locks, as a device: of "1.0.0:lvmlock". Freed by the caller. */
static char *locks_device(const struct lvm *lvm, const json_t *row)
{
	const char *colon = strchr(lvm_text(row, "vg_lock_args"), ':');
	cleanup_free char *group = xcalloc(2 * strlen(lvm->group) + 1, 1);
	char *to = group;
	for (const char *from = lvm->group; *from; from++) {
		if (*from == '-') /* as the device mapper's names have it */
			*to++ = '-';
		*to++ = *from;
	}
	return xprintf("/dev/mapper/%s-%s", group, colon ? colon + 1 : "lvmlock");
}

/* How long the area of one lock is goes by the sectors of the disk; of a longer one what concerns others is passed
 * over. */
static unsigned lock_area(const char *device)
{
	struct stat st;
	unsigned long sector = SECTORS_SMALL;
	cleanup_free char *text = NULL;
	if (stat(device, &st) == 0) {
		cleanup_free char *path =
			xprintf("/sys/dev/block/%u:%u/queue/physical_block_size", major(st.st_rdev), minor(st.st_rdev));
		if (file_read(path, 32, &text, NULL) == 0)
			sector = strtoul(text, NULL, 10);
	}
	return sector > SECTORS_SMALL ? LOCK_AREA_LARGE : LOCK_AREA_SMALL;
}

/* sanlock direct dump /dev/mapper/vg0-lvmlock:70254592:1048576
 *   offset  lockspace  resource                                timestamp  own  gen  lver
 * 70254592  lvm_vg0    0RaM3W-MJkt-2eyf-WgmD-FN5x-AijG-5y3dcu  0000000249 0002 0001 9
 *                                                                         0001 0001 SH
 * The owner has it alone, unless the timestamp is 0; others share it. */
static size_t read_lockers(const char *device, const json_t *row, struct lvm_locker *ret)
{
	const char *args = lvm_text(row, "lv_lockargs"), *offset = strchr(args, ':');
	cleanup_free char *area = xprintf("%s:%s:%u", device, offset ? offset + 1 : "", lock_area(device));
	cleanup_free char *out = NULL, *errs = NULL;
	if (!offset || run_program((const char *[]){"sanlock", "direct", "dump", area, NULL}, &out, &errs) != 0)
		return 0;
	char *rest = out, name[LVM_UUID_MAX];
	bool inside = false;
	size_t n = 0;
	for (char *line; (line = next_line(&rest)) && n < LVM_LOCKERS_MAX;) {
		unsigned long long at, life;
		unsigned id;
		char word[8];
		if (sscanf(line, "%*s %*s %47s %llu %u %llu", name, &at, &id, &life) == 4) {
			inside = streq(name, lvm_text(row, "lv_uuid"));
			if (inside && at)
				ret[n++] = (struct lvm_locker){.host_id = id, .generation = life, .lock = LOCK_ALONE};
		} else if (inside && sscanf(line, "%u %llu %7s", &id, &life, word) == 3 && streq(word, "SH")) {
			ret[n++] = (struct lvm_locker){.host_id = id, .generation = life, .lock = LOCK_SHARED};
		}
	}
	return n;
}

/* What a host had is anybody's once that is dead, or has stopped its locks or booted again since. */
static void note_host(const struct lvm_locker *host, struct lvm_locker *lockers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (lockers[i].host_id != host->host_id)
			continue;
		if (host->host[0])
			strcpy(lockers[i].host, host->host);
		if (host->state[0])
			strcpy(lockers[i].state, host->state);
		lockers[i].gone |= host->gone || host->generation > lockers[i].generation;
	}
}

/* sanlock direct dump /dev/mapper/vg0-lvmlock
 * 00000512  lvm_vg0  30273882-d192-4d63-b59b-2c577875bc11.lab-b  0000000194 0002 0001
 * The name is sanlock's own for its host, mostly with a number of its own before it. The timestamp of one that has
 * stopped is 0. */
static void name_lockers(const char *device, struct lvm_locker *lockers, size_t n)
{
	enum { UUID = 36 };
	cleanup_free char *out = NULL, *errs = NULL;
	if (run_program((const char *[]){"sanlock", "direct", "dump", device, NULL}, &out, &errs) != 0)
		return;
	char *rest = out, name[64] = "";
	for (char *line; (line = next_line(&rest));) {
		unsigned long long at;
		struct lvm_locker host = {0};
		if (sscanf(line, "%*s %*s %63s %llu %u %llu", name, &at, &host.host_id, &host.generation) != 4)
			continue;
		bool numbered = strlen(name) > UUID + 1 && name[UUID] == '.';
		snprintf(host.host, sizeof(host.host), "%s", numbered ? name + UUID + 1 : name);
		host.gone = !at;
		note_host(&host, lockers, n);
	}
}

/* sanlock client gets -h 1
 * s lvm_vg0:1:/dev/mapper/vg0-lvmlock:0
 * h 2 gen 1 timestamp 276 FAIL
 * `ret_own` is this host's own number: "lvm_vg0:1:". */
static void states_of(const struct lvm *lvm, struct lvm_locker *lockers, size_t n, unsigned *ret_own)
{
	cleanup_free char *out = NULL, *errs = NULL, *head = xprintf("s lvm_%s:", lvm->group);
	bool inside = false;
	*ret_own = 0;
	if (run_program((const char *[]){"sanlock", "client", "gets", "-h", "1", NULL}, &out, &errs) != 0)
		return;
	char *rest = out;
	for (char *line; (line = next_line(&rest));) {
		struct lvm_locker host = {0};
		if (str_starts(line, "s ")) {
			inside = str_starts(line, head);
			if (inside)
				*ret_own = (unsigned)strtoul(line + strlen(head), NULL, 10);
		} else if (inside && sscanf(line, "h %u gen %llu timestamp %*u %15s", &host.host_id, &host.generation,
					    host.state) == 3) {
			host.gone = streq(host.state, "DEAD");
			note_host(&host, lockers, n);
		}
	}
}

size_t lvm_lockers(const struct lvm *lvm, const json_t *row, struct lvm_locker ret[static LVM_LOCKERS_MAX])
{
	cleanup_free char *device = locks_device(lvm, row);
	unsigned own;
	size_t n = read_lockers(device, row, ret), kept = 0;
	if (!n)
		return 0;
	name_lockers(device, ret, n);
	states_of(lvm, ret, n, &own);
	for (size_t i = 0; i < n; i++)
		if (ret[i].host_id != own && !ret[i].gone)
			ret[kept++] = ret[i];
	return kept;
}
