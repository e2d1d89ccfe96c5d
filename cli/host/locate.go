// SPDX-License-Identifier: Apache-2.0

package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// keyPath is the setting that a complaint begins with, such as brain.policy.act.
var keyPath = regexp.MustCompile(`^[a-z_]+(?:\.[a-z_0-9]+)+`)

// Locate names the file of a configuration whose values cannot be, and for each complaint
// the line of its setting where the file has it.
func Locate(path string, err error) error {
	raw, rerr := os.ReadFile(path)
	var root yaml.Node
	if rerr != nil || yaml.NewDecoder(bytes.NewReader(raw)).Decode(&root) != nil || len(root.Content) == 0 {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return fmt.Errorf("configuration %s: %w", path, &located{err, root.Content[0]})
}

// located shows the lines; what is wrapped stays as it is.
type located struct {
	err  error
	root *yaml.Node
}

func (l *located) Unwrap() error { return l.err }

func (l *located) Error() string {
	var out []string
	for _, e := range parts(l.err) {
		text := e.Error()
		if n := lineOf(l.root, strings.Split(keyPath.FindString(text), ".")); n > 0 {
			text = fmt.Sprintf("line %d: %s", n, text)
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

// parts takes joined errors apart.
func parts(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, parts(e)...)
	}
	return out
}

// lineOf finds the line of a setting; its path may begin below the top, because a
// section names itself without what it lies in. 0: the file does not have it, or more
// than once.
func lineOf(n *yaml.Node, path []string) int {
	if len(path) < 2 || n.Kind != yaml.MappingNode {
		return 0
	}
	if line := below(n, path); line > 0 {
		return line
	}
	found := 0
	for i := 1; i < len(n.Content); i += 2 {
		if line := lineOf(n.Content[i], path); line > 0 {
			if found > 0 {
				return 0
			}
			found = line
		}
	}
	return found
}

// below follows a path as far as the file has it, but for one last step.
func below(n *yaml.Node, path []string) int {
	line := 0
	for i, key := range path {
		if n.Kind != yaml.MappingNode {
			return line
		}
		next := (*yaml.Node)(nil)
		for j := 0; j+1 < len(n.Content); j += 2 {
			if n.Content[j].Value == key {
				line, next = n.Content[j].Line, n.Content[j+1]
			}
		}
		if next == nil {
			if i < len(path)-1 || i == 0 {
				return 0
			}
			return line
		}
		n = next
	}
	return line
}
