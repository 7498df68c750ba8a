/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel services of puffs_kern.h, for NetBSD and for rump kernels.
 *
 * Every function here turns one request of the Rust core into one use of
 * the kernel and decides nothing itself.  This is the only place, with
 * puffs_module.c and puffs_vnops.c, that knows a kernel structure, and the
 * only one that knows in what the releases differ.
 */

#include <sys/cdefs.h>

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/buf.h>
#include <sys/condvar.h>
#include <sys/errno.h>
#include <sys/fcntl.h>
#include <sys/kauth.h>
#include <sys/kernel.h>
#include <sys/kmem.h>
#include <sys/kthread.h>
#include <sys/lockf.h>
#include <sys/malloc.h>
#include <sys/mount.h>
#include <sys/mutex.h>
#include <sys/namei.h>
#include <sys/poll.h>
#include <sys/pool.h>
#include <sys/proc.h>
#include <sys/select.h>
#include <sys/signalvar.h>
#include <sys/time.h>
#include <sys/vnode.h>

#include <uvm/uvm.h>

#include <dev/putter/putter_sys.h>

#include <miscfs/genfs/genfs.h>
#include <miscfs/genfs/genfs_node.h>
#include <miscfs/specfs/specdev.h>

#include <fs/puffs/puffs_msgif.h>

#include "puffs_kern.h"
#include "puffs_release.h"
#include "puffs_rs.h"
#include "puffs_vnops.h"

/* No more than this many lines a second reach the console. */
#define	PK_LOG_PPS	5

#define	MTX(m)		((kmutex_t *)(m))
#define	CV(cv)		((kcondvar_t *)(cv))
#define	POOL(pc)	((pool_cache_t)(pc))

/* A core that could wait for its own pages would never get any. */
#define	KASSERT_MAYSLEEP(cansleep)					\
	KASSERT(!(cansleep) || curlwp != uvm.pagedaemon_lwp)

/*
 * What the two languages assume of each other's storage.
 */
CTASSERT(sizeof(kcondvar_t) <= sizeof(struct pk_cv));
CTASSERT(__alignof(kcondvar_t) <= __alignof(struct pk_cv));
CTASSERT(sizeof(sigset_t) == sizeof(struct pk_sigset));
CTASSERT(__alignof(sigset_t) <= __alignof(struct pk_sigset));
CTASSERT(sizeof(intptr_t) == sizeof(ssize_t));
CTASSERT(sizeof(pid_t) == sizeof(int32_t));
CTASSERT(sizeof(lwpid_t) == sizeof(int32_t));
CTASSERT(sizeof(dev_t) == sizeof(uint64_t));
CTASSERT(sizeof(off_t) == sizeof(int64_t));
CTASSERT(sizeof(voff_t) == sizeof(int64_t));
CTASSERT(sizeof(puffs_cookie_t) == sizeof(void *));
CTASSERT(sizeof(enum vtype) == sizeof(uint32_t));

/*
 * Values that cross as numbers, and those of the wire that come from kernel
 * headers instead of the protocol's own.
 */
CTASSERT(PK_MNT_FORCE == MNT_FORCE);
CTASSERT(PK_MNT_WAIT == MNT_WAIT);
CTASSERT(PK_MNT_LAZY == MNT_LAZY);
CTASSERT(PK_MNT_RDONLY == MNT_RDONLY);
CTASSERT(PK_MNT_RELATIME == MNT_RELATIME);
CTASSERT(PK_MNT_NOATIME == MNT_NOATIME);
CTASSERT(PK_FREAD == FREAD);
CTASSERT(PK_FWRITE == FWRITE);
CTASSERT(PK_IO_APPEND == IO_APPEND);
CTASSERT(PK_IO_SYNC == IO_SYNC);
CTASSERT(PK_IO_ADV_MASK == IO_ADV_MASK && IO_ADV_SHIFT == 0);
CTASSERT(PK_FSYNC_WAIT == FSYNC_WAIT);
CTASSERT(PK_F_GETLK == F_GETLK);
CTASSERT(PK_MSG_MAXSIZE == (PUFFS_MSG_MAXSIZE));
CTASSERT(PK_MSGSTRUCT_MAX == PUFFS_MSGSTRUCT_MAX);
CTASSERT(PK_FHANDLE_SIZE_MAX == FHANDLE_SIZE_MAX);
CTASSERT(PK_POLL_ALWAYS == (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM));
CTASSERT(PK_POLLERR == POLLERR);
CTASSERT(PK_POLLHUP == POLLHUP);
CTASSERT(PK_ELAST <= ELAST);
CTASSERT(VNON == 0 && VREG == 1 && VDIR == 2 && VBLK == 3 && VCHR == 4 &&
    VLNK == 5 && VSOCK == 6 && VFIFO == 7 && VBAD == 8);
