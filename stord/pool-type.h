/* SPDX-License-Identifier: Apache-2.0 */
/* Pool types: what `type:` of a Pool may be. One file a type, pool-NAME.c, that ends in one const vtable, and one line
 * in CMakeLists.txt (weft_pool_type(nfs)), which writes the list. The kinds Pool and Volume and the classes pool and
 * volume know no type by name; a type knows nothing of lanes, engine, deadlines or status.
 *
 * check() and lower() run on the daemon's thread, are pure and touch nothing. All other verbs run in a child with a
 * deadline (fork: they see the daemon's memory as it was, what they write there is lost) and may block, also for ever.
 * They return 0, or a positive errno after one say() with the sentence that a person is to read. */
#ifndef WEFT_STORD_POOL_TYPE_H
#define WEFT_STORD_POOL_TYPE_H

#include "core/lower.h"
#include "stord/lease.h"
#include "stord/pool-types.h" /* written by the build */
#include "stord/stord.h"
#include "stord/volume.h"

/* What a Pool lowers to. */
struct pool_plan {
	const char *place;  /* where its volumes are: a directory, a volume group, a pool of a cluster; NULL: no one
			       place */
	const char *source; /* what carries it, in one text that no two Pools may share and that stays as it is while
			       the pool is there: a directory, SERVER:/EXPORT, UUID=... */
	const char *what;   /* what that is, for refusals: "directory", "export" */
	const char *at;     /* the field of the manifest that says it: "spec.export" */
	bool put_in_use;    /* it may be there and not in use on this host; activate() then puts it in use */
	bool grows;         /* its devices may become larger; activate() then makes use of that */
	struct want *need;  /* what has to exist first (a mount, a map); NULL: nothing */
	struct want **also; /* and these */
	size_t n_also, cap_also;
	struct want **legs; /* what it stands on as well, where any one of them will do (sessions) */
	size_t n_legs;
};

/* Where a LUN of a pool is: what `{pool: san, lun: 1}` of a Lun means. */
struct lun_place {
	const char *target; /* name of the target that offers it, as struct scsi_disk has it */
	bool multipath;     /* it is used by the map of its paths, unless the Lun says otherwise */
};

/* What a verb on a pool gets. */
struct pool_call {
	const char *name;               /* of the Pool */
	const struct pool_state *state; /* as wanted; of what is leaving, as it was wanted last */
	const char *mark;               /* "weft:ID:Pool/NAME"; "" where nobody knows */
	const char *identity; /* which thing it has been ever since it was there first; NULL: that is not known */
	bool sweep;           /* the first look since the daemon started: what interrupted work left is to go */
	bool fresh;           /* deactivate(): activate() made it in an apply that is undone */
	bool grow;            /* activate(): it is outgrown, and is to use all that its devices have */
};
enum { POOL_IDENTITY_MAX = 64 };
/* What there is of it. Goes through a pipe: no pointers. */
struct pool_seen {
	bool exists;
	bool inactive; /* it is there, but not in use on this host */
	bool outgrown; /* its devices are larger by now, and it may use that */
	bool local;    /* a directory of this host, in which (or, if it is missing, beside which) inotify sees all */
	uint64_t incarnation;             /* which instance this is; 0 if it has none */
	uint64_t capacity, available;     /* bytes; 0: not known */
	char mark[IMAGE_MARK_MAX];        /* empty: none */
	char identity[POOL_IDENTITY_MAX]; /* which thing it is, by what it is known again if another may come to be
					     there, without blanks; empty: it has none that lasts */
	char devices[4096];               /* block devices that it stands on, a line each; empty: none or not known */
	char note[IMAGE_TEXT_MAX];        /* something worth showing; empty: nothing */
	char health[IMAGE_TEXT_MAX];      /* what is wrong although it works; empty: nothing */
	char fault[IMAGE_TEXT_MAX];       /* why it must not be used although it is there; empty: nothing */
};
typedef int pool_verb_fn(const struct pool_call *call, struct pool_seen *ret);

/* What a verb on a volume gets. */
struct volume_call {
	const char *pool, *name;
	const struct volume_state *state; /* as wanted; of what is leaving, as it was wanted last */
	const char *mark;                 /* "weft:ID:Volume/NAME"; "" where nobody knows */
	const struct image_stamp *known;  /* of the last look; zeroed if there was none */
	bool grow;                        /* change(): to state->size; otherwise it is only marked */
	bool among_many; /* look(): others of the pool follow in the same child, so that reading all at once pays */
	const char *snapshot;      /* what the verbs on snapshots are about */
	const char *pool_identity; /* make(): which thing the pool has to be; NULL: that is not known */
};
typedef int volume_verb_fn(const struct volume_call *call);

