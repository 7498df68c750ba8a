/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * A unit of work: struct buf has one.
 */

#ifndef _PUFFS_RS_SYS_WORKQUEUE_H_
#define _PUFFS_RS_SYS_WORKQUEUE_H_

#ifndef COMPARE
struct work {
	void *wk_dummy;
};
#endif

#endif /* _PUFFS_RS_SYS_WORKQUEUE_H_ */
