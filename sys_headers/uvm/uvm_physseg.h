/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Physical segments, by name only.
 */

#ifndef _PUFFS_RS_UVM_UVM_PHYSSEG_H_
#define _PUFFS_RS_UVM_UVM_PHYSSEG_H_

#include <sys/types.h>

typedef uintptr_t uvm_physseg_t;

#endif /* _PUFFS_RS_UVM_UVM_PHYSSEG_H_ */
