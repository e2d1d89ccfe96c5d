// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// network is the lab's switch: a bridge in a namespace that only an open descriptor keeps alive.
type network struct {
	space  *os.File // network namespace of the switch
	handle *netlink.Handle
	bridge int
}

// newSpace makes a network namespace with a loopback and without IPv6 (whose chatter would be
// traffic that no scenario asked for).
func newSpace() (*os.File, error) {
	var space *os.File
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		for _, which := range []string{"all", "default"} {
			err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		var err error
		space, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return space, nil
}

func newNetwork() (_ *network, err error) {
	space, err := newSpace()
	if err != nil {
		return nil, err
	}
	n := &network{space: space}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if n.handle, err = netlink.NewHandleAt(netns.NsHandle(space.Fd())); err != nil {
		return nil, fmt.Errorf("open netlink in the switch: %w", err)
	}
	off := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}, MulticastSnooping: &off}
	if err := n.handle.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("make the bridge: %w", err)
	}
	if err := n.handle.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("raise the bridge: %w", err)
	}
	n.bridge = bridge.Attrs().Index
	return n, nil
}

// plug joins a host's namespace to the switch as eth0 with the address.
func (n *network) plug(index int, host *os.File, addr netip.Prefix) error {
	port := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: fmt.Sprintf("port%d", index), MasterIndex: n.bridge},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsFd(host.Fd()),
	}
	if err := n.handle.LinkAdd(port); err != nil {
		return fmt.Errorf("make port %d of the switch: %w", index, err)
	}
	if err := n.handle.LinkSetUp(port); err != nil {
		return fmt.Errorf("raise port %d of the switch: %w", index, err)
	}
	inside, err := netlink.NewHandleAt(netns.NsHandle(host.Fd()))
	if err != nil {
		return fmt.Errorf("open netlink in the host: %w", err)
	}
	defer inside.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, err := inside.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s in the host: %w", name, err)
		}
		if name == "eth0" {
			ip := &netlink.Addr{IPNet: netlink.NewIPNet(addr.Addr().AsSlice())}
			ip.Mask = maskOf(addr)
			if err := inside.AddrAdd(link, ip); err != nil {
				return fmt.Errorf("give %s to the host: %w", addr, err)
			}
		}
		if err := inside.LinkSetUp(link); err != nil {
			return fmt.Errorf("raise %s in the host: %w", name, err)
		}
	}
	runtime.KeepAlive(host)
	return nil
}

func maskOf(p netip.Prefix) []byte {
	mask := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}

func (n *network) close() {
	if n.handle != nil {
		n.handle.Close()
	}
	n.space.Close()
}
