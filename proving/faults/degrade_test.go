// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ringwall/ringwall/brain"
)

// TestFullDiskOfTheSpool: an agent whose disk is full goes on from memory as long as its
// brain is there, says so, and is well again when there is room.
func TestFullDiskOfTheSpool(t *testing.T) {
	dir := cgroup(t)
	b := newBrain(t)
	in := within(t, dir)
	data := filepath.Join(shortDir(t), "a")
	disk(t, filepath.Join(data, "spool"), 8)
	a := &realAgent{data: data, join: b.token(t, "default", "real")}
	write(t, filepath.Join(data, "agent.yaml"), kernelOnly("real", dir, "spool: {max_bytes: 4194304}"))
	a.start(t)
	stop := repeat(func(int) {
		cmd := exec.Command("/bin/true", strings.Repeat("long argument ", 100))
		in(cmd)
		_ = cmd.Run()
		time.Sleep(2 * time.Millisecond)
	})
	defer stop()
	exec1 := func(n string) bool {
		cmd := exec.Command("/bin/true", n)
		in(cmd)
		_ = cmd.Run()
		return number(t, b.data, "default", "select count(*) from processes where argv like '%"+n+"'") > 0
	}
	becomes(t, b.data, "real", "spool", "on", "")
	free := fill(t, filepath.Join(data, "spool"))
	becomes(t, b.data, "real", "spool", "degraded", "no space left")
	eventually(t, "an exec told with a full disk", func() bool { return exec1(nonce("full", 1)) })
	free()
	eventually(t, "an exec told with room again", func() bool { return exec1(nonce("free", 1)) })
	becomes(t, b.data, "real", "spool", "on", "")
	a.stop(t)
}

// TestRefusedBPF: an agent that may not load programs says what is off and why, and
// does the rest.
func TestRefusedBPF(t *testing.T) {
	needRoot(t, "an agent that lacks one capability and not the others")
	b := newBrain(t)
	data := filepath.Join(shortDir(t), "a")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "agent.yaml"), "host: poor\nsensors: {logs: off}\npacket: {interfaces: [lo], loopback: true}\n")
	p := start(t, nil, "setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin", binaries.agent, "run", "--data", data, "--join", b.token(t, "default", "poor"))
	p.await(t, "watching poor")
	becomes(t, b.data, "poor", "sensor.kernel", "off", "eBPF")
	becomes(t, b.data, "poor", "sensor.packet", "on", "")
	becomes(t, b.data, "poor", "sensor.inventory", "on", "")
	if s, reason := state(t, b.data, "poor", "sensor.files"); s == "off" && reason == "" { // fanotify needs CAP_SYS_ADMIN
		t.Error("the file sensor is off and does not say why")
	}
	eventually(t, "what the others see arrives", func() bool {
		return number(t, b.data, "default", "select count(*) from events where kind = 'inventory' and host = 'poor'") > 0
	})
	p.stop(t)
}

// TestLostBus: the brain goes and comes back; the agent says that it was away.
func TestLostBus(t *testing.T) {
	b := newBrain(t)
	data := filepath.Join(shortDir(t), "a")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(data, "agent.yaml"), "host: far\n"+senseless)
	p := start(t, nil, binaries.agent, "run", "--data", data, "--join", b.token(t, "default", "far"))
	p.await(t, "watching far")
	becomes(t, b.data, "far", "link", "on", "")
	b.kill()
	eventually(t, "the agent notices", func() bool { return strings.Contains(p.said(), "bus lost") })
	eventually(t, "the state in the spool", func() bool {
		for _, ev := range spooled(t, data) {
			if s := ev.GetState(); s.GetComponent() == "link" && s.State == "degraded" && strings.Contains(s.Reason, "wait in the spool") {
				return true
			}
		}
		return false
	})
	b.start(t)
	becomes(t, b.data, "far", "link", "on", "")
	eventually(t, "the archive knows that the bus was away", func() bool {
		return number(t, b.data, "default", "select count(*) from events where kind='state' and title='link' and state='degraded'") > 0
	})
	p.stop(t)
}

// TestBadConfiguration names file and line, leaves with 2, and starts nothing.
func TestBadConfiguration(t *testing.T) {
	for name, c := range map[string]struct{ text, line, want string }{
		"unknown key":       {"metrics: off\nbrain:\n  polcy: {}\n", "line 3", "polcy"},
		"not YAML":          {"brain: [\n", "line", ""},
		"binary":            {"\x00\x01\x02\xff", "", "ringwall.yaml"},
		"wrong type":        {"brain:\n  warm: soon\n", "line 2", "soon"},
		"bad switch":        {"agent:\n  sensors: {kernel: maybe}\n", "", "want on or off"},
		"no such sensor":    {"agent:\n  sensors:\n    kernl: on\n", "line 2", "kernl"},
		"bad probability":   {"brain:\n  policy:\n    act: 7\n", "line 3", "no probability"},
		"exception too big": {"brain:\n  exceptions:\n    - {id: x, reason: r, owner: o, expires: 2030-01-01T00:00:00Z}\n", "", "neither rule nor stage"},
		"small spool":       {"agent:\n  spool: {max_bytes: 5}\n", "line 2", "at least 1048576"},
		"relative rules":    {"brain:\n  rules: [here]\n", "line 2", "absolute"},
		"a bomb":            {"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c]\n", "line", ""},
	} {
		data := t.TempDir()
		file := filepath.Join(data, "ringwall.yaml")
		write(t, file, c.text)
		for _, argv := range [][]string{{"config", "check"}, {"brain"}} {
			err := try(data, argv...)
			var exit *exec.ExitError
			switch {
			case err == nil:
				t.Errorf("%s: %v takes it", name, argv)
			case !errors.As(err, &exit) || exit.ExitCode() != 2:
				t.Errorf("%s: %v: %v; want exit status 2", name, argv, err)
			case !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), c.line) || !strings.Contains(err.Error(), c.want):
				t.Errorf("%s: %v: %v; want the file, %q and %q", name, argv, err, c.line, c.want)
			}
		}
		if _, err := os.Stat(filepath.Join(data, "archive")); err == nil {
			t.Errorf("%s: a brain was begun", name)
		}
	}
}

