/* SPDX-License-Identifier: Apache-2.0 */
/* The one header a plugin sees. A plugin is a shared object in plugins/ that exports one symbol,
 *
 *     const struct weft_plugin weft_plugin = { WEFT_PLUGIN_ABI, sizeof(struct weft_plugin), "bridge", ... };
 *
 * It brings port backends: how a guest's (or a Tap's) port joins a switch of some sort. A plugin that cannot be loaded,
 * or whose ABI differs, disables only what it brings; every object that needs it says so. All functions are called on
 * the daemon's main thread, must not block, and own nothing they are given. */
#ifndef WEFT_PLUGIN_H
#define WEFT_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT_PLUGIN_ABI 1

struct lowering; /* opaque here */
struct want;

/* What the daemon offers. Structs only grow at the end; check `size` before using a later member. */
struct weft_host {
	size_t size;
	/* Wants a resource of a class by name; NULL if there is no such class. */
	struct want *(*want)(struct lowering *l, const char *class_name, const char *key);
	/* Sets a row of it from text; false and a diagnostic if the class has no such row or will not read the text. */
	bool (*want_set)(struct lowering *l, struct want *want, const char *row, const char *text);
	struct want *(*want_find)(struct lowering *l, const char *class_name, const char *key);
	void (*needs)(struct lowering *l, struct want *a, struct want *b);
	/* Refuses the object that is being lowered. */
	void (*refuse)(struct lowering *l, const char *path, const char *text);
	const char *(*fact)(struct lowering *l, const char *key);
};

/* A port that wants to join. */
struct weft_port {
	size_t size;
	const char *tap;         /* name of the link, allocated */
	const char *switch_name; /* what it joins: name of the bridge, OVS bridge or NIC */
	const char *mac;         /* MAC of the guest's side */
	const char *owner;       /* user that may open the tap */
	const char *path;        /* path in the object's document, for refusals */
	uint32_t queues;         /* 1.. */
	uint32_t mtu;            /* 0: that of the switch */
	uint32_t vlan;           /* of its frames, without a tag; 0: the switch does not tell VLANs apart */
	bool isolated;
};

struct weft_port_backend {
	const char *name; /* "bridge": what a Network's mode resolves to */
	/* Wants what the port needs and returns the resource that must be Present before the guest can use it (its
	 * tap). NULL after a refusal. */
	struct want *(*lower_port)(const struct weft_host *host, struct lowering *l, const struct weft_port *port);
};

struct weft_plugin {
	uint32_t abi;  /* WEFT_PLUGIN_ABI */
	uint32_t size; /* sizeof(struct weft_plugin) it was built with */
	const char *name;
	const struct weft_port_backend *const *port_backends;
	size_t n_port_backends;
};

#endif
