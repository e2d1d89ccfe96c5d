// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/api/access"
)

// TestSettingsShowNoSecret: every value stands there with its default, secrets only as set.
func TestSettingsShowNoSecret(t *testing.T) {
	cfg := defaultConfig()
	cfg.Brain.Bus = "tls://joe:hunter2@broker:4222,nats://other:4222"
	cfg.Brain.Retention.Bytes = 5 << 30
	cfg.API.OIDC = []access.Provider{{Name: "corp", Issuer: "https://idp.example", ClientID: "console", ClientSecret: "hunter2"}}
	list, err := shownSettings(cfg)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]api.Setting{}
	for _, s := range list {
		if by[s.Name].Name != "" {
			t.Errorf("%s stands there twice", s.Name)
		}
		by[s.Name] = s
		if strings.Contains(s.Value, "hunter2") {
			t.Errorf("%s shows a secret: %s", s.Name, s.Value)
		}
	}
	for name, want := range map[string]api.Setting{
		"brain.bus":                 {Value: "tls://broker:4222,nats://other:4222", Changed: true},
		"brain.retention.bytes":     {Value: "5368709120", Default: "21474836480", Changed: true},
		"brain.policy.stage":        {Value: "observe", Default: "observe"},
		"brain.tenants":             {Value: "[default]", Default: "[default]"},
		"api.oidc[0].client_secret": {Value: "(set)", Changed: true},
		"api.oidc[0].issuer":        {Value: "https://idp.example", Changed: true},
	} {
		want.Name = name
		if by[name] != want {
			t.Errorf("%s: %+v, want %+v", name, by[name], want)
		}
	}
}
