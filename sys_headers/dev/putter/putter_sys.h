/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The kernel's side of the putter device.
 */

#ifndef _PUFFS_RS_DEV_PUTTER_PUTTER_SYS_H_
#define _PUFFS_RS_DEV_PUTTER_PUTTER_SYS_H_

#include <sys/types.h>

#include <dev/putter/putter.h>

struct putter_instance;

#ifndef COMPARE
struct putter_ops {
	int	(*pop_getout)(void *, size_t, int, uint8_t **, size_t *,
		    void **);
	void	(*pop_releaseout)(void *, void *, int);
	size_t	(*pop_waitcount)(void *);
	int	(*pop_dispatch)(void *, struct putter_hdr *);
	int	(*pop_close)(void *);
};
#endif

struct putter_instance *putter_attach(pid_t, int, void *, struct putter_ops *);
void	putter_detach(struct putter_instance *);
void	putter_notify(struct putter_instance *);

#endif /* _PUFFS_RS_DEV_PUTTER_PUTTER_SYS_H_ */
