/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What the releases of NetBSD call differently, for the files of the
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
#define	PK_VMOBJ_EXIT(vp)	rw_exit((vp)->v_uobj.vmobjlock)
/* The lock of the pages and the interlock, where they are not the same. */
#define	PK_VNODE_ENTER(vp)						\
	(PK_VMOBJ_ENTER(vp), mutex_enter((vp)->v_interlock))
#define	PK_VNODE_EXIT(vp)						\
	(mutex_exit((vp)->v_interlock), PK_VMOBJ_EXIT(vp))
#define	PK_UBC_FLAGS(vp)	UBC_VNODE_FLAGS(vp)

/* Nobody looks further into a path than at one component. */
#define	PK_CN_CONSUME(cnp, len)	((void)(cnp), (void)(len))

/* accmode_t has grown beyond the bits of the protocol: rwx of mode(2). */
#define	PK_ACCESS_MODE(ap)						\
	((((ap)->a_accmode & VREAD) ? 04 : 0) |				\
	 (((ap)->a_accmode & VWRITE) ? 02 : 0) |			\
	 (((ap)->a_accmode & VEXEC) ? 01 : 0))

#define	vop_remove_args		vop_remove_v3_args

/* Entries of the tables of vnode operations. */
#define	PK_ACCESSX_ENTRIES	{ &vop_accessx_desc, genfs_accessx },
#define	PK_PARSEPATH_ENTRIES	{ &vop_parsepath_desc, genfs_parsepath },
#define	PK_SPECOP_ENTRIES	GENFS_SPECOP_ENTRIES
#define	PK_FIFOOP_ENTRIES	GENFS_FIFOOP_ENTRIES

#elif __NetBSD_Version__ == 899000500	/* 8.99.5 */

#define	PK_WIRE_STATVFS		struct statvfs

#define	PK_TICKS()		hardclock_ticks
#define	PK_PROC_ENTER()		mutex_enter(proc_lock)
#define	PK_PROC_EXIT()		mutex_exit(proc_lock)
#define	PK_VMOBJ_ENTER(vp)	mutex_enter((vp)->v_uobj.vmobjlock)
#define	PK_VMOBJ_EXIT(vp)	mutex_exit((vp)->v_uobj.vmobjlock)
#define	PK_VNODE_ENTER(vp)	mutex_enter((vp)->v_interlock)
#define	PK_VNODE_EXIT(vp)	mutex_exit((vp)->v_interlock)
#define	PK_UBC_FLAGS(vp)	UBC_UNMAP_FLAG(vp)

#define	PK_CN_CONSUME(cnp, len)	((void)((cnp)->cn_consume = (len)))

#define	PK_ACCESS_MODE(ap)	((ap)->a_mode & (VREAD | VWRITE | VEXEC))

#define	vop_remove_args		vop_remove_v2_args

/* Entries of the tables of vnode operations. */
#define	PK_ACCESSX_ENTRIES
#define	PK_PARSEPATH_ENTRIES
#define	PK_SPECOP_ENTRIES						\
	{ &vop_lookup_desc, spec_lookup },				\
	{ &vop_open_desc, spec_open },					\
	{ &vop_ioctl_desc, spec_ioctl },				\
	{ &vop_poll_desc, spec_poll },					\
	{ &vop_kqfilter_desc, spec_kqfilter },				\
	{ &vop_revoke_desc, genfs_revoke },				\
	{ &vop_mmap_desc, spec_mmap },					\
	{ &vop_seek_desc, spec_seek },					\
	{ &vop_fallocate_desc, genfs_eopnotsupp },			\
	{ &vop_fdiscard_desc, spec_fdiscard },				\
	{ &vop_bmap_desc, spec_bmap },					\
	{ &vop_strategy_desc, spec_strategy },				\
	{ &vop_pathconf_desc, spec_pathconf },				\
	{ &vop_advlock_desc, spec_advlock },				\
	{ &vop_getpages_desc, genfs_getpages },				\
	{ &vop_putpages_desc, genfs_putpages },				\
	{ &vop_create_desc, genfs_badop },				\
	{ &vop_mknod_desc, genfs_badop },				\
	{ &vop_remove_desc, genfs_badop },				\
	{ &vop_link_desc, genfs_badop },				\
	{ &vop_rename_desc, genfs_badop },				\
	{ &vop_mkdir_desc, genfs_badop },				\
	{ &vop_rmdir_desc, genfs_badop },				\
	{ &vop_symlink_desc, genfs_badop },				\
	{ &vop_readdir_desc, genfs_badop },				\
	{ &vop_readlink_desc, genfs_badop },				\
	{ &vop_abortop_desc, genfs_badop }
#define	PK_FIFOOP_ENTRIES						\
	{ &vop_lookup_desc, vn_fifo_bypass },				\
	{ &vop_create_desc, vn_fifo_bypass },				\
	{ &vop_mknod_desc, vn_fifo_bypass },				\
	{ &vop_open_desc, vn_fifo_bypass },				\
	{ &vop_fallocate_desc, vn_fifo_bypass },			\
	{ &vop_fdiscard_desc, vn_fifo_bypass },				\
	{ &vop_ioctl_desc, vn_fifo_bypass },				\
	{ &vop_poll_desc, vn_fifo_bypass },				\
	{ &vop_kqfilter_desc, vn_fifo_bypass },				\
	{ &vop_revoke_desc, vn_fifo_bypass },				\
	{ &vop_mmap_desc, vn_fifo_bypass },				\
	{ &vop_seek_desc, vn_fifo_bypass },				\
	{ &vop_remove_desc, vn_fifo_bypass },				\
	{ &vop_link_desc, vn_fifo_bypass },				\
	{ &vop_rename_desc, vn_fifo_bypass },				\
	{ &vop_mkdir_desc, vn_fifo_bypass },				\
	{ &vop_rmdir_desc, vn_fifo_bypass },				\
	{ &vop_symlink_desc, vn_fifo_bypass },				\
	{ &vop_readdir_desc, vn_fifo_bypass },				\
	{ &vop_readlink_desc, vn_fifo_bypass },				\
	{ &vop_abortop_desc, vn_fifo_bypass },				\
	{ &vop_bmap_desc, vn_fifo_bypass },				\
	{ &vop_pathconf_desc, vn_fifo_bypass },				\
	{ &vop_advlock_desc, vn_fifo_bypass },				\
	{ &vop_putpages_desc, vn_fifo_bypass }

#else
#error "puffs-rs has not been ported to this release of NetBSD"
#endif

#define	PK_OFF_MAX		((off_t)INT64_MAX)

#endif /* _PUFFS_RELEASE_H_ */
