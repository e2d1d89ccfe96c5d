// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"sort"
	"strings"
)

// MapEvent is an event held in a map: for cases, replay of foreign records and tests. Sensors that see many events
// should implement Fields over their own records instead.
type MapEvent struct {
	Source LogSource
	Values map[string]string
	Raw    string // the raw line; empty: keywords search all values
}

// LogSource implements Fields.
func (e MapEvent) LogSource() LogSource { return e.Source }

// Field implements Fields.
func (e MapEvent) Field(name string) (string, bool) {
	v, ok := e.Values[name]
	return v, ok
}

// Keywords implements Fields.
func (e MapEvent) Keywords() string {
	if e.Raw != "" || len(e.Values) == 0 {
		return e.Raw
	}
	vs := make([]string, 0, len(e.Values))
	for _, v := range e.Values {
		vs = append(vs, v)
	}
	sort.Strings(vs)
	return strings.Join(vs, "\n")
}
