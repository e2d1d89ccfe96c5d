// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall/api"
)

// secretName matches the last word of a setting whose value nobody may read.
var secretName = regexp.MustCompile(`(?i)(secret|password|passphrase|token|credential|apikey|api_key|routing_key)s?$`)

// shownSettings lists a configuration value by value, beside the default.
func shownSettings(cfg Config) ([]api.Setting, error) {
	now, err := flat(cfg)
	if err != nil {
		return nil, err
	}
	before, err := flat(defaultConfig())
	if err != nil {
		return nil, err
	}
	defaults := map[string]string{}
	for _, s := range before {
		defaults[s.Name] = s.Value
	}
	for i := range now {
		d, known := defaults[now[i].Name]
		now[i].Default, now[i].Changed = d, !known || d != now[i].Value
	}
	return now, nil
}

// flat writes a configuration as one line for each value that YAML has.
func flat(cfg Config) (out []api.Setting, err error) {
	var doc yaml.Node
	if err := doc.Encode(cfg); err != nil {
		return nil, fmt.Errorf("show settings: %w", err)
	}
	var walk func(name string, n *yaml.Node)
	walk = func(name string, n *yaml.Node) {
		switch {
		case n.Kind == yaml.MappingNode && len(n.Content) > 0:
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(strings.TrimPrefix(name+"."+n.Content[i].Value, "."), n.Content[i+1])
			}
		case n.Kind == yaml.SequenceNode && len(n.Content) > 0 && n.Content[0].Kind != yaml.ScalarNode:
			for i, x := range n.Content {
				walk(fmt.Sprintf("%s[%d]", name, i), x)
			}
		default:
			out = append(out, api.Setting{Name: name, Value: shownValue(name, n)})
		}
	}
	walk("", &doc)
	return out, nil
}

// shownValue is a value that may be read: of a secret only whether it is set, of a URL
// nothing that lets someone in.
func shownValue(name string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		var parts []string
		for _, x := range n.Content {
			parts = append(parts, shownValue(name, x))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if secretName.MatchString(name) {
		if n.Value == "" {
			return ""
		}
		return "(set)"
	}
	if strings.Contains(n.Value, "://") {
		parts := strings.Split(n.Value, ",")
		for i, p := range parts {
			if u, err := url.Parse(strings.TrimSpace(p)); err == nil && (u.User != nil || u.RawQuery != "") {
				u.User, u.RawQuery = nil, ""
				parts[i] = u.String()
			}
		}
		return strings.Join(parts, ",")
	}
	return n.Value
}
