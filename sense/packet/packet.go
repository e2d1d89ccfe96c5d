// SPDX-License-Identifier: Apache-2.0

// Package packet is the sensor on the wire: flows, and what the clear beginning of each
// tells (HTTP/1 whole, TLS and SSH until they encrypt, DNS). It reads a kernel ring
// (AF_PACKET, TPACKET_V3) and capture files through the same code.
//
// In come packets; out go NetworkActivity (FLOW_OPEN, FLOW_CLOSE), HttpActivity (seen
// WIRE), TlsActivity, SshActivity, DnsActivity and loss windows. It believes who sent
// the SYN for who is the client. A flow whose opening was not seen has the lower port as
// its server, which is a guess: its tcp_flags are without SYN. bytes_src and bytes_dst
// count payload, as the kernel sensor does, for protocols without ports IP packets.
//
// Memory is one budget for all flows. When it is used up, flows go in this order: ended,
// never answered, datagrams, established; within each the longest silent. Every eviction
// is counted, and told as a loss where something was still being read.
//
// The worst trap: one packet may pass several interfaces (bridge and veth, VLAN and its
// parent) and passes loopback twice. A direction of a flow is read on the interface
// where it was seen first; its doubles elsewhere are counted and left.
package packet

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/health"
	"github.com/ringwall/ringwall/wire/http/activity"
)

// Name is the component's name on the health board.
const Name = "sensor.packet"

// Config says what is read and how much is kept.
type Config struct {
	Interfaces []string `yaml:"interfaces"` // names or patterns (eth*); none: all but loopback
	Loopback   bool     `yaml:"loopback"`   // with no interfaces named, loopback too
	Netns      string   `yaml:"netns"`      // file of the network namespace; "" for the agent's own
	Ring       int      `yaml:"ring"`       // bytes of the kernel's ring
	Snaplen    int      `yaml:"snaplen"`    // bytes kept of a packet; offload makes packets of 64 KiB
	Memory     int      `yaml:"memory"`     // bytes for all flows together
	Body       int      `yaml:"body"`       // bytes of one HTTP body that are looked at
	FlowRate   int      `yaml:"flow_rate"`  // flows told in a second that were not answered; more are counted
	DNSRate    int      `yaml:"dns_rate"`   // DNS messages told in a second
}

const blockSize = 256 << 10

// DefaultConfig reads all interfaces but loopback with an 8 MiB ring (a fifth of a second
// at 200,000 packets of 200 bytes) and 32 MiB of flows (some 60,000).
func DefaultConfig() Config {
	return Config{Ring: 8 << 20, Snaplen: 64 << 10, Memory: 32 << 20, Body: 64 << 10, FlowRate: 2000, DNSRate: 2000}
}

// Validate says which setting is out of bounds and what would do.
func (c *Config) Validate() error {
	var errs []error
	between := func(name string, v, least, most int) {
		if v < least || v > most {
			errs = append(errs, fmt.Errorf("packet.%s = %d: want %d to %d", name, v, least, most))
		}
	}
	between("ring", c.Ring, 2*blockSize, 1<<30)
	between("snaplen", c.Snaplen, 128, blockSize/2)
	between("memory", c.Memory, 1<<20, 1<<40)
	between("body", c.Body, 0, 1<<20)
	between("flow_rate", c.FlowRate, 1, 1<<20)
	between("dns_rate", c.DNSRate, 1, 1<<20)
	for _, p := range c.Interfaces {
		if _, err := path.Match(p, "eth0"); err != nil || p == "" {
			errs = append(errs, fmt.Errorf("packet.interfaces: %q is neither a name nor a pattern", p))
		}
	}
	if c.Netns != "" && !filepath.IsAbs(c.Netns) {
		errs = append(errs, fmt.Errorf("packet.netns: %q is not an absolute path", c.Netns))
	}
	return errors.Join(errs...)
}

// Options join the sensor to its agent. Emit and Redact are required; Emit is called
// from one goroutine and must not block for long, or the ring fills and loss is counted.
type Options struct {
	Clock  *event.Clock // for Replay nil: then boot_ns is wall_ns, so that a replay is the same on every machine
	Board  *health.Board
	Emit   func(*event.Event)
	Redact activity.Redactor

	// Netns is told as the namespace of flows; 0: the one that is read, for Replay none.
	Netns uint64
	// Local tells which addresses are this host's own, so that a flow is inbound. Nil:
	// those of the interfaces, for Replay none.
	Local func(netip.Addr) bool
}

func (o *Options) check() error {
	if o.Emit == nil || o.Redact == nil {
		return errors.New("packet sensor: Emit and Redact are required")
	}
	if o.Board == nil {
		o.Board = health.NewBoard()
	}
	return nil
}

// Counts since start.
type Counts struct {
	Packets   uint64 // read
	Dropped   uint64 // by the kernel, the ring being full
	Other     uint64 // no IP
	Malformed uint64
	Fragments uint64 // parts of packets; the later ones belong to no flow here
	Doubles   uint64 // seen on another interface already
	Flows     uint64 // begun
	Live      uint64 // in the table
	Memory    uint64 // bytes in use
	Evicted   uint64 // flows that went for want of memory
	Cut       uint64 // of them, while their content was being read
	Read      uint64 // flows whose protocol is one that is read
	DNS       uint64 // DNS messages told
	Shed      uint64 // flows not told, over FlowRate
	DNSShed   uint64 // DNS messages not told, over DNSRate
	Gaps      uint64 // directions with bytes never seen
	Conflicts uint64 // directions in which two copies of a byte differed
	Events    uint64
}

// Times that a flow may be silent. TCP: RFC 5382 §5 has NATs wait 2 h 4 min for an
// established and 4 min for an opening connection; ours are shorter, because a flow
// taken up again costs only a guess of its direction.
const (
	idleEstablished = 15 * time.Minute
	idleOpening     = 30 * time.Second
	idleDatagram    = time.Minute
	idleEnded       = 2 * time.Second // last acknowledgements still come
	// bodyWait is how long a request waits for its body before it is told without.
	bodyWait = 50 * time.Millisecond
	// doubleFor: a direction moves to another interface after this silence on its own.
	doubleFor = 3 * time.Second
	// stepped: packets stand in their order but for far less.
	stepped = int64(10 * time.Second)
)
