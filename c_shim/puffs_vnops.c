/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The vnode operations.  The kernel passes the arguments of each in a
 * structure of its own; every function here takes one apart and calls its
 * counterpart in Rust (src/entry/vnops.rs).
 */

#include <sys/cdefs.h>

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/mount.h>
#include <sys/vnode.h>

#include <miscfs/fifofs/fifo.h>
#include <miscfs/genfs/genfs.h>
#include <miscfs/specfs/specdev.h>

#include <uvm/uvm_extern.h>

#include <fs/puffs/puffs_msgif.h>

#include "puffs_kern.h"
#include "puffs_release.h"
#include "puffs_rs.h"
#include "puffs_vnops.h"

CTASSERT(sizeof(register_t) == sizeof(ptrdiff_t));

/*
 * Names.
 */

static int
puffs_vnop_lookup(void *v)
{
	struct vop_lookup_v2_args *ap = v;

	return puffs_rs_lookup(ap->a_dvp, ap->a_vpp, ap->a_cnp);
}

static int
puffs_vnop_create(void *v)
{
	struct vop_create_v3_args *ap = v;

	return puffs_rs_create(ap->a_dvp, ap->a_vpp, ap->a_cnp, ap->a_vap);
}

static int
puffs_vnop_mknod(void *v)
{
	struct vop_mknod_v3_args *ap = v;

	return puffs_rs_mknod(ap->a_dvp, ap->a_vpp, ap->a_cnp, ap->a_vap);
}

static int
puffs_vnop_mkdir(void *v)
{
	struct vop_mkdir_v3_args *ap = v;

	return puffs_rs_mkdir(ap->a_dvp, ap->a_vpp, ap->a_cnp, ap->a_vap);
}

static int
puffs_vnop_symlink(void *v)
{
	struct vop_symlink_v3_args *ap = v;

	return puffs_rs_symlink(ap->a_dvp, ap->a_vpp, ap->a_cnp, ap->a_vap,
	    ap->a_target);
}

static int
puffs_vnop_remove(void *v)
{
	struct vop_remove_args *ap = v;

	return puffs_rs_remove(ap->a_dvp, ap->a_vp, ap->a_cnp);
}

static int
puffs_vnop_rmdir(void *v)
{
	struct vop_rmdir_v2_args *ap = v;

	return puffs_rs_rmdir(ap->a_dvp, ap->a_vp, ap->a_cnp);
}

static int
puffs_vnop_link(void *v)
{
	struct vop_link_v2_args *ap = v;

	return puffs_rs_link(ap->a_dvp, ap->a_vp, ap->a_cnp);
}

static int
puffs_vnop_rename(void *v)
{
	struct vop_rename_args *ap = v;

	return puffs_rs_rename(ap->a_fdvp, ap->a_fvp, ap->a_fcnp, ap->a_tdvp,
	    ap->a_tvp, ap->a_tcnp);
}

static int
puffs_vnop_abortop(void *v)
{
	struct vop_abortop_args *ap = v;

	return puffs_rs_abortop(ap->a_dvp, ap->a_cnp);
}

static int
puffs_vnop_readdir(void *v)
{
	struct vop_readdir_args *ap = v;

	return puffs_rs_readdir(ap->a_vp, ap->a_uio, ap->a_cred, ap->a_eofflag,
	    ap->a_cookies, ap->a_ncookies);
}

static int
puffs_vnop_readlink(void *v)
{
	struct vop_readlink_args *ap = v;

	return puffs_rs_readlink(ap->a_vp, ap->a_uio, ap->a_cred);
}

/*
 * Files.
 */

static int
puffs_vnop_open(void *v)
{
	struct vop_open_args *ap = v;

	return puffs_rs_open(ap->a_vp, ap->a_mode, ap->a_cred);
}

static int
puffs_vnop_close(void *v)
{
	struct vop_close_args *ap = v;

	return puffs_rs_close(ap->a_vp, ap->a_fflag, ap->a_cred);
}

