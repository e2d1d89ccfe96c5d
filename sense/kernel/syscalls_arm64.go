// SPDX-License-Identifier: Apache-2.0

package kernel

// calls that only some machines have: arm64 has none of the old ones.
var syscallsHere []uint32