/* A snapshot: what a volume held at a time. Goes through a pipe: no pointers. */
struct volume_snapshot {
	char name[SNAPSHOT_NAME_MAX];
	uint64_t made_s; /* since 1970; 0: not known */
	uint64_t size;   /* of the disk then; 0: not known */
};
struct volume_snapshots {
	struct volume_snapshot *items; /* malloc'ed */
	size_t n, cap;
};
/* Snapshots belong to their volume and go with it. They are kept by the storage itself and nowhere else, so list() is
 * the truth; a person orders them one by one (volume-order.c). Reverting and removing lose what cannot be had again and
 * are only called after a person has said so. Each is done as a whole or not at all; what an interrupted one leaves
 * is put right by the next look() of the volume. */
struct snapshot_verbs {
	/* make() and remove() may be called while a guest here has the volume open. Otherwise the guest's QEMU is asked
	 * to do it (what it has open nobody else may change). revert() is never called meanwhile. */
	bool while_open;
	/* What there is, oldest first. ENOTSUP after a sentence where this volume cannot have any (a raw file). */
	int (*list)(const struct volume_call *call, struct volume_snapshots *ret);
	volume_verb_fn *make;   /* EEXIST after a sentence if there is one of the name */
	volume_verb_fn *revert; /* the volume is then what it was, with its size of then: it grows again afterwards */
	volume_verb_fn *remove;
};

/* How volumes are made in pools of a type; types may share one. */
struct volume_verbs {
	const struct table
		*table;           /* rows of volume_state.own: what the verbs need to know beside `place`; NULL: none */
	unsigned formats;         /* bits of enum image_format that a volume can have here */
	enum image_format format; /* that it has when the manifest does not say */
	enum stord_attach attach; /* how guests get at `place` */
	/* How a host keeps the guests of others off a volume that a guest of its own uses; see lease.h. Its `own` is
	 * that of the volume. NULL: it does not, and says so. */
	const struct lease_means *leases;
	/* Pure: the same where it is not one for all volumes; NULL: it is. */
	const struct lease_means *(*leases_of)(const struct volume_state *state);
	/* Pure: sets state->place (no two volumes may have the same), and state->own with its presence bit if there is
	 * a table, from the pool's state and what else is set in the volume's. False after a refusal. */
	bool (*address)(struct lowering *l, const struct pool_state *pool, const char *name,
			struct volume_state *state);
	/* Pure: what QEMU has to be told of it, where it is STORD_REMOTE. */
	void (*remote)(struct lowering *l, const struct volume_state *state, struct stord_remote *ret);
	/* What there is under its name; also when nothing is. If so, what a make() left that was killed (called off,
	 * or too late) goes now: nothing else is done to the volume meanwhile. */
	int (*look)(const struct volume_call *call, struct image_state *ret);
	/* Makes it: under a temporary name until it is whole and marked, and never over what is there. What an
	 * interrupted one leaves is known as ours and swept by observe() of the pool. At most one of these is set, and
	 * of interest here only:
	 *   state->source  it begins as a copy of a file (checked and converted; see image_fill())
	 *   state->clone   it begins as a full copy of another volume, which is there: a file or a block device of
	 *                  format clone_format, or what volumes of a pool of type clone_type are if that is this type
	 *                  and `copies_own`
	 *   state->base    it is a linked clone of another volume of its pool, which is there
	 * With one of them state->size may be 0: as large as what it begins as. */
	volume_verb_fn *make;
	/* Marks what is adopted, unless it has the mark of another instance, which keeps it; makes it larger if
	 * call->grow. Never smaller. */
	volume_verb_fn *change;
	/* Deletes it, with its bytes and snapshots, if it carries a mark of this instance; what is not there is fine.
	 * EBUSY after a sentence while there is a linked clone of it, whoever made that: its bytes would be lost. */
	volume_verb_fn *remove;
	/* Pure: `state` is to be a linked clone of `base`, a volume of the same pool (called after address(), with
	 * state->base and base_format set). Sets what else is to be known, or refuses (at spec.base). NULL: such pools
	 * have no linked clones, which is said where one is asked for. look() then fills stamp.backing with the place
	 * of the base. */
	bool (*link)(struct lowering *l, const struct volume_state *base, struct volume_state *state);
	/* Pure: tools of this host may read `origin`, a volume of such a pool, where another is made of it; or refuses
	 * (at spec.clone). NULL: they may. */
	bool (*lends)(struct lowering *l, const struct volume_state *origin, const struct volume_state *to);
	/* A linked clone is read through its base: guests open both, and nobody may write to the base meanwhile. False
	 * where the storage sees to that by itself. */
	bool layered;
	bool copies_own;  /* see make() */
	unsigned at_once; /* of how many volumes something is done at once, a pool; 0: as many as pay for files */
	bool makes_many;  /* those that begin empty are made in one child, which is quicker than one for each */
	/* What a guest has open grows through its QEMU alone, which does all of it; otherwise by change(), and QEMU is
	 * told afterwards. */
	bool grows_by_guest;
	const struct snapshot_verbs *snapshots; /* NULL: such pools have none */
};

