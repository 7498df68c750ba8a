/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the releases of NetBSD call differently, for the two files of the
 * shim.  A .99 kernel takes only modules of its own version, so that a
 * release that nobody compiled this for is an error and not a guess.
 */

#ifndef _PUFFS_RELEASE_H_
#define _PUFFS_RELEASE_H_

#include <sys/param.h>

#if __NetBSD_Version__ >= 1000000000	/* 10.0 and later */

/* VFS_ROOT and VFS_FHTOVP say how they want the vnode locked. */
#define	PK_VFS_LKTYPE
/* The kernel's statvfs outgrew the one of the protocol. */
#define	PK_STATVFS_CONVERTED
#define	PK_WIRE_STATVFS		struct puffs_statvfs
/* genfs asks for the range to write around a page. */
#define	PK_GOP_PUTRANGE

#define	PK_TICKS()		getticks()
#define	PK_PROC_ENTER()		mutex_enter(&proc_lock)
#define	PK_PROC_EXIT()		mutex_exit(&proc_lock)
#define	PK_VMOBJ_ENTER(vp)	rw_enter((vp)->v_uobj.vmobjlock, RW_WRITER)

#elif __NetBSD_Version__ == 899000500	/* 8.99.5 */

#define	PK_WIRE_STATVFS		struct statvfs

#define	PK_TICKS()		hardclock_ticks
#define	PK_PROC_ENTER()		mutex_enter(proc_lock)
#define	PK_PROC_EXIT()		mutex_exit(proc_lock)
#define	PK_VMOBJ_ENTER(vp)	mutex_enter((vp)->v_uobj.vmobjlock)

#else
#error "puffs-rs has not been ported to this release of NetBSD"
#endif

#define	PK_OFF_MAX		((off_t)INT64_MAX)

#endif /* _PUFFS_RELEASE_H_ */
