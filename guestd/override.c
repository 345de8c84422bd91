/* SPDX-License-Identifier: Apache-2.0 */
/* Orders as text and back; see override.h. */
#include "guestd/override.h"

static const char *const names[] = {"running", "paused", "stopped"};

struct guest_order guest_order_parse(const char *text, int manifest_state)
{
	struct guest_order order = {.state = manifest_state};
	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++) {
		size_t len = strlen(names[i]);
		if (strncmp(text, names[i], len) != 0 || (text[len] && text[len] != ' '))
			continue;
		order.state = (int)i;
		if (str_starts(text + len, " serial="))
			order.serial = strtoull(text + len + strlen(" serial="), NULL, 10);
		break;
	}
	return order;
}

const char *guest_order_text(const struct guest_order *order, char buf[static ORDER_TEXT])
{
	if (order->serial)
		snprintf(buf, ORDER_TEXT, "%s serial=%llu", names[order->state], (unsigned long long)order->serial);
	else
		snprintf(buf, ORDER_TEXT, "%s", names[order->state]);
	return buf;
}
