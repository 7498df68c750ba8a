/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The size of what stands for the unknown members of a structure.  There is
 * no right one: the shim is compiled with two, and has to come out the same.
 */

#ifndef UNKNOWN_SIZE
#define UNKNOWN_SIZE	64
#endif
