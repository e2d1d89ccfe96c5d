// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected halves of testdata/*.txt")

// TestFaults reads testdata/faults.txt: cases of a scenario, "----" and what Parse says of it.
func TestFaults(t *testing.T) {
	const name = "testdata/faults.txt"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for part := range strings.SplitSeq(strings.TrimSuffix(string(data), "\n"), "\n====\n") {
		input, want, _ := strings.Cut(part, "----\n")
		got := "ok"
		if s, err := Parse("case.yaml", []byte(input), nil); err != nil {
			got = err.Error()
		} else if s == nil {
			t.Fatal("neither scenario nor error")
		}
		if !*update && got != want {
			t.Errorf("%s\ngot  %s\nwant %s", input, got, want)
		}
		out = append(out, input+"----\n"+got)
	}
	if *update {
		if err := os.WriteFile(name, []byte(strings.Join(out, "\n====\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func shipped(t *testing.T) []string {
	files, err := filepath.Glob("../scenarios/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("shipped scenarios: %v %v", files, err)
	}
	return files
}

func TestShippedScenariosLoadWithEverySeed(t *testing.T) {
	for _, file := range shipped(t) {
		seen := map[string]bool{}
		for seed := range uint64(200) {
			s, err := Load(file, &seed)
			if err != nil {
				t.Fatal(err)
			}
			seen[s.Names["web.name"]+s.Names["site_root"]+s.Names["upload_page"]+s.Names["web_port"]] = true
			if text := fmt.Sprintf("%+v", *s); strings.Contains(strings.ReplaceAll(text, fmt.Sprint(s.Vars), ""), "${") {
				t.Fatalf("%s seed %d: a variable is left: %s", file, seed, text)
			}
			addrs := map[string]bool{}
			for _, m := range s.Machines {
				addrs[m.Addr.String()] = true
			}
			if len(addrs) != len(s.Machines) {
				t.Fatalf("%s seed %d: two hosts share an address", file, seed)
			}
		}
		if len(seen) < 50 {
			t.Errorf("%s: 200 seeds gave only %d different sites", file, len(seen))
		}
	}
}

func TestOneSeedOneScenario(t *testing.T) {
	for _, file := range shipped(t) {
		seed := uint64(41)
		a, errA := Load(file, &seed)
		b, errB := Load(file, &seed)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: two loads with one seed differ", file)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"../scenarios/web-upload.yaml", "../scenarios/ordinary-day.yaml"} {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(data)
		}
	}
	f.Add([]byte("id: x\nhosts: {web: []}\nvars: {a: \"${b}\", b: \"${a}\"}\n"))
	f.Add([]byte("id: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("fuzz.yaml", data, nil)
		if err == nil && s.ID == "" {
			t.Error("a scenario without id was taken")
		}
		if err != nil && !strings.HasPrefix(err.Error(), "fuzz.yaml:") {
			t.Errorf("the error does not name the place: %v", err)
		}
	})
}

// What a file writes as it is, as range.md does, must be what the lab then has.
func TestPlainNamesWhereNobodyAsks(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pages/run.php", "<?php // page\n")
	write("s.yaml", `id: x
hosts: {web: [upload-app], attacker: []}
steps:
  - id: a
    on: attacker
    do: {http: {to: web, method: POST, path: /upload.php, file: pages/run.php}}
    truth: [{kind: request, as: r1, client: "attacker:41001", uri: /upload.php}]
expect: {entry: r1}
`)
	for seed := range uint64(20) {
		s, err := Load(filepath.Join(dir, "s.yaml"), &seed)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Names["site_root"] + " " + s.Names["upload_page"] + " " + s.Names["redis_port"]; got != "/var/www/html upload.php 6379" {
			t.Fatalf("seed %d: %s", seed, got)
		}
		if f := s.Steps[0].Do.HTTP.File; f.Name != "run.php" || f.Body != "<?php // page\n" {
			t.Fatalf("the file beside the scenario was read as %+v", f)
		}
	}
}
