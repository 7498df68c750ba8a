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
struct flock;
struct kauth_cred;
struct mount;
struct putter_instance;
struct uio;
struct vattr;
struct vnode;
struct vnode_iterator;

/* Of those, only what Rust exports speaks of. */
struct fid;
struct putter_hdr;
struct statvfs;
struct timespec;

/*
 * Opaque: the arguments of a vnode operation, for operations of the kernel's
 * own that take the same.
 */
struct pk_vop;

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
#define	PK_MNT_RDONLY		0x00000001	/* of pk_mount_flags */
#define	PK_MNT_RELATIME		0x00020000
#define	PK_MNT_NOATIME		0x04000000
#define	PK_FREAD		0x01		/* of puffs_rs_open */
#define	PK_FWRITE		0x02
#define	PK_IO_APPEND		0x00020		/* of puffs_rs_write */
#define	PK_IO_SYNC		0x00240
#define	PK_IO_ADV_MASK		0x00003
#define	PK_FSYNC_WAIT		0x0001		/* of puffs_rs_fsync */
#define	PK_F_GETLK		7		/* of puffs_rs_advlock */
#define	PK_MSG_MAXSIZE		0x20000		/* 2 * MAXPHYS */
#define	PK_MSGSTRUCT_MAX	4096
#define	PK_FHANDLE_SIZE_MAX	1024
#define	PK_POLL_ALWAYS		0x0045		/* what files without a driver have */
#define	PK_POLLERR		0x0008
#define	PK_POLLHUP		0x0010
#define	PK_ELAST		96		/* 10.x knows two more */

/*
 * Memory.  The size is never 0.  zalloc zeroes it, alloc leaves what was in
 * it.  Both may sleep and then never fail if cansleep is true, else they
 * return NULL when memory is short.
 */
void	*pk_alloc(size_t, bool);
void	*pk_zalloc(size_t, bool);
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
bool	pk_mutex_tryenter(struct pk_mutex *);
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

/* The number of vfs.puffs.queuelimit. */
long	pk_queue_limit(void);

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
/*
 * What the core keeps of a mount (mnt_data); NULL before it is mounted and
 * after it is taken down.
 */
void	*pk_mount_data(struct mount *);
void	pk_mount_clear_data(struct mount *);
uint32_t pk_mount_flags(struct mount *);	/* PK_MNT_*, among others */
uint64_t pk_mount_fsid(struct mount *);		/* for stat(2) */
bool	pk_mount_is_getargs(struct mount *);
bool	pk_mount_is_update(struct mount *);
/*
 * The statvfs part of mounting: names and identity come from the kernel, the
 * numbers from the server's struct statvfs in wire layout, which is completed
 * in place.  May sleep.
 */
int	pk_mount_set_statvfs(struct mount *, const char *, const char *,
	    const char *, void *);
/* Block shifts, flags, id and data of a mount that succeeds. */
void	pk_mount_commit(struct mount *, void *);
/* Complete a wire statvfs in place with what the kernel knows; may sleep. */
void	pk_mount_copy_statvfs(struct mount *, void *);
/* What the kernel knows by itself, to its own struct statvfs. */
void	pk_mount_known_statvfs(struct mount *, void *);
/* Copy a complete wire statvfs to the kernel's own, whatever its layout. */
void	pk_statvfs_from_wire(void *, const void *);
/* Write back and drop all vnodes but the root (vflush); may sleep. */
int	pk_mount_vflush(struct mount *, bool);

/*
 * Vnodes.  get finds or makes the vnode of a cookie and references it
 * (vcache_get(9)); may sleep.  ref is for who has a reference already.  rele
 * may sleep.  lock returns an errno only if the vnode is being reclaimed, or
 * (trylock) locked.
 */
int	pk_vnode_get(struct mount *, void *, struct vnode **);
void	pk_vnode_ref(struct vnode *);
void	pk_vnode_rele(struct vnode *);
int	pk_vnode_lock(struct vnode *);
int	pk_vnode_trylock(struct vnode *);
void	pk_vnode_lock_retry(struct vnode *);
void	pk_vnode_unlock(struct vnode *);
struct pk_mutex *pk_vnode_interlock(struct vnode *);
struct mount *pk_vnode_mount(struct vnode *);
uint32_t pk_vnode_type(struct vnode *);
void	pk_vnode_set_type(struct vnode *, uint32_t);
bool	pk_vnode_is_root(struct vnode *);
bool	pk_vnode_is_dying(struct vnode *);	/* enters the interlock */
int64_t	pk_vnode_size(struct vnode *);
void	pk_vnode_set_size(struct vnode *, int64_t);	/* page cache too */
void	pk_vnode_set_writesize(struct vnode *, int64_t);
void	pk_vnode_to_special(struct vnode *, uint64_t);	/* VCHR, VBLK */
void	pk_vnode_to_fifo(struct vnode *);
int	pk_vnode_fsync(struct vnode *, struct kauth_cred *, bool);
/* The vnodes (true: regular, with dirty pages) of a mount, referenced. */
struct vnode_iterator *pk_vnode_iter_create(struct mount *);
struct vnode *pk_vnode_iter_next(struct vnode_iterator *, bool);
void	pk_vnode_iter_destroy(struct vnode_iterator *);

