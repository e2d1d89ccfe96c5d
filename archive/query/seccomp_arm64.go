// SPDX-License-Identifier: Apache-2.0

package query

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// refusedHere: arm64 has no older spellings.
var refusedHere []int

var opens = []openCall{{unix.SYS_OPENAT, 2}}
