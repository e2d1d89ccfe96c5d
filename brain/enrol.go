// SPDX-License-Identifier: Apache-2.0

package brain

import (
	"fmt"
	"net"
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
