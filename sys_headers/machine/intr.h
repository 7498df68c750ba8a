/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Interrupt levels.  The installed headers of aarch64 are without those of
 * the port that its kernels are of; <machine/intr.h> is another port's then,
 * or nobody's.
 */

#ifndef _PUFFS_RS_MACHINE_INTR_H_
#define _PUFFS_RS_MACHINE_INTR_H_

#ifdef __aarch64__
#include <evbarm/intr.h>
#else
#include_next <machine/intr.h>
#endif

#endif /* _PUFFS_RS_MACHINE_INTR_H_ */
