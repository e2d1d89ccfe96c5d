// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func record(typ byte, id uint16, content []byte, padding int) []byte {
	b := []byte{1, typ, byte(id >> 8), byte(id), byte(len(content) >> 8), byte(len(content)), byte(padding), 0}
	return append(append(b, content...), make([]byte, padding)...)
}

func begin(id uint16, keep bool) []byte {
	b := []byte{0, byte(Responder), 0, 0, 0, 0, 0, 0}
	if keep {
		b[2] = 1
	}
	return record(typeBegin, id, b, 0)
}

func length(n int) []byte {
	if n < 0x80 {
		return []byte{byte(n)}
	}
	return []byte{byte(n>>24) | 0x80, byte(n >> 16), byte(n >> 8), byte(n)}
}

func pairs(kv ...string) []byte {
	var b []byte
	for i := 0; i < len(kv); i += 2 {
		b = append(append(b, length(len(kv[i]))...), length(len(kv[i+1]))...)
		b = append(append(b, kv[i]...), kv[i+1]...)
	}
	return b
}

// request is the order that nginx's fastcgi_params has: SCRIPT_FILENAME late.
func request(query string) []byte {
	return pairs("QUERY_STRING", query, "REQUEST_METHOD", "POST", "CONTENT_LENGTH", "5", "SCRIPT_NAME", "/run.php",
		"REQUEST_URI", "/run.php?"+query, "REMOTE_ADDR", "10.9.0.2", "REMOTE_PORT", "41001", "REMOTE_USER", "",
		"SCRIPT_FILENAME", "/var/www/run.php", "HTTP_HOST", "web.test")
}

// whole is one request as nginx writes it.
func whole(query string) [][]byte {
	params := request(query)
	return [][]byte{begin(1, false), record(typeParams, 1, params, 3), record(typeParams, 1, nil, 0),
		record(typeStdin, 1, []byte("hello"), 3), record(typeStdin, 1, nil, 0)}
}

