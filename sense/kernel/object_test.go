// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/ringwall/ringwall/event"
)

// The committed objects must be what the sources give. Debug paths and compiler versions
// differ, so programs' instructions and map shapes are compared, not bytes.
func TestObjectsAreFresh(t *testing.T) {
	for _, tool := range []string{"clang", "llvm-strip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs clang and llvm-strip to rebuild the eBPF objects")
		}
	}
	if v := clangMajor(); v != 14 {
		t.Skipf("clang %d: the committed objects are of clang 14, whose code differs", v)
	}
	dir := t.TempDir()
	if out, err := exec.Command("./generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, out)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		name := "kernel_" + arch + ".o"
		want, got := shape(t, filepath.Join(dir, name)), shape(t, name)
		if want != got {
			t.Errorf("%s is stale: run go generate ./sense/kernel", name)
		}
	}
}

func clangMajor() int {
	out, _ := exec.Command("clang", "-dumpversion").Output() // no output: not 14
	major, _, _ := strings.Cut(string(out), ".")
	n, _ := strconv.Atoi(major)
	return n
}

func shape(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(b))
	must(t, err)
	var out strings.Builder
	for _, h := range hooks {
		p := spec.Programs[h.program]
		if p == nil {
			t.Fatalf("%s has no program %s", path, h.program)
		}
		//lint:ignore SA1019 two objects are compared with each other, not with a kernel
		tag, err := p.Instructions.Tag(p.ByteOrder)
		must(t, err)
		out.WriteString(h.program + " " + tag + "\n")
	}
	for _, name := range append([]string{"socks", "caps"}, sharedMaps...) {
		m := spec.Maps[name]
		out.WriteString(name + " " + m.Type.String() + " " + strconv.Itoa(int(m.KeySize)) + " " + strconv.Itoa(int(m.ValueSize)) + " " + strconv.Itoa(int(m.MaxEntries)) + "\n")
	}
	return out.String()
}

func TestRecordVersion(t *testing.T) {
	source, err := os.ReadFile("bpf/records.h")
	must(t, err)
	if line := fmt.Sprintf("\n#define RECORD_VERSION %d\n", recordVersion); !strings.Contains(string(source), line) {
		t.Errorf("bpf/records.h lacks%s", line)
	}
}

// bpf/records.h asserts these sizes when it is compiled: a record of just that size is
// read to its end, and one byte less is too short.
func TestLayout(t *testing.T) {
	for typ, size := range map[uint16]int{
		recFork: 120, recExec: 408, recExit: 80, recData: 168, recNet: 152, recPair: 208, recDNS: 136, recFile: 120, recSyscall: 128,
	} {
		raw := append(rawHeader(typ, 1, 1), make([]byte, size-72)...)
		d := testDecoder(func(*event.Event) {})
		if err := d.record(raw); errors.Is(err, errShort) {
			t.Errorf("type %d of %d bytes: %v", typ, size, err)
		}
		// The pair's last field is padding; all others are read to the last byte.
		if err := d.record(raw[:size-1]); typ != recPair && !errors.Is(err, errShort) {
			t.Errorf("type %d of %d bytes was read: %v", typ, size-1, err)
		}
	}
}

func TestProbe(t *testing.T) {
	needRoot(t)
	cfg := Defaults()
	cfg.Syscalls = false
	on := map[string]bool{}
	for _, c := range Probe(cfg) {
		on[c.Name] = c.On
		if !c.On && c.Reason == "" || c.Costs == "" && !c.StoodInFor() {
			t.Errorf("%+v: says too little", c)
		}
		t.Log(c)
	}
	if !on["sched_process_exec/on_exec"] || on["sys_exit/on_sys_exit"] {
		t.Errorf("hooks %v", on)
	}
}
