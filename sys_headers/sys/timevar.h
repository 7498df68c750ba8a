/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The clock, and rate limits.
 */

#ifndef _PUFFS_RS_SYS_TIMEVAR_H_
#define _PUFFS_RS_SYS_TIMEVAR_H_

struct timespec;
struct timeval;

void	nanotime(struct timespec *);
int	ppsratecheck(struct timeval *, int *, int);

#endif /* _PUFFS_RS_SYS_TIMEVAR_H_ */
