/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Kernel threads.
 */

#ifndef _PUFFS_RS_SYS_KTHREAD_H_
#define _PUFFS_RS_SYS_KTHREAD_H_

#include <sys/types.h>
#include <sys/lwp.h>

int	kthread_create(pri_t, int, struct cpu_info *, void (*)(void *), void *,
	    lwp_t **, const char *, ...) __printflike(7, 8);
void	kthread_exit(int) __dead;

#endif /* _PUFFS_RS_SYS_KTHREAD_H_ */