CTASSERT(PUFFSVERSION == 30);
/* The numbers of stat(2) that mean "not set" are all bits set. */
CTASSERT((voff_t)VNOVAL == VSIZENOTSET);

/*
 * A node: the kernel's part, and the core's behind it.  genfs wants its own
 * first.
 */
struct pk_node {
	struct genfs_node	n_genfs;
	struct selinfo		n_sel;		/* pollers */
	struct lockf		*n_lockf;	/* byte range locks */
	uint64_t		n_rs[];
};
CTASSERT(offsetof(struct pk_node, n_genfs) == 0);

#define	NODE(rs)	((struct pk_node *)((char *)(rs) -		\
			    offsetof(struct pk_node, n_rs)))

static struct pool pk_node_pool;

#ifdef PUFFSDEBUG
int puffsdebug;
#endif

static struct putter_ops puffs_putter = {
	.pop_getout = puffs_msgif_getout,
	.pop_releaseout = puffs_msgif_releaseout,
	.pop_waitcount = puffs_msgif_waitcount,
	.pop_dispatch = puffs_msgif_dispatch,
	.pop_close = puffs_msgif_close,
};

/* Where a file ends that is to be so long: there, in no whole blocks. */
static void
pk_gop_size(struct vnode *vp, off_t size, off_t *eobp, int flags)
{

	*eobp = size;
}

static void
pk_gop_markupdate(struct vnode *vp, int flags)
{

	puffs_rs_markupdate(vp, (flags & GOP_UPDATE_ACCESSED) != 0,
	    (flags & GOP_UPDATE_MODIFIED) != 0);
}

static const struct genfs_ops puffs_genfsops = {
	.gop_size = pk_gop_size,
	.gop_write = genfs_gop_write,
	.gop_markupdate = pk_gop_markupdate,
#ifdef PK_GOP_PUTRANGE
	.gop_putrange = genfs_gop_putrange,
#endif
};

/*
 * Memory.
 */

void *
pk_alloc(size_t size, bool cansleep)
{

	KASSERT(size != 0);
	KASSERT_MAYSLEEP(cansleep);
	return kmem_alloc(size, cansleep ? KM_SLEEP : KM_NOSLEEP);
}

void *
pk_zalloc(size_t size, bool cansleep)
{

	KASSERT(size != 0);
	KASSERT_MAYSLEEP(cansleep);
	return kmem_zalloc(size, cansleep ? KM_SLEEP : KM_NOSLEEP);
}

void
pk_free(void *p, size_t size)
{

	kmem_free(p, size);
}

size_t
pk_page_size(void)
{

	return PAGE_SIZE;
}

struct pk_pool *
pk_pool_create(size_t size, const char *name,
    int (*ctor)(void *, void *, int), void (*dtor)(void *, void *))
{

	return (struct pk_pool *)pool_cache_init(size, 0, 0, 0, name, NULL,
	    IPL_NONE, ctor, dtor, NULL);
}

void
pk_pool_destroy(struct pk_pool *pc)
{

	pool_cache_destroy(POOL(pc));
}

void *
pk_pool_get(struct pk_pool *pc, bool cansleep)
{

	KASSERT_MAYSLEEP(cansleep);
	return pool_cache_get(POOL(pc), cansleep ? PR_WAITOK : PR_NOWAIT);
}

void
pk_pool_put(struct pk_pool *pc, void *obj)
{

	pool_cache_put(POOL(pc), obj);
}

/*
 * Locks.
 */

struct pk_mutex *
pk_mutex_create(void)
{

	return (struct pk_mutex *)mutex_obj_alloc(MUTEX_DEFAULT, IPL_NONE);
}

void
pk_mutex_destroy(struct pk_mutex *m)
{

	mutex_obj_free(MTX(m));
}

void
pk_mutex_enter(struct pk_mutex *m)
{

	mutex_enter(MTX(m));
}

bool
pk_mutex_tryenter(struct pk_mutex *m)
{

	return mutex_tryenter(MTX(m)) != 0;
}