/*
 * The page cache of a regular file.  All may sleep, and ask the file system
 * for pages or to write them.
 *
 * put writes dirty pages of a byte range back, which starts and ends at page
 * boundaries; an end of 0 is that of the file.  CLEAN does not wait for the
 * writing, SYNC does, FREE drops the pages then, but since NetBSD 10 passes
 * over those that are busy; RELEASE waits for these and has all go, but not
 * for what it writes.  DROP writes nothing.
 * wait waits until none is being written, which since NetBSD 10 SYNC does not
 * do for those that others write.  written tells whether any is.
 * read and write move so many bytes between the pages and the uio, and may
 * stop early (ubc_uiomove(9)).
 */
#define	PK_PUT_CLEAN		0
#define	PK_PUT_SYNC		1
#define	PK_PUT_FREE		2
#define	PK_PUT_RELEASE		3
#define	PK_PUT_DROP		4
int	pk_pages_put(struct vnode *, int64_t, int64_t, int);
void	pk_pages_wait(struct vnode *);
bool	pk_pages_written(struct vnode *);
int	pk_pages_read(struct vnode *, struct uio *, size_t, int);
int	pk_pages_write(struct vnode *, struct uio *, size_t);
/* The lock that VOP_GETPAGES is called inside, and gives up. */
void	pk_pages_lock(struct vnode *);
void	pk_pages_unlock(struct vnode *);
int	pk_pages_get(struct pk_vop *);		/* genfs_getpages */

/*
 * The name cache.  lookup is true if the name is known; the vnode is then
 * referenced, or NULL where the cache knows that there is no such file.
 * enter takes NULL for that.
 */
bool	pk_cache_lookup(struct vnode *, struct componentname *,
	    struct vnode **);
void	pk_cache_enter(struct vnode *, struct vnode *,
	    const struct componentname *);
void	pk_cache_purge(struct vnode *);
void	pk_cache_purge_name(struct vnode *, const struct componentname *);
void	pk_cache_purge_children(struct vnode *);
void	pk_cache_purge_mount(struct mount *);

/*
 * Nodes: what the kernel keeps of a file of the server's (v_data).  A node
 * is the kernel's own part of it, which is set up here, and as many bytes of
 * the core's as pool_init said; the address is that of the core's part,
 * which create leaves as they are.  attach ties a new vnode to its node and
 * makes it the file system's, detach cuts the tie, inside the interlock.
 */
void	pk_node_pool_init(size_t);
void	pk_node_pool_destroy(void);
void	*pk_node_create(void);
void	pk_node_destroy(void *);
void	pk_node_attach(void *, struct vnode *, bool);
void	pk_node_detach(struct vnode *);
void	*pk_vnode_node(struct vnode *);		/* NULL: none any more */
void	pk_node_selrecord(void *);		/* the calling lwp polls it */
void	pk_node_selnotify(void *, int);
int	pk_node_advlock(void *, struct pk_vop *, int64_t);	/* lf_advlock */

/* Credentials: 0 of a caller, 1 NOCRED, 2 FSCRED; and as a wire uucred. */
int	pk_cred_kind(struct kauth_cred *);
void	pk_cred_to_uucred(struct kauth_cred *, void *);

/* Path components. */
uint32_t pk_cn_nameiop(const struct componentname *);
uint32_t pk_cn_flags(const struct componentname *);
const char *pk_cn_nameptr(const struct componentname *);
size_t	pk_cn_namelen(const struct componentname *);
struct kauth_cred *pk_cn_cred(const struct componentname *);
void	pk_cn_set_flags(struct componentname *, uint32_t, uint32_t); /* set, clear */
/* The file system dealt with so much of the path behind the component. */
void	pk_cn_consume(struct componentname *, size_t);

/*
 * What a caller reads and writes.  move goes the way that the uio says, and
 * may sleep; give_back takes the last bytes that were moved for not moved.
 */
size_t	pk_uio_resid(const struct uio *);
int64_t	pk_uio_offset(const struct uio *);
void	pk_uio_set_offset(struct uio *, int64_t);
int	pk_uio_move(void *, size_t, struct uio *);
void	pk_uio_give_back(struct uio *, size_t);
/* Offsets of directory entries for NFS, which the caller of readdir frees. */
int64_t	*pk_cookies_alloc(size_t);

/* Buffers of asynchronous I/O.  done gives the buffer back to its owner. */
size_t	pk_buf_count(const struct buf *);
void	*pk_buf_data(struct buf *);
int64_t	pk_buf_offset(const struct buf *);
bool	pk_buf_is_read(const struct buf *);
bool	pk_buf_is_async(const struct buf *);
void	pk_buf_done(struct buf *, int, size_t);	/* errno, bytes not moved */

#endif /* _PUFFS_KERN_H_ */
