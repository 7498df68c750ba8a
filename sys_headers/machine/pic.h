/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The interrupt controller, which nothing here looks into.
 */

#ifndef _PUFFS_RS_MACHINE_PIC_H_
#define _PUFFS_RS_MACHINE_PIC_H_

struct pic;

#endif /* _PUFFS_RS_MACHINE_PIC_H_ */
