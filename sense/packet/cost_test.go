// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/wire/pcap"
)

// cost is what a sensor in a process of its own says of itself.
type cost struct {
	CPU    time.Duration
	Wall   time.Duration
	Counts Counts
}

// senseUntilEnd is that process: it senses a namespace until its input ends.
func senseUntilEnd(netns string) {
	cfg := DefaultConfig()
	cfg.Netns = netns
	s, err := New(cfg, Options{Board: health.NewBoard(), Redact: redact, Emit: func(ev *event.Event) { _, _ = ev.MarshalVT() }}) // as the agent does
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	fmt.Println("ready")
	began, before := time.Now(), cpu()
	if err := s.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(cost{cpu() - before, time.Since(began), s.Counts()})
	os.Exit(0)
}

// TestLiveCost prints the share of a core that the sensor takes at rest and while 10,000
// packets a second of the mixed captures pass. It asserts only that none is lost.
func TestLiveCost(t *testing.T) {
	packets := mixed(t, 1)
	a, b := pair(t)
	for _, perSec := range []int{0, 10000, 50000} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RINGWALL_TEST_SENSE="+b)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var ready [6]byte
		if _, err := io.ReadFull(out, ready[:]); err != nil {
			t.Fatal(err)
		}
		sent := blast(t, a, packets, perSec, 2*time.Second)
		time.Sleep(100 * time.Millisecond)
		_ = in.Close()
		var c cost
		if err := json.NewDecoder(out).Decode(&c); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%6d packets/s: sent %d, read %d, dropped %d, %d events: %.2f %% of a core", perSec, sent, c.Counts.Packets, c.Counts.Dropped, c.Counts.Events, 100*c.CPU.Seconds()/c.Wall.Seconds())
		if perSec == 10000 && c.Counts.Dropped > 0 {
			t.Errorf("%d packets lost", c.Counts.Dropped)
		}
	}
}

// blast sends frames from a namespace at a rate.
func blast(t *testing.T, netns string, packets []pcap.Packet, perSec int, long time.Duration) (sent int) {
	if perSec == 0 {
		time.Sleep(long)
		return 0
	}
	var fd, index int
	if err := inNetns(netns, func() (err error) {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		index = i.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: index}
	began := time.Now()
	for i := 0; time.Since(began) < long; i++ {
		if due := int(time.Since(began).Seconds() * float64(perSec)); sent >= due {
			time.Sleep(time.Millisecond)
			continue
		}
		p := &packets[i%len(packets)]
		if len(p.Data) > 1514 {
			continue
		}
		if err := unix.Sendto(fd, p.Data, 0, to); err != nil {
			if strings.Contains(err.Error(), "buffer") {
				continue
			}
			t.Fatal(err)
		}
		sent++
	}
	return sent
}