void
pk_mutex_exit(struct pk_mutex *m)
{

	mutex_exit(MTX(m));
}

void
pk_cv_init(struct pk_cv *cv, const char *wmesg)
{

	cv_init(CV(cv), wmesg);
}

void
pk_cv_destroy(struct pk_cv *cv)
{

	cv_destroy(CV(cv));
}

void
pk_cv_wait(struct pk_cv *cv, struct pk_mutex *m)
{

	cv_wait(CV(cv), MTX(m));
}

int
pk_cv_wait_sig(struct pk_cv *cv, struct pk_mutex *m)
{

	return cv_wait_sig(CV(cv), MTX(m));
}

int
pk_cv_timedwait(struct pk_cv *cv, struct pk_mutex *m, int timo)
{

	return cv_timedwait(CV(cv), MTX(m), timo);
}

void
pk_cv_signal(struct pk_cv *cv)
{

	cv_signal(CV(cv));
}

void
pk_cv_broadcast(struct pk_cv *cv)
{

	cv_broadcast(CV(cv));
}

/*
 * The kernel lock, threads and time.
 */

void
pk_kernel_lock(void)
{

	KERNEL_LOCK(1, NULL);
}

void
pk_kernel_unlock(void)
{

	KERNEL_UNLOCK_ONE(NULL);
}

int
pk_thread_create(void (*fn)(void *), void *arg, const char *name)
{

	return kthread_create(PRI_NONE, 0, NULL, fn, arg, NULL, "%s", name);
}

void
pk_thread_exit(void)
{

	kthread_exit(0);
}

int
pk_ticks(void)
{

	return PK_TICKS();
}

int
pk_hz(void)
{

	return hz;
}

void
pk_pause(int ticks)
{

	(void)kpause("puffsgo", false, ticks, NULL);
}

void
pk_nanotime(struct pk_timespec *ts)
{
	struct timespec now;

	nanotime(&now);
	ts->ts_sec = now.tv_sec;
	ts->ts_nsec = now.tv_nsec;
}

/*
 * The calling lwp.
 */

void
pk_curlwp_ids(int32_t *pidp, int32_t *lidp)
{

	*pidp = curproc->p_pid;
	*lidp = curlwp->l_lid;
}

bool
pk_process_exists(int32_t pid)
{
	bool exists;

	PK_PROC_ENTER();
	exists = proc_find(pid) != NULL;
	PK_PROC_EXIT();
	return exists;
}

bool
pk_curlwp_is_pagedaemon(void)
{

	return curlwp == uvm.pagedaemon_lwp;
}

/* The signals that may end a request: those of an interruptible nfs mount. */
static void
pk_sig_important(sigset_t *ss)
{

	sigemptyset(ss);
	sigaddset(ss, SIGINT);
	sigaddset(ss, SIGTERM);
	sigaddset(ss, SIGKILL);
	sigaddset(ss, SIGHUP);
	sigaddset(ss, SIGQUIT);
}

bool
pk_sig_pending(void)
{
	struct lwp *l = curlwp;
	struct proc *p = l->l_proc;
	sigset_t unwanted, pending, important;

	/*
	 * Unlocked, so that the usual case costs no lock.  A signal that is
	 * missed here ends the wait instead.
	 */
	if (sigispending(l, 0) == 0)
		return false;

	/* Rump kernels keep the mask elsewhere: ask, do not look. */
	mutex_enter(p->p_lock);
	(void)sigprocmask1(l, SIG_BLOCK, NULL, &unwanted);
	mutex_exit(p->p_lock);

	sigpending1(l, &pending);
	sigminusset(&unwanted, &pending);

	pk_sig_important(&important);
	__sigandset(&important, &pending);
	return firstsig(&pending) != 0;
}

void
pk_sig_block(struct pk_sigset *oss)
{
	struct lwp *l = curlwp;
	struct proc *p = l->l_proc;
	sigset_t ss, important, old;

	pk_sig_important(&important);
	sigfillset(&ss);
	sigminusset(&important, &ss);

	mutex_enter(p->p_lock);
	(void)sigprocmask1(l, SIG_BLOCK, &ss, &old);
	mutex_exit(p->p_lock);

	memcpy(oss, &old, sizeof(old));
}

