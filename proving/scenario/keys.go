// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// lineError is a fault with its place.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// unknownKeys walks the tree beside the type and refuses a key that the type has not: a
// misspelled `truth` must not pass as a step without truth.
func unknownKeys(n *yaml.Node, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		known := fieldsOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			field, ok := known[key.Value]
			if !ok {
				names := slices.Sorted(maps.Keys(known))
				return &lineError{key.Line, fmt.Sprintf("key %q is not known here; known are %s", key.Value, strings.Join(names, ", "))}
			}
			if err := unknownKeys(n.Content[i+1], field); err != nil {
				return err
			}
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			if err := unknownKeys(n.Content[i], t.Elem()); err != nil {
				return err
			}
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, item := range n.Content {
			if err := unknownKeys(item, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("yaml"); name != "-" && name != "" {
			fields[name] = f.Type
		}
	}
	return fields
}

// UnmarshalYAML reads a play's name alone or a mapping.
func (b *Background) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		b.Play = n.Value
		return nil
	}
	type plain Background
	return n.Decode((*plain)(b))
}
