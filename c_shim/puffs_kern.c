/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel services of puffs_kern.h, for NetBSD and for rump kernels.
 *
 * Every function here turns one request of the Rust core into one use of
 * the kernel and decides nothing itself.  This is the only place, with
 * puffs_module.c, that knows a kernel structure, and the only one that knows
 * in what the releases differ.  It includes the kernel's own puffs_sys.h:
 * struct puffs_mount and struct puffs_node are shared with the C object
 * that stays in the module (puffs_vnops.o), so their layout has to come from
 * the header that it was compiled with.
 */

#include <sys/cdefs.h>

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/buf.h>
#include <sys/condvar.h>
#include <sys/errno.h>
#include <sys/kauth.h>
#include <sys/kernel.h>
#include <sys/kmem.h>
#include <sys/kthread.h>
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
#include <fs/puffs/puffs_sys.h>

#include "puffs_kern.h"
#include "puffs_release.h"

/* No more than this many lines a second reach the console. */
#define	PK_LOG_PPS	5

/* The Rust part of a mount sits behind the part that the C objects know. */
struct pk_mount {
	struct puffs_mount	pm_pmp;
	void			*pm_rs;
};

#define	PMPTOPM(pmp)	((struct pk_mount *)(pmp))
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
CTASSERT(offsetof(struct pk_mount, pm_pmp) == 0);

/*
 * Values that cross as numbers, and those of the wire that come from kernel
 * headers instead of the protocol's own.
 */
CTASSERT(PK_MNT_FORCE == MNT_FORCE);
CTASSERT(PK_MNT_WAIT == MNT_WAIT);
CTASSERT(PK_MNT_LAZY == MNT_LAZY);
CTASSERT(PK_GOP_UPDATE_ACCESSED == GOP_UPDATE_ACCESSED);
CTASSERT(PK_GOP_UPDATE_MODIFIED == GOP_UPDATE_MODIFIED);
CTASSERT(PK_PNODE_NOREFS == PNODE_NOREFS);
CTASSERT(PK_PNODE_DYING == PNODE_DYING);
CTASSERT(PK_PNODE_FAF == PNODE_FAF);
CTASSERT(PK_PNODE_DOINACT == PNODE_DOINACT);
CTASSERT(PK_PNODE_SOPEXP == PNODE_SOPEXP);
CTASSERT(PK_PNODE_METACACHE_ATIME == PNODE_METACACHE_ATIME);
CTASSERT(PK_PNODE_METACACHE_CTIME == PNODE_METACACHE_CTIME);
CTASSERT(PK_PNODE_METACACHE_MTIME == PNODE_METACACHE_MTIME);
CTASSERT(PK_PNODE_METACACHE_SIZE == PNODE_METACACHE_SIZE);
CTASSERT(PK_UPDATE_ATIME == PUFFS_UPDATEATIME);
CTASSERT(PK_UPDATE_CTIME == PUFFS_UPDATECTIME);
CTASSERT(PK_UPDATE_MTIME == PUFFS_UPDATEMTIME);
CTASSERT(PK_UPDATE_SIZE == PUFFS_UPDATESIZE);
CTASSERT(PK_NOSUCHCOOKIE == PUFFS_NOSUCHCOOKIE);
CTASSERT(PK_MSG_MAXSIZE == (PUFFS_MSG_MAXSIZE));
CTASSERT(PK_MSGSTRUCT_MAX == PUFFS_MSGSTRUCT_MAX);
CTASSERT(PK_FHANDLE_SIZE_MAX == FHANDLE_SIZE_MAX);
CTASSERT(PK_POLLERR == POLLERR);
CTASSERT(PK_POLLHUP == POLLHUP);
CTASSERT(PK_ELAST <= ELAST);
CTASSERT(VNON == 0 && VREG == 1 && VDIR == 2 && VBLK == 3 && VCHR == 4 &&
    VLNK == 5 && VSOCK == 6 && VFIFO == 7 && VBAD == 8);
CTASSERT(PUFFSVERSION == 30);
/* The numbers of stat(2) that mean "not set" are all bits set. */
CTASSERT((voff_t)VNOVAL == VSIZENOTSET);

/*
 * A node as the shim makes it: what C code of puffs knows comes first, and it
 * makes none itself.
 */