void
pk_sig_restore(const struct pk_sigset *oss)
{
	struct lwp *l = curlwp;
	struct proc *p = l->l_proc;
	sigset_t old;

	memcpy(&old, oss, sizeof(old));

	mutex_enter(p->p_lock);
	(void)sigprocmask1(l, SIG_SETMASK, &old, NULL);
	mutex_exit(p->p_lock);
}

/*
 * The console.
 */

void
pk_log(const char *msg, size_t len)
{
	static struct timeval lasttime;
	static int curpps;

	if (ppsratecheck(&lasttime, &curpps, PK_LOG_PPS))
		printf("puffs: %.*s\n", (int)len, msg);
}

int
pk_debug_level(void)
{

#ifdef PUFFSDEBUG
	return puffsdebug;
#else
	return 0;
#endif
}

void
pk_debug(const char *line, size_t len)
{

	printf("puffs: %.*s\n", (int)len, line);
}

void
pk_panic(const char *msg, size_t len)
{

	panic("puffs: %.*s", (int)len, msg);
}

/*
 * The putter device.
 */

struct putter_instance *
pk_putter_attach(int32_t pid, int fd, void *ctx)
{

	return putter_attach(pid, fd, ctx, &puffs_putter);
}

void
pk_putter_detach(struct putter_instance *pi)
{

	putter_detach(pi);
}

void
pk_putter_notify(struct putter_instance *pi)
{

	putter_notify(pi);
}

/*
 * Mounts.
 */

void
pk_mount_ref(struct mount *mp)
{

	vfs_ref(mp);
}

void
pk_mount_rele(struct mount *mp)
{

	vfs_rele(mp);
}

int
pk_mount_enter(struct mount *mp)
{

	return vfs_trybusy(mp);
}

void
pk_mount_leave(struct mount *mp)
{

	vfs_unbusy(mp);
}

int
pk_mount_unmount(struct mount *mp)
{

	return dounmount(mp, MNT_FORCE, curlwp);
}

void *
pk_mount_data(struct mount *mp)
{

	return mp->mnt_data;
}

void
pk_mount_clear_data(struct mount *mp)
{

	mp->mnt_data = NULL;
}

uint32_t
pk_mount_flags(struct mount *mp)
{

	return mp->mnt_flag;
}

uint64_t
pk_mount_fsid(struct mount *mp)
{

	return mp->mnt_stat.f_fsidx.__fsid_val[0];
}

bool
pk_mount_is_getargs(struct mount *mp)
{

	return (mp->mnt_flag & MNT_GETARGS) != 0;
}

bool
pk_mount_is_update(struct mount *mp)
{

	return (mp->mnt_flag & MNT_UPDATE) != 0;
}

int
pk_mount_set_statvfs(struct mount *mp, const char *path, const char *from,
    const char *fstype, void *wire)
{
	const PK_WIRE_STATVFS *sb = wire;
	int error;

	error = set_statvfs_info(path, UIO_USERSPACE, from, UIO_SYSSPACE,
	    fstype, mp, curlwp);
	if (error)
		return error;
	mp->mnt_stat.f_iosize = DEV_BSIZE;
	mp->mnt_stat.f_namemax = sb->f_namemax;

	/*
	 * mount(2) asks for the numbers before the server, which made that
	 * call, can answer: have what it sent along in place by then.
	 */
	pk_mount_copy_statvfs(mp, wire);
	pk_statvfs_from_wire(&mp->mnt_stat, wire);
	return 0;
}

void
pk_mount_known_statvfs(struct mount *mp, void *sb)
{

	copy_statvfs_info(sb, mp);
}

void
pk_mount_commit(struct mount *mp, void *data)
{

	mp->mnt_fs_bshift = DEV_BSHIFT;
	mp->mnt_dev_bshift = DEV_BSHIFT;
	/* Only the server knows where the data are. */
	mp->mnt_flag &= ~MNT_LOCAL;
	mp->mnt_iflag |= IMNT_MPSAFE;
	mp->mnt_data = data;
	vfs_getnewfsid(mp);
}

#ifdef PK_STATVFS_CONVERTED
void
pk_mount_copy_statvfs(struct mount *mp, void *wire)
{
	struct statvfs *sb;

	sb = STATVFSBUF_GET();
	puffs_statvfs_to_statvfs(wire, sb);
	sb->f_iosize = DEV_BSIZE;
	copy_statvfs_info(sb, mp);
	statvfs_to_puffs_statvfs(sb, wire);
	STATVFSBUF_PUT(sb);
}

