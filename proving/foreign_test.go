// SPDX-License-Identifier: Apache-2.0

package proving

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// A foreign product, as small as one can be, that keeps to the doors of doors.go: its agent reads
// the access log of its host and calls every PHP page in a folder of uploads black, and, in
// enforce mode, drops the client's packets. It proves that the range judges by the doors alone, and
// shows what a product that only reads logs is worth.

func foreignMain(args []string) int {
	flags := map[string]string{}
	for i := 1; i < len(args); i++ {
		if strings.HasPrefix(args[i], "--") && i+1 < len(args) && !strings.HasPrefix(args[i+1], "--") {
			flags[args[i]] = args[i+1]
		} else {
			flags[args[i]] = ""
		}
	}
	store := filepath.Join(flags["--data"], "findings.jsonl")
	switch args[0] {
	case "brain", "kernel-share":
		if args[0] == "brain" {
			config, _ := os.ReadFile(flags["--config"])
			os.WriteFile(store, nil, 0o600)
			os.WriteFile(filepath.Join(flags["--data"], "stage"), config, 0o600)
		}
		fmt.Println("ready")
		awaitTerm()
	case "enroll":
		// The token is the place where findings go: this product has no network of its own.
		json.NewEncoder(os.Stdout).Encode(map[string]string{"token": store})
	case "run":
		return foreignAgent(flags)
	case "findings":
		if _, on := flags["--follow"]; !on {
			data, _ := os.ReadFile(store)
			os.Stdout.Write(data)
			return 0
		}
		follow(store, func(line string) { fmt.Print(line) })
	case "incidents":
		foreignIncidents(store)
	case "status":
		fmt.Println(`{"events": {"seen": 5, "lost": 0}}`)
	case "trace":
		fmt.Println(`{"root_cause": null, "rule": "none"}`)
	case "actions":
		data, _ := os.ReadFile(filepath.Join(flags["--data"], "actions.jsonl"))
		os.Stdout.Write(data)
	default:
		return 2
	}
	return 0
}

func awaitTerm() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-term
}

var loggedCall = regexp.MustCompile(`^(\S+) .*"(GET|POST) (/(?:uploads|files|media|attached)/\S+\.php)\S* HTTP`)

func foreignAgent(flags map[string]string) int {
	var config struct {
		Scope   struct{ Root string }
		Sensors map[string]string
	}
	data, err := os.ReadFile(flags["--config"])
	if err == nil {
		err = yaml.Unmarshal(data, &config)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	store, _, _ := strings.Cut(flags["--join"], "@")
	stage, _ := os.ReadFile(filepath.Join(filepath.Dir(store), "stage"))
	fmt.Println("watching")
	log := config.Scope.Root + "/var/log/nginx/access.log"
	if _, err := os.Stat(log); err != nil || config.Sensors["logs"] == "off" {
		awaitTerm()
		return 0
	}
	n := 0
	follow(log, func(line string) {
		m := loggedCall.FindStringSubmatch(line)
		if m == nil {
			return
		}
		n++
		appendLine(store, map[string]any{"id": fmt.Sprintf("f%d", n), "published_ns": time.Now().UnixNano(), "layer": "network", "stage": "application",
			"colour": "black", "score": 0.9, "title": "page in a folder of uploads was called", "incident": "i1",
			"subjects": []map[string]any{{"kind": "request", "client": m[1], "uri": m[3], "path": "/var/www/x" + m[3]}}})
		if strings.Contains(string(stage), "enforce") && n == 1 {
			err := exec.Command("nft", "add table ip foreign; add chain ip foreign in { type filter hook input priority 0; }; add rule ip foreign in ip saddr "+m[1]+" drop").Run()
			appendLine(filepath.Join(filepath.Dir(store), "actions.jsonl"), map[string]any{"id": "a1", "kind": "block", "target": m[1], "stage": "enforce",
				"ordered_ns": time.Now().UnixNano(), "verified": err == nil})
		}
	})
	return 0
}

func appendLine(path string, value any) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		json.NewEncoder(file).Encode(value)
		file.Close()
	}
}

