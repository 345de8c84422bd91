/* SPDX-License-Identifier: Apache-2.0 */
/* What the choices of a bond are called, in the order of the kernel's numbers. */
#ifndef WEFT_NETD_BOND_H
#define WEFT_NETD_BOND_H

#include "netd/link.h"

extern const char *const bond_modes[7],
	*const bond_lacp_rates[2], *const bond_ad_selects[3],
					   *const bond_hash_policies[6],
						   *const bond_reselects[3], *const bond_fail_over_macs[3],
										     *const bond_validates[7],
											     *const bond_all_targets[2];
extern const struct link_kind link_bond;
extern const struct kind netd_bond_kind;

/* Takes out of a spec what its mode does not have. */
void netd_bond_forget_other_modes(json_t *spec);

enum { BOND_TARGETS_MAX = 16 }; /* the kernel keeps no more */

#endif
