// SPDX-License-Identifier: Apache-2.0

package respond

import (
	"net"
	"net/netip"

	"github.com/ringwall/ringwall/respond/process"
	"github.com/ringwall/ringwall/respond/testnet"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func childrenOf(pid int) []int { return process.Children(pid) }

// testAddrPort is the near end of a connection of the peer.
func testAddrPort(c net.Conn) netip.AddrPort { return netip.MustParseAddrPort(c.LocalAddr().String()) }

func testAddrPort2(b *bench) netip.AddrPort { return netip.AddrPortFrom(b.host.Addr, b.port) }

func echoes(c net.Conn) error { return testnet.Echo(c) }
