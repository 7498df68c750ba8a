/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Kernel history, which nothing here writes.
 */

#ifndef _PUFFS_RS_SYS_KERNHIST_H_
#define _PUFFS_RS_SYS_KERNHIST_H_

#define	KERNHIST_DECL(name)	extern int name

#endif /* _PUFFS_RS_SYS_KERNHIST_H_ */
