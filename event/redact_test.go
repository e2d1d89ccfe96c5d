// SPDX-License-Identifier: Apache-2.0

package event

import (
	"regexp"
	"strings"
	"testing"
)

var redactor = NewRedactor([]byte("0123456789abcdef"))

func TestSecretsVanish(t *testing.T) {
	const s = "S3cr3t-Value9"
	cases := map[string]string{
		"header":        redactor.Header("Authorization", "Bearer "+s),
		"api key":       redactor.Header("X-Api-Key", s),
		"cookie":        redactor.Header("Cookie", "a=1; PHPSESSID="+s),
		"set-cookie":    redactor.Header("Set-Cookie", "sid="+s+"; Path=/"),
		"referer":       redactor.Header("Referer", "http://x/?token="+s),
		"form":          redactor.Param("password", s),
		"json in param": redactor.Param("data", `{"user":"a","password":"`+s+`"}`),
		"query":         redactor.URI("/login?user=a&pass=" + s + "&x=1"),
		"command query": redactor.URI("/run.php?c=redis-cli%20-h%20data%20-a%20" + s + "%20ping"),
		"plus query":    redactor.URI("/run.php?c=redis-cli+-h+data+-a+" + s + "+ping"),
		"userinfo":      redactor.URI("http://bob:" + s + "@host/x"),
		"argv next":     strings.Join(redactor.Argv([]string{"redis-cli", "-h", "data", "-a", s, "ping"}), " "),
		"argv pair":     strings.Join(redactor.Argv([]string{"prog", "--password=" + s}), " "),
		"argv long":     strings.Join(redactor.Argv([]string{"prog", "--api-token", s}), " "),
		"argv glued":    strings.Join(redactor.Argv([]string{"/usr/bin/mysql", "-uroot", "-p" + s}), " "),
		"argv shell":    strings.Join(redactor.Argv([]string{"sh", "-c", "redis-cli -h data -a " + s + " info"}), " "),
		"argv curl":     strings.Join(redactor.Argv([]string{"curl", "-u", "bob:" + s, "http://x"}), " "),
		"argv header":   strings.Join(redactor.Argv([]string{"curl", "-H", "Authorization: Bearer " + s}), " "),
		"argv sshpass":  strings.Join(redactor.Argv([]string{"sshpass", "-p", s, "ssh", "x"}), " "),
		"env":           strings.Join(redactor.Env([]string{"DB_PASSWORD=" + s}), " "),
		"env url":       strings.Join(redactor.Env([]string{"DATABASE_URL=postgres://u:" + s + "@db/x"}), " "),
		"log":           redactor.Text(`client sent {"token": "` + s + `"}`),
		"slash in url":  redactor.Text("GET http://bob:" + s + "/+x@host/y"),
		"no user":       redactor.Text("redis://:" + s + "@host/0"),
		"short names":   redactor.Text("user=a&pin=" + s + "&cvc=" + s + " PHPSESSID=" + s + " sid%3D" + s),
		"xml":           redactor.Text("<login><user>a</user><password type='x'>" + s + "</password></login>"),
		"multipart":     redactor.Text("Content-Disposition: form-data; name=\"secret\"\r\n\r\n" + s + "\r\n--b"),
		"multipart log": redactor.Text(`form-data; name="api_token"\r\n\r\n` + s + ` --b`),
	}
	for name, got := range cases {
		if strings.Contains(got, s) {
			t.Errorf("%s: secret survives in %q", name, got)
		}
	}
	if a, b := redactor.Param("password", s), redactor.Argv([]string{"redis-cli", "-a", s})[2]; a != b {
		t.Errorf("the same secret must give the same hash: %q, %q", a, b)
	}
	for _, card := range []string{"4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111", "4111+1111+1111+1111", "4111%201111%201111%201111"} {
		if got := redactor.Text("paid with " + card); strings.Contains(got, "1111") {
			t.Errorf("card number survives: %q", got)
		}
	}
}

func TestOrdinaryTextStays(t *testing.T) {
	for _, s := range []string{
		"/index.php?page=2&sort=name", "/uploads/run.php?c=id", "tar czf - /srv/www",
		"nginx -s reload", "GET /passport/photos HTTP/1.1", "order 1234567890123 shipped",
		"http://host:8080/people/bob@example.com", "http://host:8080?mail=bob@example.com", "ping=3 pinned=1 inside=2", "<passport>no</passport>", `form-data; name="file" filename=x`,
	} {
		if got := redactor.URI(s); got != s {
			t.Errorf("URI(%q) = %q", s, got)
		}
		if got := redactor.Text(s); got != s {
			t.Errorf("Text(%q) = %q", s, got)
		}
	}
	if got := redactor.Env([]string{"PWD=/home/bob"}); got[0] != "PWD=/home/bob" {
		t.Errorf("Env(PWD) = %q", got)
	}
	argv := []string{"ls", "-a", "/etc"}
	if got := redactor.Argv(argv); strings.Join(got, " ") != "ls -a /etc" {
		t.Errorf("Argv(%q) = %q", argv, got)
	}
}

// FuzzHintsMissNothing: what an expression matches, the hints must have named.
func FuzzHintsMissNothing(f *testing.F) {
	for _, s := range []string{"Bearer abcdefgh", "redis-cli -a x", "--password x", "my_token=abc", "AUTH default x", "4111 1111 1111 1111", "curl -u a:b", "mysqldump -pX", "pin=1", "JSESSIONID=x", "<password>x", `name="token" x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := hintsOf(s)
		for re, need := range map[*regexp.Regexp]hint{scheme: mayScheme, flagNext: mayFlag, pairs: mayPair, digits: mayDigits, short: mayShort, tagged: mayPair, part: mayPair} {
			if h&need == 0 && re.MatchString(s) {
				t.Errorf("%v matches %q, no hint", re, s)
			}
		}
		if secretName.MatchString(s) && !maySecret(s) {
			t.Errorf("secret name %q, no hint", s)
		}
	})
}

func FuzzRedact(f *testing.F) {
	f.Add("GET /?token=x", "redis-cli -a b")
	f.Fuzz(func(t *testing.T, a, b string) {
		_ = redactor.URI(a)
		_ = redactor.Text(b)
		_ = redactor.Argv([]string{a, b, a})
		_ = redactor.Header(a, b)
	})
}

func BenchmarkText(b *testing.B) {
	for _, s := range []string{"/index.php?page=2&sort=name", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "tar czf - /srv/www | ssh data cat"} {
		b.Run(s[:6], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				redactor.Text(s)
			}
		})
	}
}

func BenchmarkArgv(b *testing.B) {
	argv := []string{"/usr/bin/python3", "/usr/lib/tool.py", "--verbose", "--name=web", "-o", "/tmp/out.txt"}
	b.ReportAllocs()
	for b.Loop() {
		redactor.Argv(argv)
	}
}
