/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of a Ceph cluster. Ceph's libraries are loaded by the children that work with it and by nobody else: weftd is
 * not linked with them, and a host without Ceph needs none of them. Everything that connects runs in a child, as in
 * image.h: it blocks, returns 0 or a positive errno, and on failure writes one sentence to standard error. */
#ifndef WEFT_STORD_CEPH_H
#define WEFT_STORD_CEPH_H

#include <rbd/librbd.h>

#include "core/secret.h"

/* What a Pool of type rbd says; also what its volumes know of it. */
struct ceph_spec {
	uint64_t present;
	const char *pool, *namespace;
	struct list monitors; /* of const char *: "192.0.2.70:6789" */
	const char *user;     /* without "client." */
	struct secret_ref keyring;
	const char *cluster; /* its fsid; NULL: whichever answers */
};
extern const struct table ceph_table;

enum { CEPH_FSID_LEN = 36 };

/* A monitor, as it is written. */
struct ceph_monitor {
	char host[256];
	unsigned port; /* 0: not said, both of Ceph's own are tried */
};
bool ceph_monitor_parse(const char *text, struct ceph_monitor *ret);

#define CEPH_FUNCTIONS(X)                     \
	X(rados_create2)                      \
	X(rados_conf_set)                     \
	X(rados_connect)                      \
	X(rados_cluster_fsid)                 \
	X(rados_mon_command)                  \
	X(rados_buffer_free)                  \
	X(rados_ioctx_create)                 \
	X(rados_ioctx_set_namespace)          \
	X(rados_set_pool_full_try)            \
	X(rados_stat)                         \
	X(rados_write_full)                   \
	X(rados_remove)                       \
	X(rados_lock_exclusive)               \
	X(rados_lock_shared)                  \
	X(rados_list_lockers)                 \
	X(rados_break_lock)                   \
	X(rbd_namespace_exists)               \
	X(rbd_list2)                          \
	X(rbd_create)                         \
	X(rbd_open)                           \
	X(rbd_open_read_only)                 \
	X(rbd_close)                          \
	X(rbd_stat)                           \
	X(rbd_get_id)                         \
	X(rbd_get_features)                   \
	X(rbd_get_flags)                      \
	X(rbd_get_create_timestamp)           \
	X(rbd_get_parent)                     \
	X(rbd_linked_image_spec_cleanup)      \
	X(rbd_snap_spec_cleanup)              \
	X(rbd_list_children3)                 \
	X(rbd_linked_image_spec_list_cleanup) \
	X(rbd_diff_iterate2)                  \
	X(rbd_metadata_get)                   \
	X(rbd_metadata_set)                   \
	X(rbd_metadata_remove)                \
	X(rbd_resize)                         \
	X(rbd_rename)                         \
	X(rbd_remove)                         \
	X(rbd_clone3)                         \
	X(rbd_copy_with_progress4)            \
	X(rbd_image_options_create)           \
	X(rbd_image_options_set_uint64)       \
	X(rbd_image_options_destroy)          \
	X(rbd_snap_list)                      \
	X(rbd_snap_create)                    \
	X(rbd_snap_remove)                    \
	X(rbd_snap_rollback_with_progress)    \
	X(rbd_snap_exists)                    \
	X(rbd_snap_set)                       \
	X(rbd_snap_is_protected)              \
	X(rbd_snap_unprotect)                 \
	X(rbd_snap_get_timestamp)             \
	X(rbd_snap_get_namespace_type)        \
	X(rbd_watchers_list)                  \
	X(rbd_watchers_list_cleanup)          \
	X(rbd_lock_get_owners)                \
	X(rbd_lock_get_owners_cleanup)        \
	X(rbd_lock_break)

/* The functions of librados and librbd by their own names: ceph.rbd_open(...). Set once ceph_open() has begun. */
#define CEPH_MEMBER(name) __typeof__(&name) name;
struct ceph_functions {
	CEPH_FUNCTIONS(CEPH_MEMBER)
};
extern struct ceph_functions ceph;

struct ceph_pool {
	const struct ceph_spec *spec;
	rados_t cluster;
	rados_ioctx_t io;
	char missing[256]; /* what the cluster does not have, as a sentence: `io` is not set; empty: it is there */
	uint64_t identity; /* of the cluster */
};
/* Connects as the user with the key. The child ends by itself, with a sentence, when that and what follows take longer
 * than a number of seconds; 0: it may take as long as it takes, and single requests give up after half a minute. */
int ceph_open(const struct ceph_spec *spec, unsigned seconds, struct ceph_pool *ret);
/* Asks one of its OSDs for something. */
int ceph_ask(const struct ceph_pool *pool);
/* Bytes that the pool can hold in all and still; 0: the cluster does not say. */
void ceph_room(const struct ceph_pool *pool, uint64_t *ret_capacity, uint64_t *ret_available);
/* Of an id, as a number. */
uint64_t ceph_hash(const char *text);
/* "vms", "vms/ns": what sentences and places call it. In `buf`. */
const char *ceph_pool_name(const struct ceph_spec *spec, char buf[static 256]);
/* Reads the user's key, which points into the secret. */
int ceph_key(const struct ceph_spec *spec, struct secret *secret, const char **ret_key);
/* How QEMU is to reach an image: options of its -blockdev and --target-image-opts, up to "key-secret=". */
const char *ceph_qemu_options(struct arena *arena, const struct ceph_spec *spec, const char *image);
/* What of Ceph is missing on this host, with the package that brings it; NULL: nothing. Loads the libraries. */
const char *ceph_missing(void);

#endif
