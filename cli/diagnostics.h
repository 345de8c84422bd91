/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics as the daemon renders them, coloured here, where it is known whether the terminal shows colours. */
#ifndef WEFT_CLI_DIAGNOSTICS_H
#define WEFT_CLI_DIAGNOSTICS_H

#include "cli/terminal.h"

/* On stderr. NULL prints nothing. */
void diagnostics_print(const char *rendered);

#endif
