/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What kernel code has without asking.
 */

#ifndef _PUFFS_RS_SYS_SYSTM_H_
#define _PUFFS_RS_SYS_SYSTM_H_

#include <sys/types.h>
#include <sys/param.h>
#include <sys/stdarg.h>

#include <lib/libkern/libkern.h>

struct lwp;

typedef int (*copyin_t)(const void *, void *, size_t);
typedef int (*copyout_t)(const void *, void *, size_t);

int	enosys(void);
int	eopnotsupp(void);

/* Functions here: how a module's are made of the lock is the kernel's. */
void	KERNEL_LOCK(int, struct lwp *);
void	KERNEL_UNLOCK_ONE(struct lwp *);

void	panic(const char *, ...) __dead __printflike(1, 2);
int	printf(const char *, ...) __printflike(1, 2);

int	uiomove(void *, size_t, struct uio *);

#endif /* _PUFFS_RS_SYS_SYSTM_H_ */
