/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel services: everything the Rust core asks of a kernel.
 *
 * This is the one declaration of that ABI.  bindgen reads it for the Rust
 * side (src/kern/sys.rs); c_shim/puffs_kern.c implements it for NetBSD and
 * for rump kernels, tests/hosted implements it on std threads.  It includes
 * no kernel header, so that every host can read it, and it knows no kernel
 * structure beyond its name.
 *
 * Conventions: an int result is an errno unless said otherwise, 0 is success.
 * "may sleep" is said where a function may; the others never do, beyond the
 * wait for an adaptive mutex.
 */

#ifndef _PUFFS_KERN_H_
#define _PUFFS_KERN_H_

#ifndef _KERNEL
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

/* Kernel structures, by name only. */
struct buf;
struct componentname;
struct kauth_cred;
struct mount;
struct puffs_mount;
struct puffs_node;
struct putter_instance;
struct vnode;
struct vnode_iterator;

/* Of those, only what Rust exports speaks of. */
struct fid;
struct puffs_kcn;
struct puffs_kcred;
struct puffs_msgpark;
struct puffs_req;
struct putter_hdr;
struct statvfs;
struct timespec;

/* Opaque: a kmutex_t and a pool_cache, as the kernel sees them. */
struct pk_mutex;
struct pk_pool;

/* Storage for a kcondvar_t; the shim asserts that it is large enough. */
struct pk_cv {
	void *cv_opaque[4];
};

/* Storage for a sigset_t. */
struct pk_sigset {
	uint32_t ss_bits[4];
};

/*
 * What Rust keeps of a node's polls: for each event, how many requests that
 * ask for it have no answer yet.
 */
struct pk_polls {
	uint8_t pl_asked[16];
};

struct pk_timespec {
	int64_t ts_sec;
	int64_t ts_nsec;
};

/*
 * Numbers of the kernel that cross this ABI, the same in every release.  The
 * shim asserts each against the kernel's own name for it.
 */
#define	PK_MNT_FORCE		0x00080000	/* of vfs_unmount */
#define	PK_MNT_WAIT		1		/* of vfs_sync */
#define	PK_MNT_LAZY		3
#define	PK_GOP_UPDATE_ACCESSED	0x01		/* of puffs_gop_markupdate */
#define	PK_GOP_UPDATE_MODIFIED	0x02
#define	PK_UPDATE_ATIME		0x01		/* of puffs_updatenode */
#define	PK_UPDATE_CTIME		0x02
#define	PK_UPDATE_MTIME		0x04
#define	PK_UPDATE_SIZE		0x08
#define	PK_PNODE_NOREFS		0x001		/* of pk_node_stat */
#define	PK_PNODE_DYING		0x002
#define	PK_PNODE_FAF		0x004
#define	PK_PNODE_DOINACT	0x008
#define	PK_PNODE_METACACHE_ATIME 0x010
#define	PK_PNODE_METACACHE_CTIME 0x020
#define	PK_PNODE_METACACHE_MTIME 0x040
#define	PK_PNODE_METACACHE_SIZE	0x080
#define	PK_PNODE_SOPEXP		0x100
#define	PK_NOSUCHCOOKIE		(-1)		/* of puffs_cookie2vnode */
#define	PK_MSG_MAXSIZE		0x20000		/* 2 * MAXPHYS */
#define	PK_MSGSTRUCT_MAX	4096
#define	PK_FHANDLE_SIZE_MAX	1024
#define	PK_POLLERR		0x0008
#define	PK_POLLHUP		0x0010
#define	PK_ELAST		96		/* 10.x knows two more */

/*
 * Memory.  Zeroed; size is never 0.  pk_alloc may sleep and then never fails
 * if cansleep is true, else it returns NULL when memory is short.
 */
void	*pk_alloc(size_t, bool);
void	pk_free(void *, size_t);
size_t	pk_page_size(void);

/*
 * A pool of constructed objects (pool_cache(9)).  The constructor runs when
 * the pool grows and the destructor when it shrinks, not at each get and put.
 */
struct pk_pool *pk_pool_create(size_t, const char *,
	    int (*)(void *, void *, int), void (*)(void *, void *));
void	pk_pool_destroy(struct pk_pool *);
void	*pk_pool_get(struct pk_pool *, bool);
void	pk_pool_put(struct pk_pool *, void *);

/* Adaptive mutexes (mutex(9), mutex_obj(9)).  create may sleep. */
struct pk_mutex *pk_mutex_create(void);
void	pk_mutex_destroy(struct pk_mutex *);
void	pk_mutex_enter(struct pk_mutex *);
void	pk_mutex_exit(struct pk_mutex *);

/*
 * Condition variables (condvar(9)).  The waits sleep, with the mutex given
 * up meanwhile.  wait_sig returns EINTR or ERESTART when a signal ended it,
 * timedwait EWOULDBLOCK after that many ticks (0: wait for ever).
 */
