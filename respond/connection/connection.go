// SPDX-License-Identifier: Apache-2.0

// Package connection lists the sockets of a network namespace and cuts the ones it is
// told to: INET_DIAG dumps and SOCK_DESTROY (include/uapi/linux/{inet,sock}_diag.h).
//
// In comes a namespace; out go sockets, and resets to both ends of those destroyed. It
// believes the kernel's dump. A socket is destroyed by its cookie: one that took over
// the tuple meanwhile is left alone.
//
// The worst trap: an IPv4 peer of a dual-stack listener is dumped as an IPv6 socket.
// Addresses are unmapped here, once. Forwarded connections (containers) have no socket
// in this namespace: enter theirs.
package connection

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// State of a socket, as the kernel numbers it (include/net/tcp_states.h).
type State uint8

// States that matter here.
const (
	Established State = 1
	TimeWait    State = 6
	Closed      State = 7
	Listen      State = 10
)

// Masks of states for List.
const (
	Listening = uint32(1) << Listen
	// Alive is all that carry or may carry data; TIME_WAIT holds nothing.
	Alive = uint32(0x1fff) &^ (1 | 1<<TimeWait | 1<<Closed | 1<<Listen)
)

// Socket is one line of a dump.
type Socket struct {
	Proto         uint8 // unix.IPPROTO_TCP or IPPROTO_UDP
	State         State
	Local, Remote netip.AddrPort // IPv4 unmapped
	Inode         uint32         // 0: belongs to no file (yet, or any more)
	UID           uint32

	family uint8
	id     [48]byte // inet_diag_sockid, cookie included
}

// String names the socket for people.
func (s Socket) String() string {
	return fmt.Sprintf("%s %s ↔ %s", map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp"}[s.Proto], s.Local, s.Remote)
}

// Cutter holds one netlink socket in a namespace. Safe for many goroutines.
type Cutter struct {
	mu  sync.Mutex // one conversation at a time
	fd  int
	seq uint32
}

const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	header           = 16 // struct nlmsghdr
	request          = 56 // struct inet_diag_req_v2
	answer           = 72 // struct inet_diag_msg
	batch            = 100
)

// Open makes the socket in the namespace of the file (nil: the own one). Destroying
// needs CAP_NET_ADMIN there and CONFIG_INET_DIAG_DESTROY.
func Open(ns *os.File) (*Cutter, error) {
	fd, err := socketIn(ns)
	if err != nil {
		return nil, fmt.Errorf("open NETLINK_SOCK_DIAG: %w", err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
	return &Cutter{fd: fd}, nil
}

// socketIn opens on a thread that enters the namespace and is thrown away; a socket
// stays in the namespace it was made in.
func socketIn(ns *os.File) (int, error) {
	open := func() (int, error) {
		return unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	}
	if ns == nil {
		return open()
	}
	type result struct {
		fd  int
		err error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{-1, fmt.Errorf("enter network namespace %s: %w", ns.Name(), err)}
			return
		}
		fd, err := open()
		done <- result{fd, err}
	}()
	r := <-done
	return r.fd, r.err
}

// Close frees the socket.
func (c *Cutter) Close() error { return unix.Close(c.fd) }

// List dumps the sockets whose state is in the mask and of which keep (nil: all) is
// true. protos are unix.IPPROTO_TCP and the like; a protocol that the kernel cannot
// dump is skipped unless it is the only one.
func (c *Cutter) List(states uint32, keep func(*Socket) bool, protos ...uint8) ([]Socket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Socket
	for _, proto := range protos {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			err := c.dump(family, proto, states, func(s *Socket) {
				if keep == nil || keep(s) {
					out = append(out, *s)
				}
			})
			if err != nil && !(errors.Is(err, unix.ENOENT) && len(protos) > 1) {
				return out, fmt.Errorf("dump sockets of protocol %d: %w", proto, err)
			}
		}
	}
	return out, nil
}

