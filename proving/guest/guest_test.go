// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/doctor"
	"github.com/ringwall/ringwall/sense/kernel"
)

var (
	keep   = flag.String("keep", "", "keep consoles and reports in this folder")
	kept   = flag.Bool("kept", false, "take the reports that -keep holds already, and boot only for those that it lacks")
	own    = flag.Bool("own", true, "run sense/kernel's tests in the guests, which takes five minutes each")
	update = flag.Bool("update", false, "write docs/kernels.md and testdata from what was seen")
)

// leftOut are tests that say nothing about a kernel when the processor is emulated (costs),
// or need a compiler, the sources or a corpus.
const leftOut = "TestCost|TestObjectsAreFresh|TestRecordVersion|Fuzz"

// TestKernels boots each kernel package and holds it to the same: no program refused, two
// chains whole, the agent's doctor speaks, the sensor's own tests pass.
func TestKernels(t *testing.T) {
	folder := os.Getenv("RINGWALL_GUEST")
	if folder == "" {
		t.Skip("boots emulated machines for minutes: run `make kernels`, or name a folder of kernel packages in RINGWALL_GUEST")
	}
	for _, tool := range []string{"qemu-system-x86_64", "busybox", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v: run `scripts/need kernels`", err)
		}
	}
	debs, _ := filepath.Glob(filepath.Join(folder, "*.deb")) // the pattern is well formed
	if len(debs) == 0 {
		t.Skipf("no kernel package in %s: run `make kernels`, or proving/guest/kernels.sh", folder)
	}
	slices.SortFunc(debs, func(a, b string) int { return slices.Compare(version(a), version(b)) })
	dir := t.TempDir()
	image, have, err := Build("../..", dir, *own, "-test.skip", leftOut)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("taken along from this machine:", have)
	var pages []string
	for _, deb := range debs {
		suite, pkg, _ := strings.Cut(strings.TrimSuffix(filepath.Base(deb), ".deb"), "_")
		t.Run(suite, func(t *testing.T) {
			r := boot(t, deb, image, dir, suite)
			held(t, r)
			heldDoctor(t, r)
			pages = append(pages, Page("Debian "+suite+", "+pkg, r.Kernel, r.Hooks["default"], r))
		})
	}
	if !*update || t.Failed() {
		return
	}
	head, err := os.ReadFile("testdata/kernels.head.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(head) + strings.Join(pages, "") + thisMachine()
	if err := os.WriteFile("../../docs/kernels.md", []byte(strings.TrimSpace(text)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// version of a package named SUITE_linux-image-6.1.0-….deb, as numbers.
func version(deb string) (out []int) {
	_, release, _ := strings.Cut(filepath.Base(deb), "linux-image-")
	for _, f := range strings.FieldsFunc(release, func(c rune) bool { return c < '0' || c > '9' }) {
		n, _ := strconv.Atoi(f) // digits alone, and few
		out = append(out, n)
	}
	return out
}

func boot(t *testing.T, deb, image, dir, suite string) *Report {
	t.Helper()
	out := filepath.Join(dir, suite)
	if *keep != "" {
		out = filepath.Join(*keep, suite)
	}
	if *kept {
		if f, err := os.Open(filepath.Join(out, "report")); err == nil {
			defer f.Close()
			if r, err := ReadReport(f); err == nil && r.Done {
				return r
			}
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	k, err := Unpack(deb, dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Hour)
	defer stop()
	r, err := Boot(ctx, k, image, out)
	if err != nil {
		t.Error(err)
	}
	if r == nil {
		t.FailNow()
	}
	return r
}

func held(t *testing.T, r *Report) {
	t.Helper()
	for _, f := range r.Faults {
		t.Error(f)
	}
	for _, f := range r.Refused() {
		t.Error(f)
	}
	on := map[string]bool{}
	for _, h := range r.Hooks["default"] {
		_, program, _ := strings.Cut(h.Name, "/")
		on[program] = h.On
	}
	for _, p := range []string{"on_fork", "on_exec", "on_exit", "on_state", "on_sys_exit"} {
		if !on[p] {
			t.Errorf("%s is off", p)
		}
	}
	if !(on["on_recv"] && on["on_send"]) && !on["on_sys_exit_sockets"] {
		t.Error("neither sock_recv_length nor its fallback is on")
	}
	for name, marker := range r.Markers {
		if _, err := Trace(r.Events[name], marker); err != nil {
			t.Errorf("chain %s: %v", name, err)
		}
	}
	if len(r.Markers) != 2 || len(r.Doctor) == 0 {
		t.Errorf("%d chains, want 2; doctor said %d bytes", len(r.Markers), len(r.Doctor))
	}
	tally := r.Tally()
	if *own && tally.Passed < 20 {
		t.Errorf("only %d of the sensor's tests passed", tally.Passed)
	}
	for _, f := range tally.Failed {
		t.Errorf("sense/kernel: %s failed", f)
	}
	if len(tally.Failed) > 0 {
		t.Log(strings.Join(r.Tests, "\n"))
	}
}

// heldDoctor: what is missed is called missing and nothing else, and what is stood in for
// is not.
func heldDoctor(t *testing.T, r *Report) {
	t.Helper()
	var said doctor.Report
	if err := json.Unmarshal(r.Doctor, &said); err != nil {
		t.Errorf("doctor: %v", err)
		return
	}
	state := map[string]doctor.State{}
	for _, c := range said.Checks {
		state[c.Name] = c.State
	}
	for _, h := range r.Hooks["default"] {
		s, told := state["kernel."+h.Name]
		if want := h.Set == "later" || h.Missed(); (s == doctor.Missing && told) != want {
			t.Errorf("doctor calls %s %v (told: %v), the sensor says: %v", h.Name, s, told, h)
		}
	}
}

func thisMachine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil || os.Geteuid() != 0 {
		return ""
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return Page("The machine of these tests", release, kernel.Probe(kernel.Defaults()), nil)
}
