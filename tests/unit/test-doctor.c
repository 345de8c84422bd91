/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor's findings are made of: versions out of what programs print, modules out of the kernel's lists, probes
 * that hang, areas side by side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>

#include "core/doctor.h"

static void test_versions(void **state)
{
	static const struct {
		const char *text, *version;
	} cases[] = {
		{"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)\nCopyright", "7.2.22"},
		{"Dnsmasq version 2.90  Copyright (c) 2000-2024", "2.90"},
		{"iptables v1.8.9 (nf_tables)", "1.8.9"},
		{"ip utility, iproute2-6.1.0, libbpf 1.1.0", "6.1.0"},
		{"qemu-img version 10.0.", "10.0"},
		{"x86 only, page 2.", NULL},
		{"abc1.2", NULL},
		{"", NULL},
		{"111111111111111111111111111111111111111111111111111111111111111111111.1 1.2", "1.2"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char version[64] = "";
		bool found = doctor_version(cases[i].text, version);
		assert_int_equal(found, cases[i].version != NULL);
		if (found)
			assert_string_equal(version, cases[i].version);
	}
}

static void put(const char *directory, const char *name, const char *text)
{
	cleanup_free char *path = xprintf("%s/%s", directory, name);
	assert_int_equal(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static void test_modules(void **state)
{
	char directory[] = "/tmp/weft-test-doctor.XXXXXX";
	assert_non_null(mkdtemp(directory));
	put(directory, "modules.builtin", "kernel/drivers/weft-test-builtin.ko\n");
	put(directory, "modules.dep",
	    "kernel/net/weft_test_loadable.ko.xz: "
	    "kernel/net/weft-test-other.ko.xz\nkernel/net/weft-test-other.ko.xz:\n");
	assert_int_equal(doctor_module_state("weft_test_builtin", directory), MODULE_BUILTIN);
	assert_int_equal(doctor_module_state("weft_test_loadable", directory), MODULE_LOADABLE);
	assert_int_equal(doctor_module_state("weft_test_other", directory), MODULE_LOADABLE);
	assert_int_equal(doctor_module_state("weft_test", directory), MODULE_MISSING);
	assert_int_equal(doctor_module_state("test_other", directory), MODULE_MISSING);
	cleanup_free char *builtin = xprintf("%s/modules.builtin", directory),
			  *dep = xprintf("%s/modules.dep", directory);
	unlink(builtin);
	unlink(dep);
	rmdir(directory);
}

static int answer(const void *ctx)
{
	return *(const int *)ctx;
}

static int hang(const void *ctx)
{
	pause();
	return 0;
}

static void test_probes_end(void **state)
{
	char *out = NULL;
	int seven = 7;
	assert_int_equal(doctor_try(answer, &seven), 7);
	assert_int_equal(doctor_run((const char *const[]){"/bin/echo", "hello", NULL}, &out), 0);
	assert_string_equal(out, "hello\n");
	free(out);
	assert_int_equal(doctor_run((const char *const[]){"/nowhere/at/all", NULL}, &out), 127);
	free(out);
	/* More than anybody reads, and for ever. */
	uint64_t begun = now_ms();
	assert_int_equal(doctor_run((const char *const[]){"/usr/bin/yes", NULL}, &out), -ETIMEDOUT);
	assert_int_equal(strlen(out), 4096);
	free(out);
	assert_true(now_ms() - begun < 8000);
	assert_int_equal(doctor_try(hang, NULL), -ETIMEDOUT);
	assert_true(now_ms() - begun < 16000);
}

static json_t *said(const char *text, const char *remedy)
{
	char *line = NULL;
	size_t size = 0;
	struct doctor d = {.out = open_memstream(&line, &size), .area = "network"};
	doctor_find(&d, FINDING_WARN, "a name", remedy, "%s", text);
	fclose(d.out);
	assert_int_equal(line[size - 1], '\n');
	assert_ptr_equal(strchr(line, '\n'), line + size - 1);
	json_t *finding = json_loads(line, 0, NULL);
	free(line);
	return finding;
}

static void test_findings_are_lines(void **state)
{
	json_t *finding = said("two\nlines \"and\" quotes", "do this");
	assert_string_equal(json_string_value(json_object_get(finding, "text")), "two\nlines \"and\" quotes");
	assert_string_equal(json_string_value(json_object_get(finding, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(finding, "area")), "network");
	assert_string_equal(json_string_value(json_object_get(finding, "remedy")), "do this");
	json_decref(finding);
	finding = said("no \xff text", NULL);
	assert_non_null(json_object_get(finding, "text"));
	assert_null(json_object_get(finding, "remedy"));
	json_decref(finding);
}

/* ---- areas ---- */

static void find_late(struct doctor *d)
{
	d->area = "late";
	usleep(100 * 1000);
	doctor_find(d, FINDING_OK, "it", NULL, "was found");
}

static void die(struct doctor *d)
{
	d->area = "dead";
	doctor_find(d, FINDING_OK, "it", NULL, "was found");
	raise(SIGKILL);
}

static void find_at_once(struct doctor *d)
{
	d->area = "prompt";
	doctor_find(d, FINDING_OK, "it", NULL, "was found");
}

static void test_areas_are_said_in_their_order(void **state)
{
	static doctor_area_fn *const areas[] = {find_late, die, find_at_once};
	FILE *out = tmpfile();
	doctor_look(out, areas, ARRAY_SIZE(areas));
	rewind(out);
	char line[256];
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		static const char *const names[] = {"late", "dead", "prompt"};
		assert_non_null(fgets(line, sizeof(line), out));
		json_t *finding = json_loads(line, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(finding, "area")), names[i]);
		json_decref(finding);
	}
	assert_null(fgets(line, sizeof(line), out));
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_probes_end),
		cmocka_unit_test(test_findings_are_lines),
		cmocka_unit_test(test_areas_are_said_in_their_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
