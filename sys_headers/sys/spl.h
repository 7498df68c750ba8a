/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Empty: nothing here blocks interrupts.
 */

#ifndef _PUFFS_RS_SYS_SPL_H_
#define _PUFFS_RS_SYS_SPL_H_

#endif /* _PUFFS_RS_SYS_SPL_H_ */
