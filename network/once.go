// SPDX-License-Identifier: Apache-2.0

package network

import (
	"net/netip"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/ringwall/ringwall/event"
)

// once lets a request through once, though the wire, the server's socket and the
// worker's FastCGI channel all tell of it, and again when a later telling holds more: a
// body after its head, or headers after parameters.
//
// Ordinals cannot join sensors, because a worker counts the requests of its own channel.
// So each sensor's tellings of one (client's end, method, target) are counted, and the
// n-th of one sensor is the n-th of another. A sensor that missed one lags behind and
// tells nothing new, which the others make good.
type once struct {
	mu       sync.Mutex // guards both
	now, old map[key]*requests
}

// key names the requests of one client's end for one target. Targets are hashed: an
// entry is of one size, whatever strangers send.
type key struct {
	client  netip.AddrPort
	channel uint64 // where the client is not known
	target  xxh3.Uint128
}

// requests is what was seen and judged of a key.
type requests struct {
	seen   [sensors]telling
	judged uint32 // the n-th was judged
	rich   int    // how much was known of it then
	told   int    // anomaly score that was told of it
}

// sensors are the values of HttpActivity.Seen.
const sensors = 8

// telling is the last thing that one sensor said.
type telling struct {
	n       uint32
	ordinal uint32
	conn    uint64
	wall    int64
}

// ticket names an admitted request.
type ticket struct {
	key key
	n   uint32
}

const (
	remembered = 4096 // per generation; 2 x 4096 x ~400 bytes are 3.3 MB
	// bodyWithin is how long after its head a body may come and still be the same request.
	bodyWithin = int64(30 * time.Second)
)

// admit notes a telling and says whether it is to be judged.
func (o *once) admit(ev *event.Event) (ticket, bool) {
	a := ev.GetHttp()
	flow := a.GetRequest().GetFlow()
	k := key{client: flow.Src()}
	if !k.client.IsValid() {
		k.channel = a.GetChannel()
	}
	var h xxh3.Hasher
	h.WriteString(a.GetRequest().GetMethod())
	h.Write([]byte{0})
	h.WriteString(a.GetRequest().GetUri())
	k.target = h.Sum128()

	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.get(k, true)
	s := &r.seen[uint32(a.GetSeen())%sensors]
	conn := flow.GetCookie() ^ a.GetChannel()
	since := ev.WallNs - s.wall
	if s.n == 0 || s.ordinal != a.GetOrdinal() || s.conn != conn || since > bodyWithin || since < -bodyWithin {
		s.n++
		s.ordinal, s.conn, s.wall = a.GetOrdinal(), conn, ev.WallNs
	}
	rich := richness(a)
	switch {
	case s.n > r.judged:
		r.judged, r.rich, r.told = s.n, rich, 0
	case s.n == r.judged && rich > r.rich:
		r.rich = rich
	default:
		return ticket{}, false
	}
	return ticket{k, s.n}, true
}

// richness grows with what the rules can look at.
func richness(a *event.HttpActivity) int {
	n := len(a.GetParams()) + 2*len(a.GetUploads())
	if len(a.GetHeaders()) > 0 {
		n++
	}
	return n
}

// told says whether a score is news about a request, and notes it.
func (o *once) told(t ticket, anomaly int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.get(t.key, false)
	if r == nil || r.judged != t.n {
		return true // forgotten, or overtaken by the next
	}
	if anomaly <= r.told {
		return false
	}
	r.told = anomaly
	return true
}

// get finds an entry in either generation and makes it young.
func (o *once) get(k key, add bool) *requests {
	if r := o.now[k]; r != nil {
		return r
	}
	r := o.old[k]
	if r == nil {
		if !add {
			return nil
		}
		r = &requests{}
	}
	if o.now == nil || len(o.now) >= remembered {
		o.old, o.now = o.now, make(map[key]*requests, remembered)
	}
	o.now[k] = r
	return r
}
