// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// spoken is whom a web server's error line names: its own process and the client, whose
// port is 0 where the line does not tell it.
type spoken struct {
	At     time.Time
	Pid    uint32
	Client netip.AddrPort
}

// parseWebError reads the heads that nginx (ngx_log.c) and Apache 2.4 (ErrorLogFormat's
// default) write:
// 2026/11/24 10:00:00 [error] 812#812: *45 open() "/x" failed …, client: 10.0.0.9, server: _, …
// [Tue Nov 24 10:00:00.123456 2026] [php:error] [pid 812:tid 14021] [client 10.0.0.9:41002] …
// What stands behind them the client may have chosen: nginx's client is believed only
// where the line names one.
func parseWebError(unit, line string, zone *time.Location) (s spoken) {
	switch unit {
	case "nginx":
		if len(line) < 20 {
			return s
		}
		at, err := time.ParseInLocation("2006/01/02 15:04:05", line[:19], zone)
		if err != nil {
			return s
		}
		s.At = at
		_, rest, ok := strings.Cut(line[19:], "] ")
		pid, _, ok2 := strings.Cut(rest, "#")
		if !ok || !ok2 {
			return s
		}
		s.Pid = number(pid)
		if head, client, ok := strings.Cut(rest, ", client: "); ok && !strings.Contains(client, ", client: ") && !strings.Contains(head, "client: ") {
			client, _, _ = strings.Cut(client, ",")
			if ip, err := netip.ParseAddr(client); err == nil {
				s.Client = netip.AddrPortFrom(ip.Unmap().WithZone(""), 0)
			}
		}
	case "apache":
		s.apache(line, zone)
	}
	return s
}

// apache reads the brackets at the beginning, until there is none.
func (s *spoken) apache(line string, zone *time.Location) {
	for i := 0; i < 6; i++ {
		inside, ok := strings.CutPrefix(line, "[")
		if !ok {
			return
		}
		word, rest, ok := strings.Cut(inside, "]")
		if strings.HasPrefix(inside, "client [") { // an IPv6 address has brackets of its own
			word, rest, ok = strings.Cut(inside, "] ")
			word = strings.TrimSuffix(word, "]")
		}
		if !ok {
			return
		}
		line = strings.TrimPrefix(rest, " ")
		switch key, v, _ := strings.Cut(word, " "); {
		case i == 0:
			at, err := time.ParseInLocation("Mon Jan 02 15:04:05.999999 2006", word, zone)
			if err != nil {
				return
			}
			s.At = at
		case key == "pid":
			pid, _, _ := strings.Cut(v, ":")
			s.Pid = number(pid)
		case key == "client":
			if at, err := netip.ParseAddrPort(v); err == nil {
				s.Client = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
			} else if ip, err := netip.ParseAddr(v); err == nil {
				s.Client = netip.AddrPortFrom(ip.Unmap().WithZone(""), 0)
			}
			return // what follows is the message
		}
	}
}

func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}
