/* SPDX-License-Identifier: Apache-2.0 */
/* See record.h. */
#include "guestd/record.h"

#include "core/env.h"

enum { RECORD_MAX = 1 << 20 };

char *guest_path(const char *guest, const char *file)
{
	return xprintf("%s/guests/%s/%s", env.run_dir, guest, file);
}

char *guest_unit(const char *guest)
{
	return xprintf("weft-guest-%s", guest);
}

json_t *record_load(const char *guest)
{
	cleanup_free char *path = guest_path(guest, "state.json");
	cleanup_free char *text = NULL;
	size_t size = 0;
	if (file_read(path, RECORD_MAX, &text, &size) < 0)
		return NULL;
	json_t *record = json_loadb(text, size, 0, NULL);
	if (record && (!json_is_object(record) || !streq(record_text(record, "boot"), env.boot_id))) {
		json_decref(record);
		record = NULL;
	}
	return record;
}

int record_save(const char *guest, const json_t *record, struct err *err)
{
	cleanup_free char *path = guest_path(guest, "state.json");
	cleanup_free char *text = json_dumps(record, JSON_INDENT(1));
	if (!text)
		return err_set(err, EINVAL, "what is known of guest '%s' is no UTF-8", guest);
	int r = file_write_atomic(path, text, strlen(text), 0600);
	return r < 0 ? err_errno(err, -r, "write '%s'", path) : 0;
}

void record_remove(const char *guest)
{
	/* The record goes last: as long as it is there, a later weftd goes on removing. */
	static const char *const files[] = {
		"qmp.sock", "console.sock", "agent.sock", "console.log", "qemu.log", "state.json", ""};
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path = guest_path(guest, files[i]);
		if (*files[i])
			unlink(path);
		else
			rmdir(path);
	}
}

struct process_id record_process(const json_t *record)
{
	return (struct process_id){
		.pid = (int)json_integer_value(json_object_get(record, "pid")),
		.start = (uint64_t)json_integer_value(json_object_get(record, "start")),
	};
}

const char *record_text(const json_t *record, const char *key)
{
	return json_string_value(json_object_get(record, key));
}

size_t record_tap_fds(const json_t *record, const char *tap, int *fds, size_t max)
{
	const json_t *list = json_object_get(json_object_get(record, "taps"), tap);
	size_t n = json_array_size(list);
	if (n > max)
		n = max;
	for (size_t i = 0; i < n; i++)
		fds[i] = (int)json_integer_value(json_array_get(list, i));
	return n;
}
