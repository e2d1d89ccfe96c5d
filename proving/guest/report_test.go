// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/sense/kernel"
)

// recorded is what Debian's 6.1 told of the two chains.
func recorded(t *testing.T) *Report {
	t.Helper()
	f, err := os.Open("testdata/report")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := ReadReport(f)
	if err != nil || len(r.Markers) != 2 {
		t.Fatalf("%v, %d chains", err, len(r.Markers))
	}
	return r
}

// TestTrace: both recorded chains are whole, and without any one of their links they are
// not.
func TestTrace(t *testing.T) {
	r := recorded(t)
	for name, marker := range r.Markers {
		lines := r.Events[name]
		c, err := Trace(lines, marker)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := name == "go server"; c.Goroutine != want {
			t.Errorf("%s: tied by goroutine %v", name, c.Goroutine)
		}
		for link, e := range map[string]*event.Event{"accept": c.Accept, "request": c.Request, "fork": c.Fork, "exec": c.Exec, "write": c.Write, "connect": c.Connect, "response": c.Response} {
			without := slices.DeleteFunc(slices.Clone(lines), func(l json.RawMessage) bool {
				other := &event.Event{}
				return protojson.Unmarshal(l, other) == nil && other.BootNs == e.BootNs
			})
			if len(without) == len(lines) {
				t.Fatalf("%s: the %s was not taken out", name, link)
			}
			if _, err := Trace(without, marker); err == nil || !strings.Contains(err.Error(), link) {
				t.Errorf("%s without its %s: %v", name, link, err)
			}
		}
		if _, err := Trace(lines, "deed-of-nobody"); err == nil {
			t.Errorf("%s: a deed that nobody did was traced", name)
		}
	}
}

func TestTallyAndPage(t *testing.T) {
	r := recorded(t)
	r.Hooks["default"] = []kernel.Capability{
		{Name: "sched_process_fork/on_fork", Set: "A", On: true},
		{Name: "sys_exit/on_sys_exit", Set: "B", Reason: "refused by the kernel: permission denied"},
	}
	r.Tests = []string{
		"=== RUN   TestOne", "--- PASS: TestOne (0.10s)", "    --- PASS: TestOne/part (0.10s)", "    --- SKIP: TestOne/other (0.10s)",
		"=== RUN   TestTwo", "    two_test.go:3: no such thing here", "--- SKIP: TestTwo (0.00s)", "--- FAIL: TestThree (1.00s)",
	}
	got := r.Tally()
	if got.Passed != 1 || !slices.Equal(got.Failed, []string{"TestThree"}) || !slices.Equal(got.Skipped, []string{"TestOne/other", "TestTwo (no such thing here)"}) {
		t.Errorf("%+v", got)
	}
	if refused := r.Refused(); len(refused) != 1 || !strings.Contains(refused[0], "on_sys_exit (default)") {
		t.Errorf("refused %v", refused)
	}
	page := Page("Debian", r.Kernel, r.Hooks["default"], r)
	for _, want := range []string{
		"## Debian\n", r.Kernel, "| `sys_exit/on_sys_exit` | B | no | refused by the kernel: permission denied |",
		"* go server: accept → request → fork → exec → write → connect → response, tied by process and goroutine",
		"1 passed, 1 failed, 2 skipped", "failed: TestThree", "skipped: TestTwo (no such thing here)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func FuzzReadReport(f *testing.F) {
	raw, err := os.ReadFile("testdata/report")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw[:2000])
	f.Add([]byte(`{"kind":"done"}`))
	f.Add([]byte("oops: a kernel message\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ReadReport(bytes.NewReader(b))
		if err != nil {
			return
		}
		for name, marker := range r.Markers {
			_, _ = Trace(r.Events[name], marker)
		}
		r.Tally()
	})
}

func TestReadReportNamesTheLine(t *testing.T) {
	r, err := ReadReport(strings.NewReader("{\"kind\":\"kernel\",\"text\":\"6.1\"}\n\nKernel panic\n"))
	if err == nil || !strings.Contains(err.Error(), "line 3") || r.Kernel != "6.1" || r.Done {
		t.Errorf("%v, %+v", err, r)
	}
}

// TestImage reads an image back by the format's own words: a header of 110 hexadecimal
// characters, name and content padded to four bytes.
func TestImage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "image")
	im, err := NewImage(file)
	if err != nil {
		t.Fatal(err)
	}
	im.Dir("usr/bin")
	im.Link("bin", "usr/bin")
	im.File("/bin/tool", 0o755, []byte("first"))
	im.File("usr/bin/tool", 0o755, []byte("the first of a name stays"))
	im.File("etc/deep/er/file", 0o600, nil)
	if err := im.Program(os.Args[0]); err != nil { // static or not, it is there
		t.Fatal(err)
	}
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := unpacked(t, raw)
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bin": "120777 usr/bin", "usr": "40755 ", "usr/bin": "40755 ", "usr/bin/tool": "100755 first",
		"etc": "40755 ", "etc/deep": "40755 ", "etc/deep/er": "40755 ", "etc/deep/er/file": "100600 ", "TRAILER!!!": "0 ",
	} {
		if got[name] != want {
			t.Errorf("%s: %.40q, want %q", name, got[name], want)
		}
	}
	if _, content, _ := strings.Cut(got[place(os.Args[0])], " "); content != string(self) {
		t.Errorf("%s: %d bytes, want %d", os.Args[0], len(content), len(self))
	}
}

// unpacked gives mode and content by name; twice the same name fails.
func unpacked(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	for at := 0; at < len(raw); {
		head := string(raw[at : at+110])
		if head[:6] != "070701" {
			t.Fatalf("no header at %d: %q", at, head)
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(head[6+8*i:14+8*i], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		pad := func(n int) int { return (n + 3) &^ 3 }
		mode, size, nameLen := field(1), field(6), field(11)
		name := string(raw[at+110 : at+110+nameLen-1])
		at = pad(at + 110 + nameLen)
		if _, twice := out[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		out[name] = fmt.Sprintf("%o %s", mode, raw[at:at+size])
		at = pad(at + size)
	}
	return out
}
