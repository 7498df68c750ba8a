/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A source of entropy: until 10, struct uvm_cpu had one.
 */

#ifndef _PUFFS_RS_SYS_RNDSOURCE_H_
#define _PUFFS_RS_SYS_RNDSOURCE_H_

#include <unknown.h>

typedef struct krndsource {
	char rs_unknown[UNKNOWN_SIZE];
} krndsource_t;

#endif /* _PUFFS_RS_SYS_RNDSOURCE_H_ */