// follow reads a growing file until the process is told to end.
func follow(path string, each func(string)) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	file, err := os.Open(path)
	if err != nil {
		return
	}
	lines := bufio.NewReader(file)
	pending := ""
	for {
		line, err := lines.ReadString('\n')
		if pending += line; err == nil {
			each(pending)
			pending = ""
			continue
		}
		if err != io.EOF {
			return
		}
		select {
		case <-term:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func foreignIncidents(store string) {
	data, _ := os.ReadFile(store)
	var ids []string
	for line := range strings.Lines(string(data)) {
		var f struct{ ID string }
		if json.Unmarshal([]byte(line), &f) == nil {
			ids = append(ids, f.ID)
		}
	}
	incidents := []map[string]any{}
	if len(ids) > 0 {
		incidents = append(incidents, map[string]any{"id": "i1", "score": 0.9, "findings": ids, "root_cause": map[string]any{"kind": "request", "client": "10.0.0.1:1"}})
	}
	json.NewEncoder(os.Stdout).Encode(incidents)
}

func foreignProduct(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "foreign")
	text := "#!/bin/sh\nRANGE_FOREIGN_PRODUCT=1 exec " + self + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

func TestForeignProductIsJudged(t *testing.T) {
	product := foreignProduct(t)
	seed := uint64(12)
	base := Options{File: short(t, "web-upload.yaml"), Seed: &seed, Product: ProductRingwall, Binary: product, Agent: product}

	t.Run("observe", func(t *testing.T) {
		r := playShort(t, base)
		for _, step := range r.Steps {
			byPage := step.ID == "command" || step.ID == "look-around" || step.ID == "shell"
			if (step.Finding != nil) != byPage || !step.Worked {
				t.Errorf("step %s: %+v", step.ID, step)
			}
		}
		if len(r.Incidents) != 1 || !r.Incidents[0].Attack || r.RootCause.Found == nil || r.RootCause.Right {
			t.Errorf("incidents %+v, root cause %+v", r.Incidents, r.RootCause)
		}
		if r.Ordinary.Findings != 0 || r.Events.Seen != 5 || len(r.Notes) > 0 {
			t.Errorf("ordinary %+v, events %+v, notes %v", r.Ordinary, r.Events, r.Notes)
		}
	})
	t.Run("without its only sensor", func(t *testing.T) {
		opts := base
		opts.Without = []string{"log"}
		if r := playShort(t, opts); len(r.Incidents) != 0 || r.Delay.Count != 0 {
			t.Errorf("it saw without its sensor: %+v", r)
		}
	})
	t.Run("enforce", func(t *testing.T) {
		if _, err := exec.LookPath("nft"); err != nil {
			t.Skip("nft is missing; mend: apt-get install nftables")
		}
		opts := base
		opts.Enforce = true
		r := playShort(t, opts)
		if r.StoppedAt == nil || len(r.Actions) != 1 || r.Actions[0].AtStep != "command" || !r.Actions[0].Verified {
			t.Errorf("stopped at %v, actions %+v", r.StoppedAt, r.Actions)
		}
		if r.Ordinary.RequestsFailed != 0 {
			t.Errorf("ordinary work was cut: %+v", r.Ordinary)
		}
	})
}

func TestAProductThatDiesIsAnError(t *testing.T) {
	file := short(t, "web-upload.yaml")
	t.Setenv("TMPDIR", t.TempDir())
	before := traces(t)
	_, err := Run(t.Context(), Options{File: file, Product: ProductRingwall, Binary: "/bin/false", Agent: "/bin/false"})
	if err == nil || !strings.Contains(err.Error(), "brain ended at its start") {
		t.Errorf("got %v", err)
	}
	if after := traces(t); after != before {
		t.Errorf("the machine changed:\n%s\n%s", before, after)
	}
}
