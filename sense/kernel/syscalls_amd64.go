// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// calls that only some machines have.
var syscallsHere = []uint32{
	unix.SYS_OPEN, unix.SYS_CREAT, unix.SYS_RENAME, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_UNLINK, unix.SYS_CHMOD,
}
