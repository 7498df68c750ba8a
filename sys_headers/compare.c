/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What this directory claims, compared with a kernel source tree: the tree's
 * own headers come first, and a declaration that does not fit them is an
 * error, as is a structure of another layout.  Compiled with each module that
 * is built from a tree; the object is of no use.
 */

#include <sys/cdefs.h>

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/kauth.h>
#include <sys/kernel.h>
#include <sys/kthread.h>
#include <sys/vmem.h>
#include <sys/workqueue.h>

#include <dev/putter/putter_sys.h>

/* Structures and what is spelt differently cannot be there twice. */
#define	COMPARE

#include "dev/putter/putter_sys.h"
#include "sys/kauth.h"
#include "sys/kernel.h"
#include "sys/kthread.h"
#include "sys/systm.h"
#include "sys/timevar.h"
#include "sys/vmem.h"
#include "sys/workqueue.h"

CTASSERT(sizeof(struct work) == sizeof(void *));

#define	POP_IS(member, n)						\
	CTASSERT(offsetof(struct putter_ops, member) == (n) * sizeof(void *))

POP_IS(pop_getout, 0);
POP_IS(pop_releaseout, 1);
POP_IS(pop_waitcount, 2);
POP_IS(pop_dispatch, 3);
POP_IS(pop_close, 4);
CTASSERT(sizeof(struct putter_ops) == 5 * sizeof(void *));