void
pk_statvfs_from_wire(void *sb, const void *wire)
{

	puffs_statvfs_to_statvfs(wire, sb);
}
#else
void
pk_mount_copy_statvfs(struct mount *mp, void *wire)
{
	struct statvfs *sb = wire;

	sb->f_iosize = DEV_BSIZE;
	copy_statvfs_info(sb, mp);
}

void
pk_statvfs_from_wire(void *sb, const void *wire)
{

	memcpy(sb, wire, sizeof(struct statvfs));
}
#endif

int
pk_mount_vflush(struct mount *mp, bool force)
{

	return vflush(mp, NULLVP, force ? FORCECLOSE : 0);
}

/*
 * Vnodes.
 */

int
pk_vnode_get(struct mount *mp, void *ck, struct vnode **vpp)
{

	return vcache_get(mp, &ck, sizeof(ck), vpp);
}

void
pk_vnode_ref(struct vnode *vp)
{

	vref(vp);
}

void
pk_vnode_rele(struct vnode *vp)
{

	vrele(vp);
}

int
pk_vnode_lock(struct vnode *vp)
{

	return vn_lock(vp, LK_EXCLUSIVE);
}

int
pk_vnode_trylock(struct vnode *vp)
{

	return vn_lock(vp, LK_EXCLUSIVE | LK_NOWAIT);
}

void
pk_vnode_lock_retry(struct vnode *vp)
{

	(void)vn_lock(vp, LK_EXCLUSIVE | LK_RETRY);
}

void
pk_vnode_unlock(struct vnode *vp)
{

	(void)VOP_UNLOCK(vp);
}

struct pk_mutex *
pk_vnode_interlock(struct vnode *vp)
{

	return (struct pk_mutex *)vp->v_interlock;
}

struct mount *
pk_vnode_mount(struct vnode *vp)
{

	return vp->v_mount;
}

uint32_t
pk_vnode_type(struct vnode *vp)
{

	return vp->v_type;
}

void
pk_vnode_set_type(struct vnode *vp, uint32_t type)
{

	KASSERT(vp->v_type == VNON);
	vp->v_type = type;
}

bool
pk_vnode_is_root(struct vnode *vp)
{

	return (vp->v_vflag & VV_ROOT) != 0;
}

bool
pk_vnode_is_dying(struct vnode *vp)
{
	bool dying;

	mutex_enter(vp->v_interlock);
	dying = vdead_check(vp, VDEAD_NOWAIT) != 0;
	mutex_exit(vp->v_interlock);
	return dying;
}

int64_t
pk_vnode_size(struct vnode *vp)
{

	return vp->v_size;
}

void
pk_vnode_set_size(struct vnode *vp, int64_t size)
{

	uvm_vnp_setsize(vp, size);
}

void
pk_vnode_set_writesize(struct vnode *vp, int64_t size)
{

	uvm_vnp_setwritesize(vp, size);
}

void
pk_vnode_to_special(struct vnode *vp, uint64_t rdev)
{

	vp->v_op = pk_specop_p;
	spec_node_init(vp, rdev);
}

void
pk_vnode_to_fifo(struct vnode *vp)
{

	vp->v_op = pk_fifoop_p;
}

int
pk_vnode_fsync(struct vnode *vp, struct kauth_cred *cred, bool wait)
{

	return VOP_FSYNC(vp, cred, wait ? FSYNC_WAIT : 0, 0, 0);
}

struct vnode_iterator *
pk_vnode_iter_create(struct mount *mp)
{
	struct vnode_iterator *vi;

	vfs_vnode_iterator_init(mp, &vi);
	return vi;
}

static bool
pk_vnode_dirty(void *arg, struct vnode *vp)
{

	KASSERT(mutex_owned(vp->v_interlock));

	return vp->v_type == VREG && (!LIST_EMPTY(&vp->v_dirtyblkhd) ||
	    (vp->v_iflag & VI_ONWORKLST) != 0);
}

struct vnode *
pk_vnode_iter_next(struct vnode_iterator *vi, bool dirty)
{

	return vfs_vnode_iterator_next(vi, dirty ? pk_vnode_dirty : NULL,
	    NULL);
}

void
pk_vnode_iter_destroy(struct vnode_iterator *vi)
{

	vfs_vnode_iterator_destroy(vi);
}

/*
 * The page cache.
 */

