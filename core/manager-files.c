/* SPDX-License-Identifier: Apache-2.0 */
/* The set `system`: the files of /etc/weft, applied with prune at boot and reload, object by object. A file with errors
 * keeps its last content. */
#include "core/manager-internal.h"

#include <dirent.h>

#include "core/env.h"
#include "core/event.h"

enum { MAX_FILE_BYTES = 10 * 1024 * 1024, MAX_FILES = 1024 };

static int is_manifest(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && ((len > 5 && streq(entry->d_name + len - 5, ".yaml")) ||
					   (len > 4 && streq(entry->d_name + len - 4, ".yml")));
}

/* A file whose text cannot be read as manifests does not take part; what it last held stays. */
static bool is_readable(const struct source *source)
{
	cleanup_arena struct arena *arena = arena_new();
	struct diags diags = {.arena = arena};
	size_t n = 0;
	struct node **docs = yaml_parse(source, arena, &diags, &n);
	for (size_t i = 0; i < n; i++)
		object_decode(docs[i], arena, &diags);
	if (!diags.n_total)
		return true;
	diags_sort(&diags);
	cleanup_free char *rendered = diags_render(&diags, false);
	event_text("Refused", NULL, true, "%s keeps its last content:\n%s", source->name, rendered);
	return false;
}

/* The last content of a file, out of the stored objects that came from it. */
static void restore_last(struct manager *m, struct job *job, struct source *source)
{
	json_t **docs = NULL;
	size_t n = 0, cap = 0;
	for (size_t i = 0; i < m->final->n_objects; i++) {
		const struct object *o = m->final->objects[i];
		if (!streq(o->set, "system") || !streq(o->file, source->name))
			continue;
		grow(docs, n, cap);
		docs[n++] = object_to_json(o, EMIT_SECRETS);
	}
	cleanup_free char *text = yaml_from_json((const json_t *const *)docs, n);
	source->text = arena_strdup(job->arena, text);
	source->size = strlen(text);
	for (size_t i = 0; i < n; i++)
		json_decref(docs[i]);
	free(docs);
}

static bool load_file(struct manager *m, struct job *job, const char *name, struct source *source)
{
	source->name = arena_printf(job->arena, "%s/%s", env.etc_dir, name);
	cleanup_free char *text = NULL;
	int r = file_read(source->name, MAX_FILE_BYTES, &text, &source->size);
	if (r < 0) {
		event_text("Refused", NULL, true, "%s cannot be read and keeps its last content: %s", source->name,
			   strerror(-r));
	} else {
		source->text = arena_strndup(job->arena, text, source->size);
		if (is_readable(source))
			return true;
	}
	restore_last(m, job, source);
	return source->size > 0;
}

void files_load(struct manager *m)
{
	struct dirent **entries = NULL;
	int n = scandir(env.etc_dir, &entries, is_manifest, alphasort);
	if (n < 0 && errno != ENOENT) { /* not the same as empty: that would take everything away */
		event_text("Refused", NULL, true, "%s cannot be read, and what its files held stays: %s", env.etc_dir,
			   strerror(errno));
		return;
	}
	if (n > MAX_FILES) {
		event_text("Refused", NULL, true,
			   "%s has more than %d files, so none is read; put several objects in one", env.etc_dir,
			   MAX_FILES);
		for (int i = 0; i < n; i++)
			free(entries[i]);
		free(entries);
		return;
	}
	bool had = false;
	for (size_t i = 0; i < m->final->n_objects; i++)
		had |= streq(m->final->objects[i]->set, "system");
	if (n <= 0 && !had) {
		free(entries);
		return;
	}
	struct job *job = job_new(JOB_FILES, NULL, NULL);
	job->set = "system";
	job->prune = true;
	job->who = "weftd";
	job->what = arena_printf(job->arena, "the files of %s", env.etc_dir);
	job->sources = arena_alloc(job->arena, ((size_t)(n > 0 ? n : 0) + 1) * sizeof(*job->sources));
	for (int i = 0; i < n; i++) {
		if (load_file(m, job, entries[i]->d_name, &job->sources[job->n_sources]))
			job->n_sources++;
		free(entries[i]);
	}
	free(entries);
	job_submit(m, job);
}

bool files_owns(struct manager *m, const struct object *object)
{
	return streq(object->set, "system") && object->file && access(object->file, F_OK) == 0;
}