func (c *Cutter) dump(family, proto uint8, states uint32, give func(*Socket)) error {
	msg := c.message(nil, sockDiagByFamily, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, family, proto, states, nil)
	if err := unix.Sendto(c.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return c.receive(func(typ uint16, body []byte) (done bool, err error) {
		switch typ {
		case unix.NLMSG_DONE:
			if len(body) >= 4 {
				if code := int32(binary.NativeEndian.Uint32(body)); code < 0 {
					return true, unix.Errno(-code)
				}
			}
			return true, nil
		case unix.NLMSG_ERROR:
			return true, errno(body)
		case sockDiagByFamily:
			if s, ok := parse(body, proto); ok {
				give(&s)
			}
		}
		return false, nil
	})
}

// Destroy cuts the sockets, 100 to a message, and tells how many went. One that was
// gone already counts; the first other error is given after all were tried.
func (c *Cutter) Destroy(sockets []Socket) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cut := 0
	var first error
	for len(sockets) > 0 {
		n := min(batch, len(sockets))
		var buf []byte
		for i := range sockets[:n] {
			s := &sockets[i]
			buf = c.message(buf, sockDestroy, unix.NLM_F_REQUEST|unix.NLM_F_ACK, s.family, s.Proto, 0xffffffff, s.id[:])
		}
		if err := unix.Sendto(c.fd, buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return cut, fmt.Errorf("send SOCK_DESTROY: %w", err)
		}
		acks := 0
		err := c.receive(func(typ uint16, body []byte) (bool, error) {
			if typ == unix.NLMSG_ERROR {
				acks++
				if err := errno(body); err == nil || errors.Is(err, unix.ENOENT) {
					cut++
				} else if first == nil {
					first = fmt.Errorf("SOCK_DESTROY: %w", err)
				}
			}
			return acks == n, nil
		})
		if err != nil {
			return cut, fmt.Errorf("await SOCK_DESTROY: %w", err)
		}
		sockets = sockets[n:]
	}
	return cut, first
}

// message appends one request; its answers carry the sequence number of the last.
func (c *Cutter) message(buf []byte, typ, flags uint16, family, proto uint8, states uint32, id []byte) []byte {
	c.seq++
	buf = binary.NativeEndian.AppendUint32(buf, header+request)
	buf = binary.NativeEndian.AppendUint16(buf, typ)
	buf = binary.NativeEndian.AppendUint16(buf, flags)
	buf = binary.NativeEndian.AppendUint32(buf, c.seq)
	buf = binary.NativeEndian.AppendUint32(buf, 0)
	buf = append(buf, family, proto, 0, 0)
	buf = binary.NativeEndian.AppendUint32(buf, states)
	var zero [48]byte
	copy(zero[:], id)
	return append(buf, zero[:]...)
}

// receive reads messages until f says done; those of an older conversation (one that
// timed out) are passed over.
func (c *Cutter) receive(f func(typ uint16, body []byte) (done bool, err error)) error {
	buf := make([]byte, 1<<16)
	oldest := c.seq - batch
	for {
		n, _, err := unix.Recvfrom(c.fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for b := buf[:n]; len(b) >= header; {
			size := binary.NativeEndian.Uint32(b)
			if size < header || uint64(size) > uint64(len(b)) {
				return errors.New("netlink: message of a wrong length")
			}
			if int32(binary.NativeEndian.Uint32(b[8:])-oldest) > 0 {
				if done, err := f(binary.NativeEndian.Uint16(b[4:]), b[header:size]); done || err != nil {
					return err
				}
			}
			b = b[min(len(b), int(size+3)&^3):]
		}
	}
}

func errno(body []byte) error {
	if len(body) < 4 {
		return errors.New("netlink: short error")
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// parse reads struct inet_diag_msg.
func parse(b []byte, proto uint8) (s Socket, ok bool) {
	if len(b) < answer {
		return s, false
	}
	s.Proto, s.family, s.State = proto, b[0], State(b[1])
	copy(s.id[:], b[4:52])
	addr := func(b []byte) netip.Addr {
		if s.family == unix.AF_INET {
			b = b[:4]
		}
		a, _ := netip.AddrFromSlice(b)
		return a.Unmap()
	}
	s.Local = netip.AddrPortFrom(addr(b[8:24]), binary.BigEndian.Uint16(b[4:]))
	s.Remote = netip.AddrPortFrom(addr(b[24:40]), binary.BigEndian.Uint16(b[6:]))
	s.UID, s.Inode = binary.NativeEndian.Uint32(b[64:]), binary.NativeEndian.Uint32(b[68:])
	return s, true
}
