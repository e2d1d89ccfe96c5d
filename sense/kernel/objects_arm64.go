// SPDX-License-Identifier: Apache-2.0

package kernel

import _ "embed"

//go:embed kernel_arm64.o
var object []byte
