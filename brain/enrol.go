// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// EnrolAddress is the enrolment door beside the bus: the next port.
func EnrolAddress(bus string) (string, error) {
	h, p, err := net.SplitHostPort(bus)
	if err != nil {
		return "", fmt.Errorf("brain.listen %q: %w", bus, err)
	}
	n, err := strconv.Atoi(p)
	if err != nil || n <= 0 || n >= 65535 {
		return "", fmt.Errorf("brain.listen %q: want a port from 1 to 65534", bus)
	}
	return net.JoinHostPort(h, strconv.Itoa(n+1)), nil
}

// advertised is the enrolment door as other hosts call it: where the brain listens on
// every address, the first of its own that is no loopback.
func advertised(door string) string {
	host, port, err := net.SplitHostPort(door)
	if a, perr := netip.ParseAddr(host); err != nil || host != "" && (perr != nil || !a.IsUnspecified()) {
		return door
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return net.JoinHostPort(p.Addr().String(), port)
		}
	}
	return net.JoinHostPort("127.0.0.1", port)
}
