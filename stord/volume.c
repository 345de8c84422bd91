/* SPDX-License-Identifier: Apache-2.0 */
/* Resource volume/POOL/NAME: an image file. Its mark says whose it is, so an image that was detached is taken up again,
 * and any other file under the name is left alone. It grows and never shrinks; it is deleted only if its spec says
 * reclaim: delete. */
#include "core/env.h"
#include "core/lane-async.h"
#include "stord/stord.h"
#include "stord/volume.h"

const char *const reclaims[2] = {"keep", "delete"};

static const struct field volume_rows[] = {
	F_PATH("file", struct volume_state, file, .flags = FIELD_REFUSE, .doc = "The image, absolute.",
	       .example = "/var/lib/weft/images/web.qcow2"),
	F_ENUM("format", struct volume_state, format, image_formats, .flags = FIELD_REFUSE,
	       .doc = "How the bytes are laid out."),
	F_SIZE("size", struct volume_state, size, .flags = FIELD_GROWS | FIELD_IRREVERSIBLE,
	       .doc = "Size of the disk that the guest sees."),
	F_ENUM("preallocation", struct volume_state, preallocation, image_preallocations, .flags = FIELD_WEAK,
	       .doc = "What is allocated beforehand."),
	F_ENUM("reclaim", struct volume_state, reclaim, reclaims, .flags = FIELD_WEAK,
	       .doc = "What becomes of the bytes when nobody wants it any more."),
	F_PATH("source", struct volume_state, source, .flags = FIELD_WEAK, .doc = "The image it begins as a copy of."),
	F_STRING("sourceSha256", struct volume_state, source_sha256, .flags = FIELD_WEAK,
		 .doc = "What the source must be."),
	F_ENUM("sourceFormat", struct volume_state, source_format, image_formats, .flags = FIELD_WEAK,
	       .doc = "How the source is laid out."),
	F_SIZE("allocated", struct volume_state, allocated, .flags = FIELD_STATUS,
	       .doc = "What it takes up in the pool."),
	F_STRING("backing", struct volume_state, backing, .flags = FIELD_STATUS, .doc = "The image it is based on."),
};
static const struct table volume_table = TABLE("volume", struct volume_state, volume_rows);
enum { ROW_FILE = 1 << 0, ROW_FORMAT = 1 << 1, ROW_SIZE = 1 << 2, ROW_ALLOCATED = 1 << 8, ROW_BACKING = 1 << 9 };

enum { LOOK_MS = 20 * 1000, CHANGE_MS = 290 * 1000, COPY_MS = 3590 * 1000, LANE_MS = 3600 * 1000 };

/* Runs in the child; `image` points into it. */
struct volume_input {
	struct image image;
	bool grow;
	char path[4096], source[4096], sha256[65], mark[IMAGE_MARK_MAX], instance[17];
};

static int reply(const struct image *image, int out_fd)
{
	struct image_state state;
	int code = image_look(image, &state);
	if (code)
		return code;
	return write(out_fd, &state, sizeof(state)) == (ssize_t)sizeof(state) ? 0 : EIO;
}

static int do_observe(void *ctx, int out_fd)
{
	struct volume_input *input = ctx;
	return reply(&input->image, out_fd);
}

static int do_create(void *ctx, int out_fd)
{
	struct volume_input *input = ctx;
	int code = image_make(&input->image);
	return code ? code : reply(&input->image, out_fd);
}

static int do_update(void *ctx, int out_fd)
{
	struct volume_input *input = ctx;
	int code = image_change(&input->image, input->grow);
	return code ? code : reply(&input->image, out_fd);
}

static int do_remove(void *ctx, int out_fd)
{
	struct volume_input *input = ctx;
	int code = image_delete(&input->image);
	return code ? code : reply(&input->image, out_fd);
}

static const struct volume_state *spec_of(const struct op *op)
{
	return op->want ? op->want : op->was ? op->was : op->seen;
}

/* An image is its Volume's own, or, if nobody wants it any more, some Volume's of this instance. */
static enum owner owner_of(const struct op *op, const struct image_state *state)
{
	if (!state->regular)
		return OWNER_FOREIGN;
	cleanup_free char *ours = xprintf("weft:%s:", env.instance);
	bool same = op->mark ? streq(state->mark, op->mark) : str_starts(state->mark, ours);
	return same ? OWNER_OURS : OWNER_FOREIGN;
}

