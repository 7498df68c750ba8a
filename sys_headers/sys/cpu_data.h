/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The common part of struct cpu_info, as far as inline functions look at it.
 */

#ifndef _PUFFS_RS_SYS_CPU_DATA_H_
#define _PUFFS_RS_SYS_CPU_DATA_H_

#include <sys/intr.h>
#include <sys/sched.h>

struct lwp;

struct cpu_data {
	struct schedstate_percpu cpu_schedstate;
	struct lwp *cpu_idlelwp;
};

#define	ci_schedstate	ci_data.cpu_schedstate

enum cpu_count {
	CPU_COUNT_FLTRELCK,
	CPU_COUNT_FLTRELCKOK,
};

void	cpu_count(enum cpu_count, int64_t);

#endif /* _PUFFS_RS_SYS_CPU_DATA_H_ */
