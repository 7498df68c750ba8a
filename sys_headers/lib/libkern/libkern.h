/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel's string functions and assertions.
 */

#ifndef _PUFFS_RS_LIB_LIBKERN_LIBKERN_H_
#define _PUFFS_RS_LIB_LIBKERN_LIBKERN_H_

#include <sys/types.h>

#ifndef offsetof			/* <sys/stddef.h>, since 11 */
#define	offsetof(type, member)	__builtin_offsetof(type, member)
#endif

void	*memcpy(void *, const void *, size_t);
void	*memset(void *, int, size_t);

/* -ffreestanding makes them strangers to the compiler. */
#define	memcpy(d, s, len)	__builtin_memcpy(d, s, len)
#define	memset(d, c, len)	__builtin_memset(d, c, len)
#define	ffs(x)			__builtin_ffs(x)

void	kern_assert(const char *, ...) __printflike(1, 2);

#ifdef DIAGNOSTIC
#define	KASSERT(e)							\
	(__predict_true((e)) ? (void)0 : kern_assert("assertion \"%s\" "	\
	    "failed: file \"%s\", line %d", #e, __FILE__, __LINE__))
#define	KASSERTMSG(e, ...)						\
	(__predict_true((e)) ? (void)0 : kern_assert(__VA_ARGS__))
#else
#define	KASSERT(e)		((void)0)
#define	KASSERTMSG(e, ...)	((void)0)
#endif
#define	KDASSERT(e)	((void)0)

#define	CTASSERT(e)	__CTASSERT(e)

#endif /* _PUFFS_RS_LIB_LIBKERN_LIBKERN_H_ */