static void describe(struct op *op, const struct image_state *state)
{
	const struct volume_state *spec = spec_of(op);
	struct volume_state *seen = observation_begin(&op->obs, op->class, state->exists);
	struct arena *arena = op->obs.arena;
	op->obs.owner = owner_of(op, state);
	op->obs.incarnation = state->stamp.inode;
	seen->present = ROW_FILE | ROW_FORMAT | ROW_ALLOCATED | (state->readable ? ROW_SIZE : 0);
	seen->file = arena_strdup(arena, spec->file);
	seen->format = spec->format;
	seen->size = state->size;
	seen->allocated = state->allocated;
	if (state->stamp.backing[0]) {
		seen->present |= ROW_BACKING;
		seen->backing = arena_strdup(arena, state->stamp.backing);
		op->obs.health = arena_printf(arena,
					      "image '%s' is based on '%s', which weft does not look after: flatten it "
					      "with qemu-img rebase -b ''",
					      spec->file, seen->backing);
	}
	if (op->obs.owner == OWNER_FOREIGN && state->mark[0])
		op->obs.note = arena_printf(arena, "'%s' belongs to %s", spec->file, state->mark);
	else if (state->readable && spec->size && state->size > spec->size)
		op->obs.note =
			arena_printf(arena, "is larger than the manifest says (%llu bytes); a volume never shrinks",
				     (unsigned long long)state->size);
}

static void finish(struct task *task, const void *data, size_t size)
{
	struct op *op = task->op;
	const struct image_state *state = data;
	if (size != sizeof(*state)) {
		op_fail(op, EPROTO, "volume %s was not told whole", op->key);
		return;
	}
	memory_put_image(spec_of(op)->file, state);
	describe(op, state);
	if (state->exists && op->obs.owner == OWNER_OURS && !state->readable && op->want) {
		op_fail(op, EINVAL,
			"'%s' is not a whole %s image (%s); bring it back from a backup, or remove it and apply the "
			"Volume again after deleting it",
			spec_of(op)->file, image_formats[spec_of(op)->format], state->problem);
		return;
	}
	op_complete(op);
}

static struct volume_input *input_of(const struct op *op, const struct volume_state *spec)
{
	struct volume_input *input = xcalloc(1, sizeof(*input));
	snprintf(input->path, sizeof(input->path), "%s", spec->file);
	snprintf(input->mark, sizeof(input->mark), "%s", op->mark ? op->mark : "");
	snprintf(input->source, sizeof(input->source), "%s", spec->source ? spec->source : "");
	snprintf(input->sha256, sizeof(input->sha256), "%s", spec->source_sha256 ? spec->source_sha256 : "");
	memcpy(input->instance, env.instance, sizeof(input->instance));
	char *slash = strrchr(input->path, '/');
	*slash = '\0';
	input->grow = op->verb == OP_UPDATE && (op->rows & ROW_SIZE);
	input->image = (struct image){
		.dir = input->path[0] ? input->path : "/",
		.file = slash + 1,
		.format = (enum image_format)spec->format,
		.preallocation = (enum image_preallocation)spec->preallocation,
		.size = spec->size,
		.source = spec->source ? input->source : NULL,
		.source_sha256 = input->sha256,
		.source_format = (enum image_format)spec->source_format,
		.mark = input->mark,
		.instance = input->instance,
		.known = memory_image(spec->file),
	};
	return input;
}

static void start(struct op *op, int (*work)(void *, int))
{
	const struct volume_state *spec = spec_of(op);
	if (!spec || !spec->file) { /* nobody knows where it was: there is nothing of it to see */
		observation_begin(&op->obs, op->class, false);
		op_complete(op);
		return;
	}
	bool copies = op->verb == OP_CREATE && spec->source;
	task_start((struct task){.op = op, .input = input_of(op, spec), .finish = finish}, work,
		   op->verb == OP_OBSERVE ? LOOK_MS
		   : copies               ? COPY_MS
					  : CHANGE_MS);
}

static void volume_observe(struct op *op)
{
	start(op, do_observe);
}

static void volume_create(struct op *op)
{
	start(op, do_create);
}

static void volume_update(struct op *op)
{
	start(op, do_update);
}

static void volume_remove(struct op *op)
{
	start(op, do_remove);
}

/* A few at once in each pool, so that a thousand are not made one by one, and none waits for another pool. */
static const char *volume_slot(const struct op *op)
{
	static char slot[128];
	unsigned sum = 0;
	for (const char *p = op->key; *p; p++)
		sum = sum * 31 + (unsigned char)*p;
	snprintf(slot, sizeof(slot), "%.*s#%u", (int)strcspn(op->key, "/"), op->key, sum % 4);
	return slot;
}

static bool volume_disposable(const void *spec)
{
	return ((const struct volume_state *)spec)->reclaim == RECLAIM_DELETE;
}

static const struct async_verbs volume_verbs = {
	.observe = volume_observe,
	.create = volume_create,
	.update = volume_update,
	.remove = volume_remove,
	.slot = volume_slot,
	.cancel = task_cancel,
	.deadline_ms = LANE_MS,
};

const struct resource_class stord_volume_class = {
	.name = "volume",
	.doc = "An image in a pool.",
	.table = &volume_table,
	.lane = "storage",
	.verbs = &volume_verbs,
	.flags = CLASS_PERSISTENT | CLASS_KEEP | CLASS_REMOVE_IRREVERSIBLE | CLASS_PRECIOUS,
	.disposable = volume_disposable,
};
