/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The structures that puffs shares with its vnode operations: the members that
 * the shim names, in no layout, and what the Rust core exports.
 */

#ifndef _PUFFS_RS_FS_PUFFS_PUFFS_SYS_H_
#define _PUFFS_RS_FS_PUFFS_PUFFS_SYS_H_

#include <sys/param.h>
#include <sys/condvar.h>
#include <sys/kauth.h>
#include <sys/mutex.h>
#include <sys/pool.h>
#include <sys/queue.h>
#include <sys/select.h>
#include <sys/vnode.h>

#include <miscfs/genfs/genfs_node.h>

#include <fs/puffs/puffs_msgif.h>

#define	PUFFS_NOSUCHCOOKIE	(-1)
#define	PUFFS_SOPREQ_EXPIRE_TIMEOUT 1000

#define	PUFFS_UPDATEATIME	0x01
#define	PUFFS_UPDATECTIME	0x02
#define	PUFFS_UPDATEMTIME	0x04
#define	PUFFS_UPDATESIZE	0x08

#define	PNODE_NOREFS		0x001
#define	PNODE_DYING		0x002
#define	PNODE_FAF		0x004
#define	PNODE_DOINACT		0x008
#define	PNODE_METACACHE_ATIME	0x010
#define	PNODE_METACACHE_CTIME	0x020
#define	PNODE_METACACHE_MTIME	0x040
#define	PNODE_METACACHE_SIZE	0x080
#define	PNODE_SOPEXP		0x100

enum puffs_sopreqtype {
	PUFFS_SOPREQ_EXPIRE,
};

struct puffs_sopreq {
	TAILQ_ENTRY(puffs_sopreq) psopr_entries;
	enum puffs_sopreqtype	psopr_sopreq;
	puffs_cookie_t		psopr_ck;
	int			psopr_at;
};

struct puffs_mount {
	struct mount		*pmp_mp;
	struct puffs_kargs	pmp_args;
	size_t			pmp_msg_maxsize;

	kmutex_t		pmp_lock;
	struct vnode		*pmp_root;
	puffs_cookie_t		pmp_root_cookie;
	enum vtype		pmp_root_vtype;
	vsize_t			pmp_root_vsize;
	dev_t			pmp_root_rdev;

	kmutex_t		pmp_sopmtx;
	kcondvar_t		pmp_sopcv;
	int			pmp_sopthrcount;
	TAILQ_HEAD(, puffs_sopreq) pmp_sopnodereqs;
};

#define	MPTOPUFFSMP(mp)	((struct puffs_mount *)(mp)->mnt_data)
#define	PMPTOMP(pmp)	((pmp)->pmp_mp)

struct puffs_node {
	struct genfs_node	pn_gnode;
	kmutex_t		pn_mtx;
	kmutex_t		pn_sizemtx;
	int			pn_refcount;
	uint32_t		pn_stat;
	puffs_cookie_t		pn_cookie;
	struct vnode		*pn_vp;
	struct selinfo		pn_sel;
	short			pn_revents;
	struct timespec		pn_mc_atime;
	struct timespec		pn_mc_ctime;
	struct timespec		pn_mc_mtime;
	u_quad_t		pn_mc_size;
	voff_t			pn_serversize;
	struct vattr		*pn_va_cache;
};

#define	VPTOPP(vp)	((struct puffs_node *)(vp)->v_data)

struct puffs_msgpark;

typedef void (*parkdone_fn)(struct puffs_mount *, struct puffs_req *, void *);

/* The C objects' variables, and the shim's. */
extern int (**puffs_vnodeop_p)(void *);
extern int (**puffs_specop_p)(void *);
extern int (**puffs_fifoop_p)(void *);
extern const struct vnodeopv_desc puffs_vnodeop_opv_desc;
extern const struct vnodeopv_desc puffs_specop_opv_desc;
extern const struct vnodeopv_desc puffs_fifoop_opv_desc;
extern const struct vnodeopv_desc puffs_msgop_opv_desc;
extern struct pool puffs_pnpool;
extern struct pool puffs_vapool;

#ifdef PUFFSDEBUG
extern int puffsdebug;
#endif
extern int puffs_sopreq_expire_timeout;

/* Requests. */
void	puffs_msgif_init(void);
void	puffs_msgif_destroy(void);
int	puffs_msgmem_alloc(size_t, struct puffs_msgpark **, void **, int);
void	puffs_msgmem_release(struct puffs_msgpark *);
void	puffs_msg_setfaf(struct puffs_msgpark *);
void	puffs_msg_setdelta(struct puffs_msgpark *, size_t);
void	puffs_msg_setinfo(struct puffs_msgpark *, int, int, puffs_cookie_t);
void	puffs_msg_setcall(struct puffs_msgpark *, parkdone_fn, void *);
void	puffs_msg_enqueue(struct puffs_mount *, struct puffs_msgpark *);
int	puffs_msg_wait(struct puffs_mount *, struct puffs_msgpark *);
int	puffs_msg_wait2(struct puffs_mount *, struct puffs_msgpark *,
	    struct puffs_node *, struct puffs_node *);
void	puffs_msg_sendresp(struct puffs_mount *, struct puffs_req *, int);
void	puffs_senderr(struct puffs_mount *, int, int, const char *,
	    puffs_cookie_t);
void	puffs_sop_thread(void *);
void	puffs_userdead(struct puffs_mount *);
void	puffs_mp_reference(struct puffs_mount *);
void	puffs_mp_release(struct puffs_mount *);

/* What the putter device calls. */
int	puffs_msgif_getout(void *, size_t, int, uint8_t **, size_t *, void **);
void	puffs_msgif_releaseout(void *, void *, int);
int	puffs_msgif_dispatch(void *, struct putter_hdr *);
size_t	puffs_msgif_waitcount(void *);
int	puffs_msgif_close(void *);

/* Nodes. */
int	puffs_getvnode(struct mount *, puffs_cookie_t, enum vtype, voff_t,
	    dev_t, struct vnode **);
int	puffs_newnode(struct mount *, struct vnode *, struct vnode **,
	    puffs_cookie_t, struct componentname *, enum vtype, dev_t);
void	puffs_putvnode(struct vnode *);
int	puffs_cookie2vnode(struct puffs_mount *, puffs_cookie_t,
	    struct vnode **);
void	puffs_referencenode(struct puffs_node *);
void	puffs_releasenode(struct puffs_node *);
void	puffs_updatenode(struct puffs_node *, int, voff_t);
void	puffs_gop_size(struct vnode *, off_t, off_t *, int);
void	puffs_gop_markupdate(struct vnode *, int);

/* Parts of requests, and what their completion calls. */
void	puffs_makecn(struct puffs_kcn *, struct puffs_kcred *,
	    const struct componentname *, int);
void	puffs_credcvt(struct puffs_kcred *, kauth_cred_t);
void	puffs_parkdone_asyncbioread(struct puffs_mount *, struct puffs_req *,
	    void *);
void	puffs_parkdone_asyncbiowrite(struct puffs_mount *, struct puffs_req *,
	    void *);
void	puffs_parkdone_poll(struct puffs_mount *, struct puffs_req *, void *);

#endif /* _PUFFS_RS_FS_PUFFS_PUFFS_SYS_H_ */