enum { PROBE_ANSWER_S = 5 };

struct pool_type {
	const char *name;          /* as it is written: "nfs" */
	const char *doc;           /* what it is, after its name: "an export of an NFS server" */
	const struct table *table; /* the fields beside `type`: a struct of the type's own; CHOICE_TABLE() */
	/* Rules across its fields; faults by check_fault(). May be NULL. */
	void (*check)(const struct check *check, const void *own);
	/* Wants what has to exist first, and says where volumes are. False after a refusal. */
	bool (*lower)(struct lowering *l, const struct object *object, const void *own, struct pool_plan *plan);
	/* What is there. A pool whose needs are there and that needs nothing made has just this. */
	pool_verb_fn *observe;
	/* Makes what is missing, then observes. NULL: there is nothing to make, and it is waited for. */
	pool_verb_fn *activate;
	/* Gives it up; ret->exists if something of it stays, with a note that says why. What others made, and
	 * activate() has put in use, is only put out of use, and ret->inactive if so. NULL: nothing was made. */
	pool_verb_fn *deactivate;
	bool on_device; /* looked at anew whenever block devices come, go or change */
	/* Does it answer? Asked every few seconds for as long as the pool is wanted, in a child that gets
	 * PROBE_ANSWER_S. Without an answer the pool is Degraded and says when there was one last, and nothing is begun
	 * on it until there is one again. NULL: it cannot fall silent. */
	int (*probe)(const struct pool_call *call);
	/* How long looking at it, and making it, may take, where that waits for others; 0: as long as for all. */
	unsigned look_ms, change_ms;
	const struct volume_verbs *volumes; /* NULL: no Volume can be in it */
	const char *instead;                /* then: what to write instead, a sentence */
	/* Pure: where its LUNs are. NULL: it has none. */
	struct lun_place (*lun)(const struct pool_state *pool);
};

#define CHOICE_TABLE(n, S, rows, text)                                                                        \
	{                                                                                                     \
		.name = (n), .size = sizeof(S), .fields = (rows), .n_fields = ARRAY_SIZE(rows), .doc = (text) \
	}

#define STORD_COUNT(name) +1
enum { N_POOL_TYPES = STORD_POOL_TYPES(STORD_COUNT) };
extern const char *const pool_types[N_POOL_TYPES];
const struct pool_type *pool_type_at(int type);
/* For rows that a type decides on. What is around begins with `present` and `int type`. */
const struct table *pool_type_table(const void *around);        /* its own fields */
const struct table *pool_type_volume_table(const void *around); /* its volumes' own rows */
const struct table *pool_type_choice(size_t i);
/* How a volume is leased; NULL: not. */
const struct lease_means *volume_leases(const struct volume_state *state);
/* For verbs: the size of a volume and what it begins as; what it is itself is left to the caller, and strings are the
 * state's. */
struct image volume_source(const struct volume_state *state);
/* The same of a volume that is a block device, whose bytes are raw. */
struct image volume_device(const struct volume_state *state);

/* `a` is in the pool: made once that is there, and gone before what the pool stands on goes. */
void pool_needed(struct lowering *l, struct want *a, struct want *pool);

/* pool-files.c: pools that are a directory of images, whatever carries the directory; and the volumes in them. */
int pool_files_look(const struct pool_call *call, struct pool_seen *ret);
/* What a directory is known by from its birth on; empty where its filesystem does not keep that. */
void pool_files_identity(const char *path, char ret[static POOL_IDENTITY_MAX]);
/* The same for one that has to be mounted: without the mount it does not exist, whatever is in the directory below. */
int pool_mounted_look(const struct pool_call *call, struct pool_seen *ret);
extern const struct volume_verbs volume_files;
/* One text for one path: absolute (relative ones are under the state directory), without empty and "." components. */
const char *pool_normal_path(struct arena *arena, const char *path);

#endif
