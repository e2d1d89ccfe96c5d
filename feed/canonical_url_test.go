// SPDX-License-Identifier: Apache-2.0

package feed

import "testing"

// The quick path must never say "canonical" of what the slow path would change.
func FuzzQuickURL(f *testing.F) {
	for _, s := range []string{"http://a.example/", "https://a.example:443/x", "http://a.example:8080/x?y=1#z", "http://a.example/%2e/x", "http://a.example/a/../b", "http://xn--a.example/", "http://a.example?x", "http://192.0.2.1/", "https://a.b/?[.]\\."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !canonicalURL(s) {
			return
		}
		if slow, err := rewriteURL(s); err != nil || slow != s {
			t.Fatalf("%q passes as canonical, and becomes %q, %v", s, slow, err)
		}
	})
}

func TestQuickURL(t *testing.T) {
	if !canonicalURL("https://www.example.com:8443/a/b.php?id=1&u=http://x/") {
		t.Error("an ordinary URL takes the slow path")
	}
	for _, s := range []string{"http://a.example", "http://A.example/", "http://a.example:80/", "http://a.example/./", "http://a.example/a b", "http://a.example/#x", "ftp://a.example/", "http://u@a.example/", "http://a.example:08/"} {
		if canonicalURL(s) {
			t.Errorf("%q passes as canonical", s)
		}
	}
}
