/*
 * Copyright (c) 2026 The puffs-rs developers.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Credentials.
 */

#ifndef _PUFFS_RS_SYS_KAUTH_H_
#define _PUFFS_RS_SYS_KAUTH_H_

#include <sys/types.h>

struct uucred;

/* Not credentials, but words for whose they are. */
#define	NOCRED	((kauth_cred_t)-1)
#define	FSCRED	((kauth_cred_t)-2)

void	kauth_cred_to_uucred(struct uucred *, const kauth_cred_t);

#endif /* _PUFFS_RS_SYS_KAUTH_H_ */
