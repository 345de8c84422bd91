/* SPDX-License-Identifier: Apache-2.0 */
/* What a Volume or a Lun offers to guests, and to pools that stand on one. */
#ifndef WEFT_STORD_VOLUME_H
#define WEFT_STORD_VOLUME_H

#include "core/engine.h"
#include "core/secret.h"

/* How a guest gets at a volume. */
enum stord_attach {
	STORD_FILE,   /* `path` is opened and passed to QEMU */
	STORD_BLOCK,  /* likewise, a block device */
	STORD_REMOTE, /* QEMU reaches it over a network by itself, as `remote` says; `path` is its name */
};

/* A secret that is perhaps one of several in a keyring. */
struct stord_secret {
	struct secret_ref ref;
	const char *owner; /* whose of them: "client.weft" */
};
/* Reads one in a child; `fd` is memory with it, for a program to read and the callee to close, or -1 with an error. */
typedef void stord_secret_fn(void *ctx, int fd, const struct err *err);
void stord_secret_fetch(const struct stord_secret *secret, stord_secret_fn *done, void *ctx);

/* What QEMU has to be told of an image that it reaches by itself. */
struct stord_remote {
	const char *options; /* of -blockdev; the id of a secret object is to follow: "driver=rbd,...,key-secret=" */
	struct stord_secret secret; /* in base64 */
};

/* An image that another one is read through. */
struct stord_layer {
	const char *path, *format;
};
struct stord_image {
	struct want *want;          /* must be Present before the image is used */
	enum stord_attach attach;   /* what `path` is */
	const char *path;           /* absolute */
	const char *format;         /* "qcow2", "raw" */
	bool shared;                /* others may write to it at the same time */
	struct stord_layer *layers; /* what it is read through, itself not among them: its base, the base of that ... */
	size_t n_layers;
	struct stord_remote remote;
	const char *clone; /* a Volume that is read through this one, which must not be written; NULL: none */
};
/* Finds a Volume's image for a guest's disk; false after a refusal at `path`. */
bool stord_volume_image(struct lowering *l, const char *volume, const char *path, struct stord_image *ret);

/* May several guests use it at once? Of a checked object. */
bool stord_volume_is_shared(const struct object *volume);

/* The same for a Lun: its link /dev/weft/lun/NAME, a block device. */
bool stord_lun_image(struct lowering *l, const char *lun, const char *path, struct stord_image *ret);
bool stord_lun_is_shared(const struct object *lun);
struct want *stord_lun_lease(struct lowering *l, const char *lun, const char *guest, bool reads);

/* What a guest holds as long as it runs: Present before it is started, and gone after it. With the file of which its
 * QEMU has to hold the byte stord_lease_byte() locked; NULL: none. */
struct stord_leases {
	struct {
		struct want *want;
		const char *lock;
	} * items;
	size_t n, cap;
};
/* Wants the leases for the use of a volume and, to be read only, of what that is based on; adds them. */
void stord_volume_leases(struct lowering *l, const char *volume, const char *guest, bool reads,
			 struct stord_leases *leases);
uint64_t stord_lease_byte(const char *guest);

/* What a person may order of one, see `weft volume`. */
struct stord_volume {
	char key[192];    /* of its resource */
	const char *type; /* of its pool */
	const char *place, *format;
	bool snapshots;    /* its pool's type has them */
	bool while_open;   /* and can make and remove them while a guest has it open */
	const char *clone; /* a Volume that is read through it; NULL: none */
};
/* False if there is none of the name, or it was refused. */
bool stord_volume_find(const struct generation *gen, const char *name, struct stord_volume *ret);
enum stord_volume_order { STORD_SNAPSHOT_LIST, STORD_SNAPSHOT_CREATE, STORD_SNAPSHOT_REVERT, STORD_SNAPSHOT_DELETE };
struct stord_order {
	enum stord_volume_order order;
	const char *key, *snapshot;
};
/* Called once, later: with the list of snapshots if that was asked for (borrowed), or an error. */
typedef void stord_order_fn(void *ctx, const json_t *snapshots, const struct err *err);
void stord_volume_order(struct engine *engine, const struct stord_order *order, stord_order_fn *done, void *ctx);
/* How far the order is that is under way for a volume: "going back: 43 %", valid until the next call; NULL if there is
 * none, or its storage does not tell. */
const char *stord_order_progress(const char *key);

/* Who has volumes open while guests run, and can change what nobody else may meanwhile. */
typedef void stord_grown_fn(void *ctx, const struct err *err);
struct stord_user {
	/* Is what is at `place` open for writing in a running guest of this host? Its name, NULL if not. */
	const char *(*guest)(const char *place);
	/* It is to be, or has become, that large; `done` (may be NULL) is called once, later. */
	void (*resize)(const char *place, uint64_t size, stord_grown_fn *done, void *ctx);
};
void stord_set_user(const struct stord_user *user); /* borrowed; NULL: nobody */

#endif
