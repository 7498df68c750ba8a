/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Pages whose mappings are tracked though no page has them.
 */

#ifndef _PUFFS_RS_UVM_PMAP_PMAP_PVT_H_
#define _PUFFS_RS_UVM_PMAP_PMAP_PVT_H_

struct pv_entry;

#endif /* _PUFFS_RS_UVM_PMAP_PMAP_PVT_H_ */
