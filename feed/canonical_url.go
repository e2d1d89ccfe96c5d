// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

const maxURL = 8 << 10 // bytes; nginx and Apache refuse request lines beyond 8 KiB by default

// ports that say nothing; the schemes here are those a URL indicator may have.
var ports = map[string]string{"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}

// ParseURL reads a URL as the WHATWG standard would (https://url.spec.whatwg.org §4.4)
// as far as a key needs: scheme and host in lower case, host an A-label name or an
// address, user, fragment and default port dropped, dot segments resolved, escapes left
// as they are, what must be escaped escaped. Text without a scheme is read as http.
// Unlike the standard it refuses hosts that only look like addresses (0x7f.1, octal).
func ParseURL(text string) (string, error) {
	if canonicalURL(text) {
		return text, nil
	}
	return rewriteURL(text)
}

// plainURL are the bytes that path and query may hold without any rewriting.
var plainURL = func() (ok [256]bool) {
	for c := '!'; c <= '~'; c++ {
		ok[c] = !strings.ContainsRune("\"#'<>\\^`{}", c)
	}
	return ok
}()

// canonicalURL is the quick answer for the usual case, a key that was made here before:
// true only when rewriteURL would change nothing.
func canonicalURL(s string) bool {
	standard := "80"
	rest, ok := strings.CutPrefix(s, "http://")
	if !ok {
		standard = "443"
		if rest, ok = strings.CutPrefix(s, "https://"); !ok {
			return false
		}
	}
	slash := strings.IndexByte(rest, '/')
	if slash < 0 || len(s) > maxURL {
		return false
	}
	host, port, ported := strings.Cut(rest[:slash], ":")
	if ported && (port == "" || port == standard || port[0] == '0' || len(port) > 4 || !looksNumber(port)) {
		return false
	}
	if !canonicalHost(host) {
		return false
	}
	dot := false // the byte before is '/': a dot here may be a dot segment
	for i := slash; i < len(rest); i++ {
		c := rest[i]
		if !plainURL[c] || dot && (c == '.' || c == '%') {
			return false
		}
		dot = c == '/'
	}
	return true
}

// canonicalHost: an IPv4 address, whose only accepted form is the canonical one, or a name.
func canonicalHost(s string) bool {
	if s == "" {
		return false
	}
	if c := s[len(s)-1]; c >= '0' && c <= '9' {
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	}
	return canonicalDomain(s) && checkDomain(s) == nil
}

func rewriteURL(text string) (string, error) {
	bad := func(err error) (string, error) { return "", fmt.Errorf("%s is not a URL: %w", Quote(text), err) }
	s := strings.TrimSpace(text)
	if len(s) > maxURL {
		return bad(fmt.Errorf("longer than %d bytes", maxURL))
	}
	if strings.ContainsAny(s, "\t\r\n") {
		s = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(s)
	}
	scheme, authority, rest, err := split(s)
	if err != nil {
		return bad(err)
	}
	host, err := parseHost(authority, ports[scheme])
	if err != nil {
		return bad(err)
	}
	rest, _, _ = strings.Cut(rest, "#")
	path, query, asked := strings.Cut(rest, "?")
	var b strings.Builder
	b.Grow(len(scheme) + len(host) + len(rest) + 8)
	b.WriteString(scheme)
	b.WriteString("://")
	b.WriteString(host)
	escape(&b, undot(strings.ReplaceAll(path, `\`, "/")), "\"<>`{}^")
	if asked {
		b.WriteByte('?')
		escape(&b, query, "\"<>'")
	}
	return b.String(), nil
}

// split finds scheme, authority and the rest. The host may be defanged, the rest may not:
// "[.]" is lawful in a query.
func split(s string) (scheme, authority, rest string, err error) {
	s = refangURL(s)
	scheme, after, found := strings.Cut(s, ":")
	if _, known := ports[strings.ToLower(scheme)]; found && known {
		scheme, s = strings.ToLower(scheme), strings.TrimLeft(after, `/\`)
	} else if i := strings.Index(s, "://"); i >= 0 && !strings.ContainsAny(s[:i], "/?#") {
		return "", "", "", fmt.Errorf("scheme %s is not one of http, https, ftp, ws, wss", Quote(s[:i]))
	} else {
		scheme = "http"
	}
	end := strings.IndexAny(s, `/\?#`)
	if end < 0 {
		end = len(s)
	}
	return scheme, s[:end], s[end:], nil
}

// refangURL refangs scheme and host of a URL and leaves path and query alone.
func refangURL(s string) string {
	from := 0
	for _, sep := range []string{"://", "[://]", "[:]//"} {
		if i := strings.Index(s, sep); i >= 0 && i < 16 {
			from = i + len(sep)
			break
		}
	}
	end := strings.IndexAny(s[from:], `/\?#`)
	// "\." in the host is a fang, not the WHATWG backslash.
	for end >= 0 && strings.HasPrefix(s[from+end:], `\.`) {
		next := strings.IndexAny(s[from+end+2:], `/\?#`)
		if next < 0 {
			end = -1
			break
		}
		end += 2 + next
	}
	if end < 0 {
		return refangHost(s)
	}
	return refangHost(s[:from+end]) + s[from+end:]
}

// refangHost leaves a bracketed IPv6 host alone.
func refangHost(s string) string {
	if i := strings.Index(s, "["); i >= 0 && strings.Count(s, ":") > 2 && strings.Contains(s[i:], "]") {
		if _, err := netip.ParseAddr(strings.Trim(s[i:strings.LastIndex(s, "]")+1], "[]")); err == nil {
			return Refang(s[:i]) + s[i:]
		}
	}
	return Refang(s)
}

// parseHost reads [user@]host[:port] and drops the user and the scheme's own port.
func parseHost(authority, standard string) (string, error) {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:] // credentials must not become part of a key
	}
	if authority == "" {
		return "", errors.New("no host")
	}
	u, err := url.Parse("http://" + authority)
	if err != nil || u.Host == "" || u.Path != "" {
		return "", fmt.Errorf("%s is not a host", Quote(authority))
	}
	host := u.Hostname()
	if a, err := ParseAddr(host); err == nil {
		if host = a.String(); a.Is6() {
			host = "[" + host + "]"
		}
	} else if host, err = ParseDomain(host); err != nil {
		return "", err
	}
	port := strings.TrimLeft(u.Port(), "0")
	if len(port) > 5 || len(port) == 5 && port > "65535" {
		return "", fmt.Errorf("%s is not a port", Quote(port))
	}
	if port != "" && port != standard {
		host += ":" + port
	}
	return host, nil
}

// undot resolves "." and ".." segments (their escaped forms too), keeping doubled slashes.
func undot(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, ".") && !strings.Contains(path, "%2") {
		return path
	}
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(s), "%2e", ".") {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			out = out[:max(len(out)-1, 0)]
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

// escape writes s with space, controls, non-ASCII and the bytes of set percent-encoded.
func escape(b *strings.Builder, s, set string) {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(set, c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
			continue
		}
		b.WriteByte(c)
	}
}

// Host returns the host of a canonical URL, without port and brackets.
func Host(canonical string) string {
	_, s, _ := strings.Cut(canonical, "://")
	s, _, _ = strings.Cut(s, "/")
	if i := strings.LastIndexByte(s, ']'); i > 0 {
		return s[1:i]
	}
	s, _, _ = strings.Cut(s, ":")
	return s
}
