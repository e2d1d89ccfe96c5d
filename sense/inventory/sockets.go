// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/entity"
	"github.com/ringwall/ringwall/event"
)

var protoNames = map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp"}

// readSockets tells listening sockets (TCP in LISTEN, UDP bound and not connected) and
// standing connections, with their processes.
func (s *Sensor) readSockets() (map[event.Inventory_Kind]map[string]item, error) {
	var listen, flows []socket
	var errs []error
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		keep := func(list *[]socket) func(socket) bool {
			return func(k socket) bool {
				*list = append(*list, k)
				return len(*list) <= maxItems
			}
		}
		errs = append(errs,
			s.diag.dump(family, unix.IPPROTO_TCP, listening, 0, keep(&listen)),
			s.diag.dump(family, unix.IPPROTO_UDP, closed, 0, keep(&listen)),
			s.diag.dump(family, unix.IPPROTO_TCP, established, 0, keep(&flows)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.owners.find(append(append([]socket{}, listen...), flows...), s.scopeNetns())
	out := map[event.Inventory_Kind]map[string]item{event.Inventory_LISTENER: {}, event.Inventory_CONNECTION: {}}
	ports := map[uint16]bool{}
	for _, k := range listen {
		if k.proto == unix.IPPROTO_TCP {
			ports[k.local.Port()] = true
		}
		it := s.listener(k)
		key := it.inv.Name + " " + it.inv.Detail
		if old, twice := out[event.Inventory_LISTENER][key]; !twice || old.actor == nil {
			out[event.Inventory_LISTENER][key] = it // SO_REUSEPORT: one fact for many sockets of one program
		}
	}
	if len(flows) > maxItems { // a part would come and go with the kernel's hash
		delete(out, event.Inventory_CONNECTION)
		return out, fmt.Errorf("more than %d connections stand: not told; the kernel sensor tells each as it comes", maxItems)
	}
	for _, k := range flows {
		it := s.connection(k, ports[k.local.Port()])
		out[event.Inventory_CONNECTION][it.inv.Name] = it
	}
	return out, nil
}

// scopeNetns is the namespace that owners must share; 0 where the agent is not confined.
func (s *Sensor) scopeNetns() uint64 {
	if s.opt.Netns == "" {
		return 0
	}
	return s.netns
}

// listener: the flow has a destination only, which is the service.
func (s *Sensor) listener(k socket) item {
	p := s.owners.of(k)
	f := &entity.Flow{DstIp: entity.AddrBytes(k.local.Addr()), DstPort: uint32(k.local.Port()), Proto: uint32(k.proto), Netns: s.netns}
	name := protoNames[k.proto] + " " + k.local.String()
	version, detail := s.program(p, k.uid)
	return item{
		inv:   &event.Inventory{Kind: event.Inventory_LISTENER, Name: name, Version: version, Detail: detail, Flow: f},
		actor: p,
		brief: k.proto == unix.IPPROTO_UDP, // a resolver's question binds a port for a moment
	}
}

// connection: who opened it is known from whether its own port listens.
func (s *Sensor) connection(k socket, inbound bool) item {
	src, dst := k.local, k.remote
	if inbound {
		src, dst = dst, src
	}
	f := entity.NewFlow(src, dst, k.proto)
	f.Netns, f.Cookie = s.netns, k.cookie
	p := s.owners.of(k)
	_, detail := s.program(p, k.uid)
	return item{inv: &event.Inventory{Kind: event.Inventory_CONNECTION, Name: arrow(src, dst), Detail: detail, Flow: f}, actor: p, brief: true}
}

func arrow(src, dst netip.AddrPort) string { return "tcp " + src.String() + " → " + dst.String() }

// program describes who holds a socket: version of the package, and in words program,
// package and user.
func (s *Sensor) program(p *entity.Process, uid uint32) (version, detail string) {
	if p == nil {
		return "", "uid=" + strconv.Itoa(int(uid))
	}
	name := p.Exe
	if name == "" {
		name = p.Comm
	}
	words := []string{"exe=" + name}
	if pkg := s.owner(strings.TrimSuffix(p.Exe, " (deleted)")); pkg != "" {
		version = s.pkgs.versions[pkg]
		words = append(words, "package="+pkg)
	}
	return version, strings.Join(append(words, fmt.Sprintf("uid=%d", uid)), " ")
}