static int
puffs_vnop_access(void *v)
{
	struct vop_access_args *ap = v;

	return puffs_rs_access(ap->a_vp, PK_ACCESS_MODE(ap), ap->a_cred);
}

static int
puffs_vnop_getattr(void *v)
{
	struct vop_getattr_args *ap = v;

	return puffs_rs_getattr(ap->a_vp, ap->a_vap, ap->a_cred);
}

static int
puffs_vnop_setattr(void *v)
{
	struct vop_setattr_args *ap = v;

	return puffs_rs_setattr(ap->a_vp, ap->a_vap, ap->a_cred);
}

static int
puffs_vnop_read(void *v)
{
	struct vop_read_args *ap = v;

	return puffs_rs_read(ap->a_vp, ap->a_uio, ap->a_ioflag, ap->a_cred);
}

static int
puffs_vnop_write(void *v)
{
	struct vop_write_args *ap = v;

	return puffs_rs_write(ap->a_vp, ap->a_uio, ap->a_ioflag, ap->a_cred);
}

static int
puffs_vnop_fallocate(void *v)
{
	struct vop_fallocate_args *ap = v;

	return puffs_rs_fallocate(ap->a_vp, ap->a_pos, ap->a_len);
}

static int
puffs_vnop_fdiscard(void *v)
{
	struct vop_fdiscard_args *ap = v;

	return puffs_rs_fdiscard(ap->a_vp, ap->a_pos, ap->a_len);
}

static int
puffs_vnop_fsync(void *v)
{
	struct vop_fsync_args *ap = v;

	return puffs_rs_fsync(ap->a_vp, ap->a_cred, ap->a_flags, ap->a_offlo,
	    ap->a_offhi);
}

static int
puffs_vnop_seek(void *v)
{
	struct vop_seek_args *ap = v;

	return puffs_rs_seek(ap->a_vp, ap->a_oldoff, ap->a_newoff, ap->a_cred);
}

static int
puffs_vnop_mmap(void *v)
{
	struct vop_mmap_args *ap = v;

	return puffs_rs_mmap(ap->a_vp, ap->a_prot, ap->a_cred);
}

static int
puffs_vnop_poll(void *v)
{
	struct vop_poll_args *ap = v;

	/* The events that are there, and no errno. */
	return puffs_rs_poll(ap->a_vp, ap->a_events);
}

static int
puffs_vnop_pathconf(void *v)
{
	struct vop_pathconf_args *ap = v;

	/* A register_t is unsigned on some ports. */
	return puffs_rs_pathconf(ap->a_vp, ap->a_name,
	    (ptrdiff_t *)ap->a_retval);
}

static int
puffs_vnop_advlock(void *v)
{
	struct vop_advlock_args *ap = v;

	return puffs_rs_advlock(ap->a_vp, ap->a_id, ap->a_op, ap->a_fl,
	    ap->a_flags, v);
}

/*
 * Extended attributes.
 */

static int
puffs_vnop_getextattr(void *v)
{
	struct vop_getextattr_args *ap = v;

	return puffs_rs_getextattr(ap->a_vp, ap->a_attrnamespace, ap->a_name,
	    ap->a_uio, ap->a_size, ap->a_cred);
}

static int
puffs_vnop_setextattr(void *v)
{
	struct vop_setextattr_args *ap = v;

	return puffs_rs_setextattr(ap->a_vp, ap->a_attrnamespace, ap->a_name,
	    ap->a_uio, ap->a_cred);
}

static int
puffs_vnop_listextattr(void *v)
{
	struct vop_listextattr_args *ap = v;

	return puffs_rs_listextattr(ap->a_vp, ap->a_attrnamespace, ap->a_uio,
	    ap->a_size, ap->a_flag, ap->a_cred);
}

static int
puffs_vnop_deleteextattr(void *v)
{
	struct vop_deleteextattr_args *ap = v;

	return puffs_rs_deleteextattr(ap->a_vp, ap->a_attrnamespace,
	    ap->a_name, ap->a_cred);
}