void	pk_cv_init(struct pk_cv *, const char *);
void	pk_cv_destroy(struct pk_cv *);
void	pk_cv_wait(struct pk_cv *, struct pk_mutex *);
int	pk_cv_wait_sig(struct pk_cv *, struct pk_mutex *);
int	pk_cv_timedwait(struct pk_cv *, struct pk_mutex *, int);
void	pk_cv_signal(struct pk_cv *);
void	pk_cv_broadcast(struct pk_cv *);

/* The kernel lock (KERNEL_LOCK): recursive, given up in sleeps. */
void	pk_kernel_lock(void);
void	pk_kernel_unlock(void);

/*
 * Kernel threads (kthread(9)).  create may sleep.  The thread starts inside
 * the kernel lock, and calls exit, which does not return, inside it.
 */
int	pk_thread_create(void (*)(void *), void *, const char *);
void	pk_thread_exit(void);

/*
 * The clock: ticks since boot, wrapping; ticks a second; a sleep of that many
 * (kpause(9)); time of day.
 */
int	pk_ticks(void);
int	pk_hz(void);
void	pk_pause(int);
void	pk_nanotime(struct pk_timespec *);

/* The calling lwp. */
void	pk_curlwp_ids(int32_t *, int32_t *);	/* process and lwp id */
bool	pk_curlwp_is_pagedaemon(void);
bool	pk_process_exists(int32_t);

/*
 * Signals of the calling lwp.  Only INT, TERM, KILL, HUP and QUIT may end a
 * request.  pending: is one of those pending and not blocked?  block: block
 * all others, the old mask goes to the argument.  restore: put it back.
 */
bool	pk_sig_pending(void);
void	pk_sig_block(struct pk_sigset *);
void	pk_sig_restore(const struct pk_sigset *);

/* The console: one line, without its newline; rate-limited by the kernel. */
void	pk_log(const char *, size_t);
void	pk_panic(const char *, size_t);
/* puffsdebug, where the shim is compiled with PUFFSDEBUG, else 0; and a line. */
int	pk_debug_level(void);
void	pk_debug(const char *, size_t);

/*
 * The putter device.  attach finds the instance that the process opened and
 * ties it to the transport (NULL: none); detach ends that; notify wakes
 * select, poll and kqueue.
 */
struct putter_instance *pk_putter_attach(int32_t, int, void *);
void	pk_putter_detach(struct putter_instance *);
void	pk_putter_notify(struct putter_instance *);

/*
 * Mounts.  ref and rele count the structure (vfs_ref(9)), not the file
 * system.  unmount forces (dounmount(9) with MNT_FORCE) and may sleep.
 */
void	pk_mount_ref(struct mount *);
void	pk_mount_rele(struct mount *);
int	pk_mount_unmount(struct mount *);
/*
 * Keeps the file system from being suspended, which unmounting starts with
 * (vfs_trybusy(9)); an errno if it is suspended already.  leave undoes it.
 */
int	pk_mount_enter(struct mount *);
void	pk_mount_leave(struct mount *);
struct puffs_mount *pk_mount_pmp(struct mount *);
bool	pk_mount_is_getargs(struct mount *);
bool	pk_mount_is_update(struct mount *);
/*
 * The statvfs part of mounting: names and identity come from the kernel, the
 * numbers from the server's struct statvfs in wire layout, which is completed
 * in place.  May sleep.
 */
int	pk_mount_set_statvfs(struct mount *, const char *, const char *,
	    const char *, void *);
/* Block shifts, flags and the file system id of a mount that succeeds. */
void	pk_mount_commit(struct mount *, struct puffs_mount *);
/* Complete a wire statvfs in place with what the kernel knows; may sleep. */
void	pk_mount_copy_statvfs(struct mount *, void *);
/* What the kernel knows by itself, to its own struct statvfs. */
void	pk_mount_known_statvfs(struct mount *, void *);
/* Copy a complete wire statvfs to the kernel's own, whatever its layout. */
void	pk_statvfs_from_wire(void *, const void *);
/* Write back and drop all vnodes but the root (vflush); may sleep. */
int	pk_mount_vflush(struct mount *, bool);

/*
 * struct puffs_mount, the C part of a mount.  create copies the mount
 * arguments (struct puffs_kargs), sets up the two mutexes, the service
 * thread's condition variable and queue, and remembers the Rust part.  May
 * sleep.  destroy comes while the mount structure is there, and leaves it
 * without a pmp.
 */
struct puffs_mount *pk_pmp_create(struct mount *, const void *, void *);
void	pk_pmp_destroy(struct puffs_mount *);
void	*pk_pmp_rs(struct puffs_mount *);
void	pk_pmp_set_rs(struct puffs_mount *, void *);
struct mount *pk_pmp_mount(struct puffs_mount *);
const void *pk_pmp_args(struct puffs_mount *);
struct pk_mutex *pk_pmp_lock(struct puffs_mount *);	/* pmp_lock */
struct vnode *pk_pmp_root(struct puffs_mount *);	/* under pmp_lock */
void	pk_pmp_set_root(struct puffs_mount *, struct vnode *);
struct pk_mutex *pk_pmp_sopmtx(struct puffs_mount *);
struct pk_cv *pk_pmp_sopcv(struct puffs_mount *);
/* Under sopmtx: may puffs_vnop_inactive queue expiries? */
void	pk_pmp_sop_running(struct puffs_mount *, bool);
/*
 * Under sopmtx: take the first queued expiry off, if it is due (first
 * argument true: in any case), and store its cookie.  False: there is none.
 */
