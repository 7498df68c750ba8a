/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The hooks of compat_50 that puffs has.
 */

#ifndef _PUFFS_RS_SYS_COMPAT_STUB_H_
#define _PUFFS_RS_SYS_COMPAT_STUB_H_

#include <sys/types.h>

struct puffs_req;

/* By name and type; a hook is called through these two alone. */
#define	MODULE_HOOK_CALL(hook, args, other, rv) do {			\
	(rv) = (hook).hook_set ? (*(hook).hook_fn)args : (other);	\
} while (/* CONSTCOND */ 0)
#define	MODULE_HOOK_CALL_VOID(hook, args, other) do {			\
	if ((hook).hook_set)						\
		(*(hook).hook_fn)args;					\
	else								\
		other;							\
} while (/* CONSTCOND */ 0)

extern struct puffs_out_50_hook {
	bool	hook_set;
	int	(*hook_fn)(struct puffs_req *, struct puffs_req **, ssize_t *);
} puffs_out_50_hook;

extern struct puffs_in_50_hook {
	bool	hook_set;
	void	(*hook_fn)(struct puffs_req *, struct puffs_req *);
} puffs_in_50_hook;

#endif /* _PUFFS_RS_SYS_COMPAT_STUB_H_ */
