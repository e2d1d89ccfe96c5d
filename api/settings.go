// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"

	"github.com/ringwall/ringwall/api/access"
)

// Setting is one value of the configuration in force.
type Setting struct {
	Name    string `json:"name" example:"brain.retention.age"`
	Value   string `json:"value" doc:"As YAML has it; a secret only says whether it is set"`
	Default string `json:"default"`
	Changed bool   `json:"changed" doc:"It is not the default"`
}

// ShowSettings makes GET /v1/settings answer with what f gives, which must hold no secret.
// Call it before anyone asks.
func (s *Server) ShowSettings(f func() ([]Setting, error)) { s.settings = f }

func (s *Server) settingOps() {
	register(s, operation{method: http.MethodGet, path: "/v1/settings", id: "listSettings", tag: "Settings", need: access.Administer, summary: "List the configuration in force, without its secrets",
		text: "It is changed in the configuration file of the brain's host, and taken over by SIGHUP or at the next start."},
		func(ctx context.Context, in *In) (*body[[]Setting], error) {
			if err := s.alone(in.as); err != nil {
				return nil, err
			}
			if s.settings == nil {
				return answer([]Setting{}), nil
			}
			list, err := s.settings()
			return answer(some(list)), err
		})
}
