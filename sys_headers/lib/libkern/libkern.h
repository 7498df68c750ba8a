/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel's string functions and assertions.
 */

#ifndef _PUFFS_RS_LIB_LIBKERN_LIBKERN_H_
#define _PUFFS_RS_LIB_LIBKERN_LIBKERN_H_

#include <sys/types.h>
#include <sys/stddef.h>

void	*memcpy(void *, const void *, size_t);
void	*memset(void *, int, size_t);

void	kern_assert(const char *, ...) __printflike(1, 2);

#ifdef DIAGNOSTIC
#define	KASSERT(e)							\
	(__predict_true((e)) ? (void)0 : kern_assert("%s", #e))
#else
#define	KASSERT(e)	((void)0)
#endif

#define	CTASSERT(e)	__CTASSERT(e)

#endif /* _PUFFS_RS_LIB_LIBKERN_LIBKERN_H_ */