// recording is a zstd stream of what follows the magic.
func recording(t *testing.T, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = z.Write(append([]byte("RWEV1\n"), body...))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostileFiles: recordings and captures that are cut, damaged or lie end with exit
// status 2 and say where; what came before them was judged.
func TestHostileFiles(t *testing.T) {
	demo, err := os.ReadFile("../../cli/demo.rwe")
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(demo)
	flipped[len(flipped)/2] ^= 0x55
	pcap := func(records ...[]byte) []byte { // libpcap file, microseconds, Ethernet
		h := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0}
		return append(h, bytes.Join(records, nil)...)
	}
	packet := func(stated uint32, body string) []byte {
		r := make([]byte, 16)
		binary.LittleEndian.PutUint32(r[8:], stated)
		binary.LittleEndian.PutUint32(r[12:], stated)
		return append(r, body...)
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"cut.rwe":        {demo[:len(demo)*2/3], "event "},
		"flipped.rwe":    {flipped, "event "},
		"text.rwe":       {[]byte("this is no recording"), "not a recording"},
		"empty.rwe":      {nil, "not a recording"},
		"huge.rwe":       {recording(t, binary.AppendUvarint(nil, 1<<40)), "event 1"},
		"nonsense.rwe":   {recording(t, append([]byte{3}, "\xff\xff\xff"...)), "event 1"},
		"cut.pcap":       {pcap(packet(60, "only ten..")), "24"},
		"huge.pcap":      {pcap(packet(1<<31, "x")), "24"},
		"text.pcap":      {[]byte("this is no capture at all, whatever it is called"), "text.pcap"},
		"empty.pcap":     {nil, "empty.pcap"},
		"head.pcap":      {pcap()[:12], "head.pcap"},
		"hostile.pcapng": {[]byte("\x0a\x0d\x0d\x0a\xff\xff\xff\x7f\x4d\x3c\x2b\x1a\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), "hostile.pcapng"},
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := command(t.TempDir(), "replay", file, "--json", "-")
		var exit *exec.ExitError
		switch {
		case err == nil:
			t.Errorf("%s: taken for good", name)
		case !errors.As(err, &exit) || exit.ExitCode() != 2:
			t.Errorf("%s: %v; want exit status 2", name, err)
		case !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v; want the file and %q", name, err, c.want)
		case strings.Contains(err.Error(), "goroutine "):
			t.Errorf("%s: it crashed: %v", name, err)
		}
		if name == "cut.rwe" && !bytes.Contains(out, []byte(`"finding"`)) {
			t.Errorf("%s: what came before the cut was not judged", name)
		}
	}
}

// TestBadLists: rules and lists that cannot be read cost only themselves, and are told.
func TestBadLists(t *testing.T) {
	rules, lists := t.TempDir(), t.TempDir()
	write(t, filepath.Join(rules, "bad.yml"), "title: bad\nlogsource: {product: linux, category: process_creation}\ndetection:\n  a: {Image|nosuchmodifier: x}\n  condition: a and\n")
	write(t, filepath.Join(rules, "binary.yml"), "\x00\xff\xfe")
	list := filepath.Join(lists, "bad.csv")
	write(t, list, strings.Repeat("\x00\xffnot an address\n", 50))
	b := newBrain(t, "rules: ["+rules+"]", "intel: {sources: [{name: bad, path: "+list+", format: plain}, {name: gone, path: /nowhere/at/all, format: plain}]}")
	if s, reason := state(t, b.data, "", "behaviour.sigma"); s != "on" || !strings.Contains(reason, "refused") {
		t.Errorf("behaviour.sigma is %s: %s", s, reason)
	}
	if s, reason := state(t, b.data, "", "intel.reputation"); s != "degraded" || !strings.Contains(reason, "/nowhere/at/all") {
		t.Errorf("intel.reputation is %s: %s", s, reason)
	}
	for _, want := range []string{"bad.yml", "binary.yml"} {
		if !strings.Contains(b.said(), want) {
			t.Errorf("the log does not name %s", want)
		}
	}
	s := newSynth(t, b.join(t, "default", "h"), t.TempDir(), 0)
	s.emit(ran(7, 1, "/bin/x"))
	s.settled()
	if n := document[brain.Status](t, b.data, "status").Counts["events"]; n != 1 {
		t.Errorf("%d events", n)
	}
}
