/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Kernel variables.
 */

#ifndef _PUFFS_RS_SYS_KERNEL_H_
#define _PUFFS_RS_SYS_KERNEL_H_

extern int hz;
extern int hardclock_ticks;		/* until 9 */

int	getticks(void);			/* since */

#endif /* _PUFFS_RS_SYS_KERNEL_H_ */
