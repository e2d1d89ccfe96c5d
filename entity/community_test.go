// SPDX-License-Identifier: Apache-2.0

package entity

import (
	"net/netip"
	"testing"
)

// The vectors of corelight/pycommunityid (BSD-3), tests/communityid_test.py, seed 0.
func TestPublishedCommunityID(t *testing.T) {
	for _, c := range []struct {
		src, dst string
		sp, dp   uint16
		proto    uint8
		want     string
	}{
		{"128.232.110.120", "66.35.250.204", 34855, 80, 6, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{"66.35.250.204", "128.232.110.120", 80, 34855, 6, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{"10.0.0.1", "10.0.0.2", 10, 11569, 6, "1:SXBGMX1lBOwhhoDrZynfROxnhnM="},
		{"192.168.1.52", "8.8.8.8", 54585, 53, 17, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{"8.8.8.8", "192.168.1.52", 53, 54585, 17, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{"192.168.170.8", "192.168.170.56", 7, 80, 132, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
		{"192.168.170.56", "192.168.170.8", 80, 7, 132, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
		{"192.168.0.89", "192.168.0.1", 8, 0, 1, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{"192.168.0.1", "192.168.0.89", 0, 8, 1, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{"192.168.0.89", "192.168.0.1", 20, 0, 1, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI="},
		{"192.168.0.89", "192.168.0.1", 20, 1, 1, "1:tz/fHIDUHs19NkixVVoOZywde+I="},
		{"192.168.0.1", "192.168.0.89", 0, 20, 1, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{"fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, 58, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{"fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 0, 58, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{"3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, 58, "1:NdobDX8PQNJbAyfkWxhtL2Pqp5w="},
		{"3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:507:0:1:260:97ff:fe07:69ea", 3, 0, 58, "1:/OGBt9BN1ofenrmSPWYicpij2Vc="},
		{"10.1.24.4", "10.1.12.1", 0, 0, 46, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4="},
		{"10.1.12.1", "10.1.24.4", 0, 0, 46, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4="},
	} {
		src, dst := netip.AddrPortFrom(netip.MustParseAddr(c.src), c.sp), netip.AddrPortFrom(netip.MustParseAddr(c.dst), c.dp)
		if got := CommunityID(src, dst, c.proto); got != c.want {
			t.Errorf("%v %v protocol %d: %s, want %s", src, dst, c.proto, got, c.want)
		}
	}
}
