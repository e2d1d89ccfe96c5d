// SPDX-License-Identifier: Apache-2.0

package fastcgi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const nginxConf = `daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
  access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen unix:%[1]s/http;
    location / { include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME /srv$fastcgi_script_name; fastcgi_pass unix:%[1]s/fpm; }
  }
}
`

// TestRealNginx stands where php-fpm stands and reads what nginx sends.
func TestRealNginx(t *testing.T) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed: apt-get install nginx-light to test with it")
	}
	if _, err := os.Stat("/etc/nginx/fastcgi_params"); err != nil {
		t.Skip("nginx's fastcgi_params is missing: ", err)
	}
	dir, err := os.MkdirTemp("", "fcgi") // short: socket paths have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	fpm, err := net.Listen("unix", filepath.Join(dir, "fpm"))
	if err != nil {
		t.Fatal(err)
	}
	defer fpm.Close()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	cmd := exec.CommandContext(ctx, nginx, "-c", conf, "-p", dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stop()

	worker := make(chan string, 1)
	go func() { worker <- serve(fpm) }()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		for {
			c, err := net.Dial("unix", filepath.Join(dir, "http"))
			if err == nil || ctx.Err() != nil {
				return c, err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://web.test/run.php?c=id", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	got := <-worker
	want := "begin id=1 role=1 keep=false\nidentified id=1 unix:: /run.php?c=id /srv/run.php\nparams\nstdin id=1 n=5\n"
	if got != want || string(body) != "done" {
		t.Errorf("answer %q; worker saw\n%s\nwant\n%s", body, got, want)
	}
}

// serve reads one request with the read sizes of a php-fpm worker and answers it.
func serve(l net.Listener) string {
	c, err := l.Accept()
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	var p Parser
	var got strings.Builder
	for {
		b := make([]byte, 8)
		if _, err := io.ReadFull(c, b); err != nil {
			return got.String() + err.Error()
		}
		n := int(b[4])<<8 | int(b[5]) + int(b[6])
		events := show(p.Feed(b))
		rest := make([]byte, n)
		if _, err := io.ReadFull(c, rest); err != nil {
			return got.String() + err.Error()
		}
		events += show(p.Feed(rest))
		for l := range strings.Lines(events) {
			if strings.HasPrefix(l, "params") { // how many there are is nginx's business
				l = "params\n"
			}
			got.WriteString(l)
		}
		if len(p.Open()) == 1 && p.Open()[0].StdinDone {
			break
		}
	}
	c.Write(record(typeStdout, 1, []byte("Content-Type: text/plain\r\n\r\ndone"), 0))
	c.Write(record(typeStdout, 1, nil, 0))
	c.Write(record(typeEnd, 1, make([]byte, 8), 0))
	return got.String()
}
