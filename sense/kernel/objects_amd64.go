// SPDX-License-Identifier: Apache-2.0

package kernel

import _ "embed"

//go:generate ./generate.sh

//go:embed kernel_amd64.o
var object []byte
