/* SPDX-License-Identifier: Apache-2.0 */
/* Placeholder until the first file of this directory lands. */
extern int weft_stord_placeholder;
int weft_stord_placeholder;
