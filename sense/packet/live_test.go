// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/sense/kernel"
)

// recorder keeps events; safe for many goroutines.
type recorder struct {
	mu     sync.Mutex
	events []*event.Event
}

func (r *recorder) emit(ev *event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, ev)
}

// find gives the events that match, waiting for at least n of them.
func (r *recorder) find(t *testing.T, n int, match func(*event.Event) bool) []*event.Event {
	t.Helper()
	var got []*event.Event
	for range 100 {
		r.mu.Lock()
		got = nil
		for _, ev := range r.events {
			if match(ev) {
				got = append(got, ev)
			}
		}
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range r.events {
		t.Log(show(ev))
	}
	t.Fatalf("%d of %d events came", len(got), n)
	return nil
}

var made int

// pair makes two namespaces joined by a veth pair: a has 10.77.0.1, b has 10.77.0.2.
func pair(t testing.TB) (fileA, fileB string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: network namespaces and packet sockets need it")
	}
	made++
	a, b := fmt.Sprintf("rwpk%d-%da", os.Getpid(), made), fmt.Sprintf("rwpk%d-%db", os.Getpid(), made)
	for _, cmd := range []string{
		"netns add " + a, "netns add " + b,
		"-n " + a + " link add eth0 type veth peer name eth0 netns " + b,
		"-n " + a + " addr add 10.77.0.1/24 dev eth0", "-n " + b + " addr add 10.77.0.2/24 dev eth0",
		"-n " + a + " link set eth0 up", "-n " + b + " link set eth0 up", "-n " + a + " link set lo up", "-n " + b + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(cmd)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v %s", cmd, err, out)
		}
	}
	t.Cleanup(func() {
		for _, n := range []string{a, b} {
			if out, err := exec.Command("ip", "netns", "del", n).CombinedOutput(); err != nil {
				t.Logf("ip netns del %s: %v %s", n, err, out)
			}
		}
	})
	return "/run/netns/" + a, "/run/netns/" + b
}

// start runs a sensor until the test ends.
func start(t testing.TB, run func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func sniff(t testing.TB, cfg Config, emit func(*event.Event)) *Sensor {
	t.Helper()
	s, err := New(cfg, Options{Board: health.NewBoard(), Redact: redact, Emit: emit})
	if err != nil {
		t.Fatal(err)
	}
	start(t, s.Run)
	return s
}

// TestMain is also the web server of the tests, because the kernel sensor does not tell
// of its own process, and the sensor whose cost is measured.
func TestMain(m *testing.M) {
	if addr := os.Getenv("RINGWALL_TEST_SERVE"); addr != "" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprintln(w, "ok")
		})))
		os.Exit(1)
	}
	if netns := os.Getenv("RINGWALL_TEST_SENSE"); netns != "" {
		senseUntilEnd(netns)
	}
	os.Exit(m.Run())
}

