// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Socket states, include/net/tcp_states.h, as bits of a sock_diag request.
const (
	established = 1 << 1
	timeWait    = 1 << 6
	closed      = 1 << 7 // of UDP: bound and not connected
	listening   = 1 << 10
	connected   = established | 1<<4 | 1<<5 | timeWait | 1<<8 | 1<<9 | 1<<11
)

// socket is one row of the kernel's table.
type socket struct {
	proto         uint8
	state         uint8
	local, remote netip.AddrPort
	uid           uint32
	inode         uint32
	cookie        uint64
}

// diag asks the kernel for its sockets (sock_diag(7)) in the namespace where it was
// opened. For one goroutine.
type diag struct {
	fd  int
	seq uint32
	buf []byte
}

// openDiag opens a socket in a network namespace and tells that namespace's inode. The
// socket stays there and the thread comes back: were it to end, children that asked for
// a signal at their parent's death (prctl(2), PR_SET_PDEATHSIG) would get it.
func openDiag(netns string) (d *diag, ns uint64, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		own, e := os.Open("/proc/thread-self/ns/net")
		if e != nil {
			err = fmt.Errorf("inventory: own network namespace: %w", e)
			return
		}
		defer own.Close()
		d, ns, err = openHere(netns)
		if netns == "" || unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread() // otherwise the thread is in the wrong place and ends here
		}
	}()
	<-done
	return d, ns, err
}

func openHere(netns string) (*diag, uint64, error) {
	if netns != "" {
		f, err := os.Open(netns)
		if err != nil {
			return nil, 0, fmt.Errorf("inventory: network namespace: %w", err)
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, 0, fmt.Errorf("inventory: enter network namespace %s: %w; give CAP_SYS_ADMIN", netns, err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return nil, 0, fmt.Errorf("inventory: own network namespace: %w", err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, 0, fmt.Errorf("inventory: sock_diag: %w", err)
	}
	tv := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		unix.Close(fd)
		return nil, 0, fmt.Errorf("inventory: sock_diag: %w", err)
	}
	return &diag{fd: fd, buf: make([]byte, 64<<10)}, st.Ino, nil
}

func (d *diag) close() {
	if d != nil {
		unix.Close(d.fd)
	}
}

const (
	sockDiagByFamily = 20 // include/uapi/linux/sock_diag.h
	reqLen           = 56 // struct inet_diag_req_v2, include/uapi/linux/inet_diag.h
	msgLen           = 72 // struct inet_diag_msg
)

// dump calls f for each socket of a family, protocol and set of states, and, where port
// is not 0, of that remote port. When f returns false the rest is read and passed over.
func (d *diag) dump(family, proto uint8, states uint32, port uint16, f func(socket) bool) error {
	d.seq++
	req := make([]byte, unix.NLMSG_HDRLEN+reqLen)
	native := binary.NativeEndian
	native.PutUint32(req, uint32(len(req)))
	native.PutUint16(req[4:], sockDiagByFamily)
	native.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	native.PutUint32(req[8:], d.seq)
	b := req[unix.NLMSG_HDRLEN:]
	b[0], b[1] = family, proto
	native.PutUint32(b[4:], states)
	binary.BigEndian.PutUint16(b[10:], port)
	if err := unix.Sendto(d.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask for sockets: %w", err)
	}
	more := true
	for {
		n, _, err := unix.Recvfrom(d.fd, d.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read sockets: %w", err)
		}
		done, err := messages(d.buf[:n], d.seq, func(m []byte) {
			if s, ok := parseSocket(m, proto); ok && more {
				more = f(s)
			}
		})
		if done || err != nil {
			return err
		}
	}
}

// messages walks one datagram of netlink messages; done at the end of the dump.
func messages(b []byte, seq uint32, f func([]byte)) (done bool, err error) {
	native := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(native.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return true, errors.New("read sockets: a message of impossible length")
		}
		typ, theirs, body := native.Uint16(b[4:]), native.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:n]
		b = b[min(len(b), (n+3)&^3):]
		if theirs != seq {
			continue // of an earlier dump that was given up
		}
		switch typ {
		case unix.NLMSG_DONE:
			return true, nil
		case unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if e := int32(native.Uint32(body)); e != 0 {
					return true, fmt.Errorf("read sockets: %w", unix.Errno(-e))
				}
			}
			return true, nil
		case sockDiagByFamily:
			f(body)
		}
	}
	return false, nil
}

func parseSocket(m []byte, proto uint8) (socket, bool) {
	if len(m) < msgLen {
		return socket{}, false
	}
	native := binary.NativeEndian
	s := socket{proto: proto, state: m[1], cookie: uint64(native.Uint32(m[44:])) | uint64(native.Uint32(m[48:]))<<32, uid: native.Uint32(m[64:]), inode: native.Uint32(m[68:])}
	addr := func(b []byte) netip.Addr {
		if m[0] == unix.AF_INET {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16([16]byte(b[:16])).Unmap()
	}
	s.local = netip.AddrPortFrom(addr(m[8:]), binary.BigEndian.Uint16(m[4:]))
	s.remote = netip.AddrPortFrom(addr(m[24:]), binary.BigEndian.Uint16(m[6:]))
	return s, m[0] == unix.AF_INET || m[0] == unix.AF_INET6
}
