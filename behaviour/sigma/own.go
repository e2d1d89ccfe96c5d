// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"embed"
	"io/fs"
)

//go:embed rules
var ownRules embed.FS

// Own gives the rules that come with Ringwall (Apache-2.0). They speak about what our own sensors see and others
// do not: what descriptor 0 is, whether the program's file is still there, who the ancestors are.
func Own() Source {
	sub, err := fs.Sub(ownRules, "rules")
	if err != nil {
		panic("sigma: embedded rules: " + err.Error())
	}
	return Source{FS: sub, Name: "ringwall", License: "Apache-2.0"}
}
