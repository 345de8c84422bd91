/* SPDX-License-Identifier: Apache-2.0 */
/* A toy host for tests of the engine: a few classes that have the habits of real ones (things that vanish with what
 * they hang on, settings that are always there, files that stay, processes that cannot be brought back), a lane that
 * may fail, rivals, and a disk for the engine's records, which outlives it. */
#ifndef WEFT_TESTS_TOY_H
#define WEFT_TESTS_TOY_H

#include "core/engine.h"

enum { TOY_NAMES = 6, TOY_CLASSES = 7 };
enum {
	TOY_HELD = 99
};                      /* the model of a setting that somebody uses: its class then refuses every change, until the
			   link of that name is gone */
enum { TOY_PAIR = 10 }; /* a link of the type TOY_PAIR + I comes and goes with link nI, its other end */
enum toy_class { TOY_LINK, TOY_ADDR, TOY_SETTING, TOY_PROC, TOY_ATTACH, TOY_VOLUME, TOY_HELPER };

struct toy_spec {
	uint64_t present;
	uint32_t mtu;       /* changed live */
	uint32_t type;      /* needs re-creation */
	uint32_t size;      /* grows only */
	uint32_t model;     /* waits for a restart */
	const char *master; /* a link's master: cleared when that goes */
	bool reclaim;
};

struct toy_thing {
	bool exists;
	bool foreign; /* made by somebody else */
	bool marked;  /* carries our mark */
	bool touched; /* ours wrote to it since it was last let go */
	bool fresh;   /* made by us under a revision that is not final */
	uint64_t incarnation;
	uint64_t bound; /* TOY_ATTACH: instance of the link it hangs on */
	uint32_t mtu, type, size, model;
	char master[8];
	uint32_t before_mtu; /* as it was before we touched it */
	bool kept;           /* a volume that was let go with its bytes */
};

struct toy_host {
	struct toy_thing things[TOY_CLASSES][TOY_NAMES];
	uint64_t next_incarnation, clock_ms;
	uint64_t rng;
	unsigned fail_percent;
	bool pending;  /* is the switch under way not final: irreversible operations must not come */
	bool dies;     /* what is made is gone before anybody looks */
	bool immortal; /* what is removed is still there */
	bool deaf;     /* what is changed is still as it was */
	bool obedient; /* what is called off is */
	bool stale;    /* every change hits another instance than the one that was seen */
	size_t brings; /* nI, I not 0: this link comes with any change of a setting, without an event */
	bool strict;   /* no rivals, no failures: order is checked too */
	struct engine *engine;
	struct op **ops; /* submitted, not done */
	size_t n_ops, cap_ops;
	struct lane lane;
	unsigned long n_done, n_cancels;
};

/* What a store would keep of an engine: copies of the records that it last wrote. */
struct toy_disk {
	struct engine_record records[TOY_CLASSES * TOY_NAMES];
	size_t n;
};
void toy_disk_write(struct toy_disk *disk, const struct engine_record *records, size_t n);
const struct engine_record *toy_disk_find(const struct toy_disk *disk, const char *class,
					  const char *key); /* NULL: there is none */
void toy_disk_clear(struct toy_disk *disk);

extern const struct resource_class *const toy_classes[TOY_CLASSES];
extern bool toy_calm; /* for volumes, which may never answer: whether the host is */
void toy_init(struct toy_host *host, uint64_t seed);
/* weftd starts, and finds what is on the disk. */
struct engine *toy_start(struct toy_host *host, const struct engine_host *callbacks, const struct toy_disk *disk);
uint64_t toy_random(struct toy_host *host, uint64_t below);
/* Does one of the operations under way; the n-th of those waiting. */
void toy_do(struct toy_host *host, size_t n);
/* weftd dies: each operation under way has happened or not. */
void toy_crash(struct toy_host *host);
/* Somebody else does something; tells the engine unless the event is lost. */
void toy_rival(struct toy_host *host, bool lose_event);
/* Somebody else makes a link. */
void toy_provide(struct toy_host *host, size_t name);

#endif
