// SPDX-License-Identifier: Apache-2.0

package access

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Caller is what a log-in flow has to know of a request. It holds secrets from cookies
// and prints without them.
type Caller struct {
	Address netip.Addr // zero when it came by no network
	Secure  bool       // over TLS, ours or a trusted proxy's
	Origin  string     // the one of ours that was asked
	Agent   string     // User-Agent, cut to 200 bytes; hostile text

	session, step, device string
}

// String leaves the secrets out.
func (c Caller) String() string { return c.Address.String() + " at " + c.Origin }

// Caller reads what a flow needs from a request, and gives ErrForbidden for a request
// that another site's page made or that asked for another host than ours.
func (g *Guard) Caller(r *http.Request) (Caller, error) {
	w := g.whence(r)
	c := Caller{Address: w.address, Secure: w.secure, Origin: w.origin, Agent: trimmed(r.UserAgent(), 200)}
	if err := g.ownPage(r, w); err != nil {
		return Caller{}, err
	}
	for _, f := range []struct {
		kind string
		into *string
	}{{"", &c.session}, {"-step", &c.step}, {"-device", &c.device}} {
		*f.into, _ = oneCookie(r, cookieName(f.kind, c.Secure))
	}
	return c, nil
}

// whence is where a request came from and what it asked for.
type whence struct {
	address netip.Addr
	secure  bool
	proxied bool
	origin  string
}

func (g *Guard) whence(r *http.Request) whence {
	w := whence{secure: r.TLS != nil}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		w.address = ap.Addr().Unmap().WithZone("")
	}
	if g.proxy(w.address) {
		w.proxied = true
		w.secure = w.secure || r.Header.Get("X-Forwarded-Proto") == "https"
		// The nearest proxy writes at the end; whatever stands before the first stranger
		// was written by that stranger.
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, hop := range slices.Backward(hops[max(0, len(hops)-16):]) {
			a, err := netip.ParseAddr(strings.TrimSpace(hop))
			if err != nil {
				break
			}
			if w.address = a.Unmap().WithZone(""); !g.proxy(w.address) {
				break
			}
		}
	}
	scheme := "http://"
	if w.secure {
		scheme = "https://"
	}
	w.origin = plainOrigin(scheme + r.Host)
	return w
}

func (g *Guard) proxy(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(g.cfg.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ownPage closes what another site's page could do: ask under another name (DNS
// rebinding), or send a request along with our cookies. See the Fetch standard on Origin
// and Sec-Fetch-Site; all browsers of today send one of them with every change.
func (g *Guard) ownPage(r *http.Request, w whence) error {
	if !g.origins[w.origin] && (w.proxied || !w.address.IsLoopback() || !loopbackHost(r.Host)) {
		return forbidden("host %q is none of this server's; add its origin to access.origins", cut(r.Host, 100))
	}
	origin, site := r.Header.Values("Origin"), r.Header.Values("Sec-Fetch-Site")
	if len(origin) > 1 || len(site) > 1 {
		return forbidden("two Origin headers")
	}
	if len(origin) == 1 && plainOrigin(origin[0]) != w.origin {
		return forbidden("the request comes from a page of another site")
	}
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	if len(site) == 1 && site[0] != "same-origin" && (changes || site[0] != "none") {
		return forbidden("the request comes from a page of another site")
	}
	if changes && len(origin)+len(site) == 0 {
		return forbidden("a change needs the header Origin")
	}
	return nil
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || (err == nil && a.IsLoopback())
}

func cut(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

// cookieName: over TLS the prefix __Host- keeps other hosts and paths from setting it
// (RFC 6265bis §4.1.3.2).
func cookieName(kind string, secure bool) string {
	if secure {
		return "__Host-ringwall" + kind
	}
	return "ringwall" + kind
}

// oneCookie gives the value of a cookie that is there once; two of a name are none.
func oneCookie(r *http.Request, name string) (string, bool) {
	if all := r.CookiesNamed(name); len(all) == 1 && len(all[0].Value) <= maxSealed {
		return all[0].Value, true
	}
	return "", false
}

// cookie makes one for the caller's door; life <= 0 takes it away.
func (c Caller) cookie(kind, value string, life time.Duration) *http.Cookie {
	out := &http.Cookie{Name: cookieName(kind, c.Secure), Value: value, Path: "/", HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteStrictMode, MaxAge: int(life / time.Second)}
	if life <= 0 {
		out.MaxAge = -1
	}
	return out
}