struct pk_node {
	struct puffs_node	n_pn;
	struct pk_polls		n_polls;
};
CTASSERT(offsetof(struct pk_node, n_pn) == 0);
CTASSERT(sizeof(((struct puffs_node *)0)->pn_revents) * 8 ==
    sizeof(((struct pk_polls *)0)->pl_asked));

struct pool puffs_pnpool;
struct pool puffs_vapool;

static struct putter_ops puffs_putter = {
	.pop_getout = puffs_msgif_getout,
	.pop_releaseout = puffs_msgif_releaseout,
	.pop_waitcount = puffs_msgif_waitcount,
	.pop_dispatch = puffs_msgif_dispatch,
	.pop_close = puffs_msgif_close,
};

static const struct genfs_ops puffs_genfsops = {
	.gop_size = puffs_gop_size,
	.gop_write = genfs_gop_write,
	.gop_markupdate = puffs_gop_markupdate,
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

void
pk_node_pools_init(void)
{

	pool_init(&puffs_pnpool, sizeof(struct pk_node), 0, 0, 0,
	    "puffpnpl", &pool_allocator_nointr, IPL_NONE);
	pool_init(&puffs_vapool, sizeof(struct vattr), 0, 0, 0,
	    "puffvapl", &pool_allocator_nointr, IPL_NONE);
}

void
pk_node_pools_destroy(void)
{

	pool_destroy(&puffs_vapool);
	pool_destroy(&puffs_pnpool);
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

struct puffs_mount *
pk_mount_pmp(struct mount *mp)
{

	return MPTOPUFFSMP(mp);
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
pk_mount_commit(struct mount *mp, struct puffs_mount *pmp)
{

	mp->mnt_fs_bshift = DEV_BSHIFT;
	mp->mnt_dev_bshift = DEV_BSHIFT;
	/* Only the server knows where the data are. */
	mp->mnt_flag &= ~MNT_LOCAL;
	mp->mnt_data = pmp;
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
 * struct puffs_mount.  Only what the C objects look at is set up, and what
 * belongs to the services below; the rest stays zero and is nobody's.
 */

struct puffs_mount *
pk_pmp_create(struct mount *mp, const void *args, void *rs)
{
	struct pk_mount *pm;
	struct puffs_mount *pmp;

	KASSERT_MAYSLEEP(true);
	pm = kmem_zalloc(sizeof(*pm), KM_SLEEP);
	pm->pm_rs = rs;

	pmp = &pm->pm_pmp;
	memcpy(&pmp->pmp_args, args, sizeof(pmp->pmp_args));
	pmp->pmp_mp = mp;
	pmp->pmp_msg_maxsize = pmp->pmp_args.pa_maxmsglen;
	pmp->pmp_root_cookie = pmp->pmp_args.pa_root_cookie;
	pmp->pmp_root_vtype = pmp->pmp_args.pa_root_vtype;
	pmp->pmp_root_vsize = pmp->pmp_args.pa_root_vsize;
	pmp->pmp_root_rdev = pmp->pmp_args.pa_root_rdev;
	mutex_init(&pmp->pmp_lock, MUTEX_DEFAULT, IPL_NONE);
	mutex_init(&pmp->pmp_sopmtx, MUTEX_DEFAULT, IPL_NONE);
	cv_init(&pmp->pmp_sopcv, "puffsop");
	TAILQ_INIT(&pmp->pmp_sopnodereqs);

	return pmp;
}

void
pk_pmp_destroy(struct puffs_mount *pmp)
{
	struct mount *mp = PMPTOMP(pmp);

	KASSERT(TAILQ_EMPTY(&pmp->pmp_sopnodereqs));
	KASSERT(pmp->pmp_sopthrcount == 0);
	/* Who still holds the mount structure shall find nothing. */
	if (mp->mnt_data == pmp)
		mp->mnt_data = NULL;
	cv_destroy(&pmp->pmp_sopcv);
	mutex_destroy(&pmp->pmp_sopmtx);
	mutex_destroy(&pmp->pmp_lock);
	kmem_free(PMPTOPM(pmp), sizeof(struct pk_mount));
}

void *
pk_pmp_rs(struct puffs_mount *pmp)
{

	return PMPTOPM(pmp)->pm_rs;
}

void
pk_pmp_set_rs(struct puffs_mount *pmp, void *rs)
{

	PMPTOPM(pmp)->pm_rs = rs;
}

struct mount *
pk_pmp_mount(struct puffs_mount *pmp)
{

	return PMPTOMP(pmp);
}

const void *
pk_pmp_args(struct puffs_mount *pmp)
{

	return &pmp->pmp_args;
}

struct pk_mutex *
pk_pmp_lock(struct puffs_mount *pmp)
{

	return (struct pk_mutex *)&pmp->pmp_lock;
}

struct vnode *
pk_pmp_root(struct puffs_mount *pmp)
{

	KASSERT(mutex_owned(&pmp->pmp_lock));
	return pmp->pmp_root;
}

void
pk_pmp_set_root(struct puffs_mount *pmp, struct vnode *vp)
{

	KASSERT(mutex_owned(&pmp->pmp_lock));
	pmp->pmp_root = vp;
}

struct pk_mutex *
pk_pmp_sopmtx(struct puffs_mount *pmp)
{

	return (struct pk_mutex *)&pmp->pmp_sopmtx;
}

struct pk_cv *
pk_pmp_sopcv(struct puffs_mount *pmp)
{

	return (struct pk_cv *)&pmp->pmp_sopcv;
}

void
pk_pmp_sop_running(struct puffs_mount *pmp, bool running)
{

	KASSERT(mutex_owned(&pmp->pmp_sopmtx));
	pmp->pmp_sopthrcount = running ? 1 : 0;
}

bool
pk_pmp_sop_take(struct puffs_mount *pmp, bool any, void **ckp)
{
	struct puffs_sopreq *psopr;

	KASSERT(mutex_owned(&pmp->pmp_sopmtx));
	psopr = TAILQ_FIRST(&pmp->pmp_sopnodereqs);
	if (psopr == NULL)
		return false;
	/* The counter wraps: compare by distance. */
	if (!any && (int)((u_int)PK_TICKS() - (u_int)psopr->psopr_at) <= 0)
		return false;
	TAILQ_REMOVE(&pmp->pmp_sopnodereqs, psopr, psopr_entries);
	KASSERT(psopr->psopr_sopreq == PUFFS_SOPREQ_EXPIRE);
	*ckp = psopr->psopr_ck;
	kmem_free(psopr, sizeof(*psopr));
	return true;
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

struct puffs_node *
pk_vnode_node(struct vnode *vp)
{

	return VPTOPP(vp);
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
pk_vnode_to_special(struct vnode *vp, uint64_t rdev)
{

	vp->v_op = puffs_specop_p;
	spec_node_init(vp, rdev);
}

void
pk_vnode_to_fifo(struct vnode *vp)
{

	vp->v_op = puffs_fifoop_p;
}

int
pk_vnode_putpages(struct vnode *vp, int64_t start, int64_t end, bool drop)
{
	voff_t offlo, offhi;

	/* Rounding up must not leave the range of offsets. */
	if (start < 0 || end < 0 || end > PK_OFF_MAX - PAGE_MASK)
		return EINVAL;
	offlo = trunc_page(start);
	offhi = round_page(end);
	/* An end of 0 is the end of the file; else, some page is meant. */
	if (offhi != 0 && offlo >= offhi)
		return EINVAL;

	/* VOP_PUTPAGES gives the lock up. */
	PK_VMOBJ_ENTER(vp);
	return VOP_PUTPAGES(vp, offlo, offhi, drop ? PGO_FREE : PGO_CLEANIT);
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
pk_vnode_iter_next(struct vnode_iterator *vi)
{

	return vfs_vnode_iterator_next(vi, pk_vnode_dirty, NULL);
}

void
pk_vnode_iter_destroy(struct vnode_iterator *vi)
{

	vfs_vnode_iterator_destroy(vi);
}

/*
 * The name cache.
 */

void
pk_cache_enter(struct vnode *dvp, struct vnode *vp,
    const struct componentname *cnp)
{

	cache_enter(dvp, vp, cnp->cn_nameptr, cnp->cn_namelen, cnp->cn_flags);
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
 * struct puffs_node.
 */

const void *
pk_node_create(struct vnode *vp, void *ck, bool root)
{
	struct puffs_node *pn;

	KASSERT_MAYSLEEP(true);
	pn = pool_get(&puffs_pnpool, PR_WAITOK);
	memset(pn, 0, sizeof(struct pk_node));
	pn->pn_cookie = ck;
	pn->pn_vp = vp;
	pn->pn_refcount = 1;
	mutex_init(&pn->pn_mtx, MUTEX_DEFAULT, IPL_NONE);
	mutex_init(&pn->pn_sizemtx, MUTEX_DEFAULT, IPL_NONE);
	selinit(&pn->pn_sel);

	vp->v_tag = VT_PUFFS;
	vp->v_type = VNON;
	vp->v_op = puffs_vnodeop_p;
	if (root)
		vp->v_vflag |= VV_ROOT;
	vp->v_data = pn;
	genfs_node_init(vp, &puffs_genfsops);
	uvm_vnp_setsize(vp, 0);

	return &pn->pn_cookie;
}

struct puffs_node *
pk_node_detach(struct vnode *vp)
{
	struct puffs_node *pn = VPTOPP(vp);

	KASSERT(vp->v_tag == VT_PUFFS);
	genfs_node_destroy(vp);

	/* Who finds the vnode by its cookie looks under the interlock. */
	mutex_enter(vp->v_interlock);
	vp->v_data = NULL;
	mutex_exit(vp->v_interlock);

	return pn;
}

void
pk_node_destroy(struct puffs_node *pn)
{

	KASSERT(pn->pn_refcount == 0);
	if (pn->pn_va_cache != NULL)
		pool_put(&puffs_vapool, pn->pn_va_cache);
	seldestroy(&pn->pn_sel);
	mutex_destroy(&pn->pn_sizemtx);
	mutex_destroy(&pn->pn_mtx);
	pool_put(&puffs_pnpool, pn);
}

struct pk_mutex *
pk_node_mutex(struct puffs_node *pn)
{

	return (struct pk_mutex *)&pn->pn_mtx;
}

int
pk_node_addref(struct puffs_node *pn, int delta)
{

	KASSERT(mutex_owned(&pn->pn_mtx));
	pn->pn_refcount += delta;
	KASSERT(pn->pn_refcount >= 0);
	return pn->pn_refcount;
}

uint32_t
pk_node_vtype(struct puffs_node *pn)
{

	return pn->pn_vp->v_type;
}

void *
pk_node_cookie(struct puffs_node *pn)
{

	return pn->pn_cookie;
}

void
pk_node_stat(struct puffs_node *pn, uint32_t set, uint32_t clear)
{

	pn->pn_stat = (pn->pn_stat & ~clear) | set;
}

void
pk_node_set_serversize(struct puffs_node *pn, int64_t size)
{

	pn->pn_serversize = size;
}

void
pk_node_set_mctime(struct puffs_node *pn, uint32_t which,
    const struct pk_timespec *ts)
{
	struct timespec mct;

	mct.tv_sec = ts->ts_sec;
	mct.tv_nsec = ts->ts_nsec;
	if (which & PNODE_METACACHE_ATIME)
		pn->pn_mc_atime = mct;
	if (which & PNODE_METACACHE_CTIME)
		pn->pn_mc_ctime = mct;
	if (which & PNODE_METACACHE_MTIME)
		pn->pn_mc_mtime = mct;
	pn->pn_stat |= which & (PNODE_METACACHE_ATIME |
	    PNODE_METACACHE_CTIME | PNODE_METACACHE_MTIME);
}

void
pk_node_set_mcsize(struct puffs_node *pn, int64_t size)
{

	pn->pn_mc_size = size;
	pn->pn_stat |= PNODE_METACACHE_SIZE;
}

int
pk_node_revents(struct puffs_node *pn)
{

	KASSERT(mutex_owned(&pn->pn_mtx));
	return pn->pn_revents;
}

void
pk_node_add_revents(struct puffs_node *pn, int revents)
{

	KASSERT(mutex_owned(&pn->pn_mtx));
	pn->pn_revents |= revents;
}

struct pk_polls *
pk_node_polls(struct puffs_node *pn)
{

	KASSERT(mutex_owned(&pn->pn_mtx));
	return &((struct pk_node *)pn)->n_polls;
}

void
pk_node_selnotify(struct puffs_node *pn, int revents)
{

	selnotify(&pn->pn_sel, revents, 0);
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

/*
 * Buffers.
 */

size_t
pk_buf_count(struct buf *bp)
{

	return bp->b_bcount;
}

void *
pk_buf_data(struct buf *bp)
{

	return bp->b_data;
}

void
pk_buf_done(struct buf *bp, int error, size_t resid)
{

	bp->b_error = error;
	bp->b_resid = resid;
	biodone(bp);
}