bool	pk_pmp_sop_take(struct puffs_mount *, bool, void **);

/*
 * Vnodes.  get finds or makes the vnode of a cookie and references it
 * (vcache_get(9)); may sleep.  rele may sleep.  lock returns an errno only if
 * the vnode is being reclaimed, or (trylock) locked.
 */
int	pk_vnode_get(struct mount *, void *, struct vnode **);
void	pk_vnode_rele(struct vnode *);
int	pk_vnode_lock(struct vnode *);
int	pk_vnode_trylock(struct vnode *);
void	pk_vnode_lock_retry(struct vnode *);
void	pk_vnode_unlock(struct vnode *);
struct pk_mutex *pk_vnode_interlock(struct vnode *);
struct mount *pk_vnode_mount(struct vnode *);
struct puffs_node *pk_vnode_node(struct vnode *);	/* NULL: none any more */
uint32_t pk_vnode_type(struct vnode *);
void	pk_vnode_set_type(struct vnode *, uint32_t);
int64_t	pk_vnode_size(struct vnode *);
void	pk_vnode_set_size(struct vnode *, int64_t);	/* page cache too */
void	pk_vnode_to_special(struct vnode *, uint64_t);	/* VCHR, VBLK */
void	pk_vnode_to_fifo(struct vnode *);
/*
 * Write back (true: drop) the pages of a byte range, widened to pages; an end
 * of 0 is that of the file.  EINVAL if it is empty.  May sleep.
 */
int	pk_vnode_putpages(struct vnode *, int64_t, int64_t, bool);
int	pk_vnode_fsync(struct vnode *, struct kauth_cred *, bool);
/* The regular vnodes with dirty pages, each referenced. */
struct vnode_iterator *pk_vnode_iter_create(struct mount *);
struct vnode *pk_vnode_iter_next(struct vnode_iterator *);
void	pk_vnode_iter_destroy(struct vnode_iterator *);

/* The name cache. */
void	pk_cache_enter(struct vnode *, struct vnode *,
	    const struct componentname *);
void	pk_cache_purge_children(struct vnode *);
void	pk_cache_purge_mount(struct mount *);

/*
 * The pools of the node structures, which the C objects of the module use
 * too: for vfs_init and vfs_done.
 */
void	pk_node_pools_init(void);
void	pk_node_pools_destroy(void);

/*
 * struct puffs_node.  create makes the node of a new vnode, ties the two
 * together with one reference, and returns where the cookie is kept; detach
 * cuts the tie (the caller still owns that reference); destroy frees it.
 */
void	pk_node_pools_init(void);
void	pk_node_pools_destroy(void);
const void *pk_node_create(struct vnode *, void *, bool);
struct puffs_node *pk_node_detach(struct vnode *);
void	pk_node_destroy(struct puffs_node *);
struct pk_mutex *pk_node_mutex(struct puffs_node *);	/* pn_mtx */
int	pk_node_addref(struct puffs_node *, int);	/* under pn_mtx; result */
void	*pk_node_cookie(struct puffs_node *);
uint32_t pk_node_vtype(struct puffs_node *);	/* of its referenced vnode */
void	pk_node_stat(struct puffs_node *, uint32_t, uint32_t); /* set, clear */
void	pk_node_set_serversize(struct puffs_node *, int64_t);
void	pk_node_set_mctime(struct puffs_node *, uint32_t,
	    const struct pk_timespec *);		/* by PNODE_METACACHE_* */
void	pk_node_set_mcsize(struct puffs_node *, int64_t);
int	pk_node_revents(struct puffs_node *);		/* under pn_mtx */
void	pk_node_add_revents(struct puffs_node *, int);	/* under pn_mtx */
struct pk_polls *pk_node_polls(struct puffs_node *);	/* under pn_mtx */
void	pk_node_selnotify(struct puffs_node *, int);

/* Credentials: 0 of a caller, 1 NOCRED, 2 FSCRED; and as a wire uucred. */
int	pk_cred_kind(struct kauth_cred *);
void	pk_cred_to_uucred(struct kauth_cred *, void *);

/* Path components. */
uint32_t pk_cn_nameiop(const struct componentname *);
uint32_t pk_cn_flags(const struct componentname *);
const char *pk_cn_nameptr(const struct componentname *);
size_t	pk_cn_namelen(const struct componentname *);
struct kauth_cred *pk_cn_cred(const struct componentname *);

/* Buffers of asynchronous I/O.  done gives the buffer back to its owner. */
size_t	pk_buf_count(struct buf *);
void	*pk_buf_data(struct buf *);
void	pk_buf_done(struct buf *, int, size_t);	/* errno, bytes not moved */

#endif /* _PUFFS_KERN_H_ */
