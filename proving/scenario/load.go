// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxFile bounds a scenario file. Ours are below 8 KiB.
const maxFile = 1 << 20

// maxDepth bounds nesting, so that a hostile file cannot exhaust the stack.
const maxDepth = 32

// Load reads a scenario and lets the seed choose; a nil seed takes the file's own. Errors name
// file and line.
func Load(file string, seed *uint64) (*Scenario, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return Parse(file, data, seed)
}

// Parse is Load for bytes that are at hand; file is for messages.
func Parse(file string, data []byte, seed *uint64) (*Scenario, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: %d bytes are more than a scenario may have (%d)", file, len(data), maxFile)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, atLine(file, err)
	}
	if document.Kind != yaml.DocumentNode || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:1: a scenario is a mapping that begins with id", file)
	}
	root := document.Content[0]
	p := &parser{file: file, root: root}
	if err := p.checkShape(root, 0); err != nil {
		return nil, err
	}
	if err := p.choose(seed); err != nil {
		return nil, err
	}
	if err := p.expand(root, "", map[string]bool{"vars": true}); err != nil {
		return nil, err
	}
	s := &Scenario{File: file}
	if err := strict(root, s); err != nil {
		return nil, atLine(file, err)
	}
	s.Seed, s.Names, s.Machines = p.seed, p.names, p.machines
	for i := range s.Steps {
		s.Steps[i].Line = p.line("steps", i)
	}
	if err := p.validate(s); err != nil {
		return nil, err
	}
	return s, nil
}

type parser struct {
	file     string
	root     *yaml.Node
	seed     uint64
	vars     map[string]variable
	names    map[string]string
	machines map[string]Machine
}

func (p *parser) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...))
}

// checkShape refuses what makes a small file large or a line number meaningless.
func (p *parser) checkShape(n *yaml.Node, depth int) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return p.errorf(n.Line, "anchors and aliases are not read; write the value out")
	}
	if depth > maxDepth {
		return p.errorf(n.Line, "nested deeper than %d", maxDepth)
	}
	for _, child := range n.Content {
		if err := p.checkShape(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// strict decodes and refuses unknown keys. yaml.v3 offers that only when it reads bytes, and the
// expanded tree has none.
func strict(root *yaml.Node, s *Scenario) error {
	if err := unknownKeys(root, reflect.TypeOf(s)); err != nil {
		return err
	}
	return root.Decode(s)
}

var lineOfYAML = regexp.MustCompile(`line (\d+): `)

// atLine turns yaml.v3's messages into file:line: message.
func atLine(file string, err error) error {
	var placed *lineError
	if errors.As(err, &placed) {
		return fmt.Errorf("%s:%d: %s", file, placed.line, placed.text)
	}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.ReplaceAll(strings.TrimPrefix(text, "unmarshal errors:\n"), "\n", ";")
	line := 1
	if m := lineOfYAML.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
	}
	return fmt.Errorf("%s:%d: %s", file, line, strings.TrimSpace(text))
}

// line finds where something stands, by keys and indexes; the nearest known line if it is not there.
func (p *parser) line(way ...any) int {
	node, line := p.root, p.root.Line
	for _, step := range way {
		next := child(node, step)
		if next == nil {
			return line
		}
		node, line = next, next.Line
	}
	return line
}

func child(n *yaml.Node, step any) *yaml.Node {
	switch step := step.(type) {
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	}
	return nil
}
