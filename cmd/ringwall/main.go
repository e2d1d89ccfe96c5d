// SPDX-License-Identifier: Apache-2.0

// Command ringwall is the whole product in one binary: agent, brain, range and the
// questions to them. It holds no logic; package cli composes it. The trap to know: it
// starts itself again as archive-query for every hunt.
package main

import (
	"os"

	"github.com/ringwall/ringwall/cli"
)

func main() { os.Exit(cli.Main(cli.Root())) }
