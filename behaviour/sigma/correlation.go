// SPDX-License-Identifier: Apache-2.0

package sigma

type correlation struct {
	kind  string
	rules []*Rule
	cond  struct{ whole bool }
}

func (c *correlation) ordered() bool { return false }
func (l *loader) applyCorrelations() {}