/*
 * Pages.
 */

static int
puffs_vnop_getpages(void *v)
{
	struct vop_getpages_args *ap = v;

	return puffs_rs_getpages(ap->a_vp, ap->a_offset,
	    (ap->a_flags & PGO_LOCKED) != 0, v);
}

static int
puffs_vnop_putpages(void *v)
{
	struct vop_putpages_args *ap = v;

	if ((ap->a_flags & PGO_RECLAIM) != 0) {
		PK_VMOBJ_EXIT(ap->a_vp);
		puffs_rs_forsake(ap->a_vp);
		PK_VMOBJ_ENTER(ap->a_vp);
	}
	return genfs_putpages(v);
}

static int
puffs_vnop_strategy(void *v)
{
	struct vop_strategy_args *ap = v;

	return puffs_rs_strategy(ap->a_vp, ap->a_bp);
}

static int
puffs_vnop_bmap(void *v)
{
	struct vop_bmap_args *ap = v;

	/* Only the server knows blocks: map them one to one. */
	if (ap->a_vpp != NULL)
		*ap->a_vpp = ap->a_vp;
	if (ap->a_bnp != NULL)
		*ap->a_bnp = ap->a_bn;
	if (ap->a_runp != NULL)
		*ap->a_runp = (puffs_rs_move_max(ap->a_vp) >> DEV_BSHIFT) - 1;
	return 0;
}

/*
 * Vnodes.
 */

static int
puffs_vnop_inactive(void *v)
{
	struct vop_inactive_v2_args *ap = v;

	return puffs_rs_inactive(ap->a_vp, ap->a_recycle);
}

static int
puffs_vnop_reclaim(void *v)
{
	struct vop_reclaim_v2_args *ap = v;

	return puffs_rs_reclaim(ap->a_vp);
}

static int
puffs_vnop_print(void *v)
{
	struct vop_print_args *ap = v;

	printf("tag VT_PUFFS, vnode %p, puffs node %p", ap->a_vp,
	    ap->a_vp->v_data);
	if (ap->a_vp->v_type == VFIFO)
		VOCALL(fifo_vnodeop_p, VOFFSET(vop_print), v);
	printf("\n");
	return puffs_rs_print(ap->a_vp);
}

/*
 * Devices and fifos: the kernel's own code does the work, and the times of
 * the file are noted.
 */

static int
puffs_vnop_spec_read(void *v)
{
	struct vop_read_args *ap = v;

	puffs_rs_markupdate(ap->a_vp, true, false);
	return VOCALL(spec_vnodeop_p, VOFFSET(vop_read), v);
}

static int
puffs_vnop_spec_write(void *v)
{
	struct vop_write_args *ap = v;

	puffs_rs_markupdate(ap->a_vp, false, true);
	return VOCALL(spec_vnodeop_p, VOFFSET(vop_write), v);
}

static int
puffs_vnop_fifo_read(void *v)
{
	struct vop_read_args *ap = v;

	puffs_rs_markupdate(ap->a_vp, true, false);
	return VOCALL(fifo_vnodeop_p, VOFFSET(vop_read), v);
}

static int
puffs_vnop_fifo_write(void *v)
{
	struct vop_write_args *ap = v;

	puffs_rs_markupdate(ap->a_vp, false, true);
	return VOCALL(fifo_vnodeop_p, VOFFSET(vop_write), v);
}

/*
 * The tables.
 */

#define	OP(op, fn)	{ &vop_##op##_desc, (fn) }

