/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. */
#include "daemon/options.h"

#include <getopt.h>

enum { ROOT, DOCTOR, IMPORT, FAULT, VERSION, HELP, N_OPTIONS };

const struct daemon_option daemon_options[] = {
	[ROOT] = {"root", "DIR",
		  "Keep everything under DIR (DIR/run, DIR/lib, DIR/etc) instead of /run/weft, /var/lib/weft and "
		  "/etc/weft; many weftd can run "
		  "side by side so"},
	[DOCTOR] = {"doctor", NULL,
		    "Look at this host, print what was found as JSON lines, and end; 'weft doctor' shows it"},
	[IMPORT] =
		{"import", NULL,
		 "Look at this host's links, print as JSON what manifests they would be, and end; 'weft import host' "
		 "shows it"},
	[FAULT] = {"fault", "SPEC", "For tests: stop:N, fail:N[:ERRNO] or delay:N:MS before the N-th operation"},
	[VERSION] = {"version", NULL, "Say which version this is"},
	[HELP] = {"help", NULL, "Say how it is used"},
};
const size_t daemon_n_options = ARRAY_SIZE(daemon_options);

/* A doc in lines that fit, under its option. */
static void print_doc(const char *doc)
{
	enum { INDENT = 18, WIDTH = 82 };
	while (*doc) {
		size_t cut = strlen(doc);
		if (cut > WIDTH) {
			for (cut = WIDTH; cut > 0 && doc[cut] != ' '; cut--)
				;
		}
		printf("%.*s\n%*s", (int)cut, doc, doc[cut] ? INDENT : 0, "");
		doc += cut + strspn(doc + cut, " ");
	}
}

static void print_help(void)
{
	fputs("usage: weftd [OPTION...]\n\n"
	      "Makes this host's networks, storage and guests what their manifests say, and keeps them so.\n\n",
	      stdout);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct daemon_option *row = &daemon_options[i];
		cleanup_free char *spelling =
			xprintf("--%s%s%s", row->name, row->argument ? " " : "", row->argument ? row->argument : "");
		printf("  %-16s", spelling);
		print_doc(row->doc);
	}
}

static int take(int option, struct daemon_settings *ret)
{
	switch (option) {
	case ROOT:
		ret->root = optarg;
		return 0;
	case DOCTOR:
		ret->doctor = true;
		return 0;
	case IMPORT:
		ret->import = true;
		return 0;
	case FAULT:
		ret->fault = optarg;
		return 0;
	case VERSION:
		puts("weftd " WEFT_VERSION);
		return 1;
	case HELP:
		print_help();
		return 1;
	}
	return -EINVAL;
}

int daemon_options_read(int argc, char **argv, struct daemon_settings *ret)
{
	struct option known[N_OPTIONS + 1] = {0};
	for (int i = 0; i < N_OPTIONS; i++)
		known[i] = (struct option){daemon_options[i].name,
					   daemon_options[i].argument ? required_argument : no_argument, NULL, i};
	int r = 0;
	for (int c; r == 0 && (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
		r = take(c, ret);
	if (r == 0 && optind < argc) {
		fprintf(stderr, "weftd: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	return r;
}
