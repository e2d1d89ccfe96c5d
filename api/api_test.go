// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall/api/access"
	"github.com/ringwall/ringwall/archive"
	"github.com/ringwall/ringwall/brain"
	"github.com/ringwall/ringwall/health"
)

var rewrite = flag.Bool("update", false, "write docs/openapi.yaml anew")

// real is the API before a real brain without agents.
func real(t *testing.T) *Server { return over(t, t.TempDir(), nil) }

// over is the API before a real brain in a data folder, whose archive may hold something.
func over(t *testing.T, data string, hunter archive.Hunter) *Server {
	t.Helper()
	cfg := brain.DefaultConfig()
	cfg.Tenants = []string{"default", "red"}
	b, err := brain.Open(t.Context(), cfg, brain.Options{Data: data, Hunter: hunter, Board: health.NewBoard(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	guard, err := access.New(b.Ledger(), access.Config{Key: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	return New(b, guard, "test", slog.New(slog.DiscardHandler))
}

// TestPathParameters: every place in a path is a parameter, or huma would not fill it in.
func TestPathParameters(t *testing.T) {
	operations(New(nil, nil, "dev", slog.New(slog.DiscardHandler)), func(method, path string, op *huma.Operation) {
		have := 0
		for _, p := range op.Parameters {
			if p.In == "path" {
				have++
			}
		}
		if want := strings.Count(path, "{"); have != want {
			t.Errorf("%s %s: %d of %d path parameters are read; is one in an embedded type that is not exported?", method, path, have, want)
		}
	})
}

// TestDocument: the committed document is what the code says.
func TestDocument(t *testing.T) {
	got, err := New(nil, nil, "dev", slog.New(slog.DiscardHandler)).OpenAPI().YAML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "docs", "openapi.yaml")
	if *rewrite {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.yaml is stale (%v); run go test ./api -update", err)
	}
}

// operations lists method, path and operation of everything.
func operations(s *Server, f func(method, path string, op *huma.Operation)) {
	for path, item := range s.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op != nil {
				f(method, path, op)
			}
		}
	}
}

func do(s *Server, p *access.Principal, method, target, body string) *httptest.ResponseRecorder {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if p != nil {
		ctx = As(ctx, p)
	}
	var in *strings.Reader = strings.NewReader(body)
	r := httptest.NewRequestWithContext(ctx, method, target, in)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// TestEveryOperationAsks: without a principal nothing answers, and each operation names
// a permission and a summary.
func TestEveryOperationAsks(t *testing.T) {
	s := New(nil, nil, "dev", slog.New(slog.DiscardHandler))
	n := 0
	operations(s, func(method, path string, op *huma.Operation) {
		n++
		if op.Extensions["x-permission"] == nil || op.Summary == "" || op.OperationID == "" || len(op.Tags) != 1 {
			t.Errorf("%s %s lacks permission, summary, id or tag", method, path)
		}
		want := http.StatusUnauthorized
		if op.Extensions["x-permission"] == string(anyone) {
			return
		}
		if w := do(s, nil, method, strings.NewReplacer("{id}", "x", "{name}", "x", "{host}", "x").Replace(path), ""); w.Code != want {
			t.Errorf("%s %s answers %d to nobody", method, path, w.Code)
		}
	})
	if n < 20 {
		t.Errorf("only %d operations", n)
	}
}

// TestLists: an empty brain gives empty lists, never null, and problems are problems.
func TestLists(t *testing.T) {
	s := real(t)
	root := access.Socket(os.Getuid())
	for _, c := range []struct {
		method, target, body string
		code                 int
		want                 string
	}{
		{"GET", "/v1/findings", "", 200, `"items":[]`},
		{"GET", "/v1/incidents?sort=score&limit=5", "", 200, `"items":[]`},
		{"GET", "/v1/actions?state=done,verified", "", 200, `"items":[]`},
		{"GET", "/v1/hunts", "", 200, `[]`},
		{"GET", "/v1/exposure", "", 200, `"items":[]`},
		{"GET", "/v1/exposure/hosts", "", 200, `[]`},
		{"GET", "/v1/hosts", "", 200, `"items":[]`},
		{"GET", "/v1/hosts/none", "", 404, "not found"},
		{"DELETE", "/v1/hosts/none/enrolment", "", 404, "not enrolled"},
		{"GET", "/v1/joins", "", 200, `[]`},
		{"DELETE", "/v1/joins/none", "", 404, "not found"},
		{"GET", "/v1/files", "", 400, "this build cannot"}, // no engine of hunts here
		{"GET", "/v1/connections", "", 400, "this build cannot"},
		{"GET", "/v1/hunts/schema", "", 400, "this build cannot"},
		{"GET", "/v1/hosts/none/inventory?kind=nonsense", "", 422, "query.kind"},
		{"GET", "/v1/rules?engine=sigma&limit=2", "", 200, `"next":"`},
		{"GET", "/v1/rules?after=nonsense", "", 400, "no cursor of this list"},
		{"GET", "/v1/rules?q=no+rule+has+this", "", 200, `"items":[]`},
		{"GET", "/v1/rules/text?id=none", "", 404, "not found"},
		{"POST", "/v1/rules", `{"text":"title: x"}`, 400, "logsource"},
		{"DELETE", "/v1/rules/none", "", 404, "not found"},
		{"GET", "/v1/audit/check", "", 200, `"whole":true`},
		{"GET", "/v1/audit/check?seq=999&hash=00", "", 200, `"whole":false`},
		{"GET", "/v1/audit?verb=bundle&limit=1", "", 200, `"verb":"bundle"`},
		{"GET", "/v1/audit?verb=nothing", "", 200, `"items":[]`},
		{"GET", "/v1/settings", "", 200, `[]`},
		{"GET", "/v1/audit", "", 200, `"verb":"bundle"`}, // the first that this brain signs
		{"GET", "/v1/bundle", "", 200, "RWBUNDL1"},
		{"GET", "/v1/bundle?group=none", "", 404, "not found"},
		{"GET", "/v1/bundle?group=No/Name", "", 400, "not a name"},
		{"GET", "/v1/status", "", 200, `"role":"brain"`},
		{"GET", "/v1/intel?value=192.0.2.1", "", 200, `"kind":"ip"`},
		{"GET", "/v1/findings?after=nonsense", "", 400, "no cursor of this list"},
		{"GET", "/v1/findings?limit=0", "", 422, "query.limit"},
		{"GET", "/v1/findings?layer=nonsense", "", 422, "query.layer"},
		{"GET", "/v1/findings/none", "", 404, "not found"},
		{"GET", "/v1/incidents/none", "", 404, "not found"},
		{"GET", "/v1/incidents/none/graph", "", 404, "not found"},
		{"GET", "/v1/trace/none", "", 404, "not found"},
		{"POST", "/v1/actions/none/undo", "", 404, "not found"},
		{"PATCH", "/v1/incidents/none", `{"status":"solved","version":0}`, 404, "not found"},
		{"PATCH", "/v1/incidents/none", `{"status":"nonsense"}`, 422, "body.status"},
		{"POST", "/v1/hunts", `{"name":"n","query":"select 1"}`, 200, `"owner":"uid:`},
		{"POST", "/v1/hunts", `{"name":"n"}`, 422, "query"},
		{"POST", "/v1/hunts", `{`, 400, ""},
		{"POST", "/v1/hunts", `{"name":"n","query":"` + strings.Repeat("x", 100<<10) + `"}`, 413, ""},
		{"GET", "/v1/intel?value=%00", "", 400, ""},
		{"GET", "/v1/openapi.json", "", 200, `"openapi":"3.1.0"`},
	} {
		w := do(s, root, c.method, c.target, c.body)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s %.40s: %d %.200s; want %d with %q", c.method, c.target, c.body, w.Code, w.Body, c.code, c.want)
		}
		if ct := w.Header().Get("Content-Type"); c.code >= 400 && ct != "application/problem+json" {
			t.Errorf("%s %s: a problem as %q", c.method, c.target, ct)
		}
	}
	if w := do(s, &access.Principal{Tenant: "red", Name: "ann", Role: access.Admin}, "GET", "/v1/findings?tenant=default", ""); w.Code != http.StatusForbidden {
		t.Errorf("another tenant's findings: %d", w.Code)
	}
}