/* What every vnode of ours does alike. */
#define	PUFFS_NODE_ENTRIES						\
	OP(default, vn_default_error),					\
	PK_ACCESSX_ENTRIES						\
	OP(access, puffs_vnop_access),					\
	OP(getattr, puffs_vnop_getattr),				\
	OP(setattr, puffs_vnop_setattr),				\
	OP(getextattr, puffs_vnop_getextattr),				\
	OP(setextattr, puffs_vnop_setextattr),				\
	OP(listextattr, puffs_vnop_listextattr),			\
	OP(deleteextattr, puffs_vnop_deleteextattr),			\
	OP(inactive, puffs_vnop_inactive),				\
	OP(reclaim, puffs_vnop_reclaim),				\
	OP(lock, genfs_lock),						\
	OP(unlock, genfs_unlock),					\
	OP(islocked, genfs_islocked),					\
	OP(print, puffs_vnop_print)

int (**pk_vnodeop_p)(void *);
static const struct vnodeopv_entry_desc pk_vnodeop_entries[] = {
	PUFFS_NODE_ENTRIES,
	PK_PARSEPATH_ENTRIES
	OP(lookup, puffs_vnop_lookup),
	OP(create, puffs_vnop_create),
	OP(mknod, puffs_vnop_mknod),
	OP(mkdir, puffs_vnop_mkdir),
	OP(symlink, puffs_vnop_symlink),
	OP(remove, puffs_vnop_remove),
	OP(rmdir, puffs_vnop_rmdir),
	OP(link, puffs_vnop_link),
	OP(rename, puffs_vnop_rename),
	OP(abortop, puffs_vnop_abortop),
	OP(readdir, puffs_vnop_readdir),
	OP(readlink, puffs_vnop_readlink),
	OP(open, puffs_vnop_open),
	OP(close, puffs_vnop_close),
	OP(read, puffs_vnop_read),
	OP(write, puffs_vnop_write),
	OP(fallocate, puffs_vnop_fallocate),
	OP(fdiscard, puffs_vnop_fdiscard),
	OP(fsync, puffs_vnop_fsync),
	OP(seek, puffs_vnop_seek),
	OP(mmap, puffs_vnop_mmap),
	OP(poll, puffs_vnop_poll),
	OP(kqfilter, genfs_eopnotsupp),
	OP(pathconf, puffs_vnop_pathconf),
	OP(advlock, puffs_vnop_advlock),
	OP(revoke, genfs_revoke),
	OP(getpages, puffs_vnop_getpages),
	OP(putpages, puffs_vnop_putpages),
	OP(strategy, puffs_vnop_strategy),
	OP(bmap, puffs_vnop_bmap),
	OP(bwrite, genfs_nullop),
	{ NULL, NULL }
};
const struct vnodeopv_desc pk_vnodeop_opv_desc =
	{ &pk_vnodeop_p, pk_vnodeop_entries };

int (**pk_specop_p)(void *);
static const struct vnodeopv_entry_desc pk_specop_entries[] = {
	PUFFS_NODE_ENTRIES,
	PK_SPECOP_ENTRIES,
	OP(close, spec_close),
	OP(read, puffs_vnop_spec_read),
	OP(write, puffs_vnop_spec_write),
	OP(fcntl, genfs_fcntl),
	OP(fsync, spec_fsync),
	OP(bwrite, vn_bwrite),
	{ NULL, NULL }
};
const struct vnodeopv_desc pk_specop_opv_desc =
	{ &pk_specop_p, pk_specop_entries };

int (**pk_fifoop_p)(void *);
static const struct vnodeopv_entry_desc pk_fifoop_entries[] = {
	PUFFS_NODE_ENTRIES,
	PK_FIFOOP_ENTRIES,
	OP(close, vn_fifo_bypass),
	OP(read, puffs_vnop_fifo_read),
	OP(write, puffs_vnop_fifo_write),
	OP(fcntl, genfs_fcntl),
	OP(fsync, vn_fifo_bypass),
	OP(strategy, vn_fifo_bypass),
	OP(bwrite, vn_bwrite),
	{ NULL, NULL }
};
const struct vnodeopv_desc pk_fifoop_opv_desc =
	{ &pk_fifoop_p, pk_fifoop_entries };
