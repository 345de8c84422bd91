/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: what keeps two hosts' guests off one volume, held on the storage itself. The class lease (lease.c) knows no
 * storage; how a lease is held there is a `struct lease_means`: one file, lease-NAME.c, that ends in one const vtable,
 * and one line in the table of lease.c. A pool type names the means of its volumes (struct volume_verbs).
 *
 * A lease is taken before a guest is started, held by what the guest's QEMU or the storage itself remembers (never by
 * weftd, which may end at any time), found again by a later weftd, and given back when the guest is to run no more. Of
 * a host that died it remains: nobody but a person knows that it is dead.
 *
 * The verbs run in a child with a deadline and may block, like those of pool-type.h: 0, or a positive errno after one
 * say(). */
#ifndef WEFT_STORD_LEASE_H
#define WEFT_STORD_LEASE_H

#include "core/lower.h"
#include "stord/image.h"

/* Two holders bear each other if both share, or both only read. */
enum lease_mode { LEASE_ALONE, LEASE_SHARED, LEASE_READ };
extern const char *const lease_modes[3];
/* Does what holds it live? Unknown where nothing shows it: a host that is cut off looks as one that is dead. */
enum lease_life { LEASE_UNKNOWN, LEASE_ALIVE, LEASE_ENDED };
extern const char *const lease_lives[3];

enum { LEASE_HOLDERS_MAX = 1024, LEASE_TEXT_MAX = 68 };

struct lease_holder {
	char instance[LEASE_TEXT_MAX]; /* of weft; with the guest it says whose lease it is */
	char host[LEASE_TEXT_MAX];     /* its name, for people */
	char guest[LEASE_TEXT_MAX];
	uint64_t since_ms; /* wall clock; 0: not known */
	enum lease_mode mode;
	enum lease_life
		life; /* as seen; only where nobody in particular asks (look), and of who is refused or broken */
};
struct lease_call {
	const char *pool, *volume;
	const char *place; /* of the volume */
	const void *own;   /* of the volume, of means->table; NULL: nothing */
	/* Who asks: this instance, this host, the guest, how, and now. For look() of nobody in particular and
	 * break_off() the guest is empty. */
	struct lease_holder self;
};
/* All who hold it. Large: for children. */
struct lease_seen {
	size_t n;
	struct lease_holder holders[LEASE_HOLDERS_MAX];
	char note[IMAGE_TEXT_MAX]; /* what this storage cannot keep off, or cannot tell; empty: nothing */
};
typedef int lease_verb_fn(const struct lease_call *call, struct lease_seen *ret);

struct lease_means {
	const char *name;          /* "file" */
	const char *doc;           /* what holds it, a phrase */
	const struct table *table; /* of `own`, that of the volume's; NULL: place says all */
	/* Who holds it; nobody is fine. Asked for a guest, all that matters is whether that one does. */
	lease_verb_fn *look;
	/* Takes it for self, or refuses with EBUSY after lease_refuse(). What self holds already, of this or an earlier
	 * life of weftd, is kept, in the mode asked for. What a guest of this instance held that has ended is taken
	 * over. Then looks. */
	lease_verb_fn *take;
	/* Gives back what self holds; what it does not hold is left alone. Then looks. */
	lease_verb_fn *release;
	/* A person says that who holds it is dead. Refuses with EBUSY if one of them is seen alive. Else all holders
	 * lose it, and are returned. */
	lease_verb_fn *break_off;
	/* Pure: a file of which the guest's QEMU shall hold one byte locked as long as it lives, by which look() knows
	 * that it does (lease_lock_byte()); NULL: nothing of the kind. */
	const char *(*lock)(struct arena *arena, const char *place);
	unsigned change_ms; /* how long taking it and giving it back may take; 0: as long as for all */
};
extern const struct lease_means lease_by_file, lease_by_rbd, lease_by_reservation, lease_by_group, lease_by_lvmlockd;
/* What stands for a pool in the key of a Lun's lease: no Pool can have the name. */
#define LEASE_OF_LUN "Lun"

/* Do they bear each other? One and the same holder does. */
bool lease_bears(const struct lease_holder *a, const struct lease_holder *b);
bool lease_same_holder(const struct lease_holder *a, const struct lease_holder *b);
/* Says who holds the volume, since when, and what to do; returns EBUSY. */
int lease_refuse(const struct lease_call *call, const struct lease_holder *holder);
/* The byte that stands for a holder in a file of means->lock: never 0, and never two for one. */
uint64_t lease_lock_byte(const char *instance, const char *guest);
/* Who asks, without a guest. */
struct lease_holder lease_self(void);

/* lease-local.c: the guests of this host, where the storage knows hosts only; for the verbs. `directory` is below the
 * state directory. */
int lease_local_write(const struct lease_call *call, const char *directory);
int lease_local_drop(const struct lease_call *call, const char *directory, bool *ret_last);
void lease_local_list(const struct lease_call *call, const char *directory, struct lease_seen *ret);

/* What is to be leased. Borrowed until lowering has ended. */
struct lease_plan {
	const struct lease_means *means; /* NULL: nothing keeps others off, which is said */
	const char *pool, *volume, *guest;
	const char *place;
	void *own;
	enum lease_mode mode;
};
/* Wants lease/POOL/VOLUME/GUEST. */
struct want *lease_want(struct lowering *l, const struct lease_plan *plan);

/* resource lease/POOL/VOLUME/GUEST: the use of a volume by a guest. */
struct lease_state {
	uint64_t present;
	int means;         /* index of lease_means_at() */
	const char *place; /* of the volume */
	void *own;
	int mode;
	const char *host, *since; /* observed */
};
enum {
	LEASE_ROW_MEANS = 1 << 0,
	LEASE_ROW_PLACE = 1 << 1,
	LEASE_ROW_OWN = 1 << 2,
	LEASE_ROW_MODE = 1 << 3,
	LEASE_ROW_HOST = 1 << 4,
	LEASE_ROW_SINCE = 1 << 5,
	LEASE_ROWS_WANTED = LEASE_ROW_MEANS | LEASE_ROW_PLACE | LEASE_ROW_MODE,
};
extern const struct resource_class stord_lease_class;
/* NULL for "none". */
const struct lease_means *lease_means_at(int means);
/* "2026-11-21T18:02:11Z"; returns buf. */
const char *lease_time_text(uint64_t ms, char buf[static 32]);

#endif
