/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The installed <sys/proc.h> is of a release in which proc_lock is a mutex;
 * until NetBSD 9 it was a pointer to one, which is what the shim's lines for
 * those releases want to see.
 */

#ifndef _PUFFS_RS_SYS_PROC_H_
#define _PUFFS_RS_SYS_PROC_H_

#include_next <sys/proc.h>

#if __NetBSD_Version__ < 999000000
#define	proc_lock	(&proc_lock)
#endif

#endif /* _PUFFS_RS_SYS_PROC_H_ */
