// SPDX-License-Identifier: Apache-2.0

package sigma

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// detection compiles the detection section (or the filter section) of a rule to one expression. skip names keys
// that are neither search identifiers nor the condition.
func detection(n *yaml.Node, placeholders map[string][]string, skip ...string) (*expr, error) {
	entries, err := pairs(n)
	if err != nil {
		return nil, err
	}
	found := map[string]*expr{}
	var names []string
	var conditions []*yaml.Node
next:
	for _, p := range entries {
		for _, s := range skip {
			if p.key.Value == s {
				continue next
			}
		}
		switch p.key.Value {
		case "condition":
			if conditions, err = conditionNodes(p.value); err != nil {
				return nil, err
			}
		case "timeframe":
			return nil, faultf(p.key.Line, "timeframe belongs to the aggregations that left the specification with 2.0; write a correlation rule")
		default:
			e, err := search(p.value, placeholders, 0)
			if err != nil {
				return nil, err
			}
			found[p.key.Value] = e
			names = append(names, p.key.Value)
		}
	}
	if len(conditions) == 0 {
		return nil, faultf(n.Line, "no condition")
	}
	var alternatives []*expr
	for _, c := range conditions {
		e, err := parseCondition(c.Value, names, found)
		if err != nil {
			return nil, faultf(c.Line, "condition: %v", err)
		}
		alternatives = append(alternatives, e)
	}
	return or(alternatives...), nil
}

func conditionNodes(n *yaml.Node) ([]*yaml.Node, error) {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	for _, c := range nodes {
		if c.Kind != yaml.ScalarNode || c.Tag == "!!null" {
			return nil, faultf(c.Line, "a condition must be text, this is %s", kindName(c))
		}
	}
	return nodes, nil
}

// search compiles one search identifier: a map is AND, a list is OR, plain values are keywords.
func search(n *yaml.Node, placeholders map[string][]string, depth int) (*expr, error) {
	if depth > maxDepth {
		return nil, faultf(n.Line, "nested deeper than %d", maxDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		entries, err := pairs(n)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			return nil, faultf(n.Line, "an empty map matches nothing")
		}
		var all []*expr
		for _, p := range entries {
			e, err := field(p, placeholders)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return and(all...), nil
	case yaml.SequenceNode:
		if len(n.Content) == 0 {
			return nil, faultf(n.Line, "an empty list matches nothing")
		}
		var any []*expr
		var words []*yaml.Node
		for _, c := range n.Content {
			if c.Kind == yaml.ScalarNode {
				words = append(words, c)
				continue
			}
			e, err := search(c, placeholders, depth+1)
			if err != nil {
				return nil, err
			}
			any = append(any, e)
		}
		if len(words) > 0 {
			e, err := item("", nil, words, words[0].Line, placeholders)
			if err != nil {
				return nil, err
			}
			any = append(any, e)
		}
		return or(any...), nil
	case yaml.ScalarNode:
		return item("", nil, []*yaml.Node{n}, n.Line, placeholders)
	}
	return nil, faultf(n.Line, "a search needs a map, a list or a value, this is %s", kindName(n))
}

// field compiles one entry of a map: name|modifier|…: value or list of values.
func field(p pair, placeholders map[string][]string) (*expr, error) {
	parts := strings.Split(p.key.Value, "|")
	values := []*yaml.Node{p.value}
	if p.value.Kind == yaml.SequenceNode {
		values = p.value.Content
	}
	if len(values) == 0 {
		return nil, faultf(p.key.Line, "field %q has an empty list, which matches nothing", parts[0])
	}
	for _, v := range values {
		if v.Kind != yaml.ScalarNode {
			return nil, faultf(v.Line, "field %q needs a value or a list of values, this is %s", parts[0], kindName(v))
		}
	}
	return item(parts[0], parts[1:], values, p.key.Line, placeholders)
}
