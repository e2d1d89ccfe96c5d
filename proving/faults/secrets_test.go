// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ringwall/ringwall/bus"
	"github.com/ringwall/ringwall/event"
	"github.com/ringwall/ringwall/identity"
)

// planter makes secrets and remembers where each was put.
type planter struct{ where map[string]string }

// secret is 20 characters, some of which a URL must escape.
func (p *planter) secret(where string) string {
	raw := make([]byte, 8)
	_, _ = rand.Read(raw)
	s := "Zq" + hex.EncodeToString(raw) + "+/"
	p.where[s] = where
	return s
}

// needles are the forms in which a secret could lie somewhere.
func needles(secret string) [][]byte {
	out := [][]byte{[]byte(secret), []byte(secret[:len(secret)-2]), []byte(url.QueryEscape(secret)), []byte(hex.EncodeToString([]byte(secret)))}
	for i := range 3 { // base64 of anything that holds it at any offset, without the ends that depend on neighbours
		e := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + secret))
		out = append(out, []byte(e[4:len(e)-4]))
	}
	return out
}

var card = regexp.MustCompile(`4111[ +-]?1111[ +-]?1111[ +-]?1111`)

// planted are the requests and the commands that carry the secrets.
func planted(p *planter, shared string) (requests []string, commands [][]string, environment []string, lines []string) {
	basic := func(user, pass string) string { return base64.StdEncoding.EncodeToString([]byte(user + ":" + pass)) }
	form := "Content-Type: application/x-www-form-urlencoded"
	esc := url.QueryEscape
	multipart := "Content-Type: multipart/form-data; boundary=BoUnD"
	part := func(name, value string) string {
		return fmt.Sprintf("--BoUnD\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, value)
	}
	requests = []string{
		request("GET /a", []string{"Authorization: Bearer " + p.secret("bearer token")}, ""),
		request("GET /b", []string{"Authorization: Basic " + basic("ann", p.secret("basic password"))}, ""),
		request("GET /c", []string{"Cookie: theme=dark; PHPSESSID=" + p.secret("session cookie") + "; remember=" + p.secret("second cookie")}, ""),
		request("GET /d", []string{"X-Api-Key: " + p.secret("api key header"), "X-Auth-Token: " + p.secret("token header")}, ""),
		request("GET /e", []string{"Proxy-Authorization: Digest response=" + p.secret("digest")}, ""),
		request("GET /f", []string{"X-Want-Cookie-Of-Form: sid=" + p.secret("set-cookie") + "; Path=/"}, ""),
		request("GET /g?user=ann&token="+esc(p.secret("query token")), nil, ""),
		request("GET /h?q=1&password="+esc(shared), []string{"Referer: http://ann:" + p.secret("password in the referer") + "@intra.example/x?api_key=" + esc(p.secret("key in the referer"))}, ""),
		request("GET /i?to="+esc("https://idp.example/cb?access_token="+p.secret("token in a redirect")), nil, ""),
		request("GET /run?c="+esc("redis-cli -h db -a "+p.secret("flag in a command in the query")+" ping"), nil, ""),
		request("POST /login", []string{form}, "user=ann&password="+esc(shared)+"&pin="+esc(p.secret("pin in a form"))),
		request("POST /pay", []string{form}, "amount=5&card=4111+1111+1111+1111&cvc="+esc(p.secret("cvc in a form"))),
		request("POST /json", []string{"Content-Type: application/json"}, fmt.Sprintf(`{"user":"ann","password":%q,"nested":{"client_secret":%q,"list":[{"api_key":%q}]}}`, shared, p.secret("nested JSON member"), p.secret("JSON member in a list"))),
		request("POST /json2", []string{"Content-Type: application/json"}, fmt.Sprintf(`{"config":%q}`, `db_password=`+p.secret("pair inside a JSON string"))),
		request("POST /upload", []string{multipart}, part("title", "holiday")+part("secret", p.secret("multipart field"))+"--BoUnD--\r\n"),
		request("POST /xml", []string{"Content-Type: text/xml"}, "<login><password>"+p.secret("XML body")+"</password></login>"),
	}
	commands = [][]string{
		{"prog", "--password", p.secret("argv, next word")},
		{"prog", "--password=" + shared},
		{"prog", "--api-token=" + p.secret("argv, glued")},
		{"redis-cli", "-h", "db", "-a", p.secret("redis-cli -a")},
		{"mysql", "-uroot", "-p" + p.secret("mysql -p")},
		{"sshpass", "-p", p.secret("sshpass -p"), "ssh", "web"},
		{"curl", "-u", "ann:" + p.secret("curl -u"), "http://x/"},
		{"curl", "-H", "Authorization: Bearer " + p.secret("curl -H"), "http://x/"},
		{"curl", "https://ann:" + p.secret("URL in argv") + "@x.example/"},
		{"curl", "-d", "user=ann&password=" + p.secret("curl -d"), "http://x/"},
		{"sh", "-c", ": redis-cli -a " + p.secret("flag in a shell line") + " info; true"},
		{"sh", "-c", ": PGPASSWORD=" + p.secret("variable in a shell line") + " psql; true"},
		{"openssl", "enc", "-k", p.secret("openssl -k")},
		{"env-user", "x"},
	}
	environment = []string{"DB_PASSWORD=" + p.secret("environment"), "SUDO_COMMAND=/usr/bin/mysql -uroot -p" + p.secret("listed variable"), "DATABASE_URL=postgres://u:" + p.secret("URL in the environment") + "@db/x"}
	lines = []string{"login failed password=" + p.secret("log pair"), `sent {"token": "` + p.secret("log JSON") + `"}`, "GET http://ann:" + p.secret("URL in a log") + "@x/ HTTP/1.1"}
	return requests, commands, environment, lines
}

// TestSecrets: none of the secrets in headers, bodies, argv, environment, URLs and logs
// lies anywhere in what the product keeps or hands out; equality still correlates.
func TestSecrets(t *testing.T) {
	ns, netns := namespace(t)
	group := cgroup(t)
	in := within(t, group)
	logs := t.TempDir()
	b := newBrain(t)
	heard := tap(t, b)
	a := newAgent(t, b, "default", "shop", fmt.Sprintf(`host: shop
scope: {cgroup: %s, netns: %s}
sensors: {files: off}
packet: {interfaces: [lo], loopback: true}
logs:
  journal: false
  files:
    - {path: %s, kind: access, unit: nginx}
    - {path: %s, kind: plain, unit: shop}
`, group, netns, filepath.Join(logs, "access.log"), filepath.Join(logs, "app.log")))

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := start(t, func(cmd *exec.Cmd) { in(cmd); cmd.Env = append(os.Environ(), serverEnv+"="+logs) }, inside(ns, self)...)
	eventually(t, "the server", func() bool {
		return exec.Command("ip", "netns", "exec", ns, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8099").Run() == nil
	})
	p := &planter{map[string]string{}}
	shared := p.secret("one that many share")
	requests, commands, environment, lines := planted(p, shared)
	marker := hex.EncodeToString([]byte(fmt.Sprint(time.Now().UnixNano())))
	requests = append(requests, request("GET /marker-"+marker, nil, ""))

	send := exec.Command("ip", "netns", "exec", ns, self)
	send.Env = append(os.Environ(), clientEnv+"=1")
	send.Stdin = strings.NewReader(strings.Join(requests, "\x00"))
	if out, err := send.CombinedOutput(); err != nil {
		t.Fatalf("send the requests: %v: %s", err, out)
	}
	programs := t.TempDir()
	for _, argv := range commands {
		path := filepath.Join(programs, argv[0])
		if argv[0] == "sh" {
			path = "/bin/sh"
		} else if err := os.Symlink("/bin/true", path); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		cmd := &exec.Cmd{Path: path, Args: append([]string{path}, argv[1:]...), Env: environment}
		in(cmd)
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(logs, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, strings.Join(append(lines, "the end marker-"+marker), "\n"))
	f.Close()

	for what, sql := range map[string]string{
		"request at the socket":  "select count(*) from events where kind='http.request' and sensor='kernel' and uri like '/marker-" + marker + "'",
		"request on the wire":    "select count(*) from events where kind='http.request' and sensor='packet' and uri like '/marker-" + marker + "'",
		"request in the log":     "select count(*) from events where kind='http.request' and sensor='logs' and uri like '/marker-" + marker + "'",
		"line of the log":        "select count(*) from events where sensor='logs' and detail like '%marker-" + marker + "%'",
		"the last of the execs":  "select count(*) from processes where kind='process.exec' and argv like '%/env-user x'",
		"the body of the upload": "select count(*) from events where kind='http.request' and sensor='kernel' and uri = '/upload'",
	} {
		eventually(t, what, func() bool { return number(t, b.data, "default", sql) > 0 })
	}
	whole := ask(t, b.data, "hunt", "select * exclude (event), event::varchar from raw", "--tenant", "default")
	export := filepath.Join(t.TempDir(), "export.rwe")
	if err := try(b.data, "record", export); err != nil {
		t.Fatal(err)
	}
	said := [][]byte{whole, ask(t, b.data, "findings", "--grey"), ask(t, b.data, "incidents"), ask(t, b.data, "actions"), ask(t, b.data, "status"), ask(t, t.TempDir(), "replay", export)}
	server.kill()
	a.kill() // so that its spool is as it was
	b.kill() // and its bus
	b.start(t)
	b.stop(t)

	var stored bytes.Buffer
	events := archived(t, b.data, "default")
	for _, ev := range events {
		stored.Write(mustMarshal(t, ev))
	}
	places := map[string][]byte{"archive": stored.Bytes(), "bus": heard(), "hunts, answers and replay": bytes.Join(said, nil), "output of the agent": []byte(a.said()), "output of the brain": []byte(b.said())}
	for _, root := range []string{b.data, a.data} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				places[path], err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if places["demo"], err = os.ReadFile("../../cli/demo.rwe"); err != nil {
		t.Fatal(err)
	}
	for name, content := range places {
		for secret, where := range p.where {
			for _, n := range needles(secret) {
				if i := bytes.Index(content, n); i >= 0 {
					t.Errorf("the secret of %q lies in %s as %.60q: …%.200q", where, name, n, content[max(0, i-120):min(len(content), i+80)])
					break
				}
			}
		}
		if card.Match(content) {
			t.Errorf("a card number lies in %s", name)
		}
	}
	for _, place := range []string{"archive", "bus"} { // what is looked through holds what was seen
		if !bytes.Contains(places[place], []byte("marker-"+marker)) {
			t.Errorf("not even the marker is in the %s", place)
		}
	}
	if len(p.where) < 20 {
		t.Errorf("only %d secrets", len(p.where))
	}

	key, err := os.ReadFile(filepath.Join(b.data, "identity", "redact-default.key"))
	if err != nil {
		t.Fatal(err)
	}
	hash := event.NewRedactor(key).Hash(shared)
	met := map[string]bool{}
	for _, ev := range events {
		if text, _ := json.Marshal(ev); bytes.Contains(text, []byte(hash)) {
			met[ev.Sensor.String()+" "+ev.Kind()] = true
			for _, p := range ev.GetHttp().GetParams() {
				if p.Value == hash {
					met["in "+p.In] = true
				}
			}
		}
	}
	for _, want := range []string{"KERNEL process.exec", "KERNEL http.request", "PACKET http.request", "LOGS http.request", "in query", "in form", "in json"} {
		if !met[want] {
			t.Errorf("the shared secret's %s is not seen by %q: equality does not correlate; it is by %v", hash, want, met)
		}
	}
}

// tap hears all events on the bus, as the brain's own user.
func tap(t *testing.T, b *brainProc) (heard func() []byte) {
	t.Helper()
	auth, err := identity.OpenAuthority(filepath.Join(b.data, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := auth.BrainUser()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect("tls://"+b.listen, nats.UserJWT(func() (string, error) { return creds.JWT, nil }, creds.Sign), nats.Secure(identity.PinnedTLS(auth.Pin())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	var mu sync.Mutex
	var all []byte
	if _, err := conn.Subscribe("events.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, m.Data...)
		if b, err := bus.DecodeBatch(m.Data); err == nil {
			all = append(all, slices.Concat(b.Events...)...)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// TestDemoHoldsNoSecrets: the committed recording passes the redactor unchanged.
func TestDemoHoldsNoSecrets(t *testing.T) {
	r := event.NewRedactor([]byte("0123456789abcdef"))
	f, err := os.Open("../../cli/demo.rwe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	looked := 0
	same := func(what, was, is string) {
		if looked++; was != is {
			t.Errorf("%s: %q would be %q", what, was, is)
		}
	}
	err = event.ReadRecording(f, func(ev *event.Event) error {
		if h := ev.GetHttp(); h != nil {
			same("uri", h.Request.GetUri(), r.URI(h.Request.GetUri()))
			for _, x := range h.Headers {
				same(x.Name, x.Value, r.Header(x.Name, x.Value))
			}
			for _, x := range h.Params {
				same(x.Name, x.Value, r.Param(x.Name, x.Value))
			}
			for _, x := range h.Tokens {
				same("token", x, r.Text(x))
			}
		}
		if argv := ev.GetProcess().GetArgv(); len(argv) > 0 {
			same("argv", strings.Join(argv, "\x00"), strings.Join(r.Argv(argv), "\x00"))
		}
		for _, e := range ev.GetProcess().GetEnv() {
			same("env", e, r.Env([]string{e})[0])
		}
		same("line", ev.GetLog().GetLine(), r.Text(ev.GetLog().GetLine()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if looked < 1000 {
		t.Errorf("only %d values looked at", looked)
	}
}
