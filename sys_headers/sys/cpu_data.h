/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The common part of struct cpu_info, with the members that inline functions
 * look at which nobody calls here.  They are not where they seem to be, nor
 * is anything behind them in struct cpu_info: see unknown.h.
 */

#ifndef _PUFFS_RS_SYS_CPU_DATA_H_
#define _PUFFS_RS_SYS_CPU_DATA_H_

#include <sys/intr.h>
#include <sys/sched.h>

#include <unknown.h>

struct lwp;

struct cpu_data {
	char cpu_unknown[UNKNOWN_SIZE];
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
