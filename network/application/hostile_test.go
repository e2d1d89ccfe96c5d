// SPDX-License-Identifier: Apache-2.0

package application

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkHostile shows what a request costs that was made to be dear: many bytes of
// what the rules look hardest at.
func BenchmarkHostile(b *testing.B) {
	e, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	for name, unit := range map[string]string{
		"words": "select a date ", "quotes": "' or ''='", "shell": ";$(`a`)|", "tags": "<a onx=", "slashes": "../", "letters": "a", "base64": "cnVudGltZQ",
	} {
		for _, many := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s-%d", name, many), func(b *testing.B) {
				r := browserRequest("POST", "/x")
				r.Headers = append(r.Headers, [2]string{"Content-Type", "application/x-www-form-urlencoded"})
				var form strings.Builder
				for i := range many {
					fmt.Fprintf(&form, "p%d=%s&", i, strings.Repeat(unit, 16384/many/len(unit)))
				}
				r.Body = form.String()
				a := r.activity()
				for b.Loop() {
					if _, err := e.Judge(a); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
