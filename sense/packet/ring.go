// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/wire/ip"
)

// ring is a TPACKET_V3 receive ring shared with the kernel
// (Documentation/networking/packet_mmap.rst). The socket is of type SOCK_DGRAM, so every
// packet begins with its network header whatever the interface is. For one goroutine.
type ring struct {
	fd     int
	mem    []byte
	blocks int
	at     int // the block that comes next
}

// Offsets in struct tpacket_block_desc and struct tpacket3_hdr, include/uapi/linux/if_packet.h.
const (
	blockStatus  = 8
	blockPackets = 12
	blockFirst   = 16

	frameNext    = 0
	frameSec     = 4
	frameNsec    = 8
	frameSnaplen = 12
	frameMac     = 24
	frameSLL     = 48 // TPACKET_ALIGN(sizeof(struct tpacket3_hdr)): sockaddr_ll
	frameHead    = 68
	sllProtocol  = frameSLL + 2
	sllIfindex   = frameSLL + 4

	// retire is after how many ms a block that is not full is handed over: it bounds the
	// delay of an event, an aim of 300 ms in all.
	retire = 20
)

// openRing opens the socket in the calling thread's network namespace. Nothing is
// received before start.
func openRing(size int) (*ring, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w; run as root or give CAP_NET_RAW", err)
	}
	r := &ring{fd: fd, blocks: size / blockSize}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		r.close()
		return nil, fmt.Errorf("ask for TPACKET_V3: %w", err)
	}
	req := unix.TpacketReq3{Block_size: blockSize, Block_nr: uint32(r.blocks), Frame_size: 2048, Frame_nr: uint32(r.blocks * blockSize / 2048), Retire_blk_tov: retire}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		r.close()
		return nil, fmt.Errorf("make a packet ring of %d blocks of %d bytes: %w", r.blocks, blockSize, err)
	}
	if r.mem, err = unix.Mmap(fd, 0, r.blocks*blockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		r.close()
		return nil, fmt.Errorf("map the packet ring: %w", err)
	}
	return r, nil
}

// start begins to receive from all interfaces that the filter lets through.
func (r *ring) start() error {
	all := uint16(unix.ETH_P_ALL)
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8}); err != nil {
		return fmt.Errorf("bind packet socket: %w", err)
	}
	return nil
}

func (r *ring) close() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem) // the mapping is ours and whole
		r.mem = nil
	}
	_ = unix.Close(r.fd)
}

func (r *ring) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&r.mem[r.at*blockSize+blockStatus]))
}

// ready tells whether the kernel has handed over the next block.
func (r *ring) ready() bool { return atomic.LoadUint32(r.status())&unix.TP_STATUS_USER != 0 }

// wait sleeps until a block is handed over, at most ms.
func (r *ring) wait(ms int) error {
	p := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN | unix.POLLERR}}
	if _, err := unix.Poll(p, ms); err != nil && err != unix.EINTR {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// block walks the packets of the next block and gives it back. The data is the ring's.
func (r *ring) block(visit func(etherType uint16, data []byte, wall int64, iface int32)) {
	b := r.mem[r.at*blockSize : (r.at+1)*blockSize]
	word := func(off int) int { return int(binary.NativeEndian.Uint32(b[off:])) }
	off := word(blockFirst)
	for range word(blockPackets) {
		if off < 0 || off+frameHead > len(b) {
			break // the kernel does not do that
		}
		f := b[off:]
		n, mac := int(binary.NativeEndian.Uint32(f[frameSnaplen:])), int(binary.NativeEndian.Uint16(f[frameMac:]))
		if mac+n <= len(f) {
			wall := int64(binary.NativeEndian.Uint32(f[frameSec:]))*1e9 + int64(binary.NativeEndian.Uint32(f[frameNsec:]))
			visit(binary.BigEndian.Uint16(f[sllProtocol:]), f[mac:mac+n], wall, int32(binary.NativeEndian.Uint32(f[sllIfindex:])))
		}
		next := int(binary.NativeEndian.Uint32(f[frameNext:]))
		if next == 0 {
			break
		}
		off += next
	}
	atomic.StoreUint32(r.status(), unix.TP_STATUS_KERNEL)
	r.at = (r.at + 1) % r.blocks
}

// drops asks how many packets found the ring full since the last call.
func (r *ring) drops() (uint64, error) {
	st, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("read packet statistics: %w", err)
	}
	return uint64(st.Drops), nil
}

// filter sets what the kernel lets into the ring: IP (also tagged and over PPP) of the
// given interfaces, or of all but the skipped one; of loopback each packet once.
func (r *ring) filter(only []int, skip, loopback, snaplen int) error {
	prog, err := bpf.Assemble(program(only, skip, loopback, snaplen))
	if err != nil {
		return fmt.Errorf("assemble packet filter: %w", err)
	}
	raw := make([]unix.SockFilter, len(prog))
	for i, in := range prog {
		raw[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("attach packet filter: %w", err)
	}
	return nil
}

// outgoing is PACKET_OUTGOING, include/uapi/linux/if_packet.h.
const outgoing = 4

func program(only []int, skip, loopback, snaplen int) []bpf.Instruction {
	drop, keep := bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: uint32(snaplen)}
	var in []bpf.Instruction
	// anyOf goes on behind it when the accumulator is one of vals, else drops.
	anyOf := func(vals []int) {
		for i, v := range vals {
			in = append(in, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(v), SkipTrue: uint8(len(vals) - i)})
		}
		in = append(in, drop)
	}
	in = append(in, bpf.LoadExtension{Num: bpf.ExtProto})
	anyOf([]int{ip.EtherIPv4, ip.EtherIPv6, ip.EtherVLAN, ip.EtherQinQ, ip.EtherPPPoE})
	in = append(in, bpf.LoadExtension{Num: bpf.ExtInterfaceIndex})
	switch {
	case only != nil:
		anyOf(only[:min(len(only), maxNamed)])
	case skip != 0:
		in = append(in, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(skip), SkipTrue: 1}, drop)
	}
	in = append(in,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(loopback), SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: outgoing, SkipTrue: 1},
		drop, keep)
	return in
}

// maxNamed interfaces fit the eight-bit jumps of the filter.
const maxNamed = 200
