// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// access is one line of a web server's access log.
type access struct {
	Client         netip.Addr // invalid: the log has a name
	Host           string     // vhost_combined only
	Method, Target string
	Status         uint32
	Referer, Agent string
}

// parseAccess reads the common and combined formats of Apache (mod_log_config) and nginx,
// and Apache's vhost_combined:
// [vhost:port ]client ident user [24/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "referer" "agent".
// A request that is not HTTP gives false: the line is told as it is.
func parseAccess(line string) (a access, at time.Time, ok bool) {
	head, rest, ok := strings.Cut(line, " [")
	if !ok || len(head) > 1024 {
		return a, at, false
	}
	a.client(head)
	date, rest, ok := strings.Cut(rest, "] ")
	if !ok {
		return a, at, false
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", date)
	if err != nil {
		return a, at, false
	}
	request, rest, ok := quoted(rest)
	if !ok || !a.request(request) {
		return a, at, false
	}
	status, rest, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	n, err := strconv.ParseUint(status, 10, 16)
	if err != nil || n < 100 || n > 999 {
		return a, at, false
	}
	a.Status = uint32(n)
	_, rest, _ = strings.Cut(rest, " ") // bytes sent
	if a.Referer, rest, ok = quoted(rest); !ok {
		return a, at, true // common
	}
	a.Agent, _, _ = quoted(strings.TrimPrefix(rest, " "))
	a.Referer, a.Agent = dash(a.Referer), dash(a.Agent)
	return a, at, true
}

func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// client reads `10.0.0.9 - bob`, with `www.example.org:443 ` before it in vhost_combined.
func (a *access) client(head string) {
	f := strings.Fields(head)
	if len(f) == 0 {
		return
	}
	i := 0
	if len(f) >= 4 && strings.Contains(f[0], ":") {
		if _, err := netip.ParseAddr(f[0]); err != nil {
			a.Host, i = f[0][:strings.LastIndexByte(f[0], ':')], 1
		}
	}
	if ip, err := netip.ParseAddr(f[i]); err == nil {
		a.Client = ip.Unmap().WithZone("")
	}
}

// request reads "GET /a?b HTTP/1.1".
func (a *access) request(s string) bool {
	method, rest, ok := strings.Cut(s, " ")
	if !ok || method == "" || len(method) > 32 {
		return false
	}
	for i := range len(method) {
		if c := method[i] | 0x20; (c < 'a' || c > 'z') && method[i] != '-' && method[i] != '_' {
			return false
		}
	}
	target := rest
	if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
		target = rest[:i]
	}
	a.Method, a.Target = method, target
	return target != ""
}

// quoted reads a quoted string with the escapes of Apache (\" \\ \n \xhh) and nginx (\xHH).
func quoted(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	end := -1
	for i := 1; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == '"' {
			end = i
			break
		}
	}
	if end < 0 {
		return "", s, false
	}
	text, rest = s[1:end], s[end+1:]
	if strings.IndexByte(text, '\\') < 0 {
		return text, rest, true
	}
	return unescape(text), rest, true
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case 'x':
			if i+2 < len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
					b.WriteByte(byte(n))
					i += 2
					continue
				}
			}
			b.WriteString(`\x`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
