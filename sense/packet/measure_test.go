// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/wire/ip"
	"github.com/ringwall/ringwall/wire/pcap"
)

// mixed joins all Ethernet captures of the data into one, times over: many protocols,
// tiny flows. Each begins when the flows of those before have long ended.
func mixed(t testing.TB, times int) (out []pcap.Packet) {
	images := captures(t)
	names := slices.Sorted(maps.Keys(images))
	clock := time.Unix(1700000000, 0).UnixNano()
	for range times {
		for _, name := range names {
			packets := ethernet(name, images[name])
			if len(packets) == 0 {
				continue
			}
			shift := clock - packets[0].WallNs
			for i := range packets {
				packets[i].WallNs += shift
				clock = max(clock, packets[i].WallNs)
			}
			clock += 2 * int64(idleEstablished)
			out = append(out, packets...)
		}
	}
	return out
}

func ethernet(name string, image []byte) (out []pcap.Packet) {
	r, err := pcap.NewReader(name, bytesReader(image))
	if err != nil {
		return nil
	}
	for {
		p, err := r.Next()
		if err != nil {
			return out
		}
		if p.Link == ip.LinkEthernet && p.WallNs > 0 {
			p.Data = slices.Clone(p.Data)
			out = append(out, p)
		}
	}
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReplayed gives the CPU time of a packet of the mixed captures, decoding,
// events and collection of garbage included, the file left out.
func BenchmarkReplayed(b *testing.B) {
	packets := mixed(b, 1)
	before := cpu()
	for b.Loop() {
		if _, err := replay(context.Background(), &slice{packets: packets}, DefaultConfig(), Options{Redact: redact, Emit: func(*event.Event) {}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N*len(packets)), "cpu-ns/packet")
}

// BenchmarkReleased is one packet of a flow that is only counted any more.
func BenchmarkReleased(b *testing.B) {
	s := run(b, "open 192.0.2.1:40000 198.51.100.2:443")
	cfg, opt := DefaultConfig(), Options{Redact: redact, Emit: func(*event.Event) {}}
	e := newEngine(&cfg, &opt)
	var p ip.Packet
	for _, raw := range s.packets {
		if err := p.DecodeLink(raw.Link, raw.Data); err != nil {
			b.Fatal(err)
		}
		e.packet(&p, raw.WallNs, 0)
	}
	e.release(e.table.flows[keyOf(&p)])
	b.ReportAllocs()
	for b.Loop() {
		e.packet(&p, s.now.UnixNano(), 0)
	}
}

// BenchmarkFlowMemory says what a flow that is only counted takes, for flowCost.
func BenchmarkFlowMemory(b *testing.B) {
	const n = 100000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		cfg, opt := DefaultConfig(), Options{Redact: redact, Emit: func(*event.Event) {}}
		cfg.Memory = 1 << 30
		before := heap()
		e := newEngine(&cfg, &opt)
		var p ip.Packet
		for i := range n {
			p.Proto, p.Size = ip.UDP, 100
			p.Src, p.Dst = addr(uint32(i), 5000), addr(1<<31, 9999)
			e.packet(&p, 1, 0)
		}
		b.ReportMetric(float64(heap()-before)/n, "B/flow")
		runtime.KeepAlive(e)
	}
}

// TestBesidePeers prints the CPU seconds of reading the mixed captures from a
// file with this sensor, ndpiReader and tshark. It asserts nothing about time.
func TestBesidePeers(t *testing.T) {
	if file := os.Getenv("RINGWALL_TEST_REPLAY"); file != "" {
		var n int
		if err := Replay(context.Background(), file, Options{Redact: redact, Emit: func(*event.Event) { n++ }}); err != nil {
			t.Fatal(err)
		}
		return
	}
	packets := mixed(t, 5) // so that starting a program weighs little
	file := filepath.Join(t.TempDir(), "mixed.pcap")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(f)
	err = w.WriteFileHeader(262144, layers.LinkTypeEthernet)
	for _, p := range packets {
		err = errors.Join(err, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, p.WallNs), CaptureLength: len(p.Data), Length: p.Length}, p.Data))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{os.Args[0], "-test.run=^TestBesidePeers$"},
		{"ndpiReader", "-q", "-i", file},
		{"tshark", "-n", "-q", "-r", file, "-z", "conv,tcp"},
	} {
		if _, err := exec.LookPath(c[0]); err != nil {
			t.Logf("%s is not installed: not compared", c[0])
			continue
		}
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Env = append(os.Environ(), "RINGWALL_TEST_REPLAY="+file, "GOMAXPROCS=1")
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		if err := cmd.Run(); err != nil {
			t.Logf("%s: %v", c[0], err)
			continue
		}
		st := cmd.ProcessState
		cpu := st.UserTime() + st.SystemTime()
		t.Logf("%-12s %7.2f CPU s  %7.2f µs/packet  %9.0f packets/CPU s", filepath.Base(c[0]), cpu.Seconds(),
			cpu.Seconds()*1e6/float64(len(packets)), float64(len(packets))/cpu.Seconds())
	}
}
