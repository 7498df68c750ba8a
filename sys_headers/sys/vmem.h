/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Arenas, by name only.
 */

#ifndef _PUFFS_RS_SYS_VMEM_H_
#define _PUFFS_RS_SYS_VMEM_H_

#include <sys/types.h>

typedef struct vmem vmem_t;
typedef uintptr_t vmem_addr_t;
typedef size_t vmem_size_t;
typedef unsigned int vm_flag_t;

#endif /* _PUFFS_RS_SYS_VMEM_H_ */
