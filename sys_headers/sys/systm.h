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

/* A module takes the lock whether or not the kernel has one. */
void	_kernel_lock(int);
void	_kernel_unlock(int, int *);

#ifndef COMPARE
#define	KERNEL_LOCK(count, lwp)		_kernel_lock(count)
#define	KERNEL_UNLOCK_ONE(lwp)		_kernel_unlock(1, NULL)
#endif

bool	kpreempt_disabled(void);

void	panic(const char *, ...) __dead __printflike(1, 2);
void	printf(const char *, ...) __printflike(1, 2);

int	uiomove(void *, size_t, struct uio *);

#endif /* _PUFFS_RS_SYS_SYSTM_H_ */
