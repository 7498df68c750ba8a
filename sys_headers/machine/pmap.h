/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The physical maps.  What aarch64 installs wants headers that it does not
 * install; all that the others want of it is in a struct vm_page.
 */

#ifndef _PUFFS_RS_MACHINE_PMAP_H_
#define _PUFFS_RS_MACHINE_PMAP_H_

#ifdef __aarch64__
#include <unknown.h>

struct vm_page_md {
	char mdpg_unknown[UNKNOWN_SIZE];
};
#else
#include_next <machine/pmap.h>
#endif

#endif /* _PUFFS_RS_MACHINE_PMAP_H_ */