// serve answers in a namespace, from a process of its own.
func serve(t testing.TB, netns, addr string) {
	t.Helper()
	cmd := exec.Command("nsenter", "--net="+netns, os.Args[0])
	cmd.Env = append(os.Environ(), "RINGWALL_TEST_SERVE="+addr)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	for range 100 {
		if c, err := dial(netns, addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no server on %s", addr)
}

func dial(netns, addr string) (c net.Conn, err error) {
	err = inNetns(netns, func() (err error) {
		c, err = net.Dial("tcp", addr)
		return err
	})
	return c, err
}

// ask sends raw bytes from a namespace and reads one answer.
func ask(t testing.TB, netns, addr, raw string) {
	t.Helper()
	c, err := dial(netns, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
		t.Fatal(err)
	}
}

func isRequest(ev *event.Event) bool {
	return ev.GetHttp().GetOp() == event.HttpActivity_REQUEST
}

// The wire and the socket write the same request with the same bytes in the same
// namespace, so that the graph joins them.
func TestWireAndKernelSayTheSame(t *testing.T) {
	a, b := pair(t)
	var wire, sock recorder
	cfg := DefaultConfig()
	cfg.Netns = b
	s := sniff(t, cfg, wire.emit)
	kc := kernel.Defaults()
	kc.Netns, kc.Syscalls = b, false
	k, err := kernel.New(kc, kernel.Options{Board: health.NewBoard(), Clock: event.NewClock(), Emit: sock.emit, Redact: redact})
	if err != nil {
		t.Skipf("the kernel sensor cannot run here: %v", err)
	}
	start(t, k.Run)
	time.Sleep(200 * time.Millisecond) // its hooks are set in Run
	serve(t, b, "10.77.0.2:8080")
	form := "user=bob&password=hunter22&q=%3Cscript%3E"
	for _, raw := range []string{
		"GET /plain HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
		"GET /a%20b/%ff?x=1&token=s3cr3t&y=a+b%00 HTTP/1.1\r\nHost: web\r\nCookie: sid=abcdef\r\nUser-Agent: curl/8\r\nConnection: close\r\n\r\n",
		"GET /caf\xe9?q=\xff HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n",
		fmt.Sprintf("POST /login HTTP/1.1\r\nHost: web\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(form), form),
	} {
		ask(t, a, "10.77.0.2:8080", raw)
	}
	onWire, atSocket := wire.find(t, 4, isRequest), sock.find(t, 4, isRequest)
	for _, w := range onWire {
		i := slices.IndexFunc(atSocket, func(k *event.Event) bool {
			return k.GetHttp().Request.Flow.SrcPort == w.GetHttp().Request.Flow.SrcPort
		})
		if i < 0 {
			t.Errorf("the kernel sensor does not know %s", show(w))
			continue
		}
		k := atSocket[i].GetHttp().CloneVT()
		if k.Request.Flow.Cookie == 0 {
			t.Error("no cookie at the socket")
		}
		k.Seen, k.Request.Flow.Cookie = event.HttpActivity_WIRE, 0
		if !proto.Equal(k, w.GetHttp()) {
			t.Errorf("wire   %+v\nsocket %+v", w.GetHttp(), k)
		}
		if d := int64(atSocket[i].BootNs) - int64(w.BootNs); d < -int64(time.Second) || d > int64(time.Second) {
			t.Errorf("%d ns apart", d)
		}
	}
	closed := wire.find(t, 4, func(ev *event.Event) bool {
		return ev.GetNetwork().GetOp() == event.NetworkActivity_FLOW_CLOSE && ev.GetNetwork().App != ""
	})
	for _, ev := range closed {
		if n := ev.GetNetwork(); !n.Inbound || n.App != "http" || n.BytesDst == 0 || n.Failed {
			t.Errorf("%+v", n)
		}
	}
	if c := s.Counts(); c.Doubles != 0 || c.Malformed != 0 {
		t.Errorf("%+v", c)
	}
}

// Loopback is read by choice, each packet once.
func TestLoopbackOnce(t *testing.T) {
	a, _ := pair(t)
	serve(t, a, "127.0.0.1:8080")
	var with, without recorder
	cfg := DefaultConfig()
	cfg.Netns, cfg.Loopback = a, true
	sniff(t, cfg, with.emit)
	cfg.Loopback = false
	sniff(t, cfg, without.emit)
	named := DefaultConfig()
	named.Netns, named.Interfaces = a, []string{"l?", "none*"}
	var byName recorder
	s := sniff(t, named, byName.emit)
	if c := s.opt.Board.Components()[0]; c.State != "degraded" || !strings.Contains(c.Reason, "none*") {
		t.Errorf("%+v", c)
	}
	time.Sleep(50 * time.Millisecond)
	ask(t, a, "127.0.0.1:8080", "GET /lo HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
	for _, r := range []*recorder{&with, &byName} {
		ev := r.find(t, 1, func(ev *event.Event) bool { return ev.GetNetwork().GetOp() == event.NetworkActivity_FLOW_CLOSE })[0].GetNetwork()
		if ev.PacketsSrc > 8 || ev.BytesSrc != 50 || len(r.find(t, 1, isRequest)) != 1 {
			t.Errorf("seen twice: %+v", ev)
		}
	}
	without.mu.Lock()
	defer without.mu.Unlock()
	for _, ev := range without.events {
		if isRequest(ev) || ev.GetNetwork().GetFlow().Dst().Addr().IsLoopback() {
			t.Errorf("loopback was not asked for: %s", show(ev))
		}
	}
}

// Packets that find the ring full are told as a loss window.
func TestFullRingIsTold(t *testing.T) {
	a, b := pair(t)
	cfg := DefaultConfig()
	cfg.Netns, cfg.Ring = b, 2*blockSize
	var r recorder
	s, err := New(cfg, Options{Board: health.NewBoard(), Redact: redact, Emit: r.emit})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.ring.start(); err != nil { // and nobody reads
		t.Fatal(err)
	}
	var c net.Conn
	if err := inNetns(a, func() (err error) {
		c, err = net.Dial("udp", "10.77.0.2:9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2000 {
		_, _ = c.Write(make([]byte, 1400)) // the answer of a closed port comes back as an error
	}
	s.everySecond(time.Now())
	loss := r.find(t, 1, func(ev *event.Event) bool { return ev.GetLoss() != nil })[0].GetLoss()
	if loss.Sensor != "packet" || loss.Class != "ring" || loss.Count == 0 || loss.Count != s.Counts().Dropped || s.opt.Board.LossTotals()["packet/ring"] != loss.Count {
		t.Errorf("%+v", loss)
	}
}
