// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ringwall/ringwall/cli/host"
)

// The documented file says what holds without it.
func TestDocumentedConfigurationIsTheDefault(t *testing.T) {
	want := defaultConfig()
	got := Config{}
	if err := host.Decode("../deploy/ringwall.yaml", false, &got); err != nil {
		t.Fatal(err)
	}
	text := func(c Config) string {
		b, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text(got) != text(want) {
		t.Errorf("deploy/ringwall.yaml is not the default:\n%s\nthe default is:\n%s", text(got), text(want))
	}
}

func TestBadConfigurationNamesFileAndLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key": {"brain:\n  polcy: {}\n", "line 2"},
		"not YAML":    {"brain: [\n", "line"},
		"bad switch":  {"agent:\n  sensors: {kernel: maybe}\n", "want on or off"},
		"bad stage":   {"brain:\n  policy: {stage: kill}\n", "observe, shadow or enforce"},
	} {
		path := filepath.Join(t.TempDir(), "ringwall.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var cfg Config
		err := host.Decode(path, false, &cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