func show(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		name := [...]string{Begin: "begin", Identified: "identified", ParamsDone: "params", StdinDone: "stdin", End: "end", Lost: "lost"}[e.Kind]
		b.WriteString(name)
		if r := e.Request; r != nil {
			fmt.Fprintf(&b, " id=%d", r.ID)
			switch e.Kind {
			case Begin:
				fmt.Fprintf(&b, " role=%d keep=%v", r.Role, r.KeepConn)
			case Identified:
				fmt.Fprintf(&b, " %s:%s %s %s", r.Params["REMOTE_ADDR"], r.Params["REMOTE_PORT"], r.Params["REQUEST_URI"], r.Params["SCRIPT_FILENAME"])
			case ParamsDone:
				fmt.Fprintf(&b, " n=%d flags=%d", len(r.Params), r.Flags)
			case StdinDone:
				fmt.Fprintf(&b, " n=%d", r.StdinLen)
			case End:
				fmt.Fprintf(&b, " status=%d out=%d in=%d aborted=%v", r.AppStatus, r.StdoutLen, r.StdinLen, r.Aborted)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const wholeWant = "begin id=1 role=1 keep=false\nidentified id=1 10.9.0.2:41001 /run.php?c=id /var/www/run.php\nparams id=1 n=10 flags=0\nstdin id=1 n=5\n"

func TestReadPatterns(t *testing.T) {
	recs := whole("c=id")
	wire := slices.Concat(recs...)
	params := recs[1]
	worker := [][]byte{recs[0][:8], recs[0][8:], params[:8], params[8:], recs[2], recs[3][:8], recs[3][8:], recs[4]} // 8, 8, 8, params, 8
	for name, reads := range map[string][][]byte{
		"one writev": {wire}, "worker": worker, "bytes": slices.Collect(slices.Chunk(wire, 1)), "sevens": slices.Collect(slices.Chunk(wire, 7)),
	} {
		var p Parser
		var got string
		for _, r := range reads {
			got += show(p.Feed(r))
		}
		if got != wholeWant {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, wholeWant)
		}
	}
}

// TestTruncatedReads has reads of which only the first 2,048 bytes are known.
func TestTruncatedReads(t *testing.T) {
	const known = 2048
	long := "q=" + strings.Repeat("x", 3000)
	cut := func(p *Parser, reads ...[]byte) (got string) {
		for _, r := range reads {
			got += show(p.FeedTruncated(r[:min(len(r), known)], len(r)))
		}
		return got
	}
	recs := whole(long)
	// The worker's read of the parameters is one record: the rest is skipped exactly.
	var p Parser
	got := cut(&p, recs[0][:8], recs[0][8:], recs[1][:8], recs[1][8:], recs[2])
	if want := "begin id=1 role=1 keep=false\nparams id=1 n=0 flags=1\n"; got != want {
		t.Errorf("worker: got\n%s\nwant\n%s", got, want)
	}
	// A query that is not that long: the early signal comes although the tail is missing.
	recs = whole("q=" + strings.Repeat("x", 700))
	recs[1] = record(typeParams, 1, append(request("q="+strings.Repeat("x", 700)), pairs("HTTP_COOKIE", strings.Repeat("c", 3000))...), 0)
	p = Parser{}
	got = cut(&p, recs[0][:8], recs[0][8:], recs[1][:8], recs[1][8:], recs[2])
	if !strings.Contains(got, "identified") || !strings.HasSuffix(got, "params id=1 n=10 flags=1\n") {
		t.Errorf("worker, long cookie: got\n%s", got)
	}
	// nginx's one write loses the record structure behind the cut; the next one is found.
	p = Parser{}
	got = cut(&p, slices.Concat(recs...), slices.Concat(whole("c=id")...))
	if !strings.HasPrefix(got, "begin id=1 role=1 keep=false\nidentified") || !strings.HasSuffix(got, "lost\nend id=1 status=0 out=0 in=0 aborted=false\n"+wholeWant) {
		t.Errorf("nginx: got\n%s", got)
	}
}

func TestSplitAndOdd(t *testing.T) {
	params := request("c=id")
	long := pairs(strings.Repeat("n", 200), strings.Repeat("v", 70), "A", strings.Repeat("w", 300))
	for _, c := range []struct {
		name string
		wire [][]byte
		want string
	}{
		{"parameters over three records", [][]byte{begin(1, true), record(typeParams, 1, params[:40], 0), record(typeParams, 1, params[40:41], 7), record(typeParams, 1, params[41:], 0), record(typeParams, 1, nil, 0)},
			"begin id=1 role=1 keep=true\nidentified id=1 10.9.0.2:41001 /run.php?c=id /var/www/run.php\nparams id=1 n=10 flags=0\n"},
		{"long lengths", [][]byte{begin(1, false), record(typeParams, 1, long, 0), record(typeParams, 1, nil, 0)},
			"begin id=1 role=1 keep=false\nparams id=1 n=2 flags=0\n"},
		{"half a pair", [][]byte{begin(1, false), record(typeParams, 1, append(pairs("A", "b"), 5, 5, 'x'), 0), record(typeParams, 1, nil, 0)},
			"begin id=1 role=1 keep=false\nparams id=1 n=1 flags=4\n"},
		{"a pair that states 2 GB", [][]byte{begin(1, false), record(typeParams, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x'}, 0), record(typeParams, 1, nil, 0)},
			"begin id=1 role=1 keep=false\nparams id=1 n=0 flags=4\n"},
		{"twice the same", [][]byte{begin(1, false), record(typeParams, 1, pairs("A", "1", "A", "2"), 0), record(typeParams, 1, nil, 0)},
			"begin id=1 role=1 keep=false\nparams id=1 n=1 flags=16\n"},
		{"two requests at once", [][]byte{begin(1, true), begin(2, true), record(typeParams, 2, nil, 0), record(typeParams, 1, nil, 0), record(typeAbort, 1, nil, 0)},
			"begin id=1 role=1 keep=true\nbegin id=2 role=1 keep=true\nparams id=2 n=0 flags=0\nparams id=1 n=0 flags=0\nend id=1 status=0 out=0 in=0 aborted=true\n"},
		{"the answer's direction", [][]byte{record(typeStdout, 1, []byte("Status: 404\r\n\r\n"), 1), record(typeStdout, 1, nil, 0), record(typeEnd, 1, []byte{0, 0, 0, 3, 0, 0, 0, 0}, 0)},
			"end id=1 status=3 out=15 in=0 aborted=false\n"},
		{"keep-alive: the next BEGIN is the boundary", [][]byte{begin(1, true), begin(1, true)},
			"begin id=1 role=1 keep=true\nend id=1 status=0 out=0 in=0 aborted=false\nbegin id=1 role=1 keep=true\n"},
		{"begins in the middle", [][]byte{[]byte("...half a value"), begin(1, false), record(typeParams, 1, nil, 0)},
			"lost\nbegin id=1 role=1 keep=false\nparams id=1 n=0 flags=0\n"},
		{"another protocol", [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n")}, "lost\n"},
	} {
		for _, step := range []int{1, 1 << 20} {
			var p Parser
			var got string
			for b := range slices.Chunk(slices.Concat(c.wire...), step) {
				got += show(p.Feed(b))
			}
			if got != c.want {
				t.Errorf("%s, step %d: got\n%s\nwant\n%s", c.name, step, got, c.want)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	var p Parser
	p.Feed(begin(1, false))
	for i := range 2000 {
		p.Feed(record(typeParams, 1, pairs(fmt.Sprint("N", i), strings.Repeat("v", 400)), 0))
	}
	r := p.Open()[0]
	size := 0
	for k, v := range r.Params {
		size += len(k) + len(v)
	}
	if r.Flags&OverLimit == 0 || len(r.Params) > MaxParams || size > MaxParamBytes {
		t.Errorf("%d parameters, %d bytes, flags %d", len(r.Params), size, r.Flags)
	}
	for i := range 1000 {
		p.Feed(begin(uint16(i+2), true))
	}
	if n := len(p.Open()); n > MaxRequests {
		t.Errorf("%d requests open", n)
	}
}

func FuzzParser(f *testing.F) {
	f.Add(slices.Concat(whole("c=id")...), uint16(20), uint16(0))
	f.Add(slices.Concat(begin(1, true), record(typeParams, 1, request("x"), 9), record(typeEnd, 1, make([]byte, 8), 0)), uint16(60), uint16(30))
	f.Fuzz(func(t *testing.T, b []byte, cut, gap uint16) {
		n := min(int(cut), len(b))
		var one, two Parser
		a := show(one.FeedTruncated(b[:n], n+int(gap))) + show(one.Feed(b[n:]))
		var z string
		for i := range n {
			z += show(two.Feed(b[i : i+1]))
		}
		z += show(two.Gap(int(gap)))
		for i := n; i < len(b); i++ {
			z += show(two.Feed(b[i : i+1]))
		}
		if !strings.Contains(a+z, "lost") && a != z {
			t.Errorf("whole\n%s\nbyte by byte\n%s", a, z)
		}
		for _, r := range one.Open() {
			if len(r.Params) > MaxParams || len(r.pair) > 2*MaxParamBytes {
				t.Fatal("bounds")
			}
			for range maps.Keys(r.Params) {
				break
			}
		}
	})
}

func BenchmarkParser(b *testing.B) {
	wire := slices.Concat(whole("c=id&page=2")...)
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	var p Parser
	for b.Loop() {
		p.Feed(wire)
	}
}
