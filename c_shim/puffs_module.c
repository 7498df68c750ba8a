/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The module: what the kernel finds when it loads puffs, that is the module
 * structure and the table of file system operations.  The operations are
 * Rust's (src/entry.rs).
 */

#include <sys/cdefs.h>

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/errno.h>
#include <sys/module.h>
#include <sys/mount.h>
#include <sys/sysctl.h>
#include <sys/vnode.h>

#include <dev/putter/putter_sys.h>

#include <miscfs/genfs/genfs.h>

#include <fs/puffs/puffs_msgif.h>

#include "puffs_kern.h"
#include "puffs_release.h"
#include "puffs_rs.h"
#include "puffs_vnops.h"

MODULE(MODULE_CLASS_VFS, puffs, "putter");

#ifdef PK_VFS_LKTYPE
/*
 * Rust's operations return the vnode locked exclusively.  A root that is
 * wanted unlocked must not wait for that lock: its holder may be waiting for
 * a server that is looking up a path through this very mount.
 */
static void
puffs_module_relock(struct vnode *vp, int lktype)
{

	if (lktype == LK_NONE)
		VOP_UNLOCK(vp);
	else if ((lktype & LK_SHARED) != 0)
		(void)vn_lock(vp, LK_DOWNGRADE);
}

static int
puffs_module_root(struct mount *mp, int lktype, struct vnode **vpp)
{
	int error;

	if (lktype == LK_NONE)
		return puffs_rs_root_unlocked(mp, vpp);
	error = puffs_vfsop_root(mp, vpp);
	if (error == 0)
		puffs_module_relock(*vpp, lktype);
	return error;
}

static int
puffs_module_fhtovp(struct mount *mp, struct fid *fhp, int lktype,
    struct vnode **vpp)
{
	int error;

	error = puffs_vfsop_fhtovp(mp, fhp, vpp);
	if (error == 0)
		puffs_module_relock(*vpp, lktype);
	return error;
}
#else
#define	puffs_module_root	puffs_vfsop_root
#define	puffs_module_fhtovp	puffs_vfsop_fhtovp
#endif

static const struct vnodeopv_desc * const puffs_vnodeopv_descs[] = {
	&pk_vnodeop_opv_desc,
	&pk_specop_opv_desc,
	&pk_fifoop_opv_desc,
	NULL,
};

static struct vfsops puffs_vfsops = {
	.vfs_name = MOUNT_PUFFS,
	.vfs_min_mount_data = sizeof(struct puffs_kargs),
	.vfs_mount = puffs_vfsop_mount,
	.vfs_start = puffs_vfsop_start,
	.vfs_unmount = puffs_vfsop_unmount,
	.vfs_root = puffs_module_root,
	.vfs_quotactl = (void *)eopnotsupp,
	.vfs_statvfs = puffs_vfsop_statvfs,
	.vfs_sync = puffs_vfsop_sync,
	.vfs_vget = (void *)eopnotsupp,
	.vfs_loadvnode = puffs_vfsop_loadvnode,
	.vfs_fhtovp = puffs_module_fhtovp,
	.vfs_vptofh = puffs_vfsop_vptofh,
	.vfs_init = puffs_vfsop_init,
	.vfs_done = puffs_vfsop_done,
	.vfs_snapshot = puffs_vfsop_snapshot,
	.vfs_extattrctl = puffs_vfsop_extattrctl,
	.vfs_suspendctl = genfs_suspendctl,
	.vfs_renamelock_enter = genfs_renamelock_enter,
	.vfs_renamelock_exit = genfs_renamelock_exit,
	.vfs_fsync = (void *)eopnotsupp,
	.vfs_opv_descs = puffs_vnodeopv_descs,
};

static long puffs_queuelimit;
static struct sysctllog *puffs_sysctllog;

long
pk_queue_limit(void)
{

	return puffs_queuelimit;
}

/*
 * vfs.puffs.queuelimit.  Where it cannot be made, sysctl(9) says so, and
 * there is no limit.
 */
static void
puffs_module_sysctl(void)
{
	const struct sysctlnode *node;

	if (sysctl_createv(&puffs_sysctllog, 0, NULL, &node,
	    0, CTLTYPE_NODE, "puffs",
	    SYSCTL_DESCR("File systems whose servers are processes"),
	    NULL, 0, NULL, 0, CTL_VFS, CTL_CREATE, CTL_EOL) != 0)
		return;
	(void)sysctl_createv(&puffs_sysctllog, 0, &node, NULL,
	    CTLFLAG_READWRITE, CTLTYPE_LONG, "queuelimit",
	    SYSCTL_DESCR("Bytes that nobody waits for a mount may have under "
	    "way to its server; 0: any number"),
	    NULL, 0, &puffs_queuelimit, 0, CTL_CREATE, CTL_EOL);
}

static int
puffs_modcmd(modcmd_t cmd, void *arg)
{
	int error;

	switch (cmd) {
	case MODULE_CMD_INIT:
		error = vfs_attach(&puffs_vfsops);
		if (error == 0)
			puffs_module_sysctl();
		return error;
	case MODULE_CMD_FINI:
		/* A process may be in the midst of reading a request. */
		error = puffs_rs_quiesce();
		if (error == 0)
			error = vfs_detach(&puffs_vfsops);
		if (error == 0)
			sysctl_teardown(&puffs_sysctllog);
		return error;
	default:
		return ENOTTY;
	}
}
