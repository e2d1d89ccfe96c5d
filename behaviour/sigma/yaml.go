// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on rule files. SigmaHQ's largest rule is 40 kB; the rest is room.
const (
	maxFile      = 1 << 20
	maxDocuments = 4096
	maxDepth     = 32      // nesting of YAML, brackets of a condition
	maxValues    = 1 << 14 // values of one search identifier after expansion
)

// fault is a reason to refuse a document, at a line of its file.
type fault struct {
	line   int
	reason string
}

func (f *fault) Error() string { return fmt.Sprintf("line %d: %s", f.line, f.reason) }

func faultf(line int, format string, args ...any) error {
	return &fault{line: line, reason: fmt.Sprintf(format, args...)}
}

// documents splits a file. A file that is no YAML gives the documents before the damage and the error.
func documents(raw []byte) ([]*yaml.Node, error) {
	if len(raw) > maxFile {
		return nil, faultf(1, "file is larger than %d bytes", maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var docs []*yaml.Node
	for {
		var n yaml.Node
		err := dec.Decode(&n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return docs, yamlFault(err)
		}
		if len(docs) == maxDocuments {
			return docs, faultf(n.Line, "more than %d documents in one file", maxDocuments)
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			docs = append(docs, n.Content[0])
		}
	}
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func yamlFault(err error) error {
	line, text := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, e := strconv.Atoi(m[1]); e == nil {
			line = n
		}
		text = strings.Replace(text, m[0], "", 1)
	}
	return faultf(line, "not YAML: %s", text)
}

// pair is one entry of a mapping.
type pair struct {
	key   *yaml.Node
	value *yaml.Node
}

// pairs reads a mapping in order. Doubled keys are refused: YAML readers keep one of the two in silence, and
// which one decides what the rule detects.
func pairs(n *yaml.Node) ([]pair, error) {
	if n.Kind != yaml.MappingNode {
		return nil, faultf(n.Line, "a map is needed here, this is %s", kindName(n))
	}
	seen := make(map[string]bool, len(n.Content)/2)
	out := make([]pair, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			return nil, faultf(k.Line, "a key must be plain text, this is %s", kindName(k))
		}
		if seen[k.Value] {
			return nil, faultf(k.Line, "key %q stands twice in one map", k.Value)
		}
		seen[k.Value] = true
		out = append(out, pair{k, n.Content[i+1]})
	}
	return out, nil
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "a YAML alias, which rules may not use"
	case yaml.ScalarNode:
		if n.Tag == "!!merge" {
			return "a YAML merge key, which rules may not use"
		}
		return "a value"
	}
	return "nothing"
}

// text reads a scalar; a missing node is "".
func text(n *yaml.Node) (string, error) {
	if n == nil || n.Tag == "!!null" {
		return "", nil
	}
	if n.Kind != yaml.ScalarNode {
		return "", faultf(n.Line, "text is needed here, this is %s", kindName(n))
	}
	return strings.TrimSpace(n.Value), nil
}

// texts reads a list of scalars, or one scalar as a list of one.
func texts(n *yaml.Node) ([]string, error) {
	if n == nil || n.Tag == "!!null" {
		return nil, nil
	}
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	out := make([]string, 0, len(nodes))
	for _, c := range nodes {
		s, err := text(c)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
