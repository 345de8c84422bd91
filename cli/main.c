/* SPDX-License-Identifier: Apache-2.0 */
/* weft, the command line of weftd. Its verbs are in verbs.c, a file each. */
#include <locale.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
	struct cli cli = {0};
	setlocale(LC_CTYPE, "");
	int status = cli_parse(&cli, argc, argv);
	if (status == CLI_DONE && cli.verb)
		status = cli_run(&cli);
	cli_clear(&cli);
	return status;
}
