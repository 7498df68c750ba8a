/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The tables of vnode operations: for most files, for devices, for fifos.
 */

#ifndef _PUFFS_VNOPS_H_
#define _PUFFS_VNOPS_H_

extern int (**pk_vnodeop_p)(void *);
extern int (**pk_specop_p)(void *);
extern int (**pk_fifoop_p)(void *);

extern const struct vnodeopv_desc pk_vnodeop_opv_desc;
extern const struct vnodeopv_desc pk_specop_opv_desc;
extern const struct vnodeopv_desc pk_fifoop_opv_desc;

#endif /* _PUFFS_VNOPS_H_ */
