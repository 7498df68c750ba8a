/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Empty: nothing here computes with times.
 */

#ifndef _PUFFS_RS_SYS_TIMEARITH_H_
#define _PUFFS_RS_SYS_TIMEARITH_H_

#endif /* _PUFFS_RS_SYS_TIMEARITH_H_ */