int
pk_pages_put(struct vnode *vp, int64_t start, int64_t end, int how)
{
	static const int flags[] = {
		[PK_PUT_CLEAN] = PGO_CLEANIT,
		[PK_PUT_SYNC] = PGO_CLEANIT | PGO_SYNCIO,
		[PK_PUT_FREE] = PGO_CLEANIT | PGO_FREE | PGO_SYNCIO,
		[PK_PUT_RELEASE] = PGO_CLEANIT | PGO_FREE,
		[PK_PUT_DROP] = PGO_FREE,
	};

	KASSERT((start & PAGE_MASK) == 0 && (end & PAGE_MASK) == 0);
	/* VOP_PUTPAGES gives the lock up. */
	PK_VMOBJ_ENTER(vp);
	return VOP_PUTPAGES(vp, start, end, flags[how]);
}

void
pk_pages_wait(struct vnode *vp)
{

	mutex_enter(vp->v_interlock);
	while (vp->v_numoutput != 0)
		cv_wait(&vp->v_cv, vp->v_interlock);
	mutex_exit(vp->v_interlock);
}

bool
pk_pages_written(struct vnode *vp)
{
	bool written;

	mutex_enter(vp->v_interlock);
	written = vp->v_numoutput != 0;
	mutex_exit(vp->v_interlock);
	return written;
}

int
pk_pages_read(struct vnode *vp, struct uio *uio, size_t len, int advice)
{

	KASSERT(uio->uio_rw == UIO_READ);
	return ubc_uiomove(&vp->v_uobj, uio, len, advice,
	    UBC_READ | UBC_PARTIALOK | PK_UBC_FLAGS(vp));
}

int
pk_pages_write(struct vnode *vp, struct uio *uio, size_t len)
{

	KASSERT(uio->uio_rw == UIO_WRITE);
	return ubc_uiomove(&vp->v_uobj, uio, len, UVM_ADV_RANDOM,
	    UBC_WRITE | UBC_PARTIALOK | PK_UBC_FLAGS(vp));
}

void
pk_pages_lock(struct vnode *vp)
{

	PK_VMOBJ_ENTER(vp);
}

void
pk_pages_unlock(struct vnode *vp)
{

	PK_VMOBJ_EXIT(vp);
}

int
pk_pages_get(struct pk_vop *ap)
{

	return genfs_getpages(ap);
}

/*
 * The name cache.
 */

bool
pk_cache_lookup(struct vnode *dvp, struct componentname *cnp,
    struct vnode **vpp)
{
	int iswhiteout;
	bool found;

	*vpp = NULL;
	iswhiteout = 0;
	found = cache_lookup(dvp, cnp->cn_nameptr, cnp->cn_namelen,
	    cnp->cn_nameiop, cnp->cn_flags, &iswhiteout, vpp);
	if (iswhiteout)
		cnp->cn_flags |= ISWHITEOUT;
	return found;
}

void
pk_cache_enter(struct vnode *dvp, struct vnode *vp,
    const struct componentname *cnp)
{

	cache_enter(dvp, vp, cnp->cn_nameptr, cnp->cn_namelen, cnp->cn_flags);
}

void
pk_cache_purge(struct vnode *vp)
{

	cache_purge(vp);
}

void
pk_cache_purge_name(struct vnode *dvp, const struct componentname *cnp)
{

	cache_purge1(dvp, cnp->cn_nameptr, cnp->cn_namelen, 0);
}

void
pk_cache_purge_children(struct vnode *vp)
{

	cache_purge1(vp, NULL, 0, PURGE_CHILDREN);
}

void
pk_cache_purge_mount(struct mount *mp)
{

	cache_purgevfs(mp);
}

/*
 * Nodes.
 */

void
pk_node_pool_init(size_t rs_size)
{

	pool_init(&pk_node_pool, sizeof(struct pk_node) + rs_size, 0, 0, 0,
	    "puffpnpl", &pool_allocator_nointr, IPL_NONE);
}

void
pk_node_pool_destroy(void)
{

	pool_destroy(&pk_node_pool);
}

void *
pk_node_create(void)
{
	struct pk_node *n;

	KASSERT_MAYSLEEP(true);
	n = pool_get(&pk_node_pool, PR_WAITOK);
	memset(n, 0, sizeof(*n));
	selinit(&n->n_sel);
	return n->n_rs;
}

void
pk_node_destroy(void *rs)
{
	struct pk_node *n = NODE(rs);

	seldestroy(&n->n_sel);
	pool_put(&pk_node_pool, n);
}

