/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Instructions as functions: those of the simple locks.
 */

#ifndef _PUFFS_RS_MACHINE_CPUFUNC_H_
#define _PUFFS_RS_MACHINE_CPUFUNC_H_

void	x86_pause(void);

#endif /* _PUFFS_RS_MACHINE_CPUFUNC_H_ */