void
pk_node_attach(void *rs, struct vnode *vp, bool root)
{

	vp->v_tag = VT_PUFFS;
	vp->v_type = VNON;
	vp->v_op = pk_vnodeop_p;
	if (root)
		vp->v_vflag |= VV_ROOT;
	vp->v_data = NODE(rs);
	genfs_node_init(vp, &puffs_genfsops);
	uvm_vnp_setsize(vp, 0);
}

void
pk_node_detach(struct vnode *vp)
{

	KASSERT(vp->v_tag == VT_PUFFS);
	genfs_node_destroy(vp);

	/*
	 * Who has the vnode neither locked nor reclaims it looks inside the
	 * interlock, or inside the lock of its pages.
	 */
	PK_VNODE_ENTER(vp);
	vp->v_data = NULL;
	PK_VNODE_EXIT(vp);
}

void *
pk_vnode_node(struct vnode *vp)
{
	struct pk_node *n = vp->v_data;

	return n != NULL ? n->n_rs : NULL;
}

void
pk_node_selrecord(void *rs)
{

	selrecord(curlwp, &NODE(rs)->n_sel);
}

void
pk_node_selnotify(void *rs, int revents)
{

	selnotify(&NODE(rs)->n_sel, revents, 0);
}

int
pk_node_advlock(void *rs, struct pk_vop *ap, int64_t size)
{

	return lf_advlock((struct vop_advlock_args *)ap, &NODE(rs)->n_lockf,
	    size);
}

/*
 * Credentials and path components.
 */

int
pk_cred_kind(struct kauth_cred *cred)
{

	if (cred == NOCRED)
		return 1;
	if (cred == FSCRED)
		return 2;
	return 0;
}

void
pk_cred_to_uucred(struct kauth_cred *cred, void *uuc)
{

	kauth_cred_to_uucred(uuc, cred);
}

uint32_t
pk_cn_nameiop(const struct componentname *cnp)
{

	return cnp->cn_nameiop;
}

uint32_t
pk_cn_flags(const struct componentname *cnp)
{

	return cnp->cn_flags;
}

const char *
pk_cn_nameptr(const struct componentname *cnp)
{

	return cnp->cn_nameptr;
}

size_t
pk_cn_namelen(const struct componentname *cnp)
{

	return cnp->cn_namelen;
}

struct kauth_cred *
pk_cn_cred(const struct componentname *cnp)
{

	return cnp->cn_cred;
}

void
pk_cn_set_flags(struct componentname *cnp, uint32_t set, uint32_t clear)
{

	cnp->cn_flags = (cnp->cn_flags & ~clear) | set;
}

void
pk_cn_consume(struct componentname *cnp, size_t len)
{

	PK_CN_CONSUME(cnp, len);
}

/*
 * What callers read and write.
 */

size_t
pk_uio_resid(const struct uio *uio)
{

	return uio->uio_resid;
}

int64_t
pk_uio_offset(const struct uio *uio)
{

	return uio->uio_offset;
}

void
pk_uio_set_offset(struct uio *uio, int64_t offset)
{

	uio->uio_offset = offset;
}

int
pk_uio_move(void *buf, size_t len, struct uio *uio)
{

	return uiomove(buf, len, uio);
}

void
pk_uio_give_back(struct uio *uio, size_t len)
{

	/* The callers of VOP_WRITE look at these two. */
	uio->uio_resid += len;
	uio->uio_offset -= len;
}

int64_t *
pk_cookies_alloc(size_t count)
{

	return malloc(count * sizeof(off_t), M_TEMP, M_WAITOK);
}

/*
 * Buffers.
 */

size_t
pk_buf_count(const struct buf *bp)
{

	return bp->b_bcount;
}

void *
pk_buf_data(struct buf *bp)
{

	return bp->b_data;
}

int64_t
pk_buf_offset(const struct buf *bp)
{

	return bp->b_blkno << DEV_BSHIFT;
}

bool
pk_buf_is_read(const struct buf *bp)
{

	return BUF_ISREAD(bp);
}

bool
pk_buf_is_async(const struct buf *bp)
{

	return (bp->b_flags & B_ASYNC) != 0;
}

void
pk_buf_done(struct buf *bp, int error, size_t resid)
{

	bp->b_error = error;
	bp->b_resid = resid;
	biodone(bp);
}
